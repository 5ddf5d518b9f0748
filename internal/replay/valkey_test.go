package replay_test

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/replay/replaytest"
)

// farm is a ledger on a server, whose clock the test moves.
type farm struct {
	t      testing.TB
	url    string
	client valkey.Client
	clock  *replaytest.Clock
	o      replay.ValkeyOptions
}

// newFarm uses the server that all tests share.
func newFarm(t testing.TB) *farm {
	t.Helper()
	url := replaytest.ValkeyURL(t)
	client := replaytest.Client(t, url)
	return farmOn(t, url, client, replaytest.Prefix(t, client))
}

// newFarmOn uses a server of the test's own.
func newFarmOn(t testing.TB, s *replaytest.Server) *farm {
	t.Helper()
	return farmOn(t, s.URL(), replaytest.Client(t, s.URL()), "keystile-test:")
}

// farmOn keeps the server's clock outside the ledger's keys.
func farmOn(t testing.TB, url string, client valkey.Client, prefix string) *farm {
	t.Helper()
	f := &farm{t: t, url: url, client: client}
	f.clock = replaytest.NewClock(func(now time.Time) { f.setServer(prefix, now) })
	f.o = replay.ValkeyOptions{
		URL: url, Prefix: prefix + "ledger:", Timeout: 10 * time.Second,
		Memory: replay.MemoryOptions{Window: replaytest.Window, Now: f.clock.Now},
	}
	replay.WithClockAt(&f.o, prefix+"clock")
	return f
}

func (f *farm) setServer(prefix string, now time.Time) {
	var err error
	for range 1000 { // after a restart the first calls may find a connection that is gone
		set := f.client.B().Set().Key(prefix + "clock").Value(strconv.FormatInt(now.UnixMicro(), 10)).Build()
		if err = f.client.Do(context.Background(), set).Error(); err == nil {
			return
		}
	}
	f.t.Fatalf("set the server's clock: %v", err)
}

// node starts a node and keeps its epoch, as the store does.
func (f *farm) node() *replay.Valkey {
	f.t.Helper()
	v, err := replay.NewValkey(context.Background(), f.o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.o.Epoch = v.Epoch()
	f.t.Cleanup(v.Close)
	return v
}

func (f *farm) token(value string) replay.Nonce { return signed(f.clock.Now(), "key", value) }

func TestValkey(t *testing.T) {
	replaytest.Run(t, func(t *testing.T, o replaytest.Options) replaytest.Harness {
		f := newFarm(t)
		f.o.Memory.MaxPerScope, f.o.Memory.MaxBytes = o.MaxPerScope, o.MaxBytes
		start := func() [2]replay.Ledger { return [2]replay.Ledger{f.node(), f.node()} }
		return replaytest.Harness{Nodes: start(), Clock: f.clock, Restart: start}
	})
}

func TestValkeyByItsOwnClock(t *testing.T) {
	url := replaytest.ValkeyURL(t)
	o := replay.ValkeyOptions{URL: url, Prefix: replaytest.Prefix(t, replaytest.Client(t, url)), Timeout: 10 * time.Second}
	v, err := replay.NewValkey(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	n := signed(time.Now(), "key", "n")
	claim(t, v, n)
	if err := v.ClaimForgetful(t.Context(), n); !errors.Is(err, keystile.ErrReplayed) {
		t.Error(err)
	}
	if s := v.Status(); !s.Ready || s.Text != "ok" {
		t.Errorf("status %+v", s)
	}
}

func TestANodeWhoseClockIsOffTheServersRefuses(t *testing.T) {
	f := newFarm(t)
	v := f.node()
	var off atomic.Int64
	f.o.Memory.Now = func() time.Time { return f.clock.Now().Add(time.Duration(off.Load())) }
	node := f.node()
	for _, by := range []time.Duration{-time.Hour, -16 * time.Second, 16 * time.Second, time.Hour} {
		off.Store(int64(by))
		if err := node.Claim(t.Context(), signed(f.o.Memory.Now(), "key", by.String())); !errors.Is(err, replay.ErrClock) {
			t.Errorf("%v: %v", by, err)
		}
		if s := node.Status(); s.Ready {
			t.Errorf("%v: status %+v", by, s)
		}
		if _, err := replay.NewValkey(t.Context(), f.o); !errors.Is(err, replay.ErrClock) {
			t.Errorf("%v: joined: %v", by, err)
		}
	}
	for _, by := range []time.Duration{-15 * time.Second, 15 * time.Second} {
		off.Store(int64(by))
		node := f.node() // what jumped by an hour has forgotten, and refuses for a window
		claim(t, node, signed(f.o.Memory.Now(), "key", by.String()))
	}
	claim(t, v, f.token("the other node is right"))
}

// What the server is sent is counted on the server; what the script itself calls costs no round trip.
func TestOneRoundTripAClaim(t *testing.T) {
	server := replaytest.StartServer(t)
	f := newFarmOn(t, server)
	v := f.node()
	claim(t, v, f.token("the script is known from here on"))

	monitor, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatInt(server.Port(), 10)))
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	if _, err := monitor.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(monitor)
	if line, err := lines.ReadString('\n'); err != nil || line != "+OK\r\n" {
		t.Fatalf("MONITOR: %q, %v", line, err)
	}
	for i := range 100 {
		claim(t, v, f.token(strconv.Itoa(i)))
	}
	if err := f.client.Do(t.Context(), f.client.B().Echo().Message("that was all").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	scripts := 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		line = strings.ToLower(line)
		if strings.Contains(line, "that was all") {
			break
		}
		switch {
		case strings.Contains(line, " lua] "), strings.Contains(line, `] "ping"`), // the script's own; an idle connection's
			strings.Contains(line, `] "hello" `), strings.Contains(line, `] "client" `): // another connection's beginning
		case strings.Contains(line, `] "evalsha" `):
			scripts++
		default:
			t.Errorf("beside the script: %s", line)
		}
	}
	if scripts != 100 {
		t.Errorf("%d scripts for 100 claims", scripts)
	}
}

func TestNothingIsLeftOnTheServerThatIsOver(t *testing.T) {
	f := newFarm(t)
	v := f.node()
	for i := range 500 {
		claim(t, v, f.token(strconv.Itoa(i)))
		f.clock.Advance(5 * time.Second)
	}
	keys := func() []string {
		names, err := f.client.Do(t.Context(), f.client.B().Keys().Pattern(f.o.Prefix+"*").Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if k := keys(); len(k) > 6 {
		t.Errorf("%d keys: %v", len(k), k)
	}
	f.clock.Advance(time.Hour)
	if err := v.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := keys(); len(k) != 1 { // the epoch
		t.Errorf("keys when idle: %v", k)
	}
}

// lost opens a ledger on a server of its own, spends a token stamped 50 s ahead,
// has it harmed, and wants the incomplete rule on all nodes.
func lost(t *testing.T, f *farm, harm func()) {
	t.Helper()
	one, other := f.node(), f.node()
	ahead := f.token("stamped ahead")
	ahead.Stamp, ahead.LastValid = ahead.Stamp.Add(50*time.Second), ahead.LastValid.Add(50*time.Second)
	claim(t, one, ahead)
	claim(t, other, f.token("n"))
	harm()
	if err := other.ClaimForgetful(t.Context(), ahead); err == nil {
		// The first call may only find that its connection is gone; it must not be accepted.
		t.Fatal("what was spent was accepted again")
	}
	again(t, func() error { return other.Check(t.Context()) })
	again(t, func() error { return one.Check(t.Context()) })
	for i, v := range []*replay.Valkey{one, other, f.node()} {
		if err := v.ClaimForgetful(t.Context(), ahead); err == nil {
			t.Fatalf("node %d accepted what was spent", i)
		}
		if err := v.Claim(t.Context(), f.token("fresh")); !errors.Is(err, replay.ErrIncomplete) {
			t.Fatalf("node %d: %v", i, err)
		}
		if s := v.Status(); s.Ready || !strings.Contains(s.Text, "not known") {
			t.Fatalf("node %d: status %+v", i, s)
		}
	}
	f.clock.Advance(replaytest.Window + replay.MaxSkew + time.Second)
	if err := one.ClaimForgetful(t.Context(), ahead); err == nil {
		t.Fatal("accepted again when the time was over")
	}
	claim(t, one, f.token("signed later"))
	if err := other.Claim(t.Context(), f.token("signed later")); !errors.Is(err, keystile.ErrReplayed) {
		t.Fatal(err)
	}
	if s := one.Status(); !s.Ready {
		t.Fatalf("status %+v", s)
	}
}

// again tries until it works: the first calls may find a connection that is gone.
func again(t *testing.T, what func() error) {
	t.Helper()
	var err error
	for range 1000 {
		if err = what(); err == nil {
			return
		}
		if !errors.Is(err, keystile.ErrUnavailable) {
			break
		}
	}
	t.Fatal(err)
}

func TestThreat09_AValkeyKilledAndStartedAgainIsIncomplete(t *testing.T) {
	for name, args := range map[string][]string{
		"without persistence":                            nil,
		"with its append-only file, fsynced each second": {"--appendonly", "yes"},
		"with its append-only file, always fsynced":      {"--appendonly", "yes", "--appendfsync", "always"},
	} {
		t.Run(name, func(t *testing.T) {
			server := replaytest.StartServer(t, args...)
			f := newFarmOn(t, server)
			lost(t, f, func() {
				server.Kill()
				server.Start()
				f.clock.Set(f.clock.Now()) // which the server has forgotten
			})
		})
	}
}

func TestThreat09_AnEpochThatIsMissingOrAnothersIsIncomplete(t *testing.T) {
	for name, harm := range map[string]func(f *farm) valkey.Completed{
		"the epoch is deleted": func(f *farm) valkey.Completed { return f.client.B().Del().Key(f.o.Prefix + "epoch").Build() },
		"the server was restarted": func(f *farm) valkey.Completed {
			return f.client.B().Hset().Key(f.o.Prefix+"epoch").FieldValue().FieldValue("replid", "0").Build()
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			lost(t, f, func() {
				if err := f.client.Do(t.Context(), harm(f)).Error(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestThreat09_AReplicaThatIsPromotedIsIncomplete(t *testing.T) {
	first, second := replaytest.StartServer(t), replaytest.StartServer(t)
	follower := replaytest.Client(t, second.URL())
	follow := follower.B().Arbitrary("REPLICAOF", "127.0.0.1", strconv.FormatInt(first.Port(), 10)).Build()
	if err := follower.Do(t.Context(), follow).Error(); err != nil {
		t.Fatal(err)
	}
	f := newFarmOn(t, first)
	v := f.node()
	n := f.token("spent on the first")
	claim(t, v, n)
	// Everything has arrived, the epoch too: only the history tells.
	wait := f.client.B().Wait().Numreplicas(1).Timeout(60_000).Build()
	if got, err := f.client.Do(t.Context(), wait).AsInt64(); err != nil || got != 1 {
		t.Fatalf("%d replicas, %v", got, err)
	}
	first.Kill()
	if err := follower.Do(t.Context(), follower.B().Arbitrary("REPLICAOF", "NO", "ONE").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	f.o.URL, f.client = second.URL(), follower
	promoted := f.node()
	if err := promoted.Claim(t.Context(), f.token("fresh")); !errors.Is(err, replay.ErrIncomplete) {
		t.Errorf("%v", err)
	}
	if err := promoted.Claim(t.Context(), n); err == nil {
		t.Error("accepted again")
	}
}

func TestAnotherStoresEpochOnTheSameServerIsIncompleteAndTakesOver(t *testing.T) {
	f := newFarm(t)
	v := f.node()
	claim(t, v, f.token("n"))
	f.o.Epoch = "ff" + f.o.Epoch[2:]
	next := f.node()
	if err := next.Claim(t.Context(), f.token("fresh")); !errors.Is(err, replay.ErrIncomplete) {
		t.Errorf("the node of the restored store: %v", err)
	}
	if err := v.Claim(t.Context(), f.token("other")); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("the node of before: %v", err)
	}
	if s := v.Status(); s.Ready || !strings.Contains(s.Text, "prefix") {
		t.Errorf("status %+v", s)
	}
}

func TestAReaderSeesWhatIsSpentAndWritesNothing(t *testing.T) {
	f := newFarm(t)
	keys := func() map[string]string {
		all, err := f.client.Do(t.Context(), f.client.B().Hgetall().Key(f.o.Prefix+"epoch").Build()).AsStrMap()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	reader := func(epoch string) *replay.Valkey {
		o := f.o
		o.Look, o.Epoch, o.Memory.Window = true, epoch, 0
		v, err := replay.NewValkey(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return v
	}
	// Where no server has begun a ledger, a look does not either.
	if err := reader("").Spent(t.Context(), f.token("n")); !errors.Is(err, replay.ErrIncomplete) || len(keys()) != 0 {
		t.Errorf("no ledger: %v, %v", err, keys())
	}
	claim(t, f.node(), f.token("n"))
	before := keys()
	for name, epoch := range map[string]string{"known": f.o.Epoch, "none": ""} {
		r := reader(epoch)
		if err := r.Spent(t.Context(), f.token("n")); !errors.Is(err, keystile.ErrReplayed) {
			t.Errorf("%s: spent: %v", name, err)
		}
		if err := r.Spent(t.Context(), f.token("fresh")); err != nil {
			t.Errorf("%s: fresh: %v", name, err)
		}
		if err := r.Claim(t.Context(), f.token("fresh")); !errors.Is(err, keystile.ErrUnavailable) {
			t.Errorf("%s: Claim: %v", name, err)
		}
		if err := r.Check(t.Context()); err != nil {
			t.Errorf("%s: Check: %v", name, err)
		}
	}
	if err := reader("ff"+f.o.Epoch[2:]).Spent(t.Context(), f.token("fresh")); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("another store's: %v", err)
	}
	if after := keys(); !maps.Equal(before, after) {
		t.Errorf("the epoch was %v and is %v", before, after)
	}
}

func TestAServerThatMayDropNoncesIsRefusedWithTheRemedy(t *testing.T) {
	server := replaytest.StartServer(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	_, err := replay.NewValkey(t.Context(), replay.ValkeyOptions{URL: server.URL(), Timeout: 10 * time.Second})
	var invalid *keystile.Invalid
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Remedy, "noeviction") {
		t.Fatalf("%v", err)
	}
	client := replaytest.Client(t, server.URL())
	set := func(policy string) {
		t.Helper()
		if err := client.Do(t.Context(), client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory-policy", policy).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	set("noeviction")
	v, err := replay.NewValkey(t.Context(), replay.ValkeyOptions{URL: server.URL(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	set("volatile-ttl")
	if err := v.Check(t.Context()); !errors.As(err, &invalid) || v.Status().Ready {
		t.Errorf("changed while running: %v %+v", err, v.Status())
	}
}

func TestThreat09_AServerThatIsFullRefusesAndEvictsNothing(t *testing.T) {
	server := replaytest.StartServer(t, "--maxmemory-policy", "noeviction")
	f := newFarmOn(t, server)
	v := f.node()
	n := f.token("spent")
	claim(t, v, n)
	if err := f.client.Do(t.Context(), f.client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory", "1mb").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := v.Claim(t.Context(), f.token(strconv.Itoa(i))); !errors.Is(err, keystile.ErrUnavailable) {
			t.Fatalf("%v", err)
		}
	}
	if err := f.client.Do(t.Context(), f.client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory", "0").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := f.node().Claim(t.Context(), n); !errors.Is(err, keystile.ErrReplayed) {
		t.Errorf("%v", err)
	}
}

func TestAServerThatIsGoneIsUnavailableAndSaid(t *testing.T) {
	server := replaytest.StartServer(t)
	f := newFarmOn(t, server)
	v := f.node()
	server.Kill()
	for range 3 {
		if err := v.Claim(t.Context(), f.token(time.Now().String())); !errors.Is(err, keystile.ErrUnavailable) {
			t.Fatalf("%v", err)
		}
		if err := v.Spent(t.Context(), f.token(time.Now().String())); !errors.Is(err, keystile.ErrUnavailable) {
			t.Fatalf("%v", err)
		}
	}
	if s := v.Status(); s.Ready {
		t.Errorf("status %+v", s)
	}
}

func TestValkeyURLsAreCheckedAndNeverPrinted(t *testing.T) {
	for _, bad := range []string{"", "http://user:hunter2@localhost", "redis://user:hunter2@ho st"} {
		if _, err := replay.NewValkey(t.Context(), replay.ValkeyOptions{URL: bad}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err := replay.NewValkey(t.Context(), replay.ValkeyOptions{URL: "redis://user:hunter2@127.0.0.1:1", Timeout: time.Second})
	if !errors.Is(err, keystile.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody there: %v", err)
	}
}

func BenchmarkValkeyClaim(b *testing.B) {
	if os.Getenv(replaytest.ValkeyVariable) == "" {
		b.Skip(replaytest.ValkeyVariable + " names no server; this is a measurement, the tests do not skip")
	}
	url := replaytest.ValkeyURL(b)
	client := replaytest.Client(b, url)
	v, err := replay.NewValkey(b.Context(), replay.ValkeyOptions{URL: url, Prefix: replaytest.Prefix(b, client), Timeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	var i atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := v.Claim(b.Context(), signed(time.Now(), "key", strconv.FormatInt(i.Add(1), 10))); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
}
