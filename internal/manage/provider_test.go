package manage_test

import (
	"errors"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// provider is an identity provider of an organisation that can be made.
func provider(name, organization string) manage.NewIdentityProvider {
	return manage.NewIdentityProvider{Provider: keystile.IdentityProvider{
		Name: name, OrganizationID: organization, Issuer: "https://sso.example.com", Audience: "keystile",
		Algorithms: []keystile.SigningAlgorithm{keystile.RS256}, JWKSURL: "https://sso.example.com/jwks",
		Claims: map[string]string{"username": "email"},
	}}
}

const (
	edKey = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
	edSet = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}]}`
)

func TestThreat01_AnIdentityProvidersAlgorithmsFitItsOneSourceOfKeys(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	with := func(change func(*manage.NewIdentityProvider)) manage.NewIdentityProvider {
		in := provider("sso", "north")
		change(&in)
		return in
	}
	for name, c := range map[string]struct {
		in    manage.NewIdentityProvider
		field string
	}{
		"none": {with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL = "" }), "jwks_url"},
		"two":  {with(func(in *manage.NewIdentityProvider) { in.Provider.PublicKey = edKey }), "jwks_url"},
		"HS256 by URL": {with(func(in *manage.NewIdentityProvider) {
			in.Provider.Algorithms = []keystile.SigningAlgorithm{"RS256", "HS256"}
		}), "algorithms[1]"},
		"none by URL":  {with(func(in *manage.NewIdentityProvider) { in.Provider.Algorithms = []keystile.SigningAlgorithm{"none"} }), "algorithms[0]"},
		"no algorithm": {with(func(in *manage.NewIdentityProvider) { in.Provider.Algorithms = nil }), "algorithms"},
		"RS256 by secret": {with(func(in *manage.NewIdentityProvider) {
			in.Provider.JWKSURL, in.Secret = "", "0123456789abcdef0123456789abcdef"
		}), "algorithms[0]"},
		"RS256 by Ed25519":     {with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL, in.Provider.PublicKey = "", edKey }), "public_key"},
		"RS256 by Ed25519 set": {with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL, in.Provider.JWKS = "", edSet }), "jwks"},
		"a shared key in a set": {with(func(in *manage.NewIdentityProvider) {
			in.Provider.JWKSURL, in.Provider.JWKS = "", `{"keys":[{"kty":"oct","k":"AA"}]}`
		}), "jwks"},
		"a private key in a set": {with(func(in *manage.NewIdentityProvider) {
			in.Provider.JWKSURL, in.Provider.JWKS = "", strings.Replace(edSet, `"x":`, `"d":"AA","x":`, 1)
		}), "jwks"},
		"plain http":               {with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL = "http://sso.example.com/jwks" }), "jwks_url"},
		"a file":                   {with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL = "file:///etc/passwd" }), "jwks_url"},
		"a password":               {with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL = "https://a:b@sso.example.com/" }), "jwks_url"},
		"an unknown claim":         {with(func(in *manage.NewIdentityProvider) { in.Provider.Claims = map[string]string{"admin_role": "x"} }), "claims"},
		"an empty claim":           {with(func(in *manage.NewIdentityProvider) { in.Provider.Claims = map[string]string{"username": ""} }), "claims.username"},
		"an issuer URL":            {with(func(in *manage.NewIdentityProvider) { in.Provider.Issuer = "http://sso.example.com" }), "issuer"},
		"no issuer":                {with(func(in *manage.NewIdentityProvider) { in.Provider.Issuer = "" }), "issuer"},
		"no audience":              {with(func(in *manage.NewIdentityProvider) { in.Provider.Audience = "" }), "audience"},
		"a role that is not there": {with(func(in *manage.NewIdentityProvider) { in.Provider.Roles = []string{"nobody"} }), "roles[0]"},
	} {
		if _, err := w.CreateIdentityProvider(ctx, operator, c.in); strings.Join(fields(err), " ") != c.field {
			t.Errorf("%s: %v, want a problem of %s", name, err, c.field)
		}
	}
	for name, in := range map[string]manage.NewIdentityProvider{
		"url":      with(func(*manage.NewIdentityProvider) {}),
		"loopback": with(func(in *manage.NewIdentityProvider) { in.Provider.JWKSURL = "http://127.0.0.1:9000/jwks" }),
		"set": with(func(in *manage.NewIdentityProvider) {
			in.Provider.JWKSURL, in.Provider.JWKS, in.Provider.Algorithms = "", edSet, []keystile.SigningAlgorithm{keystile.EdDSA}
		}),
		"key": with(func(in *manage.NewIdentityProvider) {
			in.Provider.JWKSURL, in.Provider.PublicKey, in.Provider.Algorithms = "", edKey, []keystile.SigningAlgorithm{keystile.EdDSA}
		}),
		"secret": with(func(in *manage.NewIdentityProvider) {
			in.Provider.JWKSURL, in.Secret, in.Provider.Algorithms = "", "short", []keystile.SigningAlgorithm{keystile.HS256}
		}),
	} {
		in.Provider.Name = name
		made := must(w.CreateIdentityProvider(ctx, operator, in))(t)
		if name == "secret" {
			if got := must(w.OpenProviderSecret(made))(t); got.Reveal() != "short" || len(in.Warnings()) != 1 {
				t.Errorf("the secret is %q, warnings %v", got.Reveal(), in.Warnings())
			}
		}
	}
}

func TestAnIdentityProvidersSourceOfKeysCanBeReplaced(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	must(w.CreateIdentityProvider(ctx, operator, provider("sso", "north")))(t)
	changed := must(w.UpdateIdentityProvider(ctx, operator, "sso", func(in *manage.NewIdentityProvider) error {
		in.Provider.JWKSURL, in.Secret, in.Provider.Algorithms = "", "0123456789abcdef0123456789abcdef", []keystile.SigningAlgorithm{keystile.HS256}
		in.Provider.Name, in.Provider.OrganizationID = "other", "south"
		return nil
	}))(t)
	if changed.Name != "sso" || changed.OrganizationID != "north" || len(changed.SealedSecret) == 0 {
		t.Errorf("%+v", changed)
	}
	same := must(w.UpdateIdentityProvider(ctx, operator, "sso", func(in *manage.NewIdentityProvider) error { in.Provider.Disabled = false; return nil }))(t)
	if !same.UpdatedAt.Equal(changed.UpdatedAt) {
		t.Error("a change that changes nothing was written")
	}
	back := must(w.UpdateIdentityProvider(ctx, operator, "sso", func(in *manage.NewIdentityProvider) error {
		in.Provider.SealedSecret, in.Provider.JWKSURL, in.Provider.Algorithms = nil, "https://sso.example.com/k", []keystile.SigningAlgorithm{keystile.ES256}
		return nil
	}))(t)
	if len(back.SealedSecret) != 0 || back.JWKSURL == "" {
		t.Errorf("%+v", back)
	}
	if err := w.DeleteIdentityProvider(ctx, operator, "sso"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.IdentityProvider(ctx, "sso"); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}
