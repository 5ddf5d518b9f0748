package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keystile.dev/keystile/test/e2e/program"
)

// binary is the built program.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (status int) {
	dir, err := os.MkdirTemp("", "keystile-chaos-")
	if err == nil {
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				status = 1
			}
		}()
		binary, err = program.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
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

// eventually wants try to succeed in the end.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	check(t, program.Until(t.Context(), try))
}

// Keys that the houses here begin with.
const (
	goodKey  = "good-0123456789abcdef-key"
	otherKey = "other-0123456789abcdef-key"
)

// world is a state file with both keys.
const world = `organizations: [{id: acme, name: Acme}]
api_keys:
  - {id: key_good, secret: good-0123456789abcdef-key, organization: acme}
  - {id: key_other, secret: other-0123456789abcdef-key, organization: acme}
`

// house is a directory with a configuration, a key and a store.
type house struct {
	t      *testing.T
	dir    string
	config string
}

// newHouse makes a directory whose routes lead /things/** to upstream.
func newHouse(t *testing.T, upstream, more string) *house {
	t.Helper()
	return newHouseIn(t, filepath.Join(t.TempDir(), "house"), upstream, more)
}

func newHouseIn(t *testing.T, dir, upstream, more string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, config: filepath.Join(dir, "keystile.yaml")}
	h.want(0, "init", dir)
	text := must(os.ReadFile(h.config))(t)
	text = append(text, fmt.Appendf(nil, "\n%s\nroutes:\n  - match: {path: /things/**}\n    upstream: %s\n    accept: [api_key]\n", more, upstream)...)
	check(t, os.WriteFile(h.config, text, 0o600))
	h.apply(0, world)
	return h
}

// answered is what a command wrote and how it ended.
type answered struct {
	status         int
	stdout, stderr string
}

// command runs keystile with --config where it takes one.
func (h *house) command(args ...string) answered {
	h.t.Helper()
	if args[0] != "init" {
		args = append(args, "--config", h.config)
	}
	cmd := exec.CommandContext(h.t.Context(), binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return answered{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want runs a command that must end with status.
func (h *house) want(status int, args ...string) answered {
	h.t.Helper()
	a := h.command(args...)
	if a.status != status {
		h.t.Fatalf("keystile %q ended with %d, want %d\n%s%s", args, a.status, status, a.stdout, a.stderr)
	}
	return a
}

// apply applies a state file.
func (h *house) apply(status int, text string) answered {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "world.yaml")
	check(h.t, os.WriteFile(file, []byte(text), 0o600))
	return h.want(status, "apply", "-f", file)
}

// server is a running keystile serve.
type server struct {
	*program.Process
	t   *testing.T
	url string
}

// launch starts serve and does not wait for it.
func (h *house) launch(args ...string) *server {
	h.t.Helper()
	listen := must(program.FreeAddress(h.t.Context()))(h.t)
	argv := append([]string{binary, "serve", "--config", h.config, "--listen", listen}, args...)
	p := must(program.Start(h.t.Context(), program.Command{Dir: h.dir, Argv: argv}))(h.t)
	h.t.Cleanup(func() { check(h.t, p.Kill()) })
	return &server{Process: p, t: h.t, url: "http://" + listen}
}

// serve starts serve and waits until it listens.
func (h *house) serve(args ...string) *server {
	h.t.Helper()
	s := h.launch(args...)
	s.url = must(s.Listening(h.t.Context()))(h.t)
	return s
}

// refusesToStart runs serve, which must end with status 1 and say words.
func (h *house) refusesToStart(args []string, words ...string) {
	h.t.Helper()
	s := h.launch(args...)
	if status := must(s.Wait(h.t.Context()))(h.t); status != 1 {
		h.t.Errorf("serve ended with %d", status)
	}
	for _, word := range words {
		if !strings.Contains(s.Stderr(), word) {
			h.t.Errorf("serve says no %q:\n%s", word, s.Stderr())
		}
	}
}

// client gives each request of a test a deadline far beyond what it should take.
var client = &http.Client{Timeout: program.Patience, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// get asks for a path with a key ("" for none).
func (s *server) get(path, key string) (status int, body string, err error) {
	return fetch(s.t.Context(), client, s.url+path, key)
}

func fetch(ctx context.Context, c *http.Client, url, key string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if key != "" {
		r.Header.Set("X-Api-Key", key)
	}
	response, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	raw, err := io.ReadAll(response.Body)
	return response.StatusCode, string(raw), errors.Join(err, response.Body.Close())
}

// wants asks for a path and wants the status now.
func (s *server) wants(status int, path, key string) string {
	s.t.Helper()
	got, body, err := s.get(path, key)
	if err != nil {
		s.t.Fatalf("GET %s: %v\n%s", path, err, s.Stderr())
	}
	if got != status {
		s.t.Fatalf("GET %s with %q: %d, want %d: %s\n%s", path, key, got, status, body, s.Stderr())
	}
	return body
}

// comes waits until a path is answered with status.
func (s *server) comes(status int, path, key string) string {
	s.t.Helper()
	body := ""
	check(s.t, s.Eventually(s.t.Context(), func() error {
		got, text, err := s.get(path, key)
		if err == nil && got != status {
			err = fmt.Errorf("GET %s: %d, want %d: %s", path, got, status, text)
		}
		body = text
		return err
	}))
	return body
}

// stop ends the server as a service manager does, and wants exit status 0.
func (s *server) stop() {
	s.t.Helper()
	check(s.t, s.Signal(sigterm))
	if status := must(s.Wait(s.t.Context()))(s.t); status != 0 {
		s.t.Errorf("after SIGTERM it ended with %d\n%s", status, s.Stderr())
	}
}

// echo is an upstream that answers at once.
func echo(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.WriteString(w, "upstream saw "+r.URL.Path); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// post sends JSON with an admin token.
func (s *server) post(path, token, body string) (status int, text string) {
	s.t.Helper()
	r := must(http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(body)))(s.t)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response := must(client.Do(r))(s.t)
	raw := must(io.ReadAll(response.Body))(s.t)
	check(s.t, response.Body.Close())
	return response.StatusCode, string(raw)
}
