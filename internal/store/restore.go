package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// restorePurpose is what the lease of a restore says.
const restorePurpose = "restore"

// metaRestore marks a store that a restore has not finished.
const metaRestore = ownMeta + "restore"

// refuseHalfRestored keeps everybody off a store that is not what it was and not
// yet safe to use.
func (s *Store) refuseHalfRestored(ctx context.Context) error {
	_, err := s.Meta(ctx, metaRestore)
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return conflict("a restore into this store did not end; empty the store (remove the SQLite file, or drop and create the database) and restore again")
}

// housekeeping are the tables in which a store without anything of its user's has rows.
var housekeeping = []string{
	"keysets", "peppers", "meta", "changes", "feed_head", "nonce_bounds", "admin_tokens",
	"audit_events", "audit_heads", "audit_decisions", "audit_checkpoints",
}

// voids ends what must not be good again in a store that was restored: what may
// be used once may have been used since, and a session may have been ended.
// $1 is the moment of the restore.
var voids = []struct{ what, statement string }{
	{"sessions", "UPDATE sessions SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at > $1"},
	{"sign-in challenges", "UPDATE challenges SET expires_at = $1 WHERE expires_at > $1"},
	{"password reset links", "UPDATE password_resets SET expires_at = $1 WHERE expires_at > $1"},
	{"partner sessions", "UPDATE partner_sessions SET expires_at = $1 WHERE expires_at > $1"},
	{"OAuth grants", "UPDATE oauth_grants SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at > $1"},
	{"OAuth codes", "UPDATE oauth_codes SET expires_at = $1 WHERE expires_at > $1"},
	{"OAuth access tokens", "UPDATE oauth_tokens SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at > $1"},
	{"OAuth refresh tokens", "UPDATE oauth_refresh_tokens SET expires_at = $1 WHERE expires_at > $1"},
	{"OAuth pushed requests", "UPDATE oauth_requests SET expires_at = $1 WHERE expires_at > $1"},
	{"OAuth device codes", "UPDATE oauth_devices SET expires_at = $1 WHERE expires_at > $1"},
	{"sign-ins at OAuth clients", "UPDATE oauth_visits SET due_at = $1 WHERE due_at IS NULL AND expires_at > $1"}, // who is told, as of every end
	{"temporary keys", "UPDATE temporary_keys SET expires_at = $1 WHERE expires_at > $1"},
}

// Restore fills an empty store from a snapshot. It belongs to one goroutine.
type Restore struct {
	store    *Store
	lease    *Lease
	provider *goose.Provider
	tx       *sql.Tx
	tables   []Table
	// into and columns are the table that rows come for.
	into    string
	columns []Column
	kinds   []ColumnKind
	pending [][]any
}

// BeginRestore prepares an empty store for the rows of a snapshot of a schema's
// version: one that holds nothing but what making it put there. Anything else,
// or a store that a server uses, is [keystile.ErrConflict], and so is a version
// that this program does not know. Nothing may be done with the store until
// Finish has returned nil.
func (s *Store) BeginRestore(ctx context.Context, schema int64) (*Restore, error) {
	all, err := fs.Sub(migrations, path.Join("migrations", s.Engine()))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	r := &Restore{store: s}
	if r.provider, err = s.provider(all); err != nil {
		return nil, err
	}
	if newest := newestVersion(r.provider); schema > newest {
		return nil, conflict("the backup's schema is version %d and this keystile knows versions up to %d; run the newer keystile", schema, newest)
	}
	if err := r.makeRoom(ctx, schema); err != nil {
		return nil, err
	}
	if r.lease, err = s.AcquireServerLease(ctx, LeaseRequest{Holder: "restore", SharedMemory: true, purpose: restorePurpose}); err != nil {
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(s.fail("restore", err), r.Close())
	}
	return r, nil
}

// makeRoom brings an empty store to the schema of the snapshot.
func (r *Restore) makeRoom(ctx context.Context, schema int64) error {
	s := r.store
	current, err := s.version(ctx)
	if err != nil {
		return err
	}
	if current > newestVersion(r.provider) {
		_, err := s.current(ctx, newestVersion(r.provider))
		return err
	}
	if current > 0 {
		if err := s.refuseHalfRestored(ctx); err != nil {
			return err
		}
		if err := s.refuseFull(ctx); err != nil {
			return err
		}
	}
	if current > schema {
		if err := r.clear(ctx); err != nil {
			return s.fail("restore", err)
		}
	}
	return s.migrateTo(ctx, r.provider, schema, nil)
}

// refuseFull refuses a store with anything of its user's in it.
func (s *Store) refuseFull(ctx context.Context) error {
	tables, err := s.tables(ctx, s.reader)
	if err != nil {
		return s.fail("look whether the store is empty", err)
	}
	for _, t := range tables {
		where := ""
		switch {
		case t.Name == "admin_tokens":
			where = " WHERE bootstrap = FALSE"
		case slices.Contains(housekeeping, t.Name):
			continue
		}
		var full bool
		if err := s.reader.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+quoted(t.Name)+where+")").Scan(&full); err != nil {
			return s.fail("look whether the store is empty", err)
		}
		if full {
			return conflict("the store is not empty (table %s has rows); restore into a new one", t.Name)
		}
	}
	return nil
}

// clear removes every table, for a store that is empty and newer than the snapshot.
func (r *Restore) clear(ctx context.Context) error {
	lease, err := r.store.AcquireServerLease(ctx, LeaseRequest{Holder: "restore", SharedMemory: true, purpose: restorePurpose})
	if err == nil {
		err = lease.Release()
	}
	if err != nil {
		return err
	}
	return r.store.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		tables, err := r.store.tables(ctx, tx)
		if err != nil {
			return err
		}
		names := slices.Clone(leftOut)
		for _, t := range tables {
			names = append(names, t.Name)
		}
		slices.Reverse(names)
		for _, name := range names {
			if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+quoted(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// begin opens the transaction of the rows and takes out what making the store put in.
func (r *Restore) begin(ctx context.Context) (err error) {
	if r.tx, err = r.store.writer.BeginTx(ctx, r.store.txOptions); err != nil {
		return err
	}
	if r.tables, err = r.store.tables(ctx, r.tx); err != nil {
		return err
	}
	for _, t := range slices.Backward(r.tables) {
		if _, err := r.tx.ExecContext(ctx, "DELETE FROM "+quoted(t.Name)); err != nil { //nolint:gosec // G202: names are those of the schema
			return err
		}
	}
	return nil
}

// Table says which table the next rows are of. Tables come in the order of the
// snapshot.
func (r *Restore) Table(ctx context.Context, t Table) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	i := slices.IndexFunc(r.tables, func(here Table) bool { return here.Name == t.Name })
	if i < 0 {
		return fmt.Errorf("restore: the backup has a table %q that its schema does not have", clip(t.Name))
	}
	r.kinds = r.kinds[:0]
	for _, c := range t.Columns {
		j := slices.IndexFunc(r.tables[i].Columns, func(here Column) bool { return here.Name == c.Name })
		if j < 0 || r.tables[i].Columns[j].Kind != c.Kind {
			return fmt.Errorf("restore: the backup has a column %s.%q that its schema does not have", t.Name, clip(c.Name))
		}
		r.kinds = append(r.kinds, c.Kind)
	}
	r.columns = t.Columns
	r.into = quoted(t.Name) + " (" + columnList(t.Columns) + ")"
	return nil
}

// Row adds a row to the table that was named last. Its values may be used again
// once Row has returned, but for the bytes they refer to.
func (r *Restore) Row(ctx context.Context, values []any) error {
	if len(values) != len(r.columns) {
		return errors.New("restore: a row has another number of values than its table has columns")
	}
	row := make([]any, len(values))
	for i, v := range values {
		value, err := valueOf(r.kinds[i], v)
		if err != nil {
			return fmt.Errorf("restore: column %s: %w", r.columns[i].Name, err)
		}
		row[i] = value
	}
	if r.pending = append(r.pending, row); len(r.pending) == rowsAtOnce {
		return r.flush(ctx)
	}
	return nil
}

func (r *Restore) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	_, err := r.store.insertRows(ctx, r.tx, r.into, r.pending, "")
	r.pending = r.pending[:0]
	return r.store.fail("restore table "+strings.SplitN(r.into, " ", 2)[0], err)
}

// Finish commits the rows, brings the schema up to date, and makes the store
// safe to use in one more transaction: what was good once ends, every cache
// starts over, and what fn does. It returns how much of each kind it ended.
func (r *Restore) Finish(ctx context.Context, a Actor, fn func(context.Context, *Tx) error) (voided map[string]int64, err error) {
	if err := r.flush(ctx); err != nil {
		return nil, err
	}
	if err := gen.New(r.tx).PutMeta(ctx, metaRestore, "unfinished"); err != nil {
		return nil, r.store.fail("restore", err)
	}
	if err := r.tx.Commit(); err != nil {
		return nil, r.store.fail("restore", err)
	}
	if err := r.store.migrateTo(ctx, r.provider, newestVersion(r.provider), nil); err != nil {
		return nil, err
	}
	err = r.store.Mutate(ctx, a, func(ctx context.Context, t *Tx) error {
		voided = map[string]int64{}
		for _, v := range voids {
			result, err := t.tx.ExecContext(ctx, v.statement, micros(t.now))
			if err != nil {
				return t.fail("end "+v.what, err)
			}
			if voided[v.what], err = result.RowsAffected(); err != nil {
				return t.fail("end "+v.what, err)
			}
		}
		if err := t.q.DeleteMeta(ctx, metaRestore); err != nil {
			return t.fail("restore", err)
		}
		t.Announce(keystile.ChangeAll, "")
		return fn(ctx, t)
	})
	return voided, err
}

// Close lets go of the store. Without Finish, nothing of the snapshot is in it.
func (r *Restore) Close() error {
	var err error
	if r.tx != nil {
		if err = r.tx.Rollback(); errors.Is(err, sql.ErrTxDone) {
			err = nil
		}
	}
	return errors.Join(err, r.lease.Release())
}
