package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// exposed are the fields of an answer that scripts of other origins may read.
const exposed = "Keystile-Request-Id, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"

// corsFields are what a route's cross-origin policy decides alone: with two
// accounts of it a browser would take the laxer one or fail.
var corsFields = []string{
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Headers", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Access-Control-Allow-Private-Network",
}

// allowedOrigin is the value of Access-Control-Allow-Origin for an origin, or
// "". Origins are compared byte for byte, as browsers serialise them (Fetch
// standard, 3.3.5).
func allowedOrigin(c *keystile.RouteCORS, origin string) string {
	switch {
	case origin == "":
		return ""
	case slices.Contains(c.Origins, "*"):
		return "*"
	case origin != "null" && slices.Contains(c.Origins, origin):
		return origin
	}
	return ""
}

// setCORS writes a route's cross-origin policy onto an answer. Credentials mode
// is never allowed: a bearer credential is a header field that a script sets,
// not a cookie, and needs none.
func setCORS(h http.Header, route *keystile.Route, origin string) {
	if route == nil || route.CORS == nil {
		return
	}
	for _, name := range corsFields {
		delete(h, name)
	}
	allowed := allowedOrigin(route.CORS, origin)
	if allowed != "*" {
		h.Add("Vary", "Origin")
	}
	if allowed == "" {
		return
	}
	h["Access-Control-Allow-Origin"] = []string{allowed}
	h["Access-Control-Expose-Headers"] = []string{exposed}
}

// answerPreflight answers a CORS preflight (Fetch standard, 3.2.2) and says
// whether it did. A preflight has no credential, so it is answered before the
// gate; one that no route allows goes on to the gate like any other request.
func (h *Handler) answerPreflight(w http.ResponseWriter, r *keystile.Request) bool {
	if h.preflight == nil || !isPreflight(r) {
		return false
	}
	origins, methods := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
	route, ok := h.preflight(r)
	if !ok || route == nil || route.CORS == nil {
		return false
	}
	allowed := allowedOrigin(route.CORS, origins[0])
	if allowed == "" {
		return false
	}
	header := w.Header()
	header["Access-Control-Allow-Origin"] = []string{allowed}
	header["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	if len(route.Match.Methods) > 0 {
		header["Access-Control-Allow-Methods"] = []string{strings.Join(route.Match.Methods, ", ")}
	} else if isToken(methods[0]) {
		header["Access-Control-Allow-Methods"] = methods[:1:1]
	}
	if len(route.CORS.Headers) > 0 {
		header["Access-Control-Allow-Headers"] = []string{strings.Join(route.CORS.Headers, ", ")}
	}
	if route.CORS.MaxAge > 0 {
		header["Access-Control-Max-Age"] = []string{strconv.FormatInt(int64(route.CORS.MaxAge/time.Second), 10)}
	}
	header[enforce.HeaderRequestID] = []string{r.ID}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// isPreflight says whether r is a CORS preflight (Fetch standard, 3.2.2). No
// browser sends two origins or two methods: that is not answered as one.
func isPreflight(r *keystile.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) == 1 && len(r.Header["Access-Control-Request-Method"]) == 1
}

// isToken is token of RFC 9110, 5.6.2, without the characters no method has.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
