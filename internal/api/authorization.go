package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Authorization is a tenant's yes on the wire.
type Authorization struct {
	Application string     `json:"application" format:"uuid"`
	Tenant      string     `json:"tenant" example:"sandbox-tenant"`
	Permissions []string   `json:"permissions" nullable:"false" doc:"What was granted"`
	GrantedBy   string     `json:"granted_by"`
	State       string     `json:"state" enum:"granted,requested,withdrawn,expired"`
	ExpiresAt   *time.Time `json:"expires_at"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

func wireAuthorization(a keystile.Authorization, now time.Time) Authorization {
	state := "granted"
	switch {
	case !a.RequestedAt.IsZero():
		state = "requested"
	case !a.WithdrawnAt.IsZero():
		state = "withdrawn"
	case !a.Stands(now):
		state = "expired"
	}
	return Authorization{
		Application: a.ApplicationID, Tenant: a.TenantID, Permissions: words(a.Permissions), GrantedBy: a.GrantedBy, State: state,
		ExpiresAt: moment(a.ExpiresAt), CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// Offer is an application as a tenant sees it.
type Offer struct {
	Application   Application    `json:"application"`
	Owner         string         `json:"owner" doc:"Name of the organization that makes it"`
	Authorization *Authorization `json:"authorization" doc:"What the tenant granted or was asked for; null: neither"`
}

// Grant is the body of authorize-application.
type Grant struct {
	Permissions []string   `json:"permissions,omitempty" nullable:"false" example:"[\"roof_summary:read\"]" doc:"Some or all of those the application asks for"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"Absent: never"`
}

// AuthorizationRequest is the body of request-authorization.
type AuthorizationRequest struct {
	Tenant string `json:"tenant" example:"sandbox-tenant"`
}

type authorizationPath struct {
	ByID
	Application string `path:"application" doc:"The application's id"`
}

func registerAuthorizations(a *API) error {
	return registerAll(
		handle(a, "list-tenant-applications", func(ctx context.Context, c *caller, in *struct {
			ByID
			Paging
		},
		) (*listOutput[Offer], error) {
			now := a.options.Service.Now()
			return listPage(a, c, in.Paging, listing[manage.Offer, Offer]{
				binding: []string{"offers", in.ID},
				read: func(after string, limit int) ([]manage.Offer, error) {
					return c.service.Offers(ctx, in.ID, manage.Page{AfterID: after, Limit: limit})
				},
				place: func(o manage.Offer) string { return o.Application.ID },
				wire: func(o manage.Offer) Offer {
					out := Offer{Application: wireApplication(o.Application), Owner: o.Owner}
					if o.Authorization != nil {
						standing := wireAuthorization(*o.Authorization, now)
						out.Authorization = &standing
					}
					return out
				},
			})
		}),
		handle(a, "authorize-application", func(ctx context.Context, c *caller, in *struct {
			ByID
			Application string `path:"application" doc:"The application's id"`
			Body        Grant
		},
		) (*struct{ Body Authorization }, error) {
			grant := manage.Grant{ApplicationID: in.Application, TenantID: in.ID, Permissions: scopes(in.Body.Permissions)}
			if in.Body.ExpiresAt != nil {
				grant.ExpiresAt = *in.Body.ExpiresAt
			}
			granted, err := c.service.Authorize(ctx, c.actor, grant)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Authorization }{wireAuthorization(granted, a.options.Service.Now())}, nil
		}),
		handle(a, "withdraw-application", func(ctx context.Context, c *caller, in *authorizationPath) (*struct{}, error) {
			return nil, c.service.Withdraw(ctx, c.actor, in.Application, in.ID)
		}),
		handle(a, "request-authorization", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body AuthorizationRequest
		},
		) (*struct{}, error) {
			return nil, c.service.RequestAuthorization(ctx, c.actor, in.ID, in.Body.Tenant)
		}),
	)
}
