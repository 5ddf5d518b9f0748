package federationtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ClientID and ClientSecret are those of the one client. They hold characters
// that Basic authentication has to encode (RFC 6749, section 2.3.1).
const (
	ClientID     = "keystile+at:provider/1"
	ClientSecret = "p&ss:w%rd +/="
)

// Provider is an OpenID provider. Its fields are read under the lock that Change takes.
type Provider struct {
	*httptest.Server
	Key *rsa.PrivateKey

	mu sync.Mutex
	// Person are the claims of whoever signs in.
	Person map[string]any
	// Ask shows a page with a button before it answers; otherwise the browser is sent back at once.
	Ask bool
	// Spoil changes the claims of the ID token, Answer what the browser is sent back with and
	// Configuration the discovery document; nil: nothing.
	Spoil         func(claims map[string]any)
	Answer        func(url.Values)
	Configuration func(map[string]any)
	// Strict tells in ID tokens only what the claims parameter asks for there, as OpenID
	// Connect Core, section 5.4, has it.
	Strict bool
	// Sign signs in place of the provider's key.
	Sign func(claims map[string]any) string
	// Token answers in place of the token endpoint.
	Token http.HandlerFunc

	codes map[string]url.Values
	drawn int
	// Redirects are the redirect URIs that the client registered.
	Redirects []string
	requests  []url.Values
}

// drawKey draws one key for all providers of a test run: drawing it is what takes time.
var drawKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New starts a provider at a loopback address. Its issuer is its URL.
func New(redirects ...string) (*Provider, error) {
	key, err := drawKey()
	if err != nil {
		return nil, fmt.Errorf("draw the provider's key: %w", err)
	}
	p := &Provider{
		Key: key, codes: map[string]url.Values{}, Redirects: redirects,
		Person: map[string]any{"sub": "person-1", "email": "ann@acme.example", "email_verified": true, "name": "Ann"},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discover)
	mux.HandleFunc("GET /jwks", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	return p, nil
}

// Change changes the provider while it runs.
func (p *Provider) Change(change func(*Provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// Requests are the parameters that browsers came to authorize with.
func (p *Provider) Requests() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

func (p *Provider) discover(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	document := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize?tenant=1", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"authorization_response_iss_parameter_supported": true,
	}
	if p.Strict {
		document["claims_parameter_supported"] = true
	}
	if p.Configuration != nil {
		p.Configuration(document)
	}
	write(w, document)
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	write(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.Key.Public(), KeyID: "k1", Use: "sig", Algorithm: "RS256"}}})
}

// authorize is the authorization endpoint: with PKCE, state and nonce, or not at all.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	p.requests = append(p.requests, q)
	switch {
	case !p.acceptable(q):
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	case p.Ask && q.Get("yes") == "":
		q.Set("yes", "1")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Provider</title><h1>Provider</h1><a id="yes" href="/authorize?%s">Continue as %s</a>`, //nolint:errcheck // the browser went away
			html.EscapeString(q.Encode()), html.EscapeString(fmt.Sprint(p.Person["email"])))
		return
	}
	p.drawn++
	code := fmt.Sprintf("code-%d", p.drawn)
	p.codes[code] = q
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.Answer != nil {
		p.Answer(answer)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound) //nolint:gosec // G710: acceptable knows it
}

// acceptable wants what every request of ours has: PKCE by S256, and a state and a
// nonce that cannot be guessed.
func (p *Provider) acceptable(q url.Values) bool {
	for name, want := range map[string]string{"tenant": "1", "response_type": "code", "client_id": ClientID, "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			return false
		}
	}
	for _, name := range []string{"code_challenge", "state", "nonce"} {
		if len(q.Get(name)) < 43 {
			return false
		}
	}
	return slices.Contains(p.Redirects, q.Get("redirect_uri")) && slices.Contains(strings.Fields(q.Get("scope")), "openid")
}

// token is the token endpoint: a code once, for its verifier, redirect URI and client.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	// Read first: a handler learns that its client has gone only once the body is read.
	if err := r.ParseForm(); err != nil {
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	instead := p.Token
	p.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.authenticated(r) {
		w.WriteHeader(http.StatusUnauthorized)
		write(w, map[string]any{"error": "invalid_client"})
		return
	}
	asked, there := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !there || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
		w.WriteHeader(http.StatusBadRequest)
		write(w, map[string]any{"error": "invalid_grant"})
		return
	}
	write(w, map[string]any{"access_token": "of no use", "token_type": "Bearer", "expires_in": 60, "id_token": p.idToken(asked)})
}

// authenticated takes the secret as Basic, encoded, or in the form.
func (p *Provider) authenticated(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if !basic {
		return r.PostFormValue("client_id") == ClientID && r.PostFormValue("client_secret") == ClientSecret
	}
	id, badID := url.QueryUnescape(id)
	secret, badSecret := url.QueryUnescape(secret)
	return badID == nil && badSecret == nil && id == ClientID && secret == ClientSecret && !r.PostForm.Has("client_secret")
}

func (p *Provider) idToken(asked url.Values) string {
	now := time.Now().Unix()
	claims := map[string]any{"iss": p.URL, "aud": ClientID, "nonce": asked.Get("nonce"), "iat": now, "exp": now + 300}
	var wishes struct {
		IDToken map[string]any `json:"id_token"`
	}
	if text := asked.Get("claims"); text != "" && json.Unmarshal([]byte(text), &wishes) != nil {
		return ""
	}
	for name, value := range p.Person {
		if _, wished := wishes.IDToken[name]; wished || name == "sub" || !p.Strict {
			claims[name] = value
		}
	}
	if asked.Has("max_age") {
		claims["auth_time"] = now
	}
	if p.Spoil != nil {
		p.Spoil(claims)
	}
	if p.Sign != nil {
		return p.Sign(claims)
	}
	return Signed(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.Key, KeyID: "k1"}}, claims)
}

// Signed is a token; it panics where there can be none.
func Signed(key jose.SigningKey, claims map[string]any) string {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

func write(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(http.ErrAbortHandler)
	}
}
