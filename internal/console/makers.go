package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// pageRows is how many rows of a long list a page shows.
const pageRows = 100

// makersView is the content of makers.html.
type makersView struct {
	Applications []madeRow
	// More continues the list; empty: it is whole.
	More string
}

// madeRow is one application as its maker or a reviewer sees it in a list.
type madeRow struct {
	keystile.Application
	Path  string
	State badge
	// Owner is who makes it, where that is not plain.
	Owner                     string
	KindText, EnvironmentText string
}

func rowOf(app keystile.Application, under string) madeRow {
	kind, _, _ := strings.Cut(kindWords[app.Kind], ":")
	return madeRow{Application: app, Path: under + "/" + app.ID, State: reviewBadge(&app), KindText: kind, EnvironmentText: environmentWords[app.Environment]}
}

func (c *Console) madeApplications(v *visit, m Member) (answer, error) {
	list, err := m.Applications(v.context(), manage.ApplicationFilter{
		Page: manage.Page{AfterID: v.query("after"), Limit: pageRows}, OrganizationID: v.user.OrganizationID,
	})
	if err != nil {
		return answer{}, err
	}
	var view makersView
	if len(list) == pageRows {
		view.More = makersPath + "?" + url.Values{"after": {list[len(list)-1].ID}}.Encode()
	}
	slices.SortStableFunc(list, func(a, b keystile.Application) int { return cmp.Compare(a.Name, b.Name) })
	for _, app := range list {
		view.Applications = append(view.Applications, rowOf(app, makersPath))
	}
	return show("makers", "Your applications", view), nil
}

// own is the application of the path, if it is of the user's own organisation.
func (v *visit) own(m Member) (keystile.Application, error) {
	id, err := v.applicationID()
	if err != nil {
		return keystile.Application{}, err
	}
	app, err := m.Application(v.context(), id)
	if err == nil && app.OrganizationID != v.user.OrganizationID {
		err = errNoPage // a tenant sees what it may authorise, but makes nothing of it
	}
	return app, err
}

// madeView is the content of made.html.
type madeView struct {
	Facts       []fact
	State       badge
	StateText   string
	Comment     string
	Permissions []permission
	// Steps are the forms and links for what can be done with it now.
	Submit *form
	Edit   string
	Moves  []link
	Keys   []keyRow
	NewKey string
	// Hooks are its webhooks, and NewHook is where one is added; empty: it is retired.
	Hooks   []hookRow
	NewHook string
	// Tenants are those that answered, and Ask asks another one; nil: it works nowhere yet.
	Tenants []tenantRow
	Ask     *form
}

// permission is a scope and what it means.
type permission struct{ Text, Scope string }

func permissionsOf(scopes []keystile.Scope) []permission {
	list := make([]permission, len(scopes))
	for i, scope := range scopes {
		list[i] = permission{inWordsOf(scope), string(scope)}
	}
	return list
}

// keyRow is one application key.
type keyRow struct {
	keystile.ApplicationKey
	State badge
	// Revoke is where it is ended; empty: it is.
	Revoke string
}

// tenantRow is what one tenant answered.
type tenantRow struct {
	Tenant string
	State  badge
	// Permissions and Until are of a yes that stands.
	Permissions []permission
	Since       time.Time
	Until       time.Time
}

// stateTexts say what a state means for whoever makes an application.
var stateTexts = map[keystile.ReviewState]string{
	keystile.ReviewDraft:     "Submit it for review when it is ready.",
	keystile.ReviewInReview:  "A reviewer of the platform looks at it. What is reviewed cannot be changed meanwhile.",
	keystile.ReviewApproved:  "Tenants can authorise it, and it works in those that did.",
	keystile.ReviewSuspended: "The platform suspended it: it works nowhere.",
	keystile.ReviewRetired:   "It works nowhere any more, for good.",
}

func (c *Console) madeApplication(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	return c.madePage(v, m, &app, nil)
}

// madePage is the page of one application; ask is the form that went wrong, or nil.
func (c *Console) madePage(v *visit, m Member, app *keystile.Application, ask *form) (answer, error) {
	view := madeView{
		Facts: []fact{
			{"Application id", app.ID},
			{"How it runs", kindWords[app.Kind]},
			{"Environment", environmentWords[app.Environment]},
			{"Description", app.Description},
			{"Homepage", app.Homepage},
			{"Launch URL", app.LaunchURL},
		},
		State: reviewBadge(app), StateText: stateTexts[app.Review], Comment: app.ReviewComment, Permissions: permissionsOf(app.Permissions),
	}
	if app.Environment == keystile.Sandbox && (app.Review == keystile.ReviewDraft || app.Review == keystile.ReviewInReview) {
		view.StateText += " In the sandbox it works already."
	}
	view.steps(v, app, makersPath+"/"+app.ID)
	if manage.Works(app.Environment, app.Review) {
		if view.Ask = ask; ask == nil {
			view.Ask = v.askForm(app)
		}
	}
	err := c.keysOf(v, m, app, &view)
	if err == nil {
		err = c.tenantsOf(v, m, app, &view)
	}
	if err != nil {
		return answer{}, err
	}
	hooks, err := m.Webhooks(v.context(), app.ID, manage.Page{Limit: maxKnown})
	if err != nil {
		return answer{}, err
	}
	for i := range hooks {
		view.Hooks = append(view.Hooks, hookRowOf(&hooks[i]))
	}
	return show("made", app.Name, view), nil
}

// keysOf fills in the application's keys, the newest first.
func (c *Console) keysOf(v *visit, m Member, app *keystile.Application, view *madeView) error {
	keys, err := m.ApplicationKeys(v.context(), app.ID)
	if err != nil {
		return err
	}
	now := c.options.Now()
	for _, k := range keys {
		row := keyRow{ApplicationKey: k, State: keyState(&k, now)}
		if row.State.Look != "bad" {
			row.Revoke = makersPath + "/" + app.ID + "/keys/revoke?" + url.Values{"key": {k.ID}}.Encode()
		}
		view.Keys = append(view.Keys, row)
	}
	slices.SortStableFunc(view.Keys, func(a, b keyRow) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return nil
}

// tenantsOf fills in what tenants answered.
func (c *Console) tenantsOf(v *visit, m Member, app *keystile.Application, view *madeView) error {
	tenants, err := m.ApplicationTenants(v.context(), app.ID, manage.Page{Limit: maxKnown})
	if err != nil {
		return err
	}
	now := c.options.Now()
	for _, t := range tenants {
		row := tenantRow{Tenant: t.TenantID, State: standingOf(&t, now), Since: t.UpdatedAt}
		if t.Stands(now) {
			row.Permissions, row.Until = permissionsOf(t.Permissions), t.ExpiresAt
		}
		view.Tenants = append(view.Tenants, row)
	}
	return nil
}

// steps fills in what can be done with an application where it stands.
func (view *madeView) steps(v *visit, app *keystile.Application, path string) {
	frozen := app.Environment == keystile.Production && (app.Review == keystile.ReviewInReview || app.Review == keystile.ReviewApproved)
	if !frozen && app.Review != keystile.ReviewRetired && app.Review != keystile.ReviewSuspended {
		view.Edit = path + "/edit"
	}
	if app.Review != keystile.ReviewRetired {
		view.NewKey, view.NewHook = path+"/keys/new", path+"/webhooks/new"
	}
	for _, to := range manage.PartnerMoves(app.Review) {
		switch to {
		case keystile.ReviewInReview:
			view.Submit = v.newForm(path+"/move", "Submit for review").hide("to", string(to))
		case keystile.ReviewDraft:
			view.Moves = append(view.Moves, link{path + "/move?to=" + string(to), "Take back to draft"})
		case keystile.ReviewRetired:
			view.Moves = append(view.Moves, link{path + "/move?to=" + string(to), "Retire"})
		case keystile.ReviewApproved, keystile.ReviewSuspended: // a reviewer's
		}
	}
}

func keyState(k *keystile.ApplicationKey, now time.Time) badge {
	switch {
	case !k.RevokedAt.IsZero():
		return badge{"Revoked", "bad"}
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return badge{"Ended", "bad"}
	case !k.ExpiresAt.IsZero():
		return badge{"Ending", ""}
	}
	return badge{"Live", "good"}
}

func standingOf(a *keystile.Authorization, now time.Time) badge {
	switch {
	case !a.RequestedAt.IsZero():
		return badge{"Asked", ""}
	case !a.WithdrawnAt.IsZero():
		return badge{"Withdrawn", "bad"}
	case !a.Stands(now):
		return badge{"Ended", "bad"}
	}
	return badge{"Authorised", "good"}
}

// applicationFields are the fields of a draft; those that cannot change are asked for once.
func applicationFields(app *keystile.Application, fresh bool) []*field {
	scopes := make([]string, len(app.Permissions))
	for i, scope := range app.Permissions {
		scopes[i] = string(scope)
	}
	fields := []*field{{Name: "name", Label: "Name", Type: "text", Autocomplete: "off", Value: app.Name, MaxLength: manage.MaxNameRunes, Focus: true, Hint: "What people know it as."}}
	if fresh {
		fields = append(fields,
			&field{Name: "kind", Label: "How it runs", Type: "radio", Choices: []choice{
				{Name: "kind", Value: string(keystile.ApplicationEmbedded), Label: "Embedded", Meta: "People open it from here. Each time it gets a session token, and needs it.", Checked: app.Kind == keystile.ApplicationEmbedded},
				{Name: "kind", Value: string(keystile.ApplicationBackend), Label: "Backend", Meta: "A service that works by itself.", Checked: app.Kind == keystile.ApplicationBackend},
			}},
			&field{Name: "environment", Label: "Environment", Type: "radio", Choices: []choice{
				{Name: "environment", Value: string(keystile.Sandbox), Label: "Sandbox", Meta: "Works in sandbox tenants at once, before any review.", Checked: app.Environment == keystile.Sandbox},
				{Name: "environment", Value: string(keystile.Production), Label: "Production", Meta: "Works once it is approved.", Checked: app.Environment == keystile.Production},
			}},
		)
	}
	fields = append(fields,
		&field{Name: "description", Label: "Description", Type: "text", Autocomplete: "off", Value: app.Description, MaxLength: manage.MaxNameRunes, Optional: true, Hint: "What it is for, in one line. Administrators read it when they decide."},
		&field{Name: "homepage", Label: "Homepage", Type: "url", Autocomplete: "off", Value: app.Homepage, Optional: true},
	)
	if fresh || app.Kind == keystile.ApplicationEmbedded {
		launch := &field{Name: "launch_url", Label: "Launch URL", Type: "url", Autocomplete: "off", Value: app.LaunchURL, Hint: "The page of yours that opens: https, without # and what follows."}
		if fresh {
			launch.Optional, launch.Hint = true, launch.Hint+" Embedded applications need one."
		}
		fields = append(fields, launch)
	}
	return append(fields, &field{
		Name: "permissions", Label: "Permissions", Type: "lines", Autocomplete: "off", Value: strings.Join(scopes, "\n"), Optional: true,
		Hint: "What you ask tenants for, one a line, such as designs:read. Ask for no more than you need: they may grant less.",
	})
}

// readApplication takes what a form says over.
func readApplication(values url.Values, app *keystile.Application) {
	text := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	app.Name, app.Description, app.Homepage = text("name"), text("description"), text("homepage")
	if values.Has("launch_url") {
		app.LaunchURL = text("launch_url")
	}
	app.Permissions = nil
	for _, word := range strings.FieldsFunc(values.Get("permissions"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }) {
		app.Permissions = append(app.Permissions, keystile.Scope(word))
	}
}

func (v *visit) newApplicationPage(app *keystile.Application) (answer, *form) {
	f := v.newForm(makersPath+"/new", "Register", applicationFields(app, true)...)
	f.Cancel = makersPath
	return show("makersform", "Register an application", f), f
}

func (c *Console) newApplicationForm(v *visit, _ Member) (answer, error) {
	a, _ := v.newApplicationPage(&keystile.Application{Kind: keystile.ApplicationEmbedded, Environment: keystile.Sandbox})
	return a, nil
}

func (c *Console) newApplication(v *visit, m Member) (answer, error) {
	in := keystile.Application{OrganizationID: v.user.OrganizationID, Kind: keystile.ApplicationKind(v.form.Get("kind")), Environment: keystile.Environment(v.form.Get("environment"))}
	readApplication(v.form, &in)
	made, err := m.CreateApplication(v.context(), v.actor(), in)
	if err == nil {
		return c.done(makersPath+"/"+made.ID, "application-made"), nil
	}
	a, f := v.newApplicationPage(&in)
	if f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	return answer{}, err
}

func (v *visit) editApplicationPage(app *keystile.Application) (answer, *form) {
	f := v.newForm(makersPath+"/"+app.ID+"/edit", "Save", applicationFields(app, false)...)
	f.Cancel = makersPath + "/" + app.ID
	return show("makersform", "Change "+app.Name, f), f
}

func (c *Console) editApplicationForm(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	a, _ := v.editApplicationPage(&app)
	return a, nil
}

func (c *Console) editApplication(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	typed := app
	readApplication(v.form, &typed)
	_, err = m.UpdateApplication(v.context(), v.actor(), app.ID, func(stored *keystile.Application) error {
		readApplication(v.form, stored)
		return nil
	})
	if err == nil {
		return c.done(makersPath+"/"+app.ID, "application-changed"), nil
	}
	a, f := v.editApplicationPage(&typed)
	a.title = "Change " + app.Name
	if f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	return answer{}, err
}
