package siteplanner

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// platform redeems one code for a client that shows the verifier of the challenge it saw.
type platform struct {
	t   *testing.T
	url string
	// asked is the last authorization request.
	asked url.Values
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if id != "planner" || secret != "canary-secret" || r.PostFormValue("code") != "the-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != p.asked.Get("code_challenge") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		p.write(w, `{"access_token":"canary-token"}`)
	})
	for path, body := range map[string]string{
		"/api/v2/me": `{"data":{"attributes":{"email":"ann<b>@example.com"}}}`, "/api/v2/sites": `{"data":[{"attributes":{"name":"Central Station","city":"Toulouse"}}]}`,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer canary-token" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			p.write(w, body)
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *platform) write(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		p.t.Error(err)
	}
}

type browser struct {
	t        *testing.T
	client   *http.Client
	url      string
	platform *platform
}

func open(t *testing.T, now func() time.Time) *browser {
	t.Helper()
	p := newPlatform(t)
	s := httptest.NewServer(nil)
	t.Cleanup(s.Close)
	s.Config.Handler = Handler(Options{Platform: p.url, ClientID: "planner", ClientSecret: "canary-secret", RedirectURI: func() string { return s.URL + "/callback" }, Now: now})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, s.URL, p}
}

func (b *browser) get(path string) (answer *http.Response, body string) {
	b.t.Helper()
	answer, err := b.client.Get(b.url + path) //nolint:noctx // a test
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer, string(text)
}

// begin opens the site, which leads to the platform, and returns the good answer.
func (b *browser) begin() url.Values {
	b.t.Helper()
	answer, _ := b.get("/")
	to, err := answer.Location()
	if err != nil || !strings.HasPrefix(to.String(), b.platform.url+"/oauth/authorize?") {
		b.t.Fatalf("%v, %v", to, err)
	}
	b.platform.asked = to.Query()
	return url.Values{"code": {"the-code"}, "state": {to.Query().Get("state")}, "iss": {b.platform.url}}
}

func TestASignInShowsWhoItIsAndTheirSitesOnce(t *testing.T) {
	b := open(t, time.Now)
	good := b.begin()
	answer, body := b.get("/callback?" + good.Encode())
	if answer.StatusCode != http.StatusOK || !strings.Contains(body, "ann&lt;b&gt;@example.com") || !strings.Contains(body, "Central Station") || strings.Contains(body, "canary") {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	if answer, _ := b.get("/callback?" + good.Encode()); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("the same answer again: %d", answer.StatusCode)
	}
}

func TestAnAnswerToAnotherQuestionShowsNothing(t *testing.T) {
	now := time.Now()
	b := open(t, func() time.Time { return now })
	for name, change := range map[string]func(url.Values){
		"another state":  func(v url.Values) { v.Set("state", "x") },
		"no state":       func(v url.Values) { v.Del("state") },
		"another issuer": func(v url.Values) { v.Set("iss", "https://evil.example") },
		"no code":        func(v url.Values) { v.Del("code"); v.Set("error_description", "The user said no.") },
		"another code":   func(v url.Values) { v.Set("code", "x") },
		"too late":       func(url.Values) { now = now.Add(time.Hour) },
	} {
		answer := b.begin()
		change(answer)
		if got, body := b.get("/callback?" + answer.Encode()); got.StatusCode < 400 || strings.Contains(body, "Central Station") {
			t.Errorf("%s: %d %s", name, got.StatusCode, body)
		}
	}
}
