package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// codeView is the content of code.html.
type codeView struct {
	Form *form
	// Enrol is what to put into an authenticator app; nil: one is enrolled.
	Enrol *provisioning
	// Passkey is the form that answers with a passkey instead; nil: there is none.
	Passkey *form
	// Recovery is whether a recovery code is taken too.
	Recovery bool
}

// challenge reads what the sign-in under way waits for.
func (c *Console) challenge(v *visit) (login.Challenge, error) {
	token := c.cookies.read(v.request, cookieChallenge)
	if token == "" {
		return login.Challenge{}, login.ErrChallengeExpired
	}
	return c.people.Challenge(v.context(), keystile.Secret(token))
}

func (c *Console) codeForm(v *visit) (answer, error) {
	waiting, err := c.challenge(v)
	if err != nil {
		return answer{}, err
	}
	return v.codePage(waiting, returnTo(v.query("return_to")), "")
}

func (v *visit) codePage(waiting login.Challenge, back, problem string) (answer, error) {
	takes := func(k keystile.FactorKind) bool { return slices.Contains(waiting.Kinds, k) }
	code := &field{Name: "code", Label: "Code", Type: "text", Autocomplete: "one-time-code", MaxLength: 64, Focus: true, Problem: problem}
	view := codeView{Form: v.newForm("/login/code", "Continue", code).hide("return_to", back), Recovery: takes(keystile.FactorRecovery)}
	code.Digits = !view.Recovery
	title := "Enter your code"
	switch {
	case waiting.Enrolment:
		var err error
		if view.Enrol, err = readProvisioning(waiting.Provisioning); err != nil {
			return answer{}, fmt.Errorf("show an enrolment: %w", err)
		}
		title, code.Label, code.Digits = "Set up a second step", "Code from the app", true
	case takes(keystile.FactorPasskey):
		view.Passkey = v.newForm("/login/passkey", "Use a passkey").hide("return_to", back).hide("as", "factor")
	}
	if !takes(keystile.FactorTOTP) && !waiting.Enrolment {
		title, code.Label, code.Focus = "Confirm with a second step", "Recovery code", false
		if !view.Recovery {
			view.Form = nil // only a passkey answers
		}
	}
	return show("code", title, view), nil
}

func (c *Console) code(v *visit) (answer, error) {
	waiting, err := c.challenge(v)
	if err != nil && !errors.Is(err, login.ErrChallengeExpired) {
		return answer{}, err
	}
	back, code := returnTo(v.form.Get("return_to")), strings.TrimSpace(v.form.Get("code"))
	if err == nil && code == "" {
		a, err := v.codePage(waiting, back, "Enter the code.")
		return a.refused(http.StatusUnprocessableEntity), err
	}
	// A challenge that is over may have been answered by this very code a moment ago (rulings R18).
	sid, err := c.people.Code(v.context(), v.caller, keystile.Secret(c.cookies.read(v.request, cookieChallenge)), code, sessionID)
	if errors.Is(err, login.ErrInvalidCode) {
		a, err := v.codePage(waiting, back, "That code is not right. Wait for the next one and try again.")
		return a.refused(http.StatusForbidden), err
	}
	if waiting.Enrolment {
		back = home + "/factors/recovery?" + url.Values{"return_to": {back}}.Encode()
	}
	return c.answered(v, sid, err, back)
}
