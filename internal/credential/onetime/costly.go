package onetime

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// Limits of costly proofs: a caller may fail this often in one period at full
// speed; after that its proofs wait for each other.
const (
	freeFailures  = 16
	failurePeriod = 10 * time.Second
	failureShards = 8192
)

// costly keeps wrong RSA, ECDSA and Ed25519 signatures from taking the machine.
// Failures count per (address, API key). A pair with many of them takes its turn
// in one queue with a few places, first come first served, so that all such pairs
// together use a fraction of the processors. Nobody is refused: a good request
// from the address of a flood is late, and one from anywhere else notices nothing.
//
// Memory is fixed. Two pairs that share a counter share their turn, no more.
type costly struct {
	seed     maphash.Seed
	failures [failureShards]atomic.Uint64 // number of the period << 16 | failures in it
	places   chan struct{}
}

func newCostly() *costly {
	return &costly{seed: maphash.MakeSeed(), places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/4))}
}

// pair names an (address, API key).
type pair struct {
	source netip.Addr
	key    [32]byte
}

func (c *costly) counter(p pair) *atomic.Uint64 {
	return &c.failures[maphash.Comparable(c.seed, p)%failureShards]
}

// enter waits for a place if the pair has failed often, and returns how to leave
// it. The error, when ctx ends first, means "cannot tell".
func (c *costly) enter(ctx context.Context, p pair, now time.Time) (leave func(), err error) {
	if failuresIn(c.counter(p).Load(), period(now)) < freeFailures {
		return func() {}, nil
	}
	select {
	case c.places <- struct{}{}:
		return func() { <-c.places }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a signature: %w: %w", keystile.ErrUnavailable, ctx.Err())
	}
}

// failed counts a failure of the pair.
func (c *costly) failed(p pair, now time.Time) {
	counter, this := c.counter(p), period(now)
	for {
		old := counter.Load()
		failures := min(failuresIn(old, this)+1, 1<<16-1)
		if counter.CompareAndSwap(old, this<<16|failures) {
			return
		}
	}
}

func period(now time.Time) uint64 {
	return uint64(max(now.Unix(), 0)) / uint64(failurePeriod/time.Second)
}

// failuresIn counts those of a period and half of those of the one before it, so
// that a flood is not set free at each turn of the clock.
func failuresIn(counter, this uint64) uint64 {
	failures := counter & (1<<16 - 1)
	switch counter >> 16 {
	case this:
		return failures
	case this - 1:
		return failures / 2
	}
	return 0
}
