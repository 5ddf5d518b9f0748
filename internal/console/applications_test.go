package console

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
)

const launched = "https://app.roof.example/embed?aurora_session_token=st_prod_canary"

// fakeApplications has one application, "roof".
type fakeApplications struct{ launches []string }

func (f *fakeApplications) Launchable(context.Context, keystile.User) ([]Application, error) {
	return []Application{{ID: "roof", Name: "Roof <b>Tools</b>", Owner: "Roof Tools Inc", Origin: "https://app.roof.example"}}, nil
}

func (f *fakeApplications) Launch(_ context.Context, u keystile.User, id string) (string, error) {
	if id != "roof" {
		return "", keystile.ErrNotFound
	}
	f.launches = append(f.launches, u.ID)
	return launched, nil
}

func newSiteWithApplications(t *testing.T) (*site, *fakeApplications) {
	t.Helper()
	s, apps := newSite(t), &fakeApplications{}
	o := s.console.options
	o.Applications = apps
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.console = c
	return s, apps
}

func TestAnApplicationIsOpenedFromTheAccountAndOnlyItsOriginIsAddedToThePolicy(t *testing.T) {
	s, apps := newSiteWithApplications(t)
	b := s.browser()
	token := b.signIn("ada@example.com")
	p := b.get("/account/applications")
	if p.status != http.StatusOK || !strings.Contains(p.body, "Roof &lt;b&gt;Tools&lt;/b&gt;") || !strings.Contains(p.body, "Roof Tools Inc") {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if got := p.header.Get("Content-Security-Policy"); got != strings.Replace(policy, "form-action 'self'", "form-action 'self' https://app.roof.example", 1) {
		t.Errorf("policy %s", got)
	}
	if p := b.post("/account/applications/open", "token", token, "id", "roof"); p.status != http.StatusSeeOther || p.to != launched || p.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d to %q", p.status, p.to)
	}
	if p := b.post("/account/applications/open", "token", token, "id", "other"); p.status != http.StatusNotFound {
		t.Errorf("an application that is not offered: %d", p.status)
	}
	if p := b.post("/account/applications/open", "id", "roof"); p.status != http.StatusForbidden {
		t.Errorf("without the form's token: %d", p.status)
	}
	if len(apps.launches) != 1 || strings.Contains(s.log.String(), "st_prod_canary") {
		t.Errorf("launches %v, log %s", apps.launches, s.log)
	}
}

// launch posts to the launch of an application as a browser with b's cookies.
func (b *browser) launch(path string, header http.Header) *http.Response {
	r := httptest.NewRequest(http.MethodPost, testOrigin+path, strings.NewReader("{}"))
	r.Header = header
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.console.ServeLaunch(w, r)
	return w.Result()
}

func TestThreat35_ALaunchNeedsTheCookieOurOriginAndTheUsersOwnTenant(t *testing.T) {
	s, apps := newSiteWithApplications(t)
	b := s.browser()
	b.signIn("ada@example.com")
	const path = "/v1/organizations/sibaya-power/applications/roof/launch"
	own := http.Header{"Content-Type": {"application/json"}, "Origin": {testOrigin}}
	res := b.launch(path, own.Clone())
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || string(body) != `{"url":"`+launched+`"}` {
		t.Errorf("JSON: %d %s, %v", res.StatusCode, body, err)
	}
	if res := b.launch(path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {testOrigin}}); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != launched {
		t.Errorf("form: %d", res.StatusCode)
	}
	done := len(apps.launches)
	for name, c := range map[string]struct {
		from   *browser
		path   string
		header http.Header
		status int
	}{
		"nobody":             {s.browser(), path, own, 401},
		"no origin":          {b, path, http.Header{"Content-Type": {"application/json"}}, 403},
		"another origin":     {b, path, http.Header{"Origin": {"https://evil.example"}}, 403},
		"another site":       {b, path, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {testOrigin}}, 403},
		"another tenant":     {b, "/v1/organizations/other/applications/roof/launch", own, 404},
		"an unknown one":     {b, strings.Replace(path, "/roof/", "/other/", 1), own, 404},
		"a path that is not": {b, "/v1/organizations/x/applications/launch", own, 404},
	} {
		res := c.from.launch(c.path, c.header.Clone())
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, c.status)
		}
		// A program is not refused with a page.
		kind, want := res.Header.Get("Content-Type"), "text/html; charset=utf-8"
		if c.header.Get("Content-Type") == "application/json" {
			want = "application/problem+json"
		}
		if kind != want && name != "a path that is not" {
			t.Errorf("%s: %s, want %s", name, kind, want)
		}
	}
	if len(apps.launches) != done {
		t.Errorf("something was launched: %v", apps.launches)
	}
}

func TestOnlyCleanOriginsAreAddedToThePolicy(t *testing.T) {
	for _, bad := range []string{"https://a.example/path", "https://u@a.example", "https://a.example; script-src *", "javascript:alert(1)", "https://", "https://a.example 'unsafe-inline'"} {
		if got := formActionsOf([]string{bad}); got != policy {
			t.Errorf("%q: %s", bad, got)
		}
	}
	if got := formActionsOf([]string{"https://a.example", "https://a.example"}); strings.Count(got, "https://a.example") != 1 {
		t.Error(got)
	}
}
