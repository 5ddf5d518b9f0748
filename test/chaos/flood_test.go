package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/test/e2e/program"
)

// from is a client whose connections come from a loopback address of its own.
func from(t *testing.T, address string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 256}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: program.Patience}
}

// flood asks with a new, well-formed, unknown key each time, over many
// connections, until it is stopped.
type flood struct {
	refused atomic.Int64
	stop    context.CancelFunc
	callers sync.WaitGroup
}

func startFlood(t *testing.T, s *server, address string) *flood {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	f := &flood{stop: stop}
	c := from(t, address)
	for range 48 {
		f.callers.Go(func() {
			for ctx.Err() == nil {
				key, err := apikey.Generate(rand.Reader, "opa", keystile.Production)
				if err != nil {
					t.Error(err)
					return
				}
				status, body, err := fetch(ctx, c, s.url+"/things/a", key.Reveal())
				if ctx.Err() != nil {
					return
				}
				if err != nil || status != 401 {
					t.Errorf("an unknown key: %d %s %v", status, body, err)
					return
				}
				f.refused.Add(1)
			}
		})
	}
	t.Cleanup(f.end)
	return f
}

func (f *flood) end() {
	f.stop()
	f.callers.Wait()
}

// reaches waits for so many refusals.
func (f *flood) reaches(t *testing.T, n int64) {
	t.Helper()
	eventually(t, func() error {
		if now := f.refused.Load(); now < n {
			return fmt.Errorf("%d keys were refused, %d are to be", now, n)
		}
		return nil
	})
}

func TestAFloodOfUnknownKeysKeepsMemoryFlatAndColdGoodKeysAnswered(t *testing.T) {
	const good = 20
	// As little room as there may be: what is remembered of the flood is full early.
	h := newHouse(t, echo(t), "limits: {warm_refusals: 1024, lookups: 1, lookup_batch: 16}\nlog: {level: error}")
	h.apply(0, largeWorld(good))
	s := h.serve()
	s.wants(200, "/things/a", goodKey)
	f := startFlood(t, s, "127.0.0.2")
	f.reaches(t, 5_000)
	early := must(s.Resident())(t)

	// Keys that nobody has used yet, from another address and from the flood's own.
	for i := range good {
		client := from(t, []string{"127.0.0.3", "127.0.0.2"}[i%2])
		before := f.refused.Load()
		status, body, err := fetch(t.Context(), client, s.url+"/things/a", fmt.Sprintf("large-0123456789abcdef-%06d", i))
		if err != nil || status != 200 {
			t.Errorf("cold good key %d: %d %s %v", i, status, body, err)
		}
		f.reaches(t, before+1) // the flood goes on meanwhile
	}
	s.wants(200, "/things/a", goodKey)
	s.wants(200, "/readyz", "")

	f.reaches(t, 25_000)
	late := must(s.Resident())(t)
	f.end()
	if grown := late - early; grown > 48<<20 {
		t.Errorf("memory grew from %d to %d MiB in 20 000 unknown keys", early>>20, late>>20)
	}
	if late > 256<<20 {
		t.Errorf("%d MiB are resident", late>>20)
	}
	// A key made during or after the flood works at once.
	h.want(0, "key", "create", "--organization", "acme", "--secret", "fresh-0123456789abcdef-key")
	s.comes(200, "/things/a", "fresh-0123456789abcdef-key")
	s.stop()
}

func TestAFloodAgainstTheManagementAPINeverShutsOutAGoodToken(t *testing.T) {
	h := newHouse(t, echo(t), "log: {level: error}")
	s := h.serve()
	token := h.adminToken()
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer wg.Wait()
	defer stop()
	var tried atomic.Int64
	for i := range 16 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/keys", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", fmt.Sprintf("Bearer kadm_%038d", n*16+i))
				response, err := client.Do(r)
				if err != nil {
					return
				}
				if response.StatusCode != 401 && response.StatusCode != 429 {
					t.Errorf("a guess: %s", response.Status)
				}
				if err := response.Body.Close(); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				tried.Add(1)
			}
		})
	}
	eventually(t, func() error {
		if tried.Load() < 500 {
			return errors.New("the guessing has not begun")
		}
		return nil
	})
	for i := range 10 {
		if status, body := s.post("/v1/sites", token, fmt.Sprintf(`{"id":"s%d","organization":"acme"}`, i)); status != 201 {
			t.Errorf("a good token during the guessing: %d %s", status, body)
		}
	}
}
