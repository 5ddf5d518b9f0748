// Package roofviewer is a small embedded application: what a partner builds, in
// one file. A user opens it from their account, and it shows the designs of
// their organisation.
//
//	browser ──303──> GET /embed?aurora_session_token=…&aurora_tenant_id=…
//	                   │ POST …/create_token with the application key
//	                   └─ 303 ──> GET /   with a cookie of its own
//	                                │ GET /tenants/…/designs with the temporary key
//	                                └ the page
//
// The session token is spent before anything is shown and leaves the address
// bar; neither key ever reaches the browser. It is for the demo and tests.
package roofviewer

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"
)

// Options say who the application is and where it works.
type Options struct {
	// Platform is where exchanges and data are: scheme, host and port.
	Platform string
	// ApplicationID and Key are the application's own.
	ApplicationID, Key string
	// Now is the clock.
	Now func() time.Time
}

const (
	// cookieName is of this application alone: ports share the cookies of a host.
	cookieName = "roof_viewer"
	// maxVisits bounds how many people are remembered.
	maxVisits = 1000
	// maxAnswer bounds what is read from the platform, in bytes.
	maxAnswer = 1 << 20
	timeout   = 10 * time.Second
)

// visit is one person's use of it: the key of their tenant.
type visit struct {
	tenant, key string
	until       time.Time
}

type viewer struct {
	options Options
	client  *http.Client
	mu      sync.Mutex
	visits  map[string]visit
}

// Handler serves GET /embed, where it is opened, and GET /, the page.
func Handler(o Options) http.Handler {
	v := &viewer{options: o, client: &http.Client{Timeout: timeout}, visits: map[string]visit{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /embed", v.open)
	mux.HandleFunc("GET /{$}", v.show)
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

// uuid is what the platform calls tenants: nothing else becomes part of a path.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// open exchanges the session token and goes on to the page.
func (v *viewer) open(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	tenant, token := query.Get("aurora_tenant_id"), query.Get("aurora_session_token")
	if query.Get("application_id") != v.options.ApplicationID || !uuid.MatchString(tenant) || token == "" {
		render(w, http.StatusBadRequest, page{Problem: "Open this application from your account."})
		return
	}
	key, err := v.exchange(r.Context(), tenant, token)
	if err != nil {
		render(w, http.StatusForbidden, page{Problem: "You were not let in: the link was used already, or is too old. Open the application from your account once more."})
		return
	}
	name := rand.Text()
	v.remember(name, visit{tenant: tenant, key: key, until: v.options.Now().Add(time.Hour)})
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // G124: the demo has no TLS
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// remember keeps a visit and forgets those that are over.
func (v *viewer) remember(name string, one visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for other, old := range v.visits {
		if !v.options.Now().Before(old.until) || len(v.visits) >= maxVisits {
			delete(v.visits, other)
		}
	}
	v.visits[name] = one
}

// exchange spends a session token and returns a temporary key.
func (v *viewer) exchange(ctx context.Context, tenant, token string) (string, error) {
	var answer struct {
		Token struct {
			BearerToken string `json:"bearer_token"`
		} `json:"token"`
	}
	path := "/partner_applications/" + v.options.ApplicationID + "/tenants/" + tenant + "/create_token?" + url.Values{"session_token": {token}}.Encode()
	if err := v.ask(ctx, http.MethodPost, path, v.options.Key, &answer); err != nil {
		return "", err
	}
	if answer.Token.BearerToken == "" {
		return "", errors.New("the platform sent no key")
	}
	return answer.Token.BearerToken, nil
}

// ask sends a request to the platform with a bearer key and reads its JSON.
func (v *viewer) ask(ctx context.Context, method, path, key string, into any) (err error) {
	r, err := http.NewRequestWithContext(ctx, method, v.options.Platform+path, nil) //nolint:gosec // G704: the host is configuration, the tenant in the path a UUID
	if err != nil {
		return fmt.Errorf("ask the platform: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := v.client.Do(r) //nolint:gosec // G704: as above
	if err != nil {
		return fmt.Errorf("ask the platform: %w", err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the platform answers %s", res.Status)
	}
	return json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into)
}

// design is one roof, as the platform's API has it.
type design struct {
	Name   string  `json:"name"`
	Panels int     `json:"panels"`
	SizeKW float64 `json:"system_size_kw"`
}

// show shows the designs of whoever opened it.
func (v *viewer) show(w http.ResponseWriter, r *http.Request) {
	one, ok := v.visit(r)
	if !ok {
		render(w, http.StatusForbidden, page{Problem: "Open this application from your account."})
		return
	}
	var answer struct {
		Designs []design `json:"designs"`
	}
	if err := v.ask(r.Context(), http.MethodGet, "/tenants/"+one.tenant+"/designs", one.key, &answer); err != nil {
		render(w, http.StatusBadGateway, page{Problem: "The designs cannot be read: your organisation may have withdrawn its yes."})
		return
	}
	render(w, http.StatusOK, page{Tenant: one.tenant, Designs: answer.Designs})
}

func (v *viewer) visit(r *http.Request) (visit, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return visit{}, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	one, ok := v.visits[cookie.Value]
	return one, ok && v.options.Now().Before(one.until)
}

// page is what page.html shows: designs, or what went wrong.
type page struct {
	Problem, Tenant string
	Designs         []design
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
