package audit

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// The rule of the package comment, in numbers.
const (
	allowSample      = 100 // one allowed request in so many
	allowedASecond   = 200 // of the sample, for the whole server
	refusalsASecond  = 100 // for each organisation
	queueLength      = 8192
	batchLength      = 512
	flushInterval    = time.Second
	writeTimeout     = 10 * time.Second
	maxTextLength    = 512
	seenShards       = 64
	maxSeenPerShard  = 2048
	maxOrganizations = 4096
)

// Writer stores a batch of records.
type Writer func(ctx context.Context, records []keystile.DecisionRecord) error

// Options configure a Recorder.
type Options struct {
	Write  Writer
	Logger *slog.Logger
}

// Recorder records decisions. It is safe for concurrent use.
type Recorder struct {
	write   Writer
	log     *slog.Logger
	queue   chan keystile.DecisionRecord
	seed    maphash.Seed
	seen    [seenShards]seenShard
	refused refusalCounter
	sampled secondCounter
	dropped atomic.Int64
	written atomic.Int64
	done    chan struct{}
}

// NewRecorder makes a Recorder. Run writes what it records.
func NewRecorder(o Options) *Recorder {
	return &Recorder{
		write: o.Write, log: o.Logger, done: make(chan struct{}), seed: maphash.MakeSeed(),
		queue: make(chan keystile.DecisionRecord, queueLength),
	}
}

// Observe implements the gate's Observer: it applies the rule and queues the record.
func (r *Recorder) Observe(req *keystile.Request, d keystile.Decision, now time.Time, _ time.Duration) {
	var organization, credentialID string
	var kind keystile.KindName
	if d.Principal != nil {
		organization, credentialID, kind = d.Principal.OrganizationID, d.Principal.CredentialID, d.Principal.Kind
	}
	if !r.wanted(&d, organization, credentialID, now) {
		return
	}
	record := keystile.DecisionRecord{
		At: now, RequestID: req.ID, OrganizationID: organization, Kind: kind, CredentialID: credentialID,
		Point: req.Point, Method: clip(req.Method), Path: clip(req.Path), ClientAddr: req.ClientAddr.String(),
		Allowed: d.Allowed, Observed: d.Observed, Reason: d.Reason, Cause: clip(d.Cause),
	}
	if d.Route != nil {
		record.RouteID = d.Route.ID
	}
	select {
	case r.queue <- record:
	default:
		r.dropped.Add(1)
	}
}

func (r *Recorder) wanted(d *keystile.Decision, organization, credentialID string, now time.Time) bool {
	if r.firstThisMinute(credentialID, d.Reason, now) {
		return true
	}
	if d.Reason == keystile.ReasonNone {
		return rand.IntN(allowSample) == 0 && r.sampled.take(now) //nolint:gosec // a sample needs no secret randomness
	}
	if r.refused.take(organization, now) {
		return true
	}
	r.dropped.Add(1)
	return false
}

// clip bounds text that came from a caller.
func clip(s string) string {
	if len(s) > maxTextLength {
		return s[:maxTextLength]
	}
	return s
}

// seenShard holds the (credential, reason) pairs of the current minute, as 64-bit
// hashes under a seed nobody knows: a hundred thousand credentials in use then
// cost the collector nothing to look at. Of two pairs with one hash, less likely
// in a whole year than not, the second counts as seen and is left to the sample.
type seenShard struct {
	mu     sync.Mutex
	minute int64
	pairs  map[uint64]struct{}
}

func (r *Recorder) firstThisMinute(credentialID string, reason keystile.Reason, now time.Time) bool {
	pair := maphash.String(r.seed, credentialID) ^ bits.RotateLeft64(maphash.String(r.seed, string(reason)), 1)
	index := pair % seenShards
	shard := &r.seen[index]
	// Each shard's minute begins in a second of its own, lest all credentials in use have
	// their first record at once and the queue overflow.
	minute := (now.Unix() + int64(index)) / 60
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.minute != minute {
		shard.minute = minute
		clear(shard.pairs)
	}
	if _, ok := shard.pairs[pair]; ok {
		return false
	}
	if len(shard.pairs) >= maxSeenPerShard {
		return false // the sample still applies
	}
	if shard.pairs == nil {
		shard.pairs = map[uint64]struct{}{}
	}
	shard.pairs[pair] = struct{}{}
	return true
}

// refusalCounter allows a number of refusals for each organisation and second.
type refusalCounter struct {
	mu     sync.Mutex
	second int64
	counts map[string]int
}

func (c *refusalCounter) take(organization string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if second := now.Unix(); c.second != second || c.counts == nil {
		c.second, c.counts = second, map[string]int{}
	}
	n := c.counts[organization]
	if n >= refusalsASecond || n == 0 && len(c.counts) >= maxOrganizations {
		return false
	}
	c.counts[organization] = n + 1
	return true
}

// secondCounter allows a number of samples in each second. Two goroutines at the
// turn of a second may each begin it: the bound is soft by a few.
type secondCounter struct{ second, count atomic.Int64 }

func (c *secondCounter) take(now time.Time) bool {
	if second := now.Unix(); c.second.Load() != second {
		c.second.Store(second)
		c.count.Store(0)
	}
	return c.count.Add(1) <= allowedASecond
}

// Dropped counts records that the rule or a full queue left out.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Written counts records that were stored.
func (r *Recorder) Written() int64 { return r.written.Load() }

// Run stores records until ctx ends, then stores what is queued and returns.
func (r *Recorder) Run(ctx context.Context) {
	defer close(r.done)
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	batch := make([]keystile.DecisionRecord, 0, batchLength)
	flush := func() {
		if len(batch) > 0 {
			r.store(batch)
			batch = batch[:0]
		}
	}
	for {
		select {
		case record := <-r.queue:
			if batch = append(batch, record); len(batch) == batchLength {
				flush()
			}
		case <-ticker.C:
			flush()
		case <-ctx.Done():
			for len(r.queue) > 0 {
				if batch = append(batch, <-r.queue); len(batch) == batchLength {
					flush()
				}
			}
			flush()
			return
		}
	}
}

// store writes one batch. It has its own time: the batch that ends a drain is
// written although the context that ends it is done.
func (r *Recorder) store(batch []keystile.DecisionRecord) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := r.write(ctx, batch); err != nil {
		r.dropped.Add(int64(len(batch)))
		r.log.Error("decisions could not be recorded", "records", len(batch), "error", err)
		return
	}
	r.written.Add(int64(len(batch)))
}

// Done is closed when Run has returned.
func (r *Recorder) Done() <-chan struct{} { return r.done }
