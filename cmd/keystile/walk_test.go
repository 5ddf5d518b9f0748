package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

var actorOfTest = store.Actor{Name: "test"}

var newTestToken = manage.NewAdminToken{Name: "test"}

// openToAll is every path that answers a stranger. A path that is not here and
// answers is a hole; whoever opens one says so here.
var openToAll = map[string]bool{
	"/healthz": true, "/readyz": true, "/v1/openapi.json": true, "/v1/docs": true, "/.well-known/jwks.json": true, "/login": true,
	"/.well-known/openid-configuration": true, "/.well-known/oauth-authorization-server": true,
}

// ownKeyPaths are what an API key opens: it reads about itself, and ends itself.
var ownKeyPaths = map[string]bool{"/v1/keys/self": true, "/v1/keys/self/revoke": true}

var everyMethod = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"}

// invocation is a path whose answer is in an envelope.
const invocation = ona.InvokePath + "ona-user-auth-prod/invocations"

// answers says whether a request got what the path is for.
func answers(path string, w *httptest.ResponseRecorder) bool {
	refused := strings.Contains(w.Body.String(), `"statusCode":4`)
	return w.Code < 400 && (path != invocation || !refused)
}

// turnedAway says whether a page sent its visitor to sign in, or what was posted to it
// on to itself, where a GET is refused in turn.
func turnedAway(method, path string, w *httptest.ResponseRecorder) bool {
	to := w.Header().Get("Location")
	return w.Code == http.StatusSeeOther && (strings.HasPrefix(to, "/login") || method == http.MethodPost && to == path)
}

// ownPaths is every path the server serves itself: what the dispatcher lists,
// and each operation of the management API.
func ownPaths(t *testing.T, r *running) []string {
	t.Helper()
	endpoints := must(r.endpoints())(t)
	var paths []string
	for _, e := range endpoints {
		paths = append(paths, e.path)
		if strings.HasSuffix(e.path, "/") {
			paths = append(paths, e.path+"nothing", e.path+"keys/self/nothing")
		}
		if strings.HasSuffix(e.path, ona.Prefix) {
			for _, name := range ona.Endpoints() {
				paths = append(paths, e.path+name)
			}
		}
		if e.path == ona.InvokePath {
			paths = append(paths, invocation)
		}
	}
	management := must(api.New(r.apiOptions()))(t)
	for _, op := range management.Operations() {
		paths = append(paths, strings.ReplaceAll(op.Path, "{id}", "key_good"))
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if len(paths) < 20 {
		t.Fatalf("only %d paths: %q", len(paths), paths)
	}
	return paths
}

func TestThreat39_WithoutATokenOnlyTheListedPathsAnswer(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	wrong := map[string]http.Header{
		"nothing":                {},
		"an unknown token":       bearerOf("kadm_00000000000000000000000000000000000000"),
		"a token cut short":      bearerOf(r.token[:len(r.token)-1]),
		"a token and more":       bearerOf(r.token + "0"),
		"an API key":             bearerOf(goodKey),
		"an API key in its own":  keyHeader(goodKey),
		"a token as an API key":  keyHeader(r.token),
		"a password":             {"Authorization": {"Basic YWRtaW46YWRtaW4="}},
		"a cookie":               {"Cookie": {"token=" + r.token}},
		"two tokens":             {"Authorization": {"Bearer " + r.token, "Bearer " + r.token}},
		"a forwarded admin":      {"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-User": {"admin"}, "Keystile-Subject": {"admin"}},
		"a method in disguise":   {"X-Http-Method-Override": {"GET"}},
		"a path in disguise":     {"X-Original-Url": {"/healthz"}, "X-Rewrite-Url": {"/healthz"}},
		"an origin of elsewhere": {"Origin": {"https://evil.example"}},
	}
	for _, path := range ownPaths(t, r) {
		for _, method := range everyMethod {
			for what, header := range wrong {
				w := r.ask(r.public, asked{method: method, target: path, header: header, body: "{}"})
				answered := answers(path, w) && !turnedAway(method, path, w)
				ownKey := ownKeyPaths[path] && (what == "an API key" || what == "an API key in its own")
				switch {
				case answered && !openToAll[path] && !ownKey:
					t.Errorf("%s %s with %s: %d %s", method, path, what, w.Code, w.Body)
				case openToAll[path] && method == "GET" && !answered && what == "nothing":
					t.Errorf("GET %s: %d", path, w.Code)
				case w.Code >= 500:
					t.Errorf("%s %s with %s: %d", method, path, what, w.Code)
				}
				for name := range w.Header() {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s %s invites another origin: %s", method, path, name)
					}
				}
			}
		}
	}
	if n := r.upstream.count(); n != 0 {
		t.Errorf("%d of these requests reached the upstream", n)
	}
}

func TestThreat39_NoSpellingOfAnOwnPathGetsPastItsGuard(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	for _, target := range []string{
		"/%76%31/keys", "/v1%2fkeys", "/v1//keys", "//v1/keys", "/./v1/keys", "/x/../v1/keys", "/v1/keys/", "/v1/./keys", "/V1/keys", "/v1/Keys",
		"/v1/keys;a=b", "/v1/keys%00", "/v1/keys?access_token=" + r.token, "/v1\\keys", "/%6detrics", "/metrics/", "/metrics;", "//metrics", "/Metrics",
		"/healthz/../v1/keys", "/healthz/..%2fv1/keys", "/v1/openapi.json/../keys", "/v1/openapi.json%2f..%2fkeys", "/.well-known/../v1/keys",
	} {
		w := r.ask(r.public, asked{target: target})
		if w.Code < 400 || w.Code >= 500 || strings.Contains(w.Body.String(), "key_good") {
			t.Errorf("GET %s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestThreat39_ThereAreNoDebuggingPages(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	for _, target := range []string{"/debug/pprof/", "/debug/vars", "/debug", "/status", "/admin/", "/docs", "/swagger", "/.git/config", "/config", "/"} {
		if w := r.ask(r.public, asked{target: target, from: "127.0.0.1"}); w.Code != 404 {
			t.Errorf("GET %s: %d", target, w.Code)
		}
	}
}

func TestThreat38_EveryOwnPathIsOneThatNoRouteMaySpeakFor(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	for _, e := range must(r.endpoints())(t) {
		covered := slices.ContainsFunc(ownPathsOf(r.cfg), func(builtin string) bool {
			return e.path == builtin || strings.HasSuffix(builtin, "/") && strings.HasPrefix(e.path, builtin)
		})
		if !covered {
			t.Errorf("%s is served and not kept from routes", e.path)
		}
	}
	for _, path := range []string{"/v1/**", "/**", "/*", "/metrics", "/healthz", "/forward-auth", "/v*/keys"} {
		cfg := *r.cfg
		cfg.Routes = slices.Clone(cfg.Routes)
		cfg.Routes[0].Match.Path = path
		cfg.Routes[0].ID = ""
		table, err := compileRoutes(&cfg, false, r.server.log)
		if err != nil {
			continue // refused at load: as good
		}
		// Taken: then the server's own answer comes first all the same.
		r.gate.Swap(table)
		for _, own := range []string{"/v1/keys", "/metrics", "/forward-auth"} {
			if w := r.ask(r.public, asked{target: own, header: keyHeader(goodKey)}); w.Code < 400 {
				t.Errorf("a route for %s answers %s: %d", path, own, w.Code)
			}
		}
	}
	if n := r.upstream.count(); n != 0 {
		t.Errorf("%d requests for own paths reached the upstream", n)
	}
}

func TestForwardAuthAnswersTrustedProxiesAlone(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	sent := http.Header{
		"X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Uri": {"/things/a"},
		"X-Forwarded-For": {"198.51.100.9"}, "X-Api-Key": {goodKey},
	}
	for from, status := range map[string]int{"192.0.2.77": 200, "192.0.2.78": 403, "127.0.0.1": 403, "198.51.100.9": 403, "::1": 403} {
		if w := r.ask(r.public, asked{target: "/forward-auth", from: from, header: sent}); w.Code != status {
			t.Errorf("from %s: %d, want %d: %s", from, w.Code, status, w.Body)
		}
	}
	sent.Del("X-Api-Key")
	if w := r.ask(r.public, asked{target: "/forward-auth", from: "192.0.2.77", header: sent}); w.Code != 401 {
		t.Errorf("without a key: %d", w.Code)
	}
}

func TestAdminListenMovesManagementAndMetricsAway(t *testing.T) {
	listen := freeAddress(t)
	r := startServer(t, "\nadmin_listen: "+listen+simpleRoutes, simpleWorld)
	moved := 0
	for _, path := range ownPaths(t, r) {
		if !strings.HasPrefix(path, "/v1") && path != "/metrics" {
			continue
		}
		moved++
		for _, header := range []http.Header{{}, bearerOf(r.token)} {
			for _, from := range []string{"192.0.2.1", "127.0.0.1"} {
				if w := r.ask(r.public, asked{target: path, from: from, header: header}); w.Code != 404 {
					t.Errorf("public GET %s from %s: %d", path, from, w.Code)
				}
			}
		}
	}
	if moved < 15 {
		t.Errorf("only %d paths were moved", moved)
	}
	for target, status := range map[string]int{
		"/v1/keys": 200, "/v1/openapi.json": 200, "/metrics": 200, "/healthz": 200, "/readyz": 200,
		"/forward-auth": 404, "/things/a": 404, "/.well-known/jwks.json": 404, "/": 404,
	} {
		header := bearerOf(r.token)
		header.Set("X-Api-Key", goodKey)
		if w := r.ask(r.admin, asked{target: target, header: header, host: listen}); w.Code != status {
			t.Errorf("admin GET %s: %d, want %d", target, w.Code, status)
		}
	}
	for _, target := range []string{"/v1/keys", "/metrics", "/v1/decisions"} {
		if w := r.ask(r.admin, asked{target: target}); w.Code != 401 {
			t.Errorf("admin GET %s without a token: %d", target, w.Code)
		}
	}
	for target, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/.well-known/jwks.json": 200, "/things/a": 200} {
		if w := r.ask(r.public, asked{target: target, header: keyHeader(goodKey)}); w.Code != status {
			t.Errorf("public GET %s: %d, want %d", target, w.Code, status)
		}
	}
	// Both really listen.
	r.url = "http://" + listen
	if status, _ := r.call("GET", "/v1/keys", bearerOf(r.token), ""); status != 200 {
		t.Errorf("the admin listener answers %d", status)
	}
}

func TestThreat39_MetricsAreForThisMachineAndForTokens(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	_, reader, err := r.beside().service.CreateAdminToken(t.Context(), actorOfTest, manage.NewAdminToken{Scopes: []keystile.Scope{"metrics:read"}})
	check(t, err)
	_, keysOnly, err := r.beside().service.CreateAdminToken(t.Context(), actorOfTest, manage.NewAdminToken{Scopes: []keystile.Scope{"keys:read"}})
	check(t, err)
	for name, c := range map[string]struct {
		from, host string
		header     http.Header
		status     int
	}{
		"this machine":                                   {"127.0.0.1", "127.0.0.1:8080", nil, 200},
		"this machine, another address of it":            {"127.1.2.3", "127.0.0.1", nil, 200},
		"this machine over IPv6":                         {"::1", "[::1]:8080", nil, 200},
		"this machine by name":                           {"127.0.0.1", "LocalHost:8080", nil, 200},
		"a page whose name was bound to this machine":    {"127.0.0.1", "evil.example:8080", nil, 401},
		"a name that begins like an address":             {"127.0.0.1", "127.0.0.1.evil.example", nil, 401},
		"a name that begins like this machine's":         {"127.0.0.1", "localhost.evil.example", nil, 401},
		"a name that ends like this machine's":           {"127.0.0.1", "evil.localhost", nil, 401},
		"an address in other digits":                     {"127.0.0.1", "0x7f.1:8080", nil, 401},
		"an address of nobody":                           {"127.0.0.1", "0.0.0.0:8080", nil, 401},
		"through a proxy on this machine":                {"127.0.0.1", "127.0.0.1:8080", http.Header{"X-Forwarded-For": {"198.51.100.9"}}, 401},
		"through a proxy, claiming to be this machine":   {"127.0.0.1", "127.0.0.1:8080", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 401},
		"through a proxy that says so in another way":    {"127.0.0.1", "127.0.0.1:8080", http.Header{"Forwarded": {"for=127.0.0.1"}}, 401},
		"through nginx":                                  {"127.0.0.1", "127.0.0.1:8080", http.Header{"X-Real-Ip": {"127.0.0.1"}}, 401},
		"through something that is only named":           {"127.0.0.1", "127.0.0.1:8080", http.Header{"Via": {"1.1 cache"}}, 401},
		"elsewhere":                                      {"198.51.100.9", "127.0.0.1:8080", nil, 401},
		"elsewhere, claiming to be this machine":         {"198.51.100.9", "127.0.0.1:8080", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 401},
		"a trusted proxy, for this machine":              {"192.0.2.77", "127.0.0.1:8080", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 401},
		"elsewhere with a token for metrics":             {"198.51.100.9", "auth.example.com", bearerOf(reader.Reveal()), 200},
		"elsewhere with a token for other things":        {"198.51.100.9", "auth.example.com", bearerOf(keysOnly.Reveal()), 403},
		"through a proxy with a token for metrics":       {"127.0.0.1", "evil.example", http.Header{"X-Forwarded-For": {"198.51.100.9"}, "Authorization": {"Bearer " + reader.Reveal()}}, 200},
		"a page bound to this machine with a wrong word": {"127.0.0.1", "evil.example", bearerOf("kadm_wrong"), 401},
	} {
		w := r.ask(r.public, asked{target: "/metrics", from: c.from, host: c.host, header: c.header})
		if shown := strings.Contains(w.Body.String(), "keystile_warm_credentials"); w.Code != c.status || shown != (c.status == 200) {
			t.Errorf("%s: %d, want %d; shown: %v", name, w.Code, c.status, shown)
		}
	}
	// A proxy as nginx is without settings tells nothing but an old protocol.
	old := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", http.NoBody)
	old.Host, old.RemoteAddr, old.Proto, old.ProtoMajor, old.ProtoMinor = "127.0.0.1:8080", "127.0.0.1:40000", "HTTP/1.0", 1, 0
	w := httptest.NewRecorder()
	r.public.ServeHTTP(w, old)
	if w.Code != 401 {
		t.Errorf("through a proxy that speaks HTTP/1.0: %d", w.Code)
	}
}

func TestAHostThatRoutesNameBelongsToTheGateway(t *testing.T) {
	r := startServer(t, `
public_url: http://auth.example.com
routes:
  - match:    {host: api.example.com, path: /v1/**}
    upstream: "{upstream}"
    accept:   [api_key]
  - match:    {host: api.example.com, path: /metrics}
    upstream: "{upstream}"
    accept:   [api_key]
`, simpleWorld)
	for _, host := range []string{"api.example.com", "api.example.com:8080", "API.Example.COM", "api.example.com.", "api.example.com.:8080"} {
		for _, path := range []string{"/v1/keys", "/v1/openapi.json", "/v1/decisions", "/metrics"} {
			before := r.upstream.count()
			w := r.ask(r.public, asked{target: path, host: host, header: keyHeader(goodKey)})
			if w.Code != 200 || w.Body.String() != "the upstream's answer" || r.upstream.count() != before+1 {
				t.Errorf("%s%s: %d %s", host, path, w.Code, w.Body)
			}
			if w := r.ask(r.public, asked{target: path, host: host}); w.Code != 401 || r.upstream.count() != before+1 {
				t.Errorf("%s%s without a key: %d", host, path, w.Code)
			}
			// An admin token is no key of that API.
			if w := r.ask(r.public, asked{target: path, host: host, header: bearerOf(r.token)}); w.Code != 401 {
				t.Errorf("%s%s with an admin token: %d", host, path, w.Code)
			}
		}
		if w := r.ask(r.public, asked{target: "/healthz", host: host}); w.Code != 404 {
			t.Errorf("%s/healthz is the API's: %d", host, w.Code)
		}
	}
	for _, host := range []string{"auth.example.com", "AUTH.example.com.:80", "127.0.0.1:8080", "localhost", "other.example.com"} {
		if w := r.ask(r.public, asked{target: "/v1/keys", host: host, header: bearerOf(r.token)}); w.Code != 200 || !strings.Contains(w.Body.String(), "key_good") {
			t.Errorf("%s/v1/keys: %d", host, w.Code)
		}
		if w := r.ask(r.public, asked{target: "/v1/keys", host: host, header: keyHeader(goodKey)}); w.Code != 401 {
			t.Errorf("%s/v1/keys with an API key: %d", host, w.Code)
		}
	}
}
