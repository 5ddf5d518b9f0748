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
)

// committer gathers exchanges into transactions. While one is being committed the
// next ones wait together; with nothing under way an exchange starts at once.
type committer struct {
	write func(context.Context, []store.Exchange) ([]bool, error)

	mu      sync.Mutex
	waiting []*commit
	running bool
	closed  bool
	idle    *sync.Cond
}

type commit struct {
	exchange store.Exchange
	done     chan struct{}
	made     bool
	err      error
}

func newCommitter(write func(context.Context, []store.Exchange) ([]bool, error)) *committer {
	c := &committer{write: write}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// do waits for one exchange to be durable, or refused. When ctx ends first the
// exchange may still happen: its answer is lost, as on a broken connection.
func (c *committer) do(ctx context.Context, e store.Exchange) (bool, error) {
	one := &commit{exchange: e, done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false, fmt.Errorf("shutting down: %w", keystile.ErrUnavailable)
	}
	c.waiting = append(c.waiting, one)
	if !c.running {
		c.running = true
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-one.done:
		return one.made, one.err
	case <-ctx.Done():
		return false, fmt.Errorf("the caller went away: %w: %w", keystile.ErrUnavailable, ctx.Err())
	}
}

// run commits until nothing waits.
func (c *committer) run() {
	for {
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
		c.commit(batch)
	}
}

// commit writes one batch. A panic below is an error for those who wait.
func (c *committer) commit(batch []*commit) {
	exchanges := make([]store.Exchange, len(batch))
	for i, one := range batch {
		exchanges[i] = one.exchange
	}
	made, err := c.try(exchanges)
	for i, one := range batch {
		if one.err = err; err == nil {
			one.made = made[i]
		}
		close(one.done)
	}
}

func (c *committer) try(exchanges []store.Exchange) (made []bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v: %w", p, keystile.ErrUnavailable)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	made, err = c.write(ctx, exchanges)
	if err == nil && len(made) != len(exchanges) {
		err = fmt.Errorf("%d answers for %d exchanges: %w", len(made), len(exchanges), keystile.ErrUnavailable)
	}
	return made, err
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
