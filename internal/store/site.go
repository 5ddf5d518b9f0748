package store

import (
	"context"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// SiteFilter chooses sites.
type SiteFilter struct {
	Page
	// OrganizationID: only this organisation's; empty: all.
	OrganizationID string
}

// Site reads one site.
func (r *reads) Site(ctx context.Context, id string) (keystile.Site, error) {
	row, err := r.q.GetSite(ctx, id)
	if err != nil {
		return keystile.Site{}, r.fail("read site "+clip(id), err)
	}
	return siteOf(row)
}

// Site reads one site and keeps it from changing until the transaction ends.
func (t *Tx) Site(ctx context.Context, id string) (keystile.Site, error) {
	return locked(ctx, t, func() (keystile.Site, error) { return t.reads.Site(ctx, id) },
		func(s keystile.Site) string { return s.OrganizationID })
}

// Sites lists sites by id.
func (r *reads) Sites(ctx context.Context, f SiteFilter) ([]keystile.Site, error) {
	var rows []gen.Site
	var err error
	if f.OrganizationID == "" {
		rows, err = r.q.ListSites(ctx, f.AfterID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListSitesOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list sites", err)
	}
	return mapRows(rows, siteOf, r.fail, "list sites")
}

// CreateSite adds a site. Its id is unique in the whole store: callers send it
// without saying whose it is. A zero CreatedAt is now.
func (t *Tx) CreateSite(ctx context.Context, s keystile.Site) error {
	if err := checkSite(s); err != nil {
		return err
	}
	if err := t.ownerExists(ctx, "organization", s.OrganizationID); err != nil {
		return err
	}
	t.stamp(&s.CreatedAt, &s.UpdatedAt)
	n, err := t.q.InsertSite(ctx, gen.InsertSiteParams{
		ID: s.ID, OrganizationID: s.OrganizationID, Name: s.Name, CreatedAt: micros(s.CreatedAt), UpdatedAt: micros(s.UpdatedAt),
	})
	if err != nil {
		return t.fail("create site "+s.ID, err)
	}
	if n == 0 {
		return conflict("site %q exists already", s.ID)
	}
	// Users may read every site of their organisation: what is remembered of them lacks this one.
	t.Announce(keystile.ChangeOrganization, s.OrganizationID)
	return t.Record(ctx, s.OrganizationID, "site.create", "site:"+s.ID, whole(siteMembers(s)))
}

// UpdateSite makes the stored site as s says, but for its times; nothing is
// written if nothing differs. A site cannot move to another organisation: keys
// of the first would go on permitting it.
func (t *Tx) UpdateSite(ctx context.Context, s keystile.Site) error {
	if err := checkSite(s); err != nil {
		return err
	}
	before, err := t.Site(ctx, s.ID)
	if err != nil {
		return err
	}
	if before.OrganizationID != s.OrganizationID {
		return keystile.Invalidf("organization", "delete the site and create it there", "site %q belongs to another organization", s.ID)
	}
	detail := difference(siteMembers(before), siteMembers(s))
	if len(detail) == 0 {
		return nil
	}
	if err := t.q.UpdateSite(ctx, s.ID, s.Name, micros(t.now)); err != nil {
		return t.fail("update site "+s.ID, err)
	}
	t.Announce(keystile.ChangeOrganization, s.OrganizationID)
	return t.Record(ctx, s.OrganizationID, "site.update", "site:"+s.ID, detail)
}

// DeleteSite removes a site that no live API key or signing key permits; otherwise it is
// [keystile.ErrConflict]. Were it not, the key would open the site of whoever
// is given the id next.
func (t *Tx) DeleteSite(ctx context.Context, id string) error {
	s, err := t.Site(ctx, id)
	if err != nil {
		return err
	}
	const named = 3
	keys, err := t.q.ListLiveAPIKeysPermittingSite(ctx, s.OrganizationID, " "+id+" ", named)
	if err != nil {
		return t.fail("delete site "+id, err)
	}
	if len(keys) > 0 {
		return conflict("site %q is permitted to API keys (%s); take it off their sites or revoke them first", id, strings.Join(keys, ", "))
	}
	signing, err := t.q.ListLiveSigningKeysPermittingSite(ctx, s.OrganizationID, " "+id+" ", named)
	if err != nil {
		return t.fail("delete site "+id, err)
	}
	if len(signing) > 0 {
		return conflict("site %q is permitted to signing keys (%s); take it off their sites or revoke them first", id, strings.Join(signing, ", "))
	}
	if err := t.q.DeleteSite(ctx, id); err != nil {
		return t.fail("delete site "+id, err)
	}
	delete(t.siteOwners, id)
	t.Announce(keystile.ChangeOrganization, s.OrganizationID)
	return t.Record(ctx, s.OrganizationID, "site.delete", "site:"+id, whole(siteMembers(s)))
}

func siteOf(row gen.Site) (keystile.Site, error) {
	return keystile.Site{
		ID: row.ID, OrganizationID: row.OrganizationID, Name: row.Name,
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}, nil
}

func siteMembers(s keystile.Site) []member {
	return []member{{"id", s.ID}, {"organization", s.OrganizationID}, {"name", s.Name}}
}

func checkSite(s keystile.Site) error {
	if err := checkID("id", s.ID); err != nil {
		return err
	}
	return checkTexts(text{"name", s.Name})
}
