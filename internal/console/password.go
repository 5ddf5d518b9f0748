package console

import (
	"errors"
	"net/http"
	"net/url"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// newPasswordFields are the two fields of every form that sets a password. The
// hidden name lets password managers store the pair (WHATWG, section 4.10.18.7).
func newPasswordFields() []*field {
	return []*field{
		{Name: "password", Label: "New password", Type: "password", Autocomplete: "new-password", Hint: "A few unrelated words are easy to remember and hard to guess."},
		{Name: "repeat", Label: "New password, once more", Type: "password", Autocomplete: "new-password"},
	}
}

// chosen is the new password of a form; false: the fields say what is wrong.
func chosen(values url.Values, fields []*field) (keystile.Secret, bool) {
	password, repeat := values.Get("password"), values.Get("repeat")
	for _, x := range fields {
		switch {
		case x.Name == "password" && password == "":
			x.Problem = "Enter a new password."
		case x.Name == "repeat" && password != "" && repeat != password:
			x.Problem = "This is not the same as the line above."
		}
	}
	return keystile.Secret(password), password != "" && repeat == password
}

func (v *visit) passwordPage() (answer, *form) {
	fields := append([]*field{{Name: "current", Label: "Current password", Type: "password", Autocomplete: "current-password", Focus: true}}, newPasswordFields()...)
	f := v.newForm("/account/password", "Change password", fields...)
	return show("password", "Password", f), f
}

func (c *Console) passwordForm(v *visit) (answer, error) {
	a, _ := v.passwordPage()
	return a, nil
}

func (c *Console) changePassword(v *visit) (answer, error) {
	a, f := v.passwordPage()
	password, ok := chosen(v.form, f.Fields)
	current := keystile.Secret(v.form.Get("current"))
	if current == "" {
		f.Fields[0].Problem, ok = "Enter your current password.", false
	}
	if !ok {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	err := c.people.ChangePassword(v.context(), v.caller, v.session.ID, current, password)
	switch {
	case errors.Is(err, login.ErrInvalidCredentials):
		f.Fields[0].Problem = "That is not your current password."
		return a.refused(http.StatusForbidden), nil
	case f.blame(err):
		return a.refused(http.StatusUnprocessableEntity), nil
	case err != nil:
		return answer{}, err
	}
	return c.done(home+"/password", "password-changed"), nil
}

// The forced change: a sign-in that leads to a new password and to nothing else.

func (v *visit) newPasswordPage(back string) (answer, *form) {
	fields := newPasswordFields()
	fields[0].Focus = true
	f := v.newForm("/login/password", "Set password and continue", fields...).hide("return_to", back)
	return show("newpassword", "Choose a new password", f), f
}

func (c *Console) newPasswordForm(v *visit) (answer, error) {
	if _, err := c.challenge(v); err != nil {
		return answer{}, err
	}
	a, _ := v.newPasswordPage(returnTo(v.query("return_to")))
	return a, nil
}

func (c *Console) newPassword(v *visit) (answer, error) {
	back := returnTo(v.form.Get("return_to"))
	a, f := v.newPasswordPage(back)
	password, ok := chosen(v.form, f.Fields)
	if !ok {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	sid, err := c.people.ForcedChange(v.context(), v.caller, keystile.Secret(c.cookies.read(v.request, cookieChallenge)), password, sessionID)
	if f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	return c.answered(v, sid, err, back)
}
