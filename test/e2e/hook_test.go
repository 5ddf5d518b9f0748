package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"keystile.dev/keystile/test/e2e/program"
)

// endpoint is a partner's server that is told of events.
type endpoint struct {
	mu     sync.Mutex
	broken bool
	told   []json.RawMessage
	seen   int // how many told has shown
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	query := map[string]string{}
	for name := range r.URL.Query() {
		query[name] = r.URL.Query().Get(name)
	}
	header := map[string]string{}
	for name := range r.Header {
		header[name] = r.Header.Get(name)
	}
	text, err := json.Marshal(map[string]any{"method": r.Method, "path": r.URL.Path, "query": query, "header": header, "body": string(body)})
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, text)
	if e.broken {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// hook starts an endpoint on this machine. Servers that are started later trust its
// certificate: it is in SSL_CERT_FILE. With "broken" it answers 503 until it is mended.
func hook(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && (len(args) == 1 || len(args) == 2 && args[1] == "broken"), "hook VAR [broken]")
	s := stageOf(ts)
	s.hooked = &endpoint{broken: len(args) == 2}
	srv := httptest.NewTLSServer(s.hooked)
	s.closers = append(s.closers, func() error { srv.Close(); return nil })
	file := ts.MkAbs("hook.pem")
	ts.Check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	ts.Setenv("SSL_CERT_FILE", file)
	ts.Setenv(args[0], srv.URL)
}

// mend lets the endpoint answer 200.
func mend(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "mend")
	e := stageOf(ts).hooked
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = false
}

// told waits for the next request to the endpoint, which must match, and writes it
// to stdout as JSON.
func told(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "told PATTERN")
	pattern, e := regexp.MustCompile(args[0]), stageOf(ts).hooked
	var next json.RawMessage
	ts.Check(program.Until(stageOf(ts).ctx, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.seen == len(e.told) {
			return fmt.Errorf("the endpoint was told nothing new")
		}
		next = e.told[e.seen]
		e.seen++
		return nil
	}))
	if !pattern.Match(next) {
		ts.Fatalf("the endpoint was told %s, which does not match %q", next, args[0])
	}
	_, err := ts.Stdout().Write(next)
	ts.Check(err)
}

// crash ends a server as kill -9 does.
func crash(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "crash NAME")
	p := server(ts, args[0])
	ts.Check(p.Signal(syscall.SIGKILL))
	_, err := p.Wait(stageOf(ts).ctx)
	ts.Check(err)
}

// page runs the shell blocks of a page of docs, one after the other in one shell, and
// writes to stdout what they write.
func page(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "page NAME")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", args[0]))
	ts.Check(err)
	script := "set -eu\n"
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	for _, block := range blocks {
		script += block[1]
	}
	if len(blocks) == 0 {
		ts.Fatalf("docs/%s has no shell block", args[0])
	}
	ts.Check(ts.Exec("sh", "-c", script))
}
