package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// MaxWebhooks is how many webhooks an application has at most: each event is
// written once for each.
const MaxWebhooks = 20

// Webhook reads one webhook.
func (r *reads) Webhook(ctx context.Context, id string) (keystile.Webhook, error) {
	row, err := r.q.GetWebhook(ctx, id)
	if err != nil {
		return keystile.Webhook{}, r.fail("read webhook "+clip(id), err)
	}
	return webhookOf(row)
}

// Webhooks lists the webhooks of an application by id.
func (r *reads) Webhooks(ctx context.Context, applicationID string, p Page) ([]keystile.Webhook, error) {
	op := "list webhooks of application " + clip(applicationID)
	rows, err := r.q.ListWebhooks(ctx, applicationID, p.AfterID, rowLimit(p.Limit))
	if err != nil {
		return nil, r.fail(op, err)
	}
	return mapRows(rows, webhookOf, r.fail, op)
}

// lockedWebhook reads a webhook with its application, which is kept from changing
// until the transaction ends, and with it all its webhooks.
func (t *Tx) lockedWebhook(ctx context.Context, id string) (keystile.Webhook, keystile.Application, error) {
	w, err := t.Webhook(ctx, id)
	if err != nil {
		return w, keystile.Application{}, err
	}
	app, err := t.Application(ctx, w.ApplicationID)
	if err != nil {
		return w, app, err
	}
	w, err = t.Webhook(ctx, id)
	return w, app, err
}

// CreateWebhook adds a webhook to an application. Zero times of creation are now.
func (t *Tx) CreateWebhook(ctx context.Context, w keystile.Webhook) error {
	if err := checkWebhook(w); err != nil {
		return err
	}
	app, err := t.Application(ctx, w.ApplicationID)
	if err != nil {
		return dangling(err, "application", "application", w.ApplicationID)
	}
	n, err := t.q.CountWebhooks(ctx, app.ID)
	if err != nil {
		return t.fail("count webhooks of application "+app.ID, err)
	}
	if n >= MaxWebhooks {
		return conflict("application %q has %d webhooks, which is all it may have; delete one first", app.ID, n)
	}
	t.stamp(&w.CreatedAt, &w.UpdatedAt)
	n, err = t.q.InsertWebhook(ctx, gen.InsertWebhookParams{
		ID: w.ID, ApplicationID: w.ApplicationID, Event: string(w.Event), Form: string(w.Form), UrlTemplate: w.URLTemplate, Description: w.Description,
		Disabled: w.Disabled, HeaderName: w.HeaderName, SealedHeader: column(w.SealedHeader), SealedSecret: column(w.SealedSecret),
		SealedPrevious: column(w.SealedPrevious), PreviousUntil: nullMicros(w.PreviousUntil), CreatedAt: micros(w.CreatedAt), UpdatedAt: micros(w.UpdatedAt),
	})
	if err != nil {
		return t.fail("create webhook "+w.ID, err)
	}
	if n == 0 {
		return conflict("webhook %q exists already", w.ID)
	}
	if err := t.q.InsertWebhookTurn(ctx, w.ID); err != nil {
		return t.fail("create webhook "+w.ID, err)
	}
	return t.Record(ctx, app.OrganizationID, "webhook.create", "webhook:"+w.ID, whole(webhookMembers(w)))
}

// UpdateWebhook makes the stored webhook as w says, but for its times; nothing is
// written if nothing differs. Its application cannot change. Disabling it drops
// what waits; any other change lets what waits be tried at its time, without
// regard to failures of before.
func (t *Tx) UpdateWebhook(ctx context.Context, w keystile.Webhook) error {
	before, app, err := t.lockedWebhook(ctx, w.ID)
	if err != nil {
		return err
	}
	if before.ApplicationID != w.ApplicationID {
		return keystile.Invalidf("application", "make another webhook", "the application of webhook %q cannot change", w.ID)
	}
	detail := difference(webhookMembers(before), webhookMembers(w))
	for _, sealed := range []struct {
		name    string
		was, is []byte
	}{{"header_value", before.SealedHeader, w.SealedHeader}, {"secret", before.SealedSecret, w.SealedSecret}, {"previous_secret", before.SealedPrevious, w.SealedPrevious}} {
		if !bytes.Equal(sealed.was, sealed.is) {
			detail[sealed.name] = "changed" // which is all that may be said of it
		}
	}
	if len(detail) == 0 {
		return nil
	}
	if err := checkWebhook(w); err != nil {
		return err
	}
	err = t.q.UpdateWebhook(ctx, gen.UpdateWebhookParams{
		ID: w.ID, Event: string(w.Event), Form: string(w.Form), UrlTemplate: w.URLTemplate, Description: w.Description, Disabled: w.Disabled,
		HeaderName: w.HeaderName, SealedHeader: column(w.SealedHeader), SealedSecret: column(w.SealedSecret), SealedPrevious: column(w.SealedPrevious),
		PreviousUntil: nullMicros(w.PreviousUntil), UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("update webhook "+w.ID, err)
	}
	if err := t.q.CloseWebhookCircuit(ctx, w.ID); err != nil {
		return t.fail("update webhook "+w.ID, err)
	}
	if w.Disabled && !before.Disabled {
		if err := t.dropWaiting(ctx, w.ID); err != nil {
			return err
		}
	}
	return t.Record(ctx, app.OrganizationID, "webhook.update", "webhook:"+w.ID, detail)
}

// dropWaiting drops what waits for a webhook. Its turn is locked by the caller.
func (t *Tx) dropWaiting(ctx context.Context, id string) error {
	_, err := t.q.EndWebhookDeliveries(ctx, gen.EndWebhookDeliveriesParams{
		State: string(keystile.DeliveryDropped), LastError: "the webhook was disabled", Now: nullMicros(t.now), WebhookID: id, Before: everyTime, RowLimit: everyRow,
	})
	return t.fail("drop what waits for webhook "+id, err)
}

// everyRow and everyTime are limits that are none.
const (
	everyRow  = 1 << 30
	everyTime = 1 << 62
)

// DeleteWebhook removes a webhook. Its deliveries are never tried again, and
// purged when they are old.
func (t *Tx) DeleteWebhook(ctx context.Context, id string) error {
	w, app, err := t.lockedWebhook(ctx, id)
	if err != nil {
		return err
	}
	if err := t.deleteWebhook(ctx, id); err != nil {
		return err
	}
	return t.Record(ctx, app.OrganizationID, "webhook.delete", "webhook:"+id, whole(webhookMembers(w)))
}

func (t *Tx) deleteWebhook(ctx context.Context, id string) error {
	if err := errors.Join(t.q.DeleteWebhookTurn(ctx, id), t.q.DeleteWebhook(ctx, id)); err != nil {
		return t.fail("delete webhook "+id, err)
	}
	return nil
}

// deleteWebhooks removes the webhooks of an application that goes.
func (t *Tx) deleteWebhooks(ctx context.Context, applicationID string) error {
	list, err := t.Webhooks(ctx, applicationID, Page{})
	if err != nil {
		return err
	}
	for i := range list {
		if err := t.deleteWebhook(ctx, list[i].ID); err != nil {
			return err
		}
	}
	return nil
}

func checkWebhook(w keystile.Webhook) error {
	switch {
	case !validUUID(w.ID):
		return keystile.Invalidf("id", "use a UUID in lower case", "%q is not a UUID", clip(w.ID))
	case !slices.Contains(keystile.WebhookEvents, w.Event):
		return keystile.Invalidf("event", "use app_status_changed, application_key_expiring or application_key_expired", "%q is not an event", clip(string(w.Event)))
	case !slices.Contains(keystile.WebhookForms, w.Form):
		return keystile.Invalidf("form", "use get or signed_post", "%q is not a form of delivery", clip(string(w.Form)))
	case w.Form == keystile.WebhookSignedPost && len(w.SealedSecret) == 0:
		return keystile.Invalidf("secret", "seal one", "webhook %q has nothing to sign with", w.ID)
	case (w.HeaderName == "") != (len(w.SealedHeader) == 0):
		return keystile.Invalidf("header", "give both its name and its value", "webhook %q has half a header", w.ID)
	}
	return checkTexts(text{"url_template", w.URLTemplate}, text{"description", w.Description}, text{"header_name", w.HeaderName})
}

// column keeps nil out of columns that are not NULL.
func column(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func bytesOf(column []byte) []byte {
	if len(column) == 0 {
		return nil
	}
	return column
}

func webhookOf(row gen.Webhook) (keystile.Webhook, error) {
	w := keystile.Webhook{
		ID: row.ID, ApplicationID: row.ApplicationID, Event: keystile.WebhookEvent(row.Event), Form: keystile.WebhookForm(row.Form),
		URLTemplate: row.UrlTemplate, Description: row.Description, Disabled: row.Disabled, HeaderName: row.HeaderName,
		SealedHeader: bytesOf(row.SealedHeader), SealedSecret: bytesOf(row.SealedSecret), SealedPrevious: bytesOf(row.SealedPrevious),
		PreviousUntil: nullTimeOf(row.PreviousUntil), CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}
	if err := checkWebhook(w); err != nil {
		return keystile.Webhook{}, fmt.Errorf("webhook %s: what is stored contradicts itself: %w", row.ID, err)
	}
	return w, nil
}

func webhookMembers(w keystile.Webhook) []member {
	return []member{
		{"id", w.ID},
		{"application", w.ApplicationID},
		{"event", string(w.Event)},
		{"form", string(w.Form)},
		{"url_template", w.URLTemplate},
		{"description", w.Description},
		{"disabled", w.Disabled},
		{"header_name", w.HeaderName},
		{"previous_until", instant(w.PreviousUntil)},
	}
}
