package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// SessionLookup is a session with all that says whether it is good and what its user may do.
type SessionLookup struct {
	Session      keystile.Session
	User         keystile.User
	Organization keystile.Organization
	// Role is the user's; the zero Role where they have none.
	Role keystile.Role
	// SiteIDs are all sites of the user's organisation.
	SiteIDs []string
	// ParentsLive: the API key that opened it is live, and the provider that vouched for the user enabled.
	ParentsLive bool
	// Revision of the feed, read no later than the rest: a cache drops what it
	// read before a newer change of the same thing.
	Revision int64
}

// Live says whether the session is good at a moment: not over, not revoked, and with it everything it hangs on.
func (l SessionLookup) Live(now time.Time) bool {
	return l.Session.RevokedAt.IsZero() && now.Before(l.Session.ExpiresAt) && !l.User.Disabled && !l.Organization.Disabled && l.ParentsLive
}

// errUnknownSession is made once: a flood of unknown ids must cost little.
var errUnknownSession = fmt.Errorf("no session has that id: %w", keystile.ErrNotFound)

// FindSession finds a session with its user, organisation, role and sites: two statements by index. None is
// [keystile.ErrNotFound]; whether it is good is for [SessionLookup.Live] to say.
func (s *Store) FindSession(ctx context.Context, sid string) (SessionLookup, error) {
	const op = "look up a session"
	if !keystile.ValidID(sid) {
		return SessionLookup{}, errUnknownSession
	}
	ctx = s.lookupContext(ctx)
	row, err := s.lookups.FindSession(ctx, nullMicros(s.now()), sid)
	if errors.Is(err, sql.ErrNoRows) {
		return SessionLookup{}, errUnknownSession
	}
	if err != nil {
		return SessionLookup{}, s.fail(op, err)
	}
	found := SessionLookup{
		Session: sessionOf(row.Session), ParentsLive: row.ParentsLive, Revision: row.Revision,
		Role: keystile.Role{ID: row.RoleID, Name: row.RoleName, Scopes: splitList[keystile.Scope](row.RoleScopes), MFA: keystile.MFAPolicy(row.RoleMfa)},
	}
	if found.User, err = userOf(row.User); err != nil {
		return SessionLookup{}, s.fail(op, err)
	}
	if found.Organization, err = organizationOf(row.Organization); err != nil {
		return SessionLookup{}, s.fail(op, err)
	}
	found.SiteIDs, err = s.lookups.ListSiteIDsOfOrganization(ctx, found.Organization.ID)
	return found, s.fail(op, err)
}

// Session reads one session.
func (r *reads) Session(ctx context.Context, id string) (keystile.Session, error) {
	row, err := r.q.GetSession(ctx, id)
	if err != nil {
		return keystile.Session{}, r.fail("read session "+clip(id), err)
	}
	return sessionOf(row), nil
}

// SessionFilter chooses live sessions.
type SessionFilter struct {
	Page
	// UserID or OrganizationID: only theirs; both empty: all.
	UserID         string
	OrganizationID string
	// Now says which are live.
	Now time.Time
}

// Sessions lists live sessions by id.
func (r *reads) Sessions(ctx context.Context, f SessionFilter) ([]keystile.Session, error) {
	var rows []gen.Session
	var err error
	switch {
	case f.UserID != "":
		rows, err = r.q.ListSessionsOfUser(ctx, f.UserID, f.AfterID, micros(f.Now), rowLimit(f.Limit))
	case f.OrganizationID != "":
		rows, err = r.q.ListSessionsOfOrganization(ctx, f.OrganizationID, f.AfterID, micros(f.Now), rowLimit(f.Limit))
	default:
		rows, err = r.q.ListSessions(ctx, f.AfterID, micros(f.Now), rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list sessions", err)
	}
	sessions := make([]keystile.Session, len(rows))
	for i, row := range rows {
		sessions[i] = sessionOf(row)
	}
	return sessions, nil
}

// CreateSession adds a session. It writes no audit event: the row is the record (rulings R32).
func (t *Tx) CreateSession(ctx context.Context, s keystile.Session) error {
	if err := checkID("id", s.ID); err != nil {
		return err
	}
	if err := checkList("methods", s.Methods); err != nil {
		return err
	}
	n, err := t.q.InsertSession(ctx, sessionRow(s))
	if err != nil {
		return t.fail("create a session", err)
	}
	if n == 0 {
		return conflict("session %q exists already", s.ID)
	}
	return nil
}

// RevokeSession ends a session. Ending it again does nothing.
func (t *Tx) RevokeSession(ctx context.Context, id string) error {
	s, err := t.Session(ctx, id)
	if err != nil || !s.RevokedAt.IsZero() {
		return err
	}
	n, err := t.q.RevokeSession(ctx, nullMicros(t.now), id)
	if err != nil || n == 0 {
		return t.fail("revoke session "+id, err)
	}
	if err := t.q.EndOAuthVisits(ctx, nullMicros(t.now), id); err != nil {
		return t.fail("revoke session "+id, err)
	}
	t.Announce(keystile.ChangeSession, id)
	return t.Record(ctx, s.OrganizationID, "session.revoke", "session:"+id, map[string]any{"user": s.UserID})
}

// RevokeSessionsOfUser ends all live sessions of a user but the one whose id is keep; empty: all. The change it
// tells is the user's, whatever their number.
func (t *Tx) RevokeSessionsOfUser(ctx context.Context, u keystile.User, keep string) error {
	ids, err := t.q.RevokeSessionsOfUser(ctx, nullMicros(t.now), u.ID, keep)
	if err != nil {
		return t.fail("revoke the sessions of user "+u.ID, err)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := t.q.EndOAuthVisitsOfUser(ctx, nullMicros(t.now), u.ID, keep); err != nil {
		return t.fail("revoke the sessions of user "+u.ID, err)
	}
	t.Announce(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "session.revoke_all", "user:"+u.ID, map[string]any{"sessions": len(ids)})
}

// endSessionsOfKey ends the sessions that an API key opened: they never outlive it.
func (t *Tx) endSessionsOfKey(ctx context.Context, keyID string) error {
	ids, err := t.q.RevokeSessionsOfKey(ctx, nullMicros(t.now), keyID)
	if err != nil {
		return t.fail("revoke the sessions of API key "+keyID, err)
	}
	if err := t.q.EndOAuthVisitsOfKey(ctx, nullMicros(t.now), keyID); err != nil {
		return t.fail("revoke the sessions of API key "+keyID, err)
	}
	t.announceSessions(ids)
	return nil
}

// endSessionsOfProvider ends the sessions that an identity provider vouched for.
func (t *Tx) endSessionsOfProvider(ctx context.Context, name string) error {
	ids, err := t.q.RevokeSessionsOfProvider(ctx, nullMicros(t.now), name)
	if err != nil {
		return t.fail("revoke the sessions of identity provider "+name, err)
	}
	if err := t.q.EndOAuthVisitsOfProvider(ctx, nullMicros(t.now), name); err != nil {
		return t.fail("revoke the sessions of identity provider "+name, err)
	}
	t.announceSessions(ids)
	return nil
}

// maxAnnounced is how many sessions are told of one by one; of more, caches drop everything.
const maxAnnounced = 1000

func (t *Tx) announceSessions(ids []string) {
	if len(ids) > maxAnnounced {
		t.Announce(keystile.ChangeAll, "")
		return
	}
	for _, id := range ids {
		t.Announce(keystile.ChangeSession, id)
	}
}

// SessionUse notes that a session was used.
type SessionUse struct {
	SessionID string
	At        time.Time
}

// TouchSessions writes a batch of uses: the time each session was last used, where
// it is later than what is there. It writes no audit event and no change.
func (s *Store) TouchSessions(ctx context.Context, uses []SessionUse) error {
	if err := s.writable(); err != nil {
		return err
	}
	if len(uses) == 0 {
		return nil
	}
	all := make([]APIKeyUse, len(uses))
	for i, u := range uses {
		all[i] = APIKeyUse{KeyID: u.SessionID, At: u.At}
	}
	latest := latestUses(all)
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.touch(ctx, tx, "sessions", latest) })
	return s.fail("note the use of sessions", err)
}

// PinIdentity says which user a provider means by a subject: the one pinned before, or userID,
// which is pinned now. A user whom the provider knows by another subject is [keystile.ErrConflict].
func (t *Tx) PinIdentity(ctx context.Context, provider, issuer, subject, userID string) error {
	if err := checkTexts(text{"issuer", issuer}, text{"subject", subject}); err != nil {
		return err
	}
	n, err := t.q.InsertUserIdentity(ctx, gen.InsertUserIdentityParams{
		ProviderName: provider, Issuer: issuer, Subject: subject, UserID: userID, CreatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("pin an identity of "+clip(provider), err)
	}
	if n == 0 {
		return conflict("the provider knows this user by another subject, or the subject as another user")
	}
	return nil
}

// PinnedUser finds the user that a provider means by a subject; none is [keystile.ErrNotFound].
func (r *reads) PinnedUser(ctx context.Context, provider, issuer, subject string) (userID string, err error) {
	if checkTexts(text{"issuer", issuer}, text{"subject", subject}) != nil {
		return "", errUnknownUser
	}
	userID, err = r.q.FindUserIdentity(ctx, provider, issuer, subject)
	return userID, r.fail("look up an identity of "+clip(provider), err)
}

// AuthToken is a user's personal API key, readable again.
type AuthToken struct {
	UserID   string
	APIKeyID string
	// Sealed is the key, sealed for AuthTokenPlace(UserID).
	Sealed    []byte
	CreatedAt time.Time
}

// AuthTokenPlace is the place a user's personal API key is sealed for.
func AuthTokenPlace(userID string) string { return "auth_tokens/" + userID + "/sealed" }

// AuthToken reads a user's personal API key; none is [keystile.ErrNotFound].
func (r *reads) AuthToken(ctx context.Context, userID string) (AuthToken, error) {
	row, err := r.q.GetAuthToken(ctx, userID)
	if err != nil {
		return AuthToken{}, r.fail("read the personal API key of user "+clip(userID), err)
	}
	return AuthToken{UserID: row.UserID, APIKeyID: row.ApiKeyID, Sealed: row.Sealed, CreatedAt: timeOf(row.CreatedAt)}, nil
}

// PutAuthToken sets which API key is the personal one of a user. What becomes of an older one is the caller's to say.
func (t *Tx) PutAuthToken(ctx context.Context, a AuthToken) error {
	return t.fail("keep the personal API key of user "+clip(a.UserID), t.q.PutAuthToken(ctx, a.UserID, a.APIKeyID, a.Sealed, micros(t.now)))
}

func sessionRow(s keystile.Session) gen.InsertSessionParams {
	return gen.InsertSessionParams{
		ID: s.ID, UserID: s.UserID, OrganizationID: s.OrganizationID, Door: string(s.Door), Methods: joinList(s.Methods),
		AuthenticatedAt: micros(s.AuthenticatedAt), ApiKeyID: s.APIKeyID, ProviderName: s.ProviderName,
		ClientAddr: clean(s.ClientAddr), UserAgent: clean(s.UserAgent), CreatedAt: micros(s.CreatedAt),
		LastUsedAt: nullMicros(s.LastUsedAt), ExpiresAt: micros(s.ExpiresAt), RevokedAt: nullMicros(s.RevokedAt),
	}
}

func sessionOf(row gen.Session) keystile.Session {
	return keystile.Session{
		ID: row.ID, UserID: row.UserID, OrganizationID: row.OrganizationID, Door: keystile.Door(row.Door), Methods: splitList[keystile.AuthMethod](row.Methods),
		AuthenticatedAt: timeOf(row.AuthenticatedAt), APIKeyID: row.ApiKeyID, ProviderName: row.ProviderName,
		ClientAddr: row.ClientAddr, UserAgent: row.UserAgent, CreatedAt: timeOf(row.CreatedAt),
		LastUsedAt: nullTimeOf(row.LastUsedAt), ExpiresAt: timeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt),
	}
}
