package sessionjwt_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/sessionjwt"
	"keystile.dev/keystile/internal/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer      = "https://auth.example.com"
	sharedText  = "the shared secret of the Ona platform, 32+"
	acmeSession = "ses_0123456789abcdefghijABCDEFGHIJ01"
)

// world is a store of sessions in memory, with the real keys of the house.
type world struct {
	t      testing.TB
	mu     sync.Mutex
	record map[string]*sessionjwt.Record // by session id
	broken bool
	reads  int
	used   []sessionjwt.Use
	now    time.Time

	keys   *keyring.TokenKeys
	ids    *keyring.TokenIDs
	minter *sessionjwt.Minter
	kind   *sessionjwt.Kind
	set    *keyring.TokenSet
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func newWorld(t testing.TB, change func(*sessionjwt.Options, *sessionjwt.MinterOptions)) *world {
	t.Helper()
	w := &world{t: t, record: map[string]*sessionjwt.Record{}, now: time.Unix(1_700_000_000, 0), set: &keyring.TokenSet{}}
	raw := make([]byte, 32)
	must(rand.Read(raw))(t)
	sealer, _, err := keyring.NewSealer(must(keyring.NewMaster(raw))(t))
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	w.ids = must(keyring.OpenTokenIDs(sealer, must(keyring.NewTokenIDKey(rand.Reader, sealer))(t), rand.Reader))(t)
	w.keys = keyring.NewTokenKeys(keyring.TokenKeysOptions{
		Load:   func(context.Context) (*keyring.TokenSet, error) { return w.set, nil },
		Secret: sharedText, Now: clock,
	})
	w.rotate(keystile.EdDSA, "")
	w.rotate(keystile.ES256, "")
	mo := sessionjwt.MinterOptions{Keys: w.keys, IDs: w.ids, Issuer: issuer, Now: clock}
	o := sessionjwt.Options{
		Find: w.find, Keys: w.keys, IDs: w.ids, Issuer: issuer, Fresh: func(time.Time) bool { return true }, Now: clock,
		Used: func(u sessionjwt.Use) { w.mu.Lock(); defer w.mu.Unlock(); w.used = append(w.used, u) },
	}
	if change != nil {
		change(&o, &mo)
	}
	w.minter = must(sessionjwt.NewMinter(mo))(t)
	w.kind = must(sessionjwt.New(o))(t)
	t.Cleanup(w.kind.Close)
	w.add(acmeSession, "acme")
	return w
}

func (w *world) rotate(algorithm keystile.SigningAlgorithm, organization string) {
	w.t.Helper()
	set, _, err := w.set.Rotate(keyring.TokenRotation{
		Algorithm: algorithm, OrganizationID: organization, Now: w.now, Ahead: time.Minute, Life: 24 * time.Hour, Random: rand.Reader,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.set = set
	w.keys.Apply(keystile.Change{Kind: keystile.ChangeTokenKey})
}

// add signs a user of an organisation in.
func (w *world) add(session, organization string) *sessionjwt.Record {
	r := &sessionjwt.Record{
		Session: keystile.Session{
			ID: session, UserID: "user_" + organization, OrganizationID: organization, Door: keystile.DoorOna,
			Methods: []keystile.AuthMethod{keystile.MethodPassword, keystile.MethodTOTP, keystile.MethodMFA}, AuthenticatedAt: w.now,
			CreatedAt: w.now, ExpiresAt: w.now.Add(30 * 24 * time.Hour),
		},
		User: keystile.User{
			ID: "user_" + organization, OrganizationID: organization, Username: "ann@" + organization + ".example", RoleID: "role_analyst",
			CustomerIDs: []string{"cust-1", "cust-2"}, GroupID: "grp-1",
		},
		Organization: keystile.Organization{ID: organization, Environment: keystile.Production},
		Role:         keystile.Role{ID: "role_analyst", Scopes: []keystile.Scope{"telemetry:read"}},
		SiteIDs:      []string{"Sibaya"},
		ParentsLive:  true,
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record[session] = r
	return r
}

func (w *world) find(_ context.Context, id string) (sessionjwt.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	if w.broken {
		return sessionjwt.Record{}, fmt.Errorf("disk on fire: %w", keystile.ErrUnavailable)
	}
	if r, ok := w.record[id]; ok {
		return *r, nil
	}
	return sessionjwt.Record{}, fmt.Errorf("session: %w", keystile.ErrNotFound)
}

// change edits a session's record and tells of it.
func (w *world) change(session string, kind keystile.ChangeKind, edit func(*sessionjwt.Record)) {
	w.mu.Lock()
	r := w.record[session]
	edit(r)
	id := map[keystile.ChangeKind]string{
		keystile.ChangeSession: session, keystile.ChangeUser: r.User.ID, keystile.ChangeRole: r.User.RoleID,
		keystile.ChangeOrganization: r.Organization.ID, keystile.ChangeKey: r.Session.APIKeyID, keystile.ChangeProvider: r.Session.ProviderName,
	}[kind]
	w.mu.Unlock()
	w.kind.Apply(keystile.Change{Kind: kind, ID: id})
}

func (w *world) ona(session string) string {
	w.t.Helper()
	r := w.record[session]
	token, _, err := w.minter.Ona(context.Background(), r.Session, r.User)
	return must(token, err)(w.t).Reveal()
}

func (w *world) standard(session string) string {
	w.t.Helper()
	r := w.record[session]
	token, _, err := w.minter.Standard(context.Background(), r.Session, r.User, "", 0)
	return must(token, err)(w.t).Reveal()
}

func found(text string) keystile.Found {
	return keystile.Found{Kind: keystile.KindSessionJWT, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: keystile.Secret(text)}
}

func request() *keystile.Request {
	return &keystile.Request{Method: "GET", Path: "/", ClientAddr: netip.MustParseAddr("192.0.2.1")}
}

func (w *world) verify(text string) (*keystile.Principal, error) {
	presented, err := w.kind.Parse(request(), found(text))
	if err != nil {
		return nil, err
	}
	return w.kind.Verify(context.Background(), presented)
}

// wants verifies a token; reason "" is good, "malformed" is credential_malformed.
func (w *world) wants(text string, reason keystile.Reason) *keystile.Principal {
	w.t.Helper()
	p, err := w.verify(text)
	var rejection *keystile.Rejection
	got := keystile.Reason("?")
	switch {
	case err == nil:
		got = ""
	case errors.Is(err, keystile.ErrMalformed):
		got = "malformed"
	case errors.As(err, &rejection):
		if got = rejection.Reason; got == keystile.ReasonCredentialMalformed {
			got = "malformed"
		}
	}
	if got != reason || (p == nil) != (reason != "") {
		w.t.Errorf("got %q (%v), want %q", got, err, reason)
	}
	return p
}

func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forge is a token under the shared secret, which every verifier of the platform has.
func forge(header, claims string) string {
	signed := part(header) + "." + part(claims)
	mac := hmac.New(sha256.New, []byte(sharedText))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// number is a claim that is a whole number.
func number(t testing.TB, claim any) int64 {
	t.Helper()
	n, ok := claim.(float64)
	if !ok {
		t.Fatalf("%v is no number", claim)
	}
	return int64(n)
}

func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1]))(t), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// with is a token under the shared secret with the claims of another one, changed.
func with(t testing.TB, token string, change func(map[string]any)) string {
	t.Helper()
	claims := claimsOf(t, token)
	for _, name := range []string{"iat", "exp"} {
		claims[name] = number(t, claims[name])
	}
	change(claims)
	return forge(`{"alg":"HS256","typ":"JWT"}`, string(must(json.Marshal(claims))(t)))
}
