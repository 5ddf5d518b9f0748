package client

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// User is a person who signs in.
type User struct {
	Version
	// ID is "user_" and 20 digits unless it was chosen.
	ID           string `json:"id"`
	Organization string `json:"organization"`
	Username     string `json:"username"`
	// Email, Name, RoleID, AdminRole, GroupID, SkinID: empty for none.
	Email       string   `json:"email"`
	Name        string   `json:"name"`
	RoleID      string   `json:"role_id"`
	AdminRole   string   `json:"admin_role"`
	CustomerIDs []string `json:"customer_ids"`
	GroupID     string   `json:"group_id"`
	SkinID      string   `json:"skin_id"`
	// MFA is "required", "optional", "off", or empty: as the role or the organization says.
	MFA                string     `json:"mfa"`
	MustChangePassword bool       `json:"must_change_password"`
	Disabled           bool       `json:"disabled"`
	LastLoginAt        *time.Time `json:"last_login_at"`
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
}

// UserCreate says what a user is to be. Username is required, and Organization
// unless the token is bound to one.
type UserCreate struct {
	ID                 string   `json:"id,omitempty"`
	Organization       string   `json:"organization,omitempty"`
	Username           string   `json:"username"`
	Email              string   `json:"email,omitempty"`
	Name               string   `json:"name,omitempty"`
	RoleID             string   `json:"role_id,omitempty"`
	AdminRole          string   `json:"admin_role,omitempty"`
	CustomerIDs        []string `json:"customer_ids,omitempty"`
	GroupID            string   `json:"group_id,omitempty"`
	SkinID             string   `json:"skin_id,omitempty"`
	MFA                string   `json:"mfa,omitempty"`
	MustChangePassword bool     `json:"must_change_password,omitempty"`
	Disabled           bool     `json:"disabled,omitempty"`
	// Password, or PasswordHash in its place: argon2id, bcrypt, scrypt or PBKDF2.
	Password     string `json:"password,omitempty"`
	PasswordHash string `json:"password_hash,omitempty"`
}

// UserUpdate says what changes; nil stays as it is. An empty text is none.
type UserUpdate struct {
	Username           *string   `json:"username,omitempty"`
	Email              *string   `json:"email,omitempty"`
	Name               *string   `json:"name,omitempty"`
	RoleID             *string   `json:"role_id,omitempty"`
	AdminRole          *string   `json:"admin_role,omitempty"`
	CustomerIDs        *[]string `json:"customer_ids,omitempty"`
	GroupID            *string   `json:"group_id,omitempty"`
	SkinID             *string   `json:"skin_id,omitempty"`
	MFA                *string   `json:"mfa,omitempty"`
	MustChangePassword *bool     `json:"must_change_password,omitempty"`
	Disabled           *bool     `json:"disabled,omitempty"`
}

// PasswordSet is a password that a user is given.
type PasswordSet struct {
	Password string `json:"password"`
	// MustChange: the next sign-in with it leads to a new one.
	MustChange bool `json:"must_change,omitempty"`
}

// TOTPEnrolled is a TOTP factor that was made for a user.
type TOTPEnrolled struct {
	FactorID string `json:"factor_id"`
	// URI is the otpauth URI for an authenticator app. The server shows it once.
	URI string `json:"uri"`
}

const users = "users"

// Users lists one page.
func (c *Client) Users(ctx context.Context, o ListOptions) (List[User], error) {
	return list[User](ctx, c, users, o)
}

// AllUsers goes through all pages.
func (c *Client) AllUsers(ctx context.Context, o ListOptions) iter.Seq2[User, error] {
	return all[User](ctx, c, users, o)
}

// User reads one.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	return get[User](ctx, c, users, id)
}

// FindUser reads the one who signs in with a username or e-mail address,
// however it is written; ok is false if there is none. Its ETag is empty.
func (c *Client) FindUser(ctx context.Context, name string) (u User, ok bool, err error) {
	var page List[User]
	if err := c.send(ctx, call{method: "GET", path: []string{users}, query: url.Values{"username": {name}}}, &page); err != nil || len(page.Items) == 0 {
		return User{}, false, err
	}
	return page.Items[0], true, nil
}

// CreateUser makes one.
func (c *Client) CreateUser(ctx context.Context, in UserCreate) (User, error) {
	return create[User](ctx, c, users, in)
}

// UpdateUser changes one. Disabling ends their sessions.
func (c *Client) UpdateUser(ctx context.Context, id string, v Version, in UserUpdate) (User, error) {
	return update[User](ctx, c, call{path: []string{users, id}, match: v.ETag, body: in})
}

// DeleteUser deletes one with their sessions, factors and personal API key.
func (c *Client) DeleteUser(ctx context.Context, id string) error { return remove(ctx, c, users, id) }

// SetUserPassword gives one a password and ends their sessions.
func (c *Client) SetUserPassword(ctx context.Context, id string, in PasswordSet) (User, error) {
	var u User
	err := c.send(ctx, call{method: "POST", path: []string{users, id, "password"}, body: in}, &u)
	return u, err
}

// ResetUserMFA removes every second factor of one and ends their sessions.
func (c *Client) ResetUserMFA(ctx context.Context, id string) (User, error) {
	var u User
	err := c.send(ctx, call{method: "POST", path: []string{users, id, "reset-mfa"}}, &u)
	return u, err
}

// EnrolUserTOTP gives one a TOTP factor with a new secret.
func (c *Client) EnrolUserTOTP(ctx context.Context, id string) (TOTPEnrolled, error) {
	var made TOTPEnrolled
	err := c.send(ctx, call{method: "POST", path: []string{users, id, "totp"}}, &made)
	return made, err
}
