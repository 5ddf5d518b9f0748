package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

// Bounds are what a shared ledger may have forgotten or never known. Zero is none.
type Bounds struct {
	// Floor: tokens whose LastValid is at or below it are refused.
	Floor time.Time
	// Refuse: tokens stamped at or before it are refused.
	Refuse time.Time
}

// Claimed is the answer of ClaimStore.ClaimNonce.
type Claimed struct {
	// Fresh: the key was not there before this call, and is now.
	Fresh bool
	// Now is the database's clock during the call.
	Now time.Time
	// Bounds are those after the key was written.
	Bounds Bounds
}

// ClaimStore is the table of spent nonces in the store. All nodes see one table and
// one pair of bounds. Times are exact to the microsecond; each method may be called
// by many at once. An error is wrapped and means that nothing can be told.
type ClaimStore interface {
	// ClaimNonce inserts a key if it is not there (INSERT … ON CONFLICT DO NOTHING),
	// to be kept until an instant of the database's clock. Of any number of calls
	// with one key exactly one is Fresh until PurgeNonces deletes it. The row is
	// durable when the call returns (synchronous_commit stays on). Bounds must be
	// read by a statement that begins after the insert has found no conflict (a
	// statement of its own, in the same transaction at READ COMMITTED, or after
	// it): a purge that deleted an older row of this key raised the floor and
	// committed it before, so that a snapshot taken later cannot miss it. Read
	// in the same statement as the insert, it can. An existing row stays as it is.
	ClaimNonce(ctx context.Context, key [16]byte, keepUntil time.Time) (Claimed, error)
	// NonceSpent says whether a key is there.
	NonceSpent(ctx context.Context, key [16]byte) (bool, error)
	// NonceBounds reads the bounds and the database's clock (clock_timestamp(), not
	// the start of a transaction).
	NonceBounds(ctx context.Context) (b Bounds, now time.Time, err error)
	// RaiseNonceBounds sets each bound to the later of what it is and what is
	// given, in one statement, durable and visible to all when it returns.
	RaiseNonceBounds(ctx context.Context, b Bounds) error
	// PurgeNonces deletes at most limit keys whose keepUntil is at or before an
	// instant, in a transaction of its own, and says how many.
	PurgeNonces(ctx context.Context, before time.Time, limit int) (int64, error)
}

// TableOptions configures NewTable.
type TableOptions struct {
	// Claims is the table.
	Claims ClaimStore
	// Memory is for what this node claimed itself: its caps hold for this node.
	Memory MemoryOptions
	// PurgeBatch is how many rows one purging transaction deletes; 0: 1000.
	PurgeBatch int
}

// Table is a ledger in the store, for many nodes, by the database's clock. What a node
// claimed itself it also remembers in memory: that bounds the live nonces of a
// scope and refuses a replay on the same node without asking.
//
// A claim costs one call of the store. Where that store can lose what it
// confirmed (a failover to a replica that lags), the ledger can too: replicate
// synchronously, or call Void after a failover.
type Table struct {
	claims ClaimStore
	memory *Memory
	margin time.Duration
	batch  int

	mu      sync.Mutex
	trouble error
	bounds  Bounds
	now     time.Time // of the database, when bounds were read
}

var _ Ledger = (*Table)(nil)

// NewTable makes a ledger of a table.
func NewTable(o TableOptions) (*Table, error) {
	if o.Claims == nil {
		return nil, keystile.Invalidf("claims", "pass the store", "a ledger in the store needs one")
	}
	o.Memory = o.Memory.withDefaults()
	if o.PurgeBatch <= 0 {
		o.PurgeBatch = 1000
	}
	return &Table{claims: o.Claims, memory: newMemory(o.Memory, shared), margin: o.Memory.Margin, batch: o.PurgeBatch}, nil
}

// Claim implements Ledger.
func (t *Table) Claim(ctx context.Context, n Nonce) error {
	before := t.memory.now()
	k, err := t.memory.admit(&n, before)
	if err != nil {
		return err
	}
	if err := t.memory.spend(&k, before); err != nil {
		return err
	}
	c, err := t.claims.ClaimNonce(ctx, k.key, keepUntil(&n, t.margin))
	if err != nil {
		return t.note(fmt.Errorf("claim a nonce in the store: %w: %w", keystile.ErrUnavailable, err))
	}
	if err := t.agree(before, c.Now, c.Bounds); err != nil {
		return err
	}
	if err := t.judge(&n, c.Now, c.Bounds); err != nil {
		return err
	}
	if !c.Fresh {
		return errReplayed
	}
	return nil
}

// Spent implements Ledger.
func (t *Table) Spent(ctx context.Context, n Nonce) error {
	before := t.memory.now()
	k, err := t.memory.admit(&n, before)
	if err != nil {
		return err
	}
	if err := t.memory.spent(&k); err != nil {
		return err
	}
	spent, err := t.claims.NonceSpent(ctx, k.key)
	if err != nil {
		return t.note(fmt.Errorf("look a nonce up in the store: %w: %w", keystile.ErrUnavailable, err))
	}
	b, now, err := t.read(ctx, before)
	if err != nil {
		return err
	}
	if err := t.judge(&n, now, b); err != nil {
		return err
	}
	if spent {
		return errReplayed
	}
	return nil
}

// keepUntil is LastValid and the margin, rounded up to what a store keeps.
func keepUntil(n *Nonce, margin time.Duration) time.Time {
	return n.LastValid.Add(margin + time.Microsecond - 1).Truncate(time.Microsecond)
}

// judge applies the bounds.
func (t *Table) judge(n *Nonce, now time.Time, b Bounds) error {
	switch {
	case !b.Floor.IsZero() && !n.LastValid.After(b.Floor):
		return errTooOld
	case !b.Refuse.IsZero() && !n.stamp(t.memory.window()).After(b.Refuse):
		return ErrIncomplete
	}
	return n.ahead(now, t.memory.window(), MaxSkew)
}

// read reads the bounds and checks the clocks.
func (t *Table) read(ctx context.Context, before time.Time) (Bounds, time.Time, error) {
	b, now, err := t.claims.NonceBounds(ctx)
	if err != nil {
		return b, now, t.note(fmt.Errorf("read the bounds of the ledger of spent nonces: %w: %w", keystile.ErrUnavailable, err))
	}
	return b, now, t.agree(before, now, b)
}

// agree refuses if the database's clock was not within MaxSkew of this node's at
// any instant of the call, and keeps what Status shows.
func (t *Table) agree(before, database time.Time, b Bounds) error {
	var err error
	if database.Before(before.Add(-MaxSkew)) || database.After(t.memory.now().Add(MaxSkew)) {
		err = ErrClock
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trouble, t.bounds, t.now = err, b, database
	return err
}

// note keeps an outage for Status.
func (t *Table) note(err error) error {
	if errors.Is(err, context.Canceled) {
		return err // the request ended, which says nothing of the store
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trouble = err
	return err
}

// Widen implements Ledger. The table needs no epoch: only Void asks how wide the window was.
func (t *Table) Widen(ctx context.Context, window time.Duration, keep Keep) error {
	return t.memory.Widen(ctx, window, keep)
}

// Check asks the store and the clocks, so that Status is of now. Call it every few seconds.
func (t *Table) Check(ctx context.Context) error {
	_, _, err := t.read(ctx, t.memory.now())
	return err
}

// Purge deletes what is over, in batches, and says how many nonces. One node at a
// time is enough; several do no harm. The floor rises first. It does nothing
// while the clocks differ, so that one clock that jumped ahead forgets nothing.
func (t *Table) Purge(ctx context.Context) (purged int64, err error) {
	t.memory.Purge()
	_, now, err := t.read(ctx, t.memory.now())
	if err != nil {
		return 0, err
	}
	// A row goes at keepUntil, which is not before LastValid + margin: so the
	// LastValid of whatever goes is at or below the floor.
	if err := t.claims.RaiseNonceBounds(ctx, Bounds{Floor: now.Add(-t.margin)}); err != nil {
		return 0, t.note(fmt.Errorf("raise the floor of the ledger of spent nonces: %w: %w", keystile.ErrUnavailable, err))
	}
	for {
		n, err := t.claims.PurgeNonces(ctx, now, t.batch)
		purged += n
		if err != nil {
			return purged, t.note(fmt.Errorf("purge the ledger of spent nonces: %w: %w", keystile.ErrUnavailable, err))
		}
		if n < int64(t.batch) {
			return purged, nil
		}
	}
}

// Void says that nonces may have been spent up to now of which the table knows
// nothing (the store was restored): tokens stamped up to now + window are refused by all nodes.
func (t *Table) Void(ctx context.Context) error {
	_, now, err := t.read(ctx, t.memory.now())
	if err != nil {
		return err
	}
	if err := t.claims.RaiseNonceBounds(ctx, Bounds{Refuse: now.Add(t.memory.window() + MaxSkew)}); err != nil {
		return t.note(fmt.Errorf("void the ledger of spent nonces: %w: %w", keystile.ErrUnavailable, err))
	}
	return t.Check(ctx)
}

// Status says how the ledger was when it was last asked; see Check.
func (t *Table) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{
		Ready: true, Text: "ok", Live: t.memory.Live(), Bytes: t.memory.Bytes(), Floor: t.bounds.Floor, IncompleteUntil: t.bounds.Refuse,
	}
	switch {
	case t.trouble != nil:
		s.Ready, s.Text = false, t.trouble.Error()
	case !t.bounds.Refuse.IsZero() && !t.memory.now().After(t.bounds.Refuse):
		s.Ready, s.Text = false, incompleteText(t.bounds.Refuse)
	}
	return s
}
