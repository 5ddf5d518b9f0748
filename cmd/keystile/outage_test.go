package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/feed"
	"keystile.dev/keystile/internal/gate"
	"keystile.dev/keystile/internal/limit"
)

// clock is a time that the test tells.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// severed is a store that can be away.
type severed struct {
	*house
	away bool
}

var errAway = errors.Join(errors.New("no route to the store"), keystile.ErrUnavailable)

func (s *severed) Revision(ctx context.Context) (int64, error) {
	if s.away {
		return 0, errAway
	}
	return s.store.Revision(ctx)
}

func (s *severed) Changes(ctx context.Context, after int64, most int) ([]keystile.Change, bool, error) {
	if s.away {
		return nil, false, errAway
	}
	return s.store.Changes(ctx, after, most)
}

func (s *severed) find(ctx context.Context, digests [][32]byte) (apikey.Record, error) {
	if s.away {
		return apikey.Record{}, errAway
	}
	return findAPIKeys(s.store)(ctx, digests)
}

// outage is the gate, the feed and the keys as serve puts them together, on a
// clock that the test tells and a store that it can take away.
type outage struct {
	t     *testing.T
	clock *clock
	store *severed
	feed  *feed.Feed
	gate  *gate.Gate
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	r := &running{t: t, log: &lockedBuffer{}, upstream: newWitness(t)}
	r.house(simpleRoutes, simpleWorld)
	o := &outage{t: t, clock: &clock{now: time.Now()}, store: &severed{house: r.beside()}}
	o.feed = feed.New(feed.Options{Source: o.store, Now: o.clock.Now, Logger: slog.New(slog.DiscardHandler)})
	kind := must(apikey.New(apikey.Options{Find: o.store.find, Digester: o.store.digester, Fresh: o.feed.Fresh, Now: o.clock.Now}))(t)
	t.Cleanup(kind.Close)
	o.feed.Subscribe(kind.Apply)
	cfg := must((&configFlags{file: r.dir + "/keystile.yaml"}).read(&app{environment{getenv: func(string) string { return "" }}}, newRoot(environment{})))(t)
	table := must(compileRoutes(cfg, false, slog.New(slog.DiscardHandler)))(t)
	o.gate = must(gate.New(table, gate.Options{Kinds: []keystile.Kind{kind}, Limiter: limit.NewMemory(limit.MemoryOptions{}), Now: o.clock.Now}))(t)
	check(t, o.feed.Start(t.Context()))
	return o
}

// decides asks with a key and wants a reason.
func (o *outage) decides(key string, reason keystile.Reason) {
	o.t.Helper()
	d := o.gate.Check(o.t.Context(), &keystile.Request{
		ID: "r", Point: keystile.PointGateway, Method: "GET", Scheme: "http", Host: "127.0.0.1:8080", Path: "/things/a",
		Header: keystile.Header{"X-Api-Key": {key}}, ClientAddr: netip.MustParseAddr("192.0.2.1"),
	})
	if d.Reason != reason {
		o.t.Errorf("%s: %q (%s), want %q", key, d.Reason, d.Cause, reason)
	}
}

func TestThreat04_WarmKeysAreServedForTheGraceOfAnOutageAndNoLonger(t *testing.T) {
	o := newOutage(t)
	o.decides(goodKey, keystile.ReasonNone)
	o.store.away = true
	for range 29 {
		o.clock.step(time.Second)
		if err := o.feed.Poll(t.Context()); err == nil {
			t.Fatal("the feed heard from a store that is away")
		}
		o.decides(goodKey, keystile.ReasonNone)
		o.decides("unknown-0123456789abcdef-key", keystile.ReasonStoreUnavailable)
	}
	// Thirty seconds without a word: nothing that is remembered counts any more.
	o.clock.step(time.Second)
	o.decides(goodKey, keystile.ReasonStoreUnavailable)
	if status := keystile.ReasonStoreUnavailable.Status(); status != 503 {
		t.Errorf("which is answered with %d", status)
	}
	// Back again, everything is read anew: a revocation meanwhile counts.
	must(o.store.service.RevokeKey(t.Context(), actorOfTest, "key_good"))(t)
	o.store.away = false
	check(t, o.feed.Poll(t.Context()))
	o.decides(goodKey, keystile.ReasonCredentialRevoked)
}

func TestAClockThatStepsBackwardsRevivesNothing(t *testing.T) {
	o := newOutage(t)
	o.decides(goodKey, keystile.ReasonNone)
	// Not for long: what is remembered is worth nothing to a clock that is an hour off.
	o.clock.step(-time.Hour)
	o.decides(goodKey, keystile.ReasonStoreUnavailable)
	check(t, o.feed.Poll(t.Context()))
	o.decides(goodKey, keystile.ReasonNone)
	must(o.store.service.RevokeKey(t.Context(), actorOfTest, "key_good"))(t)
	check(t, o.feed.Poll(t.Context()))
	o.decides(goodKey, keystile.ReasonCredentialRevoked)
	o.clock.step(-24 * time.Hour)
	check(t, o.feed.Poll(t.Context()))
	o.decides(goodKey, keystile.ReasonCredentialRevoked)
}
