package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keystile.dev/keystile/examples/finapi"
	"keystile.dev/keystile/examples/telemetry"
)

// bankKey is a signing key as the SDKs' live tests take it.
type bankKey struct {
	Organization string `json:"organization"`
	APIKey       string `json:"api_key"`
	Algorithm    string `json:"algorithm"`
	Secret       string `json:"secret,omitempty"`
	PrivateKey   string `json:"private_key,omitempty"`
}

func TestThePythonAndJavaScriptSDKsWorkWithTheServer(t *testing.T) {
	w := newWorld(t)
	people, bank := w.people(), w.bank()
	w.serve()
	script := exec.Command("../../sdk/test.sh")
	script.Env = append(os.Environ(), "KEYSTILE_TEST_SERVER="+w.url, "KEYSTILE_TEST_BINARY="+w.binary,
		"KEYSTILE_TEST_BANK="+w.json(bank), "KEYSTILE_TEST_ONA="+w.json(people))
	printed := output(t, script)
	for _, language := range []string{"python: ", "javascript: "} {
		if !bytes.Contains(printed, []byte(language)) {
			t.Errorf("%s ran no test: %s", language, printed)
		}
	}
	t.Log(lastLines(string(printed), 2))
}

// world is a server with what the SDKs' live tests need, before it is started.
type world struct {
	*testing.T
	binary, config, url, secret string
}

// newWorld builds the program and configures a server in a folder of its own.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, binary: filepath.Join(t.TempDir(), "keystile"), url: "http://" + freeAddress(t), secret: random(t, 32)}
	build := exec.Command("go", "build", "-o", w.binary, "../../cmd/keystile")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, build)
	dir := filepath.Join(t.TempDir(), "world")
	output(t, exec.Command(w.binary, "init", dir))
	w.config = filepath.Join(dir, "keystile.yaml")
	text := fmt.Sprintf(configuration, strings.TrimPrefix(w.url, "http://"), w.url, w.secret,
		w.upstream(finapi.Handler(time.Now, func() string { return "op" })), w.upstream(telemetry.Handler()))
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// configuration: listen address, public URL, secret of Ona's tokens, upstreams of the bank and of the telemetry.
const configuration = `listen: %s
public_url: %s
store: sqlite:keystile.db
master_key: file:master.key
dialects:
  ona: {jwt: {secret: "%s"}}
  nao: {}
routes:
  - {match: {path: /finapi/**}, upstream: %s, accept: [onetime], scopes: [finapi:use], errors: ownera, same_origin: true}
  - match: {path: /prod/telemetry/**}
    upstream: %s
    strip_prefix: /prod
    accept: [api_key]
    resource: {type: site, id: query.site_id}
    scopes: [telemetry:read]
    errors: ona
    same_origin: true
`

func (w *world) upstream(h http.Handler) string {
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	return server.URL
}

// run runs a command on the store and reads its answer.
func (w *world) run(into any, args ...string) {
	w.Helper()
	printed := output(w.T, exec.Command(w.binary, append(args, "--config", w.config, "-o", "json")...))
	if err := json.Unmarshal(printed, into); err != nil {
		w.Fatalf("%v: %s", err, printed)
	}
}

func (w *world) json(value any) string {
	w.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// bank makes a signing key for each algorithm: KEYSTILE_TEST_BANK.
func (w *world) bank() any {
	w.Helper()
	w.run(new(any), "org", "create", "--id", "bank-x")
	var keys []bankKey
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		var key bankKey
		w.run(&key, "signing-key", "create", "--organization", "bank-x", "--algorithm", algorithm, "--scope", "finapi:*")
		keys = append(keys, key)
	}
	return map[string]any{"keys": keys, "requests": []map[string]string{
		{"method": "GET", "path": "/finapi/profiles/owner"},
		{"method": "POST", "path": "/finapi/payments/deposit", "body": `{"asset":"EUR","amount":"1.00"}`},
	}}
}

// output runs a program and returns what it printed on standard output.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.Bytes()
}

// serve runs the server until the test ends.
func (w *world) serve() {
	w.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(w.binary, "serve", "--config", w.config)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			w.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			w.Errorf("serve: %v: %s", err, stderr.String())
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !w.isReady(ctx) {
		select {
		case <-ctx.Done():
			w.Fatalf("the server is not ready: %s", stderr.String())
		case <-tick.C:
		}
	}
}

func (w *world) isReady(ctx context.Context) bool {
	w.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/readyz", nil)
	if err != nil {
		w.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	if err := answer.Body.Close(); err != nil {
		w.Error(err)
	}
	return answer.StatusCode == http.StatusOK
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
