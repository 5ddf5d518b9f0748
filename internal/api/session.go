package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Session is one sign-in of a user on the wire.
type Session struct {
	ID              string     `json:"id" example:"ses_4fGh2kLmN8pQrStUvWxYz01234567890"`
	User            string     `json:"user" example:"user_20251122100000123456"`
	Organization    string     `json:"organization" example:"sibaya-power"`
	Door            string     `json:"door" enum:"ona,nao,web,exchange" doc:"Where it was opened"`
	Methods         []string   `json:"methods" nullable:"false" example:"[\"pwd\",\"otp\",\"mfa\"]" doc:"The factors that were proven (amr, RFC 8176)"`
	AuthenticatedAt time.Time  `json:"authenticated_at" doc:"When they were proven"`
	APIKey          *string    `json:"api_key" doc:"The API key that opened it; null: none did"`
	Provider        *string    `json:"identity_provider" doc:"The identity provider that vouched for the user; null: none did"`
	ClientAddr      string     `json:"client_addr" example:"192.0.2.10"`
	UserAgent       string     `json:"user_agent"`
	CreatedAt       time.Time  `json:"created_at"`
	LastUsedAt      *time.Time `json:"last_used_at" doc:"May lag by five minutes"`
	ExpiresAt       time.Time  `json:"expires_at" doc:"Its absolute end"`
	RevokedAt       *time.Time `json:"revoked_at"`
}

func wireSession(s keystile.Session) Session {
	out := Session{
		ID: s.ID, User: s.UserID, Organization: s.OrganizationID, Door: string(s.Door), Methods: words(s.Methods), AuthenticatedAt: s.AuthenticatedAt,
		ClientAddr: s.ClientAddr, UserAgent: s.UserAgent, CreatedAt: s.CreatedAt, LastUsedAt: moment(s.LastUsedAt), ExpiresAt: s.ExpiresAt, RevokedAt: moment(s.RevokedAt),
	}
	if s.APIKeyID != "" {
		out.APIKey = &s.APIKeyID
	}
	if s.ProviderName != "" {
		out.Provider = &s.ProviderName
	}
	return out
}

type sessionOutput struct{ Body Session }

// ofUser is the input of lists that an organisation or a user narrows.
type ofUser struct {
	Paging
	Organization string `query:"organization" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only things of this organization"`
	User         string `query:"user" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only things of this user"`
}

func registerSessions(a *API) error {
	return registerAll(
		handle(a, "list-sessions", func(ctx context.Context, c *caller, in *ofUser) (*listOutput[Session], error) {
			return listPage(a, c, in.Paging, listing[keystile.Session, Session]{
				binding: []string{"sessions", in.Organization, in.User},
				read: func(after string, limit int) ([]keystile.Session, error) {
					return c.service.Sessions(ctx, manage.SessionFilter{
						Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization, UserID: in.User,
					})
				},
				place: func(s keystile.Session) string { return s.ID },
				wire:  wireSession,
			})
		}),
		handle(a, "get-session", func(ctx context.Context, c *caller, in *ByID) (*sessionOutput, error) {
			found, err := c.service.Session(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &sessionOutput{Body: wireSession(found)}, nil
		}),
		handle(a, "revoke-session", func(ctx context.Context, c *caller, in *ByID) (*sessionOutput, error) {
			ended, err := c.service.RevokeSession(ctx, c.actor, in.ID)
			if err != nil {
				return nil, err
			}
			return &sessionOutput{Body: wireSession(ended)}, nil
		}),
	)
}
