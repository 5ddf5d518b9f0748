package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"keystile.dev/keystile/internal/store/gen"
)

// NonceBounds are what the table of spent nonces may have forgotten or never
// known. Zero is none.
type NonceBounds struct {
	// Floor: tokens that were good until then or less may have been forgotten.
	Floor time.Time
	// Refuse: tokens stamped up to then may have been spent unknown to the table.
	Refuse time.Time
}

// NonceClaim is the answer of [Store.ClaimNonce].
type NonceClaim struct {
	// Fresh: the key was not there before this call, and is now.
	Fresh bool
	// Now is the store's clock during the call: the database's on PostgreSQL.
	Now time.Time
	// Bounds are those after the key was written.
	Bounds NonceBounds
}

// errNoBounds: the one row is gone, and with it what may have been forgotten.
var errNoBounds = errors.New("the row of the bounds of spent nonces is missing; restore a backup")

// ClaimNonce inserts a key if it is not there, to be kept until an instant of
// the store's clock. Of any number of calls with one key, on whatever servers,
// exactly one is Fresh until PurgeNonces deletes the key. The row is durable
// when ClaimNonce returns. After an error nothing can be told.
func (s *Store) ClaimNonce(ctx context.Context, key [16]byte, keepUntil time.Time) (NonceClaim, error) {
	const op = "claim a nonce"
	if err := s.writable(); err != nil {
		return NonceClaim{}, err
	}
	// A transaction of its own, committed before the bounds are read: if this
	// insert found no conflict because a purge deleted an older row of the key,
	// that purge had raised the floor before, and a later statement sees it.
	n, err := gen.New(s.writer).InsertNonce(ctx, key[:], micros(keepUntil))
	if err != nil {
		return NonceClaim{}, s.fail(op, err)
	}
	bounds, now, err := s.NonceBounds(ctx)
	if err != nil {
		return NonceClaim{}, err
	}
	return NonceClaim{Fresh: n == 1, Now: now, Bounds: bounds}, nil
}

// NonceSpent says whether a key is there.
func (s *Store) NonceSpent(ctx context.Context, key [16]byte) (bool, error) {
	there, err := s.q.NonceThere(ctx, key[:])
	return there, s.fail("look up a nonce", err)
}

// NonceBounds reads the bounds and the store's clock.
func (s *Store) NonceBounds(ctx context.Context) (b NonceBounds, now time.Time, err error) {
	const op, columns = "read the bounds of spent nonces", "SELECT floor, refuse_until, %s FROM nonce_bounds WHERE id = 1"
	clock := "0"
	if s.Engine() == "postgres" {
		clock = databaseClock
	}
	var floor, refuse, at int64
	err = s.reader.QueryRowContext(ctx, fmt.Sprintf(columns, clock)).Scan(&floor, &refuse, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return NonceBounds{}, time.Time{}, fmt.Errorf("%s: %w", op, errNoBounds)
	}
	if err != nil {
		return NonceBounds{}, time.Time{}, s.fail(op, err)
	}
	now = stored(s.now())
	if s.Engine() == "postgres" {
		now = timeOf(at)
	}
	return NonceBounds{Floor: boundOf(floor), Refuse: boundOf(refuse)}, now, nil
}

// RaiseNonceBounds sets each bound to the later of what it is and what is given.
// It is durable and seen by all servers when it returns.
func (s *Store) RaiseNonceBounds(ctx context.Context, b NonceBounds) error {
	const op = "raise the bounds of spent nonces"
	if err := s.writable(); err != nil {
		return err
	}
	n, err := gen.New(s.writer).RaiseNonceBounds(ctx, boundMicros(b.Floor), boundMicros(b.Refuse))
	if err == nil && n != 1 {
		return fmt.Errorf("%s: %w", op, errNoBounds)
	}
	return s.fail(op, err)
}

// RaiseNonceBounds is the same inside a transaction.
func (t *Tx) RaiseNonceBounds(ctx context.Context, b NonceBounds) error {
	_, err := t.q.RaiseNonceBounds(ctx, boundMicros(b.Floor), boundMicros(b.Refuse))
	return t.fail("raise the bounds of spent nonces", err)
}

// PurgeNonces deletes at most limit keys that were to be kept until an instant
// or less, oldest first, in a transaction of its own, and says how many.
func (s *Store) PurgeNonces(ctx context.Context, before time.Time, limit int) (int64, error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	var n int64
	// Two servers that purge may be in each other's way: one of them tries again.
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		n, err = gen.New(s.prepared(tx)).PurgeNonces(ctx, micros(before), rowLimit(limit))
		return err
	})
	if err != nil {
		return 0, s.fail("purge spent nonces", err)
	}
	return n, nil
}

// boundMicros keeps the zero time as 0; no token is as old.
func boundMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(0, micros(t))
}

func boundOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return timeOf(us)
}
