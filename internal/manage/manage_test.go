package manage_test

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

var operator = manage.Actor{Name: "cli"}

// clock is a time that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a fresh SQLite store with a Service on it.
type world struct {
	*manage.Service
	clock *clock
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	clock := newClock()
	st, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "keystile.db"), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := st.Migrate(ctx, nil); err != nil {
		t.Fatal(err)
	}
	return &world{
		Service: &manage.Service{Store: st, Digester: newDigester(t), Sealer: newSealer(t), Random: rand.Reader, Now: clock.Now},
		clock:   clock,
	}
}

func newDigester(t testing.TB) *keyring.Digester {
	t.Helper()
	return must(keyring.NewDigester(newPepper(t)))(t)
}

func newSealer(t testing.TB) *keyring.Sealer {
	t.Helper()
	raw := make([]byte, keyring.MasterKeyLength)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	master := must(keyring.NewMaster(raw))(t)
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

// must is for calls that tests do not expect to fail.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// organization makes an organisation with one site.
func (w *world) organization(t testing.TB, id, site string) keystile.Organization {
	t.Helper()
	ctx := context.Background()
	org := must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: id}))(t)
	if site != "" {
		must(w.CreateSite(ctx, operator, keystile.Site{ID: site, OrganizationID: id}))(t)
	}
	return org
}

// key makes a key and returns it with its secret.
func (w *world) key(t testing.TB, in manage.NewKey) (keystile.APIKey, keystile.Secret) {
	t.Helper()
	key, secret, err := w.CreateKey(context.Background(), operator, in)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

// token makes an admin token and returns a Service narrowed to it.
func (w *world) token(t testing.TB, in manage.NewAdminToken) (*manage.Service, keystile.AdminToken, keystile.Secret) {
	t.Helper()
	token, secret, err := w.CreateAdminToken(context.Background(), operator, in)
	if err != nil {
		t.Fatal(err)
	}
	return w.For(token), token, secret
}

// faults returns the fields that an error finds fault with.
func faults(err error) []string {
	var fields []string
	var walk func(error)
	walk = func(err error) {
		var invalid *keystile.Invalid
		switch e := err.(type) { //nolint:errorlint // this walk is the unwrapping
		case nil:
		case *keystile.Invalid:
			fields = append(fields, e.Field)
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		default:
			if errors.As(err, &invalid) {
				fields = append(fields, invalid.Field)
			}
		}
	}
	walk(err)
	return fields
}

func wantFaults(t *testing.T, err error, fields ...string) {
	t.Helper()
	if got := faults(err); strings.Join(got, " ") != strings.Join(fields, " ") {
		t.Errorf("faults = %q, want %q (error: %v)", got, fields, err)
	}
}

func wantIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error = %v, want %v", err, target)
	}
}
