// Package siteplanner is a small website that people sign in to with Keystile: an OAuth
// client as its maker builds it, in one file, with the standard library alone.
//
//	browser ── GET / ──303──> platform /oauth/authorize      state, PKCE challenge
//	        <──303── GET /callback?code=…&state=…&iss=…
//	                   │ POST /oauth/token                   code, verifier, client secret
//	                   │ GET  /api/v2/me, /api/v2/sites      with the access token
//	                   └ the page
//
// What was sent along and the token stay on this side: the browser has a cookie that
// names a sign-in which has begun. It is for the demo and tests.
package siteplanner

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options say who the client is and where its users sign in.
type Options struct {
	// Platform is the authorization server and the API: scheme, host and port.
	Platform string
	// ClientID and ClientSecret are the client's own.
	ClientID, ClientSecret string
	// RedirectURI is where /callback of this handler is, as it was registered.
	RedirectURI func() string
	// Now is the clock.
	Now func() time.Time
}

const (
	// cookieName is of this application alone: ports share the cookies of a host.
	cookieName = "site_planner"
	// maxBegun bounds how many sign-ins are remembered, and begunLife for how long.
	maxBegun  = 1000
	begunLife = 10 * time.Minute
	// maxAnswer bounds what is read from the platform, in bytes.
	maxAnswer = 1 << 20
	timeout   = 10 * time.Second
)

// begun is a sign-in that one browser began here.
type begun struct {
	state, verifier string
	until           time.Time
}

type planner struct {
	options Options
	client  *http.Client
	mu      sync.Mutex
	begun   map[string]begun
}

// Handler serves GET /, which leads to the sign-in, and GET /callback, the page.
func Handler(o Options) http.Handler {
	p := &planner{options: o, client: &http.Client{Timeout: timeout}, begun: map[string]begun{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.begin)
	mux.HandleFunc("GET /callback", p.finish)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Write(style) //nolint:errcheck,gosec // the browser went away
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// begin leads to the platform's sign-in, with what only this browser's answer may hold.
func (p *planner) begin(w http.ResponseWriter, r *http.Request) {
	name, one := rand.Text(), begun{state: rand.Text(), verifier: rand.Text() + rand.Text(), until: p.options.Now().Add(begunLife)}
	p.mu.Lock()
	for other, old := range p.begun {
		if !p.options.Now().Before(old.until) || len(p.begun) >= maxBegun {
			delete(p.begun, other)
		}
	}
	p.begun[name] = one
	p.mu.Unlock()
	challenge := sha256.Sum256([]byte(one.verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {p.options.ClientID}, "redirect_uri": {p.options.RedirectURI()}, "scope": {"openid sites:read"}, "state": {one.state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: name, Path: "/callback", HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // G124: the demo has no TLS
	http.Redirect(w, r, p.options.Platform+"/oauth/authorize?"+query.Encode(), http.StatusSeeOther)
}

// take is the sign-in that this browser began: it is answered once.
func (p *planner) take(r *http.Request) (begun, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return begun{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.begun[cookie.Value]
	delete(p.begun, cookie.Value)
	return one, ok && p.options.Now().Before(one.until)
}

// finish checks that the answer is to what this browser asked, and came from the platform
// (RFC 9207), and shows who signed in.
func (p *planner) finish(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	one, ok := p.take(r)
	switch {
	case !ok || query.Get("state") != one.state || query.Get("iss") != p.options.Platform:
		render(w, http.StatusBadRequest, page{Problem: "This sign-in was not begun here, or took too long."})
		return
	case query.Get("code") == "":
		render(w, http.StatusForbidden, page{Problem: "You were not let in: " + query.Get("error_description")})
		return
	}
	shown, err := p.read(r.Context(), query.Get("code"), one.verifier)
	if err != nil {
		render(w, http.StatusBadGateway, page{Problem: "The platform does not answer as expected."})
		return
	}
	render(w, http.StatusOK, shown)
}

// read exchanges the code and reads who the user is, and their sites.
func (p *planner) read(ctx context.Context, code, verifier string) (page, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.options.RedirectURI()}, "code_verifier": {verifier}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.options.Platform+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return page{}, fmt.Errorf("exchange the code: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(p.options.ClientID, p.options.ClientSecret)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := p.ask(r, &token); err != nil {
		return page{}, err
	}
	var me struct {
		Data struct {
			Attributes struct {
				Email string `json:"email"`
			} `json:"attributes"`
		} `json:"data"`
	}
	var list struct {
		Data []site `json:"data"`
	}
	err = errors.Join(p.get(ctx, "/api/v2/me", token.AccessToken, &me), p.get(ctx, "/api/v2/sites", token.AccessToken, &list))
	return page{Name: me.Data.Attributes.Email, Sites: list.Data}, err
}

func (p *planner) get(ctx context.Context, path, token string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.options.Platform+path, nil)
	if err != nil {
		return fmt.Errorf("ask the platform: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return p.ask(r, into)
}

// ask sends a request to the platform and reads its JSON.
func (p *planner) ask(r *http.Request, into any) (err error) {
	answer, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the platform: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the platform answers %s", answer.Status)
	}
	return json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into)
}

// site is one site, as the platform's API has it.
type site struct {
	Attributes struct {
		Name string `json:"name"`
		City string `json:"city"`
	} `json:"attributes"`
}

// page is what page.html shows: a person and their sites, or what went wrong.
type page struct {
	Problem, Name string
	Sites         []site
}

var (
	//go:embed page.html
	source string
	//go:embed style.css
	style []byte
	shown = template.Must(template.New("page").Parse(source))
)

func render(w http.ResponseWriter, status int, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	shown.Execute(w, p) //nolint:errcheck,gosec // the browser went away
}
