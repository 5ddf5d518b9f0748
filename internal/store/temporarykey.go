package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// TenantLookup is what an exchange needs to know of a tenant.
type TenantLookup struct {
	// Tenant is without its OneTime and MFA, which no exchange needs.
	Tenant keystile.Organization
	// Authorization of the application there; nil if there never was one.
	Authorization *keystile.Authorization
	// Revision of the feed, read by the same statement.
	Revision int64
}

// FindTenant finds a tenant by its id on the wire (a UUID) and what it granted to
// an application, with one statement. An unknown one is [keystile.ErrNotFound].
func (s *Store) FindTenant(ctx context.Context, applicationID, wireID string) (TenantLookup, error) {
	const op = "look up a tenant"
	if !validUUID(wireID) {
		return TenantLookup{}, fmt.Errorf("%s: no UUID: %w", op, keystile.ErrNotFound)
	}
	row, err := s.lookups.FindTenant(s.lookupContext(ctx), applicationID, wireID)
	if err != nil {
		return TenantLookup{}, s.fail(op, err)
	}
	tenant, err := organizationOf(row.Organization)
	if err != nil {
		return TenantLookup{}, s.fail(op, err)
	}
	found := TenantLookup{Tenant: tenant, Revision: row.Revision}
	if row.Authorized == 1 {
		found.Authorization = &keystile.Authorization{
			ApplicationID: applicationID, TenantID: tenant.ID, Permissions: splitList[keystile.Scope](row.Permissions), Generation: row.Generation,
			ExpiresAt: nullTimeOf(row.ExpiresAt), WithdrawnAt: nullTimeOf(row.WithdrawnAt),
		}
	}
	return found, nil
}

// CreatePartnerSession keeps a new session token. Its row is the record of its
// making: there is no audit event (rulings R32).
func (s *Store) CreatePartnerSession(ctx context.Context, p keystile.PartnerSession) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.fail("make a session token", gen.New(s.writer).InsertPartnerSession(ctx, partnerSessionRow(p)))
}

// CreatePartnerSession is the same inside a transaction.
func (t *Tx) CreatePartnerSession(ctx context.Context, p keystile.PartnerSession) error {
	return t.fail("make a session token", t.q.InsertPartnerSession(ctx, partnerSessionRow(p)))
}

func partnerSessionRow(p keystile.PartnerSession) gen.InsertPartnerSessionParams {
	return gen.InsertPartnerSessionParams{
		Digest: p.Digest[:], PepperID: p.PepperID, ApplicationID: p.ApplicationID, TenantID: p.TenantID, Generation: p.Generation,
		UserID: p.UserID, CreatedAt: micros(p.CreatedAt), ExpiresAt: micros(p.ExpiresAt),
	}
}

// FindPartnerSession finds the session token with one of 1 to 3 digests, spent
// and expired ones too. None is [keystile.ErrNotFound].
func (s *Store) FindPartnerSession(ctx context.Context, digests [][32]byte) (keystile.PartnerSession, error) {
	const op = "look up a session token"
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.PartnerSession{}, err
	}
	rows, err := s.lookups.FindPartnerSessions(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return keystile.PartnerSession{}, s.fail(op, err)
	}
	if len(rows) == 0 {
		return keystile.PartnerSession{}, errUnknownDigest
	}
	row := rows[0]
	digest, err := digestOf(row.Digest)
	if err != nil {
		return keystile.PartnerSession{}, s.fail(op, err)
	}
	return keystile.PartnerSession{
		Digest: digest, PepperID: row.PepperID, ApplicationID: row.ApplicationID, TenantID: row.TenantID, Generation: row.Generation,
		UserID: row.UserID, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt), ConsumedAt: nullTimeOf(row.ConsumedAt),
	}, nil
}

// Exchange is one temporary key to be made.
type Exchange struct {
	Key keystile.TemporaryKey
	// Session is the digest of the session token that is spent for it; nil: none.
	Session *[32]byte
	// At is the moment of the exchange: a session token that ended by then is not spent.
	At time.Time
	// Owner is the organisation that makes the application.
	Owner string
	// Seen is the revision of the feed that the exchange was judged at: the oldest of
	// what the look-ups said that it was judged by.
	Seen int64
}

// SeenNothing is the [Exchange.Seen] of a key that nothing has to allow.
const SeenNothing = -1

// ExchangeResult is what became of an exchange.
type ExchangeResult int

const (
	// ExchangeSpent means that its session token was spent, or had ended.
	ExchangeSpent ExchangeResult = iota
	// ExchangeMade means that the key was made.
	ExchangeMade
	// ExchangeStale means that what it was judged by has changed since. Nothing was made or spent.
	ExchangeStale
)

// ExchangeReport is what one transaction did.
type ExchangeReport struct {
	// Results has one result for each exchange.
	Results []ExchangeResult
	// From is the oldest revision that an exchange was judged at, Revision the feed's now.
	From, Revision int64
	// Changed says that an application, an organisation or an authorization, whichever,
	// changed between the two.
	Changed bool
}

// ExchangeKeys makes temporary keys in one transaction, all that can be made, and
// says for each what became of it. A key and
// the spending of its token are one: of any number of exchanges with one token, on
// whatever servers, exactly one is made. So are a key and what allows it: one
// whose application, its key, tenant, authorization or user changed after the
// exchange was judged is stale. After an error nothing can be told of any of them.
//
// The rows are the record of the issuing: there is no audit event (rulings R32).
func (s *Store) ExchangeKeys(ctx context.Context, exchanges []Exchange) (report ExchangeReport, err error) {
	if err := s.writable(); err != nil {
		return report, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		p := s.prepared(tx)
		q := gen.New(p)
		var err error
		if report, err = findStale(ctx, q, exchanges); err != nil {
			return err
		}
		rows := make([][]any, 0, len(exchanges))
		for i := range exchanges {
			e := &exchanges[i]
			if report.Results[i] == ExchangeStale {
				continue
			}
			if e.Session != nil {
				n, err := q.ConsumePartnerSession(ctx, nullMicros(e.At), e.Session[:])
				if err != nil {
					return err
				}
				if n != 1 {
					continue
				}
			}
			k := &e.Key
			rows = append(rows, []any{
				k.Digest[:], k.ID, k.PepperID, k.ApplicationID, k.ApplicationKeyID, k.TenantID, k.Generation, k.UserID, micros(k.CreatedAt), micros(k.ExpiresAt),
			})
			report.Results[i] = ExchangeMade
		}
		return s.insertKept(ctx, p, temporaryKeyColumns, rows, "")
	})
	if err != nil {
		return ExchangeReport{}, s.fail("make temporary keys", err)
	}
	return report, nil
}

const temporaryKeyColumns = "temporary_keys (digest, id, pepper_id, application_id, application_key_id, tenant_id, generation, user_id, created_at, expires_at)"

// maxOvertaken is how many changes one transaction of exchanges looks through; after
// more of them everything is stale.
const maxOvertaken = 1000

// findStale begins a report: it marks exchanges that were judged by what has changed
// since. A change has its revision from the transaction that made it, so whatever
// this transaction can see, it is told of.
func findStale(ctx context.Context, q *gen.Queries, exchanges []Exchange) (ExchangeReport, error) {
	report := ExchangeReport{Results: make([]ExchangeResult, len(exchanges))}
	head, err := q.GetFeedHead(ctx)
	if err != nil {
		return report, err
	}
	report.From, report.Revision = oldestSeen(exchanges, head.Revision), head.Revision
	var changes []gen.Change
	if report.From < head.Revision {
		if changes, err = q.ListChanges(ctx, report.From, maxOvertaken); err != nil {
			return report, err
		}
	}
	lost := len(changes) == maxOvertaken || report.From < head.Purged
	report.Changed = lost || slices.ContainsFunc(changes, allows)
	for i := range exchanges {
		e := &exchanges[i]
		// A store that is older than what was seen was restored.
		if e.Seen > head.Revision {
			report.Changed = true
		}
		if e.Seen != SeenNothing && (lost || e.Seen > head.Revision || overtaken(e, changes)) {
			report.Results[i] = ExchangeStale
		}
	}
	return report, nil
}

// oldestSeen is the oldest revision that an exchange was judged at; now, if none was at any.
func oldestSeen(exchanges []Exchange, now int64) int64 {
	for i := range exchanges {
		if seen := exchanges[i].Seen; seen != SeenNothing {
			now = min(now, seen)
		}
	}
	return now
}

// allows says whether a change may be of what allows exchanges.
func allows(c gen.Change) bool {
	switch keystile.ChangeKind(c.Kind) {
	case keystile.ChangeAll, keystile.ChangeApplication, keystile.ChangeOrganization, keystile.ChangeAuthorization:
		return true
	default:
		return false
	}
}

func overtaken(e *Exchange, changes []gen.Change) bool {
	for i := range changes {
		c := &changes[i]
		if c.Revision <= e.Seen {
			continue
		}
		if hangsOn(e, keystile.ChangeKind(c.Kind), c.ID) {
			return true
		}
	}
	return false
}

// hangsOn says whether an exchange was judged by what a change is of.
func hangsOn(e *Exchange, kind keystile.ChangeKind, id string) bool {
	switch kind {
	case keystile.ChangeAll:
		return true
	case keystile.ChangeApplication:
		return id == e.Key.ApplicationID
	case keystile.ChangeOrganization:
		return id == e.Key.TenantID || id == e.Owner
	case keystile.ChangeAuthorization:
		return id == AuthorizationID(e.Key.ApplicationID, e.Key.TenantID)
	case keystile.ChangeUser:
		return id == e.Key.UserID
	default: // what no exchange is judged by
		return false
	}
}

// TemporaryKeyLookup is what the digest of a temporary key leads to.
type TemporaryKeyLookup struct {
	Key         keystile.TemporaryKey
	Environment keystile.Environment
	Review      keystile.ReviewState
	// Owner is the organisation that makes the application.
	Owner string
	// TenantID is the tenant's id on the wire.
	TenantID string
	// Asked are the permissions the application asks for now, Granted those the tenant grants now.
	Asked, Granted []keystile.Scope
	// Standing is the authorization's generation now: another one than the key's is dead.
	Standing               int64
	AuthorizationExpiresAt time.Time
	Withdrawn              bool
	OwnerDisabled          bool
	TenantDisabled         bool
	// KeyRevoked: the application key that it was made with is revoked.
	KeyRevoked bool
	// UserGone: the key carries a user who is disabled or deleted.
	UserGone bool
	// SiteIDs are the tenant's sites.
	SiteIDs []string
	// Revision of the feed, read by the same statement.
	Revision int64
}

// FindTemporaryKey finds the temporary key with one of 1 to 3 digests and all
// that it hangs on. None is [keystile.ErrNotFound]; whether it is live is the
// caller's to judge.
func (s *Store) FindTemporaryKey(ctx context.Context, digests [][32]byte) (TemporaryKeyLookup, error) {
	const op = "look up a temporary key"
	args, err := digestArguments(digests)
	if err != nil {
		return TemporaryKeyLookup{}, err
	}
	ctx = s.lookupContext(ctx)
	rows, err := s.lookups.FindTemporaryKeys(ctx, args[0], args[1], args[2])
	if err != nil {
		return TemporaryKeyLookup{}, s.fail(op, err)
	}
	for _, digest := range args {
		for i := range rows {
			if !bytes.Equal(rows[i].Digest, digest) {
				continue
			}
			found, err := temporaryKeyOf(&rows[i])
			if err != nil {
				return TemporaryKeyLookup{}, s.fail(op, err)
			}
			found.SiteIDs, err = s.lookups.ListSiteIDsOfOrganization(ctx, found.Key.TenantID)
			return found, s.fail(op, err)
		}
	}
	return TemporaryKeyLookup{}, errUnknownDigest
}

func temporaryKeyOf(row *gen.FindTemporaryKeysRow) (TemporaryKeyLookup, error) {
	digest, err := digestOf(row.Digest)
	if err != nil {
		return TemporaryKeyLookup{}, fmt.Errorf("temporary key %s: %w", row.ID, err)
	}
	return TemporaryKeyLookup{
		Key: keystile.TemporaryKey{
			ID: row.ID, Digest: digest, PepperID: row.PepperID, ApplicationID: row.ApplicationID, ApplicationKeyID: row.ApplicationKeyID, TenantID: row.TenantID,
			Generation: row.Generation, UserID: row.UserID, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt),
		},
		Environment: keystile.Environment(row.Environment), Review: keystile.ReviewState(row.Review), Owner: row.Owner, TenantID: row.WireID,
		Asked: splitList[keystile.Scope](row.Asked), Granted: splitList[keystile.Scope](row.Granted), Standing: row.Standing,
		AuthorizationExpiresAt: nullTimeOf(row.AuthorizationExpiresAt), Withdrawn: row.WithdrawnAt.Valid,
		OwnerDisabled: row.OwnerDisabled, TenantDisabled: row.TenantDisabled,
		KeyRevoked: row.KeyRevokedAt.Valid,
		UserGone:   row.UserID != "" && (row.UserExists == 0 || row.UserDisabled),
		Revision:   row.Revision,
	}, nil
}

// PurgePartnerCredentials deletes at most limit session tokens and at most limit
// temporary keys that ended before an instant, oldest first, and says how many.
// Each is a transaction of its own, short enough for exchanges to go between.
func (s *Store) PurgePartnerCredentials(ctx context.Context, before time.Time, limit int) (int64, error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	var purged int64
	var errs []error
	for _, purge := range []func(*gen.Queries) (int64, error){
		func(q *gen.Queries) (int64, error) {
			return q.PurgePartnerSessions(ctx, micros(before), rowLimit(limit))
		},
		func(q *gen.Queries) (int64, error) {
			return q.PurgeTemporaryKeys(ctx, micros(before), rowLimit(limit))
		},
	} {
		err := s.inTx(ctx, func(_ context.Context, tx *sql.Tx) error {
			n, err := purge(gen.New(tx))
			purged += n
			return err
		})
		errs = append(errs, err)
	}
	return purged, s.fail("purge temporary keys", errors.Join(errs...))
}
