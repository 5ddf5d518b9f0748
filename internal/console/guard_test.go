package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// eachRoute calls f with every route's method, path and access.
func (s *site) eachRoute(f func(method, path string, a access)) {
	for _, r := range s.console.routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		f(method, path, r.access)
	}
}

func TestThreat24_NoPageButTheSignInOpensWithoutASession(t *testing.T) {
	s := newSite(t)
	open := map[string]bool{}
	s.eachRoute(func(method, path string, a access) {
		if a == anyone {
			open[path] = true
			return
		}
		p := s.browser().do(func() *http.Request {
			if method == http.MethodGet {
				return httptest.NewRequest(method, testOrigin+path, nil)
			}
			return formRequest(path, nil)
		}())
		if p.status != http.StatusSeeOther || !strings.HasPrefix(p.to, "/login?return_to=") {
			t.Errorf("%s %s: %d to %q", method, path, p.status, p.to)
		}
	})
	for path := range open {
		if !strings.HasPrefix(path, "/login") && path != "/logout" {
			t.Errorf("%s is open to anyone", path)
		}
	}
}

func TestThreat14_AnotherSpellingOfAPathIsNoPage(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn("ada@example.com")
	for _, path := range []string{"/account/", "/account//sessions", "/account/./sessions", "/account/x/../sessions", "/account/../v1/keys", "/login/", "/Account", "/account/sessions/", "/login/assets/", "/login/assets/../../account"} {
		if p := b.get(path); p.status != http.StatusNotFound || p.to != "" {
			t.Errorf("%s: %d to %q", path, p.status, p.to)
		}
	}
}

func TestThreat24_WhatIsRefusedForMoreProofLeadsThroughASignIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	token := b.signIn("ada@example.com")
	s.clock.add(stepUpAge + time.Second)
	for _, path := range []string{"/account/factors/recovery", "/account/key/reset"} {
		p, want := b.get(path), "/login?"+url.Values{"again": {"1"}, "return_to": {path}}.Encode()
		if p.to != want {
			t.Errorf("%s leads to %q", path, p.to)
		}
	}
	// The service says so itself for what only it knows.
	if p := b.post("/account/key", "token", token); p.to != "/login?again=1&return_to=%2Faccount" {
		t.Errorf("the key: %d to %q", p.status, p.to)
	}
	if p := b.get("/login?again=1&return_to=%2Faccount%2Frecovery"); p.status != http.StatusOK || !strings.Contains(p.body, `value="ada@example.com"`) || !strings.Contains(p.body, "Confirm it is you") {
		t.Errorf("%d", p.status)
	}
	old := b.cookies[sessionCookie]
	if p := b.post("/login", "username", "ada@example.com", "password", goodPassword, "return_to", "/account/factors/recovery"); p.to != "/account/factors/recovery" {
		t.Errorf("to %q", p.to)
	}
	if b.cookies[sessionCookie] == old || len(s.people.sessions) != 1 {
		t.Error("proving oneself again keeps the cookie or the old session")
	}
	if p := b.get("/account/factors/recovery"); p.status != http.StatusOK {
		t.Errorf("%d", p.status)
	}
}

func TestThreat35_AFormOfAnotherSiteDoesNothing(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	token := b.signIn("ada@example.com")
	foreign := map[string]func(http.Header){
		"cross-site":   func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"sibling site": func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
		"typed":        func(h http.Header) { h.Set("Sec-Fetch-Site", "none") },
		"empty":        func(h http.Header) { h.Set("Sec-Fetch-Site", "") },
		"both":         func(h http.Header) { h["Sec-Fetch-Site"] = []string{"same-origin", "cross-site"} },
		"origin only":  func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://evil.example") },
		"null origin":  func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "null") },
		"empty origin": func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "") },
		"two origins": func(h http.Header) {
			h.Del("Sec-Fetch-Site")
			h["Origin"] = []string{testOrigin, "https://evil.example"}
		},
		"host in userinfo":    func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://auth.example.com@evil.example") },
		"host as prefix":      func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://auth.example.com.evil.example") },
		"another port":        func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://auth.example.com:8443") },
		"own origin, foreign": func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site"); h.Set("Origin", testOrigin) },
	}
	s.eachRoute(func(method, path string, _ access) {
		if method != http.MethodPost {
			return
		}
		for name, change := range foreign {
			before := fmt.Sprint(s.people.calls)
			r := formRequest(path, url.Values{"token": {token}, "username": {"ada@example.com"}, "password": {goodPassword}})
			change(r.Header)
			if p := b.do(r); p.status != http.StatusForbidden || p.to != "" {
				t.Errorf("%s, %s: %d to %q", path, name, p.status, p.to)
			}
			if after := fmt.Sprint(s.people.calls); after != before {
				t.Errorf("%s, %s: asked %s", path, name, after)
			}
		}
	})
	r := formRequest("/login", url.Values{"username": {"ada@example.com"}, "password": {goodPassword}})
	r.Header.Del("Sec-Fetch-Site")
	if p := b.do(r); p.status != http.StatusSeeOther {
		t.Errorf("an older browser's own form: %d", p.status)
	}
}

func TestThreat35_AFormWithoutTheTokenOfItsSessionDoesNothing(t *testing.T) {
	s := newSite(t)
	b, other := s.browser(), s.browser()
	b.signIn("ada@example.com")
	theirs := other.signIn("ada@example.com")
	for name, token := range map[string]string{"none": "", "another session's": theirs, "made up": "AAAA", "the cookie": b.cookies[sessionCookie]} {
		s.eachRoute(func(method, path string, a access) {
			if method != http.MethodPost || (a == anyone && path != "/logout") {
				return
			}
			if p := b.post(path, "token", token, "id", "x"); p.status != http.StatusForbidden || !strings.Contains(p.body, "This page is old") {
				t.Errorf("%s, %s: %d", path, name, p.status)
			}
		})
	}
	if !b.signedIn() || len(s.people.sessions) != 2 {
		t.Error("something was ended")
	}
}

func TestThreat35_ASessionCannotBeFixed(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	if b.get("/login"); len(b.cookies) != 0 {
		t.Fatalf("cookies before anybody signed in: %v", b.cookies)
	}
	// A cookie that somebody planted is replaced, and the session behind it ends.
	thief := s.browser()
	thief.signIn("ada@example.com")
	planted := thief.cookies[sessionCookie]
	b.cookies[sessionCookie] = planted
	b.post("/login", "username", "bob@example.com", "password", goodPassword)
	if p := b.post("/login/code", "code", rightCode); p.to != home || b.cookies[sessionCookie] == planted {
		t.Fatal("the planted cookie stays")
	}
	if p := thief.get(home); p.status != http.StatusSeeOther {
		t.Fatal("the planted session lives on")
	}
}

func TestThreat35_EverySignInHasACookieOfItsOwn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	seen := map[string]bool{}
	for range 3 {
		b.post("/login", "username", "ada@example.com", "password", goodPassword)
		if c := b.cookies[sessionCookie]; c == "" || seen[c] {
			t.Fatalf("cookie %q", c)
		} else {
			seen[c] = true
		}
		if len(s.people.sessions) != 1 {
			t.Fatalf("%d sessions: the one before is not ended", len(s.people.sessions))
		}
	}
}

func TestThreat22_ACookieThatWasChangedOpensNothingAndCostsNoLookUp(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn("ada@example.com")
	good := b.cookies[sessionCookie]
	sid, mac, _ := strings.Cut(good, ".")
	bad := []string{
		sid, sid + ".", "." + mac, "", ".", mac + "." + sid, good + "A", good + ".", good[:len(good)-1], strings.ToUpper(good), strings.ToLower(good),
		sid + "." + s.console.seals.formToken(sid), sid + "x." + mac, strings.Repeat("A", 5000) + "." + mac, "ses_00000000000000000000000000000009." + mac,
	}
	for i := range good {
		flipped := []byte(good)
		flipped[i] ^= 1
		bad = append(bad, string(flipped))
	}
	for _, value := range bad {
		before := s.people.calls["Renew"]
		b.cookies = map[string]string{sessionCookie: value}
		if p := b.get(home); p.status != http.StatusSeeOther {
			t.Errorf("%q: %d", value, p.status)
		}
		if s.people.calls["Renew"] != before {
			t.Errorf("%q is looked up", value)
		}
	}
	r := httptest.NewRequest(http.MethodGet, testOrigin+home, nil)
	r.Header.Add("Cookie", sessionCookie+"="+good)
	r.Header.Add("Cookie", sessionCookie+"="+good)
	b.cookies = nil
	if p := b.do(r); p.status != http.StatusSeeOther {
		t.Errorf("two cookies: %d", p.status)
	}
}

func TestThreat02_ASessionOfAnotherDoorOpensNoPage(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn("ada@example.com")
	for _, session := range s.people.sessions {
		session.Door = keystile.DoorOna
	}
	if p := b.get(home); p.status != http.StatusSeeOther {
		t.Fatalf("%d", p.status)
	}
}

func TestThreat27_ADisabledUsersCookieOpensNothing(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn("ada@example.com")
	s.people.users["ada@example.com"].Disabled = true
	if p := b.get(home); p.status != http.StatusSeeOther {
		t.Fatalf("%d", p.status)
	}
	if p := b.post("/login", "username", "ada@example.com", "password", goodPassword); p.status != http.StatusForbidden || !strings.Contains(p.body, "not active") {
		t.Fatalf("%d", p.status)
	}
}

func TestThreat30_NobodyEndsOrChangesWhatIsSomebodyElses(t *testing.T) {
	s := newSite(t)
	b, other := s.browser(), s.browser()
	token := b.signIn("ada@example.com")
	other.post("/login", "username", "bob@example.com", "password", goodPassword)
	other.post("/login/code", "code", rightCode)
	sid, _, _ := strings.Cut(other.cookies[sessionCookie], ".")
	for path, id := range map[string]string{"/account/sessions/end": sid, "/account/factors/remove": "fac_totp", "/account/factors/passkeys/rename": "fac_totp"} {
		if p := b.post(path, "token", token, "id", id, "name", "mine"); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.status)
		}
	}
	if p := other.get("/account/factors"); p.status != http.StatusOK || !strings.Contains(p.body, "Asked for after your password") {
		t.Error("it was changed all the same")
	}
}

func TestThreat26_AnUnknownNameAndAWrongPasswordLookAlike(t *testing.T) {
	s := newSite(t)
	pages := map[string]got{}
	for _, name := range []string{"ada@example.com", "abc@example.com", "bob@example.com"} {
		p := s.browser().post("/login", "username", name, "password", "wrong")
		p.body = strings.ReplaceAll(p.body, name, "NAME")
		pages[name] = p
	}
	for _, path := range []string{"/login/reset"} {
		for _, name := range []string{"ada@example.com", "abc@example.com"} {
			p := s.browser().post(path, "username", name)
			pages[path+name] = p
		}
	}
	same := func(a, b string) {
		t.Helper()
		if pages[a].status != pages[b].status || pages[a].body != pages[b].body || fmt.Sprint(pages[a].header) != fmt.Sprint(pages[b].header) {
			t.Errorf("%s and %s differ: %d and %d", a, b, pages[a].status, pages[b].status)
		}
	}
	same("ada@example.com", "abc@example.com")
	same("ada@example.com", "bob@example.com")
	same("/login/resetada@example.com", "/login/resetabc@example.com")
	if pages["ada@example.com"].status != http.StatusForbidden {
		t.Errorf("a wrong password: %d", pages["ada@example.com"].status)
	}
}

func TestThreat11_OnlyPagesOfOursAreReturnedTo(t *testing.T) {
	for to, want := range map[string]string{
		"/account": "/account", "/account/sessions": "/account/sessions", "/account/factors/remove?id=fac_1": "/account/factors/remove?id=fac_1",
		"/account/factors/recovery?return_to=%2Faccount": "/account/factors/recovery?return_to=%2Faccount",
	} {
		if got := returnTo(to); got != want {
			t.Errorf("%q leads to %q", to, got)
		}
	}
	b := newSite(t).browser()
	for _, to := range hostileReturns {
		if got := returnTo(to); got != home {
			t.Errorf("%q leads to %q", to, got)
		}
		if p := b.post("/login", "username", "ada@example.com", "password", goodPassword, "return_to", to); p.to != home {
			t.Errorf("%q: sent on to %q", to, p.to)
		}
	}
}

var hostileReturns = []string{
	"", "account", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:/evil.example", "https:evil.example",
	"javascript:alert(1)", "data:text/html,x", "//auth.example.com/account", "https://auth.example.com/account", "/account/../logout", "/account/./sessions",
	"/account//evil.example", "/account/", "/account/%2e%2e/evil", "/account%2fsessions", "/account/;/x", "/accountant", "/ACCOUNT", "/login", "/logout", "/v1/keys",
	"/\t/evil.example", "/account\n", "/account\r\nSet-Cookie: a=b", " /account", "/account ", "/account#x", "/@evil.example", "/account/\x00", "/аccount",
	"/account/sessions\\@evil.example", "?x", "#", "/", "http://[::1", "/account/%zz", strings.Repeat("/account/a", 300),
}

func FuzzReturnToStaysHere(f *testing.F) {
	for _, to := range hostileReturns {
		f.Add(to)
	}
	f.Add("/account/factors/remove?id=1")
	base, err := url.Parse(testOrigin + "/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got := returnTo(to)
		u, err := base.Parse(got)
		if err != nil || u.Host != "auth.example.com" || u.Scheme != "https" || (u.Path != home && !strings.HasPrefix(u.Path, home+"/")) {
			t.Errorf("%q leads to %q", to, got)
		}
		if got != home && got != to {
			t.Errorf("%q was repaired to %q", to, got)
		}
		if strings.ContainsAny(got, "\\\r\n\t ") || strings.HasPrefix(got, "//") {
			t.Errorf("%q leads to %q", to, got)
		}
	})
}

func FuzzOnlyOurCookiesOpen(f *testing.F) {
	s := seals{key: make([]byte, minKey)}
	f.Add(s.session("ses_1"))
	f.Add("ses_1.")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, value string) {
		if sid, ok := s.openSession(value); ok && s.session(sid) != value {
			t.Errorf("%q opens %q", value, sid)
		}
	})
}

func TestThreat12_AFieldThatStandsTwiceIsRefused(t *testing.T) {
	s := newSite(t)
	r := formRequest("/login", url.Values{"username": {"ada@example.com", "bob@example.com"}, "password": {goodPassword}})
	if p := s.browser().do(r); p.status != http.StatusBadRequest || s.people.calls["Password"] != 0 {
		t.Errorf("two names: %d", p.status)
	}
	// What stands in the URL is no field of the form.
	r = formRequest("/login?username=ada@example.com&password="+url.QueryEscape(goodPassword), nil)
	if p := s.browser().do(r); p.status != http.StatusUnprocessableEntity || s.people.calls["Password"] != 0 {
		t.Errorf("in the URL: %d", p.status)
	}
	r = formRequest("/login", nil)
	r.Body = http.NoBody
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	if p := s.browser().do(r); p.status != http.StatusUnprocessableEntity {
		t.Errorf("multipart: %d", p.status)
	}
}

func TestThreat37_AFormIsReadUpToItsLimit(t *testing.T) {
	s := newSite(t)
	r := formRequest("/login", url.Values{"username": {"ada@example.com"}, "password": {strings.Repeat("x", 1<<20)}})
	if p := s.browser().do(r); p.status != http.StatusRequestEntityTooLarge || s.people.calls["Password"] != 0 {
		t.Errorf("%d", p.status)
	}
}

func TestEveryAnswerCarriesTheHeadersThatFenceIt(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	token := b.signIn("ada@example.com")
	answers := map[string]got{"an unknown page": b.get("/account/nothing"), "a wrong password": b.post("/login", "username", "x", "password", "y"), "a redirect": s.browser().get(home)}
	s.eachRoute(func(method, path string, _ access) {
		if method == http.MethodGet {
			answers[path] = b.get(path)
		}
	})
	for path := range s.console.views.assets {
		answers[path] = b.get(path)
	}
	s.people.fail = errors.New("broken")
	answers["a fault"] = b.post("/account/key", "token", token)
	for what, p := range answers {
		h := p.header
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", what, h)
		}
		if strings.Contains(what, "/assets/") {
			if p.status != http.StatusOK || !strings.Contains(h.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d, %s", what, p.status, h.Get("Cache-Control"))
			}
			continue
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", what, h.Get("Cache-Control"))
		}
	}
	for what, part := range map[string]string{"inline script": "<script>", "inline style": "style=", "event handler": " onclick", "foreign resource": "http://", "secure foreign resource": "https://"} {
		for name, p := range answers {
			if !strings.Contains(name, "/assets/") && strings.Contains(strings.ToLower(p.body), part) {
				t.Errorf("%s: %s", name, what)
			}
		}
	}
}

func TestCookiesAreFencedAndNamedByTheOrigin(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	p := b.post("/login", "username", "ada@example.com", "password", goodPassword)
	for _, c := range (&http.Response{Header: p.header}).Cookies() {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-keystile") {
			t.Errorf("%+v", c)
		}
	}
	o := s.console.options
	o.Origin = "http://127.0.0.1:8080"
	plain, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := formRequest("/login", url.Values{"username": {"ada@example.com"}, "password": {goodPassword}})
	plain.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Secure || !c.HttpOnly || !strings.HasPrefix(c.Name, "keystile") {
			t.Errorf("%+v", c)
		}
	}
}

func TestThreat34_NamesAreTextWhereverTheyStand(t *testing.T) {
	for _, payload := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'-alert(1)-'`, `{{.Token}}`, `</title><svg onload=alert(1)>`, "javascript:alert(1)",
		`" autofocus onfocus=alert(1) x="`, `<!--`, `]]>`, `&lt;script&gt;`, "\u2028</script>", "\x00<b>",
	} {
		s := newSite(t)
		b := s.browser()
		ada := s.people.users["ada@example.com"]
		ada.Name, ada.OrganizationID, ada.Email = payload, payload, payload
		ada.factors = []keystile.Factor{{ID: payload, Kind: keystile.FactorPasskey, Name: payload}}
		b.signIn("ada@example.com")
		for _, session := range s.people.sessions {
			session.UserAgent, session.ClientAddr, session.Methods = payload, payload, []keystile.AuthMethod{keystile.MethodMFA}
		}
		for _, path := range []string{home, "/account/factors", "/account/sessions", "/account/factors/remove?" + url.Values{"id": {payload}}.Encode(), "/account/factors/passkeys/rename?" + url.Values{"id": {payload}}.Encode()} {
			p := b.get(path)
			if p.status != http.StatusOK {
				t.Errorf("%s: %d", path, p.status)
			}
			for _, x := range strange(t, p.body) {
				t.Errorf("%q makes %s in %s", payload, x, path)
			}
		}
		p := s.browser().post("/login", "username", payload, "password", "x")
		for _, x := range strange(t, p.body) {
			t.Errorf("%q makes %s in the sign-in page", payload, x)
		}
	}
}

// strange lists the markup of a page that no page of ours has.
func strange(t *testing.T, page string) (found []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			found = append(found, "a comment")
		}
		if n.Type == html.ElementNode && slices.Contains([]string{"script", "style", "iframe", "object", "embed", "base", "img", "b"}, n.Data) {
			found = append(found, "an element "+n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.Contains(strings.ToLower(a.Val), "javascript:") && a.Key != "value" {
				found = append(found, "an attribute "+a.Key)
			}
		}
	}
	return found
}

func TestFailuresSayWhenToTryAgainAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		retry  string
		text   string
	}{
		{&login.Throttled{RetryAfter: 90 * time.Second}, http.StatusTooManyRequests, "90", "Try again in 90 seconds"},
		{&login.Throttled{RetryAfter: 14*time.Minute + time.Millisecond}, http.StatusTooManyRequests, "841", "15 minutes"},
		{&login.Busy{RetryAfter: 2 * time.Second}, http.StatusServiceUnavailable, "2", "2 seconds"},
		{fmt.Errorf("read a row: %w", keystile.ErrUnavailable), http.StatusServiceUnavailable, "5", "5 seconds"},
		{login.ErrOff, http.StatusNotFound, "", "not set up"},
		{errors.New("table canary is broken"), http.StatusInternalServerError, "", "written down"},
	} {
		s := newSite(t)
		s.people.fail = c.err
		p := s.browser().post("/login", "username", "ada@example.com", "password", goodPassword)
		if p.status != c.status || p.header.Get("Retry-After") != c.retry || !strings.Contains(p.body, c.text) || strings.Contains(p.body, "canary") {
			t.Errorf("%v: %d, Retry-After %q", c.err, p.status, p.header.Get("Retry-After"))
		}
	}
}

func TestThreat04_WhereTheSessionCannotBeReadNobodyIsSignedIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn("ada@example.com")
	s.people.fail = keystile.ErrUnavailable
	if p := b.get(home); p.status != http.StatusServiceUnavailable || strings.Contains(p.body, "Ada") {
		t.Fatalf("%d", p.status)
	}
}

func TestThreat33_PasswordsAndCodesStandInNoPageAndNoLog(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	const canary = "canary-Zr8d-passw0rd"
	for _, p := range []got{
		b.post("/login", "username", "ada@example.com", "password", canary),
		b.post("/login/password", "password", canary, "repeat", canary),
		b.post("/login/reset/set", "reset", "x", "password", canary, "repeat", "y"),
		b.post("/login/code", "code", canary),
	} {
		if strings.Contains(p.body, canary) || strings.Contains(fmt.Sprint(p.header), canary) {
			t.Errorf("a page of status %d repeats it", p.status)
		}
	}
	s.people.fail = errors.New("broken")
	b.post("/login", "username", "ada@example.com", "password", canary)
	if strings.Contains(s.log.String(), canary) {
		t.Error("the log repeats it")
	}
}

func TestNewRefusesWhatCannotBeSafe(t *testing.T) {
	good := newSite(t).console.options
	for name, change := range map[string]func(*Options){
		"a short key":    func(o *Options) { o.Key = o.Key[:minKey-1] },
		"no origin":      func(o *Options) { o.Origin = "" },
		"another scheme": func(o *Options) { o.Origin = "ftp://auth.example.com" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
