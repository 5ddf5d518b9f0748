package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Hooks are how an application's maker is told of what happens to it.
type Hooks interface {
	Webhooks(ctx context.Context, applicationID string, page manage.Page) ([]keystile.Webhook, error)
	Webhook(ctx context.Context, applicationID, id string) (keystile.Webhook, error)
	CreateWebhook(ctx context.Context, a manage.Actor, in manage.NewWebhook) (manage.MadeWebhook, error)
	UpdateWebhook(ctx context.Context, a manage.Actor, applicationID, id string, edit func(*manage.NewWebhook) error) (keystile.Webhook, error)
	DeleteWebhook(ctx context.Context, a manage.Actor, applicationID, id string) error
}

// hookRoutes are the pages of webhooks, under an application's own. A webhook
// carries session tokens and secrets to where it points, so that pointing it asks
// for a recent sign-in.
func (c *Console) hookRoutes(made string, makes keystile.Scope) []route {
	hooks := made + "/webhooks"
	hook := hooks + "/{webhook}"
	return []route{
		{"GET " + hooks + "/new", recent, c.member(makes, c.newHookForm)},
		{"POST " + hooks + "/new", recent, c.member(makes, c.newHook)},
		{"GET " + hook, member, c.member(makes, c.hook)},
		{"GET " + hook + "/edit", recent, c.member(makes, c.editHookForm)},
		{"POST " + hook + "/edit", recent, c.member(makes, c.editHook)},
		{"GET " + hook + "/delete", member, c.member(makes, c.deleteHookQuestion)},
		{"POST " + hook + "/delete", member, c.member(makes, c.deleteHook)},
		{"GET " + hook + "/secret", recent, c.member(makes, c.newSecretQuestion)},
		{"POST " + hook + "/secret", recent, c.member(makes, c.newSecret)},
		{"GET " + hook + "/deliveries/{delivery}", member, c.member(makes, c.delivery)},
		{"POST " + hook + "/deliveries/{delivery}", member, c.member(makes, c.resend)},
	}
}

var eventWords = map[keystile.WebhookEvent]string{
	keystile.EventAppStatusChanged: "A tenant lets it in, or not any more", keystile.EventKeyExpiring: "An application key is about to end", keystile.EventKeyExpired: "An application key has ended",
}

var formWords = map[keystile.WebhookForm]string{keystile.WebhookGet: "GET of the URL", keystile.WebhookSignedPost: "Signed POST (Standard Webhooks)"}

// hookRow is one webhook in a list.
type hookRow struct {
	keystile.Webhook
	Path, EventText string
	State           badge
}

func hookPath(w *keystile.Webhook) string {
	return makersPath + "/" + w.ApplicationID + "/webhooks/" + w.ID
}

func hookRowOf(w *keystile.Webhook) hookRow {
	row := hookRow{Webhook: *w, Path: hookPath(w), EventText: eventWords[w.Event], State: badge{"On", "good"}}
	if w.Disabled {
		row.State = badge{"Off", "bad"}
	}
	return row
}

// hookOf is the webhook of the path, of an application of the user's own organisation.
func (v *visit) hookOf(m Member) (keystile.Application, keystile.Webhook, error) {
	app, err := v.own(m)
	if err != nil {
		return app, keystile.Webhook{}, err
	}
	id := v.request.PathValue("webhook")
	if !keystile.ValidID(id) {
		return app, keystile.Webhook{}, errNoPage
	}
	w, err := m.Webhook(v.context(), app.ID, id)
	return app, w, err
}

// hookFields are the fields of a webhook; its form is asked for once.
func hookFields(w *keystile.Webhook, fresh bool) []*field {
	var events, forms []choice
	for _, e := range keystile.WebhookEvents {
		events = append(events, choice{Name: "event", Value: string(e), Label: eventWords[e], Meta: string(e), Checked: w.Event == e})
	}
	for _, f := range keystile.WebhookForms {
		forms = append(forms, choice{Name: "form", Value: string(f), Label: formWords[f], Checked: w.Form == f})
	}
	fields := []*field{
		{Name: "event", Label: "Tell of", Type: "radio", Choices: events},
		{
			Name: "url_template", Label: "URL", Type: "text", Autocomplete: "off", Value: w.URLTemplate,
			Hint: "https, with placeholders in path and query: <TENANT_ID>, <SESSION_TOKEN>, <APP_ID>, <STATUS> of a tenant; <APP_ID>, <KEY_ID>, <EXPIRES_AT> of a key. A GET that tells of tenants needs the first two.",
		},
	}
	if fresh {
		fields = append(fields, &field{Name: "form", Label: "How", Type: "radio", Choices: forms})
	}
	value := &field{Name: "header_value", Label: "Value of the header", Type: "password", Autocomplete: "off", Optional: true, Hint: "Such as Bearer and a token of yours. It is not shown again."}
	if !fresh {
		value.Hint = "Empty: as it is."
	}
	fields = append(fields,
		&field{Name: "header_name", Label: "Header", Type: "text", Autocomplete: "off", Value: w.HeaderName, Optional: true, Hint: "What your server knows the caller by, such as Authorization. A GET needs one."},
		value,
		&field{Name: "description", Label: "Description", Type: "text", Autocomplete: "off", Value: w.Description, MaxLength: manage.MaxNameRunes, Optional: true},
	)
	if !fresh {
		fields = append(fields, &field{Name: "state", Label: "State", Type: "checkbox", Choices: []choice{{Name: "enabled", Value: "yes", Label: "On", Checked: !w.Disabled}}})
	}
	return fields
}

// readHook takes what a form says over.
func readHook(values url.Values, in *manage.NewWebhook) {
	text := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	w := &in.Webhook
	w.Event, w.URLTemplate, w.Description = keystile.WebhookEvent(values.Get("event")), text("url_template"), text("description")
	w.HeaderName, in.HeaderValue = text("header_name"), keystile.Secret(text("header_value"))
}

func (v *visit) newHookPage(app *keystile.Application, w *keystile.Webhook) (answer, *form) {
	path := makersPath + "/" + app.ID
	f := v.newForm(path+"/webhooks/new", "Add the webhook", hookFields(w, true)...)
	f.Cancel = path
	return show("makersform", "New webhook of "+app.Name, f), f
}

func (c *Console) newHookForm(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	a, _ := v.newHookPage(&app, &keystile.Webhook{Event: keystile.EventAppStatusChanged, Form: keystile.WebhookGet})
	return a, nil
}

func (c *Console) newHook(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	in := manage.NewWebhook{Webhook: keystile.Webhook{ApplicationID: app.ID, Form: keystile.WebhookForm(v.form.Get("form"))}}
	readHook(v.form, &in)
	made, err := m.CreateWebhook(v.context(), v.actor(), in)
	switch {
	case err == nil && made.Secret != "":
		return secretPage(&app, &made), nil
	case err == nil:
		return c.done(hookPath(&made.Webhook), "webhook-made"), nil
	}
	a, f := v.newHookPage(&app, &in.Webhook)
	if f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	return answer{}, err
}

// secretPage answers a POST itself, so that the secret is in no page that the back button shows again.
func secretPage(app *keystile.Application, made *manage.MadeWebhook) answer {
	return show("newsecret", "The signing secret of "+app.Name, keyView{Key: made.Secret.Reveal(), Path: hookPath(&made.Webhook)})
}

func (v *visit) editHookPage(w *keystile.Webhook) (answer, *form) {
	f := v.newForm(hookPath(w)+"/edit", "Save", hookFields(w, false)...)
	f.Cancel = hookPath(w)
	return show("makersform", "Change the webhook", f), f
}

func (c *Console) editHookForm(v *visit, m Member) (answer, error) {
	_, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	a, _ := v.editHookPage(&w)
	return a, nil
}

func (c *Console) editHook(v *visit, m Member) (answer, error) {
	app, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	typed := manage.NewWebhook{Webhook: w}
	read := func(in *manage.NewWebhook) {
		readHook(v.form, in)
		in.Webhook.Disabled = !v.form.Has("enabled")
	}
	_, err = m.UpdateWebhook(v.context(), v.actor(), app.ID, w.ID, func(in *manage.NewWebhook) error {
		read(in)
		return nil
	})
	if err == nil {
		return c.done(hookPath(&w), "webhook-changed"), nil
	}
	read(&typed)
	a, f := v.editHookPage(&typed.Webhook)
	if f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	return answer{}, err
}

func (c *Console) deleteHookQuestion(v *visit, m Member) (answer, error) {
	_, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	f := v.newForm(hookPath(&w)+"/delete", "Delete")
	f.Danger, f.Cancel = true, hookPath(&w)
	return show("confirm", "Delete this webhook?", question{
		Text: "Nothing is told there any more, and its log goes with it.", Facts: []fact{{"Tells of", eventWords[w.Event]}, {"URL", w.URLTemplate}}, Form: f,
	}), nil
}

func (c *Console) deleteHook(v *visit, m Member) (answer, error) {
	app, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	if err := m.DeleteWebhook(v.context(), v.actor(), app.ID, w.ID); err != nil {
		return answer{}, err
	}
	return c.done(makersPath+"/"+app.ID, "webhook-deleted"), nil
}

// secretOverlap is how long the secret before signs beside a new one.
const secretOverlap = 24 * time.Hour

func (c *Console) newSecretQuestion(v *visit, m Member) (answer, error) {
	_, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	if w.Form != keystile.WebhookSignedPost {
		return answer{}, errNoPage
	}
	f := v.newForm(hookPath(&w)+"/secret", "Make a new secret")
	f.Danger, f.Cancel = true, hookPath(&w)
	return show("confirm", "Make a new signing secret?", question{Text: "For a day deliveries are signed with both, so that your server can change over. Then the one you have now signs nothing more.", Form: f}), nil
}

func (c *Console) newSecret(v *visit, m Member) (answer, error) {
	app, w, err := v.hookOf(m)
	if err != nil {
		return answer{}, err
	}
	made, err := m.RotateWebhookSecret(v.context(), v.actor(), app.ID, w.ID, secretOverlap)
	if err != nil {
		return answer{}, err
	}
	return secretPage(&app, &made), nil
}
