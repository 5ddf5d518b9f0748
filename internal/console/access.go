package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// maxKnown bounds the applications of one tenant that a page shows.
const maxKnown = 500

// accessView is the content of access.html.
type accessView struct {
	Lists []accessList
	Find  *form
}

// accessList are applications with the same answer.
type accessList struct {
	ID, Title string
	// When is what the column of times says, Do what the button says.
	When, Do string
	// Empty is what is said of no rows; empty: such a list is left out.
	Empty string
	Rows  []accessRow
}

// accessRow is one application as a tenant's administrator sees it.
type accessRow struct {
	manage.Offer
	Path string
	// At is the time in words.
	At string
	// Note says what is unusual; empty: nothing.
	Note string
}

func (c *Console) access(v *visit, m Member) (answer, error) {
	return c.accessPage(v, m, v.findForm())
}

// findForm asks for an application that nobody told the tenant of yet.
func (v *visit) findForm() *form {
	return v.newForm(accessPath, "Look at it", &field{
		Name: "application", Label: "Application id", Type: "text", Autocomplete: "off", MaxLength: 64,
		Hint: "The company that makes the application tells you.",
	})
}

func (c *Console) accessPage(v *visit, m Member, find *form) (answer, error) {
	list, err := m.KnownApplications(v.context(), v.user.OrganizationID, manage.Page{Limit: maxKnown})
	if err != nil {
		return answer{}, err
	}
	slices.SortStableFunc(list, func(a, b manage.Offer) int { return cmp.Compare(a.Application.Name, b.Application.Name) })
	asked := accessList{ID: "asked", Title: "Waiting for your answer", When: "Asked", Do: "Decide"}
	granted := accessList{ID: "granted", Title: "Authorised", When: "Until", Do: "Change", Empty: "No application is authorised."}
	ended := accessList{ID: "ended", Title: "Withdrawn or ended", When: "Ended", Do: "Look again"}
	now := c.options.Now()
	for _, offer := range list {
		row := accessRow{Offer: offer, Path: accessPath + "/" + offer.Application.ID, Note: note(&offer)}
		switch standing := offer.Authorization; {
		case !standing.RequestedAt.IsZero():
			row.At, row.Note = moment(standing.RequestedAt), ""
			asked.Rows = append(asked.Rows, row)
		case standing.Stands(now):
			row.At = cmp.Or(moment(standing.ExpiresAt), "No end")
			granted.Rows = append(granted.Rows, row)
		default:
			row.At, row.Note = cmp.Or(moment(standing.WithdrawnAt), moment(standing.ExpiresAt)), ""
			ended.Rows = append(ended.Rows, row)
		}
	}
	view := accessView{Find: find}
	for _, l := range []accessList{asked, granted, ended} {
		if len(l.Rows) > 0 || l.Empty != "" {
			view.Lists = append(view.Lists, l)
		}
	}
	return show("access", "Application access", view), nil
}

// note says why an application does not work although it was authorised, or asks for more.
func note(offer *manage.Offer) string {
	app := &offer.Application
	switch {
	case app.Review == keystile.ReviewSuspended:
		return "Suspended by the platform: works nowhere"
	case app.Review == keystile.ReviewRetired:
		return "Retired by its maker: works nowhere"
	case !manage.Works(app.Environment, app.Review):
		return "Under review: does not work yet"
	case offer.Authorization.RequestedAt.IsZero() && slices.ContainsFunc(app.Permissions, func(asked keystile.Scope) bool {
		return !slices.ContainsFunc(offer.Authorization.Permissions, covers(asked))
	}):
		return "Asks for more than it has"
	}
	return ""
}

func covers(asked keystile.Scope) func(keystile.Scope) bool {
	return func(granted keystile.Scope) bool { return granted.Covers(asked) }
}

// findAccess leads on to an application by its id.
func (c *Console) findAccess(v *visit, m Member) (answer, error) {
	id := strings.ToLower(strings.TrimSpace(v.form.Get("application")))
	find := v.findForm()
	if id == "" {
		find.Fields[0].Problem = "Enter the id of an application."
	} else {
		err := error(keystile.ErrNotFound)
		if keystile.ValidID(id) {
			_, err = m.Offer(v.context(), v.user.OrganizationID, id)
		}
		if err == nil {
			return goTo(accessPath + "/" + id), nil
		}
		if !errors.Is(err, keystile.ErrNotFound) {
			return answer{}, err
		}
		find.Fields[0].Value, find.Fields[0].Problem = v.form.Get("application"), "There is no such application for your organisation. One that is not approved yet cannot be authorised."
	}
	a, err := c.accessPage(v, m, find)
	return a.refused(http.StatusUnprocessableEntity), err
}

// grantView is the content of grant.html.
type grantView struct {
	Facts []fact
	// Asks says whether the application asks for anything.
	Asks bool
	Note string
	Form *form
	// Withdraw is where to take it back or decline; empty: there is nothing to.
	Withdraw, WithdrawLabel string
}

func (c *Console) offerOf(v *visit, m Member) (manage.Offer, error) {
	id, err := v.applicationID()
	if err != nil {
		return manage.Offer{}, err
	}
	return m.Offer(v.context(), v.user.OrganizationID, id)
}

// grantPage is the page of one application, with the permissions and the end to choose.
func (c *Console) grantPage(v *visit, offer *manage.Offer) (answer, *form) {
	app, standing := &offer.Application, offer.Authorization
	now := c.options.Now()
	view := grantView{Asks: len(app.Permissions) > 0, Facts: []fact{
		{"Made by", offer.Owner},
		{"Description", app.Description},
		{"Homepage", app.Homepage},
		{"How it runs", kindWords[app.Kind]},
		{"Opens at", originOf(app.LaunchURL)},
		{"Environment", environmentWords[app.Environment]},
		{"Review by the platform", reviewText(app)},
	}}
	stands, asked := standing != nil && standing.Stands(now), standing != nil && !standing.RequestedAt.IsZero()
	if standing != nil {
		view.Note = note(offer)
	}
	choices := grantChoices(app, standing, stands)
	end := &field{Name: "expires_at", Label: "Last day", Type: "date", Autocomplete: "off", Optional: true, Hint: "Without one it stands until you withdraw it. Days end at midnight UTC."}
	submit := "Authorise"
	if stands {
		end.Value, submit = lastDay(standing.ExpiresAt), "Save"
		view.Facts = append(view.Facts, fact{"Authorised or changed", moment(standing.UpdatedAt)}, fact{"Until", moment(standing.ExpiresAt)})
	}
	if asked {
		view.Facts = append(view.Facts, fact{"Asked you on", moment(standing.RequestedAt)})
	}
	var fields []*field
	if len(choices) > 0 {
		fields = append(fields, &field{Name: "permissions", Label: "It may", Type: "checkbox", Choices: choices, Optional: true, Hint: "In your organisation only, and nothing that is not ticked here."})
	}
	f := v.newForm(accessPath+"/"+app.ID, submit, append(fields, end)...)
	f.Cancel = accessPath
	view.Form = f
	switch {
	case stands:
		view.Withdraw, view.WithdrawLabel = f.Action+"/withdraw", "Withdraw"
	case asked:
		view.Withdraw, view.WithdrawLabel = f.Action+"/withdraw", "Decline"
	}
	return show("grant", app.Name, view), f
}

// grantChoices are what an application asks for, and what narrower it was given.
func grantChoices(app *keystile.Application, standing *keystile.Authorization, stands bool) []choice {
	scopes := slices.Clone(app.Permissions)
	if stands {
		for _, granted := range standing.Permissions {
			if !slices.Contains(scopes, granted) && slices.ContainsFunc(app.Permissions, func(asked keystile.Scope) bool { return asked.Covers(granted) }) {
				scopes = append(scopes, granted)
			}
		}
	}
	choices := make([]choice, len(scopes))
	for i, scope := range scopes {
		// What was never decided is proposed as asked; what was decided stays as it is.
		choices[i] = choice{Name: "permission:" + string(scope), Value: "yes", Label: inWordsOf(scope), Meta: string(scope), Checked: !stands || slices.Contains(standing.Permissions, scope)}
	}
	return choices
}

func reviewText(app *keystile.Application) string {
	switch {
	case app.Review == keystile.ReviewApproved:
		return "Approved"
	case app.Environment == keystile.Sandbox && manage.Works(app.Environment, app.Review):
		return "Not reviewed: works in the sandbox only"
	}
	return reviewWords[app.Review]
}

// lastDay is the day before whose end an authorization ends, for a date field.
func lastDay(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return end.UTC().Add(-time.Microsecond).Format(time.DateOnly)
}

// endOf is the end of the day of a date field; the zero time where it is empty.
// A day that was not changed keeps the end it stood for.
func endOf(text string, before time.Time) (time.Time, error) {
	switch {
	case text == "":
		return time.Time{}, nil
	case !before.IsZero() && text == lastDay(before):
		return before, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, keystile.Invalidf("expires_at", "write a day such as 2027-01-31, or nothing", "not a day")
	}
	return day.AddDate(0, 0, 1), nil
}

func (c *Console) grantForm(v *visit, m Member) (answer, error) {
	offer, err := c.offerOf(v, m)
	if err != nil {
		return answer{}, err
	}
	a, _ := c.grantPage(v, &offer)
	return a, nil
}

func (c *Console) grant(v *visit, m Member) (answer, error) {
	offer, err := c.offerOf(v, m)
	if err != nil {
		return answer{}, err
	}
	a, f := c.grantPage(v, &offer)
	g := manage.Grant{ApplicationID: offer.Application.ID, TenantID: v.user.OrganizationID}
	for _, x := range f.Fields {
		for i := range x.Choices {
			scope := strings.TrimPrefix(x.Choices[i].Name, "permission:")
			if x.Choices[i].Checked = v.form.Has(x.Choices[i].Name); x.Choices[i].Checked {
				g.Permissions = append(g.Permissions, keystile.Scope(scope))
			}
		}
		if x.Type == "checkbox" && len(g.Permissions) == 0 {
			x.Problem = "Tick at least one, or decline."
			return a.refused(http.StatusUnprocessableEntity), nil
		}
	}
	var before time.Time
	if standing := offer.Authorization; standing != nil && standing.Stands(c.options.Now()) {
		before = standing.ExpiresAt
	}
	end := f.Fields[len(f.Fields)-1]
	end.Value = v.form.Get(end.Name)
	if g.ExpiresAt, err = endOf(end.Value, before); err == nil {
		_, err = m.Authorize(v.context(), v.actor(), g)
	}
	if f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	if err != nil {
		return answer{}, err
	}
	return c.done(accessPath, "access-granted"), nil
}

func (c *Console) withdrawQuestion(v *visit, m Member) (answer, error) {
	offer, err := c.offerOf(v, m)
	if err != nil {
		return answer{}, err
	}
	if offer.Authorization == nil {
		return answer{}, errNoPage
	}
	f := v.newForm(accessPath+"/"+offer.Application.ID+"/withdraw", "Withdraw")
	f.Danger, f.Cancel = true, accessPath+"/"+offer.Application.ID
	title, text := "Withdraw "+offer.Application.Name+"?", "It stops working in your organisation at once: every key it has here is dead for good. You can authorise it again later; it then needs new keys."
	if !offer.Authorization.Stands(c.options.Now()) {
		f.Submit, title, text = "Decline", "Decline "+offer.Application.Name+"?", "Its maker sees that you did not authorise it, and can ask again."
	}
	return show("confirm", title, question{Text: text, Facts: []fact{{"Made by", offer.Owner}}, Form: f}), nil
}

func (c *Console) withdraw(v *visit, m Member) (answer, error) {
	id, err := v.applicationID()
	if err != nil {
		return answer{}, err
	}
	if err := m.Withdraw(v.context(), v.actor(), id, v.user.OrganizationID); err != nil {
		return answer{}, err
	}
	return c.done(accessPath, "access-withdrawn"), nil
}
