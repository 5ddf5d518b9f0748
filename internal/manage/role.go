package manage

import (
	"context"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Roles belong to no organisation, so a token bound to one neither sees nor
// changes them.

// CreateRole makes a role. ID may be empty, then one is drawn; Name defaults to
// the id.
func (s *Service) CreateRole(ctx context.Context, a store.Actor, in keystile.Role) (keystile.Role, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Role, error) {
		return s.CreateRoleTx(ctx, tx, in)
	})
}

// CreateRoleTx is CreateRole inside a transaction.
func (s *Service) CreateRoleTx(ctx context.Context, tx *store.Tx, in keystile.Role) (keystile.Role, error) {
	if err := s.global("create a role"); err != nil {
		return keystile.Role{}, err
	}
	if in.ID == "" {
		var err error
		if in.ID, err = s.newID("role_"); err != nil {
			return keystile.Role{}, err
		}
	}
	if in.Name == "" {
		in.Name = in.ID
	}
	if err := checkRole(nil, in); err != nil {
		return keystile.Role{}, err
	}
	in.CreatedAt = s.now()
	in.UpdatedAt = in.CreatedAt
	if err := tx.CreateRole(ctx, in); err != nil {
		return keystile.Role{}, fmt.Errorf("create role %q: %w", in.ID, err)
	}
	return in, nil
}

func checkRole(p problems, role keystile.Role) error {
	p.id("id", role.ID)
	p.name("name", role.Name)
	p.scopes("scopes", role.Scopes)
	p.mfa("mfa", role.MFA)
	return p.err()
}

// UpdateRole lets edit change a role's name, scopes and MFA.
func (s *Service) UpdateRole(ctx context.Context, a store.Actor, id string, edit func(*keystile.Role) error) (keystile.Role, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Role, error) {
		return s.UpdateRoleTx(ctx, tx, id, edit)
	})
}

// UpdateRoleTx is UpdateRole inside a transaction.
func (s *Service) UpdateRoleTx(ctx context.Context, tx *store.Tx, id string, edit func(*keystile.Role) error) (keystile.Role, error) {
	old, err := s.role(ctx, tx, id)
	if err != nil {
		return keystile.Role{}, err
	}
	role := old
	role.Scopes = slices.Clone(old.Scopes)
	var p problems
	if err := p.take(edit(&role)); err != nil {
		return keystile.Role{}, err
	}
	role.ID, role.CreatedAt, role.UpdatedAt = old.ID, old.CreatedAt, old.UpdatedAt
	if role.Name == old.Name && role.MFA == old.MFA && slices.Equal(role.Scopes, old.Scopes) && len(p) == 0 {
		return old, nil
	}
	if err := checkRole(p, role); err != nil {
		return keystile.Role{}, err
	}
	if err := tx.UpdateRole(ctx, role); err != nil {
		return keystile.Role{}, fmt.Errorf("update role %q: %w", id, err)
	}
	return s.role(ctx, tx, id) // the store stamped it
}

// DeleteRole deletes a role; one that a user has or an identity provider may
// assert is keystile.ErrConflict.
func (s *Service) DeleteRole(ctx context.Context, a store.Actor, id string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteRoleTx(ctx, tx, id)
	})
}

// DeleteRoleTx is DeleteRole inside a transaction.
func (s *Service) DeleteRoleTx(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := s.role(ctx, tx, id); err != nil {
		return err
	}
	if err := tx.DeleteRole(ctx, id); err != nil {
		return fmt.Errorf("delete role %q: %w", id, err)
	}
	return nil
}

// Role returns one role.
func (s *Service) Role(ctx context.Context, id string) (keystile.Role, error) {
	return s.role(ctx, s.Store, id)
}

// Roles lists roles by id.
func (s *Service) Roles(ctx context.Context, page store.Page) ([]keystile.Role, error) {
	if s.boundTo() != "" {
		return nil, nil
	}
	roles, err := s.Store.Roles(ctx, page)
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	return roles, nil
}

type roleReader interface {
	Role(ctx context.Context, id string) (keystile.Role, error)
}

func (s *Service) role(ctx context.Context, from roleReader, id string) (keystile.Role, error) {
	if s.boundTo() != "" || !keystile.ValidID(id) {
		return keystile.Role{}, missing("role", id)
	}
	role, err := from.Role(ctx, id)
	if err != nil {
		return keystile.Role{}, fmt.Errorf("role %q: %w", id, err)
	}
	return role, nil
}
