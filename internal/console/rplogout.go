package console

import (
	"net/url"

	"keystile.dev/keystile/internal/oidc"
)

// pathLogoutConfirmed takes the form that asks whether to sign out.
const pathLogoutConfirmed = oidc.PathLogout + "/confirm"

// clientLogout signs out at a client's wish (OpenID Connect RP-Initiated Logout). A client
// that knows which sign-in it means is believed; anybody else's link only asks, so that no
// page can sign people out.
func (c *Console) clientLogout(v *visit) (answer, error) {
	raw := v.request.URL.RawQuery
	out, err := c.logoutOf(v, raw)
	if err != nil {
		return answer{}, err
	}
	if !v.signedIn() || out.SessionID == v.session.ID {
		return c.signedOut(v, out)
	}
	f := v.newForm(pathLogoutConfirmed, "Sign out").hide("request", raw)
	f.Cancel = home
	a := show("confirm", "Sign out?", question{Text: "An application asks to sign you out here. Applications that you gave access keep it.", Form: f})
	if u, err := url.Parse(out.Location); err == nil && out.Location != "" {
		a.formActions = []string{u.Scheme + "://" + u.Host}
	}
	return a, nil
}

func (c *Console) logoutOf(v *visit, raw string) (oidc.Logout, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return oidc.Logout{}, errForm
	}
	return c.options.Authorizer.EndSession(v.context(), query)
}

func (c *Console) confirmLogout(v *visit) (answer, error) {
	out, err := c.logoutOf(v, v.form.Get("request"))
	if err != nil {
		return answer{}, err
	}
	return c.signedOut(v, out)
}

// signedOut ends the session of the browser and leads on. An error is told: a page that
// says "signed out" while the session lives would lie.
func (c *Console) signedOut(v *visit, out oidc.Logout) (answer, error) {
	if v.signedIn() {
		if err := c.people.Logout(v.context(), v.caller, v.session.ID); err != nil {
			return answer{}, err
		}
	}
	a := goTo(out.Location)
	if out.Location == "" {
		a = goTo("/login").with(c.cookies.set(cookieNotice, "signed-out", 0))
	}
	return a.with(c.cookies.drop(cookieSession)).with(c.cookies.drop(cookieChallenge)), nil
}
