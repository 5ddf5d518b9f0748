package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Options says where the store is and how to open it.
type Options struct {
	// URL is "sqlite:" and a file name, or a "postgres://" URL
	// (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING).
	URL string
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger
	// ReadOnly opens an existing store for reading alone.
	ReadOnly bool
	// Now is the clock of audit events and row times; nil is time.Now.
	Now func() time.Time
	// BusyTimeout is how long to wait for another process that is writing to the
	// same SQLite file; 0 is 5 s.
	BusyTimeout time.Duration
}

// defaultBusyTimeout outlasts any single transaction of this program but a huge apply.
const defaultBusyTimeout = 5 * time.Second

// Store is an open store. It is safe for concurrent use.
type Store struct {
	reads

	engine engine
	logger *slog.Logger
	now    func() time.Time
	// writer makes transactions; on SQLite it has one connection.
	writer *sql.DB
	reader *sql.DB
	// lookups are the queries of the verify path.
	lookups *gen.Queries
	// kept are the writer's statements; nil on PostgreSQL.
	kept      *keptStatements
	txOptions *sql.TxOptions
	readOnly  bool
	closed    atomic.Bool

	mu        sync.RWMutex
	listeners []func([]keystile.Change)
}

// reads are the queries that a Store answers from its read connections and a
// Tx from within its transaction.
type reads struct {
	q *gen.Queries
	// searches runs the texts that a search makes, which are too many to be kept prepared.
	searches searcher
	// fail gives an engine's error its meaning.
	fail func(op string, err error) error
}

// searcher is a pool or a transaction, for texts that are not generated.
type searcher interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// Open opens a store and checks that it answers and is Keystile's. An absent
// SQLite file is created with mode 0600 in its existing directory. Open does
// not migrate: see [Store.Migrate].
//
// A store that is away, damaged or another program's wraps
// [keystile.ErrUnavailable]; a URL that makes no sense is a *[keystile.Invalid].
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = defaultBusyTimeout
	}
	s := &Store{logger: o.Logger, now: o.Now, readOnly: o.ReadOnly}
	s.fail = s.explain
	scheme, rest, _ := strings.Cut(o.URL, ":")
	var err error
	switch scheme {
	case "sqlite":
		err = openSQLite(ctx, s, rest, o)
	case "postgres", "postgresql":
		err = openPostgres(ctx, s, o)
	default:
		return nil, keystile.Invalidf("store", "use sqlite:/path/to/keystile.db or postgres://user@host/database",
			"the URL names no engine that is known")
	}
	if err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	return s, nil
}

// Engine is "sqlite" or "postgres".
func (s *Store) Engine() string { return s.engine.name() }

// Ping says whether the store answers.
func (s *Store) Ping(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	var one int
	err := s.reader.QueryRowContext(ctx, "SELECT 1 FROM feed_head WHERE id = 1").Scan(&one)
	return s.fail("ping", err)
}

// OnCommit adds a listener that is told of every change made through this
// Store, after the commit and before Mutate returns. Listeners of concurrent
// transactions run concurrently and not always in the order of revisions; a
// listener must not call back into Mutate.
//
// A Revision of 0 marks a change that is told here only: a created key, which
// other processes need not hear of.
func (s *Store) OnCommit(fn func([]keystile.Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, fn)
}

func (s *Store) announce(changes []keystile.Change) {
	if len(changes) == 0 {
		return
	}
	s.mu.RLock()
	listeners := s.listeners
	s.mu.RUnlock()
	for _, fn := range listeners {
		fn(changes)
	}
}

// Close lets go of the store. Calls still running may fail.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.closePools(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

func (s *Store) closePools() error {
	var errs []error
	// Readers first: the last connection to close, the writer, checkpoints the WAL.
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil && s.writer != s.reader {
		errs = append(errs, s.writer.Close())
	}
	return errors.Join(errs...)
}

// writable says whether a transaction that writes may begin.
func (s *Store) writable() error {
	switch {
	case s.closed.Load():
		return errClosed
	case s.readOnly:
		return errReadOnly
	}
	return nil
}
