package partner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

// Record is what the store knows of one temporary key and of all it hangs on, as
// it is now.
type Record struct {
	Key         keystile.TemporaryKey
	Environment keystile.Environment
	Review      keystile.ReviewState
	// Owner is the organisation that makes the application.
	Owner string
	// TenantID is the tenant's id on the wire.
	TenantID string
	// Asked are the permissions the application asks for, Granted those the tenant grants.
	Asked, Granted []keystile.Scope
	// Standing is the authorization's generation; a key of another one is dead.
	Standing               int64
	AuthorizationExpiresAt time.Time
	// Withdrawn, OwnerDisabled, TenantDisabled, UserGone: each ends the key. So does
	// KeyRevoked: the application key that it was made with was revoked.
	Withdrawn, OwnerDisabled, TenantDisabled, UserGone, KeyRevoked bool
	// SiteIDs are the tenant's sites.
	SiteIDs []string
}

// Find reads the record of the temporary key that has one of the digests, which
// are those of one key under each live pepper. None is keystile.ErrNotFound.
type Find func(ctx context.Context, digests [][32]byte) (Record, error)

// Digester makes stored digests of SHA-256 sums.
type Digester interface {
	// Candidates appends the digests under every live pepper, current first.
	Candidates(sum [32]byte, buf [][32]byte) [][32]byte
}

// Kind proves temporary keys. It is safe for concurrent use.
type Kind struct {
	cache    *warm.Cache
	find     Find
	digester Digester
	now      func() time.Time
}

// Options configure a Kind.
type Options struct {
	Find     Find
	Digester Digester
	// Fresh says whether changes are still heard of.
	Fresh func(time.Time) bool
	Now   func() time.Time
	// MaxEntries and MaxRejections bound what is remembered, Lookups and LookupBatch
	// what may be asked of the store at once; 0 is the default of package warm.
	MaxEntries, MaxRejections, Lookups, LookupBatch int
}

// New makes the kind.
func New(o Options) (*Kind, error) {
	k := &Kind{find: o.Find, digester: o.Digester, now: o.Now}
	cache, err := warm.New(warm.Options{
		Lookup: k.lookup, Credential: keystile.ChangeAuthorization, Fresh: o.Fresh, Now: o.Now,
		MaxEntries: o.MaxEntries, MaxRejections: o.MaxRejections, Workers: o.Lookups, BatchSize: o.LookupBatch,
	})
	if err != nil {
		return nil, fmt.Errorf("temporary keys: %w", err)
	}
	k.cache = cache
	return k, nil
}

// Name implements keystile.Kind.
func (k *Kind) Name() keystile.KindName { return keystile.KindPartner }

// Parse implements keystile.Kind: it takes the exact form of a partner's
// credential and nothing else.
func (k *Kind) Parse(r *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	t, _, ok := Shape(f.Value.Reveal())
	if !ok {
		return keystile.Presented{}, fmt.Errorf("not of the form of a temporary key: %w", keystile.ErrMalformed)
	}
	return keystile.Presented{Kind: keystile.KindPartner, Digest: Sum(f.Value), Value: f.Value, Detail: t, Source: sourceOf(r.ClientAddr)}, nil
}

// sourceOf is the address that look-ups are counted by: IPv6 callers own a whole /64.
func sourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// The refusals of what a partner holds beside temporary keys. Whether such a
// credential exists is not looked up: it opens nothing here.
var (
	notHere = map[Type]*keystile.Rejection{
		ApplicationKey: keystile.Reject(keystile.ReasonKindNotAccepted, "an application key is exchanged at /partner_applications and opens nothing else"),
		SessionToken:   keystile.Reject(keystile.ReasonKindNotAccepted, "a session token is exchanged at /partner_applications and opens nothing else"),
	}
	unknownKey = keystile.Reject(keystile.ReasonCredentialUnknown, "no such temporary key")
)

// Verify implements keystile.Kind. A warm key costs one cache look-up.
func (k *Kind) Verify(ctx context.Context, p keystile.Presented) (*keystile.Principal, error) {
	if t, ok := p.Detail.(Type); !ok || t != TemporaryKey {
		if r, known := notHere[t]; known {
			return nil, r
		}
		return nil, unknownKey
	}
	now := p.At
	if now.IsZero() {
		now = k.now()
	}
	entry, ok := k.cache.Get(p.Digest, now)
	if !ok {
		var err error
		if entry, err = k.cache.Load(ctx, p.Digest, p.Source); err != nil {
			return nil, err
		}
	}
	return entry.Principal, nil
}

// Apply drops what a change made stale.
func (k *Kind) Apply(change keystile.Change) { k.cache.Apply(change) }

// Warm is how many keys are remembered.
func (k *Kind) Warm() int { return k.cache.Len() }

// Close ends background work.
func (k *Kind) Close() { k.cache.Close() }

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
			return nil, fmt.Errorf("read a temporary key: %w", err)
		default:
			results[i] = judge(&record, k.now())
		}
	}
	return results, nil
}

// judge turns a record into an entry, or says why the key is not good.
//
//nolint:gocyclo // a list of checks, one after the other
func judge(r *Record, now time.Time) warm.Result {
	refuse := func(reason keystile.Reason, cause string) warm.Result {
		return warm.Result{Rejection: keystile.Reject(reason, cause)}
	}
	key := &r.Key
	switch {
	case !now.Before(key.ExpiresAt):
		return refuse(keystile.ReasonCredentialExpired, "temporary key "+key.ID+" expired")
	case r.Review == keystile.ReviewSuspended, r.Review == keystile.ReviewRetired,
		r.Environment == keystile.Production && r.Review != keystile.ReviewApproved:
		return refuse(keystile.ReasonCredentialRevoked, "application "+key.ApplicationID+" is "+string(r.Review))
	case r.OwnerDisabled:
		return refuse(keystile.ReasonCredentialRevoked, "the organisation of application "+key.ApplicationID+" is disabled")
	case r.KeyRevoked:
		return refuse(keystile.ReasonCredentialRevoked, "application key "+key.ApplicationKeyID+", which temporary key "+key.ID+" was made with, was revoked")
	case r.TenantDisabled:
		return refuse(keystile.ReasonCredentialRevoked, "tenant "+key.TenantID+" is disabled")
	case r.UserGone:
		return refuse(keystile.ReasonCredentialRevoked, "the user of temporary key "+key.ID+" may not act any more")
	case r.Withdrawn, key.Generation != r.Standing:
		return refuse(keystile.ReasonTenantNotAuthorized, "tenant "+key.TenantID+" withdrew its authorization of application "+key.ApplicationID)
	case !r.AuthorizationExpiresAt.IsZero() && !now.Before(r.AuthorizationExpiresAt):
		return refuse(keystile.ReasonTenantNotAuthorized, "the authorization of application "+key.ApplicationID+" expired")
	}
	until := key.ExpiresAt
	if end := r.AuthorizationExpiresAt; !end.IsZero() && end.Before(until) {
		until = end
	}
	return warm.Result{Entry: &warm.Entry{
		Principal: &keystile.Principal{
			Subject: "application:" + key.ApplicationID, OrganizationID: key.TenantID, TenantID: r.TenantID, Environment: r.Environment,
			Kind: keystile.KindPartner, CredentialID: key.ID, Scopes: Common(r.Asked, r.Granted), SiteIDs: r.SiteIDs,
			ExpiresAt: until, UserID: key.UserID, ApplicationID: key.ApplicationID, MakerID: r.Owner,
		},
		Also: []warm.Subject{
			{Kind: keystile.ChangeApplication, ID: key.ApplicationID},
			{Kind: keystile.ChangeAuthorization, ID: key.ApplicationID + "/" + key.TenantID},
			{Kind: keystile.ChangeOrganization, ID: r.Owner},
			{Kind: keystile.ChangeUser, ID: key.UserID},
		},
		NotAfter: until.UnixNano(),
	}}
}

// Common is what both lists allow: for "roof:*" and "roof:read" that is
// "roof:read", whichever side it stands on.
func Common(asked, granted []keystile.Scope) []keystile.Scope {
	var common []keystile.Scope
	add := func(s keystile.Scope) {
		if !slices.Contains(common, s) {
			common = append(common, s)
		}
	}
	for _, a := range asked {
		for _, g := range granted {
			switch {
			case g.Covers(a):
				add(a)
			case a.Covers(g):
				add(g)
			}
		}
	}
	return common
}
