package storetest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	// The driver named "pgx", with which schemas for tests are made.
	_ "github.com/jackc/pgx/v5/stdlib"

	"keystile.dev/keystile/internal/store"
)

// Open returns an empty, migrated SQLite store in a directory of the test. It
// is closed when the test ends.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenURL(t, SQLiteURL(t))
}

// OpenPostgres is Open on PostgreSQL.
func OpenPostgres(t testing.TB) *store.Store {
	t.Helper()
	return OpenURL(t, PostgresURL(t))
}

// OpenURL opens and migrates the store at a URL.
func OpenURL(t testing.TB, address string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: address})
	if err != nil {
		t.Fatalf("open a store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	if err := s.Migrate(t.Context(), nil); err != nil {
		t.Fatalf("migrate the store: %v", err)
	}
	return s
}

// SQLiteURL names a file that does not exist yet in a directory of the test.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "keystile.db")
}

// postgresVariable holds the base URL of a PostgreSQL server for tests.
const postgresVariable = "KEYSTILE_TEST_POSTGRES"

// PostgresURL names an empty schema of its own on the server for tests. The
// schema goes when the test ends. Without a server the test fails.
func PostgresURL(t testing.TB) string {
	t.Helper()
	base := os.Getenv(postgresVariable)
	if base == "" {
		t.Fatal("no PostgreSQL to test with: run make test, or set " + postgresVariable)
	}
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatalf("open %s: %v", postgresVariable, err)
	}
	schema := "test_" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatalf("make a schema for the test: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if _, err := db.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Errorf("drop the schema of the test: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the connection for schemas: %v", err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("read %s: %v", postgresVariable, err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// engine is one way to open a store.
type engine struct {
	name string
	url  func(testing.TB) string
}

var engines = []engine{{"sqlite", SQLiteURL}, {"postgres", PostgresURL}}

// Engines runs a test on an empty, migrated store of each engine.
func Engines(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	EngineURLs(t, func(t *testing.T, address string) { test(t, OpenURL(t, address)) })
}

// EngineURLs runs a test with a URL of each engine, for tests that open the
// store more than once.
func EngineURLs(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { test(t, e.url(t)) })
	}
}
