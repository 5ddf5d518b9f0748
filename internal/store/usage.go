package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"keystile.dev/keystile/internal/store/gen"
)

// APIKeyUse notes that a key was used.
type APIKeyUse struct {
	KeyID string
	At    time.Time
	// Rehash moves the secret that was used to the current pepper; nil if it is there.
	Rehash *Rehash
}

// Rehash replaces a secret's digest by the one under the current pepper.
type Rehash struct {
	Old, New [32]byte
	// PepperID is the pepper of New.
	PepperID string
}

// TouchAPIKeys writes a batch of uses: the time each key was last used, where
// it is later than what is there, and digests under the current pepper. Keys
// that are gone are passed over. It writes no audit event and no change.
func (s *Store) TouchAPIKeys(ctx context.Context, uses []APIKeyUse) error {
	if err := s.writable(); err != nil {
		return err
	}
	if len(uses) == 0 {
		return nil
	}
	latest := latestUses(uses)
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.touch(ctx, tx, "api_keys", latest); err != nil {
			return err
		}
		q := gen.New(s.prepared(tx))
		for _, u := range uses {
			if u.Rehash == nil {
				continue
			}
			if err := q.RehashAPIKeySecret(ctx, u.Rehash.New[:], u.Rehash.PepperID, u.Rehash.Old[:]); err != nil {
				return err
			}
		}
		return nil
	})
	return s.fail("note the use of API keys", err)
}

// ApplicationKeyUse notes that an application key was used.
type ApplicationKeyUse struct {
	KeyID string
	At    time.Time
}

// TouchApplicationKeys is TouchSigningKeys for keys of applications.
func (s *Store) TouchApplicationKeys(ctx context.Context, uses []ApplicationKeyUse) error {
	all := make([]APIKeyUse, len(uses))
	for i, u := range uses {
		all[i] = APIKeyUse{KeyID: u.KeyID, At: u.At}
	}
	return s.touchAll(ctx, "application_keys", "note the use of application keys", all)
}

// touchAll writes the last use of each key of a table in one transaction.
func (s *Store) touchAll(ctx context.Context, table, op string, uses []APIKeyUse) error {
	if err := s.writable(); err != nil {
		return err
	}
	if len(uses) == 0 {
		return nil
	}
	latest := latestUses(uses)
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.touch(ctx, tx, table, latest) })
	return s.fail(op, err)
}

// usesAtOnce is how many keys one UPDATE touches.
const usesAtOnce = 500

// touch writes the last use of each key. PostgreSQL is asked once for many keys;
// SQLite, which answers in microseconds, once a key: for an UPDATE from a list it
// would read the whole table.
func (s *Store) touch(ctx context.Context, tx *sql.Tx, table string, latest []APIKeyUse) error {
	if _, local := s.engine.(*sqliteFile); local {
		return touchOneByOne(ctx, tx, table, latest)
	}
	for chunk := range slices.Chunk(latest, usesAtOnce) {
		args := make([]any, 0, 2*len(chunk))
		for _, u := range chunk {
			args = append(args, u.KeyID, micros(u.At))
		}
		if _, err := tx.ExecContext(ctx, touchText(table, len(chunk)), args...); err != nil {
			return err
		}
	}
	return nil
}

func touchOneByOne(ctx context.Context, tx *sql.Tx, table string, latest []APIKeyUse) (err error) {
	update, err := tx.PrepareContext(ctx, touchText(table, 1))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, update.Close()) }()
	for _, u := range latest {
		if _, err := update.ExecContext(ctx, u.KeyID, micros(u.At)); err != nil {
			return err
		}
	}
	return nil
}

// latestUses keeps the last use of each key, ordered by key so that two servers
// touch rows in the same order.
func latestUses(uses []APIKeyUse) []APIKeyUse {
	latest := slices.Clone(uses)
	slices.SortStableFunc(latest, func(a, b APIKeyUse) int {
		return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), b.At.Compare(a.At))
	})
	return slices.CompactFunc(latest, func(a, b APIKeyUse) bool { return a.KeyID == b.KeyID })
}

// touchText is one UPDATE of table for n keys. Both engines name the columns of
// VALUES column1 and column2.
func touchText(table string, n int) string {
	if n == 1 {
		return "UPDATE " + table + " SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"
	}
	var b strings.Builder
	b.WriteString("UPDATE " + table + " SET last_used_at = u.column2 FROM (VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(CAST($" + strconv.Itoa(2*i+1) + " AS text), CAST($" + strconv.Itoa(2*i+2) + " AS bigint))")
	}
	b.WriteString(") AS u WHERE " + table + ".id = u.column1 AND (" + table + ".last_used_at IS NULL OR " + table + ".last_used_at < u.column2)")
	return b.String()
}
