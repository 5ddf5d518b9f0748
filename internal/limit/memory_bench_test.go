package limit_test

import (
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
)

func BenchmarkMemoryTake(b *testing.B) {
	for _, text := range []string{"60/1m", "10000/1m"} {
		for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
			for _, keys := range []int{1, 100_000} {
				b.Run(text+"/"+string(algorithm)+"/keys="+strconv.Itoa(keys), func(b *testing.B) {
					benchmarkTake(b, mustRate(b, text, algorithm), keys)
				})
			}
		}
	}
}

// benchmarkTake draws at a steady rate that the limit allows, keys in turn.
func benchmarkTake(b *testing.B, rate *keystile.Rate, keys int) {
	m := limit.NewMemory(limit.MemoryOptions{MaxBytes: 8 << 30})
	names := make([]limit.Key, keys)
	now := time.Unix(1_700_000_000, 0)
	step := rate.Window / time.Duration(rate.Requests) / time.Duration(keys)
	for i := range names {
		names[i] = limit.Key{Per: keystile.PerCredential, Route: "GET /telemetry/**", ID: "key_" + strconv.Itoa(i)}
		if _, ok, err := m.Take(b.Context(), names[i], rate, now); !ok || err != nil {
			b.Fatal("a first request was refused", err)
		}
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		now = now.Add(step)
		if _, _, err := m.Take(ctx, names[i%keys], rate, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemoryTakeParallel(b *testing.B) {
	rate := mustRate(b, "60/1m", keystile.AlgorithmWindow)
	m := limit.NewMemory(limit.MemoryOptions{})
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		k := limit.Key{Per: keystile.PerCredential, ID: "key_" + strconv.FormatInt(next.Add(1), 10)}
		for pb.Next() {
			if _, _, err := m.Take(b.Context(), k, rate, time.Now()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkMemoryBytes reports what one key takes when it has used its whole
// quota, on the heap and in the account.
func BenchmarkMemoryBytes(b *testing.B) {
	for _, c := range []struct {
		rate string
		keys int
	}{{"60/1m", 20_000}, {"10000/1m", 500}} {
		b.Run(c.rate, func(b *testing.B) {
			rate := mustRate(b, c.rate, keystile.AlgorithmWindow)
			for range b.N {
				heap, stats := fill(b, rate, c.keys)
				b.ReportMetric(float64(heap)/float64(c.keys), "heap-B/key")
				b.ReportMetric(float64(stats.Bytes)/float64(c.keys), "account-B/key")
			}
		})
	}
}

// fill uses up the quota of many keys and returns how much the heap grew.
func fill(tb testing.TB, rate *keystile.Rate, keys int) (heap int64, stats limit.MemoryStats) {
	tb.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := limit.NewMemory(limit.MemoryOptions{MaxBytes: 8 << 30})
	now := time.Unix(1_700_000_000, 0)
	for i := range keys {
		k := limit.Key{Per: keystile.PerCredential, ID: "key_" + strconv.Itoa(i)}
		for range rate.Requests {
			if _, ok, err := m.Take(tb.Context(), k, rate, now); !ok || err != nil {
				tb.Fatal("a request within the quota was refused", err)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(m)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc), m.Stats()
}

func mustRate(tb testing.TB, text string, algorithm keystile.Algorithm) *keystile.Rate {
	tb.Helper()
	rate, err := keystile.ParseRate(text, algorithm)
	if err != nil {
		tb.Fatal(err)
	}
	return rate
}
