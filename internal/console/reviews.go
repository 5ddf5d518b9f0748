package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// reviewsView is the content of reviews.html.
type reviewsView struct {
	// States are the lists that there are; Here is this one.
	States []stateTab
	Text   string
	Rows   []madeRow
	// More continues the list; empty: it is whole.
	More string
}

// stateTab leads to the applications in one state.
type stateTab struct {
	link
	Here bool
}

// reviewLists are the lists of reviewers, and what an empty one says.
var reviewLists = []struct {
	state keystile.ReviewState
	label string
	empty string
}{
	{keystile.ReviewInReview, "Waiting", "Nothing waits for you."},
	{keystile.ReviewApproved, "Approved", "No application is approved."},
	{keystile.ReviewSuspended, "Suspended", "No application is suspended."},
	{keystile.ReviewDraft, "Drafts", "No application is a draft."},
}

func (c *Console) reviews(v *visit, r Reviewer) (answer, error) {
	state := keystile.ReviewState(v.query("state"))
	if state == "" {
		state = keystile.ReviewInReview
	}
	var view reviewsView
	for _, l := range reviewLists {
		tab := stateTab{link{reviewsPath + "?state=" + string(l.state), l.label}, l.state == state}
		if tab.Here {
			view.Text = l.empty
		}
		view.States = append(view.States, tab)
	}
	if view.Text == "" {
		return answer{}, errNoPage
	}
	list, err := r.Applications(v.context(), manage.ApplicationFilter{Page: manage.Page{AfterID: v.query("after"), Limit: pageRows}, Review: state})
	if err != nil {
		return answer{}, err
	}
	if len(list) == pageRows {
		view.More = reviewsPath + "?" + url.Values{"state": {string(state)}, "after": {list[len(list)-1].ID}}.Encode()
	}
	// Who has waited longest is first.
	slices.SortStableFunc(list, func(a, b keystile.Application) int { return a.UpdatedAt.Compare(b.UpdatedAt) })
	for _, app := range list {
		row := rowOf(app, reviewsPath)
		owner, err := r.Organization(v.context(), app.OrganizationID)
		if err != nil {
			return answer{}, err
		}
		row.Owner = owner.Name
		view.Rows = append(view.Rows, row)
	}
	return show("reviews", "Reviews", view), nil
}

// reviewView is the content of review.html.
type reviewView struct {
	Facts       []fact
	State       badge
	Permissions []permission
	// Before says whether it was approved before, and Changes what is other since.
	Before  bool
	Changes []changeRow
	Comment string
	// Tenants is how many let it in.
	Tenants int
	Form    *form
	// Decisions are the buttons of the form; none: there is nothing to decide.
	Decisions []decision
}

// changeRow is one field that is not as it was approved.
type changeRow struct {
	Label string
	// Was and Is are its values.
	Was, Is []changed
}

// changed is one value; Marked: the other side does not have it.
type changed struct {
	Text   string
	Marked bool
}

// decision is a button of the form.
type decision struct {
	Value, Label string
	Look         string
}

func changesOf(app *keystile.Application) (rows []changeRow, before bool) {
	differences, before := manage.Differences(*app)
	side := func(mine, other []string) []changed {
		list := make([]changed, len(mine))
		for i, text := range mine {
			list[i] = changed{text, !slices.Contains(other, text)}
		}
		return list
	}
	for _, d := range differences {
		rows = append(rows, changeRow{fieldWords[d.Field], side(d.Was, d.Is), side(d.Is, d.Was)})
	}
	return rows, before
}

func (c *Console) review(v *visit, r Reviewer) (answer, error) {
	a, _, _, err := c.reviewPage(v, r)
	return a, err
}

func (c *Console) reviewPage(v *visit, r Reviewer) (answer, *form, *keystile.Application, error) {
	id, err := v.applicationID()
	if err != nil {
		return answer{}, nil, nil, err
	}
	app, err := r.Application(v.context(), id)
	if err != nil {
		return answer{}, nil, nil, err
	}
	owner, err := r.Organization(v.context(), app.OrganizationID)
	if err != nil {
		return answer{}, nil, nil, err
	}
	tenants, err := r.ApplicationTenants(v.context(), app.ID, manage.Page{Limit: maxKnown})
	if err != nil {
		return answer{}, nil, nil, err
	}
	view := reviewView{
		Facts: []fact{
			{"Made by", owner.Name + " (" + owner.ID + ")"},
			{"Description", app.Description},
			{"Homepage", app.Homepage},
			{"How it runs", kindWords[app.Kind]},
			{"Launch URL", app.LaunchURL},
			{"Environment", environmentWords[app.Environment]},
			{"Application id", app.ID},
			{"Changed", moment(app.UpdatedAt)},
		},
		State: reviewBadge(&app), Permissions: permissionsOf(app.Permissions), Comment: app.ReviewComment, Decisions: decisionsOn(app.Review),
	}
	view.Changes, view.Before = changesOf(&app)
	for _, t := range tenants {
		if t.Stands(c.options.Now()) {
			view.Tenants++
		}
	}
	f := v.newForm(reviewsPath+"/"+app.ID, "", &field{
		Name: "comment", Label: "Comment", Type: "lines", Autocomplete: "off", MaxLength: manage.MaxProseRunes, Optional: true,
		Hint: "The partner reads it. Say what to mend when you send it back or suspend it.",
	}).hide("read", manage.ReadAs(app))
	view.Form = f
	return show("review", app.Name, view), f, &app, nil
}

// decisionsOn are the buttons for an application in a state.
func decisionsOn(state keystile.ReviewState) []decision {
	var list []decision
	for _, to := range manage.ReviewerMoves(state) {
		d := decision{Value: string(to)}
		switch to {
		case keystile.ReviewApproved:
			d.Label, d.Look = "Approve", "main"
			if state == keystile.ReviewSuspended {
				d.Label = "Resume"
			}
		case keystile.ReviewDraft:
			d.Label = "Send back"
		case keystile.ReviewSuspended:
			d.Label, d.Look = "Suspend", "danger"
		case keystile.ReviewInReview, keystile.ReviewRetired:
			continue // the partner's
		}
		list = append(list, d)
	}
	return list
}

func (c *Console) decide(v *visit, r Reviewer) (answer, error) {
	a, f, app, err := c.reviewPage(v, r)
	if err != nil {
		return answer{}, err
	}
	verdict := manage.Verdict{
		To: keystile.ReviewState(v.form.Get("decision")), Comment: strings.TrimSpace(strings.ReplaceAll(v.form.Get("comment"), "\r\n", "\n")), Read: v.form.Get("read"),
	}
	if verdict.Read == "" {
		return answer{}, errForm
	}
	f.Fields[0].Value = verdict.Comment
	if verdict.Comment == "" && verdict.To != keystile.ReviewApproved {
		f.Fields[0].Problem = "Say why: the partner has nothing else to go by."
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	if _, err = r.ReviewApplication(v.context(), v.actor(), app.ID, verdict); f.blame(err) {
		return a.refused(http.StatusUnprocessableEntity), nil
	}
	if err != nil {
		return answer{}, err
	}
	return c.done(reviewsPath, "review-"+string(verdict.To)), nil
}
