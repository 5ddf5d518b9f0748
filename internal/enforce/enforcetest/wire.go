package enforcetest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/problem"
)

// runWire is the part of the suite for points that answer callers themselves.
func runWire(t *testing.T, point Point) {
	if !start(t, point).Wire {
		return
	}
	for _, test := range []struct {
		guarantee string
		run       func(*testing.T, *fixture)
	}{
		{"outside a dialect a refusal is problem details with a code", problemDetails},
		{"in a dialect a refusal has the dialect's body", dialectBodies},
		{"TestThreat26_reasons that would tell whether a credential exists look the same", reasonsLookTheSame},
		{"a 401 challenges, a 403 for scope names the scopes", challenges},
		{"a refused caller is told where tokens for the route come from", tokenSource},
		{"a 429 says when to come back, in dialects too", retryAfter},
		{"the caller is told its quota when allowed", quota},
		{"a refusal of HEAD has no body", headHasNoBody},
		{"refusals are not cached", notCached},
		{"what a caller must not know exists looks like what does not exist", hiddenResource},
	} {
		t.Run(test.guarantee, func(t *testing.T) { test.run(t, start(t, point)) })
	}
}

func problemDetails(t *testing.T, f *fixture) {
	for _, reason := range keystile.Reasons {
		a := f.with(t, f.refuse(reason), get())
		var p problem.Problem
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
			t.Fatalf("%s: %v: %s", reason, err, a.Body)
		}
		if got := a.Header.Get("Content-Type"); got != problem.ContentType {
			t.Errorf("%s: content type %q", reason, got)
		}
		if p.Status != reason.Status() || p.Code != problem.Told(reason) || p.Title == "" {
			t.Errorf("%s: %+v", reason, p)
		}
		if p.RequestID == "" || p.RequestID != a.Header.Get(enforce.HeaderRequestID) {
			t.Errorf("%s: request id %q in the body, %q in the header", reason, p.RequestID, a.Header.Get(enforce.HeaderRequestID))
		}
	}
}

func dialectBodies(t *testing.T, f *fixture) {
	for _, spoken := range dialect.All() {
		for _, reason := range keystile.Reasons {
			d := f.refuse(reason)
			d.Route = f.route(func(r *keystile.Route) { r.Errors = spoken.Name() })
			a := f.with(t, d, get())
			contentType, body := spoken.Refusal(reason.Status(), &d, "")
			if got := a.Header.Get("Content-Type"); got != contentType {
				t.Errorf("%s, %s: content type %q, want %q", spoken.Name(), reason, got, contentType)
			}
			if diff := cmp.Diff(string(body), a.Body); diff != "" {
				t.Errorf("%s, %s: body (-want +got):\n%s", spoken.Name(), reason, diff)
			}
		}
	}
}

// secretReasons are those that a caller must not tell apart.
var secretReasons = []keystile.Reason{
	keystile.ReasonCredentialUnknown, keystile.ReasonCredentialExpired, keystile.ReasonCredentialRevoked,
	keystile.ReasonSignatureInvalid, keystile.ReasonClockSkew, keystile.ReasonReplayed, keystile.ReasonKindNotAccepted,
}

func reasonsLookTheSame(t *testing.T, f *fixture) {
	for _, name := range []string{"", "ona", "aurora", "ownera", "nao"} {
		var first string
		for _, reason := range secretReasons {
			d := f.refuse(reason)
			d.Public = "text for " + string(reason) // a gate that says too much
			d.Route = f.route(func(r *keystile.Route) { r.Errors = name })
			got := appearance(f.with(t, d, get()))
			if first == "" {
				first = got
			}
			if diff := cmp.Diff(first, got); diff != "" {
				t.Errorf("dialect %q: %s differs:\n%s", name, reason, diff)
			}
		}
	}
}

// appearance is an answer without what differs between any two.
func appearance(a Answer) string {
	id := a.Header.Get(enforce.HeaderRequestID)
	h := a.Header.Clone()
	h.Del("Date")
	h.Del(enforce.HeaderRequestID)
	text, err := json.Marshal(h)
	if err != nil {
		return err.Error()
	}
	body := a.Body
	if id != "" {
		body = strings.ReplaceAll(body, id, "ID")
	}
	return string(text) + body
}

func challenges(t *testing.T, f *fixture) {
	const bare = `Bearer realm="keystile"`
	for _, c := range []struct {
		reason  keystile.Reason
		dialect string
		want    string
	}{
		{keystile.ReasonCredentialMissing, "", bare},
		{keystile.ReasonCredentialMalformed, "", bare + `, error="invalid_token"`},
		{keystile.ReasonCredentialUnknown, "", bare + `, error="invalid_token"`},
		{keystile.ReasonCredentialUnknown, "ona", bare},
		{keystile.ReasonScopeMissing, "", bare + `, error="insufficient_scope", scope="telemetry:read sites:*"`},
		{keystile.ReasonScopeMissing, "nao", ""},
		{keystile.ReasonResourceNotPermitted, "", ""},
		{keystile.ReasonRateLimited, "", ""},
	} {
		d := f.refuse(c.reason)
		d.Route = f.route(func(r *keystile.Route) {
			r.Errors = c.dialect
			r.Scopes = []keystile.Scope{"telemetry:read", "sites:*", `bad"scope`}
		})
		if got := f.with(t, d, get()).Header.Get("WWW-Authenticate"); got != c.want {
			t.Errorf("%s in dialect %q: WWW-Authenticate is %q, want %q", c.reason, c.dialect, got, c.want)
		}
	}
}

func tokenSource(t *testing.T, f *fixture) {
	for _, c := range []struct {
		reason        keystile.Reason
		accept        keystile.KindName
		pattern, want string
	}{
		{keystile.ReasonCredentialMissing, keystile.KindOAuthToken, "/telemetry/**", `Bearer realm="keystile", resource_metadata="SCHEME://api.example.com/.well-known/oauth-protected-resource/telemetry"`},
		{keystile.ReasonCredentialUnknown, keystile.KindOAuthToken, "/**", `Bearer realm="keystile", error="invalid_token", resource_metadata="SCHEME://api.example.com/.well-known/oauth-protected-resource"`},
		{keystile.ReasonScopeMissing, keystile.KindOAuthToken, "/telemetry/inv*", `Bearer realm="keystile", error="insufficient_scope", resource_metadata="SCHEME://api.example.com/.well-known/oauth-protected-resource/telemetry"`},
		{keystile.ReasonCredentialMissing, keystile.KindAPIKey, "/telemetry/**", `Bearer realm="keystile"`},
		{keystile.ReasonRateLimited, keystile.KindOAuthToken, "/telemetry/**", ""},
	} {
		d := f.refuse(c.reason)
		d.Route = f.route(func(r *keystile.Route) {
			r.Accept, r.Match.Path, r.Scopes = []keystile.KindName{c.accept}, c.pattern, nil
		})
		got := f.with(t, d, get()).Header.Get("WWW-Authenticate")
		// As the gate was told that the caller came: not every point can be called by both schemes.
		seen := f.gate.Seen()
		if want := strings.ReplaceAll(c.want, "SCHEME", seen[len(seen)-1].Scheme); got != want {
			t.Errorf("%s at %s for %s: WWW-Authenticate is %q, want %q", c.reason, c.pattern, c.accept, got, want)
		}
	}
}

func retryAfter(t *testing.T, f *fixture) {
	for _, name := range []string{"", "ona", "aurora", "ownera", "nao"} {
		d := f.refuse(keystile.ReasonRateLimited)
		d.Route = f.route(func(r *keystile.Route) { r.Errors = name })
		a := f.with(t, d, get())
		for field, want := range map[string]string{
			"Retry-After": "30", "RateLimit": `"default";r=0;t=30`, "RateLimit-Policy": `"default";q=60;w=60`,
		} {
			if got := a.Header.Get(field); got != want {
				t.Errorf("dialect %q: %s is %q, want %q", name, field, got, want)
			}
		}
	}
	d := f.refuse(keystile.ReasonRateLimited)
	d.Limit = keystile.LimitState{} // a limit that cannot say when
	if got := f.with(t, d, get()).Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After without a state is %q, want 1", got)
	}
}

func quota(t *testing.T, f *fixture) {
	a := f.with(t, f.allow(), get())
	for field, want := range map[string]string{"RateLimit": `"default";r=41;t=30`, "RateLimit-Policy": `"default";q=60;w=60`} {
		if got := a.Header.Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

func headHasNoBody(t *testing.T, f *fixture) {
	call := get()
	call.Method = http.MethodHead
	a := f.with(t, f.refuse(keystile.ReasonCredentialUnknown), call)
	mustRefuse(t, a, http.StatusUnauthorized)
	if a.Body != "" {
		t.Errorf("body %q", a.Body)
	}
}

func notCached(t *testing.T, f *fixture) {
	for _, reason := range keystile.Reasons {
		if got := f.with(t, f.refuse(reason), get()).Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control is %q", reason, got)
		}
	}
}

func hiddenResource(t *testing.T, f *fixture) {
	d := f.refuse(keystile.ReasonResourceNotPermitted)
	d.Public = "site Sibaya is not permitted"
	d.Route = f.route(func(r *keystile.Route) { r.NotPermittedStatus = http.StatusNotFound })
	a := f.with(t, d, get())
	mustRefuse(t, a, http.StatusNotFound)
	for _, telling := range []string{"permitted", "Sibaya"} {
		if strings.Contains(a.Body, telling) {
			t.Errorf("the answer tells: %s", a.Body)
		}
	}
}
