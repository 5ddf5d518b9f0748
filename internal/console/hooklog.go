package console

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// HookLog is what webhooks were told.
type HookLog interface {
	WebhookCircuit(ctx context.Context, id string) (failures int, openUntil time.Time, err error)
	RotateWebhookSecret(ctx context.Context, a manage.Actor, applicationID, id string, overlap time.Duration) (manage.MadeWebhook, error)
	Deliveries(ctx context.Context, applicationID string, filter manage.DeliveryFilter) ([]keystile.WebhookDelivery, error)
	Delivery(ctx context.Context, applicationID, webhookID, id string) (keystile.WebhookDelivery, []keystile.WebhookAttempt, error)
	ResendDelivery(ctx context.Context, a manage.Actor, applicationID, webhookID, id string) (keystile.WebhookDelivery, error)
}

// hookView is the content of hook.html.
type hookView struct {
	Facts []fact
	State badge
	// Pause says until when it is left alone because it keeps failing; empty: it is not.
	Pause string
	// Path is its own, Back its application's.
	Path, Back string
	Signed     bool
	Deliveries []deliveryRow
	// More continues the log; empty: it is whole.
	More string
}

// deliveryRow is one delivery.
type deliveryRow struct {
	keystile.WebhookDelivery
	Path  string
	About string
	State badge
	// Result is the last answer in words.
	Result string
}

func deliveryRowOf(d *keystile.WebhookDelivery, under string) deliveryRow {
	row := deliveryRow{WebhookDelivery: *d, Path: under + "/deliveries/" + d.ID, Result: resultOf(d.LastStatus, d.LastError)}
	row.State = map[keystile.DeliveryState]badge{
		keystile.DeliveryPending: {"Waits", "flat"}, keystile.DeliveryDelivered: {"Delivered", "good"}, keystile.DeliveryFailed: {"Given up", "bad"}, keystile.DeliveryDropped: {"Dropped", "bad"},
	}[d.State]
	var about []string
	for _, text := range []string{d.TenantID, d.Status, d.KeyID} {
		if text != "" {
			about = append(about, text)
		}
	}
	row.About = strings.Join(about, ", ")
	return row
}

func resultOf(status int, problem string) string {
	switch {
	case problem != "":
		return problem
	case status != 0:
		return "HTTP " + strconv.Itoa(status)
	}
	return "Not tried yet"
}

func (c *Console) hook(v *visit, m Member) (answer, error) {
	app, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	_, pause, err := m.WebhookCircuit(v.context(), w.ID)
	if err != nil {
		return answer{}, err
	}
	list, err := m.Deliveries(v.context(), app.ID, manage.DeliveryFilter{WebhookID: w.ID, BeforeID: v.query("before"), Limit: pageRows})
	if err != nil {
		return answer{}, err
	}
	view := hookView{
		Facts: []fact{
			{"Application", app.Name},
			{"Tells of", eventWords[w.Event]},
			{"URL", w.URLTemplate},
			{"How", formWords[w.Form]},
			{"Header", w.HeaderName},
			{"Description", w.Description},
			{"Webhook id", w.ID},
			{"Changed", moment(w.UpdatedAt)},
			{"Earlier secret signs until", moment(w.PreviousUntil)},
		},
		State: hookRowOf(&w).State, Pause: moment(pause), Path: hookPath(&w), Back: makersPath + "/" + app.ID, Signed: w.Form == keystile.WebhookSignedPost,
	}
	for i := range list {
		view.Deliveries = append(view.Deliveries, deliveryRowOf(&list[i], view.Path))
	}
	if len(list) == pageRows {
		view.More = view.Path + "?" + url.Values{"before": {list[len(list)-1].ID}}.Encode()
	}
	return show("hook", "Webhook", view), nil
}

// deliveryView is the content of delivery.html.
type deliveryView struct {
	Facts    []fact
	State    badge
	Attempts []attemptRow
	Back     string
	Resend   *form
}

type attemptRow struct {
	keystile.WebhookAttempt
	Result, TookText string
}

// deliveryOf is the delivery of the path.
func (v *visit) deliveryOf(m Member) (keystile.Webhook, keystile.WebhookDelivery, []keystile.WebhookAttempt, error) {
	app, w, err := v.hookOf(m)
	if err != nil {
		return w, keystile.WebhookDelivery{}, nil, err
	}
	id := v.request.PathValue("delivery")
	if !keystile.ValidID(id) {
		return w, keystile.WebhookDelivery{}, nil, errNoPage
	}
	d, attempts, err := m.Delivery(v.context(), app.ID, w.ID, id)
	return w, d, attempts, err
}

func (c *Console) delivery(v *visit, m Member) (answer, error) {
	w, d, attempts, err := v.deliveryOf(m)
	if err != nil {
		return answer{}, err
	}
	row := deliveryRowOf(&d, hookPath(&w))
	view := deliveryView{
		Facts: []fact{
			{"Delivery id", d.ID},
			{"Tells of", eventWords[d.Event]},
			{"Tenant", d.TenantID},
			{"Status", d.Status},
			{"Key", d.KeyID},
			{"Key ends", moment(d.KeyExpiresAt)},
			{"Happened", moment(d.CreatedAt)},
			{"Done", moment(d.DoneAt)},
			{"Next try", moment(d.DueAt)},
			{"URL", d.URLTemplate},
		},
		State: row.State, Back: hookPath(&w),
	}
	if d.State != keystile.DeliveryPending {
		view.Resend = v.newForm(row.Path, "Send again")
	}
	for _, a := range attempts {
		view.Attempts = append(view.Attempts, attemptRow{a, resultOf(a.Status, a.Error), a.Took.Round(time.Millisecond).String()})
	}
	slices.SortStableFunc(view.Attempts, func(a, b attemptRow) int { return b.Number - a.Number })
	return show("delivery", "Delivery", view), nil
}

func (c *Console) resend(v *visit, m Member) (answer, error) {
	w, d, _, err := v.deliveryOf(m)
	if err != nil {
		return answer{}, err
	}
	if _, err := m.ResendDelivery(v.context(), v.actor(), w.ApplicationID, w.ID, d.ID); err != nil {
		return answer{}, err
	}
	return c.done(hookPath(&w)+"/deliveries/"+d.ID, "delivery-again"), nil
}
