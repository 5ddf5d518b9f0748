package manage

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/username"
)

// User returns one user.
func (s *Service) User(ctx context.Context, id string) (keystile.User, error) {
	return s.user(ctx, s.Store, id)
}

// Users lists users by id.
func (s *Service) Users(ctx context.Context, filter UserFilter) ([]keystile.User, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	users, err := s.Store.Users(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return users, nil
}

// FindUser returns the user who signs in with a name: a username or e-mail
// address, however it is written.
func (s *Service) FindUser(ctx context.Context, name string) (keystile.User, error) {
	canonical, err := username.Canonical(name)
	if err != nil {
		return keystile.User{}, fmt.Errorf("find a user by name: %w", keystile.ErrNotFound)
	}
	found, err := s.Store.FindUser(ctx, canonical)
	if err != nil {
		return keystile.User{}, fmt.Errorf("find a user by name: %w", err)
	}
	if !s.sees(found.User.OrganizationID) {
		return keystile.User{}, fmt.Errorf("find a user by name: %w", keystile.ErrNotFound)
	}
	return found.User, nil
}

type userReader interface {
	User(ctx context.Context, id string) (keystile.User, error)
}

func (s *Service) user(ctx context.Context, from userReader, id string) (keystile.User, error) {
	if !keystile.ValidID(id) {
		return keystile.User{}, missing("user", id)
	}
	u, err := from.User(ctx, id)
	if err != nil {
		return keystile.User{}, fmt.Errorf("user %q: %w", id, err)
	}
	if !s.sees(u.OrganizationID) {
		return keystile.User{}, missing("user", id)
	}
	return u, nil
}

// UpdateUser lets edit change a user: their names, role, rights, what the Ona
// platform knows of them, what is asked of them and whether they are disabled. Everything
// else stays as it was, whatever edit sets. Disabling ends every session.
func (s *Service) UpdateUser(ctx context.Context, a store.Actor, id string, edit func(*keystile.User) error) (keystile.User, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.User, error) {
		return s.UpdateUserTx(ctx, tx, id, edit)
	})
}

// UpdateUserTx is UpdateUser inside a transaction.
func (s *Service) UpdateUserTx(ctx context.Context, tx *store.Tx, id string, edit func(*keystile.User) error) (keystile.User, error) {
	old, err := s.userToChange(ctx, tx, id)
	if err != nil {
		return keystile.User{}, err
	}
	u := old
	u.CustomerIDs = slices.Clone(old.CustomerIDs)
	var p problems
	if err := p.take(edit(&u)); err != nil {
		return keystile.User{}, err
	}
	u.ID, u.OrganizationID, u.LastLoginAt, u.CreatedAt, u.UpdatedAt = old.ID, old.OrganizationID, old.LastLoginAt, old.CreatedAt, old.UpdatedAt
	if len(u.CustomerIDs) == 0 {
		u.CustomerIDs = nil
	}
	if old.Email == old.Username && u.Email == old.Email && u.Username != old.Username {
		u.Email = "" // it was the old username's and goes with it
	}
	names := s.checkUser(&p, &u)
	if reflect.DeepEqual(u, old) && len(p) == 0 {
		return old, nil
	}
	if err := p.err(); err != nil {
		return keystile.User{}, err
	}
	if err := s.mayHave(u.AdminRole); err != nil {
		return keystile.User{}, err
	}
	if err := tx.UpdateUser(ctx, u, names...); err != nil {
		return keystile.User{}, fmt.Errorf("update user %q: %w", id, err)
	}
	return s.user(ctx, tx, id) // the store stamped it
}

// DeleteUser deletes a user with their sessions, factors and personal API key.
// Disabling them in its place keeps their record, and their names stay taken.
func (s *Service) DeleteUser(ctx context.Context, a store.Actor, id string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteUserTx(ctx, tx, id)
	})
}

// DeleteUserTx is DeleteUser inside a transaction.
func (s *Service) DeleteUserTx(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := s.userToChange(ctx, tx, id); err != nil {
		return err
	}
	if err := tx.DeleteUser(ctx, id); err != nil {
		return fmt.Errorf("delete user %q: %w", id, err)
	}
	return nil
}

// userToChange is a user whom the caller may change: one who may not do more in
// Keystile than the caller. Whoever may set somebody's password may act as them.
func (s *Service) userToChange(ctx context.Context, from userReader, id string) (keystile.User, error) {
	u, err := s.user(ctx, from, id)
	if err != nil {
		return keystile.User{}, err
	}
	return u, s.mayHave(u.AdminRole)
}

// mayHave refuses to make, or to act on, somebody with an admin role that may
// do more than the caller.
func (s *Service) mayHave(role keystile.AdminRole) error {
	if s.token == nil || role == keystile.AdminNone {
		return nil
	}
	needed := RoleScopes(role)
	switch role {
	case keystile.PlatformAdmin, keystile.PlatformReviewer:
		if err := s.global("act on a user with the admin role " + string(role)); err != nil {
			return err
		}
		needed = keystile.AdminScopes
	case keystile.AdminNone, keystile.OrgAdmin, keystile.OrgDeveloper:
	}
	for _, scope := range needed {
		if !s.holds(scope) {
			return fmt.Errorf("act on a user with the admin role %s without scope %s: %w", role, scope, ErrNotPermitted)
		}
	}
	return nil
}
