package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Webhook is a webhook on the wire, without its secrets.
type Webhook struct {
	ID          string `json:"id" format:"uuid"`
	Application string `json:"application" format:"uuid"`
	Event       string `json:"event" enum:"app_status_changed,application_key_expiring,application_key_expired"`
	Form        string `json:"form" enum:"get,signed_post" doc:"get: a GET of the template. signed_post: a POST as Standard Webhooks signs it"`
	URLTemplate string `json:"url_template" example:"https://hooks.example.com/aurora/<TENANT_ID>?session=<SESSION_TOKEN>"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
	HeaderName  string `json:"header_name" example:"Authorization" doc:"A header that each delivery carries; empty: none. Its value is not shown"`
	// PreviousSecretUntil is until when the secret of before the rotation signs, too.
	PreviousSecretUntil *time.Time `json:"previous_secret_until" doc:"Until then deliveries carry a signature of the secret before, too; null: they do not"`
	// Failures and PausedUntil say how it fares.
	Failures    int        `json:"failures" doc:"Failed attempts in a row"`
	PausedUntil *time.Time `json:"paused_until" doc:"It is left alone until then because it keeps failing; null: it is not"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

func wireWebhook(w keystile.Webhook) Webhook {
	return Webhook{
		ID: w.ID, Application: w.ApplicationID, Event: string(w.Event), Form: string(w.Form), URLTemplate: w.URLTemplate, Description: w.Description,
		Enabled: !w.Disabled, HeaderName: w.HeaderName, PreviousSecretUntil: moment(w.PreviousUntil), CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt,
	}
}

// WebhookSecret is the answer that holds a new signing secret, once.
type WebhookSecret struct {
	Webhook
	Secret string `json:"secret,omitempty" example:"whsec_…" doc:"The new signing secret; it is shown here and never again. Absent of the form get"`
}

// WebhookCreate is the body of create-webhook.
type WebhookCreate struct {
	ID          string `json:"id,omitempty" doc:"A UUID; absent: drawn"`
	Event       string `json:"event" enum:"app_status_changed,application_key_expiring,application_key_expired"`
	Form        string `json:"form,omitempty" enum:"get,signed_post" doc:"Absent: get"`
	URLTemplate string `json:"url_template" doc:"https, with placeholders in path and query: <SESSION_TOKEN>, <TENANT_ID>, <APP_ID>, <STATUS> of app_status_changed, <APP_ID>, <KEY_ID>, <EXPIRES_AT> of the others"`
	Description string `json:"description,omitempty"`
	Enabled     *bool  `json:"enabled,omitempty" doc:"Absent: true"`
	HeaderName  string `json:"header_name,omitempty" example:"Authorization" doc:"Required of the form get"`
	HeaderValue string `json:"header_value,omitempty" example:"Bearer …" doc:"Kept sealed and never shown"`
}

// WebhookUpdate is the body of update-webhook, a merge patch.
type WebhookUpdate struct {
	Event       member[string] `json:"event,omitzero"`
	URLTemplate member[string] `json:"url_template,omitzero"`
	Description member[string] `json:"description,omitzero"`
	Enabled     member[bool]   `json:"enabled,omitzero"`
	HeaderName  member[string] `json:"header_name,omitzero"`
	HeaderValue member[string] `json:"header_value,omitzero"`
}

func (u WebhookUpdate) edit(in *manage.NewWebhook) error {
	w := &in.Webhook
	event, value, enabled := string(w.Event), "", !w.Disabled
	for _, one := range []struct {
		name   string
		member member[string]
		target *string
	}{
		{"event", u.Event, &event},
		{"url_template", u.URLTemplate, &w.URLTemplate},
		{"description", u.Description, &w.Description},
		{"header_name", u.HeaderName, &w.HeaderName},
		{"header_value", u.HeaderValue, &value},
	} {
		if err := one.member.onto(one.name, one.target); err != nil {
			return err
		}
	}
	if err := u.Enabled.onto("enabled", &enabled); err != nil {
		return err
	}
	w.Event, w.Disabled, in.HeaderValue = keystile.WebhookEvent(event), !enabled, keystile.Secret(value)
	return nil
}

// WebhookRotate is the body of rotate-webhook-secret.
type WebhookRotate struct {
	Overlap string `json:"overlap" example:"24h" doc:"How long deliveries carry a signature of the old secret, too: from 0s to 2160h"`
}

// Delivery is one event for one webhook on the wire.
type Delivery struct {
	ID      string `json:"id" example:"msg_0064475e3a1c0f00000000000000" doc:"The same at each attempt: webhook-id of the form signed_post"`
	Webhook string `json:"webhook" format:"uuid"`
	Event   string `json:"event" enum:"app_status_changed,application_key_expiring,application_key_expired"`
	Tenant  string `json:"tenant" doc:"Organization the event is about; empty: none"`
	Status  string `json:"status" enum:"enabled,disabled," doc:"Of app_status_changed"`
	Key     string `json:"key" doc:"Application key the event is about; empty: none"`
	// URLTemplate is what the log keeps in place of the URL.
	URLTemplate string     `json:"url_template" doc:"Of the last attempt; the URL itself holds a session token and is kept nowhere"`
	State       string     `json:"state" enum:"pending,delivered,failed,dropped"`
	Attempts    int        `json:"attempts" doc:"How many were made, also before a re-send"`
	TriesLeft   int        `json:"tries_left"`
	NextAt      *time.Time `json:"next_at" doc:"When it is tried next; null: never"`
	LastStatus  int        `json:"last_status" doc:"HTTP status of the last attempt; 0: no answer"`
	LastError   string     `json:"last_error"`
	CreatedAt   time.Time  `json:"created_at"`
	DoneAt      *time.Time `json:"done_at"`
}

func wireDelivery(d keystile.WebhookDelivery) Delivery {
	return Delivery{
		ID: d.ID, Webhook: d.WebhookID, Event: string(d.Event), Tenant: d.TenantID, Status: d.Status, Key: d.KeyID, URLTemplate: d.URLTemplate,
		State: string(d.State), Attempts: d.Attempts, TriesLeft: d.TriesLeft, NextAt: moment(d.DueAt), LastStatus: d.LastStatus, LastError: d.LastError,
		CreatedAt: d.CreatedAt, DoneAt: moment(d.DoneAt),
	}
}

// Attempt is one try of a delivery on the wire.
type Attempt struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	Millis int64     `json:"took_ms"`
	Status int       `json:"status" doc:"HTTP status; 0: no answer"`
	Error  string    `json:"error" doc:"Empty: it was delivered"`
}

// DeliveryDetail is a delivery with its attempts, oldest first.
type DeliveryDetail struct {
	Delivery
	Log []Attempt `json:"log" nullable:"false"`
}

// WebhookPath is the input of operations on one webhook. It is exported so that huma
// looks into it where it is embedded.
type WebhookPath struct {
	ByID
	Webhook string `path:"webhook" doc:"The webhook's id"`
}

type deliveryPath struct {
	WebhookPath
	Delivery string `path:"delivery" doc:"The delivery's id"`
}

type webhookOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     WebhookSecret
}

// answerWebhook is a webhook with how it fares. Its version does not hang on that.
func answerWebhook(ctx context.Context, c *caller, made manage.MadeWebhook) (*webhookOutput, error) {
	out := &webhookOutput{Body: WebhookSecret{Webhook: wireWebhook(made.Webhook), Secret: made.Secret.Reveal()}}
	out.ETag = version(out.Body.Webhook)
	return out, out.Body.fares(ctx, c)
}

// fares adds how a webhook fares.
func (w *Webhook) fares(ctx context.Context, c *caller) error {
	failures, paused, err := c.service.WebhookCircuit(ctx, w.ID)
	w.Failures, w.PausedUntil = failures, moment(paused)
	return err
}

func registerWebhooks(a *API) error {
	return registerAll(
		handle(a, "list-webhooks", func(ctx context.Context, c *caller, in *struct {
			ByID
			Paging
		},
		) (*listOutput[Webhook], error) {
			out, err := listPage(a, c, in.Paging, listing[keystile.Webhook, Webhook]{
				binding: []string{"webhooks", in.ID},
				read: func(after string, limit int) ([]keystile.Webhook, error) {
					return c.service.Webhooks(ctx, in.ID, manage.Page{AfterID: after, Limit: limit})
				},
				place: func(w keystile.Webhook) string { return w.ID },
				wire:  wireWebhook,
			})
			for i := 0; err == nil && i < len(out.Body.Items); i++ {
				err = out.Body.Items[i].fares(ctx, c)
			}
			return out, err
		}),
		handle(a, "create-webhook", func(ctx context.Context, c *caller, in *struct {
			ByID
			Body WebhookCreate
		},
		) (*webhookOutput, error) {
			b := in.Body
			made, err := c.service.CreateWebhook(ctx, c.actor, manage.NewWebhook{
				Webhook: keystile.Webhook{
					ID: b.ID, ApplicationID: in.ID, Event: keystile.WebhookEvent(b.Event), Form: keystile.WebhookForm(b.Form), URLTemplate: b.URLTemplate,
					Description: b.Description, Disabled: b.Enabled != nil && !*b.Enabled, HeaderName: b.HeaderName,
				},
				HeaderValue: keystile.Secret(b.HeaderValue),
			})
			if err != nil {
				return nil, err
			}
			out, err := answerWebhook(ctx, c, made)
			out.Location = "/v1/applications/" + in.ID + "/webhooks/" + made.Webhook.ID
			return out, err
		}),
		registerWebhookChanges(a),
		registerDeliveries(a),
	)
}

// registerWebhookChanges are the operations on one webhook.
func registerWebhookChanges(a *API) error {
	return registerAll(
		handle(a, "get-webhook", func(ctx context.Context, c *caller, in *WebhookPath) (*webhookOutput, error) {
			found, err := c.service.Webhook(ctx, in.ID, in.Webhook)
			if err != nil {
				return nil, err
			}
			return answerWebhook(ctx, c, manage.MadeWebhook{Webhook: found})
		}),
		handle(a, "update-webhook", func(ctx context.Context, c *caller, in *struct {
			WebhookPath
			IfMatch string `header:"If-Match" doc:"ETag of the version that is to be changed; another version is 412"`
			Body    WebhookUpdate
		},
		) (*webhookOutput, error) {
			changed, err := c.service.UpdateWebhook(ctx, c.actor, in.ID, in.Webhook, func(w *manage.NewWebhook) error {
				if err := sameVersion(in.IfMatch, wireWebhook(w.Webhook)); err != nil {
					return err
				}
				return in.Body.edit(w)
			})
			if err != nil {
				return nil, err
			}
			return answerWebhook(ctx, c, manage.MadeWebhook{Webhook: changed})
		}),
		handle(a, "delete-webhook", func(ctx context.Context, c *caller, in *WebhookPath) (*struct{}, error) {
			return nil, c.service.DeleteWebhook(ctx, c.actor, in.ID, in.Webhook)
		}),
		handle(a, "rotate-webhook-secret", func(ctx context.Context, c *caller, in *struct {
			WebhookPath
			Body WebhookRotate
		},
		) (*webhookOutput, error) {
			overlap, err := time.ParseDuration(in.Body.Overlap)
			if err != nil {
				return nil, keystile.Invalidf("overlap", "write a duration such as 24h, or 0s", "not a duration")
			}
			made, err := c.service.RotateWebhookSecret(ctx, c.actor, in.ID, in.Webhook, overlap)
			if err != nil {
				return nil, err
			}
			return answerWebhook(ctx, c, made)
		}),
	)
}

type listDeliveriesInput struct {
	WebhookPath
	Paging
	State string `query:"state" enum:"pending,delivered,failed,dropped" doc:"Only those in this state"`
}

func registerDeliveries(a *API) error {
	return registerAll(
		handle(a, "list-deliveries", func(ctx context.Context, c *caller, in *listDeliveriesInput) (*listOutput[Delivery], error) {
			return listPage(a, c, in.Paging, listing[keystile.WebhookDelivery, Delivery]{
				binding: []string{"deliveries", in.ID, in.Webhook, in.State},
				read: func(before string, limit int) ([]keystile.WebhookDelivery, error) {
					return c.service.Deliveries(ctx, in.ID, manage.DeliveryFilter{
						WebhookID: in.Webhook, State: keystile.DeliveryState(in.State), BeforeID: before, Limit: limit,
					})
				},
				place: func(d keystile.WebhookDelivery) string { return d.ID },
				wire:  wireDelivery,
			})
		}),
		handle(a, "get-delivery", func(ctx context.Context, c *caller, in *deliveryPath) (*struct{ Body DeliveryDetail }, error) {
			d, attempts, err := c.service.Delivery(ctx, in.ID, in.Webhook, in.Delivery)
			if err != nil {
				return nil, err
			}
			out := &struct{ Body DeliveryDetail }{DeliveryDetail{Delivery: wireDelivery(d), Log: make([]Attempt, len(attempts))}}
			for i, at := range attempts {
				out.Body.Log[i] = Attempt{Number: at.Number, At: at.At, Millis: at.Took.Milliseconds(), Status: at.Status, Error: at.Error}
			}
			return out, nil
		}),
		handle(a, "resend-delivery", func(ctx context.Context, c *caller, in *deliveryPath) (*struct{ Body Delivery }, error) {
			d, err := c.service.ResendDelivery(ctx, c.actor, in.ID, in.Webhook, in.Delivery)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Delivery }{wireDelivery(d)}, nil
		}),
	)
}
