package warm_test

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore answers look-ups from a map and can be made to wait or fail.
type fakeStore struct {
	mu      sync.Mutex
	keys    map[warm.Digest]string // digest -> credential id
	reads   atomic.Int64
	queries atomic.Int64
	largest atomic.Int64
	fail    atomic.Bool
	gate    chan struct{} // if not nil, every query waits for a value after reading
	entered chan struct{}
}

func (s *fakeStore) lookup(_ context.Context, digests []warm.Digest) ([]warm.Result, error) {
	s.queries.Add(1)
	s.reads.Add(int64(len(digests)))
	if n := int64(len(digests)); n > s.largest.Load() {
		s.largest.Store(n)
	}
	if s.fail.Load() {
		return nil, keystile.ErrUnavailable
	}
	s.mu.Lock()
	results := make([]warm.Result, len(digests))
	for i, digest := range digests {
		if id, ok := s.keys[digest]; ok {
			results[i].Entry = &warm.Entry{Principal: &keystile.Principal{CredentialID: id, OrganizationID: "org"}}
		} else {
			results[i].Rejection = keystile.Reject(keystile.ReasonCredentialUnknown, "no such key")
		}
	}
	s.mu.Unlock()
	if s.gate != nil {
		s.entered <- struct{}{}
		<-s.gate
	}
	return results, nil
}

func (s *fakeStore) set(digest warm.Digest, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[digest] = id
}

func (s *fakeStore) remove(digest warm.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, digest)
}

func digest(n int) (d warm.Digest) {
	copy(d[:], "digest "+strconv.Itoa(n))
	return d
}

var source = netip.MustParseAddr("192.0.2.1")

func newCache(t *testing.T, s *fakeStore, change func(*warm.Options)) *warm.Cache {
	t.Helper()
	o := warm.Options{Lookup: s.lookup, Credential: keystile.ChangeKey, Fresh: func(time.Time) bool { return true }, Now: time.Now}
	if change != nil {
		change(&o)
	}
	c, err := warm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mustLoad(t *testing.T, c *warm.Cache, d warm.Digest) *warm.Entry {
	t.Helper()
	e, err := c.Load(context.Background(), d, source)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAWarmCredentialReadsTheStoreOnce(t *testing.T) {
	s := &fakeStore{keys: map[warm.Digest]string{digest(1): "key1"}}
	c := newCache(t, s, nil)
	for range 10 {
		if e := mustLoad(t, c, digest(1)); e.Principal.CredentialID != "key1" {
			t.Fatalf("got %v", e.Principal)
		}
	}
	if n := s.reads.Load(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

func TestThreat27_ARequestBegunAfterARevocationIsRefused(t *testing.T) {
	for name, change := range map[string]keystile.Change{
		"the key":          {Kind: keystile.ChangeKey, ID: "key1"},
		"its organisation": {Kind: keystile.ChangeOrganization, ID: "org"},
		"everything":       {Kind: keystile.ChangeAll},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeStore{keys: map[warm.Digest]string{digest(1): "key1"}}
			c := newCache(t, s, nil)
			mustLoad(t, c, digest(1))
			s.remove(digest(1))
			c.Apply(change)
			if _, err := c.Load(context.Background(), digest(1), source); !errors.Is(err, keystile.ErrRejected) {
				t.Errorf("got %v, want a rejection", err)
			}
		})
	}
}

func TestAFillThatReadBeforeAChangeIsThrownAway(t *testing.T) {
	s := &fakeStore{keys: map[warm.Digest]string{digest(1): "key1"}, gate: make(chan struct{}), entered: make(chan struct{})}
	c := newCache(t, s, nil)
	first := make(chan error, 1)
	go func() {
		_, err := c.Load(context.Background(), digest(1), source)
		first <- err
	}()
	<-s.entered // the store was read: the key was still good
	s.remove(digest(1))
	c.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: "key1"})
	// This request begins after the revocation, while the old read is under way:
	// it must not share that read.
	second := make(chan error, 1)
	go func() {
		_, err := c.Load(context.Background(), digest(1), source)
		second <- err
	}()
	<-s.entered
	s.gate <- struct{}{}
	s.gate <- struct{}{}
	if err := <-second; !errors.Is(err, keystile.ErrRejected) {
		t.Errorf("a request begun after the revocation got %v", err)
	}
	if err := <-first; err != nil {
		t.Logf("the request begun before the revocation: %v", err)
	}
	if _, ok := c.Get(digest(1), time.Now()); ok {
		t.Error("the old read was remembered")
	}
}

func TestARefusalIsForgottenWhenAKeyIsMade(t *testing.T) {
	s := &fakeStore{keys: map[warm.Digest]string{}}
	c := newCache(t, s, nil)
	for range 5 {
		if _, err := c.Load(context.Background(), digest(1), source); !errors.Is(err, keystile.ErrRejected) {
			t.Fatalf("got %v", err)
		}
	}
	if n := s.reads.Load(); n != 1 {
		t.Errorf("%d reads for one unknown key, want 1", n)
	}
	s.set(digest(1), "key1")
	c.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: "key1"})
	mustLoad(t, c, digest(1))
}

func TestARefusalIsForgottenAfterASecond(t *testing.T) {
	now := time.Now()
	s := &fakeStore{keys: map[warm.Digest]string{}}
	c := newCache(t, s, func(o *warm.Options) { o.Now = func() time.Time { return now } })
	if _, err := c.Load(context.Background(), digest(1), source); !errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v", err)
	}
	s.set(digest(1), "key1")
	now = now.Add(time.Second)
	mustLoad(t, c, digest(1))
}

func TestAClockThatStepsBackwardsDoesNotProlongARefusal(t *testing.T) {
	now := time.Now()
	s := &fakeStore{keys: map[warm.Digest]string{}}
	c := newCache(t, s, func(o *warm.Options) { o.Now = func() time.Time { return now } })
	if _, err := c.Load(context.Background(), digest(1), source); !errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v", err)
	}
	s.set(digest(1), "key1")
	now = now.Add(-time.Hour)
	mustLoad(t, c, digest(1))
}

func TestAnErrorOfTheStoreIsNoAnswerAndIsNotRemembered(t *testing.T) {
	s := &fakeStore{keys: map[warm.Digest]string{digest(1): "key1"}}
	s.fail.Store(true)
	c := newCache(t, s, nil)
	if _, err := c.Load(context.Background(), digest(1), source); err == nil || errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v, want an error that is no rejection", err)
	}
	s.fail.Store(false)
	mustLoad(t, c, digest(1))
}

func TestNothingIsServedOnceTheFeedIsLost(t *testing.T) {
	fresh := atomic.Bool{}
	fresh.Store(true)
	s := &fakeStore{keys: map[warm.Digest]string{digest(1): "key1"}}
	c := newCache(t, s, func(o *warm.Options) { o.Fresh = func(time.Time) bool { return fresh.Load() } })
	mustLoad(t, c, digest(1))
	fresh.Store(false)
	if _, err := c.Load(context.Background(), digest(1), source); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestAFloodOfUnknownKeysIsBatchedAndAGoodKeyIsAnsweredDuringIt(t *testing.T) {
	s := &fakeStore{keys: map[warm.Digest]string{digest(-1): "good"}, gate: make(chan struct{}), entered: make(chan struct{}, 1000)}
	c := newCache(t, s, func(o *warm.Options) { o.Workers = 1; o.BatchSize = 16; o.MaxRejections = 64 })
	var flood sync.WaitGroup
	for i := range 500 {
		flood.Add(1)
		go func() {
			defer flood.Done()
			if _, err := c.Load(context.Background(), digest(i), source); !errors.Is(err, keystile.ErrRejected) {
				t.Errorf("unknown key %d: %v", i, err)
			}
		}()
	}
	<-s.entered // the first batch is at the store, the rest waits or will
	good := make(chan error, 1)
	go func() {
		_, err := c.Load(context.Background(), digest(-1), netip.MustParseAddr("198.51.100.7"))
		good <- err
	}()
	finished := make(chan struct{})
	go func() {
		for {
			select {
			case s.gate <- struct{}{}:
			case <-finished:
				return
			}
		}
	}()
	if err := <-good; err != nil {
		t.Errorf("the good key was refused: %v", err)
	}
	flood.Wait()
	close(finished)
	if n := s.largest.Load(); n > 16 {
		t.Errorf("a batch asked for %d digests", n)
	}
	if reads, queries := s.reads.Load(), s.queries.Load(); queries > reads {
		t.Errorf("%d queries for %d digests", queries, reads)
	}
}

func TestChangesRacingWithFillsNeverLeaveAStaleEntry(t *testing.T) {
	const keys = 8
	s := &fakeStore{keys: map[warm.Digest]string{}}
	c := newCache(t, s, func(o *warm.Options) { o.MaxEntries = 4 })
	var wg sync.WaitGroup
	stop := make(chan struct{})
	defer wg.Wait()
	defer close(stop)
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					_, err := c.Load(context.Background(), digest(i%keys), source)
					if err != nil && !errors.Is(err, keystile.ErrRejected) {
						t.Error(err)
						return
					}
				}
			}
		}()
	}
	for round := range 1000 {
		n := round % keys
		id := "key" + strconv.Itoa(n)
		s.set(digest(n), id)
		c.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: id})
		if _, err := c.Load(context.Background(), digest(n), source); err != nil {
			t.Fatalf("round %d: a live key was refused: %v", round, err)
		}
		s.remove(digest(n))
		c.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: id})
		if _, err := c.Load(context.Background(), digest(n), source); err == nil {
			t.Fatalf("round %d: a dead key was accepted", round)
		}
	}
}

func TestAPanicInTheStoreIsARefusal(t *testing.T) {
	c, err := warm.New(warm.Options{
		Lookup:     func(context.Context, []warm.Digest) ([]warm.Result, error) { panic("boom") },
		Credential: keystile.ChangeKey, Fresh: func(time.Time) bool { return true }, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Load(context.Background(), digest(1), source); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
