package policy

import (
	"fmt"
	"testing"

	keystile "keystile.dev/keystile"
)

// warmRoutes are n routes and a request that matches one of them and that
// fitPrincipal is allowed.
func warmRoutes(n int) ([]keystile.Route, *keystile.Request) {
	var routes []keystile.Route
	for i := range n {
		route := testRoute("", fmt.Sprintf("/prod/v%d/**", i), "GET")
		if i == n/2 {
			route = askedRoute()
			route.When = ""
			route.Match.Path = "/prod/telemetry/**"
		}
		routes = append(routes, route)
	}
	r := testRequest("GET", "api.example.com:8443",
		"/prod/telemetry/inverter?asset_id=INV-1000000054495190&site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00")
	return routes, r
}

func TestFindingARouteAndAuthorizingAllocatesNothing(t *testing.T) {
	for _, n := range []int{1, 5, 1000} {
		routes, r := warmRoutes(n)
		table, p := mustCompile(t, routes...), fitPrincipal()
		allocs := testing.AllocsPerRun(100, func() {
			m, rejection := table.Find(r)
			if rejection == nil && m.Accepts(keystile.KindAPIKey) {
				_, rejection = m.Authorize(r, p, testTime)
			}
			if rejection != nil {
				t.Fatal(rejection)
			}
		})
		if allocs != 0 {
			t.Errorf("%d routes: %v allocations", n, allocs)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 5, 1000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			routes, r := warmRoutes(n)
			table := mustCompile(b, routes...)
			b.ReportAllocs()
			for b.Loop() {
				if _, rejection := table.Find(r); rejection != nil {
					b.Fatal(rejection)
				}
			}
		})
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for name, when := range map[string]string{"plain": "", "condition": `principal.role != "role_guest"`} {
		b.Run(name, func(b *testing.B) {
			routes, r := warmRoutes(1)
			routes[0].When = when
			p := fitPrincipal()
			m, rejection := mustCompile(b, routes...).Find(r)
			if rejection != nil {
				b.Fatal(rejection)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, rejection := m.Authorize(r, p, testTime); rejection != nil {
					b.Fatal(rejection)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	routes, _ := warmRoutes(1000)
	b.ReportAllocs()
	for b.Loop() {
		if table, problems := Compile(routes, testOptions()); table == nil {
			b.Fatal(problems)
		}
	}
}
