package limit

import (
	"time"

	keystile "keystile.dev/keystile"
)

// counter is the count of one (key, rate). Times are nanoseconds on Memory's
// own scale (see Memory.offset) and never negative. Its shard's lock guards it.
//
// A window's log holds each draw as a 4-byte tick, the low bits of
// ceil(time/unit). A draw is expired when floor(now/unit) is at least span
// ticks later, which implies that a whole window has passed. All live ticks lie
// within span of the last draw, and a counter idle for longer is cleared
// before it is read, so two ticks that are compared are less than 2^31 apart
// and their 32-bit difference is their true difference.
type counter struct {
	key      Key
	requests int32
	window   int64
	// unit is the length of a tick, or gcra's interval.
	unit int64
	// span is the window in ticks.
	span int64
	// last is when the latest draw was recorded.
	last int64
	log  ring
	pace *pace // nil: a window
}

// maxSpan bounds span, so that twice the window fits 31 bits.
const maxSpan = 1_000_000_000

// newCounter makes the counter of a checked rate.
func newCounter(k Key, rate *keystile.Rate, now int64) counter {
	c := counter{key: k, window: int64(rate.Window), last: now}
	c.requests = int32(rate.Requests) //nolint:gosec // check bounds it by a thousand million
	if rate.Algorithm == keystile.AlgorithmGCRA {
		c.unit, c.pace = interval(rate), &pace{}
		return c
	}
	// A power of ten, so that times people write down are whole ticks.
	c.unit = 1
	for c.window/c.unit > maxSpan {
		c.unit *= 10
	}
	c.span = (c.window + c.unit - 1) / c.unit
	return c
}

// is says whether this is the counter of k and rate.
func (c *counter) is(k *Key, rate *keystile.Rate) bool {
	return c.key.ID == k.ID && c.key.Route == k.Route && c.key.Per == k.Per &&
		int(c.requests) == rate.Requests && c.window == int64(rate.Window) &&
		(c.pace != nil) == (rate.Algorithm == keystile.AlgorithmGCRA)
}

// low32 is a tick as the log keeps it: modulo 2^32, see counter.
func low32(tick int64) uint32 {
	return uint32(tick & 0xffff_ffff)
}

// ceilTick is the tick a draw at time t gets.
func (c *counter) ceilTick(t int64) int64 { return (t + c.unit - 1) / c.unit }

// age is how many ticks before the tick now the logged tick was; -1 is
// possible, for a draw of the same moment is rounded up.
func age(now int64, logged uint32) int64 {
	return int64(int32(low32(now) - logged)) //nolint:gosec // wrapping around is what makes the difference right
}

// expired is how many of the oldest draws have left the window at time now.
func (c *counter) expired(now int64) int32 {
	tick := now / c.unit
	if c.log.n == 0 || now-c.last >= c.window+2*c.unit {
		return c.log.n
	}
	if age(tick, c.log.at(0)) < c.span {
		return 0
	}
	lo, hi := int32(1), c.log.n // everything before lo is expired, everything from hi on is not
	for lo < hi {
		mid := lo + (hi-lo)/2
		if age(tick, c.log.at(mid)) >= c.span {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// needs is how many more slots the log should get before the next draw; the
// counter has been settled.
func (c *counter) needs() int32 {
	if c.pace != nil || !c.log.full() || c.log.n == c.requests {
		return 0
	}
	return c.log.nextSlots(c.requests)
}

// settle drops what has left the window.
func (c *counter) settle(now int64) {
	if c.pace == nil {
		c.log.drop(c.expired(now))
	}
}

// draw takes one request at time now if there is room. at is what the caller
// will name it by if it hands it back. The counter has been settled and has the
// slots it needs.
func (c *counter) draw(now, at int64) bool {
	if c.pace != nil {
		if !c.pace.draw(c, now, at) {
			return false
		}
	} else {
		if c.log.n == c.requests {
			return false
		}
		c.log.push(low32(c.ceilTick(now)))
	}
	c.last = now
	return true
}

// giveBack undoes the draw made at time at and says whether it found it.
//
// A draw is logged at its own time, or later if the clock had already been
// seen further on. So the first logged time that is not earlier than at is
// either the draw itself or one that leaves the window before it: taking that
// one out can only make what remains expire later. With exact, only a draw
// logged at exactly that time will do.
func (c *counter) giveBack(at int64, exact bool) bool {
	if c.pace != nil {
		return c.pace.giveBack(c.unit, at)
	}
	tick, newest := c.ceilTick(at), c.ceilTick(c.last)
	if c.log.n == 0 || tick > newest || c.last/c.unit-tick >= c.span {
		return false
	}
	lo, hi := int32(0), c.log.n
	for lo < hi {
		mid := lo + (hi-lo)/2
		if age(tick, c.log.at(mid)) > 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == c.log.n || (exact && c.log.at(lo) != low32(tick)) {
		return false
	}
	c.log.remove(lo)
	return true
}

// state is what a caller who asks at time at is told; now is the counter's
// time, later than at if the clock was stepped back.
func (c *counter) state(rate *keystile.Rate, now, at int64) keystile.LimitState {
	s := keystile.LimitState{Rate: rate, Per: c.key.Per}
	if c.pace != nil {
		used := c.pace.at(now - c.last)
		burst := int64(c.requests) * c.unit
		s.Remaining = int((burst - used) / c.unit)
		if s.Remaining == 0 {
			used -= burst - c.unit
		}
		s.Reset = time.Duration(used)
		if used > 0 {
			s.Reset += time.Duration(now - at)
		}
		return s
	}
	gone := c.expired(now)
	live := c.log.n - gone
	s.Remaining = int(c.requests - live)
	if live == 0 {
		return s
	}
	next := c.log.n - 1
	if s.Remaining == 0 {
		next = gone
	}
	tick := now / c.unit
	s.Reset = time.Duration((tick-age(tick, c.log.at(next))+c.span)*c.unit - at)
	return s
}

// remembered is how many of gcra's latest draws can be handed back.
const remembered = 16

// pace is the state of gcra: a bucket that drains one nanosecond's worth a
// nanosecond and into which each draw pours one interval.
type pace struct {
	// level is what was in the bucket right after the last draw.
	level int64
	draws [remembered]paceDraw // the latest, oldest first
	n     int
}

// paceDraw is one draw: what it is named by, and what was in the bucket before.
type paceDraw struct{ at, before int64 }

// at is what is in the bucket some time after the last draw.
func (p *pace) at(since int64) int64 { return max(0, p.level-since) }

func (p *pace) draw(c *counter, now, at int64) bool {
	level := p.at(now - c.last)
	if level+c.unit > int64(c.requests)*c.unit {
		return false
	}
	if p.n == remembered {
		copy(p.draws[:], p.draws[1:])
		p.n--
	}
	p.draws[p.n] = paceDraw{at: at, before: level}
	p.n++
	p.level = level + c.unit
	return true
}

// giveBack undoes a draw as if it had never been. That is exact as long as each
// later draw found at least one interval in the bucket: otherwise the
// bucket would have run empty meanwhile, and what this draw poured in has
// drained already.
func (p *pace) giveBack(interval, at int64) bool {
	for i := p.n - 1; i >= 0; i-- {
		if p.draws[i].at == at {
			for j := i + 1; j < p.n; j++ {
				p.draws[j].before -= interval
				p.draws[j-1] = p.draws[j]
			}
			p.n--
			p.level -= interval
			return true
		}
		if p.draws[i].before < interval {
			return false
		}
	}
	return false
}
