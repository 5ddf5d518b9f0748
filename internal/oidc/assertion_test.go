package oidc_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// vouch reads assertions as the server does whose keys are a table: "ann" is good, with a
// jti, for clients of the organisation of app. What a real provider signs is read by
// package federation, and the two together in the black box.
func (w *world) vouch(_ *http.Request, organizationID string, audiences []string, assertion keystile.Secret) (oidc.Vouched, error) {
	if organizationID != "north" || !slices.Equal(audiences, []string{issuer, issuer + "/oauth/token"}) {
		return oidc.Vouched{}, oidc.NewError("invalid_grant", "Not for this client.", keystile.ErrRejected)
	}
	v := oidc.Vouched{
		UserID: "user_ann", Provider: "sso", Methods: []keystile.AuthMethod{keystile.MethodProvider}, AuthenticatedAt: w.now(), ID: "j-1", ExpiresAt: w.now().Add(5 * time.Minute),
	}
	switch assertion {
	case "ann":
		return v, nil
	case "ann without jti":
		v.ID = ""
		return v, nil
	case "ann of another provider":
		v.Provider = "second"
		return v, nil
	case "the store is away":
		return oidc.Vouched{}, keystile.ErrUnavailable
	}
	return oidc.Vouched{}, oidc.NewError("invalid_grant", "Not good.", keystile.ErrRejected)
}

func (w *world) assert(assertion string, pairs ...string) reply {
	w.t.Helper()
	return w.post("/oauth/token", append([]string{"grant_type", string(keystile.GrantJWTBearer), "assertion", assertion}, pairs...)...)
}

// newAssertionWorld is a world with the provider in its store.
func newAssertionWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateIdentityProvider(ctx, keystile.IdentityProvider{
			Name: "sso", OrganizationID: "north", Issuer: "https://sso.example", Audience: "keystile", Algorithms: []keystile.SigningAlgorithm{keystile.RS256}, JWKSURL: "https://sso.example/jwks",
		})
	})
	return w
}

func TestThreat06_AnAssertionGivesAnAccessTokenWithinTheClientsScopesOnce(t *testing.T) {
	w := newAssertionWorld(t)
	got := w.assert("ann", "scope", "openid sites:read", "resource", "https://api.example.com")
	if got.status != http.StatusOK || got.text("scope") != "openid sites:read" || got.text("refresh_token") != "" || got.text("id_token") != "" || got.body["expires_in"] != 3600.0 || !w.good(got.text("access_token")) {
		t.Fatalf("%d %v", got.status, got.body)
	}
	claims := claimsOf(t, got.text("access_token"))
	if claims["sub"] != "user_ann" || claims["client_id"] != "app" || claims["aud"] != "https://api.example.com" || claims["amr"].([]any)[0] != "fed" { //nolint:errcheck // a list, or the test ends
		t.Errorf("%v", claims)
	}
	if again := w.assert("ann"); again.status != http.StatusBadRequest || again.text("error") != "invalid_grant" {
		t.Errorf("a second time: %v", again.body)
	}
	for range 2 {
		if got := w.assert("ann without jti"); got.status != http.StatusOK {
			t.Errorf("without jti: %v", got.body)
		}
	}
	// Scopes that the role lacks are not given by asking for none.
	if got := w.assert("ann without jti"); got.text("scope") != "openid profile email sites:read" {
		t.Errorf("%v", got.body)
	}
}

func TestThreat06_WhoMayNotBringAnAssertionGetsNothing(t *testing.T) {
	w := newAssertionWorld(t)
	self := w.post("/oauth/register", "x", "y") // a form: refused, and nothing registered
	if self.status == http.StatusCreated {
		t.Fatal("registered")
	}
	for name, c := range map[string]struct {
		assertion string
		pairs     []string
		want      string
	}{
		"another scope":         {"ann", []string{"scope", "root:everything"}, "invalid_scope"},
		"another resource":      {"ann", []string{"resource", "https://evil.example"}, "invalid_target"},
		"no assertion":          {"", nil, "invalid_request"},
		"one that is not good":  {"bob", nil, "invalid_grant"},
		"a wrong secret":        {"ann", []string{"client_secret", "wrong"}, "invalid_client"},
		"no secret":             {"ann", []string{"client_secret", ""}, "invalid_client"},
		"a public client":       {"ann", []string{"client_id", "native", "client_secret", ""}, "unauthorized_client"},
		"nobody can tell":       {"the store is away", nil, "temporarily_unavailable"},
		"a grant type in upper": {"ann", []string{"grant_type", "urn:ietf:params:oauth:grant-type:JWT-bearer"}, "unsupported_grant_type"},
	} {
		if got := w.assert(c.assertion, c.pairs...); got.text("error") != c.want || got.text("access_token") != "" {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.GrantTypes = []keystile.GrantType{keystile.GrantClientCredentials} })
	if got := w.assert("ann"); got.text("error") != "unauthorized_client" {
		t.Errorf("a client without the grant: %v", got.body)
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.GrantTypes = keystile.GrantTypes })
	if got := w.assert("ann"); got.status != http.StatusOK { // none of it spent the assertion
		t.Errorf("%v", got.body)
	}
}

func TestThreat28_WhatAnAssertionGaveEndsWithItsProviderItsUserAndItsClient(t *testing.T) {
	for name, end := range map[string]func(*world){
		"the provider is disabled": func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				p, err := tx.IdentityProvider(ctx, "sso")
				p.Disabled = true
				if err != nil {
					return err
				}
				return tx.UpdateIdentityProvider(ctx, p)
			})
		},
		"the provider is gone": func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error { return tx.DeleteIdentityProvider(ctx, "sso") })
		},
		"the user is disabled": func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				u, err := tx.User(ctx, "user_ann")
				u.Disabled = true
				if err != nil {
					return err
				}
				return tx.UpdateUser(ctx, u, storetest.Names("user_ann")...)
			})
		},
		"the client is revoked": func(w *world) { w.changeClient("app", func(c *keystile.OAuthClient) { c.RevokedAt = w.now() }) },
		"an hour has passed":    func(w *world) { w.pass(time.Hour) },
	} {
		w := newAssertionWorld(t)
		token := w.assert("ann").text("access_token")
		if !w.good(token) {
			t.Fatalf("%s: not good before", name)
		}
		if end(w); w.good(token) {
			t.Errorf("%s, and the token lives on", name)
		}
	}
	w := newAssertionWorld(t)
	if got := w.assert("ann of another provider"); w.good(got.text("access_token")) {
		t.Error("a token of a provider that is not there")
	}
}
