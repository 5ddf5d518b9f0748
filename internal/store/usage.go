package store

import (
	"cmp"
	"context"
	"database/sql"
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
		for chunk := range slices.Chunk(latest, usesAtOnce) {
			args := make([]any, 0, 2*len(chunk))
			for _, u := range chunk {
				args = append(args, u.KeyID, micros(u.At))
			}
			if _, err := tx.ExecContext(ctx, touchText(len(chunk)), args...); err != nil {
				return err
			}
		}
		q := gen.New(tx)
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

// usesAtOnce is how many keys one UPDATE touches.
const usesAtOnce = 500

// latestUses keeps the last use of each key, ordered by key so that two servers
// touch rows in the same order.
func latestUses(uses []APIKeyUse) []APIKeyUse {
	latest := slices.Clone(uses)
	slices.SortStableFunc(latest, func(a, b APIKeyUse) int {
		return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), b.At.Compare(a.At))
	})
	return slices.CompactFunc(latest, func(a, b APIKeyUse) bool { return a.KeyID == b.KeyID })
}

// touchText is one UPDATE for n keys. Both engines name the columns of VALUES
// column1 and column2.
func touchText(n int) string {
	var b strings.Builder
	b.WriteString("UPDATE api_keys SET last_used_at = u.column2 FROM (VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(CAST($" + strconv.Itoa(2*i+1) + " AS text), CAST($" + strconv.Itoa(2*i+2) + " AS bigint))")
	}
	b.WriteString(") AS u WHERE api_keys.id = u.column1 AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < u.column2)")
	return b.String()
}
