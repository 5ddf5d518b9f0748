package state

import (
	"context"
	"errors"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/username"
)

// user is a person.
type user struct {
	Username           string           `yaml:"username,required" example:"user@example.com" doc:"Name to sign in with, unique in the store; an e-mail address is the user's e-mail."`
	Password           keystile.Secret  `yaml:"password" doc:"Password, of any strength."`
	PasswordHash       keystile.Secret  `yaml:"password_hash" doc:"In place of password: argon2id, bcrypt, scrypt or PBKDF2; renewed at the next sign-in."`
	Organization       string           `yaml:"organization,required" example:"sibaya-power" doc:"Organization of the user."`
	RoleID             string           `yaml:"role_id" example:"role_analyst" doc:"Role in the platform; it grants nothing in Keystile itself."`
	AdminRole          string           `yaml:"admin_role" enum:"platform_admin platform_reviewer org_admin org_developer" doc:"Role in Keystile itself. Absent: none."`
	CustomerIDs        []string         `yaml:"customer_ids" doc:"Customers of the platform the user stands for."`
	GroupID            string           `yaml:"group_id" doc:"Group in the platform."`
	SkinID             string           `yaml:"skin_id" doc:"Appearance in the platform."`
	MFA                string           `yaml:"mfa" enum:"required optional off" doc:"Whether a second factor is asked for. Absent: as the role or the organization says."`
	TOTPSecret         keystile.Secret  `yaml:"totp_secret" doc:"An enrolled factor, as base32."`
	TOTP               *sealedTOTP      `yaml:"totp" doc:"In place of totp_secret, as an export writes it."`
	AuthToken          keystile.Secret  `yaml:"auth_token" doc:"The user's personal API key."`
	AuthTokenSealed    *sealedAuthToken `yaml:"auth_token_sealed" doc:"In place of auth_token, as an export writes it."`
	ID                 string           `yaml:"id" doc:"Id. Absent: drawn once. With it the username may change."`
	Email              string           `yaml:"email" doc:"Where mail goes; it signs in, too. Absent: the username if that is an address, else none."`
	Name               string           `yaml:"name" doc:"What people call them."`
	MustChangePassword bool             `yaml:"must_change_password" doc:"The password is the first one: it is set when there is none yet, and the next sign-in leads to a new one."`
	Disabled           bool             `yaml:"disabled" doc:"Their sessions and credentials are refused. Absent: false."`

	// names are those they sign in with; the first is the username.
	names []store.SignInName
}

// sealedTOTP is a TOTP factor as an export writes it.
type sealedTOTP struct {
	ID     string  `yaml:"id,required" doc:"Id of the factor."`
	Name   string  `yaml:"name" doc:"What the user calls it."`
	Sealed *sealed `yaml:"sealed,required" doc:"The secret under the store's master key, MASTERKEY:BASE64."`
}

// sealedAuthToken is a personal API key as an export writes it.
type sealedAuthToken struct {
	ID     string  `yaml:"id,required" doc:"Id of the API key."`
	Sealed *sealed `yaml:"sealed,required" doc:"The key under the store's master key, MASTERKEY:BASE64."`
}

// canonical is the username as it is compared; "" if it is none.
func (u *user) canonical() string {
	if len(u.names) == 0 {
		return ""
	}
	return u.names[0].Name
}

// users is the collection of the section of that name. A user is known by the
// username, or by the id where the file gives one.
type users struct {
	entries []entry[user]
	named   bool

	byName map[string]*entry[user]
	// stored is who an entry is in the store; byID who is meant by an id there.
	stored map[*entry[user]]keystile.User
	byID   map[string]*entry[user]
	// passwords is what was found out about passwords before the transaction.
	passwords map[*entry[user]]foundPassword
}

func (k *users) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "users", s.document.Users)...)
	k.named = k.named || s.document.Users != nil
}

// owners lists the organisations that users refer to, and roles the roles.
func (k *users) owners() []string {
	return gather(k.entries, func(u *user) string { return u.Organization })
}

func (k *users) roles() []string { return gather(k.entries, func(u *user) string { return u.RoleID }) }

// gather lists the ids that entries refer to; an absent one is left out.
func gather[T any](entries []entry[T], of func(*T) string) []string {
	ids := make([]string, 0, len(entries))
	for i := range entries {
		if id := of(entries[i].value); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func listUsers(tx *store.Tx) lister[keystile.User] {
	return func(ctx context.Context, after string, limit int) ([]keystile.User, error) {
		return tx.Users(ctx, store.UserFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
}

func storedUserID(u *keystile.User) string { return u.ID }

func (k *users) look(ctx context.Context, tx *store.Tx, r *run) error {
	k.stored, k.byID = map[*entry[user]]keystile.User{}, map[string]*entry[user]{}
	for i := range k.entries {
		e := &k.entries[i]
		old, ok, err := k.find(ctx, tx, r, e)
		if err != nil {
			return err
		}
		if ok {
			// Again, so that they do not change until the transaction ends.
			if old, err = tx.User(ctx, old.ID); err != nil {
				return err
			}
			k.stored[e], k.byID[old.ID] = old, e
		}
		k.lookAt(r, e)
	}
	return nil
}

// find finds who an entry is in the store: whoever has its id, else its username.
func (k *users) find(ctx context.Context, from userReader, r *run, e *entry[user]) (u keystile.User, ok bool, err error) {
	if e.value.ID != "" {
		u, err := from.User(ctx, e.value.ID)
		if err == nil || !errors.Is(err, keystile.ErrNotFound) {
			return u, err == nil, err
		}
	}
	found, err := from.FindUser(ctx, e.value.canonical())
	if errors.Is(err, keystile.ErrNotFound) {
		return keystile.User{}, false, nil
	}
	if err != nil {
		return keystile.User{}, false, err
	}
	name, err := username.Canonical(found.User.Username)
	switch {
	case err == nil && name != e.value.canonical():
		if r != nil {
			report(r, e, keystile.Invalidf("username", "choose another, or write that user's username", "is the e-mail address of another user"))
		}
		return keystile.User{}, false, nil
	case e.value.ID != "" && r != nil && !r.prunes(k.named):
		report(r, e, keystile.Invalidf("id", "write that id, or none", "the user of this name has the id %s", found.User.ID))
	}
	return found.User, e.value.ID == "", nil
}

// userReader is what a store and a transaction share here.
type userReader interface {
	User(ctx context.Context, id string) (keystile.User, error)
	FindUser(ctx context.Context, name string) (store.UserLookup, error)
}

// lookAt reports what a user refers to that there will not be.
func (k *users) lookAt(r *run, e *entry[user]) {
	u := e.value
	if !owned(r, e, u.Organization) {
		return
	}
	if old, ok := k.stored[e]; ok && old.OrganizationID != u.Organization {
		report(r, e, keystile.Invalidf("organization", "delete the user there first", "the user belongs to another organization, and users do not move"))
		return
	}
	if u.RoleID != "" && !r.world.roles.exists(r, u.RoleID) {
		report(r, e, keystile.Invalidf("role_id", "name one that the files or the store have", "there is no role %s", u.RoleID))
	}
	if u.TOTP != nil {
		lookAtSealed(r, e, "totp.sealed", u.TOTP.Sealed)
	}
	if u.AuthTokenSealed != nil {
		lookAtSealed(r, e, "auth_token_sealed.sealed", u.AuthTokenSealed.Sealed)
	}
}

// before deletes the users who go, so that others may take over their names.
func (k *users) before(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	type going struct{ id, name string }
	var gone []going
	err := every(ctx, listUsers(tx), storedUserID, func(u *keystile.User) error {
		if k.byID[u.ID] == nil {
			gone = append(gone, going{u.ID, u.Username})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range gone {
		if err := r.service.DeleteUserTx(ctx, tx, g.id); err != nil {
			return fmt.Errorf("delete user %s: %w", g.id, err)
		}
		r.deleted("user", g.name)
	}
	return nil
}

func (*users) after(context.Context, *store.Tx, *run) error { return nil }

func (k *users) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		old, ok := k.stored[e]
		var err error
		if ok {
			err = k.update(ctx, tx, r, e, old)
		} else {
			err = k.create(ctx, tx, r, e)
		}
		if err := answerAt(r, e, "username", err); err != nil {
			return err
		}
	}
	return nil
}

// wanted is the user as the file wants them.
func (u *user) wanted(old keystile.User) keystile.User {
	want := old
	want.OrganizationID, want.Username, want.Email, want.Name = u.Organization, u.Username, u.Email, u.Name
	want.RoleID, want.AdminRole, want.MFA = u.RoleID, keystile.AdminRole(u.AdminRole), keystile.MFAPolicy(u.MFA)
	want.CustomerIDs, want.GroupID, want.SkinID = slices.Clone(u.CustomerIDs), u.GroupID, u.SkinID
	want.Disabled = u.Disabled
	return want
}

func (k *users) create(ctx context.Context, tx *store.Tx, r *run, e *entry[user]) error {
	want := e.value.wanted(keystile.User{ID: e.value.ID})
	want.MustChangePassword = e.value.MustChangePassword
	made, err := r.service.CreateUserTx(ctx, tx, want)
	if err != nil {
		return err
	}
	r.created("user", made.Username)
	var d diff // of a new user, which is told as created
	return (&proofs{run: r, tx: tx, entry: e, user: made, diff: &d}).all(ctx)
}

func (k *users) update(ctx context.Context, tx *store.Tx, r *run, e *entry[user], old keystile.User) error {
	want := e.value.wanted(old)
	d := userDiff(old, want)
	if len(d) > 0 {
		if _, err := r.service.UpdateUserTx(ctx, tx, old.ID, func(u *keystile.User) error { *u = want; return nil }); err != nil {
			return err
		}
	}
	if err := (&proofs{run: r, tx: tx, entry: e, user: want, diff: &d}).all(ctx); err != nil {
		return err
	}
	if len(d) > 0 {
		r.updated("user", want.Username, d)
	}
	return nil
}

func userDiff(old, want keystile.User) diff {
	var d diff
	d.text("username", old.Username, want.Username)
	d.text("email", old.Email, want.Email)
	d.text("name", old.Name, want.Name)
	d.text("role_id", old.RoleID, want.RoleID)
	d.text("admin_role", string(old.AdminRole), string(want.AdminRole))
	list(&d, "customer_ids", old.CustomerIDs, want.CustomerIDs)
	d.text("group_id", old.GroupID, want.GroupID)
	d.text("skin_id", old.SkinID, want.SkinID)
	d.text("mfa", string(old.MFA), string(want.MFA))
	d.text("disabled", fmt.Sprint(old.Disabled), fmt.Sprint(want.Disabled))
	return d
}
