package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/username"
)

// MaxCustomers bounds the customers of one user.
const MaxCustomers = 200

// NewUser says what a user is to be.
type NewUser struct {
	// User is who they are. ID may be empty: then it is the moment, as the Ona
	// platform writes ids. Username is required; one that is an e-mail address is the
	// Email, too. Times are ignored.
	User keystile.User
	// Password, of the strength that Service.Passwords asks for; Hash in its place imports
	// one. Neither: they cannot sign in with a password yet.
	Password keystile.Secret
	Hash     keystile.Secret
	// Faults is what was found wrong with members while they were read; it is
	// told together with everything else. nil: nothing.
	Faults error
}

// CreateUser makes a user. A name that another user of the store has, or that
// looks like one, is keystile.ErrConflict. Organisation and role must exist.
func (s *Service) CreateUser(ctx context.Context, a store.Actor, in NewUser) (keystile.User, error) {
	if in.User.OrganizationID == "" {
		in.User.OrganizationID = s.boundTo()
	}
	var p problems
	if err := p.take(in.Faults); err != nil {
		return keystile.User{}, err
	}
	// Outside the transaction, which would wait for the hash.
	hash, err := s.newHash(ctx, &p, in)
	if err != nil {
		return keystile.User{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.User, error) {
		u, err := s.createUser(ctx, tx, append(problems(nil), p...), in.User)
		if err != nil || hash == "" {
			return u, err
		}
		return u, s.putPassword(ctx, tx, u.ID, hash)
	})
}

// newHash is the hash of a new user's password; empty: there is none, or it is a problem.
func (s *Service) newHash(ctx context.Context, p *problems, in NewUser) (string, error) {
	switch {
	case in.Password != "" && in.Hash != "":
		p.add("password", "keep one of them", "password and password_hash exclude each other")
	case in.Hash != "":
		return in.Hash.Reveal(), p.take(CheckPasswordHash(in.Hash))
	case in.Password != "":
		if err := p.take(s.checkStrength(in.Password, in.User)); err != nil || len(*p) > 0 {
			return "", err
		}
		return s.HashPassword(ctx, in.Password)
	}
	return "", nil
}

// CreateUserTx is CreateUser inside a transaction, without a password: see SetPasswordHashTx.
func (s *Service) CreateUserTx(ctx context.Context, tx *store.Tx, in keystile.User) (keystile.User, error) {
	return s.createUser(ctx, tx, nil, in)
}

func (s *Service) createUser(ctx context.Context, tx *store.Tx, p problems, u keystile.User) (keystile.User, error) {
	u.CreatedAt, u.LastLoginAt = s.now(), time.Time{}
	u.UpdatedAt = u.CreatedAt
	names := s.checkUser(&p, &u)
	p.reference("organization", u.OrganizationID)
	if keystile.ValidID(u.OrganizationID) {
		if err := s.userOwner(ctx, tx, &p, u.OrganizationID); err != nil {
			return keystile.User{}, err
		}
	}
	if err := p.err(); err != nil {
		return keystile.User{}, err
	}
	if err := s.mayHave(u.AdminRole); err != nil {
		return keystile.User{}, err
	}
	if u.ID == "" {
		var err error
		if u.ID, err = newUserID(ctx, tx, u.CreatedAt); err != nil {
			return keystile.User{}, err
		}
	}
	if err := tx.CreateUser(ctx, u, names...); err != nil {
		return keystile.User{}, fmt.Errorf("create user: %w", err)
	}
	return tx.User(ctx, u.ID)
}

func (s *Service) userOwner(ctx context.Context, tx *store.Tx, p *problems, id string) error {
	org, err := s.owner(ctx, tx, id)
	var invalid *keystile.Invalid
	switch {
	case errors.As(err, &invalid):
		p.under(invalid.Field, err)
		return nil
	case err == nil && org.Disabled:
		p.add("organization", "enable the organization first", "the organization is disabled")
	}
	return err
}

// newUserID is "user_" and the moment to the microsecond, as the Ona platform
// writes ids; of users made in one microsecond each moves on to a free one.
func newUserID(ctx context.Context, tx *store.Tx, at time.Time) (string, error) {
	for {
		id := fmt.Sprintf("user_%s%06d", at.UTC().Format("20060102150405"), at.Nanosecond()/1000)
		_, err := tx.FindUserByID(ctx, id)
		if isNotFound(err) {
			return id, nil
		}
		if err != nil {
			return "", fmt.Errorf("look for a free user id: %w", err)
		}
		at = at.Add(time.Microsecond)
	}
}

// checkUser checks everything about a user that needs no look-up, settles how
// their names are written and returns the names they sign in with.
func (s *Service) checkUser(p *problems, u *keystile.User) []store.SignInName {
	if u.ID != "" {
		p.id("id", u.ID)
	}
	p.name("name", u.Name)
	p.mfa("mfa", u.MFA)
	if u.AdminRole != keystile.AdminNone && !slices.Contains(keystile.AdminRoles, u.AdminRole) {
		p.add("admin_role", "use platform_admin, platform_reviewer, org_admin or org_developer", "not an admin role")
	}
	if len(u.CustomerIDs) > MaxCustomers {
		p.add("customer_ids", fmt.Sprintf("name at most %d", MaxCustomers), "names %d customers", len(u.CustomerIDs))
	} else {
		for i, id := range u.CustomerIDs {
			p.foreignID(fmt.Sprintf("customer_ids[%d]", i), id)
		}
	}
	for field, id := range map[string]string{"role_id": u.RoleID, "group_id": u.GroupID, "skin_id": u.SkinID} {
		if id != "" {
			p.foreignID(field, id)
		}
	}
	names, err := SignInNames(u)
	if err != nil {
		*p = append(*p, err)
	}
	return names
}

// SignInNames settles how a user's names are written and returns the names they
// sign in with. A username that is an e-mail address is the user's address, and the only one.
// Its error is *keystile.Invalid.
func SignInNames(u *keystile.User) ([]store.SignInName, error) {
	name, err := username.Parse(u.Username)
	if err != nil {
		return nil, err
	}
	u.Username = name.Shown
	names := []store.SignInName{{Name: name.Canonical, Skeleton: name.Skeleton}}
	if u.Email == "" {
		if name.IsEmail {
			u.Email = name.Shown
		}
		return names, nil
	}
	var p problems
	address, err := username.Parse(u.Email)
	switch {
	case err != nil:
		p.under("email", err)
	case !address.IsEmail:
		p.add("email", "write it as name@example.com", "is not an e-mail address")
	case name.IsEmail && address.Canonical != name.Canonical:
		p.add("email", "leave it out, or choose another username", "the username is an e-mail address, and the user's only one")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	u.Email = address.Shown
	if address.Canonical != name.Canonical {
		names = append(names, store.SignInName{Name: address.Canonical, Skeleton: address.Skeleton})
	}
	return names, nil
}
