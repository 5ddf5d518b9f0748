package store_test

import (
	"errors"
	"slices"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestWhatWasAcknowledgedSurvivesKill9AndNothingIsHalfDone(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		storetest.Seed(t, s)
		c := startChild(t, "create keys until killed", address, nil)
		var acknowledged []string
		for range 25 {
			acknowledged = append(acknowledged, c.line())
		}
		acknowledged = append(acknowledged, c.kill()...)
		s = storetest.OpenURL(t, address)
		for _, id := range acknowledged {
			for _, id := range []string{id, id + "-twin"} {
				if _, err := s.FindAPIKeySecret(t.Context(), [][32]byte{storetest.Digest(id)}); err != nil {
					t.Errorf("%s was acknowledged: %v", id, err)
				}
			}
		}
		keys, err := s.APIKeys(t.Context(), store.APIKeyFilter{OrganizationID: "north", Page: store.Page{Limit: 10_000}})
		noError(t, err)
		if len(keys)%2 != 1 { // the seed's one, and pairs
			t.Errorf("%d keys: one has no twin", len(keys))
		}
		noError(t, s.VerifyChain(t.Context(), "north"))
	})
}

func TestEveryKeyThatWasAnsweredSurvivesKill9AndHasItsEventOnce(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		storetest.Seed(t, s)
		c := startChild(t, "exchange until killed", address, nil)
		var answered []string
		for range 100 {
			answered = append(answered, c.line())
		}
		answered = append(answered, c.kill()...)
		s = storetest.OpenURL(t, address)
		for more := 1; more > 0; {
			var err error
			more, err = s.AuditIssued(t.Context(), 100)
			noError(t, err)
		}
		events := map[string]int{}
		for after := int64(0); ; {
			page, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north", Action: "temporary_key.issue", AfterSeq: after, Limit: 1000})
			noError(t, err)
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				events[e.Target]++
				after = e.Seq
			}
		}
		for _, id := range answered {
			if n := events["temporary_key:"+id]; n != 1 {
				t.Errorf("%s was answered and has %d events", id, n)
			}
		}
		if len(events)%exchangesTogether != 0 {
			t.Errorf("%d keys: a transaction is there by half", len(events))
		}
		noError(t, s.VerifyChain(t.Context(), "north"))
	})
}

func TestKill9WithinATransactionLeavesNothingOfIt(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		storetest.Seed(t, s)
		c := startChild(t, "stop within a transaction", address, nil)
		if got := c.line(); got != "within" {
			t.Fatal(got)
		}
		c.kill()
		s = storetest.OpenURL(t, address)
		keys, err := s.APIKeys(t.Context(), store.APIKeyFilter{})
		noError(t, err)
		if len(keys) != 2 {
			t.Errorf("%d keys, want the 2 from before", len(keys))
		}
		noError(t, s.VerifyChain(t.Context(), "north"))
		storetest.Must(t, s, func(ctx ctx, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, storetest.Key("half-1", "north"), storetest.Secret("half-1", "half-1"))
		})
	})
}

func TestKill9WithinAMigrationIsMendedByMigratingAgain(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		c := startChild(t, "stop within a migration", address, nil)
		if got := c.line(); got != "within" {
			t.Fatal(got)
		}
		c.kill()
		s, err := store.Open(t.Context(), store.Options{URL: address})
		noError(t, err)
		defer func() { noError(t, s.Close()) }()
		current, newest, err := s.SchemaVersion(t.Context())
		if err != nil || current != 2 || newest <= 2 {
			t.Fatalf("version %d of %d, %v; want 2", current, newest, err)
		}
		var applied []int64
		noError(t, s.Migrate(t.Context(), func(version int64, _ string) { applied = append(applied, version) }))
		if !slices.Equal(applied, versions(t, s, 3)) {
			t.Errorf("the second run applied %v, want what was left from 3 on", applied)
		}
		storetest.Seed(t, s)
	})
}

func TestKill9WithinABulkImportIsMendedByImportingAgain(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		storetest.Must(t, s, func(ctx ctx, tx *store.Tx) error {
			return errors.Join(tx.CreateOrganization(ctx, storetest.Organization("north")), tx.CreateSite(ctx, storetest.Site("north-1", "north")))
		})
		c := startChild(t, "stop within an import", address, nil)
		if got := c.line(); got != "within" {
			t.Fatal(got)
		}
		if _, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{}); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("a server during the import: %v", err)
		}
		c.kill()
		s = storetest.OpenURL(t, address)
		if _, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{}); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("a server after the interrupted import: %v", err)
		}
		report, err := s.ImportAPIKeys(t.Context(), storetest.Actor, store.ImportOptions{JobID: "job"}, storetest.Source(storetest.ImportRows(1000), 90), nil)
		noError(t, err)
		if report.Imported != 1000 || report.Resumed < 500 {
			t.Errorf("report %+v", report)
		}
		lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{})
		noError(t, err)
		noError(t, lease.Release())
	})
}
