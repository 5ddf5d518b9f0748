package login

import (
	"context"
	"slices"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Renew reads a session again with its user: for refreshed tokens. Revoked, expired, or of a
// user or organisation that is gone or disabled: ErrSessionEnded.
func (s *Service) Renew(ctx context.Context, _ Caller, sid string) (keystile.Session, keystile.User, error) {
	l, err := s.live(ctx, sid)
	if err != nil {
		return keystile.Session{}, keystile.User{}, err
	}
	s.uses.add(l.Session, s.now())
	return l.Session, l.User, nil
}

// live reads a session that is good.
func (s *Service) live(ctx context.Context, sid string) (store.SessionLookup, error) {
	l, err := s.o.Store.FindSession(ctx, sid)
	if notFound(err) {
		return l, ErrSessionEnded
	}
	if err != nil {
		return l, err
	}
	if !l.Live(s.now()) {
		return l, ErrSessionEnded
	}
	return l, nil
}

// Logout ends a session, and so every token minted from it. Ending one that has ended is no error.
func (s *Service) Logout(ctx context.Context, c Caller, sid string) error {
	session, err := s.o.Store.Session(ctx, sid)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.mutate(ctx, actor(c, session.UserID), func(ctx context.Context, tx *store.Tx) error {
		err := tx.RevokeSession(ctx, sid)
		if notFound(err) { // purged meanwhile
			return nil
		}
		return err
	})
}

// Replace ends a session that another one of the same browser took the place of. Where
// both are one user's, who only proved once more who they are, the clients that the old
// one signed in to stay signed in: they are told when the new one ends.
func (s *Service) Replace(ctx context.Context, c Caller, old, now string) error {
	had, err := s.o.Store.Session(ctx, old)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	has, err := s.o.Store.Session(ctx, now)
	if err != nil {
		return err
	}
	return s.mutate(ctx, actor(c, had.UserID), func(ctx context.Context, tx *store.Tx) error {
		if had.UserID == has.UserID {
			if err := tx.MoveOAuthVisits(ctx, old, has); err != nil {
				return err
			}
		}
		err := tx.RevokeSession(ctx, old)
		if notFound(err) { // purged meanwhile
			return nil
		}
		return err
	})
}

// Sessions lists the live sessions of the user, newest first.
func (s *Service) Sessions(ctx context.Context, sid string) ([]keystile.Session, error) {
	l, err := s.live(ctx, sid)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Store.Sessions(ctx, store.SessionFilter{UserID: l.User.ID, Now: s.now()})
	slices.SortFunc(list, func(a, b keystile.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list, err
}

// RevokeSession ends another session of the same user. Somebody else's is keystile.ErrNotFound.
func (s *Service) RevokeSession(ctx context.Context, c Caller, sid, other string) error {
	l, err := s.live(ctx, sid)
	if err != nil {
		return err
	}
	theirs, err := s.o.Store.Session(ctx, other)
	if err != nil {
		return err
	}
	if theirs.UserID != l.User.ID {
		return keystile.ErrNotFound
	}
	return s.Logout(ctx, c, other)
}

// fresh is how old a sign-in may be for what a thief of a session would want to do.
const fresh = 15 * time.Minute

// strong reads a session that may change how its user signs in: fresh, opened by the user in
// person, and with a second factor if they have one.
func (s *Service) strong(ctx context.Context, sid string) (store.SessionLookup, error) {
	l, err := s.live(ctx, sid)
	if err != nil {
		return l, err
	}
	if s.now().Sub(l.Session.AuthenticatedAt) > fresh || l.Session.APIKeyID != "" {
		return l, ErrStepUp
	}
	if slices.Contains(l.Session.Methods, keystile.MethodMFA) {
		return l, nil
	}
	found := store.UserLookup{Organization: l.Organization, Role: l.Role}
	policy := s.policyOf(l.User, found)
	factors, err := s.o.Store.Factors(ctx, l.User.ID)
	if err != nil {
		return l, err
	}
	if policy == keystile.MFARequired || policy != keystile.MFAOff && len(factors) > 0 {
		return l, ErrStepUp
	}
	return l, nil
}

// uses gathers when sessions were last used, for one write of many.
type uses struct {
	mu      sync.Mutex
	pending map[string]time.Time
}

const (
	// maxUses bounds the memory of what is not written yet.
	maxUses = 131_072
	// useEvery is how far the time of a last use may lag.
	useEvery = 5 * time.Minute
)

func newUses() *uses { return &uses{pending: map[string]time.Time{}} }

func (u *uses) add(session keystile.Session, at time.Time) {
	if at.Sub(session.LastUsedAt) < useEvery {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) < maxUses {
		u.pending[session.ID] = at
	}
}

func (s *Service) writeUses(ctx context.Context) {
	s.uses.mu.Lock()
	pending := s.uses.pending
	s.uses.pending = map[string]time.Time{}
	s.uses.mu.Unlock()
	all := make([]store.SessionUse, 0, len(pending))
	for id, at := range pending {
		all = append(all, store.SessionUse{SessionID: id, At: at})
	}
	for batch := range slices.Chunk(all, purgeBatch) {
		if err := s.o.Store.TouchSessions(ctx, batch); err != nil {
			s.o.Logger.ErrorContext(ctx, "the use of sessions could not be recorded", "sessions", len(batch), "error", err)
		}
	}
}
