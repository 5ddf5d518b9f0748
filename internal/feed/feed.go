package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// Default timings.
const (
	// DefaultInterval is how often the store is asked for changes made elsewhere.
	DefaultInterval = 200 * time.Millisecond
	// DefaultGrace is how long remembered credentials are served without contact.
	DefaultGrace = 30 * time.Second
)

const pollBatch = 1000

// Source is where changes made by other processes are read.
type Source interface {
	// Revision is the newest change's revision; 0 if there was none.
	Revision(ctx context.Context) (int64, error)
	// Changes returns changes after a revision in order; complete is false if
	// some of them are no longer kept.
	Changes(ctx context.Context, after int64, limit int) (changes []keystile.Change, complete bool, err error)
}

// Options configure a Feed. Zero durations take the defaults.
type Options struct {
	Source   Source
	Interval time.Duration
	Grace    time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
}

// Feed hands changes to its subscribers. It is safe for concurrent use.
type Feed struct {
	source   Source
	interval time.Duration
	grace    time.Duration
	now      func() time.Time
	log      *slog.Logger

	woken       chan struct{}
	mu          sync.Mutex // orders deliveries
	subscribers []func(keystile.Change)
	revision    atomic.Int64
	lastContact atomic.Pointer[time.Time]
}

// New makes a Feed that has not heard anything yet: Fresh is false until Start.
func New(o Options) *Feed {
	f := &Feed{source: o.Source, interval: o.Interval, grace: o.Grace, now: o.Now, log: o.Logger, woken: make(chan struct{}, 1)}
	if f.interval <= 0 {
		f.interval = DefaultInterval
	}
	if f.grace <= 0 {
		f.grace = DefaultGrace
	}
	return f
}

// Subscribe adds a subscriber. It is called in order, one change at a time, and
// must return quickly. Subscribe before Start.
func (f *Feed) Subscribe(fn func(keystile.Change)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribers = append(f.subscribers, fn)
}

// Start reads where the store stands. Caches must be empty at this point.
func (f *Feed) Start(ctx context.Context) error {
	revision, err := f.source.Revision(ctx)
	if err != nil {
		return fmt.Errorf("start the change feed: %w", err)
	}
	f.revision.Store(revision)
	f.contact()
	return nil
}

// Wake makes Run poll now: the store has said that something changed. It does
// not block.
func (f *Feed) Wake() {
	select {
	case f.woken <- struct{}{}:
	default: // a poll is due already
	}
}

// Run polls until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	ticker := time.NewTicker(f.interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-f.woken:
		}
		err := f.Poll(ctx)
		switch {
		case err != nil && !errors.Is(err, context.Canceled) && !failing:
			failing = true
			f.log.Error("the change feed cannot reach the store; remembered credentials are served for the grace period",
				"error", err, "grace", f.grace.String())
		case err == nil && failing:
			failing = false
			f.log.Info("the change feed reached the store again")
		}
	}
}

// Poll asks the store once and delivers what is new.
func (f *Feed) Poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !f.Fresh(f.now()) {
		// Contact was lost for longer than the grace period. Whatever is
		// remembered may be older than any change that is still kept.
		return f.resync(ctx)
	}
	for {
		after := f.revision.Load()
		changes, complete, err := f.source.Changes(ctx, after, pollBatch)
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		if !complete {
			return f.resync(ctx)
		}
		f.deliver(changes)
		if len(changes) < pollBatch {
			f.contact()
			return nil
		}
	}
}

// resync drops everything remembered and goes on from the newest revision.
func (f *Feed) resync(ctx context.Context) error {
	revision, err := f.source.Revision(ctx)
	if err != nil {
		return fmt.Errorf("read the newest revision: %w", err)
	}
	f.mu.Lock()
	for _, subscriber := range f.subscribers {
		subscriber(keystile.Change{Revision: revision, Kind: keystile.ChangeAll})
	}
	f.advance(revision)
	f.mu.Unlock()
	f.contact()
	return nil
}

// Publish delivers changes made by this process. When it returns, every
// subscriber has dropped what they made stale. The poll will see them again,
// which costs a needless drop and no more: advancing the revision here could
// skip another process's change that committed just before.
func (f *Feed) Publish(changes []keystile.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, change := range changes {
		for _, subscriber := range f.subscribers {
			subscriber(change)
		}
	}
}

func (f *Feed) deliver(changes []keystile.Change) {
	if len(changes) == 0 {
		return
	}
	f.Publish(changes)
	f.mu.Lock()
	f.advance(changes[len(changes)-1].Revision)
	f.mu.Unlock()
}

func (f *Feed) advance(revision int64) {
	if revision > f.revision.Load() {
		f.revision.Store(revision)
	}
}

func (f *Feed) contact() {
	now := f.now()
	f.lastContact.Store(&now)
}

// Fresh says whether changes were heard of within the grace period. Times that
// carry a monotonic reading are compared by it: a step of the wall clock
// neither prolongs the grace nor cuts it short.
func (f *Feed) Fresh(now time.Time) bool {
	last := f.lastContact.Load()
	if last == nil {
		return false
	}
	since := now.Sub(*last)
	return since < f.grace && since > -f.grace
}

// Revision is the newest revision that was delivered from the store.
func (f *Feed) Revision() int64 { return f.revision.Load() }

// LastContact is when the store last answered; zero if it never did.
func (f *Feed) LastContact() time.Time {
	if last := f.lastContact.Load(); last != nil {
		return last.UTC()
	}
	return time.Time{}
}
