package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// webhook is a webhook of an application.
type webhook struct {
	ID           string          `yaml:"id,required" example:"7d3e1c52-5a8a-4b8e-9a55-0b9d1a520001" doc:"UUID."`
	Event        string          `yaml:"event,required" enum:"app_status_changed application_key_expiring application_key_expired" doc:"What it tells of."`
	Form         string          `yaml:"form" enum:"get signed_post" doc:"get: a GET of the template. signed_post: a POST as Standard Webhooks signs it. Absent: get."`
	URLTemplate  string          `yaml:"url_template,required" example:"https://hooks.example.com/<TENANT_ID>?session=<SESSION_TOKEN>" doc:"https, with placeholders in path and query."`
	Description  string          `yaml:"description" doc:"What it is for."`
	Disabled     bool            `yaml:"disabled" doc:"It is told nothing. Absent: false."`
	HeaderName   string          `yaml:"header_name" example:"Authorization" doc:"A header that each delivery carries; the form get needs one."`
	HeaderValue  keystile.Secret `yaml:"header_value" doc:"Its value. Absent: the stored one."`
	SealedHeader *sealed         `yaml:"sealed_header" doc:"In place of header_value, as an export writes it: MASTERKEY:BASE64."`
	Secret       keystile.Secret `yaml:"secret" example:"whsec_…" doc:"What signs deliveries of the form signed_post: whsec_ and the base64 of 24 to 64 bytes. Absent: the stored one."`
	Sealed       *sealed         `yaml:"sealed" doc:"In place of secret, as an export writes it: MASTERKEY:BASE64."`
}

// wanted is the webhook as the file wants it.
func (w *webhook) wanted(applicationID string) manage.NewWebhook {
	in := manage.NewWebhook{HeaderValue: w.HeaderValue, Secret: w.Secret, Webhook: keystile.Webhook{
		ID: w.ID, ApplicationID: applicationID, Event: keystile.WebhookEvent(w.Event), Form: keystile.WebhookForm(w.Form), URLTemplate: w.URLTemplate,
		Description: w.Description, Disabled: w.Disabled, HeaderName: w.HeaderName,
	}}
	if w.Form == "" {
		in.Webhook.Form = keystile.WebhookGet
	}
	if w.SealedHeader != nil {
		in.SealedHeader = w.SealedHeader.data
	}
	if w.Sealed != nil {
		in.SealedSecret = w.Sealed.data
	}
	return in
}

// hookPath is where webhook n of an application stands in its entry.
func hookPath(n int) string { return "webhooks[" + strconv.Itoa(n) + "]" }

func (k *applications) checkWebhook(c *checker, e *entry[application], n int) {
	w := &e.value.Webhooks[n]
	w.ID = strings.ToLower(w.ID)
	at := e.path(hookPath(n))
	if w.ID == "" || w.Event == "" || w.URLTemplate == "" {
		return // missing, which the decoder reported
	}
	if first, there := c.seen["webhook "+w.ID]; there {
		c.add(e.from, at+".id", "give each webhook a UUID of its own", "%s is named a second time (first at %s)", w.ID, first)
	}
	c.seen["webhook "+w.ID] = e.where()
	if w.HeaderValue != "" && w.SealedHeader != nil {
		c.add(e.from, at+".sealed_header", "keep one of them", "header_value and sealed_header exclude each other")
	}
	if w.Secret != "" && w.Sealed != nil {
		c.add(e.from, at+".sealed", "keep one of them", "secret and sealed exclude each other")
	}
	c.adopt(e.from, at, manage.CheckWebhook(w.wanted(e.value.ID), true)) // what is left out may be stored
}

func (k *applications) lookAtWebhooks(r *run, e *entry[application]) {
	for n := range e.value.Webhooks {
		w := &e.value.Webhooks[n]
		for member, value := range map[string]*sealed{"sealed_header": w.SealedHeader, "sealed": w.Sealed} {
			if value != nil {
				lookAtSealed(r, e, hookPath(n)+"."+member, value)
			}
		}
	}
}

// putWebhooks makes the webhooks of an application those of the file. Without any in
// the file they stay. d is nil for a new application.
func (k *applications) putWebhooks(ctx context.Context, tx *store.Tx, r *run, e *entry[application], d *diff) error {
	a := e.value
	if a.Webhooks == nil {
		return nil
	}
	have, err := tx.Webhooks(ctx, a.ID, store.Page{})
	if err != nil {
		return fmt.Errorf("webhooks of application %s: %w", a.ID, err)
	}
	changed := false
	for _, stored := range have {
		if slices.ContainsFunc(a.Webhooks, func(w webhook) bool { return w.ID == stored.ID }) {
			continue
		}
		changed = true
		if err := r.service.DeleteWebhookTx(ctx, tx, a.ID, stored.ID); err != nil {
			return err
		}
	}
	for n := range a.Webhooks {
		w := &a.Webhooks[n]
		at := slices.IndexFunc(have, func(stored keystile.Webhook) bool { return stored.ID == w.ID })
		put := false
		if at < 0 {
			put, err = true, w.create(ctx, tx, r, a.ID)
		} else {
			put, err = w.update(ctx, tx, r, have[at])
		}
		if err != nil {
			return below(hookPath(n), err)
		}
		changed = changed || put
	}
	if changed && d != nil {
		d.text("webhooks", "old", "new")
	}
	return nil
}

// below names the members of an answer by where they stand.
func below(place string, err error) error {
	invalid, ok := invalidsOf(err)
	if !ok {
		return err
	}
	moved := make([]error, len(invalid))
	for i, one := range invalid {
		moved[i] = keystile.Invalidf(place+"."+one.Field, one.Remedy, "%s", one.Problem)
	}
	return errors.Join(moved...)
}

func (w *webhook) create(ctx context.Context, tx *store.Tx, r *run, applicationID string) error {
	in := w.wanted(applicationID)
	if in.Webhook.Form == keystile.WebhookSignedPost && in.Secret == "" && in.SealedSecret == nil {
		return keystile.Invalidf("secret", "give whsec_ and the base64 of 24 to 64 bytes", "is missing, and none is stored")
	}
	if w.HeaderName != "" && in.HeaderValue == "" && in.SealedHeader == nil {
		return keystile.Invalidf("header_value", "give the value of the header", "is missing, and none is stored")
	}
	_, err := r.service.CreateWebhookTx(ctx, tx, in)
	return err
}

// update says whether anything differed.
func (w *webhook) update(ctx context.Context, tx *store.Tx, r *run, old keystile.Webhook) (bool, error) {
	in := w.wanted(old.ApplicationID)
	sameHeader, err := sameSecret(r, old.SealedHeader, in.HeaderValue, in.SealedHeader, keystile.WebhookHeaderPlace(old.ID))
	if err != nil {
		return false, err
	}
	if sameHeader {
		in.HeaderValue, in.SealedHeader = "", nil
	}
	same, err := sameSecret(r, old.SealedSecret, in.Secret, in.SealedSecret, keystile.WebhookSecretPlace(old.ID))
	if err != nil {
		return false, err
	}
	if same {
		in.Secret, in.SealedSecret = "", nil
	}
	// Everything else that UpdateWebhookTx writes, as it is stored.
	in.Webhook.SealedPrevious, in.Webhook.PreviousUntil = old.SealedPrevious, old.PreviousUntil
	plain := func(w keystile.Webhook) string {
		return fmt.Sprintf("%q", []string{string(w.Event), string(w.Form), w.URLTemplate, w.Description, strconv.FormatBool(w.Disabled), w.HeaderName})
	}
	if sameHeader && same && plain(in.Webhook) == plain(old) {
		return false, nil
	}
	_, err = r.service.UpdateWebhookTx(ctx, tx, in)
	return true, err
}

// sameSecret says whether a file leaves a stored secret as it is: it does not give one,
// or the same.
func sameSecret(r *run, stored []byte, given keystile.Secret, sealedGiven []byte, place string) (bool, error) {
	if given == "" && (sealedGiven == nil || bytes.Equal(sealedGiven, stored)) {
		return true, nil
	}
	if len(stored) == 0 {
		return false, nil
	}
	old, err := r.service.OpenWebhookSecret(stored, place)
	if err != nil {
		return false, err
	}
	if given == "" {
		if given, err = r.service.OpenWebhookSecret(sealedGiven, place); err != nil {
			return false, keystile.Invalidf("sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
		}
	}
	return old.Equal(given), nil
}

// webhooks writes the webhooks of an application.
func (x *exporter) webhooks(ctx context.Context, s *section, applicationID string) error {
	list, err := x.Webhooks(ctx, applicationID, store.Page{})
	if err != nil {
		return fmt.Errorf("webhooks of application %s: %w", applicationID, err)
	}
	if len(list) == 0 {
		return nil
	}
	s.items.WriteString("    webhooks:\n")
	for i := range list {
		w := &list[i]
		if x.masterID == "" {
			return errNoMasterID
		}
		first := "      - "
		for _, one := range []struct{ name, value string }{
			{"id", w.ID},
			{"event", string(w.Event)},
			{"form", string(w.Form)},
			{"url_template", w.URLTemplate},
			{"description", w.Description},
			{"disabled", map[bool]string{true: "true"}[w.Disabled]},
			{"header_name", w.HeaderName},
			{"sealed_header", x.sealedText(w.SealedHeader)},
			{"sealed", x.sealedText(w.SealedSecret)},
		} {
			if one.value == "" {
				continue
			}
			text := scalar(one.value)
			if one.name == "disabled" {
				text = one.value
			}
			s.items.WriteString(first + one.name + ": " + text + "\n")
			first = "        "
		}
	}
	return nil
}

// sealedText is a sealed secret as a file holds it; empty: none.
func (x *exporter) sealedText(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return sealed{master: x.masterID, data: data}.String()
}
