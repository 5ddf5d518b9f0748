package gate

import (
	"context"
	"fmt"

	keystile "keystile.dev/keystile"
)

// Step is one step of the gate as explain tells it.
type Step struct {
	// Name is route, find, authenticate, authorize, limit or claim.
	Name string `json:"step"`
	// Passed says whether the request got through.
	Passed bool `json:"passed"`
	// Reason is why not.
	Reason keystile.Reason `json:"reason,omitempty"`
	// Detail is what was found, or the internal cause of the refusal.
	Detail string `json:"detail,omitempty"`
}

// Trace collects the steps of one decision. A nil Trace collects nothing.
type Trace struct{ steps []Step }

func (t *Trace) step(name string, rejection *keystile.Rejection, detail string) {
	if t == nil {
		return
	}
	s := Step{Name: name, Passed: rejection == nil, Detail: detail}
	if rejection != nil {
		s.Reason, s.Detail = rejection.Reason, rejection.Cause
	}
	t.steps = append(t.steps, s)
}

// Explain walks the steps of Check and tells each. It draws no quota, claims
// nothing and is not recorded.
func (g *Gate) Explain(ctx context.Context, r *keystile.Request) (d keystile.Decision, steps []Step) {
	c := &check{ctx: ctx, request: r, now: g.now(), trace: &Trace{}}
	defer func() {
		if p := recover(); p != nil {
			d = keystile.Decision{Reason: keystile.ReasonStoreUnavailable, Cause: fmt.Sprintf("panic while deciding: %v", p), Route: c.decision.Route}
		}
		steps = c.trace.steps
	}()
	g.decide(c)
	return c.decision, c.trace.steps
}
