package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const signInFile = `
organizations: [{id: a}]
identity_providers:
  - name: okta
    organization: a
    issuer: https://example.okta.com
    sign_in: {client_id: c1, client_secret: canary-client-secret, label: Okta, link_by_email: true}
`

func TestASignInAtAProviderNeedsNoMoreThanIssuerAndClient(t *testing.T) {
	s := newShop(t)
	s.apply(t, signInFile, Options{})
	p, err := s.IdentityProvider(t.Context(), "okta")
	if err != nil {
		t.Fatal(err)
	}
	if p.Audience != "c1" || len(p.Algorithms) != 1 || p.Algorithms[0] != "RS256" || p.JWKSURL != "" || p.SignIn == nil || !p.SignIn.LinkByEmail {
		t.Errorf("%+v %+v", p, p.SignIn)
	}
	if secret, err := s.OpenClientSecret("okta", p.SignIn.SealedSecret); err != nil || secret.Reveal() != "canary-client-secret" {
		t.Errorf("the client secret: %v", err)
	}
	if again := s.apply(t, signInFile, Options{}); again.String() != "no changes\n" {
		t.Errorf("applied again: %s", again.String())
	}
	changed := s.apply(t, `
identity_providers:
  - name: okta
    organization: a
    issuer: https://example.okta.com
    sign_in: {client_id: c2, client_secret: canary-another, scopes: [openid], trusted_amr: [mfa], unlisted: true}
`, Options{})
	want := `~ identity_provider okta: audience: c1 -> c2
~ identity_provider okta: sign_in.client_secret: old -> new
~ identity_provider okta: sign_in.client_id: c1 -> c2
~ identity_provider okta: sign_in.label: Okta -> none
~ identity_provider okta: sign_in.scopes: none -> openid
~ identity_provider okta: sign_in.link_by_email: true -> false
~ identity_provider okta: sign_in.trusted_amr: none -> mfa
~ identity_provider okta: sign_in.unlisted: false -> true
0 created, 1 updated, 0 deleted
`
	got := changed.String()
	lines := func(text string) map[string]bool {
		set := map[string]bool{}
		for line := range strings.Lines(text) {
			set[line] = true
		}
		return set
	}
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" || strings.Contains(got, "canary") {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.apply(t, "identity_providers: [{name: okta, organization: a, issuer: https://example.okta.com, audience: k, algorithms: [RS256], jwks_url: https://example.okta.com/keys}]", Options{})
	if p, err = s.IdentityProvider(t.Context(), "okta"); err != nil || p.SignIn != nil {
		t.Errorf("without sign_in: %+v, %v", p.SignIn, err)
	}
}
