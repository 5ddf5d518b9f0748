package door

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
)

// Limiter counts; package limit says what Take promises.
type Limiter interface {
	Take(ctx context.Context, k limit.Key, rate *keystile.Rate, now time.Time) (state keystile.LimitState, ok bool, err error)
}

// Quota is a rate for each caller's address, counted under a name of its own.
type Quota struct {
	Limiter Limiter
	// Name tells this count from others: "ona api-key".
	Name string
	Rate keystile.Rate
}

// Take draws one request of the address. wait is how long to hold off; 0: it
// may go on. An error means that the count cannot be kept.
func (q *Quota) Take(ctx context.Context, addr netip.Addr, now time.Time) (wait time.Duration, err error) {
	key := limit.Key{Per: keystile.PerAddress, Route: q.Name, ID: Network(addr)}
	state, ok, err := q.Limiter.Take(ctx, key, &q.Rate, now)
	if err != nil {
		return 0, fmt.Errorf("count requests of an address: %w", err)
	}
	if !ok {
		return max(state.Reset, time.Second), nil
	}
	return 0, nil
}

// Network is what one subscriber has: an IPv4 address, or a /64 of IPv6.
func Network(addr netip.Addr) string {
	addr = addr.Unmap()
	if prefix, err := addr.Prefix(64); err == nil && addr.Is6() {
		return prefix.String()
	}
	return addr.String()
}
