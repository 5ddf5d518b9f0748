package console

import (
	"errors"
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// resetView is the content of reset.html.
type resetView struct {
	// Form asks for a name; nil: it was sent, and this is what follows.
	Form *form
}

func (v *visit) resetPage() (answer, *form) {
	f := v.newForm("/login/reset", "Send a link",
		&field{Name: "username", Label: "Username or e-mail address", Type: "text", Autocomplete: "username", Focus: true, MaxLength: 320},
	)
	f.Cancel = "/login"
	return show("reset", "Reset your password", resetView{Form: f}), f
}

// resetForm asks for a name; or, opened by the link of the mail, for a password.
// That uses nothing up: mail scanners open links too.
func (c *Console) resetForm(v *visit) (answer, error) {
	if token := v.query("token"); token != "" {
		a, _ := v.resetSetPage(token)
		return a, nil
	}
	a, _ := v.resetPage()
	return a, nil
}

// reset answers the same whether there is such a user or not (threat 26).
func (c *Console) reset(v *visit) (answer, error) {
	username := strings.TrimSpace(v.form.Get("username"))
	if username == "" {
		a, f := v.resetPage()
		f.Fields[0].Problem = "Enter your username or e-mail address."
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	if err := c.people.BeginReset(v.context(), v.caller, username); err != nil {
		return answer{}, err
	}
	return show("reset", "Look into your mail", resetView{}), nil
}

// resetSetView is the content of resetset.html.
type resetSetView struct {
	// Form sets the password; nil: the link is worth nothing any more.
	Form *form
}

func (v *visit) resetSetPage(token string) (answer, *form) {
	fields := newPasswordFields()
	fields[0].Focus = true
	f := v.newForm("/login/reset/set", "Set password", fields...).hide("reset", token)
	return show("resetset", "Choose a new password", resetSetView{Form: f}), f
}

func resetOver() answer {
	return show("resetset", "This link is no longer good", resetSetView{}).refused(http.StatusForbidden)
}

// resetSet sets the password and signs nobody in: the second factor still stands
// before a session (rulings R24).
func (c *Console) resetSet(v *visit) (answer, error) {
	token := v.form.Get("reset")
	a, f := v.resetSetPage(token)
	password, ok := chosen(v.form, f.Fields)
	if !ok {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	err := c.people.FinishReset(v.context(), v.caller, keystile.Secret(token), password)
	switch {
	case errors.Is(err, login.ErrChallengeExpired):
		return resetOver(), nil
	case f.blame(err):
		return a.refused(http.StatusUnprocessableEntity), nil
	case err != nil:
		return answer{}, err
	}
	return c.done("/login", "password-set"), nil
}
