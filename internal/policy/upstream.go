package policy

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkForwarding checks where the route's requests go.
func (c *compiler) checkForwarding(r, warn *report, e *entry) {
	route := e.route
	if len(route.Upstreams) == 0 {
		r.add("upstream", "name the API behind the route, such as http://127.0.0.1:9000", "the route has no upstream")
	}
	for i, text := range route.Upstreams {
		c.checkUpstream(r, text)
		if slices.Contains(route.Upstreams[:i], text) {
			r.add("upstream", "name it once", "%s is listed twice", text)
		}
	}
	if route.MaxBody < 0 {
		r.add("max_body", "use a number of bytes above 0", "%d is not a size", route.MaxBody)
	}
	if route.Timeout < 0 {
		r.add("timeout", "use a duration above 0s", "%s is not a time to wait", route.Timeout)
	}
	if route.StripPrefix != "" {
		checkStripPrefix(r, warn, e)
	}
}

// checkUpstream takes an absolute http or https URL with nothing but a host
// and a path, which is not this server's own.
func (c *compiler) checkUpstream(r *report, text string) {
	const remedy = "write scheme://host:port, such as http://127.0.0.1:9000"
	u, err := url.Parse(text)
	if err != nil {
		r.add("upstream", remedy, "%q is not a URL", redactURL(text))
		return
	}
	if problem := upstreamProblem(u, text); problem != "" {
		r.add("upstream", remedy, "%q %s", redactURL(text), problem)
		return
	}
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	e, ok := newEndpoint(u.Hostname(), port)
	if !ok || e.port == "0" {
		r.add("upstream", remedy, "%q has no valid host and port", text)
		return
	}
	if slices.ContainsFunc(c.own, e.same) {
		r.add("upstream", "name the API itself", "%q is this server: requests would go round in a circle", text)
	}
}

// upstreamProblem says what keeps a URL from being the base of others.
func upstreamProblem(u *url.URL, text string) string {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "is not an http or https URL"
	case u.Hostname() == "":
		return "has no host"
	case u.User != nil:
		return "has a user name or password in it"
	case strings.ContainsAny(text, "?#"):
		return "has a query or a fragment"
	}
	if path := u.EscapedPath(); path != "" {
		_, problem := checkPath(path)
		if problem != "" {
			return "has a path that cannot be used: " + problem
		}
	}
	return ""
}

// redactURL leaves out what stands before an "@", which may be a password.
func redactURL(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

// checkStripPrefix takes a prefix that all paths of the route have. One that
// none has is harmless; one that some have would make two paths one for the
// upstream, of which only one was matched as what it is.
func checkStripPrefix(r, warn *report, e *entry) {
	prefix := e.route.StripPrefix
	_, problem := checkPath(prefix)
	if problem != "" || strings.HasSuffix(prefix, "/") || strings.Trim(prefix, "/abcdefghijklmnopqrstuvwxyz"+
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "" {
		r.add("strip_prefix", "write whole segments of letters, digits and - . _ ~, such as /prod", "%q is not a prefix of paths", prefix)
		return
	}
	below, invalid := parsePattern(prefix + "/**")
	if invalid != nil || e.pattern.segments == nil {
		return // the pattern's own problem is reported already
	}
	switch {
	case below.covers(&e.pattern):
	case !below.overlaps(&e.pattern):
		warn.add("strip_prefix", "remove it, or begin match.path with it", "no path of the route begins with %s: nothing is stripped", prefix)
	default:
		r.add("strip_prefix", "begin match.path with "+prefix,
			"some paths of %q begin with %s and some do not, so that two paths would be one to the upstream", e.route.Match.Path, prefix)
	}
}

// endpoint is a host and port that something listens on.
type endpoint struct {
	host string // canonical
	port string
}

func newEndpoint(host, port string) (endpoint, bool) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return endpoint{}, false
	}
	if host == "" {
		host = "0.0.0.0" // ":8080" listens on every address
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return endpoint{addr.Unmap().String(), strconv.FormatUint(n, 10)}, true
	}
	canonical, problem := canonicalHost(host)
	return endpoint{canonical, strconv.FormatUint(n, 10)}, problem == ""
}

// parseEndpoint reads host:port.
func parseEndpoint(address string) (endpoint, bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return endpoint{}, false
	}
	return newEndpoint(host, port)
}

// same says whether a connection to e may reach what listens on own. Names are
// not resolved: of names only localhost is known to be this machine.
func (e endpoint) same(own endpoint) bool {
	if e.port != own.port {
		return false
	}
	if e.host == own.host {
		return true
	}
	a, b := e.reach(), own.reach()
	return a != elsewhere && b != elsewhere && (a == anyLoopback || b == anyLoopback)
}

// reach is what is known of an endpoint's host.
type reach byte

const (
	elsewhere   reach = iota
	oneLoopback       // 127.0.0.1, ::1
	anyLoopback       // localhost, 0.0.0.0, ::
)

func (e endpoint) reach() reach {
	if e.host == "localhost" || strings.HasSuffix(e.host, ".localhost") {
		return anyLoopback
	}
	addr, err := netip.ParseAddr(e.host)
	switch {
	case err == nil && addr.IsUnspecified():
		return anyLoopback
	case err == nil && addr.IsLoopback():
		return oneLoopback
	}
	return elsewhere
}

// defaultPort is the port a scheme implies.
func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}
