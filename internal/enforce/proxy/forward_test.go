package proxy_test

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

func TestThreat14_UpstreamSeesTheVeryBytesThatWereJudged(t *testing.T) {
	rec := &recorder{}
	base := upstream(t, rec.ServeHTTP)
	tests := []struct{ name, base, strip, target, want string }{
		{"plain path", "", "", "/a/b", "/a/b"},
		{"root", "", "", "/", "/"},
		{"percent-encoding is kept as written", "", "", "/a%20b/%41/%7e", "/a%20b/%41/%7e"},
		{"lower-case hex is kept", "", "", "/%c3%a9", "/%c3%a9"},
		{"encoded slash is not decoded", "", "", "/a%2fb", "/a%2fb"},
		{"encoded dots are not decoded", "", "", "/a/%2e%2e/b", "/a/%2e%2e/b"},
		{"dots are not resolved", "", "", "/a/../b", "/a/../b"},
		{"characters that Go would encode", "", "", `/a"b<c>d^e|f{g}`, `/a"b<c>d^e|f{g}`},
		{"matrix parameters", "", "", "/a;x=1/b", "/a;x=1/b"},
		{"query is kept as written", "", "", "/a?b=%2F&c=+;d&e&&=", "/a?b=%2F&c=+;d&e&&="},
		{"broken encoding in the query", "", "", "/a?b=%zz", "/a?b=%zz"},
		{"empty query", "", "", "/a?", "/a?"},
		{"question mark in the query", "", "", "/a?b=c?d", "/a?b=c?d"},
		{"base path", "/base", "", "/a", "/base/a"},
		{"base path with a slash at its end", "/base/", "", "/a", "/base/a"},
		{"prefix is cut", "", "/prod", "/prod/a%2Fb?c", "/a%2Fb?c"},
		{"prefix alone is the root", "", "/prod", "/prod", "/"},
		{"prefix and base path", "/v2", "/prod", "/prod/a", "/v2/a"},
		{"prefix ends where a segment ends", "", "/prod", "/production/a", "/production/a"},
		{"path without the prefix", "", "/prod", "/a", "/a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, base+tt.base)
			w.route.StripPrefix = tt.strip
			w.start()
			answer := w.raw("GET " + tt.target + " HTTP/1.1\r\nHost: api.example.com:8443\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 200") {
				t.Fatalf("answer: %s", answer)
			}
			if got := rec.last(t); got.Target != tt.want || got.Host != "api.example.com:8443" {
				t.Errorf("the upstream saw %q of host %q, want %q of the caller's", got.Target, got.Host, tt.want)
			}
		})
	}
}

func TestThreat14_WhatCannotStandInARequestLineIsRefused(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.route.StripPrefix = "/prod"
	w.start()
	for _, target := range []string{
		"//evil.example/a", "/prod//evil.example", "/a#b", "/a?b#c", "*", "a/b", "ftp://other.example/a",
		"/a\x01b", "/a?b\x7fc",
	} {
		answer := w.raw("GET " + target + " HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 400") {
			t.Errorf("%q: %.60q, want 400", target, answer)
		}
	}
	for _, method := range []string{"CONNECT", "TRACE"} {
		answer := w.raw(method + " /a HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 400") {
			t.Errorf("%s: %.60q, want 400", method, answer)
		}
	}
	if n := len(rec.all()); n != 0 {
		t.Errorf("%d of them reached the upstream", n)
	}
}

func TestIdentityIsToldToTheUpstreamAndTheCredentialIsNot(t *testing.T) {
	rec := &recorder{}
	base := upstream(t, rec.ServeHTTP)
	w := newWorld(t, base)
	w.start()
	send := func() seen {
		r := w.request("GET", "/a", nil)
		r.Header.Set("X-Api-Key", "opa_prod_secret")
		r.Header.Set("Authorization", "Bearer opa_prod_secret")
		r.Header.Set("Cookie", "theme=dark; keystile_session=s; __Host-keystile_x=y")
		w.do(r)
		return rec.last(t)
	}
	got := send()
	want := map[string]string{
		"Keystile-Subject": "key:k1", "Keystile-Organization": "org1", "Keystile-Credential": "api_key:k1",
		"Keystile-Scopes": `"telemetry:read"`, "Keystile-Sites": `"Sibaya"`, "Keystile-Assertion": "jwt.key:k1." + base,
		"X-Api-Key": "", "Authorization": "", "Cookie": "theme=dark",
	}
	for name, value := range want {
		if got.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if len(got.Header.Get("Keystile-Request-Id")) != 32 {
		t.Errorf("Keystile-Request-Id: %q", got.Header.Get("Keystile-Request-Id"))
	}
	w.route.ForwardCredential = true
	if got := send(); got.Header.Get("X-Api-Key") != "opa_prod_secret" || got.Header.Get("Cookie") != "theme=dark" {
		t.Errorf("forward_credential: %v", got.Header)
	}
}

func TestAnObservingRouteForwardsWithoutNamingAnybody(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	decisions := map[string]keystile.Decision{
		"would be refused": {Allowed: true, Observed: true, Reason: keystile.ReasonScopeMissing, Principal: testKey, Route: w.route},
		"nobody":           {Allowed: true, Observed: true, Reason: keystile.ReasonCredentialMissing, Route: w.route},
		"would be allowed": {Allowed: true, Principal: testKey, Route: w.route},
	}
	w.route.ObserveUntil = time.Now().Add(time.Hour)
	for name, d := range decisions {
		w.gate = func(*keystile.Request) keystile.Decision { return d }
		r := w.request("GET", "/a", nil)
		r.Header.Set("Keystile-Subject", "key:forged")
		res, _ := w.do(r)
		got := rec.last(t)
		for field := range got.Header {
			if strings.HasPrefix(field, "Keystile-") && field != "Keystile-Request-Id" {
				t.Errorf("%s: the upstream was told %s: %q", name, field, got.Header[field])
			}
		}
		for field := range res.Header {
			if strings.Contains(strings.ToLower(field), "observ") {
				t.Errorf("%s: the caller was told %s", name, field)
			}
		}
	}
}

func TestThreat16_ForwardingFieldsAreSetAfresh(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	forged := http.Header{}
	for _, name := range []string{
		"Forwarded", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
		"X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Tls-Client-Cert", "X-Real-Ip", "X_real_ip",
		"X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Client-Ip", "Front-End-Https",
	} {
		forged[name] = []string{"forged"}
	}
	r := w.request("GET", "/a", nil)
	r.Host = "api.example.com"
	r.Header = forged
	w.do(r)
	got := rec.last(t).Header
	for name, values := range got {
		if strings.Contains(strings.Join(values, ","), "forged") {
			t.Errorf("the upstream saw the caller's %s", name)
		}
	}
	want := http.Header{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"http"}}
	for name := range want {
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestThreat16_ATrustedProxysAccountIsKeptAndAddedTo(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.options.Trust = enforce.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	var client netip.Addr
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision { client = r.ClientAddr; return inner(r) }
	w.start()
	r := w.request("GET", "/a", nil)
	r.Host = "api.example.com"
	r.Header = http.Header{
		"X-Forwarded-For": {"198.51.100.1", "203.0.113.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"shop.example.com"},
		"X_forwarded_for": {"forged"}, "Forwarded": {"for=forged"}, "X-Request-Id": {"from-the-proxy"},
	}
	w.do(r)
	got := rec.last(t).Header
	want := http.Header{
		"X-Forwarded-For": {"198.51.100.1, 203.0.113.9, 127.0.0.1"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"shop.example.com"}, "X_forwarded_for": nil, "Forwarded": nil, "Keystile-Request-Id": {"from-the-proxy"},
	}
	for name := range want {
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if client != netip.MustParseAddr("203.0.113.9") {
		t.Errorf("the gate saw client %v", client)
	}
}

func TestRefusalsReachTheCallerAndNothingReachesTheUpstream(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	decisions := map[int]keystile.Decision{
		401: {Reason: keystile.ReasonCredentialUnknown, Cause: "internal cause"},
		403: {Reason: keystile.ReasonScopeMissing, Route: w.route, Principal: testKey},
		404: {Reason: keystile.ReasonNoRoute},
		429: {Reason: keystile.ReasonRateLimited, Route: w.route, Limit: keystile.LimitState{
			Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Per: keystile.PerCredential, Reset: 3 * time.Second,
		}},
		503: {},
	}
	for status, d := range decisions {
		w.gate = func(*keystile.Request) keystile.Decision { return d }
		res, body := w.get("/a")
		if res.StatusCode != status || res.Header.Get("Keystile-Request-Id") == "" || strings.Contains(body, "internal cause") {
			t.Errorf("want %d: %d %v %s", status, res.StatusCode, res.Header, body)
		}
		if status == 429 && (res.Header.Get("Retry-After") != "3" || res.Header.Get("RateLimit") == "") {
			t.Errorf("429 without limits: %v", res.Header)
		}
	}
	w.gate = func(*keystile.Request) keystile.Decision { panic("a defect") }
	if res, _ := w.get("/a"); res.StatusCode != 503 {
		t.Errorf("a gate that panics: %d", res.StatusCode)
	}
	w.gate = func(*keystile.Request) keystile.Decision { return keystile.Decision{Allowed: true} }
	if res, _ := w.get("/a"); res.StatusCode != 503 {
		t.Errorf("an allowance of nobody: %d", res.StatusCode)
	}
	if n := len(rec.all()); n != 0 {
		t.Errorf("%d refused requests reached the upstream", n)
	}
}

func TestTheGateIsAskedOncePerRequest(t *testing.T) {
	w := newWorld(t, upstream(t, func(http.ResponseWriter, *http.Request) {}))
	asked := 0
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision { asked++; return inner(r) }
	w.start()
	w.get("/a")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestWithoutAnAssertionNothingIsForwarded(t *testing.T) {
	rec := &recorder{}
	base := upstream(t, rec.ServeHTTP)
	for name, a := range map[string]enforce.Asserter{"none": nil, "failing": asserter{errors.New("no signing key")}} {
		w := newWorld(t, base)
		w.options.Asserter = a
		w.start()
		res, body := w.get("/a")
		if res.StatusCode != 503 || strings.Contains(body, "signing key") {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if len(rec.all()) != 0 {
		t.Error("a request without an assertion reached the upstream")
	}
}

func TestTheUpstreamCannotSpeakInKeystilesName(t *testing.T) {
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Keystile-Subject", "key:forged")
		h.Set("Keystile-Request-Id", "forged")
		h.Set("Keystile_Assertion", "forged")
		h.Set("Alt-Svc", `h3=":443"`)
		h.Set("RateLimit", "forged")
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Proxy-Authenticate", "Basic")
		h.Set("X-Answer", "kept")
		h.Set("Set-Cookie", "theme=dark")
	}))
	w.gate = func(*keystile.Request) keystile.Decision {
		return keystile.Decision{
			Allowed: true, Principal: testKey, Route: w.route,
			Limit: keystile.LimitState{Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Remaining: 59, Reset: time.Second},
		}
	}
	w.start()
	res, _ := w.get("/a")
	for _, name := range []string{"Keystile-Subject", "Keystile_assertion", "Alt-Svc", "X-Hop", "Proxy-Authenticate", "Content-Security-Policy"} {
		if v := res.Header.Values(name); len(v) > 0 {
			t.Errorf("%s: %q", name, v)
		}
	}
	if id := res.Header.Values("Keystile-Request-Id"); len(id) != 1 || len(id[0]) != 32 {
		t.Errorf("Keystile-Request-Id: %q", id)
	}
	if got := res.Header.Values("RateLimit"); len(got) != 1 || got[0] != `"default";r=59;t=1` {
		t.Errorf("RateLimit: %q", got)
	}
	if res.Header.Get("RateLimit-Policy") == "" || res.Header.Get("X-Answer") != "kept" || res.Header.Get("Set-Cookie") == "" {
		t.Errorf("answer: %v", res.Header)
	}
}

func TestAnswersOnKeystilesOwnOriginAreHarmless(t *testing.T) {
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "keystile_session=stolen")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Trailer", "Set-Cookie")
		if _, err := w.Write([]byte("<script>")); err != nil {
			return
		}
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "keystile_session=stolen")
	}))
	w.route.SameOrigin = true
	w.start()
	res, _ := w.get("/a")
	if diff := cmp.Diff([]string{"default-src 'none'", "sandbox"}, res.Header.Values("Content-Security-Policy")); diff != "" {
		t.Error(diff)
	}
	if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Set-Cookie") != "" || res.Trailer.Get("Set-Cookie") != "" {
		t.Errorf("answer: %v, trailer %v", res.Header, res.Trailer)
	}
}

func TestAGatewayThatForwardsToItselfIsStopped(t *testing.T) {
	w := newWorld(t)
	w.route.ForwardCredential = true
	w.start()
	w.route.Upstreams = []string{w.server.URL}
	asked := 0
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision { asked++; return inner(r) }
	res, _ := w.get("/a")
	if res.StatusCode != http.StatusLoopDetected || asked > 20 {
		t.Errorf("%d after %d rounds", res.StatusCode, asked)
	}
}

func TestTheBodyTheGateReadIsForwardedWhole(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision {
		body, err := r.Body(64 << 10)
		if err != nil || string(body) != `{"site_id":"Sibaya"}` {
			t.Errorf("the gate read %q, %v", body, err)
		}
		return inner(r)
	}
	w.start()
	for _, framing := range []string{"Content-Length: 20\r\n\r\n" + `{"site_id":"Sibaya"}`, "Transfer-Encoding: chunked\r\n\r\n14\r\n" + `{"site_id":"Sibaya"}` + "\r\n0\r\n\r\n"} {
		w.raw("POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framing)
		if got := rec.last(t); got.Body != `{"site_id":"Sibaya"}` || got.BodyErr != nil {
			t.Errorf("the upstream read %q, %v", got.Body, got.BodyErr)
		}
	}
}
