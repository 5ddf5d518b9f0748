package proxy_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
)

func corsWorld(t *testing.T, rec *recorder, origins ...string) *world {
	w := newWorld(t, upstream(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "https://forged.example")
		rw.Header().Set("Access-Control-Allow-Credentials", "true")
		rw.Header().Set("Vary", "Accept-Encoding")
		rec.ServeHTTP(rw, r)
	}))
	w.route.CORS = &keystile.RouteCORS{Origins: origins, Headers: []string{"Authorization", "X-Site"}, MaxAge: 10 * time.Minute}
	w.route.Match.Methods = []string{"GET", "POST"}
	w.options.Preflight = func(*keystile.Request) (*keystile.Route, bool) { return w.route, true }
	return w
}

func (w *world) preflight(origin string) *http.Response {
	r := w.request("OPTIONS", "/a", nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization")
	res, _ := w.do(r)
	return res
}

func TestPreflightsAreAnsweredBeforeTheGateAndNeverForwarded(t *testing.T) {
	rec := &recorder{}
	w := corsWorld(t, rec, "https://app.example.com")
	asked := 0
	w.gate = func(*keystile.Request) keystile.Decision {
		asked++
		return keystile.Decision{Reason: keystile.ReasonCredentialMissing, Route: w.route}
	}
	w.start()
	res := w.preflight("https://app.example.com")
	want := http.Header{
		"Access-Control-Allow-Origin": {"https://app.example.com"}, "Access-Control-Allow-Methods": {"GET, POST"},
		"Access-Control-Allow-Headers": {"Authorization, X-Site"}, "Access-Control-Max-Age": {"600"},
		"Vary": {"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"},
	}
	res.Header.Del("Date")
	res.Header.Del("Keystile-Request-Id")
	if diff := cmp.Diff(want, res.Header); diff != "" || res.StatusCode != 204 || asked != 0 {
		t.Errorf("%d, the gate was asked %d times, %s", res.StatusCode, asked, diff)
	}
	for _, origin := range []string{
		"https://evil.example", "https://app.example.com.evil.example", "https://APP.example.com", "http://app.example.com",
		"https://app.example.com:8443", "null", "",
	} {
		res := w.preflight(origin)
		if res.StatusCode != 401 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("origin %q: %d %v", origin, res.StatusCode, res.Header)
		}
	}
	if len(rec.all()) != 0 {
		t.Error("a preflight was forwarded")
	}
}

func TestAnswersCarryTheRoutesPolicyAndNotTheUpstreams(t *testing.T) {
	tests := []struct {
		name, origin, allowed string
		origins, vary         []string
	}{
		{"allowed origin", "https://app.example.com", "https://app.example.com", []string{"https://app.example.com"}, []string{"Accept-Encoding", "Origin"}},
		{"other origin", "https://evil.example", "", []string{"https://app.example.com"}, []string{"Accept-Encoding", "Origin"}},
		{"no origin", "", "", []string{"https://app.example.com"}, []string{"Accept-Encoding", "Origin"}},
		{"any origin", "https://evil.example", "*", []string{"*"}, []string{"Accept-Encoding"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := corsWorld(t, &recorder{}, tt.origins...)
			w.start()
			r := w.request("GET", "/a", nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			res, _ := w.do(r)
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != tt.allowed {
				t.Errorf("allowed %q, want %q", got, tt.allowed)
			}
			if res.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials mode was allowed")
			}
			if diff := cmp.Diff(tt.vary, res.Header.Values("Vary")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusalsAndFailuresAreReadableToAllowedOrigins(t *testing.T) {
	w := corsWorld(t, &recorder{}, "https://app.example.com")
	w.start()
	send := func() *http.Response {
		r := w.request("GET", "/a", nil)
		r.Header.Set("Origin", "https://app.example.com")
		res, _ := w.do(r)
		return res
	}
	w.route.Upstreams = []string{closedPort(t)}
	if res := send(); res.StatusCode != 502 || res.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	w.gate = func(*keystile.Request) keystile.Decision {
		return keystile.Decision{Reason: keystile.ReasonCredentialExpired, Route: w.route}
	}
	if res := send(); res.StatusCode != 401 || res.Header.Get("Access-Control-Allow-Origin") == "" || res.Header.Get("Access-Control-Expose-Headers") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestWithoutACrossOriginPolicyTheUpstreamsStands(t *testing.T) {
	w := corsWorld(t, &recorder{})
	w.route.CORS = nil
	w.start()
	if res, _ := w.get("/a"); res.Header.Get("Access-Control-Allow-Origin") != "https://forged.example" {
		t.Errorf("answer: %v", res.Header)
	}
}
