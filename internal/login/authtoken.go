package login

import (
	"context"
	"errors"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/store"
)

var errLastFactor = fmt.Errorf("a second factor is required, and this is the last one; add another first: %w", keystile.ErrConflict)

// authTokenLength is the length of a personal API key: base62, without a prefix.
const authTokenLength = 32

// AuthToken shows the user's personal API key (auth_token), which is made if there is none.
func (s *Service) AuthToken(ctx context.Context, c Caller, sid string) (keystile.Secret, error) {
	l, err := s.strong(ctx, sid)
	if err != nil {
		return "", err
	}
	kept, err := s.o.Store.AuthToken(ctx, l.User.ID)
	if notFound(err) {
		return s.setAuthToken(ctx, c, l, false)
	}
	if err != nil {
		return "", err
	}
	return s.shown(ctx, c, l, kept)
}

// shown opens a personal API key that is live; one that was revoked is replaced.
func (s *Service) shown(ctx context.Context, c Caller, l store.SessionLookup, kept store.AuthToken) (keystile.Secret, error) {
	key, err := s.o.Store.APIKey(ctx, kept.APIKeyID)
	if err != nil && !notFound(err) {
		return "", err
	}
	if err != nil || !key.RevokedAt.IsZero() {
		return s.setAuthToken(ctx, c, l, false)
	}
	plain, err := s.o.Sealer.Open(kept.Sealed, store.AuthTokenPlace(l.User.ID))
	return keystile.Secret(plain), err
}

// ResetAuthToken replaces the personal API key. The old one and every session it opened end.
func (s *Service) ResetAuthToken(ctx context.Context, c Caller, sid string) (keystile.Secret, error) {
	l, err := s.strong(ctx, sid)
	if err != nil {
		return "", err
	}
	return s.setAuthToken(ctx, c, l, true)
}

// setAuthToken makes a personal API key. replace: the one that is there ends; else it is shown, if
// somebody else made it meanwhile.
func (s *Service) setAuthToken(ctx context.Context, c Caller, l store.SessionLookup, replace bool) (keystile.Secret, error) {
	text, errText := s.base62(authTokenLength)
	id, errID := s.base62(16)
	if err := errors.Join(errText, errID); err != nil {
		return "", err
	}
	sealed, err := s.o.Sealer.Seal([]byte(text), store.AuthTokenPlace(l.User.ID))
	if err != nil {
		return "", err
	}
	key := keystile.APIKey{
		ID: "key_" + id, OrganizationID: l.User.OrganizationID, UserID: l.User.ID, Name: "Personal key of " + l.User.Username,
		Environment: l.Organization.Environment, Hint: text[:4],
	}
	secret := keystile.APIKeySecret{KeyID: key.ID}
	secret.Digest, secret.PepperID = s.o.Digester.Digest(apikey.Sum(keystile.Secret(text)))
	shown := ""
	err = s.mutate(ctx, actor(c, l.User.ID), func(ctx context.Context, tx *store.Tx) error {
		shown = text
		u, err := s.lockAccount(ctx, tx, l.User.ID)
		if err != nil {
			return err
		}
		old, err := tx.AuthToken(ctx, u.ID)
		if err != nil && !notFound(err) {
			return err
		}
		if err == nil {
			if kept, live, err := s.liveToken(ctx, tx, u, old); err != nil || live && !replace {
				shown = kept
				return err
			}
			if err := tx.RevokeAPIKey(ctx, old.APIKeyID, s.now()); err != nil && !notFound(err) {
				return err
			}
		}
		return errors.Join(
			tx.CreateAPIKey(ctx, key, secret),
			tx.PutAuthToken(ctx, store.AuthToken{UserID: u.ID, APIKeyID: key.ID, Sealed: sealed}),
		)
	})
	return keystile.Secret(shown), err
}

// liveToken opens a personal API key if its record is live.
func (s *Service) liveToken(ctx context.Context, tx *store.Tx, u keystile.User, kept store.AuthToken) (text string, live bool, err error) {
	key, err := tx.APIKey(ctx, kept.APIKeyID)
	if notFound(err) || err == nil && !key.RevokedAt.IsZero() {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	plain, err := s.o.Sealer.Open(kept.Sealed, store.AuthTokenPlace(u.ID))
	return string(plain), true, err
}
