package policy

import (
	"net/netip"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
)

// askedRoute asks for everything a route can ask for.
func askedRoute() keystile.Route {
	route := testRoute("", "/t/**", "GET")
	route.Environment = keystile.Production
	route.Resource = &keystile.RouteResource{Type: "site", From: "query.site_id"}
	route.Scopes = []keystile.Scope{"telemetry:read", "sites:list"}
	route.When = `principal.role != "role_guest"`
	return route
}

// fitPrincipal is one that askedRoute allows on site Sibaya.
func fitPrincipal() *keystile.Principal {
	return &keystile.Principal{
		Subject: "key:1", OrganizationID: "sibaya-power", Environment: keystile.Production, Kind: keystile.KindAPIKey, CredentialID: "1",
		SiteIDs: []string{"Sibaya"}, Scopes: []keystile.Scope{"telemetry:*", "sites:list"},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
}

func authorize(t testing.TB, route keystile.Route, r *keystile.Request, p *keystile.Principal) (keystile.Resource, *keystile.Rejection) {
	t.Helper()
	m := mustFind(t, mustCompile(t, route), r)
	return m.Authorize(r, p, testTime)
}

// TestARefusalHasTheFirstReasonInOrder breaks one thing after the other, from
// the last check to the first: each must take over from those after it.
func TestARefusalHasTheFirstReasonInOrder(t *testing.T) {
	route, p, r := askedRoute(), fitPrincipal(), testRequest("GET", "a.example", "/t?site_id=Sibaya")
	expect := func(what string, want keystile.Reason) {
		t.Helper()
		_, rejection := authorize(t, route, r, p)
		if want == "" && rejection != nil || want != "" && (rejection == nil || rejection.Reason != want || rejection.Cause == "") {
			t.Errorf("%s: %+v, want %q", what, rejection, want)
		}
	}
	expect("all is well", "")
	p.Role = "role_guest"
	expect("the condition fails", keystile.ReasonConditionFailed)
	p.Scopes = []keystile.Scope{"telemetry:read"}
	expect("one of two scopes is missing", keystile.ReasonScopeMissing)
	p.SiteIDs = []string{"Other"}
	expect("the site is not permitted", keystile.ReasonResourceNotPermitted)
	r.RawQuery = ""
	expect("the site is missing", keystile.ReasonRequestInvalid)
	r.ClientAddr = netip.MustParseAddr("198.51.100.1")
	expect("the address is outside the list", keystile.ReasonAddressNotAllowed)
	r.ClientAddr = netip.Addr{}
	expect("the address is not known", keystile.ReasonRequestInvalid)
	p.Environment = keystile.Sandbox
	expect("the environment is another", keystile.ReasonEnvironmentMismatch)
	p = nil
	expect("there is no principal", keystile.ReasonNoRoute)
}

func TestThreat29_EachScopeOfARouteIsRequired(t *testing.T) {
	for _, tc := range []struct {
		asked, held []keystile.Scope
		ok          bool
	}{
		{nil, nil, true},
		{[]keystile.Scope{"a:read"}, nil, false},
		{[]keystile.Scope{"a:read"}, []keystile.Scope{"a:read"}, true},
		{[]keystile.Scope{"a:read"}, []keystile.Scope{"a:*"}, true},
		{[]keystile.Scope{"a:*"}, []keystile.Scope{"a:read", "a:write"}, false},
		{[]keystile.Scope{"a:*"}, []keystile.Scope{"a:*"}, true},
		{[]keystile.Scope{"a:read", "b:read"}, []keystile.Scope{"a:read"}, false},
		{[]keystile.Scope{"a:read", "b:read"}, []keystile.Scope{"b:read"}, false},
		{[]keystile.Scope{"a:read", "b:read"}, []keystile.Scope{"b:*", "a:*"}, true},
		{[]keystile.Scope{"a:read"}, []keystile.Scope{"ab:*", "a:readx", "A:read", "*:*", "a"}, false},
		{[]keystile.Scope{"openid"}, []keystile.Scope{"openid"}, true},
	} {
		route := testRoute("", "/t")
		route.Scopes = tc.asked
		p := fitPrincipal()
		p.Scopes = tc.held
		_, rejection := authorize(t, route, testRequest("GET", "a.example", "/t"), p)
		if (rejection == nil) != tc.ok || rejection != nil && rejection.Reason != keystile.ReasonScopeMissing {
			t.Errorf("asked %v, held %v: %v", tc.asked, tc.held, rejection)
		}
	}
}

func TestNoPermittedSiteMeansNoSite(t *testing.T) {
	p := fitPrincipal()
	p.SiteIDs = nil
	_, rejection := authorize(t, askedRoute(), testRequest("GET", "a.example", "/t?site_id=Sibaya"), p)
	if rejection == nil || rejection.Reason != keystile.ReasonResourceNotPermitted {
		t.Errorf("%v", rejection)
	}
}

func TestARefusedRequestStillNamesItsResource(t *testing.T) {
	res, rejection := authorize(t, askedRoute(), testRequest("GET", "a.example", "/t?site_id=Other"), fitPrincipal())
	if rejection == nil || res != (keystile.Resource{Type: "site", ID: "Other"}) {
		t.Errorf("%v, %v", res, rejection)
	}
}

func TestOnlyRoutesThatReadTheBodyNeedIt(t *testing.T) {
	for from, want := range map[string]bool{"query.a": false, "header.a": false, "path.1": false, "json.a": true} {
		route := testRoute("", "/**")
		route.Resource = &keystile.RouteResource{Type: "site", From: from}
		m := mustFind(t, mustCompile(t, route), testRequest("GET", "a.example", "/x"))
		if m.NeedsBody() != want {
			t.Errorf("%s: NeedsBody = %v", from, !want)
		}
	}
}

func TestARouteAcceptsTheKindsItLists(t *testing.T) {
	m := mustFind(t, mustCompile(t, testRoute("", "/**")), testRequest("GET", "a.example", "/x"))
	for _, kind := range append(keystile.KindNames, "", "API_KEY") {
		if m.Accepts(kind) != (kind == keystile.KindAPIKey) {
			t.Errorf("Accepts(%q) = %v", kind, m.Accepts(kind))
		}
	}
}

func TestARouteMayAskHowAndWhenAPersonSignedIn(t *testing.T) {
	const pwd, otp, hwk = keystile.MethodPassword, keystile.MethodTOTP, keystile.MethodPasskey
	for name, tc := range map[string]struct {
		auth    keystile.RouteAuth
		methods []keystile.AuthMethod
		ago     time.Duration
		ok      bool
	}{
		"one of the methods":              {keystile.RouteAuth{Methods: []keystile.AuthMethod{otp, hwk}}, []keystile.AuthMethod{pwd, otp}, time.Hour, true},
		"the other one":                   {keystile.RouteAuth{Methods: []keystile.AuthMethod{otp, hwk}}, []keystile.AuthMethod{hwk}, time.Hour, true},
		"none of them":                    {keystile.RouteAuth{Methods: []keystile.AuthMethod{otp, hwk}}, []keystile.AuthMethod{pwd}, 0, false},
		"no method at all":                {keystile.RouteAuth{Methods: []keystile.AuthMethod{otp}}, nil, 0, false},
		"a moment before it is too old":   {keystile.RouteAuth{MaxAge: 10 * time.Minute}, []keystile.AuthMethod{pwd}, 10 * time.Minute, true},
		"too old":                         {keystile.RouteAuth{MaxAge: 10 * time.Minute}, []keystile.AuthMethod{pwd}, 10*time.Minute + 1, false},
		"the method, and too old":         {keystile.RouteAuth{Methods: []keystile.AuthMethod{otp}, MaxAge: time.Minute}, []keystile.AuthMethod{otp}, time.Hour, false},
		"another server's clock is ahead": {keystile.RouteAuth{MaxAge: time.Minute}, []keystile.AuthMethod{pwd}, -time.Second, true},
		"the method, and fresh":           {keystile.RouteAuth{Methods: []keystile.AuthMethod{otp}, MaxAge: time.Minute}, []keystile.AuthMethod{pwd, otp, "mfa"}, time.Second, true},
	} {
		route := testRoute("", "/t")
		route.Accept = []keystile.KindName{keystile.KindSessionJWT}
		route.Auth = &tc.auth
		p := fitPrincipal()
		p.UserID, p.Methods, p.AuthenticatedAt = "user_1", tc.methods, testTime.Add(-tc.ago)
		_, rejection := authorize(t, route, testRequest("GET", "a.example", "/t"), p)
		if (rejection == nil) != tc.ok || rejection != nil && (rejection.Reason != keystile.ReasonConditionFailed || !rejection.StepUp || rejection.Cause == "") {
			t.Errorf("%s: %+v", name, rejection)
		}
	}
	// Who is no person, or of whose sign-in nothing is known, has none.
	for name, change := range map[string]func(*keystile.Principal){
		"a key":                            func(p *keystile.Principal) { p.UserID, p.AuthenticatedAt = "", testTime },
		"a person's key":                   func(p *keystile.Principal) { p.UserID = "user_1" },
		"a key that names a method itself": func(p *keystile.Principal) { p.Methods = []keystile.AuthMethod{otp} },
	} {
		route := testRoute("", "/t")
		route.Accept = []keystile.KindName{keystile.KindAPIKey, keystile.KindSessionJWT}
		route.Auth = &keystile.RouteAuth{MaxAge: time.Hour}
		p := fitPrincipal()
		change(p)
		if _, rejection := authorize(t, route, testRequest("GET", "a.example", "/t"), p); rejection == nil || !rejection.StepUp {
			t.Errorf("%s: %+v", name, rejection)
		}
	}
}
