package sessionjwt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

// Record is what the store knows of one session.
type Record struct {
	Session      keystile.Session
	User         keystile.User
	Organization keystile.Organization
	// Role is the user's; its zero value is none.
	Role keystile.Role
	// SiteIDs are the sites of the organisation, all of which its users may touch.
	SiteIDs []string
	// ParentsLive: the API key that opened the session, and the provider that vouched
	// for the user, are good still.
	ParentsLive bool
}

// Use is one use of a session, for the last-used batch.
type Use struct {
	SessionID string
	At        time.Time
}

// useInterval is how often the use of one token is recorded.
const useInterval = 5 * time.Minute

// Options configure a Kind. All but Used, OnaIssuer, OnaAudience and the numbers
// are required.
type Options struct {
	// Find reads a session. None is keystile.ErrNotFound.
	Find func(ctx context.Context, sessionID string) (Record, error)
	Keys Keys
	IDs  IDs
	// Issuer is what a standard token must have as "iss" and "aud".
	Issuer string
	// OnaIssuer and OnaAudience are what an Ona token must have; empty: nothing is asked.
	OnaIssuer, OnaAudience string
	// Fresh says whether changes are still heard of.
	Fresh func(time.Time) bool
	Now   func() time.Time
	// Used is told that a session was used, at most once in five minutes a token; it must not block.
	Used func(Use)
	// MaxEntries and MaxRejections bound what is remembered, Lookups and LookupBatch
	// what may be asked of the store at once; 0 is the default of package warm.
	MaxEntries, MaxRejections, Lookups, LookupBatch int
}

// Kind proves session tokens. It is safe for concurrent use.
type Kind struct {
	o     Options
	cache *warm.Cache
	held  held
}

// New makes the kind.
func New(o Options) (*Kind, error) {
	if o.Find == nil || o.Keys == nil || o.IDs == nil || o.Issuer == "" || o.Fresh == nil || o.Now == nil {
		return nil, errors.New("session tokens: Find, Keys, IDs, Issuer, Fresh and Now are required")
	}
	k := &Kind{o: o, held: held{waiting: map[warm.Digest]*holding{}}}
	cache, err := warm.New(warm.Options{
		Lookup: k.lookup, Credential: keystile.ChangeSession, Fresh: o.Fresh, Now: o.Now,
		MaxEntries: o.MaxEntries, MaxRejections: o.MaxRejections, Workers: o.Lookups, BatchSize: o.LookupBatch,
	})
	if err != nil {
		return nil, fmt.Errorf("session tokens: %w", err)
	}
	k.cache = cache
	return k, nil
}

// Name implements keystile.Kind.
func (k *Kind) Name() keystile.KindName { return keystile.KindSessionJWT }

// Verify implements keystile.Kind. A remembered token costs one cache look-up.
func (k *Kind) Verify(ctx context.Context, p keystile.Presented) (*keystile.Principal, error) {
	now := p.At
	if now.IsZero() {
		now = k.o.Now()
	}
	entry, ok := k.cache.Get(p.Digest, now)
	if !ok {
		var err error
		if entry, err = k.prove(ctx, &p, now); err != nil {
			return nil, err
		}
	}
	if k.o.Used != nil && entry.ReportDue(now, useInterval) {
		k.o.Used(Use{SessionID: entry.Principal.SessionID, At: now})
	}
	return entry.Principal, nil
}

// Made once: a flood of them must cost little.
var (
	notOurs         = keystile.Reject(keystile.ReasonSignatureInvalid, "the token was not made here, or not as it stands")
	otherSignature  = keystile.Reject(keystile.ReasonSignatureInvalid, "the signature is not that of the key which the token's form asks for")
	otherIssuer     = keystile.Reject(keystile.ReasonCredentialUnknown, "the token is of another issuer, or for another audience")
	unknownSession  = keystile.Reject(keystile.ReasonCredentialUnknown, "no such session")
	expiredToken    = keystile.Reject(keystile.ReasonCredentialExpired, "the token has ended")
	tokenOfTomorrow = keystile.Reject(keystile.ReasonClockSkew, "the token begins in the future")
)

// maxAhead is how far another server's clock may be before ours.
const maxAhead = 60

// prove checks a token that is not remembered.
func (k *Kind) prove(ctx context.Context, p *keystile.Presented, now time.Time) (*warm.Entry, error) {
	t, err := parse(p.Value.Reveal())
	if err != nil {
		return nil, keystile.Reject(keystile.ReasonCredentialMalformed, err.Error())
	}
	if rejection := k.inspect(t, now.Unix()); rejection != nil {
		return nil, rejection
	}
	release := k.held.hold(p.Digest, t)
	defer release()
	return k.cache.Load(ctx, p.Digest, p.Source)
}

// inspect is what can be said without the store.
func (k *Kind) inspect(t *token, now int64) *keystile.Rejection {
	issuer, audience := k.o.Issuer, k.o.Issuer
	if t.form == formOna {
		issuer, audience = k.o.OnaIssuer, k.o.OnaAudience
	}
	switch {
	case !k.o.IDs.Ours(t.id, string(t.form), t.sessionID, t.issuedAt, t.until):
		return notOurs
	case issuer != "" && t.issuer != issuer, audience != "" && t.audience != audience:
		return otherIssuer
	case now >= t.until:
		return expiredToken
	case t.issuedAt > now+maxAhead, t.notBefore > now+maxAhead:
		return tokenOfTomorrow
	}
	return nil
}

// Apply drops what a change made stale.
func (k *Kind) Apply(change keystile.Change) { k.cache.Apply(change) }

// Warm is how many tokens are remembered.
func (k *Kind) Warm() int { return k.cache.Len() }

// Close ends background work.
func (k *Kind) Close() { k.cache.Close() }

// lookup answers a batch of digests of tokens that somebody waits for.
func (k *Kind) lookup(ctx context.Context, digests []warm.Digest) ([]warm.Result, error) {
	results := make([]warm.Result, len(digests))
	for i, digest := range digests {
		t := k.held.of(digest)
		if t == nil {
			results[i] = abandoned()
			continue
		}
		record, err := k.o.Find(ctx, t.sessionID)
		switch {
		case errors.Is(err, keystile.ErrNotFound):
			results[i].Rejection = unknownSession
		case err != nil:
			return nil, fmt.Errorf("read a session: %w", err)
		default:
			if results[i], err = k.judge(ctx, t, &record); err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

// abandoned answers a look-up that nobody waits for any more and whose token is
// gone with whoever waited. It ended long ago, so that the next request with that
// token asks again; a "no" would refuse it for a second.
func abandoned() warm.Result {
	return warm.Result{Entry: &warm.Entry{Principal: &keystile.Principal{}, NotAfter: 1}}
}

// judge turns a record into an entry, or says why the token is not good. An error
// means that the keys could not be asked.
func (k *Kind) judge(ctx context.Context, t *token, record *Record) (warm.Result, error) {
	if rejection := ended(record, t.sessionID, k.o.Now()); rejection != nil {
		return warm.Result{Rejection: rejection}, nil
	}
	var signed bool
	var err error
	if t.form == formOna {
		signed, err = k.o.Keys.VerifyShared(ctx, record.Organization.ID, t.Token)
	} else {
		signed, err = k.o.Keys.Verify(ctx, t.Token)
	}
	switch {
	case err != nil:
		return warm.Result{}, fmt.Errorf("check a session token: %w", err)
	case !signed:
		return warm.Result{Rejection: otherSignature}, nil
	}
	until := time.Unix(t.until, 0).UTC()
	if record.Session.ExpiresAt.Before(until) {
		until = record.Session.ExpiresAt
	}
	return warm.Result{Entry: &warm.Entry{
		Principal: principalOf(record, until),
		Also: []warm.Subject{
			{Kind: keystile.ChangeUser, ID: record.User.ID},
			{Kind: keystile.ChangeRole, ID: record.User.RoleID},
			{Kind: keystile.ChangeKey, ID: record.Session.APIKeyID},
			{Kind: keystile.ChangeProvider, ID: record.Session.ProviderName},
		},
		NotAfter: until.UnixNano(),
	}}, nil
}

// ended says whether the session, its user or their organisation is no more.
func ended(record *Record, sessionID string, now time.Time) *keystile.Rejection {
	session, user := &record.Session, &record.User
	switch {
	case session.ID != sessionID || session.UserID != user.ID || user.OrganizationID != record.Organization.ID ||
		session.OrganizationID != user.OrganizationID || user.RoleID != record.Role.ID && record.Role.ID != "":
		// A store that compares names more loosely than we do, or rows that do not belong together.
		return unknownSession
	case !session.RevokedAt.IsZero():
		return keystile.Reject(keystile.ReasonCredentialRevoked, "session "+session.ID+" was revoked")
	case !record.ParentsLive:
		return keystile.Reject(keystile.ReasonCredentialRevoked, "the key or provider that session "+session.ID+" hangs on has ended")
	case user.Disabled:
		return keystile.Reject(keystile.ReasonCredentialRevoked, "user "+user.ID+" is disabled")
	case record.Organization.Disabled:
		return keystile.Reject(keystile.ReasonCredentialRevoked, "organisation "+user.OrganizationID+" is disabled")
	case !now.Before(session.ExpiresAt):
		return keystile.Reject(keystile.ReasonCredentialExpired, "session "+session.ID+" has ended")
	}
	return nil
}

// principalOf is who a session stands for: nothing of it comes from the token.
func principalOf(record *Record, until time.Time) *keystile.Principal {
	user := &record.User
	return &keystile.Principal{
		Subject:         "user:" + user.ID,
		OrganizationID:  user.OrganizationID,
		TenantID:        record.Organization.TenantID,
		Environment:     record.Organization.Environment,
		Kind:            keystile.KindSessionJWT,
		CredentialID:    record.Session.ID,
		Scopes:          slices.Clone(record.Role.Scopes),
		SiteIDs:         slices.Clone(record.SiteIDs),
		ExpiresAt:       until,
		UserID:          user.ID,
		Username:        user.Username,
		Role:            user.RoleID,
		GroupID:         user.GroupID,
		CustomerIDs:     slices.Clone(user.CustomerIDs),
		SessionID:       record.Session.ID,
		Methods:         slices.Clone(record.Session.Methods),
		AuthenticatedAt: record.Session.AuthenticatedAt,
	}
}

// held keeps the tokens that are being looked up: the cache knows them by digest
// alone.
type held struct {
	mu      sync.Mutex
	waiting map[warm.Digest]*holding
}

type holding struct {
	token   *token
	holders int
}

// hold keeps a token until release is called.
func (h *held) hold(digest warm.Digest, t *token) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := h.waiting[digest]
	if kept == nil {
		kept = &holding{token: t}
		h.waiting[digest] = kept
	}
	kept.holders++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if kept.holders--; kept.holders == 0 {
			delete(h.waiting, digest)
		}
	}
}

func (h *held) of(digest warm.Digest) *token {
	h.mu.Lock()
	defer h.mu.Unlock()
	if kept := h.waiting[digest]; kept != nil {
		return kept.token
	}
	return nil
}
