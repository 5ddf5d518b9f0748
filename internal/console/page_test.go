package console

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const testOrigin = "https://auth.example.com"

// site is a console over fake people.
type site struct {
	t       *testing.T
	people  *fakePeople
	console *Console
	clock   *clock
	log     *bytes.Buffer
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{t: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}}
	s.people = newFakePeople(s.clock.now)
	c, err := New(Options{
		People: s.people, Origin: testOrigin, Passkeys: true, Reset: true, Key: bytes.Repeat([]byte{7}, minKey),
		ClientAddr: func(*http.Request) (netip.Addr, error) { return netip.MustParseAddr("203.0.113.9"), nil },
		RequestID:  func(*http.Request) string { return "req-1" }, Now: s.clock.now, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.console = c
	return s
}

// browser keeps cookies as a browser does.
type browser struct {
	*site
	cookies map[string]string
}

func (s *site) browser() *browser { return &browser{site: s, cookies: map[string]string{}} }

// page is what came back.
type got struct {
	status int
	header http.Header
	body   string
	to     string
}

func (b *browser) do(r *http.Request) got {
	b.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.console.ServeHTTP(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return got{status: res.StatusCode, header: res.Header, body: string(body), to: res.Header.Get("Location")}
}

func (b *browser) get(path string) got {
	b.t.Helper()
	return b.do(httptest.NewRequest(http.MethodGet, testOrigin+path, nil))
}

// formRequest is a form as a browser of ours sends it.
func formRequest(path string, values url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, testOrigin+path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", testOrigin)
	return r
}

// post sends name and value pairs.
func (b *browser) post(path string, pairs ...string) got {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return b.do(formRequest(path, values))
}

// signIn signs in and returns the token of the session's forms.
func (b *browser) signIn(name string) (token string) {
	b.t.Helper()
	if p := b.post("/login", "username", name, "password", goodPassword); p.to != home {
		b.t.Fatalf("sign-in of %s: %d to %q", name, p.status, p.to)
	}
	return b.token(b.get(home))
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (b *browser) token(p got) string {
	b.t.Helper()
	found := tokenField.FindStringSubmatch(p.body)
	if found == nil {
		b.t.Fatalf("no form token in a page of status %d", p.status)
	}
	return found[1]
}

func (b *browser) field(p got, name string) string {
	b.t.Helper()
	found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.body)
	if found == nil {
		b.t.Fatalf("no field %q in a page of status %d", name, p.status)
	}
	return found[1]
}

const sessionCookie = "__Host-keystile"

func (b *browser) signedIn() bool { return b.cookies[sessionCookie] != "" }

func TestPasswordThenAccount(t *testing.T) {
	b := newSite(t).browser()
	if p := b.get("/account/sessions"); p.to != "/login?return_to=%2Faccount%2Fsessions" {
		t.Fatalf("to %q", p.to)
	}
	if p := b.get("/login?return_to=%2Faccount%2Fsessions"); !strings.Contains(p.body, `name="return_to" value="/account/sessions"`) {
		t.Fatal("the page to return to is lost")
	}
	if p := b.post("/login", "username", " ada@example.com ", "password", goodPassword, "return_to", "/account/sessions"); p.status != http.StatusSeeOther || p.to != "/account/sessions" {
		t.Fatalf("%d to %q", p.status, p.to)
	}
	if p := b.get("/account/sessions"); p.status != http.StatusOK || !strings.Contains(p.body, "Ada Lovelace") {
		t.Fatalf("%d", p.status)
	}
	if p := b.get("/login"); p.to != home {
		t.Fatal("whoever is signed in sees the sign-in page")
	}
}

func TestCodeAfterThePassword(t *testing.T) {
	b := newSite(t).browser()
	if p := b.post("/login", "username", "bob@example.com", "password", goodPassword, "return_to", "/account/factors"); p.to != "/login/code?return_to=%2Faccount%2Ffactors" {
		t.Fatalf("to %q", p.to)
	}
	if b.signedIn() {
		t.Fatal("a session before the code")
	}
	if p := b.get("/login/code?return_to=%2Faccount%2Ffactors"); p.status != http.StatusOK || !strings.Contains(p.body, `name="code"`) || !strings.Contains(p.body, "Use a passkey") {
		t.Fatalf("%d", p.status)
	}
	if p := b.post("/login/code", "code", "", "return_to", home); p.status != http.StatusUnprocessableEntity {
		t.Fatalf("no code: %d", p.status)
	}
	if p := b.post("/login/code", "code", "000000"); p.status != http.StatusForbidden || b.signedIn() {
		t.Fatalf("a wrong code: %d", p.status)
	}
	if p := b.post("/login/code", "code", " "+rightCode+" ", "return_to", "/account/factors"); p.to != "/account/factors" || !b.signedIn() {
		t.Fatalf("to %q", p.to)
	}
	if _, left := b.cookies["__Host-keystile_challenge"]; left {
		t.Fatal("the challenge's cookie outlives it")
	}
}

func TestEnrolmentShowsTheSameSecretAfterAWrongCode(t *testing.T) {
	s := newSite(t)
	s.people.users["bob@example.com"].factors = nil
	b := s.browser()
	b.post("/login", "username", "bob@example.com", "password", goodPassword)
	first := b.get("/login/code")
	if !strings.Contains(first.body, "JBSW Y3DP") || !strings.Contains(first.body, `src="data:image/png;base64,`) {
		t.Fatal("no key or no QR code")
	}
	again := b.post("/login/code", "code", "000000")
	if !strings.Contains(again.body, "JBSW Y3DP") {
		t.Fatal("the key is lost after a wrong code")
	}
	if p := b.post("/login/code", "code", rightCode, "return_to", "/account/sessions"); p.to != "/account/factors/recovery?return_to=%2Faccount%2Fsessions" {
		t.Fatalf("to %q: recovery codes are not offered", p.to)
	}
}

func TestAForcedChangeLeadsToANewPasswordAndToNothingElse(t *testing.T) {
	b := newSite(t).browser()
	if p := b.post("/login", "username", "eve@example.com", "password", goodPassword); p.to != "/login/password?return_to=%2Faccount" || b.signedIn() {
		t.Fatalf("to %q", p.to)
	}
	if p := b.get("/account"); p.status != http.StatusSeeOther {
		t.Fatal("the account opens before the change")
	}
	if p := b.post("/login/password", "password", "short", "repeat", "short"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "The password is too short. Choose at least 12 characters.") {
		t.Fatalf("a weak password: %d", p.status)
	}
	if p := b.post("/login/password", "password", "a new one of mine", "repeat", "another"); p.status != http.StatusUnprocessableEntity {
		t.Fatalf("two different ones: %d", p.status)
	}
	if p := b.post("/login/password", "password", "a new one of mine", "repeat", "a new one of mine"); p.to != home || !b.signedIn() {
		t.Fatalf("to %q", p.to)
	}
}

func TestARightCodeOfWhoeverMustChangeThePasswordLeadsToTheChange(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.post("/login", "username", "bob@example.com", "password", goodPassword)
	s.people.users["bob@example.com"].MustChangePassword = true
	if p := b.post("/login/code", "code", rightCode); p.to != "/login/password?return_to=%2Faccount" || b.signedIn() {
		t.Fatalf("to %q", p.to)
	}
}

func TestPasskeyAsSignInAndAsSecondStep(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	asked := b.post("/login/passkey", "return_to", "/account/sessions")
	if asked.status != http.StatusOK || !strings.Contains(asked.body, "data-passkey=") {
		t.Fatalf("%d", asked.status)
	}
	if p := b.post("/login/passkey/answer", "ceremony", b.field(asked, "ceremony"), "credential", ""); p.status != http.StatusForbidden {
		t.Fatalf("no answer: %d", p.status)
	}
	if p := b.post("/login/passkey/answer", "ceremony", b.field(asked, "ceremony"), "credential", "nobody"); p.status != http.StatusForbidden || b.signedIn() {
		t.Fatalf("a stranger's: %d", p.status)
	}
	if p := b.post("/login/passkey/answer", "ceremony", b.field(asked, "ceremony"), "credential", "ada@example.com", "return_to", "/account/sessions"); p.to != "/account/sessions" || !b.signedIn() {
		t.Fatalf("to %q", p.to)
	}

	b = s.browser()
	b.post("/login", "username", "bob@example.com", "password", goodPassword)
	asked = b.post("/login/passkey", "as", "factor")
	if p := b.post("/login/passkey/answer", "as", "factor", "ceremony", b.field(asked, "ceremony"), "credential", "ada@example.com"); p.status != http.StatusForbidden || b.signedIn() {
		t.Fatal("somebody else's passkey is a second step")
	}
	if p := b.post("/login/passkey/answer", "as", "factor", "ceremony", b.field(asked, "ceremony"), "credential", "bob@example.com"); p.to != home || !b.signedIn() {
		t.Fatalf("to %q", p.to)
	}
}

func TestThePageSaysWhereAnApplicationTakesNothingButAPasskey(t *testing.T) {
	const words = "The application asks for your passkey"
	b := newSite(t).browser()
	for name, page := range map[string]got{"at first": b.get("/login?factor=passkey"), "after a wrong password": b.post("/login", "username", "ann", "password", "wrong", "factor", "passkey")} {
		if !strings.Contains(page.body, words) {
			t.Errorf("%s: %d %s", name, page.status, page.body)
		}
	}
	if page := b.get("/login"); strings.Contains(page.body, words) {
		t.Errorf("where anything will do: %s", page.body)
	}
}

func TestResetAsksAndSets(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	if p := b.post("/login/reset", "username", "ada@example.com"); p.status != http.StatusOK || len(s.people.mailed) != 1 {
		t.Fatalf("%d", p.status)
	}
	link := b.get("/login/reset?token=reset_ada@example.com")
	token := b.field(link, "reset")
	if p := b.post("/login/reset/set", "reset", token, "password", "short", "repeat", "short"); p.status != http.StatusUnprocessableEntity {
		t.Fatalf("a weak password: %d", p.status)
	}
	p := b.post("/login/reset/set", "reset", token, "password", "quite another one", "repeat", "quite another one")
	if p.to != "/login" || b.signedIn() {
		t.Fatalf("to %q", p.to)
	}
	if p := b.get("/login"); !strings.Contains(p.body, "Your new password is set.") {
		t.Fatal("nothing is said about it")
	}
	if p := b.get("/login"); strings.Contains(p.body, "Your new password is set.") {
		t.Fatal("it is said twice")
	}
	if p := b.post("/login/reset/set", "reset", token, "password", "quite another one", "repeat", "quite another one"); p.status != http.StatusForbidden || !strings.Contains(p.body, "no longer good") {
		t.Fatalf("the link again: %d", p.status)
	}
}

func TestTheAccountPages(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	token := b.signIn("ada@example.com")
	ada := s.people.users["ada@example.com"]

	if p := b.post("/account/key", "token", token); !strings.Contains(p.body, ada.key) || ada.key == "" {
		t.Fatal("the key is not shown")
	}
	if p := b.get(home); strings.Contains(p.body, ada.key) {
		t.Fatal("the key is on the page that asks for it")
	}
	old := ada.key
	if p := b.post("/account/key/reset", "token", token); !strings.Contains(p.body, ada.key) || ada.key == old {
		t.Fatal("there is no new key")
	}

	if p := b.post("/account/password", "token", token, "current", "wrong", "password", "another good one", "repeat", "another good one"); p.status != http.StatusForbidden {
		t.Fatalf("a wrong current password: %d", p.status)
	}
	if p := b.post("/account/password", "token", token, "current", goodPassword, "password", "another good one", "repeat", "another good one"); p.to != "/account/password" {
		t.Fatalf("to %q", p.to)
	}

	offered := b.post("/account/factors/totp", "token", token)
	enrolment, uri := b.field(offered, "enrolment"), strings.ReplaceAll(b.field(offered, "uri"), "&amp;", "&")
	if p := b.post("/account/factors/totp/confirm", "token", token, "enrolment", enrolment, "uri", uri, "code", "1"); p.status != http.StatusForbidden || !strings.Contains(p.body, "JBSW Y3DP") {
		t.Fatalf("a wrong code: %d", p.status)
	}
	if p := b.post("/account/factors/totp/confirm", "token", token, "enrolment", enrolment, "uri", "javascript:alert(1)", "code", "1"); p.status != http.StatusBadRequest {
		t.Fatalf("another URI: %d", p.status)
	}
	if p := b.post("/account/factors/totp/confirm", "token", token, "enrolment", enrolment, "uri", uri, "code", rightCode); p.to != "/account/factors" {
		t.Fatalf("to %q", p.to)
	}
	if p := b.post("/account/factors/passkeys/answer", "token", token, "ceremony", "x", "credential", "{}", "name", ""); p.status != http.StatusUnprocessableEntity {
		t.Fatalf("a passkey without a name: %d", p.status)
	}
	b.post("/account/factors/passkeys/answer", "token", token, "ceremony", "x", "credential", "{}", "name", "Laptop")
	if p := b.get("/account/factors"); !strings.Contains(p.body, "Laptop") || !strings.Contains(p.body, "Your passkey was added.") {
		t.Fatal("the passkey is not listed")
	}
	id := ada.factors[1].ID
	b.post("/account/factors/passkeys/rename", "token", token, "id", id, "name", "Desk")
	if p := b.get("/account/factors/remove?id=" + id); !strings.Contains(p.body, "Desk") {
		t.Fatal("the question does not say which")
	}
	ada.MFA = "required"
	if p := b.post("/account/factors/remove", "token", token, "id", id); p.status != http.StatusConflict {
		t.Fatalf("the last factor: %d", p.status)
	}
	ada.MFA = ""
	if p := b.post("/account/factors/remove", "token", token, "id", id); p.to != "/account/factors" || len(ada.factors) != 1 {
		t.Fatalf("to %q", p.to)
	}
	if p := b.post("/account/factors/recovery", "token", token); strings.Count(p.body, "k7qm-x2vd") != 10 {
		t.Fatal("not ten codes")
	}
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	s := newSite(t)
	b, other := s.browser(), s.browser()
	token := b.signIn("ada@example.com")
	other.signIn("ada@example.com")
	page := b.get("/account/sessions")
	if strings.Count(page.body, "<tr>") != 3 || strings.Count(page.body, "This one") != 1 {
		t.Fatal("not both sessions, one of them this one")
	}
	if p := b.post("/account/sessions/end", "token", token, "id", b.field(page, "id")); p.to != "/account/sessions" {
		t.Fatalf("to %q", p.to)
	}
	if p := other.get(home); p.status != http.StatusSeeOther {
		t.Fatal("the session that was ended still opens pages")
	}
	other.signIn("ada@example.com")
	b.post("/account/sessions/others", "token", token)
	if p := other.get(home); p.status != http.StatusSeeOther {
		t.Fatal("one of all others still opens pages")
	}
	if p := b.get(home); p.status != http.StatusOK {
		t.Fatal("ending all others ended this one")
	}
}

func TestSignOutEndsTheSessionOrSaysThatItDidNot(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	token := b.signIn("ada@example.com")
	s.people.fail = nil
	cookie := b.cookies[sessionCookie]
	if p := b.post("/logout", "token", token); p.to != "/login" || b.signedIn() || len(s.people.sessions) != 0 {
		t.Fatalf("to %q", p.to)
	}
	if p := b.get("/login"); !strings.Contains(p.body, "You are signed out.") {
		t.Fatal("nothing is said about it")
	}
	b.cookies[sessionCookie] = cookie
	if p := b.get(home); p.status != http.StatusSeeOther {
		t.Fatal("the old cookie opens pages")
	}
}

func TestDevicesAreNamedInWords(t *testing.T) {
	for agent, want := range map[string]string{
		"": "Unknown program",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"python-requests/2.32":  "python-requests/2.32",
		"ona/1 (extra)":         "ona/1",
		strings.Repeat("é", 60): strings.Repeat("é", 30) + "…",
	} {
		if got := device(agent); got != want {
			t.Errorf("%q is %q", agent, got)
		}
	}
}
