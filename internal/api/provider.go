package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// IdentityProvider is an outside issuer on the wire, without its secret.
type IdentityProvider struct {
	Name         string            `json:"name" example:"external-sso"`
	Organization string            `json:"organization" example:"sibaya-power" doc:"Whose users it may sign in"`
	Roles        []string          `json:"roles" nullable:"false" example:"[\"role_analyst\"]" doc:"Roles it may assert"`
	Issuer       string            `json:"issuer" example:"https://sso.example.com"`
	Audience     string            `json:"audience" example:"keystile"`
	Algorithms   []string          `json:"algorithms" nullable:"false" enum:"HS256,RS256,ES256,EdDSA"`
	JWKSURL      *string           `json:"jwks_url" doc:"Where its keys are published"`
	JWKS         map[string]any    `json:"jwks" nullable:"true" doc:"Its keys (RFC 7517)"`
	PublicKey    *string           `json:"public_key" doc:"Its one key, PEM"`
	HasSecret    bool              `json:"has_secret" doc:"It has a shared secret, for HS256"`
	Claims       map[string]string `json:"claims" nullable:"false" doc:"Which claim holds which member of the user"`
	CreateUsers  bool              `json:"create_users" doc:"Whether unknown users are created"`
	Disabled     bool              `json:"disabled"`
	SignIn       *ProviderSignIn   `json:"sign_in,omitempty" doc:"How people sign in at it on the page; absent: they do not"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

func wireProvider(p keystile.IdentityProvider) IdentityProvider {
	out := IdentityProvider{
		Name: p.Name, Organization: p.OrganizationID, Roles: list(p.Roles), Issuer: p.Issuer, Audience: p.Audience, Algorithms: []string{},
		HasSecret: len(p.SealedSecret) > 0, Claims: map[string]string{}, CreateUsers: p.CreateUsers, Disabled: p.Disabled,
		SignIn: wireSignIn(p.SignIn), CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
	for _, algorithm := range p.Algorithms {
		out.Algorithms = append(out.Algorithms, string(algorithm))
	}
	maps.Copy(out.Claims, p.Claims)
	if p.JWKSURL != "" {
		out.JWKSURL = &p.JWKSURL
	}
	if p.PublicKey != "" {
		out.PublicKey = &p.PublicKey
	}
	if p.JWKS != "" && json.Unmarshal([]byte(p.JWKS), &out.JWKS) != nil {
		out.JWKS = nil // unreachable: it was checked when it was taken
	}
	return out
}

// KeySource says what the tokens of an identity provider are verified by: one of these.
type KeySource struct {
	JWKSURL   string         `json:"jwks_url,omitempty" example:"https://sso.example.com/jwks" doc:"https, or http to an address of the server's machine"`
	JWKS      map[string]any `json:"jwks,omitempty" doc:"{\"keys\": [...]}, public keys (RFC 7517)"`
	PublicKey string         `json:"public_key,omitempty" doc:"PEM, PKCS#1 or SPKI"`
	Secret    string         `json:"secret,omitempty" writeOnly:"true" doc:"Shared secret, for HS256"`
}

// given says whether any source is named.
func (k KeySource) given() bool {
	return k.JWKSURL != "" || k.JWKS != nil || k.PublicKey != "" || k.Secret != ""
}

// onto makes it the provider's source of keys.
func (k KeySource) onto(in *manage.NewIdentityProvider) error {
	in.Provider.JWKSURL, in.Provider.JWKS, in.Provider.PublicKey, in.Provider.SealedSecret = k.JWKSURL, "", k.PublicKey, nil
	in.Secret = keystile.Secret(k.Secret)
	if k.JWKS == nil {
		return nil
	}
	text, err := json.Marshal(k.JWKS)
	if err != nil {
		return fmt.Errorf("write a key set: %w", err)
	}
	in.Provider.JWKS = string(text)
	return nil
}

// IdentityProviderCreate is the body of create-identity-provider.
type IdentityProviderCreate struct {
	Name         string             `json:"name" example:"external-sso"`
	Organization string             `json:"organization,omitempty" example:"sibaya-power" doc:"Absent: the one the admin token is bound to"`
	Roles        []string           `json:"roles,omitempty" nullable:"false" example:"[\"role_analyst\"]"`
	Issuer       string             `json:"issuer" example:"https://sso.example.com" doc:"The iss of its tokens"`
	Audience     string             `json:"audience,omitempty" example:"keystile" doc:"The aud of its tokens; absent with sign_in: its client_id"`
	Algorithms   []string           `json:"algorithms,omitempty" nullable:"false" enum:"HS256,RS256,ES256,EdDSA" example:"[\"RS256\"]" doc:"HS256 with secret, the others without; absent with sign_in: RS256"`
	Claims       map[string]string  `json:"claims,omitempty" doc:"Members: username, email, name, role_id, customer_ids, group_id, skin_id"`
	CreateUsers  bool               `json:"create_users,omitempty"`
	Disabled     bool               `json:"disabled,omitempty"`
	SignIn       *ProviderSignInSet `json:"sign_in,omitempty" doc:"Makes it a way to sign in on the page, by OpenID Connect. Its keys may then be left out: they are where the issuer says"`
	KeySource
}

func (in IdentityProviderCreate) newProvider() (manage.NewIdentityProvider, error) {
	out := manage.NewIdentityProvider{Provider: keystile.IdentityProvider{
		Name: in.Name, OrganizationID: in.Organization, Roles: in.Roles, Issuer: in.Issuer, Audience: in.Audience,
		Algorithms: algorithms(in.Algorithms), Claims: in.Claims, CreateUsers: in.CreateUsers, Disabled: in.Disabled,
	}}
	in.SignIn.onto(&out)
	return out, in.onto(&out)
}

func algorithms(names []string) []keystile.SigningAlgorithm {
	out := make([]keystile.SigningAlgorithm, len(names))
	for i, name := range names {
		out[i] = keystile.SigningAlgorithm(name)
	}
	return out
}

// IdentityProviderUpdate is the body of update-identity-provider, a merge patch.
// A source of keys replaces the one there is.
type IdentityProviderUpdate struct {
	Roles       clearable[[]string]           `json:"roles,omitzero"`
	Issuer      member[string]                `json:"issuer,omitzero"`
	Audience    member[string]                `json:"audience,omitzero"`
	Algorithms  member[[]string]              `json:"algorithms,omitzero"`
	Claims      clearable[map[string]string]  `json:"claims,omitzero"`
	CreateUsers member[bool]                  `json:"create_users,omitzero"`
	Disabled    member[bool]                  `json:"disabled,omitzero" doc:"A disabled one signs in nobody; the sessions it opened end"`
	SignIn      clearable[*ProviderSignInSet] `json:"sign_in,omitzero" doc:"Replaces the settings there are; the client secret stays if it is left out and client_id does not change. null: people do not sign in at it"`
	KeySource
}

func (u IdentityProviderUpdate) edit(in *manage.NewIdentityProvider) error {
	p := &in.Provider
	u.Roles.replace(&p.Roles)
	u.Claims.replace(&p.Claims)
	var names []string
	err := errors.Join(
		u.Issuer.onto("issuer", &p.Issuer), u.Audience.onto("audience", &p.Audience), u.Algorithms.onto("algorithms", &names),
		u.CreateUsers.onto("create_users", &p.CreateUsers), u.Disabled.onto("disabled", &p.Disabled),
	)
	if u.Algorithms.Set {
		p.Algorithms = algorithms(names)
	}
	if u.SignIn.Set {
		u.SignIn.Value.onto(in)
	}
	if u.given() {
		err = errors.Join(err, u.onto(in))
	}
	return err
}

// IdentityProviderMade is the answer of create-identity-provider.
type IdentityProviderMade struct {
	IdentityProvider
	Warnings []string `json:"warnings,omitempty" doc:"What was allowed but is probably not meant"`
}

type providerOutput struct {
	ETag string `header:"ETag"`
	Body IdentityProvider
}

type providerMadeOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     IdentityProviderMade
}

func answerProvider(p keystile.IdentityProvider, err error) (*providerOutput, error) {
	if err != nil {
		return nil, err
	}
	return &providerOutput{ETag: version(wireProvider(p)), Body: wireProvider(p)}, nil
}

func registerProviders(a *API) error {
	return registerAll(
		handle(a, "list-identity-providers", func(ctx context.Context, c *caller, in *ofOrganization) (*listOutput[IdentityProvider], error) {
			return listPage(a, c, in.Paging, listing[keystile.IdentityProvider, IdentityProvider]{
				binding: []string{"identity-providers", in.Organization},
				read: func(after string, limit int) ([]keystile.IdentityProvider, error) {
					return c.service.IdentityProviders(ctx, manage.IdentityProviderFilter{Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization})
				},
				place: func(p keystile.IdentityProvider) string { return p.Name },
				wire:  wireProvider,
			})
		}),
		handle(a, "create-identity-provider", func(ctx context.Context, c *caller, in *struct{ Body IdentityProviderCreate }) (*providerMadeOutput, error) {
			wanted, err := in.Body.newProvider()
			if err != nil {
				return nil, err
			}
			made, err := c.service.CreateIdentityProvider(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			return &providerMadeOutput{
				ETag: version(wireProvider(made)), Location: "/v1/identity-providers/" + made.Name,
				Body: IdentityProviderMade{IdentityProvider: wireProvider(made), Warnings: wanted.Warnings()},
			}, nil
		}),
		handle(a, "get-identity-provider", func(ctx context.Context, c *caller, in *ByID) (*providerOutput, error) {
			return answerProvider(c.service.IdentityProvider(ctx, in.ID))
		}),
		handle(a, "update-identity-provider", func(ctx context.Context, c *caller, in *changing[IdentityProviderUpdate]) (*providerOutput, error) {
			return answerProvider(c.service.UpdateIdentityProvider(ctx, c.actor, in.ID, func(p *manage.NewIdentityProvider) error {
				if err := sameVersion(in.IfMatch, wireProvider(p.Provider)); err != nil {
					return err
				}
				return in.Body.edit(p)
			}))
		}),
		handle(a, "delete-identity-provider", func(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
			return nil, c.service.DeleteIdentityProvider(ctx, c.actor, in.ID)
		}),
	)
}
