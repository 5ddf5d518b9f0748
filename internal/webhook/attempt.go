package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/store"
)

// facts are what an attempt needs to know.
type facts struct {
	webhook  keystile.Webhook
	app      keystile.Application
	disabled bool // the partner
	// tenant is the tenant's id on the wire, standing its authorization; nil: none that stands.
	tenant   string
	standing *keystile.Authorization
}

// deliver makes one attempt, or says that there will be none.
func (c *Courier) deliver(ctx context.Context, turn *store.WebhookTurn, d keystile.WebhookDelivery) (more bool, err error) {
	f, err := c.facts(ctx, &d)
	if err != nil {
		return false, err
	}
	if f.disabled || f.webhook.Disabled {
		d.State, d.DueAt, d.DoneAt, d.LastError = keystile.DeliveryDropped, time.Time{}, c.o.Now(), "the webhook or its partner is disabled"
		return true, c.end(ctx, turn, store.AttemptEnd{Delivery: d, Failures: turn.Failures})
	}
	session, token, err := c.session(&f, &d)
	if err != nil {
		return false, err
	}
	if d.Event == keystile.EventAppStatusChanged {
		bounded, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		if err := c.o.Store.BeginAttempt(bounded, *turn, c.o.Now().Add(lease), d.ID, session); err != nil {
			return false, err
		}
	}
	began := c.o.Now()
	status, failure := c.attempt(ctx, &f, &d, token)
	if ctx.Err() != nil { // this server ends: whatever became of it, it is tried again
		return false, nil
	}
	return c.judge(ctx, turn, &f, d, keystile.WebhookAttempt{At: began, Took: c.o.Now().Sub(began), Status: status, Error: failure})
}

// facts reads everything anew at each attempt: what was true when the event was
// queued may not be any more.
func (c *Courier) facts(ctx context.Context, d *keystile.WebhookDelivery) (f facts, err error) {
	if f.webhook, err = c.o.Store.Webhook(ctx, d.WebhookID); err != nil {
		return f, err
	}
	if f.app, err = c.o.Store.Application(ctx, f.webhook.ApplicationID); err != nil {
		return f, err
	}
	owner, err := c.o.Store.Organization(ctx, f.app.OrganizationID)
	if err != nil {
		return f, err
	}
	f.disabled = owner.Disabled
	if d.TenantID == "" {
		return f, nil
	}
	err = c.tenant(ctx, d, &f)
	return f, err
}

// tenant adds what is to be known of the tenant that an event is about. One that is
// gone is told of without its id.
func (c *Courier) tenant(ctx context.Context, d *keystile.WebhookDelivery, f *facts) error {
	tenant, err := c.o.Store.Organization(ctx, d.TenantID)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	f.tenant = tenant.TenantID
	yes, err := c.o.Store.Authorization(ctx, f.app.ID, d.TenantID)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil
	}
	if err == nil && yes.Stands(c.o.Now()) && f.app.Review.WorksIn(f.app.Environment) && !tenant.Disabled {
		f.standing = &yes
	}
	return err
}

// session draws the session token of an attempt: none of a disabled application,
// and none where the tenant has taken its yes back meanwhile (rulings R34).
func (c *Courier) session(f *facts, d *keystile.WebhookDelivery) (*keystile.PartnerSession, keystile.Secret, error) {
	if d.Status != "enabled" || f.standing == nil {
		return nil, "", nil
	}
	token, err := partner.Generate(c.o.Random, partner.SessionToken, f.app.Environment)
	if err != nil {
		return nil, "", err
	}
	now := c.o.Now()
	p := &keystile.PartnerSession{
		ApplicationID: f.app.ID, TenantID: d.TenantID, Generation: f.standing.Generation, CreatedAt: now, ExpiresAt: now.Add(keystile.PartnerSessionLife),
	}
	p.Digest, p.PepperID = c.o.Digest(partner.Sum(token))
	return p, token, nil
}

// attempt sends once, and says how that went: a status, and what was wrong.
func (c *Courier) attempt(ctx context.Context, f *facts, d *keystile.WebhookDelivery, token keystile.Secret) (status int, failure string) {
	m, err := c.compose(f, d, token)
	if err != nil {
		c.o.Logger.Error("a delivery could not be written", "webhook", d.WebhookID, "delivery", d.ID, "error", err)
		return 0, "the delivery could not be written: set the webhook's header and secret again"
	}
	bounded, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	status, err = c.o.Send(bounded, m)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, "no answer within " + SendTimeout.String()
	case err != nil:
		c.o.Logger.Info("an endpoint was not reached", "webhook", d.WebhookID, "delivery", d.ID, "error", err)
		return 0, short(told(err))
	case status < 200 || status > 299:
		return status, "the answer is " + strconv.Itoa(status)
	}
	return status, ""
}

// told is what a partner hears of an error: nothing of this side's network, neither
// its resolver nor its own addresses.
func told(err error) string {
	var lookup *net.DNSError
	var network *net.OpError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "the host has no address"
	case errors.As(err, &lookup):
		return "the host could not be looked up"
	case errors.As(err, &network):
		return "the connection failed: " + network.Err.Error()
	}
	return err.Error()
}

// short bounds what the log keeps of an error: an endpoint's certificate may name much.
func short(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return text[:most]
}

// compose writes the request.
func (c *Courier) compose(f *facts, d *keystile.WebhookDelivery, token keystile.Secret) (Message, error) {
	w := &f.webhook
	template, err := ParseTemplate(w.Event, w.URLTemplate)
	if err != nil {
		return Message{}, fmt.Errorf("the template of webhook %s %w", w.ID, err)
	}
	values := map[Placeholder]string{
		SessionToken: token.Reveal(), TenantID: f.tenant, AppID: d.ApplicationID, Status: d.Status, KeyID: d.KeyID,
	}
	if !d.KeyExpiresAt.IsZero() {
		values[ExpiresAt] = d.KeyExpiresAt.UTC().Format(time.RFC3339)
	}
	m := Message{Method: http.MethodGet, URL: template.URL(values), Header: http.Header{}}
	if w.HeaderName != "" {
		value, err := c.o.Open(w.SealedHeader, keystile.WebhookHeaderPlace(w.ID))
		if err != nil {
			return m, fmt.Errorf("open the header: %w", err)
		}
		m.Header.Set(w.HeaderName, string(value))
	}
	if w.Form != keystile.WebhookSignedPost {
		return m, nil
	}
	return m, c.sign(&m, w, d, values)
}

// payload is the body of a signed POST.
type payload struct {
	Type      string            `json:"type"`
	Timestamp string            `json:"timestamp"`
	Data      map[string]string `json:"data"`
}

// sign gives a message its body and the three headers of Standard Webhooks.
func (c *Courier) sign(m *Message, w *keystile.Webhook, d *keystile.WebhookDelivery, values map[Placeholder]string) error {
	p := payload{Type: string(d.Event), Timestamp: d.CreatedAt.UTC().Format(time.RFC3339Nano), Data: map[string]string{"application_id": d.ApplicationID}}
	for name, placeholder := range map[string]Placeholder{
		"tenant_id": TenantID, "status": Status, "session_token": SessionToken, "key_id": KeyID, "expires_at": ExpiresAt,
	} {
		if values[placeholder] != "" {
			p.Data[name] = values[placeholder]
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	now := c.o.Now()
	sealed := [][]byte{w.SealedSecret}
	if len(w.SealedPrevious) > 0 && now.Before(w.PreviousUntil) {
		sealed = append(sealed, w.SealedPrevious)
	}
	secrets := make([]keystile.Secret, len(sealed))
	for i, s := range sealed {
		opened, err := c.o.Open(s, keystile.WebhookSecretPlace(w.ID))
		if err != nil {
			return fmt.Errorf("open the signing secret: %w", err)
		}
		secrets[i] = keystile.Secret(opened)
	}
	signature, err := Sign(d.ID, now, body, secrets...)
	if err != nil {
		return err
	}
	m.Method, m.Body = http.MethodPost, body
	m.Header.Set("Content-Type", "application/json")
	m.Header.Set("Webhook-Id", d.ID)
	m.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	m.Header.Set("Webhook-Signature", signature)
	return nil
}

// judge writes down how an attempt went and what follows.
func (c *Courier) judge(ctx context.Context, turn *store.WebhookTurn, f *facts, d keystile.WebhookDelivery, a keystile.WebhookAttempt) (more bool, err error) {
	now := c.o.Now()
	d.Attempts++
	a.DeliveryID, a.Number = d.ID, d.Attempts
	d.URLTemplate, d.LastStatus, d.LastError = f.webhook.URLTemplate, a.Status, a.Error
	end := store.AttemptEnd{Attempt: &a}
	if a.Error == "" {
		c.delivered.Add(1)
		d.State, d.DueAt, d.DoneAt = keystile.DeliveryDelivered, time.Time{}, now
	} else {
		c.failed.Add(1)
		d.TriesLeft--
		end.Failures = turn.Failures + 1
		end.OpenUntil = openUntil(end.Failures, now)
		if d.TriesLeft <= 0 {
			d.State, d.DueAt, d.DoneAt = keystile.DeliveryFailed, time.Time{}, now
		} else if d.DueAt, err = c.later(now, keystile.WebhookTries-d.TriesLeft); err != nil {
			return false, err
		}
		c.o.Logger.Info("a delivery failed", "webhook", d.WebhookID, "delivery", d.ID, "attempt", d.Attempts, "state", d.State, "cause", a.Error)
	}
	end.Delivery = d
	return end.OpenUntil.IsZero(), c.end(ctx, turn, end)
}

// end writes what became of a delivery.
func (c *Courier) end(ctx context.Context, turn *store.WebhookTurn, end store.AttemptEnd) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	turn.Failures, turn.OpenUntil = end.Failures, end.OpenUntil
	return c.o.Store.EndAttempt(bounded, *turn, c.o.Now().Add(lease), end)
}
