package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Organization is a tenant on the wire.
type Organization struct {
	ID          string    `json:"id" example:"sibaya-power"`
	Name        string    `json:"name" example:"Sibaya Power"`
	Environment string    `json:"environment" enum:"production,sandbox"`
	OneTime     OneTime   `json:"onetime" doc:"What it asks of one-time signed requests"`
	Leak        Leak      `json:"leak" doc:"What happens to its API keys that are found in the open"`
	TenantID    string    `json:"tenant_id" example:"6a1f2f0e-7f6b-4b57-9d39-2f2d8f1f7c11"`
	KeyPrefix   string    `json:"key_prefix" example:"opa" doc:"What new API keys begin with"`
	MFA         string    `json:"mfa" doc:"required, optional or off, where neither the user nor their role says; empty: optional"`
	Disabled    bool      `json:"disabled" doc:"Credentials of a disabled organization are refused"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func wireOrganization(o keystile.Organization) Organization {
	return Organization{
		ID: o.ID, Name: o.Name, Environment: string(o.Environment), TenantID: o.TenantID,
		KeyPrefix: o.KeyPrefix, MFA: string(o.MFA), Disabled: o.Disabled, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, OneTime: wireOneTime(o.OneTime), Leak: wireLeak(o.Leak),
	}
}

// OneTime is what an organization asks of one-time signed requests, on the wire.
type OneTime struct {
	ClockWindow *string  `json:"clock_window" example:"60s" doc:"How far a stamp may be from the server's clock, either way; null: the server's default"`
	Forms       []string `json:"forms" nullable:"false" enum:"header,jwt,http_signature" doc:"Forms that are accepted; none: all"`
}

func wireOneTime(p keystile.OneTimePolicy) OneTime {
	out := OneTime{Forms: []string{}}
	if p.ClockWindow != 0 {
		text := strconv.FormatInt(int64(p.ClockWindow/time.Second), 10) + "s"
		out.ClockWindow = &text
	}
	for _, form := range p.Forms {
		out.Forms = append(out.Forms, string(form))
	}
	return out
}

// Leak is an organization's response to leaked API keys, on the wire.
type Leak struct {
	Response string  `json:"response" enum:"notify,throttle,revoke" doc:"Beside telling its administrators: nothing; hold the leaked secret to 10/1m; end it after the grace"`
	Grace    *string `json:"grace" example:"24h0m0s" doc:"How long a leaked secret goes on before it is revoked; null unless response is revoke"`
}

func wireLeak(p keystile.LeakPolicy) Leak {
	out := Leak{Response: string(p.Response)}
	if p.Response == "" {
		out.Response = string(keystile.LeakNotify)
	}
	if p.Response == keystile.LeakRevoke {
		grace := p.Grace.String()
		out.Grace = &grace
	}
	return out
}

// LeakUpdate changes an organization's response to leaked keys.
type LeakUpdate struct {
	Response string `json:"response" enum:"notify,throttle,revoke"`
	Grace    string `json:"grace,omitempty" example:"24h" doc:"With revoke: a duration of whole seconds up to 2160h; absent: at once"`
}

// edit replaces all of the policy.
func (u LeakUpdate) edit(p *keystile.LeakPolicy) error {
	*p = keystile.LeakPolicy{Response: keystile.LeakResponse(u.Response)}
	if u.Grace == "" {
		return nil
	}
	grace, err := time.ParseDuration(u.Grace)
	if err != nil {
		return keystile.Invalidf("leak.grace", "write a duration such as 24h", "not a duration")
	}
	p.Grace = grace
	return nil
}

// OneTimeUpdate changes what an organization asks of one-time requests.
type OneTimeUpdate struct {
	ClockWindow clearable[string]   `json:"clock_window,omitzero" example:"60s" doc:"A duration of whole seconds from 5s to 15m; null: the server's default"`
	Forms       clearable[[]string] `json:"forms,omitzero" example:"[\"jwt\"]" doc:"header, jwt, http_signature; none or null: all"`
}

func (u OneTimeUpdate) edit(p *keystile.OneTimePolicy) error {
	if u.Forms.Set {
		p.Forms = nil // null: all
		for _, form := range u.Forms.Value {
			p.Forms = append(p.Forms, keystile.OneTimeForm(form))
		}
	}
	if !u.ClockWindow.Set {
		return nil
	}
	p.ClockWindow = 0
	if u.ClockWindow.Null {
		return nil
	}
	window, err := time.ParseDuration(u.ClockWindow.Value)
	if err != nil || window == 0 {
		return keystile.Invalidf("onetime.clock_window", "write a duration such as 60s, or null for the server's default", "not a clock window")
	}
	p.ClockWindow = window
	return nil
}

// OrganizationCreate is the body of create-organization.
type OrganizationCreate struct {
	ID          string         `json:"id,omitempty" example:"sibaya-power" doc:"Absent: drawn"`
	Name        string         `json:"name,omitempty" example:"Sibaya Power" doc:"Absent: the id"`
	Environment string         `json:"environment,omitempty" enum:"production,sandbox" doc:"Absent: production"`
	TenantID    string         `json:"tenant_id,omitempty" doc:"A UUID; absent: the id if that is one, else drawn"`
	KeyPrefix   string         `json:"key_prefix,omitempty" example:"opa" doc:"1 to 16 of a-z 0-9; absent: opa"`
	MFA         string         `json:"mfa,omitempty" enum:"required,optional,off" doc:"Whether a second factor is asked of its users; absent: optional"`
	Disabled    bool           `json:"disabled,omitempty"`
	OneTime     *OneTimeUpdate `json:"onetime,omitempty" doc:"What it asks of one-time signed requests; absent: the server's defaults"`
	Leak        *LeakUpdate    `json:"leak,omitempty" doc:"What happens to its API keys that are found in the open; absent: notify"`
}

// OrganizationUpdate is the body of update-organization, a merge patch.
type OrganizationUpdate struct {
	Name        member[string]           `json:"name,omitzero" example:"Sibaya Power"`
	Environment member[string]           `json:"environment,omitzero" enum:"production,sandbox"`
	TenantID    member[string]           `json:"tenant_id,omitzero"`
	KeyPrefix   member[string]           `json:"key_prefix,omitzero" example:"opa"`
	MFA         clearable[string]        `json:"mfa,omitzero" doc:"required, optional or off; null: optional"`
	Disabled    member[bool]             `json:"disabled,omitzero"`
	OneTime     clearable[OneTimeUpdate] `json:"onetime,omitzero" doc:"What it asks of one-time signed requests; null: the server's defaults"`
	Leak        clearable[LeakUpdate]    `json:"leak,omitzero" doc:"What happens to its API keys that are found in the open; null: notify"`
}

func (u OrganizationUpdate) edit(o *keystile.Organization) error {
	environment := string(o.Environment)
	err := errors.Join(
		u.Name.onto("name", &o.Name), u.Environment.onto("environment", &environment),
		u.TenantID.onto("tenant_id", &o.TenantID), u.KeyPrefix.onto("key_prefix", &o.KeyPrefix),
		u.Disabled.onto("disabled", &o.Disabled),
	)
	o.Environment = keystile.Environment(environment)
	policy := string(o.MFA)
	u.MFA.replace(&policy)
	o.MFA = keystile.MFAPolicy(policy)
	if u.OneTime.Null {
		o.OneTime = keystile.OneTimePolicy{}
	}
	if u.Leak.Set {
		o.Leak = keystile.LeakPolicy{}
		if !u.Leak.Null {
			err = errors.Join(err, u.Leak.Value.edit(&o.Leak))
		}
	}
	return errors.Join(err, u.OneTime.Value.edit(&o.OneTime))
}

type organizationOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Organization
}

func answerOrganization(o keystile.Organization) *organizationOutput {
	return &organizationOutput{ETag: version(wireOrganization(o)), Body: wireOrganization(o)}
}

// ByID is the input of operations on one thing. It is exported so that huma
// looks into it where it is embedded.
type ByID struct {
	ID string `path:"id" doc:"The thing's id"`
}

// changing is the input of operations that change one thing.
type changing[B any] struct {
	ByID
	IfMatch string `header:"If-Match" doc:"ETag of the version that is to be changed; another version is 412"`
	Body    B
}

func registerOrganizations(a *API) error {
	return registerAll(
		handle(a, "list-organizations", func(ctx context.Context, c *caller, in *Paging) (*listOutput[Organization], error) {
			return listPage(a, c, *in, listing[keystile.Organization, Organization]{
				binding: []string{"organizations"},
				read: func(after string, limit int) ([]keystile.Organization, error) {
					return c.service.Organizations(ctx, manage.Page{AfterID: after, Limit: limit})
				},
				place: func(o keystile.Organization) string { return o.ID },
				wire:  wireOrganization,
			})
		}),
		handle(a, "create-organization", func(ctx context.Context, c *caller, in *struct{ Body OrganizationCreate }) (*organizationOutput, error) {
			wanted := keystile.Organization{
				ID: in.Body.ID, Name: in.Body.Name, Environment: keystile.Environment(in.Body.Environment),
				TenantID: in.Body.TenantID, KeyPrefix: in.Body.KeyPrefix, Disabled: in.Body.Disabled, MFA: keystile.MFAPolicy(in.Body.MFA),
			}
			if in.Body.OneTime != nil {
				if err := in.Body.OneTime.edit(&wanted.OneTime); err != nil {
					return nil, err
				}
			}
			if in.Body.Leak != nil {
				if err := in.Body.Leak.edit(&wanted.Leak); err != nil {
					return nil, err
				}
			}
			made, err := c.service.CreateOrganization(ctx, c.actor, wanted)
			if err != nil {
				return nil, err
			}
			out := answerOrganization(made)
			out.Location = "/v1/organizations/" + made.ID
			return out, nil
		}),
		handle(a, "get-organization", func(ctx context.Context, c *caller, in *ByID) (*organizationOutput, error) {
			found, err := c.service.Organization(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return answerOrganization(found), nil
		}),
		handle(a, "update-organization", func(ctx context.Context, c *caller, in *changing[OrganizationUpdate]) (*organizationOutput, error) {
			changed, err := c.service.UpdateOrganization(ctx, c.actor, in.ID, func(o *keystile.Organization) error {
				if err := sameVersion(in.IfMatch, wireOrganization(*o)); err != nil {
					return err
				}
				return in.Body.edit(o)
			})
			if err != nil {
				return nil, err
			}
			return answerOrganization(changed), nil
		}),
		handle(a, "delete-organization", func(ctx context.Context, c *caller, in *ByID) (*struct{}, error) {
			return nil, c.service.DeleteOrganization(ctx, c.actor, in.ID)
		}),
	)
}
