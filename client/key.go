package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Key is an API key.
type Key struct {
	Version
	ID           string `json:"id"`
	Organization string `json:"organization"`
	// User is whose personal key it is; nil: nobody's.
	User        *string `json:"user"`
	Name        string  `json:"name"`
	Environment string  `json:"environment"`
	// State is "active", "expired" or "revoked".
	State            string   `json:"state"`
	Hint             string   `json:"hint"`
	PermittedSiteIDs []string `json:"permitted_site_ids"`
	Scopes           []string `json:"scopes"`
	AllowedIPs       []string `json:"allowed_ips"`
	// Limit is "60/1m"; nil for the route's own.
	Limit          *string    `json:"limit"`
	LimitAlgorithm *string    `json:"limit_algorithm"`
	ExpiresAt      *time.Time `json:"expires_at"`
	RevokedAt      *time.Time `json:"revoked_at"`
	LastUsedAt     *time.Time `json:"last_used_at"`
	// LastUsedAddress and LastUsedRoute tell where from and for what; empty: not known.
	LastUsedAddress string    `json:"last_used_address"`
	LastUsedRoute   string    `json:"last_used_route"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
}

// KeySecret is a key with its new secret, which the server shows once.
type KeySecret struct {
	Key
	// Secret is empty for an import.
	Secret   string   `json:"secret,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// KeyCreate says what a key is to be. Organization is required unless the token
// is bound to one.
type KeyCreate struct {
	ID               string     `json:"id,omitempty"`
	Organization     string     `json:"organization,omitempty"`
	Name             string     `json:"name,omitempty"`
	Environment      string     `json:"environment,omitempty"`
	PermittedSiteIDs []string   `json:"permitted_site_ids,omitempty"`
	Scopes           []string   `json:"scopes,omitempty"`
	AllowedIPs       []string   `json:"allowed_ips,omitempty"`
	Limit            string     `json:"limit,omitempty"`
	LimitAlgorithm   string     `json:"limit_algorithm,omitempty"`
	ExpiresAt        *time.Time `json:"expires_at,omitempty"`
	// Secret or SHA256 (64 hexadecimal digits) imports a key.
	Secret string `json:"secret,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// KeyUpdate says what changes; nil stays as it is.
type KeyUpdate struct {
	Name             *string
	PermittedSiteIDs *[]string
	Scopes           *[]string
	AllowedIPs       *[]string
	// Limit: a pointer to "" takes the limit away.
	Limit          *string
	LimitAlgorithm *string
	// ExpiresAt: a pointer to the zero time is never.
	ExpiresAt *time.Time
}

// MarshalJSON writes a merge patch (RFC 7396): null clears.
func (u KeyUpdate) MarshalJSON() ([]byte, error) {
	patch := map[string]any{}
	set(patch, "name", u.Name)
	set(patch, "permitted_site_ids", u.PermittedSiteIDs)
	set(patch, "scopes", u.Scopes)
	set(patch, "allowed_ips", u.AllowedIPs)
	set(patch, "limit_algorithm", u.LimitAlgorithm)
	if u.Limit != nil {
		patch["limit"] = nil
		if *u.Limit != "" {
			patch["limit"] = *u.Limit
		}
	}
	if u.ExpiresAt != nil {
		patch["expires_at"] = nil
		if !u.ExpiresAt.IsZero() {
			patch["expires_at"] = *u.ExpiresAt
		}
	}
	return json.Marshal(patch)
}

func set[T any](patch map[string]any, name string, value *T) {
	if value != nil {
		patch[name] = *value
	}
}

const keys = "keys"

// Keys lists one page.
func (c *Client) Keys(ctx context.Context, o ListOptions) (List[Key], error) {
	return list[Key](ctx, c, keys, o)
}

// AllKeys goes through all pages.
func (c *Client) AllKeys(ctx context.Context, o ListOptions) iter.Seq2[Key, error] {
	return all[Key](ctx, c, keys, o)
}

// Key reads one.
func (c *Client) Key(ctx context.Context, id string) (Key, error) { return get[Key](ctx, c, keys, id) }

// CreateKey makes or imports one.
func (c *Client) CreateKey(ctx context.Context, in KeyCreate) (KeySecret, error) {
	return create[KeySecret](ctx, c, keys, in)
}

// UpdateKey changes one.
func (c *Client) UpdateKey(ctx context.Context, id string, v Version, in KeyUpdate) (Key, error) {
	return update[Key](ctx, c, call{path: []string{keys, id}, match: v.ETag, body: in})
}

// RotateKey gives a key a new secret. Its older secrets stay good for overlap;
// 0 ends them at once.
func (c *Client) RotateKey(ctx context.Context, id string, overlap time.Duration) (KeySecret, error) {
	var key KeySecret
	err := c.send(ctx, call{
		method: "POST", path: []string{keys, id, "rotate"},
		body: map[string]string{"overlap": overlap.String()},
	}, &key)
	return key, err
}

// RevokeKey ends every secret of a key.
func (c *Client) RevokeKey(ctx context.Context, id string) (Key, error) {
	var key Key
	err := c.send(ctx, call{method: "POST", path: []string{keys, id, "revoke"}}, &key)
	return key, err
}

// DeleteKey deletes a key and its record.
func (c *Client) DeleteKey(ctx context.Context, id string) error { return remove(ctx, c, keys, id) }
