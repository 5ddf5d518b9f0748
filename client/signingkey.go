package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// SigningKey is a key that one-time requests are signed with.
type SigningKey struct {
	Version
	ID           string `json:"id"`
	Organization string `json:"organization"`
	Name         string `json:"name"`
	Environment  string `json:"environment"`
	// State is "active", "expired" or "revoked".
	State string `json:"state"`
	// APIKey is the public name of the key that callers send.
	APIKey string `json:"api_key"`
	// Algorithm is "HS256", "RS256", "ES256" or "EdDSA".
	Algorithm string `json:"algorithm"`
	// PublicKey is PEM, PKCS#1 or SPKI; nil for HS256.
	PublicKey        *string    `json:"public_key"`
	PermittedSiteIDs []string   `json:"permitted_site_ids"`
	Scopes           []string   `json:"scopes"`
	AllowedIPs       []string   `json:"allowed_ips"`
	Limit            *string    `json:"limit"`
	LimitAlgorithm   *string    `json:"limit_algorithm"`
	ExpiresAt        *time.Time `json:"expires_at"`
	RevokedAt        *time.Time `json:"revoked_at"`
	LastUsedAt       *time.Time `json:"last_used_at"`
	CreatedAt        time.Time  `json:"created_at"`
	UpdatedAt        time.Time  `json:"updated_at"`
}

// SigningKeySecret is a signing key with what the server shows of it once.
type SigningKeySecret struct {
	SigningKey
	// Secret is that of an HS256 key that was generated; its text is the HMAC key.
	Secret string `json:"secret,omitempty"`
	// PrivateKey is that of another one that was generated: PEM, PKCS#8.
	PrivateKey string   `json:"private_key,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
}

// SigningKeyCreate says what a signing key is to be. Algorithm is required, and
// Organization unless the token is bound to one. Secret or PublicKey imports a key.
type SigningKeyCreate struct {
	ID               string     `json:"id,omitempty"`
	Organization     string     `json:"organization,omitempty"`
	Name             string     `json:"name,omitempty"`
	Environment      string     `json:"environment,omitempty"`
	APIKey           string     `json:"api_key,omitempty"`
	Algorithm        string     `json:"algorithm"`
	PermittedSiteIDs []string   `json:"permitted_site_ids,omitempty"`
	Scopes           []string   `json:"scopes,omitempty"`
	AllowedIPs       []string   `json:"allowed_ips,omitempty"`
	Limit            string     `json:"limit,omitempty"`
	LimitAlgorithm   string     `json:"limit_algorithm,omitempty"`
	ExpiresAt        *time.Time `json:"expires_at,omitempty"`
	Secret           string     `json:"secret,omitempty"`
	PublicKey        string     `json:"public_key,omitempty"`
}

// SigningKeyRotate says how a signing key is replaced by a new one.
type SigningKeyRotate struct {
	// Overlap is how long the old key stays good; 0 ends it at once.
	Overlap time.Duration
	// APIKey of the new key; empty: one is drawn.
	APIKey string
	// Secret or PublicKey imports the new key; neither: it is generated.
	Secret, PublicKey string
}

// MarshalJSON writes the overlap as the API reads it.
func (r SigningKeyRotate) MarshalJSON() ([]byte, error) {
	body := map[string]string{"overlap": r.Overlap.String()}
	for name, value := range map[string]string{"api_key": r.APIKey, "secret": r.Secret, "public_key": r.PublicKey} {
		if value != "" {
			body[name] = value
		}
	}
	return json.Marshal(body)
}

const signingKeys = "signing-keys"

// SigningKeys lists one page.
func (c *Client) SigningKeys(ctx context.Context, o ListOptions) (List[SigningKey], error) {
	return list[SigningKey](ctx, c, signingKeys, o)
}

// AllSigningKeys goes through all pages.
func (c *Client) AllSigningKeys(ctx context.Context, o ListOptions) iter.Seq2[SigningKey, error] {
	return all[SigningKey](ctx, c, signingKeys, o)
}

// SigningKey reads one.
func (c *Client) SigningKey(ctx context.Context, id string) (SigningKey, error) {
	return get[SigningKey](ctx, c, signingKeys, id)
}

// CreateSigningKey makes or imports one.
func (c *Client) CreateSigningKey(ctx context.Context, in SigningKeyCreate) (SigningKeySecret, error) {
	return create[SigningKeySecret](ctx, c, signingKeys, in)
}

// UpdateSigningKey changes what one is called and may do.
func (c *Client) UpdateSigningKey(ctx context.Context, id string, v Version, in KeyUpdate) (SigningKey, error) {
	return update[SigningKey](ctx, c, call{path: []string{signingKeys, id}, match: v.ETag, body: in})
}

// RotateSigningKey makes a new key with the rights of an old one, which ends
// after the overlap. The new one has an id and an api_key of its own.
func (c *Client) RotateSigningKey(ctx context.Context, id string, in SigningKeyRotate) (SigningKeySecret, error) {
	var key SigningKeySecret
	err := c.send(ctx, call{method: "POST", path: []string{signingKeys, id, "rotate"}, body: in}, &key)
	return key, err
}

// RevokeSigningKey ends one.
func (c *Client) RevokeSigningKey(ctx context.Context, id string) (SigningKey, error) {
	var key SigningKey
	err := c.send(ctx, call{method: "POST", path: []string{signingKeys, id, "revoke"}}, &key)
	return key, err
}
