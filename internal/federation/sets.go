package federation

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How long fetched keys are used.
const (
	// freshFor is how long they are not asked for again.
	freshFor = 15 * time.Minute
	// StaleFor is how long they count after they were fetched while the endpoint is
	// down; after that nobody is signed in by the provider.
	StaleFor = time.Hour
	// againAfter is how soon an unknown key, or a failure, may lead to another fetch.
	againAfter = 30 * time.Second
	// firstAgainAfter is the same where there are no keys at all yet.
	firstAgainAfter = 5 * time.Second
	// maxSets bounds the memory for keys; providers are made by administrators.
	maxSets = 10_000
)

// place is where keys are fetched from, and for whom: the name of the provider is
// a part of it, so that no two share what they were given.
type place struct{ provider, url string }

// sets keeps what providers serve: their keys, or where their endpoints are.
type sets[T any] struct {
	fetch func(ctx context.Context, url string, limit int64) ([]byte, error)
	limit int64
	parse func([]byte) (*T, error)
	now   func() time.Time

	mu    sync.Mutex
	known map[place]*served[T]
}

// served is what is known of one place. Its lock is held while it is fetched, so
// that many who ask at once are one fetch.
type served[T any] struct {
	mu      sync.Mutex
	set     *T // nil: none yet
	fetched time.Time
	tried   time.Time
	failure error // of the last try
}

func newSets[T any](o Options, limit int64, parse func([]byte) (*T, error)) *sets[T] {
	return &sets[T]{fetch: o.Fetch, limit: limit, parse: parse, now: o.Now, known: map[place]*served[T]{}}
}

func (s *sets[T]) at(p place) *served[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[p]
	if k == nil {
		if len(s.known) >= maxSets {
			clear(s.known)
		}
		k = &served[T]{}
		s.known[p] = k
	}
	return k
}

func (s *sets[T]) drop(provider string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.known {
		if p.provider == provider {
			delete(s.known, p)
		}
	}
}

func (s *sets[T]) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// of is the set of a place: remembered, fetched, or, while it cannot be fetched,
// the last one for as long as that counts.
func (s *sets[T]) of(ctx context.Context, p place) (*T, error) {
	k := s.at(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := s.now()
	if k.set == nil || past(k.fetched, freshFor, now) {
		wait := againAfter
		if k.set == nil {
			wait = firstAgainAfter
		}
		if k.tried.IsZero() || past(k.tried, wait, now) {
			s.renew(ctx, p, k)
		}
	}
	switch {
	case k.set == nil:
		return nil, fmt.Errorf("they were never fetched: %w", k.failure)
	case past(k.fetched, StaleFor, now):
		return nil, fmt.Errorf("they are older than %s: %w", StaleFor, k.failure)
	}
	return k.set, nil
}

// again fetches a set for a key that it does not hold, unless that was tried in
// the last 30 seconds. It says whether the set was fetched.
func (s *sets[T]) again(ctx context.Context, p place) bool {
	k := s.at(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	return past(k.tried, againAfter, s.now()) && s.renew(ctx, p, k)
}

// renew fetches, under the lock of the place. The fetch is not given up with the
// caller who happened to need it: others wait for it, and it is bounded by itself.
func (s *sets[T]) renew(ctx context.Context, p place, k *served[T]) bool {
	// From its end on: who waited for an endpoint that hangs must not wait for it once more.
	defer func() { k.tried = s.now() }()
	data, err := s.fetch(context.WithoutCancel(ctx), p.url, s.limit)
	var set *T
	if err == nil {
		set, err = s.parse(data)
	}
	if k.failure = err; err != nil {
		return false
	}
	k.set, k.fetched = set, s.now()
	return true
}

// past says whether a time is so long ago. One that lies ahead, because the clock
// was set back, is past too: keys are rather fetched once more.
func past(at time.Time, d time.Duration, now time.Time) bool {
	since := now.Sub(at)
	return since >= d || since < -d
}
