package forwardauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/enforcetest"
	"keystile.dev/keystile/internal/enforce/forwardauth"
	"keystile.dev/keystile/internal/problem"
)

var loopback = enforce.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}}

func allowAll(*keystile.Request) keystile.Decision {
	return keystile.Decision{Allowed: true, Principal: enforcetest.Principal(), Route: &keystile.Route{}}
}

func newHandler(t testing.TB, gate enforce.Gate, change func(*forwardauth.Options)) *forwardauth.Handler {
	t.Helper()
	o := forwardauth.Options{Gate: gate, Trust: loopback}
	if change != nil {
		change(&o)
	}
	h, err := forwardauth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends the header fields, written as lines, from a trusted proxy.
func ask(h http.Handler, lines ...string) *httptest.ResponseRecorder {
	hr := httptest.NewRequest(http.MethodGet, "/forward-auth?from=proxy", http.NoBody)
	hr.RemoteAddr = "127.0.0.1:40000"
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		hr.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, hr)
	return rec
}

func forwarded(more ...string) []string {
	return append([]string{
		"X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: api.example.com:8443",
		"X-Forwarded-Uri: /a/b?c=d", "X-Forwarded-For: 203.0.113.9",
	}, more...)
}

func original(more ...string) []string {
	return append([]string{
		"X-Original-Method: PUT", "X-Original-URL: https://api.example.com:8443/a/b?c=d", "X-Forwarded-For: 203.0.113.9",
	}, more...)
}

func without(lines []string, name string) []string {
	kept := []string{}
	for _, line := range lines {
		if !strings.HasPrefix(line, name+": ") {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestOnlyTrustedProxiesMayAsk(t *testing.T) {
	for _, remote := range []string{"192.0.2.1:40000", "[2001:db8::1]:40000", "@", "", "127.0.0.1"} {
		gate := &enforcetest.Gate{}
		gate.Decide(allowAll)
		h := newHandler(t, gate, nil)
		hr := httptest.NewRequest(http.MethodGet, "/forward-auth", http.NoBody)
		hr.RemoteAddr = remote
		for _, line := range forwarded() {
			name, value, _ := strings.Cut(line, ": ")
			hr.Header.Add(name, value)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, hr)
		if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "trusted_proxies") {
			t.Errorf("peer %q: %d %s", remote, rec.Code, rec.Body)
		}
		if len(gate.Seen()) != 0 {
			t.Errorf("peer %q: the gate was asked", remote)
		}
	}
}

func TestTheZeroTrustLetsNobodyAsk(t *testing.T) {
	h := newHandler(t, &enforcetest.Gate{}, func(o *forwardauth.Options) { o.Trust = enforce.Trust{} })
	if rec := ask(h, forwarded()...); rec.Code != http.StatusForbidden {
		t.Errorf("status %d", rec.Code)
	}
}

func TestTheRequestIsReadFromTheConfiguredFamily(t *testing.T) {
	for _, c := range []struct {
		name   string
		family forwardauth.Family
		lines  []string
		want   keystile.Request
	}{
		{"x-forwarded is the default", "", forwarded(), keystile.Request{
			Method: "GET", Scheme: "https", Host: "api.example.com:8443", Path: "/a/b", RawQuery: "c=d",
		}},
		{"a WebSocket handshake is http", "x-forwarded", append(without(forwarded(), "X-Forwarded-Proto"), "X-Forwarded-Proto: wss"), keystile.Request{
			Method: "GET", Scheme: "https", Host: "api.example.com:8443", Path: "/a/b", RawQuery: "c=d",
		}},
		{"x-original as one URL", "x-original", original(), keystile.Request{
			Method: "PUT", Scheme: "https", Host: "api.example.com:8443", Path: "/a/b", RawQuery: "c=d",
		}},
		{"x-original in parts", "x-original", append(without(original(), "X-Original-URL"),
			"X-Original-Proto: http", "X-Original-Host: api.example.com", "X-Original-URI: /a//b/../c?d"), keystile.Request{
			Method: "PUT", Scheme: "http", Host: "api.example.com", Path: "/a//b/../c", RawQuery: "d",
		}},
		{"the path is not decoded", "x-forwarded", append(without(forwarded(), "X-Forwarded-Uri"), "X-Forwarded-Uri: /a%2f..%2F%00/?x=%41"), keystile.Request{
			Method: "GET", Scheme: "https", Host: "api.example.com:8443", Path: "/a%2f..%2F%00/", RawQuery: "x=%41",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			gate := &enforcetest.Gate{}
			gate.Decide(allowAll)
			h := newHandler(t, gate, func(o *forwardauth.Options) { o.Headers = c.family })
			if rec := ask(h, c.lines...); rec.Code != http.StatusOK {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			got := gate.Seen()[0]
			if got.Point != keystile.PointForwardAuth || got.Body != nil {
				t.Errorf("point %s, body %t", got.Point, got.Body != nil)
			}
			if got.ClientAddr.String() != "203.0.113.9" {
				t.Errorf("client %s", got.ClientAddr)
			}
			got = keystile.Request{Method: got.Method, Scheme: got.Scheme, Host: got.Host, Path: got.Path, RawQuery: got.RawQuery}
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestThreat16_AmbiguousForwardingHeadersAreRefusedNeverGuessed(t *testing.T) {
	type ambiguity struct {
		name   string
		family forwardauth.Family
		lines  []string
	}
	cases := []ambiguity{
		{"nothing at all", forwardauth.XForwarded, nil},
		{"nothing at all", forwardauth.XOriginal, nil},
		{"only the other family", forwardauth.XForwarded, original()},
		{"only the other family", forwardauth.XOriginal, forwarded()},
		{"a client's X-Forwarded-Uri beside nginx's fields", forwardauth.XOriginal, original("X-Forwarded-Uri: /public")},
		{"a client's X-Forwarded-Host beside nginx's fields", forwardauth.XOriginal, original("X-Forwarded-Host: evil.example")},
		{"a client's X-Original-URL beside Traefik's fields", forwardauth.XForwarded, forwarded("X-Original-URL: https://api.example.com/public")},
		{"a client's X-Original-URI beside Traefik's fields", forwardauth.XForwarded, forwarded("X-Original-URI: /public")},
		{"an underscored field of the family", forwardauth.XForwarded, forwarded("X_Forwarded_Uri: /public")},
		{"an underscored field of the other family", forwardauth.XOriginal, original("X_Forwarded_Uri: /public")},
		{"an underscored X-Forwarded-For", forwardauth.XForwarded, forwarded("X_Forwarded_For: 127.0.0.1")},
		{"URL and URI", forwardauth.XOriginal, original("X-Original-URI: /public")},
		{"URL and host", forwardauth.XOriginal, original("X-Original-Host: evil.example")},
		{"a method override", forwardauth.XForwarded, forwarded("X-HTTP-Method-Override: DELETE")},
		{"a rewrite", forwardauth.XOriginal, original("X-Rewrite-URL: /public")},
		{"a URL with userinfo", forwardauth.XOriginal, append(without(original(), "X-Original-URL"), "X-Original-URL: https://api.example.com@evil.example/")},
		{"a URL with a fragment", forwardauth.XOriginal, append(without(original(), "X-Original-URL"), "X-Original-URL: https://api.example.com/a#/b")},
		{"a URL that is a path", forwardauth.XOriginal, append(without(original(), "X-Original-URL"), "X-Original-URL: /a/b")},
		{"a URL without a host", forwardauth.XOriginal, append(without(original(), "X-Original-URL"), "X-Original-URL: https:///a/b")},
		{"a URL of another scheme", forwardauth.XOriginal, append(without(original(), "X-Original-URL"), "X-Original-URL: ftp://api.example.com/a")},
	}
	for _, name := range []string{"X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"} {
		cases = append(cases,
			ambiguity{"missing " + name, forwardauth.XForwarded, without(forwarded(), name)},
			ambiguity{"empty " + name, forwardauth.XForwarded, append(without(forwarded(), name), name+": ")},
			ambiguity{"repeated " + name, forwardauth.XForwarded, forwarded(name + ": GET")})
	}
	for _, name := range []string{"X-Original-Method", "X-Original-URL"} {
		cases = append(cases,
			ambiguity{"missing " + name, forwardauth.XOriginal, without(original(), name)},
			ambiguity{"empty " + name, forwardauth.XOriginal, append(without(original(), name), name+": ")},
			ambiguity{"repeated " + name, forwardauth.XOriginal, original(name + ": GET")})
	}
	for field, values := range map[string][]string{
		"X-Forwarded-Method": {"CONNECT", "GET POST", "GET,POST", strings.Repeat("A", 40)},
		"X-Forwarded-Proto":  {"https,http", "ftp", "https x"},
		"X-Forwarded-Host":   {"a.example, b.example", "a@b", "a/b", "a b", strings.Repeat("a", 300)},
		"X-Forwarded-Uri":    {"a/b", "https://api.example.com/a", "*", "//a b", "/a#b", "/a?b#c", "/a\tb", "/a\x7fb"},
		"X-Forwarded-For":    {"unknown", "203.0.113.9,", ",", "", "203.0.113.9 10.0.0.1", "203.0.113.9:99999", "[::1", "1.2.3"},
	} {
		for _, value := range values {
			cases = append(cases, ambiguity{field + " of " + value, forwardauth.XForwarded, append(without(forwarded(), field), field+": "+value)})
		}
	}
	for _, c := range cases {
		t.Run(string(c.family)+": "+c.name, func(t *testing.T) {
			gate := &enforcetest.Gate{}
			gate.Decide(allowAll)
			h := newHandler(t, gate, func(o *forwardauth.Options) { o.Headers = c.family })
			rec := ask(h, c.lines...)
			if rec.Code != http.StatusBadRequest {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if len(gate.Seen()) != 0 {
				t.Error("the gate was asked")
			}
			var p problem.Problem
			if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Detail == "" {
				t.Errorf("the body does not say what is wrong: %s", rec.Body)
			}
		})
	}
}

func TestThreat17_SpellingsOfIdentityFieldsThatAProxyWouldPassOnAreRefused(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(allowAll)
	h := newHandler(t, gate, nil)
	for _, name := range []string{"Keystile_Subject", "keystile_scopes", "Keystile-Request_Id", "KEYSTILE_ASSERTION"} {
		if rec := ask(h, forwarded(name+": evil")...); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	// The very name is overwritten by a proxy that copies the answer's fields.
	if rec := ask(h, forwarded("Keystile-Subject: evil")...); rec.Code != http.StatusOK ||
		rec.Header().Get("Keystile-Subject") != "key:key_sibaya" {
		t.Errorf("%d %q", rec.Code, rec.Header())
	}
}

func TestThreat16_TheCallerIsTheRightMostUntrustedAddress(t *testing.T) {
	for _, c := range []struct{ xff, want string }{
		{"203.0.113.9", "203.0.113.9"},
		{"127.0.0.1, 203.0.113.9", "203.0.113.9"},
		{"198.51.100.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"},
		{"10.0.0.9", "10.0.0.9"},
		{"", "127.0.0.1"}, // not sent: the calling proxy counts as the caller
	} {
		gate := &enforcetest.Gate{}
		gate.Decide(allowAll)
		lines := without(forwarded(), "X-Forwarded-For")
		if c.xff != "" {
			lines = append(lines, "X-Forwarded-For: "+c.xff)
		}
		if rec := ask(newHandler(t, gate, nil), lines...); rec.Code != http.StatusOK {
			t.Fatalf("%q: %d %s", c.xff, rec.Code, rec.Body)
		}
		if got := gate.Seen()[0].ClientAddr.String(); got != c.want {
			t.Errorf("%q: the caller is %s, want %s", c.xff, got, c.want)
		}
	}
}

func TestEveryIdentityFieldIsAnsweredEmptyWhereItDoesNotApply(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(func(*keystile.Request) keystile.Decision {
		return keystile.Decision{Allowed: true, Principal: &keystile.Principal{Subject: "key:k"}, Route: &keystile.Route{}}
	})
	rec := ask(newHandler(t, gate, nil), forwarded()...)
	for _, name := range enforce.IdentityHeaders {
		if values, there := rec.Header()[name]; !there || len(values) != 1 {
			t.Errorf("%s is %q", name, values)
		}
	}
	if got := rec.Header().Get("Keystile-Sites"); got != "" {
		t.Errorf("sites %q", got)
	}
}

type asserter struct {
	audience string
	err      error
}

func (a *asserter) Assertion(_ *keystile.Decision, audience string) (string, error) {
	a.audience = audience
	return "signed", a.err
}

func TestTheAssertionIsForTheOriginTheCallerAskedFor(t *testing.T) {
	gate, signer := &enforcetest.Gate{}, &asserter{}
	gate.Decide(allowAll)
	h := newHandler(t, gate, func(o *forwardauth.Options) { o.Asserter = signer })
	lines := append(without(forwarded(), "X-Forwarded-Host"), "X-Forwarded-Host: API.example.com:443")
	rec := ask(h, lines...)
	if got := rec.Header().Get("Keystile-Assertion"); got != "signed" || signer.audience != "https://api.example.com" {
		t.Errorf("assertion %q for %q", got, signer.audience)
	}
}

func TestThreat04_WithoutAnAssertionTheRequestIsRefused(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(allowAll)
	h := newHandler(t, gate, func(o *forwardauth.Options) { o.Asserter = &asserter{err: errors.New("no key: canary")} })
	rec := ask(h, forwarded()...)
	if rec.Code != http.StatusServiceUnavailable || strings.Contains(rec.Body.String(), "canary") || rec.Header().Get("Keystile-Subject") != "" {
		t.Errorf("%d %s %v", rec.Code, rec.Body, rec.Header())
	}
}

func TestNewRefusesWhatItCannotServe(t *testing.T) {
	if _, err := forwardauth.New(forwardauth.Options{}); err == nil {
		t.Error("no gate was accepted")
	}
	if _, err := forwardauth.New(forwardauth.Options{Gate: &enforcetest.Gate{}, Headers: "forwarded"}); err == nil {
		t.Error("an unknown family was accepted")
	}
}

// FuzzForwardAuth: whatever the header fields, an answer is a refusal or the
// gate saw a request that is exactly the family's.
func FuzzForwardAuth(f *testing.F) {
	f.Add("GET", "https", "api.example.com", "/a?b", "203.0.113.9", "X-Other", "v")
	f.Add("GET", "https", "api.example.com", "/a?b", "203.0.113.9, 10.0.0.1", "X-Forwarded-Uri", "/b")
	f.Add("CONNECT", "wss", "[::1]:80", "//", "[::1]:80", "X_forwarded_uri", "")
	f.Add("GET", "http", "a@b", "/#", "fe80::1%eth0", "keystile_subject", "evil")
	f.Add("get", "HTTP", "A", "/?#", "::ffff:1.2.3.4", "X-Original-Url", "http://a/")
	f.Fuzz(func(t *testing.T, method, proto, host, uri, xff, name, value string) {
		var seen *keystile.Request
		gate := gateFunc(func(r *keystile.Request) keystile.Decision { seen = r; return allowAll(r) })
		h := newHandler(t, gate, nil)
		hr := httptest.NewRequest(http.MethodGet, "/forward-auth", http.NoBody)
		hr.RemoteAddr = "127.0.0.1:1"
		for n, v := range map[string]string{
			"X-Forwarded-Method": method, "X-Forwarded-Proto": proto, "X-Forwarded-Host": host, "X-Forwarded-Uri": uri, "X-Forwarded-For": xff,
		} {
			hr.Header[n] = []string{v}
		}
		extra := http.CanonicalHeaderKey(name)
		hr.Header[extra] = append(hr.Header[extra], value)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, hr)
		if seen == nil {
			if rec.Code != http.StatusBadRequest {
				t.Fatalf("status %d without asking the gate", rec.Code)
			}
			if !utf8.ValidString(rec.Body.String()) {
				t.Fatal("the refusal is not text")
			}
			return
		}
		if !seen.ClientAddr.IsValid() || seen.ClientAddr.Is4In6() || seen.ClientAddr.Zone() != "" {
			t.Fatalf("client %s", seen.ClientAddr)
		}
		target := seen.Path
		if seen.RawQuery != "" || strings.HasSuffix(uri, "?") && !strings.Contains(uri[:len(uri)-1], "?") {
			target += "?" + seen.RawQuery
		}
		if seen.Method != method || seen.Host != host || target != uri {
			t.Fatalf("the gate saw %s %s %s of %s %s %s", seen.Method, seen.Host, target, method, host, uri)
		}
	})
}

type gateFunc func(*keystile.Request) keystile.Decision

func (g gateFunc) Check(_ context.Context, r *keystile.Request) keystile.Decision { return g(r) }
