package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// Shared is a Limiter that other nodes count on too, and that can be away.
type Shared interface {
	Limiter
	// ReturnDraw is Return that says whether it found the draw. An error means
	// that it cannot tell.
	ReturnDraw(ctx context.Context, k Key, rate *keystile.Rate, at time.Time) (found bool, err error)
}

// DefaultRetry is how long Fallback leaves shared counters alone that failed.
const DefaultRetry = time.Second

// FallbackOptions configures NewFallback.
type FallbackOptions struct {
	// Shared counters, used while they answer.
	Shared Shared
	// Local counters, used while they do not.
	Local *Memory
	// Retry is how long after a failure one request tries the shared counters
	// again; 0: DefaultRetry. The others do not wait for it.
	Retry time.Duration
	// OnOutage is told when an outage begins and when it ends, for logs, metrics
	// and readiness; nil: nobody is. It is called from a request, one call at a
	// time, and must neither block nor call the Fallback.
	OnOutage func(Outage)
}

// Outage is the state of shared counters.
type Outage struct {
	// Down says that they do not answer.
	Down bool
	// Since is when that began to be so.
	Since time.Time
	// Err is what they failed with, if Down.
	Err error
}

// Fallback counts on shared counters, and says what happens when they are away.
// Fallback itself then counts on this node alone: each node allows N, so that
// a cluster of M nodes allows up to M x N a window. Refusing returns the same
// counters for routes that would rather be refused. What was counted on the
// nodes during an outage is not added to the shared counts afterwards.
type Fallback struct {
	shared   Shared
	local    *Memory
	retry    time.Duration
	onOutage func(Outage)

	down    atomic.Bool
	mu      sync.Mutex
	outage  Outage
	retryAt time.Time
}

var _ Limiter = (*Fallback)(nil)

// NewFallback makes a Fallback; the shared counters are taken to be there.
func NewFallback(o FallbackOptions) *Fallback {
	if o.Retry <= 0 {
		o.Retry = DefaultRetry
	}
	if o.OnOutage == nil {
		o.OnOutage = func(Outage) {}
	}
	return &Fallback{shared: o.Shared, local: o.Local, retry: o.Retry, onOutage: o.OnOutage}
}

// Take implements Limiter: shared, or on this node during an outage.
func (f *Fallback) Take(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	state, ok, err := f.try(ctx, now, func() (keystile.LimitState, bool, error) { return f.shared.Take(ctx, k, rate, now) })
	if away(ctx, err) {
		return f.local.Take(ctx, k, rate, now)
	}
	return state, ok, err
}

// Peek implements Limiter: shared, or on this node during an outage.
func (f *Fallback) Peek(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	state, ok, err := f.try(ctx, now, func() (keystile.LimitState, bool, error) { return f.shared.Peek(ctx, k, rate, now) })
	if away(ctx, err) {
		return f.local.Peek(ctx, k, rate, now)
	}
	return state, ok, err
}

// Return implements Limiter. A draw the shared counters do not know was made
// on this node. If they cannot tell, only a local draw of exactly that time is
// handed back: another one's must not be.
func (f *Fallback) Return(ctx context.Context, k Key, rate *keystile.Rate, at time.Time) {
	if !f.down.Load() {
		found, err := f.shared.ReturnDraw(ctx, k, rate, at)
		if err == nil && found {
			return
		}
	}
	f.local.giveBack(&k, rate, at, true)
}

// Outage is the state of the shared counters now.
func (f *Fallback) Outage() Outage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outage
}

// Refusing is the same counters with the other behaviour: during an outage Take
// and Peek report the error, so that the request is refused.
func (f *Fallback) Refusing() Limiter { return refusing{f} }

type refusing struct{ f *Fallback }

func (r refusing) Take(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	return r.f.try(ctx, now, func() (keystile.LimitState, bool, error) { return r.f.shared.Take(ctx, k, rate, now) })
}

func (r refusing) Peek(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	return r.f.try(ctx, now, func() (keystile.LimitState, bool, error) { return r.f.shared.Peek(ctx, k, rate, now) })
}

func (r refusing) Return(ctx context.Context, k Key, rate *keystile.Rate, at time.Time) {
	r.f.Return(ctx, k, rate, at)
}

// away says whether err means that the shared counters are away, rather than
// that the rate is wrong or the caller has gone.
func away(ctx context.Context, err error) bool {
	return errors.Is(err, keystile.ErrUnavailable) && ctx.Err() == nil
}

// try asks the shared counters unless they have just failed, and keeps track.
func (f *Fallback) try(ctx context.Context, now time.Time, ask func() (keystile.LimitState, bool, error)) (keystile.LimitState, bool, error) {
	if f.down.Load() {
		if err := f.wait(now); err != nil {
			return keystile.LimitState{}, false, err
		}
	}
	state, ok, err := ask()
	switch {
	case away(ctx, err):
		f.fail(now, err)
	case err == nil && f.down.Load():
		f.restored(now)
	}
	return state, ok, err
}

// wait returns an error while an outage is to be waited out. Once in each retry
// interval it lets one caller through. The clock stepped back does not prolong
// the wait.
func (f *Fallback) wait(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.outage.Down {
		return nil
	}
	if until := f.retryAt.Sub(now); until > 0 && until <= f.retry {
		return fmt.Errorf("limit: shared counters are away: %w", f.outage.Err)
	}
	f.retryAt = now.Add(f.retry)
	return nil
}

// fail notes that the shared counters did not answer.
func (f *Fallback) fail(now time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retryAt = now.Add(f.retry)
	began := !f.outage.Down
	if began {
		f.outage = Outage{Down: true, Since: now}
		f.down.Store(true)
	}
	f.outage.Err = err
	if began {
		f.onOutage(f.outage)
	}
}

// restored notes that they answer again.
func (f *Fallback) restored(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.outage.Down {
		return
	}
	f.outage = Outage{Since: now}
	f.down.Store(false)
	f.onOutage(f.outage)
}
