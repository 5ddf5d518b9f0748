package store_test

import (
	"errors"
	"strings"
	"testing"

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
		"the first event removed":       {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 1", "the entry after 0 is 2", 1},
		"an event removed":              {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 2", "the entry after 1 is 3", 2},
		"the last event removed":        {"north", "DELETE FROM audit_events WHERE organization_id = 'north' AND seq = 4", "the last 1 entries were removed", 4},
		"every event removed":           {"north", "DELETE FROM audit_events WHERE organization_id = 'north'", "the last 4 entries were removed", 1},
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
		"the head set ahead":                    {"north", "UPDATE audit_heads SET seq = 5 WHERE chain = 'north'", "the last 1 entries were removed", 5},
		"the head removed":                      {"north", "DELETE FROM audit_heads WHERE chain = 'north'", "head was removed", 5},
		"a decision turned into an allowance":   {store.DecisionsChain, "UPDATE audit_decisions SET allowed = NOT allowed WHERE seq = 2", "contents", 2},
		"a decision's cause changed":            {store.DecisionsChain, "UPDATE audit_decisions SET cause = 'x' WHERE seq = 1", "contents", 1},
		"a decision removed":                    {store.DecisionsChain, "DELETE FROM audit_decisions WHERE seq = 2", "the entry after 1 is 3", 2},
		"the last decision removed":             {store.DecisionsChain, "DELETE FROM audit_decisions WHERE seq = 3", "the last 1 entries were removed", 3},
		"decisions removed together with head":  {store.DecisionsChain, "DELETE FROM audit_decisions WHERE seq = 1; DELETE FROM audit_heads WHERE chain = '#decisions'", "the entry after 0 is 2", 1},
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
