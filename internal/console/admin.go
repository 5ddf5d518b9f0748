package console

import (
	"context"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// The interfaces below are what the pages of administrators ask of package
// manage, whose Service is all of them and says what each method does. They act
// for one signed-in user. Every method may block on the store and is safe for
// concurrent use.

// Tenancy is what a tenant decides about other companies' applications.
type Tenancy interface {
	KnownApplications(ctx context.Context, tenantID string, page manage.Page) ([]manage.Offer, error)
	Offer(ctx context.Context, tenantID, applicationID string) (manage.Offer, error)
	Authorize(ctx context.Context, a manage.Actor, g manage.Grant) (keystile.Authorization, error)
	Withdraw(ctx context.Context, a manage.Actor, applicationID, tenantID string) error
}

// Makers make applications.
type Makers interface {
	Applications(ctx context.Context, filter manage.ApplicationFilter) ([]keystile.Application, error)
	Application(ctx context.Context, id string) (keystile.Application, error)
	CreateApplication(ctx context.Context, a manage.Actor, in keystile.Application) (keystile.Application, error)
	UpdateApplication(ctx context.Context, a manage.Actor, id string, edit func(*keystile.Application) error) (keystile.Application, error)
	MoveApplication(ctx context.Context, a manage.Actor, id string, to keystile.ReviewState) (keystile.Application, error)
}

// Reach is how applications get into tenants: their keys, and whom they asked.
type Reach interface {
	ApplicationKeys(ctx context.Context, applicationID string) ([]keystile.ApplicationKey, error)
	CreateApplicationKey(ctx context.Context, a manage.Actor, applicationID string, overlap *time.Duration) (manage.MadeApplicationKey, error)
	RevokeApplicationKey(ctx context.Context, a manage.Actor, applicationID, keyID string) error
	ApplicationTenants(ctx context.Context, applicationID string, page manage.Page) ([]keystile.Authorization, error)
	RequestAuthorization(ctx context.Context, a manage.Actor, applicationID, tenantID string) error
}

// Member is what somebody may do for their own organisation.
type Member interface {
	Tenancy
	Makers
	Reach
	Hooks
	HookLog
}

// Reviewer is what somebody decides about the applications of all partners.
type Reviewer interface {
	Applications(ctx context.Context, filter manage.ApplicationFilter) ([]keystile.Application, error)
	Application(ctx context.Context, id string) (keystile.Application, error)
	ReviewApplication(ctx context.Context, a manage.Actor, id string, v manage.Verdict) (keystile.Application, error)
	ApplicationTenants(ctx context.Context, applicationID string, page manage.Page) ([]keystile.Authorization, error)
	Organization(ctx context.Context, id string) (keystile.Organization, error)
}

// Administration gives what a user may do, as their role is now. A user of too
// little role is manage.ErrNotPermitted.
type Administration interface {
	Member(user keystile.User) (Member, error)
	Reviewer(user keystile.User) (Reviewer, error)
}

// admin is where the pages of administrators begin.
const admin = "/admin"

// duty is one thing that a role opens: a page and what it is for.
type duty struct {
	link
	// scope is what the role must hold.
	scope keystile.Scope
	Text  string
}

// The places of administrators.
const (
	accessPath  = admin + "/access"
	makersPath  = admin + "/applications"
	reviewsPath = admin + "/reviews"
)

// duties are all of them, in the order of the menu.
var duties = []duty{
	{link{accessPath, "Application access"}, "authorizations:write", "Which other companies' applications may work with your organisation's data, and what they may do."},
	{link{makersPath, "Your applications"}, "applications:write", "Applications that your organisation makes: what they ask for, their keys and their review."},
	{link{reviewsPath, "Reviews"}, "applications:review", "Applications that wait for the platform's yes, and those that have it."},
}

// dutiesOf are those of a user.
func dutiesOf(user *keystile.User) []duty {
	return slices.DeleteFunc(slices.Clone(duties), func(d duty) bool { return !holds(user, d.scope) })
}

func holds(user *keystile.User, scope keystile.Scope) bool {
	return slices.Contains(manage.RoleScopes(user.AdminRole), scope)
}

// adminMenu is the second menu; none for people without an admin role.
func (c *Console) adminMenu(user *keystile.User) []link {
	if c.options.Administration == nil {
		return nil
	}
	var menu []link
	for _, d := range dutiesOf(user) {
		menu = append(menu, d.link)
	}
	if len(menu) > 0 {
		menu = append([]link{{admin, "Administration"}}, menu...)
	}
	return menu
}

// member is a page of somebody who holds a scope in their own organisation.
func (c *Console) member(scope keystile.Scope, page func(*visit, Member) (answer, error)) handler {
	return func(v *visit) (answer, error) {
		if !holds(&v.user, scope) {
			return answer{}, manage.ErrNotPermitted
		}
		m, err := c.options.Administration.Member(v.user)
		if err != nil {
			return answer{}, err
		}
		return page(v, m)
	}
}

// reviewer is a page of reviewers.
func (c *Console) reviewer(page func(*visit, Reviewer) (answer, error)) handler {
	return func(v *visit) (answer, error) {
		if !holds(&v.user, "applications:review") {
			return answer{}, manage.ErrNotPermitted
		}
		r, err := c.options.Administration.Reviewer(v.user)
		if err != nil {
			return answer{}, err
		}
		return page(v, r)
	}
}

// adminRoutes are the pages of administrators. What hands something out asks for
// a recent sign-in; what ends something does not, so that it can be done at once.
func (c *Console) adminRoutes() []route {
	const (
		grants  keystile.Scope = "authorizations:write"
		makes   keystile.Scope = "applications:write"
		access                 = accessPath + "/{application}"
		made                   = makersPath + "/{application}"
		reviews                = reviewsPath + "/{application}"
	)
	return append([]route{
		{"GET " + admin, member, c.administration},

		{"GET " + accessPath, member, c.member(grants, c.access)},
		{"POST " + accessPath, member, c.member(grants, c.findAccess)},
		{"GET " + access, recent, c.member(grants, c.grantForm)},
		{"POST " + access, recent, c.member(grants, c.grant)},
		{"GET " + access + "/withdraw", member, c.member(grants, c.withdrawQuestion)},
		{"POST " + access + "/withdraw", member, c.member(grants, c.withdraw)},

		{"GET " + makersPath, member, c.member(makes, c.madeApplications)},
		{"GET " + makersPath + "/new", member, c.member(makes, c.newApplicationForm)},
		{"POST " + makersPath + "/new", member, c.member(makes, c.newApplication)},
		{"GET " + made, member, c.member(makes, c.madeApplication)},
		{"GET " + made + "/edit", member, c.member(makes, c.editApplicationForm)},
		{"POST " + made + "/edit", member, c.member(makes, c.editApplication)},
		{"GET " + made + "/move", member, c.member(makes, c.moveQuestion)},
		{"POST " + made + "/move", member, c.member(makes, c.move)},
		{"GET " + made + "/keys/new", recent, c.member(makes, c.newKeyForm)},
		{"POST " + made + "/keys/new", recent, c.member(makes, c.newKey)},
		{"GET " + made + "/keys/revoke", member, c.member(makes, c.revokeKeyQuestion)},
		{"POST " + made + "/keys/revoke", member, c.member(makes, c.revokeKey)},
		{"POST " + made + "/requests", member, c.member(makes, c.askTenant)},

		{"GET " + reviewsPath, member, c.reviewer(c.reviews)},
		{"GET " + reviews, recent, c.reviewer(c.review)},
		{"POST " + reviews, recent, c.reviewer(c.decide)},
	}, c.hookRoutes(made, makes)...)
}

// actor is who a change is written down as.
func (v *visit) actor() manage.Actor {
	return manage.Actor{Name: "user:" + v.user.ID, RequestID: v.caller.RequestID}
}

// applicationID is the one that the path names.
func (v *visit) applicationID() (string, error) {
	id := v.request.PathValue("application")
	if !keystile.ValidID(id) {
		return "", errNoPage
	}
	return id, nil
}

func (c *Console) administration(v *visit) (answer, error) {
	list := dutiesOf(&v.user)
	if len(list) == 0 {
		return answer{}, manage.ErrNotPermitted
	}
	return show("admin", "Administration", list), nil
}
