package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// bulkIndexes are dropped before a bulk import and built after it, as the
// migrations made them. The digests come first: if two keys have the same
// secret, that is where it shows.
var bulkIndexes = []struct{ name, create string }{
	{"api_key_secrets_digest", "CREATE UNIQUE INDEX IF NOT EXISTS api_key_secrets_digest ON api_key_secrets (digest)"},
	{"api_keys_id", "CREATE UNIQUE INDEX IF NOT EXISTS api_keys_id ON api_keys (id)"},
	{"api_key_secrets_key_id", "CREATE INDEX IF NOT EXISTS api_key_secrets_key_id ON api_key_secrets (key_id)"},
	{"api_keys_organization_id", "CREATE INDEX IF NOT EXISTS api_keys_organization_id ON api_keys (organization_id, id)"},
	{expiryIndex, "CREATE INDEX IF NOT EXISTS api_keys_expires_at ON api_keys (expires_at) WHERE expires_at IS NOT NULL"},
	{"api_keys_hint", "CREATE INDEX IF NOT EXISTS api_keys_hint ON api_keys (hint) WHERE hint <> ''"},
}

// expiryIndex holds keys that end. It is dropped when the first of them comes: where
// none does, building it would read the whole table for nothing.
const expiryIndex = "api_keys_expires_at"

// begin decides between bulk and live and prepares the tables for it.
func (j *importer) begin(ctx context.Context) (release func() error, err error) {
	s := j.store
	j.db = s.writer
	live := func() error { return nil }
	resumed, err := j.interrupted(ctx)
	if err != nil {
		return nil, err
	}
	if !resumed && (j.live || j.state.Rows > 0) {
		return live, nil // it is to be live, or began so
	}
	lease, err := s.AcquireServerLease(ctx, LeaseRequest{Holder: "import " + j.id, SharedMemory: true, purpose: importPurpose})
	if !resumed && errors.Is(err, keystile.ErrConflict) {
		return live, nil
	}
	if err != nil {
		return nil, err
	}
	if !resumed {
		if err := j.dropIndexes(ctx); err != nil || !j.state.Bulk {
			return live, errors.Join(err, lease.Release())
		}
	}
	j.state.Bulk = true
	return j.connect(lease)
}

// interrupted says whether this job is the bulk import that has not ended; that
// another one is, is a conflict.
func (j *importer) interrupted(ctx context.Context) (bool, error) {
	running, err := j.store.Meta(ctx, metaImport)
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case running != j.id:
		return false, j.store.refuseDuringImport(ctx, j.store.reads)
	}
	return true, nil
}

// connect gives a bulk import a connection of its own on SQLite.
func (j *importer) connect(lease *Lease) (release func() error, err error) {
	file, local := j.store.engine.(*sqliteFile)
	if !local {
		return lease.Release, nil
	}
	db, err := sql.Open("sqlite", file.dsn(sqliteBulk))
	if err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	db.SetMaxOpenConns(1)
	j.db = db
	return func() error { return errors.Join(db.Close(), lease.Release()) }, nil
}

// dropIndexes begins a bulk import if there are no keys, in one transaction.
func (j *importer) dropIndexes(ctx context.Context) error {
	bulk := false
	err := j.store.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		bulk = false
		var keys bool
		err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM api_keys) OR EXISTS (SELECT 1 FROM api_key_secrets)").Scan(&keys)
		if err != nil || keys {
			return err
		}
		for _, index := range bulkIndexes {
			if index.name == expiryIndex {
				continue
			}
			if _, err := tx.ExecContext(ctx, "DROP INDEX IF EXISTS "+index.name); err != nil {
				return err
			}
		}
		bulk = true
		return gen.New(tx).PutMeta(ctx, metaImport, j.id)
	})
	if err != nil {
		return fmt.Errorf("begin the bulk import: %w", err)
	}
	j.state.Bulk = bulk
	return nil
}

// finish builds what begin dropped and closes the job. Each index is a
// transaction, so that an interruption costs one of them.
func (j *importer) finish(ctx context.Context) error {
	if j.state.Bulk {
		if err := j.buildIndexes(ctx); err != nil {
			return err
		}
	}
	err := j.store.inTxOn(ctx, j.db, func(ctx context.Context, tx *sql.Tx) error {
		t := newTx(j.store, j.store.preparedOn(j.db, tx), j.actor, map[string]bool{})
		state := j.state
		state.Done = true
		if err := j.save(ctx, t.q, state); err != nil {
			return err
		}
		if state.Bulk {
			if err := t.q.DeleteMeta(ctx, metaImport); err != nil {
				return err
			}
		}
		if err := t.Record(ctx, "", "api_key.import_finish", "import:"+j.id, state.ImportReport); err != nil {
			return err
		}
		return t.writeEvents(ctx)
	})
	if err != nil {
		return err
	}
	j.state.Done = true
	return j.settle(ctx)
}

// abandon opens the store again after a bulk import that failed before its
// first row was in: there is nothing to resume.
func (j *importer) abandon(ctx context.Context) error {
	if !j.state.Bulk || j.state.Rows > 0 {
		return nil
	}
	if err := j.buildIndexes(ctx); err != nil {
		return err
	}
	return gen.New(j.db).DeleteMeta(ctx, metaImport)
}

func (j *importer) buildIndexes(ctx context.Context) error {
	for _, index := range bulkIndexes {
		_, err := j.db.ExecContext(ctx, index.create)
		if kind, _ := j.store.engine.classify(err); kind == failureConflict {
			if err = j.dropDuplicates(ctx); err == nil {
				_, err = j.db.ExecContext(ctx, index.create)
			}
		}
		if err != nil {
			return fmt.Errorf("build index %s: %w", index.name, err)
		}
	}
	return nil
}

// dropDuplicates deletes keys whose id or digest came before in the import, and
// their secrets. Every key has one secret here.
func (j *importer) dropDuplicates(ctx context.Context) error {
	// Both grow with each row of a table that only inserts have touched.
	position := "rowid"
	if j.store.Engine() == "postgres" {
		position = "ctid"
	}
	later := func(column, table, by string) string {
		return "SELECT " + column + " FROM (SELECT " + column + ", row_number() OVER (PARTITION BY " + by + " ORDER BY " + position +
			") AS nth FROM " + table + ") AS numbered WHERE nth > 1"
	}
	state := j.state
	err := j.store.inTxOn(ctx, j.db, func(ctx context.Context, tx *sql.Tx) error {
		state = j.state
		state.Refusals = append([]ImportRefusal(nil), j.state.Refusals...)
		named := map[string]bool{}
		for _, query := range []string{later("id", "api_keys", "id"), later("key_id", "api_key_secrets", "digest")} {
			if err := collect(ctx, tx, named, fmt.Sprintf("%s LIMIT %d", query, maxRefusals), nil); err != nil {
				return err
			}
		}
		var dropped int64
		for _, step := range []struct {
			keys bool
			text string
		}{
			{true, "DELETE FROM api_keys WHERE " + position + " IN (" + later(position, "api_keys", "id") + ")"},
			{false, "DELETE FROM api_key_secrets WHERE " + position + " IN (" + later(position, "api_key_secrets", "key_id") + ")"},
			{true, "DELETE FROM api_keys WHERE id IN (" + later("key_id", "api_key_secrets", "digest") + ")"},
			{false, "DELETE FROM api_key_secrets WHERE " + position + " IN (" + later(position, "api_key_secrets", "digest") + ")"},
		} {
			result, err := tx.ExecContext(ctx, step.text)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			if step.keys {
				dropped += n
			}
		}
		state.Imported -= dropped
		state.SkippedDuplicates += dropped
		for id := range named {
			state.name(0, id, "an API key with this id or secret came before it")
		}
		return j.save(ctx, gen.New(tx), state)
	})
	if err != nil {
		return fmt.Errorf("drop duplicates: %w", err)
	}
	j.state = state
	return nil
}

// settle leaves the store ready: everything in the file on SQLite, statistics
// for the planner on PostgreSQL.
func (j *importer) settle(ctx context.Context) error {
	if !j.state.Bulk {
		return nil
	}
	statements := []string{"ANALYZE api_keys", "ANALYZE api_key_secrets"}
	if j.store.Engine() == "sqlite" {
		statements = []string{"PRAGMA wal_checkpoint(TRUNCATE)"}
	}
	for _, statement := range statements {
		if _, err := j.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("settle the bulk import: %w", err)
		}
	}
	return nil
}
