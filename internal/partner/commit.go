package partner

import (
	"context"
	"fmt"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

const (
	// maxCommit bounds one transaction: it holds the store's writer for a few milliseconds at most.
	maxCommit = 256
	// commitTimeout bounds one transaction at the store.
	commitTimeout = 5 * time.Second
	// gatherTime is how long a transaction waits at most for as many exchanges as the one
	// before it had: those who were answered ask again, and each fsync that they share is
	// one saved.
	gatherTime = 2 * time.Millisecond
)

// committer gathers exchanges into transactions. While one is being committed the
// next ones wait together; with nothing under way, and none that was shared just
// before, an exchange starts at once.
type committer struct {
	write func(context.Context, []store.Exchange) ([]store.ExchangeResult, error)

	mu      sync.Mutex
	waiting []*commit
	running bool
	// full is closed when as many wait as are wanted; nil: nobody waits for that.
	full   chan struct{}
	want   int
	closed bool
	idle   *sync.Cond
}

type commit struct {
	exchange store.Exchange
	done     chan struct{}
	result   store.ExchangeResult
	err      error
}

func newCommitter(write func(context.Context, []store.Exchange) ([]store.ExchangeResult, error)) *committer {
	c := &committer{write: write}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// do waits for one exchange to be durable, or refused. When ctx ends first the
// exchange may still happen: its answer is lost, as on a broken connection.
func (c *committer) do(ctx context.Context, e store.Exchange) (store.ExchangeResult, error) {
	one := &commit{exchange: e, done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, fmt.Errorf("shutting down: %w", keystile.ErrUnavailable)
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
		return 0, fmt.Errorf("the caller went away: %w: %w", keystile.ErrUnavailable, ctx.Err())
	}
}

// run commits until nothing waits.
func (c *committer) run() {
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

// gather waits until as many exchanges wait as the last transaction had, if it had
// more than one, but not for long.
func (c *committer) gather(last int) {
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
func (c *committer) commit(batch []*commit) {
	exchanges := make([]store.Exchange, len(batch))
	for i, one := range batch {
		exchanges[i] = one.exchange
	}
	results, err := c.try(exchanges)
	for i, one := range batch {
		if one.err = err; err == nil {
			one.result = results[i]
		}
		close(one.done)
	}
}

func (c *committer) try(exchanges []store.Exchange) (results []store.ExchangeResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v: %w", p, keystile.ErrUnavailable)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	results, err = c.write(ctx, exchanges)
	if err == nil && len(results) != len(exchanges) {
		err = fmt.Errorf("%d answers for %d exchanges: %w", len(results), len(exchanges), keystile.ErrUnavailable)
	}
	return results, err
}

// close waits until nothing is under way; later exchanges are refused.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.running {
		c.idle.Wait()
	}
}
