package policy

import (
	"net/netip"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
)

func conditioned(when string, policies ...string) keystile.Route {
	route := testRoute("", "/t/**")
	route.Resource = &keystile.RouteResource{Type: "site", From: "query.site_id"}
	route.When, route.Policy = when, strings.Join(policies, "\n")
	return route
}

func TestConditionsSeeTheRequestAndThePrincipal(t *testing.T) {
	p := fitPrincipal()
	p.Role, p.Username, p.GroupID, p.CustomerIDs = "role_analyst", "u@example.com", "grp-1", []string{"cust-1"}
	for when, want := range map[string]bool{
		`true`:                           true,
		`false`:                          false,
		`principal.role != "role_guest"`: true,
		`principal.role == "role_guest"`: false,
		`principal.subject == "key:1"`:   true,
		`principal.organization == "sibaya-power"`:      true,
		`principal.kind == "api_key"`:                   true,
		`principal.credential == "1"`:                   true,
		`principal.environment == "production"`:         true,
		`principal.username like "*@example.com"`:       true,
		`principal.group == "grp-1"`:                    true,
		`principal.customers.contains("cust-1")`:        true,
		`principal.scopes.contains("telemetry:*")`:      true,
		`principal.sites.contains(resource.id)`:         true,
		`resource.type == "site"`:                       true,
		`resource is Site`:                              true,
		`resource == Site::"Sibaya"`:                    true,
		`principal == Principal::"key:1"`:               true,
		`principal in Organization::"sibaya-power"`:     true,
		`principal in Organization::"other"`:            false,
		`action == Action::"GET"`:                       true,
		`action in [Action::"PUT", Action::"POST"]`:     false,
		`context.method == "GET"`:                       true,
		`context.path == "/t/a b"`:                      true,
		`context.path like "/t/*"`:                      true,
		`context.host == "api.example.com"`:             true,
		`context.address.isInRange(ip("192.0.2.0/24"))`: true,
		`context.address.isLoopback()`:                  false,
		`context.time < datetime("2026-11-23")`:         true,
		`context.time < datetime("2026-11-22")`:         false,
		`context.hour == 12`:                            true,
		`context.hour >= 8 && context.hour < 12`:        false,
		`context.weekday == 7`:                          true,
		"true // a remark":                              true,
		"principal.role\n!=\n\"role_guest\"":            true,
	} {
		r := testRequest("GET", "API.example.com.:443", "/t/a%20b?site_id=Sibaya")
		_, rejection := authorize(t, conditioned(when), r, p)
		if (rejection == nil) != want || rejection != nil && (rejection.Reason != keystile.ReasonConditionFailed || rejection.Public != "") {
			t.Errorf("%s: %v, want %v", when, rejection, want)
		}
	}
}

func TestEveryAttributeIsThereForAnAPIKeyWithoutAPerson(t *testing.T) {
	route := testRoute("", "/t")
	route.When = `principal.role == "" && principal.username == "" && principal.group == "" && principal.customers.isEmpty()
		&& resource.type == "" && resource.id == "" && resource == Route::"* /t" && principal.role != "role_guest"`
	if _, rejection := authorize(t, route, testRequest("GET", "a.example", "/t"), fitPrincipal()); rejection != nil {
		t.Error(rejection)
	}
	p := fitPrincipal()
	p.AllowedIPs = nil
	r := testRequest("GET", "a.example", "/t")
	r.ClientAddr = netip.MustParseAddr("::ffff:10.1.2.3")
	route.When = `context.address.isInRange(ip("10.0.0.0/8"))`
	if _, rejection := authorize(t, route, r, p); rejection != nil {
		t.Errorf("an IPv4 address in IPv6 form: %v", rejection)
	}
}

// TestThreat04_AnEvaluationErrorRefuses: Cedar itself leaves a policy that fails
// out of the decision, so that a forbid with a mistake in it would allow.
func TestThreat04_AnEvaluationErrorRefuses(t *testing.T) {
	const all = `permit (principal, action, resource);`
	for name, route := range map[string]keystile.Route{
		"a forbid on an absent attribute":       conditioned("", all, `forbid (principal, action, resource) when { principal.suspended };`),
		"a forbid on an absent entity":          conditioned("", all, `forbid (principal, action, resource) when { Site::"x".closed };`),
		"a forbid with a wrong type":            conditioned("", all, `forbid (principal, action, resource) when { principal.role < 3 };`),
		"a forbid whose number overflows":       conditioned("", all, `forbid (principal, action, resource) when { context.hour + 9223372036854775807 > 0 };`),
		"a permit that fails beside a good one": conditioned("", all, `permit (principal, action, resource) when { principal.nothing };`),
		"a condition on an absent attribute":    conditioned(`principal.department == "x"`),
		"a condition that is no boolean":        conditioned(`principal.role`),
		"an address that is none":               conditioned(`context.address.isInRange(ip("x"))`),
		"an unless on an absent attribute":      conditioned("", `permit (principal, action, resource) unless { principal.suspended };`),
	} {
		_, rejection := authorize(t, route, testRequest("GET", "a.example", "/t?site_id=Sibaya"), fitPrincipal())
		if rejection == nil || rejection.Reason != keystile.ReasonConditionFailed {
			t.Errorf("%s: %v", name, rejection)
		}
	}
}

func TestPoliciesDecideByCedarsRuleAndConditionsMustHoldBeside(t *testing.T) {
	const all = `permit (principal, action, resource);`
	for name, tc := range map[string]struct {
		route keystile.Route
		ok    bool
	}{
		"a permit":                               {conditioned("", all), true},
		"a permit for something else":            {conditioned("", `permit (principal, action == Action::"PUT", resource);`), false},
		"a forbid beats a permit":                {conditioned("", all, `forbid (principal, action, resource == Site::"Sibaya");`), false},
		"a forbid for something else":            {conditioned("", all, `forbid (principal, action, resource == Site::"Other");`), true},
		"the condition does not stand in for it": {conditioned(`true`, `permit (principal, action == Action::"PUT", resource);`), false},
		"nor it for the condition":               {conditioned(`false`, all), false},
		"both":                                   {conditioned(`true`, all), true},
	} {
		_, rejection := authorize(t, tc.route, testRequest("GET", "a.example", "/t?site_id=Sibaya"), fitPrincipal())
		if (rejection == nil) != tc.ok {
			t.Errorf("%s: %v", name, rejection)
		}
	}
}

// smuggled are texts that close the condition and begin something else.
var smuggled = []string{
	`true }; permit (principal, action, resource) when { true`,
	`false }; permit (principal, action, resource); forbid (principal, action, resource) when { false`,
	`false } unless { false`,
	`false } when { true`,
	`false }; //`,
	`false }; permit (principal, action, resource); permit(principal, action, resource) when { true`,
}

func TestAConditionCannotSmuggleAnotherPolicy(t *testing.T) {
	for _, text := range smuggled {
		if _, problem := whenCondition(text); problem == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}

func TestAConditionThatIsNotCedarIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "empty",
		"   ":                          "empty",
		"principal.":                   "line 2", // the parser names the brace it found instead
		"true &&\nprincipal. == 3":     "line 2",
		`principal.role == "`:          "line 1",
		"principal.role = \"x\"":       "line 1",
		"nobody.role == \"x\"":         "line 1",
		strings.Repeat("!", maxWhen+1): "longer",
	} {
		_, problem := whenCondition(text)
		if problem == nil || !strings.Contains(problem.Problem, want) || strings.Contains(problem.Problem, "<input>") {
			t.Errorf("%.40q: %v, want %q", text, problem, want)
		}
	}
}

func TestPoliciesThatCannotBeMeantAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no policy":           {"// nothing", "permit nothing"},
		"only a forbid":       {"forbid (principal, action, resource);", "permit nothing"},
		"a mistake":           {"permit (principal, action, resource)\n;\npermit (", "line 3"},
		"more than 64 KiB":    {strings.Repeat("/", maxPolicy+1), "64 KiB"},
		"text that is not it": {"allow all", "not valid Cedar"},
	} {
		route := testRoute("", "/t")
		route.Policies, route.Policy = []string{"guard.cedar"}, tc.text
		_, problems := Compile([]keystile.Route{route}, testOptions())
		if len(problems) != 1 || !strings.Contains(problems[0].Problem, tc.want) || problems[0].Field != "policies" {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestAttributesThatDoNotExistAreWarnedOf(t *testing.T) {
	route := conditioned(`principal.rol == "principal.nope" && context . tme > 1 // resource.remark
		&& principal.role == "x" && resource.id == "y"`)
	var got []string
	for _, w := range mustCompile(t, route).Warnings() {
		got = append(got, w.Problem)
	}
	text := strings.Join(got, "\n")
	if len(got) != 2 || !strings.Contains(text, "principal.rol ") || !strings.Contains(text, "context.tme ") {
		t.Errorf("%q", got)
	}
}

func TestEveryDocumentedAttributeExists(t *testing.T) {
	var tests []string
	for _, a := range principalAttributes {
		tests = append(tests, "principal has "+a.name)
	}
	for _, a := range resourceAttributes {
		tests = append(tests, "resource has "+a)
	}
	for _, a := range contextAttributes {
		tests = append(tests, "context has "+a)
	}
	_, rejection := authorize(t, conditioned(strings.Join(tests, " && ")), testRequest("GET", "a.example", "/t?site_id=Sibaya"), fitPrincipal())
	if rejection != nil {
		t.Error(rejection)
	}
}

func TestAnAttributeNamedWithEscapesIsThereToo(t *testing.T) {
	p := fitPrincipal()
	p.Role = "role_guest"
	for _, when := range []string{`principal["r\u{6f}le"] == "role_guest"`, `principal["role"] == "role_guest"`, `principal has "r\u{6f}le"`} {
		if _, rejection := authorize(t, conditioned(when), testRequest("GET", "a.example", "/t?site_id=Sibaya"), p); rejection != nil {
			t.Errorf("%s: %v", when, rejection)
		}
	}
}

func FuzzCondition(f *testing.F) {
	for _, s := range append([]string{`true`, `principal.role == "x"`, `context.address.isInRange(ip("10.0.0.0/8"))`, `(`, `"`, `principal.a.b.c`, `-context.hour`}, smuggled...) {
		f.Add(s)
	}
	p, r := fitPrincipal(), testRequest("GET", "a.example", "/t?site_id=Sibaya")
	f.Fuzz(func(t *testing.T, text string) {
		c, problem := whenCondition(text)
		if problem != nil {
			return
		}
		all := &facts{
			needs: needsOf(`\`), principal: p, resource: keystile.Resource{Type: "site", ID: "Sibaya"}, route: "x",
			method: "GET", path: "/t", host: "a.example", address: r.ClientAddr, now: testTime,
		}
		needed := *all
		needed.needs = needsOf(text)
		if (c.check(all) == "") != (c.check(&needed) == "") {
			t.Fatalf("%q decides differently with all facts than with the needed ones", text)
		}
		policies := 0
		for range c.set.All() {
			policies++
		}
		if policies != 1 {
			t.Fatalf("%q became %d policies", text, policies)
		}
	})
}
