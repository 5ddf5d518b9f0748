package browser

import (
	"testing"

	"keystile.dev/keystile/internal/federation/federationtest"
)

func TestAProvidersButtonLeadsThereAndBackSignedIn(t *testing.T) {
	okta.Change(func(p *federationtest.Provider) {
		p.Ask, p.Person = true, map[string]any{"sub": "1", "email": "zola@example.com", "email_verified": true, "name": "Zola"}
	})
	b := newTab(t)
	b.open("/account/sessions")
	b.mustBeAt("/login")
	b.mustSay("Sign in with Okta")
	b.look("login-with-provider")
	b.press("main .ways a")
	b.mustSay("Continue as zola@example.com") // the provider's page
	b.press("#yes")
	b.mustBeAt("/account/sessions") // where they wanted to be
	b.open("/account")
	b.mustSay("zola@example.com")

	okta.Change(func(p *federationtest.Provider) {
		p.Person = map[string]any{"sub": "2", "email": "plain@example.com", "email_verified": true}
	})
	other := newTab(t)
	other.open("/login/with/okta")
	other.press("#yes")
	other.mustBeAt("/login/with/okta/callback")
	other.mustSay("Not signed in")
	other.look("provider-refused")
}
