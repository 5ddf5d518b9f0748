package enforcetest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// Run runs the suite against a point.
func Run(t *testing.T, point Point) {
	for _, test := range []struct {
		guarantee string
		run       func(*testing.T, *fixture)
	}{
		{"the gate sees the request as the caller sent it", gateSeesRequest},
		{"the gate is asked exactly once", gateAskedOnce},
		{"an allowed request carries the identity of its principal", identityIsSet},
		{"TestThreat17_no spelling of an identity field of the caller survives", identityIsStripped},
		{"TestThreat20_callers at the same time never get each other's identity", identitiesDoNotMix},
		{"the upstream sees the request id the gate saw and not the caller's", requestID},
		{"every reason is refused with its status and goes nowhere", reasonsRefuse},
		{"TestThreat33_the cause of a refusal is never told", causeIsHidden},
		{"what the gate does not clearly allow is refused", unclearIsRefused},
		{"TestThreat04_a panic in the gate is a refusal", panicRefuses},
		{"a request that is only observed goes on and names nobody", observed},
		{"TestThreat14_fields that override method or path are refused before the gate", overridesRefused},
		{"TestThreat16_a client address that cannot be read is refused before the gate", addressRefused},
	} {
		t.Run(test.guarantee, func(t *testing.T) { test.run(t, start(t, point)) })
	}
	t.Run("on the wire", func(t *testing.T) { runWire(t, point) })
}

func gateSeesRequest(t *testing.T, f *fixture) {
	for _, c := range []struct{ url, path, query string }{
		{"https://api.example.com/telemetry/inverter?site_id=Sibaya&x=%20", "/telemetry/inverter", "site_id=Sibaya&x=%20"},
		{"https://api.example.com/a%2Fb/%2e%2e/c//d;e=f/..", "/a%2Fb/%2e%2e/c//d;e=f/..", ""},
		{"https://api.example.com/%E2%82%AC?q=a?b", "/%E2%82%AC", "q=a?b"},
		{"https://api.example.com/", "/", ""},
	} {
		call := get()
		call.URL = c.url
		before := len(f.gate.Seen())
		f.with(t, f.allow(), call)
		seen := f.gate.Seen()
		if len(seen) != before+1 {
			t.Fatalf("%s: the gate was asked %d times", c.url, len(seen)-before)
		}
		r := seen[before]
		if r.Method != http.MethodGet || r.Host != "api.example.com" || r.Path != c.path || r.RawQuery != c.query {
			t.Errorf("%s: the gate saw %s %s%s?%s", c.url, r.Method, r.Host, r.Path, r.RawQuery)
		}
		if r.ClientAddr != clientAddr() {
			t.Errorf("%s: the gate saw the address %s", c.url, r.ClientAddr)
		}
		if got := r.Header["X-Api-Key"]; len(got) != 1 || got[0] != get().Header.Get("X-Api-Key") {
			t.Errorf("%s: the gate saw x-api-key %q", c.url, got)
		}
	}
}

func gateAskedOnce(t *testing.T, f *fixture) {
	f.with(t, f.allow(), get())
	f.with(t, f.refuse(keystile.ReasonCredentialUnknown), get())
	if n := len(f.gate.Seen()); n != 2 {
		t.Errorf("the gate was asked %d times for 2 requests", n)
	}
}

func identityIsSet(t *testing.T, f *fixture) {
	a := f.with(t, f.allow(), get())
	if a.Status != http.StatusOK || a.Upstream == nil {
		t.Fatalf("status %d, upstream %v", a.Status, a.Upstream)
	}
	for name, want := range map[string]string{
		enforce.HeaderSubject:      "key:key_sibaya",
		enforce.HeaderOrganization: "sibaya-power",
		enforce.HeaderCredential:   "api_key:key_sibaya",
		enforce.HeaderScopes:       `"telemetry:read", "sites:read"`,
		enforce.HeaderSites:        `"Sibaya", "odd \"site\""`,
	} {
		if got := a.Upstream[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// spoofs are spellings that some server takes for Keystile-Subject.
var spoofs = []string{
	"Keystile-Subject", "keystile-subject", "KEYSTILE-SUBJECT", "Keystile_Subject", "keystile_subject", "KEYSTILE_SUBJECT",
	"Keystile-Organization", "Keystile-Credential", "Keystile-Scopes", "Keystile-Sites", "Keystile-Sites_", "Keystile_Scopes",
	"Keystile-Assertion", "Keystile_Assertion", "Keystile-Request-Id", "Keystile-Request_Id",
}

func identityIsStripped(t *testing.T, f *fixture) {
	nobody := Principal()
	nobody.Scopes, nobody.SiteIDs = nil, nil
	d := f.allow()
	d.Principal = nobody
	for _, name := range spoofs {
		call := get()
		call.Header[name] = []string{"evil-one", "evil-two"}
		a := f.with(t, d, call)
		if a.Upstream == nil { // refusing an ambiguous request is as good
			mustRefuse(t, a, http.StatusBadRequest)
			continue
		}
		for got, values := range a.Upstream {
			if enforce.IsIdentity(got) && strings.Contains(strings.Join(values, " "), "evil") {
				t.Errorf("the caller's %s reached the upstream as %s: %q", name, got, values)
			}
		}
	}
}

func identitiesDoNotMix(t *testing.T, f *fixture) {
	f.gate.Decide(func(r *keystile.Request) keystile.Decision {
		d := f.allow()
		d.Principal.Subject = "key:" + r.Header.Get("X-Who")
		return d
	})
	for caller := range 8 {
		t.Run("caller "+strconv.Itoa(caller), func(t *testing.T) {
			t.Parallel()
			for i := range 25 {
				who := strconv.Itoa(caller) + "-" + strconv.Itoa(i)
				call := get()
				call.Header.Set("X-Who", who)
				a := f.Do(t, call)
				if got := a.Upstream.Get(enforce.HeaderSubject); got != "key:"+who {
					t.Errorf("the subject is %q, want key:%s", got, who)
				}
			}
		})
	}
}

func requestID(t *testing.T, f *fixture) {
	ids := map[string]bool{}
	for range 3 {
		call := get()
		call.Header.Set(enforce.HeaderRequestID, "chosen-by-the-caller")
		a := f.with(t, f.allow(), call)
		seen := f.gate.Seen()
		id := seen[len(seen)-1].ID
		if got := a.Upstream[enforce.HeaderRequestID]; len(got) != 1 || got[0] != id {
			t.Errorf("the upstream sees request id %q, the gate saw %q", got, id)
		}
		if !keystile.ValidID(id) || ids[id] {
			t.Errorf("request id %q is not fresh and safe to log", id)
		}
		ids[id] = true
	}
}

func reasonsRefuse(t *testing.T, f *fixture) {
	for _, reason := range keystile.Reasons {
		a := f.with(t, f.refuse(reason), get())
		mustRefuse(t, a, reason.Status())
		if t.Failed() {
			t.Fatalf("reason %s", reason)
		}
	}
	hidden := f.refuse(keystile.ReasonResourceNotPermitted)
	hidden.Route = f.route(func(r *keystile.Route) { r.NotPermittedStatus = http.StatusNotFound })
	mustRefuse(t, f.with(t, hidden, get()), http.StatusNotFound)
}

func causeIsHidden(t *testing.T, f *fixture) {
	for _, reason := range keystile.Reasons {
		a := f.with(t, f.refuse(reason), get())
		shown := a.Body
		for name, values := range a.Header {
			shown += name + strings.Join(values, " ")
		}
		if strings.Contains(shown, secretCause) {
			t.Errorf("%s: the cause was told: %s", reason, shown)
		}
	}
}

func unclearIsRefused(t *testing.T, f *fixture) {
	contradiction, nobody, nowhere := f.allow(), f.allow(), f.allow()
	contradiction.Reason = keystile.ReasonCredentialRevoked
	nobody.Principal = nil
	nowhere.Route = nil
	for name, d := range map[string]keystile.Decision{
		"the zero decision":               {},
		"a refusal without a reason":      {Route: f.route(nil)},
		"an allowance with a reason":      contradiction,
		"an allowance of nobody":          nobody,
		"an allowance without a route":    nowhere,
		"a reason that nobody knows":      {Reason: "surprise"},
		"not allowed, though it observed": {Observed: true},
	} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, f.with(t, d, get()), http.StatusServiceUnavailable) })
	}
}

func panicRefuses(t *testing.T, f *fixture) {
	f.gate.Decide(func(*keystile.Request) keystile.Decision { panic(secretCause) })
	a := f.Do(t, get())
	mustRefuse(t, a, http.StatusServiceUnavailable)
	if strings.Contains(a.Body, secretCause) {
		t.Errorf("the panic was told: %s", a.Body)
	}
}

func observed(t *testing.T, f *fixture) {
	d := f.allow()
	d.Observed, d.Reason = true, keystile.ReasonCredentialRevoked
	call := get()
	call.Header.Set(enforce.HeaderSubject, "evil")
	a := f.with(t, d, call)
	if a.Status != http.StatusOK || a.Upstream == nil {
		t.Fatalf("status %d, upstream %v", a.Status, a.Upstream)
	}
	for _, name := range enforce.IdentityHeaders {
		if got := a.Upstream.Get(name); name != enforce.HeaderRequestID && got != "" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func overridesRefused(t *testing.T, f *fixture) {
	for _, name := range []string{
		"X-HTTP-Method-Override", "x-http-method-override", "X-HTTP-Method", "X-Method-Override", "X_Http_Method_Override",
		"X-Original-URL", "X-Rewrite-URL", "X_Rewrite_Url", "X-Override-Url",
	} {
		call := get()
		call.Header[name] = []string{"DELETE"}
		a := f.with(t, f.allow(), call)
		mustRefuse(t, a, http.StatusBadRequest)
		if n := len(f.gate.Seen()); n != 0 {
			t.Fatalf("%s: the gate was asked", name)
		}
	}
}

func addressRefused(t *testing.T, f *fixture) {
	for _, ip := range []string{"unknown", "not an address", "203.0.113.999", "203.0.113.9, ", "_hidden", "010.0.0.1", "\"[::1]\""} {
		call := get()
		call.ClientIP = ip
		mustRefuse(t, f.with(t, f.allow(), call), http.StatusBadRequest)
		if n := len(f.gate.Seen()); n != 0 {
			t.Fatalf("%q: the gate was asked", ip)
		}
	}
}
