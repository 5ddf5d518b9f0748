package oidc_test

import (
	"slices"
	"testing"
	"time"

	"keystile.dev/keystile/internal/oidc"
)

// TestThreat12_AFormForTheClientHoldsItsAnswerAndOurName (OAuth 2.0 Form Post Response
// Mode, section 2; RFC 9207): codes and errors alike, and where nobody was asked.
func TestThreat12_AFormForTheClientHoldsItsAnswerAndOurName(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		step       func() (oidc.Step, error)
		want       string
		noErrorish bool
	}{
		"a code": {func() (oidc.Step, error) {
			return w.server.Decide(t.Context(), query("response_mode", "form_post"), w.person, time.Time{}, true)
		}, "code", true},
		"a no": {func() (oidc.Step, error) {
			return w.server.Decide(t.Context(), query("response_mode", "form_post"), w.person, time.Time{}, false)
		}, "error", false},
		"a request that is wrong": {func() (oidc.Step, error) {
			return w.server.Begin(t.Context(), query("response_mode", "form_post", "response_type", "token"), &w.person, time.Time{})
		}, "error", false},
		"a parameter twice": {func() (oidc.Step, error) {
			q := query("response_mode", "form_post")
			q.Add("nonce", "again")
			return w.server.Begin(t.Context(), q, &w.person, time.Time{})
		}, "error", false},
		"nobody signed in": {func() (oidc.Step, error) {
			return w.server.Begin(t.Context(), query("response_mode", "form_post", "prompt", "none"), nil, time.Time{})
		}, "error", false},
		"a pushed request": {func() (oidc.Step, error) {
			pushed := w.post("/oauth/par", flat(query("response_mode", "form_post"))...)
			return w.server.Decide(t.Context(), query("request_uri", pushed.text("request_uri")), w.person, time.Time{}, true)
		}, "code", true},
	} {
		step, err := c.step()
		if err != nil || step.Location != "" || step.Post == nil {
			t.Errorf("%s: %+v, %v", name, step, err)
			continue
		}
		got := step.Post
		if got.Action != callback || got.Origin != "https://app.example.com" || got.Fields.Get("iss") != issuer || got.Fields.Get("state") != "xyz" || got.Fields.Get(c.want) == "" {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Fields.Has("error") == c.noErrorish {
			t.Errorf("%s: %v", name, got.Fields)
		}
	}
}

func TestACodeThatWasPostedIsRedeemedAsAnyOther(t *testing.T) {
	w := newWorld(t)
	if got := w.redeem(w.allow(query("response_mode", "form_post")).Get("code")); got.status != 200 || got.text("id_token") == "" {
		t.Errorf("%d %v", got.status, got.body)
	}
}

// TestNoFormIsPostedToAnApplicationsOwnScheme: a browser could not, and a page that
// posted to any scheme could be made to run a script.
func TestNoFormIsPostedToAnApplicationsOwnScheme(t *testing.T) {
	w := newWorld(t)
	step := w.begin(query("client_id", "native", "redirect_uri", "com.example.app:/cb", "response_mode", "form_post"), time.Time{})
	if step.Post != nil || errorOf(t, step) != "invalid_request" {
		t.Errorf("%+v", step)
	}
	if step := w.begin(query("response_mode", "fragment"), time.Time{}); step.Post != nil || errorOf(t, step) != "invalid_request" {
		t.Errorf("a fragment: %+v", step)
	}
}

func TestDiscoveryNamesTheResponseModes(t *testing.T) {
	w := newWorld(t)
	modes, _ := w.metadata()["response_modes_supported"].([]any) //nolint:errcheck // none is compared below
	if !slices.Equal(modes, []any{"query", "form_post"}) {
		t.Errorf("%v", modes)
	}
}
