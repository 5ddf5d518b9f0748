package limit_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/limit/limittest"
)

// newScripted opens a limiter whose scripts are told the time.
func newScripted(t *testing.T) *limit.Scripted {
	t.Helper()
	s, err := limit.NewScripted(limittest.Client(t), limittest.Prefix(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// askAt asks a script at a time of the test's.
func askAt(t *rapid.T, s *limit.Scripted, k limit.Key, rate *keystile.Rate, now time.Time, draw bool) (remaining int64, reset time.Duration, ok bool) {
	t.Helper()
	remaining, reset, ok, err := s.AskAt(context.Background(), k, rate, now, draw)
	if err != nil {
		t.Fatal(err)
	}
	return remaining, reset, ok
}

var scriptedStart = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTheWindowScriptAgreesWithANaiveWindow(t *testing.T) {
	s, run := newScripted(t), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		k := limit.Key{ID: strconv.Itoa(run)}
		rate := &keystile.Rate{
			Requests: rapid.IntRange(1, 12).Draw(t, "requests"),
			Window:   time.Duration(rapid.IntRange(1, 5000).Draw(t, "window ms")) * time.Millisecond,
		}
		now, latest := scriptedStart, time.Time{}
		var draws []time.Time
		// A draw counts for one microsecond longer than the window: the server's
		// clock does not say when in its microsecond the draw was made.
		live := func() (n int) {
			for _, d := range draws {
				if latest.Sub(d) < rate.Window+time.Microsecond {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, rate.Window.Microseconds()).Draw(t, "step")) * time.Microsecond)
			if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
				now = now.Add(-time.Duration(rapid.Int64Range(0, rate.Window.Microseconds()).Draw(t, "back")) * time.Microsecond)
			}
			// The script's present is never before the last draw.
			latest = now
			if n := len(draws); n > 0 && draws[n-1].After(now) {
				latest = draws[n-1]
			}
			want := live()
			remaining, _, fits := askAt(t, s, k, rate, now, false)
			if fits != (want < rate.Requests) || int(remaining) != rate.Requests-want {
				t.Fatalf("looking: %v, %d remaining; the model has %d of %d", fits, remaining, want, rate.Requests)
			}
			_, reset, ok := askAt(t, s, k, rate, now, true)
			if ok != (want < rate.Requests) {
				t.Fatalf("drawing: %v; the model has %d of %d", ok, want, rate.Requests)
			}
			if ok {
				draws = append(draws, latest)
				continue
			}
			if reset <= 0 {
				t.Fatalf("refused and reset in %v", reset)
			}
			if rapid.Bool().Draw(t, "wait") {
				if _, _, early := askAt(t, s, k, rate, now.Add(reset-time.Microsecond), false); early {
					t.Fatal("a request fitted before reset")
				}
				if _, _, fits := askAt(t, s, k, rate, now.Add(reset), false); !fits {
					t.Fatal("no request fitted at reset")
				}
			}
		}
	})
}

func TestTheBucketScriptAgreesWithMemory(t *testing.T) {
	s, run := newScripted(t), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		k := limit.Key{ID: strconv.Itoa(run)}
		rate := &keystile.Rate{
			Requests:  rapid.SampledFrom([]int{1, 2, 3, 7, 60, 100_000, 1_000_000_000}).Draw(t, "requests"),
			Window:    time.Duration(rapid.IntRange(1, 60_000).Draw(t, "window ms")) * time.Millisecond,
			Algorithm: keystile.AlgorithmGCRA,
		}
		m, now := newMemory(), scriptedStart
		most := max(1, 3*limit.Interval(rate)/1000)
		var draws []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, most).Draw(t, "step")) * time.Microsecond)
			if n := len(draws); n > 0 && rapid.IntRange(0, 4).Draw(t, "return") == 0 {
				i := n - 1 - rapid.IntRange(0, min(n-1, 20)).Draw(t, "which")
				found, err := s.ReturnDraw(context.Background(), k, rate, draws[i])
				if err != nil {
					t.Fatal(err)
				}
				if m.Restored(k, rate, draws[i]) != found {
					t.Fatalf("the script handed back: %v, memory: %v", found, !found)
				}
				if found {
					draws = append(draws[:i], draws[i+1:]...)
				}
			}
			state, ok, err := m.Take(context.Background(), k, rate, now)
			if err != nil {
				t.Fatal(err)
			}
			remaining, reset, granted := askAt(t, s, k, rate, now, true)
			if granted != ok || int(remaining) != state.Remaining || (reset-state.Reset).Abs() > time.Microsecond {
				t.Fatalf("the script says %v %d %v, memory %v %+v", granted, remaining, reset, ok, state)
			}
			if ok {
				draws = append(draws, now)
			}
		}
	})
}
