package oidc_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dpop"
)

// holder is a key that tokens are bound to.
type holder struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	drawn   int
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{public: public, private: private}
}

// proof signs a proof for a request, with a fresh id.
func (h *holder) proof(t *testing.T, method, target string, at time.Time, token string) string {
	t.Helper()
	return h.proofWith(t, map[string]any{}, method, target, at, token)
}

// proofWith is proof with more claims.
func (h *holder) proofWith(t *testing.T, claims map[string]any, method, target string, at time.Time, token string) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	h.drawn++
	maps.Copy(claims, map[string]any{"jti": fmt.Sprintf("proof-number-%d", h.drawn), "htm": method, "htu": target, "iat": at.Unix()})
	if token != "" {
		claims["ath"] = dpop.TokenDigest(keystile.Secret(token))
	}
	head := map[string]any{"alg": "EdDSA", "typ": "dpop+jwt", "jwk": map[string]string{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(h.public)}}
	text := part(head) + "." + part(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(h.private, []byte(text)))
}

// postWith sends a token request with proofs.
func (w *world) postWith(proofs []string, pairs ...string) reply {
	w.t.Helper()
	form := url.Values{"client_id": {"app"}, "client_secret": {secret}}
	for i := 0; i < len(pairs); i += 2 {
		if form.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	r := httptest.NewRequest(http.MethodPost, issuer+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Dpop"] = proofs
	return w.send(r)
}

// call presents a token at the gate's kind, as the gateway does.
func (w *world) call(scheme keystile.Scheme, token string, proofs ...string) error {
	w.t.Helper()
	r := &keystile.Request{Method: "GET", Scheme: "https", Host: "api.example.com", Path: "/a", Header: keystile.Header{"Dpop": proofs}}
	p, err := w.kind.Parse(r, keystile.Found{Header: "Authorization", Scheme: scheme, Value: keystile.Secret(token)})
	if err != nil {
		return err
	}
	p.At = w.now()
	if _, err := w.kind.Verify(w.t.Context(), p); err != nil {
		return err
	}
	return w.kind.Claim(w.t.Context(), p)
}

func TestATokenThatIsBoundToAKeyOpensNothingWithoutIt(t *testing.T) {
	w := newWorld(t)
	h, thief := newHolder(t), newHolder(t)
	at := func() string { return h.proof(t, "POST", issuer+"/oauth/token", w.now(), "") }
	got := w.postWith([]string{at()}, "grant_type", "client_credentials")
	token := got.text("access_token")
	if got.text("token_type") != "DPoP" || claimsOf(t, token)["cnf"] == nil {
		t.Fatalf("%v", got.body)
	}
	const target = "https://api.example.com/a"
	good := h.proof(t, "GET", target, w.now(), token)
	if err := w.call(keystile.SchemeDPoP, token, good); err != nil {
		t.Errorf("%v", err)
	}
	plain := w.post("/oauth/token", "grant_type", "client_credentials").text("access_token")
	for name, err := range map[string]error{
		"as a bearer token":             w.call(keystile.SchemeBearer, token),
		"as a bearer token, with proof": w.call(keystile.SchemeBearer, token, h.proof(t, "GET", target, w.now(), token)),
		"without a proof":               w.call(keystile.SchemeDPoP, token),
		"with two proofs":               w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", target, w.now(), token), h.proof(t, "GET", target, w.now(), token)),
		"with the same proof":           w.call(keystile.SchemeDPoP, token, good),
		"with another key's":            w.call(keystile.SchemeDPoP, token, thief.proof(t, "GET", target, w.now(), token)),
		"for another method":            w.call(keystile.SchemeDPoP, token, h.proof(t, "POST", target, w.now(), token)),
		"for another host":              w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", "https://evil.example/a", w.now(), token)),
		"for another path":              w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", target+"/b", w.now(), token)),
		"for another token":             w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", target, w.now(), plain)),
		"for no token":                  w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", target, w.now(), "")),
		"of two minutes ago":            w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", target, w.now().Add(-2*time.Minute), token)),
		"of tomorrow":                   w.call(keystile.SchemeDPoP, token, h.proof(t, "GET", target, w.now().Add(24*time.Hour), token)),
		"a token without a key":         w.call(keystile.SchemeDPoP, plain, h.proof(t, "GET", target, w.now(), plain)),
	} {
		if err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	for name, proofs := range map[string][]string{
		"two": {at(), at()}, "an empty one": {""}, "no token": {"x"}, "one for elsewhere": {h.proof(t, "POST", issuer+"/oauth/par", w.now(), "")},
		"one that was used": func() []string {
			p := []string{at()}
			w.postWith(p, "grant_type", "client_credentials")
			return p
		}(),
	} {
		if got := w.postWith(proofs, "grant_type", "client_credentials"); got.text("error") != "invalid_dpop_proof" {
			t.Errorf("a token for %s: %v", name, got.body)
		}
	}
	w.changeClient("app", func(c *keystile.OAuthClient) { c.DPoP = true })
	if got := w.post("/oauth/token", "grant_type", "client_credentials"); got.text("error") != "invalid_dpop_proof" {
		t.Errorf("a client that has to prove: %v", got.body)
	}
}

func TestTheRefreshTokensOfAPublicClientHangOnItsKey(t *testing.T) {
	w := newWorld(t)
	h, thief := newHolder(t), newHolder(t)
	const uri = "com.example.app:/cb"
	proof := func(h *holder) []string { return []string{h.proof(t, "POST", issuer+"/oauth/token", w.now(), "")} }
	native := []string{"client_id", "native", "client_secret", ""}
	code := w.allow(query("client_id", "native", "redirect_uri", uri)).Get("code")
	first := w.postWith(proof(h), append(native, "grant_type", "authorization_code", "code", code, "redirect_uri", uri, "code_verifier", verifier)...)
	if first.text("token_type") != "DPoP" {
		t.Fatalf("%v", first.body)
	}
	refresh := append(native, "grant_type", "refresh_token", "refresh_token", first.text("refresh_token"))
	for name, got := range map[string]reply{"no key": w.postWith(nil, refresh...), "another key": w.postWith(proof(thief), refresh...)} {
		if got.text("error") != "invalid_grant" {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	second := w.postWith(proof(h), refresh...)
	if second.status != http.StatusOK || second.text("token_type") != "DPoP" {
		t.Fatalf("%v", second.body)
	}
	// It is bound to its sender: a lost answer is given again (rulings R19).
	if again := w.postWith(proof(h), refresh...); again.text("refresh_token") != second.text("refresh_token") {
		t.Errorf("%v", again.body)
	}
}

func TestACodeIsBoundToTheKeyThatItsRequestNames(t *testing.T) {
	w := newWorld(t)
	h, thief := newHolder(t), newHolder(t)
	parsed, err := dpop.Parse(h.proof(t, "POST", issuer+"/oauth/token", w.now(), ""))
	if err != nil {
		t.Fatal(err)
	}
	code := w.allow(query("dpop_jkt", parsed.Thumbprint)).Get("code")
	ask := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}
	for name, proofs := range map[string][]string{"no key": nil, "another key": {thief.proof(t, "POST", issuer+"/oauth/token", w.now(), "")}} {
		if got := w.postWith(proofs, ask...); got.text("error") != "invalid_grant" {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	if got := w.postWith([]string{h.proof(t, "POST", issuer+"/oauth/token", w.now(), "")}, ask...); got.status != http.StatusOK {
		t.Errorf("%v", got.body)
	}
}

// TestAPushedRequestIsBoundToTheKeyOfItsProof (RFC 9449, section 10.1): a proof that comes
// with it does what dpop_jkt does.
func TestAPushedRequestIsBoundToTheKeyOfItsProof(t *testing.T) {
	w := newWorld(t)
	w.changeClient("app", func(c *keystile.OAuthClient) { c.DPoP = true })
	h, thief := newHolder(t), newHolder(t)
	at := func(h *holder, path string) string { return h.proof(t, "POST", issuer+path, w.now(), "") }
	push := func(proofs []string, pairs ...string) reply {
		form := query(append([]string{"client_secret", secret}, pairs...)...)
		r := httptest.NewRequest(http.MethodPost, issuer+"/oauth/par", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header["Dpop"] = proofs
		return w.send(r)
	}
	parsed, err := dpop.Parse(at(h, "/oauth/par"))
	if err != nil {
		t.Fatal(err)
	}
	once := at(h, "/oauth/par")
	for name, c := range map[string]struct {
		proofs []string
		pairs  []string
	}{
		"two proofs": {[]string{at(h, "/oauth/par"), at(h, "/oauth/par")}, nil}, "one for another endpoint": {[]string{at(h, "/oauth/token")}, nil}, "none at all": {[]string{"x"}, nil},
		"of another key than dpop_jkt": {[]string{at(thief, "/oauth/par")}, []string{"dpop_jkt", parsed.Thumbprint}},
	} {
		if got := push(c.proofs, c.pairs...); got.status != http.StatusBadRequest || got.text("error") != "invalid_dpop_proof" {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
	for name, c := range map[string]struct {
		proofs []string
		pairs  []string
	}{"a proof": {[]string{once}, nil}, "a proof, and its key": {[]string{at(h, "/oauth/par")}, []string{"dpop_jkt", parsed.Thumbprint}}} {
		pushed := push(c.proofs, c.pairs...)
		if pushed.status != http.StatusCreated {
			t.Fatalf("%s: %d %v", name, pushed.status, pushed.body)
		}
		code := w.allow(query("request_uri", pushed.text("request_uri"))).Get("code")
		ask := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}
		if got := w.postWith([]string{at(thief, "/oauth/token")}, ask...); got.text("error") != "invalid_grant" {
			t.Errorf("%s, redeemed with another key: %v", name, got.body)
		}
		if got := w.postWith([]string{at(h, "/oauth/token")}, ask...); got.status != http.StatusOK {
			t.Errorf("%s: %v", name, got.body)
		}
	}
	if got := push([]string{once}); got.text("error") != "invalid_dpop_proof" {
		t.Errorf("a proof of before: %v", got.body)
	}
	if got := push(nil); got.status != http.StatusCreated { // it is asked for at the token endpoint
		t.Errorf("no proof: %v", got.body)
	}
}
