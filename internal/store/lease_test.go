package store_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func acquire(t *testing.T, s *store.Store, shared bool) (*store.Lease, error) {
	t.Helper()
	lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{Holder: "test", SharedMemory: shared})
	if err == nil {
		t.Cleanup(func() { noError(t, lease.Release()) })
	}
	return lease, err
}

func TestASecondServerOnASQLiteStoreIsRefusedByName(t *testing.T) {
	address := storetest.SQLiteURL(t)
	s := storetest.OpenURL(t, address)
	c := startChild(t, "hold a server lease", address, nil)
	pid := c.line()
	for _, shared := range []bool{true, false} {
		_, err := acquire(t, s, shared)
		if !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "another keystile serve (pid "+pid+") uses this store") {
			t.Errorf("it says: %v", err)
		}
	}
	c.end()
	_, err := acquire(t, s, true)
	noError(t, err)
}

func TestAServerThatWasKilledDoesNotHoldTheStore(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		c := startChild(t, "hold a server lease", address, nil)
		c.line()
		if _, err := acquire(t, s, true); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("beside the living one: %v", err)
		}
		c.kill()
		_, err := acquire(t, s, true)
		noError(t, err)
	})
}

func TestASecondStoreInTheSameProcessIsRefusedToo(t *testing.T) {
	address := storetest.SQLiteURL(t)
	first, second := storetest.OpenURL(t, address), storetest.OpenURL(t, address)
	lease, err := acquire(t, first, false)
	noError(t, err)
	if _, err := acquire(t, second, false); !errors.Is(err, keystile.ErrConflict) {
		t.Errorf("the second: %v", err)
	}
	// The holder itself may migrate.
	noError(t, first.Migrate(t.Context(), nil))
	noError(t, lease.Release())
	noError(t, lease.Release())
	_, err = acquire(t, second, false)
	noError(t, err)
}

func TestALinkToAStoreLocksTheSameStore(t *testing.T) {
	address := storetest.SQLiteURL(t)
	s := storetest.OpenURL(t, address)
	link := t.TempDir() + "/link.db"
	noError(t, os.Symlink(pathOf(address), link))
	_, err := acquire(t, s, false)
	noError(t, err)
	if _, err := acquire(t, storetest.OpenURL(t, "sqlite:"+link), false); !errors.Is(err, keystile.ErrConflict) {
		t.Errorf("through the link: %v", err)
	}
}

func TestServersShareAPostgreSQLStoreUnlessOneKeepsStateInMemory(t *testing.T) {
	for _, c := range []struct{ first, second, refused bool }{
		{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true},
	} {
		address := storetest.PostgresURL(t)
		one, two := storetest.OpenURL(t, address), storetest.OpenURL(t, address)
		lease, err := acquire(t, one, c.first)
		noError(t, err)
		_, err = acquire(t, two, c.second)
		if errors.Is(err, keystile.ErrConflict) != c.refused || (!c.refused && err != nil) {
			t.Errorf("memory %v beside memory %v: %v", c.second, c.first, err)
		}
		if c.refused {
			if !strings.Contains(err.Error(), "pid") || !strings.Contains(err.Error(), "Valkey") {
				t.Errorf("the refusal says: %v", err)
			}
			noError(t, lease.Release())
			_, err = acquire(t, two, c.second)
			noError(t, err)
		}
	}
}

func TestALeaseOfAServerElsewhereLapsesWithTime(t *testing.T) {
	s := storetest.OpenPostgres(t)
	const insert = "INSERT INTO server_leases (id, holder, exclusive, machine, pid, process_start, expires_at) " +
		"VALUES ('x', 'serve elsewhere', true, 'another machine', 1, '1', CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) + $1)"
	execute(t, s.Writer(), insert, time.Hour.Microseconds())
	if _, err := acquire(t, s, true); !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "serve elsewhere") {
		t.Errorf("a live lease elsewhere: %v", err)
	}
	execute(t, s.Writer(), "UPDATE server_leases SET expires_at = expires_at - $1", (2 * time.Hour).Microseconds())
	_, err := acquire(t, s, true)
	noError(t, err)
}

func TestALeaseIsRenewedAndIsLostWhenItsRowIsGone(t *testing.T) {
	s := storetest.OpenPostgres(t)
	lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{Heartbeat: time.Millisecond, Expiry: time.Minute})
	noError(t, err)
	expires := func() (us int64) {
		noError(t, s.Writer().QueryRowContext(t.Context(), "SELECT expires_at FROM server_leases").Scan(&us))
		return us
	}
	for first := expires(); expires() == first; {
		select {
		case <-lease.Lost():
			t.Fatal("a lease that is renewed was lost")
		default:
		}
	}
	execute(t, s.Writer(), "DELETE FROM server_leases")
	<-lease.Lost()
	noError(t, lease.Release())
}

func TestALeaseIsLostWhenItCannotBeRenewedInTime(t *testing.T) {
	s := storetest.OpenPostgres(t)
	lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{Heartbeat: time.Millisecond, Expiry: 50 * time.Millisecond})
	noError(t, err)
	execute(t, s.Writer(), "INSERT INTO meta (name, value) VALUES ('x', 'y')")
	_, err = s.Writer().ExecContext(t.Context(), "ALTER TABLE server_leases RENAME TO hidden")
	noError(t, err)
	<-lease.Lost()
	_, err = s.Writer().ExecContext(t.Context(), "ALTER TABLE hidden RENAME TO server_leases")
	noError(t, err)
	noError(t, lease.Release())
}
