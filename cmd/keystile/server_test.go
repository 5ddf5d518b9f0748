package main

import (
	"bytes"
	"context"
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
	"testing"
	"time"

	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/state"
)

// running is a server in this process, wired and listening as serve does it.
type running struct {
	*server
	t        *testing.T
	dir      string
	url      string
	log      *lockedBuffer
	upstream *witness
	// public and admin are its handlers, for requests from any address.
	public, admin http.Handler
	token         string
}

// lockedBuffer gathers what a server writes while it runs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// witness is an upstream that counts and remembers what reaches it.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r)
		w.mu.Unlock()
		if _, err := io.WriteString(rw, "the upstream's answer"); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	address := l.Addr().String()
	check(t, l.Close())
	return address
}

// house makes a directory as init does, with more configuration and a world.
// "{upstream}" in the configuration is the witness.
func (r *running) house(more, world string) {
	r.t.Helper()
	r.dir = filepath.Join(r.t.TempDir(), "house")
	must(initDirectory(r.t.Context(), r.dir))(r.t)
	file := filepath.Join(r.dir, "keystile.yaml")
	text := must(os.ReadFile(file))(r.t)
	text = append(text, strings.ReplaceAll(more, "{upstream}", r.upstream.URL)...)
	check(r.t, os.WriteFile(file, text, 0o600))
	r.apply(world)
	_, secret, err := r.beside().service.CreateAdminToken(r.t.Context(), actorOfTest, newTestToken)
	check(r.t, err)
	r.token = secret.Reveal()
}

// beside opens the house's store once more, as a command beside the server does.
func (r *running) beside() *house {
	r.t.Helper()
	cfg := must(config.Load(filepath.Join(r.dir, "keystile.yaml"), nil, nil))(r.t)
	a := &app{environment{getenv: func(string) string { return "" }}}
	h := must(a.openConfigured(r.t.Context(), cfg))(r.t)
	r.t.Cleanup(func() { check(r.t, h.close()) })
	return h
}

func (r *running) apply(world string) {
	r.t.Helper()
	w := must(state.Parse(state.File{Name: "world.yaml", Data: []byte(world)}))(r.t)
	must(applyWorld(r.t.Context(), r.beside(), w, state.Options{}))(r.t)
}

// startServer runs a server of a new house until the test ends. more is added
// to the configuration that init writes.
func startServer(t *testing.T, more, world string) *running {
	t.Helper()
	r := &running{t: t, log: &lockedBuffer{}, upstream: newWitness(t)}
	r.house(more, world)
	r.start(nil)
	return r
}

// start runs the server of r's house.
func (r *running) start(flags map[string]string) {
	r.t.Helper()
	all := map[string]string{"listen": freeAddress(r.t), "log-level": "debug"}
	for name, value := range flags {
		all[name] = value
	}
	load := func() (*config.Config, error) {
		return config.Load(filepath.Join(r.dir, "keystile.yaml"), nil, all)
	}
	cfg := must(load())(r.t)
	ready := make(chan *server, 1)
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	a := &app{environment{stdout: io.Discard, stderr: r.log, getenv: func(string) string { return "" }}}
	go func() {
		ended <- a.serve(ctx, cfg, serveOptions{reload: load, ready: func(_ context.Context, s *server) error {
			ready <- s
			return nil
		}})
	}()
	r.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			r.t.Errorf("the server ended: %v", err)
		}
	})
	select {
	case r.server = <-ready:
	case err := <-ended:
		ended <- nil
		r.t.Fatalf("the server did not start: %v\n%s", err, r.log)
	}
	r.url = r.server.url()
	var err error
	r.public, r.admin, err = r.handlers()
	check(r.t, err)
}

// asked is a request to a handler, from any address and with any Host.
type asked struct {
	method, target, host, from, body string
	header                           http.Header
}

// ask gives a request to a handler.
func (r *running) ask(h http.Handler, q asked) *httptest.ResponseRecorder {
	r.t.Helper()
	if q.method == "" {
		q.method = http.MethodGet
	}
	request := httptest.NewRequestWithContext(r.t.Context(), q.method, q.target, strings.NewReader(q.body))
	request.Host, request.RemoteAddr = "127.0.0.1:8080", "192.0.2.1:40000"
	if q.host != "" {
		request.Host = q.host
	}
	if q.from != "" {
		request.RemoteAddr = net.JoinHostPort(q.from, "40000")
	}
	for name, values := range q.header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if q.body != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	return w
}

func bearerOf(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func keyHeader(key string) http.Header { return http.Header{"X-Api-Key": {key}} }

// call makes a real request to the running server.
func (r *running) call(method, path string, header http.Header, body string) (status int, answer string) {
	r.t.Helper()
	request := must(http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body)))(r.t)
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if body != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response := must(http.DefaultClient.Do(request))(r.t)
	raw := must(io.ReadAll(response.Body))(r.t)
	check(r.t, response.Body.Close())
	return response.StatusCode, string(raw)
}

// eventually waits until try succeeds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// command runs keystile in this process.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	status = run(t.Context(), environment{
		args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &problems, getenv: func(string) string { return "" },
	})
	return status, out.String(), problems.String()
}

// simpleWorld has one organisation with a site and a key.
const simpleWorld = `organizations: [{id: acme, name: Acme}]
sites: [{id: Roof, organization: acme}]
api_keys:
  - {id: key_good, secret: good-0123456789abcdef-key, organization: acme, permitted_site_ids: [Roof], scopes: ["things:read"]}
`

const goodKey = "good-0123456789abcdef-key"

// simpleRoutes take that key.
const simpleRoutes = `
trusted_proxies: [192.0.2.77/32]
routes:
  - match:    {path: /things/**}
    upstream: "{upstream}"
    accept:   [api_key]
    scopes:   ["things:read"]
`

func TestThreat33_NothingThatHoldsSecretsPrintsThem(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	for _, text := range []string{fmt.Sprintf("%v", r.cfg), fmt.Sprintf("%+v", *r.cfg), fmt.Sprintf("%#v", r.cfg.Store)} {
		if strings.Contains(text, r.dir+"/keystile.db") {
			t.Errorf("the store's URL, which may hold a password, is printed: %s", text)
		}
	}
}
