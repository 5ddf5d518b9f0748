package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// childVariable makes the test binary play a part in a process of its own.
const childVariable = "KEYSTILE_STORE_TEST_CHILD"

// children are the parts. Each gets the store's URL, writes lines that the test
// waits for, and is killed or reads its input to the end.
var children = map[string]func(address string) error{
	"create keys until killed":      createKeysUntilKilled,
	"exchange until killed":         exchangeUntilKilled,
	"stop within a transaction":     stopWithinTransaction,
	"stop within a migration":       stopWithinMigration,
	"stop within an import":         stopWithinImport,
	"hold the SQLite write lock":    holdWriteLock,
	"hold a server lease":           holdServerLease,
	"report what opening says":      reportOpening,
	"report what writing says":      reportWriting,
	"migrate and report the result": migrateAndReport,
}

func TestMain(m *testing.M) {
	if part, ok := children[os.Getenv(childVariable)]; ok {
		if err := part(os.Args[len(os.Args)-1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child is a running part.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	in    io.Closer
}

// startChild runs a part in a process of its own; as says as which user, nil for this one.
func startChild(t *testing.T, part, address string, as *syscall.Credential) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], address)
	cmd.Env = append(os.Environ(), childVariable+"="+part)
	cmd.Stderr = os.Stderr
	if as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	}
	out, err := cmd.StdoutPipe()
	noError(t, err)
	in, err := cmd.StdinPipe()
	noError(t, err)
	noError(t, cmd.Start())
	return &child{t: t, cmd: cmd, lines: bufio.NewScanner(out), in: in}
}

// line waits for the next line the part writes.
func (c *child) line() string {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("the other process ended early: %v", c.lines.Err())
	}
	return c.lines.Text()
}

// kill ends the part as kill -9 does, and returns the lines it had still written.
func (c *child) kill() (rest []string) {
	c.t.Helper()
	noError(c.t, c.cmd.Process.Kill())
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); !errors.As(err, &exit) {
		c.t.Fatalf("the killed process: %v", err)
	}
	return rest
}

// end lets the part end by itself.
func (c *child) end() {
	c.t.Helper()
	noError(c.t, c.in.Close())
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the other process: %v", err)
	}
}

// untilInputEnds is how a part waits.
func untilInputEnds() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func withStore(address string, fn func(context.Context, *store.Store) error) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{URL: address})
	if err != nil {
		return err
	}
	return errors.Join(fn(ctx, s), s.Close())
}

func createKeysUntilKilled(address string) error {
	return withStore(address, func(ctx context.Context, s *store.Store) error {
		for i := 0; ; i++ {
			id := fmt.Sprintf("acknowledged-%d", i)
			err := s.Mutate(ctx, storetest.Actor, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.CreateAPIKey(ctx, storetest.Key(id, "north", "north-1"), storetest.Secret(id, id)),
					tx.CreateAPIKey(ctx, storetest.Key(id+"-twin", "north", "north-1"), storetest.Secret(id+"-twin", id+"-twin")))
			})
			if err != nil {
				return err
			}
			fmt.Println(id)
		}
	})
}

// exchangesTogether is how many keys one transaction of exchangeUntilKilled makes.
const exchangesTogether = 5

func exchangeUntilKilled(address string) error {
	return withStore(address, func(ctx context.Context, s *store.Store) error {
		for turn := 0; ; turn++ {
			var batch []store.Exchange
			for i := range exchangesTogether {
				id := fmt.Sprintf("tmp_%d_%d", turn, i)
				batch = append(batch, store.Exchange{Seen: store.SeenNothing, Key: keystile.TemporaryKey{
					ID: id, Digest: storetest.Digest(id), PepperID: "p1", ApplicationID: "app", TenantID: "north", CreatedAt: storetest.T0, ExpiresAt: storetest.T0.Add(keystile.TemporaryKeyLife),
				}})
			}
			if _, err := s.ExchangeKeys(ctx, batch); err != nil {
				return err
			}
			for i := range batch {
				fmt.Println(batch[i].Key.ID)
			}
			if turn%3 == 2 { // less than was made: some wait for their event
				if _, err := s.AuditIssued(ctx, 2*exchangesTogether); err != nil {
					return err
				}
			}
		}
	})
}

func stopWithinTransaction(address string) error {
	return withStore(address, func(ctx context.Context, s *store.Store) error {
		return s.Mutate(ctx, storetest.Actor, func(ctx context.Context, tx *store.Tx) error {
			for i := range 300 {
				id := fmt.Sprintf("half-%d", i)
				if err := tx.CreateAPIKey(ctx, storetest.Key(id, "north", "north-1"), storetest.Secret(id, id)); err != nil {
					return err
				}
			}
			if _, err := tx.Events(ctx, store.EventFilter{OrganizationID: "north"}); err != nil {
				return err
			}
			fmt.Println("within")
			return untilInputEnds()
		})
	})
}

func stopWithinMigration(address string) error {
	return withStore(address, func(ctx context.Context, s *store.Store) error {
		return s.Migrate(ctx, func(version int64, _ string) {
			if version == 2 {
				fmt.Println("within")
				if err := untilInputEnds(); err != nil {
					fmt.Println("error:", err)
				}
			}
		})
	})
}

func stopWithinImport(address string) error {
	return withStore(address, func(ctx context.Context, s *store.Store) error {
		_, err := s.ImportAPIKeys(ctx, storetest.Actor, store.ImportOptions{JobID: "job", BatchRows: 100},
			storetest.Source(storetest.ImportRows(1000), 100), func(done int64) {
				if done == 500 {
					fmt.Println("within")
					if err := untilInputEnds(); err != nil {
						fmt.Println("error:", err)
					}
				}
			})
		return err
	})
}

func holdWriteLock(address string) error {
	db, err := sql.Open("sqlite", strings.TrimPrefix(address, "sqlite:")+"?_txlock=immediate")
	if err != nil {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	fmt.Println("locked")
	return errors.Join(untilInputEnds(), tx.Rollback(), db.Close())
}

func holdServerLease(address string) error {
	return withStore(address, func(ctx context.Context, s *store.Store) error {
		lease, err := s.AcquireServerLease(ctx, store.LeaseRequest{Holder: "child", SharedMemory: true})
		if err != nil {
			return err
		}
		fmt.Println(os.Getpid())
		return errors.Join(untilInputEnds(), lease.Release())
	})
}

func reportOpening(address string) error {
	err := withStore(address, func(context.Context, *store.Store) error { return nil })
	fmt.Println(err)
	return nil
}

func reportWriting(address string) error {
	fmt.Println(withStore(address, func(ctx context.Context, s *store.Store) error {
		return s.Mutate(ctx, storetest.Actor, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, storetest.Role("r")) })
	}))
	return nil
}

func migrateAndReport(address string) error {
	fmt.Println(withStore(address, func(ctx context.Context, s *store.Store) error { return s.Migrate(ctx, nil) }))
	return nil
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// raw is a connection of its own to a store, past everything the store does.
func raw(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver, name := "pgx", address
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	db, err := sql.Open(driver, name)
	noError(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	result, err := db.ExecContext(t.Context(), statement, args...)
	noError(t, err)
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s touched %d rows, %v", statement, n, err)
	}
}
