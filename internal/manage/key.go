package manage

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// KeyState says whether an API key is good, apart from its organisation and
// from the expiry of single secrets.
type KeyState string

// The states of an API key. Revoked wins over expired.
const (
	KeyActive  KeyState = "active"
	KeyExpired KeyState = "expired"
	KeyRevoked KeyState = "revoked"
)

// StateOf says which state a key is in at a moment.
func StateOf(key keystile.APIKey, now time.Time) KeyState {
	switch {
	case !key.RevokedAt.IsZero():
		return KeyRevoked
	case !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt):
		return KeyExpired
	}
	return KeyActive
}

// APIKey returns one API key.
func (s *Service) APIKey(ctx context.Context, id string) (keystile.APIKey, error) {
	return s.key(ctx, s.Store, id)
}

// APIKeys lists API keys by id.
func (s *Service) APIKeys(ctx context.Context, filter store.APIKeyFilter) ([]keystile.APIKey, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	keys, err := s.Store.APIKeys(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return keys, nil
}

type keyReader interface {
	APIKey(ctx context.Context, id string) (keystile.APIKey, error)
}

func (s *Service) key(ctx context.Context, from keyReader, id string) (keystile.APIKey, error) {
	if !keystile.ValidID(id) {
		return keystile.APIKey{}, missing("API key", id)
	}
	key, err := from.APIKey(ctx, id)
	if err != nil {
		return keystile.APIKey{}, fmt.Errorf("API key %q: %w", id, err)
	}
	if !s.sees(key.OrganizationID) {
		return keystile.APIKey{}, missing("API key", id)
	}
	return key, nil
}

// UpdateKey lets edit change what a key is called and what it may do: Name,
// PermittedSiteIDs, Scopes, AllowedIPs, Limit, ExpiresAt. Everything else stays
// as it was, whatever edit sets. A revoked key stays as it is
// (keystile.ErrConflict).
func (s *Service) UpdateKey(ctx context.Context, a store.Actor, id string, edit func(*keystile.APIKey) error) (keystile.APIKey, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.APIKey, error) {
		return s.UpdateKeyTx(ctx, tx, id, edit)
	})
}

// UpdateKeyTx is UpdateKey inside a transaction.
func (s *Service) UpdateKeyTx(ctx context.Context, tx *store.Tx, id string, edit func(*keystile.APIKey) error) (keystile.APIKey, error) {
	old, err := s.nobodysKey(ctx, tx, id)
	if err != nil {
		return keystile.APIKey{}, err
	}
	edited := old
	// The edit gets slices of its own, so that old stays what it was.
	edited.PermittedSiteIDs = slices.Clone(old.PermittedSiteIDs)
	edited.Scopes = slices.Clone(old.Scopes)
	edited.AllowedIPs = slices.Clone(old.AllowedIPs)
	var p problems
	if err := p.take(edit(&edited)); err != nil {
		return keystile.APIKey{}, err
	}
	key := old
	key.Name, key.Limit = edited.Name, edited.Limit
	key.PermittedSiteIDs, key.Scopes, key.AllowedIPs = edited.PermittedSiteIDs, edited.Scopes, edited.AllowedIPs
	key.ExpiresAt = edited.ExpiresAt.UTC().Truncate(time.Microsecond)
	if edited.ExpiresAt.IsZero() {
		key.ExpiresAt = time.Time{}
	}
	if sameKey(old, key) && len(p) == 0 {
		return old, nil
	}
	if !old.RevokedAt.IsZero() {
		return keystile.APIKey{}, fmt.Errorf("update API key %q, which is revoked: %w", id, keystile.ErrConflict)
	}
	checkKeyRights(&p, key)
	if !key.ExpiresAt.Equal(old.ExpiresAt) {
		p.expiry("expires_at", key.ExpiresAt, s.now())
	}
	if err := s.checkSites(ctx, tx, &p, key); err != nil {
		return keystile.APIKey{}, err
	}
	if err := p.err(); err != nil {
		return keystile.APIKey{}, err
	}
	if err := tx.UpdateAPIKey(ctx, key); err != nil {
		return keystile.APIKey{}, fmt.Errorf("update API key %q: %w", id, err)
	}
	return s.key(ctx, tx, id) // the store stamped it
}

// nobodysKey is a key that may be changed and rotated: not a user's personal key,
// which may do what the user may, so that whoever reads a new secret of it would be
// that user. Revoking and deleting are allowed.
func (s *Service) nobodysKey(ctx context.Context, from keyReader, id string) (keystile.APIKey, error) {
	key, err := s.key(ctx, from, id)
	if err == nil && key.UserID != "" {
		err = fmt.Errorf("API key %q is the personal key of a user, who alone may change it: %w", key.ID, keystile.ErrConflict)
	}
	return key, err
}

// sameKey says whether two versions of a key allow the same and are called the same.
func sameKey(a, b keystile.APIKey) bool {
	return a.Name == b.Name && a.ExpiresAt.Equal(b.ExpiresAt) &&
		slices.Equal(a.PermittedSiteIDs, b.PermittedSiteIDs) &&
		slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.AllowedIPs, b.AllowedIPs) &&
		sameRate(a.Limit, b.Limit)
}

func sameRate(a, b *keystile.Rate) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// checkKeyRights checks everything about a key that needs no look-up.
func checkKeyRights(p *problems, key keystile.APIKey) {
	p.name("name", key.Name)
	p.scopes("scopes", key.Scopes)
	p.addresses("allowed_ips", key.AllowedIPs)
	p.rate("limit", key.Limit)
	if len(key.PermittedSiteIDs) > MaxSites {
		p.add("permitted_site_ids", fmt.Sprintf("name at most %d", MaxSites), "names %d sites", len(key.PermittedSiteIDs))
	}
}

// checkSites checks that a key's sites exist and belong to its organisation.
// An absent site and another organisation's are told the same way.
func (s *Service) checkSites(ctx context.Context, tx *store.Tx, p *problems, key keystile.APIKey) error {
	if len(key.PermittedSiteIDs) > MaxSites {
		return nil
	}
	seen := make(map[string]bool, len(key.PermittedSiteIDs))
	for i, id := range key.PermittedSiteIDs {
		at := fmt.Sprintf("permitted_site_ids[%d]", i)
		if seen[id] {
			p.add(at, "name it once", "names a site a second time")
			continue
		}
		seen[id] = true
		if !keystile.ValidID(id) {
			p.add(at, keystile.IDRule, "not a valid id")
			continue
		}
		site, err := tx.Site(ctx, id)
		switch {
		case isNotFound(err) || err == nil && site.OrganizationID != key.OrganizationID:
			p.add(at, "name a site of the key's organization", "the organization has no such site")
		case err != nil:
			return fmt.Errorf("site %q of an API key: %w", id, err)
		}
	}
	return nil
}

// DeleteKey deletes a key and its secrets. Revoking it in its place keeps its
// record, and its id is never used again.
func (s *Service) DeleteKey(ctx context.Context, a store.Actor, id string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteKeyTx(ctx, tx, id)
	})
}

// DeleteKeyTx is DeleteKey inside a transaction.
func (s *Service) DeleteKeyTx(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := s.key(ctx, tx, id); err != nil {
		return err
	}
	if err := tx.DeleteAPIKey(ctx, id); err != nil {
		return fmt.Errorf("delete API key %q: %w", id, err)
	}
	return nil
}

// RevokeKey ends every secret of a key, at once and for good. Revoking a
// revoked key changes nothing.
func (s *Service) RevokeKey(ctx context.Context, a store.Actor, id string) (keystile.APIKey, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.APIKey, error) {
		return s.RevokeKeyTx(ctx, tx, id)
	})
}

// RevokeKeyTx is RevokeKey inside a transaction.
func (s *Service) RevokeKeyTx(ctx context.Context, tx *store.Tx, id string) (keystile.APIKey, error) {
	key, err := s.key(ctx, tx, id)
	if err != nil {
		return keystile.APIKey{}, err
	}
	if !key.RevokedAt.IsZero() {
		return key, nil
	}
	if err := tx.RevokeAPIKey(ctx, id, s.now()); err != nil {
		return keystile.APIKey{}, fmt.Errorf("revoke API key %q: %w", id, err)
	}
	return s.key(ctx, tx, id)
}

// KeyWarnings says what a key is allowed that is probably not meant; see [NewKey.Warnings].
func KeyWarnings(key keystile.APIKey) []string { return warnAddresses(key.AllowedIPs) }

// warnAddresses says which networks of an allow-list allow everybody, or nearly so.
func warnAddresses(prefixes []netip.Prefix) []string {
	var warnings []string
	for i, prefix := range prefixes {
		least := 8
		if prefix.Addr().Is6() {
			least = 16
		}
		what := "a large part of all addresses"
		switch {
		case !prefix.IsValid() || prefix.Bits() >= least:
			continue
		case prefix.Bits() == 0:
			what = "every address"
		}
		warnings = append(warnings, keystile.Invalidf(fmt.Sprintf("allowed_ips[%d]", i),
			"leave it out, or name the networks that really call", "%s allows %s", prefix, what).Error())
	}
	return warnings
}
