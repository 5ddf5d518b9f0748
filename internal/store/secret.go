package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// APIKeySecrets lists the secrets of a key, oldest first: their digests, never
// themselves. An unknown key has none.
func (r *reads) APIKeySecrets(ctx context.Context, keyID string) ([]keystile.APIKeySecret, error) {
	rows, err := r.q.ListAPIKeySecrets(ctx, keyID)
	if err != nil {
		return nil, r.fail("list secrets of API key "+clip(keyID), err)
	}
	return mapRows(rows, secretOf, r.fail, "list secrets of API key "+clip(keyID))
}

// AddAPIKeySecret gives a key one more secret, for a rotation. hint replaces
// the key's Hint. A digest that exists is [keystile.ErrConflict]; so is a key
// that has been revoked.
func (t *Tx) AddAPIKeySecret(ctx context.Context, secret keystile.APIKeySecret, hint string) error {
	if err := checkTexts(text{"hint", hint}); err != nil {
		return err
	}
	k, err := t.APIKey(ctx, secret.KeyID)
	if err != nil {
		return err
	}
	if !k.RevokedAt.IsZero() {
		return conflict("API key %q is revoked; create another one", k.ID)
	}
	if err := t.insertSecret(ctx, secret); err != nil {
		return err
	}
	if err := t.q.SetAPIKeyHint(ctx, k.ID, hint, micros(t.now)); err != nil {
		return t.fail("rotate API key "+k.ID, err)
	}
	t.Announce(keystile.ChangeKey, k.ID)
	detail := map[string]any{"hint": fromTo{From: k.Hint, To: hint}}
	if !secret.ExpiresAt.IsZero() {
		detail["expires_at"] = instant(secret.ExpiresAt)
	}
	return t.Record(ctx, k.OrganizationID, "api_key.rotate", "api_key:"+k.ID, detail)
}

// ExpireAPIKeySecrets ends every secret of a key but the one whose digest is
// keep, at the given time; those that end earlier stay as they are.
func (t *Tx) ExpireAPIKeySecrets(ctx context.Context, keyID string, keep [32]byte, at time.Time) error {
	k, err := t.APIKey(ctx, keyID)
	if err != nil {
		return err
	}
	if at.IsZero() {
		return keystile.Invalidf("expires_at", "give a time", "a secret cannot end at no time")
	}
	n, err := t.q.ExpireOtherAPIKeySecrets(ctx, nullMicros(at), keyID, keep[:])
	if err != nil {
		return t.fail("end secrets of API key "+keyID, err)
	}
	if err := t.q.ExpireForeignSecretOfKey(ctx, nullMicros(at), keyID); err != nil {
		return t.fail("end secrets of API key "+keyID, err)
	}
	if n == 0 {
		return nil
	}
	t.Announce(keystile.ChangeKey, keyID)
	return t.Record(ctx, k.OrganizationID, "api_key.expire_secrets", "api_key:"+keyID, map[string]any{"expires_at": instant(at), "secrets": n})
}

func (t *Tx) insertSecret(ctx context.Context, secret keystile.APIKeySecret) error {
	if secret.Digest == [32]byte{} || secret.PepperID == "" {
		return keystile.Invalidf("secret", "give its digest and the pepper's id", "the secret of API key %q has no digest", secret.KeyID)
	}
	if secret.CreatedAt.IsZero() {
		secret.CreatedAt = t.now
	}
	n, err := t.q.InsertAPIKeySecret(ctx, gen.InsertAPIKeySecretParams{
		Digest: secret.Digest[:], KeyID: secret.KeyID, PepperID: secret.PepperID,
		CreatedAt: micros(secret.CreatedAt), ExpiresAt: nullMicros(secret.ExpiresAt), LeakedAt: nullMicros(secret.LeakedAt),
	})
	if err != nil {
		return t.fail("add a secret to API key "+secret.KeyID, err)
	}
	if n == 0 {
		return conflict("the secret of API key %q is in use already", secret.KeyID)
	}
	return nil
}

func secretOf(row gen.ApiKeySecret) (keystile.APIKeySecret, error) {
	digest, err := digestOf(row.Digest)
	if err != nil {
		return keystile.APIKeySecret{}, fmt.Errorf("API key %s: %w", row.KeyID, err)
	}
	return keystile.APIKeySecret{
		KeyID: row.KeyID, Digest: digest, PepperID: row.PepperID, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: nullTimeOf(row.ExpiresAt),
		LeakedAt: nullTimeOf(row.LeakedAt),
	}, nil
}

// APIKeyLookup is what a digest leads to.
type APIKeyLookup struct {
	Secret keystile.APIKeySecret
	Key    keystile.APIKey
	// Organization is without its OneTime and MFA, which no API key needs.
	Organization keystile.Organization
	// Owner is the user whose key it is; nil for a key of nobody's.
	Owner *KeyOwner
	// Revision of the feed, read by the same statement: a cache drops what it
	// read before a newer change of the same thing.
	Revision int64
}

// KeyOwner is the user that an API key belongs to, with all that the key may
// do: the user's rights.
type KeyOwner struct {
	User keystile.User
	// Role is the user's; the zero Role where they have none.
	Role keystile.Role
	// SiteIDs are all sites of the user's organisation.
	SiteIDs []string
}

// maxDigests is how many digests one look-up takes: one for each pepper that may be in use.
const maxDigests = 3

// digestArguments fills the places of an IN list of maxDigests by repeating the first.
func digestArguments(digests [][32]byte) ([maxDigests][]byte, error) {
	var args [maxDigests][]byte
	if len(digests) == 0 || len(digests) > maxDigests {
		return args, fmt.Errorf("look up %d digests: between 1 and %d are possible", len(digests), maxDigests)
	}
	for i := range args {
		args[i] = digests[0][:]
		if i < len(digests) {
			args[i] = digests[i][:]
		}
	}
	return args, nil
}

// FindAPIKeySecret finds the secret with one of 1 to 3 digests, its key and its
// organisation, with one statement, and the key's owner, if it has one, with more. If several match, the first in the order of
// digests counts. None is [keystile.ErrNotFound]; whether the key is live is
// the caller's to judge.
func (s *Store) FindAPIKeySecret(ctx context.Context, digests [][32]byte) (APIKeyLookup, error) {
	const op = "look up an API key"
	if len(digests) == 1 {
		row, err := s.lookups.FindAPIKeySecret(s.lookupContext(ctx), digests[0][:])
		if errors.Is(err, sql.ErrNoRows) {
			return APIKeyLookup{}, errUnknownDigest
		}
		if err != nil {
			return APIKeyLookup{}, s.fail(op, err)
		}
		return s.keyLookup(ctx, (*gen.FindAPIKeySecretsRow)(&row))
	}
	args, err := digestArguments(digests)
	if err != nil {
		return APIKeyLookup{}, err
	}
	rows, err := s.lookups.FindAPIKeySecrets(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return APIKeyLookup{}, s.fail(op, err)
	}
	for _, digest := range args {
		for i := range rows {
			if bytes.Equal(rows[i].Digest, digest) {
				return s.keyLookup(ctx, &rows[i])
			}
		}
	}
	return APIKeyLookup{}, errUnknownDigest
}

// keyLookup is what a row leads to, with the key's owner. The owner is read after
// the revision, so that a change since then is noticed.
func (s *Store) keyLookup(ctx context.Context, row *gen.FindAPIKeySecretsRow) (APIKeyLookup, error) {
	const op = "look up an API key"
	found, err := lookupOf(row)
	if err != nil || found.Key.UserID == "" {
		return found, s.fail(op, err)
	}
	owner, err := s.FindUserByID(ctx, found.Key.UserID)
	if errors.Is(err, keystile.ErrNotFound) {
		return APIKeyLookup{}, errUnknownDigest // deleted meanwhile, and the key with them
	}
	if err != nil {
		return APIKeyLookup{}, err
	}
	sites, err := s.SiteIDs(ctx, found.Key.OrganizationID)
	if err != nil {
		return APIKeyLookup{}, err
	}
	found.Owner = &KeyOwner{User: owner.User, Role: owner.Role, SiteIDs: sites}
	return found, nil
}

// errUnknownDigest is made once: a flood of unknown keys must cost little.
var errUnknownDigest = fmt.Errorf("no credential has that digest: %w", keystile.ErrNotFound)

// lookupContext drops cancellation on SQLite, where watching for it costs more
// than the look-up it could cut short.
func (s *Store) lookupContext(ctx context.Context) context.Context {
	if _, local := s.engine.(*sqliteFile); local {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func lookupOf(row *gen.FindAPIKeySecretsRow) (APIKeyLookup, error) {
	digest, err := digestOf(row.Digest)
	if err != nil {
		return APIKeyLookup{}, err
	}
	k, err := apiKeyOf(gen.ApiKey{
		ID: row.KeyID, OrganizationID: row.OrganizationID, Name: row.Name, Environment: row.Environment,
		PermittedSiteIds: row.PermittedSiteIds, Scopes: row.Scopes, AllowedIps: row.AllowedIps, Rate: row.Rate, RateAlgorithm: row.RateAlgorithm,
		Hint: row.Hint, ExpiresAt: row.ExpiresAt, RevokedAt: row.RevokedAt, LastUsedAt: row.LastUsedAt, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		UserID: row.UserID,
	})
	if err != nil {
		return APIKeyLookup{}, err
	}
	return APIKeyLookup{
		Secret: keystile.APIKeySecret{
			KeyID: row.KeyID, Digest: digest, PepperID: row.PepperID, CreatedAt: timeOf(row.SecretCreatedAt), ExpiresAt: nullTimeOf(row.SecretExpiresAt),
			LeakedAt: nullTimeOf(row.LeakedAt),
		},
		Key: k,
		Organization: keystile.Organization{
			ID: row.OrganizationID, Name: row.OrganizationName, Environment: keystile.Environment(row.OrganizationEnvironment), TenantID: row.TenantID,
			KeyPrefix: row.KeyPrefix, Disabled: row.Disabled, CreatedAt: timeOf(row.OrganizationCreatedAt), UpdatedAt: timeOf(row.OrganizationUpdatedAt),
			Leak: leakPolicyOf(row.LeakResponse, row.LeakGrace),
		},
		Revision: row.Revision,
	}, nil
}
