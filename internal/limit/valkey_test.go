package limit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/limit/limittest"
)

// openValkey connects one node; nodes with one prefix count together.
func openValkey(t *testing.T, prefix string) *limit.Valkey {
	t.Helper()
	// A loaded machine may be slow; only the tests of outages are about time.
	v, err := limit.NewValkey(limit.ValkeyOptions{URL: limittest.ValkeyURL(t), Prefix: prefix, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestValkey(t *testing.T) {
	limittest.Run(t, func(t *testing.T) limit.Limiter { return openValkey(t, limittest.Prefix(t)) }, limittest.NewServer)
}

func TestTwoNodesTogetherGetExactlyN(t *testing.T) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		prefix := limittest.Prefix(t)
		nodes := []*limit.Valkey{openValkey(t, prefix), openValkey(t, prefix)}
		rate := &keystile.Rate{Requests: 30, Window: 24 * time.Hour, Algorithm: algorithm}
		var granted atomic.Int64
		var done sync.WaitGroup
		for i := range 64 {
			done.Go(func() {
				_, ok, err := nodes[i%2].Take(t.Context(), someKey, rate, time.Now())
				if err != nil {
					t.Errorf("Take: %v", err)
				}
				if ok {
					granted.Add(1)
				}
			})
		}
		done.Wait()
		if n := granted.Load(); n != 30 {
			t.Errorf("%s: two nodes granted %d together, want exactly 30", algorithm, n)
		}
	}
}

func TestANodeCannotHandBackTheDrawOfAnother(t *testing.T) {
	for _, algorithm := range []keystile.Algorithm{keystile.AlgorithmWindow, keystile.AlgorithmGCRA} {
		prefix := limittest.Prefix(t)
		one, other := openValkey(t, prefix), openValkey(t, prefix)
		rate, now := mustRate(t, "1/1h", algorithm), time.Now()
		take(t, one, someKey, rate, now)
		if found, err := other.ReturnDraw(t.Context(), someKey, rate, now); found || err != nil {
			t.Errorf("%s: the other node found %v %v", algorithm, found, err)
		}
		if found, err := one.ReturnDraw(t.Context(), someKey, rate, now); !found || err != nil {
			t.Errorf("%s: its own node found %v %v", algorithm, found, err)
		}
		if found, err := one.ReturnDraw(t.Context(), someKey, rate, now); found || err != nil {
			t.Errorf("%s: the second time it found %v %v", algorithm, found, err)
		}
		if _, ok := take(t, other, someKey, rate, time.Now()); !ok {
			t.Errorf("%s: the draw was not handed back", algorithm)
		}
	}
}

func TestEveryCounterOnTheServerExpiresWithItsWindow(t *testing.T) {
	client, prefix := limittest.Client(t), limittest.Prefix(t)
	v := openValkey(t, prefix)
	take(t, v, someKey, mustRate(t, "5/10m", keystile.AlgorithmWindow), time.Now())
	take(t, v, someKey, mustRate(t, "5/10m", keystile.AlgorithmGCRA), time.Now())
	keys, err := client.Do(t.Context(), client.B().Keys().Pattern(prefix+"*").Build()).AsStrSlice()
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys %q %v", keys, err)
	}
	for _, k := range keys {
		left, err := client.Do(t.Context(), client.B().Pttl().Key(k).Build()).AsInt64()
		if err != nil || left <= 0 || left > (10*time.Minute+time.Second).Milliseconds() {
			t.Errorf("%s expires in %d ms, %v", k, left, err)
		}
	}
}

func TestADrawGoesOnBeingHandedBackWhenTheRequestHasEnded(t *testing.T) {
	v := openValkey(t, limittest.Prefix(t))
	rate, now := mustRate(t, "1/1h", keystile.AlgorithmWindow), time.Now()
	take(t, v, someKey, rate, now)
	ended, end := context.WithCancel(t.Context())
	end()
	v.Return(ended, someKey, rate, now)
	if _, ok := take(t, v, someKey, rate, time.Now()); !ok {
		t.Error("the draw stayed spent")
	}
}

func TestValkeyURLsAreCheckedAndNeverPrinted(t *testing.T) {
	for _, bad := range []string{"", "http://user:hunter2@localhost", "redis://user:hunter2@host:99999999/x/y", "redis://user:hunter2@ho st"} {
		_, err := limit.NewValkey(limit.ValkeyOptions{URL: bad})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err := limit.NewValkey(limit.ValkeyOptions{URL: "redis://user:hunter2@127.0.0.1:1", Timeout: time.Second})
	if !errors.Is(err, keystile.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody there: %v", err)
	}
	_, err = limit.NewValkey(limit.ValkeyOptions{URL: "redis://127.0.0.1:1", Random: bytes.NewReader(nil)})
	if !errors.Is(err, io.EOF) {
		t.Errorf("no randomness: %v", err)
	}
}

// relay passes connections on to the server for tests until it is cut.
type relay struct {
	server string
	addr   string
	mu     sync.Mutex
	listen net.Listener
	conns  []net.Conn
	done   sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	u, err := url.Parse(limittest.ValkeyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{server: u.Host, addr: "127.0.0.1:0"}
	r.open(t)
	t.Cleanup(func() { r.cut(t) })
	return r
}

// open listens, on the same address as before.
func (r *relay) open(t *testing.T) {
	t.Helper()
	listen, err := net.Listen("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listen, r.addr = listen, listen.Addr().String()
	r.done.Go(func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return // cut
			}
			r.pass(t, conn)
		}
	})
}

func (r *relay) pass(t *testing.T, conn net.Conn) {
	onward, err := net.Dial("tcp", r.server)
	if err != nil {
		t.Errorf("reach the server: %v", err)
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, conn, onward)
	r.mu.Unlock()
	copyAll := func(to, from net.Conn) {
		if _, err := io.Copy(to, from); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset by peer") && !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("relay: %v", err)
		}
		if err := to.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("relay: %v", err)
		}
	}
	r.done.Go(func() { copyAll(onward, conn) })
	r.done.Go(func() { copyAll(conn, onward) })
}

// cut drops every connection and refuses new ones.
func (r *relay) cut(t *testing.T) {
	r.mu.Lock()
	if err := r.listen.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("cut: %v", err)
	}
	for _, c := range r.conns {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("cut: %v", err)
		}
	}
	r.conns = nil
	r.mu.Unlock()
	r.done.Wait()
}

func TestAnOutageOfTheServerIsAnErrorAndItsEndIsNoticed(t *testing.T) {
	r := newRelay(t)
	v, err := limit.NewValkey(limit.ValkeyOptions{URL: "redis://" + r.addr, Prefix: limittest.Prefix(t), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	rate, now := mustRate(t, "3/1h", keystile.AlgorithmWindow), time.Now()
	take(t, v, someKey, rate, now)
	r.cut(t)
	if _, ok, err := v.Take(t.Context(), someKey, rate, now); ok || !errors.Is(err, keystile.ErrUnavailable) {
		t.Fatalf("Take without a server: %v %v", ok, err)
	}
	if _, ok, err := v.Peek(t.Context(), someKey, rate, now); ok || !errors.Is(err, keystile.ErrUnavailable) {
		t.Fatalf("Peek without a server: %v %v", ok, err)
	}
	v.Return(t.Context(), someKey, rate, now)
	if n := v.LostReturns(); n != 1 {
		t.Errorf("%d lost returns", n)
	}
	r.open(t)
	for {
		state, ok, err := v.Peek(t.Context(), someKey, rate, time.Now())
		if err == nil {
			if !ok || state.Remaining != 2 {
				t.Errorf("after the outage: %+v", state)
			}
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestFallbackOverARealServer(t *testing.T) {
	r := newRelay(t)
	v, err := limit.NewValkey(limit.ValkeyOptions{URL: "redis://" + r.addr, Prefix: limittest.Prefix(t), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var changes []bool
	f := limit.NewFallback(limit.FallbackOptions{
		Shared: v, Local: newMemory(), OnOutage: func(o limit.Outage) { changes = append(changes, o.Down) },
	})
	rate, now := mustRate(t, "2/1h", keystile.AlgorithmWindow), time.Now()
	take(t, f, someKey, rate, now)
	r.cut(t)
	for i, want := range []bool{true, true, false} { // the node's own count begins afresh
		if _, ok := take(t, f, someKey, rate, now); ok != want {
			t.Errorf("local request %d: %v", i+1, ok)
		}
	}
	r.open(t)
	for f.Outage().Down {
		now = now.Add(2 * limit.DefaultRetry)
		if _, _, err := f.Peek(t.Context(), someKey, rate, now); err != nil {
			t.Fatal(err)
		}
	}
	if state, ok := take(t, f, someKey, rate, now); !ok || state.Remaining != 0 {
		t.Errorf("the shared count should go on where it was: %v %+v", ok, state)
	}
	if len(changes) != 2 || !changes[0] || changes[1] {
		t.Errorf("told of %v", changes)
	}
}

func BenchmarkValkeyTake(b *testing.B) {
	if os.Getenv(limittest.ValkeyVariable) == "" {
		b.Skip(limittest.ValkeyVariable + " names no server; this is a measurement, the tests do not skip")
	}
	v, err := limit.NewValkey(limit.ValkeyOptions{URL: limittest.ValkeyURL(b), Prefix: limittest.Prefix(b), Timeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	rate := mustRate(b, "10000/1m", keystile.AlgorithmWindow)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := v.Take(b.Context(), someKey, rate, time.Now()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
