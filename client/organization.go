package client

import (
	"context"
	"iter"
	"time"
)

// Version is the ETag of the thing as it was read. Given to an update it makes
// the update fail if somebody else was faster; empty updates whatever is there.
type Version struct {
	ETag string `json:"-"`
}

func (v *Version) setVersion(etag string) { v.ETag = etag }

// Organization is a tenant.
type Organization struct {
	Version
	ID   string `json:"id"`
	Name string `json:"name"`
	// Environment is "production" or "sandbox".
	Environment string `json:"environment"`
	TenantID    string `json:"tenant_id"`
	KeyPrefix   string `json:"key_prefix"`
	// MFA is "required", "optional", "off", or empty: optional.
	MFA       string    `json:"mfa"`
	Disabled  bool      `json:"disabled"`
	OneTime   OneTime   `json:"onetime"`
	Leak      Leak      `json:"leak"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// OneTime is what an organization asks of one-time signed requests.
type OneTime struct {
	// ClockWindow is how far a stamp may be from the server's clock, such as "60s";
	// nil is the server's default.
	ClockWindow *string `json:"clock_window"`
	// Forms that are accepted ("header", "jwt", "http_signature"); none: all.
	Forms []string `json:"forms"`
}

// Leak is what happens to an organization's API keys that are found in the open.
type Leak struct {
	// Response is "notify", "throttle" or "revoke".
	Response string `json:"response"`
	// Grace is how long a leaked secret goes on before it is revoked, such as "24h";
	// nil: at once. It means nothing with another response.
	Grace *string `json:"grace,omitempty"`
}

// OrganizationCreate says what an organization is to be; every empty member
// has a default.
type OrganizationCreate struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name,omitempty"`
	Environment string   `json:"environment,omitempty"`
	TenantID    string   `json:"tenant_id,omitempty"`
	KeyPrefix   string   `json:"key_prefix,omitempty"`
	MFA         string   `json:"mfa,omitempty"`
	Disabled    bool     `json:"disabled,omitempty"`
	OneTime     *OneTime `json:"onetime,omitempty"`
	Leak        *Leak    `json:"leak,omitempty"`
}

// OrganizationUpdate says what changes; nil stays as it is.
type OrganizationUpdate struct {
	Name        *string `json:"name,omitempty"`
	Environment *string `json:"environment,omitempty"`
	TenantID    *string `json:"tenant_id,omitempty"`
	KeyPrefix   *string `json:"key_prefix,omitempty"`
	// MFA: an empty text is none.
	MFA      *string `json:"mfa,omitempty"`
	Disabled *bool   `json:"disabled,omitempty"`
	// OneTime replaces all of it.
	OneTime *OneTime `json:"onetime,omitempty"`
	// Leak replaces all of it.
	Leak *Leak `json:"leak,omitempty"`
}

const organizations = "organizations"

// Organizations lists one page.
func (c *Client) Organizations(ctx context.Context, o ListOptions) (List[Organization], error) {
	return list[Organization](ctx, c, organizations, o)
}

// AllOrganizations goes through all pages.
func (c *Client) AllOrganizations(ctx context.Context, o ListOptions) iter.Seq2[Organization, error] {
	return all[Organization](ctx, c, organizations, o)
}

// Organization reads one.
func (c *Client) Organization(ctx context.Context, id string) (Organization, error) {
	return get[Organization](ctx, c, organizations, id)
}

// CreateOrganization makes one.
func (c *Client) CreateOrganization(ctx context.Context, in OrganizationCreate) (Organization, error) {
	return create[Organization](ctx, c, organizations, in)
}

// UpdateOrganization changes one.
func (c *Client) UpdateOrganization(ctx context.Context, id string, v Version, in OrganizationUpdate) (Organization, error) {
	return update[Organization](ctx, c, call{path: []string{organizations, id}, match: v.ETag, body: in})
}

// DeleteOrganization deletes one that owns nothing.
func (c *Client) DeleteOrganization(ctx context.Context, id string) error {
	return remove(ctx, c, organizations, id)
}
