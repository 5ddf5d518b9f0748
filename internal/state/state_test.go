package state

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
	"keystile.dev/keystile/internal/yamlfile"
)

var cli = store.Actor{Name: "cli"}

// shop is a store with a service on it and a clock that tests move by hand.
type shop struct {
	*manage.Service
	mu  sync.Mutex
	now time.Time
}

func (s *shop) move(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *shop) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func newShop(t testing.TB) *shop {
	t.Helper()
	return shopOn(t, storetest.Open(t), newPepper(t))
}

func shopOn(t testing.TB, st *store.Store, pepper keyring.Pepper) *shop {
	t.Helper()
	digester, err := keyring.NewDigester(pepper)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.Service = &manage.Service{Store: st, Digester: digester, Sealer: newSealer(t), Passwords: hasher(t), Random: rand.Reader, Now: s.clock}
	return s
}

// hasher is shared: making one hashes a password.
var oneHasher = sync.OnceValues(func() (*password.Hasher, error) { return password.New(password.Options{Random: rand.Reader}) })

func hasher(t testing.TB) *password.Hasher {
	t.Helper()
	h, err := oneHasher()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newSealer(t testing.TB) *keyring.Sealer {
	t.Helper()
	raw := make([]byte, keyring.MasterKeyLength)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	master, err := keyring.NewMaster(raw)
	if err != nil {
		t.Fatal(err)
	}
	sealer, _, err := keyring.NewSealer(master)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

func newPepper(t testing.TB) keyring.Pepper {
	t.Helper()
	pepper, _, err := keyring.NewPepper(rand.Reader, newSealer(t))
	if err != nil {
		t.Fatal(err)
	}
	return pepper
}

func parse(t testing.TB, text string) *World {
	t.Helper()
	w, err := Parse(File{Name: "world.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// apply applies text and returns the summary's lines.
func (s *shop) apply(t testing.TB, text string, o Options) Summary {
	t.Helper()
	summary, err := Apply(context.Background(), s.Service, cli, parse(t, text), o)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return summary
}

// refuses applies text and wants these problems.
func (s *shop) refuses(t testing.TB, text string, o Options, want string) {
	t.Helper()
	_, err := Apply(context.Background(), s.Service, cli, parse(t, text), o)
	if err == nil {
		t.Fatal("apply accepted it")
	}
	if problems, ok := yamlfile.ProblemsOf(err); !ok || len(problems) == 0 {
		t.Fatalf("not problems: %v", err)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func (s *shop) export(t testing.TB) string {
	t.Helper()
	out, err := Export(context.Background(), s.Store, s.clock(), SealedUnder(s.Sealer.MasterID()))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// opens says which key a secret opens; "" if none.
func (s *shop) opens(t testing.TB, secret string) string {
	t.Helper()
	found, err := s.Store.FindAPIKeySecret(context.Background(), s.Digester.Candidates(sha256.Sum256([]byte(secret)), nil))
	if errors.Is(err, keystile.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := func(at time.Time) bool { return !at.IsZero() && !s.clock().Before(at) }
	if ended(found.Secret.ExpiresAt) || ended(found.Key.ExpiresAt) || !found.Key.RevokedAt.IsZero() {
		return ""
	}
	return found.Key.ID
}

const (
	secretA = "opa_prod_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAxxxxxx"
	secretB = "foreign-key-of-another-system-0123456789"
)

func hexSum(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// full is a world with every field of every supported collection but digests.
var full = `
organizations:
  - id: sibaya-power
    name: Sibaya Power
    environment: production
    tenant_id: 0B0E2F1E-7C3E-4B52-9C61-0E6DAE5C8B7B
    key_prefix: sib
  - {id: closed, disabled: true}
sites:
  - {id: Sibaya, organization: sibaya-power, name: "Sibaya: the plant"}
  - {id: Other, organization: sibaya-power}
  - {id: Elsewhere, organization: closed}
roles:
  - {id: role_analyst, scopes: ["telemetry:read", "telemetry:*"]}
api_keys:
  - id: key_sibaya
    secret: ` + secretA + `
    organization: sibaya-power
    permitted_site_ids: [Sibaya, Other]
    scopes: ["telemetry:read"]
    expires_at: 2027-01-01T00:00:00Z
    limit: 60/1m
    allowed_ips: [10.0.0.0/8]
  - id: key_expired
    name: "off"
    sha256: ` + hexSum(secretB) + `
    organization: sibaya-power
    environment: sandbox
    expires_at: 2020-01-01T00:00:00Z
    limit: 20000/1h
    limit_algorithm: gcra
  - {id: key_new, organization: sibaya-power, allowed_ips: [0.0.0.0/0]}
  - {id: key_closed, organization: closed, permitted_site_ids: [Elsewhere], revoked_at: 2026-02-01T00:00:00Z}
`
