package client

import (
	"context"
	"iter"
	"time"
)

// Role is a named set of scopes.
type Role struct {
	Version
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	// MFA is "required", "optional", "off", or empty: as the organization says.
	MFA       string    `json:"mfa"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// RoleCreate says what a role is to be.
type RoleCreate struct {
	ID     string   `json:"id,omitempty"`
	Name   string   `json:"name,omitempty"`
	Scopes []string `json:"scopes,omitempty"`
	MFA    string   `json:"mfa,omitempty"`
}

// RoleUpdate says what changes; nil stays as it is.
type RoleUpdate struct {
	Name   *string   `json:"name,omitempty"`
	Scopes *[]string `json:"scopes,omitempty"`
	// MFA: an empty text is none.
	MFA *string `json:"mfa,omitempty"`
}

const roles = "roles"

// Roles lists one page.
func (c *Client) Roles(ctx context.Context, o ListOptions) (List[Role], error) {
	return list[Role](ctx, c, roles, o)
}

// AllRoles goes through all pages.
func (c *Client) AllRoles(ctx context.Context, o ListOptions) iter.Seq2[Role, error] {
	return all[Role](ctx, c, roles, o)
}

// Role reads one.
func (c *Client) Role(ctx context.Context, id string) (Role, error) {
	return get[Role](ctx, c, roles, id)
}

// CreateRole makes one.
func (c *Client) CreateRole(ctx context.Context, in RoleCreate) (Role, error) {
	return create[Role](ctx, c, roles, in)
}

// UpdateRole changes one.
func (c *Client) UpdateRole(ctx context.Context, id string, v Version, in RoleUpdate) (Role, error) {
	return update[Role](ctx, c, call{path: []string{roles, id}, match: v.ETag, body: in})
}

// DeleteRole deletes one.
func (c *Client) DeleteRole(ctx context.Context, id string) error { return remove(ctx, c, roles, id) }
