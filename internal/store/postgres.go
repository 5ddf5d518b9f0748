package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

const (
	// postgresConnections bounds one server's share of the database's connections.
	postgresConnections = 16
	// postgresConnectTimeout applies where the URL sets no connect_timeout.
	postgresConnectTimeout = 5 * time.Second
)

// postgresServer is the PostgreSQL engine.
type postgresServer struct {
	db    *sql.DB
	store *Store
	// where is the server without credentials, for messages.
	where string
}

func (e *postgresServer) name() string { return "postgres" }

func openPostgres(ctx context.Context, s *Store, o Options) error {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// The cause is left out: it quotes the URL, which may hold a password.
		return keystile.Invalidf("store", "use postgres://user@host:5432/database", "the PostgreSQL URL cannot be read")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = postgresConnectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "keystile"
	}
	if o.ReadOnly {
		config.RuntimeParams["default_transaction_read_only"] = "on"
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(postgresConnections)
	db.SetMaxIdleConns(postgresConnections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	where := fmt.Sprintf("the database %q at %s:%d", config.Database, config.Host, config.Port)
	s.engine = &postgresServer{db: db, store: s, where: where}
	s.reader, s.writer = db, db
	// Stated, not left to the database's default: the locks lean on it.
	s.txOptions = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	queries := gen.New(db)
	s.q, s.lookups, s.searches = queries, queries, s.reader
	return s.fail("open the store", db.PingContext(ctx))
}

func (e *postgresServer) hasTable(ctx context.Context, table string) (bool, error) {
	var n int
	err := e.db.QueryRowContext(ctx,
		"SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1", table).Scan(&n)
	return n > 0, err
}

// classify reads SQLSTATE codes (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func (e *postgresServer) classify(err error) (failure, string) {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return failureUnavailable, e.where + " cannot be reached; check that it runs, and the store's URL"
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return e.classifyState(pe)
	}
	if connectionLost(err) {
		return failureUnavailable, "the connection to " + e.where + " was lost"
	}
	return failureOther, ""
}

func connectionLost(err error) bool {
	var network net.Error
	if errors.As(err, &network) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) {
		return true
	}
	for _, gone := range []error{driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

func (e *postgresServer) classifyState(pe *pgconn.PgError) (failure, string) {
	switch pe.Code {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return failureRetry, ""
	case "23505", "23503": // unique_violation, foreign_key_violation
		return failureConflict, ""
	case "25006": // read_only_sql_transaction
		return failureUnavailable, e.where + " is read-only; name the primary"
	case "53100": // disk_full
		return failureUnavailable, "the disk of " + e.where + " is full; free some space there"
	case "42P01": // undefined_table
		return failureUnavailable, e.where + " has no schema or an old one; run: keystile migrate"
	}
	switch pe.Code[:min(2, len(pe.Code))] {
	case "08", "53", "57", "58", "XX": // connection, resources, operator intervention, system, internal
		return failureUnavailable, e.where + " does not answer: " + pe.Message
	}
	return failureOther, ""
}
