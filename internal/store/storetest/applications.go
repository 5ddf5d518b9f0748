package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// ApplicationID is a UUID for application n.
func ApplicationID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// Application is an approved embedded application of an organisation with every
// member set.
func Application(n int, organization string) keystile.Application {
	return keystile.Application{
		ID: ApplicationID(n), OrganizationID: organization, Name: "Roof Tools", Description: "Draws roofs", Homepage: "https://roof.example",
		Kind: keystile.ApplicationEmbedded, Environment: keystile.Production, Permissions: []keystile.Scope{"roof_summary:read", "racking_arrays:read"},
		LaunchURL: "https://app.roof.example/embed", Review: keystile.ReviewApproved, ReviewComment: "fine", ReviewedAs: `{"name":"Roof Tools"}`,
		CreatedAt: T0, UpdatedAt: T0,
	}
}

func createApplication(a keystile.Application) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.CreateApplication(ctx, a) }
}

func authorize(a keystile.Authorization) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.Authorize(ctx, a) }
}

// grant is a yes of south to application 1 of north.
var grant = keystile.Authorization{
	ApplicationID: ApplicationID(1), TenantID: "south", Permissions: []keystile.Scope{"roof_summary:read"}, GrantedBy: "user:admin", ExpiresAt: T0.Add(1000 * time.Hour),
}

// authorized seeds a store with application 1 of north, which south authorised.
func authorized(t *testing.T, s *store.Store) {
	t.Helper()
	Seed(t, s)
	Must(t, s, createApplication(Application(1, "north")))
	Must(t, s, authorize(grant))
}

func partnerDigest(n int) (d [32]byte) {
	copy(d[:], fmt.Sprintf("partner credential %d", n))
	return d
}

func session(n int, generation int64) keystile.PartnerSession {
	return keystile.PartnerSession{
		Digest: partnerDigest(n), PepperID: "p1", ApplicationID: ApplicationID(1), TenantID: "south", Generation: generation,
		CreatedAt: T0, ExpiresAt: T0.Add(keystile.PartnerSessionLife),
	}
}

func exchangeOf(key int, spent *[32]byte, at time.Time) store.Exchange {
	return store.Exchange{At: at, Session: spent, Seen: store.SeenNothing, Key: keystile.TemporaryKey{
		ID: fmt.Sprintf("tmp_%d", key), Digest: partnerDigest(key), PepperID: "p1", ApplicationID: ApplicationID(1), TenantID: "south", Generation: 1,
		CreatedAt: at, ExpiresAt: at.Add(keystile.TemporaryKeyLife),
	}}
}

var applicationBehaviours = []behaviour{
	{"an application comes back as it was registered, by id and in lists", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		first, second, other := Application(1, "north"), Application(2, "north"), Application(3, "south")
		second.Review, second.Kind, second.LaunchURL = keystile.ReviewInReview, keystile.ApplicationBackend, ""
		second.Description, second.Homepage, second.Permissions, second.ReviewComment, second.ReviewedAs = "", "", nil, "", ""
		for _, a := range []keystile.Application{first, second, other} {
			Must(t, s, createApplication(a))
			got, err := s.Application(t.Context(), a.ID)
			same(t, err, a, got)
		}
		got, err := s.Applications(t.Context(), store.ApplicationFilter{OrganizationID: "north"})
		same(t, err, []keystile.Application{first, second}, got)
		got, err = s.Applications(t.Context(), store.ApplicationFilter{Review: keystile.ReviewInReview})
		same(t, err, []keystile.Application{second}, got)
		got, err = s.Applications(t.Context(), store.ApplicationFilter{Page: store.Page{AfterID: first.ID, Limit: 1}})
		same(t, err, []keystile.Application{second}, got)
		refused(t, s, keystile.ErrConflict, createApplication(first))
	}},
	{"what an application is for cannot change, and an update that changes nothing is none", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		a := Application(1, "north")
		Must(t, s, createApplication(a))
		update := func(ctx context.Context, tx *store.Tx) error { return tx.UpdateApplication(ctx, a) }
		unchanged(t, s, func() { Must(t, s, update) })
		a.Name, a.Permissions, a.LaunchURL, a.Review = "Roofs", nil, "https://other.example", keystile.ReviewSuspended
		Must(t, s, update)
		got, err := s.Application(t.Context(), a.ID)
		a.UpdatedAt = got.UpdatedAt
		same(t, err, a, got)
		for field, spoil := range map[string]func(*keystile.Application){
			"organization": func(a *keystile.Application) { a.OrganizationID = "south" },
			"kind":         func(a *keystile.Application) { a.Kind = keystile.ApplicationBackend },
			"environment":  func(a *keystile.Application) { a.Environment = keystile.Sandbox },
		} {
			spoilt := a
			spoil(&spoilt)
			invalid(t, s, field, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateApplication(ctx, spoilt) })
		}
	}},
	{"application keys are found by digest, end by rotation and by revocation", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, createApplication(Application(1, "north")))
		for n := 1; n <= 2; n++ {
			k := keystile.ApplicationKey{ID: fmt.Sprintf("akey_%d", n), ApplicationID: ApplicationID(1), Digest: partnerDigest(n), PepperID: "p1", Hint: "ak_prod_abcd", CreatedAt: T0}
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddApplicationKey(ctx, k) })
			refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.AddApplicationKey(ctx, k) })
		}
		end := T0.Add(time.Hour)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.ExpireApplicationKeys(ctx, ApplicationID(1), "akey_2", end)
		})
		found, err := s.FindApplicationKey(t.Context(), [][32]byte{partnerDigest(9), partnerDigest(1)})
		noError(t, err)
		if found.Key.ID != "akey_1" || !found.Key.ExpiresAt.Equal(end) || found.Application.ID != ApplicationID(1) || found.OwnerDisabled {
			t.Errorf("found %+v", found)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeApplicationKey(ctx, "akey_2") })
		found, err = s.FindApplicationKey(t.Context(), [][32]byte{partnerDigest(2)})
		noError(t, err)
		if found.Key.RevokedAt.IsZero() || !found.Key.ExpiresAt.IsZero() {
			t.Errorf("found %+v", found.Key)
		}
		if _, err := s.FindApplicationKey(t.Context(), [][32]byte{partnerDigest(9)}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("an unknown digest: %v", err)
		}
	}},
	{"the last use of an application key is the latest that was noted", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, createApplication(Application(1, "north")))
		k := keystile.ApplicationKey{ID: "akey_1", ApplicationID: ApplicationID(1), Digest: partnerDigest(1), PepperID: "p1", CreatedAt: T0}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddApplicationKey(ctx, k) })
		noError(t, s.TouchApplicationKeys(t.Context(), nil))
		noError(t, s.TouchApplicationKeys(t.Context(), []store.ApplicationKeyUse{{KeyID: "akey_1", At: T0}, {KeyID: "akey_1", At: T0.Add(time.Hour)}, {KeyID: "akey_gone", At: T0}}))
		unchanged(t, s, func() {
			noError(t, s.TouchApplicationKeys(t.Context(), []store.ApplicationKeyUse{{KeyID: "akey_1", At: T0}}))
		})
		keys, err := s.ApplicationKeys(t.Context(), ApplicationID(1))
		noError(t, err)
		if len(keys) != 1 || !keys[0].LastUsedAt.Equal(T0.Add(time.Hour)) {
			t.Errorf("the keys are %+v", keys)
		}
	}},
	{"a tenant's yes comes back as it was given, and is in the audit log of both sides", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		got, err := s.Authorization(t.Context(), ApplicationID(1), "south")
		noError(t, err)
		want := grant
		want.Generation, want.CreatedAt, want.UpdatedAt = 1, got.CreatedAt, got.UpdatedAt
		same(t, err, want, got)
		for _, chain := range []string{"north", "south"} {
			events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: chain})
			noError(t, err)
			last := events[len(events)-1]
			if last.Action != "authorization.create" || last.Target != "authorization:"+ApplicationID(1)+"/south" {
				t.Errorf("the last event of %s is %s %s", chain, last.Action, last.Target)
			}
		}
		unchanged(t, s, func() { Must(t, s, authorize(grant)) })
		list, err := s.Authorizations(t.Context(), store.AuthorizationFilter{ApplicationID: ApplicationID(1)})
		same(t, err, []keystile.Authorization{got}, list)
		list, err = s.Authorizations(t.Context(), store.AuthorizationFilter{TenantID: "south"})
		same(t, err, []keystile.Authorization{got}, list)
		list, err = s.Authorizations(t.Context(), store.AuthorizationFilter{AfterApplication: ApplicationID(1), AfterTenant: "a"})
		same(t, err, []keystile.Authorization{got}, list)
	}},
	{"TestThreat30 an application is authorized in its own environment alone", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		a := Application(1, "north")
		a.Environment = keystile.Sandbox
		Must(t, s, createApplication(a))
		invalid(t, s, "tenant", authorize(grant))
	}},
	{"TestThreat28 what was made before a withdrawal stays dead when the tenant says yes again", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		made, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(1, nil, T0)})
		same(t, err, []store.ExchangeResult{store.ExchangeMade}, made.Results)
		found, err := s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(1)})
		noError(t, err)
		if found.Standing != found.Key.Generation || found.Withdrawn {
			t.Fatalf("a new key is dead: %+v", found)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, ApplicationID(1), "south") })
		found, err = s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(1)})
		noError(t, err)
		if !found.Withdrawn {
			t.Error("the key does not show the withdrawal")
		}
		Must(t, s, authorize(grant))
		found, err = s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(1)})
		noError(t, err)
		if found.Withdrawn || found.Standing == found.Key.Generation {
			t.Errorf("the key of before lives again: %+v", found)
		}
	}},
	{"TestThreat28 what was made before an application went back to draft stays dead after it", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		if _, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(1, nil, T0)}); err != nil {
			t.Fatal(err)
		}
		a := Application(1, "north")
		for _, review := range []keystile.ReviewState{keystile.ReviewDraft, keystile.ReviewApproved} {
			a.Review = review
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateApplication(ctx, a) })
		}
		found, err := s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(1)})
		noError(t, err)
		if found.Standing == found.Key.Generation {
			t.Error("the key of before the draft lives again")
		}
	}},
	{"TestThreat28 what was made before a suspension stays dead after it", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		if _, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(1, nil, T0)}); err != nil {
			t.Fatal(err)
		}
		a := Application(1, "north")
		for _, review := range []keystile.ReviewState{keystile.ReviewSuspended, keystile.ReviewApproved} {
			a.Review = review
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateApplication(ctx, a) })
		}
		found, err := s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(1)})
		noError(t, err)
		if found.Standing == found.Key.Generation {
			t.Error("the key of before the suspension lives again")
		}
	}},
	{"a temporary key is found with everything it hangs on", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		if _, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(1, nil, T0)}); err != nil {
			t.Fatal(err)
		}
		revision, err := s.Revision(t.Context())
		noError(t, err)
		found, err := s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(1)})
		same(t, err, store.TemporaryKeyLookup{
			Key: exchangeOf(1, nil, T0).Key, Environment: keystile.Production, Review: keystile.ReviewApproved, Owner: "north", TenantID: "tenant-south",
			Asked: Application(1, "north").Permissions, Granted: grant.Permissions, Standing: 1, AuthorizationExpiresAt: grant.ExpiresAt,
			SiteIDs: found.SiteIDs, Revision: revision,
		}, found)
		sites, err := s.Sites(t.Context(), store.SiteFilter{OrganizationID: "south"})
		noError(t, err)
		if len(sites) != len(found.SiteIDs) {
			t.Errorf("%d sites, want %d", len(found.SiteIDs), len(sites))
		}
		withUser := exchangeOf(2, nil, T0)
		withUser.Key.UserID = "user_gone"
		if _, err := s.ExchangeKeys(t.Context(), []store.Exchange{withUser}); err != nil {
			t.Fatal(err)
		}
		found, err = s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(2)})
		noError(t, err)
		if !found.UserGone {
			t.Error("a key whose user is gone does not say so")
		}
	}},
	{"TestThreat08 of 64 exchanges with one session token, one makes a key", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		noError(t, s.CreatePartnerSession(t.Context(), session(100, 1)))
		var won atomic.Int64
		together(t, 64, func(i int) error {
			spent := partnerDigest(100)
			made, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(i, &spent, T0)})
			if err == nil && made.Results[0] == store.ExchangeMade {
				won.Add(1)
			}
			return err
		})
		keys := 0
		for i := range 64 {
			if _, err := s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(i)}); err == nil {
				keys++
			}
		}
		if won.Load() != 1 || keys != 1 {
			t.Errorf("%d exchanges won, %d keys are there", won.Load(), keys)
		}
	}},
	{"an exchange that makes no key spends nothing, and those beside it are made", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		noError(t, s.CreatePartnerSession(t.Context(), session(100, 1)))
		spent, unknown := partnerDigest(100), partnerDigest(101)
		late := exchangeOf(1, &spent, T0.Add(keystile.PartnerSessionLife))
		made, err := s.ExchangeKeys(t.Context(), []store.Exchange{late, exchangeOf(2, &unknown, T0), exchangeOf(3, nil, T0)})
		same(t, err, []store.ExchangeResult{store.ExchangeSpent, store.ExchangeSpent, store.ExchangeMade}, made.Results)
		made, err = s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(4, &spent, T0.Add(keystile.PartnerSessionLife-time.Microsecond))})
		same(t, err, []store.ExchangeResult{store.ExchangeMade}, made.Results)
		got, err := s.FindPartnerSession(t.Context(), [][32]byte{spent})
		noError(t, err)
		if got.ConsumedAt.IsZero() {
			t.Error("the spent session token is unspent")
		}
	}},
	{"TestThreat28 an exchange that was judged before a change of what allows it makes and spends nothing", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		noError(t, s.CreatePartnerSession(t.Context(), session(100, 1)))
		spent := partnerDigest(100)
		next := 0
		for name, change := range map[string]func(context.Context, *store.Tx) error{
			"the application": func(ctx context.Context, tx *store.Tx) error {
				a := Application(1, "north")
				a.Description = "Other words."
				return tx.UpdateApplication(ctx, a)
			},
			"the authorization": func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, ApplicationID(1), "south") },
			"the tenant": func(_ context.Context, tx *store.Tx) error {
				tx.Announce(keystile.ChangeOrganization, "south")
				return nil
			},
			"the owner": func(_ context.Context, tx *store.Tx) error {
				tx.Announce(keystile.ChangeOrganization, "north")
				return nil
			},
			"the user": func(_ context.Context, tx *store.Tx) error {
				tx.Announce(keystile.ChangeUser, "user_1")
				return nil
			},
			"everything": func(_ context.Context, tx *store.Tx) error {
				tx.Announce(keystile.ChangeAll, "")
				return nil
			},
		} {
			seen, err := s.Revision(t.Context())
			noError(t, err)
			Must(t, s, change)
			next += 2
			e, beside := exchangeOf(next, &spent, T0), exchangeOf(next+1, nil, T0)
			e.Seen, e.Owner, e.Key.UserID = seen, "north", "user_1"
			got, err := s.ExchangeKeys(t.Context(), []store.Exchange{e, beside})
			same(t, err, []store.ExchangeResult{store.ExchangeStale, store.ExchangeMade}, got.Results)
			if _, err := s.FindTemporaryKey(t.Context(), [][32]byte{e.Key.Digest}); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%s changed, and the key is there: %v", name, err)
			}
			if got.Changed != (name != "the user") || got.From != seen || got.Revision <= seen {
				t.Errorf("%s: %+v, judged at %d", name, got, seen)
			}
		}
		found, err := s.FindPartnerSession(t.Context(), [][32]byte{spent})
		if err != nil || !found.ConsumedAt.IsZero() {
			t.Errorf("the session token was spent by a stale exchange: %v", err)
		}
	}},
	{"an exchange is not stale by what does not allow it", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		seen, err := s.Revision(t.Context())
		noError(t, err)
		Must(t, s, func(_ context.Context, tx *store.Tx) error {
			tx.Announce(keystile.ChangeKey, ApplicationID(1))
			tx.Announce(keystile.ChangeAuthorization, store.AuthorizationID(ApplicationID(2), "south"))
			tx.Announce(keystile.ChangeOrganization, "elsewhere")
			tx.Announce(keystile.ChangeUser, "user_2")
			return nil
		})
		e := exchangeOf(1, nil, T0)
		e.Seen, e.Owner, e.Key.UserID = seen, "north", "user_1"
		got, err := s.ExchangeKeys(t.Context(), []store.Exchange{e})
		same(t, err, []store.ExchangeResult{store.ExchangeMade}, got.Results)
		if !got.Changed {
			t.Error("the report does not say that an organization changed")
		}
	}},
	{"an exchange that was judged before changes that are no longer kept is stale", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		seen, err := s.Revision(t.Context())
		noError(t, err)
		for range 3 {
			noError(t, s.Tell(t.Context(), keystile.ChangeReload, ""))
		}
		if _, err := s.PurgeChanges(t.Context(), time.Now().Add(time.Hour), 100); err != nil {
			t.Fatal(err)
		}
		e, ahead := exchangeOf(1, nil, T0), exchangeOf(2, nil, T0)
		e.Seen, ahead.Seen = seen, seen+1000
		got, err := s.ExchangeKeys(t.Context(), []store.Exchange{e, ahead})
		same(t, err, []store.ExchangeResult{store.ExchangeStale, store.ExchangeStale}, got.Results)
	}},
	{"ended session tokens and temporary keys are purged in batches, live ones never", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		for i := range 5 {
			noError(t, s.CreatePartnerSession(t.Context(), session(100+i, 1)))
			if _, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(i, nil, T0.Add(time.Duration(i)*time.Hour))}); err != nil {
				t.Fatal(err)
			}
		}
		end := T0.Add(keystile.TemporaryKeyLife + 2*time.Hour)
		n, err := s.PurgePartnerCredentials(t.Context(), end, 2)
		same(t, err, int64(4), n)
		n, err = s.PurgePartnerCredentials(t.Context(), end, 100)
		same(t, err, int64(4), n) // three sessions and one key are left that ended
		for i := range 5 {
			_, err := s.FindTemporaryKey(t.Context(), [][32]byte{partnerDigest(i)})
			if gone := errors.Is(err, keystile.ErrNotFound); gone != (i <= 2) {
				t.Errorf("key %d: %v", i, err)
			}
		}
	}},
}
