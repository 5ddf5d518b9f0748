package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// WebhookID is a UUID for webhook n.
func WebhookID(n int) string { return fmt.Sprintf("00000000-0000-4000-9000-%012d", n) }

// Webhook is webhook n of application 1, with every member set.
func Webhook(n int) keystile.Webhook {
	return keystile.Webhook{
		ID: WebhookID(n), ApplicationID: ApplicationID(1), Event: keystile.EventAppStatusChanged, Form: keystile.WebhookSignedPost,
		URLTemplate: "https://hooks.example/<TENANT_ID>?token=<SESSION_TOKEN>", Description: "Tells the roof server",
		HeaderName: "X-Auth", SealedHeader: []byte("sealed header"), SealedSecret: []byte("sealed secret"), SealedPrevious: []byte("sealed previous"),
		PreviousUntil: T0.Add(time.Hour), CreatedAt: T0, UpdatedAt: T0,
	}
}

func createWebhook(w keystile.Webhook) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.CreateWebhook(ctx, w) }
}

func updateWebhook(w keystile.Webhook) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.UpdateWebhook(ctx, w) }
}

// hooked seeds a store with application 1 of north and webhook 1 of it. Nobody authorised it yet.
func hooked(t *testing.T, s *store.Store) {
	t.Helper()
	Seed(t, s)
	Must(t, s, createApplication(Application(1, "north")))
	Must(t, s, createWebhook(Webhook(1)))
}

// queued lists what is queued for webhook 1, oldest first, as event/tenant/status.
func queued(t *testing.T, s *store.Store) (list []string) {
	t.Helper()
	all, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: WebhookID(1)})
	noError(t, err)
	for _, d := range slices.Backward(all) {
		list = append(list, string(d.Event)+"/"+d.TenantID+d.KeyID+"/"+d.Status)
	}
	return list
}

func claimAll(t *testing.T, s *store.Store) []store.WebhookTurn {
	t.Helper()
	now := time.Now()
	turns, err := s.ClaimWebhooks(t.Context(), now, now.Add(time.Minute), 10)
	noError(t, err)
	return turns
}

// disabledTenant disables or enables the tenant.
func disabledTenant(disabled bool) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organization(ctx, "south")
		if err != nil {
			return err
		}
		o.Disabled = disabled
		return tx.UpdateOrganization(ctx, o)
	}
}

func withdraw(ctx context.Context, tx *store.Tx) error {
	return tx.Withdraw(ctx, ApplicationID(1), "south")
}

func review(state keystile.ReviewState) func(context.Context, *store.Tx) error {
	a := Application(1, "north")
	a.Review = state
	return func(ctx context.Context, tx *store.Tx) error { return tx.UpdateApplication(ctx, a) }
}

var errAbandoned = errors.New("abandoned")

var lasting = keystile.Authorization{ApplicationID: ApplicationID(1), TenantID: "south", Permissions: []keystile.Scope{"roof_summary:read"}, GrantedBy: "user:admin"}

var webhookBehaviours = []behaviour{
	{"a webhook comes back as it was made, and is gone when it is deleted", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		got, err := s.Webhook(t.Context(), WebhookID(1))
		same(t, err, Webhook(1), got)
		second := Webhook(2)
		second.Form, second.SealedSecret, second.SealedPrevious, second.PreviousUntil = keystile.WebhookGet, nil, nil, time.Time{}
		Must(t, s, createWebhook(second))
		list, err := s.Webhooks(t.Context(), ApplicationID(1), store.Page{AfterID: WebhookID(1)})
		same(t, err, []keystile.Webhook{second}, list)
		refused(t, s, keystile.ErrConflict, createWebhook(second))
		unchanged(t, s, func() { Must(t, s, updateWebhook(second)) })
		second.Description, second.SealedHeader = "other", []byte("other")
		Must(t, s, updateWebhook(second))
		got, err = s.Webhook(t.Context(), second.ID)
		second.UpdatedAt = got.UpdatedAt
		same(t, err, second, got)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteWebhook(ctx, second.ID) })
		if _, err := s.Webhook(t.Context(), second.ID); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("it is still there: %v", err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteApplication(ctx, ApplicationID(1)) })
	}},
	{"TestThreat33 the audit log names no secret of a webhook", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		w := Webhook(1)
		w.SealedSecret, w.SealedHeader = []byte("another secret"), []byte("another header")
		Must(t, s, updateWebhook(w))
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north"})
		noError(t, err)
		last := events[len(events)-1]
		if last.Action != "webhook.update" || last.Detail != `{"header_value":"changed","secret":"changed"}` {
			t.Errorf("the event is %s %s", last.Action, last.Detail)
		}
	}},
	{"an application has at most twenty webhooks", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		for n := 2; n <= store.MaxWebhooks; n++ {
			Must(t, s, createWebhook(Webhook(n)))
		}
		refused(t, s, keystile.ErrConflict, createWebhook(Webhook(store.MaxWebhooks+1)))
	}},
	{"each change of an application's status in a tenant is queued once, with the change", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		for _, step := range []struct {
			what string
			do   func(context.Context, *store.Tx) error
			want []string
		}{
			{"authorize", authorize(lasting), []string{"app_status_changed/south/enabled"}},
			{"authorize again", authorize(lasting), nil},
			{"withdraw", withdraw, []string{"app_status_changed/south/disabled"}},
			{"withdraw again", withdraw, nil},
			{"ask", func(ctx context.Context, tx *store.Tx) error {
				return tx.RequestAuthorization(ctx, ApplicationID(1), "south")
			}, nil},
			{"say no", withdraw, nil},
			{"authorize anew", authorize(lasting), []string{"app_status_changed/south/enabled"}},
			{"suspend", review(keystile.ReviewSuspended), []string{"app_status_changed/south/disabled"}},
			{"withdraw while suspended", withdraw, nil},
			{"authorize while suspended", authorize(lasting), nil},
			{"approve", review(keystile.ReviewApproved), []string{"app_status_changed/south/enabled"}},
			{"disable the tenant", disabledTenant(true), []string{"app_status_changed/south/disabled"}},
			{"disable it again", disabledTenant(true), nil},
			{"withdraw while it is disabled", withdraw, nil},
			{"authorize while it is disabled", authorize(lasting), nil},
			{"suspend while it is disabled", review(keystile.ReviewSuspended), nil},
			{"approve while it is disabled", review(keystile.ReviewApproved), nil},
			{"enable the tenant", disabledTenant(false), []string{"app_status_changed/south/enabled"}},
			{"suspend once more", review(keystile.ReviewSuspended), []string{"app_status_changed/south/disabled"}},
			{"disable the tenant of a suspended one", disabledTenant(true), nil},
			{"enable the tenant of a suspended one", disabledTenant(false), nil},
		} {
			before := queued(t, s)
			Must(t, s, step.do)
			if got := queued(t, s); !slices.Equal(got, append(before, step.want...)) {
				t.Errorf("%s: queued %q after %q", step.what, got, before)
			}
		}
	}},
	{"what was not committed is queued for nobody", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.Authorize(ctx, lasting); err != nil {
				return err
			}
			return errAbandoned
		})
		if !errors.Is(err, errAbandoned) || len(queued(t, s)) != 0 || len(claimAll(t, s)) != 0 {
			t.Errorf("%v; %q is queued", err, queued(t, s))
		}
	}},
	{"a disabled webhook is told nothing, and what waited for it is dropped", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		w := Webhook(1)
		w.Disabled = true
		Must(t, s, updateWebhook(w))
		Must(t, s, withdraw)
		list, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: w.ID})
		noError(t, err)
		if len(list) != 1 || list[0].State != keystile.DeliveryDropped || !list[0].DueAt.IsZero() || list[0].DoneAt.IsZero() {
			t.Errorf("the log is %+v", list)
		}
		for _, turn := range claimAll(t, s) {
			if _, err := s.NextDelivery(t.Context(), turn.WebhookID, time.Now()); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("something is due: %v", err)
			}
		}
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.ResendDelivery(ctx, list[0].ID) })
	}},
	{"of servers that claim a webhook at once one has it, and nobody else until it lets go", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		var claims atomic.Int64
		now := time.Now()
		together(t, 16, func(int) error {
			turns, err := s.ClaimWebhooks(t.Context(), now, now.Add(time.Minute), 10)
			claims.Add(int64(len(turns)))
			return err
		})
		if claims.Load() != 1 {
			t.Fatalf("%d claims", claims.Load())
		}
		late, err := s.ClaimWebhooks(t.Context(), now.Add(2*time.Minute), now.Add(3*time.Minute), 10)
		noError(t, err)
		if len(late) != 1 {
			t.Fatalf("after the lease %d claims", len(late))
		}
		stale := late[0]
		again, err := s.ClaimWebhooks(t.Context(), now.Add(4*time.Minute), now.Add(5*time.Minute), 10)
		noError(t, err)
		if len(again) != 1 {
			t.Fatalf("after the second lease %d claims", len(again))
		}
		if err := s.ReleaseWebhook(t.Context(), stale); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("whoever lost a turn ended it: %v", err)
		}
		noError(t, s.ReleaseWebhook(t.Context(), again[0]))
	}},
	{"an attempt's end is in the log, and the next turn comes when the delivery is due", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		turn := claimAll(t, s)[0]
		now := time.Now().UTC().Truncate(time.Microsecond)
		d, err := s.NextDelivery(t.Context(), turn.WebhookID, now)
		noError(t, err)
		d.Attempts, d.TriesLeft, d.DueAt, d.LastStatus, d.LastError = 1, 7, now.Add(time.Hour), 500, "the answer is 500"
		attempt := keystile.WebhookAttempt{DeliveryID: d.ID, Number: 1, At: now, Took: 12 * time.Millisecond, Status: 500, Error: d.LastError}
		noError(t, s.EndAttempt(t.Context(), turn, now.Add(time.Minute), store.AttemptEnd{Delivery: d, Attempt: &attempt, Failures: 1}))
		noError(t, s.ReleaseWebhook(t.Context(), turn))
		got, err := s.WebhookDelivery(t.Context(), d.ID)
		same(t, err, d, got)
		attempts, err := s.WebhookAttempts(t.Context(), d.ID)
		same(t, err, []keystile.WebhookAttempt{attempt}, attempts)
		if turns := claimAll(t, s); len(turns) != 0 {
			t.Fatal("its turn came before it was due")
		}
		turns, err := s.ClaimWebhooks(t.Context(), now.Add(time.Hour), now.Add(2*time.Hour), 1)
		noError(t, err)
		if len(turns) != 1 || turns[0].Failures != 1 {
			t.Fatalf("the turns are %+v", turns)
		}
		d.State, d.DueAt, d.DoneAt = keystile.DeliveryDelivered, time.Time{}, now.Add(time.Hour)
		noError(t, s.EndAttempt(t.Context(), turns[0], now.Add(2*time.Hour), store.AttemptEnd{Delivery: d}))
		noError(t, s.ReleaseWebhook(t.Context(), turns[0]))
		turns, err = s.ClaimWebhooks(t.Context(), now.Add(100*time.Hour), now.Add(101*time.Hour), 1)
		same(t, err, []store.WebhookTurn(nil), turns)
	}},
	{"what is queued while a turn ends gets a turn", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		together(t, 2, func(i int) error {
			for n := range 40 {
				if i == 0 {
					do := authorize(lasting)
					if n%2 == 1 {
						do = withdraw
					}
					if err := s.Mutate(t.Context(), Actor, do); err != nil {
						return err
					}
					continue
				}
				now := time.Now()
				turns, err := s.ClaimWebhooks(t.Context(), now, now.Add(time.Minute), 10)
				if err != nil {
					return err
				}
				for _, turn := range turns {
					if err := s.ReleaseWebhook(t.Context(), turn); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if len(claimAll(t, s)) != 1 {
			t.Error("deliveries wait and nobody will look")
		}
	}},
	{"a webhook that is left alone is claimed when its time has come, or when it was mended", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		turn := claimAll(t, s)[0]
		now := time.Now().UTC().Truncate(time.Microsecond)
		d, err := s.NextDelivery(t.Context(), turn.WebhookID, now)
		noError(t, err)
		noError(t, s.EndAttempt(t.Context(), turn, now.Add(time.Minute), store.AttemptEnd{Delivery: d, Failures: 5, OpenUntil: now.Add(time.Hour)}))
		noError(t, s.ReleaseWebhook(t.Context(), turn))
		circuit, err := s.WebhookCircuit(t.Context(), turn.WebhookID)
		noError(t, err)
		waiting, open, err := s.WebhookDepth(t.Context(), now)
		noError(t, err)
		if len(claimAll(t, s)) != 0 || circuit.Failures != 5 || !circuit.OpenUntil.Equal(now.Add(time.Hour)) || waiting != 1 || open != 1 {
			t.Errorf("circuit %+v, %d wait, %d open", circuit, waiting, open)
		}
		turns, err := s.ClaimWebhooks(t.Context(), now.Add(time.Hour), now.Add(2*time.Hour), 10)
		noError(t, err)
		if len(turns) != 1 {
			t.Fatalf("%d turns", len(turns))
		}
		noError(t, s.ReleaseWebhook(t.Context(), turns[0]))
		w := Webhook(1)
		w.URLTemplate = "https://mended.example/"
		Must(t, s, updateWebhook(w))
		if turns = claimAll(t, s); len(turns) != 1 || turns[0].Failures != 0 {
			t.Errorf("the turns are %+v", turns)
		}
	}},
	{"the session token of the attempt before ends when the next begins", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		turn := claimAll(t, s)[0]
		until := time.Now().Add(time.Minute)
		d, err := s.NextDelivery(t.Context(), turn.WebhookID, time.Now())
		noError(t, err)
		for n := 1; n <= 3; n++ {
			next := session(n, 1)
			if n == 3 {
				noError(t, s.BeginAttempt(t.Context(), turn, until, d.ID, nil))
			} else {
				noError(t, s.BeginAttempt(t.Context(), turn, until, d.ID, &next))
				if _, err := s.FindPartnerSession(t.Context(), [][32]byte{partnerDigest(n)}); err != nil {
					t.Errorf("the session token of attempt %d: %v", n, err)
				}
			}
			if n == 1 {
				continue
			}
			if _, err := s.FindPartnerSession(t.Context(), [][32]byte{partnerDigest(n - 1)}); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("the session token of attempt %d lives on: %v", n-1, err)
			}
		}
	}},
	{"a delivery is sent again with the same id and as many tries as a new one", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		turn := claimAll(t, s)[0]
		now := time.Now().UTC().Truncate(time.Microsecond)
		d, err := s.NextDelivery(t.Context(), turn.WebhookID, now)
		noError(t, err)
		d.State, d.Attempts, d.TriesLeft, d.DueAt, d.DoneAt = keystile.DeliveryFailed, 8, 0, time.Time{}, now
		noError(t, s.EndAttempt(t.Context(), turn, now.Add(time.Minute), store.AttemptEnd{Delivery: d, Failures: 8, OpenUntil: now.Add(time.Hour)}))
		noError(t, s.ReleaseWebhook(t.Context(), turn))
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.ResendDelivery(ctx, d.ID) })
		turns := claimAll(t, s)
		if len(turns) != 1 || turns[0].Failures != 0 {
			t.Fatalf("the turns are %+v", turns)
		}
		got, err := s.NextDelivery(t.Context(), turns[0].WebhookID, time.Now())
		noError(t, err)
		if got.ID != d.ID || got.State != keystile.DeliveryPending || got.Attempts != 8 || got.TriesLeft != keystile.WebhookTries || !got.DoneAt.IsZero() {
			t.Errorf("it waits as %+v", got)
		}
	}},
	{"the end of a key is told of twice, of an authorization once, by however many servers", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		for n, event := range []keystile.WebhookEvent{keystile.EventKeyExpiring, keystile.EventKeyExpired} {
			w := Webhook(n + 2)
			w.Event = event
			Must(t, s, createWebhook(w))
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		for n, end := range []time.Time{now.Add(keystile.KeyExpiryNotice / 2), now.Add(2 * keystile.KeyExpiryNotice), now.Add(-time.Hour), {}} {
			k := keystile.ApplicationKey{ID: fmt.Sprintf("akey_%d", n+1), ApplicationID: ApplicationID(1), Digest: partnerDigest(n + 1), PepperID: "p1", CreatedAt: T0, ExpiresAt: end}
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddApplicationKey(ctx, k) })
		}
		brief := lasting
		brief.ExpiresAt = time.Now().Add(time.Second) // long enough to stand when it is written
		Must(t, s, authorize(brief))
		time.Sleep(time.Until(brief.ExpiresAt)) // the store's own clock has to pass it
		var told atomic.Int64
		for range 2 {
			together(t, 8, func(int) error {
				n, err := s.TellOfEnds(t.Context(), 100)
				told.Add(int64(n))
				return err
			})
		}
		if told.Load() != 3 {
			t.Errorf("%d ends were told of", told.Load())
		}
		for n, want := range [][]string{{"enabled", "disabled"}, {"akey_1"}, {"akey_3"}} {
			list, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: WebhookID(n + 1)})
			noError(t, err)
			var got []string
			for _, d := range slices.Backward(list) {
				got = append(got, d.Status+d.KeyID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("webhook %d was told %q, want %q", n+1, got, want)
			}
		}
		Must(t, s, withdraw)
		if got := queued(t, s); len(got) != 2 {
			t.Errorf("withdrawing what had ended was told of: %q", got)
		}
	}},
	{"old deliveries are purged in batches with their attempts, and lists are paged", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		for range 3 {
			Must(t, s, authorize(lasting))
			Must(t, s, withdraw)
		}
		first, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: WebhookID(1), Limit: 4})
		noError(t, err)
		rest, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: WebhookID(1), BeforeID: first[3].ID})
		noError(t, err)
		none, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: WebhookID(1), State: keystile.DeliveryFailed})
		noError(t, err)
		if len(first) != 4 || len(rest) != 2 || len(none) != 0 || first[0].ID < rest[0].ID {
			t.Fatalf("pages of %d, %d and %d", len(first), len(rest), len(none))
		}
		for _, want := range []int64{4, 2, 0} {
			n, err := s.PurgeDeliveries(t.Context(), time.Now().Add(time.Hour), 4)
			same(t, err, want, n)
		}
		n, err := s.PurgeNotices(t.Context(), time.Now(), 10)
		same(t, err, int64(0), n)
	}},
	{"what waited too long is given up by whoever holds the turn", func(t *testing.T, s *store.Store) {
		hooked(t, s)
		Must(t, s, authorize(lasting))
		turn := claimAll(t, s)[0]
		now := time.Now().UTC().Truncate(time.Microsecond)
		n, err := s.GiveUpDeliveries(t.Context(), turn, now.Add(time.Minute), now.Add(-time.Hour), 10)
		same(t, err, int64(0), n)
		n, err = s.GiveUpDeliveries(t.Context(), turn, now.Add(time.Minute), now.Add(time.Hour), 10)
		same(t, err, int64(1), n)
		list, err := s.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: WebhookID(1), State: keystile.DeliveryFailed})
		noError(t, err)
		if len(list) != 1 || list[0].DoneAt.IsZero() || list[0].LastError == "" {
			t.Errorf("the log is %+v", list)
		}
	}},
}
