package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// Options is what Compile must know besides the routes.
type Options struct {
	// PublicHost is the host of the server's own public URL; a port is ignored.
	// Empty means that the server has no origin of its own to protect.
	PublicHost string
	// Demo lets routes lie on PublicHost without same_origin.
	Demo bool
	// BuiltinPaths are the server's own paths: "/healthz" is that path alone,
	// "/v1/" the path and everything below it.
	BuiltinPaths []string
	// OwnAddresses are the host:port pairs this server listens on or is reached
	// by; an upstream that is one of them would send requests round in a circle.
	OwnAddresses []string
	// Now is the clock for observe_until; nil is time.Now.
	Now func() time.Time
	// ReadPolicy returns the text of a policy file named by a route that does
	// not bring the text along.
	ReadPolicy func(name string) ([]byte, error)
}

// Table is a set of compiled routes. It is immutable and safe for concurrent
// use; a new configuration is a new table.
type Table struct {
	entries  []*entry
	byHost   map[string]*index
	anyHost  *index
	warnings []Problem
	version  uint64
}

// entry is one compiled route.
type entry struct {
	route   *keystile.Route
	host    string // canonical; empty: any
	pattern pattern
	methods methodSet
	// rank is how many routes are more general; of the routes that match one
	// request, the one with the highest rank is the most specific.
	rank       int
	resource   *resourceReader
	conditions []condition
	needs      needs // of the conditions
}

// Compile checks and compiles routes. If anything is wrong it returns no table
// and every problem, in the order of the routes. The routes are copied.
func Compile(routes []keystile.Route, o Options) (*Table, []Problem) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := newCompiler(o)
	for i := range routes {
		c.add(routes[i])
	}
	c.compare()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	t := &Table{entries: c.entries, byHost: map[string]*index{}, anyHost: &index{}, warnings: c.warnings}
	for _, e := range c.entries {
		in := t.anyHost
		if e.host != "" {
			if in = t.byHost[e.host]; in == nil {
				in = &index{}
				t.byHost[e.host] = in
			}
		}
		in.add(e)
	}
	t.anyHost.sort()
	for _, in := range t.byHost {
		in.sort()
	}
	t.version = versionOf(c.entries)
	return t, nil
}

// Find returns the route that speaks for a request. It refuses a request that
// two servers could read differently (request_invalid), and one that no route
// speaks for (no_route). It does not allocate when it finds a route, unless the
// path is percent-encoded or the host international.
func (t *Table) Find(r *keystile.Request) (Match, *keystile.Rejection) {
	return t.find(r, r.Method)
}

func (t *Table) find(r *keystile.Request, method string) (Match, *keystile.Rejection) {
	if problem := checkMethod(method); problem != "" {
		return Match{}, invalidRequest(problem)
	}
	path, problem := checkPath(r.Path)
	if problem == "" {
		problem = checkQuery(r.RawQuery)
	}
	if problem != "" {
		return Match{}, invalidRequest(problem)
	}
	var buf [maxHost + 3]byte
	host, problem := appendHost(buf[:0], r.Host)
	if problem != "" {
		return Match{}, invalidRequest(problem)
	}
	in := t.byHost[string(host)]
	e := t.lookup(in, path, method)
	if e == nil {
		return Match{}, keystile.Reject(keystile.ReasonNoRoute, "no route matches the host, path and method")
	}
	if path[len(path)-1] == '/' && len(path) > 1 && !e.pattern.endsInSlash() {
		if other := t.lookup(in, path[:len(path)-1], method); other != nil && other != e {
			return Match{}, invalidRequest(pathSlash)
		}
	}
	return Match{Route: e.route, entry: e, path: path}, nil
}

// lookup returns the most specific entry for a decoded path: of the host's own
// index if it has one that matches, else of the index for any host.
func (t *Table) lookup(in *index, path, method string) *entry {
	bit := bitOf(method)
	if in != nil {
		if e := in.find(path, bit, method); e != nil {
			return e
		}
	}
	return t.anyHost.find(path, bit, method)
}

// Preflight returns the route that a CORS preflight (Fetch standard, section
// 3.2.2) asks about, if that route allows the asking origin: OPTIONS with one
// Origin and one Access-Control-Request-Method, and a route for that method. A
// preflight for anything else is an ordinary OPTIONS request.
func (t *Table) Preflight(r *keystile.Request) (*keystile.Route, bool) {
	if r.Method != "OPTIONS" {
		return nil, false
	}
	origin, method := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
	if len(origin) != 1 || len(method) != 1 {
		return nil, false
	}
	m, rejection := t.find(r, method[0])
	if rejection != nil || !AllowsOrigin(m.Route.CORS, origin[0]) {
		return nil, false
	}
	return m.Route, true
}

// Routes returns the routes in the order they were given, as compiled: hosts in
// canonical form, defaults filled in.
func (t *Table) Routes() []keystile.Route {
	routes := make([]keystile.Route, len(t.entries))
	for i, e := range t.entries {
		routes[i] = *e.route
	}
	return routes
}

// Warnings are remarks on the routes that keep none of them from working.
func (t *Table) Warnings() []Problem { return slices.Clone(t.warnings) }

// Version is a digest of the routes: tables that differ in anything but where
// their routes were declared have different versions.
func (t *Table) Version() uint64 { return t.version }

// versionOf hashes the routes and their policies, each with its length before
// it so that no two contents are one text.
func versionOf(entries []*entry) uint64 {
	h := sha256.New()
	for _, e := range entries {
		route := *e.route
		route.Source = ""
		// Of a route's members only a time beyond the year 9999 has no JSON form.
		text, err := json.Marshal(route)
		if err != nil {
			text = fmt.Appendf(nil, "%#v", route)
		}
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		h.Write(text)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// index finds the routes of one host (or of any) by the literal head of their
// paths: the work grows with the depth of the path, not the number of routes,
// except for routes that share a head.
type index struct {
	byPrefix map[string][]*entry
	depth    int // of the deepest prefix
}

func (in *index) add(e *entry) {
	if in.byPrefix == nil {
		in.byPrefix = map[string][]*entry{}
	}
	in.byPrefix[e.pattern.prefix] = append(in.byPrefix[e.pattern.prefix], e)
	in.depth = max(in.depth, e.pattern.depth)
}

// sort puts the most specific route of each list first.
func (in *index) sort() {
	for _, list := range in.byPrefix {
		slices.SortStableFunc(list, func(a, b *entry) int { return cmp.Compare(b.rank, a.rank) })
	}
}

// find returns the most specific entry that matches, nil if none does. Ranks of
// entries that match the same request always differ, see compiler.compare.
func (in *index) find(path string, bit methodBit, method string) *entry {
	if in.byPrefix == nil {
		return nil
	}
	var best *entry
	for depth, end := 0, 0; ; depth++ {
		for _, e := range in.byPrefix[path[:end]] {
			if best != nil && e.rank <= best.rank {
				break
			}
			if e.methods.has(bit, method) && matchSegments(e.pattern.rest(), path[end:], nil) {
				best = e
				break
			}
		}
		if end == len(path) || depth == in.depth {
			return best
		}
		end = segmentEnd(path, end)
	}
}

// RouteID is how a route is called in metrics, limits and the audit log:
// "METHODS host/path" with "*" for all methods and nothing for any host.
func RouteID(m keystile.RouteMatch) string {
	methods := "*"
	if len(m.Methods) > 0 {
		methods = strings.Join(m.Methods, ",")
	}
	return methods + " " + m.Host + m.Path
}
