package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"pgregory.net/rapid"
)

var testTime = time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC) // a Sunday

func testOptions() Options { return Options{Now: func() time.Time { return testTime }} }

// testRoute is a route that compiles.
func testRoute(host, path string, methods ...string) keystile.Route {
	m := keystile.RouteMatch{Host: host, Path: path, Methods: methods}
	return keystile.Route{
		ID: RouteID(m), Source: "keystile.yaml:1", Match: m,
		Upstreams: []string{"http://127.0.0.1:9000"}, Accept: []keystile.KindName{keystile.KindAPIKey},
	}
}

func mustCompile(t testing.TB, routes ...keystile.Route) *Table {
	t.Helper()
	table, problems := Compile(routes, testOptions())
	for _, p := range problems {
		t.Errorf("%v", p)
	}
	if table == nil {
		t.FailNow()
	}
	return table
}

func testRequest(method, host, target string) *keystile.Request {
	path, query, _ := strings.Cut(target, "?")
	return &keystile.Request{
		Method: method, Scheme: "https", Host: host, Path: path, RawQuery: query,
		Header: keystile.Header{}, ClientAddr: netip.MustParseAddr("192.0.2.7"),
	}
}

func mustFind(t testing.TB, table *Table, r *keystile.Request) Match {
	t.Helper()
	m, rejection := table.Find(r)
	if rejection != nil {
		t.Fatalf("Find: %v", rejection)
	}
	return m
}

// found is the id of the route that speaks for a request, or the
// reason why none does.
func found(table *Table, r *keystile.Request) string {
	m, rejection := table.Find(r)
	if rejection != nil {
		return string(rejection.Reason)
	}
	return m.Route.ID
}

func TestTheMostSpecificRouteSpeaks(t *testing.T) {
	table := mustCompile(t,
		testRoute("", "/**"),
		testRoute("", "/telemetry/**"),
		testRoute("", "/telemetry/*"),
		testRoute("", "/telemetry/inverter"),
		testRoute("", "/telemetry/inverter", "GET", "POST"),
		testRoute("", "/telemetry/inverter", "GET"),
		testRoute("api.example.com", "/telemetry/**", "GET"),
		testRoute("", "/telemetry/*/raw"),
		testRoute("", "/telemetry/x-*"),
		testRoute("", "/telemetry/x-y*"),
		testRoute("", "/slash/"),
	)
	for _, tc := range []struct{ method, host, path, want string }{
		{"GET", "x.example", "/", "* /**"},
		{"GET", "x.example", "/other/a/b", "* /**"},
		{"GET", "x.example", "/telemetry", "* /telemetry/**"},
		{"GET", "x.example", "/telemetry/", "* /telemetry/**"},
		{"GET", "x.example", "/telemetry/a/b", "* /telemetry/**"},
		{"GET", "x.example", "/telemetry/a", "* /telemetry/*"},
		{"GET", "x.example", "/telemetry/a/raw", "* /telemetry/*/raw"},
		{"GET", "x.example", "/telemetry/x-z", "* /telemetry/x-*"},
		{"GET", "x.example", "/telemetry/x-y", "* /telemetry/x-*"},
		{"GET", "x.example", "/telemetry/x-yz", "* /telemetry/x-y*"},
		{"GET", "x.example", "/telemetry/inverter", "GET /telemetry/inverter"},
		{"POST", "x.example", "/telemetry/inverter", "GET,POST /telemetry/inverter"},
		{"HEAD", "x.example", "/telemetry/inverter", "* /telemetry/inverter"},
		{"PURGE", "x.example", "/telemetry/inverter", "* /telemetry/inverter"},
		{"GET", "api.example.com", "/telemetry/inverter", "GET api.example.com/telemetry/**"},
		{"GET", "API.example.com.:443", "/telemetry/inverter", "GET api.example.com/telemetry/**"},
		{"POST", "api.example.com", "/telemetry/inverter", "GET,POST /telemetry/inverter"},
		{"GET", "api.example.com", "/other", "* /**"},
		{"GET", "x.example", "/Telemetry/inverter", "* /**"},
		{"GET", "x.example", "/slash/", "* /slash/"},
		{"GET", "x.example", "/slash", "* /**"},
	} {
		if got := found(table, testRequest(tc.method, tc.host, tc.path)); got != tc.want {
			t.Errorf("%s %s%s: %q speaks, want %q", tc.method, tc.host, tc.path, got, tc.want)
		}
	}
}

func TestARequestThatNoRouteSpeaksForIsNoRoute(t *testing.T) {
	table := mustCompile(t, testRoute("api.example.com", "/telemetry/**", "GET"), testRoute("", "/x", "PURGE"))
	for _, tc := range []struct{ method, host, path string }{
		{"GET", "other.example", "/telemetry"},
		{"GET", "api.example.com", "/telemetryx"},
		{"GET", "api.example.com", "/"},
		{"POST", "api.example.com", "/telemetry"},
		{"HEAD", "api.example.com", "/telemetry"},
		{"get", "api.example.com", "/telemetry"},
		{"GET", "api.example.com", "/x"},
		{"purge", "api.example.com", "/x"},
	} {
		if got := found(table, testRequest(tc.method, tc.host, tc.path)); got != string(keystile.ReasonNoRoute) {
			t.Errorf("%s %s%s: %q", tc.method, tc.host, tc.path, got)
		}
	}
	empty := mustCompile(t)
	if got := found(empty, testRequest("GET", "a.example", "/")); got != string(keystile.ReasonNoRoute) {
		t.Errorf("a table without routes: %q", got)
	}
}

func TestThreat14_AnAmbiguousRequestIsRefusedBeforeAnyRouteIsLookedAt(t *testing.T) {
	table := mustCompile(t, testRoute("", "/**"))
	for name, r := range map[string]*keystile.Request{
		"an encoded slash":        testRequest("GET", "a.example", "/a%2fb"),
		"a parent segment":        testRequest("GET", "a.example", "/a/../b"),
		"a path parameter":        testRequest("GET", "a.example", "/a;x/b"),
		"an invalid host":         testRequest("GET", "a..example", "/a"),
		"no host":                 testRequest("GET", "", "/a"),
		"a method with a space":   testRequest("GE T", "a.example", "/a"),
		"an empty method":         testRequest("", "a.example", "/a"),
		"a very long method":      testRequest(strings.Repeat("A", 65), "a.example", "/a"),
		"CONNECT":                 testRequest("CONNECT", "a.example", "/a"),
		"TRACE":                   testRequest("TRACE", "a.example", "/a"),
		"a fragment in the query": testRequest("GET", "a.example", "/a?b=c#d"),
		"OPTIONS *":               testRequest("OPTIONS", "a.example", "*"),
	} {
		m, rejection := table.Find(r)
		if rejection == nil || rejection.Reason != keystile.ReasonRequestInvalid || rejection.Public == "" || m.Route != nil {
			t.Errorf("%s: %+v, %v", name, m, rejection)
		}
	}
}

func TestThreat14_AFinalSlashDoesNotLeadPastANarrowRoute(t *testing.T) {
	table := mustCompile(t, testRoute("", "/**"), testRoute("", "/admin"), testRoute("", "/open/**"), testRoute("", "/both"), testRoute("", "/both/"))
	for path, want := range map[string]string{
		"/admin": "* /admin", "/admin/": "request_invalid", "/open/": "* /open/**", "/other/": "* /**", "/": "* /**",
		"/both": "* /both", "/both/": "* /both/",
	} {
		if got := found(table, testRequest("GET", "a.example", path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestRoutesAreMatchedInDecodedForm(t *testing.T) {
	table := mustCompile(t, testRoute("", "/sites/My Plant/*"), testRoute("", "/café"), testRoute("", "/t/a:b"))
	for _, path := range []string{"/sites/My%20Plant/x%3Ay", "/caf%C3%A9", "/t/a%3Ab", "/t/a:b"} {
		m, rejection := table.Find(testRequest("GET", "a.example", path))
		if rejection != nil {
			t.Errorf("%s: %v", path, rejection)
			continue
		}
		if m.Route.Match.Path == "/sites/My Plant/*" {
			if got, _ := m.Capture(1); got != "x:y" {
				t.Errorf("path.1 = %q", got)
			}
		}
	}
}

func TestTheZeroMatchAllowsNothing(t *testing.T) {
	var m Match
	_, rejection := m.Authorize(testRequest("GET", "a.example", "/"), &keystile.Principal{}, testTime)
	if rejection == nil || m.Accepts(keystile.KindAPIKey) || m.NeedsBody() {
		t.Errorf("the zero match authorizes: %v", rejection)
	}
	if _, ok := m.Capture(1); ok {
		t.Error("the zero match captured something")
	}
}

func TestTheWinnerDoesNotDependOnTheOrderOfDeclaration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var routes []keystile.Route
		for i := range rapid.IntRange(1, 8).Draw(t, "routes") {
			host := rapid.SampledFrom([]string{"", "", "a.example", "b.example"}).Draw(t, "host")
			methods := rapid.SampledFrom([][]string{nil, {"GET"}, {"GET", "HEAD"}, {"POST"}}).Draw(t, "methods")
			r := testRoute(host, drawPattern(t, fmt.Sprint("pattern", i)), methods...)
			r.Source = fmt.Sprintf("keystile.yaml:%d", i+1)
			routes = append(routes, r)
		}
		// Keep what compiles together, so that most draws test something.
		var kept []keystile.Route
		for _, r := range routes {
			if _, problems := Compile(append(slices.Clone(kept), r), testOptions()); problems == nil {
				kept = append(kept, r)
			}
		}
		one, _ := Compile(kept, testOptions())
		shuffled := slices.Clone(kept)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		two, problems := Compile(shuffled, testOptions())
		if two == nil {
			t.Fatalf("the routes compile in one order and not in another: %v", problems)
		}
		for range 10 {
			r := testRequest(rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT"}).Draw(t, "method"),
				rapid.SampledFrom([]string{"a.example", "c.example"}).Draw(t, "request host"), drawPlainPath(t))
			a, b := found(one, r), found(two, r)
			if a != b {
				t.Fatalf("%s %s%s: %q in one order, %q in another", r.Method, r.Host, r.Path, a, b)
			}
			checkWinner(t, kept, r, a)
		}
	})
}

// checkWinner compares with a search through all routes by the definition.
func checkWinner(t *rapid.T, routes []keystile.Route, r *keystile.Request, winner string) {
	var matching []*entry
	for i := range routes {
		e := &entry{route: &routes[i], host: routes[i].Match.Host, pattern: mustPattern(t, routes[i].Match.Path), methods: newMethodSet(routes[i].Match.Methods)}
		if (e.host == "" || e.host == r.Host) && e.methods.has(bitOf(r.Method), r.Method) && asRegexp(routes[i].Match.Path).MatchString(r.Path) {
			matching = append(matching, e)
		}
	}
	if winner == string(keystile.ReasonRequestInvalid) && strings.HasSuffix(r.Path, "/") {
		return // a final slash that decides: tested on its own
	}
	if len(matching) == 0 {
		if winner != string(keystile.ReasonNoRoute) {
			t.Fatalf("%q speaks for %s, which matches nothing", winner, r.Path)
		}
		return
	}
	for _, e := range matching {
		unbeaten := func(o *entry) bool {
			ownHost := e.host != "" && o.host == ""
			narrower := e.host == o.host && moreSpecific(e, o)
			return o != e && !ownHost && !narrower
		}
		if e.route.ID == winner && !slices.ContainsFunc(matching, unbeaten) {
			return
		}
	}
	t.Fatalf("%q speaks for %s %s%s and does not beat every other route", winner, r.Method, r.Host, r.Path)
}

func TestAThousandRoutesAreToldApart(t *testing.T) {
	var routes []keystile.Route
	for i := range 1000 {
		routes = append(routes, testRoute("", fmt.Sprintf("/api/v%d/things/**", i), "GET"))
	}
	table := mustCompile(t, routes...)
	for _, i := range []int{0, 1, 500, 999} {
		if got, want := found(table, testRequest("GET", "a.example", fmt.Sprintf("/api/v%d/things/x", i))), routes[i].ID; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestThreat20_VersionsDifferForDifferentContents(t *testing.T) {
	base := testRoute("", "/a")
	seen := map[uint64]string{}
	for name, change := range map[string]func(*keystile.Route){
		"base":     func(*keystile.Route) {},
		"path":     func(r *keystile.Route) { r.Match.Path = "/b" },
		"accept":   func(r *keystile.Route) { r.Accept = []keystile.KindName{keystile.KindSessionJWT} },
		"scopes":   func(r *keystile.Route) { r.Scopes = []keystile.Scope{"a:b"} },
		"when":     func(r *keystile.Route) { r.When = "true" },
		"upstream": func(r *keystile.Route) { r.Upstreams = []string{"http://127.0.0.1:9001"} },
		"policies": func(r *keystile.Route) { r.Policies, r.Policy = []string{"a"}, "permit(principal, action, resource);" },
	} {
		r := base
		change(&r)
		v := mustCompile(t, r).Version()
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s have the same version", name, other)
		}
		seen[v] = name
	}
	moved := base
	moved.Source = "other.yaml:99"
	if mustCompile(t, base).Version() != mustCompile(t, moved).Version() {
		t.Error("the version depends on where a route was declared")
	}
	if mustCompile(t).Version() == mustCompile(t, base).Version() {
		t.Error("no routes and one route have the same version")
	}
}

func TestTheTableIsNotChangedThroughTheRoutesItWasMadeFrom(t *testing.T) {
	route := testRoute("", "/a", "GET")
	route.Scopes = []keystile.Scope{"a:b"}
	table := mustCompile(t, route)
	route.Scopes[0], route.Accept[0], route.Match.Methods[0] = "x:y", "none", "POST"
	got := table.Routes()[0]
	if got.Scopes[0] != "a:b" || got.Accept[0] != keystile.KindAPIKey || got.Match.Methods[0] != "GET" {
		t.Errorf("the table changed: %+v", got)
	}
}

func TestAPreflightIsAnsweredForTheRouteOfTheRealMethod(t *testing.T) {
	get, post, star := testRoute("", "/a", "GET"), testRoute("", "/a", "POST"), testRoute("", "/open")
	get.CORS = &keystile.RouteCORS{Origins: []string{"https://app.example.com", "http://localhost:3000"}, Headers: []string{"x-api-key"}}
	star.CORS = &keystile.RouteCORS{Origins: []string{"*"}}
	table := mustCompile(t, get, post, star)
	for name, tc := range map[string]struct {
		method, path, origin, asks string
		want                       bool
	}{
		"an allowed origin":                     {"OPTIONS", "/a", "https://app.example.com", "GET", true},
		"another allowed origin":                {"OPTIONS", "/a", "http://localhost:3000", "GET", true},
		"any origin where any is allowed":       {"OPTIONS", "/open", "https://else.example", "PUT", true},
		"an origin in other case":               {"OPTIONS", "/a", "https://APP.example.com", "GET", false},
		"an origin with more after it":          {"OPTIONS", "/a", "https://app.example.com.evil.example", "GET", false},
		"an origin with another port":           {"OPTIONS", "/a", "https://app.example.com:8443", "GET", false},
		"an origin with another scheme":         {"OPTIONS", "/a", "http://app.example.com", "GET", false},
		"the null origin":                       {"OPTIONS", "/open", "null", "GET", false},
		"a method whose route allows no origin": {"OPTIONS", "/a", "https://app.example.com", "POST", false},
		"a method without a route":              {"OPTIONS", "/a", "https://app.example.com", "DELETE", false},
		"a method that is none":                 {"OPTIONS", "/a", "https://app.example.com", "G T", false},
		"an ambiguous path":                     {"OPTIONS", "/a/../a", "https://app.example.com", "GET", false},
		"a request that is no OPTIONS":          {"GET", "/a", "https://app.example.com", "GET", false},
	} {
		r := testRequest(tc.method, "a.example", tc.path)
		r.Header["Origin"], r.Header["Access-Control-Request-Method"] = []string{tc.origin}, []string{tc.asks}
		if route, ok := table.Preflight(r); ok != tc.want || ok && route.CORS == nil {
			t.Errorf("%s: %v", name, ok)
		}
	}
	r := testRequest("OPTIONS", "a.example", "/a")
	if _, ok := table.Preflight(r); ok {
		t.Error("OPTIONS without Origin is a preflight")
	}
	r.Header["Origin"], r.Header["Access-Control-Request-Method"] = []string{"https://app.example.com", "https://x.example"}, []string{"GET"}
	if _, ok := table.Preflight(r); ok {
		t.Error("OPTIONS with two origins is a preflight")
	}
}

func TestThreat18_NothingButHostPathAndMethodChoosesTheRoute(t *testing.T) {
	table := mustCompile(t, testRoute("", "/private/**"), testRoute("", "/healthz"), testRoute("", "/x", "POST"))
	r := testRequest("GET", "a.example", "/private/x?path=/healthz&/healthz")
	r.Header = keystile.Header{
		"User-Agent": {"GoogleHC/1.0"}, "X-Original-Url": {"/healthz"}, "X-Rewrite-Url": {"/healthz"}, "X-Forwarded-Uri": {"/healthz"},
		"X-Http-Method-Override": {"POST"}, "X-Forwarded-Host": {"b.example"},
	}
	if got := found(table, r); got != "* /private/**" {
		t.Errorf("%q", got)
	}
	r.Path = "/x"
	if got := found(table, r); got != string(keystile.ReasonNoRoute) {
		t.Errorf("%q", got)
	}
	for _, path := range []string{"/private/x#/healthz", "/healthz%23/../private", "/healthz?/private", "/private/x/%2e%2e/healthz"} {
		r.Path = path
		if got := found(table, r); got != string(keystile.ReasonRequestInvalid) {
			t.Errorf("%s: %q", path, got)
		}
	}
}
