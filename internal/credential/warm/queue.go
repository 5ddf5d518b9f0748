package warm

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

// lookupTimeout bounds one batch at the store.
const lookupTimeout = 5 * time.Second

// call is one digest that somebody waits for. Callers that ask for the same
// digest before its batch starts share a call; those who ask later do not,
// because the batch may have read the store before a change they know of.
type call struct {
	digest Digest
	done   chan struct{}
	result Result
	err    error
}

// queue gathers look-ups into batches, in turn from each source address. With
// nothing waiting, a look-up starts at once.
type queue struct {
	queueOptions

	mu      sync.Mutex
	waiting map[Digest]*call        // queued, not yet taken by a worker
	sources map[netip.Addr]*[]*call // first in, first out for each source
	turn    []netip.Addr            // sources with something queued, next first
	running int
	closed  bool
}

type queueOptions struct {
	lookup   Lookup
	sequence func() int64 // of the newest change
	fill     func(digests []Digest, results []Result, readAt int64)
	workers  int
	batch    int
}

func newQueue(o queueOptions) *queue {
	return &queue{queueOptions: o, waiting: map[Digest]*call{}, sources: map[netip.Addr]*[]*call{}}
}

// load waits for the result of one digest. The look-up itself goes on when ctx
// ends, because others may wait for it.
func (q *queue) load(ctx context.Context, digest Digest, source netip.Addr) (Result, error) {
	c, err := q.enqueue(digest, source)
	if err != nil {
		return Result{}, err
	}
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("look up a credential: %w: %w", keystile.ErrUnavailable, ctx.Err())
	}
}

func (q *queue) enqueue(digest Digest, source netip.Addr) (*call, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, fmt.Errorf("look up a credential: shutting down: %w", keystile.ErrUnavailable)
	}
	if c, ok := q.waiting[digest]; ok {
		return c, nil
	}
	c := &call{digest: digest, done: make(chan struct{})}
	q.waiting[digest] = c
	calls := q.sources[source]
	if calls == nil {
		calls = &[]*call{}
		q.sources[source] = calls
		q.turn = append(q.turn, source)
	}
	*calls = append(*calls, c)
	if q.running < q.workers {
		q.running++
		go q.work()
	}
	return c, nil
}

// work runs batches until nothing waits.
func (q *queue) work() {
	for {
		calls := q.take()
		if len(calls) == 0 {
			return
		}
		q.run(calls)
	}
}

// take removes the next batch: one call from each source in turn, around and
// around. It gives the worker's place back when nothing waits.
func (q *queue) take() []*call {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken []*call
	for len(taken) < q.batch && len(q.turn) > 0 {
		source := q.turn[0]
		q.turn = q.turn[1:]
		calls := q.sources[source]
		c := (*calls)[0]
		*calls = (*calls)[1:]
		if len(*calls) == 0 {
			delete(q.sources, source)
		} else {
			q.turn = append(q.turn, source)
		}
		delete(q.waiting, c.digest)
		taken = append(taken, c)
	}
	if len(taken) == 0 {
		q.running--
	}
	return taken
}

func (q *queue) run(calls []*call) {
	digests := make([]Digest, len(calls))
	for i, c := range calls {
		digests[i] = c.digest
	}
	results, err := q.ask(digests)
	for i, c := range calls {
		if err != nil {
			c.err = err
		} else {
			c.result = results[i]
		}
		close(c.done)
	}
}

// ask reads the store for one batch. A panic in the look-up is an error for
// the callers that wait: they are refused, and the worker goes on.
func (q *queue) ask(digests []Digest) (results []Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("look up credentials: panic: %v: %w", p, keystile.ErrUnavailable)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	readAt := q.sequence() // before the read: what changes from here on makes it stale
	results, err = q.lookup(ctx, digests)
	if err != nil {
		return nil, fmt.Errorf("look up credentials: %w", err)
	}
	if len(results) != len(digests) {
		return nil, fmt.Errorf("look up credentials: %d results for %d digests: %w", len(results), len(digests), keystile.ErrUnavailable)
	}
	q.fill(digests, results, readAt)
	return results, nil
}

// close refuses whatever still waits and everything that comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, c := range q.waiting {
		c.err = fmt.Errorf("look up a credential: shutting down: %w", keystile.ErrUnavailable)
		close(c.done)
	}
	clear(q.waiting)
	clear(q.sources)
	q.turn = nil
}
