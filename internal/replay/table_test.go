package replay_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/replay/replaytest"
)

func newTable(t *testing.T, claims replay.ClaimStore, o replay.MemoryOptions) *replay.Table {
	t.Helper()
	o.Window = replaytest.Window
	table, err := replay.NewTable(replay.TableOptions{Claims: claims, Memory: o, PurgeBatch: 10})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTable(t *testing.T) {
	replaytest.Run(t, func(t *testing.T, o replaytest.Options) replaytest.Harness {
		clock := replaytest.NewClock(nil)
		claims := replaytest.NewTable(clock.Now)
		memory := replay.MemoryOptions{Now: clock.Now, MaxPerScope: o.MaxPerScope, MaxBytes: o.MaxBytes}
		var first *replay.Table
		start := func() [2]replay.Ledger {
			first = newTable(t, claims, memory)
			return [2]replay.Ledger{first, newTable(t, claims, memory)}
		}
		return replaytest.Harness{
			Nodes: start(), Clock: clock, Restart: start,
			Reach: func(yes bool) { claims.SetAway(!yes) },
			Purge: func() {
				if _, err := first.Purge(context.Background()); err != nil {
					t.Errorf("Purge: %v", err)
				}
			},
		}
	})
}

func TestATableNeedsAStore(t *testing.T) {
	var invalid *keystile.Invalid
	if _, err := replay.NewTable(replay.TableOptions{}); !errors.As(err, &invalid) {
		t.Error(err)
	}
}

func TestANodeWhoseClockIsOffTheDatabasesRefuses(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, -16 * time.Second, 16 * time.Second, time.Hour} {
		clock := replaytest.NewClock(nil)
		claims := replaytest.NewTable(func() time.Time { return clock.Now().Add(by) })
		table := newTable(t, claims, replay.MemoryOptions{Now: clock.Now})
		if err := table.Claim(t.Context(), signed(clock.Now(), "key", "n")); !errors.Is(err, replay.ErrClock) {
			t.Errorf("%v: Claim: %v", by, err)
		}
		if err := table.Spent(t.Context(), signed(clock.Now(), "key", "m")); !errors.Is(err, replay.ErrClock) {
			t.Errorf("%v: Spent: %v", by, err)
		}
		if s := table.Status(); s.Ready {
			t.Errorf("%v: status %+v", by, s)
		}
		if _, err := table.Purge(t.Context()); !errors.Is(err, replay.ErrClock) || slices.Contains(claims.Calls(), "raise") || slices.Contains(claims.Calls(), "purge") {
			t.Errorf("%v: Purge: %v, calls %v", by, err, claims.Calls())
		}
	}
	for _, by := range []time.Duration{-15 * time.Second, 0, 15 * time.Second} {
		clock := replaytest.NewClock(nil)
		table := newTable(t, replaytest.NewTable(func() time.Time { return clock.Now().Add(by) }), replay.MemoryOptions{Now: clock.Now})
		if err := table.Claim(t.Context(), signed(clock.Now(), "key", "n")); err != nil {
			t.Errorf("%v: %v", by, err)
		}
	}
}

func TestPurgingATableRaisesTheFloorFirstAndGoesInBatches(t *testing.T) {
	clock := replaytest.NewClock(nil)
	claims := replaytest.NewTable(clock.Now)
	table := newTable(t, claims, replay.MemoryOptions{Now: clock.Now})
	for i := range 25 {
		claim(t, table, signed(clock.Now(), "key", strconv.Itoa(i)))
	}
	clock.Advance(replaytest.Window)
	claim(t, table, signed(clock.Now(), "key", "later"))
	clock.Advance(replay.Margin + time.Microsecond)
	before := len(claims.Calls())
	if n, err := table.Purge(t.Context()); n != 25 || err != nil || claims.Len() != 1 {
		t.Errorf("purged %d, %v; %d left", n, err, claims.Len())
	}
	if got, want := claims.Calls()[before:], []string{"bounds", "raise", "purge", "purge", "purge"}; !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}

func TestATableThatIsVoidedRefusesWhatMayBeSpentOnAllNodes(t *testing.T) {
	clock := replaytest.NewClock(nil)
	claims := replaytest.NewTable(clock.Now)
	one, other := newTable(t, claims, replay.MemoryOptions{Now: clock.Now}), newTable(t, claims, replay.MemoryOptions{Now: clock.Now})
	if err := one.Void(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Claim(t.Context(), signed(clock.Now().Add(50*time.Second), "key", "ahead")); !errors.Is(err, replay.ErrIncomplete) {
		t.Errorf("%v", err)
	}
	for _, table := range []*replay.Table{one, other} {
		if s := table.Status(); s.Ready || s.IncompleteUntil.IsZero() {
			t.Errorf("status %+v", s)
		}
	}
	clock.Advance(replaytest.Window + replay.MaxSkew + time.Second)
	claim(t, other, signed(clock.Now(), "key", "later"))
	if s := other.Status(); !s.Ready {
		t.Errorf("status %+v", s)
	}
}

func TestAnOutageOfTheStoreIsSaid(t *testing.T) {
	clock := replaytest.NewClock(nil)
	claims := replaytest.NewTable(clock.Now)
	table := newTable(t, claims, replay.MemoryOptions{Now: clock.Now})
	claims.SetAway(true)
	if err := table.Check(t.Context()); !errors.Is(err, keystile.ErrUnavailable) {
		t.Error(err)
	}
	if s := table.Status(); s.Ready {
		t.Errorf("status %+v", s)
	}
	for name, err := range map[string]error{"Void": table.Void(t.Context()), "Purge": second(table.Purge(t.Context()))} {
		if !errors.Is(err, keystile.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	claims.SetAway(false)
	if err := table.Check(t.Context()); err != nil || !table.Status().Ready {
		t.Errorf("%v %+v", err, table.Status())
	}
}

func second[T any](_ T, err error) error { return err }
