package oidc_test

import (
	"net/http"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
)

const accessType = "urn:ietf:params:oauth:token-type:access_token"

func (w *world) exchange(token string, pairs ...string) reply {
	w.t.Helper()
	return w.post("/oauth/token", append([]string{
		"grant_type", string(keystile.GrantTokenExchange), "subject_token", token, "subject_token_type", accessType,
	}, pairs...)...)
}

// TestThreat06_AnExchangeNeverGivesMoreThanItTakes: not longer, not wider, not for others,
// and nothing that is asked for is left out in silence.
func TestThreat06_AnExchangeNeverGivesMoreThanItTakes(t *testing.T) {
	w := newWorld(t)
	w.changeClient("twin", func(c *keystile.OAuthClient) { c.Audiences = []string{"https://third.example.com"} })
	subject := w.redeem(w.allow(query("resource", "https://api.example.com")).Get("code"))
	token := subject.text("access_token")
	w.pass(time.Hour)
	twin := []string{"client_id", "twin", "resource", "https://third.example.com"}
	got := w.exchange(token, append(twin, "scope", "sites:read")...)
	if got.status != http.StatusOK || got.text("scope") != "sites:read" || got.text("issued_token_type") != accessType || got.text("refresh_token") != "" || got.body["expires_in"].(float64) > 3600 { //nolint:errcheck // a number, or the test ends
		t.Fatalf("%v", got.body)
	}
	claims := claimsOf(t, got.text("access_token"))
	if claims["sub"] != "user_ann" || claims["client_id"] != "twin" || claims["aud"] != "https://third.example.com" || claims["act"].(map[string]any)["sub"] != "twin" { //nolint:errcheck // an object, or the test ends
		t.Errorf("%v", claims)
	}
	client := w.post("/oauth/token", "grant_type", "client_credentials").text("access_token")
	for name, c := range map[string]struct {
		token string
		pairs []string
		want  string
	}{
		"a wider scope":              {token, append(twin, "scope", "sites:read admin:write"), "invalid_scope"},
		"another resource":           {token, []string{"client_id", "twin", "resource", "https://evil.example"}, "invalid_target"},
		"no resource":                {token, []string{"client_id", "twin"}, "invalid_target"},
		"an audience":                {token, append(twin, "audience", "x"), "invalid_target"},
		"an actor":                   {token, append(twin, "actor_token", token, "actor_token_type", accessType), "invalid_request"},
		"another type wanted":        {token, append(twin, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"},
		"another type given":         {token, append(twin, "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), "invalid_request"},
		"an ID token":                {subject.text("id_token"), twin, "invalid_grant"},
		"a refresh token":            {subject.text("refresh_token"), twin, "invalid_grant"},
		"a client's own token":       {client, twin, "invalid_grant"},
		"a token cut short":          {token[1:], twin, "invalid_grant"},
		"no token":                   {"", twin, "invalid_request"},
		"a token that is for others": {w.tokens().text("access_token"), twin, "invalid_grant"},
		"a public client":            {token, []string{"client_id", "native", "client_secret", ""}, "unauthorized_client"},
	} {
		if answer := w.exchange(c.token, c.pairs...); answer.text("error") != c.want {
			t.Errorf("%s: %v", name, answer.body)
		}
	}
}

func TestThreat28_WhatWasExchangedEndsWithWhatItWasExchangedFor(t *testing.T) {
	for name, end := range map[string]func(w *world, subject reply){
		"the token": func(w *world, subject reply) { w.post("/oauth/revoke", "token", subject.text("access_token")) },
		"the grant": func(w *world, subject reply) { w.post("/oauth/revoke", "token", subject.text("refresh_token")) },
		"the consent": func(w *world, _ reply) {
			if err := w.server.Withdraw(w.t.Context(), "user_ann", "app", ""); err != nil {
				w.t.Fatal(err)
			}
		},
		"its client": func(w *world, _ reply) {
			w.changeClient("app", func(c *keystile.OAuthClient) { c.RevokedAt = w.now() })
		},
	} {
		w := newWorld(t)
		subject := w.tokens()
		w.changeClient("twin", func(c *keystile.OAuthClient) { c.Serves = []string{issuer} })
		first := w.exchange(subject.text("access_token"), "client_id", "twin")
		second := w.exchange(first.text("access_token"), "scope", "openid", "client_id", "twin")
		if !w.good(first.text("access_token")) || !w.good(second.text("access_token")) {
			t.Fatalf("%v %v", first.body, second.body)
		}
		end(w, subject)
		if w.good(first.text("access_token")) || w.good(second.text("access_token")) {
			t.Errorf("%s ended, and what was exchanged lives on", name)
		}
	}
}
