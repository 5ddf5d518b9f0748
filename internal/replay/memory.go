package replay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"
)

// Defaults of MemoryOptions.
const (
	DefaultMaxBytes    = 512 << 20
	DefaultMaxPerScope = 4 << 20
)

// MemoryOptions configures a ledger in memory, and the memory of the others.
type MemoryOptions struct {
	// MaxBytes bounds the memory for live nonces; 0: DefaultMaxBytes, about 12
	// million nonces. At the bound claims are refused.
	MaxBytes int64
	// MaxPerScope bounds the live nonces of one scope; 0: DefaultMaxPerScope.
	MaxPerScope int
	// Margin is how long after LastValid a nonce is kept; 0: Margin (30 s).
	Margin time.Duration
	// Window is the widest clock window of any organisation; 0: MaxWindow. A token
	// stamped further ahead is refused.
	Window time.Duration
	// LostAt, if not zero, says that tokens may have been accepted up to then
	// of which this ledger knows nothing: tokens stamped up to LostAt + Window are
	// refused. A ledger in memory alone sets it to the time of its start, except
	// where nothing was ever accepted. Journal, Table and Valkey do not read it.
	LostAt time.Time
	// Now is the ledger's clock; nil: time.Now.
	Now func() time.Time
	// Random is read for the digest's key; nil: crypto/rand.
	Random io.Reader
}

// withDefaults fills in what is not set.
func (o MemoryOptions) withDefaults() MemoryOptions {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxPerScope <= 0 {
		o.MaxPerScope = DefaultMaxPerScope
	}
	o.MaxPerScope = min(o.MaxPerScope, math.MaxInt32)
	if o.Margin <= 0 {
		o.Margin = Margin
	}
	if o.Window <= 0 {
		o.Window = MaxWindow
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o
}

// limits are what all shards share.
type limits struct {
	margin   int64 // nanoseconds
	maxBytes int64
	perScope int
	bytes    atomic.Int64
	// floor: what has a LastValid below it is refused; Unix nanoseconds. It only rises.
	floor atomic.Int64
	// refuse: what is stamped at or below it is refused; Unix nanoseconds, 0 for none.
	refuse atomic.Int64
	// window is how far ahead stamps are taken, in nanoseconds. It only grows.
	window atomic.Int64
}

// reserve takes bytes out of the cap, or says that there are not so many.
func (l *limits) reserve(bytes int64, force bool) bool {
	if l.bytes.Add(bytes) > l.maxBytes && !force {
		l.bytes.Add(-bytes)
		return false
	}
	return true
}

func (l *limits) free(bytes int64) { l.bytes.Add(-bytes) }

func (l *limits) raise(floor int64) { atLeast(&l.floor, floor) }

// atLeast makes v at least to.
func atLeast(v *atomic.Int64, to int64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// bucketWidth is the span of LastValid that is forgotten together.
const bucketWidth = 16 * time.Second

// bucketEnd is the first instant after the bucket that a LastValid is in.
func bucketEnd(last int64) int64 {
	return (last/int64(bucketWidth) + 1) * int64(bucketWidth)
}

// shards is a power of two: enough that cores seldom meet.
const shards = 32

// Memory is a ledger in memory. It costs 31 to 42 bytes a nonce, up to 37 more if
// every nonce has a scope of its own, and 2 KiB for each 16 s of LastValid and
// each of 32 shards in use (1.3 MB at a window of 60 s). A claim allocates
// nothing (one allocation in a hundred claims) and takes out up to four expired
// nonces, so that there is no pause for purging.
type Memory struct {
	limits   limits
	digester digester
	now      func() time.Time
	shards   [shards]shard
}

var _ Ledger = (*Memory)(nil)

// NewMemory makes an empty ledger. It fails only if Random does.
func NewMemory(o MemoryOptions) (*Memory, error) {
	o = o.withDefaults()
	var d digester
	if _, err := io.ReadFull(o.Random, d.key[:]); err != nil {
		return nil, fmt.Errorf("replay: make the digest's key: %w", err)
	}
	m := newMemory(o, d)
	if !o.LostAt.IsZero() {
		m.limits.refuse.Store(o.LostAt.Add(o.Window).UnixNano())
	}
	return m, nil
}

// newMemory makes an empty ledger with a key that is known.
func newMemory(o MemoryOptions, d digester) *Memory {
	m := &Memory{digester: d, now: o.Now}
	m.limits.window.Store(int64(o.Window))
	m.limits.margin, m.limits.maxBytes, m.limits.perScope = int64(o.Margin), o.MaxBytes, o.MaxPerScope
	m.limits.floor.Store(math.MinInt64)
	for i := range m.shards {
		m.shards[i].limits = &m.limits
	}
	return m
}

// window is how far ahead stamps are taken now.
func (m *Memory) window() time.Duration { return time.Duration(m.limits.window.Load()) }

// Widen implements Ledger. Memory has nothing that outlives it.
func (m *Memory) Widen(_ context.Context, window time.Duration, _ Keep) error {
	atLeast(&m.limits.window, int64(window))
	return nil
}

// Claim implements Ledger. It never blocks and needs no context.
func (m *Memory) Claim(_ context.Context, n Nonce) error {
	now := m.now()
	k, err := m.admit(&n, now)
	if err != nil {
		return err
	}
	return m.spend(&k, now)
}

// Spent implements Ledger.
func (m *Memory) Spent(_ context.Context, n Nonce) error {
	k, err := m.admit(&n, m.now())
	if err != nil {
		return err
	}
	return m.spent(&k)
}

// admit is everything that is asked before looking the nonce up.
func (m *Memory) admit(n *Nonce, now time.Time) (mark, error) {
	if err := n.complete(); err != nil {
		return mark{}, err
	}
	if err := n.ahead(now, m.window(), 0); err != nil {
		return mark{}, err
	}
	// What is not far ahead and not before 1970 has its time in nanoseconds.
	if n.LastValid.Unix() < 0 {
		return mark{}, errTooOld
	}
	k := m.digester.mark(n)
	if k.last < m.limits.floor.Load() || bucketEnd(k.last)+m.limits.margin <= now.UnixNano() {
		return mark{}, errTooOld
	}
	if refuse := m.limits.refuse.Load(); refuse != 0 && !n.stamp(m.window()).After(time.Unix(0, refuse)) {
		return mark{}, ErrIncomplete
	}
	return k, nil
}

func (m *Memory) shard(k *mark) *shard { return &m.shards[k.scope%shards] }

// spend claims a mark. At the cap it first looks for what is expired.
func (m *Memory) spend(k *mark, now time.Time) error {
	err := m.shard(k).claim(k, now.UnixNano(), false)
	if errors.Is(err, ErrFull) {
		m.purge(now)
		err = m.shard(k).claim(k, now.UnixNano(), false)
	}
	return err
}

func (m *Memory) spent(k *mark) error {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.last < m.limits.floor.Load() {
		return errTooOld
	}
	if s.holds(k) {
		return errReplayed
	}
	return nil
}

// restore takes in what was spent in an earlier life, and says whether it is
// held. If not, it is held already or lies below the floor: refused either way.
func (m *Memory) restore(k *mark, now time.Time) bool {
	if end := bucketEnd(k.last); end+m.limits.margin <= now.UnixNano() {
		m.limits.raise(end) // as if it had been loaded and forgotten
		return false
	}
	return m.shard(k).claim(k, now.UnixNano(), true) == nil
}

// Purge forgets everything whose time is over, and gives the memory back. Claims
// do this by themselves, a few nonces at a time; Purge is for an idle ledger.
func (m *Memory) Purge() { m.purge(m.now()) }

func (m *Memory) purge(now time.Time) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.expire(now.UnixNano())
		s.drain(math.MaxInt)
		s.mu.Unlock()
	}
}

// Live is how many nonces are held, expired ones that are not yet purged included.
func (m *Memory) Live() (n int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.live
		s.mu.Unlock()
	}
	return n
}

// Bytes is the memory held for them.
func (m *Memory) Bytes() int64 { return m.limits.bytes.Load() }

// Floor is the instant at or below which a LastValid is refused; zero if
// nothing was forgotten yet.
func (m *Memory) Floor() time.Time {
	if floor := m.limits.floor.Load(); floor != math.MinInt64 {
		return time.Unix(0, floor-1).UTC()
	}
	return time.Time{}
}

// IncompleteUntil is the stamp up to which tokens are refused because what was
// spent before is not known; zero if there is none. It stays when it has passed.
func (m *Memory) IncompleteUntil() time.Time {
	if refuse := m.limits.refuse.Load(); refuse != 0 {
		return time.Unix(0, refuse).UTC()
	}
	return time.Time{}
}

// Status says how the ledger is.
func (m *Memory) Status() Status {
	s := Status{Ready: true, Text: "ok", Live: m.Live(), Bytes: m.Bytes(), Floor: m.Floor(), IncompleteUntil: m.IncompleteUntil()}
	if !s.IncompleteUntil.IsZero() && !m.now().After(s.IncompleteUntil) {
		s.Ready = false
		s.Text = incompleteText(s.IncompleteUntil)
	}
	return s
}

func incompleteText(until time.Time) string {
	return "what was spent before is not known: one-time requests stamped up to " +
		until.UTC().Format(time.RFC3339) + " are refused"
}
