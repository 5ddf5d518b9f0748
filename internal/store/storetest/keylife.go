package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// hour is an hour that has begun at T0's.
var hour = T0.Truncate(time.Hour)

func use(key string, at time.Time, allowed, refused int64) keystile.KeyUsage {
	return keystile.KeyUsage{
		KeyID: key, Hour: at.Truncate(time.Hour), Allowed: allowed, Refused: refused,
		LastAt: at, LastAddr: "198.51.100." + fmt.Sprint(allowed), LastRoute: "GET /things",
	}
}

var keyLifeBehaviours = []behaviour{
	{"a leaked secret is marked once and ends when it is told to, no later", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		mark := func(endsAt time.Time) {
			t.Helper()
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.MarkAPIKeyLeaked(ctx, "north-key", Digest("north-secret"), endsAt)
			})
		}
		found := func() keystile.APIKeySecret {
			t.Helper()
			got, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest("north-secret")})
			noError(t, err)
			return got.Secret
		}
		mark(time.Time{})
		first := found()
		if first.LeakedAt.IsZero() || !first.ExpiresAt.IsZero() {
			t.Fatalf("after a mark without an end: %+v", first)
		}
		mark(T0.Add(2 * time.Hour))
		mark(T0.Add(3 * time.Hour))
		last := found()
		if !last.LeakedAt.Equal(first.LeakedAt) || !last.ExpiresAt.Equal(T0.Add(2*time.Hour)) {
			t.Errorf("marked at %v, ends %v", last.LeakedAt, last.ExpiresAt)
		}
		err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
			return tx.MarkAPIKeyLeaked(ctx, "north-key", Digest("south-secret"), T0)
		})
		if !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("another key's secret: %v", err)
		}
	}},
	{"keys that leaked and have no secret left are listed until they are revoked", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				tx.MarkAPIKeyLeaked(ctx, "north-key", Digest("north-secret"), T0.Add(time.Hour)),
				tx.MarkAPIKeyLeaked(ctx, "south-key", Digest("south-secret"), T0.Add(time.Hour)),
				tx.AddAPIKeySecret(ctx, Secret("south-key", "south-second"), "opa_prod_2222"),
			)
		})
		for at, want := range map[time.Duration][]string{59 * time.Minute: nil, time.Hour: {"north-key"}} {
			got, err := s.EndedLeakedAPIKeys(t.Context(), T0.Add(at), 10)
			noError(t, err)
			if !slices.Equal(got, want) {
				t.Errorf("after %v: %q, want %q", at, got, want)
			}
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "north-key", T0) })
		got, err := s.EndedLeakedAPIKeys(t.Context(), T0.Add(time.Hour), 10)
		if noError(t, err); len(got) != 0 {
			t.Errorf("revoked keys are listed: %q", got)
		}
	}},
	{"a key that expires soon is listed until that end was noticed, and again with another end", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		soon := func() []string {
			t.Helper()
			got, err := s.ExpiringAPIKeys(t.Context(), T0, T0.Add(25*time.Hour), 1)
			noError(t, err)
			return got
		}
		notice := func(id string) {
			t.Helper()
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				k, err := tx.APIKey(ctx, id)
				if err != nil {
					return err
				}
				return tx.NoteAPIKey(ctx, id, store.NoticeExpiring, k.ExpiresAt, map[string]any{"expires_at": "soon"})
			})
		}
		notice("south-key")
		if got := soon(); !slices.Equal(got, []string{"north-key"}) {
			t.Fatalf("expiring: %q", got)
		}
		notice("north-key")
		if got := soon(); len(got) != 0 {
			t.Fatalf("noticed, and still listed: %q", got)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			k, err := tx.APIKey(ctx, "north-key")
			if err != nil {
				return err
			}
			k.ExpiresAt = T0.Add(20 * time.Hour)
			return tx.UpdateAPIKey(ctx, k)
		})
		if got := soon(); !slices.Equal(got, []string{"north-key"}) {
			t.Errorf("with another end: %q", got)
		}
		if got, err := s.ExpiringAPIKeys(t.Context(), T0.Add(21*time.Hour), T0.Add(22*time.Hour), 5); err != nil || len(got) != 0 {
			t.Errorf("outside the span: %q, %v", got, err)
		}
	}},
	{"usage adds up by the hour, the later request being the last, whatever comes first", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		later := use("north-key", hour.Add(30*time.Minute), 5, 1)
		earlier := use("north-key", hour.Add(10*time.Minute), 2, 3)
		next := use("north-key", hour.Add(90*time.Minute), 7, 0)
		noError(t, s.NoteKeyUsage(t.Context(), []keystile.KeyUsage{later, next, use("south-key", hour, 1, 0)}))
		noError(t, s.NoteKeyUsage(t.Context(), []keystile.KeyUsage{earlier, earlier}))
		got, err := s.KeyUsage(t.Context(), "north-key", hour, hour.Add(2*time.Hour))
		noError(t, err)
		want := later
		want.Allowed, want.Refused = 9, 7
		if diff := cmp.Diff([]keystile.KeyUsage{want, next}, got); diff != "" {
			t.Error(diff)
		}
		last, err := s.LastKeyUsage(t.Context(), "north-key")
		same(t, err, next, last)
		none, err := s.LastKeyUsage(t.Context(), "nobody")
		same(t, err, keystile.KeyUsage{}, none)
	}},
	{"what a key used is kept once with its first and last time", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		aspect := func(name string, first, last time.Time) keystile.KeyAspect {
			return keystile.KeyAspect{KeyID: "north-key", Aspect: keystile.AspectSite, Name: name, FirstAt: first, LastAt: last}
		}
		for _, at := range []time.Time{hour, hour.Add(time.Hour), hour.Add(30 * time.Minute)} {
			u := use("north-key", at, 1, 0)
			u.Aspects = []keystile.KeyAspect{aspect("north-1", at, at), aspect("north-1", at, at)}
			noError(t, s.NoteKeyUsage(t.Context(), []keystile.KeyUsage{u}))
		}
		got, err := s.KeyAspects(t.Context(), "north-key")
		noError(t, err)
		if diff := cmp.Diff([]keystile.KeyAspect{aspect("north-1", hour, hour.Add(time.Hour))}, got); diff != "" {
			t.Error(diff)
		}
	}},
	{"the place of the last use stands with the key, and an older one never replaces it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for _, at := range []time.Time{hour.Add(time.Minute), hour} {
			u := use("north-key", at, 1, 0)
			u.Place, u.LastAddr = true, at.Format(time.TimeOnly)
			noError(t, s.NoteKeyUsage(t.Context(), []keystile.KeyUsage{u, use("south-key", at, 1, 0)}))
		}
		k, err := s.APIKey(t.Context(), "north-key")
		noError(t, err)
		if !k.LastUsedAt.Equal(hour.Add(time.Minute)) || k.LastUsedAddr != "10:01:00" || k.LastUsedRoute != "GET /things" {
			t.Errorf("last used %v from %q for %q", k.LastUsedAt, k.LastUsedAddr, k.LastUsedRoute)
		}
		other, err := s.APIKey(t.Context(), "south-key")
		if noError(t, err); !other.LastUsedAt.IsZero() {
			t.Errorf("a key that was not asked about was touched")
		}
	}},
	{"bytes that are no text do not keep usage from being noted", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		u := use("north-key", hour, 1, 0)
		u.LastRoute = "GET /\x00\xff"
		u.Aspects = []keystile.KeyAspect{{Aspect: keystile.AspectSite, Name: "\x00\xff", FirstAt: hour, LastAt: hour}}
		noError(t, s.NoteKeyUsage(t.Context(), []keystile.KeyUsage{u}))
	}},
	{"old usage is purged a bounded batch at a time, and a deleted key's goes with it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for i := range 5 {
			u := use("north-key", hour.Add(time.Duration(i)*time.Hour), 1, 0)
			u.Aspects = []keystile.KeyAspect{{Aspect: keystile.AspectScope, Name: "telemetry:read", FirstAt: hour, LastAt: hour}}
			noError(t, s.NoteKeyUsage(t.Context(), []keystile.KeyUsage{u}))
		}
		for _, want := range []int64{2, 1, 0} {
			n, err := s.PurgeKeyUsage(t.Context(), hour.Add(3*time.Hour), 2)
			if noError(t, err); n != want {
				t.Errorf("purged %d, want %d", n, want)
			}
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, "north-key") })
		rows, err := s.KeyUsage(t.Context(), "north-key", time.Time{}, hour.Add(100*time.Hour))
		noError(t, err)
		aspects, err := s.KeyAspects(t.Context(), "north-key")
		if noError(t, err); len(rows)+len(aspects) != 0 {
			t.Errorf("a deleted key has %d hours and %d aspects", len(rows), len(aspects))
		}
	}},
	{"keys are filtered by everything at once, within their organization", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		now := time.Now()
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, org := range []string{"north", "south"} {
				live := Key(org+"-live", org, org+"-2")
				live.ExpiresAt, live.Hint, live.Scopes = now.Add(time.Hour), "opa_prod_LIVE", []keystile.Scope{"alarms:read"}
				live.LastUsedAt = now
				gone := Key(org+"-gone", org)
				gone.RevokedAt = now
				if err := errors.Join(tx.CreateAPIKey(ctx, live), tx.CreateAPIKey(ctx, gone)); err != nil {
					return err
				}
			}
			return nil
		})
		for name, c := range map[string]struct {
			filter store.APIKeyFilter
			want   []string
		}{
			"active":                    {store.APIKeyFilter{State: "active"}, []string{"north-live"}},
			"revoked":                   {store.APIKeyFilter{State: "revoked"}, []string{"north-gone"}},
			"expired":                   {store.APIKeyFilter{State: "expired"}, []string{"north-key"}},
			"by site":                   {store.APIKeyFilter{SiteID: "north-2"}, []string{"north-live"}},
			"a site's name within one":  {store.APIKeyFilter{SiteID: "north"}, nil},
			"by scope":                  {store.APIKeyFilter{Scope: "alarms:read"}, []string{"north-gone", "north-key", "north-live"}},
			"by scope, granted by noun": {store.APIKeyFilter{Scope: "alarms:write"}, []string{"north-gone", "north-key"}},
			"by head":                   {store.APIKeyFilter{Head: "opa_prod_L"}, []string{"north-live"}},
			"by more than is kept":      {store.APIKeyFilter{Head: "opa_prod_LIVEandmore"}, []string{"north-live"}},
			"a head is no pattern":      {store.APIKeyFilter{Head: "opa%"}, nil},
			"idle":                      {store.APIKeyFilter{IdleSince: now.Add(-time.Minute)}, []string{"north-gone", "north-key"}},
			"ends before":               {store.APIKeyFilter{ExpiresBefore: now.Add(2 * time.Hour), State: "active"}, []string{"north-live"}},
			"another's site":            {store.APIKeyFilter{SiteID: "south-2"}, nil},
			"a quote is only text":      {store.APIKeyFilter{SiteID: "' OR 1=1 --", Head: "'"}, nil},
		} {
			for _, limit := range []int{1, 100} {
				c.filter.OrganizationID, c.filter.Page = "north", store.Page{Limit: limit}
				var got []string
				for {
					keys, through, err := s.FilterAPIKeys(t.Context(), c.filter)
					noError(t, err)
					for _, k := range keys {
						got = append(got, k.ID)
					}
					if through == "" {
						break
					}
					c.filter.AfterID = through
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, %d at a time: %q, want %q", name, limit, got, c.want)
				}
			}
		}
		all, _, err := s.FilterAPIKeys(t.Context(), store.APIKeyFilter{State: "active"})
		if noError(t, err); len(all) != 2 {
			t.Errorf("of all organizations %d are active", len(all))
		}
	}},
	{"an organization's response to leaks comes back, with its keys too", func(t *testing.T, s *store.Store) {
		org := Organization("north")
		org.Leak = keystile.LeakPolicy{Response: keystile.LeakRevoke, Grace: 90 * time.Minute}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateOrganization(ctx, org), tx.CreateAPIKey(ctx, Key("k", "north"), Secret("k", "k")))
		})
		got, err := s.Organization(t.Context(), "north")
		same(t, err, org, got)
		found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest("k")})
		same(t, err, org, found.Organization)
		err = s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
			org.Leak.Response = "shout"
			return tx.UpdateOrganization(ctx, org)
		})
		if invalid := (*keystile.Invalid)(nil); !errors.As(err, &invalid) {
			t.Errorf("an unknown response: %v", err)
		}
	}},
	{"administrators are users with that role and an address, of one organization", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, u := range []keystile.User{
				{ID: "u1", OrganizationID: "north", Username: "a", Email: "a@example.com", AdminRole: keystile.OrgAdmin},
				{ID: "u2", OrganizationID: "north", Username: "b", Email: "b@example.com", AdminRole: keystile.OrgAdmin, Disabled: true},
				{ID: "u3", OrganizationID: "north", Username: "c", Email: "c@example.com"},
				{ID: "u4", OrganizationID: "north", Username: "d", AdminRole: keystile.OrgAdmin},
				{ID: "u5", OrganizationID: "south", Username: "e", Email: "e@example.com", AdminRole: keystile.OrgAdmin},
			} {
				if err := tx.CreateUser(ctx, u, Names(u.ID)...); err != nil {
					return err
				}
			}
			return nil
		})
		got, err := s.Administrators(t.Context(), "north")
		if noError(t, err); len(got) != 1 || got[0].ID != "u1" {
			t.Errorf("administrators: %+v", got)
		}
	}},
}
