package limit_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/limit/limittest"
)

func TestMain(m *testing.M) {
	// The client waits out a second between two looks at who is in a cluster,
	// also when it has been closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*call).DelayDo.func1"))
}

func newMemory() *limit.Memory { return limit.NewMemory(limit.MemoryOptions{}) }

func TestMemory(t *testing.T) {
	limittest.Run(t, func(*testing.T) limit.Limiter { return newMemory() }, limittest.NewVirtual)
}

var (
	someKey = limit.Key{Per: keystile.PerCredential, ID: "key_1"}
	noon    = time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)
)

func take(tb testing.TB, l limit.Limiter, k limit.Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool) {
	tb.Helper()
	state, ok, err := l.Take(tb.Context(), k, rate, now)
	if err != nil {
		tb.Fatalf("Take: %v", err)
	}
	return state, ok
}

func TestAWarmTakeAllocatesNothing(t *testing.T) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		m, rate, now := newMemory(), mustRate(t, "60/1m", algorithm), noon
		for range 60 {
			take(t, m, someKey, rate, now)
		}
		got := testing.AllocsPerRun(1000, func() {
			now = now.Add(time.Second)
			take(t, m, someKey, rate, now)
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", algorithm, got)
		}
	}
}

// measure fills a Memory until what it takes is as wanted. The heap is everybody's:
// what another test leaves behind may be freed between two looks at it, so one
// look may mislead, but five will not.
func measure(t *testing.T, rate *keystile.Rate, keys int64, wanted func(heap, account int64) bool) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		heap, stats := fill(t, rate, int(keys))
		if wanted(heap/keys, stats.Bytes/keys) {
			return
		}
		if attempt == 5 {
			t.Errorf("%s %s: %d bytes of heap a key, %d accounted for", rate, rate.Algorithm, heap/keys, stats.Bytes/keys)
			return
		}
	}
}

func TestAKeyAtTenThousandRequestsTakesAtMost40KiB(t *testing.T) {
	measure(t, mustRate(t, "10000/1m", keystile.AlgorithmWindow), 200, func(heap, account int64) bool {
		return heap <= 40<<10 && account <= 40<<10
	})
}

func TestTheAccountIsCloseToTheHeap(t *testing.T) {
	for text, keys := range map[string]int64{"1/1m": 5000, "60/1m": 5000, "1000/1m": 1000} {
		for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
			rate := mustRate(t, text, algorithm)
			measure(t, rate, keys, func(heap, account int64) bool {
				return heap*10 <= account*12 && heap*10 >= account*6
			})
		}
	}
}

func TestAClockStepBackwardsNeverAllowsMore(t *testing.T) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		m, rate := newMemory(), mustRate(t, "3/1m", algorithm)
		for range 3 {
			take(t, m, someKey, rate, noon)
		}
		for _, back := range []time.Duration{time.Second, time.Minute, 90 * time.Second, time.Hour, 30 * 24 * time.Hour} {
			state, ok := take(t, m, someKey, rate, noon.Add(-back))
			if ok {
				t.Errorf("%s: stepping the clock back by %v gave another request", algorithm, back)
			}
			if state.Reset <= back {
				t.Errorf("%s: %v back: reset in %v is before the time the clock had reached", algorithm, back, state.Reset)
			}
		}
		if _, ok := take(t, m, someKey, rate, noon.Add(time.Minute)); !ok {
			t.Errorf("%s: a window after the last request the quota should be back", algorithm)
		}
	}
}

func TestAClockStepBackwardsAfterForgettingAKeyNeverAllowsMore(t *testing.T) {
	m, rate := newMemory(), mustRate(t, "1/1m", keystile.AlgorithmWindow)
	take(t, m, someKey, rate, noon)
	if n := m.Sweep(noon.Add(10 * time.Minute)); n != 1 {
		t.Fatalf("swept %d", n)
	}
	// The key is forgotten, so it may draw; but the time stays where it was, and
	// so does that draw.
	take(t, m, someKey, rate, noon.Add(time.Second))
	if _, ok := take(t, m, someKey, rate, noon.Add(9*time.Minute)); ok {
		t.Error("a draw made after the step back was recorded in the past")
	}
}

func TestSettingTheWallClockChangesNothingWhileTheCallerPassesMonotonicTime(t *testing.T) {
	// time.Now carries a monotonic reading; adding to it moves both readings,
	// stripping it leaves the wall clock, which is all a stepped clock would show.
	m, rate := newMemory(), mustRate(t, "2/1m", keystile.AlgorithmWindow)
	start := time.Now()
	take(t, m, someKey, rate, start)
	take(t, m, someKey, rate, start.Add(30*time.Second))
	if _, ok := take(t, m, someKey, rate, start.Add(59*time.Second)); ok {
		t.Error("three within a minute")
	}
	if _, ok := take(t, m, someKey, rate, start.Add(60*time.Second)); !ok {
		t.Error("the first request should have left the window")
	}
}

func TestAWindowAtTheEdgesOfTheScaleIsExact(t *testing.T) {
	for _, text := range []string{"2/1ms", "2/1s", "2/1500ms", "2/1m", "2/24h", "10000/24h"} {
		rate := mustRate(t, text, keystile.AlgorithmWindow)
		m, unit := newMemory(), 100*time.Microsecond
		for range rate.Requests - 1 {
			take(t, m, someKey, rate, noon)
		}
		if _, ok := take(t, m, someKey, rate, noon.Add(rate.Window-unit)); !ok {
			t.Errorf("%s: the last request of the quota was refused", text)
		}
		if state, ok := take(t, m, someKey, rate, noon.Add(rate.Window-unit)); ok || state.Reset != unit {
			t.Errorf("%s: just before the window ends: allowed %v, reset in %v", text, ok, state.Reset)
		}
		if _, ok := take(t, m, someKey, rate, noon.Add(rate.Window)); !ok {
			t.Errorf("%s: one window later a request should fit", text)
		}
		// Long idle, beyond what 32 bits of ticks can tell apart.
		for _, idle := range []time.Duration{2 * rate.Window, 5 * rate.Window, 1000 * rate.Window} {
			for range rate.Requests {
				take(t, m, someKey, rate, noon.Add(rate.Window+idle))
			}
			if _, ok := take(t, m, someKey, rate, noon.Add(rate.Window+idle)); ok {
				t.Errorf("%s: more than the quota after %v", text, idle)
			}
		}
	}
}

// admitted is the naive model: every draw granted and not handed back.
type admitted struct {
	rate  *keystile.Rate
	times []time.Time
}

// live counts the draws in the window that ends at now.
func (a *admitted) live(now time.Time) int {
	n := 0
	for _, at := range a.times {
		if now.Sub(at) < a.rate.Window {
			n++
		}
	}
	return n
}

func TestMemoryAgreesWithANaiveWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := &keystile.Rate{
			Requests: rapid.SampledFrom([]int{1, 2, 3, 10, 60}).Draw(t, "requests"),
			Window:   time.Duration(rapid.SampledFrom([]int64{1, 7, 1000, 60_000, 86_400_000}).Draw(t, "window ms")) * time.Millisecond,
		}
		m, model, now := newMemory(), &admitted{rate: rate}, noon
		var latest time.Time
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			step := time.Duration(rapid.Int64Range(0, int64(3*rate.Window)/int64(rate.Requests)/int64(100*time.Microsecond)).Draw(t, "step"))
			now = now.Add(step * 100 * time.Microsecond)
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				back := rapid.Int64Range(0, int64(2*rate.Window/(100*time.Microsecond))).Draw(t, "back")
				now = now.Add(-time.Duration(back) * 100 * time.Microsecond)
			case 1:
				if n := len(model.times); n > 0 {
					i := n - 1 - rapid.IntRange(0, min(n-1, 3)).Draw(t, "which")
					m.Return(t.Context(), someKey, rate, model.times[i])
					model.times = append(model.times[:i], model.times[i+1:]...)
					continue
				}
			case 2:
				m.Sweep(now)
				if now.After(latest) {
					latest = now
				}
			}
			if now.After(latest) {
				latest = now
			}
			want := model.live(latest) < rate.Requests
			peek, fits, err := m.Peek(t.Context(), someKey, rate, now)
			if err != nil || fits != want || peek.Remaining != rate.Requests-model.live(latest) {
				t.Fatalf("Peek %+v %v %v; the model has %d", peek, fits, err, model.live(latest))
			}
			state, ok, err := m.Take(t.Context(), someKey, rate, now)
			if err != nil || ok != want {
				t.Fatalf("Take %+v %v %v; the model has %d", state, ok, err, model.live(latest))
			}
			if ok {
				// A draw is named by the time it is recorded at, so that the
				// model knows which one is handed back.
				model.times = append(model.times, latest)
			}
		}
	})
}

func TestNoRollingWindowEverHoldsMoreThanN(t *testing.T) {
	// At any resolution, not only at whole ticks: times are arbitrary nanoseconds.
	rapid.Check(t, func(t *rapid.T) {
		rate := &keystile.Rate{
			Requests: rapid.IntRange(1, 20).Draw(t, "requests"),
			Window:   time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(24*time.Hour)).Draw(t, "window")),
		}
		m, now := newMemory(), noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start")))
		var granted []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(rate.Window)/5).Draw(t, "step")))
			state, ok, err := m.Take(t.Context(), someKey, rate, now)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if rapid.Bool().Draw(t, "wait for reset") {
					now = now.Add(state.Reset)
					if _, ok, err = m.Take(t.Context(), someKey, rate, now); !ok || err != nil {
						t.Fatalf("nothing fits at the time Reset named: %v %v", ok, err)
					}
					granted = append(granted, now)
				}
				continue
			}
			granted = append(granted, now)
		}
		for i := rate.Requests; i < len(granted); i++ {
			if within := granted[i].Sub(granted[i-rate.Requests]); within < rate.Window {
				t.Fatalf("%d requests within %v, the window is %v", rate.Requests+1, within, rate.Window)
			}
		}
	})
}

func TestMemoryAgreesWithANaiveBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := &keystile.Rate{
			Requests:  rapid.SampledFrom([]int{1, 2, 7, 60, 100_000}).Draw(t, "requests"),
			Window:    time.Duration(rapid.Int64Range(1, 60_000).Draw(t, "window ms")) * time.Millisecond,
			Algorithm: keystile.AlgorithmGCRA,
		}
		each := (rate.Window + time.Duration(rate.Requests) - 1) / time.Duration(rate.Requests)
		m, now := newMemory(), noon
		var draws []time.Time
		// level replays all draws, which is what having been handed back must equal.
		level := func(at time.Time) (level time.Duration) {
			last := noon
			for _, d := range draws {
				level = max(0, level-d.Sub(last)) + each
				last = d
			}
			return max(0, level-at.Sub(last))
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(3*each)).Draw(t, "step")))
			if n := len(draws); n > 0 && rapid.IntRange(0, 4).Draw(t, "return") == 0 {
				i := n - 1 - rapid.IntRange(0, min(n-1, 5)).Draw(t, "which")
				before, _, err := m.Peek(t.Context(), someKey, rate, now)
				if err != nil {
					t.Fatal(err)
				}
				m.Return(t.Context(), someKey, rate, draws[i])
				after, _, err := m.Peek(t.Context(), someKey, rate, now)
				if err != nil {
					t.Fatal(err)
				}
				if before == after && level(now) > 0 {
					continue // stayed spent, which is always allowed
				}
				draws = append(draws[:i], draws[i+1:]...)
			}
			want := level(now)+each <= each*time.Duration(rate.Requests)
			if state, ok, err := m.Take(t.Context(), someKey, rate, now); err != nil || ok != want {
				t.Fatalf("Take %+v %v %v; the model holds %v of %v", state, ok, err, level(now), rate.Window)
			} else if ok {
				draws = append(draws, now)
			}
		}
	})
}

func TestMemoryIsBoundedAndRefusesRatherThanForgets(t *testing.T) {
	const bound = 200_000
	rate := mustRate(t, "2/1m", keystile.AlgorithmWindow)
	m := limit.NewMemory(limit.MemoryOptions{MaxBytes: bound})
	known := 0
	var full error
	for i := range 3000 {
		_, ok, err := m.Take(t.Context(), limit.Key{ID: strconv.Itoa(i)}, rate, noon)
		if err != nil {
			if ok || !errors.Is(err, limit.ErrFull) || !errors.Is(err, keystile.ErrUnavailable) {
				t.Fatalf("at the bound: %v %v", ok, err)
			}
			full = err
			continue
		}
		known++
	}
	if full == nil || known == 0 {
		t.Fatalf("%d keys fitted, refusal %v", known, full)
	}
	stats := m.Stats()
	if stats.Bytes > bound || stats.Keys != int64(known) || stats.Refused == 0 || stats.MaxBytes != bound {
		t.Fatalf("%+v with %d keys known", stats, known)
	}
	// Nobody was forgotten to make room: each has one request left, no more.
	for i := range 3000 {
		k := limit.Key{ID: strconv.Itoa(i)}
		state, ok, err := m.Peek(t.Context(), k, rate, noon)
		if err != nil || !ok {
			t.Fatal(state, ok, err)
		}
		if i < known && state.Remaining != 1 {
			t.Fatalf("key %d of %d was forgotten", i, known)
		}
	}
	// When the windows have passed there is room again, without anybody sweeping.
	later := noon.Add(2 * time.Minute)
	for i := range known * 9 / 10 { // their ids are longer
		if _, ok, err := m.Take(t.Context(), limit.Key{ID: "new" + strconv.Itoa(i)}, rate, later); !ok || err != nil {
			t.Fatalf("new key %d of %d after the windows passed: %v %v", i, known, ok, err)
		}
	}
	if b := m.Stats().Bytes; b > bound {
		t.Fatalf("%d bytes", b)
	}
}

func TestAKeyWhoseLogCannotGrowIsRefused(t *testing.T) {
	m := limit.NewMemory(limit.MemoryOptions{MaxBytes: 1000})
	rate := mustRate(t, "10000/1m", keystile.AlgorithmWindow)
	granted := 0
	for range 1000 {
		_, ok, err := m.Take(t.Context(), someKey, rate, noon)
		if err != nil {
			if !errors.Is(err, limit.ErrFull) {
				t.Fatal(err)
			}
			break
		}
		if !ok {
			t.Fatal("refused for another reason than memory")
		}
		granted++
	}
	if granted == 0 || granted == 1000 || m.Stats().Bytes > 1000 {
		t.Fatalf("%d granted in %+v", granted, m.Stats())
	}
	if _, ok, err := m.Take(t.Context(), someKey, rate, noon.Add(time.Minute)); !ok || err != nil {
		t.Fatalf("after the window: %v %v", ok, err)
	}
}

func TestNewKeysSweepExpiredOnesAsTheyCome(t *testing.T) {
	m, rate, other := newMemory(), mustRate(t, "60/1s", keystile.AlgorithmWindow), mustRate(t, "60/2s", keystile.AlgorithmGCRA)
	now := noon
	for i := range 60_000 {
		now = now.Add(time.Millisecond)
		r := rate
		if i%2 == 0 {
			r = other
		}
		take(t, m, limit.Key{ID: strconv.Itoa(i)}, r, now)
	}
	// 500 new keys a second and rate, kept for 2.25 and 3.5 seconds, plus what a
	// shard has not come to yet.
	if keys := m.Stats().Keys; keys > 6000 {
		t.Errorf("%d keys are remembered", keys)
	}
	if n := m.Sweep(now.Add(time.Minute)); n == 0 {
		t.Error("nothing was left to sweep")
	}
	if s := m.Stats(); s.Keys != 0 || s.Bytes != 0 {
		t.Errorf("after sweeping: %+v", s)
	}
}

func TestSweepKeepsWhatIsInUse(t *testing.T) {
	m, rate := newMemory(), mustRate(t, "2/1m", keystile.AlgorithmWindow)
	take(t, m, limit.Key{ID: "idle"}, rate, noon)
	now := noon
	for range 100 {
		now = now.Add(10 * time.Second)
		take(t, m, someKey, rate, now)
	}
	if n := m.Sweep(now); n != 1 {
		t.Errorf("swept %d counters, want the idle one", n)
	}
	if state, _, err := m.Peek(t.Context(), someKey, rate, now); err != nil || state.Remaining == 2 {
		t.Errorf("the counter in use was forgotten: %+v %v", state, err)
	}
}

func TestKeyIDsAreNotKeptAliveByTheirCaller(t *testing.T) {
	m, rate := newMemory(), mustRate(t, "1/1m", keystile.AlgorithmWindow)
	buffer := []byte("key_1 and a long header after it")
	take(t, m, limit.Key{ID: string(buffer[:5])}, rate, noon)
	if _, ok := take(t, m, limit.Key{ID: "key_1"}, rate, noon); ok {
		t.Error("equal ids are equal keys")
	}
}

func TestRotatedLogsGrowInOrder(t *testing.T) {
	// A log that has wrapped must still grow in order, at every size.
	for _, n := range []int{5, 9, 60, 1024, 1025, 2500, 10_000} {
		m, now := newMemory(), noon
		rate := &keystile.Rate{Requests: n, Window: time.Duration(n) * 10 * time.Millisecond}
		// Slowly first, so that the head moves on, then faster and faster.
		for step := 40 * time.Millisecond; step >= time.Millisecond; step /= 2 {
			for range n {
				now = now.Add(step)
				take(t, m, someKey, rate, now)
			}
		}
		state, ok := take(t, m, someKey, rate, now)
		if ok {
			continue
		}
		if _, ok := take(t, m, someKey, rate, now.Add(state.Reset-100*time.Microsecond)); ok {
			t.Errorf("%d: a request fitted before Reset", n)
		}
		if _, ok := take(t, m, someKey, rate, now.Add(state.Reset)); !ok {
			t.Errorf("%d: no request fitted at Reset", n)
		}
	}
}

func ExampleMemory() {
	m := limit.NewMemory(limit.MemoryOptions{})
	rate, err := keystile.ParseRate("2/1m", keystile.AlgorithmWindow)
	if err != nil {
		panic(err)
	}
	k := limit.Key{Per: keystile.PerCredential, ID: "key_sibaya"}
	now := time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		state, ok, err := m.Take(context.Background(), k, rate, now.Add(time.Duration(i)*time.Second))
		fmt.Println(ok, state.Remaining, state.Reset, err)
	}
	// Output:
	// true 1 1m0s <nil>
	// true 0 59s <nil>
	// false 0 58s <nil>
}
