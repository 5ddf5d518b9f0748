package console

import (
	"context"
	"crypto/rand"
	"html"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// office is a console over fake people and the real management of a real store.
type office struct {
	*site
	manage *manage.Service
}

var operator = manage.Actor{Name: "cli"}

type service struct{ *manage.Service }

func (s service) Member(u keystile.User) (Member, error)     { return s.ForMember(u) }
func (s service) Reviewer(u keystile.User) (Reviewer, error) { return s.ForReviewer(u) }

// roles of the people of an office, by name; ada and the others have none.
var officeRoles = map[string]struct {
	role         keystile.AdminRole
	organization string
}{
	"admin@example.com":     {keystile.OrgAdmin, "sunny"},
	"rival@example.com":     {keystile.OrgAdmin, "rival"},
	"developer@example.com": {keystile.OrgDeveloper, "maker"},
	"maker@example.com":     {keystile.OrgAdmin, "maker"},
	"reviewer@example.com":  {keystile.PlatformReviewer, "platform"},
	"platform@example.com":  {keystile.PlatformAdmin, "platform"},
}

func newOffice(t *testing.T) *office {
	t.Helper()
	s := newSite(t)
	st := must(store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "keystile.db"), Now: s.clock.now}))(t)
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := st.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, keyring.MasterKeyLength)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	sealer, _, err := keyring.NewSealer(must(keyring.NewMaster(raw))(t))
	if err != nil {
		t.Fatal(err)
	}
	pepper, _, err := keyring.NewPepper(rand.Reader, sealer)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{site: s, manage: &manage.Service{Store: st, Digester: must(keyring.NewDigester(pepper))(t), Sealer: sealer, Random: rand.Reader, Now: s.clock.now}}
	for id, environment := range map[string]keystile.Environment{"sunny": keystile.Production, "rival": keystile.Production, "maker": keystile.Production, "platform": keystile.Production, "sandbox": keystile.Sandbox} {
		must(o.manage.CreateOrganization(t.Context(), operator, keystile.Organization{ID: id, Name: strings.ToUpper(id), Environment: environment}))(t)
	}
	for name, r := range officeRoles {
		s.people.users[name] = &fakeUser{User: keystile.User{ID: "user_" + strings.TrimSuffix(name, "@example.com"), Username: name, OrganizationID: r.organization, AdminRole: r.role}, password: goodPassword}
	}
	options := s.console.options
	options.Administration = service{o.manage}
	s.console = must(New(options))(t)
	return o
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// application registers one of the partner's and takes it to a state.
func (o *office) application(state keystile.ReviewState, name string, permissions ...keystile.Scope) keystile.Application {
	o.t.Helper()
	app := must(o.manage.CreateApplication(o.t.Context(), operator, keystile.Application{
		OrganizationID: "maker", Name: name, Kind: keystile.ApplicationEmbedded, Environment: keystile.Production, LaunchURL: "https://app.roof.example/embed", Permissions: permissions,
	}))(o.t)
	if state == keystile.ReviewDraft {
		return app
	}
	app = must(o.manage.MoveApplication(o.t.Context(), operator, app.ID, keystile.ReviewInReview))(o.t)
	if state != keystile.ReviewInReview {
		app = must(o.manage.ReviewApplication(o.t.Context(), operator, app.ID, manage.Verdict{To: state}))(o.t)
	}
	return app
}

// person is a browser of somebody who is signed in, and the token of their forms.
type person struct {
	*browser
	form string
}

func (o *office) signedIn(name string) *person {
	o.t.Helper()
	b := o.browser()
	return &person{b, b.signIn(name)}
}

// send posts a form with its token.
func (p *person) send(path string, pairs ...string) got {
	p.t.Helper()
	return p.post(path, append([]string{"token", p.form}, pairs...)...)
}

func (p *person) mustSee(path string, words ...string) got {
	p.t.Helper()
	page := p.get(path)
	if page.status != http.StatusOK {
		p.t.Fatalf("%s: %d to %q\n%s", path, page.status, page.to, page.body)
	}
	for _, word := range words {
		if !strings.Contains(page.body, word) {
			p.t.Errorf("%s does not say %q:\n%s", path, word, page.body)
		}
	}
	return page
}

func mustLead(t *testing.T, p got, to string) {
	t.Helper()
	if p.status != http.StatusSeeOther || p.to != to {
		t.Fatalf("%d to %q, not to %q\n%s", p.status, p.to, to, p.body)
	}
}

// events are the actions of an organisation's chain, with who did them.
func (o *office) events(organization string) string {
	o.t.Helper()
	list := must(o.manage.Events(context.Background(), manage.EventFilter{OrganizationID: organization}))(o.t)
	var text strings.Builder
	for _, e := range list {
		text.WriteString(e.Actor + " " + e.Action + "\n")
	}
	return text.String()
}

func TestATenantsAdministratorDecidesWhatAnApplicationMayDo(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:read", "proposals:write")
	if err := o.manage.RequestAuthorization(t.Context(), operator, app.ID, "sunny"); err != nil {
		t.Fatal(err)
	}
	p := o.signedIn("admin@example.com")
	p.mustSee("/account", `href="/admin"`, `href="/admin/access"`)
	p.mustSee("/admin", "Application access", "Your applications")
	p.mustSee("/admin/access", "Waiting for your answer", "Roof Tools", "MAKER")
	path := "/admin/access/" + app.ID
	p.mustSee(path, "Read designs", "Create, change and delete proposals", "https://app.roof.example", "Decline", "Asked you on")

	if page := p.send(path); page.status != http.StatusUnprocessableEntity || !strings.Contains(page.body, "Tick at least one") {
		t.Errorf("nothing ticked: %d", page.status)
	}
	if page := p.send(path, "permission:designs:read", "yes", "expires_at", "2020-01-01"); page.status != http.StatusUnprocessableEntity || !strings.Contains(page.body, `id="expires_at-problem"`) {
		t.Errorf("a day that is past: %d", page.status)
	}
	if page := p.send(path, "permission:designs:read", "yes", "expires_at", "soon"); page.status != http.StatusUnprocessableEntity {
		t.Errorf("no day: %d", page.status)
	}
	mustLead(t, p.send(path, "permission:designs:read", "yes", "expires_at", "2027-01-31"), "/admin/access")
	standing := must(o.manage.Store.Authorization(t.Context(), app.ID, "sunny"))(t)
	if len(standing.Permissions) != 1 || standing.Permissions[0] != "designs:read" || !standing.ExpiresAt.Equal(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)) || standing.GrantedBy != "user:user_admin" {
		t.Errorf("granted: %+v", standing)
	}
	page := p.mustSee("/admin/access", "It is authorised", "Asks for more than it has")
	if strings.Contains(page.body, "Waiting for your answer") {
		t.Error("it still waits")
	}
	page = p.mustSee(path, `value="2027-01-31"`, "Withdraw", "Authorised or changed")
	if n := strings.Count(page.body, " checked"); n != 1 {
		t.Errorf("%d permissions are ticked", n)
	}
	p.mustSee(path+"/withdraw", "every key it has here is dead")
	mustLead(t, p.send(path+"/withdraw"), "/admin/access")
	p.mustSee("/admin/access", "Withdrawn or ended", "Look again")
	for _, organization := range []string{"sunny", "maker"} {
		events := o.events(organization)
		for _, want := range []string{"user:user_admin authorization.create", "user:user_admin authorization.withdraw"} {
			if !strings.Contains(events, want) {
				t.Errorf("%s has no %q:\n%s", organization, want, events)
			}
		}
	}
}

func TestAnApplicationIsFoundByItsIdIfItIsOffered(t *testing.T) {
	o := newOffice(t)
	offered, draft := o.application(keystile.ReviewApproved, "Roof Tools"), o.application(keystile.ReviewDraft, "Secret Plan")
	p := o.signedIn("admin@example.com")
	mustLead(t, p.send("/admin/access", "application", " "+strings.ToUpper(offered.ID)+" "), "/admin/access/"+offered.ID)
	p.mustSee("/admin/access/"+offered.ID, "It asks for nothing")
	for _, id := range []string{draft.ID, "", "nonsense", "../x", "00000000-0000-4000-8000-000000000000"} {
		page := p.send("/admin/access", "application", id)
		if page.status != http.StatusUnprocessableEntity || strings.Contains(page.body, "Secret Plan") {
			t.Errorf("%q: %d", id, page.status)
		}
	}
	if page := p.get("/admin/access/" + draft.ID); page.status != http.StatusNotFound {
		t.Errorf("a draft: %d", page.status)
	}
	if page := p.send("/admin/access/"+draft.ID, "permission:x:y", "yes"); page.status != http.StatusNotFound {
		t.Errorf("a draft is authorised: %d", page.status)
	}
	// It asks for nothing, so there is nothing to tick.
	mustLead(t, p.send("/admin/access/"+offered.ID), "/admin/access")
}

func TestWhatANarrowerGrantHoldsIsKept(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:*")
	end := o.clock.now().Add(36*time.Hour + time.Second)
	must(o.manage.Authorize(t.Context(), operator, manage.Grant{ApplicationID: app.ID, TenantID: "sunny", Permissions: []keystile.Scope{"designs:read"}, ExpiresAt: end}))(t)
	p := o.signedIn("admin@example.com")
	p.mustSee("/admin/access/"+app.ID, "Do everything with designs", "Read designs", `value="2026-11-29"`)
	mustLead(t, p.send("/admin/access/"+app.ID, "permission:designs:read", "yes", "expires_at", "2026-11-29"), "/admin/access")
	if standing := must(o.manage.Store.Authorization(t.Context(), app.ID, "sunny"))(t); !standing.ExpiresAt.Equal(end) || len(standing.Permissions) != 1 {
		t.Errorf("saving what stands changes it: %+v", standing)
	}
	if page := p.send("/admin/access/"+app.ID, "permission:payments:write", "yes"); page.status != http.StatusUnprocessableEntity {
		t.Errorf("what is not asked for: %d", page.status)
	}
}

var shownKey = regexp.MustCompile(`ak_prod_[0-9A-Za-z]{32}`)

func TestAPartnerMakesAnApplicationAndItsKeysAndSubmitsIt(t *testing.T) {
	o := newOffice(t)
	p := o.signedIn("developer@example.com")
	p.mustSee("/admin/applications", "There is none yet")
	p.mustSee("/admin/applications/new", "Sandbox", "Embedded")
	page := p.send("/admin/applications/new", "name", "", "kind", "embedded", "environment", "production", "launch_url", "http://x.example", "permissions", "designs:*read")
	if page.status != http.StatusUnprocessableEntity || !strings.Contains(page.body, `id="name-problem"`) || !strings.Contains(page.body, `id="launch_url-problem"`) || !strings.Contains(page.body, `id="permissions-problem"`) {
		t.Fatalf("%d %s", page.status, page.body)
	}
	page = p.send("/admin/applications/new", "name", "Roof Tools", "kind", "embedded", "environment", "production", "description", "Plans roofs", "launch_url", "https://app.roof.example/", "permissions", "designs:read\r\nproposals:read")
	path, _, _ := strings.Cut(page.to, "?")
	if page.status != http.StatusSeeOther || !strings.HasPrefix(path, "/admin/applications/") {
		t.Fatalf("%d to %q", page.status, page.to)
	}
	p.mustSee(path, "Roof Tools", "Draft", "Read proposals", "It has no key", "It is registered")

	page = p.send(path + "/keys/new")
	first := shownKey.FindString(page.body)
	if page.status != http.StatusOK || first == "" {
		t.Fatalf("%d %s", page.status, page.body)
	}
	page = p.mustSee(path, first[:12], "Live")
	if strings.Contains(page.body, first) || strings.Contains(o.log.String(), first) {
		t.Error("the key is shown twice")
	}
	p.mustSee(path+"/keys/new", "They end in a day", "They stay")
	if page := p.send(path+"/keys/new", "overlap", "1000000h"); page.status != http.StatusBadRequest {
		t.Errorf("an overlap that is not offered: %d", page.status)
	}
	page = p.send(path+"/keys/new", "overlap", "24h")
	if second := shownKey.FindString(page.body); second == "" || second == first {
		t.Fatalf("%d %s", page.status, page.body)
	}
	page = p.mustSee(path, "Ending", "28 Nov 2026, 12:00 UTC")
	revoke := regexp.MustCompile(`href="([^"]*/keys/revoke\?key=[^"]+)"`).FindStringSubmatch(page.body)
	if revoke == nil {
		t.Fatal(page.body)
	}
	question := p.mustSee(strings.ReplaceAll(revoke[1], "&amp;", "&"), "refused at once")
	mustLead(t, p.send(path+"/keys/revoke", "key", p.field(question, "key")), path)
	p.mustSee(path, "Revoked")

	p.mustSee(path+"/edit", "designs:read\nproposals:read")
	mustLead(t, p.send(path+"/edit", "name", "Roof Tools 2", "description", "", "homepage", "", "launch_url", "https://app.roof.example/", "permissions", "designs:read"), path)
	mustLead(t, p.send(path+"/move", "to", "in_review"), path)
	page = p.mustSee(path, "Roof Tools 2", "In review", "It was submitted")
	if strings.Contains(page.body, path+"/edit") {
		t.Error("what is in review can be changed")
	}
	if page := p.send(path+"/edit", "name", "Other", "launch_url", "https://evil.example/"); page.status != http.StatusUnprocessableEntity {
		t.Errorf("changed while it is in review: %d", page.status)
	}
	if page := p.send(path+"/move", "to", "approved"); page.status != http.StatusConflict {
		t.Errorf("a partner approves: %d", page.status)
	}
	p.mustSee(path+"/move?to=retired", "for good")
	mustLead(t, p.send(path+"/move", "to", "retired"), path)
	p.mustSee(path, "Retired")
	if events := o.events("maker"); !strings.Contains(events, "user:user_developer application.create") || !strings.Contains(events, "user:user_developer application.update") {
		t.Error(events)
	}
}

func TestAPartnerAsksATenant(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:read")
	p, path := o.signedIn("maker@example.com"), "/admin/applications/"+app.ID
	p.mustSee(path, "No tenant knows it yet")
	for _, tenant := range []string{"", "nobody", "sandbox", "a/b"} {
		if page := p.send(path+"/requests", "tenant", tenant); page.status != http.StatusUnprocessableEntity || !strings.Contains(page.body, `id="tenant-problem"`) {
			t.Errorf("%q: %d", tenant, page.status)
		}
	}
	mustLead(t, p.send(path+"/requests", "tenant", "sunny"), path)
	p.mustSee(path, "Asked", "sunny")
	draft := o.application(keystile.ReviewDraft, "Draft")
	if page := p.send("/admin/applications/"+draft.ID+"/requests", "tenant", "sunny"); page.status != http.StatusConflict {
		t.Errorf("a draft asks: %d", page.status)
	}
}

func TestAPartnerIsToldByWebhooksAndReadsTheirLog(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:read")
	p, path := o.signedIn("developer@example.com"), "/admin/applications/"+app.ID
	p.mustSee(path, "Your server is told of nothing")
	p.mustSee(path+"/webhooks/new", "&lt;SESSION_TOKEN&gt;")
	page := p.send(path+"/webhooks/new", "event", "app_status_changed", "form", "get", "url_template", "http://hooks.example/", "header_name", "", "header_value", "", "description", "")
	if page.status != http.StatusUnprocessableEntity || !strings.Contains(page.body, `id="url_template-problem"`) || !strings.Contains(page.body, `id="header_name-problem"`) {
		t.Fatalf("%d %s", page.status, page.body)
	}
	const template = "https://hooks.example/<TENANT_ID>?s=<SESSION_TOKEN>&now=<STATUS>"
	page = p.send(path+"/webhooks/new", "event", "app_status_changed", "form", "get", "url_template", template, "header_name", "Authorization", "header_value", "Bearer canary-value", "description", "Tenants")
	hook := page.to
	if page.status != http.StatusSeeOther || !strings.HasPrefix(hook, path+"/webhooks/") {
		t.Fatalf("%d to %q\n%s", page.status, hook, page.body)
	}
	if page := p.mustSee(hook, "Nothing was told yet", "Authorization", "&lt;SESSION_TOKEN&gt;"); strings.Contains(page.body, "canary-value") {
		t.Error("the header's value is shown")
	}
	must(o.manage.Authorize(t.Context(), operator, manage.Grant{ApplicationID: app.ID, TenantID: "sunny", Permissions: []keystile.Scope{"designs:read"}}))(t)
	page = p.mustSee(hook, "Waits", "sunny, enabled", "Not tried yet")
	found := regexp.MustCompile(`href="([^"]*/deliveries/[^"]+)"`).FindStringSubmatch(page.body)
	if found == nil {
		t.Fatal(page.body)
	}
	if page := p.mustSee(found[1], "It was not tried yet"); strings.Contains(page.body, "Send again") {
		t.Error("what waits can be sent again")
	}
	if page := p.mustSee(hook + "/edit"); strings.Contains(page.body, "canary-value") || !strings.Contains(page.body, " checked") {
		t.Error("the form shows the header's value, or does not show that it is on")
	}
	mustLead(t, p.send(hook+"/edit", "event", "app_status_changed", "url_template", template, "header_name", "Authorization", "header_value", "", "description", "Quiet"), hook)
	p.mustSee(path, "Quiet", "Off")
	if page := p.get(hook + "/secret"); page.status != http.StatusNotFound {
		t.Errorf("the secret of a GET: %d", page.status)
	}
	mustLead(t, p.send(hook+"/delete"), path)
	p.mustSee(path, "Your server is told of nothing", "The webhook was deleted")

	page = p.send(path+"/webhooks/new", "event", "application_key_expired", "form", "signed_post", "url_template", "https://hooks.example/keys", "header_name", "", "header_value", "", "description", "")
	first := regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`).FindString(html.UnescapeString(page.body))
	if page.status != http.StatusOK || first == "" {
		t.Fatalf("%d %s", page.status, page.body)
	}
	signed := regexp.MustCompile(`href="([^"]*/webhooks/[^"]+)"`).FindStringSubmatch(page.body)[1]
	p.mustSee(signed+"/secret", "signed with both")
	if page := p.send(signed + "/secret"); strings.Contains(html.UnescapeString(page.body), first) || !strings.Contains(page.body, "whsec_") {
		t.Errorf("the next secret: %s", page.body)
	}
	p.mustSee(signed, "Earlier secret signs until")
	if strings.Contains(o.log.String(), "whsec_") || strings.Contains(o.log.String(), "canary-value") {
		t.Error("a secret is in the log")
	}
}

func TestThreat30_NobodyReachesAnotherApplicationsWebhooks(t *testing.T) {
	o := newOffice(t)
	app, other := o.application(keystile.ReviewApproved, "Roof Tools"), o.application(keystile.ReviewDraft, "Other")
	made := must(o.manage.CreateWebhook(t.Context(), operator, manage.NewWebhook{Webhook: keystile.Webhook{ApplicationID: app.ID, Event: keystile.EventKeyExpired, Form: keystile.WebhookSignedPost, URLTemplate: "https://hooks.example/"}}))(t)
	for name, path := range map[string]string{"maker@example.com": "/admin/applications/" + other.ID, "rival@example.com": "/admin/applications/" + app.ID, "platform@example.com": "/admin/applications/" + app.ID} {
		p := o.signedIn(name)
		for _, sub := range []string{"", "/edit", "/delete", "/secret", "/deliveries/msg_x"} {
			if page := p.get(path + "/webhooks/" + made.Webhook.ID + sub); page.status != http.StatusNotFound {
				t.Errorf("%s: %s: %d", name, sub, page.status)
			}
			if sub == "" {
				continue
			}
			if page := p.send(path+"/webhooks/"+made.Webhook.ID+sub, "event", "application_key_expired", "url_template", "https://evil.example/"); page.status != http.StatusNotFound {
				t.Errorf("%s: post to %s: %d", name, sub, page.status)
			}
		}
	}
	if w := must(o.manage.Webhook(t.Context(), app.ID, made.Webhook.ID))(t); w.URLTemplate != "https://hooks.example/" {
		t.Errorf("it points to %s", w.URLTemplate)
	}
}

func TestAReviewerDecidesAboutWhatTheyRead(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewInReview, "Roof Tools", "designs:read")
	p, path := o.signedIn("reviewer@example.com"), "/admin/reviews/"+app.ID
	p.mustSee("/admin", "Reviews")
	p.mustSee("/admin/reviews", "Roof Tools", "MAKER")
	page := p.mustSee(path, "It was never approved", "Approve", "Send back", "Suspend")
	read := p.field(page, "read")
	if page := p.send(path, "decision", "draft", "read", read); page.status != http.StatusUnprocessableEntity {
		t.Errorf("sent back without a word: %d", page.status)
	}
	if page := p.send(path, "decision", "approved"); page.status != http.StatusBadRequest {
		t.Errorf("without what was read: %d", page.status)
	}
	mustLead(t, p.send(path, "decision", "draft", "comment", "Say what it is for.\r\nThen again.", "read", read), "/admin/reviews")
	maker := o.signedIn("developer@example.com")
	maker.mustSee("/admin/applications/"+app.ID, "Say what it is for.\nThen again.")
	mustLead(t, maker.send("/admin/applications/"+app.ID+"/edit", "name", "Roof Tools", "description", "For roofs", "homepage", "", "launch_url", "https://app.roof.example/embed", "permissions", "designs:read"), "/admin/applications/"+app.ID)
	mustLead(t, maker.send("/admin/applications/"+app.ID+"/move", "to", "in_review"), "/admin/applications/"+app.ID)
	if page := p.send(path, "decision", "approved", "read", read); page.status != http.StatusConflict {
		t.Errorf("approved without having read it: %d", page.status)
	}
	mustLead(t, p.send(path, "decision", "approved", "read", p.field(p.mustSee(path, "For roofs"), "read")), "/admin/reviews")
	p.mustSee("/admin/reviews", "The application is approved", "Nothing waits for you")
	page = p.mustSee(path, "Nothing: it is as it was approved")
	mustLead(t, p.send(path, "decision", "suspended", "comment", "Leaks.", "read", p.field(page, "read")), "/admin/reviews")
	p.mustSee("/admin/reviews?state=suspended", "Roof Tools")
	page = p.mustSee(path, "Resume")
	mustLead(t, p.send(path, "decision", "approved", "read", p.field(page, "read")), "/admin/reviews")
	if events := o.events("maker"); strings.Count(events, "user:user_reviewer application.update") != 4 {
		t.Error(events)
	}
}

func TestAReviewerSeesWhatChangedSinceTheLastApproval(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:read")
	must(o.manage.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewDraft))(t)
	must(o.manage.UpdateApplication(t.Context(), operator, app.ID, func(a *keystile.Application) error {
		a.Permissions, a.Name = []keystile.Scope{"designs:read", "payments:write"}, "Roof Bank"
		return nil
	}))(t)
	p := o.signedIn("platform@example.com")
	page := p.mustSee("/admin/reviews/"+app.ID, "<mark>Roof Tools</mark>", "<mark>Roof Bank</mark>", "<mark>payments:write</mark>", "<li>designs:read</li>")
	if strings.Contains(page.body, "<mark>designs:read</mark>") {
		t.Error("what stayed is marked")
	}
}

// adminPages are pages of each role, with an application in the paths.
func (o *office) adminPages(id string) map[string][]string {
	return map[string][]string{
		"authorizations": {"/admin/access", "/admin/access/" + id, "/admin/access/" + id + "/withdraw"},
		"applications":   {"/admin/applications", "/admin/applications/new", "/admin/applications/" + id, "/admin/applications/" + id + "/edit", "/admin/applications/" + id + "/move?to=retired", "/admin/applications/" + id + "/keys/new"},
		"reviews":        {"/admin/reviews", "/admin/reviews/" + id},
	}
}

func TestThreat29_EachRoleOpensItsOwnPagesAndNoOthers(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:read")
	for name, may := range map[string]map[string]bool{
		"ada@example.com":       {},
		"admin@example.com":     {"authorizations": true, "applications": true},
		"developer@example.com": {"applications": true},
		"reviewer@example.com":  {"reviews": true},
		"platform@example.com":  {"authorizations": true, "applications": true, "reviews": true},
	} {
		p := o.signedIn(name)
		if page := p.get("/admin"); (page.status == http.StatusOK) != (len(may) > 0) {
			t.Errorf("%s: /admin: %d", name, page.status)
		}
		if hasMenu := strings.Contains(p.get("/account").body, `href="/admin"`); hasMenu != (len(may) > 0) {
			t.Errorf("%s: the menu shows %v", name, hasMenu)
		}
		for duty, paths := range o.adminPages(app.ID) {
			for _, path := range paths {
				if refused := p.get(path).status == http.StatusForbidden; refused == may[duty] {
					t.Errorf("%s: %s: refused %v", name, path, refused)
				}
				page := p.send(strings.Split(path, "?")[0]) // some have no form: 404
				if refused := page.status == http.StatusForbidden; refused == may[duty] && page.status != http.StatusNotFound {
					t.Errorf("%s: post to %s: %d", name, path, page.status)
				}
			}
		}
	}
}

func TestThreat30_NobodyReachesAnotherOrganisationsApplications(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewApproved, "Roof Tools", "designs:read")
	made := must(o.manage.CreateApplicationKey(t.Context(), operator, app.ID, nil))(t)
	must(o.manage.Authorize(t.Context(), operator, manage.Grant{ApplicationID: app.ID, TenantID: "sunny", Permissions: []keystile.Scope{"designs:read"}}))(t)
	before := o.events("maker") + o.events("sunny")
	for _, name := range []string{"rival@example.com", "admin@example.com", "platform@example.com"} {
		p, path := o.signedIn(name), "/admin/applications/"+app.ID
		for _, sub := range []string{"", "/edit", "/move?to=retired", "/keys/new", "/keys/revoke?key=" + made.Key.ID} {
			if page := p.get(path + sub); page.status != http.StatusNotFound {
				t.Errorf("%s: %s: %d", name, sub, page.status)
			}
		}
		for sub, fields := range map[string][]string{
			"/edit": {"name", "x"}, "/move": {"to", "retired"}, "/keys/new": {"overlap", "0s"}, "/keys/revoke": {"key", made.Key.ID}, "/requests": {"tenant", "rival"},
		} {
			if page := p.send(path+sub, fields...); page.status != http.StatusNotFound {
				t.Errorf("%s: post to %s: %d", name, sub, page.status)
			}
		}
	}
	// A tenant's yes is its own administrator's alone.
	rival := o.signedIn("rival@example.com")
	rival.send("/admin/access/" + app.ID + "/withdraw")
	if standing := must(o.manage.Store.Authorization(t.Context(), app.ID, "sunny"))(t); !standing.WithdrawnAt.IsZero() {
		t.Error("another tenant withdrew it")
	}
	if after := o.events("maker") + o.events("sunny"); after != before {
		t.Errorf("something was changed:\n%s", after)
	}
	// A key of another application of one's own organisation is not this one's.
	other := o.application(keystile.ReviewDraft, "Other")
	maker := o.signedIn("maker@example.com")
	if page := maker.send("/admin/applications/"+other.ID+"/keys/revoke", "key", made.Key.ID); page.status != http.StatusNotFound {
		t.Errorf("a key of another application: %d", page.status)
	}
}

func TestThreat27_ADemotedAdministratorIsRefusedAtTheNextRequest(t *testing.T) {
	o := newOffice(t)
	p := o.signedIn("admin@example.com")
	p.mustSee("/admin/access")
	o.people.users["admin@example.com"].AdminRole = keystile.OrgDeveloper
	if page := p.get("/admin/access"); page.status != http.StatusForbidden {
		t.Errorf("%d", page.status)
	}
}

func TestThreat24_WhatHandsSomethingOutAsksForARecentSignIn(t *testing.T) {
	o := newOffice(t)
	app := o.application(keystile.ReviewInReview, "Roof Tools", "designs:read")
	people := map[string]*person{}
	for name := range officeRoles {
		people[name] = o.signedIn(name)
	}
	o.clock.add(stepUpAge + time.Second)
	for path, name := range map[string]string{
		"/admin/access/" + app.ID: "admin@example.com", "/admin/applications/" + app.ID + "/keys/new": "developer@example.com", "/admin/reviews/" + app.ID: "reviewer@example.com",
	} {
		for _, page := range []got{people[name].get(path), people[name].send(path)} {
			if page.status != http.StatusSeeOther || !strings.HasPrefix(page.to, "/login?again=1") {
				t.Errorf("%s: %d to %q", path, page.status, page.to)
			}
		}
	}
}

func TestThreat34_WhatPartnersWriteIsTextOnEveryPage(t *testing.T) {
	for _, payload := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</textarea><b>`, `" autofocus onfocus=alert(1) x="`, "javascript:alert(1)", `{{.Token}}`} {
		o := newOffice(t)
		app := o.application(keystile.ReviewDraft, payload, "designs:read")
		must(o.manage.UpdateApplication(t.Context(), operator, app.ID, func(a *keystile.Application) error { a.Description = payload; return nil }))(t)
		must(o.manage.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewInReview))(t)
		must(o.manage.ReviewApplication(t.Context(), operator, app.ID, manage.Verdict{To: keystile.ReviewApproved, Comment: payload}))(t)
		must(o.manage.Authorize(t.Context(), operator, manage.Grant{ApplicationID: app.ID, TenantID: "sunny", Permissions: []keystile.Scope{"designs:read"}}))(t)
		must(o.manage.MoveApplication(t.Context(), operator, app.ID, keystile.ReviewDraft))(t)
		must(o.manage.UpdateApplication(t.Context(), operator, app.ID, func(a *keystile.Application) error { a.Description = payload + " changed"; return nil }))(t)
		pages := o.adminPages(app.ID)
		for name, paths := range map[string][]string{"admin@example.com": pages["authorizations"], "maker@example.com": pages["applications"], "reviewer@example.com": append(pages["reviews"], "/admin/reviews?state=draft")} {
			p := o.signedIn(name)
			for _, path := range paths {
				page := p.mustSee(path)
				for _, x := range strange(t, page.body) {
					t.Errorf("%q makes %s in %s", payload, x, path)
				}
			}
		}
	}
}

func TestThreat24_AdministratorsPagesOpenToNobodyWithoutASession(t *testing.T) {
	o := newOffice(t)
	o.eachRoute(func(method, path string, a access) {
		if !strings.HasPrefix(path, "/admin") {
			return
		}
		for _, name := range []string{"{application}", "{webhook}", "{delivery}"} {
			path = strings.ReplaceAll(path, name, "5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c")
		}
		r := formRequest(path, nil)
		if method == http.MethodGet {
			r = httptest.NewRequest(method, testOrigin+path, nil)
		}
		if p := o.browser().do(r); a == anyone || p.status != http.StatusSeeOther || !strings.HasPrefix(p.to, "/login?return_to=") {
			t.Errorf("%s %s: %d to %q", method, path, p.status, p.to)
		}
		if method == http.MethodPost { // and nothing without the token of the form's session
			p := o.signedIn("platform@example.com")
			if page := p.post(path, "to", "retired"); page.status != http.StatusForbidden || !strings.Contains(page.body, "This page is old") {
				t.Errorf("%s without a token: %d", path, page.status)
			}
		}
	})
}

func TestPermissionsAreSaidInPlainWords(t *testing.T) {
	for scope, want := range map[keystile.Scope]string{
		"roof_summary:read": "Read roof summary", "designs:*": "Do everything with designs", "proposals:write": "Create, change and delete proposals", "finapi:use": "Use finapi",
		"racking.arrays:bulk_export": "Bulk export racking arrays", "openid": "openid",
	} {
		if got := inWordsOf(scope); got != want {
			t.Errorf("%s: %q", scope, got)
		}
	}
}
