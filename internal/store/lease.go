package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

// LeaseRequest is what a server says of itself when it asks for the store.
type LeaseRequest struct {
	// Holder names the server for people, such as "serve on host-1".
	Holder string
	// SharedMemory says that the server keeps rate limits and used nonces in its
	// own memory, so that no second server may use the store beside it.
	SharedMemory bool
	// Heartbeat and Expiry apply to PostgreSQL: how often the lease is renewed and
	// how long it counts without; 0 is 5 s and 15 s.
	Heartbeat, Expiry time.Duration
	// purpose is the command that asks, "serve" if empty.
	purpose string
}

const (
	leaseHeartbeat = 5 * time.Second
	leaseExpiry    = 15 * time.Second
	// leaseCall bounds the statements that give a lease back.
	leaseCall = 5 * time.Second
)

// Lease is a server's hold on its store. It is safe for concurrent use.
type Lease struct {
	lost    chan struct{}
	once    sync.Once
	release func() error
	err     error
}

// Lost is closed when the lease could not be renewed in time: another server
// may be running, and this one must stop.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the store back. A second call does nothing.
func (l *Lease) Release() error {
	l.once.Do(func() { l.err = l.release() })
	return l.err
}

// AcquireServerLease takes the store for one server. It is
// [keystile.ErrConflict], naming the holder, while another server holds it: on
// SQLite always, on PostgreSQL if either keeps shared state in memory. A holder
// that has died counts for nothing: on SQLite the system drops its lock at
// once; on PostgreSQL its row lapses after Expiry, or at once where this
// process can see that it is dead, being on the same machine.
//
// A store whose bulk import was interrupted is refused too: its indexes are
// missing. Call it after [Store.Migrate].
func (s *Store) AcquireServerLease(ctx context.Context, r LeaseRequest) (*Lease, error) {
	if err := s.writable(); err != nil {
		return nil, fmt.Errorf("take the server lease: %w", err)
	}
	if r.Heartbeat <= 0 {
		r.Heartbeat = leaseHeartbeat
	}
	if r.Expiry <= 0 {
		r.Expiry = leaseExpiry
	}
	if r.purpose == "" {
		r.purpose = "serve"
	}
	lease, err := s.engine.lease(ctx, r)
	if err != nil {
		return nil, s.fail("take the server lease", err)
	}
	if r.purpose == importPurpose || r.purpose == restorePurpose {
		return lease, nil
	}
	if err := s.refuseDuringImport(ctx, s.reads); err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	return lease, nil
}

// heldBy is the refusal that names the holder of the store.
func heldBy(purpose string, pid int64, where string) error {
	if where != "" {
		where = " on " + where
	}
	return fmt.Errorf("%w: another keystile %s (pid %d)%s uses this store; stop it first", keystile.ErrConflict, purpose, pid, where)
}
