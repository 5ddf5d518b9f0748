package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/gate"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/policy"
)

// fakeKind accepts the credentials it knows; spent ones are claimed once.
type fakeKind struct {
	name       keystile.KindName
	principals map[string]*keystile.Principal
	parseErr   error
	verifyErr  error
	panics     bool
	verified   atomic.Int64
}

func (k *fakeKind) Name() keystile.KindName { return k.name }

func (k *fakeKind) Parse(_ *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	return keystile.Presented{Kind: k.name, Value: f.Value}, k.parseErr
}

func (k *fakeKind) Verify(_ context.Context, p keystile.Presented) (*keystile.Principal, error) {
	k.verified.Add(1)
	if k.panics {
		panic("boom")
	}
	if k.verifyErr != nil {
		return nil, k.verifyErr
	}
	if principal, ok := k.principals[p.Value.Reveal()]; ok {
		return principal, nil
	}
	return nil, keystile.Reject(keystile.ReasonCredentialUnknown, "no such credential")
}

// spentKind is a fakeKind whose credentials are spent.
type spentKind struct {
	fakeKind
	mu       sync.Mutex
	claimed  map[string]bool
	claimErr error
}

func (k *spentKind) Claim(_ context.Context, p keystile.Presented) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.claimErr != nil {
		return k.claimErr
	}
	if k.claimed[p.Value.Reveal()] {
		return fmt.Errorf("nonce: %w", keystile.ErrReplayed)
	}
	k.claimed[p.Value.Reveal()] = true
	return nil
}

// brokenLimiter cannot count.
type brokenLimiter struct{ limit.Limiter }

func (brokenLimiter) Take(context.Context, limit.Key, *keystile.Rate, time.Time) (keystile.LimitState, bool, error) {
	return keystile.LimitState{}, true, keystile.ErrUnavailable
}

func (k *spentKind) Spent(_ context.Context, p keystile.Presented) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.claimed[p.Value.Reveal()] {
		return fmt.Errorf("nonce: %w", keystile.ErrReplayed)
	}
	return k.claimErr
}

type observer struct {
	mu        sync.Mutex
	decisions []keystile.Decision
}

func (o *observer) Observe(_ *keystile.Request, d keystile.Decision, _ time.Time, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.decisions = append(o.decisions, d)
}

type fixture struct {
	*gate.Gate
	keys   *fakeKind
	once   *spentKind
	seen   *observer
	now    time.Time
	limits *limit.Memory
}

func telemetry() keystile.Route {
	return keystile.Route{
		ID: "telemetry", Source: "test:1", Match: keystile.RouteMatch{Path: "/telemetry/**"}, Upstreams: []string{"http://127.0.0.1:9"},
		Accept: []keystile.KindName{keystile.KindAPIKey, keystile.KindOneTime}, Scopes: []keystile.Scope{"telemetry:read"},
		Resource: &keystile.RouteResource{Type: "site", From: "query.site_id"}, NotPermittedStatus: 403,
		Limits: []keystile.RouteLimit{{Rate: keystile.Rate{Requests: 3, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}, Per: keystile.PerCredential}},
	}
}

func principal(id string) *keystile.Principal {
	return &keystile.Principal{
		Subject: "key:" + id, CredentialID: id, OrganizationID: "org", Environment: keystile.Production, Kind: keystile.KindAPIKey,
		Scopes: []keystile.Scope{"telemetry:*"}, SiteIDs: []string{"Sibaya"},
	}
}

func newFixture(t testing.TB, change func(*keystile.Route), options func(*gate.Options)) *fixture {
	t.Helper()
	x := &fixture{now: time.Now(), seen: &observer{}, limits: limit.NewMemory(limit.MemoryOptions{})}
	x.keys = &fakeKind{name: keystile.KindAPIKey, principals: map[string]*keystile.Principal{"goodgood": principal("k1")}}
	x.once = &spentKind{fakeKind: fakeKind{name: keystile.KindOneTime, principals: map[string]*keystile.Principal{}}, claimed: map[string]bool{}}
	route := telemetry()
	if change != nil {
		change(&route)
	}
	table, problems := policy.Compile([]keystile.Route{route}, policy.Options{Now: func() time.Time { return x.now }})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	o := gate.Options{Kinds: []keystile.Kind{x.keys, x.once}, Limiter: x.limits, Observers: []gate.Observer{x.seen}, Now: func() time.Time { return x.now }}
	if options != nil {
		options(&o)
	}
	var err error
	if x.Gate, err = gate.New(table, o); err != nil {
		t.Fatal(err)
	}
	return x
}

func get(key string) *keystile.Request {
	r := &keystile.Request{
		ID: "req", Point: keystile.PointGateway, Method: "GET", Scheme: "http", Host: "api.example.com", Path: "/telemetry/inverter",
		RawQuery: "site_id=Sibaya", Header: keystile.Header{}, ClientAddr: netip.MustParseAddr("192.0.2.1"),
	}
	if key != "" {
		r.Header["X-Api-Key"] = []string{key}
	}
	return r
}

func (x *fixture) check(t *testing.T, r *keystile.Request, want keystile.Reason) keystile.Decision {
	t.Helper()
	d := x.Check(context.Background(), r)
	if d.Reason != want || d.Allowed != (want == "") {
		t.Fatalf("allowed %v, reason %q (%s); want %q", d.Allowed, d.Reason, d.Cause, want)
	}
	return d
}

// oneTime is text that the classifier takes for a one-time header.
const oneTime = "eyJhIjoxfQ=="

func TestEachStepRefusesWithItsOwnReason(t *testing.T) {
	for name, c := range map[string]struct {
		route   func(*keystile.Route)
		request func(*keystile.Request)
		key     string
		want    keystile.Reason
	}{
		"allowed":                      {nil, nil, "goodgood", ""},
		"no route":                     {nil, func(r *keystile.Request) { r.Path = "/other" }, "goodgood", keystile.ReasonNoRoute},
		"no route comes before no key": {nil, func(r *keystile.Request) { r.Path = "/other" }, "", keystile.ReasonNoRoute},
		"an ambiguous path":            {nil, func(r *keystile.Request) { r.Path = "/telemetry/%2e%2e/x" }, "goodgood", keystile.ReasonRequestInvalid},
		"no address":                   {nil, func(r *keystile.Request) { r.ClientAddr = netip.Addr{} }, "goodgood", keystile.ReasonRequestInvalid},
		"no credential":                {nil, nil, "", keystile.ReasonCredentialMissing},
		"unknown credential":           {nil, nil, "badbadbad", keystile.ReasonCredentialUnknown},
		"a kind the route takes but nobody verifies": {
			func(r *keystile.Route) { r.Accept = append(r.Accept, keystile.KindSessionJWT) }, nil, "a.b.c", keystile.ReasonKindNotAccepted,
		},
		"a kind the route does not take": {
			func(r *keystile.Route) { r.Accept = []keystile.KindName{keystile.KindAPIKey} }, nil, oneTime, keystile.ReasonKindNotAccepted,
		},
		"the other environment":                               {func(r *keystile.Route) { r.Environment = keystile.Sandbox }, nil, "goodgood", keystile.ReasonEnvironmentMismatch},
		"the resource missing":                                {nil, func(r *keystile.Request) { r.RawQuery = "" }, "goodgood", keystile.ReasonRequestInvalid},
		"the resource missing and no key: authenticate first": {nil, func(r *keystile.Request) { r.RawQuery = "" }, "", keystile.ReasonCredentialMissing},
		"another site":                                        {nil, func(r *keystile.Request) { r.RawQuery = "site_id=Other" }, "goodgood", keystile.ReasonResourceNotPermitted},
		"scope missing":                                       {func(r *keystile.Route) { r.Scopes = []keystile.Scope{"keys:write"} }, nil, "goodgood", keystile.ReasonScopeMissing},
		"condition fails":                                     {func(r *keystile.Route) { r.When = `principal.role == "role_admin"` }, nil, "goodgood", keystile.ReasonConditionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, c.route, nil)
			r := get(c.key)
			if c.request != nil {
				c.request(r)
			}
			x.check(t, r, c.want)
			if n := len(x.seen.decisions); n != 1 {
				t.Errorf("recorded %d times", n)
			}
		})
	}
}

func TestItAlwaysAnswersAndAPanicIsARefusal(t *testing.T) {
	x := newFixture(t, nil, nil)
	x.keys.panics = true
	d := x.check(t, get("goodgood"), keystile.ReasonStoreUnavailable)
	if d.Status() != 503 || len(x.seen.decisions) != 1 {
		t.Errorf("status %d, recorded %d times", d.Status(), len(x.seen.decisions))
	}
}

func TestThreat04_NotBeingAbleToDecideIsARefusal(t *testing.T) {
	t.Run("the store fails", func(t *testing.T) {
		x := newFixture(t, nil, nil)
		x.keys.verifyErr = fmt.Errorf("store: %w", keystile.ErrUnavailable)
		x.check(t, get("goodgood"), keystile.ReasonStoreUnavailable)
	})
	t.Run("any other error", func(t *testing.T) {
		x := newFixture(t, nil, nil)
		x.keys.verifyErr = errors.New("anything")
		x.check(t, get("goodgood"), keystile.ReasonStoreUnavailable)
	})
	t.Run("nobody is named", func(t *testing.T) {
		x := newFixture(t, nil, nil)
		x.keys.principals["goodgood"] = nil
		x.check(t, get("goodgood"), keystile.ReasonStoreUnavailable)
	})
	t.Run("the limit cannot be counted", func(t *testing.T) {
		x := newFixture(t, nil, func(o *gate.Options) { o.Limiter = brokenLimiter{o.Limiter} })
		x.check(t, get("goodgood"), keystile.ReasonStoreUnavailable)
	})
	t.Run("the claim cannot be made", func(t *testing.T) {
		x := newFixture(t, nil, nil)
		x.once.principals[oneTime] = principal("o1")
		x.once.claimErr = errors.New("ledger away")
		x.check(t, get(oneTime), keystile.ReasonStoreUnavailable)
	})
	t.Run("an empty reason of a rejection", func(t *testing.T) {
		x := newFixture(t, nil, nil)
		x.keys.verifyErr = keystile.Reject("", "forgot the reason")
		x.check(t, get("goodgood"), keystile.ReasonStoreUnavailable)
	})
}

func TestThreat18_AMalformedCredentialIsNeverAnonymousAndNeverTriedAsAnotherKind(t *testing.T) {
	x := newFixture(t, nil, nil)
	for _, value := range []string{"", " ", "Bearer", "Bearer ", "Basic Z29vZGdvb2Q6", "good\x00good"} {
		r := get("")
		r.Header["Authorization"] = []string{value}
		x.check(t, r, keystile.ReasonCredentialMalformed)
	}
	x.once.parseErr = keystile.ErrMalformed
	x.check(t, get(oneTime), keystile.ReasonCredentialMalformed)
	x.check(t, get("ak_goodgood"), keystile.ReasonKindNotAccepted)
	if x.keys.verified.Load() != 0 || x.once.verified.Load() != 0 {
		t.Error("a malformed credential reached a kind's proof")
	}
}

func TestARefusalDrawsNoQuotaAndBurnsNothing(t *testing.T) {
	x := newFixture(t, nil, nil)
	x.once.principals[oneTime] = principal("o1")
	for range 10 {
		r := get(oneTime)
		r.RawQuery = "site_id=Other"
		x.check(t, r, keystile.ReasonResourceNotPermitted)
	}
	if len(x.once.claimed) != 0 {
		t.Error("a refused request burnt the credential")
	}
	d := x.check(t, get(oneTime), "")
	if d.Limit.Remaining != 2 {
		t.Errorf("%d remain, want 2", d.Limit.Remaining)
	}
}

func TestAReplayHandsTheQuotaBack(t *testing.T) {
	x := newFixture(t, nil, nil)
	x.once.principals[oneTime] = principal("o1")
	x.check(t, get(oneTime), "")
	for range 10 {
		x.check(t, get(oneTime), keystile.ReasonReplayed)
	}
	x.once.claimed = map[string]bool{}
	if d := x.check(t, get(oneTime), ""); d.Limit.Remaining != 1 {
		t.Errorf("%d remain, want 1", d.Limit.Remaining)
	}
}

func TestAClaimIsMadeOnceUnder64ParallelPresentations(t *testing.T) {
	x := newFixture(t, func(r *keystile.Route) { r.Limits = nil }, nil)
	x.once.principals[oneTime] = principal("o1")
	var allowed, replayed atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 64 {
		wg.Go(func() {
			<-start
			switch d := x.Check(context.Background(), get(oneTime)); {
			case d.Allowed:
				allowed.Add(1)
			case d.Reason == keystile.ReasonReplayed:
				replayed.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	if allowed.Load() != 1 || replayed.Load() != 63 {
		t.Errorf("%d allowed, %d replayed", allowed.Load(), replayed.Load())
	}
}

func TestACredentialsOwnLimitTakesThePlaceOfTheRoutes(t *testing.T) {
	x := newFixture(t, nil, nil)
	p := principal("k2")
	p.Limit = &keystile.Rate{Requests: 1, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}
	x.keys.principals["ownlimit"] = p
	x.check(t, get("ownlimit"), "")
	d := x.check(t, get("ownlimit"), keystile.ReasonRateLimited)
	if d.Status() != 429 || d.Limit.Reset <= 0 || d.Limit.Rate.Requests != 1 {
		t.Errorf("limit %+v", d.Limit)
	}
	for range 3 {
		x.check(t, get("goodgood"), "")
	}
	x.check(t, get("goodgood"), keystile.ReasonRateLimited)
}

func TestARequestUnderSeveralLimitsDrawsOnAllOrNone(t *testing.T) {
	rate := func(n int) keystile.Rate {
		return keystile.Rate{Requests: n, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}
	}
	x := newFixture(t, func(r *keystile.Route) {
		r.Limits = []keystile.RouteLimit{{Rate: rate(5), Per: keystile.PerOrganization}, {Rate: rate(1), Per: keystile.PerAddress}}
	}, nil)
	x.check(t, get("goodgood"), "")
	for range 10 {
		x.check(t, get("goodgood"), keystile.ReasonRateLimited) // refused by the second limit: the first is handed back
	}
	for i := range 4 {
		r := get("goodgood")
		r.ClientAddr = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
		x.check(t, r, "")
	}
	r := get("goodgood")
	r.ClientAddr = netip.MustParseAddr("203.0.113.9")
	x.check(t, r, keystile.ReasonRateLimited)
}

func TestAnIPv6CallerIsCountedByItsNetwork(t *testing.T) {
	x := newFixture(t, func(r *keystile.Route) {
		r.Limits = []keystile.RouteLimit{{Rate: keystile.Rate{Requests: 1, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}, Per: keystile.PerAddress}}
	}, nil)
	for i, want := range []keystile.Reason{"", keystile.ReasonRateLimited} {
		r := get("goodgood")
		r.ClientAddr = netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1))
		x.check(t, r, want)
	}
}

func TestAnObservingRouteAllowsAndTellsWhatItWouldHaveDone(t *testing.T) {
	x := newFixture(t, nil, nil)
	observing := telemetry()
	observing.ObserveUntil = x.now.Add(time.Hour)
	table, problems := policy.Compile([]keystile.Route{observing}, policy.Options{Now: func() time.Time { return x.now }})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	x.Swap(table)
	d := x.Check(context.Background(), get("badbadbad"))
	if !d.Allowed || !d.Observed || d.Reason != keystile.ReasonCredentialUnknown {
		t.Errorf("decision %+v", d)
	}
	x.once.principals[oneTime] = principal("o1")
	if d := x.Check(context.Background(), get(oneTime)); !d.Allowed || len(x.once.claimed) != 0 {
		t.Errorf("decision %+v, claimed %v", d, x.once.claimed)
	}
	x.now = x.now.Add(time.Hour)
	x.check(t, get("badbadbad"), keystile.ReasonCredentialUnknown)
}

func TestExplainWalksTheSameStepsAndConsumesNothing(t *testing.T) {
	x := newFixture(t, nil, nil)
	x.once.principals[oneTime] = principal("o1")
	for range 10 {
		d, steps := x.Explain(context.Background(), get(oneTime))
		if !d.Allowed || len(steps) < 5 {
			t.Fatalf("%+v %+v", d, steps)
		}
	}
	if len(x.seen.decisions) != 0 || len(x.once.claimed) != 0 {
		t.Error("explain was recorded or claimed")
	}
	x.once.claimed[oneTime] = true
	if d, _ := x.Explain(context.Background(), get(oneTime)); d.Reason != keystile.ReasonReplayed {
		t.Errorf("a spent credential: %+v", d)
	}
	for range 3 {
		x.check(t, get("goodgood"), "")
	}
	d, steps := x.Explain(context.Background(), get("goodgood"))
	last := steps[len(steps)-1]
	if d.Reason != keystile.ReasonRateLimited || last.Name != "limit" || last.Passed || last.Reason != keystile.ReasonRateLimited {
		t.Errorf("%+v %+v", d, steps)
	}
}

func TestRoutesAreSwappedBetweenRequests(t *testing.T) {
	x := newFixture(t, nil, nil)
	x.check(t, get("goodgood"), "")
	other := telemetry()
	other.Match.Path = "/elsewhere/**"
	table, problems := policy.Compile([]keystile.Route{other}, policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	x.Swap(table)
	x.check(t, get("goodgood"), keystile.ReasonNoRoute)
}

func TestAGateNeedsItsParts(t *testing.T) {
	table, _ := policy.Compile(nil, policy.Options{})
	kind := &fakeKind{name: keystile.KindAPIKey}
	limiter := limit.NewMemory(limit.MemoryOptions{})
	for name, make := range map[string]func() (*gate.Gate, error){
		"routes":    func() (*gate.Gate, error) { return gate.New(nil, gate.Options{Limiter: limiter, Now: time.Now}) },
		"a limiter": func() (*gate.Gate, error) { return gate.New(table, gate.Options{Now: time.Now}) },
		"a clock":   func() (*gate.Gate, error) { return gate.New(table, gate.Options{Limiter: limiter}) },
		"kinds once": func() (*gate.Gate, error) {
			return gate.New(table, gate.Options{Limiter: limiter, Now: time.Now, Kinds: []keystile.Kind{kind, kind}})
		},
	} {
		if _, err := make(); err == nil {
			t.Errorf("made without %s", name)
		}
	}
}
