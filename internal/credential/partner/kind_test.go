package partner_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/credentialtest"
	"keystile.dev/keystile/internal/credential/partner"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a store of temporary keys in memory.
type world struct {
	mu      sync.Mutex
	records map[[32]byte]*partner.Record
	broken  bool
	kind    *partner.Kind
	clock   time.Time
}

// plain is a digester without a pepper.
type plain struct{}

func (plain) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	return append(buf, sha256.Sum256(sum[:]))
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{records: map[[32]byte]*partner.Record{}, clock: now}
	var err error
	w.kind, err = partner.New(partner.Options{
		Find: w.find, Digester: plain{}, Fresh: func(time.Time) bool { return true }, Now: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kind.Close)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) find(_ context.Context, digests [][32]byte) (partner.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return partner.Record{}, keystile.ErrUnavailable
	}
	for _, d := range digests {
		if r, ok := w.records[d]; ok {
			return *r, nil
		}
	}
	return partner.Record{}, keystile.ErrNotFound
}

// add makes a temporary key of application "app" in tenant "south".
func (w *world) add(t testing.TB) (keystile.Found, *partner.Record) {
	t.Helper()
	secret, err := partner.Generate(rand.Reader, partner.TemporaryKey, keystile.Production)
	if err != nil {
		t.Fatal(err)
	}
	sum := partner.Sum(secret)
	r := &partner.Record{
		Key:         keystile.TemporaryKey{ID: "tmp_" + secret.Reveal()[28:], ApplicationID: "app", TenantID: "south", Generation: 3, UserID: "user_1", ExpiresAt: now.Add(13 * time.Hour)},
		Environment: keystile.Production, Review: keystile.ReviewApproved, Owner: "north", Standing: 3,
		Asked: []keystile.Scope{"roof:read", "array:*"}, Granted: []keystile.Scope{"roof:*", "array:read", "other:read"}, SiteIDs: []string{"s1"},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[sha256.Sum256(sum[:])] = r
	return keystile.Found{Kind: keystile.KindPartner, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: secret}, r
}

func (w *world) change(fn func(), c keystile.Change) {
	w.mu.Lock()
	fn()
	w.mu.Unlock()
	w.kind.Apply(c)
}

func (w *world) verify(found keystile.Found) (*keystile.Principal, error) {
	p, err := w.kind.Parse(&keystile.Request{}, found)
	if err != nil {
		return nil, err
	}
	return w.kind.Verify(context.Background(), p)
}

func reason(err error) keystile.Reason {
	var r *keystile.Rejection
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestTemporaryKeysBehaveAsEveryKindMust(t *testing.T) {
	credentialtest.Run(t, func(t *testing.T) credentialtest.Fixture {
		w := newWorld(t)
		last := map[keystile.Secret]*partner.Record{}
		return credentialtest.Fixture{
			Kind: w.kind,
			Good: func(t *testing.T) (keystile.Found, keystile.Principal) {
				found, r := w.add(t)
				last[found.Value] = r
				return found, keystile.Principal{CredentialID: r.Key.ID, OrganizationID: "south"}
			},
			Revoke: func(_ *testing.T, f keystile.Found) {
				w.change(func() { last[f.Value].Review = keystile.ReviewSuspended }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"})
			},
			DisableOrganization: func(*testing.T) {
				w.change(func() {
					for _, r := range w.records {
						r.TenantDisabled = true
					}
				}, keystile.Change{Kind: keystile.ChangeOrganization, ID: "south"})
			},
			BreakStore: func(*testing.T) { w.change(func() { w.broken = true }, keystile.Change{Kind: keystile.ChangeAll}) },
		}
	})
}

func TestATemporaryKeyMayDoWhatWasAskedAndGrantedAndNothingElse(t *testing.T) {
	w := newWorld(t)
	found, _ := w.add(t)
	p, err := w.verify(found)
	if err != nil {
		t.Fatal(err)
	}
	if want := []keystile.Scope{"roof:read", "array:read"}; !slices.Equal(p.Scopes, want) {
		t.Errorf("scopes %v, want %v", p.Scopes, want)
	}
	if p.Subject != "application:app" || p.ApplicationID != "app" || p.OrganizationID != "south" || p.UserID != "user_1" || p.Environment != keystile.Production {
		t.Errorf("principal %+v", p)
	}
}

// TestThreat28_EverythingATemporaryKeyHangsOnEndsItAtOnce warms the key first, so
// that only the change can have dropped it.
func TestThreat28_EverythingATemporaryKeyHangsOnEndsItAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*partner.Record)
		change keystile.Change
		want   keystile.Reason
	}{
		"the tenant withdraws":              {func(r *partner.Record) { r.Withdrawn, r.Standing = true, 4 }, keystile.Change{Kind: keystile.ChangeAuthorization, ID: "app/south"}, keystile.ReasonTenantNotAuthorized},
		"the tenant withdrew and said yes":  {func(r *partner.Record) { r.Standing = 4 }, keystile.Change{Kind: keystile.ChangeAuthorization, ID: "app/south"}, keystile.ReasonTenantNotAuthorized},
		"the authorization ends":            {func(r *partner.Record) { r.AuthorizationExpiresAt = now }, keystile.Change{Kind: keystile.ChangeAuthorization, ID: "app/south"}, keystile.ReasonTenantNotAuthorized},
		"the application is suspended":      {func(r *partner.Record) { r.Review = keystile.ReviewSuspended }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the application is retired":        {func(r *partner.Record) { r.Review = keystile.ReviewRetired }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the application is reviewed again": {func(r *partner.Record) { r.Review = keystile.ReviewInReview }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the application key is revoked":    {func(r *partner.Record) { r.KeyRevoked = true }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the partner is disabled":           {func(r *partner.Record) { r.OwnerDisabled = true }, keystile.Change{Kind: keystile.ChangeOrganization, ID: "north"}, keystile.ReasonCredentialRevoked},
		"the tenant is disabled":            {func(r *partner.Record) { r.TenantDisabled = true }, keystile.Change{Kind: keystile.ChangeOrganization, ID: "south"}, keystile.ReasonCredentialRevoked},
		"its user is disabled":              {func(r *partner.Record) { r.UserGone = true }, keystile.Change{Kind: keystile.ChangeUser, ID: "user_1"}, keystile.ReasonCredentialRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			found, r := w.add(t)
			if _, err := w.verify(found); err != nil {
				t.Fatal(err)
			}
			w.change(func() { c.end(r) }, c.change)
			if _, err := w.verify(found); reason(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestATemporaryKeyEndsInItsThirteenthHour(t *testing.T) {
	w := newWorld(t)
	found, r := w.add(t)
	w.clock = r.Key.ExpiresAt.Add(-time.Second)
	if _, err := w.verify(found); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.clock = r.Key.ExpiresAt
	w.mu.Unlock()
	if _, err := w.verify(found); reason(err) != keystile.ReasonCredentialExpired {
		t.Errorf("a warm key at its end: %v", err)
	}
}

func TestAClockThatStepsAcrossTheThirteenthHourEndsAKeyAndSteppingBackMakesNoneLonger(t *testing.T) {
	w := newWorld(t)
	found, r := w.add(t)
	step := func(to time.Time) {
		w.mu.Lock()
		w.clock = to
		w.mu.Unlock()
	}
	if _, err := w.verify(found); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   time.Time
		want keystile.Reason
	}{
		{now.Add(14 * time.Hour), keystile.ReasonCredentialExpired},
		{now.Add(-24 * time.Hour), ""}, // the clock was set back: its end is an instant, not a span
		{r.Key.ExpiresAt.Add(-time.Nanosecond), ""},
		{r.Key.ExpiresAt, keystile.ReasonCredentialExpired},
		{r.Key.ExpiresAt.Add(time.Hour), keystile.ReasonCredentialExpired},
	} {
		step(c.to)
		if _, err := w.verify(found); reason(err) != c.want {
			t.Errorf("at %s: %v, want %q", c.to, err, c.want)
		}
	}
}

func TestThreat02_ApplicationKeysAndSessionTokensOpenNothingAtTheGate(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []partner.Type{partner.ApplicationKey, partner.SessionToken} {
		secret, err := partner.Generate(rand.Reader, kind, keystile.Production)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.verify(keystile.Found{Value: secret}); reason(err) != keystile.ReasonKindNotAccepted {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestOnlyTheExactFormIsAPartnersCredential(t *testing.T) {
	hex24, base := strings.Repeat("0a", 12), strings.Repeat("aB3z", 8)
	for text, want := range map[string]partner.Type{
		"tk_test_" + hex24: partner.TemporaryKey, "tk_prod_" + hex24: partner.TemporaryKey,
		"ak_test_" + base: partner.ApplicationKey, "st_prod_" + base: partner.SessionToken,
		"tk_sand_" + hex24: "", "tk_test_" + hex24[:23]: "", "tk_test_" + hex24 + "0": "", "tk_test_" + strings.ToUpper(hex24): "",
		"TK_test_" + hex24: "", "tk-test-" + hex24: "", "ak_test_" + base[:31]: "", "ak_test_" + base + "x": "", "ak_test_" + base[:31] + "-": "",
		"xk_test_" + hex24: "", "": "", "tk_test_": "", "tk_test_" + hex24[:23] + "\x00": "",
	} {
		got, _, ok := partner.Shape(text)
		if ok != (want != "") || ok && got != want {
			t.Errorf("Shape(%q) = %q, %v; want %q", text, got, ok, want)
		}
	}
}

func FuzzShape(f *testing.F) {
	f.Add("tk_test_0123456789abcdef01234567")
	f.Add("ak_prod_" + strings.Repeat("a", 32))
	f.Fuzz(func(t *testing.T, text string) {
		kind, env, ok := partner.Shape(text)
		if !ok {
			return
		}
		head := string(kind) + "_prod_"
		if env == keystile.Sandbox {
			head = string(kind) + "_test_"
		}
		if !strings.HasPrefix(text, head) || len(text) > 40 || strings.ContainsAny(text[8:], "_-. \x00") {
			t.Errorf("%q was taken for a %s of %s", text, kind, env)
		}
	})
}

func TestCommonIsWhatBothSidesAllow(t *testing.T) {
	for _, c := range []struct{ asked, granted, want string }{
		{"a:read", "a:read", "a:read"},
		{"a:*", "a:read", "a:read"},
		{"a:read", "a:*", "a:read"},
		{"a:*", "a:*", "a:*"},
		{"a:read b:read", "b:read c:read", "b:read"},
		{"a:read a:*", "a:read", "a:read"},
		{"a:read", "", ""},
		{"", "a:read", ""},
		{"plain", "plain", "plain"},
	} {
		got := partner.Common(scopes(c.asked), scopes(c.granted))
		if !slices.Equal(got, scopes(c.want)) {
			t.Errorf("asked %q, granted %q: %v, want %q", c.asked, c.granted, got, c.want)
		}
	}
}

func scopes(text string) (list []keystile.Scope) {
	for _, s := range strings.Fields(text) {
		list = append(list, keystile.Scope(s))
	}
	return list
}

// BenchmarkVerifyWarm is what the gate asks of the kind for a temporary key it has seen before. Beside it in
// internal/credential/apikey stands the same for an API key.
func BenchmarkVerifyWarm(b *testing.B) {
	w := newWorld(b)
	found, _ := w.add(b)
	r := &keystile.Request{ClientAddr: netip.MustParseAddr("192.0.2.1"), Method: "GET", Scheme: "https", Host: "api.example.com", Path: "/a"}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		p, err := w.kind.Parse(r, found)
		if err != nil {
			b.Fatal(err)
		}
		p.At = now // as the gate says
		if _, err := w.kind.Verify(ctx, p); err != nil {
			b.Fatal(err)
		}
	}
}
