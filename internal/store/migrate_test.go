package store_test

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// unmigrated opens a store that has no schema yet.
func unmigrated(t *testing.T, address string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: address})
	noError(t, err)
	t.Cleanup(func() { noError(t, s.Close()) })
	return s
}

func TestMigratingTellsEachStepAndIsDoneOnce(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := unmigrated(t, address)
		current, newest, err := s.SchemaVersion(t.Context())
		if err != nil || current != 0 || newest == 0 {
			t.Errorf("before: %d of %d, %v", current, newest, err)
		}
		var steps []string
		noError(t, s.Migrate(t.Context(), func(_ int64, name string) { steps = append(steps, name) }))
		if len(steps) != len(versions(t, s, 1)) || !strings.HasPrefix(steps[0], "00001_") {
			t.Errorf("steps: %v", steps)
		}
		noError(t, s.Migrate(t.Context(), func(version int64, _ string) { t.Errorf("version %d again", version) }))
		current, newest, err = s.SchemaVersion(t.Context())
		if err != nil || current != newest {
			t.Errorf("after: %d of %d, %v", current, newest, err)
		}
	})
}

func TestAMigrationThatFailsInTheMiddleIsUndoneAndRunAgain(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := unmigrated(t, address)
		all, err := s.Migrations()
		noError(t, err)
		broken := fstest.MapFS{}
		names, err := fs.Glob(all, "*.sql")
		noError(t, err)
		for i, name := range names {
			text, err := fs.ReadFile(all, name)
			noError(t, err)
			if i == 1 {
				text = append(text, "\nCREATE TABLE half (id text);\nINSERT INTO nowhere VALUES (1);\n"...)
			}
			broken[name] = &fstest.MapFile{Data: text}
		}
		if err := s.MigrateWith(t.Context(), broken, nil); err == nil {
			t.Fatal("the broken migration succeeded")
		}
		if current, _, err := s.SchemaVersion(t.Context()); err != nil || current != 1 {
			t.Errorf("version %d, %v; want 1", current, err)
		}
		var applied []int64
		noError(t, s.Migrate(t.Context(), func(version int64, _ string) { applied = append(applied, version) }))
		if !slices.Equal(applied, versions(t, s, 2)) {
			t.Errorf("the second run applied %v", applied)
		}
		storetest.Seed(t, s)
	})
}

func TestASchemaNewerThanTheProgramIsRefused(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		execute(t, s.Writer(), "INSERT INTO "+store.VersionTable+" (version_id, is_applied) VALUES (4711, "+map[string]string{"sqlite": "1", "postgres": "true"}[s.Engine()]+")")
		err := s.Migrate(t.Context(), nil)
		if !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "4711") || !strings.Contains(err.Error(), "newer keystile") {
			t.Errorf("it says: %v", err)
		}
		if current, newest, err := s.SchemaVersion(t.Context()); err != nil || current != 4711 || newest >= current {
			t.Errorf("version %d of %d, %v", current, newest, err)
		}
	})
}

func TestProcessesThatMigrateAtOnceAllSucceed(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		var running []*child
		for range 4 {
			running = append(running, startChild(t, "migrate and report the result", address, nil))
		}
		for _, c := range running {
			if got := c.line(); got != "<nil>" {
				t.Errorf("one of them says %s", got)
			}
			c.end()
		}
		storetest.Seed(t, storetest.OpenURL(t, address))
	})
}

func TestASQLiteStoreIsNotMigratedUnderARunningServer(t *testing.T) {
	address := storetest.SQLiteURL(t)
	s := storetest.OpenURL(t, address)
	newer := fstest.MapFS{"04711_more.sql": &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE more (id TEXT);\n")}}
	all, err := s.Migrations()
	noError(t, err)
	for _, name := range migrationNames(t, s) {
		text, err := fs.ReadFile(all, name)
		noError(t, err)
		newer[name] = &fstest.MapFile{Data: text}
	}
	c := startChild(t, "hold a server lease", address, nil)
	pid := c.line()
	impatient, err := store.Open(t.Context(), store.Options{URL: address, BusyTimeout: 1})
	noError(t, err)
	defer func() { noError(t, impatient.Close()) }()
	err = impatient.MigrateWith(t.Context(), newer, nil)
	if !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "pid "+pid) {
		t.Errorf("it says: %v", err)
	}
	c.end()
	noError(t, impatient.MigrateWith(t.Context(), newer, nil))
}

func TestBothEnginesHaveTheSameMigrationsAndColumns(t *testing.T) {
	lite, post := storetest.Open(t), storetest.OpenPostgres(t)
	liteNames, postNames := migrationNames(t, lite), migrationNames(t, post)
	if !slices.Equal(liteNames, postNames) {
		t.Errorf("migrations: %v and %v", liteNames, postNames)
	}
	liteColumns := columns(t, lite, "SELECT m.name || '.' || c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
	postColumns := columns(t, post, "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'schema_lock'")
	if !slices.Equal(liteColumns, postColumns) {
		t.Errorf("columns:\n%v\n%v", liteColumns, postColumns)
	}
	liteIndexes := columns(t, lite, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
	postIndexes := columns(t, post, "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename <> 'schema_lock' AND indexname NOT LIKE '%_pkey'")
	if !slices.Equal(liteIndexes, postIndexes) {
		t.Errorf("indexes:\n%v\n%v", liteIndexes, postIndexes)
	}
}

func TestABulkImportLeavesTheIndexesAsTheMigrationsMadeThem(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		query := "SELECT name || ': ' || sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
		if s.Engine() == "postgres" {
			query = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()"
		}
		before := columns(t, s, query)
		storetest.Must(t, s, func(ctx ctx, tx *store.Tx) error {
			return errors.Join(tx.CreateOrganization(ctx, storetest.Organization("north")), tx.CreateSite(ctx, storetest.Site("north-1", "north")))
		})
		report, err := s.ImportAPIKeys(t.Context(), storetest.Actor, store.ImportOptions{JobID: "job"}, storetest.Source(storetest.ImportRows(10), 10), nil)
		if err != nil || !report.Bulk {
			t.Fatalf("report %+v, %v", report, err)
		}
		if after := columns(t, s, query); !slices.Equal(before, after) {
			t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
	})
}

func migrationNames(t *testing.T, s *store.Store) []string {
	t.Helper()
	all, err := s.Migrations()
	noError(t, err)
	names, err := fs.Glob(all, "*")
	noError(t, err)
	return names
}

// columns are the first columns of a query's rows, sorted.
func columns(t *testing.T, s *store.Store, query string) (list []string) {
	t.Helper()
	rows, err := s.Writer().QueryContext(t.Context(), query)
	noError(t, err)
	defer func() { noError(t, rows.Close()) }()
	for rows.Next() {
		var text string
		noError(t, rows.Scan(&text))
		list = append(list, text)
	}
	noError(t, rows.Err())
	slices.Sort(list)
	return list
}

func TestEveryQueryRunsOnBothEngines(t *testing.T) {
	constant := regexp.MustCompile("const \\w+ = `([^`]+)`")
	names, err := filepath.Glob("gen/*.sql.go")
	noError(t, err)
	var queries []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		noError(t, err)
		for _, match := range constant.FindAllStringSubmatch(string(text), -1) {
			queries = append(queries, match[1])
		}
	}
	if len(queries) < 60 {
		t.Fatalf("only %d queries found", len(queries))
	}
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		for _, query := range queries {
			prepares(t, s, query)
		}
	})
}

func prepares(t *testing.T, s *store.Store, query string) {
	t.Helper()
	stmt, err := s.Writer().PrepareContext(t.Context(), query)
	if err != nil {
		t.Errorf("%v\n%s", err, query)
		return
	}
	defer func() { noError(t, stmt.Close()) }()
}

// versions are the numbers of the schema steps from first on.
func versions(t *testing.T, s *store.Store, first int64) (list []int64) {
	t.Helper()
	all, err := s.Migrations()
	noError(t, err)
	names, err := fs.Glob(all, "*.sql")
	noError(t, err)
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if noError(t, err); v >= first {
			list = append(list, v)
		}
	}
	return list
}
