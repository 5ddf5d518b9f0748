package console

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"

	keystile "keystile.dev/keystile"
)

// Application is a partner's application that a user may open.
type Application struct {
	ID          string
	Name        string
	Description string
	// Owner is who makes it.
	Owner string
	// Origin is where it opens: scheme, host and port.
	Origin string
}

// Applications are those of other companies that people open from their account.
type Applications interface {
	// Launchable lists the embedded applications that the user's organisation
	// authorised and that work there.
	Launchable(ctx context.Context, user keystile.User) ([]Application, error)
	// Launch makes a session token for the user and returns where the browser goes on
	// with it. What cannot be opened is keystile.ErrNotFound.
	Launch(ctx context.Context, user keystile.User, applicationID string) (location string, err error)
}

// applicationsView is the content of applications.html.
type applicationsView struct{ Applications []applicationRow }

type applicationRow struct {
	Application
	Open *form
}

func (c *Console) applications(v *visit) (answer, error) {
	list, err := c.options.Applications.Launchable(v.context(), v.user)
	if err != nil {
		return answer{}, err
	}
	var view applicationsView
	var origins []string
	for _, app := range list {
		view.Applications = append(view.Applications, applicationRow{app, v.newForm(home+"/applications/open", "Open").hide("id", app.ID)})
		origins = append(origins, app.Origin)
	}
	a := show("applications", "Applications", view)
	a.formActions = origins
	return a, nil
}

func (c *Console) openApplication(v *visit) (answer, error) {
	location, err := c.options.Applications.Launch(v.context(), v.user, v.form.Get("id"))
	if err != nil {
		return answer{}, err
	}
	return goTo(location), nil
}

// LaunchPath says whether a path is that of a launch:
// /v1/organizations/{tenant}/applications/{application}/launch.
func LaunchPath(path string) bool {
	_, _, ok := launchIDs(path)
	return ok
}

func launchIDs(path string) (tenant, application string, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 7 || parts[0] != "" || parts[1] != "v1" || parts[2] != "organizations" || parts[4] != "applications" || parts[6] != "launch" {
		return "", "", false
	}
	return parts[3], parts[5], parts[3] != "" && parts[5] != ""
}

// ServeLaunch opens an application for whoever is signed in with the pages' cookie:
// the cookie and a request from our own origin suffice (contract, section 6). A
// form is answered 303, a JSON request {"url": "…"}; what is refused is told in kind.
func (c *Console) ServeLaunch(w http.ResponseWriter, r *http.Request) {
	tenant, application, ok := launchIDs(r.URL.Path)
	if !ok || r.Method != http.MethodPost {
		c.nowhere.ServeHTTP(w, r)
		return
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	program := err == nil && kind == "application/json"
	c.serveTo(route{access: anyone, handler: func(v *visit) (answer, error) {
		// A cookie that another site makes a browser use must open nothing: where there is
		// no Sec-Fetch-Site, Origin has to be there and ours.
		if len(r.Header["Sec-Fetch-Site"]) == 0 && len(r.Header["Origin"]) == 0 {
			return answer{}, errCrossSite
		}
		if !v.signedIn() {
			return sorry(http.StatusUnauthorized, "Sign in first", "Only somebody who is signed in opens an application.", 0), nil
		}
		if v.user.OrganizationID != tenant {
			return answer{}, keystile.ErrNotFound
		}
		location, err := c.options.Applications.Launch(v.context(), v.user, application)
		if err != nil {
			return answer{}, err
		}
		if program {
			body, err := json.Marshal(map[string]string{"url": location})
			return answer{json: body}, err
		}
		return goTo(location), nil
	}}, program).ServeHTTP(w, r)
}

// formActionsOf is the policy of a page whose forms lead on to other origins, which
// must be clean ones: Chromium holds form-action against redirects after a POST, too.
func formActionsOf(origins []string) string {
	extra := ""
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Path != "" || u.User != nil || u.Host == "" && !strings.Contains(u.Scheme, ".") || strings.ContainsAny(origin, " ;,'\"") {
			continue
		}
		token := " " + u.Scheme + "://" + u.Host
		if u.Host == "" { // a native application's own scheme
			token = " " + u.Scheme + ":"
		}
		if !strings.Contains(extra+" ", token+" ") {
			extra += token
		}
	}
	return strings.Replace(policy, "form-action 'self'", "form-action 'self'"+extra, 1)
}
