package apikey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

// Record is what the store knows of one secret.
type Record struct {
	Key          keystile.APIKey
	Secret       keystile.APIKeySecret
	Organization keystile.Organization
	// Owner is the user whose personal key it is; nil: nobody's.
	Owner *Owner
}

// Owner is the user that a personal key belongs to. The key may do what they may.
type Owner struct {
	User keystile.User
	// Role is the user's; the zero Role grants nothing.
	Role keystile.Role
	// SiteIDs are those the user may read.
	SiteIDs []string
}

// Find reads the record of the secret that has one of the digests, which are
// those of one key under each live pepper. None is keystile.ErrNotFound.
type Find func(ctx context.Context, digests [][32]byte) (Record, error)

// Digester makes stored digests of SHA-256 sums: HMAC-SHA-256(pepper, sum).
type Digester interface {
	// Digest is made with the current pepper.
	Digest(sum [32]byte) (digest [32]byte, pepperID string)
	// Candidates appends the digests under every live pepper, current first.
	Candidates(sum [32]byte, buf [][32]byte) [][32]byte
}

// Use is one use of a key, for the last-used batch.
type Use struct {
	KeyID  string
	At     time.Time
	Rehash *warm.Rehash
}

// useInterval is how often the use of one key is recorded: its last-used time
// lags by at most this much.
const useInterval = 5 * time.Minute

// Kind proves API keys. It is safe for concurrent use.
type Kind struct {
	cache    *warm.Cache
	find     Find
	digester Digester
	now      func() time.Time
	used     func(Use)
	adopt    Adopt
}

// Adopt takes over an unknown key that another system hashed, and says whether it
// did: then its digest is known. An error means "cannot tell". source is whom
// failures are counted by.
type Adopt func(ctx context.Context, key keystile.Secret, source netip.Addr) (bool, error)

// Options configure a Kind.
type Options struct {
	Find     Find
	Digester Digester
	// Fresh says whether changes are still heard of.
	Fresh func(time.Time) bool
	Now   func() time.Time
	// Used is told that a key was used, at most once in five minutes a key; it must not block.
	Used func(Use)
	// Adopt is asked about keys that are unknown; nil: there are none to adopt.
	Adopt Adopt
	// MaxEntries and MaxRejections bound what is remembered, Lookups and LookupBatch
	// what may be asked of the store at once; 0 is the default of package warm.
	MaxEntries, MaxRejections, Lookups, LookupBatch int
}

// New makes the kind.
func New(o Options) (*Kind, error) {
	k := &Kind{find: o.Find, digester: o.Digester, now: o.Now, used: o.Used, adopt: o.Adopt}
	cache, err := warm.New(warm.Options{
		Lookup: k.lookup, Credential: keystile.ChangeKey, Fresh: o.Fresh, Now: o.Now,
		MaxEntries: o.MaxEntries, MaxRejections: o.MaxRejections, Workers: o.Lookups, BatchSize: o.LookupBatch,
	})
	if err != nil {
		return nil, fmt.Errorf("api keys: %w", err)
	}
	k.cache = cache
	return k, nil
}

// Name implements keystile.Kind.
func (k *Kind) Name() keystile.KindName { return keystile.KindAPIKey }

// Parse implements keystile.Kind: any visible text up to 512 bytes may be a key.
func (k *Kind) Parse(r *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	if len(f.Value) > MaxImport {
		return keystile.Presented{}, fmt.Errorf("an API key has at most %d characters: %w", MaxImport, keystile.ErrMalformed)
	}
	return keystile.Presented{Kind: keystile.KindAPIKey, Digest: Sum(f.Value), Value: f.Value, Source: sourceOf(r.ClientAddr)}, nil
}

// sourceOf is the address that failures are counted by: IPv6 callers own a whole /64.
func sourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// Verify implements keystile.Kind. A warm key costs one cache look-up.
func (k *Kind) Verify(ctx context.Context, p keystile.Presented) (*keystile.Principal, error) {
	now := p.At
	if now.IsZero() {
		now = k.now()
	}
	entry, ok := k.cache.Get(p.Digest, now)
	if !ok {
		var err error
		if entry, err = k.load(ctx, p); err != nil {
			return nil, explainShape(err, p.Value)
		}
	}
	if k.used != nil && entry.ReportDue(now, useInterval) {
		k.used(Use{KeyID: entry.Principal.CredentialID, At: now, Rehash: entry.Rehash})
	}
	return entry.Principal, nil
}

// load reads a key from the store, one that another system hashed too.
func (k *Kind) load(ctx context.Context, p keystile.Presented) (*warm.Entry, error) {
	entry, err := k.cache.Load(ctx, p.Digest, p.Source)
	if k.adopt == nil || !isUnknown(err) {
		return entry, err
	}
	adopted, failed := k.adopt(ctx, p.Value, p.Source)
	switch {
	case failed != nil:
		return nil, fmt.Errorf("take over a key: %w", failed)
	case !adopted:
		return nil, err
	}
	return k.cache.Load(ctx, p.Digest, p.Source)
}

func isUnknown(err error) bool {
	r, ok := err.(*keystile.Rejection) //nolint:errorlint // a rejection is never wrapped
	return ok && r.Reason == keystile.ReasonCredentialUnknown
}

// Apply drops what a change made stale.
func (k *Kind) Apply(change keystile.Change) { k.cache.Apply(change) }

// Warm is how many keys are remembered.
func (k *Kind) Warm() int { return k.cache.Len() }

// Close ends background work.
func (k *Kind) Close() { k.cache.Close() }

// explainShape adds to "unknown" that the key was mistyped, where its checksum tells.
func explainShape(err error, value keystile.Secret) error {
	r, ok := err.(*keystile.Rejection) //nolint:errorlint // a rejection is never wrapped; anything else is passed on as it is
	if ok && r.Reason == keystile.ReasonCredentialUnknown && ShapeOf(value.Reveal()) == ShapeBadChecksum {
		return keystile.Reject(r.Reason, "no such key, and its checksum does not match: it was mistyped or cut")
	}
	return err
}

// lookup answers a batch of SHA-256 sums from the store, one after the other:
// a batch bounds what unknown keys may ask of the store at once.
func (k *Kind) lookup(ctx context.Context, sums []warm.Digest) ([]warm.Result, error) {
	results := make([]warm.Result, len(sums))
	candidates := make([][32]byte, 0, 3)
	for i, sum := range sums {
		candidates = k.digester.Candidates(sum, candidates[:0])
		record, err := k.find(ctx, candidates)
		switch {
		case errors.Is(err, keystile.ErrNotFound):
			results[i].Rejection = unknownKey
		case err != nil:
			return nil, fmt.Errorf("read an API key: %w", err)
		default:
			results[i] = k.judge(record, sum, k.now())
		}
	}
	return results, nil
}

// unknownKey is made once: a flood of unknown keys must cost little.
var unknownKey = keystile.Reject(keystile.ReasonCredentialUnknown, "no such key")

// judge turns a record into an entry, or says why the key is not good.
//
//nolint:gocyclo // a list of checks, one after the other
func (k *Kind) judge(record Record, sum [32]byte, now time.Time) warm.Result {
	refuse := func(reason keystile.Reason, cause string) warm.Result {
		return warm.Result{Rejection: keystile.Reject(reason, cause)}
	}
	key := &record.Key
	switch {
	case !key.RevokedAt.IsZero():
		return refuse(keystile.ReasonCredentialRevoked, "key "+key.ID+" was revoked")
	case record.Organization.Disabled:
		return refuse(keystile.ReasonCredentialRevoked, "organisation "+key.OrganizationID+" is disabled")
	case record.Owner != nil && record.Owner.User.Disabled:
		return refuse(keystile.ReasonCredentialRevoked, "user "+record.Owner.User.ID+" is disabled")
	case (record.Owner != nil) != (key.UserID != ""):
		return refuse(keystile.ReasonCredentialUnknown, "the owner of key "+key.ID+" is gone")
	case ended(key.ExpiresAt, now):
		return refuse(keystile.ReasonCredentialExpired, "key "+key.ID+" expired")
	case ended(record.Secret.ExpiresAt, now):
		return refuse(keystile.ReasonCredentialRevoked, "this secret of key "+key.ID+" was rotated out")
	}
	until := earliest(key.ExpiresAt, record.Secret.ExpiresAt)
	entry := &warm.Entry{Principal: principalOf(key, record.Organization.TenantID, until)}
	if record.Owner != nil {
		record.Owner.lend(entry)
	}
	if !record.Secret.LeakedAt.IsZero() && record.Organization.Leak.Response == keystile.LeakThrottle {
		throttle(entry.Principal)
	}
	if !until.IsZero() {
		entry.NotAfter = until.UnixNano()
	}
	if digest, pepperID := k.digester.Digest(sum); pepperID != record.Secret.PepperID {
		entry.Rehash = &warm.Rehash{Old: record.Secret.Digest, New: digest, PepperID: pepperID}
	}
	return warm.Result{Entry: entry}
}

// subjectPrefix makes a key's subject of its id.
const subjectPrefix = "key:"

func principalOf(key *keystile.APIKey, tenantID string, until time.Time) *keystile.Principal {
	subject := subjectPrefix + key.ID
	return &keystile.Principal{
		Subject:        subject,
		OrganizationID: key.OrganizationID,
		TenantID:       tenantID,
		Environment:    key.Environment,
		Kind:           keystile.KindAPIKey,
		CredentialID:   subject[len(subjectPrefix):], // one text: a warm key is read in one place
		Scopes:         key.Scopes,
		SiteIDs:        key.PermittedSiteIDs,
		AllowedIPs:     key.AllowedIPs,
		Limit:          key.Limit,
		ExpiresAt:      until,
	}
}

// lend gives a personal key its owner's name and rights, and makes it hang on them.
func (o *Owner) lend(entry *warm.Entry) {
	p, u := entry.Principal, &o.User
	p.Subject = "user:" + u.ID
	p.UserID, p.Username, p.Role, p.GroupID, p.CustomerIDs = u.ID, u.Username, u.RoleID, u.GroupID, u.CustomerIDs
	p.Scopes, p.SiteIDs = o.Role.Scopes, o.SiteIDs
	entry.Also = []warm.Subject{{Kind: keystile.ChangeUser, ID: u.ID}, {Kind: keystile.ChangeRole, ID: u.RoleID}}
}

// throttle holds a leaked secret to keystile.LeakRate, unless it may do less
// already. Other secrets of the key have a principal, and a counter, of their own.
func throttle(p *keystile.Principal) {
	if p.Limit == nil || rateOf(p.Limit) > rateOf(&keystile.LeakRate) {
		limit := keystile.LeakRate
		p.Limit = &limit
	}
}

// rateOf is a limit in requests a second.
func rateOf(r *keystile.Rate) float64 { return float64(r.Requests) / r.Window.Seconds() }

// ended says whether an end has come: a key is dead at its expiry, not after it.
func ended(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
