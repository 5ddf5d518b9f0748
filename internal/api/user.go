package api

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// User is a person on the wire, without what they prove who they are with.
type User struct {
	ID                 string     `json:"id" example:"user_20261107160504123456"`
	Organization       string     `json:"organization" example:"sibaya-power"`
	Username           string     `json:"username" example:"user@example.com"`
	Email              string     `json:"email" example:"user@example.com" doc:"Empty: none"`
	Name               string     `json:"name" example:"Ann"`
	RoleID             string     `json:"role_id" example:"role_analyst" doc:"Whose scopes the user has; empty: none"`
	AdminRole          string     `json:"admin_role" doc:"platform_admin, platform_reviewer, org_admin or org_developer; empty: none"`
	CustomerIDs        []string   `json:"customer_ids" nullable:"false"`
	GroupID            string     `json:"group_id"`
	SkinID             string     `json:"skin_id"`
	MFA                string     `json:"mfa" doc:"required, optional or off; empty: as the role or the organization says"`
	MustChangePassword bool       `json:"must_change_password" doc:"The next sign-in with a password leads to a new one"`
	Disabled           bool       `json:"disabled"`
	LastLoginAt        *time.Time `json:"last_login_at" doc:"null: never"`
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
}

func wireUser(u keystile.User) User {
	return User{
		ID: u.ID, Organization: u.OrganizationID, Username: u.Username, Email: u.Email, Name: u.Name, RoleID: u.RoleID, AdminRole: string(u.AdminRole),
		CustomerIDs: list(u.CustomerIDs), GroupID: u.GroupID, SkinID: u.SkinID, MFA: string(u.MFA), MustChangePassword: u.MustChangePassword,
		Disabled: u.Disabled, LastLoginAt: moment(u.LastLoginAt), CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

// steadyUser is a user without what changes by itself, for their version.
func steadyUser(u keystile.User) User {
	u.LastLoginAt = time.Time{}
	return wireUser(u)
}

// UserCreate is the body of create-user.
type UserCreate struct {
	ID                 string   `json:"id,omitempty" doc:"Absent: the moment, as user_ and 20 digits"`
	Organization       string   `json:"organization,omitempty" example:"sibaya-power" doc:"Absent: the one the admin token is bound to"`
	Username           string   `json:"username" example:"user@example.com" doc:"Unique in the server; an e-mail address is the user's e-mail"`
	Email              string   `json:"email,omitempty" doc:"Absent: the username if that is an address, else none"`
	Name               string   `json:"name,omitempty" example:"Ann"`
	RoleID             string   `json:"role_id,omitempty" example:"role_analyst"`
	AdminRole          string   `json:"admin_role,omitempty" enum:"platform_admin,platform_reviewer,org_admin,org_developer" doc:"Absent: none. It may not exceed what the admin token may do"`
	CustomerIDs        []string `json:"customer_ids,omitempty" nullable:"false"`
	GroupID            string   `json:"group_id,omitempty"`
	SkinID             string   `json:"skin_id,omitempty"`
	MFA                string   `json:"mfa,omitempty" enum:"required,optional,off" doc:"Absent: as the role or the organization says"`
	MustChangePassword bool     `json:"must_change_password,omitempty"`
	Disabled           bool     `json:"disabled,omitempty"`
	Password           string   `json:"password,omitempty" writeOnly:"true" doc:"Absent, with no password_hash: the user cannot sign in with a password"`
	PasswordHash       string   `json:"password_hash,omitempty" writeOnly:"true" doc:"In place of password: argon2id, bcrypt, scrypt or PBKDF2; renewed at the next sign-in"`
}

func (in UserCreate) newUser() manage.NewUser {
	return manage.NewUser{
		User: keystile.User{
			ID: in.ID, OrganizationID: in.Organization, Username: in.Username, Email: in.Email, Name: in.Name, RoleID: in.RoleID,
			AdminRole: keystile.AdminRole(in.AdminRole), CustomerIDs: in.CustomerIDs, GroupID: in.GroupID, SkinID: in.SkinID,
			MFA: keystile.MFAPolicy(in.MFA), MustChangePassword: in.MustChangePassword, Disabled: in.Disabled,
		},
		Password: keystile.Secret(in.Password), Hash: keystile.Secret(in.PasswordHash),
	}
}

// UserUpdate is the body of update-user, a merge patch.
type UserUpdate struct {
	Username           member[string]      `json:"username,omitzero" example:"user@example.com"`
	Email              clearable[string]   `json:"email,omitzero" doc:"null: the username if that is an address, else none"`
	Name               clearable[string]   `json:"name,omitzero" example:"Ann"`
	RoleID             clearable[string]   `json:"role_id,omitzero" example:"role_analyst" doc:"null: none"`
	AdminRole          clearable[string]   `json:"admin_role,omitzero" doc:"platform_admin, platform_reviewer, org_admin or org_developer; null: none"`
	CustomerIDs        clearable[[]string] `json:"customer_ids,omitzero"`
	GroupID            clearable[string]   `json:"group_id,omitzero"`
	SkinID             clearable[string]   `json:"skin_id,omitzero"`
	MFA                clearable[string]   `json:"mfa,omitzero" doc:"required, optional or off; null: as the role or the organization says"`
	MustChangePassword member[bool]        `json:"must_change_password,omitzero"`
	Disabled           member[bool]        `json:"disabled,omitzero" doc:"Disabling ends the user's sessions"`
}

func (u UserUpdate) edit(to *keystile.User) error {
	admin, policy := string(to.AdminRole), string(to.MFA)
	u.Email.replace(&to.Email)
	u.Name.replace(&to.Name)
	u.RoleID.replace(&to.RoleID)
	u.AdminRole.replace(&admin)
	u.CustomerIDs.replace(&to.CustomerIDs)
	u.GroupID.replace(&to.GroupID)
	u.SkinID.replace(&to.SkinID)
	u.MFA.replace(&policy)
	to.AdminRole, to.MFA = keystile.AdminRole(admin), keystile.MFAPolicy(policy)
	return errors.Join(
		u.Username.onto("username", &to.Username), u.MustChangePassword.onto("must_change_password", &to.MustChangePassword),
		u.Disabled.onto("disabled", &to.Disabled),
	)
}

// PasswordSet is the body of set-user-password.
type PasswordSet struct {
	Password   string `json:"password" writeOnly:"true"`
	MustChange bool   `json:"must_change,omitempty" doc:"The next sign-in with it leads to a new one"`
}

// TOTPEnrolled is the answer of enrol-user-totp.
type TOTPEnrolled struct {
	FactorID string `json:"factor_id"`
	URI      string `json:"uri" doc:"otpauth URI for an authenticator app, usually shown as a QR code. It is shown here and never again"`
}

type userOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     User
}

func answerUser(u keystile.User) *userOutput {
	return &userOutput{ETag: version(steadyUser(u)), Body: wireUser(u)}
}

// usersOfOrganization is what list-users takes.
type usersOfOrganization struct {
	Paging
	Organization string `query:"organization" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only users of this organization"`
	Username     string `query:"username" maxLength:"254" doc:"Only the user who signs in with this username or e-mail address, however it is written"`
}

func registerUsers(a *API) error {
	return registerAll(
		handle(a, "list-users", a.listUsers),
		handle(a, "create-user", func(ctx context.Context, c *caller, in *struct{ Body UserCreate }) (*userOutput, error) {
			made, err := c.service.CreateUser(ctx, c.actor, in.Body.newUser())
			if err != nil {
				return nil, err
			}
			out := answerUser(made)
			out.Location = "/v1/users/" + made.ID
			return out, nil
		}),
		handle(a, "get-user", func(ctx context.Context, c *caller, in *ByID) (*userOutput, error) {
			return toUser(c.service.User(ctx, in.ID))
		}),
		handle(a, "update-user", func(ctx context.Context, c *caller, in *changing[UserUpdate]) (*userOutput, error) {
			return toUser(c.service.UpdateUser(ctx, c.actor, in.ID, func(u *keystile.User) error {
				if err := sameVersion(in.IfMatch, steadyUser(*u)); err != nil {
					return err
				}
				return in.Body.edit(u)
			}))
		}),
		handle(a, "delete-user", func(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
			return nil, c.service.DeleteUser(ctx, c.actor, in.ID)
		}),
		handle(a, "set-user-password", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body PasswordSet
		},
		) (*userOutput, error) {
			return toUser(c.service.SetPassword(ctx, c.actor, in.ID, manage.NewPassword{Password: keystile.Secret(in.Body.Password), MustChange: in.Body.MustChange}))
		}),
		handle(a, "reset-user-mfa", func(ctx context.Context, c *caller, in *ByID) (*userOutput, error) {
			return toUser(c.service.ResetMFA(ctx, c.actor, in.ID))
		}),
		handle(a, "enrol-user-totp", func(ctx context.Context, c *caller, in *ByID) (*struct{ Body TOTPEnrolled }, error) {
			made, err := c.service.EnrolTOTP(ctx, c.actor, in.ID)
			if err != nil {
				return nil, err
			}
			// The one place where the secret is shown.
			return &struct{ Body TOTPEnrolled }{TOTPEnrolled{FactorID: made.Factor.ID, URI: made.URI.Reveal()}}, nil
		}),
	)
}

func toUser(u keystile.User, err error) (*userOutput, error) {
	if err != nil {
		return nil, err
	}
	return answerUser(u), nil
}

func (a *API) listUsers(ctx context.Context, c *caller, in *usersOfOrganization) (*listOutput[User], error) {
	if in.Username != "" {
		return findUser(ctx, c, in)
	}
	return listPage(a, c, in.Paging, listing[keystile.User, User]{
		binding: []string{"users", in.Organization},
		read: func(after string, limit int) ([]keystile.User, error) {
			return c.service.Users(ctx, manage.UserFilter{Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization})
		},
		place: func(u keystile.User) string { return u.ID },
		wire:  wireUser,
	})
}

// findUser answers a list of the one user with a name, or of none.
func findUser(ctx context.Context, c *caller, in *usersOfOrganization) (*listOutput[User], error) {
	out := &listOutput[User]{Body: List[User]{Items: []User{}}}
	u, err := c.service.FindUser(ctx, in.Username)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && in.Organization != "" && in.Organization != u.OrganizationID {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Body.Items = append(out.Body.Items, wireUser(u))
	return out, nil
}
