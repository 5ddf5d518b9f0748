package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// AdminToken is an admin token on the wire, without its secret.
type AdminToken struct {
	ID           string     `json:"id" example:"adm_3k7xq2m5v6a4tz2e"`
	Name         string     `json:"name" example:"Deploy pipeline"`
	Organization string     `json:"organization" doc:"The one organization it may touch; empty: all"`
	Scopes       []string   `json:"scopes" nullable:"false" example:"[\"keys:read\",\"keys:write\"]"`
	Bootstrap    bool       `json:"bootstrap" doc:"Ends when another global token is made or 24 h after its first use"`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    *time.Time `json:"expires_at" doc:"null: never"`
	RevokedAt    *time.Time `json:"revoked_at"`
	FirstUsedAt  *time.Time `json:"first_used_at" doc:"Kept of bootstrap tokens"`
}

// AdminTokenSecret is the answer that holds a new token's secret, once.
type AdminTokenSecret struct {
	AdminToken
	Secret string `json:"secret" example:"kadm_…" doc:"The token itself. It is shown here and never again"`
}

func wireAdminToken(t keystile.AdminToken) AdminToken {
	return AdminToken{
		ID: t.ID, Name: t.Name, Organization: t.OrganizationID, Scopes: words(t.Scopes), Bootstrap: t.Bootstrap,
		CreatedAt: t.CreatedAt, ExpiresAt: moment(t.ExpiresAt), RevokedAt: moment(t.RevokedAt), FirstUsedAt: moment(t.FirstUsedAt),
	}
}

// AdminTokenCreate is the body of create-admin-token.
type AdminTokenCreate struct {
	ID           string     `json:"id,omitempty" doc:"Absent: drawn"`
	Name         string     `json:"name,omitempty" example:"Deploy pipeline"`
	Organization string     `json:"organization,omitempty" example:"sibaya-power" doc:"Confines it to one organization; absent: as far as the token that makes it"`
	Scopes       []string   `json:"scopes,omitempty" nullable:"false" example:"[\"keys:*\"]" doc:"Absent: all that its maker holds and a token of its reach may hold"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"Absent: never"`
}

type adminTokenOutput struct{ Body AdminToken }

type adminTokenSecretOutput struct {
	Location string `header:"Location"`
	Body     AdminTokenSecret
}

func registerAdminTokens(a *API) error {
	return registerAll(
		handle(a, "list-admin-tokens", func(ctx context.Context, c *caller, in *ofOrganization) (*listOutput[AdminToken], error) {
			return listPage(a, c, in.Paging, listing[keystile.AdminToken, AdminToken]{
				binding: []string{"admin-tokens", in.Organization},
				read: func(after string, limit int) ([]keystile.AdminToken, error) {
					return c.service.AdminTokens(ctx, manage.AdminTokenFilter{
						Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization,
					})
				},
				place: func(t keystile.AdminToken) string { return t.ID },
				wire:  wireAdminToken,
			})
		}),
		handle(a, "create-admin-token", func(ctx context.Context, c *caller, in *struct{ Body AdminTokenCreate }) (*adminTokenSecretOutput, error) {
			wanted := manage.NewAdminToken{
				ID: in.Body.ID, Name: in.Body.Name, OrganizationID: in.Body.Organization, Scopes: scopes(in.Body.Scopes),
			}
			if in.Body.ExpiresAt != nil {
				wanted.ExpiresAt = *in.Body.ExpiresAt
			}
			token, secret, err := c.service.CreateAdminToken(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			return &adminTokenSecretOutput{
				Location: "/v1/admin-tokens/" + token.ID,
				// The one place where a new token is shown.
				Body: AdminTokenSecret{AdminToken: wireAdminToken(token), Secret: secret.Reveal()},
			}, nil
		}),
		handle(a, "get-admin-token", func(ctx context.Context, c *caller, in *ByID) (*adminTokenOutput, error) {
			token, err := c.service.AdminToken(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &adminTokenOutput{wireAdminToken(token)}, nil
		}),
		handle(a, "revoke-admin-token", func(ctx context.Context, c *caller, in *ByID) (*adminTokenOutput, error) {
			token, err := c.service.RevokeAdminToken(ctx, c.actor, in.ID)
			if err != nil {
				return nil, err
			}
			return &adminTokenOutput{wireAdminToken(token)}, nil
		}),
	)
}
