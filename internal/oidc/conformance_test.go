package oidc_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// relyingParty is the client of one module of the OpenID Foundation's plans, in one of
// the ways in which it has its answers.
type relyingParty struct {
	*world
	mode string
}

// ask is an authorization request of a plan: no PKCE, as Basic OP sends none.
func (p *relyingParty) ask(pairs ...string) url.Values {
	q := query(append([]string{"code_challenge", "", "code_challenge_method", ""}, pairs...)...)
	if p.mode != "" {
		q.Set("response_mode", p.mode)
	}
	return q
}

// answer is what a step sends the client, which has to come as it asked.
func (p *relyingParty) answer(step oidc.Step) url.Values {
	p.t.Helper()
	got := answerOf(p.t, step)
	if got == nil || (step.Post != nil) != (p.mode == "form_post") {
		p.t.Fatalf("%+v", step)
	}
	if got.Get("state") != "xyz" || got.Get("iss") != issuer {
		p.t.Errorf("state and issuer of %v", got)
	}
	return got
}

// happy goes the whole way, and returns the answer of the token endpoint and the ID
// token's claims.
func (p *relyingParty) happy(q url.Values, redeem ...string) (reply, map[string]any) {
	p.t.Helper()
	step, err := p.server.Begin(p.t.Context(), q, &p.person, time.Time{})
	if err != nil || step.SignIn != nil {
		p.t.Fatalf("%+v, %v", step, err)
	}
	if step.Consent != nil {
		if step, err = p.server.Decide(p.t.Context(), q, p.person, time.Time{}, true); err != nil {
			p.t.Fatal(err)
		}
	}
	redirect := []string{"redirect_uri", q.Get("redirect_uri"), "client_id", q.Get("client_id")}
	got := p.redeem(p.answer(step).Get("code"), slices.Concat([]string{"code_verifier", ""}, redirect, redeem)...)
	id := p.checkTokens(got, q.Get("client_id"))
	if nonce, _ := id["nonce"].(string); nonce != q.Get("nonce") { //nolint:errcheck // "" is none
		p.t.Errorf("nonce %q, asked with %q", nonce, q.Get("nonce"))
	}
	return got, id
}

// checkTokens is what the suite looks at in every answer of the token endpoint
// (PerformStandardIdTokenChecks and the like), and returns the ID token's claims.
func (p *relyingParty) checkTokens(got reply, client string) map[string]any {
	p.t.Helper()
	life, whole := got.body["expires_in"].(float64)
	if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" ||
		got.text("token_type") != "Bearer" || !whole || life <= 0 || life != math.Trunc(life) || got.body["error"] != nil {
		p.t.Fatalf("%d %v %v", got.status, got.header, got.body)
	}
	id := claimsOf(p.t, got.text("id_token"))
	for _, name := range []string{"acr", "azp"} {
		if text, _ := id[name].(string); text == "" { //nolint:errcheck // "" is none
			p.t.Errorf("no %s in %v", name, id)
		}
	}
	at := map[string]float64{}
	for _, name := range []string{"exp", "iat", "auth_time"} {
		seconds, number := id[name].(float64)
		if at[name] = seconds; !number || seconds != math.Trunc(seconds) {
			p.t.Errorf("%s is %v", name, id[name])
		}
	}
	now := float64(p.now().Unix())
	sum := sha256.Sum256([]byte(got.text("access_token")))
	if at["exp"] <= now || at["iat"] > now || at["iat"] < now-60 || at["auth_time"] > now || id["iss"] != issuer || id["aud"] != client || id["azp"] != client ||
		id["at_hash"] != base64.RawURLEncoding.EncodeToString(sum[:16]) {
		p.t.Errorf("%v", id)
	}
	if sub, _ := id["sub"].(string); sub == "" || len(sub) > 255 || strings.ContainsFunc(sub, func(r rune) bool { return r > '~' }) { //nolint:errcheck // "" fails
		p.t.Errorf("sub %q", sub)
	}
	return id
}

// refusal is the error that a request is answered with.
func (p *relyingParty) refusal(q url.Values, person *oidc.Person) string {
	p.t.Helper()
	step, err := p.server.Begin(p.t.Context(), q, person, time.Time{})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.checkError(p.answer(step))
}

// checkError is what the suite looks at in every error of the authorization endpoint
// (performGenericAuthorizationEndpointErrorResponseValidation), and returns its code.
func (p *relyingParty) checkError(got url.Values) string {
	p.t.Helper()
	for name := range got {
		if !slices.Contains([]string{"error", "error_description", "error_uri", "state", "iss"}, name) {
			p.t.Errorf("%s stands in an error: %v", name, got)
		}
	}
	// RFC 6749, section 4.1.2.1: %x20-21 / %x23-5B / %x5D-7E.
	if strings.ContainsFunc(got.Get("error_description"), func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		p.t.Errorf("error_description %q", got.Get("error_description"))
	}
	return got.Get("error")
}

// nowhere wants a page and no answer to anybody.
func (p *relyingParty) nowhere(q url.Values) {
	p.t.Helper()
	step, err := p.server.Begin(p.t.Context(), q, &p.person, time.Time{})
	if refused := new(oidc.Refused); !errors.As(err, &refused) || step != (oidc.Step{}) {
		p.t.Errorf("%+v, %v", step, err)
	}
}

// told is what userinfo says to a token.
func (p *relyingParty) told(answer reply) map[string]any {
	p.t.Helper()
	got := p.userinfo(answer.text("access_token"))
	if got.status != http.StatusOK {
		p.t.Fatalf("userinfo: %d %v", got.status, got.body)
	}
	return got.body
}

// scoped goes the whole way for scopes, and wants some claims from userinfo and no others.
func scoped(scope string, claims ...string) func(*relyingParty) {
	return func(p *relyingParty) {
		answer, id := p.happy(p.ask("scope", scope))
		info := p.told(answer)
		for _, name := range []string{"name", "preferred_username", "updated_at", "email"} {
			if (info[name] != nil) != slices.Contains(claims, name) {
				p.t.Errorf("%s: %v", name, info)
			}
			if id[name] != nil { // section 5.4; EnsureIdTokenDoesNotContainEmailForScopeEmail
				p.t.Errorf("%s is in the ID token, which stands in URLs as id_token_hint", name)
			}
		}
	}
}

// withParameters goes the whole way with parameters that change nothing.
func withParameters(pairs ...string) func(*relyingParty) {
	return func(p *relyingParty) { p.happy(p.ask(pairs...)) }
}

// signsIn wants a sign-in before anything else, and after it a newer auth_time.
func signsIn(pairs ...string) func(*relyingParty) {
	return func(p *relyingParty) {
		_, before := p.happy(p.ask())
		p.pass(2 * time.Second)
		step := p.begin(p.ask(pairs...), time.Time{})
		if step.SignIn == nil || !step.SignIn.Again {
			p.t.Fatalf("%+v", step)
		}
		asked := p.now()
		p.pass(time.Second)
		p.person.Session.AuthenticatedAt = p.now()
		step, err := p.server.Begin(p.t.Context(), p.ask(pairs...), &p.person, asked)
		if err != nil {
			p.t.Fatal(err)
		}
		after := claimsOf(p.t, p.redeem(p.answer(step).Get("code"), "code_verifier", "").text("id_token"))
		if first, second := before["auth_time"], after["auth_time"]; second.(float64) <= first.(float64) || before["sub"] != after["sub"] { //nolint:errcheck // numbers, as every time
			p.t.Errorf("auth_time %v, then %v", first, second)
		}
	}
}

// basic are the modules of the plans Basic OP and Form Post Basic OP that a server
// answers without a page, under the suite's own names.
var basic = map[string]func(*relyingParty){
	"oidcc-server": func(p *relyingParty) {
		answer, id := p.happy(p.ask())
		if id["nonce"] != "n-1" || id["aud"] != "app" || id["iss"] != issuer || p.told(answer)["sub"] != id["sub"] {
			p.t.Errorf("%v", id)
		}
	},
	"oidcc-response-type-missing": func(p *relyingParty) {
		if got := p.refusal(p.ask("response_type", ""), &p.person); got != "invalid_request" {
			p.t.Error(got)
		}
	},
	// The suite leaves it out where "none" is not offered; that a token has a kid, and is
	// signed by its key, is tested where there are keys (TestAnIDTokenIsSignedByAKeyOfTheSet).
	"oidcc-idtoken-unsigned": func(p *relyingParty) {
		offered, _ := p.metadata()["id_token_signing_alg_values_supported"].([]any) //nolint:errcheck // none fails below
		if !slices.Contains(offered, any("RS256")) || slices.Contains(offered, any("none")) {
			p.t.Errorf("%v", offered)
		}
	},
	"oidcc-userinfo-get": func(p *relyingParty) {
		answer, id := p.happy(p.ask())
		info := p.userinfo(answer.text("access_token"))
		if info.status != http.StatusOK || info.header.Get("Content-Type") != "application/json" || info.body["sub"] != id["sub"] {
			p.t.Errorf("%d %v %v", info.status, info.header, info.body)
		}
	},
	"oidcc-userinfo-post-header": func(p *relyingParty) {
		answer, id := p.happy(p.ask())
		r := httptest.NewRequest(http.MethodPost, issuer+"/oauth/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+answer.text("access_token"))
		if got := p.send(r); got.body["sub"] != id["sub"] {
			p.t.Errorf("%d %v", got.status, got.body)
		}
	},
	"oidcc-userinfo-post-body": func(p *relyingParty) {
		answer, id := p.happy(p.ask())
		form := []string{"access_token", answer.text("access_token"), "client_id", "", "client_secret", ""}
		if got := p.post("/oauth/userinfo", form...); got.body["sub"] != id["sub"] {
			p.t.Errorf("%d %v", got.status, got.body)
		}
		r := httptest.NewRequest(http.MethodPost, issuer+"/oauth/userinfo", strings.NewReader(url.Values{"access_token": {answer.text("access_token")}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+answer.text("access_token"))
		if got := p.send(r); got.status != http.StatusBadRequest { // RFC 6750, section 2: one way a request
			p.t.Errorf("in both places: %d", got.status)
		}
		form[1] = "x"
		if got := p.post("/oauth/userinfo", form...); got.status != http.StatusUnauthorized {
			p.t.Errorf("no token: %d", got.status)
		}
		r = httptest.NewRequest(http.MethodGet, issuer+"/oauth/userinfo?access_token="+answer.text("access_token"), nil)
		if got := p.send(r); got.status != http.StatusUnauthorized { // section 2.3: it would stand in logs
			p.t.Errorf("in the URL: %d", got.status)
		}
	},
	"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": func(p *relyingParty) {
		if _, id := p.happy(p.ask("nonce", "")); id["nonce"] != nil {
			p.t.Errorf("%v", id["nonce"])
		}
	},
	"oidcc-scope-profile":                     scoped("openid profile", "name", "preferred_username", "updated_at"),
	"oidcc-scope-email":                       scoped("openid email", "email"),
	"oidcc-scope-address":                     scoped("openid address"),
	"oidcc-scope-phone":                       scoped("openid phone"),
	"oidcc-scope-all":                         scoped("openid profile email address phone", "name", "preferred_username", "updated_at", "email"),
	"oidcc-ensure-other-scope-order-succeeds": scoped("email openid", "email"),
	"oidcc-display-page":                      withParameters("display", "page"),
	"oidcc-display-popup":                     withParameters("display", "popup"),
	"oidcc-ui-locales":                        withParameters("ui_locales", "se"),
	"oidcc-claims-locales":                    withParameters("claims_locales", "se"),
	"oidcc-ensure-request-with-unknown-parameter-succeeds": withParameters("extra", "foobar"),
	"oidcc-ensure-request-with-acr-values-succeeds": func(p *relyingParty) {
		supported, _ := p.metadata()["acr_values_supported"].([]any) //nolint:errcheck // none fails below
		var asked []string
		for _, acr := range supported {
			asked = append(asked, acr.(string)) //nolint:errcheck // texts
		}
		if _, id := p.happy(p.ask("acr_values", strings.Join(asked, " "))); len(asked) == 0 || !slices.Contains(asked, id["acr"].(string)) { //nolint:errcheck // a text, as happy saw
			p.t.Errorf("%v of %v", id["acr"], asked)
		}
	},
	"oidcc-ensure-request-with-acr-values-succeeds, of another": withParameters("acr_values", "1 2"),
	"oidcc-prompt-login": signsIn("prompt", "login"),
	"oidcc-max-age-1":    signsIn("max_age", "1"),
	"oidcc-max-age-10000": func(p *relyingParty) {
		_, first := p.happy(p.ask("max_age", "15000"))
		p.pass(time.Second)
		if _, second := p.happy(p.ask("max_age", "10000")); first["auth_time"] != second["auth_time"] || first["sub"] != second["sub"] {
			p.t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-prompt-none-not-logged-in": func(p *relyingParty) {
		if got := p.refusal(p.ask("prompt", "none"), nil); got != "login_required" {
			p.t.Error(got)
		}
	},
	"oidcc-prompt-none-logged-in": func(p *relyingParty) {
		_, first := p.happy(p.ask())
		if _, second := p.happy(p.ask("prompt", "none")); first["sub"] != second["sub"] || first["auth_time"] != second["auth_time"] {
			p.t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-id-token-hint": func(p *relyingParty) {
		answer, first := p.happy(p.ask())
		p.pass(2 * time.Hour) // an ID token that ended says whom it was about all the same
		if _, second := p.happy(p.ask("prompt", "none", "id_token_hint", answer.text("id_token"))); first["sub"] != second["sub"] {
			p.t.Errorf("%v, then %v", first, second)
		}
	},
	"oidcc-login-hint": func(p *relyingParty) {
		p.happy(p.ask("login_hint", "ann@example.com"))
		step, err := p.server.Begin(p.t.Context(), p.ask("login_hint", "ann@example.com"), nil, time.Time{})
		if err != nil || step.SignIn == nil || step.SignIn.Hint != "ann@example.com" {
			p.t.Errorf("%+v, %v", step, err)
		}
	},
	"oidcc-codereuse": func(p *relyingParty) {
		code := p.answer(p.decide(p.ask())).Get("code")
		first := p.redeem(code, "code_verifier", "")
		if again := p.redeem(code, "code_verifier", ""); first.status != http.StatusOK || again.text("error") != "invalid_grant" {
			p.t.Errorf("%v, then %v", first.body, again.body)
		}
	},
	"oidcc-codereuse-30seconds": func(p *relyingParty) {
		code := p.answer(p.decide(p.ask())).Get("code")
		first := p.redeem(code, "code_verifier", "")
		p.pass(30 * time.Second)
		if again := p.redeem(code, "code_verifier", ""); again.text("error") != "invalid_grant" || p.userinfo(first.text("access_token")).status != http.StatusUnauthorized {
			p.t.Errorf("%v, and the tokens live on", again.body)
		}
	},
	"oidcc-ensure-registered-redirect-uri": func(p *relyingParty) {
		p.nowhere(p.ask("redirect_uri", callback+"/other"))
	},
	"oidcc-server-client-secret-post": func(p *relyingParty) { p.happy(p.ask(), "client_secret", secret) },
	"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": func(p *relyingParty) {
		if got := p.refusal(p.ask("request", "eyJhbGciOiJub25lIn0.e30."), &p.person); got != "request_not_supported" {
			p.t.Error(got)
		}
	},
	"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported": func(p *relyingParty) {
		q := p.ask("request_uri", "https://app.example.com/request.jwt", "nonce", "")
		if got := p.refusal(q, &p.person); got != "request_uri_not_supported" || p.metadata()["request_uri_parameter_supported"] != false {
			p.t.Error(got)
		}
	},
	// What is not read leads nobody anywhere.
	"oidcc-ensure-request-object-with-redirect-uri": func(p *relyingParty) {
		object := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"redirect_uri":"`+callback+`"}`)) + "."
		p.nowhere(p.ask("request", object, "redirect_uri", "https://app.example.com/invalid"))
		if p.metadata()["request_parameter_supported"] != false {
			p.t.Error("request objects are said to be taken")
		}
	},
	"oidcc-claims-essential": func(p *relyingParty) {
		answer, _ := p.happy(p.ask("claims", `{"userinfo":{"name":{"essential":true}}}`))
		if info := p.told(answer); info["name"] != p.person.User.Name || info["name"] == nil {
			p.t.Errorf("%v", info)
		}
	},
	"oidcc-refresh-token": func(p *relyingParty) {
		answer, first := p.happy(p.ask("scope", "openid", "prompt", "consent"))
		p.pass(time.Second)
		again := p.refresh(answer.text("refresh_token"))
		second := claimsOf(p.t, again.text("id_token"))
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "azp"} { // OpenID Connect Core, section 12.2
			if first[name] != second[name] {
				p.t.Errorf("%s: %v, then %v", name, first[name], second[name])
			}
		}
		if second["iat"] == first["iat"] || second["nonce"] != nil {
			p.t.Errorf("the ID token is of before: %v", second)
		}
		p.checkTokens(again, "app")
		if got := p.refresh(again.text("refresh_token"), "client_id", "twin"); got.status != http.StatusBadRequest || got.text("error") != "invalid_grant" {
			p.t.Errorf("with another client: %d %v", got.status, got.body)
		}
	},
	"oidcc-ensure-request-with-valid-pkce-succeeds": func(p *relyingParty) {
		p.happy(p.ask("code_challenge", hash, "code_challenge_method", "S256"), "code_verifier", verifier)
	},
	"oidcc-idtoken-rs256": func(p *relyingParty) {
		p.happy(p.ask())
		if !slices.Contains(p.keys.asked, "RS256 JWT") {
			p.t.Errorf("%v", p.keys.asked)
		}
	},
}

// named gives ann a name and an address.
func (w *world) named(name, email string) {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.User(ctx, "user_ann")
		if err != nil {
			return err
		}
		u.Name, u.Email = name, email
		w.person.User = u
		return tx.UpdateUser(ctx, u, storetest.Names("user_ann")...)
	})
}

func (w *world) decide(q url.Values) oidc.Step {
	w.t.Helper()
	step, err := w.server.Decide(w.t.Context(), q, w.person, time.Time{}, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return step
}

// TestConformance goes through the modules of the OpenID Foundation's plans for a Basic
// OP and a Form Post OP, one by one and under their names.
func TestConformance(t *testing.T) {
	for plan, mode := range map[string]string{"oidcc-basic-certification-test-plan": "", "oidcc-formpost-basic-certification-test-plan": "form_post"} {
		for name, module := range basic {
			t.Run(plan+"/"+name, func(t *testing.T) {
				p := &relyingParty{newWorld(t), mode}
				p.named("Ann Archer", "ann@example.com")
				module(p)
			})
		}
	}
}

// TestConformanceOfRPInitiatedLogout: what the plan's modules ask of the server's reading
// of a wish; what the person then sees is tested where the pages are.
func TestConformanceOfRPInitiatedLogout(t *testing.T) {
	const bye = "https://app.example.com/bye"
	w := newWorld(t)
	w.changeClient("app", func(c *keystile.OAuthClient) { c.PostLogoutRedirectURIs = []string{bye} })
	id := w.tokens().text("id_token")
	half := strings.LastIndexByte(id, '.')
	for module, c := range map[string]struct {
		query   url.Values
		want    oidc.Logout
		refused bool
	}{
		"oidcc-rp-initiated-logout":                                         {url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye}, "state": {"s"}}, oidc.Logout{SessionID: "ses_1", Location: bye + "?state=s"}, false},
		"oidcc-rp-initiated-logout-no-state":                                {url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye}}, oidc.Logout{SessionID: "ses_1", Location: bye}, false},
		"oidcc-rp-initiated-logout-no-params":                               {url.Values{}, oidc.Logout{}, false},
		"oidcc-rp-initiated-logout-only-state":                              {url.Values{"state": {"s"}}, oidc.Logout{}, false},
		"oidcc-rp-initiated-logout-no-id-token-hint":                        {url.Values{"post_logout_redirect_uri": {bye}, "state": {"s"}}, oidc.Logout{}, false},
		"oidcc-rp-initiated-logout-no-post-logout-redirect-uri":             {url.Values{"id_token_hint": {id}, "state": {"s"}}, oidc.Logout{SessionID: "ses_1"}, false},
		"oidcc-rp-initiated-logout-bad-id-token-hint":                       {url.Values{"id_token_hint": {"x"}, "post_logout_redirect_uri": {bye}}, oidc.Logout{}, true},
		"oidcc-rp-initiated-logout-modified-id-token-hint":                  {url.Values{"id_token_hint": {id[:half] + "x" + id[half+1:]}, "post_logout_redirect_uri": {bye}}, oidc.Logout{}, true},
		"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri":            {url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye + "/x"}}, oidc.Logout{}, true},
		"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": {url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {bye + "?foo=bar"}}, oidc.Logout{}, true},
	} {
		got, err := w.server.EndSession(t.Context(), c.query)
		if (err != nil) != c.refused || !c.refused && got != c.want {
			t.Errorf("%s: %+v, %v", module, got, err)
		}
	}
	m := w.metadata()
	for module, names := range map[string][]string{
		"oidcc-discovery-endpoint-verification": {
			"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "scopes_supported", "response_types_supported", "response_modes_supported", "grant_types_supported",
			"subject_types_supported", "id_token_signing_alg_values_supported", "claims_supported", "registration_endpoint",
		},
		"oidcc-rp-initiated-logout-discovery-endpoint-verification": {"end_session_endpoint"},
		"oidcc-backchannel-logout-discovery-endpoint-verification":  {"backchannel_logout_supported", "backchannel_logout_session_supported"},
		"oidcc-frontchannel-logout-discovery-endpoint-verification": {"frontchannel_logout_supported", "frontchannel_logout_session_supported"},
	} {
		for _, name := range names {
			if m[name] == nil || m[name] == false {
				t.Errorf("%s: %s is %v", module, name, m[name])
			}
		}
	}
}

// TestThreat30_AStrangersClientIsToldNoSubjectOfAnothersSector: naming another's host gets
// it nothing where it is answered elsewhere.
func TestThreat30_AStrangersClientIsToldNoSubjectOfAnothersSector(t *testing.T) {
	w := newWorld(t)
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Pairwise = true })
	theirs := claimsOf(t, w.redeem(w.allow(query()).Get("code")).text("id_token"))["sub"]
	const registration = `{"redirect_uris":[%q],"grant_types":["authorization_code","refresh_token"%s],"subject_type":"pairwise"}`

	const own = "https://evil.example/cb"
	made := w.json("POST", "/oauth/register", "", fmt.Sprintf(registration, own, ""))
	who := []string{"client_id", made.text("client_id"), "client_secret", made.text("client_secret")}
	granted := w.redeem(w.allow(query("client_id", who[1], "redirect_uri", own)).Get("code"), append(who, "redirect_uri", own)...)
	if sub := claimsOf(t, granted.text("id_token"))["sub"]; sub == nil || sub == theirs {
		t.Fatalf("%v of %v", sub, granted.body)
	}
	moved := w.json("PUT", "/oauth/register/"+who[1], made.text("registration_access_token"), fmt.Sprintf(registration, callback, ""))
	if moved.text("error") != "invalid_client_metadata" {
		t.Errorf("it moved to another's host: %v", moved.body)
	}
	if sub := claimsOf(t, w.refresh(granted.text("refresh_token"), who...).text("id_token"))["sub"]; sub == theirs {
		t.Error("and is told that one's subject")
	}

	device := w.json("POST", "/oauth/register", "", fmt.Sprintf(registration, callback, `,"urn:ietf:params:oauth:grant-type:device_code"`))
	who = []string{"client_id", device.text("client_id"), "client_secret", device.text("client_secret")}
	begun := w.post("/oauth/device_authorization", append(who, "scope", "openid")...)
	if err := w.server.DecideDevice(t.Context(), w.person, begun.text("user_code"), true); err != nil {
		t.Fatalf("%v: %v", begun.body, err)
	}
	tokens := w.post("/oauth/token", append(who, "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", begun.text("device_code"))...)
	if sub := claimsOf(t, tokens.text("id_token"))["sub"]; sub == nil || sub == theirs {
		t.Errorf("a device is told %v", sub)
	}

	const document = "https://evil.example/client.json"
	w.served = map[string]string{document: `{"client_id":"` + document + `","redirect_uris":["` + callback + `"],"subject_type":"pairwise"}`}
	told := w.redeem(w.allow(query("client_id", document)).Get("code"), "client_id", document, "client_secret", "")
	if sub := claimsOf(t, told.text("id_token"))["sub"]; sub == nil || sub == theirs {
		t.Errorf("a client with a document is told %v", sub)
	}
	if got := w.json("POST", "/oauth/register", "", `{"redirect_uris":["https://evil.example/cb"],"subject_type":"pairwise","sector_identifier_uri":"https://app.example.com/redirect_uris.json"}`); got.status != http.StatusBadRequest || got.text("error") != "invalid_client_metadata" {
		t.Errorf("oidcc-registration-sector-bad: %d %v", got.status, got.body)
	}
	for name, uris := range map[string]string{"two hosts": `"https://evil.example/cb","` + callback + `"`, "a host and an app": `"` + callback + `","com.example.app:/cb"`} {
		if got := w.json("POST", "/oauth/register", "", `{"redirect_uris":[`+uris+`],"subject_type":"pairwise"}`); got.text("error") != "invalid_client_metadata" {
			t.Errorf("%s without sector_identifier_uri: %v", name, got.body)
		}
	}
}

// TestPairwiseSubjectsAreEachSectorsOwn (OpenID Connect Core, section 8.1): the same to one sector at all
// times, another to the next, and the user's id to none.
func TestPairwiseSubjectsAreEachSectorsOwn(t *testing.T) {
	w := newWorld(t)
	subject := func(client string) string {
		t.Helper()
		q := query("client_id", client)
		answer := w.redeem(w.allow(q).Get("code"), "client_id", client)
		id := claimsOf(t, answer.text("id_token"))
		sub, _ := id["sub"].(string) //nolint:errcheck // "" fails below
		if info := w.userinfo(answer.text("access_token")); info.body["sub"] != sub || claimsOf(t, answer.text("access_token"))["sub"] != sub {
			t.Errorf("%s is told two subjects: %v and %s", client, info.body["sub"], sub)
		}
		if told := w.post("/oauth/introspect", "client_id", client, "token", answer.text("access_token")); told.text("sub") != sub {
			t.Errorf("%s, by introspection: %v", client, told.body)
		}
		return sub
	}
	public := subject("app")
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Pairwise = true })
	w.changeClient("twin", func(c *keystile.OAuthClient) { c.Pairwise = true })
	app, twin := subject("app"), subject("twin")
	if public != "user_ann" || app == public || len(app) < 20 || app != subject("app") {
		t.Errorf("public %q, pairwise %q", public, app)
	}
	if app != twin {
		t.Error("two clients of one host are two sectors")
	}
	// One that is answered at another host, too, could name anybody's.
	for _, uris := range [][]string{{"https://other.example.com/cb", callback}, {callback, "https://other.example.com/cb"}, {callback, "http://127.0.0.1/cb"}, {callback, "com.example.app:/cb"}} {
		w.changeClient("twin", func(c *keystile.OAuthClient) { c.RedirectURIs = uris })
		if other := subject("twin"); other == app || other == public {
			t.Errorf("a client of %v is told %q, and the first %q", uris, other, app)
		}
	}
	// A wish for a subject is one for the client's own (section 5.5.1).
	if got := errorOf(t, w.begin(query("prompt", "none", "claims", `{"id_token":{"sub":{"value":"user_ann"}}}`), time.Time{})); got != "login_required" {
		t.Errorf("the user's id is a subject of a pairwise client: %q", got)
	}
	if got := errorOf(t, w.begin(query("prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+app+`"}}}`), time.Time{})); got != "" {
		t.Errorf("its own subject: %q", got)
	}
}
