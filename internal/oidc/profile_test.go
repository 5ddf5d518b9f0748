package oidc_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
)

func TestThreat09_AProofCarriesTheServersNonceWhereTheClientIsAskedForOne(t *testing.T) {
	w := newWorld(t)
	w.changeClient("app", func(c *keystile.OAuthClient) { c.DPoP, c.DPoPNonce = true, true })
	h := newHolder(t)
	ask := func(claims map[string]any) reply {
		return w.postWith([]string{h.proofWith(t, claims, "POST", issuer+"/oauth/token", w.now(), "")}, "grant_type", "client_credentials")
	}
	none := ask(map[string]any{})
	nonce := none.header.Get("Dpop-Nonce")
	if none.status != http.StatusBadRequest || none.text("error") != "use_dpop_nonce" || nonce == "" {
		t.Fatalf("%d %v %q", none.status, none.body, nonce)
	}
	if got := ask(map[string]any{"nonce": nonce}); got.status != http.StatusOK || got.text("token_type") != "DPoP" {
		t.Errorf("%v", got.body)
	}
	w.pass(5 * time.Minute) // the window before is good still
	if got := ask(map[string]any{"nonce": nonce}); got.status != http.StatusOK {
		t.Errorf("%v", got.body)
	}
	w.pass(5 * time.Minute)
	for name, claims := range map[string]map[string]any{
		"two windows ago": {"nonce": nonce}, "one of the client's own": {"nonce": strings.Repeat("a", len(nonce))}, "cut short": {"nonce": nonce[1:]},
	} {
		if got := ask(claims); got.text("error") != "use_dpop_nonce" || got.header.Get("Dpop-Nonce") == nonce {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	if got := w.post("/oauth/token", "grant_type", "client_credentials"); got.text("error") != "invalid_dpop_proof" {
		t.Errorf("without a proof: %v", got.body)
	}
}

// signerOf gives a client a key of its own, for private_key_jwt.
func (w *world) signerOf(client string) ed25519.PrivateKey {
	w.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	jwks := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	w.changeClient(client, func(c *keystile.OAuthClient) { c.JWKS = jwks })
	return private
}

// signed is a JWT of some claims; alg none has no signature.
func signed(t *testing.T, key ed25519.PrivateKey, alg string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":%q,"kid":"k1"}`, alg)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	switch alg {
	case "none":
		return text + "."
	case "HS256": // with the public key as its secret
		public, _ := key.Public().(ed25519.PublicKey) //nolint:errcheck // what it is
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

const byKey = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func TestThreat01_AClientsAssertionIsItsOwnForUsShortAndGoodOnce(t *testing.T) {
	w := newWorld(t)
	key, twins := w.signerOf("app"), w.signerOf("twin")
	claims := func() map[string]any {
		return map[string]any{"iss": "app", "sub": "app", "aud": issuer, "jti": rand.Text(), "iat": w.now().Unix(), "exp": w.now().Add(time.Minute).Unix()}
	}
	ask := func(assertion string, pairs ...string) reply {
		return w.post("/oauth/token", append([]string{"client_id", "", "client_secret", "", "client_assertion_type", byKey, "client_assertion", assertion, "grant_type", "client_credentials"}, pairs...)...)
	}
	once := signed(t, key, "EdDSA", claims())
	if got := ask(once); got.status != http.StatusOK {
		t.Fatalf("%d %v", got.status, got.body)
	}
	if got := ask(once); got.status != http.StatusUnauthorized || got.text("error") != "invalid_client" {
		t.Errorf("a second time: %v", got.body)
	}
	for name, change := range map[string]map[string]any{
		"for the token endpoint": {"aud": issuer + "/oauth/token"}, "for several": {"aud": []string{"https://other.example", issuer}},
		"good from 8 s from now": {"iat": w.now().Add(8 * time.Second).Unix(), "nbf": w.now().Add(8 * time.Second).Unix()}, "good from null": {"nbf": json.RawMessage("null")},
	} {
		c := claims()
		maps.Copy(c, change)
		if got := ask(signed(t, key, "EdDSA", c)); got.status != http.StatusOK {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	now := w.now()
	for name, change := range map[string]map[string]any{
		"for another audience": {"aud": "https://other.example"}, "for nobody": {"aud": nil}, "audience with a slash": {"aud": issuer + "/"}, "audience a number": {"aud": 1},
		"another issuer": {"iss": "twin"}, "no issuer": {"iss": nil}, "another subject": {"sub": "twin"}, "no subject": {"sub": nil}, "both another's": {"iss": "twin", "sub": "twin"},
		"a client that is none": {"iss": "nobody", "sub": "nobody"}, "a public client": {"iss": "native", "sub": "native"},
		"ended": {"exp": now.Unix()}, "no end": {"exp": nil}, "end as text": {"exp": "99999999999"}, "an hour ahead": {"exp": now.Add(time.Hour).Unix(), "iat": nil}, "an hour ahead, and made ten minutes ago": {"exp": now.Add(time.Hour).Unix(), "iat": now.Add(-10 * time.Minute).Unix()},
		"made in the future": {"iat": now.Add(time.Hour).Unix()}, "made a minute from now": {"iat": now.Add(61 * time.Second).Unix()}, "good from a minute from now": {"nbf": now.Add(61 * time.Second).Unix()},
		"made at no time": {"iat": "now"}, "good from no time": {"nbf": true}, "no jti": {"jti": nil}, "an empty jti": {"jti": ""}, "jti a number": {"jti": 1}, "a jti of 300 bytes": {"jti": strings.Repeat("j", 300)},
	} {
		c := claims()
		for claim, value := range change {
			if c[claim] = value; value == nil {
				delete(c, claim)
			}
		}
		if got := ask(signed(t, key, "EdDSA", c)); got.status != http.StatusUnauthorized || got.text("error") != "invalid_client" {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
	for name, assertion := range map[string]string{
		"alg none": signed(t, key, "none", claims()), "HS256 by the public key": signed(t, key, "HS256", claims()), "another client's key": signed(t, twins, "EdDSA", claims()),
		"another algorithm's name": signed(t, key, "ES256", claims()), "no token": "x", "cut short": once[:len(once)-1],
	} {
		if got := ask(assertion); got.status != http.StatusUnauthorized || got.text("error") != "invalid_client" {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"with a secret": {[]string{"client_secret", secret}, "invalid_request"}, "of another type": {[]string{"client_assertion_type", "urn:x"}, "invalid_request"},
		"for another client_id": {[]string{"client_id", "twin"}, "invalid_client"}, "no type": {[]string{"client_assertion_type", ""}, "invalid_request"},
	} {
		if got := ask(signed(t, key, "EdDSA", claims()), c.pairs...); got.text("error") != c.want {
			t.Errorf("%s: %v", name, got.body)
		}
	}
}

// TestTheSwitchesOfAClientMakeTheFAPI2SecurityProfile goes through what FAPI 2.0 Security
// Profile (Final, section 5.3.2) asks of an authorization server, with a client of
// pushed_only, dpop and jwks.
func TestTheSwitchesOfAClientMakeTheFAPI2SecurityProfile(t *testing.T) {
	w := newWorld(t)
	key := w.signerOf("app")
	w.changeClient("app", func(c *keystile.OAuthClient) { c.PushedOnly, c.DPoP = true, true })
	h := newHolder(t)
	proof := func() []string { return []string{h.proof(t, "POST", issuer+"/oauth/token", w.now(), "")} }
	who := func(aud any) []string {
		return []string{"client_secret", "", "client_assertion_type", byKey, "client_assertion", signed(t, key, "EdDSA", map[string]any{
			"iss": "app", "sub": "app", "aud": aud, "jti": rand.Text(), "exp": w.now().Add(time.Minute).Unix(),
		})}
	}
	request := []string{
		"response_type", "code", "redirect_uri", callback, "state", "s", "scope", "openid sites:read", "code_challenge", hash, "code_challenge_method", "S256",
	}
	// 5.3.2.2, 1 and 3: no request but a pushed one, of a client that proved who it is.
	step, err := w.server.Begin(t.Context(), query(), &w.person, time.Time{})
	if refused := new(oidc.Refused); !errors.As(err, &refused) && parameters(t, step.Location).Get("error") == "" {
		t.Errorf("a request that was not pushed: %+v %v", step, err)
	}
	if got := w.post("/oauth/par", append([]string{"client_secret", ""}, request...)...); got.status != http.StatusUnauthorized {
		t.Errorf("a pushed request of nobody: %v", got.body)
	}
	// 5.3.2.1, 8: the issuer and no other name of ours, as one text.
	for _, aud := range []any{issuer + "/oauth/token", issuer + "/oauth/par", []string{issuer}, []string{issuer, "https://other.example.com"}} {
		if got := w.post("/oauth/par", append(who(aud), request...)...); got.status != http.StatusUnauthorized || got.text("error") != "invalid_client" {
			t.Errorf("aud %v: %v", aud, got.body)
		}
	}
	// 5.3.2.2, 12: request_uri for less than 600 s.
	pushed := w.post("/oauth/par", append(who(issuer), request...)...)
	if life, ok := pushed.body["expires_in"].(float64); !ok || life >= 600 {
		t.Errorf("a pushed request lives %v", pushed.body["expires_in"])
	}
	// 5.3.2.2, 4 and 5: PKCE, S256 alone.
	for name, pairs := range map[string][]string{"no challenge": {"code_challenge", "", "code_challenge_method", ""}, "plain": {"code_challenge_method", "plain"}} {
		if got := w.post("/oauth/par", slices.Concat(who(issuer), request, pairs)...); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
	// 5.3.2.2, 7: iss in the answer.
	answered := w.allow(query("request_uri", pushed.text("request_uri")))
	if answered.Get("iss") != issuer || answered.Get("code") == "" {
		t.Fatalf("%v", answered)
	}
	redeem := func(code string, proofs []string) reply {
		return w.postWith(proofs, append(who(issuer), "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier)...)
	}
	// 5.3.2.1, 4: tokens are bound to the sender.
	if got := redeem(answered.Get("code"), nil); got.status != http.StatusBadRequest {
		t.Errorf("without a proof: %v", got.body)
	}
	got := redeem(answered.Get("code"), proof())
	if got.status != http.StatusOK || got.text("token_type") != "DPoP" || claimsOf(t, got.text("access_token"))["cnf"] == nil {
		t.Fatalf("%v", got.body)
	}
	// 5.3.2.1, 9: a code is good once, and for 60 s at most.
	if got := redeem(answered.Get("code"), proof()); got.text("error") != "invalid_grant" {
		t.Errorf("a second time: %v", got.body)
	}
	late := w.allow(query("request_uri", w.post("/oauth/par", append(who(issuer), request...)...).text("request_uri")))
	w.pass(time.Minute)
	if got := redeem(late.Get("code"), proof()); got.text("error") != "invalid_grant" {
		t.Errorf("after a minute: %v", got.body)
	}
	// 5.3.2.1, 5: private_key_jwt or mutual TLS, and no secret beside it.
	if got := w.postWith(proof(), "grant_type", "client_credentials"); got.status != http.StatusUnauthorized {
		t.Errorf("a client with keys came with a secret: %d %v", got.status, got.body)
	}
}
