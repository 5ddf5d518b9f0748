package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// leaseRetry is how long a server waits before it asks again for a lease that lapsed.
const leaseRetry = time.Second

// alone says that this server counts in its own memory, so that no other may
// run on the store beside it.
func (s *server) alone() bool { return s.cfg.Shared.Reveal() == "memory" }

// takeLease makes this one of the store's servers, the only one on SQLite.
func (s *server) takeLease(ctx context.Context, _ *app) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	lease, err := s.house.store.AcquireServerLease(ctx, store.LeaseRequest{
		Holder: "on " + host, SharedMemory: s.alone(),
	})
	if err != nil {
		return err
	}
	s.lease.Store(lease)
	return nil
}

func (s *server) leaseLost() bool {
	select {
	case <-s.lease.Load().Lost():
		return true
	default:
		return false
	}
}

// keepLease returns an error when this server must end. A lease lapses when the
// store was away for longer than it lasts. A server that counts in its own
// memory ends then: another one may have begun. Servers that share their counts
// may run beside each other, so such a one goes on with what it remembers, for
// as long as the feed allows, and takes the lease again.
func (s *server) keepLease(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.lease.Load().Lost():
		}
		if s.alone() {
			return errors.New("the lease on the store was lost: another server may be running, so this one ends")
		}
		s.log.Warn("the lease on the store was lost; this server goes on, and takes it again when the store answers")
		if err := s.retakeLease(ctx); err != nil {
			return err
		}
	}
}

// retakeLease asks until it is given the lease, ctx ends, or another server
// holds the store for itself.
func (s *server) retakeLease(ctx context.Context) error {
	tick := time.NewTicker(leaseRetry)
	defer tick.Stop()
	for {
		err := s.takeLease(ctx, nil)
		switch {
		case err == nil:
			s.log.Info("the lease on the store was taken again")
			return nil
		case errors.Is(err, keystile.ErrConflict):
			return fmt.Errorf("take the lease on the store again: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// releaseLease gives the store back. Where that cannot be done, the lease lapses
// by itself: no reason to end with a failure.
func (s *server) releaseLease() {
	lease := s.lease.Load()
	if lease == nil {
		return
	}
	if err := lease.Release(); err != nil {
		s.log.Warn("the lease on the store could not be given back; it lapses by itself", "error", err)
	}
}
