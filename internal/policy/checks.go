package policy

import (
	"net/http"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// errorBodies are the values of routes[].errors.
var errorBodies = []string{"ona", "aurora", "ownera", "nao", "problem"}

// maxObserve is how far ahead observe_until may lie: a route that enforces
// nothing is a state to leave.
const maxObserve = 90 * 24 * time.Hour

// checkCredentials checks what the route takes and asks of credentials.
func (c *compiler) checkCredentials(r, warn *report, route *keystile.Route) {
	if len(route.Accept) == 0 {
		r.add("accept", "name one or more of "+kindList(), "the route accepts no credential")
	}
	for i, kind := range route.Accept {
		switch {
		case !slices.Contains(keystile.KindNames, kind):
			r.add("accept", "use "+kindList(), "%q is not a kind of credential", kind)
		case slices.Contains(route.Accept[:i], kind):
			r.add("accept", "name it once", "%s is listed twice", kind)
		}
	}
	checkKeyPlaces(r, warn, route)
	switch route.Environment {
	case "", keystile.Production, keystile.Sandbox:
	default:
		r.add("environment", "use production or sandbox", "%q is not an environment", route.Environment)
	}
	checkRouteAuth(r, warn, route)
	for _, scope := range route.Scopes {
		if !validScope(string(scope)) {
			r.add("scopes", "write noun:verb, such as telemetry:read, or noun:*", "%q is not a scope", scope)
		}
	}
}

// checkKeyPlaces checks where API keys may stand besides the usual fields.
func checkKeyPlaces(r, warn *report, route *keystile.Route) {
	acceptsKeys := slices.Contains(route.Accept, keystile.KindAPIKey)
	if h := route.CredentialHeader; h != "" {
		if !isToken(h) || strings.Contains(h, "_") {
			r.add("credential_header", "use letters, digits and hyphens", "%q is not a header field name", h)
		}
		route.CredentialHeader = http.CanonicalHeaderKey(h)
		if !acceptsKeys {
			r.add("credential_header", "accept api_key, or remove it", "the field carries API keys, which the route does not accept")
		}
	}
	if q := route.CredentialQuery; q != "" {
		if !plainText(q) || strings.ContainsAny(q, " &=#;[]") {
			r.add("credential_query", "use letters, digits and underscores", "%q is not a parameter name", q)
		}
		if !acceptsKeys {
			r.add("credential_query", "accept api_key, or remove it", "the parameter carries API keys, which the route does not accept")
		}
		warn.add("credential_query", "let callers send a header field", "keys in URLs end up in logs and histories")
	}
}

// signedIn are the kinds whose credentials tell how a person signed in.
var signedIn = []keystile.KindName{keystile.KindSessionJWT, keystile.KindOAuthToken}

// minAuthAge is the shortest age of a sign-in that somebody can still meet.
const minAuthAge = 10 * time.Second

// checkRouteAuth checks what the route asks of a sign-in.
func checkRouteAuth(r, warn *report, route *keystile.Route) {
	auth := route.Auth
	if auth == nil {
		return
	}
	if len(auth.Methods) == 0 && auth.MaxAge == 0 {
		r.add("auth", "name methods, max_age or both", "asks for nothing")
	}
	checkAuthMethods(r, auth.Methods)
	if auth.MaxAge != 0 && auth.MaxAge < minAuthAge {
		r.add("auth.max_age", "use 10s or more, such as 10m", "nobody can sign in and ask within %s", auth.MaxAge)
	}
	able := 0
	for _, kind := range route.Accept {
		if slices.Contains(signedIn, kind) {
			able++
		}
	}
	switch {
	case able == 0:
		r.add("auth", "accept session_jwt, or remove it", "no kind of credential that the route accepts tells of a sign-in: every request would be refused")
	case able < len(route.Accept):
		warn.add("auth", "accept session_jwt alone", "credentials of other kinds tell of no sign-in and are refused")
	}
}

func checkAuthMethods(r *report, methods []keystile.AuthMethod) {
	for i, m := range methods {
		switch {
		case !slices.Contains(keystile.AuthMethods, m):
			r.add("auth.methods", "use pwd, otp, hwk, rec, key, fed or mfa", "%q is not a method of signing in", m)
		case slices.Contains(methods[:i], m):
			r.add("auth.methods", "name it once", "%s is listed twice", m)
		}
	}
}

func kindList() string {
	names := make([]string, len(keystile.KindNames))
	for i, k := range keystile.KindNames {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// validScope takes a name, or two with a colon between; the second may be "*".
func validScope(s string) bool {
	noun, verb, found := strings.Cut(s, ":")
	return len(s) <= 128 && scopeWord(noun) && (!found || verb == "*" || scopeWord(verb))
}

func scopeWord(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("._-", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// checkAnswers checks what the route answers by itself.
func (c *compiler) checkAnswers(r *report, route *keystile.Route) {
	if s := route.NotPermittedStatus; s != http.StatusForbidden && s != http.StatusNotFound {
		r.add("not_permitted_status", "use 403, or 404 where existence must not show", "%d is not a status for this", s)
	}
	if !slices.Contains(errorBodies, route.Errors) {
		r.add("errors", "use "+strings.Join(errorBodies, ", "), "%q is not a form of error body", route.Errors)
	}
	if route.CORS != nil {
		checkCORS(r, route.CORS)
	}
}

// checkLimits checks rates as ParseRate would have, for routes that did not
// come through it.
func checkLimits(r *report, route *keystile.Route) {
	for i, l := range route.Limits {
		if _, err := keystile.ParseRate(l.Rate.String(), l.Rate.Algorithm); err != nil {
			r.add("limit.rate", "write REQUESTS/WINDOW, such as 60/1m; above 10000 requests set algorithm: gcra",
				"%s is not a rate that can be kept: %s", l.Rate, err)
		}
		switch l.Per {
		case keystile.PerCredential, keystile.PerAddress, keystile.PerOrganization:
		default:
			r.add("limit.per", "use credential, address or organization", "%q is nothing limits count by", l.Per)
		}
		if l.OnOutage != "" && l.OnOutage != "local" && l.OnOutage != "refuse" {
			r.add("limit.on_outage", "use local or refuse", "%q is not a way to behave without shared counters", l.OnOutage)
		}
		if slices.ContainsFunc(route.Limits[:i], func(o keystile.RouteLimit) bool {
			return o.Per == l.Per && o.Rate.Window == l.Rate.Window
		}) {
			r.add("limit", "keep the lower one", "two limits count per %s over the same window", l.Per)
		}
	}
}

// checkObserve bounds the time a route enforces nothing.
func (c *compiler) checkObserve(r, warn *report, route *keystile.Route) {
	if route.ObserveUntil.IsZero() {
		return
	}
	now := c.options.Now()
	switch left := route.ObserveUntil.Sub(now); {
	case left > maxObserve:
		r.add("observe_until", "name a time at most 90 days ahead", "%s is too far ahead: until then nothing is enforced",
			route.ObserveUntil.Format(time.RFC3339))
	case left > 0:
		warn.add("observe_until", "remove it to enforce now", "the route only observes and enforces nothing until %s",
			route.ObserveUntil.Format(time.RFC3339))
	default:
		warn.add("observe_until", "remove it", "%s is past: the route is enforced", route.ObserveUntil.Format(time.RFC3339))
	}
}
