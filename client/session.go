package client

import (
	"context"
	"iter"
	"time"
)

// Session is one sign-in of a user.
type Session struct {
	ID           string `json:"id"`
	User         string `json:"user"`
	Organization string `json:"organization"`
	// Door is where it was opened: ona, nao, web or exchange.
	Door string `json:"door"`
	// Methods are the factors that were proven (amr, RFC 8176).
	Methods         []string  `json:"methods"`
	AuthenticatedAt time.Time `json:"authenticated_at"`
	// APIKey opened it, and IdentityProvider vouched for the user; nil: none did.
	APIKey           *string    `json:"api_key"`
	IdentityProvider *string    `json:"identity_provider"`
	ClientAddr       string     `json:"client_addr"`
	UserAgent        string     `json:"user_agent"`
	CreatedAt        time.Time  `json:"created_at"`
	LastUsedAt       *time.Time `json:"last_used_at"`
	ExpiresAt        time.Time  `json:"expires_at"`
	RevokedAt        *time.Time `json:"revoked_at"`
}

const sessions = "sessions"

// Sessions lists one page of live sessions.
func (c *Client) Sessions(ctx context.Context, o ListOptions) (List[Session], error) {
	return list[Session](ctx, c, sessions, o)
}

// AllSessions goes through all pages.
func (c *Client) AllSessions(ctx context.Context, o ListOptions) iter.Seq2[Session, error] {
	return all[Session](ctx, c, sessions, o)
}

// Session reads one.
func (c *Client) Session(ctx context.Context, id string) (Session, error) {
	return get[Session](ctx, c, sessions, id)
}

// RevokeSession ends one, and every token minted from it.
func (c *Client) RevokeSession(ctx context.Context, id string) (Session, error) {
	var session Session
	err := c.send(ctx, call{method: "POST", path: []string{sessions, id, "revoke"}}, &session)
	return session, err
}
