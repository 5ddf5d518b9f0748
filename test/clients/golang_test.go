package clients

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// trusted is the context in which the libraries for Go trust the server.
func trusted(t *testing.T) context.Context {
	t.Helper()
	return oidc.ClientContext(t.Context(), &http.Client{Transport: trusting})
}

// relyingParty is a client as its maker writes it down: everything else is discovered.
func relyingParty(t *testing.T, c registered, scopes ...string) (*oidc.Provider, *oauth2.Config) {
	t.Helper()
	provider := must(oidc.NewProvider(trusted(t), origin))(t)
	return provider, &oauth2.Config{ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: callback, Scopes: scopes, Endpoint: provider.Endpoint()}
}

// signIn takes the person through the code flow and returns the tokens.
func (p *person) signIn(t *testing.T, config *oauth2.Config, options ...oauth2.AuthCodeOption) *oauth2.Token {
	t.Helper()
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	at := must(p.visit(config.AuthCodeURL(state, append(options, oauth2.S256ChallengeOption(verifier))...)))(t)
	back := must(url.Parse(at))(t).Query()
	if !strings.HasPrefix(at, callback+"?") || back.Get("state") != state || back.Get("iss") != origin || back.Get("code") == "" {
		t.Fatalf("the browser came back to %s", at)
	}
	return must(config.Exchange(trusted(t), back.Get("code"), oauth2.VerifierOption(verifier)))(t)
}

// tokens are those of an ordinary sign-in with all scopes of a client.
func (p *person) tokens(t *testing.T, c registered, options ...oauth2.AuthCodeOption) *oauth2.Token {
	t.Helper()
	_, config := relyingParty(t, c)
	return p.signIn(t, config, options...)
}

// verify checks the ID token that came with an access token.
func verify(t *testing.T, provider *oidc.Provider, c registered, token *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token came along")
	}
	return must(provider.Verifier(&oidc.Config{ClientID: c.ID}).Verify(trusted(t), raw))(t)
}

// call reads an address with a client that puts the token in.
func call(t *testing.T, client *http.Client, address string) (status int, body string) {
	t.Helper()
	answer := must(client.Get(address))(t) //nolint:noctx // the client has the test's
	text := must(io.ReadAll(answer.Body))(t)
	check(t, answer.Body.Close())
	return answer.StatusCode, string(text)
}

func TestAWebsiteWithGoOIDCKnowsWhoSignedInAndStaysSignedIn(t *testing.T) {
	c := register(t, "--redirect-uri", callback, "--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "sites:read")
	provider, config := relyingParty(t, c, oidc.ScopeOpenID, "profile", "email", "sites:read")
	p := newPerson(t)
	token := p.signIn(t, config, oidc.Nonce("n-0S6_WzA2Mj"))

	id := verify(t, provider, c, token)
	check(t, id.VerifyAccessToken(token.AccessToken))
	var claims struct {
		Name string `json:"name"`
		SID  string `json:"sid"`
		ACR  string `json:"acr"`
	}
	check(t, id.Claims(&claims))
	if id.Nonce != "n-0S6_WzA2Mj" || claims.SID == "" || claims.ACR == "" {
		t.Errorf("the ID token has nonce %q and claims %+v", id.Nonce, claims)
	}
	info := must(provider.UserInfo(trusted(t), config.TokenSource(trusted(t), token)))(t)
	check(t, info.Claims(&claims))
	if info.Subject != id.Subject || info.Email != "ann@example.com" || claims.Name != "Ann Archer" {
		t.Errorf("userinfo is about %q %q %q, the ID token about %q", info.Subject, info.Email, claims.Name, id.Subject)
	}
	status, body := call(t, config.Client(trusted(t), token), apis+"/api/v2/sites")
	if status != http.StatusOK || !strings.Contains(body, `"subject":"user:`+id.Subject+`"`) {
		t.Errorf("the API: %d %s", status, body)
	}

	// A token that has ended is replaced by the library, and by one that works.
	old := *token
	old.Expiry = old.Expiry.AddDate(-1, 0, 0)
	fresh := must(config.TokenSource(trusted(t), &old).Token())(t)
	if fresh.AccessToken == token.AccessToken || fresh.RefreshToken == token.RefreshToken {
		t.Error("a refresh gave the same tokens")
	}
	if status, body := call(t, config.Client(trusted(t), fresh), origin+"/api/v2/me"); status != http.StatusOK || !strings.Contains(body, "ann@example.com") {
		t.Errorf("after a refresh: %d %s", status, body)
	}

	// Another site asks: nothing is typed again, and its own consent is asked for once.
	other := register(t, "--redirect-uri", callback, "--scope", "openid")
	_, second := relyingParty(t, other, oidc.ScopeOpenID)
	p.signIn(t, second)
	p.signIn(t, second, oauth2.SetAuthURLParam("prompt", "none"))
	if p.passwords != 1 || p.consents != 2 {
		t.Errorf("the person gave %d passwords and %d consents", p.passwords, p.consents)
	}
}

func TestADeviceWithOAuth2GetsItsTokenWhenTheUserAllowsIt(t *testing.T) {
	c := register(t, "--public", "--grant", "urn:ietf:params:oauth:grant-type:device_code", "--grant", "refresh_token", "--scope", "openid", "--scope", "sites:read")
	provider, config := relyingParty(t, c, oidc.ScopeOpenID, "sites:read")
	device := must(config.DeviceAuth(trusted(t)))(t)
	p := newPerson(t)
	if at := must(p.visit(device.VerificationURIComplete))(t); at != origin+"/account/access" || p.consents != 1 {
		t.Errorf("the person ended at %s after %d consents", at, p.consents)
	}
	token := must(config.DeviceAccessToken(trusted(t), device))(t)
	verify(t, provider, c, token)
	if status, body := call(t, config.Client(trusted(t), token), apis+"/api/v2/sites"); status != http.StatusOK {
		t.Errorf("the API: %d %s", status, body)
	}
}

func TestAProgramWithOAuth2CallsTheAPIAsItself(t *testing.T) {
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		c := register(t, "--scope", "sites:read", "--token-format", "opaque")
		config := clientcredentials.Config{ClientID: c.ID, ClientSecret: c.Secret, TokenURL: origin + "/oauth/token", Scopes: []string{"sites:read"}, AuthStyle: style}
		status, body := call(t, config.Client(trusted(t)), apis+"/api/v2/sites")
		var answer struct{ Subject string }
		check(t, json.Unmarshal([]byte(body), &answer))
		if status != http.StatusOK || answer.Subject != "client:"+c.ID {
			t.Errorf("style %d: %d %s", style, status, body)
		}
	}
}
