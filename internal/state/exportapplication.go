package state

import (
	"context"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// applications writes applications with the keys that are live, as digests.
func (x *exporter) applications(ctx context.Context, s *section) error {
	list := func(ctx context.Context, after string, limit int) ([]keystile.Application, error) {
		return x.Applications(ctx, store.ApplicationFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
	return every(ctx, list, storedApplicationID, func(a *keystile.Application) error {
		keys, err := x.ApplicationKeys(ctx, a.ID)
		if err != nil {
			return fmt.Errorf("keys of application %s: %w", a.ID, err)
		}
		s.item()
		s.text("id", a.ID)
		s.text("name", a.Name)
		s.text("description", a.Description)
		s.text("homepage", a.Homepage)
		s.text("kind", string(a.Kind))
		s.text("environment", string(a.Environment))
		s.text("organization", a.OrganizationID)
		s.list("permissions", textsOf(a.Permissions))
		s.text("launch_url", a.LaunchURL)
		s.text("review", string(a.Review))
		s.text("review_comment", a.ReviewComment)
		live := keys[:0]
		for _, k := range keys {
			if k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || x.now.Before(k.ExpiresAt)) {
				live = append(live, k)
			}
		}
		if len(live) > 0 {
			s.items.WriteString("    application_keys:\n")
		}
		for _, k := range live {
			s.items.WriteString("      - digest: " + scalar(digest{pepper: k.PepperID, sum: k.Digest, until: k.ExpiresAt}.String()) + "\n")
			if k.Hint != "" {
				s.items.WriteString("        hint: " + scalar(k.Hint) + "\n")
			}
		}
		if err := x.client(ctx, s, a.ID); err != nil {
			return err
		}
		return x.webhooks(ctx, s, a.ID)
	})
}

// authorizations writes those that were not withdrawn, expired ones too.
func (x *exporter) authorizations(ctx context.Context, s *section) error {
	return everyAuthorization(ctx, x, func(a *keystile.Authorization) error {
		if !a.WithdrawnAt.IsZero() {
			return nil
		}
		s.item()
		s.text("application", a.ApplicationID)
		s.text("tenant", a.TenantID)
		s.list("permissions", textsOf(a.Permissions))
		s.text("expires_at", timeText(a.ExpiresAt))
		return nil
	})
}
