package state

import (
	"context"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// site is a place as a file writes it.
type site struct {
	ID           string `yaml:"id,required" example:"Sibaya" doc:"Id, as callers send it; unique in the whole store."`
	Organization string `yaml:"organization,required" example:"sibaya-power" doc:"Organization whose data it has."`
	Name         string `yaml:"name" doc:"Name for people. Absent: the id."`
}

// sites is the collection of the section of that name.
type sites struct {
	entries []entry[site]
	named   bool

	byID map[string]*entry[site]
	// stored are those of the store that the files name or refer to.
	stored map[string]keystile.Site
}

func (k *sites) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "sites", s.document.Sites)...)
	k.named = k.named || s.document.Sites != nil
}

func (k *sites) check(c *checker) {
	for i := range k.entries {
		e := &k.entries[i]
		identity(c, e, "site", e.value.ID)
		reference(c, e, "organization", e.value.Organization)
		label(c, e, "name", e.value.Name)
	}
	k.byID = namesOf(k.entries, func(s *site) string { return s.ID })
}

// owners lists the organisations that sites refer to.
func (k *sites) owners() []string {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.Organization
	}
	return ids
}

func listSites(tx *store.Tx) lister[keystile.Site] {
	return func(ctx context.Context, after string, limit int) ([]keystile.Site, error) {
		return tx.Sites(ctx, store.SiteFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
}

func storedSiteID(s *keystile.Site) string { return s.ID }

func (k *sites) look(ctx context.Context, tx *store.Tx, r *run) error {
	ids := make([]string, 0, len(k.entries))
	for i := range k.entries {
		e := &k.entries[i]
		ids = append(ids, e.value.ID)
		owned(r, e, e.value.Organization)
	}
	ids = append(ids, r.world.keys.sites()...)
	ids = append(ids, r.world.signing.sites()...)
	var err error
	if k.stored, err = fetch(ctx, listSites(tx), storedSiteID, ids); err != nil {
		return err
	}
	for i := range k.entries {
		e := &k.entries[i]
		if old, ok := k.stored[e.value.ID]; ok && old.OrganizationID != e.value.Organization {
			report(r, e, keystile.Invalidf("organization", "choose another id, or delete the site there first", "the site belongs to another organization, and sites do not move"))
		}
	}
	return nil
}

// owner is the organisation that a site will belong to; false if there will be
// no such site.
func (k *sites) owner(r *run, id string) (string, bool) {
	if e := k.byID[id]; e != nil {
		return e.value.Organization, true
	}
	old, ok := k.stored[id]
	return old.OrganizationID, ok && !r.prunes(k.named)
}

func (*sites) before(context.Context, *store.Tx, *run) error { return nil }

func (k *sites) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		if err := answer(r, e, k.put(ctx, tx, r, e)); err != nil {
			return err
		}
	}
	return nil
}

func (k *sites) put(ctx context.Context, tx *store.Tx, r *run, e *entry[site]) error {
	name := e.value.Name
	if name == "" {
		name = e.value.ID
	}
	old, ok := k.stored[e.value.ID]
	if !ok {
		_, err := r.service.CreateSiteTx(ctx, tx, keystile.Site{ID: e.value.ID, OrganizationID: e.value.Organization, Name: name})
		if err == nil {
			r.created("site", e.value.ID)
		}
		return err
	}
	var d diff
	d.text("name", old.Name, name)
	if len(d) == 0 {
		return nil
	}
	_, err := r.service.UpdateSiteTx(ctx, tx, old.ID, func(s *keystile.Site) error { s.Name = name; return nil })
	if err == nil {
		r.updated("site", old.ID, d)
	}
	return err
}

func (k *sites) after(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listSites(tx), storedSiteID, func(s *keystile.Site) error {
		if k.byID[s.ID] == nil {
			gone = append(gone, s.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("site", gone, func(id string) error { return r.service.DeleteSiteTx(ctx, tx, id) })
}
