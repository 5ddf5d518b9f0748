package keystile

import "time"

// Route is one entry of the policy: which requests it speaks for, which
// credentials it takes, what it asks of them and where they go
// (contract, section 2). It is plain data; package policy compiles it.
type Route struct {
	// ID is "METHODS host/path" as written, stable and unique; metrics and the audit log use it.
	ID string
	// Source is where it was declared, "keystile.yaml:12".
	Source string

	Match RouteMatch
	// Upstream is the absolute base URL the gateway sends to; several are tried
	// in turn, healthy ones first. Decision endpoints ignore it.
	Upstreams []string
	// StripPrefix is cut from the path before forwarding.
	StripPrefix string
	// Accept lists the kinds of credential it takes.
	Accept []KindName
	// CredentialHeader names one more header field that may carry an API key.
	CredentialHeader string
	// CredentialQuery names a query parameter that may carry an API key; empty: never.
	CredentialQuery string
	// Resource is what the request is about; nil: nothing to check.
	Resource *RouteResource
	// NotPermittedStatus is 403, or 404 where existence must not show.
	NotPermittedStatus int
	// Environment restricts credentials to one environment; empty: any.
	Environment Environment
	Scopes      []Scope
	// Auth is what it asks of how a person signed in; nil: nothing.
	Auth *RouteAuth
	// When is a Cedar condition; Policies are names of Cedar policy files, Policy their text.
	When     string
	Policies []string
	Policy   string
	Limits   []RouteLimit
	// Errors is whose error bodies the caller sees: ona, aurora, ownera, nao or problem.
	Errors string
	// SameOrigin permits host and path to be public_url's own (rulings R8).
	SameOrigin bool
	// CORS answers preflights; nil: none.
	CORS *RouteCORS
	// ForwardCredential leaves the accepted credential in the forwarded request.
	ForwardCredential bool
	// ObserveUntil: until then the route decides and records but enforces nothing.
	ObserveUntil time.Time
	// MaxBody is the largest request body forwarded, in bytes; 0: the default.
	MaxBody int64
	// Timeout is how long the upstream may take to begin its answer; 0: the default.
	Timeout time.Duration
}

// RouteMatch says which requests a route speaks for.
type RouteMatch struct {
	// Host without port, lower-case; empty: any.
	Host string
	// Path pattern: "*" is one segment or part of one, "**" any number, also none.
	Path string
	// Methods; empty: all.
	Methods []string
}

// RouteResource says what a request is about and where its id stands:
// query.NAME, header.NAME, json.NAME, or path.N = the Nth * of the pattern.
type RouteResource struct {
	Type string
	From string
}

// RouteAuth is what a route asks of the sign-in behind a credential: one of the
// methods was proven, no longer ago than MaxAge (RFC 9470). A credential that is of
// no person, or tells nothing of their sign-in, never has it.
type RouteAuth struct {
	// Methods, any one of them; none: any.
	Methods []AuthMethod
	// MaxAge of the sign-in; 0: any.
	MaxAge time.Duration
}

// RouteLimit is a rate and what it counts by.
type RouteLimit struct {
	Rate Rate
	Per  LimitPer
	// OnOutage says what happens when shared counters cannot be reached:
	// "local" (default) counts on this node alone, "refuse" refuses.
	OnOutage string
}

// RouteCORS is a cross-origin policy (Fetch standard, CORS protocol).
type RouteCORS struct {
	Origins []string
	Headers []string
	MaxAge  time.Duration
}
