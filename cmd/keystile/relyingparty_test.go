package main

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

const (
	rpSecret   = "7d6f1c2b3a4958677d6f1c2b3a4958677d6f1c2b3a4958677d6f1c2b3a495867"
	rpCallback = "https://app.example.com/cb"
	rpWorld    = `organizations: [{id: nao-corp}, {id: roof-tools-inc}]
roles: [{id: role_site_admin, scopes: ["sites:*"]}]
users: [{username: ann@example.com, password: correct horse battery, organization: nao-corp, role_id: role_site_admin}]
applications:
  - {id: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c, name: Roof Tools, kind: backend, organization: roof-tools-inc, environment: production, review: approved, oauth: {client_id: roof-tools, client_secret: ` + rpSecret + `, scopes: [openid, profile, email], redirect_uris: ["` + rpCallback + `"]{more}}}
`
)

// startProvider runs a server with the client roof-tools; more are further members of it.
func startProvider(t *testing.T, configuration, more string) *running {
	t.Helper()
	if more != "" {
		more = ", " + more
	}
	return startServer(t, configuration, strings.ReplaceAll(rpWorld, "{more}", more))
}

// browser keeps the cookies of one person, as a browser does.
type browser struct {
	r       *running
	cookies map[string]string
}

func (r *running) browser() *browser { return &browser{r: r, cookies: map[string]string{}} }

func (b *browser) send(q asked) *httptest.ResponseRecorder {
	b.r.t.Helper()
	if q.header == nil {
		q.header = http.Header{}
	}
	var pairs []string
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	if len(pairs) > 0 {
		q.header.Set("Cookie", strings.Join(pairs, "; "))
	}
	w := b.r.ask(b.r.public, q)
	for _, c := range w.Result().Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

func (b *browser) open(target string) *httptest.ResponseRecorder {
	b.r.t.Helper()
	return b.send(asked{target: target})
}

func (b *browser) post(target string, form url.Values) *httptest.ResponseRecorder {
	b.r.t.Helper()
	return b.send(asked{method: http.MethodPost, target: target, body: form.Encode(), header: http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"},
	}})
}

func (b *browser) signIn() {
	b.r.t.Helper()
	if w := b.post("/login", url.Values{"username": {"ann@example.com"}, "password": {"correct horse battery"}}); w.Code != http.StatusSeeOther || len(b.cookies) == 0 {
		b.r.t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// fields are the hidden fields of a page.
func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

// authorization is an authorization request of roof-tools, with more parameters.
func authorization(more url.Values) string {
	q := url.Values{"response_type": {"code"}, "client_id": {"roof-tools"}, "redirect_uri": {rpCallback}, "state": {"xyz"}, "nonce": {"n-1"}, "scope": {"openid"}}
	for name, values := range more {
		q[name] = values
	}
	return "/oauth/authorize?" + q.Encode()
}

// allow answers a consent page.
func (b *browser) allow(page string) *httptest.ResponseRecorder {
	b.r.t.Helper()
	form := fields(page)
	form.Set("decision", "allow")
	return b.post("/oauth/consent", form)
}

// redeem exchanges a code.
func (r *running) redeem(code string) map[string]any {
	r.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {rpCallback}, "client_id": {"roof-tools"}, "client_secret": {rpSecret}}
	w := r.ask(r.public, asked{method: http.MethodPost, target: "/oauth/token", body: form.Encode(), header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}})
	return answerOf(r.t, w)
}

func answerOf(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	return body
}

func TestAnAnswerIsPostedByAPageThatHoldsNoScriptOfItsOwn(t *testing.T) {
	r := startProvider(t, "", "")
	b := r.browser()
	b.signIn()
	ask := authorization(url.Values{"response_mode": {"form_post"}, "state": {`"><script>alert(1)</script>`}})
	consent := b.open(ask)
	page := b.allow(consent.Body.String())
	text := page.Body.String()
	policy := page.Header().Get("Content-Security-Policy")
	form := fields(text)
	switch {
	case page.Code != http.StatusOK || !strings.Contains(text, `<form method="post" action="`+rpCallback+`" data-onward>`) || !strings.Contains(text, "<button"):
		t.Fatalf("%d %s", page.Code, text)
	case strings.Contains(text, "<script>") || !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, "form-action 'self' https://app.example.com;"):
		t.Errorf("%s\n%s", policy, text)
	case form.Get("iss") != issuerOf(r.cfg) || form.Get("state") != `"><script>alert(1)</script>`:
		t.Errorf("%v", form)
	}
	script := regexp.MustCompile(`<script src="([^"]+)" defer></script>`).FindStringSubmatch(text)
	if script == nil {
		t.Fatalf("no script in %s", text)
	}
	if w := b.open(script[1]); w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), "javascript") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got := r.redeem(form.Get("code")); got["id_token"] == nil {
		t.Errorf("%v", got)
	}
	// Remembered: the same page without a question. Wrong: an error in the same way.
	if again := fields(b.open(ask).Body.String()); again.Get("code") == "" {
		t.Errorf("%v", again)
	}
	if wrong := fields(b.open(authorization(url.Values{"response_mode": {"form_post"}, "prompt": {"none login"}})).Body.String()); wrong.Get("error") != "invalid_request" || wrong.Get("iss") == "" {
		t.Errorf("%v", wrong)
	}
}

// TestARequestMayBePosted (the plans' oidcc-ensure-post-request-succeeds): from another
// site, whose POST carries no cookie of ours.
func TestARequestMayBePosted(t *testing.T) {
	r := startProvider(t, "", "")
	path, query, _ := strings.Cut(authorization(nil), "?")
	w := r.browser().send(asked{method: http.MethodPost, target: path, body: query, header: http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://app.example.com"},
	}})
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), path+"?") {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Location"))
	}
	b := r.browser()
	b.signIn()
	if page := b.open(w.Header().Get("Location")); page.Code != http.StatusOK || !strings.Contains(page.Body.String(), `value="allow"`) {
		t.Errorf("%d %s", page.Code, page.Body)
	}
}

// TestAnIDTokenIsSignedByAKeyOfTheSet (the plans' oidcc-idtoken-signature, and what they
// look at in the keys of a server): the one that its kid names, and each key is a public
// one for signatures with a kid of its own.
func TestAnIDTokenIsSignedByAKeyOfTheSet(t *testing.T) {
	r := startProvider(t, "", "")
	b := r.browser()
	b.signIn()
	token := must(jws.Parse(b.enter()))(t)
	w := r.ask(r.public, asked{method: http.MethodGet, target: "/.well-known/jwks.json"})
	var served struct{ Keys []map[string]string }
	check(t, json.Unmarshal(w.Body.Bytes(), &served))
	kids := map[string]string{}
	for _, key := range served.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if key[private] != "" {
				t.Errorf("a key has %s", private)
			}
		}
		if kids[key["kid"]] != "" || key["kid"] == "" || key["use"] != "sig" || key["alg"] == "" {
			t.Errorf("%v", key)
		}
		kids[key["kid"]] = key["alg"]
	}
	if token.KeyID == "" || token.Algorithm != keystile.RS256 || kids[token.KeyID] != "RS256" || !must(jws.ParseSet(w.Body.Bytes()))(t).Verify(token) || w.Header().Get("Content-Type") == "" {
		t.Errorf("%+v of %v", token, kids)
	}
}

// TestAClientThatAsksForMoreThanThereIsIsToldSo: who is not signed in is shown the way
// first, and who has no passkey comes back without a code.
func TestAClientThatAsksForMoreThanThereIsIsToldSo(t *testing.T) {
	r := startProvider(t, "", "")
	b := r.browser()
	ask := authorization(url.Values{"acr_values": {"phr"}})
	to := must(url.Parse(b.open(ask).Header().Get("Location")))(t)
	if to.Path != "/login" || to.Query().Get("factor") != "passkey" {
		t.Errorf("%s", to)
	}
	b.signIn()
	back := must(url.Parse(b.open(ask).Header().Get("Location")))(t)
	if got := back.Query(); got.Get("error") != "unmet_authentication_requirements" || got.Get("iss") == "" || got.Get("state") != "xyz" {
		t.Errorf("%v", back)
	}
}

// payloadOf are the claims of a signed token, whose signature is not looked at.
func payloadOf(t *testing.T, token string) map[string]any {
	t.Helper()
	read := must(jws.Parse(token))(t)
	var claims map[string]any
	check(t, json.Unmarshal(read.Payload, &claims))
	return claims
}

// sidOf is the session that an ID token names.
func sidOf(t *testing.T, id string) string {
	t.Helper()
	return text(t, payloadOf(t, id), "sid")
}
