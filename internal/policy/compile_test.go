package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
)

// TestTheConfigurationThatTheDocumentationShowsCompiles: people paste it.
func TestTheConfigurationThatTheDocumentationShowsCompiles(t *testing.T) {
	route := testRoute("api.example.com", "/telemetry/**", "GET")
	route.StripPrefix = "/prod"
	route.Accept = []keystile.KindName{keystile.KindAPIKey, keystile.KindSessionJWT}
	route.Resource = &keystile.RouteResource{Type: "site", From: "query.site_id"}
	route.NotPermittedStatus = 403
	route.Scopes = []keystile.Scope{"telemetry:read"}
	route.When = `principal.role != "role_guest"`
	rate, err := keystile.ParseRate("60/1m", "")
	if err != nil {
		t.Fatal(err)
	}
	route.Limits = []keystile.RouteLimit{{Rate: *rate, Per: keystile.PerCredential}}
	route.Errors = "ona"
	o := testOptions()
	o.PublicHost = "auth.example.com"
	o.BuiltinPaths = []string{"/v1/", "/healthz", "/prod/api/auth/"}
	o.OwnAddresses = []string{"127.0.0.1:8080", "auth.example.com:443"}
	table, problems := Compile([]keystile.Route{route}, o)
	if len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	if w := table.Warnings(); len(w) != 1 || w[0].Field != "strip_prefix" {
		t.Errorf("warnings %v, want one about strip_prefix, which strips nothing there", w)
	}
}

// problemCase is one change to a route that compiles, and where the problem is.
type problemCase struct {
	change func(*keystile.Route)
	field  string
}

func rateOf(n int, w time.Duration, a keystile.Algorithm) keystile.Rate {
	return keystile.Rate{Requests: n, Window: w, Algorithm: a}
}

func TestWhatIsWrongWithARouteIsNamed(t *testing.T) {
	sessions := []keystile.KindName{keystile.KindSessionJWT}
	for name, tc := range map[string]problemCase{
		"no path":                    {func(r *keystile.Route) { r.Match.Path = "" }, "match.path"},
		"a path with a query":        {func(r *keystile.Route) { r.Match.Path = "/a?b" }, "match.path"},
		"a host with a port":         {func(r *keystile.Route) { r.Match.Host = "a.example:80" }, "match.host"},
		"a host with a wildcard":     {func(r *keystile.Route) { r.Match.Host = "*.example" }, "match.host"},
		"a host that is none":        {func(r *keystile.Route) { r.Match.Host = "a b" }, "match.host"},
		"a method in small letters":  {func(r *keystile.Route) { r.Match.Methods = []string{"get"} }, "match.methods"},
		"a method that is none":      {func(r *keystile.Route) { r.Match.Methods = []string{"GET,POST"} }, "match.methods"},
		"auth that asks for nothing": {func(r *keystile.Route) { r.Accept, r.Auth = sessions, &keystile.RouteAuth{} }, "auth"},
		"auth where nobody signs in": {func(r *keystile.Route) { r.Auth = &keystile.RouteAuth{MaxAge: time.Hour} }, "auth"},
		"a method of signing in that is none": {func(r *keystile.Route) {
			r.Accept, r.Auth = sessions, &keystile.RouteAuth{Methods: []keystile.AuthMethod{"sms"}}
		}, "auth.methods"},
		"a method of signing in twice": {func(r *keystile.Route) {
			r.Accept, r.Auth = sessions, &keystile.RouteAuth{Methods: []keystile.AuthMethod{"otp", "otp"}}
		}, "auth.methods"},
		"an age that nobody can meet":  {func(r *keystile.Route) { r.Accept, r.Auth = sessions, &keystile.RouteAuth{MaxAge: time.Second} }, "auth.max_age"},
		"a method twice":               {func(r *keystile.Route) { r.Match.Methods = []string{"GET", "GET"} }, "match.methods"},
		"TRACE":                        {func(r *keystile.Route) { r.Match.Methods = []string{"TRACE"} }, "match.methods"},
		"no credential accepted":       {func(r *keystile.Route) { r.Accept = nil }, "accept"},
		"an unknown kind":              {func(r *keystile.Route) { r.Accept = []keystile.KindName{"password"} }, "accept"},
		"a kind twice":                 {func(r *keystile.Route) { r.Accept = append(r.Accept, r.Accept...) }, "accept"},
		"no upstream":                  {func(r *keystile.Route) { r.Upstreams = nil }, "upstream"},
		"an upstream twice":            {func(r *keystile.Route) { r.Upstreams = append(r.Upstreams, r.Upstreams...) }, "upstream"},
		"a relative upstream":          {upstream("/api"), "upstream"},
		"an upstream without scheme":   {upstream("127.0.0.1:9000"), "upstream"},
		"an upstream without host":     {upstream("http://:9000"), "upstream"},
		"an ftp upstream":              {upstream("ftp://a.example"), "upstream"},
		"an upstream with a password":  {upstream("http://u:secret-word@a.example"), "upstream"},
		"an upstream with a query":     {upstream("http://a.example/?x=1"), "upstream"},
		"an upstream with a fragment":  {upstream("http://a.example/#x"), "upstream"},
		"an upstream with dots":        {upstream("http://a.example/a/../b"), "upstream"},
		"an upstream with port 0":      {upstream("http://a.example:0"), "upstream"},
		"this server as upstream":      {upstream("http://127.0.0.1:8080"), "upstream"},
		"this server by localhost":     {upstream("http://localhost:8080/x"), "upstream"},
		"this server by any address":   {upstream("http://0.0.0.0:8080"), "upstream"},
		"this server by its name":      {upstream("https://Auth.example.com./x"), "upstream"},
		"this server on every address": {upstream("http://[::1]:8081"), "upstream"},
		"a strip_prefix of some paths": {func(r *keystile.Route) { r.Match.Path, r.StripPrefix = "/**", "/a" }, "strip_prefix"},
		"a strip_prefix with a star":   {func(r *keystile.Route) { r.StripPrefix = "/*" }, "strip_prefix"},
		"a strip_prefix with a slash":  {func(r *keystile.Route) { r.StripPrefix = "/a/" }, "strip_prefix"},
		"a strip_prefix without slash": {func(r *keystile.Route) { r.StripPrefix = "a" }, "strip_prefix"},
		"a strip_prefix with a colon":  {func(r *keystile.Route) { r.Match.Path, r.StripPrefix = "/a:b/**", "/a:b" }, "strip_prefix"},
		"a resource of another type":   {func(r *keystile.Route) { r.Resource = &keystile.RouteResource{Type: "asset", From: "query.x"} }, "resource.type"},
		"a resource from nowhere":      {from(""), "resource.id"},
		"a resource without a name":    {from("query."), "resource.id"},
		"a resource from a cookie":     {from("cookie.site"), "resource.id"},
		"a resource in a bad field":    {from("header.a b"), "resource.id"},
		"a resource in the credential": {from("header.authorization"), "resource.id"},
		"a resource in identity":       {from("header.Keystile-Sites"), "resource.id"},
		"a wildcard that is not there": {from("path.2"), "resource.id"},
		"wildcard 0":                   {from("path.0"), "resource.id"},
		"wildcard 01":                  {from("path.01"), "resource.id"},
		"a JSON path with a gap":       {from("json.a..b"), "resource.id"},
		"status 401":                   {func(r *keystile.Route) { r.NotPermittedStatus = 401 }, "not_permitted_status"},
		"an unknown environment":       {func(r *keystile.Route) { r.Environment = "staging" }, "environment"},
		"a scope with a space":         {scope("a read"), "scopes"},
		"a scope of all nouns":         {scope("*:*"), "scopes"},
		"a scope without a noun":       {scope(":read"), "scopes"},
		"a scope without a verb":       {scope("a:"), "scopes"},
		"an empty scope":               {scope(""), "scopes"},
		"a condition that is none":     {func(r *keystile.Route) { r.When = "a ==" }, "when"},
		"a policy nobody can read":     {func(r *keystile.Route) { r.Policies = []string{"x.cedar"} }, "policies"},
		"a rate of nothing":            {limited(keystile.Rate{}, "credential", ""), "limit.rate"},
		"a window beyond a day":        {limited(rateOf(1, 48*time.Hour, ""), "credential", ""), "limit.rate"},
		"too much for a window":        {limited(rateOf(10_001, time.Minute, ""), "credential", ""), "limit.rate"},
		"an unknown algorithm":         {limited(rateOf(1, time.Minute, "bucket"), "credential", ""), "limit.rate"},
		"a limit per nothing":          {limited(rateOf(1, time.Minute, ""), "", ""), "limit.per"},
		"an unknown outage rule":       {limited(rateOf(1, time.Minute, ""), "credential", "allow"), "limit.on_outage"},
		"two limits over one window": {func(r *keystile.Route) {
			limited(rateOf(1, time.Minute, ""), "credential", "")(r)
			r.Limits = append(r.Limits, r.Limits[0])
		}, "limit"},
		"an unknown error body":            {func(r *keystile.Route) { r.Errors = "xml" }, "errors"},
		"a credential header that is none": {func(r *keystile.Route) { r.CredentialHeader = "a b" }, "credential_header"},
		"a credential header for no key": {func(r *keystile.Route) {
			r.CredentialHeader, r.Accept = "X-Key", []keystile.KindName{keystile.KindSessionJWT}
		}, "credential_header"},
		"a credential parameter for no key": {func(r *keystile.Route) {
			r.CredentialQuery, r.Accept = "key", []keystile.KindName{keystile.KindSessionJWT}
		}, "credential_query"},
		"a credential parameter that is none": {func(r *keystile.Route) { r.CredentialQuery = "a&b" }, "credential_query"},
		"a negative body":                     {func(r *keystile.Route) { r.MaxBody = -1 }, "max_body"},
		"a negative timeout":                  {func(r *keystile.Route) { r.Timeout = -1 }, "timeout"},
		"observing for a year":                {func(r *keystile.Route) { r.ObserveUntil = testTime.AddDate(1, 0, 0) }, "observe_until"},
		"no origins":                          {origins(), "cors.origins"},
		"* beside an origin":                  {origins("*", "https://a.example"), "cors.origins"},
		"the null origin":                     {origins("null"), "cors.origins"},
		"an origin with a path":               {origins("https://a.example/"), "cors.origins"},
		"an origin with capitals":             {origins("https://A.example"), "cors.origins"},
		"an origin with its default port":     {origins("https://a.example:443"), "cors.origins"},
		"an origin with an empty port":        {origins("https://a.example:"), "cors.origins"},
		"an origin without scheme":            {origins("a.example"), "cors.origins"},
		"an origin with a user":               {origins("https://u@a.example"), "cors.origins"},
		"an international origin":             {origins("https://bücher.example"), "cors.origins"},
		"an origin with a wildcard":           {origins("https://*.example"), "cors.origins"},
		"a wildcard for CORS headers": {func(r *keystile.Route) {
			r.CORS = &keystile.RouteCORS{Origins: []string{"*"}, Headers: []string{"*"}}
		}, "cors.headers"},
		"a preflight kept for a week": {func(r *keystile.Route) {
			r.CORS = &keystile.RouteCORS{Origins: []string{"*"}, MaxAge: 7 * 24 * time.Hour}
		}, "cors.max_age"},
		"the server's own host":  {func(r *keystile.Route) { r.Match.Host = "AUTH.example.com" }, "match.host"},
		"any host":               {func(r *keystile.Route) { r.Match.Host = "" }, "match.host"},
		"a built-in path":        {own("/healthz"), "match.path"},
		"below a built-in path":  {own("/v1/keys"), "match.path"},
		"a built-in path itself": {own("/v1"), "match.path"},
		"over a built-in path":   {own("/**"), "match.path"},
		"beside, yet matching":   {own("/*/keys"), "match.path"},
	} {
		t.Run(name, func(t *testing.T) {
			route := testRoute("api.example.com", "/a/*")
			route.Source = "keystile.yaml:7"
			tc.change(&route)
			o := testOptions()
			o.PublicHost = "auth.example.com:8443"
			o.BuiltinPaths = []string{"/v1/", "/healthz"}
			o.OwnAddresses = []string{"127.0.0.1:8080", ":8081", "127.0.0.1:0", "auth.example.com:443"}
			table, problems := Compile([]keystile.Route{route}, o)
			if table != nil || len(problems) != 1 {
				t.Fatalf("%d problems: %v", len(problems), problems)
			}
			p := problems[0]
			if p.Field != tc.field || p.Source != "keystile.yaml:7" || p.Remedy == "" || strings.Contains(p.Error(), "secret-word") {
				t.Errorf("%v: field %q, want %q", p, p.Field, tc.field)
			}
		})
	}
}

func upstream(u string) func(*keystile.Route) {
	return func(r *keystile.Route) { r.Upstreams = []string{u} }
}

func from(f string) func(*keystile.Route) {
	return func(r *keystile.Route) { r.Resource = &keystile.RouteResource{Type: "site", From: f} }
}

func scope(s keystile.Scope) func(*keystile.Route) {
	return func(r *keystile.Route) { r.Scopes = []keystile.Scope{s} }
}

func limited(rate keystile.Rate, per keystile.LimitPer, outage string) func(*keystile.Route) {
	return func(r *keystile.Route) {
		r.Limits = []keystile.RouteLimit{{Rate: rate, Per: per, OnOutage: outage}}
	}
}

func origins(list ...string) func(*keystile.Route) {
	return func(r *keystile.Route) { r.CORS = &keystile.RouteCORS{Origins: list} }
}

// own puts a route on the server's own origin, where built-in paths win.
func own(path string) func(*keystile.Route) {
	return func(r *keystile.Route) {
		r.Match.Host, r.Match.Path, r.SameOrigin = "auth.example.com", path, true
		r.ID = RouteID(r.Match)
	}
}

func TestTwoRoutesOfWhichNeitherIsMoreSpecificAreRefusedWithBothSources(t *testing.T) {
	for name, tc := range map[string]struct{ a, b keystile.Route }{
		"equal routes":              {testRoute("", "/a", "GET"), testRoute("", "/a", "GET")},
		"equal but for the id":      {testRoute("", "/a"), testRoute("", "/a")},
		"hosts in another form":     {testRoute("a.example", "/a"), testRoute("A.EXAMPLE.", "/a")},
		"international hosts":       {testRoute("bücher.example", "/a"), testRoute("xn--bcher-kva.example", "/a")},
		"crossing wildcards":        {testRoute("", "/a/*"), testRoute("", "/*/b")},
		"crossing subtrees":         {testRoute("", "/api/**"), testRoute("", "/**/admin")},
		"crossing parts":            {testRoute("", "/a*"), testRoute("", "/*b")},
		"crossing methods":          {testRoute("", "/a", "GET", "POST"), testRoute("", "/a", "GET", "PUT")},
		"methods in another order":  {testRoute("", "/a", "GET", "PUT"), testRoute("", "/a", "PUT", "GET")},
		"crossing unusual methods":  {testRoute("", "/a", "GET", "PURGE"), testRoute("", "/a", "PURGE", "PUT")},
		"the same paths, two forms": {testRoute("", "/*/**"), testRoute("", "/**/*")},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := tc.a, tc.b
			a.Source, b.Source, b.ID = "one.yaml:1", "two.yaml:2", b.ID+" again"
			_, problems := Compile([]keystile.Route{a, b}, testOptions())
			if len(problems) != 1 || problems[0].Source != "two.yaml:2" || !strings.Contains(problems[0].Problem, "one.yaml:1") {
				t.Errorf("%v", problems)
			}
		})
	}
	for name, tc := range map[string]struct{ a, b keystile.Route }{
		"a host and any host":       {testRoute("a.example", "/a/*"), testRoute("", "/*/b")},
		"two hosts":                 {testRoute("a.example", "/a"), testRoute("b.example", "/a")},
		"crossing paths, no method": {testRoute("", "/a/*", "GET"), testRoute("", "/*/b", "PUT")},
		"GET and HEAD":              {testRoute("", "/a", "GET"), testRoute("", "/a", "HEAD")},
		"a path and its slash":      {testRoute("", "/a"), testRoute("", "/a/")},
		"a part of the methods":     {testRoute("", "/a", "GET"), testRoute("", "/a", "GET", "PUT")},
		"a narrower path and more":  {testRoute("", "/a/b"), testRoute("", "/a/*", "GET")},
	} {
		t.Run(name, func(t *testing.T) { mustCompile(t, tc.a, tc.b) })
	}
}

func TestTwoRoutesWithOneIDAreRefused(t *testing.T) {
	a, b := testRoute("", "/a"), testRoute("", "/b")
	b.ID = a.ID
	if _, problems := Compile([]keystile.Route{a, b}, testOptions()); len(problems) != 1 || problems[0].Field != "match" {
		t.Errorf("%v", problems)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	a, b := testRoute("", "/a"), testRoute("", "/a//b")
	a.Accept, a.Upstreams, a.Errors = nil, []string{"x"}, "xml"
	a.Source, b.Source = "keystile.yaml:3", "keystile.yaml:9"
	b.Scopes = []keystile.Scope{"a b", "c d"}
	table, problems := Compile([]keystile.Route{a, b}, testOptions())
	if table != nil || len(problems) != 6 {
		t.Fatalf("%d problems: %v", len(problems), problems)
	}
	const want = "keystile.yaml:9: match.path: "
	if !slices.ContainsFunc(problems, func(p Problem) bool { return strings.HasPrefix(p.Error(), want) }) {
		t.Errorf("no problem begins with %q: %v", want, problems)
	}
}

func TestRoutesOfTheDemoMayLieOnItsOwnHostButNeverOnBuiltInPaths(t *testing.T) {
	o := testOptions()
	o.PublicHost, o.BuiltinPaths, o.Demo = "127.0.0.1:8080", []string{"/v1/", "/healthz", "/prod/api/auth/"}, true
	if _, problems := Compile([]keystile.Route{testRoute("", "/prod/telemetry/**")}, o); len(problems) > 0 {
		t.Errorf("%v", problems)
	}
	if _, problems := Compile([]keystile.Route{testRoute("", "/prod/**")}, o); len(problems) != 1 {
		t.Errorf("a route over a built-in path: %v", problems)
	}
	o.Demo = false
	route := testRoute("", "/prod/telemetry/**")
	if _, problems := Compile([]keystile.Route{route}, o); len(problems) != 1 {
		t.Errorf("without same_origin: %v", problems)
	}
	route.SameOrigin = true
	if _, problems := Compile([]keystile.Route{route}, o); len(problems) > 0 {
		t.Errorf("with same_origin: %v", problems)
	}
	if _, problems := Compile([]keystile.Route{testRoute("api.example.com", "/**")}, o); len(problems) > 0 {
		t.Errorf("a host of its own: %v", problems)
	}
}

func TestWithoutAPublicHostARouteMayNotLieOnABuiltInPathAndARouteForAllIsWarnedOf(t *testing.T) {
	o := testOptions()
	o.PublicHost, o.BuiltinPaths = "", []string{"/v1/", "/healthz", "/prod/api/auth/"}
	for _, path := range []string{"/v1/things/*", "/healthz", "/v1/**", "/prod/api/auth/login"} {
		if _, problems := Compile([]keystile.Route{testRoute("", path)}, o); len(problems) != 1 || problems[0].Field != "match.path" {
			t.Errorf("%s, which nobody can ever reach: %v", path, problems)
		}
		if _, problems := Compile([]keystile.Route{testRoute("api.example.com", path)}, o); len(problems) > 0 {
			t.Errorf("%s on a host of its own: %v", path, problems)
		}
	}
	for path, warned := range map[string]bool{"/**": true, "/prod/**": true, "/*": true, "/v2/**": false, "/healthz/x": false} {
		table, problems := Compile([]keystile.Route{testRoute("", path)}, o)
		if table == nil {
			t.Fatalf("%s: %v", path, problems)
		}
		if got := table.Warnings(); (len(got) == 1) != warned {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestARouteThatIsDeclaredTwiceIsOneProblem(t *testing.T) {
	if _, problems := Compile([]keystile.Route{testRoute("", "/a"), testRoute("", "/a")}, testOptions()); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
}

func TestWhatAnAuthorShouldKnowIsAWarning(t *testing.T) {
	for name, tc := range map[string]problemCase{
		"a resource in the body":    {from("json.site_id"), "resource.id"},
		"observing":                 {func(r *keystile.Route) { r.ObserveUntil = testTime.Add(time.Hour) }, "observe_until"},
		"having observed":           {func(r *keystile.Route) { r.ObserveUntil = testTime.Add(-time.Hour) }, "observe_until"},
		"a key in the query":        {func(r *keystile.Route) { r.CredentialQuery = "api_key" }, "credential_query"},
		"a prefix that strips nil":  {func(r *keystile.Route) { r.StripPrefix = "/b" }, "strip_prefix"},
		"an unknown attribute":      {func(r *keystile.Route) { r.When = `principal.department == "x"` }, "when"},
		"HEAD that goes elsewhere":  {func(r *keystile.Route) { r.Match.Methods = []string{"GET"} }, "match.methods"},
		"nothing, for a plain one":  {func(*keystile.Route) {}, ""},
		"nothing, for a good strip": {func(r *keystile.Route) { r.StripPrefix = "/a" }, ""},
	} {
		route := testRoute("", "/a/*")
		tc.change(&route)
		warnings := mustCompile(t, route, testRoute("", "/**")).Warnings()
		switch {
		case tc.field == "" && len(warnings) > 0:
			t.Errorf("%s: %v", name, warnings)
		case tc.field != "" && (len(warnings) != 1 || warnings[0].Field != tc.field || warnings[0].Remedy == ""):
			t.Errorf("%s: %v", name, warnings)
		}
	}
}

func TestPolicyFilesAreReadOnceAndBelongToTheVersion(t *testing.T) {
	files := map[string]string{
		"allow.cedar": `permit (principal, action, resource);`,
		"guard.cedar": `forbid (principal, action, resource) when { principal.role == "role_guest" };`,
	}
	o := testOptions()
	o.ReadPolicy = func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
	route := testRoute("", "/t")
	route.Policies = []string{"allow.cedar", "guard.cedar"}
	one, problems := Compile([]keystile.Route{route}, o)
	if one == nil {
		t.Fatal(problems)
	}
	m := mustFind(t, one, testRequest("GET", "a.example", "/t"))
	p := fitPrincipal()
	if _, rejection := m.Authorize(testRequest("GET", "a.example", "/t"), p, testTime); rejection != nil {
		t.Error(rejection)
	}
	p.Role = "role_guest"
	if _, rejection := m.Authorize(testRequest("GET", "a.example", "/t"), p, testTime); rejection == nil || !strings.Contains(rejection.Cause, "guard.cedar:1:1") {
		t.Errorf("the refusal does not name the policy: %v", rejection)
	}
	files["guard.cedar"] += " // changed"
	two, _ := Compile([]keystile.Route{route}, o)
	if one.Version() == two.Version() {
		t.Error("a changed policy file leaves the version as it was")
	}
	route.Policies = []string{"absent.cedar"}
	if _, problems := Compile([]keystile.Route{route}, o); len(problems) != 1 || !strings.Contains(problems[0].Problem, "absent.cedar") {
		t.Errorf("%v", problems)
	}
}
