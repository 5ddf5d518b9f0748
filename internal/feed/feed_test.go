package feed_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a store of changes that can fail and forget.
type source struct {
	mu      sync.Mutex
	changes []keystile.Change
	purged  int64 // changes up to this revision are gone
	down    bool
}

var errDown = errors.New("store is down")

func (s *source) Revision(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return 0, errDown
	}
	return int64(len(s.changes)), nil
}

func (s *source) Changes(_ context.Context, after int64, limit int) ([]keystile.Change, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, false, errDown
	}
	if after < s.purged {
		return nil, false, nil
	}
	rest := s.changes[after:]
	if len(rest) > limit {
		rest = rest[:limit]
	}
	return append([]keystile.Change(nil), rest...), true, nil
}

func (s *source) add(kind keystile.ChangeKind, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, keystile.Change{Revision: int64(len(s.changes) + 1), Kind: kind, ID: id})
}

func (s *source) set(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

type fixture struct {
	*feed.Feed
	source *source
	now    time.Time
	heard  []keystile.Change
}

func start(t *testing.T) *fixture {
	t.Helper()
	x := &fixture{source: &source{}, now: time.Unix(1_700_000_000, 0)}
	x.source.add(keystile.ChangeKey, "before the start")
	x.Feed = feed.New(feed.Options{Source: x.source, Now: func() time.Time { return x.now }, Logger: slog.New(slog.DiscardHandler)})
	x.Subscribe(func(c keystile.Change) { x.heard = append(x.heard, c) })
	if x.Fresh(x.now) {
		t.Fatal("fresh before it heard anything")
	}
	if err := x.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *fixture) poll(t *testing.T) {
	t.Helper()
	if err := x.Poll(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (x *fixture) ids() (ids []string) {
	for _, c := range x.heard {
		if c.Kind == keystile.ChangeAll {
			ids = append(ids, "*")
		} else {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("heard %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func TestAChangeMadeElsewhereIsHeardAtTheNextPollOnce(t *testing.T) {
	x := start(t)
	x.source.add(keystile.ChangeKey, "k1")
	x.source.add(keystile.ChangeOrganization, "o1")
	x.poll(t)
	x.poll(t)
	expect(t, x.ids(), "k1", "o1")
	if x.Revision() != 3 {
		t.Errorf("revision %d", x.Revision())
	}
}

func TestAChangeMadeHereIsHeardBeforePublishReturns(t *testing.T) {
	x := start(t)
	x.Publish([]keystile.Change{{Kind: keystile.ChangeKey, ID: "k1"}})
	expect(t, x.ids(), "k1")
}

func TestPublishingNeverSkipsAnotherProcesssChange(t *testing.T) {
	x := start(t)
	x.source.add(keystile.ChangeKey, "theirs")
	x.source.add(keystile.ChangeKey, "ours")
	x.Publish([]keystile.Change{{Revision: 3, Kind: keystile.ChangeKey, ID: "ours"}})
	x.poll(t)
	expect(t, x.ids(), "ours", "theirs", "ours")
}

func TestMoreChangesThanOneBatchAreAllHeard(t *testing.T) {
	x := start(t)
	for range 2500 {
		x.source.add(keystile.ChangeKey, "k")
	}
	x.poll(t)
	if len(x.heard) != 2500 {
		t.Errorf("heard %d", len(x.heard))
	}
}

func TestAGapInTheChangesDropsEverything(t *testing.T) {
	x := start(t)
	x.source.add(keystile.ChangeKey, "k1")
	x.source.set(func() { x.source.purged = 2 })
	x.poll(t)
	expect(t, x.ids(), "*")
	if x.Revision() != 2 {
		t.Errorf("revision %d", x.Revision())
	}
}

func TestRememberedCredentialsAreServedForTheGraceAndNoLongerAndReconnectingDropsThem(t *testing.T) {
	x := start(t)
	x.source.set(func() { x.source.down = true })
	x.now = x.now.Add(feed.DefaultGrace - 1)
	if err := x.Poll(context.Background()); !errors.Is(err, errDown) {
		t.Fatalf("got %v", err)
	}
	if !x.Fresh(x.now) {
		t.Error("not served within the grace period")
	}
	x.now = x.now.Add(1)
	if x.Fresh(x.now) {
		t.Error("served after the grace period")
	}
	x.source.set(func() { x.source.down = false })
	x.poll(t)
	expect(t, x.ids(), "*")
	if !x.Fresh(x.now) {
		t.Error("not fresh after contact came back")
	}
}

func TestAStepOfTheWallClockNeitherProlongsTheGraceNorEndsIt(t *testing.T) {
	x := start(t)
	clock := time.Now()
	x.now = clock
	x.poll(t)
	stepped := clock.Add(time.Millisecond) // the monotonic reading moved by a millisecond
	if !x.Fresh(stepped) {
		t.Error("not fresh")
	}
	if x.Fresh(clock.Add(-time.Hour)) {
		t.Error("fresh an hour before contact")
	}
}

func TestRunPollsUntilItIsStopped(t *testing.T) {
	s := &source{}
	heard := make(chan keystile.Change, 1)
	f := feed.New(feed.Options{Source: s, Interval: time.Millisecond, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	f.Subscribe(func(c keystile.Change) { heard <- c })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	s.add(keystile.ChangeKey, "k1")
	if c := <-heard; c.ID != "k1" {
		t.Errorf("heard %+v", c)
	}
	cancel()
	<-done
}

func TestAWokenFeedPollsAtOnce(t *testing.T) {
	s := &source{}
	heard := make(chan keystile.Change, 1)
	f := feed.New(feed.Options{Source: s, Interval: time.Hour, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	f.Subscribe(func(c keystile.Change) { heard <- c })
	ctx, cancel := context.WithCancel(context.Background())
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	s.add(keystile.ChangeKey, "k1")
	f.Wake()
	if c := <-heard; c.ID != "k1" {
		t.Errorf("heard %+v", c)
	}
	cancel()
	<-done
}
