package login

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Failures are counted three times (rulings R23), in the store, so for all factors,
// doors and servers together:
//
//	at an account from a network (/24 or /64)   10, forgotten after 15 quiet minutes
//	at an account from networks it is unknown in  100, forgotten after 24 quiet hours
//	from an address (/64 of IPv6)                50, forgotten after 15 quiet minutes
//
// From the limit on each failure brings a delay, 1 s and then twice the one before, at most 15 minutes,
// before the next attempt is looked at. An attempt that comes too early is not counted: nobody can
// keep somebody else out by trying on. An account is known in a network where it signed in
// within 30 days: failures elsewhere do not delay it there.
const (
	pairLimit    = 10
	accountLimit = 100
	addressLimit = 50

	quiet        = 15 * time.Minute
	accountQuiet = 24 * time.Hour
	firstDelay   = time.Second
	longestDelay = 15 * time.Minute
	// knownFor is how long a network stays known.
	knownFor = 30 * 24 * time.Hour
	// unknownBits bounds the counters of names that nobody has: 2^20 of each kind.
	unknownBits = 20
)

// counter is one of the three counts of an attempt.
type counter struct {
	key   [32]byte
	limit int64
	quiet time.Duration
	// pair is the count at an account from a network, which a complete sign-in sets to nothing.
	pair bool
}

// counted is a counter after an attempt was counted as a failure.
type counted struct {
	counter
	brought, earlier time.Time
}

// network is what addresses of one subscriber have in common.
func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all of those count together
	}
	return prefix
}

// single is what one client has: an IPv4 address, or the /64 it may choose addresses from.
func single(addr netip.Addr) string {
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	return network(addr).String()
}

// counters are those of an attempt at an account; an empty userID is a name that nobody has. They come in the order
// of their keys, in which transactions lock them.
func (s *Service) counters(ctx context.Context, c Caller, userID, name string) ([]counter, error) {
	where := network(c.Addr).String()
	account, pair := "user "+userID, "user "+userID+" "+where
	known := false
	if userID == "" {
		// Some names share a count, which nobody has who could be delayed by it.
		account, pair = "nobody "+s.bucket(name), "nobody "+s.bucket(name+" "+where)
	} else {
		var err error
		if known, err = s.o.Store.LoginNetworkKnown(ctx, userID, where, s.now().Add(-knownFor)); err != nil {
			return nil, err
		}
	}
	all := []counter{{key: s.keyed("failures of pair", pair), limit: pairLimit, quiet: quiet, pair: true}}
	if !known {
		all = append(all, counter{key: s.keyed("failures of account", account), limit: accountLimit, quiet: accountQuiet})
	}
	all = append(all, s.ofAddress(c)...)
	slices.SortFunc(all, func(a, b counter) int { return bytes.Compare(a.key[:], b.key[:]) })
	return all, nil
}

// ofAddress is the count from a caller's address; none for known proxies.
func (s *Service) ofAddress(c Caller) []counter {
	if s.exempt(c.Addr) {
		return nil
	}
	return []counter{{key: s.keyed("failures of address", single(c.Addr)), limit: addressLimit, quiet: quiet}}
}

func (s *Service) bucket(text string) string {
	digest := s.keyed("bucket of a name", text)
	n := binary.BigEndian.Uint32(digest[:4]) >> (32 - unknownBits)
	return string(binary.BigEndian.AppendUint32(nil, n))
}

func (s *Service) exempt(addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(s.o.RateExempt, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// wait is how long an attempt must wait; 0: it may be made.
func wait(f store.LoginFailures, c counter, now time.Time) time.Duration {
	if f.Failures < c.limit || !now.Before(f.QuietUntil) || !now.Before(f.NotBefore) {
		return 0
	}
	return f.NotBefore.Sub(now)
}

// throttled is the refusal of an attempt that comes too early.
func throttled(wait time.Duration) error {
	return &Throttled{RetryAfter: max(wait.Round(time.Second), time.Second)}
}

// mayTry reads the counters without a lock: a flood that is being refused writes nothing.
func (s *Service) mayTry(ctx context.Context, counters []counter) error {
	asked := make([][32]byte, len(counters))
	for i, c := range counters {
		asked[i] = c.key
	}
	all, err := s.o.Store.LoginFailures(ctx, asked)
	if err != nil {
		return err
	}
	var longest time.Duration
	for _, c := range counters {
		if i := slices.IndexFunc(all, func(f store.LoginFailures) bool { return f.Counter == c.key }); i >= 0 {
			longest = max(longest, wait(all[i], c, s.now()))
		}
	}
	if longest > 0 {
		return throttled(longest)
	}
	return nil
}

// hold locks the counters and refuses an attempt that comes too early.
func (s *Service) hold(ctx context.Context, tx *store.Tx, counters []counter) ([]store.LoginFailures, error) {
	now := s.now()
	held := make([]store.LoginFailures, len(counters))
	var longest time.Duration
	for i, c := range counters {
		var err error
		if held[i], err = tx.LockLoginFailures(ctx, c.key); err != nil {
			return nil, err
		}
		longest = max(longest, wait(held[i], c, now))
	}
	if longest > 0 {
		return nil, &answer{throttled(longest)}
	}
	return held, nil
}

// count writes a failure to the counters that are held.
func (s *Service) count(ctx context.Context, tx *store.Tx, counters []counter, held []store.LoginFailures) ([]counted, error) {
	now := s.now()
	written := make([]counted, len(counters))
	for i, c := range counters {
		f := held[i]
		if !now.Before(f.QuietUntil) {
			f.Failures, f.NotBefore = 0, time.Time{}
		}
		written[i] = counted{counter: c, earlier: f.NotBefore}
		f.Failures++
		if over := f.Failures - c.limit; over >= 0 {
			f.NotBefore = now.Add(min(firstDelay<<min(over, 20), longestDelay))
		}
		written[i].brought = f.NotBefore
		f.QuietUntil = now.Add(c.quiet)
		if err := tx.SaveLoginFailures(ctx, f); err != nil {
			return nil, err
		}
	}
	return written, nil
}

// reserve counts an attempt as a failure before it is looked at, in a transaction of its own.
func (s *Service) reserve(ctx context.Context, c Caller, counters []counter) (reserved []counted, err error) {
	err = s.mutate(ctx, store.Actor{Name: "system", RequestID: c.RequestID}, func(ctx context.Context, tx *store.Tx) error {
		held, err := s.hold(ctx, tx, counters)
		if err != nil {
			return err
		}
		reserved, err = s.count(ctx, tx, counters, held)
		return err
	})
	return reserved, err
}

// forgive takes a reserved failure back. complete: all factors are proven, and the
// user's mistakes in this network are forgotten.
func forgive(ctx context.Context, tx *store.Tx, reserved []counted, complete bool) error {
	for _, c := range reserved {
		var err error
		if c.pair && complete {
			err = tx.ForgetLoginFailures(ctx, c.key)
		} else {
			err = tx.ForgiveLoginFailure(ctx, c.key, c.brought, c.earlier)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget ends the count of an account in a network, for a sign-in whose attempt was not reserved.
func forget(ctx context.Context, tx *store.Tx, counters []counter) error {
	for _, c := range counters {
		if c.pair {
			return tx.ForgetLoginFailures(ctx, c.key)
		}
	}
	return nil
}

// noteFailure tells the log of a failed attempt; never the name of nobody, which may be a
// password typed in the wrong field.
func (s *Service) noteFailure(ctx context.Context, c Caller, userID string, what string) {
	if userID == "" {
		userID = "unknown"
	}
	s.o.Logger.InfoContext(ctx, "sign-in refused", "user", userID, "client", c.Addr.String(), "door", string(c.Door), "reason", what, "request_id", c.RequestID)
}

// errGone is what a user who was deleted meanwhile means.
var errGone = &answer{ErrInvalidCredentials}

// lockUser reads the user anew and keeps sign-ins and changes of the same user apart.
func lockUser(ctx context.Context, tx *store.Tx, id string) (keystile.User, error) {
	u, err := tx.LockUser(ctx, id)
	if notFound(err) {
		return u, errGone
	}
	return u, err
}
