package onetime

import (
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
)

// Bounds of an organisation's clock window.
const (
	minWindow = 5 * time.Second
	maxWindow = 15 * time.Minute
)

// rememberedWindow is the shortest time a spent nonce is remembered past its
// stamp. See clock.since.
const rememberedWindow = 60 * time.Second

// tailTolerance is how far the time in a JWT's nonce may be from its iat, in
// seconds (the platform's default).
const tailTolerance = 5

// clock says which times are good for one key.
type clock struct {
	// window is how far a stamp may be from our clock, either way.
	window time.Duration
	// since is when this window may have come into force: the later of this
	// process's start and the last change of the organisation. Nonces of requests
	// stamped before then may have been remembered for a shorter window only, and
	// forgotten since; those requests are good for rememberedWindow, which every
	// nonce is remembered for. Without it, widening the window would make
	// requests good again that were spent before.
	since time.Time
}

func newClock(policy keystile.OneTimePolicy, byDefault time.Duration, since time.Time) clock {
	window := policy.ClockWindow
	if window == 0 {
		window = byDefault
	}
	return clock{window: min(max(window, minWindow), maxWindow), since: since}
}

// late is how long after its last instant a proof is still good.
func (c clock) late(stamp time.Time) time.Duration {
	if stamp.Before(c.since) {
		return min(c.window, rememberedWindow)
	}
	return c.window
}

// check says why the times of a proof are not good now, or nil.
func (c clock) check(p *proof, now time.Time) *keystile.Rejection {
	t := &p.times
	stamp := time.Unix(t.stamp, 0)
	if stamp.Sub(now) > c.window {
		return skewed("the stamp is %s ahead of our clock; %s is allowed", stamp.Sub(now), c.window)
	}
	if t.hasNotBefore && time.Unix(t.notBefore, 0).Sub(now) > c.window {
		return skewed("nbf is %s ahead of our clock; %s is allowed", time.Unix(t.notBefore, 0).Sub(now), c.window)
	}
	late := c.late(stamp)
	switch past := now.Sub(stamp); {
	case p.form == keystile.FormJWT:
		if now.Sub(time.Unix(t.ends, 0)) > late {
			return keystile.Reject(keystile.ReasonCredentialExpired, fmt.Sprintf("exp is %s ago; %s is allowed", now.Sub(time.Unix(t.ends, 0)), late))
		}
		if t.hasTail && (t.tail-t.stamp > tailTolerance || t.stamp-t.tail > tailTolerance) {
			return keystile.Reject(keystile.ReasonClockSkew, "the time in the nonce is more than 5 s from iat")
		}
	case past > late:
		return skewed("the stamp is %s ago; %s is allowed", past, late)
	case t.hasEnd && now.After(time.Unix(t.ends, 0)):
		// The sender asked for less than the window; it is not widened again.
		return keystile.Reject(keystile.ReasonCredentialExpired, fmt.Sprintf("expires was %s ago", now.Sub(time.Unix(t.ends, 0))))
	}
	return nil
}

func skewed(format string, by, allowed time.Duration) *keystile.Rejection {
	return keystile.Reject(keystile.ReasonClockSkew, fmt.Sprintf(format, by, allowed))
}

// lastValid is the last instant at which the proof can pass check, under this
// window or any that was in force when it was made.
func (c clock) lastValid(p *proof) time.Time {
	last := p.times.stamp
	if p.form == keystile.FormJWT {
		last = p.times.ends
	}
	return time.Unix(last, 0).Add(max(c.window, rememberedWindow))
}
