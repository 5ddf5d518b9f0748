package limit

import (
	"context"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// DefaultMaxBytes is the memory all counters may take unless told otherwise:
// some 500 000 keys at 60 requests a window, or 6 000 that each used 10 000.
const DefaultMaxBytes = 256 << 20

// What is accounted for one counter besides its log: the entry itself, its
// place in the table, and for gcra the latest draws.
const (
	entryBytes = 224
	tableBytes = 40
	paceBytes  = 288
	tickBytes  = 4
)

const (
	shardBits = 8
	// grace is how much longer than its window a counter is remembered, at
	// least. It covers the rounding of both algorithms.
	grace = int64(time.Second)
	// sweepStep is how many expired counters of a window a new one drops.
	sweepStep = 2
	// fullSweepEvery spaces the walks over all shards that a full memory asks
	// for: a flood of new keys must not pay one each.
	fullSweepEvery = int64(10 * time.Millisecond)
	// epoch is where the first time seen lies on the scale of offsets: times
	// before it stay positive. Some 31 years, a whole number of ticks.
	epoch = int64(1_000_000_000_000_000_000)
	// maxOffset keeps sums with windows and grace away from overflow.
	maxOffset = int64(8_000_000_000_000_000_000)
)

// MemoryOptions configures NewMemory.
type MemoryOptions struct {
	// MaxBytes bounds the memory of all counters; 0: DefaultMaxBytes. At the
	// bound, counters whose window has passed are forgotten, longest idle first.
	// If none is left, Take refuses with ErrFull what would need more memory: a
	// new key, or a key whose log must grow. A count that still matters is never
	// forgotten.
	MaxBytes int64
}

// Memory counts on this node alone.
//
// It takes about 270 bytes for a key, 4 more for each request of an exact
// window that was in use at once, and 290 more for gcra. A key at 10 000
// requests takes less than 40 KiB.
//
// Counters live in shards with a lock each. In a shard they are queued by window
// length, longest idle first, so the expired ones stand in front and are
// swept without looking at any other.
type Memory struct {
	max     int64
	bytes   atomic.Int64
	keys    atomic.Int64
	refused atomic.Int64
	swept   atomic.Int64 // when all shards were last swept
	base    atomic.Pointer[time.Time]
	seed    maphash.Seed
	shards  [1 << shardBits]shard
}

var _ Limiter = (*Memory)(nil)

// MemoryStats is what Memory holds, for metrics.
type MemoryStats struct {
	// Keys is the number of counters.
	Keys int64
	// Bytes they take, and the bound.
	Bytes, MaxBytes int64
	// Refused counts the Takes that found no memory.
	Refused int64
}

// NewMemory makes an empty Memory.
func NewMemory(o MemoryOptions) *Memory {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	return &Memory{max: o.MaxBytes, seed: maphash.MakeSeed()}
}

// Take implements Limiter. Besides a bad rate, its only error is ErrFull.
func (m *Memory) Take(_ context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	if err := check(rate); err != nil {
		return keystile.LimitState{}, false, err
	}
	at := m.offset(now)
	hash := m.hash(&k, rate)
	s := m.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	clock := s.tell(at)
	e := s.find(hash, &k, rate)
	if e == nil {
		if e = m.add(s, hash, k, rate); e == nil {
			return keystile.LimitState{}, false, ErrFull
		}
	}
	e.settle(clock)
	if more := e.needs(); more > 0 {
		if !m.reserve(s, int64(more)*tickBytes) {
			return keystile.LimitState{}, false, ErrFull
		}
		e.log.grow(e.requests)
	}
	ok := e.draw(clock, at)
	if ok && clock-e.queued >= e.queue.slack() {
		e.queue.requeue(e, clock)
	}
	return e.state(rate, clock, at), ok, nil
}

// Return implements Limiter. Of gcra's draws the latest sixteen of a key can
// be handed back.
func (m *Memory) Return(_ context.Context, k Key, rate *keystile.Rate, at time.Time) {
	m.giveBack(&k, rate, at, false)
}

// giveBack undoes a draw and says whether it found it; with exact it never
// settles for a draw logged at another time.
func (m *Memory) giveBack(k *Key, rate *keystile.Rate, at time.Time, exact bool) bool {
	if check(rate) != nil {
		return false
	}
	hash := m.hash(k, rate)
	s := m.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(hash, k, rate)
	return e != nil && e.giveBack(m.offset(at), exact)
}

// Peek implements Limiter. It changes nothing, not even the clock.
func (m *Memory) Peek(_ context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	if err := check(rate); err != nil {
		return keystile.LimitState{}, false, err
	}
	at := m.offset(now)
	hash := m.hash(&k, rate)
	s := m.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(hash, &k, rate)
	if e == nil {
		return keystile.LimitState{Rate: rate, Per: k.Per, Remaining: rate.Requests}, true, nil
	}
	state := e.state(rate, max(s.clock, at), at)
	return state, state.Remaining > 0, nil
}

// Sweep forgets the counters whose window has passed and says how many. Its
// cost is that of what it forgets. New keys sweep a little by themselves; call
// this now and then so that memory also comes back when none arrive.
func (m *Memory) Sweep(now time.Time) int {
	at, n := m.offset(now), 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.tell(at)
		n += m.sweepShard(s)
		s.shrink()
		s.mu.Unlock()
	}
	return n
}

// Stats reports the memory in use.
func (m *Memory) Stats() MemoryStats {
	return MemoryStats{Keys: m.keys.Load(), Bytes: m.bytes.Load(), MaxBytes: m.max, Refused: m.refused.Load()}
}

// offset puts t on the scale of this Memory: nanoseconds, the first time ever
// seen at epoch. Between times that carry a monotonic reading it is the
// monotonic distance, which no setting of the clock changes.
func (m *Memory) offset(t time.Time) int64 {
	base := m.base.Load()
	if base == nil {
		first := t
		m.base.CompareAndSwap(nil, &first)
		base = m.base.Load()
	}
	d := int64(t.Sub(*base))
	return min(max(d, -epoch), maxOffset-epoch) + epoch
}

// hash spreads counters; which is which is decided by comparing them whole.
func (m *Memory) hash(k *Key, rate *keystile.Rate) uint64 {
	h := maphash.String(m.seed, k.ID) ^ bits.RotateLeft64(maphash.String(m.seed, k.Route), 21)
	n := int64(rate.Window) ^ int64(rate.Requests)<<48
	return h ^ uint64(n)*0x9e3779b97f4a7c15 //nolint:gosec // any 64 bits do
}

func (m *Memory) shard(hash uint64) *shard { return &m.shards[hash>>(64-shardBits)] }

// add makes the counter of a key not seen before; nil if there is no memory.
// The id is copied: it may be a piece of something large.
func (m *Memory) add(s *shard, hash uint64, k Key, rate *keystile.Rate) *entry {
	c := newCounter(k, rate, s.clock)
	e := &entry{counter: c, hash: hash, bytes: int64(len(k.ID)) + entryBytes + tableBytes}
	first := c.needs()
	if c.pace != nil {
		e.bytes += paceBytes
	}
	q := s.queueOf(c.window)
	m.drop(s, q, sweepStep)
	m.drop(s, s.nextQueue(), sweepStep)
	if !m.reserve(s, e.bytes+int64(first)*tickBytes) {
		s.retire(q)
		return nil
	}
	if first > 0 { // so that a log that is full is a log in use, and never swept while it grows
		e.log.grow(e.requests)
	}
	e.key.ID = strings.Clone(k.ID)
	s.put(e)
	s.queueOf(c.window).push(e, s.clock)
	m.keys.Add(1)
	return e
}

// reserve accounts for n more bytes. If they are not to be had, expired
// counters go: of this shard, then of all. The shard is locked; the others are
// only tried, so no two callers can wait for each other.
func (m *Memory) reserve(s *shard, n int64) bool {
	if m.fits(n) {
		return true
	}
	m.sweepShard(s)
	if m.fits(n) {
		return true
	}
	if last := m.swept.Load(); s.clock-last >= fullSweepEvery && m.swept.CompareAndSwap(last, s.clock) {
		for i := range m.shards {
			if o := &m.shards[i]; o != s && o.mu.TryLock() {
				o.tell(s.clock)
				m.sweepShard(o)
				o.mu.Unlock()
			}
		}
		if m.fits(n) {
			return true
		}
	}
	m.refused.Add(1)
	return false
}

// fits adds n bytes to the account unless that exceeds the bound.
func (m *Memory) fits(n int64) bool {
	if m.bytes.Add(n) <= m.max {
		return true
	}
	m.bytes.Add(-n)
	return false
}

// sweepShard forgets all expired counters of a locked shard.
func (m *Memory) sweepShard(s *shard) int {
	n := 0
	for i := len(s.queues) - 1; i >= 0; i-- { // a queue that runs empty is replaced by the last one
		n += m.drop(s, s.queues[i], len(s.table)+1)
	}
	return n
}

// drop forgets up to most expired counters of one queue.
func (m *Memory) drop(s *shard, q *queue, most int) int {
	n := 0
	for q != nil && n < most && q.oldest != nil && s.clock-q.oldest.queued >= q.window+q.slack()+grace {
		e := q.oldest
		q.unlink(e)
		s.delete(e)
		m.bytes.Add(-e.bytes - int64(e.log.slots)*tickBytes)
		m.keys.Add(-1)
		n++
	}
	if n > 0 {
		s.retire(q)
	}
	return n
}
