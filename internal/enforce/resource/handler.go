package resource

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/problem"
)

// Options configure a Handler. All are required.
type Options struct {
	// Routes are those in force.
	Routes func() []keystile.Route
	// Issuer is the authorization server that gives out the tokens.
	Issuer string
	// Trust says whose X-Forwarded-Proto counts.
	Trust enforce.Trust
	// Next serves everything else.
	Next http.Handler
}

// Handler serves the metadata of protected resources, and leaves the rest to the next one.
// It is safe for concurrent use.
type Handler struct{ o Options }

// New makes a Handler.
func New(o Options) (*Handler, error) {
	if o.Routes == nil || o.Issuer == "" || o.Next == nil {
		return nil, errors.New("protected resources: Routes, Issuer and Next are required")
	}
	return &Handler{o}, nil
}

// metadata is RFC 9728, section 2.
type metadata struct {
	Resource string   `json:"resource"`
	Servers  []string `json:"authorization_servers"`
	Scopes   []string `json:"scopes_supported,omitempty"`
	Methods  []string `json:"bearer_methods_supported"`
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	path, ours := strings.CutPrefix(hr.URL.EscapedPath(), enforce.MetadataPath)
	if !ours || path != "" && path[0] != '/' {
		h.o.Next.ServeHTTP(w, hr)
		return
	}
	routes := h.routes(hostName(hr.Host))
	if len(routes) == 0 {
		h.o.Next.ServeHTTP(w, hr)
		return
	}
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*") // it is for anybody to read, browsers' clients too
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if hr.Method != http.MethodGet && hr.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		problem.Write(w, problem.ForStatus(http.StatusMethodNotAllowed))
		return
	}
	scopes, found := scopesAt(routes, path)
	r, err := enforce.NewRequest(hr, keystile.PointGateway, h.o.Trust, "")
	if !found || err != nil {
		problem.Write(w, problem.ForStatus(http.StatusNotFound))
		return
	}
	body, err := json.Marshal(metadata{
		Resource: enforce.Origin(r.Scheme, r.Host) + path, Servers: []string{h.o.Issuer}, Scopes: scopes, Methods: []string{"header"},
	})
	if err != nil {
		problem.Write(w, problem.ForStatus(http.StatusInternalServerError))
		return
	}
	header.Set("Content-Type", "application/json")
	if hr.Method == http.MethodHead {
		return
	}
	w.Write(body) //nolint:errcheck,gosec // the caller has gone; it is JSON, with nosniff
}

// routes are those of a host that take access tokens.
func (h *Handler) routes(host string) (found []keystile.Route) {
	for _, route := range h.o.Routes() {
		if (route.Match.Host == "" || route.Match.Host == host) && slices.Contains(route.Accept, keystile.KindOAuthToken) {
			found = append(found, route)
		}
	}
	return found
}

// scopesAt are the scopes that the routes of the resource at a path ask for. The
// origin as a whole, the path "", has all of them; another path is a resource only if
// it is exactly where a route begins: metadata is for the resource it names, and for
// no other (RFC 9728, section 3.3).
func scopesAt(routes []keystile.Route, path string) (scopes []string, found bool) {
	for _, route := range routes {
		if path != "" && enforce.ResourcePath(route.Match.Path) != path {
			continue
		}
		found = true
		for _, scope := range route.Scopes {
			if !slices.Contains(scopes, string(scope)) {
				scopes = append(scopes, string(scope))
			}
		}
	}
	slices.Sort(scopes)
	return scopes, found
}

// hostName is the host of a Host field as routes write it: lower-case, without port and final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}
