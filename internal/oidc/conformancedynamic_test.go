package oidc_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// registered is a client that registered itself as the suite's do
// (OIDCCCreateDynamicClientRegistrationRequest), with more members.
func (p *relyingParty) registered(more string) reply {
	p.t.Helper()
	public := newHolder(p.t)
	return p.json("POST", "/oauth/register", "", fmt.Sprintf(
		`{"client_name":"Suite","grant_types":["authorization_code","refresh_token"],"response_types":["code"],"contacts":["a@app.example.com"],"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","use":"sig","x":%q}]}%s}`,
		encoded(public.public), more))
}

// whole registers a client of one redirect URI and goes the whole way with it.
func (p *relyingParty) whole(redirectURI, more string) {
	p.t.Helper()
	made := p.registered(fmt.Sprintf(`,"redirect_uris":[%q]%s`, redirectURI, more))
	if made.status != http.StatusCreated || made.header.Get("Content-Type") != "application/json" || made.text("client_id") == "" || made.text("client_secret") == "" || made.body["client_secret_expires_at"] != 0.0 {
		p.t.Fatalf("%d %v", made.status, made.body)
	}
	p.happy(p.ask("client_id", made.text("client_id"), "redirect_uri", redirectURI), "client_secret", made.text("client_secret"))
	if gone := p.json("DELETE", strings.TrimPrefix(made.text("registration_client_uri"), issuer), made.text("registration_access_token"), ""); gone.status != http.StatusNoContent {
		p.t.Errorf("it cannot remove itself: %d", gone.status)
	}
}

// refused wants an error of the registration endpoint.
func (p *relyingParty) refused(code, more string) {
	p.t.Helper()
	if got := p.registered(more); got.status != http.StatusBadRequest || got.header.Get("Content-Type") != "application/json" || got.text("error") != code {
		p.t.Errorf("%d %v", got.status, got.body)
	}
}

const suiteCallback = "https://suite.example.com/cb"

// dynamic are the modules of the plan Dynamic OP that this server means to pass. It does
// not pass the plan: docs/standards.md says which modules ask for what is not given.
var dynamic = map[string]func(*relyingParty){
	"oidcc-server": func(p *relyingParty) { p.whole(suiteCallback, "") },
	"oidcc-ensure-redirect-uri-in-authorization-request": func(p *relyingParty) { p.nowhere(p.ask("redirect_uri", "")) },
	"oidcc-redirect-uri-query-OK":                        func(p *relyingParty) { p.whole(suiteCallback+"?foo=bar", "") },
	"oidcc-redirect-uri-query-mismatch": func(p *relyingParty) {
		made := p.registered(`,"redirect_uris":["` + suiteCallback + `?foo=bar"]`)
		p.nowhere(p.ask("client_id", made.text("client_id"), "redirect_uri", suiteCallback+"?foo=baz"))
	},
	"oidcc-redirect-uri-query-added": func(p *relyingParty) {
		made := p.registered(`,"redirect_uris":["` + suiteCallback + `"]`)
		p.nowhere(p.ask("client_id", made.text("client_id"), "redirect_uri", suiteCallback+"?foo=bar"))
	},
	"oidcc-redirect-uri-regfrag":    func(p *relyingParty) { p.refused("invalid_redirect_uri", `,"redirect_uris":["`+suiteCallback+`#foo"]`) },
	"oidcc-registration-logo-uri":   func(p *relyingParty) { p.whole(suiteCallback, `,"logo_uri":"https://suite.example.com/logo.png"`) },
	"oidcc-registration-policy-uri": func(p *relyingParty) { p.whole(suiteCallback, `,"policy_uri":"https://suite.example.com/policy"`) },
	"oidcc-registration-tos-uri":    func(p *relyingParty) { p.whole(suiteCallback, `,"tos_uri":"https://suite.example.com/tos"`) },
	"oidcc-registration-sector-bad": func(p *relyingParty) {
		p.refused("invalid_client_metadata", `,"redirect_uris":["`+suiteCallback+`"],"subject_type":"pairwise","sector_identifier_uri":"https://suite.example.com/redirect_uris.json"`)
	},
	// Refused, and not left out: the client would not find out.
	"oidcc-registration-jwks-uri, refused": func(p *relyingParty) {
		got := p.json("POST", "/oauth/register", "", `{"redirect_uris":["`+suiteCallback+`"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://suite.example.com/jwks"}`)
		if got.status != http.StatusBadRequest || got.text("error") != "invalid_client_metadata" {
			p.t.Errorf("%d %v", got.status, got.body)
		}
	},
	"oidcc-ensure-client-assertion-with-iss-aud-succeeds": func(p *relyingParty) {
		key := p.signerOf("app")
		got := p.redeem(p.answer(p.decide(p.ask())).Get("code"), append([]string{"code_verifier", ""}, p.byKey(key, map[string]any{})...)...)
		p.checkTokens(got, "app")
	},
}

// TestConformanceOfDynamicClients goes through the modules of the OpenID Foundation's plan
// for a Dynamic OP, in those parts that are given here.
func TestConformanceOfDynamicClients(t *testing.T) {
	for name, module := range dynamic {
		t.Run("oidcc-dynamic-certification-test-plan/"+name, func(t *testing.T) {
			p := &relyingParty{newWorld(t), ""}
			module(p)
		})
	}
}

// TestConformanceOfPairwiseRegistration (oidcc-registration-sector-uri without the list of
// hosts, which is not fetched): one host is a sector.
func TestConformanceOfPairwiseRegistration(t *testing.T) {
	p := &relyingParty{newWorld(t), ""}
	made := p.registered(`,"redirect_uris":["` + suiteCallback + `","` + suiteCallback + `/2"],"subject_type":"pairwise"`)
	if made.status != http.StatusCreated || made.text("subject_type") != "pairwise" {
		t.Fatalf("%d %v", made.status, made.body)
	}
	_, id := p.happy(p.ask("client_id", made.text("client_id"), "redirect_uri", suiteCallback), "client_secret", made.text("client_secret"))
	if id["sub"] == p.person.User.ID {
		t.Error("it is told the user's id")
	}
	if got := p.post("/oauth/token", flat(url.Values{"client_id": {made.text("client_id")}, "client_secret": {made.text("client_secret")}, "grant_type": {"client_credentials"}})...); got.text("error") != "unauthorized_client" {
		t.Errorf("%v", got.body)
	}
}
