package oidc_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestOneNetworkCannotFillTheTableOfDevices(t *testing.T) {
	w := newWorld(t)
	w.changeClient("native", func(c *keystile.OAuthClient) { c.GrantTypes = append(c.GrantTypes, keystile.GrantDeviceCode) })
	ask := func() reply { return w.post("/oauth/device_authorization", "client_id", "native", "client_secret", "") }
	for range 300 {
		if got := ask(); got.status != http.StatusOK {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	if got := ask(); got.status != http.StatusTooManyRequests {
		t.Errorf("%d %v", got.status, got.body)
	}
	w.pass(10 * time.Minute)
	if got := ask(); got.status != http.StatusOK {
		t.Errorf("later: %d %v", got.status, got.body)
	}
}

func TestAPushedRequestIsUsedOnceByItsClient(t *testing.T) {
	w := newWorld(t)
	pairs := []string{"response_type", "code", "redirect_uri", callback, "scope", "openid", "state", "xyz", "code_challenge", hash, "code_challenge_method", "S256"}
	got := w.post("/oauth/par", pairs...)
	if got.status != http.StatusCreated || got.body["expires_in"] != 540.0 {
		t.Fatalf("%d %v", got.status, got.body)
	}
	q := url.Values{"client_id": {"app"}, "request_uri": {got.text("request_uri")}}
	if step := w.begin(q, time.Time{}); step.Consent == nil {
		t.Errorf("%+v", step)
	}
	var refused *oidc.Refused
	for name, spoilt := range map[string]url.Values{
		"another client":   {"client_id": {"twin"}, "request_uri": q["request_uri"]},
		"no client":        {"request_uri": q["request_uri"]},
		"a name cut short": {"client_id": {"app"}, "request_uri": {got.text("request_uri")[:60]}},
		"two names":        {"client_id": {"app"}, "request_uri": {got.text("request_uri"), got.text("request_uri")}},
	} {
		if step, err := w.server.Begin(t.Context(), spoilt, &w.person, time.Time{}); !errors.As(err, &refused) {
			t.Errorf("%s: %+v, %v", name, step, err)
		}
	}
	// What stands in the URL beside it changes nothing.
	q.Set("scope", "openid admin:write")
	q.Set("redirect_uri", "https://evil.example")
	step, err := w.server.Decide(t.Context(), q, w.person, time.Time{}, true)
	location := step.Location
	if err != nil || !strings.HasPrefix(location, callback+"?") || parameters(t, location).Get("code") == "" {
		t.Fatalf("%q, %v", location, err)
	}
	if answer := w.redeem(parameters(t, location).Get("code")); answer.text("scope") != "openid" {
		t.Errorf("%v", answer.body)
	}
	if step, err := w.server.Decide(t.Context(), q, w.person, time.Time{}, true); !errors.As(err, &refused) {
		t.Errorf("used twice: %+v, %v", step, err)
	}
	late := w.post("/oauth/par", pairs...)
	w.pass(10 * time.Minute)
	if step, err := w.server.Begin(t.Context(), url.Values{"client_id": {"app"}, "request_uri": {late.text("request_uri")}}, &w.person, time.Time{}); !errors.As(err, &refused) {
		t.Errorf("too late: %+v, %v", step, err)
	}
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"no proof":             {[]string{"client_secret", ""}, "invalid_client"},
		"another redirect URI": {[]string{"redirect_uri", "https://evil.example"}, "invalid_request"},
		"another response":     {[]string{"response_type", "token"}, "unsupported_response_type"},
		"plain PKCE":           {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"a request_uri":        {[]string{"request_uri", got.text("request_uri")}, "invalid_request"},
	} {
		if answer := w.post("/oauth/par", append(append([]string{}, pairs...), c.pairs...)...); answer.text("error") != c.want {
			t.Errorf("%s: %v", name, answer.body)
		}
	}
}

func TestAClientThatPushesIsNotTakenFromAURL(t *testing.T) {
	w := newWorld(t)
	w.changeClient("app", func(c *keystile.OAuthClient) { c.PushedOnly = true })
	if got := errorOf(t, w.begin(query(), time.Time{})); got != "invalid_request" {
		t.Errorf("%q", got)
	}
}

func (w *world) ask(code string, pairs ...string) reply {
	w.t.Helper()
	return w.post("/oauth/token", append([]string{"grant_type", string(keystile.GrantDeviceCode), "device_code", code}, pairs...)...)
}

func TestADeviceGetsTokensOnceItsUserSaysYes(t *testing.T) {
	w := newWorld(t)
	got := w.post("/oauth/device_authorization", "scope", "openid sites:read")
	device, shown := got.text("device_code"), got.text("user_code")
	if got.status != http.StatusOK || len(shown) != 9 || got.text("verification_uri") != issuer+"/oauth/device" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	if answer := w.ask(device); answer.text("error") != "authorization_pending" {
		t.Errorf("%v", answer.body)
	}
	if answer := w.ask(device); answer.text("error") != "slow_down" {
		t.Errorf("at once again: %v", answer.body)
	}
	w.pass(11 * time.Second)
	if answer := w.ask(device); answer.text("error") != "authorization_pending" {
		t.Errorf("after a while: %v", answer.body)
	}
	asked, err := w.server.Device(t.Context(), w.person, strings.ToLower(" "+shown))
	if err != nil || asked.Client != "Roof Tools" || len(asked.Scopes) != 2 {
		t.Errorf("%+v, %v", asked, err)
	}
	if err := w.server.DecideDevice(t.Context(), w.person, shown, true); err != nil {
		t.Fatal(err)
	}
	if err := w.server.DecideDevice(t.Context(), w.person, shown, true); !errors.Is(err, oidc.ErrUserCode) {
		t.Errorf("decided twice: %v", err)
	}
	if answer := w.ask(device, "client_id", "twin"); answer.text("error") != "invalid_grant" {
		t.Errorf("another client: %v", answer.body)
	}
	answer := w.ask(device)
	if answer.status != http.StatusOK || answer.text("scope") != "openid sites:read" || !w.good(answer.text("access_token")) {
		t.Fatalf("%v", answer.body)
	}
	if again := w.ask(device); again.text("error") != "invalid_grant" {
		t.Errorf("used twice: %v", again.body)
	}
	if next := w.refresh(answer.text("refresh_token")); next.status != http.StatusOK {
		t.Errorf("%v", next.body)
	}
}

func TestADeviceThatSendsNoCodeIsToldSo(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ code, want string }{"none": {"", "invalid_request"}, "one that is not known": {"od_x", "invalid_grant"}} {
		if got := w.post("/oauth/token", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", c.code); got.text("error") != c.want {
			t.Errorf("%s: %v", name, got.body)
		}
	}
}

func TestADeviceIsToldNoAndTooLate(t *testing.T) {
	w := newWorld(t)
	got := w.post("/oauth/device_authorization")
	if err := w.server.DecideDevice(t.Context(), w.person, got.text("user_code"), false); err != nil {
		t.Fatal(err)
	}
	if answer := w.ask(got.text("device_code")); answer.text("error") != "access_denied" {
		t.Errorf("%v", answer.body)
	}
	late := w.post("/oauth/device_authorization")
	w.pass(10 * time.Minute)
	if answer := w.ask(late.text("device_code")); answer.text("error") != "expired_token" {
		t.Errorf("%v", answer.body)
	}
	if _, err := w.server.Device(t.Context(), w.person, late.text("user_code")); !errors.Is(err, oidc.ErrUserCode) {
		t.Errorf("%v", err)
	}
}

func TestThreat08_Of64PollsOfOneDeviceOneIsAnswered(t *testing.T) {
	a, b := twice(t, storetest.Open(t))
	got := a.post("/oauth/device_authorization")
	if err := a.server.DecideDevice(t.Context(), a.person, got.text("user_code"), true); err != nil {
		t.Fatal(err)
	}
	if answered := race(t, a, b, func(w *world) reply { return w.ask(got.text("device_code")) }); len(answered) != 1 {
		t.Errorf("%d were answered", len(answered))
	}
}

func TestUserCodesCannotBeTried(t *testing.T) {
	w := newWorld(t)
	got := w.post("/oauth/device_authorization")
	for range 10 {
		if _, err := w.server.Device(t.Context(), w.person, "BBBB-BBBB"); !errors.Is(err, oidc.ErrUserCode) {
			t.Fatal(err)
		}
	}
	if _, err := w.server.Device(t.Context(), w.person, got.text("user_code")); !errors.Is(err, oidc.ErrUserCode) {
		t.Errorf("an eleventh guess was answered: %v", err)
	}
	other := w.person
	other.User.ID = "user_bob"
	if _, err := w.server.Device(t.Context(), other, got.text("user_code")); errors.Is(err, oidc.ErrUserCode) {
		t.Error("one person's guesses count against another")
	}
	w.pass(10 * time.Minute)
	fresh := w.post("/oauth/device_authorization")
	if _, err := w.server.Device(t.Context(), w.person, fresh.text("user_code")); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestThreat11_ASignOutLeadsOnlyToWhatTheClientRegistered(t *testing.T) {
	w := newWorld(t)
	w.changeClient("app", func(c *keystile.OAuthClient) { c.PostLogoutRedirectURIs = []string{"https://app.example.com/bye"} })
	id := w.tokens().text("id_token")
	for name, c := range map[string]struct {
		query url.Values
		want  oidc.Logout
		no    bool
	}{
		"nothing":                {url.Values{}, oidc.Logout{}, false},
		"a token":                {url.Values{"id_token_hint": {id}}, oidc.Logout{SessionID: "ses_1"}, false},
		"a token and an address": {url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {"https://app.example.com/bye"}, "state": {"s"}}, oidc.Logout{SessionID: "ses_1", Location: "https://app.example.com/bye?state=s"}, false},
		"a client and one":       {url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"https://app.example.com/bye"}}, oidc.Logout{Location: "https://app.example.com/bye"}, false},
		"an address of nobody":   {url.Values{"post_logout_redirect_uri": {"https://app.example.com/bye"}}, oidc.Logout{}, false},
		"another address":        {url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"https://evil.example"}}, oidc.Logout{}, true},
		"two clients":            {url.Values{"id_token_hint": {id}, "client_id": {"twin"}}, oidc.Logout{}, true},
		"a token cut short":      {url.Values{"id_token_hint": {id[:len(id)-2]}}, oidc.Logout{}, true},
		"an access token":        {url.Values{"id_token_hint": {w.tokens().text("access_token")}}, oidc.Logout{}, true},
		"a parameter twice":      {url.Values{"state": {"a", "b"}}, oidc.Logout{}, true},
	} {
		got, err := w.server.EndSession(t.Context(), c.query)
		var refused *oidc.Refused
		if c.no != errors.As(err, &refused) || !c.no && (err != nil || got != c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
