package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// ctx keeps the signatures of changes short.
type ctx = context.Context

func createRole(ctx ctx, tx *store.Tx) error { return tx.CreateRole(ctx, storetest.Role("r")) }

// away fails the test unless err says that the store is away, with the words.
func away(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("the error is %v, want unavailable", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error is %q; it should say %q", err, word)
		}
	}
}

func pathOf(address string) string { return strings.TrimPrefix(address, "sqlite:") }

func TestAStoreThatCannotBeOpenedSaysWhyAndWhatToDo(t *testing.T) {
	directory := t.TempDir()
	file := func(name, contents string) string {
		path := filepath.Join(directory, name)
		noError(t, os.WriteFile(path, []byte(contents), 0o600))
		return path
	}
	other := filepath.Join(directory, "other.db")
	_, err := raw(t, "sqlite:"+other).ExecContext(t.Context(), "CREATE TABLE notes (text TEXT)")
	noError(t, err)
	for name, c := range map[string]struct {
		url      string
		readOnly bool
		words    []string
	}{
		"directory missing":     {url: "sqlite:" + filepath.Join(directory, "absent", "k.db"), words: []string{"directory does not exist", "mkdir"}},
		"is a directory":        {url: "sqlite:" + directory, words: []string{directory, "is a directory"}},
		"not a database":        {url: "sqlite:" + file("text.db", strings.Repeat("this is no database\n", 300)), words: []string{"text.db", "is not a SQLite database"}},
		"another program's":     {url: "sqlite:" + other, words: []string{"other.db", "another program"}},
		"absent and read-only":  {url: "sqlite:" + filepath.Join(directory, "none.db"), readOnly: true, words: []string{"none.db", "does not exist", "keystile init"}},
		"no server":             {url: "postgres://someone:canary-password@127.0.0.1:1/db", words: []string{"127.0.0.1:1", "cannot be reached"}},
		"no server's directory": {url: "postgres://someone@/db?host=" + directory, words: []string{"cannot be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), store.Options{URL: c.url, ReadOnly: c.readOnly})
			away(t, err, c.words...)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestThreat33_AURLThatMakesNoSenseIsRefusedWithoutShowingIt(t *testing.T) {
	for _, address := range []string{"", "canary", "mysql://canary@host/db", "sqlite:", "sqlite::memory:", "sqlite:a.db?canary=1", "postgres://u:canary@host:port/db", "postgres://u:canary@host/db?sslmode=no"} {
		_, err := store.Open(t.Context(), store.Options{URL: address})
		var invalid *keystile.Invalid
		if !errors.As(err, &invalid) || invalid.Field != "store" || invalid.Remedy == "" || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestTheFilesOfAStoreAreTheOwnersAlone(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "a b%41?.db")
	if _, err := store.Open(t.Context(), store.Options{URL: address}); err == nil {
		t.Fatal("a question mark begins parameters, which a file name has none of")
	}
	address = "sqlite:" + filepath.Join(t.TempDir(), "a b%41#.db")
	s := storetest.OpenURL(t, address)
	storetest.Seed(t, s)
	files, err := filepath.Glob(filepath.Dir(pathOf(address)) + "/*")
	noError(t, err)
	if len(files) < 3 {
		t.Errorf("files: %v", files)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		noError(t, err)
		if info.Mode().Perm() != 0o600 || !strings.HasPrefix(name, pathOf(address)) {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestAStoreOpenedReadOnlyReadsAndDoesNotWrite(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		storetest.Seed(t, storetest.OpenURL(t, address))
		s, err := store.Open(t.Context(), store.Options{URL: address, ReadOnly: true})
		noError(t, err)
		defer func() { noError(t, s.Close()) }()
		if _, err := s.FindAPIKeySecret(t.Context(), [][32]byte{storetest.Digest("north-secret")}); err != nil {
			t.Error(err)
		}
		away(t, s.Mutate(t.Context(), storetest.Actor, createRole), "read-only")
		away(t, s.RecordDecisions(t.Context(), make([]keystile.DecisionRecord, 1)), "read-only")
		away(t, s.TouchAPIKeys(t.Context(), make([]store.APIKeyUse, 1)), "read-only")
		away(t, s.MarkAdminTokenUsed(t.Context(), "x", time.Now()), "read-only")
		away(t, s.Migrate(t.Context(), nil), "read-only")
		_, err = s.Writer().ExecContext(t.Context(), "DELETE FROM sites")
		if err == nil {
			t.Error("the connection itself can write")
		}
	})
}

func TestAFileThatMayNotBeWrittenSaysSo(t *testing.T) {
	// World-readable directories, because another user has to come this far.
	directory, err := os.MkdirTemp("", "keystile-store")
	noError(t, err)
	defer func() { noError(t, os.RemoveAll(directory)) }()
	noError(t, os.Chmod(directory, 0o755))
	address := "sqlite:" + filepath.Join(directory, "keystile.db")
	noError(t, storetest.OpenURL(t, address).Close())
	noError(t, os.Chmod(pathOf(address), 0o444))
	var nobody *syscall.Credential
	if os.Getuid() == 0 {
		nobody = &syscall.Credential{Uid: 65534, Gid: 65534} // root may write everything
		program, err := os.ReadFile(os.Args[0])
		noError(t, err)
		inside := filepath.Join(directory, "store.test")
		noError(t, os.WriteFile(inside, program, 0o755))
		defer func(was string) { os.Args[0] = was }(os.Args[0])
		os.Args[0] = inside
	}
	c := startChild(t, "report what opening says", address, nobody)
	got := c.line()
	c.end()
	if !strings.Contains(got, pathOf(address)+" cannot be written by this user") || !strings.Contains(got, "unavailable") {
		t.Errorf("it says %q", got)
	}
}

func TestAFileLockedByAnotherProcessSaysSoAndIsStillRead(t *testing.T) {
	address := storetest.SQLiteURL(t)
	storetest.Seed(t, storetest.OpenURL(t, address))
	s, err := store.Open(t.Context(), store.Options{URL: address, BusyTimeout: 20 * time.Millisecond})
	noError(t, err)
	defer func() { noError(t, s.Close()) }()
	c := startChild(t, "hold the SQLite write lock", address, nil)
	if got := c.line(); got != "locked" {
		t.Fatal(got)
	}
	away(t, s.Mutate(t.Context(), storetest.Actor, createRole), pathOf(address), "locked by another process")
	if _, err := s.FindAPIKeySecret(t.Context(), [][32]byte{storetest.Digest("north-secret")}); err != nil {
		t.Errorf("reading beside the writer: %v", err)
	}
	c.end()
	noError(t, s.Mutate(t.Context(), storetest.Actor, createRole))
}

func TestAFullDiskIsUnavailableAndLosesNothing(t *testing.T) {
	s := storetest.Open(t)
	storetest.Seed(t, s)
	_, err := s.Writer().ExecContext(t.Context(), "PRAGMA max_page_count = 1") // the least it accepts is the present size
	noError(t, err)
	err = s.Mutate(t.Context(), storetest.Actor, func(ctx ctx, tx *store.Tx) error {
		for range 1000 {
			if err := tx.Record(ctx, "north", "note.make", "note:1", strings.Repeat("x", 1000)); err != nil {
				return err
			}
		}
		return nil
	})
	away(t, err, "the disk is full", "free some space")
	if _, err := s.FindAPIKeySecret(t.Context(), [][32]byte{storetest.Digest("north-secret")}); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	_, err = s.Writer().ExecContext(t.Context(), "PRAGMA max_page_count = 100000")
	noError(t, err)
	noError(t, s.Mutate(t.Context(), storetest.Actor, createRole))
	noError(t, s.VerifyChain(t.Context(), "north"))
}

func TestADamagedFileIsUnavailableAndNeverAnAnswer(t *testing.T) {
	address := storetest.SQLiteURL(t)
	s := storetest.OpenURL(t, address)
	storetest.Seed(t, s)
	noError(t, s.Close())
	contents, err := os.ReadFile(pathOf(address))
	noError(t, err)
	const page = 4096
	for name, damage := range map[string]func([]byte) []byte{
		"every page but the first overwritten": func(b []byte) []byte { return append(b[:page], bytes.Repeat([]byte{0xA5}, len(b)-page)...) },
		"cut off after the first page":         func(b []byte) []byte { return b[:page] },
		"the first page overwritten":           func(b []byte) []byte { return append(bytes.Repeat([]byte{0xA5}, page), b[page:]...) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keystile.db")
			noError(t, os.WriteFile(path, damage(bytes.Clone(contents)), 0o600))
			s, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + path})
			if err == nil {
				defer func() { noError(t, s.Close()) }()
				_, err = s.FindAPIKeySecret(t.Context(), [][32]byte{storetest.Digest("north-secret")})
			}
			away(t, err, path, "backup")
		})
	}
}

func TestAClosedStoreIsUnavailable(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		storetest.Seed(t, s)
		noError(t, s.Close())
		noError(t, s.Close())
		_, err := s.FindAPIKeySecret(t.Context(), [][32]byte{storetest.Digest("north-secret")})
		away(t, err, "closed")
		_, err = s.Organization(t.Context(), "nobody")
		away(t, err, "closed")
		_, err = s.Revision(t.Context())
		away(t, err, "closed")
		away(t, s.Mutate(t.Context(), storetest.Actor, createRole), "closed")
		away(t, s.Ping(t.Context()), "closed")
		_, _, err = s.SchemaVersion(t.Context())
		away(t, err, "closed")
		_, err = s.AcquireServerLease(t.Context(), store.LeaseRequest{})
		away(t, err, "closed")
	})
}

func TestAStoreWithoutASchemaSaysHowToMakeIt(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s, err := store.Open(t.Context(), store.Options{URL: address})
		noError(t, err)
		defer func() { noError(t, s.Close()) }()
		away(t, s.Ping(t.Context()), "keystile migrate")
		away(t, s.Mutate(t.Context(), storetest.Actor, createRole), "keystile migrate")
	})
}

func TestAServerThatGoesAwayIsUnavailable(t *testing.T) {
	address := storetest.PostgresURL(t)
	other := raw(t, address)
	// A name of its own, so that no other test's connection is ended.
	s := storetest.OpenURL(t, address+"&application_name=goes-away-"+rand.Text())
	storetest.Seed(t, s)
	var name string
	noError(t, s.Writer().QueryRowContext(t.Context(), "SHOW application_name").Scan(&name))
	var lost error
	err := s.Mutate(t.Context(), storetest.Actor, func(ctx ctx, tx *store.Tx) error {
		execute(t, other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name)
		for left := 1; left > 0; {
			noError(t, other.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name).Scan(&left))
		}
		lost = tx.CreateRole(ctx, storetest.Role("r"))
		return nil
	})
	away(t, err)
	away(t, lost)
	// Whatever else stood in the pool has ended, too: each is found out once, and dropped.
	for range s.Writer().Stats().OpenConnections {
		if err = s.Ping(t.Context()); err == nil {
			break
		}
		away(t, err)
	}
	noError(t, s.Ping(t.Context()))
	if _, err := s.Role(t.Context(), "r"); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("the role: %v", err)
	}
}

func TestPostgreSQLConditionsAreTold(t *testing.T) {
	s := storetest.OpenPostgres(t)
	for code, words := range map[string]string{
		"53100": "disk", "53300": "does not answer", "57P01": "does not answer", "08006": "does not answer", "25006": "read-only", "42P01": "keystile migrate",
	} {
		unavailable, text := s.Classify(&pgconn.PgError{Code: code, Message: "as the server says"})
		if !unavailable || !strings.Contains(text, words) {
			t.Errorf("%s: %v %q, want %q", code, unavailable, text, words)
		}
	}
	if unavailable, _ := s.Classify(&pgconn.PgError{Code: "42601"}); unavailable {
		t.Error("a syntax error is the program's fault")
	}
}

func TestAnUnansweredQuestionIsUnavailable(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
		defer cancel()
		_, err := s.Organization(ctx, "north")
		away(t, err)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the cause is lost: %v", err)
		}
	})
}

func TestAFileOthersMayReadIsWarnedAbout(t *testing.T) {
	address := storetest.SQLiteURL(t)
	noError(t, storetest.OpenURL(t, address).Close())
	noError(t, os.Chmod(pathOf(address), 0o644))
	var log bytes.Buffer
	s, err := store.Open(t.Context(), store.Options{URL: address, Logger: newLogger(&log)})
	noError(t, err)
	noError(t, s.Close())
	if !strings.Contains(log.String(), "chmod 600") {
		t.Errorf("the log says %q", log.String())
	}
	if _, err := os.Stat(pathOf(address)); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
