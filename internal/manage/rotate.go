package manage

import (
	"context"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/store"
)

const (
	// MaxOverlap is the longest time for which a rotated key's old secret stays good.
	MaxOverlap = 90 * 24 * time.Hour
	// maxLiveSecrets bounds how many secrets of one key are good at a time:
	// rotating again and again within the overlap must not pile them up.
	maxLiveSecrets = 8
)

// RotateKey gives a key a new secret and returns it. The key keeps its id and
// its rights. Its older secrets stay good for overlap, at most [MaxOverlap]; 0
// ends them at once. A secret that ends sooner by an earlier rotation keeps
// that end. A revoked or expired key is keystile.ErrConflict.
func (s *Service) RotateKey(ctx context.Context, a store.Actor, id string, overlap time.Duration) (keystile.APIKey, keystile.Secret, error) {
	made, err := change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keyAndSecret, error) {
		key, secret, err := s.RotateKeyTx(ctx, tx, id, overlap)
		return keyAndSecret{key, secret}, err
	})
	return made.key, made.secret, err
}

// RotateKeyTx is RotateKey inside a transaction.
func (s *Service) RotateKeyTx(ctx context.Context, tx *store.Tx, id string, overlap time.Duration) (keystile.APIKey, keystile.Secret, error) {
	var none keystile.APIKey
	if overlap < 0 || overlap > MaxOverlap {
		return none, "", keystile.Invalidf("overlap", "use a duration from 0s to 2160h", "not an overlap")
	}
	key, err := s.nobodysKey(ctx, tx, id)
	if err != nil {
		return none, "", err
	}
	now := s.now()
	if state := StateOf(key, now); state != KeyActive {
		return none, "", fmt.Errorf("rotate API key %q, which is %s: %w", id, state, keystile.ErrConflict)
	}
	if overlap > 0 {
		if err := checkLiveSecrets(ctx, tx, id, now); err != nil {
			return none, "", err
		}
	}
	org, err := tx.Organization(ctx, key.OrganizationID)
	if err != nil {
		return none, "", fmt.Errorf("organization of API key %q: %w", id, err)
	}
	secret, err := apikey.Generate(s.Random, org.KeyPrefix, key.Environment)
	if err != nil {
		return none, "", fmt.Errorf("generate a secret for API key %q: %w", id, err)
	}
	stored := s.keySecret(id, apikey.Sum(secret), now)
	if err := tx.AddAPIKeySecret(ctx, stored, apikey.Hint(secret)); err != nil {
		return none, "", fmt.Errorf("add a secret to API key %q: %w", id, err)
	}
	if err := tx.ExpireAPIKeySecrets(ctx, id, stored.Digest, now.Add(overlap)); err != nil {
		return none, "", fmt.Errorf("end the older secrets of API key %q: %w", id, err)
	}
	key, err = s.key(ctx, tx, id)
	if err != nil {
		return none, "", err
	}
	return key, secret, nil
}

// checkLiveSecrets refuses an overlap that would leave too many secrets good.
func checkLiveSecrets(ctx context.Context, tx *store.Tx, keyID string, now time.Time) error {
	secrets, err := tx.APIKeySecrets(ctx, keyID)
	if err != nil {
		return fmt.Errorf("secrets of API key %q: %w", keyID, err)
	}
	live := 0
	for _, secret := range secrets {
		if secret.ExpiresAt.IsZero() || now.Before(secret.ExpiresAt) {
			live++
		}
	}
	if live >= maxLiveSecrets {
		return keystile.Invalidf("overlap", "rotate with overlap 0s to end the older ones",
			"the key already has %d secrets that are good", live)
	}
	return nil
}
