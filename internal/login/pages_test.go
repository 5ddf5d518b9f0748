package login_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

func TestAChallengeIsShownAgainAsItWasAndUsesNothingUp(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("new", func(u *keystile.User) { u.MFA = keystile.MFARequired })
		offered := w.challenge(from(home), "new")
		for range 3 {
			again, err := w.service.Challenge(t.Context(), offered.Token)
			noError(t, err)
			if again.Provisioning.Reveal() != offered.Provisioning.Reveal() || !again.Enrolment || !again.ExpiresAt.Equal(offered.ExpiresAt) || !slices.Equal(again.Kinds, offered.Kinds) {
				t.Fatalf("it was %+v and is %+v", offered, again)
			}
		}
		app := w.app(offered.Provisioning)
		_, err := w.service.Code(t.Context(), from(home), offered.Token, app.code(), answer)
		noError(t, err)
		_, err = w.service.Challenge(t.Context(), offered.Token)
		is(t, err, login.ErrChallengeExpired)

		w.pass(time.Minute)
		asked := w.challenge(from(home), "new")
		again, err := w.service.Challenge(t.Context(), asked.Token)
		noError(t, err)
		if again.Enrolment || again.Provisioning != "" || !slices.Equal(again.Kinds, asked.Kinds) {
			t.Fatalf("it was %+v and is %+v", asked, again)
		}
		w.pass(6 * time.Minute)
		_, err = w.service.Challenge(t.Context(), asked.Token)
		is(t, err, login.ErrChallengeExpired)
		for _, token := range []keystile.Secret{"", "x", asked.Token + "x", asked.Token[1:]} {
			_, err = w.service.Challenge(t.Context(), token)
			is(t, err, login.ErrChallengeExpired)
		}
	})
}

func TestThreat30OnlyTheOwnerRenamesAFactor(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("ada", nil)
		w.user("eve", nil)
		app := w.enrol("ada")
		made, err := w.service.Code(t.Context(), from(home), w.challenge(from(home), "ada").Token, app.next(), answer)
		noError(t, err)
		ada, eve := w.sessionOf(made), w.session("eve")
		factors, err := w.service.Factors(t.Context(), ada.ID)
		noError(t, err)
		id := factors[0].ID
		is(t, w.service.RenameFactor(t.Context(), from(home), eve.ID, id, "mine"), keystile.ErrNotFound)
		is(t, w.service.RenameFactor(t.Context(), from(home), "ses_nobody", id, "mine"), login.ErrSessionEnded)
		var invalid *keystile.Invalid
		if err := w.service.RenameFactor(t.Context(), from(home), ada.ID, id, "\x00"); !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Fatalf("no name: %v", err)
		}
		noError(t, w.service.RenameFactor(t.Context(), from(home), ada.ID, id, "Phone\n"))
		factors, err = w.service.Factors(t.Context(), ada.ID)
		noError(t, err)
		if factors[0].Name != "Phone" {
			t.Fatalf("it is called %q", factors[0].Name)
		}
	})
}
