package replay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/replay/replaytest"
)

// newMemory makes an empty ledger.
func newMemory(t testing.TB, o replay.MemoryOptions) *replay.Memory {
	t.Helper()
	if o.Window == 0 {
		o.Window = replaytest.Window
	}
	m, err := replay.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// signed is a token signed at a time.
func signed(at time.Time, scope, value string) replay.Nonce {
	return replay.Nonce{Scope: scope, Value: value, Stamp: at, LastValid: at.Add(replaytest.Window)}
}

func TestMemory(t *testing.T) {
	replaytest.Run(t, func(t *testing.T, o replaytest.Options) replaytest.Harness {
		clock := replaytest.NewClock(nil)
		m := newMemory(t, replay.MemoryOptions{MaxPerScope: o.MaxPerScope, MaxBytes: o.MaxBytes, Now: clock.Now})
		return replaytest.Harness{Nodes: [2]replay.Ledger{m, m}, Clock: clock, Purge: m.Purge}
	})
}

func TestThreat37_ANonceCostsAtMost120BytesAllIn(t *testing.T) {
	const n = 300_000
	for name, scopes := range map[string]int{"few scopes": 10, "a scope for every nonce": n} {
		t.Run(name, func(t *testing.T) {
			clock := replaytest.NewClock(nil)
			before := heap()
			m := newMemory(t, replay.MemoryOptions{Now: clock.Now})
			for i := range n {
				at := clock.Now().Add(time.Duration(i%int(replaytest.Window/time.Millisecond)) * time.Millisecond)
				if err := m.Claim(t.Context(), signed(at, strconv.Itoa(i%scopes), strconv.Itoa(i))); err != nil {
					t.Fatal(err)
				}
			}
			used := heap() - before
			counted := m.Bytes()
			t.Logf("%.1f bytes a nonce on the heap, %.1f counted", float64(used)/n, float64(counted)/n)
			if used > 120*n {
				t.Errorf("%d bytes for %d nonces on the heap", used, n)
			}
			// What is counted is what the cap stops at, so it must not fall short.
			if counted > 120*n || float64(used) > float64(counted)*1.15+(1<<20) {
				t.Errorf("%d bytes counted, %d used", counted, used)
			}
			runtime.KeepAlive(m)
		})
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func TestPurgingLooksAtWhatIsExpiredAndAtNothingElse(t *testing.T) {
	clock := replaytest.NewClock(nil)
	m := newMemory(t, replay.MemoryOptions{Now: clock.Now})
	start := clock.Now()
	const old, live = 5_000, 50_000
	for i := range old {
		if err := m.Claim(t.Context(), signed(start.Add(-50*time.Second), "key", "old "+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range live {
		if err := m.Claim(t.Context(), signed(start.Add(50*time.Second), "key", "live "+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.Steps(); n != 0 {
		t.Fatalf("%d steps of purging when nothing was expired", n)
	}
	clock.Set(start.Add(65 * time.Second))
	// A claim takes out a few, so that there is no pause.
	if err := m.Claim(t.Context(), signed(clock.Now(), "key", "one more")); err != nil {
		t.Fatal(err)
	}
	if n := m.Steps(); n < 1 || n > replay.DrainStep+2 {
		t.Errorf("one claim took %d steps", n)
	}
	m.Purge()
	if n := m.Steps(); n < old || n > old+10 {
		t.Errorf("%d steps to purge %d of %d", n, old, old+live)
	}
	if n := m.Live(); n != live+1 {
		t.Errorf("%d live", n)
	}
	m.Purge()
	if n := m.Steps(); n > old+10 {
		t.Errorf("%d steps after purging nothing", n)
	}
}

func TestPurgingGivesTheMemoryBack(t *testing.T) {
	clock := replaytest.NewClock(nil)
	m := newMemory(t, replay.MemoryOptions{Now: clock.Now})
	for round := range 5 {
		for i := range 20_000 {
			if err := m.Claim(t.Context(), signed(clock.Now(), strconv.Itoa(i), strconv.Itoa(round))); err != nil {
				t.Fatal(err)
			}
		}
		clock.Advance(10 * time.Minute)
		m.Purge()
		if m.Live() != 0 || m.Bytes() > 1<<20 {
			t.Fatalf("%d live, %d bytes", m.Live(), m.Bytes())
		}
	}
}

func TestThreat09_ThroughAWholeDayOfClaimsNothingLiveIsForgotten(t *testing.T) {
	clock := replaytest.NewClock(nil)
	m := newMemory(t, replay.MemoryOptions{Now: clock.Now})
	var kept []replay.Nonce
	for i := range 30_000 {
		clock.Advance(3 * time.Second)
		n := signed(clock.Now().Add(time.Duration(i%100-50)*time.Second), strconv.Itoa(i%7), strconv.Itoa(i))
		if err := m.Claim(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, n)
		if len(kept) > 60 {
			kept = kept[1:]
		}
		for _, k := range kept {
			if err := m.Spent(t.Context(), k); !errors.Is(err, keystile.ErrReplayed) {
				t.Fatalf("claim %d: %+v: %v", i, k, err)
			}
		}
	}
	if n := m.Live(); n > 100 {
		t.Errorf("%d nonces are held in steady state", n)
	}
}

func TestAClaimInMemoryAllocatesNothing(t *testing.T) {
	m := newMemory(t, replay.MemoryOptions{})
	now, values, i := time.Now(), make([]string, 20_001), 0
	for i := range values {
		values[i] = "0123456789abcdef0123456789abcdef" + strconv.Itoa(i)
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(20_000, func() {
		if err := m.Claim(ctx, signed(now, "a key of the usual length: 0123456789", values[i])); err != nil {
			t.Fatal(err)
		}
		i++
	}); n > 0 {
		t.Errorf("%v allocations a claim", n)
	}
}

func TestMemoryOfWhichTheBeginningIsUnknownRefusesWhatMayBeSpent(t *testing.T) {
	clock := replaytest.NewClock(nil)
	start := clock.Now()
	m := newMemory(t, replay.MemoryOptions{Now: clock.Now, LostAt: start})
	for _, stamp := range []time.Duration{-time.Minute, 0, 50 * time.Second, time.Minute} {
		if err := m.Claim(t.Context(), signed(start.Add(stamp), "key", stamp.String())); !errors.Is(err, replay.ErrIncomplete) {
			t.Errorf("stamped %v after the start: %v", stamp, err)
		}
	}
	// A token without a stamp may be stamped as early as its end allows.
	unstamped := replay.Nonce{Scope: "key", Value: "x", LastValid: start.Add(2 * time.Minute)}
	if err := m.Claim(t.Context(), unstamped); !errors.Is(err, replay.ErrIncomplete) {
		t.Errorf("no stamp: %v", err)
	}
	if s := m.Status(); s.Ready || !s.IncompleteUntil.Equal(start.Add(time.Minute)) {
		t.Errorf("status %+v", s)
	}
	clock.Advance(61 * time.Second)
	if err := m.Claim(t.Context(), signed(clock.Now(), "key", "fresh")); err != nil {
		t.Errorf("signed after the time was over: %v", err)
	}
	if s := m.Status(); !s.Ready || s.Text != "ok" {
		t.Errorf("status %+v", s)
	}
}

func TestNoLedgerWithoutRandomness(t *testing.T) {
	if _, err := replay.NewMemory(replay.MemoryOptions{Random: bytes.NewReader(nil)}); !errors.Is(err, io.EOF) {
		t.Errorf("memory: %v", err)
	}
	if _, err := replay.OpenJournal(replay.JournalOptions{Path: t.TempDir(), Memory: replay.MemoryOptions{Random: bytes.NewReader(nil)}}); !errors.Is(err, io.EOF) {
		t.Errorf("journal: %v", err)
	}
}

func BenchmarkMemoryClaim(b *testing.B) {
	m := newMemory(b, replay.MemoryOptions{MaxBytes: 8 << 30, MaxPerScope: 1 << 30})
	scopes := make([]string, 1024)
	for i := range scopes {
		scopes[i] = "a key of the usual length: " + strconv.Itoa(i)
	}
	value, now, ctx := make([]byte, 0, 64), time.Now(), context.Background()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		value = strconv.AppendInt(append(value[:0], "0123456789abcdef0123456789abcdef"...), int64(i), 10)
		if err := m.Claim(ctx, signed(now, scopes[i&1023], string(value))); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
	b.ReportMetric(float64(m.Bytes())/float64(m.Live()), "B/nonce")
}
