package client

import (
	"context"
	"iter"
	"time"
)

// AdminToken is a token of the management API.
type AdminToken struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Organization confines the token; empty is global.
	Organization string     `json:"organization"`
	Scopes       []string   `json:"scopes"`
	Bootstrap    bool       `json:"bootstrap"`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
	FirstUsedAt  *time.Time `json:"first_used_at"`
}

// AdminTokenSecret is a token with its secret, which the server shows once.
type AdminTokenSecret struct {
	AdminToken
	Secret string `json:"secret"`
}

// AdminTokenCreate says what a token is to be; no scopes: all it may hold.
type AdminTokenCreate struct {
	ID           string     `json:"id,omitempty"`
	Name         string     `json:"name,omitempty"`
	Organization string     `json:"organization,omitempty"`
	Scopes       []string   `json:"scopes,omitempty"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
}

const adminTokens = "admin-tokens"

// AdminTokens lists one page.
func (c *Client) AdminTokens(ctx context.Context, o ListOptions) (List[AdminToken], error) {
	return list[AdminToken](ctx, c, adminTokens, o)
}

// AllAdminTokens goes through all pages.
func (c *Client) AllAdminTokens(ctx context.Context, o ListOptions) iter.Seq2[AdminToken, error] {
	return all[AdminToken](ctx, c, adminTokens, o)
}

// AdminToken reads one.
func (c *Client) AdminToken(ctx context.Context, id string) (AdminToken, error) {
	return get[AdminToken](ctx, c, adminTokens, id)
}

// CreateAdminToken makes one.
func (c *Client) CreateAdminToken(ctx context.Context, in AdminTokenCreate) (AdminTokenSecret, error) {
	return create[AdminTokenSecret](ctx, c, adminTokens, in)
}

// RevokeAdminToken ends one.
func (c *Client) RevokeAdminToken(ctx context.Context, id string) (AdminToken, error) {
	var token AdminToken
	err := c.send(ctx, call{method: "POST", path: []string{adminTokens, id, "revoke"}}, &token)
	return token, err
}
