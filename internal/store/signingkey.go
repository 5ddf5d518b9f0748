package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// SigningKeyFilter chooses signing keys.
type SigningKeyFilter struct {
	Page
	// OrganizationID: only this organisation's; empty: all.
	OrganizationID string
}

// SigningKey reads one signing key.
func (r *reads) SigningKey(ctx context.Context, id string) (keystile.SigningKey, error) {
	row, err := r.q.GetSigningKey(ctx, id)
	if err != nil {
		return keystile.SigningKey{}, r.fail("read signing key "+clip(id), err)
	}
	k, err := signingKeyOf(row)
	return k, r.fail("read signing key "+clip(id), err)
}

// SigningKey reads one signing key and keeps it from changing until the transaction ends.
func (t *Tx) SigningKey(ctx context.Context, id string) (keystile.SigningKey, error) {
	return locked(ctx, t, func() (keystile.SigningKey, error) { return t.reads.SigningKey(ctx, id) },
		func(k keystile.SigningKey) string { return k.OrganizationID })
}

// SigningKeys lists signing keys by id, revoked and expired ones too.
func (r *reads) SigningKeys(ctx context.Context, f SigningKeyFilter) ([]keystile.SigningKey, error) {
	var rows []gen.SigningKey
	var err error
	if f.OrganizationID == "" {
		rows, err = r.q.ListSigningKeys(ctx, f.AfterID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListSigningKeysOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list signing keys", err)
	}
	return mapRows(rows, signingKeyOf, r.fail, "list signing keys")
}

// SigningKeyLookup is what the api_key of a signing key leads to.
type SigningKeyLookup struct {
	Key          keystile.SigningKey
	Organization keystile.Organization
	// Revision of the feed, read by the same statement: a cache drops what it
	// read before a newer change of the same thing.
	Revision int64
}

// errUnknownAPIKey is made once: a flood of unknown names must cost little.
var errUnknownAPIKey = fmt.Errorf("no signing key has that api_key: %w", keystile.ErrNotFound)

// FindSigningKey finds the signing key that callers name apiKey, and its
// organisation, with one statement by one index. None is [keystile.ErrNotFound];
// whether the key is live is the caller's to judge.
func (r *reads) FindSigningKey(ctx context.Context, apiKey string) (SigningKeyLookup, error) {
	const op = "look up a signing key"
	if apiKey == "" || checkText("api_key", apiKey) != nil {
		return SigningKeyLookup{}, errUnknownAPIKey // PostgreSQL would call it an error, not unknown
	}
	row, err := r.q.FindSigningKey(ctx, apiKey)
	if errors.Is(err, sql.ErrNoRows) {
		return SigningKeyLookup{}, errUnknownAPIKey
	}
	if err != nil {
		return SigningKeyLookup{}, r.fail(op, err)
	}
	k, err := signingKeyOf(row.SigningKey)
	if err != nil {
		return SigningKeyLookup{}, r.fail(op, err)
	}
	o, err := organizationOf(row.Organization)
	if err != nil {
		return SigningKeyLookup{}, r.fail(op, err)
	}
	return SigningKeyLookup{Key: k, Organization: o, Revision: row.Revision}, nil
}

// FindSigningKey is the look-up of the verify path.
func (s *Store) FindSigningKey(ctx context.Context, apiKey string) (SigningKeyLookup, error) {
	return s.reads.FindSigningKey(s.lookupContext(ctx), apiKey)
}

// CreateSigningKey adds a signing key. A duplicate id is [keystile.ErrConflict],
// and so is an api_key that any signing key has or ever had, deleted ones too.
// Its sites must exist and belong to its organisation. Zero times of creation are now.
func (t *Tx) CreateSigningKey(ctx context.Context, k keystile.SigningKey) error {
	if err := t.checkSigningKey(ctx, k); err != nil {
		return err
	}
	t.stamp(&k.CreatedAt, &k.UpdatedAt)
	n, err := t.q.InsertSigningKey(ctx, gen.InsertSigningKeyParams(signingKeyRow(k)))
	if err != nil {
		return t.fail("create signing key "+k.ID, err)
	}
	if n == 0 {
		return conflict("signing key %q or its api_key exists already", k.ID)
	}
	n, err = t.q.TakeSigningKeyName(ctx, k.APIKey, k.ID, micros(t.now))
	if err != nil {
		return t.fail("create signing key "+k.ID, err)
	}
	if n == 0 {
		// The row above is undone: the refusal of a Tx method must leave nothing behind.
		if err := t.q.DeleteSigningKey(ctx, k.ID); err != nil {
			return t.fail("create signing key "+k.ID, err)
		}
		return conflict("api_key %q was used by a signing key before and is never used again; choose another", clip(k.APIKey))
	}
	t.announceHere(keystile.ChangeSigningKey, k.ID)
	return t.Record(ctx, k.OrganizationID, "signing_key.create", "signing_key:"+k.ID, whole(signingKeyMembers(k)))
}

// UpdateSigningKey makes the stored key as k says: name, environment, algorithm,
// public key, sealed secret, sites, scopes, addresses, limit and expiry. Its
// times and revocation have methods of their own and are left as they are.
// Nothing is written if nothing differs; a secret sealed again differs. A key
// cannot change its api_key or move to another organisation.
func (t *Tx) UpdateSigningKey(ctx context.Context, k keystile.SigningKey) error {
	before, err := t.SigningKey(ctx, k.ID)
	if err != nil {
		return err
	}
	if before.OrganizationID != k.OrganizationID {
		return keystile.Invalidf("organization", "revoke the key and create another one there", "signing key %q belongs to another organization", k.ID)
	}
	if before.APIKey != k.APIKey {
		return keystile.Invalidf("api_key", "create another key", "the api_key of signing key %q cannot change", k.ID)
	}
	detail := difference(signingKeyMembers(before), signingKeyMembers(k))
	if !bytes.Equal(before.SealedSecret, k.SealedSecret) {
		detail["secret"] = "changed" // which is all that may be said of it
	}
	if len(detail) == 0 {
		return nil
	}
	if err := t.checkSigningKey(ctx, k); err != nil {
		return err
	}
	row := signingKeyRow(k)
	err = t.q.UpdateSigningKey(ctx, gen.UpdateSigningKeyParams{
		ID: k.ID, Name: row.Name, Environment: row.Environment, Algorithm: row.Algorithm, PublicKey: row.PublicKey, SealedSecret: row.SealedSecret,
		PermittedSiteIds: row.PermittedSiteIds, Scopes: row.Scopes, AllowedIps: row.AllowedIps, Rate: row.Rate, RateAlgorithm: row.RateAlgorithm,
		ExpiresAt: row.ExpiresAt, UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("update signing key "+k.ID, err)
	}
	t.Announce(keystile.ChangeSigningKey, k.ID)
	return t.Record(ctx, k.OrganizationID, "signing_key.update", "signing_key:"+k.ID, detail)
}

// RevokeSigningKey ends a signing key. Revoking it again does nothing. A zero
// at is now.
func (t *Tx) RevokeSigningKey(ctx context.Context, id string, at time.Time) error {
	k, err := t.SigningKey(ctx, id)
	if err != nil || !k.RevokedAt.IsZero() {
		return err
	}
	if at.IsZero() {
		at = t.now
	}
	if err := t.q.RevokeSigningKey(ctx, id, nullMicros(at), micros(t.now)); err != nil {
		return t.fail("revoke signing key "+id, err)
	}
	t.Announce(keystile.ChangeSigningKey, id)
	return t.Record(ctx, k.OrganizationID, "signing_key.revoke", "signing_key:"+id, map[string]any{"revoked_at": instant(at)})
}

// DeleteSigningKey removes a signing key. Its api_key stays taken for ever.
func (t *Tx) DeleteSigningKey(ctx context.Context, id string) error {
	k, err := t.SigningKey(ctx, id)
	if err != nil {
		return err
	}
	if err := t.q.DeleteSigningKey(ctx, id); err != nil {
		return t.fail("delete signing key "+id, err)
	}
	t.Announce(keystile.ChangeSigningKey, id)
	return t.Record(ctx, k.OrganizationID, "signing_key.delete", "signing_key:"+id, whole(signingKeyMembers(k)))
}

// SigningKeyUse notes that a signing key was used.
type SigningKeyUse struct {
	KeyID string
	At    time.Time
}

// TouchSigningKeys writes a batch of uses: the time each key was last used,
// where it is later than what is there. Keys that are gone are passed over. It
// writes no audit event and no change.
func (s *Store) TouchSigningKeys(ctx context.Context, uses []SigningKeyUse) error {
	all := make([]APIKeyUse, len(uses))
	for i, u := range uses {
		all[i] = APIKeyUse{KeyID: u.KeyID, At: u.At}
	}
	return s.touchAll(ctx, "signing_keys", "note the use of signing keys", all)
}

// checkSigningKey checks the key itself and what it refers to.
func (t *Tx) checkSigningKey(ctx context.Context, k keystile.SigningKey) error {
	if err := checkSigningKeyFields(k); err != nil {
		return err
	}
	if err := t.ownerExists(ctx, "organization", k.OrganizationID); err != nil {
		return err
	}
	return t.sitesBelong(ctx, k.OrganizationID, k.PermittedSiteIDs)
}

func checkSigningKeyFields(k keystile.SigningKey) error {
	if err := checkID("id", k.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"name", k.Name}, text{"environment", string(k.Environment)}, text{"public_key", k.PublicKey}); err != nil {
		return err
	}
	if err := checkList("api_key", []string{k.APIKey}); err != nil {
		return keystile.Invalidf("api_key", "use 1 to 200 printable ASCII characters without space", "%q is not an api_key", clip(k.APIKey))
	}
	if err := checkMaterial(k); err != nil {
		return err
	}
	if err := checkList("permitted_site_ids", k.PermittedSiteIDs); err != nil {
		return err
	}
	if err := checkList("scopes", k.Scopes); err != nil {
		return err
	}
	if err := checkPrefixes("allowed_ips", k.AllowedIPs); err != nil {
		return err
	}
	return checkRate("limit", k.Limit)
}

// checkMaterial refuses a key with nothing to verify by, or with what another
// algorithm would verify by: a public key must never serve as an HMAC secret.
func checkMaterial(k keystile.SigningKey) error {
	switch k.Algorithm {
	case keystile.HS256:
		if len(k.SealedSecret) == 0 || k.PublicKey != "" {
			return keystile.Invalidf("secret", "give a sealed secret and no public key", "an HS256 key has a secret alone")
		}
	case keystile.RS256, keystile.ES256, keystile.EdDSA:
		if k.PublicKey == "" || len(k.SealedSecret) != 0 {
			return keystile.Invalidf("public_key", "give a public key and no secret", "the key of %s has a public key alone", string(k.Algorithm))
		}
	default:
		return keystile.Invalidf("algorithm", "use HS256, RS256, ES256 or EdDSA", "%q is not an algorithm", clip(string(k.Algorithm)))
	}
	return nil
}

func signingKeyRow(k keystile.SigningKey) gen.SigningKey {
	rate, algorithm := rateColumns(k.Limit)
	return gen.SigningKey{
		ID: k.ID, OrganizationID: k.OrganizationID, Name: k.Name, Environment: string(k.Environment),
		ApiKey: k.APIKey, Algorithm: string(k.Algorithm), PublicKey: k.PublicKey,
		SealedSecret:     append([]byte{}, k.SealedSecret...), // never nil, which would be NULL
		PermittedSiteIds: joinList(k.PermittedSiteIDs), Scopes: joinList(k.Scopes), AllowedIps: joinPrefixes(k.AllowedIPs),
		Rate: rate, RateAlgorithm: algorithm,
		ExpiresAt: nullMicros(k.ExpiresAt), RevokedAt: nullMicros(k.RevokedAt), LastUsedAt: nullMicros(k.LastUsedAt),
		CreatedAt: micros(k.CreatedAt), UpdatedAt: micros(k.UpdatedAt),
	}
}

func signingKeyOf(row gen.SigningKey) (keystile.SigningKey, error) {
	k := keystile.SigningKey{
		ID: row.ID, OrganizationID: row.OrganizationID, Name: row.Name, Environment: keystile.Environment(row.Environment),
		APIKey: row.ApiKey, Algorithm: keystile.SigningAlgorithm(row.Algorithm), PublicKey: row.PublicKey,
		PermittedSiteIDs: splitList[string](row.PermittedSiteIds), Scopes: splitList[keystile.Scope](row.Scopes),
		ExpiresAt: nullTimeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt), LastUsedAt: nullTimeOf(row.LastUsedAt),
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}
	if len(row.SealedSecret) > 0 {
		k.SealedSecret = row.SealedSecret
	}
	if err := checkMaterial(k); err != nil {
		return keystile.SigningKey{}, fmt.Errorf("signing key %s: what is stored contradicts itself", row.ID)
	}
	var err error
	if k.AllowedIPs, err = prefixesOf(row.AllowedIps); err != nil {
		return keystile.SigningKey{}, fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	if k.Limit, err = rateOf(row.Rate, row.RateAlgorithm); err != nil {
		return keystile.SigningKey{}, fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	return k, nil
}

func signingKeyMembers(k keystile.SigningKey) []member {
	return []member{
		{"id", k.ID},
		{"organization", k.OrganizationID},
		{"name", k.Name},
		{"environment", string(k.Environment)},
		{"api_key", k.APIKey},
		{"algorithm", string(k.Algorithm)},
		{"public_key", fingerprint(k.PublicKey)},
		{"permitted_site_ids", texts(k.PermittedSiteIDs)},
		{"scopes", texts(k.Scopes)},
		{"allowed_ips", prefixTexts(k.AllowedIPs)},
		{"limit", rateText(k.Limit)},
		{"expires_at", instant(k.ExpiresAt)},
	}
}

// fingerprint names a public key in the audit log: the SHA-256 of its text.
func fingerprint(publicKey string) string {
	if publicKey == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(publicKey))
	return "sha256:" + hex.EncodeToString(sum[:])
}
