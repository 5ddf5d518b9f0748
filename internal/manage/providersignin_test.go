package manage_test

import (
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

func TestASignInAtAProviderThatCannotWorkIsRefusedByItsMember(t *testing.T) {
	w := newPeople(t)
	with := func(name string, change func(*manage.NewIdentityProvider)) manage.NewIdentityProvider {
		in := manage.NewIdentityProvider{Provider: keystile.IdentityProvider{
			Name: name, OrganizationID: "north", Issuer: "https://sso.example.com", SignIn: &keystile.ProviderSignIn{ClientID: "c"},
		}}
		change(&in)
		return in
	}
	for field, changes := range map[string][]func(*manage.NewIdentityProvider){
		"issuer":                 {func(in *manage.NewIdentityProvider) { in.Provider.Issuer = "sso" }, func(in *manage.NewIdentityProvider) { in.Provider.Issuer = "http://sso.example.com" }},
		"sign_in.client_id":      {func(in *manage.NewIdentityProvider) { in.Provider.SignIn.ClientID, in.Provider.Audience = "", "a" }, func(in *manage.NewIdentityProvider) { in.Provider.SignIn.ClientID, in.Provider.Audience = "a b", "a" }},
		"sign_in.label":          {func(in *manage.NewIdentityProvider) { in.Provider.SignIn.Label = "a\nb" }, func(in *manage.NewIdentityProvider) { in.Provider.SignIn.Label = strings.Repeat("x", 300) }},
		"sign_in.scopes":         {func(in *manage.NewIdentityProvider) { in.Provider.SignIn.Scopes = []string{"email"} }},
		"sign_in.scopes[1]":      {func(in *manage.NewIdentityProvider) { in.Provider.SignIn.Scopes = []string{"openid", "a b"} }, func(in *manage.NewIdentityProvider) { in.Provider.SignIn.Scopes = []string{"openid", "openid"} }},
		"sign_in.trusted_amr[0]": {func(in *manage.NewIdentityProvider) { in.Provider.SignIn.TrustedAMR = []string{""} }},
		"sign_in.client_secret":  {func(in *manage.NewIdentityProvider) { in.ClientSecret = keystile.Secret(strings.Repeat("x", 1025)) }, func(in *manage.NewIdentityProvider) { in.ClientSecret, in.SealedClientSecret = "x", []byte("x") }},
		"sign_in.sealed":         {func(in *manage.NewIdentityProvider) { in.SealedClientSecret = []byte("of another store") }},
		"algorithms[0]": {func(in *manage.NewIdentityProvider) {
			in.Provider.Algorithms = []keystile.SigningAlgorithm{keystile.HS256}
		}},
	} {
		for _, change := range changes {
			if _, err := w.CreateIdentityProvider(t.Context(), operator, with("bad", change)); strings.Join(fields(err), " ") != field {
				t.Errorf("%v, want a problem of %s", err, field)
			}
		}
	}
	made := must(w.CreateIdentityProvider(t.Context(), operator, with("sso", func(in *manage.NewIdentityProvider) { in.ClientSecret = "client-secret" })))(t)
	if secret := must(w.OpenClientSecret("sso", made.SignIn.SealedSecret))(t); secret.Reveal() != "client-secret" || made.Audience != "c" {
		t.Errorf("%q %+v", secret.Reveal(), made)
	}
	// The secret of one provider is none of another's.
	if _, err := w.OpenClientSecret("other", made.SignIn.SealedSecret); err == nil {
		t.Error("it opens in another place")
	}
	kept := must(w.UpdateIdentityProvider(t.Context(), operator, "sso", func(in *manage.NewIdentityProvider) error {
		in.Provider.SignIn.Label = "Corp"
		return nil
	}))(t)
	if kept.SignIn.Label != "Corp" || len(kept.SignIn.SealedSecret) == 0 {
		t.Errorf("%+v", kept.SignIn)
	}
}
