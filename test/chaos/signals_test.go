package chaos

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

const (
	sigterm = syscall.SIGTERM
	sigkill = syscall.SIGKILL
)

// slow is an upstream that holds its answers until they are let go.
type slow struct {
	url     string
	arrived chan struct{}
	let     chan struct{}
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	s := &slow{arrived: make(chan struct{}, 1000), let: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/held") {
			s.arrived <- struct{}{}
			select {
			case <-s.let:
			case <-r.Context().Done():
				return
			}
		}
		if _, err := io.WriteString(w, strings.Repeat("whole ", 10_000)); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func TestSIGTERMUnderLoadDropsNoRequest(t *testing.T) {
	upstream := newSlow(t)
	h := newHouse(t, upstream.url, "")
	s := h.serve()

	// Requests that are under way when the signal comes.
	const held = 32
	answers := make(chan error, held)
	for range held {
		go func() {
			status, body, err := s.get("/things/held", goodKey)
			if err == nil && (status != 200 || len(body) != 60_000) {
				err = fmt.Errorf("%d with %d bytes", status, len(body))
			}
			answers <- err
		}()
	}
	for range held {
		<-upstream.arrived
	}
	// And requests one after the other, until nobody listens any more.
	var served atomic.Int64
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				status, body, err := s.get("/things/quick", goodKey)
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err != nil || status != 200 || len(body) != 60_000 {
					t.Errorf("a request was dropped: %d, %d bytes, %v", status, len(body), err)
					return
				}
				served.Add(1)
			}
		})
	}
	eventually(t, func() error {
		if served.Load() < 50 {
			return errors.New("there is no load yet")
		}
		return nil
	})
	check(t, s.Signal(sigterm))
	callers.Wait()
	if s.Ended() {
		t.Fatal("the server ended while requests were under way")
	}
	close(upstream.let)
	for range held {
		if err := <-answers; err != nil {
			t.Errorf("a request under way was dropped: %v", err)
		}
	}
	if status := must(s.Wait(t.Context()))(t); status != 0 {
		t.Errorf("it ended with %d\n%s", status, s.Stderr())
	}
}

func TestARequestThatOutlastsTheDrainTimeIsCutOffAndTheExitStatusIsZero(t *testing.T) {
	upstream := newSlow(t)
	h := newHouse(t, upstream.url, "drain_timeout: 200ms")
	s := h.serve()
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.get("/things/held", goodKey)
		ended <- err
	}()
	<-upstream.arrived
	s.stop()
	if err := <-ended; err == nil {
		t.Error("the request was answered")
	}
	if !strings.Contains(s.Stderr(), "drain time") {
		t.Errorf("it does not say that requests were cut off:\n%s", s.Stderr())
	}
}

func TestAfterKill9AServerIsReadyAgainAndNothingIsLost(t *testing.T) {
	h := newHouse(t, echo(t), "")
	s := h.serve()
	s.wants(200, "/things/a", goodKey)
	h.want(0, "key", "revoke", "key_other", "--yes")
	s.comes(401, "/things/a", otherKey)
	check(t, s.Signal(sigkill))
	if status := must(s.Wait(t.Context()))(t); status != -1 {
		t.Fatalf("it ended with %d", status)
	}
	for range 3 {
		s = h.serve()
		s.wants(200, "/readyz", "")
		s.wants(200, "/things/a", goodKey)
		s.wants(401, "/things/a", otherKey)
		check(t, s.Kill())
	}
}

func TestASecondServerOnTheSameStoreRefusesToStart(t *testing.T) {
	h := newHouse(t, echo(t), "")
	s := h.serve()
	h.refusesToStart(nil, fmt.Sprintf("pid %d", s.PID()), "stop it first")
	// Whatever the way to the store is written.
	link := filepath.Join(t.TempDir(), "link.db")
	check(t, os.Symlink(filepath.Join(h.dir, "keystile.db"), link))
	h.refusesToStart([]string{"--store", "sqlite:" + link}, fmt.Sprintf("pid %d", s.PID()))
	s.wants(200, "/things/a", goodKey)
	s.stop()
	h.serve().wants(200, "/things/a", goodKey)
}

func TestAPortInUseIsToldWithWhatToDo(t *testing.T) {
	h := newHouse(t, echo(t), "")
	taken := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	defer func() { check(t, taken.Close()) }()
	address := taken.Addr().String()
	h.refusesToStart([]string{"--listen", address}, address+" is in use by another process", "set listen to another address")
	h.refusesToStart([]string{"--admin-listen", address}, address+" is in use by another process")
	// It has let go of the store: the next server has it.
	h.serve().wants(200, "/readyz", "")
}
