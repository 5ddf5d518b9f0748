package manage

import (
	"context"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// SigningStateOf says which state a signing key is in at a moment.
func SigningStateOf(key keystile.SigningKey, now time.Time) KeyState {
	return StateOf(rightsOf(key), now)
}

// SigningKey returns one signing key.
func (s *Service) SigningKey(ctx context.Context, id string) (keystile.SigningKey, error) {
	return s.signingKey(ctx, s.Store, id)
}

// SigningKeys lists signing keys by id.
func (s *Service) SigningKeys(ctx context.Context, filter SigningKeyFilter) ([]keystile.SigningKey, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	keys, err := s.Store.SigningKeys(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	return keys, nil
}

type signingKeyReader interface {
	SigningKey(ctx context.Context, id string) (keystile.SigningKey, error)
}

func (s *Service) signingKey(ctx context.Context, from signingKeyReader, id string) (keystile.SigningKey, error) {
	if !keystile.ValidID(id) {
		return keystile.SigningKey{}, missing("signing key", id)
	}
	key, err := from.SigningKey(ctx, id)
	if err != nil {
		return keystile.SigningKey{}, fmt.Errorf("signing key %q: %w", id, err)
	}
	if !s.sees(key.OrganizationID) {
		return keystile.SigningKey{}, missing("signing key", id)
	}
	return key, nil
}

// UpdateSigningKey lets edit change what a key is called and what it may do:
// Name, PermittedSiteIDs, Scopes, AllowedIPs, Limit, ExpiresAt. Everything else
// stays as it was, whatever edit sets. A revoked key stays as it is
// (keystile.ErrConflict).
func (s *Service) UpdateSigningKey(ctx context.Context, a store.Actor, id string, edit func(*keystile.SigningKey) error) (keystile.SigningKey, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.SigningKey, error) {
		return s.UpdateSigningKeyTx(ctx, tx, id, edit)
	})
}

// UpdateSigningKeyTx is UpdateSigningKey inside a transaction.
func (s *Service) UpdateSigningKeyTx(ctx context.Context, tx *store.Tx, id string, edit func(*keystile.SigningKey) error) (keystile.SigningKey, error) {
	old, err := s.signingKey(ctx, tx, id)
	if err != nil {
		return keystile.SigningKey{}, err
	}
	edited := old
	// The edit gets slices of its own, so that old stays what it was.
	edited.PermittedSiteIDs = slices.Clone(old.PermittedSiteIDs)
	edited.Scopes = slices.Clone(old.Scopes)
	edited.AllowedIPs = slices.Clone(old.AllowedIPs)
	var p problems
	if err := p.take(edit(&edited)); err != nil {
		return keystile.SigningKey{}, err
	}
	key := old
	key.Name, key.Limit = edited.Name, edited.Limit
	key.PermittedSiteIDs, key.Scopes, key.AllowedIPs = edited.PermittedSiteIDs, edited.Scopes, edited.AllowedIPs
	key.ExpiresAt = time.Time{}
	if !edited.ExpiresAt.IsZero() {
		key.ExpiresAt = edited.ExpiresAt.UTC().Truncate(time.Microsecond)
	}
	rights := rightsOf(key)
	if sameKey(rightsOf(old), rights) && len(p) == 0 {
		return old, nil
	}
	if !old.RevokedAt.IsZero() {
		return keystile.SigningKey{}, fmt.Errorf("update signing key %q, which is revoked: %w", id, keystile.ErrConflict)
	}
	checkKeyRights(&p, rights)
	if !key.ExpiresAt.Equal(old.ExpiresAt) {
		p.expiry("expires_at", key.ExpiresAt, s.now())
	}
	if err := s.checkSites(ctx, tx, &p, rights); err != nil {
		return keystile.SigningKey{}, err
	}
	if err := p.err(); err != nil {
		return keystile.SigningKey{}, err
	}
	if err := tx.UpdateSigningKey(ctx, key); err != nil {
		return keystile.SigningKey{}, fmt.Errorf("update signing key %q: %w", id, err)
	}
	return s.signingKey(ctx, tx, id) // the store stamped it
}

// RevokeSigningKey ends a signing key, at once and for good. Revoking a revoked
// key changes nothing.
func (s *Service) RevokeSigningKey(ctx context.Context, a store.Actor, id string) (keystile.SigningKey, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.SigningKey, error) {
		return s.RevokeSigningKeyTx(ctx, tx, id)
	})
}

// RevokeSigningKeyTx is RevokeSigningKey inside a transaction.
func (s *Service) RevokeSigningKeyTx(ctx context.Context, tx *store.Tx, id string) (keystile.SigningKey, error) {
	key, err := s.signingKey(ctx, tx, id)
	if err != nil || !key.RevokedAt.IsZero() {
		return key, err
	}
	if err := tx.RevokeSigningKey(ctx, id, s.now()); err != nil {
		return keystile.SigningKey{}, fmt.Errorf("revoke signing key %q: %w", id, err)
	}
	return s.signingKey(ctx, tx, id)
}

// DeleteSigningKeyTx deletes a signing key inside a transaction. Its api_key is
// never used again.
func (s *Service) DeleteSigningKeyTx(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := s.signingKey(ctx, tx, id); err != nil {
		return err
	}
	if err := tx.DeleteSigningKey(ctx, id); err != nil {
		return fmt.Errorf("delete signing key %q: %w", id, err)
	}
	return nil
}

// SigningRotation says how a signing key is replaced by a new one.
type SigningRotation struct {
	// Overlap is how long the old key stays good, at most [MaxOverlap]; 0 revokes it at once.
	Overlap time.Duration
	// APIKey of the new key; empty: one is drawn.
	APIKey string
	// Secret or PublicKey imports what the new key is verified by; neither: it is generated.
	Secret    keystile.Secret
	PublicKey string
}

// RotateSigningKey makes a new signing key with the algorithm and the rights of
// one that is good, and ends that one after the overlap. The new key has an id
// and an api_key of its own, because callers choose the key by its api_key. A
// revoked or expired key is keystile.ErrConflict.
func (s *Service) RotateSigningKey(ctx context.Context, a store.Actor, id string, r SigningRotation) (MadeSigningKey, error) {
	if r.Overlap < 0 || r.Overlap > MaxOverlap {
		return MadeSigningKey{}, keystile.Invalidf("overlap", "use a duration from 0s to 2160h", "not an overlap")
	}
	old, err := s.rotatable(ctx, s.Store, id)
	if err != nil {
		return MadeSigningKey{}, err
	}
	// Outside the transaction, which would wait for an RSA key to be found.
	ready, err := s.prepareSigningKey(ctx, NewSigningKey{
		OrganizationID: old.OrganizationID, Environment: old.Environment, APIKey: r.APIKey, Algorithm: old.Algorithm,
		Secret: r.Secret, PublicKey: r.PublicKey,
	})
	if err != nil {
		return MadeSigningKey{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (MadeSigningKey, error) {
		return s.replaceSigningKey(ctx, tx, old, ready, r.Overlap)
	})
}

// rotatable is a signing key that may be rotated: one that is good.
func (s *Service) rotatable(ctx context.Context, from signingKeyReader, id string) (keystile.SigningKey, error) {
	key, err := s.signingKey(ctx, from, id)
	if err != nil {
		return key, err
	}
	if state := SigningStateOf(key, s.now()); state != KeyActive {
		return key, fmt.Errorf("rotate signing key %q, which is %s: %w", id, state, keystile.ErrConflict)
	}
	return key, nil
}

func (s *Service) replaceSigningKey(ctx context.Context, tx *store.Tx, seen keystile.SigningKey, ready preparedKey, overlap time.Duration) (MadeSigningKey, error) {
	old, err := s.rotatable(ctx, tx, seen.ID)
	if err != nil {
		return MadeSigningKey{}, err
	}
	if old.Algorithm != seen.Algorithm {
		return MadeSigningKey{}, fmt.Errorf("rotate signing key %q, whose algorithm was changed meanwhile: %w", old.ID, keystile.ErrConflict)
	}
	next := &ready.made.Key
	next.Name, next.Environment, next.PermittedSiteIDs, next.Scopes = old.Name, old.Environment, old.PermittedSiteIDs, old.Scopes
	next.AllowedIPs, next.Limit, next.ExpiresAt = old.AllowedIPs, old.Limit, old.ExpiresAt
	made, err := s.createSigningKey(ctx, tx, ready)
	if err != nil {
		return MadeSigningKey{}, err
	}
	if overlap == 0 {
		// Not an expiry: that could be taken back.
		if err := tx.RevokeSigningKey(ctx, old.ID, s.now()); err != nil {
			return MadeSigningKey{}, fmt.Errorf("revoke signing key %q: %w", old.ID, err)
		}
		return made, nil
	}
	if end := s.now().Add(overlap); old.ExpiresAt.IsZero() || old.ExpiresAt.After(end) {
		old.ExpiresAt = end
		if err := tx.UpdateSigningKey(ctx, old); err != nil {
			return MadeSigningKey{}, fmt.Errorf("end signing key %q: %w", old.ID, err)
		}
	}
	return made, nil
}
