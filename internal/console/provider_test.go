package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// fakeProviders is package login's part of sign-ins at providers; the real one is tested
// there and in the black box.
type fakeProviders struct {
	people     *fakePeople
	asked      string // what Buttons was asked for
	anew       bool
	finish     error
	unknown    bool
	back, used string
}

func (f *fakeProviders) Buttons(_ context.Context, organization string) ([]login.Button, error) {
	f.asked = organization
	return []login.Button{{Provider: "corp", Label: `<b>Corp</b> & "co"`}}, nil
}

func (f *fakeProviders) BeginProvider(_ context.Context, _ login.Caller, provider, back string, anew bool) (login.ProviderSignIn, error) {
	if f.unknown || provider != "corp" {
		return login.ProviderSignIn{}, fmt.Errorf("provider: %w", keystile.ErrNotFound)
	}
	f.back, f.anew = back, anew
	return login.ProviderSignIn{URL: "https://idp.example/authorize?state=s", Token: "sealed"}, nil
}

func (f *fakeProviders) FinishProvider(_ context.Context, c login.Caller, token keystile.Secret, provider string, _ url.Values) (login.Outcome, string, error) {
	f.used = token.Reveal() + "@" + provider
	if f.finish != nil {
		return login.Outcome{}, f.back, f.finish
	}
	return f.people.after(f.people.users["ada@example.com"], c), f.back, nil
}

func withProviders(t *testing.T) (*Console, *fakeProviders) {
	t.Helper()
	people := newFakePeople(time.Now)
	f := &fakeProviders{people: people}
	c, err := New(Options{
		People: people, Providers: f, Origin: "https://auth.example.com", Key: []byte(strings.Repeat("k", 32)), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		ClientAddr: func(*http.Request) (netip.Addr, error) { return netip.MustParseAddr("192.0.2.1"), nil },
		RequestID:  func(*http.Request) string { return "req" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, f
}

func visitWith(c *Console, target string, cookies ...*http.Cookie) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "https://auth.example.com"+target, http.NoBody)
	// As a browser comes back from another site.
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result()
}

func cookieOf(a *http.Response, name string) *http.Cookie {
	for _, cookie := range a.Cookies() {
		if cookie.Name == "__Host-"+name {
			return cookie
		}
	}
	return nil
}

func bodyOf(t *testing.T, a *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestASignInAtAProviderIsBoundToTheBrowserThatBeganIt(t *testing.T) {
	c, f := withProviders(t)
	begun := visitWith(c, "/login/with/corp?return_to=%2Faccount%2Fsessions")
	kept := cookieOf(begun, cookieProvider)
	if begun.StatusCode != http.StatusSeeOther || begun.Header.Get("Location") != "https://idp.example/authorize?state=s" || kept == nil || f.back != "/account/sessions" || f.anew {
		t.Fatalf("%d %v %+v", begun.StatusCode, begun.Header, f)
	}
	if !kept.HttpOnly || !kept.Secure || kept.SameSite != http.SameSiteLaxMode || kept.Value != "sealed" || kept.MaxAge != 15*60 || begun.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the cookie is %+v", kept)
	}
	if without := visitWith(c, "/login/with/corp/callback?code=x"); without.StatusCode != http.StatusForbidden || f.used != "" {
		t.Errorf("another browser: %d, %q", without.StatusCode, f.used)
	}
	ended := visitWith(c, "/login/with/corp/callback?code=x", kept)
	if ended.StatusCode != http.StatusSeeOther || ended.Header.Get("Location") != "/account/sessions" || f.used != "sealed@corp" || cookieOf(ended, cookieSession) == nil {
		t.Errorf("%d %v %q", ended.StatusCode, ended.Header, f.used)
	}
	if done := cookieOf(ended, cookieProvider); done == nil || done.MaxAge != -1 {
		t.Errorf("the cookie stays: %+v", done)
	}
}

func TestThreat11_NoSignInAtAProviderLeadsOnToAnotherSite(t *testing.T) {
	c, f := withProviders(t)
	for _, to := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/account/../../x", "/account?" + strings.Repeat("a", 3000), "/account?" + strings.Repeat("&", 500)} {
		visitWith(c, "/login/with/corp?return_to="+url.QueryEscape(to))
		if f.back != home {
			t.Errorf("%.40q leads to %.40q", to, f.back)
		}
	}
	// Nor does what comes back out of the token.
	f.back = "https://evil.example/"
	if a := visitWith(c, "/login/with/corp/callback", &http.Cookie{Name: "__Host-" + cookieProvider, Value: "sealed"}); a.Header.Get("Location") != home {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
}

func TestWhoIsRefusedAtAProviderIsToldNoMoreThanThat(t *testing.T) {
	c, f := withProviders(t)
	for what, want := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"not good":      {errors.Join(login.ErrInvalidCredentials, errors.New("cause-canary")), http.StatusForbidden, "could not be used"},
		"cancelled":     {errors.Join(login.ErrInvalidCredentials, login.ErrCancelled), http.StatusForbidden, "was cancelled"},
		"inactive":      {login.ErrInactive, http.StatusForbidden, "not active"},
		"expired":       {login.ErrChallengeExpired, http.StatusForbidden, "took too long"},
		"throttled":     {&login.Throttled{RetryAfter: time.Minute}, http.StatusTooManyRequests, "Too many"},
		"unavailable":   {fmt.Errorf("cause-canary: %w", keystile.ErrUnavailable), http.StatusServiceUnavailable, "does not answer"},
		"a fault of us": {errors.New("cause-canary"), http.StatusInternalServerError, ""},
	} {
		f.finish = want.err
		a := visitWith(c, "/login/with/corp/callback?code=secret-code", &http.Cookie{Name: "__Host-" + cookieProvider, Value: "sealed"})
		body := bodyOf(t, a)
		if a.StatusCode != want.status || !strings.Contains(body, want.says) || strings.Contains(body, "cause-canary") || strings.Contains(body, "secret-code") || cookieOf(a, cookieSession) != nil {
			t.Errorf("%s: %d %s", what, a.StatusCode, body)
		}
	}
	f.unknown = true
	if a := visitWith(c, "/login/with/corp"); a.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown provider: %d", a.StatusCode)
	}
}

func TestThreat34_ALabelIsTextAndAnOrganisationChoosesTheButtons(t *testing.T) {
	c, f := withProviders(t)
	a := visitWith(c, "/login?organization=acme&return_to=%2Faccount%2Fsessions")
	body := bodyOf(t, a)
	if f.asked != "acme" || strings.Contains(body, "<b>Corp") || !strings.Contains(body, "&lt;b&gt;Corp&lt;/b&gt;") ||
		!strings.Contains(body, `href="/login/with/corp?return_to=%2Faccount%2Fsessions"`) || !strings.Contains(body, `name="organization" value="acme"`) {
		t.Errorf("asked for %q:\n%s", f.asked, body)
	}
}
