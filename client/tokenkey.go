package client

import (
	"context"
	"iter"
	"time"
)

// TokenKey is a key that session tokens are signed with.
type TokenKey struct {
	ID        string `json:"id"`
	Algorithm string `json:"algorithm"`
	// Organization is whose tokens an HS256 key signs; empty: everybody's without one.
	Organization string    `json:"organization"`
	CreatedAt    time.Time `json:"created_at"`
	SignsFrom    time.Time `json:"signs_from"`
	// VerifiesUntil is when the last token that it signed has ended; nil: it signs, or will.
	VerifiesUntil *time.Time `json:"verifies_until"`
}

// TokenKeySecret is a token key with the secret that was drawn for it, which the
// server shows once; empty for any other key.
type TokenKeySecret struct {
	TokenKey
	Secret string `json:"secret,omitempty"`
}

// TokenKeyRotate says what the next key is to be.
type TokenKeyRotate struct {
	Algorithm    string `json:"algorithm,omitempty"`
	Organization string `json:"organization,omitempty"`
	Secret       string `json:"secret,omitempty"`
	// AheadSeconds is how long it is published before it signs; nil: the server's.
	AheadSeconds *int64 `json:"ahead_seconds,omitempty"`
}

const tokenKeys = "token-keys"

// TokenKeys lists one page.
func (c *Client) TokenKeys(ctx context.Context, o ListOptions) (List[TokenKey], error) {
	return list[TokenKey](ctx, c, tokenKeys, o)
}

// AllTokenKeys goes through all pages.
func (c *Client) AllTokenKeys(ctx context.Context, o ListOptions) iter.Seq2[TokenKey, error] {
	return all[TokenKey](ctx, c, tokenKeys, o)
}

// RotateTokenKey makes the next key.
func (c *Client) RotateTokenKey(ctx context.Context, in TokenKeyRotate) (TokenKeySecret, error) {
	return create[TokenKeySecret](ctx, c, tokenKeys, in)
}

// RevokeTokenKey ends a key, and every token that it signed.
func (c *Client) RevokeTokenKey(ctx context.Context, id string) (TokenKey, error) {
	var key TokenKey
	err := c.send(ctx, call{method: "POST", path: []string{tokenKeys, id, "revoke"}}, &key)
	return key, err
}
