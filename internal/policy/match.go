package policy

import (
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// Match is the route that speaks for a request, with what its wildcards took.
// It is a small value; the zero Match accepts no kind and authorizes nothing.
type Match struct {
	// Route is the route that matched. It is shared: do not change it.
	Route *keystile.Route
	entry *entry
	// path is the request's path, decoded.
	path string
}

// Path is the request's path as it was matched: decoded.
func (m *Match) Path() string { return m.path }

// Capture returns what the n-th wildcard of the route's path took, counted from
// 1, decoded. It reports false if the path has fewer wildcards.
func (m *Match) Capture(n int) (string, bool) {
	if m.entry == nil {
		return "", false
	}
	return m.entry.pattern.capture(m.path, n)
}

// Accepts says whether the route takes credentials of a kind.
func (m *Match) Accepts(kind keystile.KindName) bool {
	return m.Route != nil && slices.Contains(m.Route.Accept, kind)
}

// NeedsBody says whether Authorize reads the request's body: an enforcement
// point must then give Request.Body, which holds at most MaxBody bytes.
func (m *Match) NeedsBody() bool {
	return m.entry != nil && m.entry.resource != nil && m.entry.resource.place == placeJSON
}

// Authorize says whether a principal may do what the request asks for, and what
// that is. The order of the checks is fixed, so that a refusal has one reason
// whichever checks would fail: environment, address, whether the resource can
// be read at all, whether it is permitted, scopes, sign-in, condition. The resource is
// returned with refusals too, once it is known.
//
// It consumes nothing and is safe for concurrent use. now is used by conditions.
func (m *Match) Authorize(r *keystile.Request, p *keystile.Principal, now time.Time) (keystile.Resource, *keystile.Rejection) {
	var resource keystile.Resource
	if m.entry == nil || p == nil {
		return resource, keystile.Reject(keystile.ReasonNoRoute, "nothing to authorize: no route or no principal")
	}
	if rejection := checkCaller(m.Route, r, p); rejection != nil {
		return resource, rejection
	}
	if rejection := checkAudience(r, p); rejection != nil {
		return resource, rejection
	}
	if m.entry.resource != nil {
		var rejection *keystile.Rejection
		if resource, rejection = m.entry.resource.read(r, m); rejection != nil {
			return resource, rejection
		}
		if !p.Permits(resource) {
			return resource, keystile.Reject(keystile.ReasonResourceNotPermitted,
				fmt.Sprintf("the credential is not permitted %s %q", resource.Type, resource.ID))
		}
	}
	for _, scope := range m.Route.Scopes {
		if !p.HasScope(scope) {
			return resource, keystile.Reject(keystile.ReasonScopeMissing, fmt.Sprintf("the credential lacks the scope %q", scope))
		}
	}
	if rejection := checkAuth(m.Route.Auth, p, now); rejection != nil {
		return resource, rejection
	}
	if len(m.entry.conditions) > 0 {
		return resource, m.checkConditions(r, p, resource, now)
	}
	return resource, nil
}

// checkCaller checks what can be told of a caller whatever it asks for.
func checkCaller(route *keystile.Route, r *keystile.Request, p *keystile.Principal) *keystile.Rejection {
	if route.Environment != "" && p.Environment != route.Environment {
		return keystile.Reject(keystile.ReasonEnvironmentMismatch,
			fmt.Sprintf("the route is of %q, the credential of %q", route.Environment, p.Environment))
	}
	if !r.ClientAddr.IsValid() {
		return keystile.Reject(keystile.ReasonRequestInvalid, "the caller's address is not known")
	}
	if !p.AllowsAddress(r.ClientAddr) {
		return keystile.Reject(keystile.ReasonAddressNotAllowed, "the credential may not be used from "+r.ClientAddr.String())
	}
	return nil
}

// checkAuth checks how, and how long ago, the person signed in.
func checkAuth(auth *keystile.RouteAuth, p *keystile.Principal, now time.Time) *keystile.Rejection {
	switch {
	case auth == nil:
		return nil
	case p.UserID == "" || p.AuthenticatedAt.IsZero():
		return stepUp("the credential tells of no sign-in of a person")
	case len(auth.Methods) > 0 && !slices.ContainsFunc(auth.Methods, func(m keystile.AuthMethod) bool { return slices.Contains(p.Methods, m) }):
		return stepUp("none of the methods that the route asks for was proven")
	case auth.MaxAge > 0 && now.Sub(p.AuthenticatedAt) > auth.MaxAge:
		return stepUp(fmt.Sprintf("the sign-in is older than %s", auth.MaxAge))
	}
	return nil
}

func stepUp(cause string) *keystile.Rejection {
	return &keystile.Rejection{Reason: keystile.ReasonConditionFailed, Cause: cause, StepUp: true}
}

// checkConditions evaluates what the route asks beyond scopes and resources;
// every condition must hold.
func (m *Match) checkConditions(r *keystile.Request, p *keystile.Principal, resource keystile.Resource, now time.Time) *keystile.Rejection {
	host, _ := canonicalHost(r.Host)
	f := &facts{
		needs: m.entry.needs, principal: p, resource: resource, route: m.Route.ID,
		method: r.Method, path: m.path, host: host, address: r.ClientAddr, now: now,
	}
	for _, c := range m.entry.conditions {
		if cause := c.check(f); cause != "" {
			return keystile.Reject(keystile.ReasonConditionFailed, cause)
		}
	}
	return nil
}

// invalidRequest is a refusal whose explanation the caller may see.
func invalidRequest(public string) *keystile.Rejection {
	return &keystile.Rejection{Reason: keystile.ReasonRequestInvalid, Cause: public, Public: public}
}
