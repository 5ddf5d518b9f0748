package usage

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushInterval = time.Second
	writeTimeout  = 10 * time.Second
	// maxPending bounds the memory of what is not stored yet.
	maxPending = 131_072
	// maxBatch bounds one write.
	maxBatch = 1000
)

// Batcher gathers values by key. It is safe for concurrent use.
type Batcher[V any] struct {
	write   func(ctx context.Context, values []V) error
	log     *slog.Logger
	mu      sync.Mutex
	pending map[string]V
	dropped atomic.Int64
	done    chan struct{}
}

// New makes a Batcher. Run stores what it gathers with write.
func New[V any](write func(ctx context.Context, values []V) error, logger *slog.Logger) *Batcher[V] {
	return &Batcher[V]{write: write, log: logger, pending: map[string]V{}, done: make(chan struct{})}
}

// Add notes the newest value of a key. It does not block; when too much waits
// for the store a value of a new key is dropped and counted.
func (b *Batcher[V]) Add(key string, value V) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.pending[key]; !known && len(b.pending) >= maxPending {
		b.dropped.Add(1)
		return
	}
	b.pending[key] = value
}

// Dropped counts values that were not stored.
func (b *Batcher[V]) Dropped() int64 { return b.dropped.Load() }

// Run stores until ctx ends, then stores what is left and returns.
func (b *Batcher[V]) Run(ctx context.Context) {
	defer close(b.done)
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.flush()
		case <-ctx.Done():
			b.flush()
			return
		}
	}
}

// Done is closed when Run has returned.
func (b *Batcher[V]) Done() <-chan struct{} { return b.done }

func (b *Batcher[V]) flush() {
	b.mu.Lock()
	pending := b.pending
	b.pending = map[string]V{}
	b.mu.Unlock()
	values := make([]V, 0, min(len(pending), maxBatch))
	for _, v := range pending {
		if values = append(values, v); len(values) == maxBatch {
			b.store(values)
			values = values[:0]
		}
	}
	if len(values) > 0 {
		b.store(values)
	}
}

func (b *Batcher[V]) store(values []V) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := b.write(ctx, values); err != nil {
		b.dropped.Add(int64(len(values)))
		b.log.Error("the use of credentials could not be recorded", "credentials", len(values), "error", err)
	}
}
