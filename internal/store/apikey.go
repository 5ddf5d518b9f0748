package store

import (
	"context"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// APIKey reads one API key.
func (r *reads) APIKey(ctx context.Context, id string) (keystile.APIKey, error) {
	row, err := r.q.GetAPIKey(ctx, id)
	if err != nil {
		return keystile.APIKey{}, r.fail("read API key "+clip(id), err)
	}
	k, err := apiKeyOf(row)
	return k, r.fail("read API key "+clip(id), err)
}

// APIKey reads one API key and keeps it from changing until the transaction ends.
func (t *Tx) APIKey(ctx context.Context, id string) (keystile.APIKey, error) {
	return locked(ctx, t, func() (keystile.APIKey, error) { return t.reads.APIKey(ctx, id) },
		func(k keystile.APIKey) string { return k.OrganizationID })
}

// APIKeys lists API keys by id, revoked and expired ones too. Of the filter it
// heeds the page and the organisation.
func (r *reads) APIKeys(ctx context.Context, f APIKeyFilter) ([]keystile.APIKey, error) {
	var rows []gen.ApiKey
	var err error
	if f.OrganizationID == "" {
		rows, err = r.q.ListAPIKeys(ctx, f.AfterID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListAPIKeysOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list API keys", err)
	}
	return mapRows(rows, apiKeyOf, r.fail, "list API keys")
}

// CreateAPIKey adds an API key with its secrets; a key without any is allowed
// and opens nothing. A duplicate id or digest is [keystile.ErrConflict]. Its
// sites must exist and belong to its organisation. Zero times of creation are now.
func (t *Tx) CreateAPIKey(ctx context.Context, k keystile.APIKey, secrets ...keystile.APIKeySecret) error {
	if err := t.checkAPIKey(ctx, k); err != nil {
		return err
	}
	t.stamp(&k.CreatedAt, &k.UpdatedAt)
	n, err := t.q.InsertAPIKey(ctx, gen.InsertAPIKeyParams(apiKeyRow(k)))
	if err != nil {
		return t.fail("create API key "+k.ID, err)
	}
	if n == 0 {
		return conflict("API key %q exists already", k.ID)
	}
	for _, secret := range secrets {
		secret.KeyID = k.ID
		if err := t.insertSecret(ctx, secret); err != nil {
			return err
		}
	}
	t.announceHere(keystile.ChangeKey, k.ID)
	return t.Record(ctx, k.OrganizationID, "api_key.create", "api_key:"+k.ID, whole(apiKeyMembers(k)))
}

// UpdateAPIKey makes the stored key as k says: name, environment, sites,
// scopes, addresses, limit and expiry. Its hint, times and revocation have
// methods of their own and are left as they are. Nothing is written if nothing
// differs. A key cannot move to another organisation.
func (t *Tx) UpdateAPIKey(ctx context.Context, k keystile.APIKey) error {
	before, err := t.APIKey(ctx, k.ID)
	if err != nil {
		return err
	}
	if before.OrganizationID != k.OrganizationID {
		return keystile.Invalidf("organization", "revoke the key and create another one there", "API key %q belongs to another organization", k.ID)
	}
	if before.UserID != k.UserID {
		return keystile.Invalidf("user", "create another key", "the owner of API key %q cannot change", k.ID)
	}
	detail := difference(apiKeyMembers(before), apiKeyMembers(k))
	if len(detail) == 0 {
		return nil
	}
	if err := t.checkAPIKey(ctx, k); err != nil {
		return err
	}
	row := apiKeyRow(k)
	err = t.q.UpdateAPIKey(ctx, gen.UpdateAPIKeyParams{
		ID: k.ID, Name: row.Name, Environment: row.Environment, PermittedSiteIds: row.PermittedSiteIds, Scopes: row.Scopes,
		AllowedIps: row.AllowedIps, Rate: row.Rate, RateAlgorithm: row.RateAlgorithm, ExpiresAt: row.ExpiresAt, UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("update API key "+k.ID, err)
	}
	t.Announce(keystile.ChangeKey, k.ID)
	return t.Record(ctx, k.OrganizationID, "api_key.update", "api_key:"+k.ID, detail)
}

// RevokeAPIKey ends a key and every secret of it. Revoking it again does
// nothing. A zero at is now.
func (t *Tx) RevokeAPIKey(ctx context.Context, id string, at time.Time) error {
	k, err := t.APIKey(ctx, id)
	if err != nil || !k.RevokedAt.IsZero() {
		return err
	}
	if at.IsZero() {
		at = t.now
	}
	if err := t.q.RevokeAPIKey(ctx, id, nullMicros(at), micros(t.now)); err != nil {
		return t.fail("revoke API key "+id, err)
	}
	if err := t.endSessionsOfKey(ctx, id); err != nil {
		return err
	}
	t.Announce(keystile.ChangeKey, id)
	return t.Record(ctx, k.OrganizationID, "api_key.revoke", "api_key:"+id, map[string]any{"revoked_at": instant(at)})
}

// DeleteAPIKey removes a key and its secrets.
func (t *Tx) DeleteAPIKey(ctx context.Context, id string) error {
	k, err := t.APIKey(ctx, id)
	if err != nil {
		return err
	}
	for _, remove := range []func(context.Context, string) error{
		t.q.DeleteAPIKeySecrets, t.q.DeleteForeignSecretOfKey, t.q.DeleteAPIKeyNotices, t.q.DeleteAPIKeyUsage, t.q.DeleteAPIKeyAspects, t.q.DeleteAPIKey,
	} {
		if err := remove(ctx, id); err != nil {
			return t.fail("delete API key "+id, err)
		}
	}
	if err := t.endSessionsOfKey(ctx, id); err != nil {
		return err
	}
	t.Announce(keystile.ChangeKey, id)
	return t.Record(ctx, k.OrganizationID, "api_key.delete", "api_key:"+id, whole(apiKeyMembers(k)))
}

// checkAPIKey checks the key itself and what it refers to.
func (t *Tx) checkAPIKey(ctx context.Context, k keystile.APIKey) error {
	if err := checkAPIKeyFields(k); err != nil {
		return err
	}
	if err := t.ownerExists(ctx, "organization", k.OrganizationID); err != nil {
		return err
	}
	if err := t.keyOwnerBelongs(ctx, k); err != nil {
		return err
	}
	return t.sitesBelong(ctx, k.OrganizationID, k.PermittedSiteIDs)
}

// keyOwnerBelongs refuses an owner that the key's organisation does not have.
func (t *Tx) keyOwnerBelongs(ctx context.Context, k keystile.APIKey) error {
	if k.UserID == "" {
		return nil
	}
	u, err := t.reads.User(ctx, k.UserID)
	if err != nil {
		return dangling(err, "user", "user", k.UserID)
	}
	if u.OrganizationID != k.OrganizationID {
		return noSuch("user", "user", k.UserID) // the same words as for one that is not there
	}
	return nil
}

// sitesBelong refuses permitted sites that an organisation does not have.
func (t *Tx) sitesBelong(ctx context.Context, organizationID string, sites []string) error {
	for i, id := range sites {
		field := fmt.Sprintf("permitted_site_ids[%d]", i)
		owner, ok := t.siteOwners[id]
		if !ok {
			site, err := t.reads.Site(ctx, id)
			if err != nil {
				return dangling(err, field, "site", id)
			}
			owner = site.OrganizationID
			if _, held := t.chains[owner]; held {
				t.siteOwners[id] = owner
			}
		}
		if owner != organizationID {
			// The same words as for a site that is not there: whose ids exist is nobody else's business.
			return noSuch(field, "site", id)
		}
	}
	return nil
}

func checkAPIKeyFields(k keystile.APIKey) error {
	if err := checkID("id", k.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"name", k.Name}, text{"environment", string(k.Environment)}, text{"hint", k.Hint}); err != nil {
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

func apiKeyRow(k keystile.APIKey) gen.ApiKey {
	rate, algorithm := rateColumns(k.Limit)
	return gen.ApiKey{
		ID: k.ID, OrganizationID: k.OrganizationID, Name: k.Name, Environment: string(k.Environment),
		PermittedSiteIds: joinList(k.PermittedSiteIDs), Scopes: joinList(k.Scopes), AllowedIps: joinPrefixes(k.AllowedIPs),
		Rate: rate, RateAlgorithm: algorithm, Hint: k.Hint,
		ExpiresAt: nullMicros(k.ExpiresAt), RevokedAt: nullMicros(k.RevokedAt), LastUsedAt: nullMicros(k.LastUsedAt),
		CreatedAt: micros(k.CreatedAt), UpdatedAt: micros(k.UpdatedAt), UserID: k.UserID,
		LastUsedAddr: k.LastUsedAddr, LastUsedRoute: k.LastUsedRoute,
	}
}

func apiKeyOf(row gen.ApiKey) (keystile.APIKey, error) {
	k := keystile.APIKey{
		ID: row.ID, OrganizationID: row.OrganizationID, Name: row.Name, Environment: keystile.Environment(row.Environment),
		PermittedSiteIDs: splitList[string](row.PermittedSiteIds), Scopes: splitList[keystile.Scope](row.Scopes),
		ExpiresAt: nullTimeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt), LastUsedAt: nullTimeOf(row.LastUsedAt),
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt), Hint: row.Hint, UserID: row.UserID,
		LastUsedAddr: row.LastUsedAddr, LastUsedRoute: row.LastUsedRoute,
	}
	var err error
	if k.AllowedIPs, err = prefixesOf(row.AllowedIps); err != nil {
		return keystile.APIKey{}, fmt.Errorf("API key %s: %w", row.ID, err)
	}
	if k.Limit, err = rateOf(row.Rate, row.RateAlgorithm); err != nil {
		return keystile.APIKey{}, fmt.Errorf("API key %s: %w", row.ID, err)
	}
	return k, nil
}

func apiKeyMembers(k keystile.APIKey) []member {
	return []member{
		{"id", k.ID},
		{"organization", k.OrganizationID},
		{"user", k.UserID},
		{"name", k.Name},
		{"environment", string(k.Environment)},
		{"permitted_site_ids", texts(k.PermittedSiteIDs)},
		{"scopes", texts(k.Scopes)},
		{"allowed_ips", prefixTexts(k.AllowedIPs)},
		{"limit", rateText(k.Limit)},
		{"expires_at", instant(k.ExpiresAt)},
	}
}
