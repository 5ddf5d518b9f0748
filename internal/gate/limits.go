package gate

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
)

// maxDraws is how many limits one request can be under: a route's limits, one
// for each thing to count by, and the credential's own.
const maxDraws = 4

// onOutageRefuse is the value of routes[].limit.on_outage that refuses when
// shared counters cannot be reached.
const onOutageRefuse = "refuse"

// draws remembers what a request drew, to hand it back if it is refused later.
type draws struct {
	n    int
	made [maxDraws]quota
}

// quota is one limit that a request is under.
type quota struct {
	limiter limit.Limiter
	key     limit.Key
	rate    *keystile.Rate
}

func (d *draws) add(q quota) {
	if d.n == maxDraws {
		return // policy refuses routes with more; what is not remembered is only not handed back
	}
	d.made[d.n] = q
	d.n++
}

func (d *draws) giveBack(ctx context.Context, at time.Time) {
	for i := range d.n {
		d.made[i].limiter.Return(ctx, d.made[i].key, d.made[i].rate, at)
	}
	d.n = 0
}

// limit draws on every limit the request is under: all of them or none. A
// credential's own limit takes the place of the route's rate per credential
// and counts over all routes.
func (g *Gate) limit(c *check, route *keystile.Route, drawn *draws) *keystile.Rejection {
	d := &c.decision
	own := d.Principal.Limit
	if own != nil {
		key := limit.Key{Per: keystile.PerCredential, ID: d.Principal.Subject}
		if rejection := draw(c, quota{g.limiter, key, own}, drawn); rejection != nil {
			return rejection
		}
	}
	for i := range route.Limits {
		rl := &route.Limits[i]
		key := limit.Key{Per: rl.Per, Route: route.ID}
		switch rl.Per {
		case keystile.PerCredential:
			if own != nil {
				continue
			}
			key.ID = d.Principal.Subject
		case keystile.PerOrganization:
			key.ID = d.Principal.OrganizationID
		case keystile.PerAddress:
			key.ID = networkOf(c.request.ClientAddr)
		}
		limiter := g.limiter
		if rl.OnOutage == onOutageRefuse {
			limiter = g.strict
		}
		if rejection := draw(c, quota{limiter, key, &rl.Rate}, drawn); rejection != nil {
			return rejection
		}
	}
	return nil
}

// draw takes one request from one limit; a refusal hands back what was drawn before.
func draw(c *check, q quota, drawn *draws) *keystile.Rejection {
	var (
		state keystile.LimitState
		ok    bool
		err   error
	)
	if c.trace == nil {
		state, ok, err = q.limiter.Take(c.ctx, q.key, q.rate, c.now)
	} else {
		state, ok, err = q.limiter.Peek(c.ctx, q.key, q.rate, c.now)
	}
	if err == nil && ok {
		if c.trace == nil {
			drawn.add(q)
		} else {
			c.trace.step("limit", nil, q.rate.String()+" per "+string(q.key.Per))
		}
		if c.decision.Limit.Rate == nil || state.Remaining < c.decision.Limit.Remaining {
			c.decision.Limit = state
		}
		return nil
	}
	drawn.giveBack(c.ctx, c.now)
	rejection := keystile.Reject(keystile.ReasonStoreUnavailable, "the rate limit cannot be counted")
	if err != nil {
		rejection.Cause += ": " + err.Error()
	} else {
		c.decision.Limit = state
		rejection = keystile.Reject(keystile.ReasonRateLimited, "over "+q.rate.String()+" per "+string(q.key.Per))
	}
	c.trace.step("limit", rejection, "")
	return rejection
}
