package manage_test

import (
	"errors"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

func TestWhatIsApprovedIsWhatTheReviewerRead(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "maker", "roof")
	app, err := w.CreateApplication(t.Context(), operator, keystile.Application{
		OrganizationID: "maker", Name: "Roofs", Kind: keystile.ApplicationEmbedded, Environment: keystile.Production, LaunchURL: "https://app.example/",
	})
	if err != nil {
		t.Fatal(err)
	}
	swap := func(a *keystile.Application) error { a.LaunchURL = "https://evil.example/"; return nil }
	for _, to := range []keystile.ReviewState{keystile.ReviewInReview, keystile.ReviewApproved} {
		if to == keystile.ReviewInReview {
			_, err = w.MoveApplication(t.Context(), operator, app.ID, to)
		} else {
			_, err = w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: to})
		}
		if err != nil {
			t.Fatal(err)
		}
		var invalid *keystile.Invalid
		if _, err := w.UpdateApplication(t.Context(), operator, app.ID, swap); !errors.As(err, &invalid) || invalid.Field != "review" {
			t.Errorf("changed while %s: %v", to, err)
		}
	}
}
