package manage_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

func TestThreat30_AMembersServiceReachesTheirOwnOrganisationWhateverTheRole(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"tenant", "other", "maker"} {
		w.organization(t, id, "site-"+id)
	}
	app := w.application(t, keystile.Application{OrganizationID: "maker", Name: "Roofs", Kind: keystile.ApplicationBackend, Environment: keystile.Production, Permissions: []keystile.Scope{"designs:read"}})
	must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewInReview))(t)
	must(w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewApproved}))(t)
	for _, role := range append([]keystile.AdminRole{keystile.AdminNone}, keystile.AdminRoles...) {
		m := must(w.ForMember(keystile.User{ID: "user_1", OrganizationID: "tenant", AdminRole: role}))(t)
		if _, err := m.Authorize(t.Context(), operator, manage.Grant{ApplicationID: app.ID, TenantID: "other"}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s grants in another tenant: %v", role, err)
		}
		if _, err := m.KnownApplications(t.Context(), "other", manage.Page{}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s lists another tenant's: %v", role, err)
		}
		if _, err := m.Offer(t.Context(), "other", app.ID); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s reads another tenant's: %v", role, err)
		}
		if _, err := m.UpdateApplication(t.Context(), operator, app.ID, func(*keystile.Application) error { return nil }); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s changes another partner's: %v", role, err)
		}
		if _, err := m.ApplicationTenants(t.Context(), app.ID, manage.Page{}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s sees whom another partner's application reached: %v", role, err)
		}
		if _, err := m.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewSuspended}); !errors.Is(err, manage.ErrNotPermitted) {
			t.Errorf("%s reviews as a member: %v", role, err)
		}
	}
	if _, err := w.ForMember(keystile.User{ID: "user_1", AdminRole: keystile.PlatformAdmin}); !errors.Is(err, manage.ErrNotPermitted) {
		t.Errorf("a user of no organisation: %v", err)
	}
}

func TestThreat29_OnlyReviewersReview(t *testing.T) {
	w := newWorld(t)
	for role, may := range map[keystile.AdminRole]bool{
		keystile.AdminNone: false, keystile.OrgDeveloper: false, keystile.OrgAdmin: false, keystile.PlatformReviewer: true, keystile.PlatformAdmin: true,
	} {
		if _, err := w.ForReviewer(keystile.User{ID: "user_1", OrganizationID: "x", AdminRole: role}); (err == nil) != may {
			t.Errorf("%q: %v", role, err)
		}
	}
	if scopes := manage.RoleScopes(keystile.OrgDeveloper); slices.Contains(scopes, "authorizations:write") || slices.Contains(scopes, "users:write") {
		t.Errorf("a developer may %v", scopes)
	}
}

func TestThreat29_NobodyMakesAnAdministratorWhoMayMoreThanThemselves(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "maker", "roof")
	keysOnly := w.For(keystile.AdminToken{ID: "adm", OrganizationID: "maker", Scopes: []keystile.Scope{"users:write", "keys:read", "keys:write"}})
	if _, err := keysOnly.CreateUser(t.Context(), operator, manage.NewUser{User: keystile.User{Username: "dev@example.com", OrganizationID: "maker", AdminRole: keystile.OrgDeveloper}}); !errors.Is(err, manage.ErrNotPermitted) {
		t.Errorf("whoever has no application makes a developer: %v", err)
	}
}

func TestWhatWasChangedSinceItWasReadIsNotDecided(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "maker", "roof")
	app := w.application(t, keystile.Application{OrganizationID: "maker", Name: "Roofs", Kind: keystile.ApplicationBackend, Environment: keystile.Production, Permissions: []keystile.Scope{"designs:read"}})
	app = must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewInReview))(t)
	read := manage.ReadAs(app)
	// Taken back, changed and submitted while the reviewer reads.
	must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewDraft))(t)
	must(w.UpdateApplication(t.Context(), operator, app.ID, func(a *keystile.Application) error {
		a.Permissions = append(a.Permissions, "payments:write")
		return nil
	}))(t)
	must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewInReview))(t)
	if _, err := w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewApproved, Read: read}); !errors.Is(err, keystile.ErrConflict) {
		t.Fatalf("approved unread: %v", err)
	}
	now := must(w.Application(t.Context(), app.ID))(t)
	must(w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewApproved, Read: manage.ReadAs(now)}))(t)
}

func TestDifferencesAreWhatChangedSinceTheLastApproval(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "maker", "roof")
	app := w.application(t, keystile.Application{OrganizationID: "maker", Name: "Roofs", Description: "Old", Kind: keystile.ApplicationBackend, Environment: keystile.Sandbox, Permissions: []keystile.Scope{"designs:read"}})
	if changed, ok := manage.Differences(app); ok || changed != nil {
		t.Errorf("before any approval: %v", changed)
	}
	must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewInReview))(t)
	app = must(w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewApproved}))(t)
	if changed, ok := manage.Differences(app); !ok || len(changed) != 0 {
		t.Errorf("as approved: %v", changed)
	}
	must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewDraft))(t)
	app = must(w.UpdateApplication(t.Context(), operator, app.ID, func(a *keystile.Application) error {
		a.Description, a.Permissions = "", []keystile.Scope{"designs:read", "designs:write"}
		return nil
	}))(t)
	changed, ok := manage.Differences(app)
	if !ok || len(changed) != 2 || changed[0].Field != "description" || !slices.Equal(changed[0].Was, []string{"Old"}) || changed[0].Is != nil ||
		changed[1].Field != "permissions" || !slices.Equal(changed[1].Is, []string{"designs:read", "designs:write"}) {
		t.Errorf("%v, %v", changed, ok)
	}
}

func TestThreat30_ATenantsPeopleAuthoriseOnlyWhatIsOfferedToThem(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "tenant", "site")
	w.organization(t, "maker", "roof")
	draft := w.application(t, keystile.Application{OrganizationID: "maker", Name: "Draft", Kind: keystile.ApplicationBackend, Environment: keystile.Production})
	admin := must(w.ForMember(keystile.User{ID: "user_1", OrganizationID: "tenant", AdminRole: keystile.OrgAdmin}))(t)
	if _, err := admin.Authorize(t.Context(), operator, manage.Grant{ApplicationID: draft.ID, TenantID: "tenant"}); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("a draft of production: %v", err)
	}
	if _, err := admin.Offer(t.Context(), "tenant", draft.ID); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("a draft is shown: %v", err)
	}
	must(w.MoveApplication(t.Context(), operator, draft.ID, keystile.ReviewInReview))(t)
	must(w.ReviewApplication(t.Context(), operator, draft.ID, manage.Verdict{To: keystile.ReviewApproved}))(t)
	must(admin.Authorize(t.Context(), operator, manage.Grant{ApplicationID: draft.ID, TenantID: "tenant", ExpiresAt: w.clock.Now().Add(time.Hour)}))(t)
	// What it knows it may decide about, wherever the application stands.
	must(w.ReviewApplication(t.Context(), operator, draft.ID, manage.Verdict{To: keystile.ReviewSuspended}))(t)
	if known := must(admin.KnownApplications(t.Context(), "tenant", manage.Page{}))(t); len(known) != 1 || known[0].Authorization == nil || known[0].Owner == "" {
		t.Errorf("known: %+v", known)
	}
	if offer := must(admin.Offer(t.Context(), "tenant", draft.ID))(t); offer.Authorization == nil {
		t.Error("the authorization is not shown")
	}
}

func TestWhatATenantGrantsIsNoWiderThanWhatIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "tenant", "site")
	w.organization(t, "maker", "roof")
	app := w.application(t, keystile.Application{
		OrganizationID: "maker", Name: "Roofs", Kind: keystile.ApplicationBackend, Environment: keystile.Production, Permissions: []keystile.Scope{"designs:read", "roofs:*"},
	})
	for scope, good := range map[keystile.Scope]bool{
		"designs:read": true, "roofs:*": true, "roofs:read": true,
		// Granted now, it would be good for whatever the application asks for later.
		"designs:*": false, "designs:write": false, "proposals:read": false, "roof:read": false,
	} {
		_, err := w.Authorize(t.Context(), operator, manage.Grant{ApplicationID: app.ID, TenantID: "tenant", Permissions: []keystile.Scope{scope}})
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "does not ask for") {
			t.Errorf("%s: %v", scope, err)
		}
	}
}

func TestTheCommentOfAReviewHasLinesAndNothingHidden(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "maker", "roof")
	app := w.application(t, keystile.Application{OrganizationID: "maker", Name: "Roofs", Kind: keystile.ApplicationBackend, Environment: keystile.Sandbox})
	must(w.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewInReview))(t)
	var invalid *keystile.Invalid
	for _, bad := range []string{"a\x00b", "a\u202eb", "a\x1b[0m", string(make([]byte, 3000))} {
		if _, err := w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewDraft, Comment: bad}); !errors.As(err, &invalid) || invalid.Field != "comment" {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	const good = "First line.\nSecond line."
	if sent := must(w.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewDraft, Comment: good}))(t); sent.ReviewComment != good {
		t.Errorf("%q", sent.ReviewComment)
	}
}

// application registers one.
func (w *world) application(t *testing.T, app keystile.Application) keystile.Application {
	t.Helper()
	return must(w.CreateApplication(t.Context(), operator, app))(t)
}
