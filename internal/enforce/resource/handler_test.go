package resource_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/resource"
)

func route(host, pattern string, kind keystile.KindName, scopes ...keystile.Scope) keystile.Route {
	return keystile.Route{Match: keystile.RouteMatch{Host: host, Path: pattern}, Accept: []keystile.KindName{kind}, Scopes: scopes}
}

var routes = []keystile.Route{
	route("", "/mcp", keystile.KindOAuthToken, "mcp:use"),
	route("", "/v1/sites/*", keystile.KindOAuthToken, "sites:read"),
	route("", "/v1/sites/**", keystile.KindOAuthToken, "sites:write", "sites:read"),
	route("", "/keys/**", keystile.KindAPIKey, "secret:scope"),
	route("other.example.com", "/other/**", keystile.KindOAuthToken, "other:read"),
}

func serve(t *testing.T, list []keystile.Route) *resource.Handler {
	t.Helper()
	h, err := resource.New(resource.Options{
		Routes: func() []keystile.Route { return list }, Issuer: "https://auth.example.com",
		Trust: trusting("192.0.2.7"), Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func trusting(text string) enforce.Trust {
	return enforce.Trust{Proxies: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(text), 32)}}
}

// ask asks for a path at a host as a caller over TLS does.
func ask(h http.Handler, method, host, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Host, r.TLS = host, &tls.ConnectionState{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryResourceNamesItselfItsServerAndItsScopes(t *testing.T) {
	h := serve(t, routes)
	for path, want := range map[string]struct {
		host, resource string
		scopes         []string
	}{
		"/mcp":      {"api.example.com", "https://api.example.com/mcp", []string{"mcp:use"}},
		"/v1/sites": {"api.example.com:8443", "https://api.example.com:8443/v1/sites", []string{"sites:read", "sites:write"}},
		"":          {"api.example.com:443", "https://api.example.com", []string{"mcp:use", "sites:read", "sites:write"}},
		"/other":    {"OTHER.example.com", "https://other.example.com/other", []string{"other:read"}},
	} {
		w := ask(h, http.MethodGet, want.host, enforce.MetadataPath+path)
		var got struct {
			Resource string
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
			Methods  []string `json:"bearer_methods_supported"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Fatalf("%s: %d %s %v", path, w.Code, w.Body, err)
		}
		if got.Resource != want.resource || !slices.Equal(got.Scopes, want.scopes) || !slices.Equal(got.Servers, []string{"https://auth.example.com"}) || !slices.Equal(got.Methods, []string{"header"}) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if w := ask(h, http.MethodHead, "api.example.com", enforce.MetadataPath); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", w.Code, w.Body)
	}
}

func TestWhatIsNoResourceHasNoMetadata(t *testing.T) {
	h := serve(t, routes)
	for path, status := range map[string]int{
		"/v1": http.StatusNotFound, "/v1/sites/42": http.StatusNotFound, "/keys": http.StatusNotFound, "/other": http.StatusNotFound, "/mcp/": http.StatusNotFound,
		"/": http.StatusNotFound, "/MCP": http.StatusNotFound, "/%6dcp": http.StatusNotFound, "x": http.StatusTeapot, "-2/mcp": http.StatusTeapot,
	} {
		if w := ask(h, http.MethodGet, "api.example.com", enforce.MetadataPath+path); w.Code != status {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(h, http.MethodPost, "api.example.com", enforce.MetadataPath); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", w.Code)
	}
	if w := ask(h, http.MethodGet, "api.example.com", "/mcp"); w.Code != http.StatusTeapot {
		t.Errorf("the resource itself: %d", w.Code)
	}
}

// An API that describes itself goes on doing so where no route takes our tokens.
func TestAHostWithoutARouteThatTakesTokensIsLeftToItsUpstream(t *testing.T) {
	h := serve(t, []keystile.Route{route("", "/keys/**", keystile.KindAPIKey), route("other.example.com", "/x", keystile.KindOAuthToken)})
	if w := ask(h, http.MethodGet, "api.example.com", enforce.MetadataPath+"/mcp"); w.Code != http.StatusTeapot {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestThreat16_OnlyATrustedProxySaysHowTheResourceWasReached(t *testing.T) {
	h := serve(t, routes)
	for peer, want := range map[string]string{"192.0.2.7:1": "https://api.example.com/mcp", "192.0.2.8:1": "http://api.example.com/mcp"} {
		r := httptest.NewRequest(http.MethodGet, enforce.MetadataPath+"/mcp", http.NoBody)
		r.Host, r.RemoteAddr = "api.example.com", peer
		r.Header.Set("X-Forwarded-Proto", "https")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var got struct{ Resource string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Resource != want {
			t.Errorf("from %s: %s %v", peer, w.Body, err)
		}
	}
}

func TestTheResourceOfARouteIsWhatItsPatternBeginsWith(t *testing.T) {
	for pattern, want := range map[string]string{
		"/**": "", "/": "", "/*": "", "/mcp": "/mcp", "/mcp/": "/mcp", "/v1/sites/**": "/v1/sites", "/v1/site-*": "/v1", "/v1/*/x/**": "/v1", "/a/b": "/a/b",
	} {
		if got := enforce.ResourcePath(pattern); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}
