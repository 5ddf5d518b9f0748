package gather_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/gather"
)

func TestCallersShareTransactionsAndEachHasItsOwnAnswer(t *testing.T) {
	const callers = 300
	var batches atomic.Int64
	first, begun := make(chan struct{}), make(chan struct{})
	c := gather.New(func(_ context.Context, batch []int) ([]int, error) {
		if batches.Add(1) == 1 { // the others come meanwhile
			close(begun)
			<-first
		}
		doubled := slices.Clone(batch)
		for i := range doubled {
			doubled[i] *= 2
		}
		return doubled, nil
	})
	defer c.Close()
	var all, arrived sync.WaitGroup
	ask := func(n int) {
		all.Go(func() {
			arrived.Done()
			if got, err := c.Do(t.Context(), n); err != nil || got != 2*n {
				t.Errorf("%d: %d, %v", n, got, err)
			}
		})
	}
	arrived.Add(callers)
	ask(0)
	<-begun
	for n := 1; n < callers; n++ {
		ask(n)
	}
	arrived.Wait()
	close(first)
	all.Wait()
	if n := batches.Load(); n >= callers/2 {
		t.Errorf("%d transactions for %d callers", n, callers)
	}
}

func TestWhatFailsFailsForEachThatWaits(t *testing.T) {
	broken := errors.New("broken")
	for name, write := range map[string]gather.Write[int, int]{
		"an error":        func(context.Context, []int) ([]int, error) { return nil, broken },
		"a panic":         func(context.Context, []int) ([]int, error) { panic("broken") },
		"too few answers": func(context.Context, []int) ([]int, error) { return nil, nil },
	} {
		c := gather.New(write)
		for range 2 { // it goes on afterwards
			if _, err := c.Do(t.Context(), 1); !errors.Is(err, broken) && !errors.Is(err, keystile.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.Close()
	}
}

func TestAfterCloseNothingIsWritten(t *testing.T) {
	written := 0
	c := gather.New(func(_ context.Context, batch []int) ([]int, error) {
		written += len(batch)
		return batch, nil
	})
	if _, err := c.Do(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := c.Do(t.Context(), 2); !errors.Is(err, keystile.ErrUnavailable) || written != 1 {
		t.Errorf("%d written, %v", written, err)
	}
}

func TestACallerWhoGoesAwayIsNotWaitedFor(t *testing.T) {
	hold := make(chan struct{})
	c := gather.New(func(_ context.Context, batch []int) ([]int, error) {
		<-hold
		return batch, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(ctx, 1); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	close(hold)
	c.Close()
}
