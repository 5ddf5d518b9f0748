package manage

import (
	"context"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// SessionFilter says which live sessions are wanted.
type SessionFilter struct {
	Page
	// OrganizationID or UserID: only theirs; both empty: all that the caller may see.
	OrganizationID string
	UserID         string
}

// Sessions lists live sessions by id.
func (s *Service) Sessions(ctx context.Context, f SessionFilter) ([]keystile.Session, error) {
	organizationID, ok := s.scope(f.OrganizationID)
	if !ok {
		return nil, nil
	}
	if f.UserID != "" {
		u, err := s.User(ctx, f.UserID)
		if err != nil {
			return nil, err
		}
		if organizationID != "" && u.OrganizationID != organizationID {
			return nil, nil
		}
	}
	list, err := s.Store.Sessions(ctx, store.SessionFilter{Page: f.Page, OrganizationID: organizationID, UserID: f.UserID, Now: s.now()})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

// Session returns one session, revoked and expired ones too until they are purged.
func (s *Service) Session(ctx context.Context, id string) (keystile.Session, error) {
	return s.session(ctx, s.Store, id)
}

type sessionReader interface {
	Session(ctx context.Context, id string) (keystile.Session, error)
}

func (s *Service) session(ctx context.Context, from sessionReader, id string) (keystile.Session, error) {
	if !keystile.ValidID(id) {
		return keystile.Session{}, missing("session", id)
	}
	session, err := from.Session(ctx, id)
	if err != nil {
		return keystile.Session{}, fmt.Errorf("session %q: %w", id, err)
	}
	if !s.sees(session.OrganizationID) {
		return keystile.Session{}, missing("session", id)
	}
	return session, nil
}

// RevokeSession ends a session, and so every token minted from it. Revoking it again
// changes nothing. A token ends no session of somebody who may do more than itself.
func (s *Service) RevokeSession(ctx context.Context, a store.Actor, id string) (keystile.Session, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Session, error) {
		session, err := s.session(ctx, tx, id)
		if err != nil || !session.RevokedAt.IsZero() {
			return session, err
		}
		if _, err := s.userToChange(ctx, tx, session.UserID); err != nil {
			return keystile.Session{}, err
		}
		if err := tx.RevokeSession(ctx, id); err != nil {
			return keystile.Session{}, fmt.Errorf("revoke session %q: %w", id, err)
		}
		return s.session(ctx, tx, id)
	})
}
