package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Site is a place on the wire.
type Site struct {
	ID           string    `json:"id" example:"Sibaya"`
	Organization string    `json:"organization" example:"sibaya-power"`
	Name         string    `json:"name" example:"Sibaya"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

func wireSite(s keystile.Site) Site {
	return Site{ID: s.ID, Organization: s.OrganizationID, Name: s.Name, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
}

// SiteCreate is the body of create-site.
type SiteCreate struct {
	ID           string `json:"id" example:"Sibaya" doc:"What callers send as site_id; unique in the whole server"`
	Organization string `json:"organization,omitempty" example:"sibaya-power" doc:"Absent: the one the admin token is bound to"`
	Name         string `json:"name,omitempty" example:"Sibaya" doc:"Absent: the id"`
}

// SiteUpdate is the body of update-site, a merge patch.
type SiteUpdate struct {
	Name member[string] `json:"name,omitzero" example:"Sibaya"`
}

type siteOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Site
}

func answerSite(s keystile.Site) *siteOutput {
	return &siteOutput{ETag: version(wireSite(s)), Body: wireSite(s)}
}

// ofOrganization is the input of lists that an organisation narrows.
type ofOrganization struct {
	Paging
	Organization string `query:"organization" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only things of this organization"`
}

func registerSites(a *API) error {
	return registerAll(
		handle(a, "list-sites", func(ctx context.Context, c *caller, in *ofOrganization) (*listOutput[Site], error) {
			return listPage(a, c, in.Paging, listing[keystile.Site, Site]{
				binding: []string{"sites", in.Organization},
				read: func(after string, limit int) ([]keystile.Site, error) {
					return c.service.Sites(ctx, manage.SiteFilter{
						Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization,
					})
				},
				place: func(s keystile.Site) string { return s.ID },
				wire:  wireSite,
			})
		}),
		handle(a, "create-site", func(ctx context.Context, c *caller, in *struct{ Body SiteCreate }) (*siteOutput, error) {
			made, err := c.service.CreateSite(ctx, c.actor, keystile.Site{
				ID: in.Body.ID, OrganizationID: in.Body.Organization, Name: in.Body.Name,
			})
			if err != nil {
				return nil, err
			}
			out := answerSite(made)
			out.Location = "/v1/sites/" + made.ID
			return out, nil
		}),
		handle(a, "get-site", func(ctx context.Context, c *caller, in *ByID) (*siteOutput, error) {
			found, err := c.service.Site(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return answerSite(found), nil
		}),
		handle(a, "update-site", func(ctx context.Context, c *caller, in *changing[SiteUpdate]) (*siteOutput, error) {
			changed, err := c.service.UpdateSite(ctx, c.actor, in.ID, func(s *keystile.Site) error {
				if err := sameVersion(in.IfMatch, wireSite(*s)); err != nil {
					return err
				}
				return in.Body.Name.onto("name", &s.Name)
			})
			if err != nil {
				return nil, err
			}
			return answerSite(changed), nil
		}),
		handle(a, "delete-site", func(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
			return nil, c.service.DeleteSite(ctx, c.actor, in.ID)
		}),
	)
}
