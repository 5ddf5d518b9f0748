package client

import (
	"context"
	"iter"
	"time"
)

// Webhook tells a partner's server what happens to its application.
type Webhook struct {
	Version
	ID          string `json:"id"`
	Application string `json:"application"`
	// Event is "app_status_changed", "application_key_expiring" or "application_key_expired".
	Event string `json:"event"`
	// Form is "get" or "signed_post".
	Form        string `json:"form"`
	URLTemplate string `json:"url_template"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
	HeaderName  string `json:"header_name"`
	// PreviousSecretUntil is until when the secret of before a rotation signs, too.
	PreviousSecretUntil *time.Time `json:"previous_secret_until"`
	// Failures in a row; while PausedUntil lies ahead it is left alone for them.
	Failures    int        `json:"failures"`
	PausedUntil *time.Time `json:"paused_until"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	// Secret signs deliveries of the form "signed_post". The server shows it once, when
	// the webhook is made and when the secret is rotated.
	Secret string `json:"secret,omitempty"`
}

// WebhookCreate says what a webhook is to be. Event and URLTemplate are required, and
// of the form "get" a header.
type WebhookCreate struct {
	ID          string `json:"id,omitempty"`
	Event       string `json:"event"`
	Form        string `json:"form,omitempty"`
	URLTemplate string `json:"url_template"`
	Description string `json:"description,omitempty"`
	Enabled     *bool  `json:"enabled,omitempty"`
	HeaderName  string `json:"header_name,omitempty"`
	HeaderValue string `json:"header_value,omitempty"`
}

// WebhookUpdate changes the members that are not nil.
type WebhookUpdate struct {
	Event       *string `json:"event,omitempty"`
	URLTemplate *string `json:"url_template,omitempty"`
	Description *string `json:"description,omitempty"`
	Enabled     *bool   `json:"enabled,omitempty"`
	HeaderName  *string `json:"header_name,omitempty"`
	HeaderValue *string `json:"header_value,omitempty"`
}

// Delivery is one event for one webhook.
type Delivery struct {
	ID      string `json:"id"`
	Webhook string `json:"webhook"`
	Event   string `json:"event"`
	Tenant  string `json:"tenant"`
	Status  string `json:"status"`
	Key     string `json:"key"`
	// URLTemplate stands in place of the URL, which holds a session token.
	URLTemplate string `json:"url_template"`
	// State is "pending", "delivered", "failed" or "dropped".
	State      string     `json:"state"`
	Attempts   int        `json:"attempts"`
	TriesLeft  int        `json:"tries_left"`
	NextAt     *time.Time `json:"next_at"`
	LastStatus int        `json:"last_status"`
	LastError  string     `json:"last_error"`
	CreatedAt  time.Time  `json:"created_at"`
	DoneAt     *time.Time `json:"done_at"`
	// Log are the attempts, oldest first, where one delivery was asked for.
	Log []Attempt `json:"log,omitempty"`
}

// Attempt is one try of a delivery.
type Attempt struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	Millis int64     `json:"took_ms"`
	// Status is the HTTP status; 0: no answer.
	Status int `json:"status"`
	// Error is empty if it was delivered.
	Error string `json:"error"`
}

const webhooks = "webhooks"

// Webhooks lists one page of an application's webhooks.
func (c *Client) Webhooks(ctx context.Context, application string, o ListOptions) (List[Webhook], error) {
	var page List[Webhook]
	err := c.send(ctx, call{method: "GET", path: []string{applications, application, webhooks}, query: o.query()}, &page)
	return page, err
}

// Webhook reads one.
func (c *Client) Webhook(ctx context.Context, application, id string) (Webhook, error) {
	var w Webhook
	err := c.send(ctx, call{method: "GET", path: []string{applications, application, webhooks, id}}, &w)
	return w, err
}

// CreateWebhook adds one to an application.
func (c *Client) CreateWebhook(ctx context.Context, application string, in WebhookCreate) (Webhook, error) {
	var w Webhook
	err := c.send(ctx, call{method: "POST", path: []string{applications, application, webhooks}, body: in}, &w)
	return w, err
}

// UpdateWebhook changes one.
func (c *Client) UpdateWebhook(ctx context.Context, application, id string, in WebhookUpdate) (Webhook, error) {
	var w Webhook
	err := c.send(ctx, call{method: "PATCH", path: []string{applications, application, webhooks, id}, body: in}, &w)
	return w, err
}

// DeleteWebhook deletes one.
func (c *Client) DeleteWebhook(ctx context.Context, application, id string) error {
	return c.send(ctx, call{method: "DELETE", path: []string{applications, application, webhooks, id}}, nil)
}

// RotateWebhookSecret gives one a new signing secret. For the overlap deliveries carry
// a signature of the old one, too.
func (c *Client) RotateWebhookSecret(ctx context.Context, application, id string, overlap time.Duration) (Webhook, error) {
	var w Webhook
	err := c.send(ctx, call{
		method: "POST", path: []string{applications, application, webhooks, id, "rotate-secret"}, body: map[string]string{"overlap": overlap.String()},
	}, &w)
	return w, err
}

// Deliveries lists one page of a webhook's deliveries, newest first; state may be empty.
func (c *Client) Deliveries(ctx context.Context, application, id, state string, o ListOptions) (List[Delivery], error) {
	q := o.query()
	if state != "" {
		q.Set("state", state)
	}
	var page List[Delivery]
	err := c.send(ctx, call{method: "GET", path: []string{applications, application, webhooks, id, "deliveries"}, query: q}, &page)
	return page, err
}

// AllDeliveries goes through all pages.
func (c *Client) AllDeliveries(ctx context.Context, application, id, state string) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		for o := (ListOptions{Limit: 200}); ; {
			page, err := c.Deliveries(ctx, application, id, state, o)
			if err != nil {
				yield(Delivery{}, err)
				return
			}
			for _, d := range page.Items {
				if !yield(d, nil) {
					return
				}
			}
			if o.Cursor = page.NextCursor; o.Cursor == "" {
				return
			}
		}
	}
}

// Delivery reads one with its attempts.
func (c *Client) Delivery(ctx context.Context, application, webhook, id string) (Delivery, error) {
	var d Delivery
	err := c.send(ctx, call{method: "GET", path: []string{applications, application, webhooks, webhook, "deliveries", id}}, &d)
	return d, err
}

// ResendDelivery sends one again, with the same id.
func (c *Client) ResendDelivery(ctx context.Context, application, webhook, id string) (Delivery, error) {
	var d Delivery
	err := c.send(ctx, call{method: "POST", path: []string{applications, application, webhooks, webhook, "deliveries", id, "resend"}}, &d)
	return d, err
}
