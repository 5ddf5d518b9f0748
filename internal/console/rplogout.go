package console

import (
	"html/template"
	"net/url"
	"slices"

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

// signedOutView is the content of signedout.html.
type signedOutView struct {
	// Frames are the pages of clients that sign out, too.
	Frames []string
	// Location is where to go on to: a page of ours, or an address that a client registered,
	// which may be an app's own scheme.
	Location template.URL
	// Host is whose that is; empty: ours.
	Host string
}

// signedOut ends the session of the browser and leads on. An error is told: a page that
// says "signed out" while the session lives would lie.
func (c *Console) signedOut(v *visit, out oidc.Logout) (answer, error) {
	a := goTo(out.Location)
	if out.Location == "" {
		a = goTo("/login")
	}
	if v.signedIn() {
		frames, err := c.logoutFrames(v)
		if err != nil {
			return answer{}, err
		}
		if err := c.people.Logout(v.context(), v.caller, v.session.ID); err != nil {
			return answer{}, err
		}
		if len(frames) > 0 {
			a = framesPage(frames, out.Location)
		}
	}
	if out.Location == "" {
		a = a.with(c.cookies.set(cookieNotice, "signed-out", 0))
	}
	return a.with(c.cookies.drop(cookieSession)).with(c.cookies.drop(cookieChallenge)), nil
}

// logoutFrames are the pages of clients that this browser's session signed in to.
func (c *Console) logoutFrames(v *visit) ([]oidc.LogoutFrame, error) {
	if c.options.Authorizer == nil {
		return nil, nil
	}
	return c.options.Authorizer.LogoutFrames(v.context(), v.session.ID)
}

// framesPage has the browser load the pages of clients, which no other origin may stand
// among, and goes on (OpenID Connect Front-Channel Logout, section 3).
func framesPage(frames []oidc.LogoutFrame, location string) answer {
	view := signedOutView{Location: "/login"}
	if u, err := url.Parse(location); err == nil && location != "" {
		view.Location, view.Host = template.URL(location), u.Host //nolint:gosec // G203: a client registered it, and it was judged then
	}
	var origins []string
	for _, f := range frames {
		view.Frames = append(view.Frames, f.URL)
		if !slices.Contains(origins, f.Origin) {
			origins = append(origins, f.Origin)
		}
	}
	a := show("signedout", "You are signed out", view)
	a.frames = origins
	return a
}
