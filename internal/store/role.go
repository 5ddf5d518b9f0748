package store

import (
	"context"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Role reads one role.
func (r *reads) Role(ctx context.Context, id string) (keystile.Role, error) {
	row, err := r.q.GetRole(ctx, id)
	if err != nil {
		return keystile.Role{}, r.fail("read role "+clip(id), err)
	}
	return roleOf(row)
}

// Role reads one role and keeps it from changing until the transaction ends.
func (t *Tx) Role(ctx context.Context, id string) (keystile.Role, error) {
	return locked(ctx, t, func() (keystile.Role, error) { return t.reads.Role(ctx, id) }, globalRole)
}

// globalRole: roles belong to no organisation.
func globalRole(keystile.Role) string { return "" }

// Roles lists roles by id.
func (r *reads) Roles(ctx context.Context, p Page) ([]keystile.Role, error) {
	rows, err := r.q.ListRoles(ctx, p.AfterID, rowLimit(p.Limit))
	if err != nil {
		return nil, r.fail("list roles", err)
	}
	return mapRows(rows, roleOf, r.fail, "list roles")
}

// CreateRole adds a role. A zero CreatedAt is now.
func (t *Tx) CreateRole(ctx context.Context, r keystile.Role) error {
	if err := checkRole(r); err != nil {
		return err
	}
	t.stamp(&r.CreatedAt, &r.UpdatedAt)
	n, err := t.q.InsertRole(ctx, gen.InsertRoleParams{
		ID: r.ID, Name: r.Name, Scopes: joinList(r.Scopes), CreatedAt: micros(r.CreatedAt), UpdatedAt: micros(r.UpdatedAt),
	})
	if err != nil {
		return t.fail("create role "+r.ID, err)
	}
	if n == 0 {
		return conflict("role %q exists already", r.ID)
	}
	return t.Record(ctx, "", "role.create", "role:"+r.ID, whole(roleMembers(r)))
}

// UpdateRole makes the stored role as r says, but for its times; nothing is
// written if nothing differs.
func (t *Tx) UpdateRole(ctx context.Context, r keystile.Role) error {
	if err := checkRole(r); err != nil {
		return err
	}
	before, err := t.Role(ctx, r.ID)
	if err != nil {
		return err
	}
	detail := difference(roleMembers(before), roleMembers(r))
	if len(detail) == 0 {
		return nil
	}
	if err := t.q.UpdateRole(ctx, r.ID, r.Name, joinList(r.Scopes), micros(t.now)); err != nil {
		return t.fail("update role "+r.ID, err)
	}
	// A role may be held in any organisation.
	t.Announce(keystile.ChangeAll, "")
	return t.Record(ctx, "", "role.update", "role:"+r.ID, detail)
}

// DeleteRole removes a role.
func (t *Tx) DeleteRole(ctx context.Context, id string) error {
	r, err := t.Role(ctx, id)
	if err != nil {
		return err
	}
	if err := t.q.DeleteRole(ctx, id); err != nil {
		return t.fail("delete role "+id, err)
	}
	t.Announce(keystile.ChangeAll, "")
	return t.Record(ctx, "", "role.delete", "role:"+id, whole(roleMembers(r)))
}

func roleOf(row gen.Role) (keystile.Role, error) {
	return keystile.Role{
		ID: row.ID, Name: row.Name, Scopes: splitList[keystile.Scope](row.Scopes),
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}, nil
}

func roleMembers(r keystile.Role) []member {
	return []member{{"id", r.ID}, {"name", r.Name}, {"scopes", texts(r.Scopes)}}
}

func checkRole(r keystile.Role) error {
	if err := checkID("id", r.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"name", r.Name}); err != nil {
		return err
	}
	return checkList("scopes", r.Scopes)
}
