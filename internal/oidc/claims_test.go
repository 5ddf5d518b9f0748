package oidc_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// userinfo asks that endpoint with an access token.
func (w *world) userinfo(access string) reply {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, issuer+"/oauth/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+access)
	return w.send(r)
}

func TestClaimsAreToldWhereTheyWereAskedFor(t *testing.T) {
	w := newWorld(t)
	answer := w.redeem(w.allow(query("scope", "openid", "claims", `{"userinfo":{"email":{"essential":true},"nickname":null},"id_token":{"preferred_username":null}}`)).Get("code"))
	id := claimsOf(t, answer.text("id_token"))
	if id["preferred_username"] != w.person.User.Username || id["email"] != nil || id["name"] != nil || answer.text("scope") != "openid" {
		t.Errorf("the ID token: %v, scope %s", id, answer.text("scope"))
	}
	info := w.userinfo(answer.text("access_token"))
	if info.status != http.StatusOK || info.body["email"] != w.person.User.Email || info.body["preferred_username"] != nil || info.body["nickname"] != nil {
		t.Errorf("userinfo: %v", info.body)
	}
	again := w.refresh(answer.text("refresh_token"))
	if id := claimsOf(t, again.text("id_token")); id["preferred_username"] != w.person.User.Username {
		t.Errorf("after a refresh: %v", id)
	}
	if info := w.userinfo(again.text("access_token")); info.body["email"] != w.person.User.Email {
		t.Errorf("after a refresh: %v", info.body)
	}
}

// TestAClaimAskedForByNameIsAskedAboutLikeItsScope: the person sees what is told, and a
// client that may not ask for the scope is not told the claim.
func TestAClaimAskedForByNameIsAskedAboutLikeItsScope(t *testing.T) {
	w := newWorld(t)
	w.allow(query("scope", "openid"))
	claims := `{"userinfo":{"email":null}}`
	step := w.begin(query("scope", "openid", "claims", claims), time.Time{})
	if step.Consent == nil || !slices.Contains(step.Consent.Scopes, "email") {
		t.Fatalf("%+v", step)
	}
	w.allow(query("scope", "openid", "claims", claims))
	if step := w.begin(query("scope", "openid", "claims", claims), time.Time{}); step.Location == "" {
		t.Errorf("asked again: %+v", step)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Scopes = []keystile.Scope{"openid"} })
	answer := w.redeem(w.allow(query("scope", "openid", "claims", claims)).Get("code"))
	if info := w.userinfo(answer.text("access_token")); info.status != http.StatusOK || info.body["email"] != nil {
		t.Errorf("%v", info.body)
	}
}

func TestClaimsThatCannotBeReadAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"x", "[]", `{"userinfo":{"sub":{"value":1}}}`, `{"userinfo":{},"userinfo":{}}`} {
		if got := errorOf(t, w.begin(query("claims", text), time.Time{})); got != "invalid_request" {
			t.Errorf("%s: %q", text, got)
		}
		if got := w.post("/oauth/par", flat(query("claims", text))...); got.text("error") != "invalid_request" {
			t.Errorf("pushed: %s: %v", text, got.body)
		}
	}
}

// TestThreat35_NobodyElseIsTakenForThePersonThatIsMeant: by a subject in the claims, and
// by a token of theirs (OpenID Connect Core, sections 5.5.1 and 3.1.2.1).
func TestThreat35_NobodyElseIsTakenForThePersonThatIsMeant(t *testing.T) {
	w := newWorld(t)
	mine := w.tokens().text("id_token")
	hers := w.sign(map[string]any{"iss": issuer, "aud": "app", "sub": "user_bob"})
	for name, c := range map[string]struct {
		pairs []string
		meant bool
	}{
		"her subject":               {[]string{"claims", `{"id_token":{"sub":{"value":"user_ann"}}}`}, true},
		"her subject among others":  {[]string{"claims", `{"userinfo":{"sub":{"values":["user_bob","user_ann"]}}}`}, true},
		"a token of hers":           {[]string{"id_token_hint", mine}, true},
		"another's subject":         {[]string{"claims", `{"id_token":{"sub":{"value":"user_bob"}}}`}, false},
		"two subjects":              {[]string{"claims", `{"id_token":{"sub":{"value":"user_bob"}},"userinfo":{"sub":{"value":"user_ann"}}}`}, false},
		"another's token":           {[]string{"id_token_hint", hers}, false},
		"a token of hers, no match": {[]string{"id_token_hint", mine, "claims", `{"id_token":{"sub":{"value":"user_bob"}}}`}, false},
	} {
		step := w.begin(query(c.pairs...), time.Time{})
		if (step.SignIn == nil) != c.meant {
			t.Errorf("%s: %+v", name, step)
		}
		silent := errorOf(t, w.begin(query(append(c.pairs, "prompt", "none")...), time.Time{}))
		if want := map[bool]string{true: "", false: "login_required"}[c.meant]; silent != want {
			t.Errorf("%s, silently: %q", name, silent)
		}
		// Signed in again as the same person: the client is told, and nobody is asked for ever.
		after := w.begin(query(c.pairs...), w.person.Session.AuthenticatedAt)
		if !c.meant && errorOf(t, after) != "login_required" {
			t.Errorf("%s, after a sign-in: %+v", name, after)
		}
		decided, err := w.server.Decide(t.Context(), query(c.pairs...), w.person, time.Time{}, true)
		if err != nil || (answerOf(t, decided).Get("code") != "") != c.meant {
			t.Errorf("%s, decided: %+v, %v", name, decided, err)
		}
	}
	for name, hint := range map[string]string{
		"no token": "x", "another client's": w.sign(map[string]any{"iss": issuer, "aud": "twin", "sub": "user_ann"}),
		"another issuer's": w.sign(map[string]any{"iss": "https://evil.example", "aud": "app", "sub": "user_ann"}), "an access token": w.tokens().text("access_token"),
	} {
		if got := errorOf(t, w.begin(query("id_token_hint", hint), time.Time{})); got != "invalid_request" {
			t.Errorf("%s as hint: %q", name, got)
		}
	}
}

const (
	acrOne = "urn:keystile:acr:1"
	acrMFA = "urn:keystile:acr:mfa"
	acrPHR = "phr"
)

// essential is a claims parameter that insists on one of the contexts.
func essential(values string) []string {
	return []string{"claims", `{"id_token":{"acr":{"essential":true,"values":[` + values + `]}}}`}
}

func TestASignInIsAsStrongAsTheClientAsks(t *testing.T) {
	password := []keystile.AuthMethod{keystile.MethodPassword}
	twoFactors := []keystile.AuthMethod{keystile.MethodPassword, keystile.MethodTOTP, keystile.MethodMFA}
	passkey := []keystile.AuthMethod{keystile.MethodPasskey, keystile.MethodMFA}
	const unmet = "unmet_authentication_requirements"
	for name, c := range map[string]struct {
		pairs    []string
		proven   []keystile.AuthMethod
		enrolled keystile.FactorKind // empty: none
		since    bool                // the sign-in was asked for by this request
		signIn   bool
		passkey  bool
		error    string
		acr      string
	}{
		"nothing asked, a password":         {proven: password, acr: acrOne},
		"nothing asked, two factors":        {proven: twoFactors, acr: acrMFA},
		"nothing asked, a passkey":          {proven: passkey, acr: acrPHR},
		"one factor asked of two":           {pairs: []string{"acr_values", acrOne}, proven: twoFactors, acr: acrOne},
		"two asked of a passkey":            {pairs: []string{"acr_values", acrMFA}, proven: passkey, acr: acrMFA},
		"the first of a list that is met":   {pairs: []string{"acr_values", "phr urn:keystile:acr:mfa " + acrOne}, proven: twoFactors, acr: acrMFA},
		"contexts of others alone":          {pairs: []string{"acr_values", "1 2"}, proven: password, acr: acrOne},
		"contexts of others, essential":     {pairs: essential(`"1"`), proven: password, error: unmet},
		"two asked, and there are":          {pairs: []string{"acr_values", acrMFA}, proven: password, enrolled: keystile.FactorTOTP, signIn: true},
		"two asked, and there are none":     {pairs: []string{"acr_values", acrMFA}, proven: password, error: unmet},
		"two asked, not given":              {pairs: essential(`"urn:keystile:acr:mfa"`), proven: password, enrolled: keystile.FactorTOTP, since: true, error: unmet},
		"a passkey asked, and there is one": {pairs: essential(`"phr"`), proven: twoFactors, enrolled: keystile.FactorPasskey, signIn: true, passkey: true},
		"a passkey asked, and a code is":    {pairs: essential(`"phr"`), proven: twoFactors, enrolled: keystile.FactorTOTP, error: unmet},
		"two essential, and proven":         {pairs: essential(`"x","urn:keystile:acr:mfa"`), proven: twoFactors, acr: acrMFA},
		"the claim goes before acr_values":  {pairs: append(essential(`"phr"`), "acr_values", acrOne), proven: password, error: unmet},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.person.Session.Methods = c.proven
			if c.enrolled != "" {
				w.change(func(ctx context.Context, tx *store.Tx) error {
					return tx.CreateFactor(ctx, keystile.Factor{ID: "f", UserID: "user_ann", Kind: c.enrolled, Sealed: []byte("s")})
				})
			}
			var since time.Time
			if c.since {
				since = w.person.Session.AuthenticatedAt
			}
			step := w.begin(query(c.pairs...), since)
			if (step.SignIn != nil) != c.signIn || errorOf(t, step) != c.error || step.SignIn != nil && step.SignIn.Passkey != c.passkey {
				t.Fatalf("%+v", step)
			}
			if c.signIn {
				if got := errorOf(t, w.begin(query(append(c.pairs, "prompt", "none")...), since)); got != "login_required" {
					t.Errorf("silently: %q", got)
				}
			}
			decided, err := w.server.Decide(t.Context(), query(c.pairs...), w.person, since, true)
			if err != nil {
				t.Fatal(err)
			}
			code := answerOf(t, decided).Get("code")
			if (code != "") != (c.acr != "") {
				t.Fatalf("%+v", decided)
			}
			if code == "" {
				return
			}
			answer := w.redeem(code)
			told := w.post("/oauth/introspect", "token", answer.text("access_token")).body
			if told["acr"] != c.acr || told["amr"] == nil || told["auth_time"] != float64(w.person.Session.AuthenticatedAt.Unix()) {
				t.Errorf("introspection: %v", told)
			}
			for _, token := range []string{"id_token", "access_token"} {
				if got := claimsOf(t, answer.text(token)); got["acr"] != c.acr || got["amr"] == nil {
					t.Errorf("%s: %v", token, got)
				}
			}
		})
	}
}

func TestAPasskeyIsNamedToWhoIsNotSignedIn(t *testing.T) {
	w := newWorld(t)
	step, err := w.server.Begin(t.Context(), query("acr_values", acrPHR), nil, time.Time{})
	if err != nil || step.SignIn == nil || !step.SignIn.Passkey || step.SignIn.Again {
		t.Errorf("%+v, %v", step, err)
	}
}

func TestDiscoveryTellsOfClaimsAndContexts(t *testing.T) {
	w := newWorld(t)
	m := w.metadata()
	contexts, _ := m["acr_values_supported"].([]any) //nolint:errcheck // none is compared below
	if m["claims_parameter_supported"] != true || !slices.Equal(contexts, []any{acrOne, acrMFA, acrPHR}) {
		t.Errorf("%v %v", m["claims_parameter_supported"], contexts)
	}
}
