package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/yamlfile"
)

// RouteEntry is a route as it is written; see keystile.Route.
type RouteEntry struct {
	Match              RouteMatch     `yaml:"match,required" doc:"The requests it speaks for."`
	Upstream           []string       `yaml:"upstream,required,single" example:"http://127.0.0.1:9000" doc:"Base URL that the gateway sends to; of several, healthy ones are tried in turn. Decision endpoints ignore it."`
	StripPrefix        string         `yaml:"strip_prefix" default:"" example:"/prod" doc:"Cut from the path before forwarding."`
	Accept             []string       `yaml:"accept,required,single" enum:"api_key session_jwt onetime partner oauth_token" doc:"Kinds of credential it takes."`
	CredentialHeader   string         `yaml:"credential_header" default:"" example:"X-Token" doc:"One more header field that may carry an API key."`
	CredentialQuery    string         `yaml:"credential_query" default:"" example:"key" doc:"A query parameter that may carry an API key. Keys in URLs end up in logs; default: never."`
	Resource           *RouteResource `yaml:"resource" doc:"What a request is about. Absent: nothing to check."`
	NotPermittedStatus int            `yaml:"not_permitted_status" default:"403" doc:"Status for a resource that the credential may not touch: 403, or 404 where existence must not show."`
	Environment        string         `yaml:"environment" enum:"production sandbox" doc:"Takes credentials of this environment only. Absent: of any."`
	Scopes             []string       `yaml:"scopes" default:"" example:"telemetry:read" doc:"Scopes that a credential must all hold. Absent: any."`
	Auth               *RouteAuth     `yaml:"auth" doc:"What is asked of how a person signed in. Who did not, or too long ago, is answered 401 with insufficient_user_authentication (RFC 9470). Absent: nothing."`
	When               string         `yaml:"when" default:"" example:"principal.role != \"role_guest\"" doc:"A Cedar condition that must hold as well."`
	Policies           []string       `yaml:"policies,single" default:"" example:"policies/api.cedar" doc:"Files of Cedar policies that must allow the request as well."`
	Limit              []RouteLimit   `yaml:"limit,single" doc:"Rate limits; all of several must hold."`
	Errors             string         `yaml:"errors" default:"problem" enum:"ona aurora ownera nao problem" doc:"Whose error bodies the caller sees: a dialect's, or problem details (RFC 9457)."`
	SameOrigin         bool           `yaml:"same_origin" default:"false" doc:"Lets the route lie on public_url's host. Its answers get Content-Security-Policy: sandbox and no Set-Cookie."`
	CORS               *RouteCORS     `yaml:"cors" doc:"Answers preflights of these origins. Absent: none are answered."`
	ForwardCredential  bool           `yaml:"forward_credential" default:"false" doc:"Leaves the accepted credential in the request that the upstream sees."`
	ObserveUntil       time.Time      `yaml:"observe_until" example:"2027-01-01T00:00:00Z" doc:"Until then the route decides and records but refuses nothing."`
	MaxBody            yamlfile.Size  `yaml:"max_body" doc:"Largest request body that is forwarded. Absent: limits.max_body."`
	Timeout            time.Duration  `yaml:"timeout" doc:"How long the upstream may take to begin its answer. Absent: limits.upstream_timeout."`
}

// RouteMatch says which requests a route speaks for.
type RouteMatch struct {
	Host    string   `yaml:"host" default:"" example:"api.example.com" doc:"Host without port. Absent: any."`
	Path    string   `yaml:"path,required" example:"/telemetry/**" doc:"Path pattern: * is one segment or part of one, ** any number of segments, also none."`
	Methods []string `yaml:"methods,single" default:"" example:"GET" doc:"HTTP methods, as sent. Absent: all."`
}

// RouteResource says what a request is about.
type RouteResource struct {
	Type string `yaml:"type,required" example:"site" doc:"Type of the resource: site, one of the sites a credential is permitted; tenant, the organization it acts in, by its id or tenant_id."`
	ID   string `yaml:"id,required" example:"query.site_id" doc:"Where its id stands: query.NAME, header.NAME, json.NAME (a member of the body) or path.N (what the Nth * or ** of the pattern matched)."`
}

// RouteAuth is what a route asks of how a person signed in.
type RouteAuth struct {
	Methods []string      `yaml:"methods,single" default:"" enum:"pwd otp hwk rec key fed mfa" example:"otp" doc:"One of these was proven (RFC 8176): pwd password, otp one-time code, hwk passkey, rec recovery code, key API key, fed identity provider, mfa more than one factor. Absent: any."`
	MaxAge  time.Duration `yaml:"max_age" default:"0s" max:"720h" example:"10m" doc:"No longer ago than this. 0s: any time."`
}

// RouteLimit is one rate limit of a route.
type RouteLimit struct {
	Rate      string `yaml:"rate,required" example:"60/1m" doc:"Requests and window."`
	Per       string `yaml:"per" default:"credential" enum:"credential address organization" doc:"What it counts by. A credential's own limit replaces one per credential."`
	Algorithm string `yaml:"algorithm" default:"window" enum:"window gcra" doc:"window: never more in any rolling window, exactly, up to 10000 requests. gcra: paced, any number."`
	OnOutage  string `yaml:"on_outage" default:"local" enum:"local refuse" doc:"What happens when shared counters cannot be reached: count on this server alone, or refuse."`
}

// RouteCORS is a route's cross-origin policy.
type RouteCORS struct {
	Origins []string      `yaml:"origins,required,single" example:"https://app.example.com" doc:"Exact origins; * is any, then without credentials."`
	Headers []string      `yaml:"headers,single" default:"" example:"x-api-key" doc:"Header fields a page may send."`
	MaxAge  time.Duration `yaml:"max_age" default:"0s" max:"24h" doc:"How long a browser may remember the answer."`
}

// convertRoutes fills Routes from RouteEntries.
func (c *checker) convertRoutes() {
	for i := range c.RouteEntries {
		before := len(c.problems)
		route := c.route(&c.RouteEntries[i], fmt.Sprintf("routes[%d]", i))
		if len(c.problems) == before {
			c.Routes = append(c.Routes, route)
		}
	}
}

func (c *checker) route(e *RouteEntry, path string) keystile.Route {
	route := keystile.Route{
		Source: c.source(path), Match: keystile.RouteMatch(e.Match), Upstreams: e.Upstream, StripPrefix: e.StripPrefix,
		Accept: texts[keystile.KindName](e.Accept), CredentialHeader: e.CredentialHeader, CredentialQuery: e.CredentialQuery,
		NotPermittedStatus: e.NotPermittedStatus, Environment: keystile.Environment(e.Environment),
		Scopes: texts[keystile.Scope](e.Scopes), When: e.When, Errors: e.Errors, SameOrigin: e.SameOrigin,
		ForwardCredential: e.ForwardCredential, ObserveUntil: e.ObserveUntil, MaxBody: int64(e.MaxBody), Timeout: e.Timeout,
	}
	route.ID = routeID(route.Match)
	if e.Resource != nil {
		route.Resource = &keystile.RouteResource{Type: e.Resource.Type, From: e.Resource.ID}
	}
	if e.Auth != nil {
		route.Auth = &keystile.RouteAuth{Methods: texts[keystile.AuthMethod](e.Auth.Methods), MaxAge: e.Auth.MaxAge}
	}
	if e.CORS != nil {
		route.CORS = &keystile.RouteCORS{Origins: e.CORS.Origins, Headers: e.CORS.Headers, MaxAge: e.CORS.MaxAge}
	}
	for i := range e.Limit {
		if limit, ok := c.routeLimit(&e.Limit[i], fmt.Sprintf("%s.limit[%d]", path, i)); ok {
			route.Limits = append(route.Limits, limit)
		}
	}
	for _, name := range e.Policies {
		route.Policies = append(route.Policies, c.fromBase(path+".policies", filepath.FromSlash(name)))
	}
	c.checkRouteLists(e, path)
	return route
}

// routeID is how metrics and the audit log name a route: methods, host and
// path as written, "*" for any method.
func routeID(m keystile.RouteMatch) string {
	methods := "*"
	if len(m.Methods) > 0 {
		methods = strings.Join(m.Methods, ",")
	}
	return methods + " " + m.Host + m.Path
}

func (c *checker) routeLimit(l *RouteLimit, path string) (keystile.RouteLimit, bool) {
	algorithm := keystile.Algorithm(l.Algorithm)
	if algorithm != keystile.AlgorithmGCRA {
		algorithm = keystile.AlgorithmWindow // an unknown one was reported by the decoder
	}
	if l.Rate == "" {
		return keystile.RouteLimit{}, false // missing, which was reported too
	}
	rate, err := keystile.ParseRate(l.Rate, algorithm)
	if err != nil {
		c.adopt(path+".rate", err)
		return keystile.RouteLimit{}, false
	}
	return keystile.RouteLimit{Rate: *rate, Per: keystile.LimitPer(l.Per), OnOutage: l.OnOutage}, true
}

// checkRouteLists refuses required lists that name nothing; absent ones were
// reported by the decoder.
func (c *checker) checkRouteLists(e *RouteEntry, path string) {
	if e.Upstream != nil && len(e.Upstream) == 0 {
		c.add(path+".upstream", "name one or more, such as http://127.0.0.1:9000", "names no upstream")
	}
	if e.Accept != nil && len(e.Accept) == 0 {
		c.add(path+".accept", "name one or more kinds, such as api_key", "accepts no credential")
	}
}

// texts converts a list of text to a list of a named text type.
func texts[T ~string](in []string) []T {
	if len(in) == 0 {
		return nil
	}
	out := make([]T, len(in))
	for i, s := range in {
		out[i] = T(s)
	}
	return out
}

// adopt takes over another package's finding about an option.
func (c *checker) adopt(path string, err error) {
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		c.add(path, invalid.Remedy, "%s", invalid.Problem)
		return
	}
	c.add(path, "", "%s", err)
}
