package replaytest

import (
	"sync"
	"time"
)

// Clock moves when told to, either way.
type Clock struct {
	mu    sync.Mutex
	now   time.Time
	moved func(time.Time)
}

// NewClock makes a clock that stands. moved, if not nil, is told where it stands,
// now and after each move.
func NewClock(moved func(time.Time)) *Clock {
	c := &Clock{now: time.Date(2031, 5, 1, 12, 0, 0, 123_456_789, time.UTC), moved: moved}
	c.Set(c.now)
	return c
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it; back, if d is negative.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// Set moves it to a time.
func (c *Clock) Set(to time.Time) {
	c.mu.Lock()
	c.now = to
	c.mu.Unlock()
	if c.moved != nil {
		c.moved(to)
	}
}
