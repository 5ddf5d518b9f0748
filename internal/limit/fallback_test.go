package limit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/limit/limittest"
)

// switched is shared counters that can be switched off.
type switched struct {
	*limit.Memory
	mu    sync.Mutex
	off   bool
	asked int
	drawn map[time.Time]int
}

func newSwitched() *switched { return &switched{Memory: newMemory(), drawn: map[time.Time]int{}} }

var errAway = fmt.Errorf("connection refused: %w", keystile.ErrUnavailable)

func (s *switched) set(off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = off
}

func (s *switched) ask() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.off {
		return errAway
	}
	return nil
}

func (s *switched) Take(ctx context.Context, k limit.Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	if err := s.ask(); err != nil {
		return keystile.LimitState{}, false, err
	}
	if err := ctx.Err(); err != nil {
		return keystile.LimitState{}, false, fmt.Errorf("%w: %w", keystile.ErrUnavailable, err)
	}
	state, ok, err := s.Memory.Take(ctx, k, rate, now)
	if ok {
		s.mu.Lock()
		s.drawn[now]++
		s.mu.Unlock()
	}
	return state, ok, err
}

func (s *switched) Peek(ctx context.Context, k limit.Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	if err := s.ask(); err != nil {
		return keystile.LimitState{}, false, err
	}
	return s.Memory.Peek(ctx, k, rate, now)
}

func (s *switched) ReturnDraw(ctx context.Context, k limit.Key, rate *keystile.Rate, at time.Time) (bool, error) {
	if err := s.ask(); err != nil {
		return false, err
	}
	s.mu.Lock()
	found := s.drawn[at] > 0
	if found {
		s.drawn[at]--
	}
	s.mu.Unlock()
	if found {
		s.Return(ctx, k, rate, at)
	}
	return found, nil
}

func TestFallbackWhileTheSharedCountersAnswer(t *testing.T) {
	limittest.Run(t, func(*testing.T) limit.Limiter {
		return limit.NewFallback(limit.FallbackOptions{Shared: newSwitched(), Local: newMemory()})
	}, limittest.NewVirtual)
}

func TestFallbackCountsOnThisNodeOrRefusesAsTheCallAsks(t *testing.T) {
	shared := newSwitched()
	var told []limit.Outage
	f := limit.NewFallback(limit.FallbackOptions{
		Shared: shared, Local: newMemory(), OnOutage: func(o limit.Outage) { told = append(told, o) },
	})
	rate := mustRate(t, "2/1m", keystile.AlgorithmWindow)
	take(t, f, someKey, rate, noon)
	shared.set(true)

	now := noon.Add(time.Second)
	if _, ok, err := f.Refusing().Take(t.Context(), someKey, rate, now); ok || !errors.Is(err, keystile.ErrUnavailable) {
		t.Fatalf("refusing: %v %v", ok, err)
	}
	if _, ok, err := f.Refusing().Peek(t.Context(), someKey, rate, now); ok || !errors.Is(err, keystile.ErrUnavailable) {
		t.Fatalf("refusing, looking: %v %v", ok, err)
	}
	for i, want := range []bool{true, true, false} {
		if state, ok, err := f.Peek(t.Context(), someKey, rate, now); err != nil || ok != want || state.Remaining != 2-i {
			t.Fatalf("Peek %d: %+v %v %v", i+1, state, ok, err)
		}
		if _, ok := take(t, f, someKey, rate, now); ok != want {
			t.Fatalf("local request %d: %v", i+1, ok)
		}
	}
	if len(told) != 1 || !told[0].Down || !told[0].Since.Equal(now) || !errors.Is(told[0].Err, errAway) || !f.Outage().Down {
		t.Fatalf("told %+v, state %+v", told, f.Outage())
	}

	shared.set(false)
	now = now.Add(limit.DefaultRetry)
	if state, ok := take(t, f, someKey, rate, now); !ok || state.Remaining != 0 {
		t.Fatalf("after the outage the shared count goes on where it was: %v %+v", ok, state)
	}
	if len(told) != 2 || told[1].Down || !told[1].Since.Equal(now) || f.Outage().Down {
		t.Fatalf("told %+v, state %+v", told, f.Outage())
	}
	if _, ok, err := f.Refusing().Take(t.Context(), someKey, rate, now); ok || err != nil {
		t.Fatalf("refusing after the outage: %v %v", ok, err)
	}
}

func TestDuringAnOutageOneRequestAnIntervalTriesTheSharedCounters(t *testing.T) {
	shared := newSwitched()
	f := limit.NewFallback(limit.FallbackOptions{Shared: shared, Local: newMemory(), Retry: time.Second})
	rate := mustRate(t, "1000/1m", keystile.AlgorithmWindow)
	shared.set(true)
	for i := range 100 { // ten seconds, ten requests each
		take(t, f, someKey, rate, noon.Add(time.Duration(i)*100*time.Millisecond))
	}
	if shared.asked != 10 {
		t.Errorf("asked %d times in ten seconds", shared.asked)
	}
	// A clock stepped back by an hour does not hold the next try up for an hour.
	shared.set(false)
	take(t, f, someKey, rate, noon.Add(-time.Hour))
	if f.Outage().Down {
		t.Error("the outage outlasted a step of the clock")
	}
}

func TestACallerWhoGoesAwayIsNoOutage(t *testing.T) {
	shared := newSwitched()
	f := limit.NewFallback(limit.FallbackOptions{Shared: shared, Local: newMemory()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := f.Take(ctx, someKey, mustRate(t, "1/1m", keystile.AlgorithmWindow), noon); ok || err == nil {
		t.Errorf("a request that ended was allowed: %v %v", ok, err)
	}
	if f.Outage().Down {
		t.Error("it began an outage")
	}
	if _, ok, err := f.Take(t.Context(), someKey, nil, noon); ok || err == nil || f.Outage().Down {
		t.Errorf("a bad rate: %v %v %+v", ok, err, f.Outage())
	}
}

func TestADrawIsHandedBackWhereItWasMade(t *testing.T) {
	shared := newSwitched()
	f := limit.NewFallback(limit.FallbackOptions{Shared: shared, Local: newMemory()})
	rate := mustRate(t, "1/1m", keystile.AlgorithmWindow)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }

	take(t, f, someKey, rate, at(0)) // shared
	shared.set(true)
	take(t, f, someKey, rate, at(1)) // local
	// The shared draw cannot be handed back now, and the local one must not be
	// in its place.
	f.Refusing().Return(t.Context(), someKey, rate, at(0))
	if _, ok := take(t, f, someKey, rate, at(2)); ok {
		t.Error("handing back a shared draw freed a local one")
	}
	f.Return(t.Context(), someKey, rate, at(1))
	if _, ok := take(t, f, someKey, rate, at(2)); !ok {
		t.Error("the local draw was not handed back during the outage")
	}

	shared.set(false)
	if _, ok := take(t, f, someKey, rate, at(3)); ok {
		t.Error("the shared draw should still be there")
	}
	f.Return(t.Context(), someKey, rate, at(2)) // local, made during the outage
	f.Return(t.Context(), someKey, rate, at(0)) // shared
	if _, ok := take(t, f, someKey, rate, at(4)); !ok {
		t.Error("the shared draw was not handed back after the outage")
	}
	shared.set(true)
	if _, ok := take(t, f, someKey, rate, at(5)); !ok {
		t.Error("the local draw was not handed back after the outage")
	}
}
