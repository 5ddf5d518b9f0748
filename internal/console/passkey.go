package console

import (
	"errors"
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// passkeyView is the content of passkey.html: passkey.js runs the ceremony and
// sends its answer with the form, so that no script needs to reach the network.
type passkeyView struct {
	Form *form
	// Options are the JSON that the browser is asked with.
	Options string
	// Create is whether a passkey is made rather than used.
	Create bool
	// Other is where to go instead.
	Other, OtherLabel string
}

// maxName bounds what people call a passkey, in bytes.
const maxName = 64

func (v *visit) passkeyPage(begun login.PasskeyCeremony, back, problem string, factor bool) answer {
	view := passkeyView{
		Form:    v.newForm("/login/passkey/answer", "Try again").hide("ceremony", begun.Token.Reveal()).hide("credential", "").hide("return_to", back),
		Options: string(begun.Options), Other: "/login", OtherLabel: "Sign in another way",
	}
	if factor {
		view.Form.hide("as", "factor")
		view.Other, view.OtherLabel = "/login/code", "Use a code instead"
	}
	view.Form.Problem = problem
	return show("passkey", "Use your passkey", view)
}

// askPasskey begins a ceremony: as a second factor, or to sign in.
func (c *Console) askPasskey(v *visit) (answer, error) {
	return c.passkeyAgain(v, "")
}

func (c *Console) passkeyAgain(v *visit, problem string) (answer, error) {
	factor := v.form.Get("as") == "factor"
	var challenge keystile.Secret
	if factor {
		if challenge = keystile.Secret(c.cookies.read(v.request, cookieChallenge)); challenge == "" {
			return answer{}, login.ErrChallengeExpired
		}
	}
	begun, err := c.people.BeginPasskey(v.context(), v.caller, challenge)
	if err != nil {
		return answer{}, err
	}
	a := v.passkeyPage(begun, returnTo(v.form.Get("return_to")), problem, factor)
	if problem != "" {
		a.status = http.StatusForbidden
	}
	return a, nil
}

func (c *Console) answerPasskey(v *visit) (answer, error) {
	response := v.form.Get("credential")
	if response == "" {
		return c.passkeyAgain(v, "Your browser gave no passkey.")
	}
	sid, err := c.people.FinishPasskey(v.context(), v.caller, keystile.Secret(v.form.Get("ceremony")), []byte(response), sessionID)
	switch {
	case errors.Is(err, login.ErrInvalidCredentials), errors.Is(err, login.ErrInvalidCode):
		return c.passkeyAgain(v, "That passkey does not open an account here.")
	case errors.Is(err, login.ErrInactive):
		return c.passkeyAgain(v, "This account is not active. Ask whoever manages your organisation.")
	}
	return c.answered(v, sid, err, returnTo(v.form.Get("return_to")))
}

// addPasskey begins to enrol one.
func (c *Console) addPasskey(v *visit) (answer, error) {
	begun, err := c.people.BeginPasskeyEnrolment(v.context(), v.caller, v.session.ID)
	if err != nil {
		return answer{}, err
	}
	f := v.newForm("/account/factors/passkeys/answer", "Create passkey",
		&field{Name: "name", Label: "Name", Type: "text", Autocomplete: "off", Hint: "So that you know it again, such as “Work laptop”.", MaxLength: maxName, Focus: true, Value: v.form.Get("name")},
	).hide("ceremony", begun.Token.Reveal()).hide("credential", "")
	f.Cancel = home + "/factors"
	return show("passkey", "Add a passkey", passkeyView{Form: f, Options: string(begun.Options), Create: true}), nil
}

func (c *Console) keepPasskey(v *visit) (answer, error) {
	name, response := v.form.Get("name"), v.form.Get("credential")
	again := func(problem string) (answer, error) {
		a, err := c.addPasskey(v)
		if err == nil {
			a.content.(passkeyView).Form.Problem = problem //nolint:errcheck // it is what addPasskey shows
		}
		return a.refused(http.StatusUnprocessableEntity), err
	}
	if response == "" {
		return again("Your browser gave no passkey.")
	}
	_, err := c.people.FinishPasskeyEnrolment(v.context(), v.caller, v.session.ID, login.PasskeyResponse{Ceremony: keystile.Secret(v.form.Get("ceremony")), Name: name, Response: []byte(response)})
	var invalid *keystile.Invalid
	switch {
	case errors.As(err, &invalid):
		return again(sentence(invalid.Problem))
	case errors.Is(err, login.ErrInvalidCode), errors.Is(err, login.ErrChallengeExpired):
		return again("That did not work. Try once more.")
	case err != nil:
		return answer{}, err
	}
	return c.done(home+"/factors", "passkey-added"), nil
}

// done is the way on after a change, with what the next page says about it.
func (c *Console) done(to, notice string) answer {
	return goTo(to).with(c.cookies.set(cookieNotice, notice, 0))
}

func (v *visit) renamePage(id, name string) answer {
	f := v.newForm("/account/factors/passkeys/rename", "Rename",
		&field{Name: "name", Label: "Name", Type: "text", Autocomplete: "off", Value: name, MaxLength: maxName, Focus: true},
	).hide("id", id)
	f.Cancel = home + "/factors"
	return show("ask", "Rename a passkey", f)
}

func (c *Console) renamePasskeyForm(v *visit) (answer, error) {
	factor, err := c.factor(v, v.query("id"))
	if err != nil {
		return answer{}, err
	}
	return v.renamePage(factor.ID, factor.Name), nil
}

func (c *Console) renamePasskey(v *visit) (answer, error) {
	id, name := v.form.Get("id"), v.form.Get("name")
	err := c.people.RenameFactor(v.context(), v.caller, v.session.ID, id, name)
	if a := v.renamePage(id, name); a.content.(*form).blame(err) { //nolint:errcheck // it is what renamePage shows
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	if err != nil {
		return answer{}, err
	}
	return c.done(home+"/factors", "passkey-renamed"), nil
}
