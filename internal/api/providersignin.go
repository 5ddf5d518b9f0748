package api

import (
	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// ProviderSignIn is how people sign in at an identity provider, without our secret there.
type ProviderSignIn struct {
	ClientID        string   `json:"client_id" example:"0oa1b2c3d4"`
	HasClientSecret bool     `json:"has_client_secret" doc:"We have a client secret there"`
	Label           string   `json:"label" example:"Sign in with Okta"`
	Scopes          []string `json:"scopes" nullable:"false" example:"[\"openid\",\"email\"]" doc:"Empty: openid, email, profile"`
	LinkByEmail     bool     `json:"link_by_email"`
	TrustedAMR      []string `json:"trusted_amr" nullable:"false" example:"[\"mfa\"]"`
	Unlisted        bool     `json:"unlisted"`
}

func wireSignIn(s *keystile.ProviderSignIn) *ProviderSignIn {
	if s == nil {
		return nil
	}
	return &ProviderSignIn{
		ClientID: s.ClientID, HasClientSecret: len(s.SealedSecret) > 0, Label: s.Label, Scopes: list(s.Scopes),
		LinkByEmail: s.LinkByEmail, TrustedAMR: list(s.TrustedAMR), Unlisted: s.Unlisted,
	}
}

// ProviderSignInSet says how people are to sign in at an identity provider.
type ProviderSignInSet struct {
	ClientID     string   `json:"client_id" example:"0oa1b2c3d4" doc:"Ours at the provider. The redirect URI to register there is PUBLIC_URL/login/with/NAME/callback"`
	ClientSecret string   `json:"client_secret,omitempty" writeOnly:"true" doc:"Ours there; absent: a public client"`
	Label        string   `json:"label,omitempty" example:"Sign in with Okta" doc:"What its button says; absent: the name"`
	Scopes       []string `json:"scopes,omitempty" nullable:"false" doc:"Absent: openid, email, profile"`
	LinkByEmail  bool     `json:"link_by_email,omitempty" doc:"The first sign-in finds a user that is there by an address that the provider says it has verified"`
	TrustedAMR   []string `json:"trusted_amr,omitempty" nullable:"false" example:"[\"mfa\"]" doc:"Values of amr (RFC 8176) that stand for a second factor"`
	Unlisted     bool     `json:"unlisted,omitempty" doc:"Its button is on /login?organization=ORGANIZATION alone"`
}

// onto makes it the provider's; nil: people do not sign in at it.
func (s *ProviderSignInSet) onto(in *manage.NewIdentityProvider) {
	before := in.Provider.SignIn
	if in.Provider.SignIn = nil; s == nil {
		return
	}
	in.Provider.SignIn = &keystile.ProviderSignIn{
		ClientID: s.ClientID, Label: s.Label, Scopes: s.Scopes, LinkByEmail: s.LinkByEmail, TrustedAMR: s.TrustedAMR, Unlisted: s.Unlisted,
	}
	in.ClientSecret = keystile.Secret(s.ClientSecret)
	// A secret is never sent where another client's was: it stays with its client.
	if s.ClientSecret == "" && before != nil && before.ClientID == s.ClientID {
		in.Provider.SignIn.SealedSecret = before.SealedSecret
	}
}
