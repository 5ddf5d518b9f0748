package state

import (
	"context"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// role is a set of scopes as a file writes it.
type role struct {
	ID     string   `yaml:"id,required" example:"role_analyst" doc:"Id."`
	Name   string   `yaml:"name" doc:"Name for people. Absent: the id."`
	Scopes []string `yaml:"scopes" example:"[\"telemetry:read\"]" doc:"Scopes it stands for, noun:verb; noun:* is every verb of a noun."`
	MFA    string   `yaml:"mfa" enum:"required optional off" doc:"Whether a second factor is asked of users with this role who state nothing themselves. Absent: as the organization says."`
}

// roles is the collection of the section of that name.
type roles struct {
	entries []entry[role]
	named   bool

	byID   map[string]*entry[role]
	stored map[string]keystile.Role
}

func (k *roles) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "roles", s.document.Roles)...)
	k.named = k.named || s.document.Roles != nil
}

func (k *roles) check(c *checker) {
	for i := range k.entries {
		e := &k.entries[i]
		identity(c, e, "role", e.value.ID)
		label(c, e, "name", e.value.Name)
		scopes(c, e, e.value.Scopes)
	}
	k.byID = namesOf(k.entries, func(r *role) string { return r.ID })
}

func listRoles(tx *store.Tx) lister[keystile.Role] {
	return func(ctx context.Context, after string, limit int) ([]keystile.Role, error) {
		return tx.Roles(ctx, store.Page{AfterID: after, Limit: limit})
	}
}

func storedRoleID(r *keystile.Role) string { return r.ID }

func (k *roles) look(ctx context.Context, tx *store.Tx, r *run) error {
	ids := gather(k.entries, func(r *role) string { return r.ID })
	ids = append(ids, r.world.users.roles()...)
	ids = append(ids, r.world.providers.roles()...)
	var err error
	k.stored, err = fetch(ctx, listRoles(tx), storedRoleID, ids)
	return err
}

// exists says whether there will be a role of that id.
func (k *roles) exists(r *run, id string) bool {
	if k.byID[id] != nil {
		return true
	}
	_, stored := k.stored[id]
	return stored && !r.prunes(k.named)
}

func (*roles) before(context.Context, *store.Tx, *run) error { return nil }

func (k *roles) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		if err := answer(r, e, k.put(ctx, tx, r, e)); err != nil {
			return err
		}
	}
	return nil
}

func (k *roles) put(ctx context.Context, tx *store.Tx, r *run, e *entry[role]) error {
	want := keystile.Role{ID: e.value.ID, Name: e.value.Name, Scopes: converted[keystile.Scope](e.value.Scopes), MFA: keystile.MFAPolicy(e.value.MFA)}
	if want.Name == "" {
		want.Name = want.ID
	}
	old, ok := k.stored[want.ID]
	if !ok {
		_, err := r.service.CreateRoleTx(ctx, tx, want)
		if err == nil {
			r.created("role", want.ID)
		}
		return err
	}
	var d diff
	d.text("name", old.Name, want.Name)
	list(&d, "scopes", old.Scopes, want.Scopes)
	d.text("mfa", string(old.MFA), string(want.MFA))
	if len(d) == 0 {
		return nil
	}
	_, err := r.service.UpdateRoleTx(ctx, tx, want.ID, func(role *keystile.Role) error {
		role.Name, role.Scopes, role.MFA = want.Name, want.Scopes, want.MFA
		return nil
	})
	if err == nil {
		r.updated("role", want.ID, d)
	}
	return err
}

func (k *roles) after(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listRoles(tx), storedRoleID, func(role *keystile.Role) error {
		if k.byID[role.ID] == nil {
			gone = append(gone, role.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("role", gone, func(id string) error { return r.service.DeleteRoleTx(ctx, tx, id) })
}

// converted makes a list of text a list of a named text type.
func converted[T ~string](in []string) []T {
	if len(in) == 0 {
		return nil
	}
	out := make([]T, len(in))
	for i, s := range in {
		out[i] = T(s)
	}
	return out
}
