package usage_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"

	"keystile.dev/keystile/internal/usage"
)

func finish[V any](b *usage.Batcher[V]) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Run(ctx)
	<-b.Done()
}

func TestTheNewestValueOfEachKeyIsStoredOnce(t *testing.T) {
	var stored []int
	b := usage.New(func(_ context.Context, values []int) error { stored = append(stored, values...); return nil }, slog.New(slog.DiscardHandler))
	b.Add("a", 1)
	b.Add("a", 2)
	b.Add("b", 3)
	finish(b)
	slices.Sort(stored)
	if !slices.Equal(stored, []int{2, 3}) {
		t.Errorf("stored %v", stored)
	}
}

func TestMoreThanABatchIsStoredWhole(t *testing.T) {
	n := 0
	b := usage.New(func(_ context.Context, values []int) error {
		if len(values) > 1000 {
			t.Errorf("a batch of %d", len(values))
		}
		n += len(values)
		return nil
	}, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				b.Add(strconv.Itoa(g)+"/"+strconv.Itoa(i), i)
			}
		})
	}
	wg.Wait()
	finish(b)
	if n != 4000 {
		t.Errorf("%d stored", n)
	}
}

func TestMemoryIsBoundedAndWhatIsLostIsCounted(t *testing.T) {
	b := usage.New(func(context.Context, []int) error { return errors.New("down") }, slog.New(slog.DiscardHandler))
	for i := range 140_000 {
		b.Add(strconv.Itoa(i), i)
	}
	if b.Dropped() != 140_000-131_072 {
		t.Errorf("%d dropped", b.Dropped())
	}
	finish(b)
	if b.Dropped() != 140_000 {
		t.Errorf("%d dropped after a failed write", b.Dropped())
	}
}
