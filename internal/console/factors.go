package console

import (
	"errors"
	"fmt"
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// factorsView is the content of factors.html.
type factorsView struct {
	TOTP     *keystile.Factor
	Passkeys []keystile.Factor
	// Recovery is how many codes are left.
	Recovery int
	AddTOTP  *form
	// AddKey adds a passkey; nil: there are none here.
	AddKey *form
}

func (c *Console) factors(v *visit) (answer, error) {
	list, err := c.people.Factors(v.context(), v.session.ID)
	if err != nil {
		return answer{}, err
	}
	view := factorsView{AddTOTP: v.newForm(home+"/factors/totp", "Set up")}
	if c.options.Passkeys {
		view.AddKey = v.newForm(home+"/factors/passkeys", "Add a passkey")
	}
	for _, f := range list {
		switch f.Kind {
		case keystile.FactorTOTP:
			view.TOTP = &f
		case keystile.FactorPasskey:
			view.Passkeys = append(view.Passkeys, f)
		case keystile.FactorRecovery:
			view.Recovery++
		}
	}
	return show("factors", "Sign-in methods", view), nil
}

// factor is one of the user's own.
func (c *Console) factor(v *visit, id string) (keystile.Factor, error) {
	list, err := c.people.Factors(v.context(), v.session.ID)
	if err != nil {
		return keystile.Factor{}, err
	}
	for _, f := range list {
		if f.ID == id {
			return f, nil
		}
	}
	return keystile.Factor{}, fmt.Errorf("factor: %w", keystile.ErrNotFound)
}

func (v *visit) removePage(f keystile.Factor) (answer, *form) {
	title, facts := "Remove the authenticator app?", []fact{{"Set up", moment(f.CreatedAt)}, {"Last used", moment(f.LastUsedAt)}}
	if f.Kind == keystile.FactorPasskey {
		title, facts = "Remove this passkey?", append([]fact{{"Name", f.Name}}, facts...)
	}
	ask := v.newForm(home+"/factors/remove", "Remove").hide("id", f.ID)
	ask.Danger, ask.Cancel = true, home+"/factors"
	return show("confirm", title, question{Text: "You cannot sign in with it any more. What you set up again later is a new one.", Facts: facts, Form: ask}), ask
}

func (c *Console) removeFactorQuestion(v *visit) (answer, error) {
	f, err := c.factor(v, v.query("id"))
	if err != nil {
		return answer{}, err
	}
	a, _ := v.removePage(f)
	return a, nil
}

func (c *Console) removeFactor(v *visit) (answer, error) {
	f, err := c.factor(v, v.form.Get("id"))
	if err != nil {
		return answer{}, err
	}
	err = c.people.RemoveFactor(v.context(), v.caller, v.session.ID, f.ID)
	if errors.Is(err, keystile.ErrConflict) {
		a, ask := v.removePage(f)
		ask.Problem = "A second step is asked of you, and this is your last one. Add another one first."
		return a.refused(http.StatusConflict), nil
	}
	if err != nil {
		return answer{}, err
	}
	return c.done(home+"/factors", "factor-removed"), nil
}

// totpView is the content of totp.html.
type totpView struct {
	Enrol *provisioning
	Form  *form
}

func (c *Console) enrolTOTP(v *visit) (answer, error) {
	offered, err := c.people.EnrolTOTP(v.context(), v.caller, v.session.ID)
	if err != nil {
		return answer{}, err
	}
	return v.totpPage(offered.Token, offered.URI, "")
}

func (v *visit) totpPage(token, uri keystile.Secret, problem string) (answer, error) {
	shown, err := readProvisioning(uri)
	if err != nil {
		return answer{}, errForm // the one that login makes can be read
	}
	f := v.newForm(home+"/factors/totp/confirm", "Confirm",
		&field{Name: "code", Label: "Code from the app", Type: "text", Autocomplete: "one-time-code", Digits: true, MaxLength: 16, Focus: true, Problem: problem},
	).hide("enrolment", token.Reveal()).hide("uri", uri.Reveal())
	f.Cancel = home + "/factors"
	return show("totp", "Set up an authenticator app", totpView{Enrol: shown, Form: f}), nil
}

func (c *Console) confirmTOTP(v *visit) (answer, error) {
	token := keystile.Secret(v.form.Get("enrolment"))
	err := c.people.ConfirmTOTP(v.context(), v.caller, v.session.ID, login.TOTPConfirmation{Token: token, Code: v.form.Get("code")})
	if errors.Is(err, login.ErrInvalidCode) {
		a, err := v.totpPage(token, keystile.Secret(v.form.Get("uri")), "That code is not right. Wait for the next one and try again.")
		return a.refused(http.StatusForbidden), err
	}
	if err != nil {
		return answer{}, err
	}
	return c.done(home+"/factors", "totp-added"), nil
}

// recoveryView is the content of recovery.html.
type recoveryView struct {
	Codes []string
	Back  string
}

func (c *Console) recoveryQuestion(v *visit) (answer, error) {
	list, err := c.people.Factors(v.context(), v.session.ID)
	if err != nil {
		return answer{}, err
	}
	left := 0
	for _, f := range list {
		if f.Kind == keystile.FactorRecovery {
			left++
		}
	}
	back := recoveryBack(v.query("return_to"))
	f := v.newForm(home+"/factors/recovery", "Make recovery codes").hide("return_to", back)
	f.Cancel = back
	text := "Ten codes, each good once, for the day you lose your phone or passkey. They are shown once: print them, or keep them where you keep your passwords."
	if left > 0 {
		f.Danger = true
		text = fmt.Sprintf("You have %d unused codes. New codes make the old ones worthless.", left)
	}
	return show("confirm", "Make recovery codes?", question{Text: text, Form: f}), nil
}

// recoveryBack is where the recovery codes lead on to: the list of factors, if nothing else was wanted.
func recoveryBack(to string) string {
	if back := returnTo(to); to != "" {
		return back
	}
	return home + "/factors"
}

func (c *Console) recovery(v *visit) (answer, error) {
	codes, err := c.people.RecoveryCodes(v.context(), v.caller, v.session.ID)
	if err != nil {
		return answer{}, err
	}
	view := recoveryView{Back: recoveryBack(v.form.Get("return_to"))}
	for _, code := range codes {
		view.Codes = append(view.Codes, code.Reveal())
	}
	return show("recovery", "Your recovery codes", view), nil
}
