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
)

// bankKey is a signing key as the SDKs' live tests take it.
type bankKey struct {
	Organization string `json:"organization"`
	APIKey       string `json:"api_key"`
	Algorithm    string `json:"algorithm"`
	Secret       string `json:"secret,omitempty"`
	PrivateKey   string `json:"private_key,omitempty"`
}

func TestPythonAndJavaScriptSignWhatTheServerAcceptsOnce(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "keystile")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/keystile")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, build)

	dir := filepath.Join(t.TempDir(), "world")
	output(t, exec.Command(binary, "init", dir))
	config := filepath.Join(dir, "keystile.yaml")
	run := func(args ...string) []byte {
		return output(t, exec.Command(binary, append(args, "--config", config)...))
	}
	upstream := httptest.NewServer(finapi.Handler(time.Now, func() string { return "op" }))
	t.Cleanup(upstream.Close)
	address := freeAddress(t)
	text := fmt.Sprintf("listen: %s\nstore: sqlite:keystile.db\nmaster_key: file:master.key\nroutes:\n"+
		"  - {match: {path: /finapi/**}, upstream: %s, accept: [onetime], scopes: [finapi:use], errors: ownera}\n", address, upstream.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("org", "create", "--id", "bank-x")
	var keys []bankKey
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		var key bankKey
		made := run("signing-key", "create", "--organization", "bank-x", "--algorithm", algorithm, "--scope", "finapi:*", "-o", "json")
		if err := json.Unmarshal(made, &key); err != nil {
			t.Fatalf("%v: %s", err, made)
		}
		keys = append(keys, key)
	}
	bank, err := json.Marshal(map[string]any{"keys": keys, "requests": []map[string]string{
		{"method": "GET", "path": "/finapi/profiles/owner"},
		{"method": "POST", "path": "/finapi/payments/deposit", "body": `{"asset":"EUR","amount":"1.00"}`},
	}})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, binary, config, address)

	script := exec.Command("../../sdk/test.sh")
	script.Env = append(os.Environ(), "KEYSTILE_TEST_SERVER=http://"+address, "KEYSTILE_TEST_BANK="+string(bank), "KEYSTILE_TEST_BINARY="+binary)
	printed := output(t, script)
	for _, language := range []string{"python: ", "javascript: "} {
		if !bytes.Contains(printed, []byte(language)) {
			t.Errorf("%s ran no test: %s", language, printed)
		}
	}
	t.Log(lastLines(string(printed), 2))
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
func serve(t *testing.T, binary, config, address string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v: %s", err, stderr.String())
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			if err := answer.Body.Close(); err != nil {
				t.Error(err)
			}
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the server is not ready: %s", stderr.String())
		case <-tick.C:
		}
	}
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
