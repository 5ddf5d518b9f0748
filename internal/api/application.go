package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Application is a partner's application on the wire.
type Application struct {
	ID            string    `json:"id" format:"uuid"`
	Organization  string    `json:"organization" example:"roof-tools-inc" doc:"The partner that makes it"`
	Name          string    `json:"name" example:"Roof Tools"`
	Description   string    `json:"description"`
	Homepage      string    `json:"homepage"`
	Kind          string    `json:"kind" enum:"embedded,backend"`
	Environment   string    `json:"environment" enum:"sandbox,production"`
	Permissions   []string  `json:"permissions" nullable:"false" example:"[\"roof_summary:read\"]" doc:"What it asks tenants for"`
	LaunchURL     string    `json:"launch_url"`
	Review        string    `json:"review" enum:"draft,in_review,approved,suspended,retired"`
	ReviewComment string    `json:"review_comment"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
}

func wireApplication(a keystile.Application) Application {
	return Application{
		ID: a.ID, Organization: a.OrganizationID, Name: a.Name, Description: a.Description, Homepage: a.Homepage, Kind: string(a.Kind),
		Environment: string(a.Environment), Permissions: words(a.Permissions), LaunchURL: a.LaunchURL, Review: string(a.Review),
		ReviewComment: a.ReviewComment, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
}

// ApplicationCreate is the body of create-application.
type ApplicationCreate struct {
	ID           string   `json:"id,omitempty" doc:"A UUID; absent: drawn"`
	Organization string   `json:"organization,omitempty" example:"roof-tools-inc" doc:"Absent: the one the admin token is bound to"`
	Name         string   `json:"name" example:"Roof Tools"`
	Description  string   `json:"description,omitempty"`
	Homepage     string   `json:"homepage,omitempty"`
	Kind         string   `json:"kind" enum:"embedded,backend"`
	Environment  string   `json:"environment,omitempty" enum:"sandbox,production" doc:"Absent: the organization's"`
	Permissions  []string `json:"permissions,omitempty" nullable:"false" example:"[\"roof_summary:read\"]"`
	LaunchURL    string   `json:"launch_url,omitempty" doc:"https; an embedded application needs one"`
}

// ApplicationUpdate is the body of update-application, a merge patch.
type ApplicationUpdate struct {
	Name        member[string]   `json:"name,omitzero"`
	Description member[string]   `json:"description,omitzero"`
	Homepage    member[string]   `json:"homepage,omitzero"`
	Permissions member[[]string] `json:"permissions,omitzero"`
	LaunchURL   member[string]   `json:"launch_url,omitzero"`
}

func (u ApplicationUpdate) edit(a *keystile.Application) error {
	asked := words(a.Permissions)
	for _, one := range []struct {
		name   string
		member member[string]
		target *string
	}{
		{"name", u.Name, &a.Name}, {"description", u.Description, &a.Description}, {"homepage", u.Homepage, &a.Homepage}, {"launch_url", u.LaunchURL, &a.LaunchURL},
	} {
		if err := one.member.onto(one.name, one.target); err != nil {
			return err
		}
	}
	if err := u.Permissions.onto("permissions", &asked); err != nil {
		return err
	}
	a.Permissions = scopes(asked)
	return nil
}

// ApplicationMove is the body of move-application.
type ApplicationMove struct {
	Review string `json:"review" enum:"draft,in_review,retired" doc:"in_review submits it, draft takes it back (a production application stops working), retired ends it for good"`
}

// ApplicationReview is the body of review-application.
type ApplicationReview struct {
	Review  string `json:"review" enum:"approved,draft,suspended" doc:"draft sends it back"`
	Comment string `json:"comment,omitempty" doc:"Shown to the partner"`
}

// ApplicationKey is a key of an application on the wire, without its secret.
type ApplicationKey struct {
	ID         string     `json:"id"`
	Hint       string     `json:"hint" example:"ak_prod_V24M" doc:"Its visible head"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

func wireApplicationKey(k keystile.ApplicationKey) ApplicationKey {
	return ApplicationKey{
		ID: k.ID, Hint: k.Hint, CreatedAt: k.CreatedAt, ExpiresAt: moment(k.ExpiresAt), RevokedAt: moment(k.RevokedAt), LastUsedAt: moment(k.LastUsedAt),
	}
}

// ApplicationKeySecret is the answer that holds a new application key, once.
type ApplicationKeySecret struct {
	ApplicationKey
	Secret string `json:"secret" doc:"The new key; it is shown here and never again"`
}

// ApplicationKeyCreate is the body of create-application-key.
type ApplicationKeyCreate struct {
	Overlap *string `json:"overlap,omitempty" example:"24h" doc:"A rotation: how long the earlier keys stay good, from 0s to 2160h; absent: they stay"`
}

type applicationOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Application
}

func answerApplication(a keystile.Application) *applicationOutput {
	return &applicationOutput{ETag: version(wireApplication(a)), Body: wireApplication(a)}
}

type listApplicationsInput struct {
	Paging
	Organization string `query:"organization" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"Only things of this organization"`
	Review       string `query:"review" enum:"draft,in_review,approved,suspended,retired" doc:"Only those in this state; not together with organization"`
}

func registerApplications(a *API) error {
	return registerAll(
		handle(a, "list-applications", func(ctx context.Context, c *caller, in *listApplicationsInput) (*listOutput[Application], error) {
			return listPage(a, c, in.Paging, listing[keystile.Application, Application]{
				binding: []string{"applications", in.Organization, in.Review},
				read: func(after string, limit int) ([]keystile.Application, error) {
					return c.service.Applications(ctx, manage.ApplicationFilter{
						Page: manage.Page{AfterID: after, Limit: limit}, OrganizationID: in.Organization, Review: keystile.ReviewState(in.Review),
					})
				},
				place: func(a keystile.Application) string { return a.ID },
				wire:  wireApplication,
			})
		}),
		handle(a, "create-application", func(ctx context.Context, c *caller, in *struct{ Body ApplicationCreate }) (*applicationOutput, error) {
			b := in.Body
			made, err := c.service.CreateApplication(ctx, c.actor, keystile.Application{
				ID: b.ID, OrganizationID: b.Organization, Name: b.Name, Description: b.Description, Homepage: b.Homepage,
				Kind: keystile.ApplicationKind(b.Kind), Environment: keystile.Environment(b.Environment), Permissions: scopes(b.Permissions), LaunchURL: b.LaunchURL,
			})
			if err != nil {
				return nil, err
			}
			out := answerApplication(made)
			out.Location = "/v1/applications/" + made.ID
			return out, nil
		}),
		handle(a, "get-application", func(ctx context.Context, c *caller, in *ByID) (*applicationOutput, error) {
			found, err := c.service.Application(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return answerApplication(found), nil
		}),
		handle(a, "update-application", func(ctx context.Context, c *caller, in *changing[ApplicationUpdate]) (*applicationOutput, error) {
			changed, err := c.service.UpdateApplication(ctx, c.actor, in.ID, func(app *keystile.Application) error {
				if err := sameVersion(in.IfMatch, wireApplication(*app)); err != nil {
					return err
				}
				return in.Body.edit(app)
			})
			if err != nil {
				return nil, err
			}
			return answerApplication(changed), nil
		}),
		registerReviews(a),
		registerApplicationKeys(a),
	)
}

// registerReviews are the steps in the life of an application.
func registerReviews(a *API) error {
	return registerAll(
		handle(a, "move-application", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body ApplicationMove
		},
		) (*applicationOutput, error) {
			moved, err := c.service.MoveApplication(ctx, c.actor, in.ID, keystile.ReviewState(in.Body.Review))
			if err != nil {
				return nil, err
			}
			return answerApplication(moved), nil
		}),
		handle(a, "review-application", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body ApplicationReview
		},
		) (*applicationOutput, error) {
			moved, err := c.service.ReviewApplication(ctx, c.actor, in.ID, manage.Verdict{To: keystile.ReviewState(in.Body.Review), Comment: in.Body.Comment})
			if err != nil {
				return nil, err
			}
			return answerApplication(moved), nil
		}),
	)
}

type applicationKeyPath struct {
	ByID
	Key string `path:"key" doc:"The key's id"`
}

func registerApplicationKeys(a *API) error {
	return registerAll(
		handle(a, "list-application-keys", func(ctx context.Context, c *caller, in *ByID) (*listOutput[ApplicationKey], error) {
			keys, err := c.service.ApplicationKeys(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := &listOutput[ApplicationKey]{Body: List[ApplicationKey]{Items: make([]ApplicationKey, len(keys))}}
			for i, k := range keys {
				out.Body.Items[i] = wireApplicationKey(k)
			}
			return out, nil
		}),
		handle(a, "create-application-key", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body ApplicationKeyCreate
		},
		) (*struct{ Body ApplicationKeySecret }, error) {
			var overlap *time.Duration
			if in.Body.Overlap != nil {
				d, err := time.ParseDuration(*in.Body.Overlap)
				if err != nil {
					return nil, keystile.Invalidf("overlap", "write a duration such as 24h, or 0s", "not a duration")
				}
				overlap = &d
			}
			made, err := c.service.CreateApplicationKey(ctx, c.actor, in.ID, overlap)
			if err != nil {
				return nil, err
			}
			// The one place where a new application key is shown.
			return &struct{ Body ApplicationKeySecret }{ApplicationKeySecret{ApplicationKey: wireApplicationKey(made.Key), Secret: made.Secret.Reveal()}}, nil
		}),
		handle(a, "revoke-application-key", func(ctx context.Context, c *caller, in *applicationKeyPath) (*struct{}, error) {
			return nil, c.service.RevokeApplicationKey(ctx, c.actor, in.ID, in.Key)
		}),
	)
}
