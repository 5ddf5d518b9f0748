package client

import (
	"context"
	"iter"
	"time"
)

// OAuthClient is a client of the authorization server.
type OAuthClient struct {
	Version
	// ID is the client_id.
	ID string `json:"id"`
	// Application is what it belongs to; nil: it registered itself.
	Application            *string  `json:"application"`
	Name                   string   `json:"name"`
	Public                 bool     `json:"public"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	GrantTypes             []string `json:"grant_types"`
	Scopes                 []string `json:"scopes"`
	// Audiences are the resources that it may ask tokens for, Serves those that it is.
	Audiences        []string `json:"audiences"`
	Serves           []string `json:"serves"`
	TokenFormat      string   `json:"token_format"`
	FirstParty       bool     `json:"first_party"`
	IDTokenAlgorithm string   `json:"id_token_algorithm"`
	JWKS             string   `json:"jwks"`
	Pairwise         bool     `json:"pairwise"`
	DPoP             bool     `json:"dpop"`
	PushedOnly       bool     `json:"pushed_only"`
	DPoPNonce        bool     `json:"dpop_nonce"`
	TLSSubject       string   `json:"tls_subject"`
	SelfSignedTLS    bool     `json:"self_signed_tls"`
	CertificateBound bool     `json:"certificate_bound"`
	// BackchannelLogoutURI is where it is told that a session ended, FrontchannelLogoutURI the
	// page of its own that browsers load when they sign out; empty: none.
	BackchannelLogoutURI  string     `json:"backchannel_logout_uri"`
	BackchannelSession    bool       `json:"backchannel_logout_session_required"`
	FrontchannelLogoutURI string     `json:"frontchannel_logout_uri"`
	FrontchannelSession   bool       `json:"frontchannel_logout_session_required"`
	CreatedAt             time.Time  `json:"created_at"`
	UpdatedAt             time.Time  `json:"updated_at"`
	RevokedAt             *time.Time `json:"revoked_at"`
}

// OAuthClientCreate says what a client is to be. Without Application one is registered,
// which needs Name, and Organization unless the token is bound to one.
type OAuthClientCreate struct {
	ID                     string   `json:"id,omitempty"`
	Application            string   `json:"application,omitempty"`
	Organization           string   `json:"organization,omitempty"`
	Name                   string   `json:"name,omitempty"`
	Environment            string   `json:"environment,omitempty"`
	Public                 bool     `json:"public,omitempty"`
	RedirectURIs           []string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	GrantTypes             []string `json:"grant_types,omitempty"`
	Scopes                 []string `json:"scopes,omitempty"`
	Audiences              []string `json:"audiences,omitempty"`
	Serves                 []string `json:"serves,omitempty"`
	TokenFormat            string   `json:"token_format,omitempty"`
	FirstParty             bool     `json:"first_party,omitempty"`
	IDTokenAlgorithm       string   `json:"id_token_algorithm,omitempty"`
	JWKS                   string   `json:"jwks,omitempty"`
	Pairwise               bool     `json:"pairwise,omitempty"`
	DPoP                   bool     `json:"dpop,omitempty"`
	PushedOnly             bool     `json:"pushed_only,omitempty"`
	DPoPNonce              bool     `json:"dpop_nonce,omitempty"`
	TLSSubject             string   `json:"tls_subject,omitempty"`
	SelfSignedTLS          bool     `json:"self_signed_tls,omitempty"`
	CertificateBound       bool     `json:"certificate_bound,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelSession     bool     `json:"backchannel_logout_session_required,omitempty"`
	FrontchannelLogoutURI  string   `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelSession    bool     `json:"frontchannel_logout_session_required,omitempty"`
}

// OAuthClientSecret is a client with its new secret, which the server shows once; empty:
// it has none.
type OAuthClientSecret struct {
	OAuthClient
	Secret string `json:"secret,omitempty"`
}

const clients = "clients"

// OAuthClients lists one page.
func (c *Client) OAuthClients(ctx context.Context, o ListOptions) (List[OAuthClient], error) {
	return list[OAuthClient](ctx, c, clients, o)
}

// AllOAuthClients goes through all pages.
func (c *Client) AllOAuthClients(ctx context.Context, o ListOptions) iter.Seq2[OAuthClient, error] {
	return all[OAuthClient](ctx, c, clients, o)
}

// OAuthClient reads one.
func (c *Client) OAuthClient(ctx context.Context, id string) (OAuthClient, error) {
	var found OAuthClient
	err := c.send(ctx, call{method: "GET", path: []string{clients, id}}, &found)
	return found, err
}

// CreateOAuthClient makes one.
func (c *Client) CreateOAuthClient(ctx context.Context, in OAuthClientCreate) (OAuthClientSecret, error) {
	var made OAuthClientSecret
	err := c.send(ctx, call{method: "POST", path: []string{clients}, body: in}, &made)
	return made, err
}

// OAuthClientUpdate says what changes; nil stays as it is.
type OAuthClientUpdate struct {
	// Name is of one that registered itself.
	Name                   *string   `json:"name,omitempty"`
	RedirectURIs           *[]string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs *[]string `json:"post_logout_redirect_uris,omitempty"`
	GrantTypes             *[]string `json:"grant_types,omitempty"`
	Scopes                 *[]string `json:"scopes,omitempty"`
	Audiences              *[]string `json:"audiences,omitempty"`
	Serves                 *[]string `json:"serves,omitempty"`
	TokenFormat            *string   `json:"token_format,omitempty"`
	FirstParty             *bool     `json:"first_party,omitempty"`
	IDTokenAlgorithm       *string   `json:"id_token_algorithm,omitempty"`
	// JWKS are other keys, of one that has keys.
	JWKS       *string `json:"jwks,omitempty"`
	DPoP       *bool   `json:"dpop,omitempty"`
	PushedOnly *bool   `json:"pushed_only,omitempty"`
}

// UpdateOAuthClient changes one. With the Version that was read nothing is changed
// if somebody else did meanwhile.
func (c *Client) UpdateOAuthClient(ctx context.Context, id string, v Version, in OAuthClientUpdate) (OAuthClient, error) {
	return update[OAuthClient](ctx, c, call{path: []string{clients, id}, match: v.ETag, body: in})
}

// RotateOAuthClient gives one a new secret; those before it end after overlap.
func (c *Client) RotateOAuthClient(ctx context.Context, id string, overlap time.Duration) (OAuthClientSecret, error) {
	var made OAuthClientSecret
	err := c.send(ctx, call{method: "POST", path: []string{clients, id, "rotate"}, body: map[string]string{"overlap": overlap.String()}}, &made)
	return made, err
}

// RevokeOAuthClient ends one, with everything it was given.
func (c *Client) RevokeOAuthClient(ctx context.Context, id string) (OAuthClient, error) {
	var revoked OAuthClient
	err := c.send(ctx, call{method: "POST", path: []string{clients, id, "revoke"}}, &revoked)
	return revoked, err
}
