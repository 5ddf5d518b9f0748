package apikey_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/credential/credentialtest"
)

// world is a store of keys in memory; its "digest" is the sum itself with the
// number of the pepper in the first byte.
type world struct {
	mu      sync.Mutex
	records map[[32]byte]apikey.Record
	org     keystile.Organization
	broken  bool
	peppers int
	used    []apikey.Use
	now     time.Time
	made    int
}

func newWorld() *world {
	return &world{
		records: map[[32]byte]apikey.Record{}, peppers: 1, now: time.Unix(1_700_000_000, 0),
		org: keystile.Organization{ID: "org", Environment: keystile.Production},
	}
}

func peppered(sum [32]byte, pepper int) [32]byte {
	sum[0] ^= byte(pepper)
	sum[1] ^= 0x55
	return sum
}

func (w *world) Digest(sum [32]byte) ([32]byte, string) {
	return peppered(sum, w.peppers), fmt.Sprintf("pep_%d", w.peppers)
}

func (w *world) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	for p := w.peppers; p > 0 && p > w.peppers-3; p-- {
		buf = append(buf, peppered(sum, p))
	}
	return buf
}

func (w *world) find(_ context.Context, digests [][32]byte) (apikey.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return apikey.Record{}, fmt.Errorf("disk on fire: %w", keystile.ErrUnavailable)
	}
	for _, digest := range digests {
		if record, ok := w.records[digest]; ok {
			record.Organization = w.org
			return record, nil
		}
	}
	return apikey.Record{}, keystile.ErrNotFound
}

func (w *world) add(t testing.TB, change func(*apikey.Record)) (keystile.Secret, apikey.Record) {
	t.Helper()
	secret, err := apikey.Generate(rand.Reader, "opa", keystile.Production)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	record := apikey.Record{Key: keystile.APIKey{ID: fmt.Sprintf("key_%d", w.made), OrganizationID: "org", Environment: keystile.Production}}
	record.Secret.Digest, record.Secret.PepperID = w.Digest(apikey.Sum(secret))
	if change != nil {
		change(&record)
	}
	w.records[record.Secret.Digest] = record
	return secret, record
}

func (w *world) kind(t testing.TB) *apikey.Kind {
	t.Helper()
	k, err := apikey.New(apikey.Options{
		Find: w.find, Digester: w, Fresh: func(time.Time) bool { return true },
		Now:  func() time.Time { return w.now },
		Used: func(u apikey.Use) { w.mu.Lock(); defer w.mu.Unlock(); w.used = append(w.used, u) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func TestAPIKeysShowTheBehaviourOfEveryKind(t *testing.T) {
	credentialtest.Run(t, func(t *testing.T) credentialtest.Fixture {
		w := newWorld()
		k := w.kind(t)
		return credentialtest.Fixture{
			Kind: k,
			Good: func(t *testing.T) (keystile.Found, keystile.Principal) {
				secret, record := w.add(t, nil)
				return keystile.Found{Header: "X-Api-Key", Value: secret},
					keystile.Principal{CredentialID: record.Key.ID, OrganizationID: "org"}
			},
			Revoke: func(_ *testing.T, f keystile.Found) {
				digest, _ := w.Digest(apikey.Sum(f.Value))
				w.mu.Lock()
				record := w.records[digest]
				record.Key.RevokedAt = w.now
				w.records[digest] = record
				w.mu.Unlock()
				k.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: record.Key.ID})
			},
			DisableOrganization: func(*testing.T) {
				w.mu.Lock()
				w.org.Disabled = true
				w.mu.Unlock()
				k.Apply(keystile.Change{Kind: keystile.ChangeOrganization, ID: "org"})
			},
			BreakStore: func(*testing.T) { w.mu.Lock(); defer w.mu.Unlock(); w.broken = true },
		}
	})
}

func check(k *apikey.Kind, secret keystile.Secret) (*keystile.Principal, keystile.Reason, error) {
	presented, err := k.Parse(&keystile.Request{ClientAddr: netip.MustParseAddr("192.0.2.1")}, keystile.Found{Value: secret})
	if err != nil {
		return nil, "", err
	}
	p, err := k.Verify(context.Background(), presented)
	var rejection *keystile.Rejection
	if errors.As(err, &rejection) {
		return p, rejection.Reason, err
	}
	return p, "", err
}

func TestAKeyEndsAtItsExpiryAndNotAMomentLater(t *testing.T) {
	w := newWorld()
	k := w.kind(t)
	secret, _ := w.add(t, func(r *apikey.Record) { r.Key.ExpiresAt = w.now.Add(time.Minute) })
	w.now = w.now.Add(time.Minute - 1)
	if _, _, err := check(k, secret); err != nil {
		t.Fatalf("refused before its expiry: %v", err)
	}
	w.now = w.now.Add(1)
	if _, reason, err := check(k, secret); err == nil || reason != keystile.ReasonCredentialExpired {
		t.Errorf("at its expiry: %q", reason)
	}
}

func TestARotatedSecretWorksToTheEndOfTheOverlap(t *testing.T) {
	w := newWorld()
	k := w.kind(t)
	old, _ := w.add(t, func(r *apikey.Record) { r.Key.ID = "key_r"; r.Secret.ExpiresAt = w.now.Add(time.Hour) })
	fresh, _ := w.add(t, func(r *apikey.Record) { r.Key.ID = "key_r" })
	for range 2 {
		if _, _, err := check(k, old); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(time.Hour)
	if _, reason, err := check(k, old); err == nil || reason != keystile.ReasonCredentialRevoked && reason != keystile.ReasonCredentialExpired {
		t.Errorf("after the overlap: %q", reason)
	}
	if _, _, err := check(k, fresh); err != nil {
		t.Errorf("the new secret was refused: %v", err)
	}
}

func TestAKeyUnderARetiredPepperWorksAndIsMovedToTheCurrentOne(t *testing.T) {
	w := newWorld()
	secret, record := w.add(t, nil)
	w.peppers = 3
	k := w.kind(t)
	if _, _, err := check(k, secret); err != nil {
		t.Fatal(err)
	}
	want, pepper := w.Digest(apikey.Sum(secret))
	if len(w.used) != 1 || w.used[0].Rehash == nil || w.used[0].Rehash.Old != record.Secret.Digest ||
		w.used[0].Rehash.New != want || w.used[0].Rehash.PepperID != pepper {
		t.Errorf("uses: %+v", w.used)
	}
	w.peppers = 4
	if _, reason, err := check(w.kind(t), secret); err == nil || reason != keystile.ReasonCredentialUnknown {
		t.Errorf("under a pepper that is gone: %q", reason)
	}
}

func TestAMistypedKeyIsUnknownAndTheCauseSaysSo(t *testing.T) {
	w := newWorld()
	_, reason, err := check(w.kind(t), "opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g300")
	if reason != keystile.ReasonCredentialUnknown || err.Error() != "credential_unknown: no such key, and its checksum does not match: it was mistyped or cut" {
		t.Errorf("got %v", err)
	}
}

func TestAnImportedKeyOfOurFormWithAWrongChecksumWorks(t *testing.T) {
	w := newWorld()
	const foreign = keystile.Secret("opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g300")
	w.add(t, func(r *apikey.Record) { r.Secret.Digest, _ = w.Digest(apikey.Sum(foreign)) })
	if _, _, err := check(w.kind(t), foreign); err != nil {
		t.Error(err)
	}
}

func TestTheUseOfAKeyIsReportedOnceInAnInterval(t *testing.T) {
	w := newWorld()
	k := w.kind(t)
	secret, _ := w.add(t, nil)
	for range 5 {
		if _, _, err := check(k, secret); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(5 * time.Minute)
	if _, _, err := check(k, secret); err != nil {
		t.Fatal(err)
	}
	if len(w.used) != 2 {
		t.Errorf("%d reports, want 2", len(w.used))
	}
}

func BenchmarkVerifyWarm(b *testing.B) {
	w := newWorld()
	k := w.kind(b)
	secret, _ := w.add(b, nil)
	r := &keystile.Request{ClientAddr: netip.MustParseAddr("192.0.2.1")}
	f := keystile.Found{Value: secret}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		p, err := k.Parse(r, f)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := k.Verify(ctx, p); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAPersonalKeyMayDoWhatItsUserMayAndHangsOnThem(t *testing.T) {
	w := newWorld()
	k := w.kind(t)
	owner := func() *apikey.Owner {
		return &apikey.Owner{
			User:    keystile.User{ID: "user_1", Username: "ann@example.com", RoleID: "analyst", GroupID: "g", CustomerIDs: []string{"c"}},
			Role:    keystile.Role{ID: "analyst", Scopes: []keystile.Scope{"telemetry:read"}},
			SiteIDs: []string{"Roof"},
		}
	}
	personal := func(change func(*apikey.Record)) (keystile.Secret, apikey.Record) {
		return w.add(t, func(r *apikey.Record) {
			r.Key.UserID, r.Owner = "user_1", owner()
			// What the record of the key says counts for nothing.
			r.Key.Scopes, r.Key.PermittedSiteIDs = []keystile.Scope{"admin:*"}, []string{"Elsewhere"}
			change(r)
		})
	}
	secret, record := personal(func(*apikey.Record) {})
	p, _, err := check(k, secret)
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "user:user_1" || p.CredentialID != record.Key.ID || p.UserID != "user_1" || p.Username != "ann@example.com" || p.Role != "analyst" || p.GroupID != "g" ||
		!p.HasScope("telemetry:read") || p.HasScope("admin:x") || len(p.SiteIDs) != 1 || p.SiteIDs[0] != "Roof" || len(p.CustomerIDs) != 1 {
		t.Errorf("%+v", p)
	}
	for name, step := range map[string]struct {
		change keystile.Change
		edit   func(*apikey.Record)
		reason keystile.Reason
	}{
		"the user is disabled":  {keystile.Change{Kind: keystile.ChangeUser, ID: "user_1"}, func(r *apikey.Record) { r.Owner.User.Disabled = true }, keystile.ReasonCredentialRevoked},
		"the user is gone":      {keystile.Change{Kind: keystile.ChangeUser, ID: "user_1"}, func(r *apikey.Record) { r.Owner = nil }, keystile.ReasonCredentialUnknown},
		"the role lost a scope": {keystile.Change{Kind: keystile.ChangeRole, ID: "analyst"}, func(r *apikey.Record) { r.Owner.Role.Scopes = nil }, ""},
	} {
		secret, record := personal(func(*apikey.Record) {})
		if _, _, err := check(k, secret); err != nil {
			t.Fatal(err)
		}
		step.edit(&record)
		w.mu.Lock()
		w.records[record.Secret.Digest] = record
		w.mu.Unlock()
		k.Apply(step.change)
		p, reason, err := check(k, secret)
		if reason != step.reason || (err == nil) != (step.reason == "") || p != nil && p.HasScope("telemetry:read") {
			t.Errorf("%s: %+v, %q, %v", name, p, reason, err)
		}
	}
	secret, _ = w.add(t, func(r *apikey.Record) { r.Owner = owner() })
	if _, reason, err := check(k, secret); reason != keystile.ReasonCredentialUnknown {
		t.Errorf("a key of nobody's with an owner: %q, %v", reason, err)
	}
}

func TestALeakedSecretIsThrottledWhereItsOrganizationSaysSoAndNoOther(t *testing.T) {
	w := newWorld()
	tight, loose := keystile.Rate{Requests: 1, Window: time.Minute}, keystile.Rate{Requests: 1000, Window: time.Minute}
	for _, c := range []struct {
		name     string
		response keystile.LeakResponse
		leaked   bool
		own      *keystile.Rate
		want     string
	}{
		{"leaked", keystile.LeakThrottle, true, nil, keystile.LeakRate.String()},
		{"leaked, with a looser limit", keystile.LeakThrottle, true, &loose, keystile.LeakRate.String()},
		{"leaked, with a tighter limit", keystile.LeakThrottle, true, &tight, tight.String()},
		{"not leaked", keystile.LeakThrottle, false, &loose, loose.String()},
		{"only told of", keystile.LeakNotify, true, &loose, loose.String()},
	} {
		w.org.Leak.Response = c.response
		secret, _ := w.add(t, func(r *apikey.Record) {
			r.Key.Limit = c.own
			if c.leaked {
				r.Secret.LeakedAt = w.now
			}
		})
		p, err := w.kind(t).Verify(t.Context(), keystile.Presented{Digest: apikey.Sum(secret), Value: secret})
		if err != nil || p.Limit == nil || p.Limit.String() != c.want {
			t.Errorf("%s: %+v, %v; want %s", c.name, p, err, c.want)
		}
	}
}
