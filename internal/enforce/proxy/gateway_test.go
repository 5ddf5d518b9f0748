package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come; it only passes in full
// when the test fails.
const patience = 60 * time.Second

// gateFunc is a gate whose answer is a function.
type gateFunc func(*keystile.Request) keystile.Decision

func (f gateFunc) Check(_ context.Context, r *keystile.Request) keystile.Decision { return f(r) }

// asserter signs nothing: the assertion names the subject and the audience.
type asserter struct{ err error }

func (a asserter) Assertion(d *keystile.Decision, audience string) (string, error) {
	return "jwt." + d.Principal.Subject + "." + audience, a.err
}

// testKey is who every allowed request of these tests comes from.
var testKey = &keystile.Principal{
	Subject: "key:k1", OrganizationID: "org1", Kind: keystile.KindAPIKey, CredentialID: "k1",
	Scopes: []keystile.Scope{"telemetry:read"}, SiteIDs: []string{"Sibaya"},
}

// world is a gateway in front of upstreams, all on loopback.
type world struct {
	t       *testing.T
	route   *keystile.Route
	gate    gateFunc
	options proxy.Options
	streams *proxy.Streams
	server  *httptest.Server
	client  *http.Client
	log     *logBuffer
}

// newWorld prepares a gateway whose one route leads to the upstreams; change it
// before start.
func newWorld(t *testing.T, upstreams ...string) *world {
	t.Helper()
	w := &world{t: t, log: &logBuffer{}}
	w.route = &keystile.Route{ID: "GET test/**", Upstreams: upstreams, Accept: []keystile.KindName{keystile.KindAPIKey}}
	w.gate = func(*keystile.Request) keystile.Decision {
		return keystile.Decision{Allowed: true, Principal: testKey, Route: w.route}
	}
	w.streams = proxy.NewStreams(proxy.StreamsOptions{Grace: time.Minute})
	w.options = proxy.Options{
		Asserter: asserter{}, Streams: w.streams,
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w
}

// start serves the gateway until the test ends.
func (w *world) start() *world {
	w.t.Helper()
	w.server = httptest.NewUnstartedServer(w.handler())
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	w.server.Start()
	w.client = w.server.Client()
	w.client.Timeout = patience
	transport, ok := w.client.Transport.(*http.Transport)
	if !ok {
		w.t.Fatalf("the test server's client has a %T", w.client.Transport)
	}
	transport.DisableCompression = true
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.t.Cleanup(w.stop)
	return w
}

func (w *world) stop() {
	w.client.CloseIdleConnections()
	w.streams.CloseAll()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.streams.Wait(ctx); err != nil {
		w.t.Errorf("exchanges are left after the test: %v", err)
	}
	w.server.CloseClientConnections()
	w.server.Close()
}

func (w *world) handler() *proxy.Handler {
	transport := proxy.NewTransport(proxy.TransportOptions{})
	w.t.Cleanup(transport.CloseIdleConnections)
	if w.options.Upstream == nil {
		w.options.Upstream = transport
	}
	w.options.Gate = gateFunc(func(r *keystile.Request) keystile.Decision { return w.gate(r) })
	return proxy.New(w.options)
}

func (w *world) address() string { return w.server.Listener.Addr().String() }

// do sends a request and reads the whole answer.
func (w *world) do(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("read the answer: %v", err)
	}
	if err := res.Body.Close(); err != nil {
		w.t.Fatalf("close the answer: %v", err)
	}
	return res, string(body)
}

func (w *world) request(method, target string, body io.Reader) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+target, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) get(target string) (*http.Response, string) {
	w.t.Helper()
	return w.do(w.request(http.MethodGet, target, nil))
}

// raw writes bytes to the gateway and returns all that comes back until it closes
// the connection.
func (w *world) raw(text string) string {
	w.t.Helper()
	c := w.dial()
	defer closeAll(w.t, c)
	if _, err := io.WriteString(c, text); err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, net.ErrClosed) && len(answer) == 0 {
		w.t.Fatalf("read the answer: %v", err)
	}
	return string(answer)
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(w.t.Context(), "tcp", w.address())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// upstream serves f until the test ends and returns its URL.
func upstream(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// recorder is an upstream that keeps what reached it.
type recorder struct {
	mu   sync.Mutex
	seen []seen
}

type seen struct {
	Target  string
	Host    string
	Method  string
	Header  http.Header
	Body    string
	BodyErr error
	Trailer http.Header
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	rec.mu.Lock()
	rec.seen = append(rec.seen, seen{r.RequestURI, r.Host, r.Method, r.Header.Clone(), string(body), err, r.Trailer.Clone()})
	rec.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

// last is the last request that arrived.
func (rec *recorder) last(t *testing.T) seen {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.seen) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return rec.seen[len(rec.seen)-1]
}

func (rec *recorder) all() []seen {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]seen(nil), rec.seen...)
}

func closeAll(t *testing.T, closers ...io.Closer) {
	t.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	}
}

// await waits until ok, which is asked again and again.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// receive waits for a channel.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// readAnswer reads one answer off a raw connection.
func readAnswer(t *testing.T, r *bufio.Reader, method string) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read an answer: %v", err)
	}
	return res
}

// logBuffer keeps log lines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
