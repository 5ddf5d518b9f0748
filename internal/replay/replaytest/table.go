package replaytest

import (
	"context"
	"errors"
	"sync"
	"time"

	"keystile.dev/keystile/internal/replay"
)

// Table is a replay.ClaimStore in memory: what a store must do, as plainly as it can
// be written. It outlives the ledgers on it.
type Table struct {
	mu     sync.Mutex
	now    func() time.Time
	keys   map[[16]byte]time.Time
	bounds replay.Bounds
	away   bool
	calls  []string
}

var _ replay.ClaimStore = (*Table)(nil)

var errAway = errors.New("connection refused")

// NewTable makes an empty table with a clock of its own.
func NewTable(now func() time.Time) *Table {
	return &Table{now: now, keys: map[[16]byte]time.Time{}}
}

// SetAway makes every call fail, or none.
func (t *Table) SetAway(away bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = away
}

// Calls are the names of the methods called, in order.
func (t *Table) Calls() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.calls...)
}

// Len is how many keys there are.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.keys)
}

// begin is what every call begins with; the caller unlocks.
func (t *Table) begin(ctx context.Context, name string) error {
	t.mu.Lock()
	t.calls = append(t.calls, name)
	if t.away {
		return errAway
	}
	return ctx.Err()
}

// ClaimNonce implements replay.ClaimStore.
func (t *Table) ClaimNonce(ctx context.Context, key [16]byte, keepUntil time.Time) (replay.Claimed, error) {
	err := t.begin(ctx, "claim")
	defer t.mu.Unlock()
	if err != nil {
		return replay.Claimed{}, err
	}
	_, there := t.keys[key]
	if !there {
		t.keys[key] = keepUntil
	}
	return replay.Claimed{Fresh: !there, Now: t.now(), Bounds: t.bounds}, nil
}

// NonceSpent implements replay.ClaimStore.
func (t *Table) NonceSpent(ctx context.Context, key [16]byte) (bool, error) {
	err := t.begin(ctx, "spent")
	defer t.mu.Unlock()
	_, there := t.keys[key]
	return there, err
}

// NonceBounds implements replay.ClaimStore.
func (t *Table) NonceBounds(ctx context.Context) (replay.Bounds, time.Time, error) {
	err := t.begin(ctx, "bounds")
	defer t.mu.Unlock()
	return t.bounds, t.now(), err
}

// RaiseNonceBounds implements replay.ClaimStore.
func (t *Table) RaiseNonceBounds(ctx context.Context, b replay.Bounds) error {
	err := t.begin(ctx, "raise")
	defer t.mu.Unlock()
	if err != nil {
		return err
	}
	if b.Floor.After(t.bounds.Floor) {
		t.bounds.Floor = b.Floor
	}
	if b.Refuse.After(t.bounds.Refuse) {
		t.bounds.Refuse = b.Refuse
	}
	return nil
}

// PurgeNonces implements replay.ClaimStore.
func (t *Table) PurgeNonces(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	err = t.begin(ctx, "purge")
	defer t.mu.Unlock()
	if err != nil {
		return 0, err
	}
	for key, until := range t.keys {
		if n < int64(limit) && !until.After(before) {
			delete(t.keys, key)
			n++
		}
	}
	return n, nil
}
