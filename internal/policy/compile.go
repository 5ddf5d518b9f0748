package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// compiler turns routes into entries and gathers what is wrong with them.
type compiler struct {
	options    Options
	publicHost string
	builtins   []builtin
	own        []endpoint

	entries  []*entry
	problems []Problem
	warnings []Problem
	ids      map[string]string // route id: where it was declared
}

// builtin is one of the server's own paths.
type builtin struct {
	text    string
	pattern pattern
}

func newCompiler(o Options) *compiler {
	c := &compiler{options: o, ids: map[string]string{}}
	r := report{source: "options"}
	if o.PublicHost != "" {
		host, problem := canonicalHost(o.PublicHost)
		if problem != "" {
			r.add("public_url", "use a host name", "%q: %s", o.PublicHost, problem)
		}
		c.publicHost = host
	}
	for _, text := range o.BuiltinPaths {
		p, problem := parsePattern(subtree(text))
		if problem != nil {
			r.add("built-in paths", problem.Remedy, "%s", problem.Problem)
			continue
		}
		c.builtins = append(c.builtins, builtin{text, p})
	}
	for _, address := range o.OwnAddresses {
		e, ok := parseEndpoint(address)
		if !ok {
			r.add("listen", "write host:port", "%q is not host:port", address)
			continue
		}
		c.own = append(c.own, e)
	}
	c.problems = r.found
	return c
}

// subtree writes "/v1/" as the pattern "/v1/**".
func subtree(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "**"
	}
	return path
}

// add compiles one route, or adds its problems.
func (c *compiler) add(route keystile.Route) {
	route = cloneRoute(route)
	r := &report{source: route.Source}
	warn := &report{source: route.Source}
	e := &entry{route: &route}
	c.checkMatch(r, warn, e)
	c.checkCredentials(r, warn, &route)
	c.checkForwarding(r, warn, e)
	c.checkAnswers(r, &route)
	checkLimits(r, &route)
	c.checkObserve(r, warn, &route)
	c.compileResource(r, warn, e)
	c.compileConditions(r, warn, e)
	c.problems = append(c.problems, r.found...)
	c.warnings = append(c.warnings, warn.found...)
	if e.pattern.segments != nil {
		c.entries = append(c.entries, e)
	}
}

// cloneRoute copies what a route points to, so that the table stays as it was
// whatever becomes of the original, and fills in defaults.
func cloneRoute(route keystile.Route) keystile.Route {
	route.Match.Methods = slices.Clone(route.Match.Methods)
	route.Upstreams = slices.Clone(route.Upstreams)
	route.Accept = slices.Clone(route.Accept)
	route.Scopes = slices.Clone(route.Scopes)
	route.Policies = slices.Clone(route.Policies)
	route.Limits = slices.Clone(route.Limits)
	if route.Resource != nil {
		resource := *route.Resource
		route.Resource = &resource
	}
	if route.Auth != nil {
		auth := *route.Auth
		auth.Methods = slices.Clone(auth.Methods)
		route.Auth = &auth
	}
	if route.CORS != nil {
		cors := *route.CORS
		cors.Origins, cors.Headers = slices.Clone(cors.Origins), slices.Clone(cors.Headers)
		route.CORS = &cors
	}
	if route.ID == "" {
		route.ID = RouteID(route.Match)
	}
	if route.NotPermittedStatus == 0 {
		route.NotPermittedStatus = 403
	}
	if route.Errors == "" {
		route.Errors = "problem"
	}
	return route
}

// checkMatch compiles what the route speaks for, and checks it against the
// server's own origin.
func (c *compiler) checkMatch(r, warn *report, e *entry) {
	route := e.route
	if first, ok := c.ids[route.ID]; ok {
		r.add("match", "remove one of them", "the route %q is declared at %s too", route.ID, first)
	}
	c.ids[route.ID] = route.Source
	checkMethods(r, route.Match.Methods)
	e.methods = newMethodSet(route.Match.Methods)
	if route.Match.Host != "" {
		e.host = checkMatchHost(r, route.Match.Host)
		route.Match.Host = e.host
	}
	p, problem := parsePattern(route.Match.Path)
	if problem != nil {
		r.add("match.path", problem.Remedy, "%s", problem.Problem)
		return
	}
	e.pattern = p
	if e.host != "" && e.host != c.publicHost {
		return
	}
	c.checkBuiltins(r, warn, e)
	if c.publicHost != "" && !c.options.Demo && !route.SameOrigin {
		r.add("match.host", "give the route a host of its own, or set same_origin: true",
			"the route can match %s, this server's own public host: what it serves could act as this server in browsers", c.publicHost)
	}
}

// checkBuiltins looks for the server's own paths in what a route can match on a host
// where they win: its public host, or, where it has none, every host that no route names.
// There a route for everything is the simplest of all, and only warned about.
func (c *compiler) checkBuiltins(r, warn *report, e *entry) {
	const remedy = "choose another path, or a host of its own for the route"
	var hidden []string
	whole := false
	for _, b := range c.builtins {
		if e.pattern.overlaps(&b.pattern) {
			hidden = append(hidden, b.text)
			whole = whole || b.pattern.covers(&e.pattern)
		}
	}
	switch path, own := e.route.Match.Path, strings.Join(hidden, ", "); {
	case len(hidden) == 0:
	case c.publicHost != "" || whole:
		r.add("match.path", remedy, "%q can match what is this server's own: %s", path, own)
	default:
		warn.add("match.path", "give the route a host of its own if the API behind it has such paths",
			"%q leaves out what is this server's own: %s", path, own)
	}
}

// checkMatchHost returns the canonical form of match.host.
func checkMatchHost(r *report, host string) string {
	const remedy = "write one host name without a port, such as api.example.com"
	if strings.Contains(host, "*") {
		r.add("match.host", "name each host in a route of its own, or leave host out for any", "%q: a host has no wildcards", host)
		return host
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		r.add("match.host", remedy, "%q has a port", host)
		return host
	}
	canonical, problem := canonicalHost(host)
	if problem != "" {
		r.add("match.host", remedy, "%q is not a host name", host)
		return host // not "", which would stand for any host
	}
	return canonical
}

func checkMethods(r *report, methods []string) {
	for i, m := range methods {
		switch upper := strings.ToUpper(m); {
		case !isToken(m) || len(m) > maxMethod:
			r.add("match.methods", "write methods such as GET", "%q is not a method", m)
		case upper == "CONNECT" || upper == "TRACE":
			r.add("match.methods", "leave it out", "%s is never forwarded", upper)
		case m != upper && bitOf(upper) != 0:
			r.add("match.methods", "write "+upper, "methods are case-sensitive: %q is not %s", m, upper)
		case slices.Contains(methods[:i], m):
			r.add("match.methods", "name it once", "%s is listed twice", m)
		}
	}
}

// compileResource compiles what the request is about.
func (c *compiler) compileResource(r, warn *report, e *entry) {
	res := e.route.Resource
	if res == nil {
		return
	}
	if res.Type != keystile.ResourceSite && res.Type != keystile.ResourceTenant {
		r.add("resource.type", "use type: site or type: tenant", "no credential is permitted a resource of type %q", res.Type)
	}
	if e.pattern.segments == nil {
		return // path.N cannot be judged without the pattern
	}
	reader, problem := readerOf(res, &e.pattern)
	if problem != nil {
		r.add(problem.Field, problem.Remedy, "%s", problem.Problem)
		return
	}
	e.resource = reader
	if reader.place == placeJSON {
		warn.add("resource.id", "use query.NAME, header.NAME or path.N where forward-auth is used",
			"%s is in the body, which forward-auth does not see: it refuses this route", res.From)
	}
}

// compileConditions compiles `when` and `policies`; both must hold.
func (c *compiler) compileConditions(r, warn *report, e *entry) {
	route := e.route
	text := route.When
	if route.When != "" {
		when, problem := whenCondition(route.When)
		if problem != nil {
			r.add(problem.Field, problem.Remedy, "%s", problem.Problem)
		} else {
			e.conditions = append(e.conditions, when)
		}
	}
	files, err := c.policyFiles(route)
	if err != nil {
		r.add("policies", "name readable files", "%s", err)
		return
	}
	if len(files) > 0 {
		policies, problems := fileCondition(files)
		for _, problem := range problems {
			r.add(problem.Field, problem.Remedy, "%s", problem.Problem)
		}
		e.conditions = append(e.conditions, policies)
		for _, f := range files {
			text += "\n" + f.text
		}
	}
	e.needs = needsOf(text)
	for _, name := range unknownAttributes(text) {
		warn.add("when", "see the list of attributes", "%s does not exist: a request that reaches it is refused", name)
	}
}

// policyFiles returns the text of a route's policies and keeps it in the route,
// so that the table's version covers it.
func (c *compiler) policyFiles(route *keystile.Route) ([]policyText, error) {
	if route.Policy != "" {
		name := strings.Join(route.Policies, "+")
		if name == "" {
			name = "policy"
		}
		return []policyText{{name, route.Policy}}, nil
	}
	if len(route.Policies) > 0 && c.options.ReadPolicy == nil {
		return nil, errors.New("there is nothing to read policy files with")
	}
	var files []policyText
	for _, name := range route.Policies {
		text, err := c.options.ReadPolicy(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		files = append(files, policyText{name, string(text)})
		route.Policy += string(text) + "\n"
	}
	return files, nil
}

// compare ranks the routes and refuses two that some request matches both of
// with neither being more specific.
//
// More specific is: within one host, the route whose paths are all matched by
// the other too but not the other way round; with the same paths, the route
// whose methods are a part of the other's. A route for one host always beats
// one for any host, so those are not compared. Both relations are transitive,
// so counting the routes above each gives an order in which every route stands
// before those it beats.
func (c *compiler) compare() {
	for i, a := range c.entries {
		for _, b := range c.entries[:i] {
			if a.host != b.host || a.pattern.apart(&b.pattern) || !a.pattern.overlaps(&b.pattern) {
				continue
			}
			switch {
			case moreSpecific(a, b):
				a.rank++
				c.warnHead(a, b)
			case moreSpecific(b, a):
				b.rank++
				c.warnHead(b, a)
			case a.route.ID == b.route.ID: // told already
			case a.methods.overlaps(&b.methods):
				r := report{source: a.route.Source}
				r.add("match", "narrow the path, host or methods of one of them",
					"%q and %q (%s) can match the same request and neither is more specific", a.route.ID, b.route.ID, b.route.Source)
				c.problems = append(c.problems, r.found...)
			}
		}
	}
}

// moreSpecific says whether a beats b wherever both match.
func moreSpecific(a, b *entry) bool {
	up, down := b.pattern.covers(&a.pattern), a.pattern.covers(&b.pattern)
	if up != down {
		return up
	}
	return up && b.methods.covers(&a.methods) && !a.methods.covers(&b.methods)
}

// warnHead warns of a narrow route for GET whose HEAD requests go to a broader
// route, which may ask less.
func (c *compiler) warnHead(narrow, broad *entry) {
	if narrow.methods.has(bitGet, "GET") && !narrow.methods.has(bitHead, "HEAD") && broad.methods.has(bitHead, "HEAD") &&
		!slices.ContainsFunc(c.entries, func(e *entry) bool {
			return e.host == narrow.host && e.route.Match.Path == narrow.route.Match.Path && e.methods.has(bitHead, "HEAD")
		}) {
		c.warnings = append(c.warnings, Problem{
			Source: narrow.route.Source, Field: "match.methods",
			Problem: fmt.Sprintf("HEAD is not GET: HEAD requests for %q go to the route %q (%s)",
				narrow.route.Match.Path, broad.route.ID, broad.route.Source),
			Remedy: "list HEAD too if it should be checked by this route",
		})
	}
}
