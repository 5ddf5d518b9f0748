package replaytest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
)

// Window is the clock window that every ledger in the suite is opened with.
const Window = time.Minute

// Options are what a test asks of the ledgers that it gets.
type Options struct {
	// MaxPerScope is the cap for a scope; 0: the default.
	MaxPerScope int
	// MaxBytes is the cap on memory; 0: the default.
	MaxBytes int64
}

// Harness is a ledger under test. The clock is the one that nodes and ledger go by.
type Harness struct {
	// Nodes are two nodes of one ledger, with an empty ledger behind them; twice
	// the same where an engine has but one.
	Nodes [2]replay.Ledger
	// Clock is the time.
	Clock *Clock
	// Restart ends both nodes and starts them again. nil: what was spent is gone
	// with the process, as is said.
	Restart func() [2]replay.Ledger
	// Reach makes what lies behind the ledger reachable or not; nil: nothing does.
	Reach func(yes bool)
	// Purge forgets what is over, if the ledger does not do so by itself.
	Purge func()
}

// purge forgets what is over.
func (h *Harness) purge() {
	if h.Purge != nil {
		h.Purge()
	}
}

// token is a nonce signed now.
func (h *Harness) token(scope, value string) replay.Nonce {
	now := h.Clock.Now()
	return replay.Nonce{Scope: scope, Value: value, Stamp: now, LastValid: now.Add(Window)}
}

// Run holds a ledger to the contract of replay.Ledger. open makes one that
// shares nothing with any other test.
func Run(t *testing.T, open func(t *testing.T, o Options) Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, func(*testing.T, Options) Harness)
	}{
		{"a fresh nonce is accepted, once, and Spent says so and changes nothing", once},
		{"TestThreat08: 64 parallel presentations on two nodes give one acceptance", race},
		{"a claim on one node is known to the other at once", across},
		{"TestThreat20: no two nonces are taken for one another", separate},
		{"TestThreat21: within a space one text is one nonce, however it is cut", cut},
		{"a nonce reused with another timestamp is replayed", restamped},
		{"TestThreat09: a clock that steps forward and back never gives a second acceptance", steps},
		{"TestThreat09: a restart forgets nothing, not even the floor", restart},
		{"TestThreat09: at the cap of a scope claims are refused and nothing is evicted", capped},
		{"TestThreat37: at the cap of memory claims are refused and nothing is evicted", full},
		{"what lies behind the ledger cannot be reached: refused", unreachable},
		{"a token further ahead than any clock check allows is refused", ahead},
		{"TestThreat09: a window that is widened takes stamps that far ahead, once the store knows", widened},
		{"a nonce that names nothing is refused", nothing},
		{"at most one acceptance, whatever the clock does (property)", property},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// accept claims and wants it accepted.
func accept(t testing.TB, l replay.Ledger, n replay.Nonce) {
	t.Helper()
	if err := l.Claim(t.Context(), n); err != nil {
		t.Fatalf("a fresh nonce was refused: %v", err)
	}
}

// replayed claims and looks, and wants both refused as used.
func replayed(t testing.TB, l replay.Ledger, n replay.Nonce) {
	t.Helper()
	if err := l.Claim(t.Context(), n); !errors.Is(err, keystile.ErrReplayed) {
		t.Fatalf("Claim of a spent nonce: %v", err)
	}
	if err := l.Spent(t.Context(), n); !errors.Is(err, keystile.ErrReplayed) {
		t.Fatalf("Spent of a spent nonce: %v", err)
	}
}

// unable wants an error that is not about the nonce.
func unable(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, keystile.ErrReplayed) {
		t.Fatalf("want a refusal because nobody can tell, got %v", err)
	}
}

func once(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	n := h.token("key", "0123456789abcdef")
	for range 3 {
		if err := h.Nodes[0].Spent(t.Context(), n); err != nil {
			t.Fatalf("Spent of a fresh nonce: %v", err)
		}
	}
	accept(t, h.Nodes[0], n)
	replayed(t, h.Nodes[0], n)
	accept(t, h.Nodes[0], h.token("key", "0123456789abcdeg"))
	unstamped := h.token("key", "a JWT without iat")
	unstamped.Stamp = time.Time{}
	accept(t, h.Nodes[0], unstamped)
	replayed(t, h.Nodes[0], unstamped)
}

func race(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	for round := range 20 {
		n := h.token("key", "round "+strconv.Itoa(round))
		var accepted, refused atomic.Int64
		var done sync.WaitGroup
		start := make(chan struct{})
		for i := range 64 {
			done.Go(func() {
				<-start
				switch err := h.Nodes[i%2].Claim(t.Context(), n); {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, keystile.ErrReplayed):
					refused.Add(1)
				default:
					t.Errorf("Claim: %v", err)
				}
			})
		}
		close(start)
		done.Wait()
		if accepted.Load() != 1 || refused.Load() != 63 {
			t.Fatalf("%d accepted and %d replayed of 64", accepted.Load(), refused.Load())
		}
	}
}

func across(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	for i := range 10 {
		n := h.token("key", "nonce "+strconv.Itoa(i))
		accept(t, h.Nodes[i%2], n)
		replayed(t, h.Nodes[1-i%2], n)
	}
}

func separate(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	for _, n := range [][2]string{
		{"ab", "c"},
		{"a", "bc"},
		{"abc", "abc"},
		{"key one", "value"},
		{"key two", "value"},
		{"k", "v\x00"},
		{"k", "v"},
		{"k\x00", "v"},
		{"\x00k", "v"},
		{"key", "VALUE"},
		{"key", "value"},
		{"value", "key"},
		{"key", "wert ü"},
	} {
		accept(t, h.Nodes[0], h.token(n[0], n[1]))
		replayed(t, h.Nodes[1], h.token(n[0], n[1]))
	}
}

func cut(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	const text = "bank-0123456789abcdef"
	in := func(space string, at int) replay.Nonce {
		n := h.token(text[:at], text[at:])
		n.Space = space
		return n
	}
	accept(t, h.Nodes[0], in("one", 4))
	for at := 1; at < len(text); at++ {
		replayed(t, h.Nodes[0], in("one", at))
		replayed(t, h.Nodes[1], in("one", at))
	}
	accept(t, h.Nodes[0], in("another", 4))
	accept(t, h.Nodes[0], in("", 4)) // where there is no space, scope and value stand apart
	accept(t, h.Nodes[0], in("", 5))
	if h.Restart != nil {
		h.Nodes = h.Restart()
		replayed(t, h.Nodes[0], in("one", 5))
	}
}

func restamped(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	n := h.token("key", "reused")
	accept(t, h.Nodes[0], n)
	for _, by := range []time.Duration{-50 * time.Second, -time.Second, time.Nanosecond, time.Second, 50 * time.Second} {
		again := n
		again.Stamp, again.LastValid = n.Stamp.Add(by), n.LastValid.Add(by)
		replayed(t, h.Nodes[1], again)
	}
}

func steps(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	start := h.Clock.Now()
	n := h.token("key", "spent at the start")
	accept(t, h.Nodes[0], n)
	for i, at := range []time.Duration{
		50 * time.Second, -time.Hour, 0, 90 * time.Second, 10 * time.Minute, 0, 24 * time.Hour, time.Minute, 0,
	} {
		h.Clock.Set(start.Add(at))
		// Something else is claimed meanwhile, which purges, if it is accepted.
		other := h.token("key", "other "+strconv.Itoa(i))
		if err := h.Nodes[i%2].Claim(t.Context(), other); err == nil {
			replayed(t, h.Nodes[1-i%2], other)
		}
		h.purge()
		for _, node := range h.Nodes {
			if err := node.Claim(t.Context(), n); err == nil {
				t.Fatalf("accepted again %v after the start", at)
			}
		}
	}
	h.Clock.Set(start.Add(48 * time.Hour))
	accept(t, h.Nodes[1], h.token("key", "a fresh one when the clock is ahead of all that was"))
}

func restart(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	if h.Restart == nil {
		return // it does not claim to
	}
	start := h.Clock.Now()
	first := h.token("key", "first")
	accept(t, h.Nodes[0], first)
	for round := range 3 {
		nodes := h.Restart()
		replayed(t, nodes[0], first)
		n := h.token("key", "round "+strconv.Itoa(round))
		accept(t, nodes[1], n)
		replayed(t, nodes[0], n)
		h.Nodes = nodes
	}
	// Long after, what was first is forgotten: by the floor it is still refused, also
	// if the clock goes back.
	h.Clock.Set(start.Add(time.Hour))
	accept(t, h.Nodes[0], h.token("key", "an hour later"))
	h.purge()
	for _, at := range []time.Duration{time.Hour, 0, 30 * time.Second} {
		h.Clock.Set(start.Add(at))
		h.Nodes = h.Restart()
		replayed(t, h.Nodes[0], first)
		replayed(t, h.Nodes[1], first)
	}
	h.Clock.Set(start.Add(2 * time.Hour))
	accept(t, h.Nodes[0], h.token("key", "two hours later"))
}

func capped(t *testing.T, open func(*testing.T, Options) Harness) {
	const most = 50
	h := open(t, Options{MaxPerScope: most})
	start := h.Clock.Now()
	var spent []replay.Nonce
	for i := range most {
		n := h.token("busy", strconv.Itoa(i))
		accept(t, h.Nodes[0], n)
		spent = append(spent, n)
	}
	for i := range most {
		unable(t, h.Nodes[0].Claim(t.Context(), h.token("busy", "over "+strconv.Itoa(i))))
	}
	accept(t, h.Nodes[0], h.token("calm", "another scope has room"))
	for _, n := range spent {
		replayed(t, h.Nodes[0], n)
	}
	h.Clock.Set(start.Add(10 * time.Minute))
	for i := range most {
		accept(t, h.Nodes[0], h.token("busy", "later "+strconv.Itoa(i)))
	}
	unable(t, h.Nodes[0].Claim(t.Context(), h.token("busy", "over again")))
}

func full(t *testing.T, open func(*testing.T, Options) Harness) {
	const most = 64 << 10
	h := open(t, Options{MaxBytes: most})
	start := h.Clock.Now()
	var spent []replay.Nonce
	var over replay.Nonce
	for i := range 10_000 {
		n := h.token("key "+strconv.Itoa(i%3), strconv.Itoa(i))
		err := h.Nodes[0].Claim(t.Context(), n)
		if err != nil {
			unable(t, err)
			over = n
			break
		}
		spent = append(spent, n)
	}
	if len(spent) < most/120 || len(spent) == 10_000 {
		t.Fatalf("64 KiB held %d nonces", len(spent))
	}
	for i := range 1000 {
		unable(t, h.Nodes[0].Claim(t.Context(), h.token(over.Scope, "over "+strconv.Itoa(i))))
		// Other scopes may still have room in what they were given.
		if n := h.token("new key "+strconv.Itoa(i), "over"); h.Nodes[0].Claim(t.Context(), n) == nil {
			spent = append(spent, n)
		}
	}
	if l, ok := h.Nodes[0].(interface{ Status() replay.Status }); !ok || l.Status().Bytes > most {
		t.Fatalf("over the cap: %+v", l.Status())
	}
	for _, n := range spent {
		replayed(t, h.Nodes[0], n)
	}
	h.Clock.Set(start.Add(10 * time.Minute))
	accept(t, h.Nodes[0], h.token("key 1", "later there is room"))
}

func unreachable(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	if h.Reach == nil {
		return // there is nothing behind it
	}
	spent := h.token("key", "spent before")
	accept(t, h.Nodes[0], spent)
	h.Reach(false)
	fresh := h.token("key", "fresh")
	unable(t, h.Nodes[0].Claim(t.Context(), fresh))
	unable(t, h.Nodes[1].Spent(t.Context(), spent))
	unable(t, h.Nodes[1].Claim(t.Context(), spent))
	h.Reach(true)
	// The first claim may find a connection that is not back yet.
	for i := range 1000 {
		err := h.Nodes[0].Claim(t.Context(), h.token("key", "afterwards "+strconv.Itoa(i)))
		if err == nil {
			replayed(t, h.Nodes[1], spent)
			return
		}
		unable(t, err)
	}
	t.Fatal("it did not come back")
}

func ahead(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	now := h.Clock.Now()
	far := Window + replay.MaxSkew + time.Second
	for _, n := range []replay.Nonce{
		{Scope: "k", Value: "1", Stamp: now.Add(far), LastValid: now.Add(far + Window)},
		{Scope: "k", Value: "2", LastValid: now.Add(Window + replay.MaxTokenLife + far)},
		{Scope: "k", Value: "3", Stamp: now, LastValid: now.Add(24 * time.Hour)},
		{Scope: "k", Value: "4", Stamp: now, LastValid: now.AddDate(5000, 0, 0)},
	} {
		unable(t, h.Nodes[0].Claim(t.Context(), n))
		unable(t, h.Nodes[1].Spent(t.Context(), n))
	}
	accept(t, h.Nodes[0], replay.Nonce{Scope: "k", Value: "1", Stamp: now.Add(Window), LastValid: now.Add(2 * Window)})
	for _, old := range []time.Time{now.Add(-time.Hour), now.AddDate(-100, 0, 0), now.AddDate(-2000, 0, 0)} {
		replayed(t, h.Nodes[0], replay.Nonce{Scope: "k", Value: "old", Stamp: old, LastValid: old})
	}
}

func widened(t *testing.T, open func(*testing.T, Options) Harness) {
	const wide = 5 * time.Minute
	h := open(t, Options{})
	far := h.token("key", "stamped far ahead")
	far.Stamp, far.LastValid = far.Stamp.Add(4*time.Minute), far.LastValid.Add(4*time.Minute)
	unable(t, h.Nodes[0].Claim(t.Context(), far))
	var kept []string
	var lost error
	keep := func(_ context.Context, epoch string) error {
		for _, node := range h.Nodes {
			unable(t, node.Claim(t.Context(), far)) // not before the store knows
		}
		kept = append(kept, epoch)
		return lost
	}
	lost = errors.New("the store is away")
	for _, node := range h.Nodes {
		if err := node.Widen(t.Context(), wide, keep); err == nil && len(kept) > 0 {
			t.Fatal("widened although the store does not know")
		}
	}
	lost = nil
	for _, node := range h.Nodes {
		for _, window := range []time.Duration{wide, Window} { // never narrower
			if err := node.Widen(t.Context(), window, keep); err != nil {
				t.Fatal(err)
			}
		}
		keep = func(context.Context, string) error { return nil }
	}
	accept(t, h.Nodes[0], far)
	replayed(t, h.Nodes[1], far)
	h.Clock.Set(far.LastValid)
	replayed(t, h.Nodes[0], far)
}

func nothing(t *testing.T, open func(*testing.T, Options) Harness) {
	h := open(t, Options{})
	for i, n := range []replay.Nonce{
		{}, {Value: "v", LastValid: h.Clock.Now()}, {Scope: "s", LastValid: h.Clock.Now()}, {Scope: "s", Value: "v"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			unable(t, h.Nodes[0].Claim(t.Context(), n))
			unable(t, h.Nodes[0].Spent(t.Context(), n))
		})
	}
}
