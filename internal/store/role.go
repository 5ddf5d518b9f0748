package store

import (
	"context"
	"database/sql"
	"strings"

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
		ID: r.ID, Name: r.Name, Scopes: joinList(r.Scopes), Mfa: string(r.MFA), CreatedAt: micros(r.CreatedAt), UpdatedAt: micros(r.UpdatedAt),
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
	err = t.q.UpdateRole(ctx, gen.UpdateRoleParams{ID: r.ID, Name: r.Name, Scopes: joinList(r.Scopes), Mfa: string(r.MFA), UpdatedAt: micros(t.now)})
	if err != nil {
		return t.fail("update role "+r.ID, err)
	}
	t.Announce(keystile.ChangeRole, r.ID)
	return t.Record(ctx, "", "role.update", "role:"+r.ID, detail)
}

// DeleteRole removes a role that no user has and no identity provider may
// assert; otherwise it is [keystile.ErrConflict]. Were it not, they would have
// the rights of whatever role is given the id next.
func (t *Tx) DeleteRole(ctx context.Context, id string) error {
	r, err := t.Role(ctx, id)
	if err != nil {
		return err
	}
	if err := t.roleUnused(ctx, id); err != nil {
		return err
	}
	if err := t.q.DeleteRole(ctx, id); err != nil {
		return t.fail("delete role "+id, err)
	}
	delete(t.roles, id)
	t.Announce(keystile.ChangeRole, id)
	return t.Record(ctx, "", "role.delete", "role:"+id, whole(roleMembers(r)))
}

func (t *Tx) roleUnused(ctx context.Context, id string) error {
	const named = 3
	users, err := t.q.ListUsersWithRole(ctx, sql.NullString{String: id, Valid: true}, named)
	if err != nil {
		return t.fail("delete role "+id, err)
	}
	if len(users) > 0 {
		return conflict("role %q is held by users (%s); give them another or none first", id, strings.Join(users, ", "))
	}
	providers, err := t.q.ListIdentityProvidersAssertingRole(ctx, " "+id+" ", named)
	if err != nil {
		return t.fail("delete role "+id, err)
	}
	if len(providers) > 0 {
		return conflict("role %q may be asserted by identity providers (%s); take it off their roles first", id, strings.Join(providers, ", "))
	}
	return nil
}

func roleOf(row gen.Role) (keystile.Role, error) {
	return keystile.Role{
		ID: row.ID, Name: row.Name, Scopes: splitList[keystile.Scope](row.Scopes), MFA: keystile.MFAPolicy(row.Mfa),
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}, nil
}

func roleMembers(r keystile.Role) []member {
	return []member{{"id", r.ID}, {"name", r.Name}, {"scopes", texts(r.Scopes)}, {"mfa", string(r.MFA)}}
}

func checkRole(r keystile.Role) error {
	if err := checkID("id", r.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"name", r.Name}); err != nil {
		return err
	}
	if err := checkMFA(r.MFA); err != nil {
		return err
	}
	return checkList("scopes", r.Scopes)
}
