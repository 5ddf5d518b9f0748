package warm

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	keystile "keystile.dev/keystile"
)

// Entry is one verified credential. All but the time of its last report is
// immutable once a Lookup has returned it.
type Entry struct {
	// Principal is the entry's own: remembering it replaces texts and lists by
	// equal ones that principals share.
	Principal *keystile.Principal
	// Also are the things it hangs on besides its credential and its
	// organisation, such as a user or a session: at most six.
	Also []Subject
	// NotAfter is when the credential ends, in nanoseconds since 1970; 0 is never.
	NotAfter int64
	// Detail is what the kind needs to prove the credential, such as a public key.
	Detail any
	// Rehash asks the last-used batch to move the secret to the current pepper.
	Rehash *Rehash

	origin   origin
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
// a digest, in order, each with an entry of its own; an error means that nothing
// can be said about any of them.
type Lookup func(ctx context.Context, digests []Digest) ([]Result, error)

// Options configure a Cache. Zero numbers take the defaults.
type Options struct {
	Lookup Lookup
	// Credential is the kind of change that names a Principal.CredentialID.
	Credential keystile.ChangeKind
	// Fresh says whether the feed still hears of changes (its grace period included).
	Fresh func(now time.Time) bool
	Now   func() time.Time
	// MaxEntries bounds the remembered credentials (default 262 144, about 150 MB
	// when full).
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

// Cache holds verified credentials by digest. It is safe for concurrent use.
type Cache struct {
	entries    *otter.Cache[Digest, *Entry]
	rejected   *otter.Cache[Digest, *refusal]
	queue      *queue
	fresh      func(time.Time) bool
	now        func() time.Time
	credential keystile.ChangeKind

	sequence atomic.Int64 // counts changes
	marks    *marks
	sharing  sharing
}

type refusal struct {
	rejection *keystile.Rejection
	until     int64
	readAt    int64
}

// counts says whether the refusal is still remembered: any change may have
// turned it into a yes. A clock that was set back must not prolong it: nothing
// refused lies further ahead than its life.
func (r *refusal) counts(now, sequence int64) bool {
	return now < r.until && r.until-now <= int64(negativeLife) && r.readAt == sequence
}

// New makes a Cache.
func New(o Options) (*Cache, error) {
	if o.Lookup == nil || o.Credential == "" || o.Fresh == nil || o.Now == nil {
		return nil, fmt.Errorf("warm cache: Lookup, Credential, Fresh and Now are required")
	}
	c := &Cache{fresh: o.Fresh, now: o.Now, credential: o.Credential, marks: newMarks()}
	var err error
	c.entries, err = otter.New(&otter.Options[Digest, *Entry]{MaximumSize: orDefault(o.MaxEntries, 262_144)})
	if err != nil {
		return nil, fmt.Errorf("warm cache: %w", err)
	}
	c.rejected, err = otter.New(&otter.Options[Digest, *refusal]{MaximumSize: orDefault(o.MaxRejections, 65_536)})
	if err != nil {
		return nil, fmt.Errorf("warm cache: %w", err)
	}
	c.queue = newQueue(queueOptions{
		lookup: o.Lookup, sequence: c.sequence.Load, fill: c.fill,
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

// Get returns the entry of a digest if it is remembered, nothing it hangs on
// changed since it was read, it has not ended, and the feed is fresh. It
// allocates nothing.
func (c *Cache) Get(digest Digest, now time.Time) (*Entry, bool) {
	e, ok := c.entries.GetIfPresent(digest)
	if !ok || c.marks.stale(&e.origin) || e.NotAfter != 0 && now.UnixNano() >= e.NotAfter || !c.fresh(now) {
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
	if r, ok := c.rejected.GetIfPresent(digest); ok && r.counts(now.UnixNano(), c.sequence.Load()) {
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

// fill puts the results of one batch into memory. What a change has overtaken
// meanwhile is put there too, and counts as absent: Get sees to that.
func (c *Cache) fill(digests []Digest, results []Result, readAt int64) {
	until := c.now().Add(negativeLife).UnixNano()
	for i, digest := range digests {
		result := results[i]
		if result.Rejection != nil {
			c.rejected.Set(digest, &refusal{rejection: result.Rejection, until: until, readAt: readAt})
			continue
		}
		c.remember(digest, result.Entry, readAt)
	}
}

// remember puts an entry in place, with what tells when it becomes stale.
func (c *Cache) remember(digest Digest, entry *Entry, readAt int64) {
	var space [maxSubjects]Subject
	subjects := append(space[:0], Subject{c.credential, entry.Principal.CredentialID},
		Subject{keystile.ChangeOrganization, entry.Principal.OrganizationID})
	subjects = append(subjects, entry.Also...)
	var ok bool
	if entry.origin, ok = c.marks.originOf(subjects, readAt); ok {
		c.sharing.principal(entry.Principal)
		c.entries.Set(digest, entry)
	}
}

// Apply makes stale what hangs on the changed thing. When it returns, no request
// that begins afterwards is served from before the change. The change must have
// been durable before: a read of the store that begins after Apply counted it
// sees it.
func (c *Cache) Apply(change keystile.Change) {
	if change.Kind == keystile.ChangeReload {
		return
	}
	sequence := c.sequence.Add(1)
	if change.Kind == keystile.ChangeAll || change.ID == "" {
		c.marks.touchAll(sequence)
		return
	}
	c.marks.touch(Subject{change.Kind, change.ID}, sequence)
}

// Len is how many credentials are remembered, roughly, stale ones included.
func (c *Cache) Len() int { return c.entries.EstimatedSize() }

// Close ends the background work. Look-ups that wait are refused.
func (c *Cache) Close() { c.queue.close() }
