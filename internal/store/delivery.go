package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// occurrence is what webhooks are told of.
type occurrence struct {
	application  string
	event        keystile.WebhookEvent
	tenant       string
	status       string
	keyID        string
	keyExpiresAt time.Time
}

// enqueue writes what happened for each webhook of the application that tells of
// it, in the transaction of the change itself: what was not committed is told to
// nobody, and what was is told to everybody.
func (t *Tx) enqueue(ctx context.Context, events ...occurrence) error {
	if len(events) == 0 {
		return nil
	}
	hooks, err := t.q.ListWebhooksOfEvent(ctx, events[0].application, string(events[0].event))
	if err != nil {
		return t.fail("list webhooks of application "+events[0].application, err)
	}
	rows := make([][]any, 0, len(hooks)*len(events))
	for _, w := range hooks {
		for _, e := range events {
			rows = append(rows, []any{
				t.deliveryID(), w.ID, e.application, string(e.event), e.tenant, e.status, e.keyID, nullMicros(e.keyExpiresAt), w.UrlTemplate,
				string(keystile.DeliveryPending), 0, keystile.WebhookTries, micros(t.now),
				[]byte{},
				0, "", micros(t.now), micros(t.now),
				sql.NullInt64{},
			})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	const into = "webhook_deliveries (id, webhook_id, application_id, event, tenant_id, status, key_id, key_expires_at, url_template, " +
		"state, attempts, tries_left, due_at, session, last_status, last_error, created_at, queued_at, done_at)"
	if _, err := t.store.insertRows(ctx, t.tx, into, rows, ""); err != nil {
		return t.fail("queue for webhooks of application "+events[0].application, err)
	}
	for _, w := range hooks { // by id: two transactions lock turns in the same order
		if err := t.q.WakeWebhook(ctx, nullMicros(t.now), w.ID); err != nil {
			return t.fail("wake webhook "+w.ID, err)
		}
	}
	return nil
}

// deliveryID sorts by time. It is told apart, not kept secret: whoever may ask
// for it is decided by its webhook.
func (t *Tx) deliveryID() string {
	return fmt.Sprintf("msg_%013x%016x", micros(t.now), rand.Uint64()) //nolint:gosec // told apart, not secret
}

// statusChanged queues that an application's status in tenants changed.
func (t *Tx) statusChanged(ctx context.Context, applicationID string, enabled bool, tenants ...string) error {
	status := "disabled"
	if enabled {
		status = "enabled"
	}
	events := make([]occurrence, len(tenants))
	for i, tenant := range tenants {
		events[i] = occurrence{application: applicationID, event: keystile.EventAppStatusChanged, tenant: tenant, status: status}
	}
	return t.enqueue(ctx, events...)
}

// reviewed queues the new status of an application that began or ceased to work,
// for each tenant whose yes stands. The application is locked, and so is each of
// its authorizations: whoever changes one locks the application first.
func (t *Tx) reviewed(ctx context.Context, before, after keystile.Application) error {
	works := !ended(after.Environment, after.Review)
	if works == !ended(before.Environment, before.Review) {
		return nil
	}
	for tenant := ""; ; {
		page, err := t.Authorizations(ctx, AuthorizationFilter{ApplicationID: after.ID, AfterTenant: tenant})
		if err != nil {
			return err
		}
		var tenants []string
		for i := range page {
			if !page[i].Stands(t.now) {
				continue
			}
			tenant, err := t.reads.Organization(ctx, page[i].TenantID)
			if err != nil {
				return err
			}
			if !tenant.Disabled {
				tenants = append(tenants, tenant.ID)
			}
		}
		if err := t.statusChanged(ctx, after.ID, works, tenants...); err != nil {
			return err
		}
		if len(page) < defaultLimit {
			return nil
		}
		tenant = page[len(page)-1].TenantID
	}
}

// tenantChanged queues the new status in a tenant that was disabled or enabled, for
// each application that works there. Each is locked, and so does not begin or cease
// to work meanwhile.
func (t *Tx) tenantChanged(ctx context.Context, before, after keystile.Organization) error {
	if before.Disabled == after.Disabled {
		return nil
	}
	for application := ""; ; {
		page, err := t.Authorizations(ctx, AuthorizationFilter{TenantID: after.ID, AfterApplication: application})
		if err != nil {
			return err
		}
		for i := range page {
			if !page[i].Stands(t.now) {
				continue
			}
			app, err := t.Application(ctx, page[i].ApplicationID)
			if err != nil {
				return err
			}
			if ended(app.Environment, app.Review) {
				continue
			}
			if err := t.statusChanged(ctx, app.ID, !after.Disabled, after.ID); err != nil {
				return err
			}
		}
		if len(page) < defaultLimit {
			return nil
		}
		application = page[len(page)-1].ApplicationID
	}
}

// DeliveryFilter chooses deliveries of a webhook, newest first.
type DeliveryFilter struct {
	WebhookID string
	// State: only those in this state; empty: all.
	State keystile.DeliveryState
	// BeforeID: only ids less than it; empty begins with the newest.
	BeforeID string
	// Limit is how many at most; see [Page].
	Limit int
}

// afterAllIDs sorts behind every id of a delivery.
const afterAllIDs = "msg_~"

// WebhookDeliveries lists deliveries.
func (r *reads) WebhookDeliveries(ctx context.Context, f DeliveryFilter) ([]keystile.WebhookDelivery, error) {
	op := "list deliveries of webhook " + clip(f.WebhookID)
	if f.BeforeID == "" {
		f.BeforeID = afterAllIDs
	}
	var rows []gen.WebhookDelivery
	var err error
	if f.State == "" {
		rows, err = r.q.ListWebhookDeliveries(ctx, f.WebhookID, f.BeforeID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListWebhookDeliveriesInState(ctx, f.WebhookID, string(f.State), f.BeforeID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail(op, err)
	}
	return mapRows(rows, deliveryOf, r.fail, op)
}

// WebhookDelivery reads one delivery.
func (r *reads) WebhookDelivery(ctx context.Context, id string) (keystile.WebhookDelivery, error) {
	row, err := r.q.GetWebhookDelivery(ctx, id)
	if err != nil {
		return keystile.WebhookDelivery{}, r.fail("read delivery "+clip(id), err)
	}
	return deliveryOf(row)
}

// WebhookAttempts lists the attempts of a delivery, first one first.
func (r *reads) WebhookAttempts(ctx context.Context, deliveryID string) ([]keystile.WebhookAttempt, error) {
	op := "list attempts of delivery " + clip(deliveryID)
	rows, err := r.q.ListWebhookAttempts(ctx, deliveryID)
	if err != nil {
		return nil, r.fail(op, err)
	}
	return mapRows(rows, func(row gen.WebhookAttempt) (keystile.WebhookAttempt, error) {
		return keystile.WebhookAttempt{
			DeliveryID: row.DeliveryID, Number: int(row.Number), At: timeOf(row.At), Took: time.Duration(row.Took) * time.Microsecond,
			Status: int(row.Status), Error: row.Error,
		}, nil
	}, r.fail, op)
}

// ResendDelivery puts a delivery that is done back in the queue, with as many
// tries as a new one and the same id. One that waits already is tried at once. A
// disabled webhook is [keystile.ErrConflict].
func (t *Tx) ResendDelivery(ctx context.Context, id string) error {
	d, err := t.WebhookDelivery(ctx, id)
	if err != nil {
		return err
	}
	w, app, err := t.lockedWebhook(ctx, d.WebhookID)
	if err != nil {
		return err
	}
	if w.Disabled {
		return conflict("webhook %q is disabled; enable it first", w.ID)
	}
	// The turn first: that is the order in which a server that delivers takes them.
	if err := errors.Join(t.q.CloseWebhookCircuit(ctx, w.ID), t.q.WakeWebhook(ctx, nullMicros(t.now), w.ID)); err != nil {
		return t.fail("wake webhook "+w.ID, err)
	}
	err = t.q.ResendWebhookDelivery(ctx, gen.ResendWebhookDeliveryParams{
		ID: id, State: string(keystile.DeliveryPending), TriesLeft: keystile.WebhookTries, DueAt: nullMicros(t.now), QueuedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("re-send delivery "+id, err)
	}
	return t.Record(ctx, app.OrganizationID, "webhook.resend", "webhook:"+w.ID, map[string]any{"delivery": id})
}

// PurgeDeliveries deletes at most limit deliveries of before an instant, oldest
// first, with their attempts, and says how many. It is one short transaction.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int64, error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	var purged int64
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(s.prepared(tx))
		ids, err := q.OldWebhookDeliveries(ctx, micros(before), rowLimit(limit))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := errors.Join(q.DeleteWebhookAttempts(ctx, id), q.DeleteWebhookDelivery(ctx, id)); err != nil {
				return err
			}
		}
		purged = int64(len(ids))
		return nil
	})
	return purged, s.fail("purge deliveries", err)
}

func deliveryOf(row gen.WebhookDelivery) (keystile.WebhookDelivery, error) {
	return keystile.WebhookDelivery{
		ID: row.ID, WebhookID: row.WebhookID, ApplicationID: row.ApplicationID, Event: keystile.WebhookEvent(row.Event), TenantID: row.TenantID,
		Status: row.Status, KeyID: row.KeyID, KeyExpiresAt: nullTimeOf(row.KeyExpiresAt), URLTemplate: row.UrlTemplate,
		State: keystile.DeliveryState(row.State), Attempts: int(row.Attempts), TriesLeft: int(row.TriesLeft), DueAt: nullTimeOf(row.DueAt),
		LastStatus: int(row.LastStatus), LastError: row.LastError, CreatedAt: timeOf(row.CreatedAt), QueuedAt: timeOf(row.QueuedAt), DoneAt: nullTimeOf(row.DoneAt),
	}, nil
}
