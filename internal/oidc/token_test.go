package oidc_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestACodeGivesTokensThatSayWhoItIs(t *testing.T) {
	w := newWorld(t)
	got := w.tokens()
	if got.text("token_type") != "Bearer" || got.body["expires_in"] != 7200.0 || got.text("scope") != "openid sites:read" || got.text("refresh_token") == "" ||
		got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%+v", got)
	}
	access := claimsOf(t, got.text("access_token"))
	if access["iss"] != issuer || access["aud"] != issuer || access["sub"] != "user_ann" || access["client_id"] != "app" || access["scope"] != "openid sites:read" || access["jti"] == "" {
		t.Errorf("access token %v", access)
	}
	id := claimsOf(t, got.text("id_token"))
	if id["iss"] != issuer || id["aud"] != "app" || id["sub"] != "user_ann" || id["nonce"] != "n-1" || id["azp"] != "app" || id["at_hash"] == "" || id["sid"] != "ses_1" {
		t.Errorf("ID token %v", id)
	}
	if int64(id["auth_time"].(float64)) != w.person.Session.AuthenticatedAt.Unix() { //nolint:errcheck // a number, or the test ends
		t.Errorf("auth_time %v", id["auth_time"])
	}
	if !slices.Equal(w.keys.asked, []string{"EdDSA at+jwt", "RS256 JWT"}) {
		t.Errorf("signed %v", w.keys.asked)
	}
	if !w.good(got.text("access_token")) {
		t.Error("the access token is not good")
	}
}

// TestThreat07_ACodeIsGoodForItsClientRedirectURIAndVerifierAlone: and whoever holds it
// wrongly does not spend it.
func TestThreat07_ACodeIsGoodForItsClientRedirectURIAndVerifierAlone(t *testing.T) {
	w := newWorld(t)
	code := w.allow(query()).Get("code")
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"another client":        {[]string{"client_id", "twin"}, "invalid_grant"},
		"a public client":       {[]string{"client_id", "native", "client_secret", ""}, "invalid_grant"},
		"a wrong secret":        {[]string{"client_secret", secret[1:] + "0"}, "invalid_client"},
		"no secret":             {[]string{"client_secret", ""}, "invalid_client"},
		"no client":             {[]string{"client_id", "", "client_secret", ""}, "invalid_client"},
		"an unknown client":     {[]string{"client_id", "nobody"}, "invalid_client"},
		"another redirect URI":  {[]string{"redirect_uri", "https://app.example.com/cb?a=b"}, "invalid_grant"},
		"no redirect URI":       {[]string{"redirect_uri", ""}, "invalid_grant"},
		"another verifier":      {[]string{"code_verifier", strings.Repeat("a", 43)}, "invalid_grant"},
		"no verifier":           {[]string{"code_verifier", ""}, "invalid_grant"},
		"the challenge":         {[]string{"code_verifier", hash}, "invalid_grant"},
		"a short verifier":      {[]string{"code_verifier", "short"}, "invalid_grant"},
		"a code cut short":      {[]string{"code", code[:len(code)-1]}, "invalid_grant"},
		"a code and more":       {[]string{"code", code + "0"}, "invalid_grant"},
		"no code":               {[]string{"code", ""}, "invalid_request"},
		"a resource not given":  {[]string{"resource", "https://api.example.com"}, "invalid_target"},
		"another grant":         {[]string{"grant_type", "password"}, "unsupported_grant_type"},
		"no grant":              {[]string{"grant_type", ""}, "invalid_request"},
		"a public one's secret": {[]string{"client_id", "native"}, "invalid_client"},
	} {
		got := w.redeem(code, c.pairs...)
		if got.text("error") != c.want || got.text("access_token") != "" {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
	if got := w.redeem(code); got.status != http.StatusOK {
		t.Errorf("the code was spent: %v", got.body)
	}
}

func TestThreat10_AVerifierForACodeWithoutAChallengeIsRefused(t *testing.T) {
	w := newWorld(t)
	plain := query("code_challenge", "", "code_challenge_method", "")
	if got := w.redeem(w.allow(plain).Get("code")); got.text("error") != "invalid_grant" {
		t.Errorf("%v", got.body)
	}
	if got := w.redeem(w.allow(plain).Get("code"), "code_verifier", ""); got.status != http.StatusOK {
		t.Errorf("a confidential client without PKCE: %v", got.body)
	}
}

func TestACodeLivesForAMinute(t *testing.T) {
	w := newWorld(t)
	code := w.allow(query()).Get("code")
	w.pass(keystile.OAuthCodeLife)
	if got := w.redeem(code); got.text("error") != "invalid_grant" {
		t.Errorf("%v", got.body)
	}
}

func TestThreat08_AReplayedCodeEndsEverythingItGave(t *testing.T) {
	w := newWorld(t)
	code := w.allow(query()).Get("code")
	got := w.redeem(code)
	if replay := w.redeem(code, "client_id", "twin"); replay.text("error") != "invalid_grant" || !w.good(got.text("access_token")) {
		t.Errorf("another client's replay ended the grant: %v", replay.body)
	}
	if replay := w.redeem(code); replay.text("error") != "invalid_grant" {
		t.Errorf("%v", replay.body)
	}
	if w.good(got.text("access_token")) {
		t.Error("the access token lives on")
	}
	if again := w.refresh(got.text("refresh_token")); again.text("error") != "invalid_grant" {
		t.Errorf("the refresh token lives on: %v", again.body)
	}
}

// race sends 64 requests at once, to two servers on one store, and counts those that were
// answered with tokens.
func race(t *testing.T, a, b *world, request func(*world) reply) (answered []reply) {
	t.Helper()
	var begin, done sync.WaitGroup
	var mu sync.Mutex
	begin.Add(1)
	for n := range 64 {
		done.Add(1)
		go func() {
			defer done.Done()
			w := a
			if n%2 == 1 {
				w = b
			}
			begin.Wait()
			got := request(w)
			mu.Lock()
			defer mu.Unlock()
			if got.status == http.StatusOK {
				answered = append(answered, got)
			} else if got.text("error") != "invalid_grant" {
				t.Errorf("%d %v", got.status, got.body)
			}
		}()
	}
	begin.Done()
	done.Wait()
	return answered
}

// twice is two servers on one store.
func twice(t *testing.T, s *store.Store) (a, b *world) {
	t.Helper()
	a = newWorldOn(t, s)
	other := &world{t: t, store: s, keys: a.keys, log: a.log, clock: a.clock, spent: map[string]bool{}, person: a.person}
	other.server, other.kind = a.server, a.kind
	return a, other
}

func TestThreat08_Of64RedemptionsOfOneCodeOneIsAnswered(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.Open, "postgres": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			a, b := twice(t, open(t))
			code := a.allow(query()).Get("code")
			if answered := race(t, a, b, func(w *world) reply { return w.redeem(code) }); len(answered) != 1 {
				t.Errorf("%d were answered", len(answered))
			}
		})
	}
}

func TestThreat08_Of64RefreshesOfOneTokenOneRotates(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.Open, "postgres": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			a, b := twice(t, open(t))
			token := a.tokens().text("refresh_token")
			answered := race(t, a, b, func(w *world) reply { return w.refresh(token) })
			if len(answered) != 64 {
				t.Errorf("%d of 64 of the same client at once were answered", len(answered))
			}
			for _, got := range answered {
				if got.text("access_token") != answered[0].text("access_token") || got.text("refresh_token") != answered[0].text("refresh_token") {
					t.Error("two answers differ: there were two rotations")
				}
			}
		})
	}
}

func TestARefreshGivesNewTokensOfTheSameGrant(t *testing.T) {
	w := newWorld(t)
	first := w.tokens()
	second := w.refresh(first.text("refresh_token"))
	if second.status != http.StatusOK || second.text("refresh_token") == first.text("refresh_token") || second.text("access_token") == first.text("access_token") || second.text("scope") != "openid sites:read" {
		t.Errorf("%v", second.body)
	}
	id := claimsOf(t, second.text("id_token"))
	if id["sub"] != "user_ann" || int64(id["auth_time"].(float64)) != w.person.Session.AuthenticatedAt.Unix() { //nolint:errcheck // a number, or the test ends
		t.Errorf("%v", id)
	}
	if third := w.refresh(second.text("refresh_token"), "scope", "sites:read"); third.text("scope") != "sites:read" || third.text("id_token") != "" {
		t.Errorf("a part of the grant: %v", third.body)
	}
}

// TestThreat08_ALostAnswerIsGivenAgainAndAnyOtherReuseEndsTheGrant (rulings R19).
func TestThreat08_ALostAnswerIsGivenAgainAndAnyOtherReuseEndsTheGrant(t *testing.T) {
	for name, c := range map[string]struct {
		reuse func(w *world, first, second reply) reply
		same  bool
	}{
		"at once": {func(w *world, first, _ reply) reply { return w.refresh(first.text("refresh_token")) }, true},
		"within ten seconds": {func(w *world, first, _ reply) reply {
			w.pass(10 * time.Second)
			return w.refresh(first.text("refresh_token"))
		}, true},
		"later": {func(w *world, first, _ reply) reply {
			w.pass(10*time.Second + time.Microsecond)
			return w.refresh(first.text("refresh_token"))
		}, false},
		"after the successor was used": {func(w *world, first, second reply) reply {
			if got := w.refresh(second.text("refresh_token")); got.status != http.StatusOK {
				w.t.Fatalf("%v", got.body)
			}
			return w.refresh(first.text("refresh_token"))
		}, false},
	} {
		w := newWorld(t)
		first := w.tokens()
		second := w.refresh(first.text("refresh_token"))
		got := c.reuse(w, first, second)
		if c.same {
			if got.text("refresh_token") != second.text("refresh_token") || got.text("access_token") != second.text("access_token") || !w.good(second.text("access_token")) {
				t.Errorf("%s: %v", name, got.body)
			}
			continue
		}
		if got.text("error") != "invalid_grant" || w.good(first.text("access_token")) || w.good(second.text("access_token")) {
			t.Errorf("%s: %v", name, got.body)
		}
		if again := w.refresh(second.text("refresh_token")); again.text("error") != "invalid_grant" {
			t.Errorf("%s: the successor lives on: %v", name, again.body)
		}
	}
}

// TestALostAnswerIsGivenAgainForTheSameResourceAlone: two requests with one token, each
// for another API, are no lost answer: a token for the one would be sent to the other.
func TestALostAnswerIsGivenAgainForTheSameResourceAlone(t *testing.T) {
	w := newWorld(t)
	const one, other = "https://api.example.com", "https://other.example.com"
	first := w.redeem(w.allow(url.Values{"resource": {one, other}, "response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {callback}, "scope": {"openid"}, "code_challenge": {hash}, "code_challenge_method": {"S256"}}).Get("code")).text("refresh_token")
	if got := w.refresh(first, "resource", one); claimsOf(t, got.text("access_token"))["aud"] != one {
		t.Fatalf("%v", got.body)
	}
	if got := w.refresh(first, "resource", other); got.text("error") != "invalid_grant" {
		t.Errorf("for another: %v", got.body)
	}
	again := w.refresh(first, "resource", one)
	if again.status != http.StatusOK || again.body["resources"] != nil {
		t.Errorf("the same: %v", again.body)
	}
	if got := w.refresh(first); got.text("refresh_token") != again.text("refresh_token") {
		t.Errorf("for none: %v", got.body)
	}
}

func TestThreat08_APublicClientsReuseEndsTheGrantAtOnce(t *testing.T) {
	w := newWorld(t)
	const uri = "com.example.app:/cb"
	native := []string{"client_id", "native", "client_secret", ""}
	code := w.allow(query("client_id", "native", "redirect_uri", uri)).Get("code")
	first := w.redeem(code, append(native, "redirect_uri", uri)...)
	second := w.refresh(first.text("refresh_token"), native...)
	if second.status != http.StatusOK {
		t.Fatalf("%v", second.body)
	}
	if got := w.refresh(first.text("refresh_token"), native...); got.text("error") != "invalid_grant" {
		t.Errorf("%v", got.body)
	}
	if w.good(second.text("access_token")) {
		t.Error("what the other party holds lives on")
	}
}

func TestThreat07_ARefreshTokenIsGoodForItsClientAlone(t *testing.T) {
	w := newWorld(t)
	token := w.tokens().text("refresh_token")
	for name, pairs := range map[string][]string{
		"another client": {"client_id", "twin"}, "a public client": {"client_id", "native", "client_secret", ""},
		"another scope": {"scope", "admin:write"}, "another resource": {"resource", "https://api.example.com"},
	} {
		if got := w.refresh(token, pairs...); got.status == http.StatusOK {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	if got := w.refresh(token); got.status != http.StatusOK {
		t.Errorf("the token was spent: %v", got.body)
	}
}

// TestThreat27_ARefreshSeesWhatChangedSince: field's bug 5 and more.
func TestThreat27_ARefreshSeesWhatChangedSince(t *testing.T) {
	w := newWorld(t)
	token := w.tokens().text("refresh_token")
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Scopes = []keystile.Scope{"openid"} })
	got := w.refresh(token)
	if got.text("scope") != "openid" {
		t.Errorf("what the client may no longer ask for: %v", got.body)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Scopes = []keystile.Scope{"openid", "sites:read"} })
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.UpdateRole(ctx, keystile.Role{ID: "role_sites", Name: "Sites"})
	})
	if got = w.refresh(got.text("refresh_token")); got.text("scope") != "openid" {
		t.Errorf("what the role no longer holds: %v", got.body)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.GrantTypes = []keystile.GrantType{keystile.GrantAuthorizationCode} })
	if refused := w.refresh(got.text("refresh_token")); refused.text("error") != "unauthorized_client" {
		t.Errorf("a grant that was taken away: %v", refused.body)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.GrantTypes = keystile.GrantTypes })
	w.change(func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.User(ctx, "user_ann")
		if err != nil {
			return err
		}
		u.Disabled = true
		return tx.UpdateUser(ctx, u, storetest.Names("user_ann")...)
	})
	if refused := w.refresh(got.text("refresh_token")); refused.text("error") != "invalid_grant" {
		t.Errorf("a disabled user: %v", refused.body)
	}
}

func TestATokenIsForTheResourceThatWasAsked(t *testing.T) {
	w := newWorld(t)
	q := query()
	q["resource"] = []string{"https://api.example.com", "https://other.example.com"}
	got := w.redeem(w.allow(q).Get("code"), "resource", "https://api.example.com")
	if claims := claimsOf(t, got.text("access_token")); claims["aud"] != "https://api.example.com" {
		t.Errorf("%v", claims)
	}
	again := w.refresh(got.text("refresh_token"), "resource", "https://other.example.com")
	if claims := claimsOf(t, again.text("access_token")); claims["aud"] != "https://other.example.com" {
		t.Errorf("%v", claims)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Audiences = nil })
	if refused := w.refresh(again.text("refresh_token")); refused.text("error") != "invalid_target" {
		t.Errorf("a resource that was taken away: %v", refused.body)
	}
}

func TestAClientGetsTokensOfItsOwn(t *testing.T) {
	w := newWorld(t)
	got := w.post("/oauth/token", "grant_type", "client_credentials", "scope", "sites:read openid")
	if got.text("scope") != "sites:read" || got.text("refresh_token") != "" || got.text("id_token") != "" || claimsOf(t, got.text("access_token"))["sub"] != "app" {
		t.Errorf("%v", got.body)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.TokenFormat = keystile.TokenOpaque })
	if opaque := w.post("/oauth/token", "grant_type", "client_credentials").text("access_token"); !strings.HasPrefix(opaque, "ot_") || !w.good(opaque) {
		t.Errorf("%q", opaque)
	}
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"a public client":        {[]string{"client_id", "native", "client_secret", ""}, "unauthorized_client"},
		"a scope not registered": {[]string{"scope", "sites:write"}, "invalid_scope"},
		"another resource":       {[]string{"resource", "https://evil.example"}, "invalid_target"},
	} {
		if refused := w.post("/oauth/token", append([]string{"grant_type", "client_credentials"}, c.pairs...)...); refused.text("error") != c.want {
			t.Errorf("%s: %v", name, refused.body)
		}
	}
}

// TestASecretStandsInTheBodyOrInBasicAndNowhereElse: the field's bugs about form-encoded
// credentials, several at once, and secrets in URLs.
func TestASecretStandsInTheBodyOrInBasicAndNowhereElse(t *testing.T) {
	w := newWorld(t)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	with := func(pairs ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(pairs); i += 2 {
			f.Add(pairs[i], pairs[i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		target string
		header http.Header
		form   url.Values
		want   int
	}{
		"basic":                        {"/oauth/token", http.Header{"Authorization": {basic("app", secret)}}, form, 200},
		"basic, form-encoded":          {"/oauth/token", http.Header{"Authorization": {basic("%61pp", secret)}}, form, 200},
		"basic and the same id":        {"/oauth/token", http.Header{"Authorization": {basic("app", secret)}}, with("client_id", "app"), 200},
		"basic and another id":         {"/oauth/token", http.Header{"Authorization": {basic("app", secret)}}, with("client_id", "twin"), 400},
		"basic and a secret":           {"/oauth/token", http.Header{"Authorization": {basic("app", secret)}}, with("client_id", "app", "client_secret", secret), 400},
		"basic twice":                  {"/oauth/token", http.Header{"Authorization": {basic("app", secret), basic("app", secret)}}, form, 401},
		"basic with a wrong secret":    {"/oauth/token", http.Header{"Authorization": {basic("app", "wrong")}}, form, 401},
		"basic that is none":           {"/oauth/token", http.Header{"Authorization": {"Basic !"}}, form, 401},
		"bearer":                       {"/oauth/token", http.Header{"Authorization": {"Bearer " + secret}}, with("client_id", "app"), 401},
		"in the body":                  {"/oauth/token", nil, with("client_id", "app", "client_secret", secret), 200},
		"in the URL":                   {"/oauth/token?client_id=app&client_secret=" + secret, nil, form, 400},
		"in the URL beside the body":   {"/oauth/token?client_secret=" + secret, nil, with("client_id", "app", "client_secret", secret), 400},
		"twice in the body":            {"/oauth/token", nil, with("client_id", "app", "client_secret", secret, "client_secret", secret), 400},
		"an assertion and a secret":    {"/oauth/token", nil, with("client_id", "app", "client_secret", secret, "client_assertion", "x", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), 400},
		"an assertion of another type": {"/oauth/token", nil, with("client_id", "app", "client_assertion", "x", "client_assertion_type", "saml"), 400},
	} {
		r := httptest.NewRequest(http.MethodPost, issuer+c.target, strings.NewReader(c.form.Encode()))
		r.Header = c.header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got := w.send(r)
		if got.status != c.want {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
		if strings.HasPrefix(c.header.Get("Authorization"), "Basic") && got.status == 401 && !strings.HasPrefix(got.header.Get("Www-Authenticate"), "Basic") {
			t.Errorf("%s: no challenge", name)
		}
	}
	for name, r := range map[string]*http.Request{
		"GET":  httptest.NewRequest(http.MethodGet, issuer+"/oauth/token", nil),
		"JSON": httptest.NewRequest(http.MethodPost, issuer+"/oauth/token", strings.NewReader(`{"grant_type":"client_credentials"}`)),
	} {
		if got := w.send(r); got.status < 400 || got.status >= 500 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}

func TestARotatedSecretEndsWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t)
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.ExpireOAuthSecrets(ctx, "app", "none", w.now().Add(time.Hour))
	})
	if got := w.post("/oauth/token", "grant_type", "client_credentials"); got.status != http.StatusOK {
		t.Errorf("before: %v", got.body)
	}
	w.pass(time.Hour)
	if got := w.post("/oauth/token", "grant_type", "client_credentials"); got.text("error") != "invalid_client" {
		t.Errorf("after: %v", got.body)
	}
}

// TestThreat02_NoTokenIsTakenForAnother presents each kind of credential at every place
// that takes one.
func TestThreat02_NoTokenIsTakenForAnother(t *testing.T) {
	w := newWorld(t)
	got := w.tokens()
	code := w.allow(query()).Get("code")
	held := map[string]string{"access token": got.text("access_token"), "refresh token": got.text("refresh_token"), "ID token": got.text("id_token"), "code": code, "secret": secret}
	for name, text := range held {
		if name != "access token" && w.good(text) {
			t.Errorf("a %s opens the gate", name)
		}
		if name != "refresh token" {
			if answer := w.refresh(text); answer.text("error") != "invalid_grant" {
				t.Errorf("a %s was refreshed: %v", name, answer.body)
			}
		}
		if name != "code" {
			if answer := w.redeem(text); answer.text("error") != "invalid_grant" {
				t.Errorf("a %s was redeemed: %v", name, answer.body)
			}
		}
		r := httptest.NewRequest(http.MethodGet, issuer+"/oauth/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+text)
		if answer := w.send(r); (answer.status == http.StatusOK) != (name == "access token") {
			t.Errorf("a %s at userinfo: %d", name, answer.status)
		}
		if answer := w.post("/oauth/introspect", "token", text); (answer.body["active"] == true) != strings.HasSuffix(name, "s token") && name != "refresh token" {
			t.Errorf("a %s at introspection: %v", name, answer.body)
		}
	}
}

// TestThreat33_NothingThatIsSecretIsLogged drives refusals and successes and greps.
func TestThreat33_NothingThatIsSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	code := w.allow(query()).Get("code")
	got := w.redeem(code)
	secrets := []string{code, secret, got.text("access_token"), got.text("refresh_token"), got.text("id_token"), verifier, "wrong-secret-canary"}
	w.redeem(code)
	w.refresh(got.text("refresh_token"))
	w.refresh("or_canary")
	w.redeem("oc_canary", "client_secret", "wrong-secret-canary")
	w.post("/oauth/revoke", "token", got.text("access_token"))
	for _, text := range append(secrets, "or_canary", "oc_canary") {
		if strings.Contains(w.log.String(), text) {
			t.Errorf("the log shows %q", text)
		}
	}
	if !strings.Contains(w.log.String(), "cause=") {
		t.Error("the log does not say why something was refused")
	}
}

// TestThreat31_ATokenIsExplainedToItsOwnerAndItsAudienceAlone: and nothing is written.
func TestThreat31_ATokenIsExplainedToItsOwnerAndItsAudienceAlone(t *testing.T) {
	w := newWorld(t)
	plain := w.tokens()
	bound := w.redeem(w.allow(query("resource", "https://api.example.com")).Get("code"))
	before, err := w.store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token  string
		pairs  []string
		active bool
	}{
		"the owner":                          {plain.text("access_token"), nil, true},
		"the owner of a bound one":           {bound.text("access_token"), nil, true},
		"the resource it is for":             {bound.text("access_token"), []string{"client_id", "twin"}, true},
		"a resource it is not for":           {plain.text("access_token"), []string{"client_id", "twin"}, false},
		"the owner of a refresh token":       {bound.text("refresh_token"), nil, true},
		"another about a refresh token":      {bound.text("refresh_token"), []string{"client_id", "twin"}, false},
		"the owner about what is no token":   {"nothing", nil, false},
		"the owner about a token cut short":  {plain.text("access_token")[1:], nil, false},
		"the resource about an opaque guess": {"ot_" + strings.Repeat("0", 40), []string{"client_id", "twin"}, false},
	} {
		got := w.post("/oauth/introspect", append([]string{"token", c.token}, c.pairs...)...)
		if got.status != http.StatusOK || got.body["active"] != c.active || !c.active && len(got.body) != 1 {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
		if c.active && (got.text("client_id") != "app" || got.text("sub") != "user_ann" || got.text("iss") != issuer) {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	for name, pairs := range map[string][]string{"a public client": {"client_id", "native", "client_secret", ""}, "a wrong secret": {"client_secret", "wrong"}, "nobody": {"client_id", "", "client_secret", ""}} {
		if got := w.post("/oauth/introspect", append([]string{"token", plain.text("access_token")}, pairs...)...); got.text("error") != "invalid_client" {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	if after, err := w.store.Revision(t.Context()); err != nil || after != before {
		t.Errorf("something was written: %d, %d, %v", before, after, err)
	}
}

func TestRevokingEndsATokenOfTheClientThatAsks(t *testing.T) {
	w := newWorld(t)
	got := w.tokens()
	access, refresh := got.text("access_token"), got.text("refresh_token")
	for _, token := range []string{access, refresh, "nothing"} {
		if answer := w.post("/oauth/revoke", "token", token, "client_id", "twin"); answer.status != http.StatusOK || answer.body != nil {
			t.Errorf("another client: %d %v", answer.status, answer.body)
		}
	}
	if !w.good(access) {
		t.Error("another client revoked a token")
	}
	if answer := w.post("/oauth/revoke", "token", access); answer.status != http.StatusOK || w.good(access) {
		t.Errorf("%d %v", answer.status, answer.body)
	}
	next := w.refresh(refresh)
	if next.status != http.StatusOK {
		t.Errorf("the grant ended with its access token: %v", next.body)
	}
	if answer := w.post("/oauth/revoke", "token", next.text("refresh_token")); answer.status != http.StatusOK || w.good(next.text("access_token")) {
		t.Errorf("the grant lives on: %d %v", answer.status, answer.body)
	}
}

func TestWithdrawingEndsWhatAClientHolds(t *testing.T) {
	w := newWorld(t)
	got := w.tokens()
	list, err := w.server.Access(t.Context(), "user_ann")
	if err != nil || len(list) != 1 || list[0].ClientID != "app" || list[0].Client != "Roof Tools" || len(list[0].Scopes) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := w.server.Withdraw(t.Context(), "user_ann", "app", "req-1"); err != nil {
		t.Fatal(err)
	}
	if w.good(got.text("access_token")) || w.refresh(got.text("refresh_token")).text("error") != "invalid_grant" {
		t.Error("what the client holds lives on")
	}
	if step := w.begin(query(), time.Time{}); step.Consent == nil {
		t.Errorf("not asked again: %+v", step)
	}
}
