package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

var feedBehaviours = []behaviour{
	{"what narrows or ends something is announced to everybody, what creates something only here", func(t *testing.T, s *store.Store) {
		var local []keystile.Change
		s.OnCommit(func(c []keystile.Change) { local = append(local, c...) })
		everyChange(t, s)
		got, complete, err := s.Changes(t.Context(), 0, 0)
		if err != nil || !complete {
			t.Fatalf("changes: complete %v, %v", complete, err)
		}
		want := []keystile.Change{
			{Kind: keystile.ChangeOrganization, ID: "north"}, // updated
			{Kind: keystile.ChangeOrganization, ID: "north"}, // has a new site, which its users may read
			{Kind: keystile.ChangeOrganization, ID: "north"}, // its site was updated
			{Kind: keystile.ChangeRole, ID: "r"},             // a role was updated
			{Kind: keystile.ChangeRole, ID: "r"},             // and deleted
			{Kind: keystile.ChangeKey, ID: "key"},            // updated
			{Kind: keystile.ChangeKey, ID: "key"},            // rotated
			{Kind: keystile.ChangeKey, ID: "key"},            // its old secrets end
			{Kind: keystile.ChangeKey, ID: "key"},            // revoked
			{Kind: keystile.ChangeKey, ID: "key"},            // deleted
			{Kind: keystile.ChangeOrganization, ID: "north"}, // its site was deleted
			{Kind: keystile.ChangeOrganization, ID: "north"}, // deleted
			{Kind: keystile.ChangeAll},                       // pepper 1
			{Kind: keystile.ChangeAll},                       // pepper 2
			{Kind: keystile.ChangeAll},                       // pepper 1 is gone
			{Kind: keystile.ChangeAdminToken, ID: "global"},  // revoked
		}
		for i := range want {
			want[i].Revision = int64(i + 1)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the feed (-want +got):\n%s", diff)
		}
		created := map[keystile.Change]bool{
			{Kind: keystile.ChangeOrganization, ID: "north"}: true, {Kind: keystile.ChangeKey, ID: "key"}: true, {Kind: keystile.ChangeAdminToken, ID: "global"}: true,
		}
		for _, c := range local {
			if c.Revision == 0 {
				delete(created, c)
			}
		}
		if len(created) != 0 || len(local) != len(want)+3 {
			t.Errorf("told here: %v; missing: %v", local, created)
		}
	}},
	{"one transaction announces a thing once, and listeners hear it before Mutate returns", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		before, err := s.Revision(t.Context())
		noError(t, err)
		var heard [][]keystile.Change
		s.OnCommit(func(c []keystile.Change) { heard = append(heard, c) })
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			tx.Announce(keystile.ChangeReload, "")
			return errors.Join(tx.AddAPIKeySecret(ctx, Secret("north-key", "fresh"), ""), tx.RevokeAPIKey(ctx, "north-key", T0))
		})
		want := [][]keystile.Change{{{Revision: before + 1, Kind: keystile.ChangeReload}, {Revision: before + 2, Kind: keystile.ChangeKey, ID: "north-key"}}}
		if diff := cmp.Diff(want, heard); diff != "" {
			t.Error(diff)
		}
		if err := s.Mutate(t.Context(), Actor, func(context.Context, *store.Tx) error { return keystile.ErrConflict }); err == nil || len(heard) != 1 {
			t.Errorf("a failed transaction: %v, told %v", err, heard)
		}
	}},
	{"purged changes make older readers start over, and nobody else", func(t *testing.T, s *store.Store) {
		for range 5 {
			Must(t, s, func(_ context.Context, tx *store.Tx) error { tx.Announce(keystile.ChangeReload, ""); return nil })
		}
		n, err := s.PurgeChanges(t.Context(), time.Now().Add(-time.Hour), 10)
		if err != nil || n != 0 {
			t.Errorf("purged %d recent changes, %v", n, err)
		}
		n, err = s.PurgeChanges(t.Context(), time.Now().Add(time.Hour), 2)
		if err != nil || n != 2 {
			t.Errorf("purged %d of a batch of 2, %v", n, err)
		}
		for after, want := range map[int64]bool{0: false, 1: false, 2: true, 3: true, 5: true, 6: false} {
			changes, complete, err := s.Changes(t.Context(), after, 0)
			if err != nil || complete != want {
				t.Errorf("after %d: complete %v, %v, want %v", after, complete, err, want)
			}
			if complete && int64(len(changes)) != 5-after {
				t.Errorf("after %d: %d changes", after, len(changes))
			}
		}
		revision, err := s.Revision(t.Context())
		same(t, err, 5, revision)
	}},
	{"changes come in pages", func(t *testing.T, s *store.Store) {
		Must(t, s, func(_ context.Context, tx *store.Tx) error {
			for i := range 250 {
				tx.Announce(keystile.ChangeKey, fmt.Sprint(i))
			}
			return nil
		})
		changes, complete, err := s.Changes(t.Context(), 100, 50)
		if err != nil || !complete || len(changes) != 50 || changes[0].Revision != 101 || changes[0].ID != "100" {
			t.Errorf("%d changes, complete %v, %v", len(changes), complete, err)
		}
	}},
	{"a reader that follows the feed while it is written misses no revision", func(t *testing.T, s *store.Store) {
		const writers, each = 8, 15
		var group errgroup.Group
		for w := range writers {
			group.Go(func() error {
				for i := range each {
					err := s.Mutate(t.Context(), Actor, func(_ context.Context, tx *store.Tx) error {
						tx.Announce(keystile.ChangeKey, fmt.Sprintf("%d-%d", w, i))
						return nil
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		written := make(chan error, 1)
		go func() { written <- group.Wait() }()
		var last int64
		for done := false; !done || last < writers*each; {
			select {
			case err := <-written:
				noError(t, err)
				done = true
			default:
			}
			changes, complete, err := s.Changes(t.Context(), last, 7)
			if err != nil || !complete {
				t.Fatalf("after %d: complete %v, %v", last, complete, err)
			}
			for _, c := range changes {
				if c.Revision != last+1 {
					t.Fatalf("revision %d came after %d", c.Revision, last)
				}
				last = c.Revision
			}
			if done && len(changes) == 0 && last < writers*each {
				t.Fatalf("the feed ends at %d, want %d", last, writers*each)
			}
		}
	}},
}

var transactionBehaviours = []behaviour{
	{"a transaction sees its own writes, and others see all of it or nothing", func(t *testing.T, s *store.Store) {
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateOrganization(ctx, Organization("north")); err != nil {
				return err
			}
			if _, err := tx.Organization(ctx, "north"); err != nil {
				t.Errorf("within the transaction: %v", err)
			}
			if _, err := s.Organization(ctx, "north"); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("outside it: %v", err)
			}
			return nil
		})
		if _, err := s.Organization(t.Context(), "north"); err != nil {
			t.Errorf("after it: %v", err)
		}
	}},
	{"a refusal within a transaction can be passed over", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateSite(ctx, Site("north-1", "north")); !errors.Is(err, keystile.ErrConflict) {
				t.Errorf("a duplicate site: %v", err)
			}
			return tx.CreateSite(ctx, Site("north-3", "north"))
		})
		_, err := s.Site(t.Context(), "north-3")
		noError(t, err)
	}},
	{"a panic undoes the transaction and leaves the store usable", func(t *testing.T, s *store.Store) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				if err := tx.CreateOrganization(ctx, Organization("north")); err != nil {
					return err
				}
				panic("at the worst moment")
			})
			t.Errorf("Mutate returned %v", err)
		}()
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateOrganization(ctx, Organization("north"))
		})
	}},
	{"a cancelled transaction has not happened", func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Mutate(ctx, Actor, func(ctx context.Context, tx *store.Tx) error {
			defer cancel()
			return tx.CreateOrganization(ctx, Organization("north"))
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Mutate: %v", err)
		}
		if _, err := s.Organization(t.Context(), "north"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the organization: %v", err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateOrganization(ctx, Organization("north"))
		})
	}},
	{"32 goroutines that change one key lose no change, and its chain stays whole", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateAPIKey(ctx, Key("shared", "north")) })
		const writers = 32
		together(t, writers, func(i int) error {
			return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				k, err := tx.APIKey(ctx, "shared")
				if err != nil {
					return err
				}
				k.Scopes = append(k.Scopes, keystile.Scope(fmt.Sprintf("scope:%d", i)))
				return tx.UpdateAPIKey(ctx, k)
			})
		})
		k, err := s.APIKey(t.Context(), "shared")
		noError(t, err)
		if want := writers + 2; len(k.Scopes) != want {
			t.Errorf("%d scopes, want %d", len(k.Scopes), want)
		}
		noError(t, s.VerifyChain(t.Context(), "north"))
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north"})
		noError(t, err)
		if want := 4 + 1 + writers; len(events) != want {
			t.Errorf("%d events, want %d", len(events), want)
		}
	}},
	{"transactions that touch organizations in opposite orders all succeed", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		together(t, 16, func(i int) error {
			first, second := "north", "south"
			if i%2 == 1 {
				first, second = second, first
			}
			return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				if err := tx.CreateSite(ctx, Site(fmt.Sprintf("%s-x%d", first, i), first)); err != nil {
					return err
				}
				return tx.CreateSite(ctx, Site(fmt.Sprintf("%s-y%d", second, i), second))
			})
		})
		sites, err := s.Sites(t.Context(), store.SiteFilter{})
		noError(t, err)
		if len(sites) != 4+32 {
			t.Errorf("%d sites, want 36", len(sites))
		}
		noError(t, s.VerifyChain(t.Context(), "north"))
		noError(t, s.VerifyChain(t.Context(), "south"))
	}},
	{"TestThreat30 a site that is being deleted cannot be permitted to a key at the same time", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		const rounds = 12
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range rounds {
				if err := tx.CreateSite(ctx, Site(fmt.Sprintf("race-%d", i), "north")); err != nil {
					return err
				}
			}
			return nil
		})
		together(t, 2*rounds, func(i int) error {
			site := fmt.Sprintf("race-%d", i/2)
			var invalid *keystile.Invalid
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				if i%2 == 0 {
					return tx.DeleteSite(ctx, site)
				}
				return tx.CreateAPIKey(ctx, Key("key-"+site, "north", site))
			})
			if errors.Is(err, keystile.ErrConflict) || errors.As(err, &invalid) {
				return nil
			}
			return err
		})
		for i := range rounds {
			site := fmt.Sprintf("race-%d", i)
			_, siteErr := s.Site(t.Context(), site)
			_, keyErr := s.APIKey(t.Context(), "key-"+site)
			if (siteErr == nil) != (keyErr == nil) {
				t.Errorf("%s: site %v, key %v; want both or neither", site, siteErr, keyErr)
			}
		}
	}},
}

// together runs fn n times at once and fails the test with the first error.
func together(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var group errgroup.Group
	var start sync.WaitGroup
	start.Add(1)
	for i := range n {
		group.Go(func() error {
			start.Wait()
			return fn(i)
		})
	}
	start.Done()
	noError(t, group.Wait())
}
