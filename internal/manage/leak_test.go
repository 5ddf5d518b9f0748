package manage_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

var stranger = manage.Actor{Name: "leak_report", RequestID: "req-1"}

// leaky makes an organisation with a response to leaks and a key of it.
func (w *world) leaky(t testing.TB, policy keystile.LeakPolicy) (keystile.APIKey, keystile.Secret) {
	t.Helper()
	must(w.CreateOrganization(context.Background(), operator, keystile.Organization{ID: "acme", Leak: policy}))(t)
	return w.key(t, manage.NewKey{OrganizationID: "acme"})
}

// leakEvents are the audit events about leaks, oldest first.
func (w *world) leakEvents(t testing.TB) (events []keystile.Event) {
	t.Helper()
	for _, e := range must(w.Events(context.Background(), manage.EventFilter{OrganizationID: "acme"}))(t) {
		if e.Action == "api_key.leaked" {
			events = append(events, e)
		}
	}
	return events
}

func TestALeakIsToldOncePerKeyAndDay(t *testing.T) {
	w := newWorld(t)
	key, secret := w.leaky(t, keystile.LeakPolicy{})
	for i, c := range []struct {
		after time.Duration
		told  bool
	}{{0, true}, {time.Second, false}, {23 * time.Hour, false}, {time.Hour, true}, {0, false}} {
		w.clock.Move(c.after)
		leak := must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret}))(t)
		if leak.Told != c.told || leak.Key.ID != key.ID || !leak.EndsAt.IsZero() {
			t.Errorf("report %d: %+v", i, leak)
		}
	}
	if n := len(w.leakEvents(t)); n != 2 {
		t.Errorf("%d notices in the audit log, want 2", n)
	}
	if found, _ := w.finds(t, secret); !found.Secret.ExpiresAt.IsZero() || !found.Key.RevokedAt.IsZero() {
		t.Error("notify ended the key")
	}
}

func TestALeakRevokesAfterTheGraceAndAKeyWithoutAnotherSecretWithIt(t *testing.T) {
	w := newWorld(t)
	key, secret := w.leaky(t, keystile.LeakPolicy{Response: keystile.LeakRevoke, Grace: time.Hour})
	reported := w.clock.Now()
	must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret}))(t)
	w.clock.Move(30 * time.Minute)
	leak := must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret}))(t)
	if !leak.EndsAt.Equal(reported.Add(time.Hour)) {
		t.Errorf("a second report moved the end to %v", leak.EndsAt)
	}
	if found, _ := w.finds(t, secret); !found.Secret.ExpiresAt.Equal(reported.Add(time.Hour)) {
		t.Errorf("the secret ends at %v", found.Secret.ExpiresAt)
	}
	if n := must(w.RevokeEnded(t.Context(), operator, 10))(t); n != 0 {
		t.Errorf("%d keys revoked within the grace", n)
	}
	w.clock.Move(30 * time.Minute)
	if n := must(w.RevokeEnded(t.Context(), operator, 10))(t); n != 1 {
		t.Errorf("%d keys revoked after the grace", n)
	}
	if got := must(w.APIKey(t.Context(), key.ID))(t); got.RevokedAt.IsZero() {
		t.Error("the key is not revoked")
	}
	_, err := w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret})
	wantIs(t, err, keystile.ErrNotFound)
}

func TestALeakWithoutGraceRevokesAtOnce(t *testing.T) {
	w := newWorld(t)
	key, secret := w.leaky(t, keystile.LeakPolicy{Response: keystile.LeakRevoke})
	must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret}))(t)
	if got := must(w.APIKey(t.Context(), key.ID))(t); got.RevokedAt.IsZero() {
		t.Error("the key is not revoked")
	}
}

func TestALeakOfARotatedSecretSparesTheNewOne(t *testing.T) {
	w := newWorld(t)
	key, old := w.leaky(t, keystile.LeakPolicy{Response: keystile.LeakRevoke})
	_, fresh, err := w.RotateKey(t.Context(), operator, key.ID, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: old}))(t)
	now := w.clock.Now()
	leaked, _ := w.finds(t, old)
	kept, _ := w.finds(t, fresh)
	if now.Before(leaked.Secret.ExpiresAt) || !kept.Secret.ExpiresAt.IsZero() || !kept.Secret.LeakedAt.IsZero() || !kept.Key.RevokedAt.IsZero() {
		t.Errorf("leaked ends %v; kept %+v, revoked %v", leaked.Secret.ExpiresAt, kept.Secret, kept.Key.RevokedAt)
	}
}

func TestAPolicyThatBecomesStricterCountsForTheNextReport(t *testing.T) {
	w := newWorld(t)
	key, secret := w.leaky(t, keystile.LeakPolicy{})
	must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret}))(t)
	must(w.UpdateOrganization(t.Context(), operator, "acme", func(o *keystile.Organization) error {
		o.Leak.Response = keystile.LeakRevoke
		return nil
	}))(t)
	leak := must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret}))(t)
	if got := must(w.APIKey(t.Context(), key.ID))(t); got.RevokedAt.IsZero() || leak.Told {
		t.Errorf("revoked %v, told again %v", got.RevokedAt, leak.Told)
	}
}

func TestReportsOfKeysThatOpenNothingWriteNothing(t *testing.T) {
	w := newWorld(t)
	key, secret := w.leaky(t, keystile.LeakPolicy{Response: keystile.LeakRevoke})
	must(w.RevokeKey(t.Context(), operator, key.ID))(t)
	before := must(w.Store.Revision(t.Context()))(t)
	mistyped := secret.Reveal()[:len(secret)-1] + "!"
	for name, text := range map[string]string{
		"revoked": secret.Reveal(), "unknown": "opa_prod_nobody", "empty": "", "a checksum that does not hold": mistyped,
		"too long": strings.Repeat("k", 4096), "an admin token": "kadm_00000000000000000000000000000000000000", "no text": "\xff\x00",
	} {
		if _, err := w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: keystile.Secret(text)}); err == nil {
			t.Errorf("%s: something came of it", name)
		} else {
			wantIs(t, err, keystile.ErrNotFound)
		}
	}
	if after := must(w.Store.Revision(t.Context()))(t); after != before || len(w.leakEvents(t)) != 0 {
		t.Errorf("something was written: revision %d, then %d", before, after)
	}
}

func TestThreat33_WhatAReporterSaysIsKeptBoundedAndNeverWithTheKeyInIt(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct{ source, url, keptSource, keptURL string }{
		{"commit", "https://user:pass@code.example/a/b?token=SECRET#L3", "commit", "https://code.example/a/b"},
		{"found SECRET", "https://code.example/SECRET", "", ""},
		{"two\nlines\u202e", "javascript:alert(1)", "twolines", ""},
		{strings.Repeat("x", 5000), "https://code.example/" + strings.Repeat("y", 5000), strings.Repeat("x", 256), ""},
	} {
		id := string(rune('a' + i))
		must(w.CreateOrganization(t.Context(), operator, keystile.Organization{ID: id}))(t)
		_, secret := w.key(t, manage.NewKey{OrganizationID: id})
		fill := strings.NewReplacer("SECRET", secret.Reveal())
		must(w.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: secret, Source: fill.Replace(c.source), URL: fill.Replace(c.url)}))(t)
		events := must(w.Events(t.Context(), manage.EventFilter{OrganizationID: id}))(t)
		at := slices.IndexFunc(events, func(e keystile.Event) bool { return e.Action == "api_key.leaked" })
		var detail map[string]string
		if err := json.Unmarshal([]byte(events[at].Detail), &detail); err != nil {
			t.Fatal(err)
		}
		if detail["reported_source"] != c.keptSource || c.keptURL != "" && detail["reported_url"] != c.keptURL || len(detail["reported_url"]) > 256 {
			t.Errorf("kept %q", detail)
		}
		if strings.Contains(events[at].Detail, secret.Reveal()) || events[at].Actor != "leak_report" {
			t.Errorf("event %+v", events[at])
		}
	}
}

func TestResponsesToLeaksAreCheckedAndAreTheOrganizationsOwnToChoose(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "acme", "")
	bound, _, _ := w.token(t, manage.NewAdminToken{OrganizationID: "acme"})
	set := func(p keystile.LeakPolicy) error {
		_, err := bound.UpdateOrganization(t.Context(), operator, "acme", func(o *keystile.Organization) error { o.Leak = p; return nil })
		return err
	}
	if err := set(keystile.LeakPolicy{Response: keystile.LeakRevoke, Grace: time.Hour}); err != nil {
		t.Error(err)
	}
	wantFaults(t, set(keystile.LeakPolicy{Response: "shout"}), "leak.response")
	wantFaults(t, set(keystile.LeakPolicy{Response: keystile.LeakRevoke, Grace: manage.MaxLeakGrace + time.Second}), "leak.grace")
	wantFaults(t, set(keystile.LeakPolicy{Response: keystile.LeakRevoke, Grace: time.Millisecond}), "leak.grace")
	wantFaults(t, set(keystile.LeakPolicy{Response: keystile.LeakThrottle, Grace: time.Hour}), "leak.grace")
}
