package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

// Defaults of JournalOptions, and a bound.
const (
	DefaultSegmentBytes = 16 << 20
	// maxPending is how many bytes may wait for the disk; beyond it claims are
	// refused, so that a disk that hangs does not eat the memory.
	maxPending = 4 << 20
)

// JournalOptions configures OpenJournal.
type JournalOptions struct {
	// Path is the journal's directory, of which nothing else makes use. It is
	// made if absent; its parent must exist.
	Path string
	// StoreID names the store whose credentials the nonces belong to.
	StoreID string
	// Epoch is what Epoch() answered last time, kept by the store; empty if the
	// store never knew a ledger. To void a journal (after a restore), keep in the
	// store any epoch that the journal does not have.
	Epoch string
	// Latest is the newest time that the store knows something happened at; zero
	// if none. It keeps a clock that was set back from shortening an incompleteness.
	Latest time.Time
	// Memory is for the ledger's memory: caps, margin, window, clock, randomness.
	Memory MemoryOptions
	// SegmentBytes is the size at which a file is followed by another; 0:
	// DefaultSegmentBytes.
	SegmentBytes int64
	// Logger is told of an incomplete ledger and of a failed disk; nil: nobody is.
	Logger *slog.Logger

	create func(dir string, h *header) (file, error) // for tests: files that fail
}

// Journal is a ledger in memory and in a journal on disk. A claim is answered
// when its record is fsynced; all claims that wait share one fsync.
//
// After a failed write or fsync the file cannot be trusted: the kernel may have
// dropped what it could not write, and the next fsync would succeed. So that claim and all
// later ones are refused until the journal is opened anew.
type Journal struct {
	memory *Memory
	writer *writer
	why    string // it is incomplete; empty if it is not
	logger *slog.Logger

	wake    chan struct{} // something is pending
	stopped chan struct{} // the writing goroutine has ended

	writing sync.Mutex // held while the writer is used
	mu      sync.Mutex
	pending *batch
	failed  error
	closed  bool
	epoch   epoch
}

var _ Ledger = (*Journal)(nil)

// batch is the records that share one fsync.
type batch struct {
	records []byte
	last    int64
	done    chan struct{} // closed when err is set
	err     error
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

var errJournalClosed = fmt.Errorf("the journal of spent nonces is closed: %w", keystile.ErrUnavailable)

// Claim implements Ledger. When the context ends first the claim may become
// durable all the same.
func (j *Journal) Claim(ctx context.Context, n Nonce) error {
	now := j.memory.now()
	k, err := j.memory.admit(&n, now)
	if err != nil {
		return err
	}
	// Asked first, so that a failed disk does not fill the memory.
	if err := j.usable(); err != nil {
		return err
	}
	if err := j.memory.spend(&k, now); err != nil {
		return err
	}
	b, err := j.append(&k)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the journal of spent nonces: %w: %w", keystile.ErrUnavailable, context.Cause(ctx))
	}
}

// Spent implements Ledger.
func (j *Journal) Spent(ctx context.Context, n Nonce) error {
	if err := j.usable(); err != nil {
		return err
	}
	return j.memory.Spent(ctx, n)
}

// usable says why nothing can be claimed.
func (j *Journal) usable() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errJournalClosed
	}
	return j.failed
}

// append adds a record to the batch that is written next.
func (j *Journal) append(k *mark) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return nil, errJournalClosed
	case j.failed != nil:
		return nil, j.failed
	case len(j.pending.records) >= maxPending:
		return nil, fmt.Errorf("the disk under the journal of spent nonces does not keep up: %w", keystile.ErrUnavailable)
	}
	b := j.pending
	if len(b.records) == 0 {
		b.last = k.last
		j.wake <- struct{}{} // has room: one wake for one batch, which take has emptied
	}
	b.records = appendRecord(b.records, recordClaim, k)
	b.last = max(b.last, k.last)
	return b, nil
}

// write is the goroutine that makes batches durable.
func (j *Journal) write() {
	defer close(j.stopped)
	var spare []byte
	for range j.wake {
		j.gather()
		j.mu.Lock()
		b, failed := j.pending, j.failed
		j.pending = newBatch()
		j.pending.records = spare
		j.mu.Unlock()
		if b.err = failed; failed == nil {
			j.writing.Lock()
			err := j.writer.commit(b)
			j.writing.Unlock()
			if err != nil {
				b.err = j.fail(err)
			}
		}
		spare, b.records = b.records[:0], nil
		close(b.done)
	}
}

// gatherRounds bounds how often a batch waits for those that can run.
const gatherRounds = 8

// gather lets everybody who can run come first, as long as that brings claims. An
// fsync costs as much as answering a request or two, and it holds the processor
// that it runs on until the scheduler notices: begun at the first claim, it would
// serve that one alone, since the others could not come before its end. Where
// nobody can run this costs a fraction of a microsecond.
func (j *Journal) gather() {
	for had, rounds := 0, 0; rounds < gatherRounds; rounds++ {
		j.mu.Lock()
		waiting := len(j.pending.records)
		j.mu.Unlock()
		if waiting == had {
			return
		}
		had = waiting
		runtime.Gosched()
	}
}

// fail ends the journal's usefulness.
func (j *Journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = fmt.Errorf("%w: %w", keystile.ErrUnavailable, err)
	j.logger.Error("one-time requests are refused until the server is restarted: the journal of spent nonces cannot be written", "error", err)
	return j.failed
}

// Epoch is what the store must keep before the first claim is answered, and
// pass to the next OpenJournal.
func (j *Journal) Epoch() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.epoch.String()
}

// Widen implements Ledger. Another segment is begun, whose header says so as well: the
// store may be restored to what it was before.
func (j *Journal) Widen(ctx context.Context, window time.Duration, keep Keep) error {
	j.mu.Lock()
	wider := j.epoch
	j.mu.Unlock()
	if window > wider.window {
		wider.window = window
		if err := keep(ctx, wider.String()); err != nil {
			return fmt.Errorf("replay: widen the clock window: %w", err)
		}
		if err := j.widen(window); err != nil {
			return err
		}
		j.mu.Lock()
		j.epoch.window = max(j.epoch.window, window)
		j.mu.Unlock()
	}
	return j.memory.Widen(ctx, window, keep)
}

// widen begins a segment that says how wide the window is.
func (j *Journal) widen(window time.Duration) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	j.writer.head.window = max(j.writer.head.window, int64(window))
	if err := j.writer.rotate(); err != nil {
		return j.fail(err)
	}
	return nil
}

// IncompleteUntil is the stamp up to which tokens are refused because what was
// spent before is not known; zero if there is none. It stays when it has passed.
func (j *Journal) IncompleteUntil() time.Time { return j.memory.IncompleteUntil() }

// Purge forgets what is over; see Memory.Purge. Files go with the next claims.
func (j *Journal) Purge() { j.memory.Purge() }

// Status says how the ledger is.
func (j *Journal) Status() Status {
	s := j.memory.Status()
	if err := j.usable(); err != nil {
		s.Ready = false
		s.Text = err.Error() + "; mend the disk and restart the server"
		if errors.Is(err, errJournalClosed) {
			s.Text = err.Error()
		}
		return s
	}
	if !s.Ready {
		s.Text += " (" + j.why + ")"
	}
	return s
}

// Close writes what is pending and gives the journal back.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		<-j.stopped
		return nil
	}
	j.closed = true
	close(j.wake)
	j.mu.Unlock()
	<-j.stopped
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := j.writer.close(); err != nil {
		return fmt.Errorf("close the journal of spent nonces: %w", err)
	}
	return nil
}
