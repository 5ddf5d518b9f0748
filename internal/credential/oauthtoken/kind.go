package oauthtoken

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/warm"
)

// Record is what the store knows of one access token and of all it hangs on, as it
// is now.
type Record struct {
	Token  keystile.OAuthToken
	Client keystile.OAuthClient
	// GrantGone: the grant was revoked or is not there, or the client that it was given to,
	// another one after an exchange, or the identity provider whose word it was given on, may
	// not work.
	GrantGone bool
	// GrantApplication is what changes of that client are told by.
	GrantApplication string
	// Grant tells how the user had signed in.
	Grant keystile.OAuthGrant
	// Review and Environment of the client's application; empty: it registered itself.
	Review      keystile.ReviewState
	Environment keystile.Environment
	// Owner is the application's organisation.
	Owner keystile.Organization
	// UserGone: there is a user, and they may not act any more.
	UserGone bool
	User     keystile.User
	// Tenant is the user's organisation.
	Tenant     keystile.Organization
	RoleScopes []keystile.Scope
	SiteIDs    []string
}

// Find reads the record of the token that has one of the digests, which are those of
// one token under each live pepper. None is keystile.ErrNotFound.
type Find func(ctx context.Context, digests [][32]byte) (Record, error)

// Digester makes stored digests of SHA-256 sums.
type Digester interface {
	// Candidates appends the digests under every live pepper, current first.
	Candidates(sum [32]byte, buf [][32]byte) [][32]byte
}

// Options configure a Kind. Find, Digester, Ledger, Fresh and Now are required.
type Options struct {
	Find     Find
	Digester Digester
	// Ledger remembers the proofs of tokens that are bound to a key.
	Ledger Ledger
	// Fresh says whether changes are still heard of.
	Fresh func(time.Time) bool
	Now   func() time.Time
	// MaxEntries and MaxRejections bound what is remembered, Lookups and LookupBatch
	// what may be asked of the store at once; 0 is the default of package warm.
	MaxEntries, MaxRejections, Lookups, LookupBatch int
}

// Kind proves access tokens. It is safe for concurrent use.
type Kind struct {
	cache    *warm.Cache
	find     Find
	digester Digester
	ledger   Ledger
	now      func() time.Time
}

// New makes the kind.
func New(o Options) (*Kind, error) {
	k := &Kind{find: o.Find, digester: o.Digester, ledger: o.Ledger, now: o.Now}
	cache, err := warm.New(warm.Options{
		Lookup: k.lookup, Credential: keystile.ChangeOAuthToken, Fresh: o.Fresh, Now: o.Now,
		MaxEntries: o.MaxEntries, MaxRejections: o.MaxRejections, Workers: o.Lookups, BatchSize: o.LookupBatch,
	})
	if err != nil {
		return nil, fmt.Errorf("access tokens: %w", err)
	}
	k.cache = cache
	return k, nil
}

// Name implements keystile.Kind.
func (k *Kind) Name() keystile.KindName { return keystile.KindOAuthToken }

// headerAuthorization is the one field that carries access tokens.
const headerAuthorization = "Authorization"

// Parse implements keystile.Kind. A token stands in Authorization after Bearer (RFC
// 6750, section 2.1), or after DPoP with a proof (RFC 9449, section 7.1), and nowhere
// else: not in a URL, a body or another field.
func (k *Kind) Parse(r *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	text := f.Value.Reveal()
	switch {
	case f.Header != headerAuthorization || f.Scheme != keystile.SchemeBearer && f.Scheme != keystile.SchemeDPoP:
		return keystile.Presented{}, malformed("it stands elsewhere than after Bearer or DPoP in Authorization")
	case len(text) > credential.MaxLength:
		return keystile.Presented{}, malformed("it is longer than 8 KiB")
	case !shaped(text):
		return keystile.Presented{}, malformed("it has not the form of one")
	}
	var space [1024]byte // most tokens fit: no copy on the heap
	p := keystile.Presented{
		Kind: keystile.KindOAuthToken, Digest: sha256.Sum256(append(space[:0], text...)), Value: f.Value, Source: sourceOf(r.ClientAddr),
	}
	switch {
	case f.Scheme == keystile.SchemeDPoP:
		s, err := shownWith(r)
		if err != nil {
			return keystile.Presented{}, err
		}
		p.Detail = s
	case r.Certificate != "":
		p.Detail = certificate(r.Certificate)
	}
	return p, nil
}

func malformed(problem string) error {
	return fmt.Errorf("an access token: %s: %w", problem, keystile.ErrMalformed)
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

// Verify implements keystile.Kind. A warm token costs one cache look-up.
func (k *Kind) Verify(ctx context.Context, p keystile.Presented) (*keystile.Principal, error) {
	entry, err := k.entry(ctx, p)
	if err != nil {
		return nil, err
	}
	facts, _ := entry.Detail.(*Facts) //nolint:errcheck // nil without facts, as there are none
	now := p.At
	if now.IsZero() {
		now = k.now()
	}
	if facts == nil {
		return nil, unknownToken
	}
	if facts.Certificate != "" && presentedWith(&p) != facts.Certificate {
		return nil, needsCertificate
	}
	if facts.Thumbprint != "" || p.Detail != nil {
		if err := checkProof(&p, facts.Thumbprint, now); err != nil {
			return nil, err
		}
	}
	return entry.Principal, nil
}

// Token is what is known of a good token, from memory where it is remembered: for
// those who answer questions about tokens. It asks for no proof. The errors are Verify's.
func (k *Kind) Token(ctx context.Context, p keystile.Presented) (*keystile.Principal, Facts, error) {
	entry, err := k.entry(ctx, p)
	if err != nil {
		return nil, Facts{}, err
	}
	facts, ok := entry.Detail.(*Facts)
	if !ok {
		return nil, Facts{}, unknownToken
	}
	return entry.Principal, *facts, nil
}

// Facts are what a token says besides its principal.
type Facts struct {
	ClientID string
	// GrantID is empty where nobody authorized it.
	GrantID string
	// Granted are the scopes that were granted, of which Principal.Scopes are those
	// that the user has, too.
	Granted  []keystile.Scope
	IssuedAt time.Time
	// Thumbprint and Certificate are of the key and of the certificate that it is bound to; empty: none.
	Thumbprint, Certificate string
	Actor                   string
	Pairwise                bool
	// ACR is the authentication context that was asked for and is met; empty: none was.
	ACR string
}

func (k *Kind) entry(ctx context.Context, p keystile.Presented) (*warm.Entry, error) {
	now := p.At
	if now.IsZero() {
		now = k.now()
	}
	if entry, ok := k.cache.Get(p.Digest, now); ok {
		return entry, nil
	}
	return k.cache.Load(ctx, p.Digest, p.Source)
}

// Apply drops what a change made stale.
func (k *Kind) Apply(change keystile.Change) { k.cache.Apply(change) }

// Warm is how many tokens are remembered.
func (k *Kind) Warm() int { return k.cache.Len() }

// Close ends background work.
func (k *Kind) Close() { k.cache.Close() }

var unknownToken = keystile.Reject(keystile.ReasonCredentialUnknown, "no such access token was issued")

func (k *Kind) lookup(ctx context.Context, sums []warm.Digest) ([]warm.Result, error) {
	results := make([]warm.Result, len(sums))
	candidates := make([][32]byte, 0, 3)
	for i, sum := range sums {
		candidates = k.digester.Candidates(sum, candidates[:0])
		record, err := k.find(ctx, candidates)
		switch {
		case errors.Is(err, keystile.ErrNotFound):
			results[i].Rejection = unknownToken
		case err != nil:
			return nil, fmt.Errorf("read an access token: %w", err)
		default:
			results[i] = judge(&record, k.now())
		}
	}
	return results, nil
}

// judge turns a record into an entry, or says why the token is not good.
func judge(r *Record, now time.Time) warm.Result {
	if rejection := ended(r, now); rejection != nil {
		return warm.Result{Rejection: rejection}
	}
	t := &r.Token
	application := r.Client.ApplicationID
	if application == "" {
		application = r.Client.ID
	}
	return warm.Result{Entry: &warm.Entry{
		Principal: principalOf(r, application),
		Detail: &Facts{
			ClientID: t.ClientID, GrantID: t.GrantID, Granted: t.Scopes, IssuedAt: t.CreatedAt, Thumbprint: t.Thumbprint, Certificate: t.Certificate, Actor: t.Actor, Pairwise: r.Client.Pairwise, ACR: r.Grant.ACR,
		},
		Also: []warm.Subject{
			{Kind: keystile.ChangeOAuthGrant, ID: t.GrantID},
			{Kind: keystile.ChangeApplication, ID: application},
			{Kind: keystile.ChangeApplication, ID: r.GrantApplication},
			{Kind: keystile.ChangeOrganization, ID: r.Owner.ID},
			{Kind: keystile.ChangeUser, ID: t.UserID},
			{Kind: keystile.ChangeRole, ID: r.User.RoleID},
			{Kind: keystile.ChangeProvider, ID: r.Grant.ProviderName},
		},
		NotAfter: t.ExpiresAt.UnixNano(),
	}}
}

// ended says whether the token, or anything it hangs on, is no more.
//
//nolint:gocyclo // one line a case: a table
func ended(r *Record, now time.Time) *keystile.Rejection {
	revoked := func(cause string) *keystile.Rejection {
		return keystile.Reject(keystile.ReasonCredentialRevoked, cause)
	}
	t := &r.Token
	switch {
	case t.ClientID != r.Client.ID:
		return unknownToken
	case !now.Before(t.ExpiresAt):
		return keystile.Reject(keystile.ReasonCredentialExpired, "access token "+t.ID+" expired")
	case !t.RevokedAt.IsZero():
		return revoked("access token " + t.ID + " was revoked")
	case r.GrantGone:
		return revoked("grant " + t.GrantID + " was revoked")
	case !r.Client.RevokedAt.IsZero():
		return revoked("client " + r.Client.ID + " was revoked")
	case r.Client.ApplicationID != "" && !works(r.Environment, r.Review):
		return revoked("application " + r.Client.ApplicationID + " is " + string(r.Review))
	case r.Owner.Disabled:
		return revoked("the organisation of client " + r.Client.ID + " is disabled")
	case r.UserGone:
		return revoked("user " + t.UserID + " may not act any more")
	case r.Tenant.Disabled:
		return revoked("organisation " + r.Tenant.ID + " is disabled")
	case t.UserID != "" && r.Client.ApplicationID != "" && r.Environment != r.Tenant.Environment:
		return keystile.Reject(keystile.ReasonEnvironmentMismatch, "the client and the user are of different environments")
	}
	return nil
}

// works says whether an application may work: of the sandbox from its draft on, of
// production once approved.
func works(env keystile.Environment, review keystile.ReviewState) bool {
	switch review {
	case keystile.ReviewApproved:
		return true
	case keystile.ReviewDraft, keystile.ReviewInReview:
		return env == keystile.Sandbox
	case keystile.ReviewSuspended, keystile.ReviewRetired:
	}
	return false
}

// principalOf is who acts: the user with what both they and the grant may do, or the
// client itself.
func principalOf(r *Record, application string) *keystile.Principal {
	t := &r.Token
	p := &keystile.Principal{
		Kind: keystile.KindOAuthToken, CredentialID: t.ID, SiteIDs: slices.Clone(r.SiteIDs), ExpiresAt: t.ExpiresAt,
		ApplicationID: application, GrantID: t.GrantID, Audiences: slices.Clone(t.Audiences),
	}
	if t.UserID == "" {
		p.Subject, p.OrganizationID, p.TenantID, p.Environment = "client:"+t.ClientID, r.Owner.ID, r.Owner.TenantID, r.Environment
		p.Scopes = common(t.Scopes, r.Client.Scopes)
		return p
	}
	p.Subject, p.OrganizationID, p.TenantID, p.Environment = "user:"+t.UserID, r.Tenant.ID, r.Tenant.TenantID, r.Tenant.Environment
	p.Scopes = Effective(common(t.Scopes, r.Client.Scopes), r.RoleScopes)
	p.UserID, p.Username, p.Role, p.GroupID, p.CustomerIDs = t.UserID, r.User.Username, r.User.RoleID, r.User.GroupID, slices.Clone(r.User.CustomerIDs)
	p.SessionID, p.Methods, p.AuthenticatedAt = r.Grant.SessionID, slices.Clone(r.Grant.Methods), r.Grant.AuthenticatedAt
	return p
}

// identityScopes tell of a person and open nothing: no role has to hold them
// (OpenID Connect Core, section 5.4).
var identityScopes = []keystile.Scope{"openid", "profile", "email", "offline_access"}

// IsIdentity says whether a scope is one of those that tell of a person.
func IsIdentity(s keystile.Scope) bool { return slices.Contains(identityScopes, s) }

// Effective is what a user's grant may do: the scopes that tell of a person, and of
// the others what their role holds as well.
func Effective(granted, role []keystile.Scope) []keystile.Scope {
	var both []keystile.Scope
	for _, s := range granted {
		if IsIdentity(s) {
			both = append(both, s)
		}
	}
	return append(both, common(granted, role)...)
}

// common is what both lists allow: for "roof:*" and "roof:read" that is "roof:read",
// whichever side it stands on.
func common(a, b []keystile.Scope) []keystile.Scope {
	var both []keystile.Scope
	add := func(s keystile.Scope) {
		if !slices.Contains(both, s) {
			both = append(both, s)
		}
	}
	for _, x := range a {
		for _, y := range b {
			switch {
			case y.Covers(x):
				add(x)
			case x.Covers(y):
				add(y)
			}
		}
	}
	return both
}
