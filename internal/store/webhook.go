package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Webhook reads one webhook.
func (r *reads) Webhook(ctx context.Context, id string) (keystile.Webhook, error) {
	row, err := r.q.GetWebhook(ctx, id)
	if err != nil {
		return keystile.Webhook{}, r.fail("read webhook "+clip(id), err)
	}
	return webhookOf(row), nil
}

// Webhooks lists the webhooks of an application by id.
func (r *reads) Webhooks(ctx context.Context, applicationID string, page Page) ([]keystile.Webhook, error) {
	rows, err := r.q.ListWebhooksOfApplication(ctx, applicationID, page.AfterID, rowLimit(page.Limit))
	if err != nil {
		return nil, r.fail("list webhooks", err)
	}
	list := make([]keystile.Webhook, len(rows))
	for i, row := range rows {
		list[i] = webhookOf(row)
	}
	return list, nil
}

// CreateWebhook adds a webhook. Zero times of creation are now.
func (t *Tx) CreateWebhook(ctx context.Context, w keystile.Webhook) error {
	if err := checkWebhook(w); err != nil {
		return err
	}
	app, err := t.Application(ctx, w.ApplicationID)
	if err != nil {
		return dangling(err, "application", "application", w.ApplicationID)
	}
	t.stamp(&w.CreatedAt, &w.UpdatedAt)
	n, err := t.q.InsertWebhook(ctx, gen.InsertWebhookParams{
		ID: w.ID, ApplicationID: w.ApplicationID, Event: w.Event, UrlTemplate: w.URLTemplate, Description: w.Description, Enabled: w.Enabled,
		Form: string(w.Form), SealedAuth: append([]byte{}, w.SealedAuth...), AuthHeader: w.AuthHeader, CreatedAt: micros(w.CreatedAt), UpdatedAt: micros(w.UpdatedAt),
	})
	if err != nil {
		return t.fail("create webhook "+w.ID, err)
	}
	if n == 0 {
		return conflict("webhook %q exists already", w.ID)
	}
	return t.Record(ctx, app.OrganizationID, "webhook.create", "webhook:"+w.ID, whole(webhookMembers(w)))
}

// UpdateWebhook makes the stored webhook as w says, but for its times and its
// application; nothing is written if nothing differs. A secret sealed again differs.
func (t *Tx) UpdateWebhook(ctx context.Context, w keystile.Webhook) error {
	if err := checkWebhook(w); err != nil {
		return err
	}
	before, app, err := t.webhookAndApplication(ctx, w.ID)
	if err != nil {
		return err
	}
	detail := difference(webhookMembers(before), webhookMembers(w))
	if string(before.SealedAuth) != string(w.SealedAuth) {
		detail["secret"] = "changed"
	}
	if len(detail) == 0 {
		return nil
	}
	err = t.q.UpdateWebhook(ctx, gen.UpdateWebhookParams{
		ID: w.ID, Event: w.Event, UrlTemplate: w.URLTemplate, Description: w.Description, Enabled: w.Enabled,
		Form: string(w.Form), SealedAuth: append([]byte{}, w.SealedAuth...), AuthHeader: w.AuthHeader, UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("update webhook "+w.ID, err)
	}
	return t.Record(ctx, app.OrganizationID, "webhook.update", "webhook:"+w.ID, detail)
}

// DeleteWebhook removes a webhook with its deliveries.
func (t *Tx) DeleteWebhook(ctx context.Context, id string) error {
	w, app, err := t.webhookAndApplication(ctx, id)
	if err != nil {
		return err
	}
	if err := t.q.DeleteWebhook(ctx, id); err != nil {
		return t.fail("delete webhook "+id, err)
	}
	return t.Record(ctx, app.OrganizationID, "webhook.delete", "webhook:"+id, whole(webhookMembers(w)))
}

func (t *Tx) webhookAndApplication(ctx context.Context, id string) (keystile.Webhook, keystile.Application, error) {
	w, err := t.Webhook(ctx, id)
	if err != nil {
		return w, keystile.Application{}, err
	}
	app, err := t.Application(ctx, w.ApplicationID)
	return w, app, err
}

// Notify puts an event into the outbox of every enabled webhook of an application
// that is for it. It is part of the transaction of the change that caused it: the
// event is sent if and only if the change is kept. payload must hold no secret.
// newID draws the id of a delivery.
func (t *Tx) Notify(ctx context.Context, applicationID, tenantID, event string, payload map[string]string, newID func() (string, error)) error {
	hooks, err := t.q.ListEnabledWebhooks(ctx, applicationID, event)
	if err != nil {
		return t.fail("list webhooks", err)
	}
	if len(hooks) == 0 {
		return nil
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("write the payload of %s: %w", event, err)
	}
	for _, hook := range hooks {
		id, err := newID()
		if err != nil {
			return err
		}
		err = t.q.InsertDelivery(ctx, gen.InsertDeliveryParams{
			ID: id, WebhookID: hook, TenantID: tenantID, Event: event, Payload: string(text), NextAt: nullMicros(t.now), CreatedAt: micros(t.now),
		})
		if err != nil {
			return t.fail("enqueue "+event, err)
		}
	}
	return nil
}

// Deliveries lists what was or is to be sent to a webhook, newest first: those
// made before an instant, or all of them for the zero time.
func (r *reads) Deliveries(ctx context.Context, webhookID string, before time.Time, limit int) ([]keystile.Delivery, error) {
	end := int64(1) << 62
	if !before.IsZero() {
		end = micros(before)
	}
	rows, err := r.q.ListDeliveries(ctx, webhookID, end, rowLimit(limit))
	if err != nil {
		return nil, r.fail("list deliveries", err)
	}
	list := make([]keystile.Delivery, len(rows))
	for i, row := range rows {
		list[i] = deliveryOf(row)
	}
	return list, nil
}

// Delivery reads one delivery.
func (r *reads) Delivery(ctx context.Context, id string) (keystile.Delivery, error) {
	row, err := r.q.GetDelivery(ctx, id)
	if err != nil {
		return keystile.Delivery{}, r.fail("read delivery "+clip(id), err)
	}
	return deliveryOf(row), nil
}

// ClaimDeliveries takes up to limit deliveries that are due, for one attempt
// each. A claim counts as an attempt and holds until it ends: if this server dies
// meanwhile, another takes it up then. Two servers never hold one delivery.
func (s *Store) ClaimDeliveries(ctx context.Context, server string, now, until time.Time, limit int) ([]keystile.Delivery, error) {
	const op = "claim deliveries"
	if err := s.writable(); err != nil {
		return nil, err
	}
	due, err := s.q.ListDueDeliveries(ctx, nullMicros(now), rowLimit(limit))
	if err != nil || len(due) == 0 {
		return nil, s.fail(op, err)
	}
	var claimed []keystile.Delivery
	err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		claimed = nil
		q := gen.New(tx)
		for _, row := range due {
			n, err := q.ClaimDelivery(ctx, nullMicros(until), server, row.ID, row.NextAt)
			if err != nil {
				return err
			}
			if n == 1 {
				d := deliveryOf(row)
				d.Attempts++
				claimed = append(claimed, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.fail(op, err)
	}
	return claimed, nil
}

// FinishDelivery writes how an attempt ended: DeliveredAt, FailedAt or NextAt,
// LastStatus and LastError of d. It does nothing if another server has taken the
// delivery up meanwhile.
func (s *Store) FinishDelivery(ctx context.Context, server string, d keystile.Delivery) error {
	if err := s.writable(); err != nil {
		return err
	}
	_, err := gen.New(s.writer).FinishDelivery(ctx, gen.FinishDeliveryParams{
		ID: d.ID, ClaimedBy: server, NextAt: nullMicros(d.NextAt), DeliveredAt: nullMicros(d.DeliveredAt), FailedAt: nullMicros(d.FailedAt),
		LastStatus: int64(d.LastStatus), LastError: clean(d.LastError),
	})
	return s.fail("note a delivery", err)
}

// Resend puts a delivery back into the outbox, as new.
func (t *Tx) Resend(ctx context.Context, id string) error {
	d, err := t.Delivery(ctx, id)
	if err != nil {
		return err
	}
	_, app, err := t.webhookAndApplication(ctx, d.WebhookID)
	if err != nil {
		return err
	}
	if _, err := t.q.ResendDelivery(ctx, nullMicros(t.now), id); err != nil {
		return t.fail("send delivery "+id+" again", err)
	}
	return t.Record(ctx, app.OrganizationID, "webhook.resend", "webhook:"+d.WebhookID, map[string]any{"delivery": id})
}

// PurgeDeliveries deletes at most limit deliveries that are done and older than an instant.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int64, error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	n, err := gen.New(s.writer).PurgeDeliveries(ctx, micros(before), rowLimit(limit))
	return n, s.fail("purge deliveries", err)
}

func checkWebhook(w keystile.Webhook) error {
	if err := checkID("id", w.ID); err != nil {
		return err
	}
	if w.Form != keystile.WebhookGET && w.Form != keystile.WebhookSigned {
		return keystile.Invalidf("form", "use get or signed_post", "%q is not a form of webhook", clip(string(w.Form)))
	}
	if len(w.SealedAuth) == 0 {
		return keystile.Invalidf("auth", "give a header value or basic credentials", "a webhook needs a secret")
	}
	return checkTexts(text{"event", w.Event}, text{"url_template", w.URLTemplate}, text{"description", w.Description}, text{"auth_header", w.AuthHeader})
}

func webhookOf(row gen.Webhook) keystile.Webhook {
	return keystile.Webhook{
		ID: row.ID, ApplicationID: row.ApplicationID, Event: row.Event, URLTemplate: row.UrlTemplate, Description: row.Description, Enabled: row.Enabled,
		Form: keystile.WebhookForm(row.Form), SealedAuth: row.SealedAuth, AuthHeader: row.AuthHeader,
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}
}

func webhookMembers(w keystile.Webhook) []member {
	return []member{
		{"id", w.ID},
		{"application", w.ApplicationID},
		{"event", w.Event},
		{"url_template", w.URLTemplate},
		{"description", w.Description},
		{"enabled", w.Enabled},
		{"form", string(w.Form)},
		{"auth_header", w.AuthHeader},
	}
}

func deliveryOf(row gen.WebhookDelivery) keystile.Delivery {
	return keystile.Delivery{
		ID: row.ID, WebhookID: row.WebhookID, TenantID: row.TenantID, Event: row.Event, Payload: row.Payload, Attempts: int(row.Attempts),
		NextAt: nullTimeOf(row.NextAt), CreatedAt: timeOf(row.CreatedAt), DeliveredAt: nullTimeOf(row.DeliveredAt), FailedAt: nullTimeOf(row.FailedAt),
		LastStatus: int(row.LastStatus), LastError: row.LastError,
	}
}
