package oidc_test

import (
	"context"
	"errors"
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

func (w *world) begin(q map[string][]string, since time.Time) oidc.Step {
	w.t.Helper()
	step, err := w.server.Begin(w.t.Context(), q, &w.person, since)
	if err != nil {
		w.t.Fatal(err)
	}
	return step
}

// answerOf is what a step sends the client, in whatever way; nil: nothing.
func answerOf(t *testing.T, step oidc.Step) url.Values {
	t.Helper()
	switch {
	case step.Post != nil:
		return step.Post.Fields
	case step.Location != "":
		return parameters(t, step.Location)
	}
	return nil
}

// errorOf is the error that a step sends the client.
func errorOf(t *testing.T, step oidc.Step) string {
	t.Helper()
	return answerOf(t, step).Get("error")
}

// TestThreat11_ARedirectURIIsTheRegisteredTextOrNothing: whatever another reader could
// take for the registered one is refused, and shown to nobody but the person.
func TestThreat11_ARedirectURIIsTheRegisteredTextOrNothing(t *testing.T) {
	w := newWorld(t)
	for _, uri := range []string{
		"", "https://app.example.com/cb/", "https://app.example.com/CB", "https://APP.example.com/cb", "HTTPS://app.example.com/cb", "https://app.example.com:443/cb",
		"https://app.example.com./cb", "https://app.example.com/cb?", "https://app.example.com/cb#", "https://app.example.com/cb?x=y", "https://app.example.com/cb#x",
		"https://app.example.com/./cb", "https://app.example.com/x/../cb", "https://app.example.com/x/..;/cb", "https://app.example.com//cb", "https://app.example.com/%63b",
		"https://app.example.com/cb%20", "https://app.example.com/cb%00", "https://app.example.com\\/cb", "https:\\\\app.example.com/cb", "https:/app.example.com/cb",
		"//app.example.com/cb", "/cb", "app.example.com/cb", "https://app.example.com@evil.example/cb", "https://evil.example@app.example.com/cb",
		"https://user:pass@app.example.com/cb", "https://app.example.com.evil.example/cb", "https://appxexample.com/cb", "https://evil.example/https://app.example.com/cb",
		"https://evil.example?https://app.example.com/cb", "https://evil.example#https://app.example.com/cb", "https://sub.app.example.com/cb", "http://app.example.com/cb",
		"https://app.example.com/cb\n", " https://app.example.com/cb", "https://app.example.com/cb https://evil.example", "javascript:alert(1)//https://app.example.com/cb",
		"data:text/html,x", "https://app.example.com/cb?a=b&c=d", "https://app.example.com/cb?a=c", "https://app.example.com/cb?a=b#", "https://xn--app-example.com/cb",
		"https://127.0.0.1/cb", "http://127.0.0.1/cb", "https://app.example.com\t/cb", "https://app.example.com/cb\x00", "*", "https://*.example.com/cb",
	} {
		q := query()
		q.Set("redirect_uri", uri)
		step, err := w.server.Begin(t.Context(), q, &w.person, time.Time{})
		var refused *oidc.Refused
		if !errors.As(err, &refused) || step.Location != "" {
			t.Errorf("%q: %+v, %v", uri, step, err)
		}
		if step, err := w.server.Decide(t.Context(), q, w.person, time.Time{}, true); !errors.As(err, &refused) || step != (oidc.Step{}) {
			t.Errorf("decided on %q: %+v, %v", uri, step, err)
		}
	}
	got := w.allow(query("redirect_uri", "https://app.example.com/cb?a=b"))
	if got.Get("a") != "b" || got.Get("code") == "" || got.Get("state") != "xyz" || got.Get("iss") != issuer {
		t.Errorf("the URI's own query: %v", got)
	}
}

// TestThreat11_OnlyThePortOfALoopbackAddressIsFree (RFC 8252, section 7.3).
func TestThreat11_OnlyThePortOfALoopbackAddressIsFree(t *testing.T) {
	w := newWorld(t)
	for uri, want := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:1/cb": true, "http://127.0.0.1:65535/cb": true, "com.example.app:/cb": true,
		"http://127.0.0.1:65536/cb": false, "http://127.0.0.1:0x50/cb": false, "http://127.0.0.1:080/cb": false, "http://127.0.0.1:8080/other": false,
		"http://127.0.0.1:8080/cb/": false, "http://127.0.0.1:8080/cb?x": false, "http://127.0.0.1:8080@evil.example/cb": false, "http://127.0.0.1:8080.evil.example/cb": false,
		"http://127.0.0.2/cb": false, "http://127.1/cb": false, "http://2130706433/cb": false, "http://localhost/cb": false, "http://localhost:8080/cb": false,
		"http://[::1]/cb": false, "http://[::ffff:127.0.0.1]/cb": false, "https://127.0.0.1/cb": false, "http://127.0.0.1.evil.example/cb": false,
		"http://127.0.0.1:/cb": false, "http://127.0.0.1:-1/cb": false, "http://127.0.0.1:80:80/cb": false, "com.example.app:/cb2": false, "com.example.app://x/cb": false,
	} {
		_, err := w.server.Begin(t.Context(), query("client_id", "native", "redirect_uri", uri), &w.person, time.Time{})
		if (err == nil) != want {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func TestARequestOfAnUnknownClientIsAnsweredToNobody(t *testing.T) {
	w := newWorld(t)
	for name, spoil := range map[string]func(){
		"unknown": func() {},
		"revoked": func() { w.changeClient("app", func(c *keystile.OAuthClient) { c.RevokedAt = w.now() }) },
		"suspended": func() {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				c, err := tx.OAuthClient(ctx, "twin")
				if err != nil {
					return err
				}
				a, err := tx.Application(ctx, c.ApplicationID)
				if err != nil {
					return err
				}
				a.Review = keystile.ReviewSuspended
				return tx.UpdateApplication(ctx, a)
			})
		},
	} {
		spoil()
		id := map[string]string{"unknown": "nobody", "revoked": "app", "suspended": "twin"}[name]
		var refused *oidc.Refused
		if step, err := w.server.Begin(t.Context(), query("client_id", id), &w.person, time.Time{}); !errors.As(err, &refused) || step.Location != "" {
			t.Errorf("%s: %+v, %v", name, step, err)
		}
	}
}

func TestWhatIsWrongWithARequestIsToldToItsClient(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"no response type":            {[]string{"response_type", ""}, "invalid_request"},
		"token":                       {[]string{"response_type", "token"}, "unsupported_response_type"},
		"code and token":              {[]string{"response_type", "code token"}, "unsupported_response_type"},
		"id_token":                    {[]string{"response_type", "id_token"}, "unsupported_response_type"},
		"none":                        {[]string{"response_type", "none"}, "unsupported_response_type"},
		"a fragment as mode":          {[]string{"response_mode", "fragment"}, "invalid_request"},
		"a scope not registered":      {[]string{"scope", "openid sites:write"}, "invalid_scope"},
		"plain PKCE":                  {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"PKCE without a method":       {[]string{"code_challenge_method", ""}, "invalid_request"},
		"a method and no challenge":   {[]string{"code_challenge", ""}, "invalid_request"},
		"a challenge that is none":    {[]string{"code_challenge", "short"}, "invalid_request"},
		"a request object":            {[]string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
		"a request object elsewhere":  {[]string{"request_uri", "http://169.254.169.254/"}, "request_uri_not_supported"},
		"a prompt nobody knows":       {[]string{"prompt", "create"}, "invalid_request"},
		"none beside another":         {[]string{"prompt", "none login"}, "invalid_request"},
		"an age that is none":         {[]string{"max_age", "-1"}, "invalid_request"},
		"a resource not registered":   {[]string{"resource", "https://evil.example"}, "invalid_target"},
		"a resource with a fragment":  {[]string{"resource", "https://api.example.com#x"}, "invalid_target"},
		"a nonce as long as a book":   {[]string{"nonce", strings.Repeat("n", 3000)}, "invalid_request"},
		"a state with a NUL":          {[]string{"state", "a\x00b"}, "invalid_request"},
		"prompt none with no consent": {[]string{"prompt", "none"}, "consent_required"},
	} {
		got := errorOf(t, w.begin(query(c.pairs...), time.Time{}))
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := errorOf(t, w.begin(query("client_id", "native", "redirect_uri", "com.example.app:/cb", "code_challenge", "", "code_challenge_method", ""), time.Time{})); got != "invalid_request" {
		t.Errorf("a public client without PKCE: %q", got)
	}
}

func TestThreat12_AParameterThatStandsTwiceIsRefused(t *testing.T) {
	w := newWorld(t)
	for name := range query() {
		q := query()
		q[name] = append(q[name], q[name]...)
		step, err := w.server.Begin(t.Context(), q, &w.person, time.Time{})
		var refused *oidc.Refused
		if errors.As(err, &refused) {
			continue
		}
		if err != nil || errorOf(t, step) != "invalid_request" {
			t.Errorf("%s twice: %+v, %v", name, step, err)
		}
	}
}

func TestThreat12_EveryAnswerNamesItsIssuerAndState(t *testing.T) {
	w := newWorld(t)
	for name, location := range map[string]string{
		"an error": w.begin(query("response_type", "token"), time.Time{}).Location,
		"a no": func() string {
			step, err := w.server.Decide(t.Context(), query(), w.person, time.Time{}, false)
			if err != nil {
				t.Fatal(err)
			}
			return step.Location
		}(),
		"a code": func() string {
			step, err := w.server.Decide(t.Context(), query(), w.person, time.Time{}, true)
			if err != nil {
				t.Fatal(err)
			}
			return step.Location
		}(),
	} {
		got := parameters(t, location)
		if got.Get("iss") != issuer || got.Get("state") != "xyz" || !strings.HasPrefix(location, callback+"?") {
			t.Errorf("%s: %s", name, location)
		}
	}
}

func TestConsentIsAskedOnceForWhatWasAllowedAndAgainForMore(t *testing.T) {
	w := newWorld(t)
	first := w.begin(query("scope", "openid"), time.Time{})
	if first.Consent == nil || first.Consent.Client != "Roof Tools" || !first.Consent.Verified || first.Consent.Redirect != "https://app.example.com" || !first.Consent.Lasting {
		t.Fatalf("%+v", first)
	}
	w.allow(query("scope", "openid"))
	if step := w.begin(query("scope", "openid"), time.Time{}); step.Location == "" {
		t.Errorf("asked again for the same: %+v", step)
	}
	for name, pairs := range map[string][]string{
		"more":             {"scope", "openid sites:read"},
		"another resource": {"scope", "openid", "resource", "https://api.example.com"},
		"prompt=consent":   {"scope", "openid", "prompt", "consent"},
		"another client":   {"scope", "openid", "client_id", "twin"},
	} {
		if step := w.begin(query(pairs...), time.Time{}); step.Consent == nil {
			t.Errorf("%s: not asked: %+v", name, step)
		}
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.FirstParty = true })
	if step := w.begin(query(), time.Time{}); step.Location == "" {
		t.Errorf("the platform's own client: %+v", step)
	}
}

func TestNobodyGivesWhatTheirRoleDoesNotHold(t *testing.T) {
	w := newWorld(t)
	step := w.begin(query("scope", "openid sites:read admin:write"), time.Time{})
	if step.Consent == nil || slices.Contains(step.Consent.Scopes, keystile.Scope("admin:write")) || !slices.Contains(step.Consent.Scopes, keystile.Scope("sites:read")) {
		t.Errorf("%+v", step.Consent)
	}
}

func TestThreat35_ASignInIsAskedForAsTheClientWants(t *testing.T) {
	w := newWorld(t)
	proven := w.person.Session.AuthenticatedAt
	for name, c := range map[string]struct {
		pairs []string
		since time.Time
		want  bool
	}{
		"a sign-in will do":                       {nil, time.Time{}, false},
		"prompt=login":                            {[]string{"prompt", "login"}, time.Time{}, true},
		"prompt=login, signed in since":           {[]string{"prompt", "login"}, proven.Add(-time.Second), false},
		"prompt=login, signed in before":          {[]string{"prompt", "login"}, proven.Add(2 * time.Second), true},
		"prompt=select_account":                   {[]string{"prompt", "select_account"}, time.Time{}, true},
		"max_age, young enough":                   {[]string{"max_age", "61"}, time.Time{}, false},
		"max_age, too old":                        {[]string{"max_age", "59"}, time.Time{}, true},
		"max_age=0":                               {[]string{"max_age", "0"}, time.Time{}, true},
		"max_age=0, signed in since":              {[]string{"max_age", "0"}, proven, false},
		"prompt=login and a hint of who it shall": {[]string{"prompt", "login", "login_hint", "ann"}, time.Time{}, true},
	} {
		step := w.begin(query(c.pairs...), c.since)
		if (step.SignIn != nil) != c.want {
			t.Errorf("%s: %+v", name, step)
		}
		step, err := w.server.Decide(t.Context(), query(c.pairs...), w.person, c.since, true)
		if c.want && (err != nil || errorOf(t, step) != "login_required") {
			t.Errorf("%s: decided all the same: %+v, %v", name, step, err)
		}
	}
	step, err := w.server.Begin(t.Context(), query("login_hint", "ann"), nil, time.Time{})
	if err != nil || step.SignIn == nil || step.SignIn.Hint != "ann" {
		t.Errorf("nobody signed in: %+v, %v", step, err)
	}
	step, err = w.server.Begin(t.Context(), query("prompt", "none"), nil, time.Time{})
	if err != nil || errorOf(t, step) != "login_required" {
		t.Errorf("prompt=none with nobody: %+v, %v", step, err)
	}
}

func TestThreat27_ADisabledUserGivesNothing(t *testing.T) {
	w := newWorld(t)
	w.change(func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.User(ctx, "user_ann")
		if err != nil {
			return err
		}
		u.Disabled = true
		return tx.UpdateUser(ctx, u, storetest.Names("user_ann")...)
	})
	if got := w.allow(query()); got.Get("error") != "access_denied" || got.Get("code") != "" {
		t.Errorf("%v", got)
	}
}

func TestAnApplicationOfTheOtherEnvironmentIsRefused(t *testing.T) {
	w := newWorld(t)
	w.change(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organization(ctx, "south")
		if err != nil {
			return err
		}
		o.Environment = keystile.Sandbox
		return tx.UpdateOrganization(ctx, o)
	})
	if got := w.allow(query()); got.Get("error") != "access_denied" {
		t.Errorf("%v", got)
	}
}
