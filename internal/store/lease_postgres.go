package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pressly/goose/v3/lock"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// databaseClock is the database's clock in microseconds.
const databaseClock = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

// serverClock reads the database's clock: the servers' own may differ by more
// than a lease lasts.
const serverClock = "SELECT " + databaseClock

// leaseLock is the row in meta that makes servers ask one after the other.
const leaseLock = ownMeta + "lease_lock"

// lease writes a row and renews it until the lease is released or lost.
func (e *postgresServer) lease(ctx context.Context, r LeaseRequest) (*Lease, error) {
	start, alive, err := processStart(int64(os.Getpid()))
	machine := machineID()
	if err != nil || !alive {
		machine = "" // never declared dead by its process id
	}
	row := gen.InsertServerLeaseParams{
		ID: rand.Text(), Holder: r.purpose + " " + clean(r.Holder), Exclusive: r.SharedMemory,
		Machine: machine, Pid: int64(os.Getpid()), ProcessStart: start,
	}
	err = e.store.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(tx)
		if err := q.PutMeta(ctx, leaseLock, ""); err != nil {
			return err
		}
		var now int64
		if err := tx.QueryRowContext(ctx, serverClock).Scan(&now); err != nil {
			return err
		}
		if err := e.clearLeases(ctx, q, row, now); err != nil {
			return err
		}
		row.ExpiresAt = now + r.Expiry.Microseconds()
		return q.InsertServerLease(ctx, row)
	})
	if err != nil {
		return nil, err
	}
	return e.keep(row.ID, r), nil
}

// clearLeases deletes the leases of the dead and refuses if a living one conflicts.
func (e *postgresServer) clearLeases(ctx context.Context, q *gen.Queries, own gen.InsertServerLeaseParams, now int64) error {
	leases, err := q.ListServerLeases(ctx)
	if err != nil {
		return err
	}
	for _, other := range leases {
		if other.ExpiresAt <= now || deadHere(other, own.Machine) {
			if err := q.DeleteServerLease(ctx, other.ID); err != nil {
				return err
			}
			continue
		}
		if other.Exclusive || own.Exclusive {
			return fmt.Errorf("%w: another keystile %s (pid %d) uses this store and one of the two keeps shared state in memory; stop it, or give every server the same Valkey as shared",
				keystile.ErrConflict, other.Holder, other.Pid)
		}
	}
	return nil
}

// deadHere says whether the holder is certainly dead: it ran on this machine
// since this boot, and its process is gone or another one has its number.
func deadHere(l gen.ServerLease, machine string) bool {
	if machine == "" || l.Machine != machine {
		return false
	}
	start, alive, err := processStart(l.Pid)
	return err == nil && (!alive || start != l.ProcessStart)
}

// keep renews the lease in the background.
func (e *postgresServer) keep(id string, r LeaseRequest) *Lease {
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	l := &Lease{lost: make(chan struct{})}
	l.release = func() error {
		stop()
		<-stopped
		ctx, cancel := context.WithTimeout(context.Background(), leaseCall)
		defer cancel()
		return e.store.fail("release the server lease", gen.New(e.db).DeleteServerLease(ctx, id))
	}
	go func() {
		defer close(stopped)
		if err := e.renew(ctx, id, r); err != nil {
			e.store.logger.Error("the server lease was lost", slog.Any("error", err))
			close(l.lost)
		}
	}()
	return l
}

// renew returns an error when the lease must count as lost, nil when ctx ends.
func (e *postgresServer) renew(ctx context.Context, id string, r LeaseRequest) error {
	tick := time.NewTicker(r.Heartbeat)
	defer tick.Stop()
	// Counted from before the call that renewed it, so that this server gives up
	// before any other may believe that it is gone.
	held := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		began := time.Now()
		call, cancel := context.WithDeadline(ctx, held.Add(r.Expiry))
		err := e.renewOnce(call, id, r.Expiry)
		cancel()
		switch {
		case err == nil:
			held = began
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, keystile.ErrNotFound) || time.Since(held) >= r.Expiry:
			return err
		}
	}
}

func (e *postgresServer) renewOnce(ctx context.Context, id string, expiry time.Duration) error {
	var now int64
	if err := e.db.QueryRowContext(ctx, serverClock).Scan(&now); err != nil {
		return err
	}
	n, err := gen.New(e.db).RenewServerLease(ctx, id, now+expiry.Microseconds())
	if err == nil && n == 0 {
		return notFound("server lease", id)
	}
	return err
}

// lockSchema uses a row of a table of its own, not an advisory lock, which
// CockroachDB and pooled connections do not have. A holder that died is waited
// out for five seconds.
func (e *postgresServer) lockSchema(ctx context.Context) (func(context.Context) error, error) {
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName("schema_lock"),
		lock.WithTableLeaseDuration(5*time.Second),
		lock.WithTableHeartbeatInterval(time.Second),
		lock.WithTableLockTimeout(200*time.Millisecond, 300),
		lock.WithTableUnlockTimeout(200*time.Millisecond, 25),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return nil, fmt.Errorf("make the schema lock: %w", err)
	}
	err = locker.Lock(ctx, e.db)
	if kind, _ := e.classify(err); kind == failureConflict {
		// Two processes made the lock's table at once; it is there now.
		err = locker.Lock(ctx, e.db)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the schema: %w", err)
	}
	return func(ctx context.Context) error { return locker.Unlock(ctx, e.db) }, nil
}
