package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
	"keystile.dev/keystile/sdk/go/sign"
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

const bankPolicy = `
routes:
  - match: {host: 127.0.0.1, path: /finapi/**, methods: [GET]}
    upstream: "{upstream}"
    same_origin: true
    accept: [onetime]
    scopes: [finapi:read]
`

func bankWorld(window string) string {
	return `
organizations: [{id: bank, name: Bank, environment: production` + window + `}]
signing_keys:  [{id: bank-key, organization: bank, algorithm: HS256, api_key: bank-key, secret: "0123456789abcdef0123456789abcdef", scopes: ["finapi:*"]}]
`
}

// A caller's clock is ahead, and its organisation is given a wider window for it.
func TestAWindowThatIsWidenedWhileTheServerRunsIsWidenedForTheLedgerToo(t *testing.T) {
	r := startServer(t, bankPolicy, bankWorld(""))
	signer := must(sign.NewHMAC("bank", "bank-key", "0123456789abcdef0123456789abcdef"))(t)
	ask := func(ahead time.Duration) int {
		header := must(signer.Header(sign.Stamp{Time: time.Now().Add(ahead)}))(t)
		return r.ask(r.public, asked{target: "/finapi/profile", header: http.Header{"Authorization": {header}}}).Code
	}
	if status := ask(0); status != http.StatusOK {
		t.Fatalf("a request stamped now: %d\n%s", status, r.log)
	}
	if status := ask(4 * time.Minute); status == http.StatusOK {
		t.Fatal("a stamp outside the window was taken")
	}
	r.apply(bankWorld(", onetime: {clock_window: 5m}"))
	eventually(t, func() error {
		if status := ask(4 * time.Minute); status != http.StatusOK {
			return fmt.Errorf("a stamp within the wider window: %d", status)
		}
		return nil
	})
	epoch := must(r.beside().store.Meta(t.Context(), metaLedgerEpoch))(t)
	if _, window, _ := strings.Cut(epoch, "."); window != strconv.Itoa(int(5*time.Minute)) {
		t.Errorf("the store keeps %q: if the journal is lost, nobody knows how long to refuse", epoch)
	}
}
