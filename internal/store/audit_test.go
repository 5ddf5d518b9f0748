package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestAChangedAuditLogIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		chain, tamper, problem string
		seq                    int64
	}{
		"an event's detail changed":     {"north", "UPDATE audit_events SET detail = '{}' WHERE organization_id = 'north' AND seq = 2", "contents", 2},
		"an event's actor changed":      {"north", "UPDATE audit_events SET actor = 'admin:x' WHERE organization_id = 'north' AND seq = 1", "contents", 1},
		"an event's time changed":       {"north", "UPDATE audit_events SET at = at + 1 WHERE organization_id = 'north' AND seq = 3", "contents", 3},
		"an event's request id changed": {"north", "UPDATE audit_events SET request_id = 'x' WHERE organization_id = 'north' AND seq = 3", "contents", 3},
		"an event's hash changed":       {"north", "UPDATE audit_events SET hash = prev_hash WHERE organization_id = 'north' AND seq = 2", "contents", 2},
		"the first event removed":       {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 1", "entry 1 was removed", 1},
		"an event removed":              {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 2", "entry 2 was removed", 2},
		"the last event removed":        {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 4", "entry 4 was removed from the end", 4},
		"every event removed":           {"north", "DELETE FROM audit_events WHERE organization_id = 'north'", "entries 1 to 4 were removed from the end", 1},
		"an event removed and renumbered": {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 2;" +
			"UPDATE audit_events SET seq = 2 WHERE organization_id = 'north' AND seq = 3", "does not follow", 2},
		"two events exchanged": {"north", "UPDATE audit_events SET seq = 99 WHERE organization_id = 'north' AND seq = 2;" +
			"UPDATE audit_events SET seq = 2 WHERE organization_id = 'north' AND seq = 3;" +
			"UPDATE audit_events SET seq = 3 WHERE organization_id = 'north' AND seq = 99", "does not follow", 2},
		"an event moved to another chain": {"south", "DELETE FROM audit_events WHERE organization_id = 'south' AND seq = 1;" +
			"UPDATE audit_events SET organization_id = 'south' WHERE organization_id = 'north' AND seq = 1", "contents", 1},
		"an event added": {"north", "INSERT INTO audit_events SELECT organization_id, 5, at, actor, action, target, detail, request_id, hash, hash FROM audit_events " +
			"WHERE organization_id = 'north' AND seq = 4", "contents", 5},
		"the head changed":                      {"north", "UPDATE audit_heads SET hash = (SELECT prev_hash FROM audit_events WHERE organization_id = 'north' AND seq = 1) WHERE chain = 'north'", "head does not fit", 5},
		"the head set back":                     {"north", "UPDATE audit_heads SET seq = 3 WHERE chain = 'north'", "head does not fit", 5},
		"the head set ahead":                    {"north", "UPDATE audit_heads SET seq = 5 WHERE chain = 'north'", "entry 5 was removed from the end", 5},
		"the head removed":                      {"north", "DELETE FROM audit_heads WHERE chain = 'north'", "head was removed", 5},
		"a decision turned into an allowance":   {store.DecisionsChain, "UPDATE audit_decisions SET allowed = NOT allowed WHERE seq = 2", "contents", 2},
		"a decision's cause changed":            {store.DecisionsChain, "UPDATE audit_decisions SET cause = 'x' WHERE seq = 1", "contents", 1},
		"a decision removed":                    {store.DecisionsChain, "DELETE FROM audit_decisions WHERE seq = 2", "entry 2 was removed", 2},
		"the last decision removed":             {store.DecisionsChain, "DELETE FROM audit_decisions WHERE seq = 3", "entry 3 was removed from the end", 3},
		"decisions removed together with head":  {store.DecisionsChain, "DELETE FROM audit_decisions WHERE seq = 1; DELETE FROM audit_heads WHERE chain = '#decisions'", "entry 1 was removed", 1},
		"events kept and their head forgotten ": {"south", "DELETE FROM audit_heads WHERE chain = 'south'", "head was removed", 5},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Engines(t, func(t *testing.T, s *store.Store) {
				storetest.Seed(t, s)
				noError(t, s.RecordDecisions(t.Context(), []keystile.DecisionRecord{{At: storetest.T0}, {At: storetest.T0, Reason: keystile.ReasonNoRoute}, {At: storetest.T0}}))
				noError(t, s.VerifyChain(t.Context(), c.chain))
				for statement := range strings.SplitSeq(c.tamper, ";") {
					execute(t, s.Writer(), statement)
				}
				err := s.VerifyChain(t.Context(), c.chain)
				var broken *store.ChainError
				if !errors.As(err, &broken) {
					t.Fatalf("the chain verifies: %v", err)
				}
				if broken.Chain != c.chain || broken.Seq != c.seq || !strings.Contains(broken.Problem, c.problem) {
					t.Errorf("found %+v, want entry %d: %s", broken, c.seq, c.problem)
				}
				chains, err := s.Chains(t.Context())
				noError(t, err)
				if !strings.Contains(strings.Join(chains, " "), c.chain) {
					t.Errorf("the chain is not listed: %v", chains)
				}
			})
		})
	}
}

// TestWhatACheckpointVouchedForCannotBeRewritten gives the forger everything but
// the key: they rewrite a chain so that it fits itself.
func TestWhatACheckpointVouchedForCannotBeRewritten(t *testing.T) {
	const key, stranger = storetest.CheckpointKey("k1"), storetest.CheckpointKey("k2")
	forget := "DELETE FROM audit_events WHERE organization_id = 'north' AND seq > 2;" +
		"UPDATE audit_heads SET seq = 2, hash = (SELECT hash FROM audit_events WHERE organization_id = 'north' AND seq = 2) WHERE chain = 'north'"
	everything := "DELETE FROM audit_events WHERE organization_id = 'north'; DELETE FROM audit_heads WHERE chain = 'north'"
	for name, c := range map[string]struct {
		tamper  string
		outside bool
		problem string
		seq     int64
	}{
		"the end removed, head to match":            {forget, false, "entries were removed from the end: the checkpoint of", 3},
		"the end and its checkpoint removed":        {forget + ";DELETE FROM audit_checkpoints WHERE chain = 'north'", true, "kept outside the store vouches for entry 4", 3},
		"the whole chain removed":                   {everything, false, "vouches for entry 4", 1},
		"the whole chain and its checkpoint":        {everything + ";DELETE FROM audit_checkpoints WHERE chain = 'north'", true, "kept outside the store vouches for entry 4", 1},
		"a checkpoint moved to an earlier entry":    {"UPDATE audit_checkpoints SET seq = 3 WHERE chain = 'north'", false, "signature that is not this store's", 3},
		"a checkpoint's time changed":               {"UPDATE audit_checkpoints SET at = at + 1 WHERE chain = 'north'", false, "signature that is not this store's", 4},
		"a checkpoint of another chain":             {"UPDATE audit_checkpoints SET chain = 'north', seq = 3 WHERE chain = 'south'", false, "signature that is not this store's", 3},
		"the beginning removed, a seal as its base": {"DELETE FROM audit_events WHERE organization_id = 'north'; UPDATE audit_checkpoints SET kind = 'base' WHERE chain = 'north'", false, "signature that is not this store's", 4},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Engines(t, func(t *testing.T, s *store.Store) {
				storetest.Seed(t, s)
				made, err := s.Seal(t.Context(), key)
				noError(t, err)
				with := store.Verification{Key: key}
				if c.outside {
					with.Outside = made
				}
				_, err = s.Verify(t.Context(), "north", store.Verification{Key: key, Outside: made})
				noError(t, err)
				for statement := range strings.SplitSeq(c.tamper, ";") {
					execute(t, s.Writer(), statement)
				}
				_, err = s.Verify(t.Context(), "north", with)
				var broken *store.ChainError
				if !errors.As(err, &broken) || broken.Seq != c.seq || !strings.Contains(broken.Problem, c.problem) {
					t.Errorf("found %v, want entry %d: %s", err, c.seq, c.problem)
				}
				storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error {
					return tx.Record(ctx, "north", "note.make", "note:1", nil)
				})
			})
		})
	}
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		storetest.Seed(t, s)
		made, err := s.Seal(t.Context(), stranger)
		noError(t, err)
		_, err = s.Verify(t.Context(), "north", store.Verification{Key: key, Outside: made})
		if broken := (*store.ChainError)(nil); !errors.As(err, &broken) {
			t.Errorf("another key's checkpoint: %v", err)
		}
	})
}

func TestABrokenChainIsNeitherSealedNorPruned(t *testing.T) {
	const key = storetest.CheckpointKey("k1")
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		storetest.Seed(t, s)
		_, err := s.Seal(t.Context(), key)
		noError(t, err)
		for _, chain := range []string{"north", "south"} {
			storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.Record(ctx, chain, "note.make", "note:1", nil), tx.Record(ctx, chain, "note.make", "note:2", nil))
			})
		}
		execute(t, s.Writer(), "UPDATE audit_events SET actor = 'nobody' WHERE organization_id = 'north' AND seq = 5")
		made, err := s.Seal(t.Context(), key)
		var broken *store.ChainError
		if !errors.As(err, &broken) || broken.Chain != "north" || broken.Seq != 5 {
			t.Errorf("sealing says: %v", err)
		}
		if len(made) != 1 || made[0].Chain != "south" {
			t.Errorf("sealed: %+v", made)
		}
		execute(t, s.Writer(), "UPDATE audit_events SET actor = 'nobody' WHERE organization_id = 'north' AND seq = 1")
		removed, base, err := s.Prune(t.Context(), "north", time.Now().Add(time.Hour), key)
		if !errors.As(err, &broken) || broken.Seq != 1 || removed != 0 || base != nil {
			t.Errorf("pruning removed %d: %v", removed, err)
		}
	})
}
