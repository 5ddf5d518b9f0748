package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/oidc"
)

// signInView is the content of login.html.
type signInView struct {
	Form *form
	// Passkey is the form that signs in with a passkey instead; nil: there are none here.
	Passkey *form
	// Buttons are the identity providers to sign in at.
	Buttons []buttonView
	// Reset is whether a link to reset the password can be mailed.
	Reset bool
	// Again is set where somebody signed in already is asked to prove who they are.
	Again bool
	// PasskeyAsked is set where an application takes nothing else.
	PasskeyAsked bool
}

func (c *Console) signInForm(v *visit) (answer, error) {
	back := returnTo(v.query("return_to"))
	if v.signedIn() && v.query("again") != "1" {
		return goTo(back), nil
	}
	username := v.user.Username
	if hint := v.query("hint"); hint != "" && !v.signedIn() {
		username = hint
	}
	return c.signInPage(v, asked{back: back, username: username, organization: v.query("organization"), passkey: v.query("factor") == "passkey"}, "")
}

// asked is what a sign-in page keeps from one try to the next.
type asked struct {
	back, username string
	// passkey: the application takes nothing else.
	passkey bool
	// organization chooses the providers that are offered; empty: those that are listed.
	organization string
}

// signInPage is the page, with the same body for whoever is refused: an unknown
// name, a wrong password and a locked account look alike (threat 26).
func (c *Console) signInPage(v *visit, a asked, problem string) (answer, error) {
	buttons, err := c.buttons(v, a.organization, a.back, v.signedIn())
	if err != nil {
		return answer{}, err
	}
	f := v.newForm("/login", "Sign in",
		&field{Name: "username", Label: "Username or e-mail address", Type: "text", Autocomplete: "username", Value: a.username, Focus: a.username == "", MaxLength: 320},
		&field{Name: "password", Label: "Password", Type: "password", Autocomplete: "current-password", Focus: a.username != ""},
	).hide("return_to", a.back)
	if a.organization != "" {
		f.hide("organization", a.organization)
	}
	if a.passkey {
		f.hide("factor", "passkey")
	}
	f.Problem = problem
	view := signInView{Form: f, Buttons: buttons, Reset: c.options.Reset, Again: v.signedIn(), PasskeyAsked: a.passkey && c.options.Passkeys}
	if c.options.Passkeys {
		view.Passkey = v.newForm("/login/passkey", "Sign in with a passkey").hide("return_to", a.back)
	}
	title := "Sign in"
	if view.Again {
		title = "Confirm it is you"
	}
	return show("login", title, view), nil
}

// again is the page once more, for whoever was refused.
func (c *Console) again(v *visit, a asked, problem string) (answer, error) {
	page, err := c.signInPage(v, a, problem)
	return page.refused(http.StatusForbidden), err
}

func (c *Console) signIn(v *visit) (answer, error) {
	kept := asked{back: returnTo(v.form.Get("return_to")), username: strings.TrimSpace(v.form.Get("username")), organization: v.form.Get("organization"), passkey: v.form.Get("factor") == "passkey"}
	password := v.form.Get("password")
	if kept.username == "" || password == "" {
		a, err := c.signInPage(v, kept, "")
		if err != nil {
			return answer{}, err
		}
		for _, x := range a.content.(signInView).Form.Fields { //nolint:errcheck // it is what signInPage shows
			if v.form.Get(x.Name) == "" {
				x.Problem = "Enter your " + strings.ToLower(x.Label[:1]) + x.Label[1:] + "."
			}
		}
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	outcome, err := c.people.Password(v.context(), v.caller, kept.username, keystile.Secret(password))
	switch {
	case errors.Is(err, login.ErrInvalidCredentials):
		return c.again(v, kept, "That username and password do not match an account.")
	case errors.Is(err, login.ErrInactive):
		return c.again(v, kept, "This account is not active. Ask whoever manages your organisation.")
	case err != nil:
		return answer{}, err
	}
	return c.proceed(v, outcome, kept.back)
}

// proceed follows an outcome: on to what stands before the session, or in.
func (c *Console) proceed(v *visit, o login.Outcome, back string) (answer, error) {
	if o.Session != nil {
		return c.enter(v, o.Session.ID, back)
	}
	return c.challenged(*o.Challenge, back), nil
}

// challenged leads on to what a challenge asks for.
func (c *Console) challenged(waiting login.Challenge, back string) answer {
	next := "/login/code"
	if waiting.MustChangePassword {
		next = "/login/password"
	}
	return goTo(next + "?" + url.Values{"return_to": {back}}.Encode()).with(c.cookies.challenge(waiting.Token))
}

// answered follows the answer to a challenge: sid is what sessionID made, and err
// may be that a new password is asked for next.
func (c *Console) answered(v *visit, sid []byte, err error, back string) (answer, error) {
	var change *login.ChangeRequired
	if errors.As(err, &change) {
		return c.challenged(change.Challenge, back), nil
	}
	if err != nil {
		return answer{}, err
	}
	return c.enter(v, string(sid), back)
}

// enter gives the browser the cookie of a new session, and ends the one it had:
// what was fixed or copied before is worth nothing after (threat 35).
func (c *Console) enter(v *visit, sid, back string) (answer, error) {
	if v.signedIn() && v.session.ID != sid {
		if err := c.people.Replace(v.context(), v.caller, v.session.ID, sid); err != nil {
			return answer{}, err
		}
	}
	return goTo(back).with(c.cookies.set(cookieSession, c.seals.session(sid), 0)).with(c.cookies.drop(cookieChallenge)), nil
}

// sessionID is the answer that is stored for a challenge's code: the same code
// sent twice leads to the same session (rulings R18).
func sessionID(_ context.Context, s keystile.Session, _ keystile.User) ([]byte, error) {
	return []byte(s.ID), nil
}

func (c *Console) signOut(v *visit) (answer, error) {
	if v.signedIn() && !c.seals.isFormToken(v.form.Get("token"), v.session.ID) {
		return answer{}, errStaleForm
	}
	return c.signedOut(v, oidc.Logout{})
}
