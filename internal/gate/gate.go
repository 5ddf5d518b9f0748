package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/policy"
)

// Observer is told of every decision after it was made. It must not block and
// must not keep the pointers. took is how long the decision took, for a sample
// of them; 0 for the others.
type Observer interface {
	Observe(r *keystile.Request, d keystile.Decision, now time.Time, took time.Duration)
}

// Options configure a Gate.
type Options struct {
	// Kinds that are verified here; a credential of any other kind is refused.
	Kinds   []keystile.Kind
	Limiter limit.Limiter
	// Strict is the limiter of limits that say on_outage: refuse; nil: Limiter.
	Strict    limit.Limiter
	Observers []Observer
	Now       func() time.Time
}

// Gate decides on requests. It is safe for concurrent use.
type Gate struct {
	table     atomic.Pointer[policy.Table]
	kinds     map[keystile.KindName]keystile.Kind
	limiter   limit.Limiter
	strict    limit.Limiter
	observers []Observer
	now       func() time.Time
	checks    sync.Pool
}

// New makes a Gate with a first table of routes.
func New(table *policy.Table, o Options) (*Gate, error) {
	if table == nil || o.Limiter == nil || o.Now == nil {
		return nil, errors.New("gate: a table of routes, Limiter and Now are required")
	}
	g := &Gate{kinds: map[keystile.KindName]keystile.Kind{}, limiter: o.Limiter, strict: o.Strict, observers: o.Observers, now: o.Now}
	if g.strict == nil {
		g.strict = g.limiter
	}
	for _, kind := range o.Kinds {
		if _, twice := g.kinds[kind.Name()]; twice {
			return nil, fmt.Errorf("gate: kind %s is given twice", kind.Name())
		}
		g.kinds[kind.Name()] = kind
	}
	g.table.Store(table)
	return g, nil
}

// Swap replaces the routes; requests under way finish with the old ones.
func (g *Gate) Swap(table *policy.Table) { g.table.Store(table) }

// Table is the current table of routes.
func (g *Gate) Table() *policy.Table { return g.table.Load() }

// Check decides on a request and records the decision. It always answers.
func (g *Gate) Check(ctx context.Context, r *keystile.Request) (d keystile.Decision) {
	c := g.begin(ctx, r)
	defer func() {
		if p := recover(); p != nil {
			d = keystile.Decision{Reason: keystile.ReasonStoreUnavailable, Cause: fmt.Sprintf("panic while deciding: %v", p), Route: c.decision.Route}
			g.observe(c, d)
			return // what panicked may still hold c: it is not used again
		}
		g.end(c)
	}()
	g.decide(c)
	d = c.decision
	g.observe(c, d)
	return d
}

// check is one request on its way through the steps.
type check struct {
	ctx      context.Context
	request  *keystile.Request
	now      time.Time
	trace    *Trace // nil unless explaining
	decision keystile.Decision
}

// begin takes a check from those that were used before: deciding allocates nothing.
func (g *Gate) begin(ctx context.Context, r *keystile.Request) *check {
	c, ok := g.checks.Get().(*check)
	if !ok {
		c = &check{}
	}
	c.ctx, c.request, c.now = ctx, r, g.now()
	return c
}

func (g *Gate) end(c *check) {
	*c = check{}
	g.checks.Put(c)
}

// timedSample is one decision in so many whose time is taken: reading the clock
// costs as much as half of what is measured.
const timedSample = 16

func (g *Gate) observe(c *check, d keystile.Decision) {
	var took time.Duration
	if rand.Uint32()%timedSample == 0 { //nolint:gosec // a sample needs no secret randomness
		took = max(1, g.now().Sub(c.now))
	}
	for _, o := range g.observers {
		o.Observe(c.request, d, c.now, took)
	}
}

// decide walks the steps. With a trace it consumes nothing and writes down
// each step.
func (g *Gate) decide(c *check) {
	d := &c.decision
	match, rejection := g.table.Load().Find(c.request)
	if rejection != nil {
		refuse(d, rejection)
		c.trace.step("route", rejection, "")
		return
	}
	d.Route = match.Route
	c.trace.step("route", nil, match.Route.ID)
	rejection = g.examine(c, &match)
	if rejection == nil {
		d.Allowed = true
		return
	}
	refuse(d, rejection)
	if c.now.Before(match.Route.ObserveUntil) {
		d.Allowed, d.Observed = true, true
	}
}

func refuse(d *keystile.Decision, rejection *keystile.Rejection) {
	d.Allowed = false
	d.Reason, d.Cause, d.Public, d.StepUp = rejection.Reason, rejection.Cause, rejection.Public, rejection.StepUp
	if d.Reason == keystile.ReasonNone {
		d.Reason = keystile.ReasonStoreUnavailable
	}
}

// examine takes a routed request through steps 1 to 5; nil allows it.
func (g *Gate) examine(c *check, match *policy.Match) *keystile.Rejection {
	if !c.request.ClientAddr.IsValid() {
		rejection := keystile.Reject(keystile.ReasonRequestInvalid, "the caller's address is not known")
		c.trace.step("address", rejection, "")
		return rejection
	}
	kind, presented, rejection := g.find(c, match)
	if rejection != nil {
		return rejection
	}
	if rejection = g.authenticate(c, kind, presented); rejection != nil {
		return rejection
	}
	d := &c.decision
	if d.Resource, rejection = match.Authorize(c.request, d.Principal, c.now); rejection != nil {
		c.trace.step("authorize", rejection, "")
		return rejection
	}
	if c.trace != nil { // the text costs an allocation
		c.trace.step("authorize", nil, resourceText(d.Resource))
	}
	var drawn draws
	if rejection = g.limit(c, match.Route, &drawn); rejection != nil {
		return rejection
	}
	return g.claim(c, kind, presented, &drawn)
}

// find names the credential and its kind, and asks whether the route takes it.
func (g *Gate) find(c *check, match *policy.Match) (keystile.Kind, keystile.Presented, *keystile.Rejection) {
	found, rejection := credential.Find(c.request, match.Route)
	if rejection != nil {
		c.trace.step("find", rejection, "")
		return nil, keystile.Presented{}, rejection
	}
	name := found.Kind
	if name == "" {
		// Nothing but a look-up can tell, and only API keys are looked up by digest alone.
		name = keystile.KindAPIKey
	}
	kind, ok := g.kinds[name]
	if !ok || !match.Accepts(name) {
		rejection = keystile.Reject(keystile.ReasonKindNotAccepted, "the route does not take credentials of kind "+string(name))
		c.trace.step("find", rejection, "")
		return nil, keystile.Presented{}, rejection
	}
	presented, err := kind.Parse(c.request, found)
	if err != nil {
		rejection = keystile.Reject(keystile.ReasonCredentialMalformed, err.Error())
		c.trace.step("find", rejection, "")
		return nil, keystile.Presented{}, rejection
	}
	presented.At = c.now
	c.trace.step("find", nil, string(name))
	return kind, presented, nil
}

// authenticate proves the credential and sets the decision's principal.
func (g *Gate) authenticate(c *check, kind keystile.Kind, presented keystile.Presented) *keystile.Rejection {
	principal, err := kind.Verify(c.ctx, presented)
	rejection := rejectionOf(err)
	if rejection == nil && principal == nil {
		rejection = keystile.Reject(keystile.ReasonStoreUnavailable, "the kind named nobody")
	}
	if rejection != nil {
		c.trace.step("authenticate", rejection, "")
		return rejection
	}
	c.decision.Principal = principal
	c.trace.step("authenticate", nil, principal.Subject)
	return nil
}

// claim spends what may be used once. A replay found here hands the quota back.
func (g *Gate) claim(c *check, kind keystile.Kind, p keystile.Presented, drawn *draws) *keystile.Rejection {
	claimer, ok := kind.(keystile.Claimer)
	if !ok {
		return nil
	}
	claim := claimer.Claim
	if c.trace != nil || c.now.Before(c.decision.Route.ObserveUntil) {
		claim = claimer.Spent
	}
	err := claim(c.ctx, p)
	if err == nil {
		c.trace.step("claim", nil, "")
		return nil
	}
	drawn.giveBack(c.ctx, c.now)
	rejection := rejectionOf(err)
	if errors.Is(err, keystile.ErrReplayed) {
		rejection = keystile.Reject(keystile.ReasonReplayed, err.Error())
	}
	c.trace.step("claim", rejection, "")
	return rejection
}

// rejectionOf reads an error of a kind: a Rejection is a "no" with its reason,
// anything else means that nothing can be said, which refuses.
func rejectionOf(err error) *keystile.Rejection {
	if err == nil {
		return nil
	}
	var rejection *keystile.Rejection
	if errors.As(err, &rejection) {
		return rejection
	}
	return keystile.Reject(keystile.ReasonStoreUnavailable, err.Error())
}

func resourceText(r keystile.Resource) string {
	if r.Type == "" {
		return ""
	}
	return r.Type + " " + r.ID
}

// networkOf is what a per-address limit counts by: an IPv6 caller owns a /64.
func networkOf(addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
