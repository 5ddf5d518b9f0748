package webhook

import (
	"fmt"
	"io"
	"time"
)

const (
	// firstWait is the pause after the first try; each further one is four times as
	// long: eight tries are made within a day (protocols 2.8).
	firstWait   = 15 * time.Second
	waitGrows   = 4
	jitterParts = 20 // up to a twentieth more, so that endpoints that failed together are not tried together

	// tolerated failures in a row leave the circuit closed; the next opens it for
	// firstOpen, and each further one for twice as long, up to longestOpen.
	tolerated   = 4
	firstOpen   = time.Minute
	longestOpen = time.Hour
)

// later is when a delivery is tried again after so many tries.
func (c *Courier) later(now time.Time, tries int) (time.Time, error) {
	wait := firstWait
	for range tries - 1 {
		wait *= waitGrows
	}
	var b [1]byte
	if _, err := io.ReadFull(c.o.Random, b[:]); err != nil {
		return time.Time{}, fmt.Errorf("draw a pause: %w", err)
	}
	return now.Add(wait + wait/jitterParts*time.Duration(b[0])/256), nil
}

// openUntil is until when a webhook is left alone after so many failures in a row;
// zero: it is not. When that time has come one delivery is tried: the next success
// closes the circuit.
func openUntil(failures int, now time.Time) time.Time {
	if failures <= tolerated {
		return time.Time{}
	}
	open := firstOpen
	for n := tolerated + 1; n < failures && open < longestOpen; n++ {
		open *= 2
	}
	return now.Add(min(open, longestOpen))
}
