package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// OAuthConsents lists what a user allowed a client, a row for each resource.
func (r *reads) OAuthConsents(ctx context.Context, userID, clientID string) ([]keystile.OAuthConsent, error) {
	rows, err := r.q.ListOAuthConsents(ctx, userID, clientID)
	return oauthConsentsOf(rows), r.fail("list the consents of user "+clip(userID), err)
}

// OAuthConsentsOfUser lists what a user allowed, by client: at most maxLimit rows.
func (r *reads) OAuthConsentsOfUser(ctx context.Context, userID string) ([]keystile.OAuthConsent, error) {
	rows, err := r.q.ListOAuthConsentsOfUser(ctx, userID, "", maxLimit)
	return oauthConsentsOf(rows), r.fail("list the consents of user "+clip(userID), err)
}

func oauthConsentsOf(rows []gen.OauthConsent) []keystile.OAuthConsent {
	list := make([]keystile.OAuthConsent, len(rows))
	for i, row := range rows {
		list[i] = keystile.OAuthConsent{
			UserID: row.UserID, ClientID: row.ClientID, Resource: row.Resource, Scopes: splitList[keystile.Scope](row.Scopes),
			CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
		}
	}
	return list
}

// PutOAuthConsent remembers what a user allows a client for a resource, in place of
// what was remembered before.
func (t *Tx) PutOAuthConsent(ctx context.Context, c keystile.OAuthConsent) error {
	if err := checkList("scopes", c.Scopes); err != nil {
		return err
	}
	if err := checkTexts(text{"resource", c.Resource}); err != nil {
		return err
	}
	u, err := t.User(ctx, c.UserID)
	if err != nil {
		return dangling(err, "user", "user", c.UserID)
	}
	err = t.q.PutOAuthConsent(ctx, gen.PutOAuthConsentParams{
		UserID: c.UserID, ClientID: c.ClientID, Resource: c.Resource, Scopes: joinList(c.Scopes), CreatedAt: micros(t.now), UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("remember a consent of user "+c.UserID, err)
	}
	return t.Record(ctx, u.OrganizationID, "consent.give", "user:"+c.UserID,
		map[string]any{"client": c.ClientID, "resource": c.Resource, "scopes": texts(c.Scopes)})
}

// WithdrawOAuthConsents forgets what a user allowed a client and ends everything it
// was given for them. Nothing to forget and nothing to end is [keystile.ErrNotFound].
func (t *Tx) WithdrawOAuthConsents(ctx context.Context, userID, clientID string) error {
	u, err := t.User(ctx, userID)
	if err != nil {
		return err
	}
	n, err := t.q.DeleteOAuthConsents(ctx, userID, clientID)
	if err != nil {
		return t.fail("withdraw a consent of user "+userID, err)
	}
	grants, err := t.q.RevokeOAuthGrantsOfUser(ctx, nullMicros(t.now), userID, clientID)
	if err != nil {
		return t.fail("withdraw a consent of user "+userID, err)
	}
	if n == 0 && len(grants) == 0 {
		return keystile.ErrNotFound
	}
	t.announceGrants(grants)
	return t.Record(ctx, u.OrganizationID, "consent.withdraw", "user:"+userID, map[string]any{"client": clientID, "grants": len(grants)})
}

func (t *Tx) announceGrants(ids []string) {
	if len(ids) > maxAnnounced {
		t.Announce(keystile.ChangeAll, "")
		return
	}
	for _, id := range ids {
		t.Announce(keystile.ChangeOAuthGrant, id)
	}
}

// OAuthGrant reads one grant.
func (r *reads) OAuthGrant(ctx context.Context, id string) (keystile.OAuthGrant, error) {
	row, err := r.q.GetOAuthGrant(ctx, id)
	return oauthGrantOf(row), r.fail("read grant "+clip(id), err)
}

// RevokeOAuthGrant ends a grant with every token of it. Ending it again does nothing;
// one that is not there is [keystile.ErrNotFound]. cause is for the audit log.
func (t *Tx) RevokeOAuthGrant(ctx context.Context, id, cause string) error {
	g, err := t.OAuthGrant(ctx, id)
	if err != nil || !g.RevokedAt.IsZero() {
		return err
	}
	u, err := t.User(ctx, g.UserID)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	n, err := t.q.RevokeOAuthGrant(ctx, nullMicros(t.now), id)
	if err != nil || n == 0 {
		return t.fail("revoke grant "+id, err)
	}
	t.Announce(keystile.ChangeOAuthGrant, id)
	return t.Record(ctx, u.OrganizationID, "grant.revoke", "grant:"+id, map[string]any{"client": g.ClientID, "user": g.UserID, "cause": cause})
}

// CreateOAuthCode keeps a new authorization code. The row is its record: there is no
// audit event (rulings R32).
func (s *Store) CreateOAuthCode(ctx context.Context, c keystile.OAuthCode) error {
	if err := s.writable(); err != nil {
		return err
	}
	if c.SessionExpiresAt.IsZero() {
		return s.fail("keep a code", insertOAuthCode(ctx, gen.New(s.writer), &c))
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(tx)
		err := q.PutOAuthVisit(ctx, c.Grant.SessionID, c.Grant.ClientID, c.Grant.UserID, micros(c.SessionExpiresAt))
		if err != nil {
			return err
		}
		return insertOAuthCode(ctx, q, &c)
	})
	return s.fail("keep a code", err)
}

func insertOAuthCode(ctx context.Context, q *gen.Queries, c *keystile.OAuthCode) error {
	g := &c.Grant
	return q.InsertOAuthCode(ctx, gen.InsertOAuthCodeParams{
		Digest: c.Digest[:], PepperID: c.PepperID, GrantID: g.ID, ClientID: g.ClientID, UserID: g.UserID, SessionID: g.SessionID,
		Scopes: joinList(g.Scopes), Audiences: joinList(g.Audiences), Methods: joinList(g.Methods), AuthenticatedAt: micros(g.AuthenticatedAt),
		Nonce: clean(g.Nonce), Thumbprint: g.Thumbprint, RedirectUri: c.RedirectURI, Challenge: c.Challenge,
		CreatedAt: micros(c.CreatedAt), ExpiresAt: micros(c.ExpiresAt),
		UserinfoClaims: joinList(g.UserinfoClaims), IDTokenClaims: joinList(g.IDTokenClaims), Acr: g.ACR,
	})
}

// FindOAuthCode finds the code with one of 1 to 3 digests, spent and expired ones
// too. None is [keystile.ErrNotFound].
func (s *Store) FindOAuthCode(ctx context.Context, digests [][32]byte) (keystile.OAuthCode, error) {
	const op = "look up a code"
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.OAuthCode{}, err
	}
	rows, err := s.lookups.FindOAuthCodes(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return keystile.OAuthCode{}, s.fail(op, err)
	}
	if len(rows) == 0 {
		return keystile.OAuthCode{}, errUnknownDigest
	}
	row := rows[0]
	digest, err := digestOf(row.Digest)
	return keystile.OAuthCode{
		Digest: digest, PepperID: row.PepperID, RedirectURI: row.RedirectUri, Challenge: row.Challenge,
		Grant: keystile.OAuthGrant{
			ID: row.GrantID, ClientID: row.ClientID, UserID: row.UserID, SessionID: row.SessionID, Scopes: splitList[keystile.Scope](row.Scopes),
			Audiences: splitList[string](row.Audiences), Methods: splitList[keystile.AuthMethod](row.Methods), AuthenticatedAt: timeOf(row.AuthenticatedAt),
			Nonce: row.Nonce, Thumbprint: row.Thumbprint,
			UserinfoClaims: splitList[string](row.UserinfoClaims), IDTokenClaims: splitList[string](row.IDTokenClaims), ACR: row.Acr,
		},
		CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt), ConsumedAt: nullTimeOf(row.ConsumedAt),
	}, s.fail(op, err)
}

// OAuthIssue is what one token request gives: in one transaction, or not at all.
type OAuthIssue struct {
	// At is the moment: what ended by then is not spent.
	At time.Time
	// Code is the digest of the code that is spent for it; nil: none.
	Code *[32]byte
	// Device is the digest of the device code that is spent for it; nil: none.
	Device *[32]byte
	// Refresh is the digest of the refresh token that is spent for it; nil: none. It
	// remembers Answer and NextRefresh as its successor.
	Refresh *[32]byte
	Answer  []byte
	// Grant is a new grant; nil: none.
	Grant *keystile.OAuthGrant
	// Token is the new access token.
	Token keystile.OAuthToken
	// NextRefresh is the new refresh token; nil: none.
	NextRefresh *keystile.OAuthRefreshToken
}

// IssueOAuth writes what a token request gives and says whether it did: false means
// that its code or refresh token was spent before or had ended. Of any number of
// requests with one, on whatever servers, exactly one is true. After an error
// nothing can be told.
//
// The rows are the record of the issuing: there is no audit event (rulings R32).
func (s *Store) IssueOAuth(ctx context.Context, o OAuthIssue) (issued bool, err error) {
	const op = "issue tokens"
	if err := s.writable(); err != nil {
		return false, err
	}
	if o.Code == nil && o.Device == nil && o.Refresh == nil && o.Grant == nil && o.NextRefresh == nil {
		return true, s.fail(op, insertOAuthToken(ctx, gen.New(s.writer), &o.Token)) // one statement is a transaction
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var err error
		issued, err = issueOne(ctx, gen.New(s.prepared(tx)), &o)
		return err
	})
	return issued && err == nil, s.fail(op, err)
}

func issueOne(ctx context.Context, q *gen.Queries, o *OAuthIssue) (bool, error) {
	if spent, err := spend(ctx, q, o); err != nil || !spent {
		return false, err
	}
	if g := o.Grant; g != nil {
		err := q.InsertOAuthGrant(ctx, gen.InsertOAuthGrantParams{
			ID: g.ID, ClientID: g.ClientID, UserID: g.UserID, SessionID: g.SessionID, Scopes: joinList(g.Scopes), Audiences: joinList(g.Audiences),
			Methods: joinList(g.Methods), AuthenticatedAt: micros(g.AuthenticatedAt), Nonce: clean(g.Nonce), Thumbprint: g.Thumbprint, Provider: g.ProviderName,
			CreatedAt: micros(g.CreatedAt), ExpiresAt: micros(g.ExpiresAt),
			UserinfoClaims: joinList(g.UserinfoClaims), IDTokenClaims: joinList(g.IDTokenClaims), Acr: g.ACR,
		})
		if err != nil {
			return false, err
		}
	}
	if err := insertOAuthToken(ctx, q, &o.Token); err != nil {
		return false, err
	}
	if n := o.NextRefresh; n != nil {
		return true, q.InsertOAuthRefreshToken(ctx, gen.InsertOAuthRefreshTokenParams{
			Digest: n.Digest[:], PepperID: n.PepperID, GrantID: n.GrantID, CreatedAt: micros(n.CreatedAt), ExpiresAt: micros(n.ExpiresAt),
			Successor: []byte{}, Answer: []byte{},
		})
	}
	return true, nil
}

// spend spends what the tokens are given for.
func spend(ctx context.Context, q *gen.Queries, o *OAuthIssue) (bool, error) {
	if o.Code != nil {
		n, err := q.ConsumeOAuthCode(ctx, nullMicros(o.At), o.Code[:])
		if err != nil || n != 1 {
			return false, err
		}
	}
	if o.Device != nil {
		if spent, err := spendDevice(ctx, q, o.Device[:], o.At); err != nil || !spent {
			return false, err
		}
	}
	if o.Refresh != nil {
		n, err := q.ConsumeOAuthRefreshToken(ctx, nullMicros(o.At), o.NextRefresh.Digest[:], append([]byte{}, o.Answer...), o.Refresh[:])
		if err != nil || n != 1 {
			return false, err
		}
	}
	return true, nil
}

// oauthTokenColumns are those that a new token has.
const oauthTokenColumns = "oauth_tokens (digest, id, pepper_id, grant_id, client_id, user_id, scopes, audiences, thumbprint, actor, parent, certificate, created_at, expires_at)"

// CreateOAuthTokens writes tokens that nothing is spent for, all or none, in one
// transaction. The rows are the record of the issuing: there is no audit event (rulings R32).
func (s *Store) CreateOAuthTokens(ctx context.Context, tokens []keystile.OAuthToken) error {
	if err := s.writable(); err != nil {
		return err
	}
	rows := make([][]any, len(tokens))
	for i := range tokens {
		t := &tokens[i]
		rows[i] = []any{
			t.Digest[:], t.ID, t.PepperID, t.GrantID, t.ClientID, t.UserID, joinList(t.Scopes), joinList(t.Audiences), t.Thumbprint, t.Actor, t.ParentID,
			t.Certificate, micros(t.CreatedAt), micros(t.ExpiresAt),
		}
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return s.insertKept(ctx, s.prepared(tx), oauthTokenColumns, rows, "")
	})
	return s.fail("issue tokens", err)
}

func insertOAuthToken(ctx context.Context, q *gen.Queries, t *keystile.OAuthToken) error {
	return q.InsertOAuthToken(ctx, gen.InsertOAuthTokenParams{
		Digest: t.Digest[:], ID: t.ID, PepperID: t.PepperID, GrantID: t.GrantID, ClientID: t.ClientID, UserID: t.UserID,
		Scopes: joinList(t.Scopes), Audiences: joinList(t.Audiences), Thumbprint: t.Thumbprint, Actor: t.Actor, Parent: t.ParentID, Certificate: t.Certificate,
		CreatedAt: micros(t.CreatedAt), ExpiresAt: micros(t.ExpiresAt),
	})
}

// FindOAuthRefreshToken finds the refresh token with one of 1 to 3 digests, spent
// and expired ones too. None is [keystile.ErrNotFound].
func (s *Store) FindOAuthRefreshToken(ctx context.Context, digests [][32]byte) (keystile.OAuthRefreshToken, error) {
	const op = "look up a refresh token"
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.OAuthRefreshToken{}, err
	}
	rows, err := s.lookups.FindOAuthRefreshTokens(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return keystile.OAuthRefreshToken{}, s.fail(op, err)
	}
	if len(rows) == 0 {
		return keystile.OAuthRefreshToken{}, errUnknownDigest
	}
	row := rows[0]
	found := keystile.OAuthRefreshToken{
		PepperID: row.PepperID, GrantID: row.GrantID, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt),
		ConsumedAt: nullTimeOf(row.ConsumedAt), Answer: row.Answer,
	}
	if found.Digest, err = digestOf(row.Digest); err != nil {
		return keystile.OAuthRefreshToken{}, s.fail(op, err)
	}
	if len(row.Successor) > 0 {
		found.Successor, err = digestOf(row.Successor)
	}
	return found, s.fail(op, err)
}

// OAuthTokenLookup is what the digest of an access token leads to, as it is now.
type OAuthTokenLookup struct {
	Token  keystile.OAuthToken
	Client keystile.OAuthClient
	// GrantGone: the grant that the token hangs on was revoked or is not there, or the
	// client that it was given to may not work.
	GrantGone bool
	// GrantApplication is what changes of that client are told by.
	GrantApplication string
	// Grant has the members that tell how the user had signed in.
	Grant keystile.OAuthGrant
	// Review and Environment of the client's application; empty: it registered itself.
	Review      keystile.ReviewState
	Environment keystile.Environment
	// Owner is the application's organisation.
	Owner keystile.Organization
	// UserGone: there is a user, and they are disabled or are no more.
	UserGone bool
	// User has the members that a principal shows.
	User keystile.User
	// Tenant is the user's organisation; the zero one without a user.
	Tenant keystile.Organization
	// RoleScopes are those of the user's role.
	RoleScopes []keystile.Scope
	// SiteIDs are the sites of the user's organisation, or without a user the owner's.
	SiteIDs  []string
	Revision int64
}

// FindOAuthToken finds the access token with one of 1 to 3 digests and all that it
// hangs on, with two statements. None is [keystile.ErrNotFound]; whether it is live
// is the caller's to judge.
func (s *Store) FindOAuthToken(ctx context.Context, digests [][32]byte) (OAuthTokenLookup, error) {
	const op = "look up an access token"
	args, err := digestArguments(digests)
	if err != nil {
		return OAuthTokenLookup{}, err
	}
	ctx = s.lookupContext(ctx)
	rows, err := s.lookups.FindOAuthTokens(ctx, args[0], args[1], args[2])
	if err != nil {
		return OAuthTokenLookup{}, s.fail(op, err)
	}
	for _, digest := range args {
		for i := range rows {
			if !bytes.Equal(rows[i].OauthToken.Digest, digest) {
				continue
			}
			found := oauthTokenOf(&rows[i])
			if found.Token.Digest, err = digestOf(rows[i].OauthToken.Digest); err != nil {
				return OAuthTokenLookup{}, s.fail(op, err)
			}
			organization := found.Tenant.ID
			if found.Token.UserID == "" {
				organization = found.Owner.ID
			}
			found.SiteIDs, err = s.lookups.ListSiteIDsOfOrganization(ctx, organization)
			return found, s.fail(op, err)
		}
	}
	return OAuthTokenLookup{}, errUnknownDigest
}

func oauthTokenOf(row *gen.FindOAuthTokensRow) OAuthTokenLookup {
	t := row.OauthToken
	return OAuthTokenLookup{
		Token: keystile.OAuthToken{
			ID: t.ID, PepperID: t.PepperID, GrantID: t.GrantID, ClientID: t.ClientID, UserID: t.UserID, Scopes: splitList[keystile.Scope](t.Scopes),
			Audiences: splitList[string](t.Audiences), Thumbprint: t.Thumbprint, Actor: t.Actor, ParentID: t.Parent, Certificate: t.Certificate,
			CreatedAt: timeOf(t.CreatedAt), ExpiresAt: timeOf(t.ExpiresAt), RevokedAt: nullTimeOf(t.RevokedAt),
		},
		Client:    oauthClientOf(row.OauthClient),
		GrantGone: t.GrantID != "" && row.GrantGone == 1, GrantApplication: row.GrantApplication,
		Grant: keystile.OAuthGrant{
			ID: t.GrantID, SessionID: row.SessionID, ProviderName: row.GrantProvider, Methods: splitList[keystile.AuthMethod](row.Methods), AuthenticatedAt: timeOf(row.AuthenticatedAt),
			ACR: row.Acr,
		},
		Review: keystile.ReviewState(row.Review), Environment: keystile.Environment(row.Environment),
		Owner:    keystile.Organization{ID: row.Owner, TenantID: row.OwnerTenantID, Disabled: row.OwnerDisabled},
		UserGone: t.UserID != "" && (row.UserExists == 0 || row.UserDisabled),
		User: keystile.User{
			ID: t.UserID, OrganizationID: row.Tenant, Username: row.Username, RoleID: row.RoleID, GroupID: row.GroupID, CustomerIDs: splitList[string](row.CustomerIds),
		},
		Tenant: keystile.Organization{
			ID: row.Tenant, TenantID: row.TenantTenantID, Environment: keystile.Environment(row.TenantEnvironment), Disabled: row.TenantDisabled,
		},
		RoleScopes: splitList[keystile.Scope](row.RoleScopes), Revision: row.Revision,
	}
}

// RevokeOAuthToken ends one access token. Ending it again does nothing. organization
// is whose audit chain records it.
func (t *Tx) RevokeOAuthToken(ctx context.Context, token keystile.OAuthToken, organization string) error {
	n, err := t.q.RevokeOAuthToken(ctx, nullMicros(t.now), token.Digest[:])
	if err != nil || n == 0 {
		return t.fail("revoke access token "+token.ID, err)
	}
	// What was exchanged for it ends with it, and what was exchanged for that.
	ended := []string{token.ID}
	for i := 0; i < len(ended); i++ {
		children, err := t.q.RevokeOAuthTokensOf(ctx, nullMicros(t.now), ended[i])
		if err != nil {
			return t.fail("revoke what was exchanged for access token "+token.ID, err)
		}
		ended = append(ended, children...)
	}
	for _, id := range ended {
		t.Announce(keystile.ChangeOAuthToken, id)
	}
	return t.Record(ctx, organization, "access_token.revoke", "access_token:"+token.ID, map[string]any{"client": token.ClientID})
}

// PurgeOAuth deletes at most limit of each of what ended before an instant, oldest
// first, and says how many of the most. Each is a transaction of its own.
func (s *Store) PurgeOAuth(ctx context.Context, before time.Time, limit int) (most int64, err error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	at, rows := micros(before), rowLimit(limit)
	var errs []error
	for _, purge := range []func(*gen.Queries) (int64, error){
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthCodes(ctx, at, rows) },
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthTokens(ctx, at, rows) },
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthRefreshTokens(ctx, at, rows) },
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthGrants(ctx, at, rows) },
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthRequests(ctx, at, rows) },
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthDevices(ctx, at, rows) },
		func(q *gen.Queries) (int64, error) { return q.PurgeOAuthVisits(ctx, at, rows) },
	} {
		var n int64
		err := s.inTx(ctx, func(_ context.Context, tx *sql.Tx) (err error) {
			n, err = purge(gen.New(s.prepared(tx)))
			return err
		})
		most = max(most, n)
		errs = append(errs, err)
	}
	return most, s.fail("purge ended grants", errors.Join(errs...))
}

func oauthGrantOf(row gen.OauthGrant) keystile.OAuthGrant {
	return keystile.OAuthGrant{
		ID: row.ID, ClientID: row.ClientID, UserID: row.UserID, SessionID: row.SessionID, Scopes: splitList[keystile.Scope](row.Scopes),
		Audiences: splitList[string](row.Audiences), Methods: splitList[keystile.AuthMethod](row.Methods), AuthenticatedAt: timeOf(row.AuthenticatedAt),
		Nonce: row.Nonce, Thumbprint: row.Thumbprint, ProviderName: row.Provider, UserinfoClaims: splitList[string](row.UserinfoClaims), IDTokenClaims: splitList[string](row.IDTokenClaims), ACR: row.Acr,
		CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt),
	}
}
