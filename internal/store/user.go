package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// UserFilter chooses users.
type UserFilter struct {
	Page
	// OrganizationID: only this organisation's; empty: all.
	OrganizationID string
}

// User reads one user.
func (r *reads) User(ctx context.Context, id string) (keystile.User, error) {
	row, err := r.q.GetUser(ctx, id)
	if err != nil {
		return keystile.User{}, r.fail("read user "+clip(id), err)
	}
	return userOf(row)
}

// User reads one user and keeps it from changing until the transaction ends.
func (t *Tx) User(ctx context.Context, id string) (keystile.User, error) {
	return locked(ctx, t, func() (keystile.User, error) { return t.reads.User(ctx, id) },
		func(u keystile.User) string { return u.OrganizationID })
}

// Users lists users by id, disabled ones too.
func (r *reads) Users(ctx context.Context, f UserFilter) ([]keystile.User, error) {
	var rows []gen.User
	var err error
	if f.OrganizationID == "" {
		rows, err = r.q.ListUsers(ctx, f.AfterID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListUsersOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list users", err)
	}
	return mapRows(rows, userOf, r.fail, "list users")
}

// CreateUser adds a user and the names they sign in with, of which there is at
// least one. A duplicate id is [keystile.ErrConflict], and so is a name that is,
// or looks like, one of any other user of the store. The organisation and the
// role must exist. Zero times of creation are now.
func (t *Tx) CreateUser(ctx context.Context, u keystile.User, names ...SignInName) error {
	if err := t.checkUser(ctx, u, names); err != nil {
		return err
	}
	if err := t.namesFree(ctx, u.ID, names); err != nil {
		return err
	}
	t.stamp(&u.CreatedAt, &u.UpdatedAt)
	n, err := t.q.InsertUser(ctx, gen.InsertUserParams(userRow(u)))
	if err != nil {
		return t.fail("create user "+u.ID, err)
	}
	if n == 0 {
		return conflict("user %q exists already", u.ID)
	}
	if err := t.insertNames(ctx, u.ID, names); err != nil {
		return err
	}
	t.announceHere(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "user.create", "user:"+u.ID, whole(userMembers(u)))
}

// UpdateUser makes the stored user as u says, but for its times, and its names
// those given. Nothing is written if nothing differs. A user cannot move to
// another organisation: their sessions and keys would go on acting in the first.
// Disabling a user ends their sessions for good.
func (t *Tx) UpdateUser(ctx context.Context, u keystile.User, names ...SignInName) error {
	before, err := t.User(ctx, u.ID)
	if err != nil {
		return err
	}
	if before.OrganizationID != u.OrganizationID {
		return keystile.Invalidf("organization", "delete the user and create another one there", "user %q belongs to another organization", u.ID)
	}
	had, err := t.UserNames(ctx, u.ID)
	if err != nil {
		return err
	}
	detail := difference(userMembers(before), userMembers(u))
	names = sortedNames(names)
	renamed := !slices.Equal(had, names)
	if renamed {
		detail["names"] = fromTo{From: nameTexts(had), To: nameTexts(names)}
	}
	if len(detail) == 0 {
		return nil
	}
	if err := t.checkUser(ctx, u, names); err != nil {
		return err
	}
	if renamed {
		if err := t.replaceNames(ctx, u.ID, names); err != nil {
			return err
		}
	}
	if err := t.writeUser(ctx, u); err != nil {
		return err
	}
	t.Announce(keystile.ChangeUser, u.ID)
	if err := t.Record(ctx, u.OrganizationID, "user.update", "user:"+u.ID, detail); err != nil {
		return err
	}
	if err := t.endIfMoved(ctx, before, u); err != nil {
		return err
	}
	return t.endIfDisabled(ctx, before, u)
}

// endIfMoved ends reset links with the address that they were mailed to: whoever reads its
// mail must not choose the password.
func (t *Tx) endIfMoved(ctx context.Context, before, u keystile.User) error {
	if before.Email == u.Email {
		return nil
	}
	return t.fail("end the reset links of user "+u.ID, t.q.ExpirePasswordResets(ctx, micros(t.now), u.ID))
}

func (t *Tx) writeUser(ctx context.Context, u keystile.User) error {
	row := userRow(u)
	return t.fail("update user "+u.ID, t.q.UpdateUser(ctx, gen.UpdateUserParams{
		ID: u.ID, Username: row.Username, Email: row.Email, Name: row.Name, RoleID: row.RoleID, AdminRole: row.AdminRole,
		CustomerIds: row.CustomerIds, GroupID: row.GroupID, SkinID: row.SkinID, Mfa: row.Mfa,
		MustChangePassword: row.MustChangePassword, Disabled: row.Disabled, UpdatedAt: micros(t.now),
	}))
}

// endIfDisabled ends the sessions of a user whom an update disabled, and the ways to new ones that are
// under way: enabling them again must not bring any back.
func (t *Tx) endIfDisabled(ctx context.Context, before, u keystile.User) error {
	if !u.Disabled || before.Disabled {
		return nil
	}
	if err := errors.Join(t.q.DeleteChallengesOfUser(ctx, u.ID), t.q.ExpirePasswordResets(ctx, micros(t.now), u.ID)); err != nil {
		return t.fail("end the sign-ins of user "+u.ID, err)
	}
	return t.RevokeSessionsOfUser(ctx, u, "")
}

// DeleteUser removes a user, their names and their API keys.
func (t *Tx) DeleteUser(ctx context.Context, id string) error {
	u, err := t.User(ctx, id)
	if err != nil {
		return err
	}
	keys, err := t.APIKeysOfUser(ctx, id)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := t.DeleteAPIKey(ctx, k.ID); err != nil {
			return err
		}
	}
	if err := t.q.DeleteUserNames(ctx, id); err != nil {
		return t.fail("delete user "+id, err)
	}
	if err := errors.Join(t.q.DeleteOAuthConsentsOfUser(ctx, id), t.q.EndOAuthVisitsOfUser(ctx, nullMicros(t.now), id, "")); err != nil {
		return t.fail("delete user "+id, err)
	}
	if err := t.q.DeleteUser(ctx, id); err != nil {
		return t.fail("delete user "+id, err)
	}
	t.Announce(keystile.ChangeUser, id)
	return t.Record(ctx, u.OrganizationID, "user.delete", "user:"+id, whole(userMembers(u)))
}

// NoteLogin writes when a user signed in, where that is later than what is
// there. It writes no audit event and no change.
func (t *Tx) NoteLogin(ctx context.Context, id string, at time.Time) error {
	return t.fail("note the sign-in of user "+clip(id), t.q.NoteUserLogin(ctx, nullMicros(at), id))
}

// LockUser reads a user and keeps their password, factors and sessions from changing until the transaction ends,
// without waiting for the rest of the organisation: signing in and setting a password take turns. Whatever
// else a transaction locks comes after it, but for the organisation's chain, which comes before.
func (t *Tx) LockUser(ctx context.Context, id string) (keystile.User, error) {
	row, err := t.q.LockUser(ctx, id)
	if err != nil {
		return keystile.User{}, t.fail("lock user "+clip(id), err)
	}
	return userOf(row)
}

// checkUser checks the user itself, their names and what they refer to.
func (t *Tx) checkUser(ctx context.Context, u keystile.User, names []SignInName) error {
	if err := checkUserFields(u); err != nil {
		return err
	}
	if err := checkNames(names); err != nil {
		return err
	}
	if err := t.ownerExists(ctx, "organization", u.OrganizationID); err != nil {
		return err
	}
	return t.roleExists(ctx, "role_id", u.RoleID)
}

// roleExists refuses a role that is not there; none is allowed. It takes no
// lock, which organisations would wait for each other at: a reference of the
// schema keeps a role that somebody has.
func (t *Tx) roleExists(ctx context.Context, field, id string) error {
	if id == "" || t.roles[id] {
		return nil
	}
	if _, err := t.reads.Role(ctx, id); err != nil {
		return dangling(err, field, "role", id)
	}
	t.roles[id] = true
	return nil
}

func checkUserFields(u keystile.User) error {
	if err := checkID("id", u.ID); err != nil {
		return err
	}
	if u.Username == "" {
		return keystile.Invalidf("username", "give one", "a user has a name to sign in with")
	}
	err := checkTexts(text{"username", u.Username}, text{"email", u.Email}, text{"name", u.Name}, text{"group_id", u.GroupID}, text{"skin_id", u.SkinID})
	if err != nil {
		return err
	}
	if err := checkList("customer_ids", u.CustomerIDs); err != nil {
		return err
	}
	if u.AdminRole != keystile.AdminNone && !slices.Contains(keystile.AdminRoles, u.AdminRole) {
		return keystile.Invalidf("admin_role", "use platform_admin, platform_reviewer, org_admin or org_developer", "%q is not an admin role", clip(string(u.AdminRole)))
	}
	return checkMFA(u.MFA)
}

// checkMFA refuses a policy that would not be understood when it is read.
func checkMFA(policy keystile.MFAPolicy) error {
	switch policy {
	case keystile.MFAInherit, keystile.MFARequired, keystile.MFAOptional, keystile.MFAOff:
		return nil
	}
	return keystile.Invalidf("mfa", "use required, optional or off", "%q is not a policy", clip(string(policy)))
}

func userRow(u keystile.User) gen.User {
	return gen.User{
		ID: u.ID, OrganizationID: u.OrganizationID, Username: u.Username, Email: u.Email, Name: u.Name,
		RoleID: sql.NullString{String: u.RoleID, Valid: u.RoleID != ""}, AdminRole: string(u.AdminRole),
		CustomerIds: joinList(u.CustomerIDs), GroupID: u.GroupID, SkinID: u.SkinID, Mfa: string(u.MFA),
		MustChangePassword: u.MustChangePassword, Disabled: u.Disabled, LastLoginAt: nullMicros(u.LastLoginAt),
		CreatedAt: micros(u.CreatedAt), UpdatedAt: micros(u.UpdatedAt),
	}
}

func userOf(row gen.User) (keystile.User, error) {
	return keystile.User{
		ID: row.ID, OrganizationID: row.OrganizationID, Username: row.Username, Email: row.Email, Name: row.Name,
		RoleID: row.RoleID.String, AdminRole: keystile.AdminRole(row.AdminRole), CustomerIDs: splitList[string](row.CustomerIds),
		GroupID: row.GroupID, SkinID: row.SkinID, MFA: keystile.MFAPolicy(row.Mfa),
		MustChangePassword: row.MustChangePassword, Disabled: row.Disabled, LastLoginAt: nullTimeOf(row.LastLoginAt),
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}, nil
}

func userMembers(u keystile.User) []member {
	return []member{
		{"id", u.ID},
		{"organization", u.OrganizationID},
		{"username", u.Username},
		{"email", u.Email},
		{"name", u.Name},
		{"role_id", u.RoleID},
		{"admin_role", string(u.AdminRole)},
		{"customer_ids", texts(u.CustomerIDs)},
		{"group_id", u.GroupID},
		{"skin_id", u.SkinID},
		{"mfa", string(u.MFA)},
		{"must_change_password", u.MustChangePassword},
		{"disabled", u.Disabled},
	}
}
