package limit

import (
	"context"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
)

// Key says whose count a draw belongs to. Equal keys with equal rates share a
// counter; nothing else does.
type Key struct {
	// Per is what the limit counts by.
	Per keystile.LimitPer
	// Route is the id of the route that declares the limit; empty for a
	// credential's own limit, which counts on every route.
	Route string
	// ID is the credential's id, the organisation's id, or the address (for
	// IPv6 the caller passes the network a subscriber gets, not the host).
	ID string
}

// Limiter decides whether one more request fits a rate. It is safe for
// concurrent use.
type Limiter interface {
	// Take draws one request if the rate allows it now. The state is the one
	// after the draw. ok false: nothing was drawn, and state.Reset says when a
	// request will fit. An error means the limiter cannot tell and nothing can
	// be promised: it wraps keystile.ErrUnavailable if the counters could not be
	// reached or kept, and is a *keystile.Invalid for a rate nobody can count.
	// ok is false whenever err is not nil. now should come from time.Now()
	// unchanged, with its monotonic reading. Memory never blocks; Valkey waits at
	// most its timeout.
	Take(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (state keystile.LimitState, ok bool, err error)
	// Return hands back what the Take with the same key, rate and time drew:
	// the request turned out not to count (its one-time token had been used).
	// Call it at most once for a draw, and only for a Take that said ok. What
	// cannot be found, or could only be handed back inexactly, stays spent.
	Return(ctx context.Context, k Key, rate *keystile.Rate, at time.Time)
	// Peek is what Take would answer, drawing nothing: ok says whether one more
	// request fits, and the state is the one before any draw.
	Peek(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (state keystile.LimitState, ok bool, err error)
}

// ErrFull means that Memory may not grow any more and everything in it is
// still needed: forgetting a count would allow more than the rate says.
var ErrFull = fmt.Errorf("the memory for rate-limit counters is full: %w", keystile.ErrUnavailable)

// Bounds of a rate, as keystile.ParseRate has them: arithmetic below depends
// on them, so a rate built by hand is checked again.
const (
	maxRequests = 1_000_000_000
	minWindow   = time.Millisecond
	maxWindow   = 24 * time.Hour
)

// check refuses a rate that cannot be counted exactly.
func check(rate *keystile.Rate) error {
	if rate == nil {
		return keystile.Invalidf("", "pass the rate to count", "there is no rate")
	}
	if rate.Requests < 1 || rate.Requests > maxRequests || rate.Window < minWindow || rate.Window > maxWindow {
		return keystile.Invalidf("", "use 1 to 1000000000 requests in 1ms to 24h", "%s is not a rate", rate)
	}
	switch rate.Algorithm {
	case "", keystile.AlgorithmWindow:
		if rate.Requests > keystile.MaxWindowRequests {
			return keystile.Invalidf("", "set algorithm: gcra, or at most 10000 requests a window",
				"%s is more than an exact window can count", rate)
		}
	case keystile.AlgorithmGCRA:
	default:
		return keystile.Invalidf("", "use window or gcra", "%q is not an algorithm", rate.Algorithm)
	}
	return nil
}

// interval is the time between two requests that gcra paces, in nanoseconds,
// rounded up so that it never allows more. The burst is counted in intervals,
// so rounding costs none of it.
func interval(rate *keystile.Rate) int64 {
	n := int64(rate.Requests)
	return (int64(rate.Window) + n - 1) / n
}
