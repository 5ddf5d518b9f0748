package warm

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	keystile "keystile.dev/keystile"
)

// Entry is one verified credential. All but the time of its last report is immutable.
type Entry struct {
	Principal *keystile.Principal
	// NotAfter is when the credential ends, in nanoseconds since 1970; 0 is never.
	NotAfter int64
	// Detail is what the kind needs to prove the credential, such as a public key.
	Detail any
	// Rehash asks the last-used batch to move the secret to the current pepper.
	Rehash *Rehash

	reported atomic.Int64
}

// ReportDue says, at most once in every interval, that a use of the credential
// should be recorded. It keeps the record of last uses off the hot path.
func (e *Entry) ReportDue(now time.Time, every time.Duration) bool {
	last, nano := e.reported.Load(), now.UnixNano()
	return nano-last >= int64(every) && e.reported.CompareAndSwap(last, nano)
}

// Rehash moves a stored digest from a retired pepper to the current one.
type Rehash struct {
	Old, New [32]byte
	PepperID string
}

// Digest is SHA-256 of a credential's text.
type Digest = [32]byte

// Result is what a look-up found for one digest: an entry, or a refusal.
type Result struct {
	Entry     *Entry
	Rejection *keystile.Rejection
}

// Lookup reads the store for several digests at once. It returns one result
// a digest, in order; an error means that nothing can be said about any of them.
type Lookup func(ctx context.Context, digests []Digest) ([]Result, error)

// Options configure a Cache. Zero numbers take the defaults.
type Options struct {
	Lookup Lookup
	// Fresh says whether the feed still hears of changes (its grace period included).
	Fresh func(now time.Time) bool
	Now   func() time.Time
	// MaxEntries bounds the remembered credentials (default 262 144, about 150 MB
	// when full of distinct principals).
	MaxEntries int
	// MaxRejections bounds the remembered refusals (default 65 536, about 12 MB).
	MaxRejections int
	// Workers is how many batches may be at the store at once (default 2).
	Workers int
	// BatchSize is how many digests one batch asks for (default 64).
	BatchSize int
}

// negativeLife is how long a refusal is remembered: a key made by another
// process is good no later than this.
const negativeLife = time.Second

// touchedShards is how many groups of ids share one "last change" mark. Two ids
// in one group cost a needless second read, never a missed change.
const touchedShards = 4096

// Cache holds verified credentials by digest. It is safe for concurrent use.
type Cache struct {
	entries  *otter.Cache[Digest, *Entry]
	rejected *otter.Cache[Digest, *refusal]
	queue    *queue
	fresh    func(time.Time) bool
	now      func() time.Time

	seed     maphash.Seed
	sequence atomic.Int64 // counts changes
	negGen   atomic.Int64 // counts changes that may turn a no into a yes
	flushed  atomic.Int64 // sequence of the last change to everything
	touched  [touchedShards]atomic.Int64
	byID     *idIndex
}

type refusal struct {
	rejection *keystile.Rejection
	until     int64
	gen       int64
}

// counts says whether the refusal is still remembered. A clock that was set
// back must not prolong it: nothing refused lies further ahead than its life.
func (r *refusal) counts(now int64) bool {
	return now < r.until && r.until-now <= int64(negativeLife)
}

// New makes a Cache.
func New(o Options) (*Cache, error) {
	if o.Lookup == nil || o.Fresh == nil || o.Now == nil {
		return nil, fmt.Errorf("warm cache: Lookup, Fresh and Now are required")
	}
	c := &Cache{fresh: o.Fresh, now: o.Now, seed: maphash.MakeSeed(), byID: newIDIndex()}
	var err error
	c.entries, err = otter.New(&otter.Options[Digest, *Entry]{
		MaximumSize: orDefault(o.MaxEntries, 262_144),
		// Runs under the lock of the entry's bucket, as remember does: the index
		// and the cache change together. Replacing is remember's own business.
		OnAtomicDeletion: func(e otter.DeletionEvent[Digest, *Entry]) {
			if e.Cause != otter.CauseReplacement {
				c.byID.remove(e.Value, e.Key)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("warm cache: %w", err)
	}
	c.rejected, err = otter.New(&otter.Options[Digest, *refusal]{MaximumSize: orDefault(o.MaxRejections, 65_536)})
	if err != nil {
		return nil, fmt.Errorf("warm cache: %w", err)
	}
	c.queue = newQueue(queueOptions{
		lookup: o.Lookup, mark: c.mark, fill: c.fill,
		workers: orDefault(o.Workers, 2), batch: orDefault(o.BatchSize, 64),
	})
	return c, nil
}

func orDefault(n, byDefault int) int {
	if n <= 0 {
		return byDefault
	}
	return n
}

// Get returns the entry of a digest if it is remembered, not ended, and the
// feed is fresh. It allocates nothing.
func (c *Cache) Get(digest Digest, now time.Time) (*Entry, bool) {
	e, ok := c.entries.GetIfPresent(digest)
	if !ok || e.NotAfter != 0 && now.UnixNano() >= e.NotAfter || !c.fresh(now) {
		return nil, false
	}
	return e, true
}

// Load returns the entry of a digest, from memory or from the store. A refusal
// is a *keystile.Rejection; any other error means "cannot tell".
func (c *Cache) Load(ctx context.Context, digest Digest, source netip.Addr) (*Entry, error) {
	now := c.now()
	if !c.fresh(now) {
		return nil, fmt.Errorf("changes have not been heard for too long: %w", keystile.ErrUnavailable)
	}
	if e, ok := c.Get(digest, now); ok {
		return e, nil
	}
	if r, ok := c.rejected.GetIfPresent(digest); ok && r.counts(now.UnixNano()) && r.gen == c.negGen.Load() {
		return nil, r.rejection
	}
	result, err := c.queue.load(ctx, digest, source)
	if err != nil {
		return nil, err
	}
	if result.Rejection != nil {
		return nil, result.Rejection
	}
	if e := result.Entry; e.NotAfter != 0 && now.UnixNano() >= e.NotAfter {
		return nil, keystile.Reject(keystile.ReasonCredentialExpired, "the credential ended")
	}
	return result.Entry, nil
}

// mark is what the cache knew when a batch began.
type mark struct{ sequence, negGen int64 }

func (c *Cache) mark() mark { return mark{c.sequence.Load(), c.negGen.Load()} }

// fill puts the results of one batch into memory unless a newer change came.
func (c *Cache) fill(digests []Digest, results []Result, before mark) {
	until := c.now().Add(negativeLife).UnixNano()
	for i, digest := range digests {
		result := results[i]
		if result.Rejection != nil {
			c.rejected.Set(digest, &refusal{rejection: result.Rejection, until: until, gen: before.negGen})
			continue
		}
		c.remember(digest, result.Entry, before.sequence)
	}
}

// remember puts an entry in place unless a change to it came after the store
// was read. It runs under the lock of the entry's bucket, and the order within
// is what makes it safe: the index first, so that a change from now on finds
// the entry and waits for the lock to drop it; then the question whether a
// change came before; and only then the entry itself, so that no request ever
// sees one that must go.
func (c *Cache) remember(digest Digest, entry *Entry, readAt int64) {
	c.entries.Compute(digest, func(old *Entry, found bool) (*Entry, otter.ComputeOp) {
		if found {
			c.byID.remove(old, digest)
		}
		c.byID.add(entry, digest)
		if !c.changedSince(entry.Principal, readAt) {
			return entry, otter.WriteOp
		}
		c.byID.remove(entry, digest)
		if found {
			return nil, otter.InvalidateOp
		}
		return nil, otter.CancelOp
	})
}

func (c *Cache) changedSince(p *keystile.Principal, sequence int64) bool {
	return c.flushed.Load() > sequence ||
		c.touched[c.shard(p.CredentialID)].Load() > sequence ||
		c.touched[c.shard(p.OrganizationID)].Load() > sequence
}

func (c *Cache) shard(id string) uint64 { return maphash.String(c.seed, id) % touchedShards }

// Apply drops what a change made stale. When it returns, no request that begins
// afterwards is served from before the change.
func (c *Cache) Apply(change keystile.Change) {
	sequence := c.sequence.Add(1)
	switch change.Kind {
	case keystile.ChangeKey, keystile.ChangeSigningKey:
		c.negGen.Add(1)
		c.touched[c.shard(change.ID)].Store(sequence)
		c.drop(c.byID.ofCredential(change.ID))
	case keystile.ChangeOrganization:
		c.negGen.Add(1)
		c.touched[c.shard(change.ID)].Store(sequence)
		c.drop(c.byID.ofOrganization(change.ID))
	case keystile.ChangeAll:
		c.negGen.Add(1)
		c.flushed.Store(sequence)
		c.entries.InvalidateAll()
	case keystile.ChangeAdminToken, keystile.ChangeReload:
	}
}

func (c *Cache) drop(digests []Digest) {
	for _, digest := range digests {
		c.entries.Invalidate(digest)
	}
}

// Len is how many credentials are remembered, roughly.
func (c *Cache) Len() int { return c.entries.EstimatedSize() }

// Close ends the background work. Look-ups that wait are refused.
func (c *Cache) Close() { c.queue.close() }
