package api

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Role is a named set of scopes on the wire.
type Role struct {
	ID        string    `json:"id" example:"role_analyst"`
	Name      string    `json:"name" example:"Analyst"`
	Scopes    []string  `json:"scopes" nullable:"false" example:"[\"telemetry:read\"]"`
	MFA       string    `json:"mfa" doc:"required, optional or off; empty: as the organization says"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func wireRole(r keystile.Role) Role {
	return Role{ID: r.ID, Name: r.Name, Scopes: words(r.Scopes), MFA: string(r.MFA), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

// words and scopes convert between scopes and their text.
func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

func scopes(words []string) []keystile.Scope {
	if words == nil {
		return nil
	}
	out := make([]keystile.Scope, len(words))
	for i, s := range words {
		out[i] = keystile.Scope(s)
	}
	return out
}

// RoleCreate is the body of create-role.
type RoleCreate struct {
	ID     string   `json:"id,omitempty" example:"role_analyst" doc:"Absent: drawn"`
	Name   string   `json:"name,omitempty" example:"Analyst" doc:"Absent: the id"`
	Scopes []string `json:"scopes,omitempty" nullable:"false" example:"[\"telemetry:read\"]"`
	MFA    string   `json:"mfa,omitempty" enum:"required,optional,off" doc:"Whether a second factor is asked of users with this role; absent: as the organization says"`
}

// RoleUpdate is the body of update-role, a merge patch.
type RoleUpdate struct {
	Name   member[string]    `json:"name,omitzero" example:"Analyst"`
	Scopes member[[]string]  `json:"scopes,omitzero" example:"[\"telemetry:read\"]"`
	MFA    clearable[string] `json:"mfa,omitzero" doc:"required, optional or off; null: as the organization says"`
}

func (u RoleUpdate) edit(r *keystile.Role) error {
	granted := words(r.Scopes)
	err := errors.Join(u.Name.onto("name", &r.Name), u.Scopes.onto("scopes", &granted))
	r.Scopes = scopes(granted)
	policy := string(r.MFA)
	u.MFA.replace(&policy)
	r.MFA = keystile.MFAPolicy(policy)
	return err
}

type roleOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Role
}

func answerRole(r keystile.Role) *roleOutput {
	return &roleOutput{ETag: version(wireRole(r)), Body: wireRole(r)}
}

func registerRoles(a *API) error {
	return registerAll(
		handle(a, "list-roles", func(ctx context.Context, c *caller, in *Paging) (*listOutput[Role], error) {
			return listPage(a, c, *in, listing[keystile.Role, Role]{
				binding: []string{"roles"},
				read: func(after string, limit int) ([]keystile.Role, error) {
					return c.service.Roles(ctx, manage.Page{AfterID: after, Limit: limit})
				},
				place: func(r keystile.Role) string { return r.ID },
				wire:  wireRole,
			})
		}),
		handle(a, "create-role", func(ctx context.Context, c *caller, in *struct{ Body RoleCreate }) (*roleOutput, error) {
			made, err := c.service.CreateRole(ctx, c.actor, keystile.Role{
				ID: in.Body.ID, Name: in.Body.Name, Scopes: scopes(in.Body.Scopes), MFA: keystile.MFAPolicy(in.Body.MFA),
			})
			if err != nil {
				return nil, err
			}
			out := answerRole(made)
			out.Location = "/v1/roles/" + made.ID
			return out, nil
		}),
		handle(a, "get-role", func(ctx context.Context, c *caller, in *ByID) (*roleOutput, error) {
			found, err := c.service.Role(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return answerRole(found), nil
		}),
		handle(a, "update-role", func(ctx context.Context, c *caller, in *changing[RoleUpdate]) (*roleOutput, error) {
			changed, err := c.service.UpdateRole(ctx, c.actor, in.ID, func(r *keystile.Role) error {
				if err := sameVersion(in.IfMatch, wireRole(*r)); err != nil {
					return err
				}
				return in.Body.edit(r)
			})
			if err != nil {
				return nil, err
			}
			return answerRole(changed), nil
		}),
		handle(a, "delete-role", func(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
			return nil, c.service.DeleteRole(ctx, c.actor, in.ID)
		}),
	)
}
