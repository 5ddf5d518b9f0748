package manage_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// maker makes an organisation with one application.
func (w *world) maker(t *testing.T, organization string) keystile.Application {
	t.Helper()
	w.organization(t, organization, "site-"+organization)
	return must(w.CreateApplication(t.Context(), operator, keystile.Application{
		OrganizationID: organization, Name: "Roofs", Kind: keystile.ApplicationBackend, Permissions: []keystile.Scope{"roof_summary:read"},
	}))(t)
}

func signed(app keystile.Application) manage.NewWebhook {
	return manage.NewWebhook{Webhook: keystile.Webhook{
		ApplicationID: app.ID, Event: keystile.EventAppStatusChanged, Form: keystile.WebhookSignedPost, URLTemplate: "https://hooks.example/signed",
	}}
}

func TestASigningSecretIsShownOnceKeptSealedAndRotated(t *testing.T) {
	w := newWorld(t)
	app := w.maker(t, "north")
	made := must(w.CreateWebhook(t.Context(), operator, signed(app)))(t)
	first := made.Secret
	if !strings.HasPrefix(first.Reveal(), "whsec_") || strings.Contains(string(made.Webhook.SealedSecret), first.Reveal()) {
		t.Fatalf("made %+v", made.Webhook)
	}
	opened := must(w.OpenWebhookSecret(made.Webhook.SealedSecret, keystile.WebhookSecretPlace(made.Webhook.ID)))(t)
	if !opened.Equal(first) {
		t.Error("what is sealed is another secret")
	}
	if _, err := w.OpenWebhookSecret(made.Webhook.SealedSecret, keystile.WebhookSecretPlace(app.ID)); err == nil {
		t.Error("the sealed secret opens for another webhook")
	}
	rotated := must(w.RotateWebhookSecret(t.Context(), operator, app.ID, made.Webhook.ID, time.Hour))(t)
	previous := must(w.OpenWebhookSecret(rotated.Webhook.SealedPrevious, keystile.WebhookSecretPlace(made.Webhook.ID)))(t)
	if !previous.Equal(first) || rotated.Secret.Equal(first) || !rotated.Webhook.PreviousUntil.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("rotated to %+v", rotated.Webhook)
	}
	// A change of anything else keeps both.
	changed := must(w.UpdateWebhook(t.Context(), operator, app.ID, made.Webhook.ID, func(in *manage.NewWebhook) error {
		in.Webhook.Description = "changed"
		return nil
	}))(t)
	if string(changed.SealedSecret) != string(rotated.Webhook.SealedSecret) || string(changed.SealedPrevious) != string(rotated.Webhook.SealedPrevious) {
		t.Error("a change of the description changed a secret")
	}
	if ended := must(w.RotateWebhookSecret(t.Context(), operator, app.ID, made.Webhook.ID, 0))(t); ended.Webhook.SealedPrevious != nil {
		t.Error("a rotation without overlap keeps the old secret")
	}
	for _, overlap := range []time.Duration{-1, manage.MaxOverlap + 1} {
		if _, err := w.RotateWebhookSecret(t.Context(), operator, app.ID, made.Webhook.ID, overlap); !isInvalid(err, "overlap") {
			t.Errorf("overlap %s: %v", overlap, err)
		}
	}
}

func isInvalid(err error, field string) bool {
	var invalid *keystile.Invalid
	return errors.As(err, &invalid) && invalid.Field == field
}

func TestThreat30_WebhooksOfAnotherPartnerAndOfAnotherApplicationAreNotThere(t *testing.T) {
	w := newWorld(t)
	north, south := w.maker(t, "north"), w.maker(t, "south")
	theirs := must(w.CreateWebhook(t.Context(), operator, signed(south)))(t).Webhook
	storeAuthorize(t, w, south)
	delivery := must(w.Deliveries(t.Context(), south.ID, manage.DeliveryFilter{WebhookID: theirs.ID}))(t)[0]
	bound := w.For(keystile.AdminToken{ID: "adm_north", OrganizationID: "north", Scopes: []keystile.Scope{"applications:read", "applications:write"}})
	edit := func(in *manage.NewWebhook) error { in.Webhook.Disabled = true; return nil }
	for _, c := range []struct {
		who    *manage.Service
		app    string
		reason string
	}{{bound, south.ID, "another partner's application"}, {w.Service, north.ID, "another application's path"}, {bound, north.ID, "its own path"}} {
		calls := map[string]func() error{
			"show":   func() error { _, err := c.who.Webhook(t.Context(), c.app, theirs.ID); return err },
			"update": func() error { _, err := c.who.UpdateWebhook(t.Context(), operator, c.app, theirs.ID, edit); return err },
			"delete": func() error { return c.who.DeleteWebhook(t.Context(), operator, c.app, theirs.ID) },
			"rotate": func() error {
				_, err := c.who.RotateWebhookSecret(t.Context(), operator, c.app, theirs.ID, 0)
				return err
			},
			"deliveries": func() error {
				_, err := c.who.Deliveries(t.Context(), c.app, manage.DeliveryFilter{WebhookID: theirs.ID})
				return err
			},
			"delivery": func() error { _, _, err := c.who.Delivery(t.Context(), c.app, theirs.ID, delivery.ID); return err },
			"resend": func() error {
				_, err := c.who.ResendDelivery(t.Context(), operator, c.app, theirs.ID, delivery.ID)
				return err
			},
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%s through %s: %v", name, c.reason, err)
			}
		}
	}
	if _, err := bound.Webhooks(t.Context(), south.ID, manage.Page{}); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("list: %v", err)
	}
	if _, err := bound.CreateWebhook(t.Context(), operator, signed(south)); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("create: %v", err)
	}
	mine := must(w.CreateWebhook(t.Context(), operator, signed(north)))(t).Webhook
	if _, _, err := w.Delivery(t.Context(), north.ID, mine.ID, delivery.ID); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("another webhook's delivery: %v", err)
	}
	if _, err := w.ResendDelivery(t.Context(), operator, north.ID, mine.ID, delivery.ID); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("re-sending another webhook's delivery: %v", err)
	}
}

// storeAuthorize approves an application and lets "tenant" say yes to it.
func storeAuthorize(t *testing.T, w *world, app keystile.Application) {
	t.Helper()
	w.organization(t, "tenant", "site-tenant")
	app.Review = keystile.ReviewApproved
	err := w.Store.Mutate(t.Context(), operator, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.UpdateApplication(ctx, app); err != nil {
			return err
		}
		return tx.Authorize(ctx, keystile.Authorization{ApplicationID: app.ID, TenantID: "tenant", Permissions: app.Permissions})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestThreat13_AWebhookToAnAddressThatIsNotReachedIsNotMadeAndANameIsNotResolved(t *testing.T) {
	w := newWorld(t)
	app := w.maker(t, "north")
	w.Reachable = func(addr netip.Addr) error {
		if addr.IsPrivate() || addr.IsLoopback() {
			return fmt.Errorf("%s is private", addr)
		}
		return nil
	}
	for target, good := range map[string]bool{
		"https://10.0.0.1/x": false, "https://127.0.0.1:8443/x": false, "https://[::1]/x": false, "https://10.0.0.1?x": false,
		"https://93.184.216.34/x": true, "https://no-such-host.invalid/x": true, "https://localhost/x": true,
	} {
		in := signed(app)
		in.Webhook.URLTemplate = target
		made, err := w.CreateWebhook(t.Context(), operator, in)
		if good != (err == nil) || !good && !isInvalid(err, "url_template") {
			t.Errorf("%s: %v", target, err)
		}
		if err == nil {
			move := func(in *manage.NewWebhook) error { in.Webhook.URLTemplate = "https://10.0.0.1/"; return nil }
			if _, err := w.UpdateWebhook(t.Context(), operator, app.ID, made.Webhook.ID, move); !isInvalid(err, "url_template") {
				t.Errorf("moved to a private address: %v", err)
			}
		}
	}
}

func TestThePlatformsFormNeedsAHeaderWhichIsKeptUntilAnotherIsGiven(t *testing.T) {
	w := newWorld(t)
	app := w.maker(t, "north")
	in := manage.NewWebhook{Webhook: keystile.Webhook{
		ApplicationID: app.ID, Event: keystile.EventAppStatusChanged, URLTemplate: "https://h.example/<TENANT_ID>?s=<SESSION_TOKEN>",
	}}
	if _, err := w.CreateWebhook(t.Context(), operator, in); !isInvalid(err, "header_name") {
		t.Errorf("without a header: %v", err)
	}
	in.Webhook.HeaderName = "Authorization"
	if _, err := w.CreateWebhook(t.Context(), operator, in); !isInvalid(err, "header_value") {
		t.Errorf("without its value: %v", err)
	}
	in.HeaderValue = "Bearer partner-token"
	made := must(w.CreateWebhook(t.Context(), operator, in))(t).Webhook
	update := func(edit func(*manage.NewWebhook)) (keystile.Webhook, error) {
		return w.UpdateWebhook(t.Context(), operator, app.ID, made.ID, func(in *manage.NewWebhook) error { edit(in); return nil })
	}
	kept := must(update(func(in *manage.NewWebhook) { in.Webhook.Description = "x" }))(t)
	if string(kept.SealedHeader) != string(made.SealedHeader) {
		t.Error("the value of the header changed")
	}
	if _, err := update(func(in *manage.NewWebhook) { in.Webhook.HeaderName = "X-Other" }); !isInvalid(err, "header_value") {
		t.Errorf("another header with the value of the first: %v", err)
	}
	if _, err := update(func(in *manage.NewWebhook) { in.Webhook.Form = keystile.WebhookSignedPost }); !isInvalid(err, "form") {
		t.Errorf("another form: %v", err)
	}
	if _, err := w.RotateWebhookSecret(t.Context(), operator, app.ID, made.ID, 0); !isInvalid(err, "form") {
		t.Errorf("a secret for a GET: %v", err)
	}
}
