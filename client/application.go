package client

import (
	"context"
	"iter"
	"time"
)

// Application is a partner's application.
type Application struct {
	Version
	ID           string `json:"id"`
	Organization string `json:"organization"`
	Name         string `json:"name"`
	Description  string `json:"description"`
	Homepage     string `json:"homepage"`
	// Kind is "embedded" or "backend".
	Kind        string   `json:"kind"`
	Environment string   `json:"environment"`
	Permissions []string `json:"permissions"`
	LaunchURL   string   `json:"launch_url"`
	// Review is "draft", "in_review", "approved", "suspended" or "retired".
	Review        string    `json:"review"`
	ReviewComment string    `json:"review_comment"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
}

// ApplicationCreate says what an application is to be. Name and Kind are
// required, and Organization unless the token is bound to one.
type ApplicationCreate struct {
	ID           string   `json:"id,omitempty"`
	Organization string   `json:"organization,omitempty"`
	Name         string   `json:"name"`
	Description  string   `json:"description,omitempty"`
	Homepage     string   `json:"homepage,omitempty"`
	Kind         string   `json:"kind"`
	Environment  string   `json:"environment,omitempty"`
	Permissions  []string `json:"permissions,omitempty"`
	LaunchURL    string   `json:"launch_url,omitempty"`
}

// ApplicationKey is a key of an application, without its secret.
type ApplicationKey struct {
	ID         string     `json:"id"`
	Hint       string     `json:"hint"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// ApplicationKeySecret is a new application key with its secret, which the server shows once.
type ApplicationKeySecret struct {
	ApplicationKey
	Secret string `json:"secret"`
}

// Authorization is a tenant's yes to an application.
type Authorization struct {
	Application string   `json:"application"`
	Tenant      string   `json:"tenant"`
	Permissions []string `json:"permissions"`
	GrantedBy   string   `json:"granted_by"`
	// State is "granted", "requested", "withdrawn" or "expired".
	State     string     `json:"state"`
	ExpiresAt *time.Time `json:"expires_at"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// Offer is an application as a tenant sees it.
type Offer struct {
	Application   Application    `json:"application"`
	Owner         string         `json:"owner"`
	Authorization *Authorization `json:"authorization"`
}

// Grant is what a tenant allows an application.
type Grant struct {
	Permissions []string   `json:"permissions,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
}

const applications = "applications"

// Applications lists one page.
func (c *Client) Applications(ctx context.Context, o ListOptions) (List[Application], error) {
	return list[Application](ctx, c, applications, o)
}

// AllApplications goes through all pages.
func (c *Client) AllApplications(ctx context.Context, o ListOptions) iter.Seq2[Application, error] {
	return all[Application](ctx, c, applications, o)
}

// Application reads one.
func (c *Client) Application(ctx context.Context, id string) (Application, error) {
	return get[Application](ctx, c, applications, id)
}

// CreateApplication registers one, as a draft.
func (c *Client) CreateApplication(ctx context.Context, in ApplicationCreate) (Application, error) {
	return create[Application](ctx, c, applications, in)
}

// MoveApplication takes one to "in_review", "draft" or "retired", as its partner.
func (c *Client) MoveApplication(ctx context.Context, id, review string) (Application, error) {
	var app Application
	err := c.send(ctx, call{method: "POST", path: []string{applications, id, "move"}, body: map[string]string{"review": review}}, &app)
	return app, err
}

// ReviewApplication takes one to "approved", "draft" or "suspended", as a reviewer.
func (c *Client) ReviewApplication(ctx context.Context, id, review, comment string) (Application, error) {
	var app Application
	err := c.send(ctx, call{method: "POST", path: []string{applications, id, "review"}, body: map[string]string{"review": review, "comment": comment}}, &app)
	return app, err
}

// ApplicationKeys lists the keys of one.
func (c *Client) ApplicationKeys(ctx context.Context, id string) ([]ApplicationKey, error) {
	var page List[ApplicationKey]
	err := c.send(ctx, call{method: "GET", path: []string{applications, id, "keys"}}, &page)
	return page.Items, err
}

// CreateApplicationKey makes one more key. With overlap, earlier keys end after it.
func (c *Client) CreateApplicationKey(ctx context.Context, id string, overlap *time.Duration) (ApplicationKeySecret, error) {
	var key ApplicationKeySecret
	body := map[string]string{}
	if overlap != nil {
		body["overlap"] = overlap.String()
	}
	err := c.send(ctx, call{method: "POST", path: []string{applications, id, "keys"}, body: body}, &key)
	return key, err
}

// RevokeApplicationKey ends one key.
func (c *Client) RevokeApplicationKey(ctx context.Context, id, key string) error {
	return c.send(ctx, call{method: "POST", path: []string{applications, id, "keys", key, "revoke"}}, nil)
}

// RequestAuthorization asks a tenant for its yes.
func (c *Client) RequestAuthorization(ctx context.Context, id, tenant string) error {
	return c.send(ctx, call{method: "POST", path: []string{applications, id, "requests"}, body: map[string]string{"tenant": tenant}}, nil)
}

// AllOffers goes through the applications that a tenant authorised or may authorise.
func (c *Client) AllOffers(ctx context.Context, tenant string) iter.Seq2[Offer, error] {
	return func(yield func(Offer, error) bool) {
		var o ListOptions
		for {
			var page List[Offer]
			err := c.send(ctx, call{method: "GET", path: []string{organizations, tenant, applications}, query: o.query()}, &page)
			if err != nil {
				yield(Offer{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			o.Cursor = page.NextCursor
		}
	}
}

// Authorize writes a tenant's yes.
func (c *Client) Authorize(ctx context.Context, tenant, application string, in Grant) (Authorization, error) {
	var granted Authorization
	err := c.send(ctx, call{method: "PUT", path: []string{organizations, tenant, applications, application}, body: in}, &granted)
	return granted, err
}

// Withdraw takes a tenant's yes back.
func (c *Client) Withdraw(ctx context.Context, tenant, application string) error {
	return c.send(ctx, call{method: "DELETE", path: []string{organizations, tenant, applications, application}}, nil)
}
