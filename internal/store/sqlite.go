package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// applicationID marks the file as a Keystile store: "KSTL"
// (https://www.sqlite.org/fileformat2.html#application_id).
const applicationID = 0x4B53544C

// sqliteFile is the SQLite engine on one file.
type sqliteFile struct {
	// path has no symbolic links, so that everybody who uses the file locks the same lock file.
	path string
	db   *sql.DB
	busy time.Duration
	// leased is set while this process holds the server lease, which covers its own migrations.
	leased atomic.Bool
}

func (e *sqliteFile) name() string { return "sqlite" }

func openSQLite(ctx context.Context, s *Store, name string, o Options) error {
	path, err := sqlitePath(name, o.ReadOnly)
	if err != nil {
		return err
	}
	e := &sqliteFile{path: path, busy: o.BusyTimeout}
	s.engine = e
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		s.logger.WarnContext(ctx, "others may read the store's file", "file", path, "mode", info.Mode().Perm().String(), "remedy", "chmod 600 "+path)
	}
	if s.reader, err = sql.Open("sqlite", e.dsn(sqliteReader(o.ReadOnly))); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	e.db = s.reader
	readers := max(4, runtime.GOMAXPROCS(0))
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	s.reader.SetConnMaxIdleTime(5 * time.Minute)
	if o.ReadOnly {
		s.writer = s.reader
	} else {
		if s.writer, err = sql.Open("sqlite", e.dsn(sqliteWriter)); err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		s.writer.SetMaxOpenConns(1)
		s.writer.SetMaxIdleConns(1)
		s.kept = &keptStatements{db: s.writer, stmts: map[string]*sql.Stmt{}}
	}
	queries := gen.New(&preparedReads{db: s.reader, stmts: map[string]statement{}})
	s.q, s.lookups, s.searches = queries, queries, s.reader
	if err := e.identify(ctx, s.writer); err != nil {
		return s.fail("open the store", err)
	}
	return nil
}

// sqlitePath finds the file, creating it if it may.
func sqlitePath(name string, readOnly bool) (string, error) {
	name, _, query := strings.Cut(name, "?")
	if rest, ok := strings.CutPrefix(name, "//"); ok {
		name = rest
	}
	if name == "" || name == ":memory:" || query {
		return "", keystile.Invalidf("store", "use sqlite:/path/to/keystile.db", "the URL must name a file and nothing else")
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("find the store's file: %w", err)
	}
	directory := filepath.Dir(path)
	if _, err := os.Stat(directory); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("open the store: %s cannot be created: its directory does not exist; create it: mkdir -m 700 %s: %w: %w",
			path, directory, keystile.ErrUnavailable, err)
	}
	flags := os.O_RDWR | os.O_CREATE
	if readOnly {
		flags = os.O_RDONLY
	}
	// 0600 from the first byte: SQLite gives its -wal and -shm files the same mode.
	f, err := os.OpenFile(path, flags, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("open the store: %s %s: %w: %w", path, openRemedy(err), keystile.ErrUnavailable, err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("find the store's file: %w", err)
	}
	return resolved, nil
}

// openRemedy says what is wrong with a file that the system would not open.
func openRemedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist; create it with: keystile init"
	case errors.Is(err, syscall.EISDIR):
		return "is a directory; name a file in it"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "cannot be written by this user; check the owner and mode of the file and its directory, and that the file system is not mounted read-only"
	case errors.Is(err, syscall.ENOSPC):
		return "cannot be created: the disk is full; free some space there"
	}
	return "cannot be opened; check the path"
}

// sqliteUse is what a connection is for.
type sqliteUse int

const (
	// sqliteRead reads while others write.
	sqliteRead sqliteUse = iota
	// sqliteReadOnly reads a file that may not be written.
	sqliteReadOnly
	// sqliteWriter commits what must survive.
	sqliteWriter
	// sqliteBulk writes the batches of an import, which can be resumed.
	sqliteBulk
)

func sqliteReader(readOnly bool) sqliteUse {
	if readOnly {
		return sqliteReadOnly
	}
	return sqliteRead
}

// dsn is the driver's name for the file. What has been acknowledged must survive
// kill -9 and a power cut, so the writer syncs the WAL at every commit
// (synchronous=FULL, https://www.sqlite.org/pragma.html#pragma_synchronous). A
// bulk import keeps its progress in the same transactions as its rows: with
// synchronous=NORMAL a power cut takes the last ones back together.
func (e *sqliteFile) dsn(use sqliteUse) string {
	v := url.Values{}
	v.Set("_busy_timeout", strconv.FormatInt(e.busy.Milliseconds(), 10))
	v.Set("_foreign_keys", "1")
	v.Set("_dqs", "0")
	v.Set("_defensive", "1")
	v.Set("_error_rc", "1")
	v.Set("mode", "rw")
	v.Add("_pragma", "trusted_schema(0)")
	v.Add("_pragma", "cell_size_check(1)")
	switch use {
	case sqliteWriter:
		v.Set("_txlock", "immediate")
		v.Set("_journal_mode", "WAL")
		v.Set("_synchronous", "FULL")
		v.Add("_pragma", "cache_size(-16384)")
		v.Add("_pragma", "journal_size_limit(67108864)")
	case sqliteBulk:
		v.Set("_txlock", "immediate")
		v.Set("_synchronous", "NORMAL")
		// Sorting for an index holds this much before it goes to a temporary file. A thread
		// sorts it while the next part is read; more at once would take longer to sort.
		v.Add("_pragma", "cache_size(-32768)")
		v.Add("_pragma", "threads(1)")
		v.Add("_pragma", "wal_autocheckpoint(16384)")
	case sqliteReadOnly:
		v.Set("mode", "ro")
		v.Add("_pragma", "cache_size(-4096)")
	case sqliteRead:
		v.Set("_query_only", "1")
		// Holds the inner pages of every index of 10 million keys; leaves come from the system's cache.
		v.Add("_pragma", "cache_size(-4096)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: e.path}).EscapedPath(), RawQuery: v.Encode()}).String()
}

// identify reads the schema, which finds damage early, and refuses files of other
// programs. It reads in one transaction: another process may be migrating.
func (e *sqliteFile) identify(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() {
		if end := tx.Rollback(); err == nil {
			err = end
		}
	}()
	var id int64
	if err := tx.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	var foreign int
	err = tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name <> $1 AND name NOT LIKE 'sqlite_%'", versionTable).Scan(&foreign)
	if err != nil {
		return err
	}
	if id != applicationID && (id != 0 || foreign > 0) {
		return fmt.Errorf("open the store: %s is a SQLite database of another program; name another file: %w", e.path, keystile.ErrUnavailable)
	}
	return nil
}

func (e *sqliteFile) hasTable(ctx context.Context, table string) (bool, error) {
	var n int
	err := e.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1", table).Scan(&n)
	return n > 0, err
}

// classify reads SQLite's result codes (https://www.sqlite.org/rescode.html).
func (e *sqliteFile) classify(err error) (failure, string) {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		if errors.Is(err, sql.ErrConnDone) {
			return failureUnavailable, "the store is closed"
		}
		return failureOther, ""
	}
	switch se.Code() {
	case sqlite3.SQLITE_BUSY_SNAPSHOT:
		return failureRetry, ""
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return failureConflict, ""
	}
	if text := e.remedy(se.Code() & 0xff); text != "" {
		return failureUnavailable, text
	}
	if se.Code() == sqlite3.SQLITE_ERROR && strings.Contains(se.Error(), "no such table") {
		return failureUnavailable, e.path + " has no schema or an old one; run: keystile migrate"
	}
	return failureOther, ""
}

// remedy says what an operator can do about a result code; "" if it is not one of theirs.
func (e *sqliteFile) remedy(code int) string {
	switch code {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return e.path + " is locked by another process; wait for it to finish, or stop it"
	case sqlite3.SQLITE_FULL:
		return e.path + " cannot grow: the disk is full; free some space there"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return e.path + " cannot be written; check the owner and mode of the file and its directory, and that the file system is not mounted read-only"
	case sqlite3.SQLITE_CORRUPT:
		return e.path + " is damaged; restore a backup, or save what can be read with: sqlite3 " + e.path + " .recover"
	case sqlite3.SQLITE_NOTADB:
		return e.path + " is not a SQLite database; name the right file, or restore a backup if this was the store"
	case sqlite3.SQLITE_CANTOPEN:
		return e.path + " cannot be opened; check that it exists and that this user may write to its directory"
	case sqlite3.SQLITE_IOERR:
		return e.path + " could not be read or written; check the disk and the system's log"
	case sqlite3.SQLITE_NOMEM:
		return "no memory is left for " + e.path
	}
	return ""
}
