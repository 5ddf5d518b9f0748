package login_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// stand is a world for benchmarks with n users of the one password.
func stand(b *testing.B, s *store.Store, n int) *login.Service {
	b.Helper()
	hasher, err := sharedHasher()
	noError(b, err)
	hash, err := sharedHash()
	noError(b, err)
	sealer, digester := keys(b)
	service, err := login.New(login.Options{Store: s, Digester: digester, Sealer: sealer, Passwords: hasher, Now: time.Now, Random: rand.Reader})
	noError(b, err)
	parsed, err := password.Parse(hash)
	noError(b, err)
	err = s.Mutate(b.Context(), storetest.Actor, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateOrganization(ctx, storetest.Organization("north")); err != nil {
			return err
		}
		for i := range n {
			u := keystile.User{ID: fmt.Sprintf("user_%d", i), OrganizationID: "north", Username: fmt.Sprintf("user%d", i)}
			if err := errors.Join(tx.CreateUser(ctx, u, store.SignInName{Name: u.Username, Skeleton: u.Username}),
				tx.PutPassword(ctx, store.Password{UserID: u.ID, Hash: hash, Class: parsed.Class()})); err != nil {
				return err
			}
		}
		return nil
	})
	noError(b, err)
	return service
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func eachEngine(b *testing.B, fn func(b *testing.B, s *store.Store)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, storetest.Open(b)) })
	b.Run("postgres", func(b *testing.B) { fn(b, storetest.OpenPostgres(b)) })
}

// BenchmarkSignIn compares a sign-in by password with the argon2id in it: of-argon2id is the share of the processor time
// that argon2id alone would take, and must be at least 0.9.
func BenchmarkSignIn(b *testing.B) {
	eachEngine(b, func(b *testing.B, s *store.Store) {
		const users = 64
		service := stand(b, s, users)
		hasher, err := sharedHasher()
		noError(b, err)
		hash, err := sharedHash()
		noError(b, err)
		var next atomic.Int64
		began := cpu()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := next.Add(1)
				addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
				if out, err := service.Password(b.Context(), from(addr), fmt.Sprintf("user%d", i%users), secret); err != nil || out.Session == nil {
					b.Error(err)
				}
			}
		})
		b.StopTimer()
		whole := cpu() - began
		alone := cpu()
		var left atomic.Int64
		left.Store(int64(b.N))
		together(runtime.GOMAXPROCS(0), func(int) { // as many at once as before: cores that share a cache are slower
			for left.Add(-1) >= 0 {
				if ok, _, err := hasher.Verify(b.Context(), hash, secret, func(context.Context) error { return nil }); err != nil || !ok {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(cpu()-alone)/float64(whole), "of-argon2id")
		b.ReportMetric(float64(whole.Microseconds())/float64(b.N), "cpu-us/op")
	})
}

// BenchmarkRenew is what a refresh asks of the store.
func BenchmarkRenew(b *testing.B) {
	eachEngine(b, func(b *testing.B, s *store.Store) {
		service := stand(b, s, 1)
		out, err := service.Password(b.Context(), from(home), "user0", secret)
		noError(b, err)
		began := cpu()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := service.Renew(b.Context(), from(home), out.Session.ID); err != nil {
					b.Error(err)
				}
			}
		})
		b.StopTimer()
		b.ReportMetric(float64(b.N)/(cpu()-began).Seconds(), "renewals/cpu-s")
	})
}

// BenchmarkThousandSignInsAtOnce is a flood; peak-MiB must stay below 512.
func BenchmarkThousandSignInsAtOnce(b *testing.B) {
	s := storetest.Open(b)
	service := stand(b, s, 64)
	for b.Loop() {
		var peak, signedIn, busy atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), int64(m.Sys-m.HeapReleased)))
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		together(1000, func(i int) {
			ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
			defer cancel()
			_, err := service.Password(ctx, from(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})), fmt.Sprintf("user%d", i%64), secret)
			if err == nil {
				signedIn.Add(1)
			} else {
				busy.Add(1)
			}
		})
		close(stop)
		<-stopped
		b.ReportMetric(float64(peak.Load()>>20), "peak-MiB")
		b.ReportMetric(float64(signedIn.Load()), "signed-in")
	}
}

// BenchmarkFailures compares how long an unknown name and a wrong password take, in random order (in turns, whatever
// comes every second time, the collector for one, would fall on one of them): t is Welch's statistic of the two, whose
// absolute value is below 4.5 where no difference can be told (as dudect has it).
func BenchmarkFailures(b *testing.B) {
	s := storetest.Open(b)
	const users = 64 // so that no account comes near the limit from which attempts are refused unseen
	service := stand(b, s, users)
	var took [2][]float64
	var n int
	for b.Loop() {
		n++
		kind := mathrand.IntN(2)
		addr := netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1})
		name := []string{fmt.Sprintf("user%d", n%users), fmt.Sprintf("nobody%d", n)}[kind]
		began := time.Now()
		if _, err := service.Password(b.Context(), from(addr), name, "wrong"); !errors.Is(err, login.ErrInvalidCredentials) {
			b.Fatal(err) // one that was not looked at has no time to compare
		}
		took[kind] = append(took[kind], float64(time.Since(began)))
	}
	if len(took[0]) < 2 || len(took[1]) < 2 {
		return
	}
	var mean, spread [2]float64
	for i, list := range took {
		slices.Sort(list)
		list = list[:len(list)*9/10+1] // what the machine did besides is noise
		for _, v := range list {
			mean[i] += v / float64(len(list))
		}
		for _, v := range list {
			spread[i] += (v - mean[i]) * (v - mean[i]) / float64(len(list)) / float64(len(list))
		}
	}
	b.ReportMetric((mean[1]-mean[0])/math.Sqrt(spread[0]+spread[1]), "t")
	b.ReportMetric(mean[0]/1e6, "wrong-ms")
	b.ReportMetric(mean[1]/1e6, "unknown-ms")
}
