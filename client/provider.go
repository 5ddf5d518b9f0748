package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// IdentityProvider is an outside issuer whose word signs in users of one organization.
type IdentityProvider struct {
	Version
	Name         string   `json:"name"`
	Organization string   `json:"organization"`
	Roles        []string `json:"roles"`
	Issuer       string   `json:"issuer"`
	Audience     string   `json:"audience"`
	// Algorithms are "HS256", "RS256", "ES256", "EdDSA".
	Algorithms []string `json:"algorithms"`
	// One of JWKSURL, JWKS, PublicKey is set, unless it has a secret.
	JWKSURL     *string           `json:"jwks_url"`
	JWKS        json.RawMessage   `json:"jwks"`
	PublicKey   *string           `json:"public_key"`
	HasSecret   bool              `json:"has_secret"`
	Claims      map[string]string `json:"claims"`
	CreateUsers bool              `json:"create_users"`
	Disabled    bool              `json:"disabled"`
	// SignIn says how people sign in at it on the page; nil: they do not.
	SignIn    *ProviderSignIn `json:"sign_in"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
}

// ProviderSignIn says how people sign in at an identity provider, by OpenID Connect.
type ProviderSignIn struct {
	ClientID        string   `json:"client_id"`
	HasClientSecret bool     `json:"has_client_secret"`
	Label           string   `json:"label"`
	Scopes          []string `json:"scopes"`
	LinkByEmail     bool     `json:"link_by_email"`
	TrustedAMR      []string `json:"trusted_amr"`
	Unlisted        bool     `json:"unlisted"`
}

// ProviderSignInSet is what they are to be, with our client secret at the provider.
type ProviderSignInSet struct {
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Label        string   `json:"label,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	LinkByEmail  bool     `json:"link_by_email,omitempty"`
	TrustedAMR   []string `json:"trusted_amr,omitempty"`
	Unlisted     bool     `json:"unlisted,omitempty"`
}

// IdentityProviderMade is a new identity provider, with what is allowed but
// probably not meant.
type IdentityProviderMade struct {
	IdentityProvider
	Warnings []string `json:"warnings,omitempty"`
}

// IdentityProviderCreate says what an identity provider is to be, with one of
// JWKSURL, JWKS, PublicKey and Secret.
type IdentityProviderCreate struct {
	Name         string            `json:"name"`
	Organization string            `json:"organization,omitempty"`
	Roles        []string          `json:"roles,omitempty"`
	Issuer       string            `json:"issuer"`
	Audience     string            `json:"audience,omitempty"`
	Algorithms   []string          `json:"algorithms,omitempty"`
	Claims       map[string]string `json:"claims,omitempty"`
	CreateUsers  bool              `json:"create_users,omitempty"`
	Disabled     bool              `json:"disabled,omitempty"`
	JWKSURL      string            `json:"jwks_url,omitempty"`
	JWKS         json.RawMessage   `json:"jwks,omitempty"`
	PublicKey    string            `json:"public_key,omitempty"`
	Secret       string            `json:"secret,omitempty"`
	// SignIn makes it a way to sign in on the page; audience, algorithms and keys may then be left out.
	SignIn *ProviderSignInSet `json:"sign_in,omitempty"`
}

// IdentityProviderUpdate says what changes; nil stays as it is. A source of keys
// replaces the one there is.
type IdentityProviderUpdate struct {
	Roles       *[]string          `json:"roles,omitempty"`
	Issuer      *string            `json:"issuer,omitempty"`
	Audience    *string            `json:"audience,omitempty"`
	Algorithms  *[]string          `json:"algorithms,omitempty"`
	Claims      *map[string]string `json:"claims,omitempty"`
	CreateUsers *bool              `json:"create_users,omitempty"`
	Disabled    *bool              `json:"disabled,omitempty"`
	JWKSURL     string             `json:"jwks_url,omitempty"`
	JWKS        json.RawMessage    `json:"jwks,omitempty"`
	PublicKey   string             `json:"public_key,omitempty"`
	Secret      string             `json:"secret,omitempty"`
	SignIn      *ProviderSignInSet `json:"sign_in,omitempty"`
}

const identityProviders = "identity-providers"

// IdentityProviders lists one page.
func (c *Client) IdentityProviders(ctx context.Context, o ListOptions) (List[IdentityProvider], error) {
	return list[IdentityProvider](ctx, c, identityProviders, o)
}

// AllIdentityProviders goes through all pages.
func (c *Client) AllIdentityProviders(ctx context.Context, o ListOptions) iter.Seq2[IdentityProvider, error] {
	return all[IdentityProvider](ctx, c, identityProviders, o)
}

// IdentityProvider reads one by its name.
func (c *Client) IdentityProvider(ctx context.Context, name string) (IdentityProvider, error) {
	return get[IdentityProvider](ctx, c, identityProviders, name)
}

// CreateIdentityProvider makes one.
func (c *Client) CreateIdentityProvider(ctx context.Context, in IdentityProviderCreate) (IdentityProviderMade, error) {
	return create[IdentityProviderMade](ctx, c, identityProviders, in)
}

// UpdateIdentityProvider changes one. Disabling ends the sessions it opened.
func (c *Client) UpdateIdentityProvider(ctx context.Context, name string, v Version, in IdentityProviderUpdate) (IdentityProvider, error) {
	return update[IdentityProvider](ctx, c, call{path: []string{identityProviders, name}, match: v.ETag, body: in})
}

// DeleteIdentityProvider deletes one; the sessions it opened end.
func (c *Client) DeleteIdentityProvider(ctx context.Context, name string) error {
	return remove(ctx, c, identityProviders, name)
}
