package oidc_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/dpop"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

const (
	issuer   = "https://auth.example.com"
	callback = "https://app.example.com/cb"
	secret   = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	hash     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// world is an authorization server on a real store, with two clients that mirror each
// other ("app" and "twin"), a public one ("native"), and ann of another organisation.
type world struct {
	t      *testing.T
	server *oidc.Server
	store  *store.Store
	kind   *oauthtoken.Kind
	keys   *testKeys
	log    *bytes.Buffer
	person oidc.Person
	// deaf: the server hears of no change any more; stale: it knows that.
	deaf, stale atomic.Bool

	mu    sync.Mutex
	clock time.Time
	spent map[string]bool
	// until is how long each is remembered.
	until map[string]time.Time
	// served is what the documents of clients say, by their URL, and fetched how often one was asked for.
	served  map[string]string
	fetched int
	// told are the logout tokens that clients were posted, by address; answer is what they say.
	told   map[string][]string
	answer int
	// hangs is an address that answers nobody, and gaveUp how often that was waited for to the end.
	hangs  string
	gaveUp atomic.Int64
}

// documents reads a client's document as the server does, without a network.
func (w *world) documents(_ context.Context, id string) (*clientmetadata.Metadata, error) {
	w.fetched++
	text, there := w.served[id]
	if !there {
		return nil, clientmetadata.ErrNoDocument
	}
	m, err := clientmetadata.ParseDocument(id, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", clientmetadata.ErrNoDocument, err)
	}
	return m, nil
}

// tell is a client that is told of sign-outs.
func (w *world) tell(ctx context.Context, address string, form url.Values) (int, error) {
	if address == w.hangs {
		<-ctx.Done()
		w.gaveUp.Add(1)
		return 0, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[address] = append(w.told[address], form.Get("logout_token"))
	return w.answer, nil
}

// hashing is a digester with one pepper.
type hashing struct{}

func (hashing) Digest(sum [32]byte) ([32]byte, string) { return sha256.Sum256(sum[:]), "p1" }

func (hashing) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	return append(buf, sha256.Sum256(sum[:]))
}

// sealing hides nothing, but binds a value to its place.
type sealing struct{}

func (sealing) Seal(plain []byte, place string) ([]byte, error) {
	mac := hmac.New(sha256.New, []byte(place))
	mac.Write(plain)
	return append(mac.Sum(nil), plain...), nil
}

func (s sealing) Open(sealed []byte, place string) ([]byte, error) {
	if len(sealed) < 32 {
		return nil, keystile.ErrMalformed
	}
	again, err := s.Seal(sealed[32:], place)
	if err != nil || !bytes.Equal(again, sealed) {
		return nil, keystile.ErrMalformed
	}
	return sealed[32:], nil
}

// testKeys sign with one secret, whatever algorithm is asked for, and remember what.
type testKeys struct {
	key *jws.Key
	mu  sync.Mutex
	// asked are the algorithms and types that were asked for.
	asked []string
}

const signingSecret = "a secret of more than thirty-two bytes, for tests"

func (k *testKeys) SignAs(_ context.Context, algorithm keystile.SigningAlgorithm, typ string, claims []byte) (keystile.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, string(algorithm)+" "+typ)
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"`+typ+`"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte(signingSecret))
	mac.Write([]byte(text))
	return keystile.Secret(text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))), nil
}

func (k *testKeys) Verify(_ context.Context, t *jws.Token) (bool, error) { return k.key.Verify(t), nil }

func newWorld(t *testing.T) *world { return newWorldOn(t, storetest.Open(t)) }

func newWorldOn(t *testing.T, s *store.Store) *world {
	t.Helper()
	key, err := jws.NewSecret(signingSecret)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s, keys: &testKeys{key: key}, log: &bytes.Buffer{}, clock: time.Now().UTC().Truncate(time.Microsecond), spent: map[string]bool{}, until: map[string]time.Time{}, told: map[string][]string{}, answer: http.StatusOK}
	w.seed()
	w.kind, err = oauthtoken.New(oauthtoken.Options{Find: w.find, Digester: hashing{}, Ledger: proofs{w}, Fresh: func(time.Time) bool { return true }, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kind.Close)
	w.server, err = oidc.New(oidc.Options{
		Store: s, Digester: hashing{}, Sealer: sealing{}, Keys: w.keys, Tokens: w.kind, Claim: w.claim, CheckClient: checkClient, Tell: w.tell, Issuer: issuer, Algorithm: keystile.EdDSA,
		PairwiseKey: bytes.Repeat([]byte{7}, 32), ClientAddr: func(*http.Request) (netip.Addr, error) { return netip.MustParseAddr("203.0.113.9"), nil },
		Offered:   func() []keystile.Scope { return []keystile.Scope{"sites:read", "things:read"} },
		Documents: w.documents, Assertions: w.vouch, RequestID: func(*http.Request) string { return "req-1" }, Random: rand.Reader, Now: w.now, Logger: slog.New(slog.NewTextHandler(&locked{b: w.log}, nil)),
		Fresh: func(time.Time) bool { return !w.stale.Load() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Close)
	s.OnCommit(func(changes []keystile.Change) {
		for _, c := range changes {
			w.kind.Apply(c)
			if !w.deaf.Load() {
				w.server.Apply(c)
			}
		}
	})
	return w
}

// checkClient refuses what a test marks as bad; the rules are tested where they are kept.
func checkClient(c keystile.OAuthClient) (keystile.OAuthClient, error) {
	for _, uri := range c.RedirectURIs {
		if !strings.HasPrefix(uri, "https://") {
			return c, keystile.Invalidf("redirect_uris", "use https", "not https")
		}
	}
	return c, nil
}

// locked is a buffer that several goroutines write to.
type locked struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (w *world) seed() {
	w.t.Helper()
	storetest.Seed(w.t, w.store)
	scopes := []keystile.Scope{"openid", "profile", "email", "sites:read", "admin:write"}
	storetest.Must(w.t, w.store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateRole(ctx, keystile.Role{ID: "role_sites", Name: "Sites", Scopes: []keystile.Scope{"sites:*"}}); err != nil {
			return err
		}
		user := storetest.User("user_ann", "south", "role_sites")
		if err := tx.CreateUser(ctx, user, storetest.Names("user_ann")...); err != nil {
			return err
		}
		for n, c := range []keystile.OAuthClient{
			{ID: "app", RedirectURIs: []string{callback, "https://app.example.com/cb?a=b"}, GrantTypes: keystile.GrantTypes, Audiences: []string{"https://api.example.com", "https://other.example.com"}},
			{ID: "twin", RedirectURIs: []string{callback}, GrantTypes: keystile.GrantTypes, Serves: []string{"https://api.example.com"}},
			{ID: "native", Public: true, RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}, GrantTypes: []keystile.GrantType{keystile.GrantAuthorizationCode, keystile.GrantRefreshToken}},
		} {
			app := storetest.Application(n+1, "north")
			c.ApplicationID, c.Scopes, c.IDTokenAlgorithm = app.ID, scopes, keystile.RS256
			if err := tx.CreateApplication(ctx, app); err != nil {
				return err
			}
			if err := tx.CreateOAuthClient(ctx, c); err != nil {
				return err
			}
			digest, pepper := hashing{}.Digest(sha256.Sum256([]byte(secret)))
			if err := tx.AddOAuthSecret(ctx, keystile.OAuthSecret{ID: "ocs_" + c.ID, ClientID: c.ID, Digest: digest, PepperID: pepper}); err != nil {
				return err
			}
		}
		return nil
	})
	user, err := w.store.User(w.t.Context(), "user_ann")
	if err != nil {
		w.t.Fatal(err)
	}
	w.person = oidc.Person{User: user, Session: keystile.Session{
		ID: "ses_1", UserID: user.ID, Methods: []keystile.AuthMethod{keystile.MethodPassword}, AuthenticatedAt: w.clock.Add(-time.Minute),
		ExpiresAt: w.clock.Add(24 * time.Hour),
	}}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) claim(_ context.Context, scope, value string, _, lastValid time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until[scope+"\x00"+value] = lastValid
	if w.spent[scope+"\x00"+value] {
		return keystile.ErrReplayed
	}
	w.spent[scope+"\x00"+value] = true
	return nil
}

func (w *world) find(ctx context.Context, digests [][32]byte) (oauthtoken.Record, error) {
	f, err := w.store.FindOAuthToken(ctx, digests)
	return oauthtoken.Record{
		Token: f.Token, Client: f.Client, GrantGone: f.GrantGone, GrantApplication: f.GrantApplication, Grant: f.Grant, Review: f.Review, Environment: f.Environment, Owner: f.Owner,
		UserGone: f.UserGone, User: f.User, Tenant: f.Tenant, RoleScopes: f.RoleScopes, SiteIDs: f.SiteIDs,
	}, err
}

// proofs is the world's ledger as the kind asks it.
type proofs struct{ w *world }

func (p proofs) Claim(ctx context.Context, n dpop.Nonce) error {
	return p.w.claim(ctx, n.Scope, n.Value, n.Stamp, n.LastValid)
}

func (p proofs) Spent(context.Context, dpop.Nonce) error { return nil }

// change runs a change of the store.
func (w *world) change(fn func(context.Context, *store.Tx) error) {
	w.t.Helper()
	storetest.Must(w.t, w.store, fn)
}

// changeClient changes one client.
func (w *world) changeClient(id string, edit func(*keystile.OAuthClient)) {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.OAuthClient(ctx, id)
		if err != nil {
			return err
		}
		edit(&c)
		return tx.UpdateOAuthClient(ctx, c)
	})
}

// query is an authorization request; pairs replace its parameters, an empty value takes one out.
func query(pairs ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {callback}, "state": {"xyz"}, "nonce": {"n-1"},
		"scope": {"openid sites:read"}, "code_challenge": {hash}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

// allow answers a request with yes and returns what the client is sent.
func (w *world) allow(q url.Values) url.Values {
	w.t.Helper()
	step, err := w.server.Decide(w.t.Context(), q, w.person, time.Time{}, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return answerOf(w.t, step)
}

func parameters(t *testing.T, location string) url.Values {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// reply is what an endpoint answered.
type reply struct {
	status int
	header http.Header
	body   map[string]any
}

func (r reply) text(name string) string {
	text, _ := r.body[name].(string) //nolint:errcheck // "" where there is none
	return text
}

// post sends a form with pairs, as client "app" unless they name another.
func (w *world) post(path string, pairs ...string) reply {
	w.t.Helper()
	form := url.Values{"client_id": {"app"}, "client_secret": {secret}}
	for i := 0; i < len(pairs); i += 2 {
		if form.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	r := httptest.NewRequest(http.MethodPost, issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.send(r)
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, r)
	got := reply{status: recorder.Code, header: recorder.Result().Header}
	if recorder.Body.Len() > 0 {
		if err := json.Unmarshal(recorder.Body.Bytes(), &got.body); err != nil {
			w.t.Fatalf("%s: %v", recorder.Body, err)
		}
	}
	return got
}

func (w *world) redeem(code string, pairs ...string) reply {
	w.t.Helper()
	return w.post("/oauth/token", append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}, pairs...)...)
}

// tokens signs ann in to app.
func (w *world) tokens() reply {
	w.t.Helper()
	got := w.redeem(w.allow(query()).Get("code"))
	if got.status != http.StatusOK {
		w.t.Fatalf("%d %v", got.status, got.body)
	}
	return got
}

func (w *world) refresh(token string, pairs ...string) reply {
	w.t.Helper()
	return w.post("/oauth/token", append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

// good says whether an access token opens the gate.
func (w *world) good(token string) bool {
	w.t.Helper()
	p, err := w.kind.Parse(&keystile.Request{}, keystile.Found{Header: "Authorization", Scheme: keystile.SchemeBearer, Value: keystile.Secret(token)})
	if err != nil {
		return false
	}
	_, err = w.kind.Verify(w.t.Context(), p)
	return err == nil
}

// claimsOf reads a signed token's payload.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// flat is a query as pairs.
func flat(q url.Values) []string {
	var pairs []string
	for name := range q {
		pairs = append(pairs, name, q.Get(name))
	}
	return pairs
}

// metadata is the discovery document.
func (w *world) metadata() map[string]any {
	w.t.Helper()
	return w.send(httptest.NewRequest(http.MethodGet, issuer+"/.well-known/openid-configuration", nil)).body
}

// sign makes an ID token of this server with whatever claims.
func (w *world) sign(claims map[string]any) string {
	w.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.keys.SignAs(w.t.Context(), keystile.RS256, "JWT", payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return token.Reveal()
}
