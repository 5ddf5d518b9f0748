package partner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/gather"
	"keystile.dev/keystile/internal/problem"
	"keystile.dev/keystile/internal/store"
)

// Refusal is why an exchange or a launch was refused, in the words of the
// platform's answer (protocols 2.8).
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Code is the stable member "code" of the problem.
	Code string
	// Detail is safe to show to the caller.
	Detail string
	// Cause is for the log.
	Cause string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Code + ": " + r.Cause }

// Unwrap makes errors.Is(err, keystile.ErrRejected) true.
func (r *Refusal) Unwrap() error { return keystile.ErrRejected }

func invalidKey(cause string) error {
	return &Refusal{http.StatusUnauthorized, "invalid_application_key", "The application key is not good for this application.", cause}
}

func tenantNotFound(cause string) error {
	return &Refusal{http.StatusNotFound, "tenant_not_found", "There is no such tenant in the application's environment.", cause}
}

func invalidSession(cause string) error {
	return &Refusal{http.StatusUnauthorized, "session_token_invalid", "The session token is expired, used, or of another tenant or application.", cause}
}

// Store is what an exchange asks of the store. See package store for the errors.
type Store interface {
	FindApplicationKey(ctx context.Context, digests [][32]byte) (store.ApplicationKeyLookup, error)
	FindTenant(ctx context.Context, applicationID, wireID string) (store.TenantLookup, error)
	FindPartnerSession(ctx context.Context, digests [][32]byte) (keystile.PartnerSession, error)
	ExchangeKeys(ctx context.Context, exchanges []store.Exchange) (store.ExchangeReport, error)
	CreatePartnerSession(ctx context.Context, p keystile.PartnerSession) error
	User(ctx context.Context, id string) (keystile.User, error)
}

// Digester makes stored digests of SHA-256 sums.
type Digester interface {
	// Digest is made with the current pepper.
	Digest(sum [32]byte) (digest [32]byte, pepperID string)
	// Candidates appends the digests under every live pepper, current first.
	Candidates(sum [32]byte, buf [][32]byte) [][32]byte
}

// Options configure a Service. All are required but Used.
type Options struct {
	Store    Store
	Digester Digester
	Random   io.Reader
	Now      func() time.Time
	// Used is told of each use of an application key; it must not block.
	Used func(keyID string, at time.Time)
	// Environments are served; none: all.
	Environments []keystile.Environment
}

// Service exchanges and launches. It is safe for concurrent use.
type Service struct {
	store    Store
	digester Digester
	random   io.Reader
	now      func() time.Time
	used     func(string, time.Time)
	served   []keystile.Environment
	commits  *gather.Committer[store.Exchange, store.ExchangeResult]
	known    *known
}

// New makes a Service. Close ends it.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Digester == nil || o.Random == nil || o.Now == nil {
		return nil, errors.New("partner: Store, Digester, Random and Now are required")
	}
	if o.Used == nil {
		o.Used = func(string, time.Time) {}
	}
	s := &Service{store: o.Store, digester: o.Digester, random: o.Random, now: o.Now, used: o.Used, served: o.Environments, known: newKnown()}
	s.commits = gather.New(s.write)
	return s, nil
}

// write commits exchanges, and learns how far what is remembered is still true.
func (s *Service) write(ctx context.Context, exchanges []store.Exchange) ([]store.ExchangeResult, error) {
	report, err := s.store.ExchangeKeys(ctx, exchanges)
	if err == nil {
		s.known.learn(&report)
	}
	return report.Results, err
}

// Close waits for exchanges under way and refuses later ones.
func (s *Service) Close() { s.commits.Close() }

// ExchangeRequest is one call of create_token (protocols 2.3).
type ExchangeRequest struct {
	ApplicationID string
	// TenantID is the tenant's id on the wire, a UUID.
	TenantID string
	// ApplicationKey stood in Authorization: Bearer.
	ApplicationKey keystile.Secret
	// SessionToken is the query parameter session_token; nil: absent.
	SessionToken *keystile.Secret
}

// Token is a new temporary key.
type Token struct {
	Secret    keystile.Secret
	ExpiresAt time.Time
}

// Exchange makes a temporary key. Its error is a *Refusal for "no"; any other
// means that nothing can be told, and nothing was spent unless the answer of the
// store was lost.
func (s *Service) Exchange(ctx context.Context, r ExchangeRequest) (Token, error) {
	token, stale, err := s.remembered(ctx, r)
	for range maxStale {
		if !stale {
			return token, err
		}
		token, stale, err = s.judged(ctx, r)
	}
	if stale {
		return Token{}, fmt.Errorf("exchange: what it is judged by keeps changing: %w", keystile.ErrUnavailable)
	}
	return token, err
}

// maxStale is how often an exchange is judged again because something changed meanwhile.
const maxStale = 5

// judgement is what allows an exchange.
type judgement struct {
	key    *store.ApplicationKeyLookup
	tenant *store.TenantLookup
	// seen is the revision of the feed at which it was true.
	seen int64
}

// remembered makes an exchange by what is remembered, if that allows it. What it
// refuses is stale: it has to be judged.
func (s *Service) remembered(ctx context.Context, r ExchangeRequest) (token Token, stale bool, err error) {
	now := s.now()
	j, ok := s.known.find(partner.Sum(r.ApplicationKey), r)
	if !ok || s.goodKey(j.key, r, now) != nil || s.goodTenant(&j.key.Application, j.tenant, now) != nil {
		return Token{}, true, nil
	}
	s.used(j.key.Key.ID, now)
	token, stale, err = s.finish(ctx, j, r.SessionToken, now)
	if errors.Is(err, keystile.ErrRejected) {
		return Token{}, true, nil
	}
	return token, stale, err
}

// judged makes an exchange by what the store says now. stale says that this
// changed before the key was made.
func (s *Service) judged(ctx context.Context, r ExchangeRequest) (token Token, stale bool, err error) {
	now := s.now()
	key, err := s.application(ctx, r, now)
	if err != nil {
		return Token{}, false, err
	}
	s.used(key.Key.ID, now)
	tenant, err := s.tenant(ctx, &key.Application, r.TenantID, now)
	if err != nil {
		return Token{}, false, err
	}
	j := &judgement{key: key, tenant: tenant, seen: min(key.Revision, tenant.Revision)}
	s.known.keep(partner.Sum(r.ApplicationKey), r, j)
	return s.finish(ctx, j, r.SessionToken, now)
}

// finish judges the session token and makes the key.
func (s *Service) finish(ctx context.Context, j *judgement, token *keystile.Secret, now time.Time) (Token, bool, error) {
	session, err := s.session(ctx, &j.key.Application, j.tenant.Authorization, token, now)
	if err != nil {
		return Token{}, false, err
	}
	return s.make(ctx, j, session, now)
}

// Authenticate proves an application key, for what its application may do besides
// exchanging: one of an application that is suspended or retired, or whose partner
// is disabled, is refused. Its error is a *Refusal for "no".
func (s *Service) Authenticate(ctx context.Context, applicationID string, key keystile.Secret) (keystile.Application, error) {
	now := s.now()
	found, err := s.application(ctx, ExchangeRequest{ApplicationID: applicationID, ApplicationKey: key}, now)
	if err != nil {
		return keystile.Application{}, err
	}
	s.used(found.Key.ID, now)
	app := found.Application
	if !s.serves(app.Environment) {
		return app, invalidKey("applications of " + string(app.Environment) + " are not served here")
	}
	if app.Review == keystile.ReviewSuspended || app.Review == keystile.ReviewRetired {
		return app, works(&app)
	}
	return app, nil
}

// application is the application whose key was presented.
func (s *Service) application(ctx context.Context, r ExchangeRequest, now time.Time) (*store.ApplicationKeyLookup, error) {
	if t, _, ok := partner.Shape(r.ApplicationKey.Reveal()); !ok || t != partner.ApplicationKey {
		return nil, invalidKey("not of the form of an application key")
	}
	found, err := s.store.FindApplicationKey(ctx, s.candidates(r.ApplicationKey))
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, invalidKey("no such application key")
	}
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	return &found, s.goodKey(&found, r, now)
}

// goodKey says why an application key is not good; nil if it is.
func (s *Service) goodKey(found *store.ApplicationKeyLookup, r ExchangeRequest, now time.Time) error {
	key := &found.Key
	switch {
	case found.Application.ID != r.ApplicationID:
		return invalidKey("the key is of application " + found.Application.ID)
	case !key.RevokedAt.IsZero():
		return invalidKey("application key " + key.ID + " was revoked")
	case !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt):
		return invalidKey("application key " + key.ID + " expired")
	case found.OwnerDisabled:
		return &Refusal{
			http.StatusForbidden, "application_suspended", "The application is suspended.",
			"organisation " + found.Application.OrganizationID + " is disabled",
		}
	}
	return nil
}

// tenant is the tenant, with an authorization that stands for an application
// that may work.
func (s *Service) tenant(ctx context.Context, app *keystile.Application, wireID string, now time.Time) (*store.TenantLookup, error) {
	found, err := s.store.FindTenant(ctx, app.ID, wireID)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, tenantNotFound("no organisation has that tenant id")
	}
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	return &found, s.goodTenant(app, &found, now)
}

// goodTenant says why an application may not work in a tenant; nil if it may.
func (s *Service) goodTenant(app *keystile.Application, found *store.TenantLookup, now time.Time) error {
	if found.Tenant.Environment != app.Environment || found.Tenant.Disabled || !s.serves(app.Environment) {
		return tenantNotFound("tenant " + found.Tenant.ID + " is disabled or of another environment")
	}
	if err := works(app); err != nil {
		return err
	}
	if found.Authorization == nil || !found.Authorization.Stands(now) {
		return &Refusal{
			http.StatusForbidden, "tenant_not_authorized", "The tenant's administrator has not authorized this application.",
			"tenant " + found.Tenant.ID + " has no authorization that stands",
		}
	}
	return nil
}

func (s *Service) serves(env keystile.Environment) bool {
	return len(s.served) == 0 || slices.Contains(s.served, env)
}

// works says whether an application may work at all: one of the sandbox from its
// draft on, one of production once approved.
func works(app *keystile.Application) error {
	switch app.Review {
	case keystile.ReviewApproved:
		return nil
	case keystile.ReviewDraft, keystile.ReviewInReview:
		if app.Environment == keystile.Sandbox {
			return nil
		}
		return &Refusal{http.StatusForbidden, "application_in_review", "The application is not approved yet.", "application " + app.ID + " is " + string(app.Review)}
	case keystile.ReviewSuspended, keystile.ReviewRetired:
	}
	return &Refusal{http.StatusForbidden, "application_suspended", "The application is suspended.", "application " + app.ID + " is " + string(app.Review)}
}

// session judges a session token; nil where none is needed and none was given.
func (s *Service) session(ctx context.Context, app *keystile.Application, standing *keystile.Authorization, token *keystile.Secret, now time.Time) (*keystile.PartnerSession, error) {
	if token == nil {
		if app.Kind == keystile.ApplicationEmbedded {
			return nil, &Refusal{
				http.StatusUnprocessableEntity, "session_token_required", "An embedded application needs the session token it was opened with.",
				"no session token",
			}
		}
		return nil, nil
	}
	if t, _, ok := partner.Shape(token.Reveal()); !ok || t != partner.SessionToken {
		return nil, invalidSession("not of the form of a session token")
	}
	found, err := s.store.FindPartnerSession(ctx, s.candidates(*token))
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, invalidSession("no such session token")
	}
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	if err := judgeSession(&found, standing, now); err != nil {
		return nil, err
	}
	if err := s.userLives(ctx, found.UserID, standing.TenantID); err != nil {
		return nil, err
	}
	return &found, nil
}

// judgeSession says why a session token is not good for an exchange of the
// application and in the tenant of an authorization; nil if it is.
func judgeSession(found *keystile.PartnerSession, standing *keystile.Authorization, now time.Time) error {
	switch {
	case found.ApplicationID != standing.ApplicationID:
		return invalidSession("of another application")
	case found.TenantID != standing.TenantID:
		return invalidSession("of another tenant")
	case found.Generation != standing.Generation:
		return invalidSession("older than the tenant's authorization")
	case !found.ConsumedAt.IsZero():
		return invalidSession("used before")
	case !now.Before(found.ExpiresAt):
		return invalidSession("expired")
	}
	return nil
}

// userLives refuses the session token of a user who may not act any more.
func (s *Service) userLives(ctx context.Context, userID, tenantID string) error {
	if userID == "" {
		return nil
	}
	user, err := s.store.User(ctx, userID)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (user.Disabled || user.OrganizationID != tenantID) {
		return invalidSession("its user may not act any more")
	}
	if err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	return nil
}

// make writes the key and spends the session token. stale says that what allowed
// it has changed: nothing was done.
func (s *Service) make(ctx context.Context, j *judgement, session *keystile.PartnerSession, now time.Time) (token Token, stale bool, err error) {
	app, standing := &j.key.Application, j.tenant.Authorization
	secret, err := partner.Generate(s.random, partner.TemporaryKey, app.Environment)
	if err != nil {
		return Token{}, false, err
	}
	id, err := newID(s.random, "tmp_")
	if err != nil {
		return Token{}, false, err
	}
	e := store.Exchange{At: now, Owner: app.OrganizationID, Seen: j.seen, Key: keystile.TemporaryKey{
		ID: id, ApplicationID: app.ID, ApplicationKeyID: j.key.Key.ID, TenantID: standing.TenantID, Generation: standing.Generation,
		CreatedAt: now, ExpiresAt: now.Add(keystile.TemporaryKeyLife).Truncate(time.Second),
	}}
	e.Key.Digest, e.Key.PepperID = s.digester.Digest(partner.Sum(secret))
	if session != nil {
		e.Session, e.Key.UserID = &session.Digest, session.UserID
	}
	result, err := s.commits.Do(ctx, e)
	if err != nil {
		return Token{}, false, fmt.Errorf("exchange: %w", err)
	}
	switch result {
	case store.ExchangeMade:
		return Token{Secret: secret, ExpiresAt: e.Key.ExpiresAt}, false, nil
	case store.ExchangeStale:
		return Token{}, true, nil
	case store.ExchangeSpent:
	}
	return Token{}, false, invalidSession("used by another exchange at the same time")
}

func (s *Service) candidates(secret keystile.Secret) [][32]byte {
	return s.digester.Candidates(partner.Sum(secret), make([][32]byte, 0, 3))
}

// newID draws an id of 20 base32 characters after a prefix: 100 bits, so that
// ids need not be looked up before they are used.
func newID(random io.Reader, prefix string) (string, error) {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var raw [20]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	for i, b := range raw {
		raw[i] = alphabet[b%32]
	}
	return prefix + string(raw[:]), nil
}

// Problem is the refusal as the platform's clients see it (RFC 9457).
func (r *Refusal) Problem() *problem.Problem { return problem.New(r.Status, r.Code, r.Detail) }
