package enforcetest

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// Point builds the enforcement point under test around gate. It is called once
// for each test; what it starts it ends with t.Cleanup.
type Point func(t *testing.T, gate enforce.Gate) Client

// Client drives one enforcement point.
type Client struct {
	// Do makes one call and is safe for concurrent use. It fails t only for what
	// is wrong with the harness.
	Do func(t *testing.T, c Call) Answer
	// Route is the route that the suite's decisions name. The suite copies it and
	// changes Errors and Scopes; a point that forwards sets Upstreams.
	Route keystile.Route
	// Wire says that the point answers callers over HTTP itself, so that bodies,
	// challenges and limits are checked; false for the decision API.
	Wire bool
}

// Call is a request that a caller makes.
type Call struct {
	Method string
	// URL is absolute; its host names the API, not the point under test.
	URL string
	// Header is sent with its keys as they are, canonical or not.
	Header http.Header
	Body   string
	// ClientIP is the caller's address as a trusted proxy reports it: the value
	// of X-Forwarded-For, or ip.
	ClientIP string
}

// Answer is what came of a Call.
type Answer struct {
	// Status is what the caller is to be answered; 200 if allowed.
	Status int
	// Header and Body are the answer on the wire; empty for a point without.
	Header http.Header
	Body   string
	// Upstream holds the header fields with which the request goes on, those of
	// the caller and the identity together; nil if it does not go on.
	Upstream http.Header
}

// Gate is a gate that decides as it is told. It is safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	decide func(*keystile.Request) keystile.Decision
	seen   []keystile.Request
}

// Check implements enforce.Gate. A Gate that was told nothing refuses.
func (g *Gate) Check(_ context.Context, r *keystile.Request) keystile.Decision {
	g.mu.Lock()
	seen := *r
	seen.Header = maps.Clone(r.Header)
	g.seen = append(g.seen, seen)
	decide := g.decide
	g.mu.Unlock()
	if decide == nil {
		return keystile.Decision{}
	}
	return decide(r)
}

// Decide sets how the gate decides from now on.
func (g *Gate) Decide(decide func(*keystile.Request) keystile.Decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decide = decide
}

// Seen are the requests that the gate was asked about.
func (g *Gate) Seen() []keystile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.seen)
}

// Principal is who the suite's credentials stand for.
func Principal() *keystile.Principal {
	return &keystile.Principal{
		Subject: "key:key_sibaya", OrganizationID: "sibaya-power", Environment: keystile.Production,
		Kind: keystile.KindAPIKey, CredentialID: "key_sibaya",
		Scopes: []keystile.Scope{"telemetry:read", "sites:read"}, SiteIDs: []string{"Sibaya", `odd "site"`},
	}
}

// Limit is the state of the suite's limit.
func Limit() keystile.LimitState {
	return keystile.LimitState{
		Rate: &keystile.Rate{Requests: 60, Window: time.Minute, Algorithm: keystile.AlgorithmWindow},
		Per:  keystile.PerCredential, Remaining: 41, Reset: 29*time.Second + time.Millisecond,
	}
}

const (
	defaultURL = "https://api.example.com/telemetry/inverter?asset_id=INV-1&site_id=Sibaya"
	defaultIP  = "203.0.113.9"
	// secretCause must never reach a caller.
	secretCause = "cause-canary-7f3a"
)

func get() Call {
	return Call{
		Method: http.MethodGet, URL: defaultURL, ClientIP: defaultIP,
		Header: http.Header{"X-Api-Key": {"opa_prod_0123456789abcdefghijABCDEFGHIJ01ABCDEF"}},
	}
}

func clientAddr() netip.Addr { return netip.MustParseAddr(defaultIP) }

// fixture is a point with its gate.
type fixture struct {
	Client
	gate *Gate
}

func start(t *testing.T, point Point) *fixture {
	t.Helper()
	gate := &Gate{}
	return &fixture{Client: point(t, gate), gate: gate}
}

// route is the client's route, changed.
func (f *fixture) route(change func(*keystile.Route)) *keystile.Route {
	route := f.Route
	if change != nil {
		change(&route)
	}
	return &route
}

func (f *fixture) allow() keystile.Decision {
	return keystile.Decision{Allowed: true, Principal: Principal(), Route: f.route(nil), Limit: Limit()}
}

func (f *fixture) refuse(reason keystile.Reason) keystile.Decision {
	d := keystile.Decision{Reason: reason, Cause: secretCause, Route: f.route(nil)}
	if reason.Status() == http.StatusForbidden || reason == keystile.ReasonRateLimited {
		d.Principal = Principal()
	}
	if reason == keystile.ReasonRateLimited {
		d.Limit = Limit()
		d.Limit.Remaining = 0
	}
	return d
}

// with makes the gate decide d and makes the call.
func (f *fixture) with(t *testing.T, d keystile.Decision, c Call) Answer {
	t.Helper()
	f.gate.Decide(func(*keystile.Request) keystile.Decision { return d })
	return f.Do(t, c)
}

// mustRefuse fails unless the call was refused with status and went nowhere.
func mustRefuse(t *testing.T, a Answer, status int) {
	t.Helper()
	if a.Status != status {
		t.Errorf("status %d, want %d; body %s", a.Status, status, a.Body)
	}
	if a.Upstream != nil {
		t.Error("a refused request went on to the upstream")
	}
}
