package manage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/webhook"
)

// NewWebhook says what a webhook is to be.
type NewWebhook struct {
	// Webhook without its sealed members. Times are ignored; an empty ID is drawn; Form
	// defaults to get.
	Webhook keystile.Webhook
	// HeaderValue is the value of HeaderName; of a webhook that exists, empty keeps the stored one.
	HeaderValue keystile.Secret
	// Secret signs deliveries of the form signed_post; empty: drawn, or the stored one.
	Secret keystile.Secret
	// SealedHeader and SealedSecret stand for the two as an export of this store wrote them.
	SealedHeader, SealedSecret []byte
}

// MadeWebhook is a webhook with the signing secret that was drawn for it, if one
// was. It is returned once.
type MadeWebhook struct {
	Webhook keystile.Webhook
	Secret  keystile.Secret
}

// Webhooks lists the webhooks of an application of the caller's own.
func (s *Service) Webhooks(ctx context.Context, applicationID string, page Page) ([]keystile.Webhook, error) {
	if err := s.ownsApplication(ctx, applicationID); err != nil {
		return nil, err
	}
	list, err := s.Store.Webhooks(ctx, applicationID, page)
	if err != nil {
		return nil, fmt.Errorf("list webhooks of application %q: %w", applicationID, err)
	}
	return list, nil
}

// ownsApplication is nil for an application of the caller's own.
func (s *Service) ownsApplication(ctx context.Context, id string) error {
	app, err := s.Store.Application(ctx, id)
	if err != nil {
		return fmt.Errorf("application %q: %w", id, err)
	}
	if !s.sees(app.OrganizationID) {
		return missing("application", id)
	}
	return nil
}

// webhookReader reads webhooks: the store, or a transaction.
type webhookReader interface {
	Webhook(ctx context.Context, id string) (keystile.Webhook, error)
}

func webhookOf(ctx context.Context, from webhookReader, applicationID, id string) (keystile.Webhook, error) {
	w, err := from.Webhook(ctx, id)
	if err != nil {
		return w, fmt.Errorf("webhook %q: %w", id, err)
	}
	if w.ApplicationID != applicationID {
		return w, missing("webhook", id)
	}
	return w, nil
}

// Webhook returns one webhook of an application of the caller's own.
func (s *Service) Webhook(ctx context.Context, applicationID, id string) (keystile.Webhook, error) {
	if err := s.ownsApplication(ctx, applicationID); err != nil {
		return keystile.Webhook{}, err
	}
	return webhookOf(ctx, s.Store, applicationID, id)
}

// WebhookCircuit says how often in a row a webhook failed, and until when it is
// left alone for that; the zero time: it is not.
func (s *Service) WebhookCircuit(ctx context.Context, id string) (failures int, openUntil time.Time, err error) {
	circuit, err := s.Store.WebhookCircuit(ctx, id)
	if err != nil {
		return 0, time.Time{}, err
	}
	if !circuit.OpenUntil.After(s.now()) {
		circuit.OpenUntil = time.Time{}
	}
	return circuit.Failures, circuit.OpenUntil, nil
}

// CreateWebhook adds a webhook to an application. Its host is not resolved: that
// is done at each delivery.
func (s *Service) CreateWebhook(ctx context.Context, a store.Actor, in NewWebhook) (MadeWebhook, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (MadeWebhook, error) {
		return s.CreateWebhookTx(ctx, tx, in)
	})
}

// CreateWebhookTx is CreateWebhook inside a transaction.
func (s *Service) CreateWebhookTx(ctx context.Context, tx *store.Tx, in NewWebhook) (made MadeWebhook, err error) {
	w := &in.Webhook
	app, err := s.ownApplication(ctx, tx, w.ApplicationID)
	if err != nil {
		return made, err
	}
	if app.Review == keystile.ReviewRetired {
		return made, fmt.Errorf("make a webhook for application %q, which is retired: %w", app.ID, keystile.ErrConflict)
	}
	if made.Secret, err = s.completeWebhook(&in); err != nil {
		return MadeWebhook{}, err
	}
	if err := errors.Join(CheckWebhook(in, false), s.checkTarget(w.URLTemplate)); err != nil {
		return MadeWebhook{}, err
	}
	if err := s.sealWebhook(&in); err != nil {
		return MadeWebhook{}, err
	}
	w.CreatedAt, w.UpdatedAt = s.now(), time.Time{}
	if err := tx.CreateWebhook(ctx, *w); err != nil {
		return MadeWebhook{}, fmt.Errorf("create webhook %q: %w", w.ID, err)
	}
	made.Webhook, err = tx.Webhook(ctx, w.ID)
	return made, err
}

// completeWebhook fills what a new webhook leaves to defaults, and returns the
// signing secret where it drew one.
func (s *Service) completeWebhook(in *NewWebhook) (drawn keystile.Secret, err error) {
	w := &in.Webhook
	if w.Form == "" {
		w.Form = keystile.WebhookGet
	}
	if w.ID == "" {
		if w.ID, err = s.tenantID(""); err != nil {
			return "", err
		}
	}
	if w.Form != keystile.WebhookSignedPost || in.Secret != "" || in.SealedSecret != nil {
		return "", nil
	}
	in.Secret, err = webhook.NewSecret(s.Random)
	return in.Secret, err
}

// UpdateWebhook lets edit change a webhook: its event, template, description,
// header, and whether it is disabled. Its form and its secret stay.
func (s *Service) UpdateWebhook(ctx context.Context, a store.Actor, applicationID, id string, edit func(*NewWebhook) error) (keystile.Webhook, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Webhook, error) {
		if _, err := s.ownApplication(ctx, tx, applicationID); err != nil {
			return keystile.Webhook{}, err
		}
		old, err := webhookOf(ctx, tx, applicationID, id)
		if err != nil {
			return old, err
		}
		in := NewWebhook{Webhook: old}
		if err := edit(&in); err != nil {
			return old, err
		}
		in.Secret, in.SealedSecret = "", nil
		return s.UpdateWebhookTx(ctx, tx, in)
	})
}

// UpdateWebhookTx makes the stored webhook as in says, inside a transaction. Its
// application and form cannot change. Sealed members that in leaves out stay.
func (s *Service) UpdateWebhookTx(ctx context.Context, tx *store.Tx, in NewWebhook) (keystile.Webhook, error) {
	w := &in.Webhook
	if _, err := s.ownApplication(ctx, tx, w.ApplicationID); err != nil {
		return *w, err
	}
	old, err := webhookOf(ctx, tx, w.ApplicationID, w.ID)
	if err != nil {
		return old, err
	}
	if w.Form != old.Form {
		return old, keystile.Invalidf("form", "make another webhook", "the form of a webhook cannot change")
	}
	renamed := w.HeaderName != old.HeaderName
	w.SealedHeader, w.SealedSecret = old.SealedHeader, old.SealedSecret
	if err := errors.Join(CheckWebhook(in, old.SealedHeader != nil && !renamed), s.checkTarget(w.URLTemplate)); err != nil {
		return old, err
	}
	if w.HeaderName == "" {
		w.SealedHeader = nil
	}
	if err := s.sealWebhook(&in); err != nil {
		return old, err
	}
	if !bytes.Equal(w.SealedSecret, old.SealedSecret) {
		w.SealedPrevious, w.PreviousUntil = nil, time.Time{}
	}
	if err := tx.UpdateWebhook(ctx, *w); err != nil {
		return old, fmt.Errorf("update webhook %q: %w", w.ID, err)
	}
	return tx.Webhook(ctx, w.ID)
}

// sealWebhook seals what in gives in clear, or takes what it gives sealed.
func (s *Service) sealWebhook(in *NewWebhook) error {
	w := &in.Webhook
	for _, one := range []struct {
		clear  keystile.Secret
		sealed []byte
		place  string
		into   *[]byte
	}{
		{in.HeaderValue, in.SealedHeader, keystile.WebhookHeaderPlace(w.ID), &w.SealedHeader},
		{in.Secret, in.SealedSecret, keystile.WebhookSecretPlace(w.ID), &w.SealedSecret},
	} {
		switch {
		case one.sealed != nil:
			*one.into = one.sealed
		case one.clear != "":
			sealed, err := s.Sealer.Seal([]byte(one.clear.Reveal()), one.place)
			if err != nil {
				return fmt.Errorf("seal a secret of webhook %q: %w", w.ID, err)
			}
			*one.into = sealed
		}
	}
	return nil
}

// OpenWebhookSecret opens what is sealed for a place of a webhook, to compare it.
func (s *Service) OpenWebhookSecret(sealed []byte, place string) (keystile.Secret, error) {
	opened, err := s.Sealer.Open(sealed, place)
	if err != nil {
		return "", fmt.Errorf("open a secret of a webhook: %w", err)
	}
	return keystile.Secret(opened), nil
}

// DeleteWebhook deletes a webhook. What waits for it is told to nobody.
func (s *Service) DeleteWebhook(ctx context.Context, a store.Actor, applicationID, id string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteWebhookTx(ctx, tx, applicationID, id)
	})
}

// DeleteWebhookTx is DeleteWebhook inside a transaction.
func (s *Service) DeleteWebhookTx(ctx context.Context, tx *store.Tx, applicationID, id string) error {
	if _, err := s.ownApplication(ctx, tx, applicationID); err != nil {
		return err
	}
	if _, err := webhookOf(ctx, tx, applicationID, id); err != nil {
		return err
	}
	if err := tx.DeleteWebhook(ctx, id); err != nil {
		return fmt.Errorf("delete webhook %q: %w", id, err)
	}
	return nil
}

// RotateWebhookSecret draws a new signing secret. Until the overlap has passed,
// deliveries carry a signature of the old one, too.
func (s *Service) RotateWebhookSecret(ctx context.Context, a store.Actor, applicationID, id string, overlap time.Duration) (MadeWebhook, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return MadeWebhook{}, keystile.Invalidf("overlap", "use a duration from 0s to 2160h", "not an overlap")
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (made MadeWebhook, err error) {
		if _, err := s.ownApplication(ctx, tx, applicationID); err != nil {
			return made, err
		}
		w, err := webhookOf(ctx, tx, applicationID, id)
		if err != nil {
			return made, err
		}
		if w.Form != keystile.WebhookSignedPost {
			return made, keystile.Invalidf("form", "make a webhook of the form signed_post", "webhook %q is not signed", id)
		}
		if made.Secret, err = webhook.NewSecret(s.Random); err != nil {
			return MadeWebhook{}, err
		}
		w.SealedPrevious, w.PreviousUntil = nil, time.Time{}
		if overlap > 0 {
			w.SealedPrevious, w.PreviousUntil = w.SealedSecret, s.now().Add(overlap)
		}
		if w.SealedSecret, err = s.Sealer.Seal([]byte(made.Secret.Reveal()), keystile.WebhookSecretPlace(id)); err != nil {
			return MadeWebhook{}, fmt.Errorf("seal the secret of webhook %q: %w", id, err)
		}
		if err := tx.UpdateWebhook(ctx, w); err != nil {
			return MadeWebhook{}, fmt.Errorf("rotate the secret of webhook %q: %w", id, err)
		}
		made.Webhook, err = tx.Webhook(ctx, id)
		return made, err
	})
}

// DeliveryFilter chooses deliveries of a webhook, newest first.
type DeliveryFilter = store.DeliveryFilter

// Deliveries lists deliveries of a webhook of an application of the caller's own.
func (s *Service) Deliveries(ctx context.Context, applicationID string, filter DeliveryFilter) ([]keystile.WebhookDelivery, error) {
	if _, err := s.Webhook(ctx, applicationID, filter.WebhookID); err != nil {
		return nil, err
	}
	list, err := s.Store.WebhookDeliveries(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list deliveries of webhook %q: %w", filter.WebhookID, err)
	}
	return list, nil
}

// Delivery returns one delivery with its attempts, oldest first.
func (s *Service) Delivery(ctx context.Context, applicationID, webhookID, id string) (keystile.WebhookDelivery, []keystile.WebhookAttempt, error) {
	if _, err := s.Webhook(ctx, applicationID, webhookID); err != nil {
		return keystile.WebhookDelivery{}, nil, err
	}
	d, err := s.Store.WebhookDelivery(ctx, id)
	if err != nil {
		return d, nil, fmt.Errorf("delivery %q: %w", id, err)
	}
	if d.WebhookID != webhookID {
		return keystile.WebhookDelivery{}, nil, missing("delivery", id)
	}
	attempts, err := s.Store.WebhookAttempts(ctx, id)
	if err != nil {
		return d, nil, fmt.Errorf("attempts of delivery %q: %w", id, err)
	}
	return d, attempts, nil
}

// ResendDelivery puts a delivery back in the queue, with the same id and as many
// tries as a new one.
func (s *Service) ResendDelivery(ctx context.Context, a store.Actor, applicationID, webhookID, id string) (keystile.WebhookDelivery, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.WebhookDelivery, error) {
		none := keystile.WebhookDelivery{}
		if _, err := s.ownApplication(ctx, tx, applicationID); err != nil {
			return none, err
		}
		if _, err := webhookOf(ctx, tx, applicationID, webhookID); err != nil {
			return none, err
		}
		d, err := tx.WebhookDelivery(ctx, id)
		if err != nil || d.WebhookID != webhookID {
			return none, errors.Join(missing("delivery", id), err)
		}
		if err := tx.ResendDelivery(ctx, id); err != nil {
			return none, fmt.Errorf("re-send delivery %q: %w", id, err)
		}
		return tx.WebhookDelivery(ctx, id)
	})
}
