package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// ImportRows makes n rows for the organisation "north" and its site "north-1",
// whose secrets' digests are Digest("import-0"), Digest("import-1"), ...
func ImportRows(n int) []store.ImportRow {
	rows := make([]store.ImportRow, n)
	for i := range rows {
		key := Key(fmt.Sprintf("import-%d", i), "north", "north-1")
		rows[i] = store.ImportRow{Key: key, Digest: Digest(key.ID), PepperID: "pepper-1"}
	}
	return rows
}

// Source gives rows in portions of the given size, as ImportAPIKeys wants them.
func Source(rows []store.ImportRow, portion int) func() ([]store.ImportRow, error) {
	return func() ([]store.ImportRow, error) {
		if len(rows) == 0 {
			return nil, io.EOF
		}
		n := min(portion, len(rows))
		next := rows[:n]
		rows = rows[n:]
		return next, nil
	}
}

// owner makes what rows of ImportRows refer to, and no key.
func owner(t *testing.T, s *store.Store) {
	t.Helper()
	Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, Organization("north")), tx.CreateSite(ctx, Site("north-1", "north")))
	})
}

func runImport(t *testing.T, s *store.Store, job string, next func() ([]store.ImportRow, error)) (store.ImportReport, error) {
	t.Helper()
	return s.ImportAPIKeys(t.Context(), Actor, store.ImportOptions{JobID: job, BatchRows: 50}, next, nil)
}

// imported fails the test unless the import succeeded with the given report.
func imported(t *testing.T, want, got store.ImportReport, err error) {
	t.Helper()
	noError(t, err)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.ImportReport{}, "Refusals")); diff != "" {
		t.Errorf("the report (-want +got):\n%s\n%+v", diff, got.Refusals)
	}
}

func found(t *testing.T, s *store.Store, words ...string) {
	t.Helper()
	for _, word := range words {
		if _, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest(word)}); err != nil {
			t.Errorf("the secret %q: %v", word, err)
		}
	}
}

func keyCount(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	for page := (store.Page{}); ; {
		keys, err := s.APIKeys(t.Context(), store.APIKeyFilter{Page: page})
		noError(t, err)
		if len(keys) == 0 {
			return n
		}
		n += len(keys)
		page.AfterID = keys[len(keys)-1].ID
	}
}

var errSource = errors.New("the disk with the file went away")

// failing gives rows and then an error.
func failing(rows []store.ImportRow, portion int) func() ([]store.ImportRow, error) {
	next := Source(rows, portion)
	return func() ([]store.ImportRow, error) {
		rows, err := next()
		if errors.Is(err, io.EOF) {
			err = errSource
		}
		return rows, err
	}
}

var importBehaviours = []behaviour{
	{"an import into an empty store builds its indexes last and leaves a whole store", func(t *testing.T, s *store.Store) {
		owner(t, s)
		var told []int64
		rows := ImportRows(345)
		rows[7].Hint = "opa_prod_HINT"
		report, err := s.ImportAPIKeys(t.Context(), Actor, store.ImportOptions{JobID: "job", BatchRows: 100}, Source(rows, 120),
			func(done int64) { told = append(told, done) })
		imported(t, store.ImportReport{Rows: 345, Imported: 345, Bulk: true}, report, err)
		if diff := cmp.Diff([]int64{100, 120, 220, 240, 340, 345}, told); diff != "" {
			t.Errorf("progress: %s", diff)
		}
		found(t, s, "import-0", "import-344")
		want := rows[7].Key
		want.Hint = "opa_prod_HINT"
		got, err := s.APIKey(t.Context(), "import-7")
		same(t, err, want, got)
		if n := keyCount(t, s); n != 345 {
			t.Errorf("%d keys", n)
		}
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, Key("import-9", "north"))
		})
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, Key("new", "north"), Secret("new", "import-9"))
		})
		noError(t, s.VerifyChain(t.Context(), ""))
		events, err := s.Events(t.Context(), store.EventFilter{})
		noError(t, err)
		if len(events) != len(told)+1 || !strings.Contains(events[0].Detail, `"sha256":"`) || events[0].Action != "api_key.import" {
			t.Errorf("events: %+v", events)
		}
	}},
	{"of rows with the same id or secret in different batches, the first is imported", func(t *testing.T, s *store.Store) {
		owner(t, s)
		rows := ImportRows(200)
		rows[60].Digest = rows[3].Digest // same secret
		rows[120].Key.ID = "import-4"    // same id
		rows[121] = rows[5]              // same both
		rows[199].Digest = rows[198].Digest
		report, err := runImport(t, s, "job", Source(rows, 50))
		imported(t, store.ImportReport{Rows: 200, Imported: 196, SkippedDuplicates: 4, Bulk: true}, report, err)
		if n := keyCount(t, s); n != 196 || len(report.Refusals) == 0 {
			t.Errorf("%d keys, refusals %+v", n, report.Refusals)
		}
		for word, id := range map[string]string{"import-3": "import-3", "import-4": "import-4", "import-5": "import-5", "import-198": "import-198"} {
			lookup, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest(word)})
			if err != nil || lookup.Key.ID != id {
				t.Errorf("the secret %q opens %q, %v", word, lookup.Key.ID, err)
			}
		}
		unknown(t, s, "import-120")
	}},
	{"rows that are not valid are reported and do not stop the others", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		rows := ImportRows(10)
		rows[1].Key.ID = "no id"
		rows[2].Key.OrganizationID = "nobody"
		rows[3].Key.PermittedSiteIDs = []string{"south-1"}
		rows[4].Digest = [32]byte{}
		rows[5].PepperID = ""
		report, err := runImport(t, s, "job", Source(rows, 10))
		imported(t, store.ImportReport{Rows: 10, Imported: 5, Refused: 5}, report, err)
		var got []string
		for _, r := range report.Refusals {
			got = append(got, fmt.Sprintf("%d %s", r.Row, strings.SplitN(r.Problem, ":", 2)[0]))
		}
		if diff := cmp.Diff([]string{"2 id", "3 organization", "4 permitted_site_ids[0]", "5 secret", "6 secret"}, got); diff != "" {
			t.Errorf("refusals: %s", diff)
		}
	}},
	{"an import into a store with keys goes in beside them", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		rows := ImportRows(120)
		rows[0].Key.ID = "north-key"                  // id is there
		rows[1].Digest = Digest("south-secret")       // secret is there
		rows[70].Digest = rows[69].Digest             // secret came before
		rows[100].Key.ID, rows[101].Key.ID = "x", "x" // in one batch
		report, err := runImport(t, s, "job", Source(rows, 50))
		imported(t, store.ImportReport{Rows: 120, Imported: 116, SkippedDuplicates: 4}, report, err)
		found(t, s, "north-secret", "south-secret", "import-2", "import-119")
		unknown(t, s, "import-0")
		if _, err := s.APIKey(t.Context(), "import-1"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("a key whose secret is another's: %v", err)
		}
		if n := keyCount(t, s); n != 118 {
			t.Errorf("%d keys, want 118", n)
		}
	}},
	{"an import beside a running server leaves the indexes alone", func(t *testing.T, s *store.Store) {
		owner(t, s)
		lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{Holder: "test"})
		noError(t, err)
		defer func() { noError(t, lease.Release()) }()
		report, err := runImport(t, s, "job", Source(ImportRows(60), 60))
		imported(t, store.ImportReport{Rows: 60, Imported: 60}, report, err)
	}},
	{"an interrupted bulk import keeps servers and changes out until it has been resumed", func(t *testing.T, s *store.Store) {
		owner(t, s)
		rows := ImportRows(230)
		report, err := runImport(t, s, "job", failing(rows[:120], 60))
		if !errors.Is(err, errSource) || report.Imported != 120 {
			t.Fatalf("the interrupted import: %+v, %v", report, err)
		}
		if _, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{}); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("a server: %v", err)
		}
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, Role("r")) })
		if _, err := runImport(t, s, "other", Source(rows, 60)); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("another import: %v", err)
		}
		changed := ImportRows(230)
		changed[110].Key.Name = "not what it was"
		if _, err := runImport(t, s, "job", Source(changed, 60)); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("other rows: %v", err)
		}
		if _, err := runImport(t, s, "job", Source(rows[:100], 60)); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("fewer rows: %v", err)
		}
		report, err = runImport(t, s, "job", Source(rows, 37))
		imported(t, store.ImportReport{Rows: 230, Imported: 230, Bulk: true, Resumed: 120}, report, err)
		if n := keyCount(t, s); n != 230 {
			t.Errorf("%d keys", n)
		}
		lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{})
		noError(t, err)
		noError(t, lease.Release())
		noError(t, s.VerifyChain(t.Context(), ""))
	}},
	{"an interrupted bulk import can be finished with the rows it has", func(t *testing.T, s *store.Store) {
		owner(t, s)
		if _, err := runImport(t, s, "job", failing(ImportRows(100), 50)); !errors.Is(err, errSource) {
			t.Fatal(err)
		}
		report, err := s.FinishImport(t.Context(), Actor)
		imported(t, store.ImportReport{Rows: 100, Imported: 100, Bulk: true, Resumed: 100}, report, err)
		found(t, s, "import-99")
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, Role("r")) })
		report, err = s.FinishImport(t.Context(), Actor)
		imported(t, store.ImportReport{}, report, err)
	}},
	{"an interrupted import beside servers is resumed", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		rows := ImportRows(130)
		if _, err := runImport(t, s, "job", failing(rows[:100], 50)); !errors.Is(err, errSource) {
			t.Fatal(err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, Role("r")) })
		report, err := runImport(t, s, "job", Source(rows, 50))
		imported(t, store.ImportReport{Rows: 130, Imported: 130, Resumed: 100}, report, err)
	}},
	{"an import that has ended begins again, and says what it did this time", func(t *testing.T, s *store.Store) {
		owner(t, s)
		report, err := runImport(t, s, "job", Source(ImportRows(60), 60))
		imported(t, store.ImportReport{Rows: 60, Imported: 60, Bulk: true}, report, err)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, "import-7") })
		report, err = runImport(t, s, "job", Source(ImportRows(60), 60))
		imported(t, store.ImportReport{Rows: 60, Imported: 1, SkippedDuplicates: 59}, report, err)
		found(t, s, "import-7")
	}},
	{"an import that fails before its first row leaves a store that works", func(t *testing.T, s *store.Store) {
		owner(t, s)
		if _, err := runImport(t, s, "job", failing(nil, 1)); !errors.Is(err, errSource) {
			t.Fatal(err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, Key("k", "north"), Secret("k", "k"))
		})
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.CreateAPIKey(ctx, Key("k", "north")) })
	}},
	{"an import of no rows leaves a store that works", func(t *testing.T, s *store.Store) {
		owner(t, s)
		report, err := runImport(t, s, "job", Source(nil, 1))
		imported(t, store.ImportReport{Bulk: true}, report, err)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, Key("k", "north"), Secret("k", "k"))
		})
	}},
}
