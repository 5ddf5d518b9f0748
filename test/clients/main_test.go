package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keystile.dev/keystile/examples/mcp"
	"keystile.dev/keystile/test/e2e/program"
)

// What all tests share: one server, with an API behind its gateway.
var (
	// binary is the keystile that runs, house the directory of its configuration.
	binary, house string
	// origin is the server as people and clients know it, apis the same one as the gateway.
	origin, apis string
	// certified is the listener that asks for certificates.
	certified string
	// authority is the file of the certificate that the server's is signed by.
	authority string
	// trusting trusts it.
	trusting http.RoundTripper
	// documents serves what a client says of itself, to the server.
	documents *httptest.Server
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "keystile-clients-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary = filepath.Join(dir, "keystile") // built in its own module
	if _, err := command(ctx, "../..", "go", "build", "-o", binary, "./cmd/keystile"); err != nil {
		return 1, err
	}
	api, tools := httptest.NewServer(http.HandlerFunc(sites)), httptest.NewServer(mcp.Handler())
	defer api.Close()
	defer tools.Close()
	documents = httptest.NewTLSServer(http.HandlerFunc(mcpDocument))
	defer documents.Close()
	server, err := startServer(ctx, dir, api.URL, tools.URL)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Kill()) }()
	if code = m.Run(); code != 0 {
		fmt.Fprintln(os.Stderr, server.Stderr())
	}
	return code, nil
}

// configuration takes the address, the public URL, the API behind the gateway, the
// route of docs/mcp.md, and the line of the page that asks clients for certificates.
const configuration = `
listen: %s
public_url: %s
tls: {mode: dev}
outbound: {allow_private: [127.0.0.0/8]}
routes:
  - match:    {host: 127.0.0.1, path: /api/v2/sites/**, methods: [GET]}
    upstream: %s
    accept:   [oauth_token]
    scopes:   [sites:read]
    errors:   nao
%s
%s
`

// world is who and what there is. Clients are made by each test.
const world = `
organizations:
  - {id: nao-corp, name: NAO Corp, environment: production}
  - {id: roof-tools-inc, name: Roof Tools Inc, environment: production}
roles:
  - {id: role_site_admin, name: Site admin, scopes: ["sites:*"]}
users:
  - {username: ann@example.com, name: Ann Archer, email: ann@example.com, password: correct horse battery, organization: nao-corp, role_id: role_site_admin}
  - {username: bob@example.com, organization: roof-tools-inc, role_id: role_site_admin}
identity_providers:
  - {name: sso, organization: roof-tools-inc, issuer: "https://sso.example.com", audience: keystile, algorithms: [HS256], claims: {username: email}, secret: ` + providerSecret + `}
`

// providerSecret signs the tokens of the identity provider.
const providerSecret = "5d1f0c2b3a4958677d6f1c2b3a4958675d1f0c2b3a495867"

// sites is the API behind the gateway: it tells who the gateway says is calling.
func sites(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"sites": []string{"Central Station"}, "subject": r.Header.Get("Keystile-Subject")}) //nolint:errcheck // the caller has gone
}

func startServer(ctx context.Context, dir, api, tools string) (*program.Process, error) {
	house = filepath.Join(dir, "house")
	if _, err := command(ctx, dir, binary, "init", house); err != nil {
		return nil, err
	}
	address, err := program.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	origin = "https://localhost:" + address[strings.LastIndexByte(address, ':')+1:]
	apis = "https://" + address
	page, err := os.ReadFile(mcpPage)
	if err != nil {
		return nil, err
	}
	route := strings.NewReplacer("mcp.example.com", "127.0.0.1", "http://127.0.0.1:9000", tools).Replace(string(mcpRoute.FindSubmatch(page)[1]))
	line, err := certificates(ctx)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(configuration, address, origin, api, route, line)
	state := filepath.Join(dir, "world.yaml")
	if err := errors.Join(os.WriteFile(filepath.Join(house, "keystile.yaml"), []byte(config), 0o600), os.WriteFile(state, []byte(world), 0o600)); err != nil {
		return nil, err
	}
	if _, err := command(ctx, house, binary, "apply", "-f", state, "--yes"); err != nil {
		return nil, err
	}
	roots := filepath.Join(dir, "documents.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: documents.Certificate().Raw}), 0o600); err != nil {
		return nil, err
	}
	server, err := program.Start(ctx, program.Command{Dir: house, Env: []string{"SSL_CERT_FILE=" + roots}, Argv: []string{binary, "serve"}})
	if err != nil {
		return nil, err
	}
	if _, err := server.Listening(ctx); err != nil {
		return nil, errors.Join(err, server.Kill())
	}
	authority = filepath.Join(house, "dev-ca", "ca.crt")
	if err := trust(); err != nil {
		return nil, errors.Join(err, server.Kill())
	}
	return server, nil
}

func trust() error {
	text, err := os.ReadFile(authority)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return errors.New("the authority is no certificate")
	}
	trusting = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return nil
}

// command runs a program and returns what it wrote on standard output.
func command(ctx context.Context, dir string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, out, stderr.String())
	}
	return string(out), nil
}

// registered is a client as "keystile client create" tells of it.
type registered struct{ ID, Secret string }

// callback is where clients want the browser back. Nobody listens there.
const callback = "https://app.example.com/cb"

// register makes a client with a name of its own.
func register(t *testing.T, arguments ...string) registered {
	t.Helper()
	argv := append([]string{binary, "client", "create", "--organization", "roof-tools-inc", "--name", t.Name(), "-o", "json"}, arguments...)
	return readClient(t, must(command(t.Context(), house, argv...))(t))
}

func readClient(t *testing.T, text string) registered {
	t.Helper()
	var c registered
	check(t, json.Unmarshal([]byte(text), &c))
	if c.ID == "" {
		t.Fatalf("no client: %s", text)
	}
	return c
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
