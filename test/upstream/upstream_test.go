package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/internal/federation/federationtest"
	"keystile.dev/keystile/test/e2e/program"
)

const page = "../../docs/upstream-sign-in.md"

// house is a running server, set up as the page says, and the provider beside it.
type house struct {
	t          *testing.T
	dir        string
	executable string
	origin     string
	config     string
	server     *program.Process
	at         *federationtest.Provider
}

// blocks are the page's fenced blocks of a language, with the provider of the test in place of the example's.
func (h *house) blocks(language string) []string {
	h.t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		h.t.Fatal(err)
	}
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, strings.NewReplacer(
			"https://example.okta.com", h.at.URL, "client_id: 0oa1b2c3d4", "client_id: "+federationtest.ClientID, "--client-id 0oa1b2c3d4", "--client-id '"+federationtest.ClientID+"'",
			"the-client-secret", `"`+federationtest.ClientSecret+`"`,
		).Replace(match[1]))
	}
	return found
}

func (h *house) file(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// run runs a command line of the page, or one like it.
func (h *house) run(line string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*program.Patience)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-ec", line)
	c.WaitDelay = time.Second // what it started may hold its output open
	c.Dir = h.dir
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(h.executable)+":"+os.Getenv("PATH"), "KEYSTILE_CONFIG="+h.config)
	out, err := c.CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// executable is the keystile that runs.
var executable string

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "keystile-upstream-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if executable, err = program.Build(context.Background(), dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

const world = `
organizations:
  - {id: sibaya-power}
  - {id: strict, mfa: required}
users:
  - {id: user_ann, username: ann, email: ann@acme.example, organization: sibaya-power, password: seventeen otters juggle quietly}
`

func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), executable: executable}
	var err error
	address, err := program.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.origin = "https://localhost:" + address[strings.LastIndexByte(address, ':')+1:]
	var callbacks []string
	for _, name := range []string{"okta", "okta-too", "linking", "strict", "trusted"} {
		callbacks = append(callbacks, h.origin+"/login/with/"+name+"/callback")
	}
	if h.at, err = federationtest.New(callbacks...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.at.Close)
	h.run(h.executable + " init house")
	h.config = filepath.Join(h.dir, "house/keystile.yaml")
	h.file("house/keystile.yaml", fmt.Sprintf("listen: %s\npublic_url: %s\ntls: {mode: dev}\noutbound: {allow_private: [127.0.0.0/8]}\n", address, h.origin))
	h.file("client-secret.txt", federationtest.ClientSecret)
	h.file("world.yaml", world+h.blocks("yaml")[0])
	h.run("keystile apply -f world.yaml --yes")
	if h.server, err = program.Start(t.Context(), program.Command{Dir: h.dir, Argv: []string{h.executable, "serve", "--config", h.config}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.server.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(h.server.Stderr())
		}
	})
	if _, err := h.server.Listening(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// browser keeps cookies and follows redirects, as browsers do.
type browser struct {
	*http.Client
	h *house
}

func (h *house) browser() *browser {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // it is made by the server under test
	h.t.Cleanup(transport.CloseIdleConnections)
	return &browser{&http.Client{Jar: jar, Transport: transport, Timeout: program.Patience}, h}
}

// get is where a browser ends up, and what it reads there.
func (b *browser) get(address string) (at *url.URL, status int, body string) {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		b.h.t.Fatal(err)
	}
	answer, err := b.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	data, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		b.h.t.Fatal(err)
	}
	return answer.Request.URL, answer.StatusCode, string(data)
}

// signIn goes to a provider and back, and wants to be at a path.
func (b *browser) signIn(provider, path string, status int) string {
	b.h.t.Helper()
	at, got, body := b.get(b.h.origin + "/login/with/" + provider)
	if at.Path != path || got != status {
		b.h.t.Errorf("%s leads to %s with %d, not to %s with %d:\n%s", provider, at.Path, got, path, status, body)
	}
	return body
}

// stopBefore has the browser stop before it follows a redirect to our callback, and returns where it would go.
func (b *browser) stopBefore(provider string) string {
	b.h.t.Helper()
	var stopped string
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			stopped = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.CheckRedirect = nil }()
	b.get(b.h.origin + "/login/with/" + provider)
	if stopped == "" {
		b.h.t.Fatal("the provider did not send the browser back")
	}
	return stopped
}

func (h *house) person(claims map[string]any) {
	h.at.Change(func(p *federationtest.Provider) { p.Person = claims })
}

func TestThePageLeadsToASignInAtAProvider(t *testing.T) {
	h := open(t)
	for _, block := range h.blocks("sh") {
		h.run(block)
	}
	if _, _, body := h.browser().get(h.origin + "/login"); strings.Count(body, ">Sign in with Okta</a>") != 2 {
		t.Errorf("the sign-in page has not both buttons:\n%s", body)
	}
	h.person(map[string]any{"sub": "1", "email": "zola@acme.example", "email_verified": true, "name": "Zola"})
	b := h.browser()
	if body := b.signIn("okta", "/account", http.StatusOK); !strings.Contains(body, "zola@acme.example") {
		t.Errorf("somebody else is signed in:\n%s", body)
	}
	// The same person by the subject, whatever address it comes with; and one user is made, not two.
	h.person(map[string]any{"sub": "1", "email": "other@acme.example", "email_verified": true})
	if body := h.browser().signIn("okta", "/account", http.StatusOK); !strings.Contains(body, "zola@acme.example") {
		t.Errorf("the second time:\n%s", body)
	}
	if list := h.run("keystile user list -o json"); strings.Count(list, `"username"`) != 2 {
		t.Errorf("the users are %s", list)
	}
	// Disabling ends the session and the button.
	h.run("keystile provider disable okta")
	if err := program.Until(t.Context(), func() error {
		if at, _, _ := b.get(h.origin + "/account"); at.Path != "/login" {
			return errors.New("the session outlives its provider")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	h.browser().signIn("okta", "/login/with/okta", http.StatusNotFound)
	h.browser().signIn("nobody", "/login/with/nobody", http.StatusNotFound)
	// What is exported is taken back without a change, and shows no secret.
	export := h.run("keystile export")
	h.file("export.yaml", export)
	if out := h.run("keystile apply -f export.yaml --yes"); !strings.Contains(out, "no changes") {
		t.Errorf("an export that is applied changes %s", out)
	}
	for what, text := range map[string]string{"export": export, "log": h.server.Stderr(), "list": h.run("keystile provider list -o json")} {
		if strings.Contains(text, federationtest.ClientSecret) || strings.Contains(text, "code-1") {
			t.Errorf("the %s shows the client secret or a code", what)
		}
	}
}

// more are providers beside the page's: one that links, one of an organisation that asks for a
// second factor, and one whose second factor counts.
func (h *house) more() {
	h.t.Helper()
	var b bytes.Buffer
	for _, p := range []struct{ name, organization, rest string }{
		{"linking", "sibaya-power", "link_by_email: true"}, {"strict", "strict", "unlisted: true"}, {"trusted", "strict", "trusted_amr: [mfa]"},
	} {
		fmt.Fprintf(&b, "  - {name: %s, organization: %s, issuer: %q, create_users: true, sign_in: {client_id: %q, client_secret: %q, %s}}\n",
			p.name, p.organization, h.at.URL, federationtest.ClientID, federationtest.ClientSecret, p.rest)
	}
	h.file("more.yaml", "identity_providers:\n"+b.String())
	h.run("keystile apply -f more.yaml --yes")
}

func TestThreat24_WhoMustHaveASecondFactorIsAskedForItAfterAProviderToo(t *testing.T) {
	h := open(t)
	h.more()
	h.person(map[string]any{"sub": "1", "email": "must@acme.example", "email_verified": true, "amr": []string{"pwd", "mfa"}})
	b := h.browser()
	b.signIn("strict", "/login/code", http.StatusOK)
	if at, _, _ := b.get(h.origin + "/account"); at.Path != "/login" {
		t.Errorf("without the second factor: at %s", at)
	}
	h.person(map[string]any{"sub": "2", "email": "trusted@acme.example", "email_verified": true, "amr": []string{"pwd", "mfa"}})
	h.browser().signIn("trusted", "/account", http.StatusOK)
	h.person(map[string]any{"sub": "3", "email": "weak@acme.example", "email_verified": true, "amr": []string{"pwd"}})
	h.browser().signIn("trusted", "/login/code", http.StatusOK)
}

func TestThreat35_NobodyBecomesAUserByAnAddressUnlessTheProviderLinksAndProvesIt(t *testing.T) {
	h := open(t)
	h.more()
	ann := map[string]any{"sub": "1", "email": "ann@acme.example", "email_verified": true}
	h.person(ann)
	body := h.browser().signIn("okta", "/login/with/okta/callback", http.StatusForbidden)
	if !strings.Contains(body, "Not signed in") {
		t.Errorf("the page says %s", body)
	}
	h.person(map[string]any{"sub": "1", "email": "ann@acme.example"})
	h.browser().signIn("linking", "/login/with/linking/callback", http.StatusForbidden)
	h.person(map[string]any{"sub": "1", "email": "ann@acme.example", "email_verified": false})
	h.browser().signIn("linking", "/login/with/linking/callback", http.StatusForbidden)
	h.person(ann)
	if body := h.browser().signIn("linking", "/account", http.StatusOK); !strings.Contains(body, "ann@acme.example") {
		t.Errorf("linked to %s", body)
	}
}

func TestThreat35_AnAnswerIsOfTheBrowserThatAskedAndGoodOnce(t *testing.T) {
	h := open(t)
	h.person(map[string]any{"sub": "1", "email": "zola@acme.example", "email_verified": true})
	mine, other := h.browser(), h.browser()
	callback := mine.stopBefore("okta")
	for what, address := range map[string]string{
		"another browser": callback, "an answer without a sign-in": h.origin + "/login/with/okta/callback?code=x&state=y",
	} {
		if at, status, _ := other.get(address); status != http.StatusForbidden || !strings.HasSuffix(at.Path, "/callback") {
			t.Errorf("%s: at %s with %d", what, at.Path, status)
		}
	}
	// A browser that began a sign-in of its own is not signed in with another's answer either.
	theirs := other.stopBefore("okta")
	if _, status, _ := other.get(callback); status != http.StatusForbidden {
		t.Errorf("another's answer: %d", status)
	}
	if _, status, _ := other.get(theirs); status != http.StatusForbidden {
		t.Errorf("one's own after it: %d; a sign-in that failed begins again", status)
	}
	if at, status, _ := mine.get(callback); at.Path != "/account" || status != http.StatusOK {
		t.Errorf("the right answer: at %s with %d", at.Path, status)
	}
	if _, status, _ := mine.get(callback); status != http.StatusForbidden {
		t.Errorf("the same answer again: %d", status)
	}
	if at, _, _ := mine.get(h.origin + "/account"); at.Path != "/account" {
		t.Error("a refused answer ends a session")
	}
}

func TestThreat12_AnswersOfOthersAndErrorsSignNobodyIn(t *testing.T) {
	h := open(t)
	for what, c := range map[string]struct {
		answer func(url.Values)
		says   string
	}{
		"another issuer": {func(a url.Values) { a.Set("iss", "https://evil.example") }, "could not be used"},
		"no state":       {func(a url.Values) { a.Del("state") }, "could not be used"},
		"two states":     {func(a url.Values) { a.Add("state", "x") }, "could not be used"},
		"cancelled":      {func(a url.Values) { a.Del("code"); a.Set("error", "access_denied") }, "was cancelled"},
		"an error": {func(a url.Values) {
			a.Set("error", "<script>alert(1)</script>")
			a.Set("error_description", "<b>x</b>")
		}, "could not be used"},
	} {
		h.at.Change(func(p *federationtest.Provider) { p.Answer = c.answer })
		body := h.browser().signIn("okta", "/login/with/okta/callback", http.StatusForbidden)
		if !strings.Contains(body, c.says) || strings.Contains(body, "alert(1)") || strings.Contains(body, "<b>x") {
			t.Errorf("%s: the page says %s", what, body)
		}
	}
	h.at.Change(func(p *federationtest.Provider) {
		p.Answer, p.Token = nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	})
	h.browser().signIn("okta", "/login/with/okta/callback", http.StatusServiceUnavailable)
}

func TestThreat13_AProviderOnAPrivateAddressIsNotReached(t *testing.T) {
	h := open(t)
	h.run("sed -i s/127.0.0.0/10.0.0.0/ house/keystile.yaml")
	if err := h.server.Kill(); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.server, err = program.Start(context.WithoutCancel(t.Context()), program.Command{Dir: h.dir, Argv: []string{h.executable, "serve", "--config", h.config}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.server.Listening(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.browser().signIn("okta", "/login/with/okta", http.StatusServiceUnavailable)
	if len(h.at.Requests()) != 0 {
		t.Error("the browser was sent there")
	}
}
