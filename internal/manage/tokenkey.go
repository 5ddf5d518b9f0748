package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// KeysetToken is the name of the sealed token keys in the store.
const KeysetToken = "token"

// longestTokenLife is the longest life of a token that configuration allows.
const longestTokenLife = 720 * time.Hour

// TokenKey is a key that session tokens are signed with.
type TokenKey = keyring.TokenKey

// NewTokenKey says what the next key of a line is to be.
type NewTokenKey struct {
	// Algorithm; empty: EdDSA.
	Algorithm keystile.SigningAlgorithm
	// OrganizationID is whose tokens an HS256 key signs; empty: everybody's without one.
	OrganizationID string
	// Secret is the HS256 secret to take; empty: one is drawn.
	Secret keystile.Secret
	// Ahead is how long it is published before it signs; nil: [keyring.PublishAhead]
	// for a public key, and not at all for a secret.
	Ahead *time.Duration
}

// Token keys are everybody's: a token bound to one organisation neither sees nor
// changes them.

// RotateTokenKey makes the next key of a line. The one before it goes on signing
// until then, and verifies until its last token has ended. Of an HS256 key whose
// secret was drawn the secret is returned, this once.
func (s *Service) RotateTokenKey(ctx context.Context, a store.Actor, in NewTokenKey) (TokenKey, keystile.Secret, error) {
	if err := s.global("rotate a token key"); err != nil {
		return TokenKey{}, "", err
	}
	rotation, err := s.rotation(in)
	if err != nil {
		return TokenKey{}, "", err
	}
	var secret keystile.Secret
	key, err := change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (TokenKey, error) {
		if in.OrganizationID != "" {
			if _, err := tx.Organization(ctx, in.OrganizationID); err != nil {
				return TokenKey{}, fmt.Errorf("organization %q: %w", in.OrganizationID, err)
			}
		}
		set, err := s.tokenSet(ctx, tx)
		if err != nil {
			return TokenKey{}, err
		}
		next, key, err := set.Rotate(rotation)
		if err != nil {
			return TokenKey{}, fmt.Errorf("rotate a token key: %w", err)
		}
		if in.Secret == "" {
			secret = next.Secret(key.ID)
		}
		return key, s.putTokenSet(ctx, tx, next, "token_key.rotate", key)
	})
	return key, secret, err
}

func (s *Service) rotation(in NewTokenKey) (keyring.TokenRotation, error) {
	r := keyring.TokenRotation{
		Algorithm: in.Algorithm, OrganizationID: in.OrganizationID, Secret: in.Secret, Now: s.now(), Life: s.TokenLife, Random: s.Random,
	}
	if r.Algorithm == "" {
		r.Algorithm = keystile.EdDSA
	}
	if r.Life == 0 {
		r.Life = longestTokenLife
	}
	switch {
	case in.Ahead != nil && (*in.Ahead < 0 || *in.Ahead > longestTokenLife):
		return r, keystile.Invalidf("ahead", "use 0s to 720h", "%s is no time to publish a key before it signs", *in.Ahead)
	case in.Ahead != nil:
		r.Ahead = *in.Ahead
	case r.Algorithm != keystile.HS256:
		r.Ahead = keyring.PublishAhead
	}
	return r, nil
}

// EnsureTokenKeys makes the first key of each algorithm that has none.
func (s *Service) EnsureTokenKeys(ctx context.Context, a store.Actor, algorithms ...keystile.SigningAlgorithm) error {
	for _, algorithm := range algorithms {
		rotation, err := s.rotation(NewTokenKey{Algorithm: algorithm})
		if err != nil {
			return err
		}
		err = s.Store.Mutate(ctx, a, func(ctx context.Context, tx *store.Tx) error {
			set, err := s.tokenSet(ctx, tx)
			if err != nil {
				return err
			}
			if _, there := set.Signing(algorithm, "", rotation.Now); there {
				return nil
			}
			next, key, err := set.Rotate(rotation)
			if err != nil {
				return fmt.Errorf("make a token key: %w", err)
			}
			return s.putTokenSet(ctx, tx, next, "token_key.create", key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RevokeTokenKey ends a key at once, and every token that it signed. If nothing of
// its line is left to sign with, the next key is made and signs at once; of an
// HS256 key the new secret must then be fetched by rotating again, or given.
func (s *Service) RevokeTokenKey(ctx context.Context, a store.Actor, id string) (TokenKey, error) {
	if err := s.global("revoke a token key"); err != nil {
		return TokenKey{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (TokenKey, error) {
		set, err := s.tokenSet(ctx, tx)
		if err != nil {
			return TokenKey{}, err
		}
		now := s.now()
		next, removed, err := set.Remove(id, now)
		if err != nil {
			return TokenKey{}, err
		}
		_, signs := next.Signing(removed.Algorithm, removed.OrganizationID, now)
		// An organisation without a secret of its own has the general one again.
		if !signs && removed.OrganizationID == "" {
			rotation, err := s.rotation(NewTokenKey{Algorithm: removed.Algorithm})
			if err != nil {
				return TokenKey{}, err
			}
			if next, _, err = next.Rotate(rotation); err != nil {
				return TokenKey{}, fmt.Errorf("make the next token key: %w", err)
			}
		}
		// Tokens that are remembered as good are proven again.
		tx.Announce(keystile.ChangeAll, "")
		return removed, s.putTokenSet(ctx, tx, next, "token_key.revoke", removed)
	})
}

// TokenKeys lists the token keys by id.
func (s *Service) TokenKeys(ctx context.Context, page store.Page) ([]TokenKey, error) {
	if s.boundTo() != "" {
		return nil, nil
	}
	set, err := s.TokenSet(ctx)
	if err != nil {
		return nil, err
	}
	keys := set.Keys()
	slices.SortFunc(keys, func(a, b TokenKey) int { return strings.Compare(a.ID, b.ID) })
	keys = slices.DeleteFunc(keys, func(k TokenKey) bool { return k.ID <= page.AfterID })
	if page.Limit > 0 && len(keys) > page.Limit {
		keys = keys[:page.Limit]
	}
	return keys, nil
}

// TokenSet reads the token keys with their material, for the server itself.
func (s *Service) TokenSet(ctx context.Context) (*keyring.TokenSet, error) {
	return s.tokenSet(ctx, s.Store)
}

type keysetReader interface {
	Keyset(ctx context.Context, name string) ([]byte, error)
}

func (s *Service) tokenSet(ctx context.Context, from keysetReader) (*keyring.TokenSet, error) {
	sealed, err := from.Keyset(ctx, KeysetToken)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return nil, fmt.Errorf("read the token keys: %w", err)
	}
	set, err := keyring.OpenTokenSet(s.Sealer, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the token keys: %w", err)
	}
	return set, nil
}

func (s *Service) putTokenSet(ctx context.Context, tx *store.Tx, set *keyring.TokenSet, action string, key TokenKey) error {
	sealed, err := set.Seal(s.Sealer)
	if err != nil {
		return fmt.Errorf("seal the token keys: %w", err)
	}
	if err := tx.PutKeyset(ctx, KeysetToken, sealed); err != nil {
		return fmt.Errorf("keep the token keys: %w", err)
	}
	tx.Announce(keystile.ChangeTokenKey, key.ID)
	return tx.Record(ctx, "", action, "token_key:"+key.ID, map[string]any{
		"algorithm": key.Algorithm, "organization": key.OrganizationID, "signs_from": key.SignsFrom.Format(time.RFC3339),
	})
}
