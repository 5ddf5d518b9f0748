package api

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// OAuthClient is a client of the authorization server on the wire.
type OAuthClient struct {
	ID                     string     `json:"id" doc:"The client_id"`
	Application            *string    `json:"application" doc:"The application it belongs to; null: it registered itself"`
	Name                   string     `json:"name" doc:"What one that registered itself calls itself"`
	Public                 bool       `json:"public" doc:"It has no secret and needs PKCE"`
	RedirectURIs           []string   `json:"redirect_uris" nullable:"false"`
	PostLogoutRedirectURIs []string   `json:"post_logout_redirect_uris" nullable:"false"`
	GrantTypes             []string   `json:"grant_types" nullable:"false" example:"[\"authorization_code\", \"refresh_token\"]"`
	Scopes                 []string   `json:"scopes" nullable:"false" example:"[\"openid\"]"`
	Audiences              []string   `json:"audiences" nullable:"false" doc:"Resources that it may ask tokens for"`
	Serves                 []string   `json:"serves" nullable:"false" doc:"Resources that it is"`
	TokenFormat            string     `json:"token_format" enum:"jwt,opaque"`
	FirstParty             bool       `json:"first_party" doc:"People are not asked for their consent"`
	IDTokenAlgorithm       string     `json:"id_token_algorithm" enum:"RS256,ES256,EdDSA"`
	JWKS                   string     `json:"jwks" doc:"Its public keys, for private_key_jwt"`
	Pairwise               bool       `json:"pairwise"`
	DPoP                   bool       `json:"dpop"`
	PushedOnly             bool       `json:"pushed_only"`
	DPoPNonce              bool       `json:"dpop_nonce" doc:"Its proofs at the token endpoint have to carry a nonce of the server's"`
	TLSSubject             string     `json:"tls_subject" doc:"What the certificate has to name with which it proves who it is; empty: none"`
	SelfSignedTLS          bool       `json:"self_signed_tls" doc:"It proves who it is with a certificate in jwks"`
	CertificateBound       bool       `json:"certificate_bound" doc:"Its tokens are bound to its certificate"`
	BackchannelLogoutURI   string     `json:"backchannel_logout_uri" doc:"Where it is told, by a signed token, that a session ended"`
	BackchannelSession     bool       `json:"backchannel_logout_session_required"`
	FrontchannelLogoutURI  string     `json:"frontchannel_logout_uri" doc:"A page of its own that browsers load when they sign out"`
	FrontchannelSession    bool       `json:"frontchannel_logout_session_required"`
	CreatedAt              time.Time  `json:"created_at"`
	UpdatedAt              time.Time  `json:"updated_at"`
	RevokedAt              *time.Time `json:"revoked_at"`
}

func wireOAuthClient(c keystile.OAuthClient) OAuthClient {
	w := OAuthClient{
		ID: c.ID, Name: c.Name, Public: c.Public, RedirectURIs: words(c.RedirectURIs), PostLogoutRedirectURIs: words(c.PostLogoutRedirectURIs),
		GrantTypes: words(c.GrantTypes), Scopes: words(c.Scopes), Audiences: words(c.Audiences), Serves: words(c.Serves), TokenFormat: string(c.TokenFormat),
		FirstParty: c.FirstParty, IDTokenAlgorithm: string(c.IDTokenAlgorithm), JWKS: c.JWKS, Pairwise: c.Pairwise, DPoP: c.DPoP, PushedOnly: c.PushedOnly,
		DPoPNonce: c.DPoPNonce, TLSSubject: c.TLSSubject, SelfSignedTLS: c.SelfSignedTLS, CertificateBound: c.CertificateBound,
		BackchannelLogoutURI: c.Backchannel.URI, BackchannelSession: c.Backchannel.SessionRequired,
		FrontchannelLogoutURI: c.Frontchannel.URI, FrontchannelSession: c.Frontchannel.SessionRequired,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, RevokedAt: moment(c.RevokedAt),
	}
	if c.ApplicationID != "" {
		w.Application = &c.ApplicationID
	}
	return w
}

// OAuthClientCreate is the body of create-client.
type OAuthClientCreate struct {
	ID                     string   `json:"id,omitempty" doc:"The client_id; absent: 64 hexadecimal digits are drawn"`
	Application            string   `json:"application,omitempty" doc:"The application it is a way in of; absent: one is registered with the members below"`
	Organization           string   `json:"organization,omitempty" example:"roof-tools-inc" doc:"Of a new application; absent: the one the admin token is bound to"`
	Name                   string   `json:"name,omitempty" example:"Roof Tools" doc:"Of a new application"`
	Environment            string   `json:"environment,omitempty" enum:"sandbox,production" doc:"Of a new application; absent: the organization's"`
	Public                 bool     `json:"public,omitempty"`
	RedirectURIs           []string `json:"redirect_uris,omitempty" nullable:"false"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty" nullable:"false"`
	GrantTypes             []string `json:"grant_types,omitempty" nullable:"false" doc:"Absent: authorization_code and refresh_token with redirect URIs, else client_credentials"`
	Scopes                 []string `json:"scopes,omitempty" nullable:"false"`
	Audiences              []string `json:"audiences,omitempty" nullable:"false"`
	Serves                 []string `json:"serves,omitempty" nullable:"false"`
	TokenFormat            string   `json:"token_format,omitempty" enum:"jwt,opaque"`
	FirstParty             bool     `json:"first_party,omitempty" doc:"Not for tokens bound to an organization"`
	IDTokenAlgorithm       string   `json:"id_token_algorithm,omitempty" enum:"RS256,ES256,EdDSA"`
	JWKS                   string   `json:"jwks,omitempty"`
	Pairwise               bool     `json:"pairwise,omitempty"`
	DPoP                   bool     `json:"dpop,omitempty"`
	PushedOnly             bool     `json:"pushed_only,omitempty"`
	DPoPNonce              bool     `json:"dpop_nonce,omitempty" doc:"With dpop"`
	TLSSubject             string   `json:"tls_subject,omitempty" example:"dns:batch.example.com" doc:"dns:, uri:, ip:, email: or dn: and what the certificate has to name"`
	SelfSignedTLS          bool     `json:"self_signed_tls,omitempty" doc:"With certificates in jwks"`
	CertificateBound       bool     `json:"certificate_bound,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty" example:"https://app.example.com/backchannel-logout"`
	BackchannelSession     bool     `json:"backchannel_logout_session_required,omitempty"`
	FrontchannelLogoutURI  string   `json:"frontchannel_logout_uri,omitempty" example:"https://app.example.com/frontchannel-logout" doc:"Of the origin of a redirect URI"`
	FrontchannelSession    bool     `json:"frontchannel_logout_session_required,omitempty"`
}

// OAuthClientSecret is the answer that holds a client's new secret, once.
type OAuthClientSecret struct {
	OAuthClient
	Secret string `json:"secret,omitempty" doc:"The client_secret; it is shown here and never again. Absent: a public client, or one with keys or a certificate"`
}

// OAuthClientRotate is the body of rotate-client.
type OAuthClientRotate struct {
	Overlap string `json:"overlap,omitempty" example:"24h" doc:"How long earlier secrets stay good, from 0s to 2160h; absent: 0s"`
}

type clientSecretOutput struct {
	Location string `header:"Location"`
	Body     OAuthClientSecret
}

func answerClientSecret(made manage.MadeOAuthClient) *clientSecretOutput {
	// The one place where a client's new secret is shown.
	return &clientSecretOutput{Body: OAuthClientSecret{OAuthClient: wireOAuthClient(made.Client), Secret: made.Secret.Reveal()}}
}

type listClientsInput struct {
	Paging
	Organization string `query:"organization" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only things of this organization"`
}

type clientOutput struct {
	ETag string `header:"ETag"`
	Body OAuthClient
}

func answerClient(c keystile.OAuthClient) *clientOutput {
	w := wireOAuthClient(c)
	return &clientOutput{ETag: version(w), Body: w}
}

// OAuthClientUpdate is the body of update-client, a merge patch. Whether it has a
// secret or keys, its subjects and its application stay as they are.
type OAuthClientUpdate struct {
	Name                   member[string]   `json:"name,omitzero" example:"Roof Tools" doc:"Of one that registered itself; another is called as its application is"`
	RedirectURIs           member[[]string] `json:"redirect_uris,omitzero" example:"[\"https://app.example.com/cb\"]"`
	PostLogoutRedirectURIs member[[]string] `json:"post_logout_redirect_uris,omitzero"`
	GrantTypes             member[[]string] `json:"grant_types,omitzero" example:"[\"authorization_code\", \"refresh_token\"]"`
	Scopes                 member[[]string] `json:"scopes,omitzero" example:"[\"openid\"]"`
	Audiences              member[[]string] `json:"audiences,omitzero"`
	Serves                 member[[]string] `json:"serves,omitzero"`
	TokenFormat            member[string]   `json:"token_format,omitzero" enum:"jwt,opaque"`
	FirstParty             member[bool]     `json:"first_party,omitzero" doc:"Not for tokens bound to an organization"`
	IDTokenAlgorithm       member[string]   `json:"id_token_algorithm,omitzero" enum:"RS256,ES256,EdDSA"`
	JWKS                   member[string]   `json:"jwks,omitzero" doc:"Of a client that has keys: other ones"`
	DPoP                   member[bool]     `json:"dpop,omitzero"`
	PushedOnly             member[bool]     `json:"pushed_only,omitzero"`
}

func (u OAuthClientUpdate) edit(c *keystile.OAuthClient) error {
	grants, granted := words(c.GrantTypes), words(c.Scopes)
	format, algorithm := string(c.TokenFormat), string(c.IDTokenAlgorithm)
	err := errors.Join(
		u.Name.onto("name", &c.Name), u.RedirectURIs.onto("redirect_uris", &c.RedirectURIs),
		u.PostLogoutRedirectURIs.onto("post_logout_redirect_uris", &c.PostLogoutRedirectURIs), u.GrantTypes.onto("grant_types", &grants),
		u.Scopes.onto("scopes", &granted), u.Audiences.onto("audiences", &c.Audiences), u.Serves.onto("serves", &c.Serves),
		u.TokenFormat.onto("token_format", &format), u.FirstParty.onto("first_party", &c.FirstParty),
		u.IDTokenAlgorithm.onto("id_token_algorithm", &algorithm), u.JWKS.onto("jwks", &c.JWKS),
		u.DPoP.onto("dpop", &c.DPoP), u.PushedOnly.onto("pushed_only", &c.PushedOnly),
	)
	c.GrantTypes, c.Scopes = grantTypes(grants), scopes(granted)
	c.TokenFormat, c.IDTokenAlgorithm = keystile.TokenFormat(format), keystile.SigningAlgorithm(algorithm)
	return err
}

func registerClients(a *API) error {
	return registerAll(
		handle(a, "list-clients", func(ctx context.Context, c *caller, in *listClientsInput) (*listOutput[OAuthClient], error) {
			return listPage(a, c, in.Paging, listing[keystile.OAuthClient, OAuthClient]{
				binding: []string{"clients", in.Organization},
				read: func(after string, limit int) ([]keystile.OAuthClient, error) {
					return c.service.OAuthClients(ctx, manage.OAuthClientFilter{Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization})
				},
				place: func(c keystile.OAuthClient) string { return c.ID },
				wire:  wireOAuthClient,
			})
		}),
		handle(a, "create-client", func(ctx context.Context, c *caller, in *struct{ Body OAuthClientCreate }) (*clientSecretOutput, error) {
			b := in.Body
			made, err := c.service.CreateOAuthClient(ctx, c.actor, keystile.Application{
				ID: b.Application, OrganizationID: b.Organization, Name: b.Name, Environment: keystile.Environment(b.Environment),
			}, keystile.OAuthClient{
				ID: b.ID, Public: b.Public, RedirectURIs: b.RedirectURIs, PostLogoutRedirectURIs: b.PostLogoutRedirectURIs, GrantTypes: grantTypes(b.GrantTypes),
				Scopes: scopes(b.Scopes), Audiences: b.Audiences, Serves: b.Serves, TokenFormat: keystile.TokenFormat(b.TokenFormat), FirstParty: b.FirstParty,
				IDTokenAlgorithm: keystile.SigningAlgorithm(b.IDTokenAlgorithm), JWKS: b.JWKS, Pairwise: b.Pairwise, DPoP: b.DPoP, PushedOnly: b.PushedOnly,
				DPoPNonce: b.DPoPNonce, TLSSubject: b.TLSSubject, SelfSignedTLS: b.SelfSignedTLS, CertificateBound: b.CertificateBound,
				Backchannel:  keystile.LogoutURI{URI: b.BackchannelLogoutURI, SessionRequired: b.BackchannelSession},
				Frontchannel: keystile.LogoutURI{URI: b.FrontchannelLogoutURI, SessionRequired: b.FrontchannelSession},
			})
			if err != nil {
				return nil, err
			}
			out := answerClientSecret(made)
			out.Location = "/v1/clients/" + made.Client.ID
			return out, nil
		}),
		handle(a, "get-client", func(ctx context.Context, c *caller, in *ByID) (*clientOutput, error) {
			found, err := c.service.OAuthClient(ctx, in.ID)
			return answerClient(found), err
		}),
		handle(a, "update-client", updateClient),
		handle(a, "rotate-client", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body OAuthClientRotate
		},
		) (*clientSecretOutput, error) {
			var overlap time.Duration
			if in.Body.Overlap != "" {
				var err error
				if overlap, err = time.ParseDuration(in.Body.Overlap); err != nil {
					return nil, keystile.Invalidf("overlap", "write a duration such as 24h, or 0s", "not a duration")
				}
			}
			made, err := c.service.RotateOAuthSecret(ctx, c.actor, in.ID, overlap)
			if err != nil {
				return nil, err
			}
			return answerClientSecret(made), nil
		}),
		handle(a, "revoke-client", func(ctx context.Context, c *caller, in *ByID) (*clientOutput, error) {
			revoked, err := c.service.RevokeOAuthClient(ctx, c.actor, in.ID)
			return answerClient(revoked), err
		}),
	)
}

type updateClientInput struct {
	ByID
	IfMatch string `header:"If-Match" doc:"ETag of the version that is to be changed; another version is 412"`
	Body    OAuthClientUpdate
}

func updateClient(ctx context.Context, c *caller, in *updateClientInput) (*clientOutput, error) {
	changed, err := c.service.UpdateOAuthClient(ctx, c.actor, in.ID, func(client *keystile.OAuthClient) error {
		if err := sameVersion(in.IfMatch, wireOAuthClient(*client)); err != nil {
			return err
		}
		return in.Body.edit(client)
	})
	return answerClient(changed), err
}

func grantTypes(list []string) []keystile.GrantType {
	types := make([]keystile.GrantType, len(list))
	for i, g := range list {
		types[i] = keystile.GrantType(g)
	}
	return types
}
