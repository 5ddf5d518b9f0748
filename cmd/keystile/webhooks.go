package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/aurora"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/outbound"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/webhook"
)

// buildWebhooks makes what tells partners of what happened.
func (s *server) buildWebhooks(context.Context, *app) error {
	options, err := outboundOptions(s.cfg, s.options.demo)
	if err != nil {
		return err
	}
	options.Timeout = webhook.SendTimeout
	if s.options.trust != nil {
		options.TLS = &tls.Config{RootCAs: s.options.trust, MinVersion: tls.VersionTLS12}
	}
	client := outbound.New(options)
	s.teller = client
	s.house.service.Reachable = client.Reachable
	s.courier, err = webhook.NewCourier(webhook.Options{
		Alone: s.alone(), Store: s.house.store, Open: s.house.sealer.Open, Digest: s.house.digester.Digest, Random: randomSource, Now: time.Now, Logger: s.log,
		Send: func(ctx context.Context, m webhook.Message) (int, error) {
			return client.Send(ctx, outbound.Request(m))
		},
	})
	return err
}

// addWebhookGauges shows how webhooks fare.
func (s *server) addWebhookGauges() {
	s.metrics.Counter("keystile_webhook_delivered_total", "Deliveries to partners' webhooks that were accepted.", func() float64 { return float64(s.courier.Stats().Delivered) })
	s.metrics.Counter("keystile_webhook_failed_total", "Attempts at deliveries that failed.", func() float64 { return float64(s.courier.Stats().Failed) })
	s.metrics.Gauge("keystile_webhook_waiting", "Deliveries in the outbox, of all servers, as last counted.", func() float64 { return float64(s.courier.Stats().Waiting) })
	s.metrics.Gauge("keystile_webhook_open_circuits", "Webhooks that are left alone because they keep failing, as last counted.", func() float64 { return float64(s.courier.Stats().Open) })
}

// partnerAPI is everything beneath /partner_applications/.
func (s *server) partnerAPI(create http.Handler) http.Handler {
	hooks := aurora.Webhooks{Keeper: webhookKeeper{s}, Logger: s.log}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hooks.Matches(r.URL.EscapedPath()) {
			hooks.ServeHTTP(w, r)
			return
		}
		create.ServeHTTP(w, r)
	})
}

// webhookKeeper lets an application keep its own webhooks, those of the platform's
// form: it implements aurora.WebhookKeeper.
type webhookKeeper struct{ s *server }

func (k webhookKeeper) service() *manage.Service { return k.s.house.service }

// Authenticate implements aurora.WebhookKeeper.
func (k webhookKeeper) Authenticate(ctx context.Context, applicationID string, key keystile.Secret) (string, error) {
	app, err := k.s.partners.Authenticate(ctx, applicationID, key)
	return "application:" + app.ID, err
}

// Webhooks implements aurora.WebhookKeeper.
func (k webhookKeeper) Webhooks(ctx context.Context, applicationID string) ([]aurora.Webhook, error) {
	all, err := k.service().Webhooks(ctx, applicationID, store.Page{})
	var list []aurora.Webhook
	for i := range all {
		if all[i].Form == keystile.WebhookGet {
			list = append(list, auroraWebhook(all[i]))
		}
	}
	return list, err
}

// Webhook implements aurora.WebhookKeeper.
func (k webhookKeeper) Webhook(ctx context.Context, applicationID, id string) (aurora.Webhook, error) {
	found, err := k.service().Webhook(ctx, applicationID, id)
	if err == nil && found.Form != keystile.WebhookGet {
		err = fmt.Errorf("webhook %s is of another form: %w", id, keystile.ErrNotFound)
	}
	return auroraWebhook(found), err
}

// CreateWebhook implements aurora.WebhookKeeper.
func (k webhookKeeper) CreateWebhook(ctx context.Context, actor, applicationID string, c aurora.WebhookChange) (aurora.Webhook, error) {
	in := manage.NewWebhook{Webhook: keystile.Webhook{ApplicationID: applicationID, Form: keystile.WebhookGet}}
	changeWebhook(&in, c)
	made, err := k.service().CreateWebhook(ctx, store.Actor{Name: actor}, in)
	return auroraWebhook(made.Webhook), err
}

// UpdateWebhook implements aurora.WebhookKeeper.
func (k webhookKeeper) UpdateWebhook(ctx context.Context, actor, applicationID, id string, c aurora.WebhookChange) (aurora.Webhook, error) {
	if _, err := k.Webhook(ctx, applicationID, id); err != nil {
		return aurora.Webhook{}, err
	}
	changed, err := k.service().UpdateWebhook(ctx, store.Actor{Name: actor}, applicationID, id, func(in *manage.NewWebhook) error {
		changeWebhook(in, c)
		return nil
	})
	return auroraWebhook(changed), err
}

// DeleteWebhook implements aurora.WebhookKeeper.
func (k webhookKeeper) DeleteWebhook(ctx context.Context, actor, applicationID, id string) error {
	if _, err := k.Webhook(ctx, applicationID, id); err != nil {
		return err
	}
	return k.service().DeleteWebhook(ctx, store.Actor{Name: actor}, applicationID, id)
}

func changeWebhook(in *manage.NewWebhook, c aurora.WebhookChange) {
	w := &in.Webhook
	for _, one := range []struct{ from, into *string }{
		{c.URLTemplate, &w.URLTemplate}, {c.Description, &w.Description}, {c.HeaderAuthKey, &w.HeaderName},
	} {
		if one.from != nil {
			*one.into = *one.from
		}
	}
	if c.Event != nil {
		w.Event = keystile.WebhookEvent(*c.Event)
	}
	if c.HeaderAuthValue != nil {
		in.HeaderValue = *c.HeaderAuthValue
	}
	if c.Enabled != nil {
		w.Disabled = !*c.Enabled
	}
}

func auroraWebhook(w keystile.Webhook) aurora.Webhook {
	return aurora.Webhook{
		ID: w.ID, Event: string(w.Event), URLTemplate: w.URLTemplate, Description: w.Description, Enabled: !w.Disabled, HeaderAuthKey: w.HeaderName,
	}
}
