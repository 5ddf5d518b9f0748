package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// lagInterval is how often the lag is measured, lagFirst how soon after the start.
	lagInterval = 10 * time.Second
	lagFirst    = time.Second
)

// lag measures how long a revocation made by another process takes to arrive: it
// writes the revocation of a key that there never was into the feed, past this
// server's own listeners, and waits for it behind every cache.
type lag struct {
	// canary is the key, another one for each server. "#" is in no id.
	canary  string
	observe func(seconds float64)

	mu   sync.Mutex
	sent time.Time // zero: none is under way
	took time.Duration
}

// buildLag makes the measurement, after everything that listens to the feed.
func (s *server) buildLag(context.Context, *app) error {
	var random [8]byte
	if _, err := io.ReadFull(randomSource, random[:]); err != nil {
		return fmt.Errorf("draw a canary: %w", err)
	}
	s.lag = &lag{canary: "#canary." + hex.EncodeToString(random[:]), observe: s.metrics.Histogram(
		"keystile_revocation_lag_seconds", "Time from the commit of a revocation by another process until every cache of this server has dropped the key, measured with a canary.",
		[]float64{0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10},
	)}
	s.metrics.Gauge("keystile_revocation_waiting_seconds", "How long a canary's revocation has been under way; 0: none is.", s.lag.waiting)
	s.feed.Subscribe(s.lag.note)
	return nil
}

// measureLag runs until ctx ends.
func (s *server) measureLag(ctx context.Context) {
	timer := time.NewTimer(lagFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if s.lag.begin() {
			if err := s.house.store.Tell(ctx, keystile.ChangeKey, s.lag.canary); err != nil {
				s.lag.forget() // nothing was revoked: the store's state is told elsewhere
			} else {
				s.lag.committed()
			}
		}
		timer.Reset(lagInterval)
	}
}

// begin says whether the one before has arrived, so that another may be sent.
func (l *lag) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sent.IsZero() {
		return false
	}
	l.sent = time.Now()
	return true
}

func (l *lag) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = time.Time{}
}

// committed begins the measurement anew at the commit, unless the feed was faster
// than the answer.
func (l *lag) committed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sent.IsZero() {
		l.sent = time.Now()
	}
}

// note hears of changes, last of all that do.
func (l *lag) note(c keystile.Change) {
	switch {
	case c.Kind == keystile.ChangeAll: // everything was dropped, the canary with it
		l.forget()
		return
	case c.Kind != keystile.ChangeKey || c.ID != l.canary:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent.IsZero() {
		return
	}
	l.took, l.sent = time.Since(l.sent), time.Time{}
	l.observe(l.took.Seconds())
}

// last is what was measured last.
func (l *lag) last() (took time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.took, l.took > 0
}

func (l *lag) waiting() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent.IsZero() {
		return 0
	}
	return time.Since(l.sent).Seconds()
}
