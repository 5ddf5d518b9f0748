package gather

import (
	"context"
	"fmt"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// maxCommit bounds one transaction: it holds the store's writer for a few milliseconds at most.
	maxCommit = 256
	// commitTimeout bounds one transaction at the store.
	commitTimeout = 5 * time.Second
	// gatherTime is how long a transaction waits at most for as many callers as the one
	// before it had: those who were answered ask again, and each fsync that they share is
	// one saved.
	gatherTime = 2 * time.Millisecond
)

// Committer gathers what callers want written into transactions. While one is being
// committed the next callers wait together; with nothing under way, and none that was
// shared just before, a caller's begins at once. It is safe for concurrent use.
type Committer[T, R any] struct {
	write Write[T, R]

	mu      sync.Mutex
	waiting []*commit[T, R]
	running bool
	// full is closed when as many wait as are wanted; nil: nobody waits for that.
	full   chan struct{}
	want   int
	closed bool
	idle   *sync.Cond
}

type commit[T, R any] struct {
	one    T
	done   chan struct{}
	result R
	err    error
}

// Write writes a batch in one transaction. It returns a result for each, in order; an
// error means that nothing can be told of any of them.
type Write[T, R any] func(ctx context.Context, batch []T) ([]R, error)

// New makes a Committer. Close ends it.
func New[T, R any](write Write[T, R]) *Committer[T, R] {
	c := &Committer[T, R]{write: write}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// Do waits until one thing is written, and durable, or refused. When ctx ends first it
// may still be written: its answer is lost, as on a broken connection.
func (c *Committer[T, R]) Do(ctx context.Context, what T) (result R, err error) {
	one := &commit[T, R]{one: what, done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return result, fmt.Errorf("shutting down: %w", keystile.ErrUnavailable)
	}
	c.waiting = append(c.waiting, one)
	if c.full != nil && len(c.waiting) >= c.want {
		close(c.full)
		c.full = nil
	}
	if !c.running {
		c.running = true
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-one.done:
		return one.result, one.err
	case <-ctx.Done():
		return result, fmt.Errorf("the caller went away: %w: %w", keystile.ErrUnavailable, ctx.Err())
	}
}

// run commits until nothing waits.
func (c *Committer[T, R]) run() {
	for last := 0; ; {
		c.gather(last)
		c.mu.Lock()
		batch := c.waiting[:min(len(c.waiting), maxCommit)]
		c.waiting = c.waiting[len(batch):]
		if len(batch) == 0 {
			c.waiting, c.running = nil, false
			c.idle.Broadcast()
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		last = len(batch)
		c.commit(batch)
	}
}

// gather waits until as many callers wait as the last transaction had, if it had
// more than one, but not for long.
func (c *Committer[T, R]) gather(last int) {
	if last < 2 {
		return
	}
	c.mu.Lock()
	if len(c.waiting) >= last || c.closed {
		c.mu.Unlock()
		return
	}
	full := make(chan struct{})
	c.full, c.want = full, last
	c.mu.Unlock()
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
	}
	c.mu.Lock()
	c.full = nil
	c.mu.Unlock()
}

// commit writes one batch. A panic below is an error for those who wait.
func (c *Committer[T, R]) commit(batch []*commit[T, R]) {
	all := make([]T, len(batch))
	for i, one := range batch {
		all[i] = one.one
	}
	results, err := c.try(all)
	for i, one := range batch {
		if one.err = err; err == nil {
			one.result = results[i]
		}
		close(one.done)
	}
}

func (c *Committer[T, R]) try(batch []T) (results []R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v: %w", p, keystile.ErrUnavailable)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	results, err = c.write(ctx, batch)
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("%d results for a batch of %d: %w", len(results), len(batch), keystile.ErrUnavailable)
	}
	return results, err
}

// Close waits until nothing is under way; later callers are refused.
func (c *Committer[T, R]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.running {
		c.idle.Wait()
	}
}
