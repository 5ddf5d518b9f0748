package storetest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"keystile.dev/keystile/internal/store"
)

// nonce is a key made from a word.
func nonce(word string) [16]byte {
	d := Digest(word)
	return [16]byte(d[:16])
}

func claim(t *testing.T, s *store.Store, word string, keepUntil time.Time) store.NonceClaim {
	t.Helper()
	c, err := s.ClaimNonce(t.Context(), nonce(word), keepUntil)
	noError(t, err)
	return c
}

var nonceBehaviours = []behaviour{
	{"TestThreat08 of 64 that claim one nonce at once, one is first", func(t *testing.T, s *store.Store) {
		var fresh atomic.Int64
		together(t, 64, func(i int) error {
			c, err := s.ClaimNonce(t.Context(), nonce("n"), T0.Add(time.Duration(i)*time.Second))
			if c.Fresh {
				fresh.Add(1)
			}
			return err
		})
		if fresh.Load() != 1 {
			t.Errorf("%d claims were fresh", fresh.Load())
		}
	}},
	{"a nonce that was claimed is spent, and nothing else is", func(t *testing.T, s *store.Store) {
		spent := func(word string, want bool) {
			t.Helper()
			if got, err := s.NonceSpent(t.Context(), nonce(word)); err != nil || got != want {
				t.Errorf("%s spent: %v, %v", word, got, err)
			}
		}
		spent("a", false)
		c := claim(t, s, "a", T0)
		if !c.Fresh || c.Now.IsZero() || c.Bounds != (store.NonceBounds{}) {
			t.Errorf("claim %+v", c)
		}
		spent("a", true)
		spent("b", false)
		if claim(t, s, "a", T0.Add(time.Hour)).Fresh || !claim(t, s, "b", T0).Fresh {
			t.Error("a second claim of a is fresh, or the first of b is not")
		}
	}},
	{"bounds only rise, each by itself, and every claim shows them", func(t *testing.T, s *store.Store) {
		at := func(n int) time.Time { return T0.Add(time.Duration(n) * time.Microsecond) }
		for _, step := range []struct{ raise, want store.NonceBounds }{
			{store.NonceBounds{}, store.NonceBounds{}},
			{store.NonceBounds{Floor: at(5)}, store.NonceBounds{Floor: at(5)}},
			{store.NonceBounds{Refuse: at(7)}, store.NonceBounds{Floor: at(5), Refuse: at(7)}},
			{store.NonceBounds{Floor: at(4), Refuse: at(8)}, store.NonceBounds{Floor: at(5), Refuse: at(8)}},
			{store.NonceBounds{Floor: at(6), Refuse: at(1)}, store.NonceBounds{Floor: at(6), Refuse: at(8)}},
		} {
			noError(t, s.RaiseNonceBounds(t.Context(), step.raise))
			got, now, err := s.NonceBounds(t.Context())
			same(t, err, step.want, got)
			if later := claim(t, s, "n", T0); later.Bounds != step.want || later.Now.Before(now) {
				t.Errorf("claim %+v, bounds read at %v", later, now)
			}
		}
	}},
	{"a purge deletes what is over, the oldest first, no more than it is told", func(t *testing.T, s *store.Store) {
		for i, word := range []string{"a", "b", "c", "d"} {
			claim(t, s, word, T0.Add(time.Duration(i)*time.Second))
		}
		for _, step := range []struct {
			before time.Time
			want   int64
			left   string
		}{
			{T0.Add(-time.Microsecond), 0, "abcd"}, {T0.Add(2 * time.Second), 2, "cd"}, {T0.Add(2 * time.Second), 1, "d"}, {T0.Add(2 * time.Second), 0, "d"},
		} {
			n, err := s.PurgeNonces(t.Context(), step.before, 2)
			left := ""
			for _, word := range []string{"a", "b", "c", "d"} {
				if there, err := s.NonceSpent(t.Context(), nonce(word)); err == nil && there {
					left += word
				}
			}
			if err != nil || n != step.want || left != step.left {
				t.Errorf("purged %d, left %q, %v; want %d and %q", n, left, err, step.want, step.left)
			}
		}
	}},
	{"TestThreat08 a claim that a purge made possible again sees the floor the purge raised", func(t *testing.T, s *store.Store) {
		end := T0.Add(time.Minute)
		claim(t, s, "n", end)
		var twice atomic.Int64
		together(t, 16, func(i int) error {
			if i == 0 {
				if err := s.RaiseNonceBounds(t.Context(), store.NonceBounds{Floor: end}); err != nil {
					return err
				}
				_, err := s.PurgeNonces(t.Context(), end, 100)
				return err
			}
			c, err := s.ClaimNonce(t.Context(), nonce("n"), end)
			if c.Fresh && c.Bounds.Floor.Before(end) {
				twice.Add(1)
			}
			return err
		})
		if twice.Load() != 0 {
			t.Errorf("%d claims were fresh below the floor", twice.Load())
		}
	}},
	{"purges at once delete each nonce once", func(t *testing.T, s *store.Store) {
		for i := range 60 {
			claim(t, s, string(rune('a'+i)), T0)
		}
		var purged atomic.Int64
		together(t, 6, func(int) error {
			n, err := s.PurgeNonces(t.Context(), T0, 100)
			purged.Add(n)
			return err
		})
		if purged.Load() != 60 {
			t.Errorf("purged %d", purged.Load())
		}
	}},
	{"a claim whose caller has gone is an error and not an answer", func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if c, err := s.ClaimNonce(ctx, nonce("n"), T0); err == nil || c.Fresh {
			t.Errorf("claim %+v, %v", c, err)
		}
	}},
}
