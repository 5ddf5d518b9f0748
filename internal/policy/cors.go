package policy

import (
	"net/url"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// maxPreflightAge is the longest any browser keeps a preflight's answer.
const maxPreflightAge = 24 * time.Hour

// AllowsOrigin says whether a cross-origin policy names an Origin field's value,
// or every one by "*". Origins are compared as text, which is how browsers
// write them (RFC 6454, section 6.1). A nil policy allows none; nobody may be
// named by "null", which many unrelated pages send.
func AllowsOrigin(c *keystile.RouteCORS, origin string) bool {
	if c == nil || origin == "" || origin == "null" {
		return false
	}
	return slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, "*")
}

func checkCORS(r *report, c *keystile.RouteCORS) {
	if len(c.Origins) == 0 {
		r.add("cors.origins", "name origins such as https://app.example.com", "no origin is named")
	}
	for _, origin := range c.Origins {
		if origin == "*" {
			if len(c.Origins) > 1 {
				r.add("cors.origins", "name origins, or * alone", "* makes the other origins meaningless")
			}
			continue
		}
		if problem := OriginProblem(origin); problem != "" {
			r.add("cors.origins", "write scheme://host or scheme://host:port in lower case, without path", "%q %s", origin, problem)
		}
	}
	for _, h := range c.Headers {
		if !isToken(h) || h == "*" {
			r.add("cors.headers", "name each field", "%q is not a header field name", h)
		}
	}
	if c.MaxAge < 0 || c.MaxAge > maxPreflightAge {
		r.add("cors.max_age", "use a duration from 0s to 24h", "%s is not an age browsers keep", c.MaxAge)
	}
}

// OriginProblem says why no browser would send an origin in this form, or "".
func OriginProblem(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Hostname() == "" {
		return "is not an origin"
	}
	if u.Scheme+"://"+u.Host != origin { // a user name would stand between the two
		return "has more than scheme, host and port, or capitals in the scheme"
	}
	if u.Port() != "" && u.Port() == defaultPort(u.Scheme) {
		return "names the default port, which browsers leave out"
	}
	host, problem := canonicalHost(u.Host)
	if problem != "" {
		return "has no valid host"
	}
	name := u.Host
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
		name = name[:i]
		if u.Port() == "" {
			return "has an empty port"
		}
	}
	if name != host {
		return "must have its host as " + host
	}
	return ""
}
