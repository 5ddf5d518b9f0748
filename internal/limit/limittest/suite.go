package limittest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
)

// Run holds a limiter to the contract of limit.Limiter. open makes a fresh one
// that shares no counter with any other test, clock what it counts by. The
// tests run in parallel, since some wait for a window to pass.
func Run[C Clock](t *testing.T, open func(t *testing.T) limit.Limiter, clock func(tb testing.TB) C) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*trial)
	}{
		{"never more than N in a window, and the state counts down truthfully", exactlyN},
		{"a refused request draws nothing", refusalIsFree},
		{"a window rolls: each request comes back one window after it was made", rolls},
		{"gcra allows a burst of N and then one each interval", paces},
		{"Reset with some remaining is when the whole quota is back", resetToFull},
		{"Return hands back one draw, and only one", returns},
		{"Return hands back the draw it names: what remains expires in its own time", returnsTheRightOne},
		{"Return of a draw never made changes nothing", returnsNothing},
		{"Peek draws nothing and agrees with Take", peeks},
		{"TestThreat20: no two keys share a counter", keysAreSeparate},
		{"two rates on one key are counted apart", ratesAreSeparate},
		{"64 racing goroutines get exactly N", race},
		{"64 racing goroutines that hand back what they drew leave the quota whole", raceReturns},
		{"a rate that cannot be counted exactly is refused with an error", badRates},
		{"the largest exact window is exact", largest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(&trial{T: t, limiter: open(t), clock: clock(t)})
		})
	}
}

// trial is one test with its limiter.
type trial struct {
	*testing.T
	limiter limit.Limiter
	clock   Clock
}

// key is a key of the suite's.
var key = limit.Key{Per: keystile.PerCredential, Route: "GET /telemetry/**", ID: "key_1"}

// hour is a window that never ends during a test.
func hour(n int, algorithm keystile.Algorithm) *keystile.Rate {
	return &keystile.Rate{Requests: n, Window: time.Hour, Algorithm: algorithm}
}

// take draws and fails the test on an error.
func (t *trial) take(k limit.Key, rate *keystile.Rate) (keystile.LimitState, bool) {
	t.Helper()
	state, ok, err := t.limiter.Take(t.Context(), k, rate, t.clock.Now())
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	return state, ok
}

// expect draws n times and wants the same answer each time.
func (t *trial) expect(n int, rate *keystile.Rate, want bool) {
	t.Helper()
	for i := range n {
		if state, ok := t.take(key, rate); ok != want {
			t.Fatalf("request %d of %d: allowed %v, want %v (%+v)", i+1, n, ok, want, state)
		}
	}
}

func exactlyN(t *trial) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		rate := hour(5, algorithm)
		for i := range 6 {
			state, ok := t.take(key, rate)
			if ok != (i < 5) || state.Remaining != max(0, 4-i) {
				t.Fatalf("%s: request %d: allowed %v, %+v", algorithm, i+1, ok, state)
			}
			if state.Rate != rate || state.Per != keystile.PerCredential {
				t.Fatalf("%s: the state does not say what it is the state of: %+v", algorithm, state)
			}
			if state.Reset <= 0 || state.Reset > time.Hour+time.Millisecond {
				t.Fatalf("%s: request %d: reset in %v", algorithm, i+1, state.Reset)
			}
		}
	}
}

func refusalIsFree(t *trial) {
	rate := &keystile.Rate{Requests: 3, Window: t.clock.Window()}
	t.expect(3, rate, true)
	t.expect(20, rate, false)
	t.clock.Advance(t, t.clock.Window()+time.Millisecond)
	t.expect(3, rate, true)
	t.expect(1, rate, false)
}

func rolls(t *trial) {
	window := t.clock.Window()
	rate := &keystile.Rate{Requests: 2, Window: window}
	t.expect(1, rate, true)
	t.clock.Advance(t, window/2)
	t.expect(1, rate, true)
	state, ok := t.take(key, rate)
	if ok || state.Reset > window/2+time.Millisecond {
		t.Fatalf("a third request: allowed %v, reset in %v, want at most %v", ok, state.Reset, window/2)
	}
	t.clock.Advance(t, state.Reset)
	t.expect(1, rate, true) // the first has left the window, the second has not
	state, ok = t.take(key, rate)
	if ok {
		t.Fatal("three requests within one window")
	}
	t.clock.Advance(t, state.Reset)
	t.expect(1, rate, true)
}

func paces(t *trial) {
	window := t.clock.Window()
	rate := &keystile.Rate{Requests: 3, Window: window, Algorithm: keystile.AlgorithmGCRA}
	t.expect(3, rate, true)
	for range 2 {
		state, ok := t.take(key, rate)
		if ok || state.Reset <= 0 || state.Reset > window/3+time.Millisecond {
			t.Fatalf("right after the burst: allowed %v, reset in %v", ok, state.Reset)
		}
		t.clock.Advance(t, state.Reset)
		t.expect(1, rate, true)
	}
	t.expect(1, rate, false)
}

func resetToFull(t *trial) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		rate := &keystile.Rate{Requests: 4, Window: t.clock.Window(), Algorithm: algorithm}
		t.expect(2, rate, true)
		state, ok, err := t.limiter.Peek(t.Context(), key, rate, t.clock.Now())
		if err != nil || !ok || state.Reset <= 0 || state.Reset > t.clock.Window()+time.Millisecond {
			t.Fatalf("%s: %+v %v %v", algorithm, state, ok, err)
		}
		t.clock.Advance(t, state.Reset)
		state, ok, err = t.limiter.Peek(t.Context(), key, rate, t.clock.Now())
		if err != nil || !ok || state.Remaining != 4 || state.Reset != 0 {
			t.Fatalf("%s after its reset: %+v %v %v", algorithm, state, ok, err)
		}
	}
}

func returns(t *trial) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		rate := hour(3, algorithm)
		t.expect(2, rate, true)
		now := t.clock.Now()
		if _, ok, err := t.limiter.Take(t.Context(), key, rate, now); !ok || err != nil {
			t.Fatalf("%s: the third request: %v %v", algorithm, ok, err)
		}
		t.expect(1, rate, false)
		t.limiter.Return(t.Context(), key, rate, now)
		t.expect(1, rate, true)
		t.expect(1, rate, false)
	}
}

func returnsTheRightOne(t *trial) {
	window := t.clock.Window()
	rate := &keystile.Rate{Requests: 2, Window: window}
	first := t.clock.Now()
	if _, ok, err := t.limiter.Take(t.Context(), key, rate, first); !ok || err != nil {
		t.Fatal(ok, err)
	}
	t.clock.Advance(t, window/2)
	t.expect(1, rate, true)
	t.limiter.Return(t.Context(), key, rate, first)
	t.expect(1, rate, true)
	state, ok := t.take(key, rate)
	if ok || state.Reset <= window/4 {
		t.Fatalf("both draws of now should be there: allowed %v, reset in %v", ok, state.Reset)
	}
}

func returnsNothing(t *trial) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		rate := hour(2, algorithm)
		now := t.clock.Now()
		t.limiter.Return(t.Context(), key, rate, now) // no counter at all
		t.expect(2, rate, true)
		t.limiter.Return(t.Context(), key, rate, t.clock.Now().Add(30*time.Minute))
		t.limiter.Return(t.Context(), key, rate, now.Add(-2*time.Hour))
		t.limiter.Return(t.Context(), limit.Key{Per: key.Per, ID: "other"}, rate, now)
		t.limiter.Return(t.Context(), key, nil, now)
		t.expect(1, rate, false)
	}
}

func peeks(t *trial) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		rate := hour(2, algorithm)
		for drawn := range 3 {
			for range 5 {
				state, ok, err := t.limiter.Peek(t.Context(), key, rate, t.clock.Now())
				if err != nil || ok != (drawn < 2) || state.Remaining != 2-drawn || state.Rate != rate || state.Per != key.Per {
					t.Fatalf("%s after %d draws: %+v %v %v", algorithm, drawn, state, ok, err)
				}
			}
			t.expect(1, rate, drawn < 2)
		}
	}
}

func keysAreSeparate(t *trial) {
	rate := hour(1, keystile.AlgorithmWindow)
	keys := []limit.Key{
		{},
		{ID: "a"},
		{Route: "a"},
		{Per: "a"},
		{Route: "a", ID: "b"},
		{Route: "ab"},
		{ID: "ab"},
		{Route: "b", ID: "a"},
		{Per: "a", Route: "b", ID: "c"},
		{Per: "ab", ID: "c"},
		{Per: "a", ID: "bc"},
		{Route: "1:a", ID: "b"},
		{Route: "1", ID: "a:b"},
		{Route: "1:a:1:b"},
		{ID: "1:a:1:b"},
		{Route: "a:", ID: "b"},
		{Route: "a", ID: ":b"},
		{Route: "a\x00", ID: "b"},
		{Route: "a", ID: "\x00b"},
		{Per: keystile.PerCredential, ID: "x"},
		{Per: keystile.PerAddress, ID: "x"},
		{Per: keystile.PerOrganization, ID: "x"},
		{ID: "A"},
		{ID: "a "},
		{ID: "{a}"},
		{ID: "*"},
		{ID: "ä"},
	}
	for _, k := range keys {
		if _, ok := t.take(k, rate); !ok {
			t.Fatalf("%+v shares a counter with an earlier key", k)
		}
	}
	for _, k := range keys {
		if _, ok := t.take(k, rate); ok {
			t.Fatalf("%+v was counted nowhere", k)
		}
	}
}

func ratesAreSeparate(t *trial) {
	for _, rate := range []*keystile.Rate{
		{Requests: 1, Window: time.Hour},
		{Requests: 2, Window: time.Hour},
		{Requests: 1, Window: 2 * time.Hour},
		{Requests: 1, Window: time.Hour, Algorithm: keystile.AlgorithmGCRA},
	} {
		t.expect(rate.Requests, rate, true)
		t.expect(1, rate, false)
	}
	// The same rate in another place is the same rate, and window is the default.
	t.expect(1, &keystile.Rate{Requests: 1, Window: time.Hour, Algorithm: keystile.AlgorithmWindow}, false)
}

const racers = 64

// together runs n functions as nearly at once as can be.
func together(n int, run func()) {
	var start, done sync.WaitGroup
	start.Add(1)
	for range n {
		done.Go(func() {
			start.Wait()
			run()
		})
	}
	start.Done()
	done.Wait()
}

func race(t *trial) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		// gcra gives one back each interval, so its interval is an hour.
		rate := &keystile.Rate{Requests: 20, Window: 20 * time.Hour, Algorithm: algorithm}
		var granted atomic.Int64
		together(racers, func() {
			for range 5 {
				_, ok, err := t.limiter.Take(t.Context(), key, rate, t.clock.Now())
				if err != nil {
					t.Errorf("Take: %v", err)
				}
				if ok {
					granted.Add(1)
				}
			}
		})
		if n := granted.Load(); n != 20 {
			t.Errorf("%s: %d were granted, want exactly 20", algorithm, n)
		}
	}
}

func raceReturns(t *trial) {
	rate := hour(racers, keystile.AlgorithmWindow)
	together(racers, func() {
		now := t.clock.Now()
		if _, ok, err := t.limiter.Take(t.Context(), key, rate, now); !ok || err != nil {
			t.Errorf("Take: %v %v", ok, err)
		}
		t.limiter.Return(t.Context(), key, rate, now)
	})
	t.expect(racers, rate, true)
	t.expect(1, rate, false)
}

func badRates(t *trial) {
	for _, rate := range []*keystile.Rate{
		nil,
		{},
		{Requests: 1},
		{Window: time.Minute},
		{Requests: -1, Window: time.Minute},
		{Requests: 1, Window: -time.Minute},
		{Requests: 1, Window: 25 * time.Hour},
		{Requests: 1, Window: time.Microsecond},
		{Requests: keystile.MaxWindowRequests + 1, Window: time.Minute},
		{Requests: 1_000_000_001, Window: time.Minute, Algorithm: keystile.AlgorithmGCRA},
		{Requests: 1, Window: time.Minute, Algorithm: "fixed"},
	} {
		if _, ok, err := t.limiter.Take(t.Context(), key, rate, t.clock.Now()); ok || err == nil {
			t.Errorf("Take with %v: %v %v", rate, ok, err)
		}
		if _, ok, err := t.limiter.Peek(t.Context(), key, rate, t.clock.Now()); ok || err == nil {
			t.Errorf("Peek with %v: %v %v", rate, ok, err)
		}
	}
}

func largest(t *trial) {
	rate := hour(keystile.MaxWindowRequests, keystile.AlgorithmWindow)
	t.expect(keystile.MaxWindowRequests, rate, true)
	t.expect(1, rate, false)
}
