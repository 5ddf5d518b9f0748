package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/federation"
)

// exchange is an exchanger over a world, with what it was asked to do.
type exchange struct {
	*federation.Exchanger
	w         *world
	s         signer
	signInErr error
	mintErr   error
	minted    []string // audiences
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	x := &exchange{w: newWorld(t), s: newSigner(t, keystile.EdDSA, "k1")}
	x.w.provider(sso, x.s)
	x.Exchanger = must(federation.NewExchanger(federation.ExchangerOptions{
		Verify: x.w.Verify,
		SignIn: func(_ context.Context, id federation.Identity) (keystile.Session, keystile.User, error) {
			return keystile.Session{ID: "ses_1"}, keystile.User{ID: "user_1", Username: id.Username}, x.signInErr
		},
		Mint: func(_ context.Context, _ keystile.Session, _ keystile.User, audience string) (keystile.Secret, time.Time, error) {
			x.minted = append(x.minted, audience)
			return "the-token", x.w.now.Add(time.Hour), x.mintErr
		},
		Audiences: []string{"https://api.example.com"}, Now: func() time.Time { return x.w.now },
	}))(t)
	return x
}

func (x *exchange) parameters(t *testing.T) url.Values {
	t.Helper()
	return url.Values{
		"grant_type": {federation.GrantTokenExchange}, "subject_token": {x.s.sign(t, x.w.good(), nil).Reveal()},
		"subject_token_type": {federation.TypeJWT}, federation.ProviderParameter: {sso},
	}
}

func TestAProvidersTokenIsExchangedForOurs(t *testing.T) {
	x := newExchange(t)
	for audience, kind := range map[string]string{"": federation.TypeIDToken, "https://api.example.com": federation.TypeAccessToken} {
		p := x.parameters(t)
		p.Set("subject_token_type", kind)
		if audience != "" {
			p.Set("audience", audience)
		}
		got, err := x.Exchange(t.Context(), p)
		want := federation.Exchanged{AccessToken: "the-token", IssuedTokenType: federation.TypeJWT, TokenType: "Bearer", ExpiresIn: 3600}
		if err != nil || got != want || x.minted[len(x.minted)-1] != audience {
			t.Errorf("%+v %v, minted for %q", got, err, x.minted)
		}
	}
}

func TestThreat06_WhatIsAskedForAndNotDoneIsAnErrorAndNothingIsDropped(t *testing.T) {
	x := newExchange(t)
	for name, c := range map[string]struct {
		change func(url.Values)
		code   string
	}{
		"no grant type":               {func(p url.Values) { p.Del("grant_type") }, "unsupported_grant_type"},
		"another grant type":          {func(p url.Values) { p.Set("grant_type", "password") }, "unsupported_grant_type"},
		"no subject token":            {func(p url.Values) { p.Del("subject_token") }, "invalid_request"},
		"an empty subject token":      {func(p url.Values) { p.Set("subject_token", "") }, "invalid_request"},
		"no subject token type":       {func(p url.Values) { p.Del("subject_token_type") }, "invalid_request"},
		"a SAML assertion":            {func(p url.Values) { p.Set("subject_token_type", "urn:ietf:params:oauth:token-type:saml2") }, "invalid_request"},
		"a refresh token":             {func(p url.Values) { p.Set("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token") }, "invalid_request"},
		"no provider":                 {func(p url.Values) { p.Del(federation.ProviderParameter) }, "invalid_request"},
		"an actor":                    {func(p url.Values) { p.Set("actor_token", "t"); p.Set("actor_token_type", federation.TypeJWT) }, "invalid_request"},
		"an empty actor":              {func(p url.Values) { p.Set("actor_token", "") }, "invalid_request"},
		"a refresh token wanted":      {func(p url.Values) { p.Set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token") }, "invalid_request"},
		"scopes":                      {func(p url.Values) { p.Set("scope", "admin") }, "invalid_scope"},
		"a resource":                  {func(p url.Values) { p.Set("resource", "https://api.example.com") }, "invalid_target"},
		"another audience":            {func(p url.Values) { p.Set("audience", "https://other.example.com") }, "invalid_target"},
		"two audiences":               {func(p url.Values) { p["audience"] = []string{"https://api.example.com", "x"} }, "invalid_request"},
		"two subject tokens":          {func(p url.Values) { p.Add("subject_token", "other") }, "invalid_request"},
		"two providers":               {func(p url.Values) { p.Add(federation.ProviderParameter, "other") }, "invalid_request"},
		"two grant types":             {func(p url.Values) { p.Add("grant_type", "password") }, "invalid_request"},
		"another provider":            {func(p url.Values) { p.Set(federation.ProviderParameter, "other") }, "invalid_grant"},
		"a token that is none":        {func(p url.Values) { p.Set("subject_token", "a.b.c") }, "invalid_grant"},
		"an unsigned token":           {func(p url.Values) { p.Set("subject_token", "eyJhbGciOiJub25lIn0.e30.") }, "invalid_grant"},
		"our own token for a subject": {func(p url.Values) { p.Set("subject_token", "the-token") }, "invalid_grant"},
	} {
		p := x.parameters(t)
		c.change(p)
		got, err := x.Exchange(t.Context(), p)
		var refused *federation.ExchangeError
		if !errors.As(err, &refused) || refused.Code != c.code || got.AccessToken != "" {
			t.Errorf("%s: %+v %v, want %s", name, got, err, c.code)
		}
	}
	if len(x.minted) != 0 {
		t.Errorf("%d tokens were minted", len(x.minted))
	}
}

func TestThreat06_TheSameRulesAsEveryOtherWayInApply(t *testing.T) {
	x := newExchange(t)
	for name, c := range map[string]struct {
		signIn, mint error
		code         string
	}{
		"the user may not":         {fmt.Errorf("disabled: %w", federation.ErrNotSignedIn), nil, "invalid_grant"},
		"the store is away":        {keystile.ErrUnavailable, nil, "temporarily_unavailable"},
		"no key to sign with":      {nil, keystile.ErrUnavailable, "temporarily_unavailable"},
		"anything else goes wrong": {errors.New("boom"), nil, "temporarily_unavailable"},
	} {
		x.signInErr, x.mintErr = c.signIn, c.mint
		got, err := x.Exchange(t.Context(), x.parameters(t))
		var refused *federation.ExchangeError
		if !errors.As(err, &refused) || refused.Code != c.code || got.AccessToken != "" {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	x.signInErr, x.mintErr, x.w.broken = nil, nil, true
	var refused *federation.ExchangeError
	if _, err := x.Exchange(t.Context(), x.parameters(t)); !errors.As(err, &refused) || refused.Code != "temporarily_unavailable" {
		t.Errorf("%v", err)
	}
	if _, err := federation.NewExchanger(federation.ExchangerOptions{}); err == nil {
		t.Error("an exchanger without parts")
	}
	if _, err := federation.New(federation.Options{}); err == nil {
		t.Error("a verifier without parts")
	}
}
