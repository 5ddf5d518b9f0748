package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// lockPoll is how often a lock that should soon be free is tried again.
const lockPoll = 50 * time.Millisecond

// lease locks FILE.lock. The kernel drops the lock when the process ends,
// however it ends, so a dead holder never stands in the way.
func (e *sqliteFile) lease(_ context.Context, r LeaseRequest) (*Lease, error) {
	lock, err := e.lockFile(r.purpose)
	if err != nil {
		return nil, err
	}
	e.leased.Store(true)
	release := func() error {
		e.leased.Store(false)
		return lock.unlock()
	}
	return &Lease{lost: make(chan struct{}), release: release}, nil
}

// lockSchema waits as long as for any other writer, and then names the holder.
func (e *sqliteFile) lockSchema(ctx context.Context) (func(context.Context) error, error) {
	if e.leased.Load() {
		return func(context.Context) error { return nil }, nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.busy)
	defer cancel()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		lock, err := e.lockFile("migrate")
		if err == nil {
			return func(context.Context) error { return lock.unlock() }, nil
		}
		if !errors.Is(err, keystile.ErrConflict) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// fileLock is a lock of the operating system, held through an open file.
type fileLock struct{ f *os.File }

func (e *sqliteFile) lockFile(purpose string) (*fileLock, error) {
	name := e.path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: %w", name, keystile.ErrUnavailable, err)
	}
	locked, err := tryLock(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w: %w", name, keystile.ErrUnavailable, err), f.Close())
	}
	if !locked {
		holder, pid := readHolder(f)
		return nil, errors.Join(heldBy(holder, pid, ""), f.Close())
	}
	// The text is for messages only; the lock is what counts.
	text := fmt.Sprintf("%s %d\n", purpose, os.Getpid())
	if _, err = f.WriteAt([]byte(text), 0); err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w: %w", name, keystile.ErrUnavailable, err), f.Close())
	}
	return &fileLock{f: f}, nil
}

// readHolder reads what the holder wrote; a holder that has not written yet is pid 0.
func readHolder(f *os.File) (purpose string, pid int64) {
	buf := make([]byte, 64)
	n, err := f.ReadAt(buf, 0)
	if n == 0 && err != nil {
		return "serve", 0
	}
	purpose, number, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
	pid, err = strconv.ParseInt(number, 10, 64)
	if err != nil || purpose == "" {
		return "serve", 0
	}
	return purpose, pid
}

// unlock closes the file and leaves it: deleting a lock file lets two processes
// hold locks on two files of the same name.
func (l *fileLock) unlock() error { return l.f.Close() }
