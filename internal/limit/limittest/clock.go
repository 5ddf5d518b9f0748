package limittest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Clock is the time a limiter counts by.
type Clock interface {
	// Now is what a caller passes as the present.
	Now() time.Time
	// Advance returns when at least d has passed.
	Advance(tb testing.TB, d time.Duration)
	// Window is a rate's window that the suite can afford to let pass, and
	// long enough that the suite fills a quota within it.
	Window() time.Duration
}

// Virtual is a clock that moves when told to.
type Virtual struct {
	mu  sync.Mutex
	now time.Time
}

// NewVirtual makes a clock that stands at a fixed time.
func NewVirtual(testing.TB) *Virtual {
	return &Virtual{now: time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)}
}

// Now implements Clock.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Advance implements Clock. A negative d steps the clock back.
func (v *Virtual) Advance(_ testing.TB, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

// Window implements Clock.
func (v *Virtual) Window() time.Duration { return time.Minute }

// Server is the clock of a Valkey server, which nobody can move.
type Server struct{ client valkey.Client }

// NewServer reads the clock of the server that Valkey names.
func NewServer(tb testing.TB) *Server {
	tb.Helper()
	return &Server{client: Client(tb)}
}

// Now implements Clock.
func (s *Server) Now() time.Time { return time.Now() }

// Window implements Clock.
func (s *Server) Window() time.Duration { return 2 * time.Second }

// Advance implements Clock: it waits until the server's clock has moved on,
// by having the server hold back an answer.
func (s *Server) Advance(tb testing.TB, d time.Duration) {
	tb.Helper()
	ctx := tb.Context()
	until := s.time(tb).Add(d)
	for {
		left := until.Sub(s.time(tb))
		if left <= 0 {
			return
		}
		wait := s.client.B().Blpop().Key(Prefix(tb) + "nothing").Timeout(left.Seconds() + 0.001).Build()
		if err := s.client.Do(ctx, wait).Error(); err != nil && !valkey.IsValkeyNil(err) {
			tb.Fatalf("wait on the server: %v", err)
		}
	}
}

func (s *Server) time(tb testing.TB) time.Time {
	tb.Helper()
	parts, err := s.client.Do(context.WithoutCancel(tb.Context()), s.client.B().Time().Build()).AsIntSlice()
	if err != nil || len(parts) != 2 {
		tb.Fatalf("read the server's clock: %v %v", parts, err)
	}
	return time.Unix(parts[0], parts[1]*1000)
}
