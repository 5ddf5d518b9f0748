package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// nodes are two ledgers over the nonce table of one store, as two servers have them.
func nodes(t *testing.T, st *store.Store) [2]*replay.Table {
	t.Helper()
	var both [2]*replay.Table
	for i := range both {
		table, err := replay.NewTable(replay.TableOptions{Claims: claimTable{st}, Memory: replay.MemoryOptions{Window: time.Minute, Now: time.Now}})
		if err != nil {
			t.Fatal(err)
		}
		both[i] = table
	}
	return both
}

func signedNow(scope, value string) replay.Nonce {
	now := time.Now()
	return replay.Nonce{Scope: scope, Value: value, Stamp: now, LastValid: now.Add(time.Minute)}
}

func TestThreat08_OnTheStoresTable64PresentationsOnTwoNodesGiveOneAcceptance(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, st *store.Store) {
		both := nodes(t, st)
		nonce := signedNow("bank", "0123456789abcdef")
		var accepted, replayed atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 64 {
			wg.Go(func() {
				<-start
				switch err := both[i%2].Claim(t.Context(), nonce); {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, keystile.ErrReplayed):
					replayed.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if accepted.Load() != 1 || replayed.Load() != 63 {
			t.Errorf("%d accepted, %d replayed", accepted.Load(), replayed.Load())
		}
	})
}

func TestThreat09_OnTheStoresTableAFreshNodeKnowsWhatWasSpent(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, st *store.Store) {
		nonce := signedNow("bank", "0123456789abcdef")
		if err := nodes(t, st)[0].Claim(t.Context(), nonce); err != nil {
			t.Fatal(err)
		}
		restarted := nodes(t, st)[1]
		if err := restarted.Spent(t.Context(), nonce); !errors.Is(err, keystile.ErrReplayed) {
			t.Errorf("Spent: %v", err)
		}
		if err := restarted.Claim(t.Context(), nonce); !errors.Is(err, keystile.ErrReplayed) {
			t.Errorf("Claim: %v", err)
		}
		if err := restarted.Claim(t.Context(), signedNow("bank", "another nonce of it")); err != nil {
			t.Errorf("a fresh nonce: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if err := restarted.Claim(t.Context(), signedNow("bank", "a nonce nobody can keep")); !errors.Is(err, keystile.ErrUnavailable) {
			t.Errorf("without a store: %v", err)
		}
	})
}
