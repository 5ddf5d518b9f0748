package manage

import (
	"context"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// CreateSite makes a site. Its id must be given: it is what callers send as
// site_id, so it is unique in the whole store and an id taken by another
// organisation is keystile.ErrConflict. Name defaults to the id.
func (s *Service) CreateSite(ctx context.Context, a store.Actor, in keystile.Site) (keystile.Site, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Site, error) {
		return s.CreateSiteTx(ctx, tx, in)
	})
}

// CreateSiteTx is CreateSite inside a transaction.
func (s *Service) CreateSiteTx(ctx context.Context, tx *store.Tx, in keystile.Site) (keystile.Site, error) {
	if in.OrganizationID == "" {
		in.OrganizationID = s.boundTo()
	}
	if in.Name == "" {
		in.Name = in.ID
	}
	if err := checkSite(nil, in); err != nil {
		return keystile.Site{}, err
	}
	if _, err := s.owner(ctx, tx, in.OrganizationID); err != nil {
		return keystile.Site{}, err
	}
	in.CreatedAt = s.now()
	in.UpdatedAt = in.CreatedAt
	if err := tx.CreateSite(ctx, in); err != nil {
		return keystile.Site{}, fmt.Errorf("create site %q: %w", in.ID, err)
	}
	return in, nil
}

func checkSite(p problems, site keystile.Site) error {
	p.id("id", site.ID)
	p.reference("organization", site.OrganizationID)
	p.name("name", site.Name)
	return p.err()
}

// UpdateSite lets edit change a site's name. A site never moves to another
// organisation: keys that name it would follow.
func (s *Service) UpdateSite(ctx context.Context, a store.Actor, id string, edit func(*keystile.Site) error) (keystile.Site, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Site, error) {
		return s.UpdateSiteTx(ctx, tx, id, edit)
	})
}

// UpdateSiteTx is UpdateSite inside a transaction.
func (s *Service) UpdateSiteTx(ctx context.Context, tx *store.Tx, id string, edit func(*keystile.Site) error) (keystile.Site, error) {
	old, err := s.site(ctx, tx, id)
	if err != nil {
		return keystile.Site{}, err
	}
	site := old
	var p problems
	if err := p.take(edit(&site)); err != nil {
		return keystile.Site{}, err
	}
	site.ID, site.CreatedAt, site.UpdatedAt = old.ID, old.CreatedAt, old.UpdatedAt
	if site == old && len(p) == 0 {
		return old, nil
	}
	if site.OrganizationID != old.OrganizationID {
		p.add("organization", "delete the site and create it anew", "a site cannot move to another organization")
	}
	if err := checkSite(p, site); err != nil {
		return keystile.Site{}, err
	}
	if err := tx.UpdateSite(ctx, site); err != nil {
		return keystile.Site{}, fmt.Errorf("update site %q: %w", id, err)
	}
	return s.site(ctx, tx, id) // the store stamped it
}

// DeleteSite deletes a site. One that a key still names is keystile.ErrConflict:
// its id could be created again elsewhere and the key would open it.
func (s *Service) DeleteSite(ctx context.Context, a store.Actor, id string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteSiteTx(ctx, tx, id)
	})
}

// DeleteSiteTx is DeleteSite inside a transaction.
func (s *Service) DeleteSiteTx(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := s.site(ctx, tx, id); err != nil {
		return err
	}
	if err := tx.DeleteSite(ctx, id); err != nil {
		return fmt.Errorf("delete site %q: %w", id, err)
	}
	return nil
}

// Site returns one site.
func (s *Service) Site(ctx context.Context, id string) (keystile.Site, error) {
	return s.site(ctx, s.Store, id)
}

// Sites lists sites by id.
func (s *Service) Sites(ctx context.Context, filter store.SiteFilter) ([]keystile.Site, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	sites, err := s.Store.Sites(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list sites: %w", err)
	}
	return sites, nil
}

type siteReader interface {
	Site(ctx context.Context, id string) (keystile.Site, error)
}

func (s *Service) site(ctx context.Context, from siteReader, id string) (keystile.Site, error) {
	if !keystile.ValidID(id) {
		return keystile.Site{}, missing("site", id)
	}
	site, err := from.Site(ctx, id)
	if err != nil {
		return keystile.Site{}, fmt.Errorf("site %q: %w", id, err)
	}
	if !s.sees(site.OrganizationID) {
		return keystile.Site{}, missing("site", id)
	}
	return site, nil
}
