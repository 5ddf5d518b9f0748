package usage

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// meterInterval is how often a Meter stores, meterBatch how many rows at most: five
	// hundred rows a second cost the store little, however many keys are in use.
	meterInterval = 2 * time.Second
	meterBatch    = 1000
	// busyInterval is how often a key is stored that is in use without a pause: its row
	// would be the same page again, each time.
	busyInterval = 30 * time.Second
	meterShards  = 64
	// maxCounters bounds the keys that are counted at a time, in each shard.
	maxCounters = maxPending / meterShards
	// idleAfter is when a key's counter is forgotten.
	idleAfter = 10 * time.Minute
	// placeInterval is how often the place of the last use is written to a key's record.
	placeInterval = 5 * time.Minute
	// maxAspects bounds what is remembered of one key within an hour.
	maxAspects = 2000
)

// MeterWriter stores a batch of usage.
type MeterWriter func(ctx context.Context, batch []keystile.KeyUsage) error

// Meter counts the use of API keys. It implements the gate's Observer and is safe
// for concurrent use.
type Meter struct {
	write   MeterWriter
	log     *slog.Logger
	seed    maphash.Seed
	shards  [meterShards]meterShard
	next    int // the shard that the next batch begins with; Run's own
	dropped atomic.Int64
}

type meterShard struct {
	mu   sync.Mutex
	keys map[string]*counter
}

// counter is one key's use that is not stored yet.
type counter struct {
	hour             int64 // hours since 1970
	allowed, refused int64
	lastAt           time.Time
	addr             netip.Addr
	route            *keystile.Route
	// past are hours that ended before they were stored.
	past []keystile.KeyUsage
	// lastRoute and lastSite are what was noted last: most requests use the same.
	lastRoute *keystile.Route
	lastSite  string
	seen      seenAspects
	fresh     []keystile.KeyAspect
	// stored is when the counter was last stored, placed when its place was.
	stored, placed time.Time
}

// NewMeter makes a Meter. Run stores what it counts with write.
func NewMeter(write MeterWriter, logger *slog.Logger) *Meter {
	return &Meter{write: write, log: logger, seed: maphash.MakeSeed()}
}

// Observe implements the gate's Observer.
func (m *Meter) Observe(r *keystile.Request, d keystile.Decision, now time.Time, _ time.Duration) {
	p := d.Principal
	if p == nil || p.Kind != keystile.KindAPIKey {
		return
	}
	shard := &m.shards[maphash.String(m.seed, p.CredentialID)%meterShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	c := shard.keys[p.CredentialID]
	if c == nil {
		if len(shard.keys) >= maxCounters {
			m.dropped.Add(1)
			return
		}
		if shard.keys == nil {
			shard.keys = map[string]*counter{}
		}
		c = &counter{}
		shard.keys[p.CredentialID] = c
	}
	if hour := now.Unix() / 3600; hour != c.hour {
		c.turn(p.CredentialID, hour)
	}
	c.lastAt, c.addr, c.route = now, r.ClientAddr, d.Route
	if !d.Allowed {
		c.refused++
		return
	}
	c.allowed++
	// What was only let through (observe) shows nothing of what the key needs.
	if !d.Observed && (d.Route != c.lastRoute || d.Resource.ID != c.lastSite) {
		c.note(&d, now)
	}
}

// turn begins an hour. Requests that come out of order at its turn count for
// either hour.
func (c *counter) turn(keyID string, hour int64) {
	if c.dirty() {
		c.past = append(c.past, c.row(keyID))
		c.allowed, c.refused, c.fresh = 0, 0, nil
	}
	c.hour, c.lastRoute, c.lastSite, c.seen = hour, nil, "", seenAspects{}
}

// note remembers what an allowed request used.
func (c *counter) note(d *keystile.Decision, now time.Time) {
	c.lastRoute, c.lastSite = d.Route, strings.Clone(d.Resource.ID) // not part of the request, which goes
	if d.Resource.Type == keystile.ResourceSite {
		c.use(keystile.AspectSite, c.lastSite, now)
	}
	if d.Route == nil {
		return
	}
	c.use(keystile.AspectRoute, d.Route.ID, now)
	for _, scope := range d.Route.Scopes {
		c.use(keystile.AspectScope, string(scope), now)
	}
}

func (c *counter) use(aspect keystile.Aspect, name string, now time.Time) {
	if c.seen.add(aspect, name) {
		c.fresh = append(c.fresh, keystile.KeyAspect{Aspect: aspect, Name: name, FirstAt: now, LastAt: now})
	}
}

func (c *counter) dirty() bool { return c.allowed+c.refused > 0 }

// due says whether it is time to store what there is: at once when the key is used
// for the first time in a while or has come to rest, else now and then.
func (c *counter) due(now time.Time) bool {
	if len(c.past) > 0 || now.Sub(c.lastAt) >= meterInterval {
		return true
	}
	waited := now.Sub(c.stored)
	return waited >= busyInterval || waited < 0 // a clock that was set back
}

// row is the counter as it is stored.
func (c *counter) row(keyID string) keystile.KeyUsage {
	u := keystile.KeyUsage{
		KeyID: keyID, Hour: time.Unix(c.hour*3600, 0).UTC(), Allowed: c.allowed, Refused: c.refused, LastAt: c.lastAt, Aspects: c.fresh,
	}
	if c.addr.IsValid() {
		u.LastAddr = c.addr.Unmap().String()
	}
	if c.route != nil {
		u.LastRoute = c.route.ID
	}
	return u
}

// take appends what is not stored yet and forgets it.
func (c *counter) take(keyID string, batch []keystile.KeyUsage, now time.Time) []keystile.KeyUsage {
	batch = append(batch, c.past...)
	c.past, c.stored = nil, now
	if !c.dirty() {
		return batch
	}
	u := c.row(keyID)
	if c.lastAt.Sub(c.placed) >= placeInterval {
		u.Place, c.placed = true, c.lastAt
	}
	c.allowed, c.refused, c.fresh = 0, 0, nil
	return append(batch, u)
}

// seenAspects are the names that were noted within the hour: a short list, a map
// once it is long.
type seenAspects struct {
	list []aspectName
	set  map[aspectName]struct{}
}

type aspectName struct {
	aspect keystile.Aspect
	name   string
}

const longList = 12

// add says whether the name is new and there was room for it.
func (s *seenAspects) add(aspect keystile.Aspect, name string) bool {
	one := aspectName{aspect, name}
	if s.set != nil {
		if _, seen := s.set[one]; seen || len(s.set) >= maxAspects {
			return false
		}
		s.set[one] = struct{}{}
		return true
	}
	for _, seen := range s.list {
		if seen == one {
			return false
		}
	}
	s.list = append(s.list, one)
	if len(s.list) > longList {
		s.set = make(map[aspectName]struct{}, 2*longList)
		for _, seen := range s.list {
			s.set[seen] = struct{}{}
		}
		s.list = nil
	}
	return true
}

// Dropped counts requests that were not counted, or whose count was not stored.
func (m *Meter) Dropped() int64 { return m.dropped.Load() }

// Run stores until ctx ends, then stores what is left and returns.
func (m *Meter) Run(ctx context.Context) {
	ticker := time.NewTicker(meterInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			m.flush(now, (*counter).due)
		case <-ctx.Done():
			for m.flush(time.Now(), always) >= meterBatch {
				continue
			}
			return
		}
	}
}

func always(*counter, time.Time) bool { return true }

// flush stores a bounded batch of those that are due, and returns how many rows that
// were. Keys that are left wait for the next one, which begins where this ended.
func (m *Meter) flush(now time.Time, due func(*counter, time.Time) bool) int {
	var batch []keystile.KeyUsage
	for range meterShards {
		if len(batch) >= meterBatch {
			break
		}
		batch = m.shards[m.next].collect(batch, now, due)
		m.next = (m.next + 1) % meterShards
	}
	if len(batch) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := m.write(ctx, batch); err != nil {
		for i := range batch {
			m.dropped.Add(batch[i].Allowed + batch[i].Refused)
		}
		m.log.Error("the usage of API keys could not be recorded", "rows", len(batch), "error", err)
	}
	return len(batch)
}

// collect takes what is due in a shard, and forgets keys that are idle.
func (s *meterShard) collect(batch []keystile.KeyUsage, now time.Time, due func(*counter, time.Time) bool) []keystile.KeyUsage {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.keys {
		if len(batch) >= meterBatch {
			return batch
		}
		if due(c, now) {
			batch = c.take(id, batch, now)
		}
		if now.Sub(c.lastAt) > idleAfter {
			delete(s.keys, id)
		}
	}
	return batch
}
