package enforce

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect"
	"keystile.dev/keystile/internal/dpop"
	"keystile.dev/keystile/internal/problem"
)

// challenge is the bare challenge of a 401 (RFC 6750, section 3): it names no
// error, because none may be named in a platform's dialect, and because a
// request without a credential has none.
const challenge = `Bearer realm="keystile"`

// WriteRefusal answers a request that d refuses: status, body in the dialect of
// the route (problem details where it names none), challenge, limits and
// Retry-After. Header fields that are already set, such as those of CORS, stay.
// d.Cause is never written. A decision that allows is answered with 503: a
// caller of this function has already decided not to go on.
func WriteRefusal(w http.ResponseWriter, hr *http.Request, d *keystile.Decision, requestID string) {
	if d.Allowed {
		refused := unavailable("an allowed request was refused")
		refused.Route = d.Route
		d = &refused
	}
	status := d.Status()
	h := w.Header()
	WriteLimits(h, d.Limit)
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", withMetadata(dpop.Challenge(Challenge(d), hr.Header), d))
	case http.StatusForbidden:
		if c := scopeChallenge(d); c != "" {
			h.Set("WWW-Authenticate", withMetadata(dpop.Challenge(c, hr.Header), d))
		}
	case http.StatusTooManyRequests:
		reset := d.Limit.Reset
		if d.Limit.Rate != nil {
			reset = min(reset, d.Limit.Rate.Window)
		}
		writeRetryAfter(h, reset)
	}
	writeBody(w, hr, status, d, requestID)
}

// WriteUpstreamError answers for an upstream that could not: 502, 504, or 413
// for a body that is too large to forward, in the route's dialect. route may be
// nil.
func WriteUpstreamError(w http.ResponseWriter, hr *http.Request, route *keystile.Route, status int, requestID string) {
	writeBody(w, hr, status, &keystile.Decision{Route: route}, requestID)
}

func writeBody(w http.ResponseWriter, hr *http.Request, status int, d *keystile.Decision, requestID string) {
	var contentType string
	var body []byte
	if spoken, ok := dialectOf(d.Route); ok {
		contentType, body = spoken.Refusal(status, d, hr.Header.Get("Accept"))
	} else {
		p := problem.ForDecision(d)
		if p.Status != status {
			p = problem.ForStatus(status)
		}
		p.RequestID = requestID
		contentType, body = problem.ContentType, p.JSON()
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	if requestID != "" {
		h[HeaderRequestID] = []string{requestID}
	}
	w.WriteHeader(status)
	if hr.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil { //nolint:gosec // JSON, typed so, with nosniff: nothing in it is run
		return // the caller has gone; the status was its answer
	}
}

func dialectOf(route *keystile.Route) (dialect.Dialect, bool) {
	if route == nil || route.Errors == "" || route.Errors == dialect.Problem {
		return nil, false
	}
	return dialect.Find(route.Errors)
}

// withMetadata adds where a token can be had, also in dialects: the platforms' own
// clients do not look at it, and others could not find out.
func withMetadata(c string, d *keystile.Decision) string {
	if d.ResourceMetadata == "" {
		return c
	}
	return c + `, resource_metadata="` + d.ResourceMetadata + `"`
}

// Challenge is WWW-Authenticate of a 401. A request without a credential
// gets no error code (RFC 6750, section 3.1); every other reason is
// invalid_token, so that a guesser cannot tell them apart.
//
// A step-up says so in dialects too: without it nobody could know what to do, and a
// platform's own clients do not look at it.
func Challenge(d *keystile.Decision) string {
	if d.StepUp {
		return stepUpChallenge(d.Route)
	}
	if _, ok := dialectOf(d.Route); ok || d.Reason == keystile.ReasonCredentialMissing {
		return challenge
	}
	return challenge + `, error="invalid_token"`
}

// stepUpChallenge asks for another sign-in (RFC 9470, section 3). The methods have
// no parameter of the standard's own: they are "amr" values (RFC 8176), not "acr".
func stepUpChallenge(route *keystile.Route) string {
	c := challenge + `, error="insufficient_user_authentication", error_description="sign in again"`
	if route == nil || route.Auth == nil {
		return c
	}
	if len(route.Auth.Methods) > 0 {
		methods := make([]string, len(route.Auth.Methods))
		for i, m := range route.Auth.Methods {
			methods[i] = string(m)
		}
		c += `, amr_values="` + strings.Join(methods, " ") + `"`
	}
	if age := route.Auth.MaxAge; age > 0 {
		c += `, max_age="` + strconv.FormatInt(int64(age/time.Second), 10) + `"`
	}
	return c
}

// scopeChallenge names the scopes that the route asks for (RFC 6750, section
// 3.1, insufficient_scope). A dialect has no such field.
func scopeChallenge(d *keystile.Decision) string {
	if d.Reason != keystile.ReasonScopeMissing {
		return ""
	}
	if _, ok := dialectOf(d.Route); ok {
		return ""
	}
	c := challenge + `, error="insufficient_scope"`
	if d.Route == nil {
		return c
	}
	var b strings.Builder
	for _, s := range d.Route.Scopes {
		if isScopeToken(string(s)) {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(string(s))
		}
	}
	if b.Len() == 0 {
		return c
	}
	return c + `, scope="` + b.String() + `"`
}

// isScopeToken is scope-token of RFC 6749, section 3.3.
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
