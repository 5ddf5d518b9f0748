package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// host is the name that callers of every page use.
const host = "api.example.com"

// site is one page at work: keystile with the page's configuration, the API
// behind it, and in front whatever the page is about.
type site struct {
	name string
	dir  string
	// callers is the address callers connect to.
	callers string
	// keystile is the address keystile listens on.
	keystile string
	// tls is what a caller trusts.
	tls *tls.Config
	// key is the key that the page's preparation made, for site north.
	key createdKey
	api *api
	// witness is nil where keystile is itself the gateway.
	witness *witness
}

type createdKey struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// newSite prepares what every page starts from, as docs/integrate/README.md says.
func newSite(name string) (*site, error) {
	dir, err := os.MkdirTemp("", "keystile-"+name+"-")
	if err != nil {
		return nil, err
	}
	teardown.add(func() error { return os.RemoveAll(dir) })
	s := &site{name: name, dir: dir}
	if s.tls, err = writeCertificate(dir); err != nil {
		return nil, err
	}
	if s.api, err = startAPI(); err != nil {
		return nil, err
	}
	if s.keystile, err = freeAddress(); err != nil {
		return nil, err
	}
	commands, err := blockWith("README.md", "prepare", "/var/lib/keystile", s.path("keystile"))
	if err != nil {
		return nil, err
	}
	out, err := s.shell(commands)
	if err != nil {
		return nil, err
	}
	s.key, err = lastKey(out)
	return s, err
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) config() string { return s.path("keystile/keystile.yaml") }

// shell runs commands of a page with keystile on the PATH, and gives standard output.
func (s *site) shell(commands string, env ...string) ([]byte, error) {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s\n%w\n%s%s", commands, err, out, stderr.Bytes())
	}
	return out, nil
}

// lastKey reads the JSON object that output ends with.
func lastKey(output []byte) (createdKey, error) {
	var key createdKey
	at := bytes.LastIndex(append([]byte{'\n'}, output...), []byte("\n{"))
	if at < 0 {
		return key, fmt.Errorf("no JSON object in:\n%s", output)
	}
	if err := json.Unmarshal(output[at:], &key); err != nil {
		return key, fmt.Errorf("%w in:\n%s", err, output)
	}
	if key.ID == "" || key.Secret == "" {
		return key, fmt.Errorf("a key without id or secret in:\n%s", output)
	}
	return key, nil
}

// serveForwardAuth starts keystile with a forward-auth page's configuration, and the witness in front of it.
func (s *site) serveForwardAuth(page string, oldnew ...string) error {
	if err := s.serve(page, append([]string{"127.0.0.1:8080", s.keystile}, oldnew...)...); err != nil {
		return err
	}
	var err error
	s.witness, err = startWitness(s.keystile)
	return err
}

// serve starts keystile with the configuration of a page.
func (s *site) serve(page string, oldnew ...string) error {
	config, err := blockWith(page, "keystile.yaml", append(oldnew,
		"/var/lib/keystile", s.path("keystile"), "127.0.0.1:9000", s.api.address())...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.config(), []byte(config), 0o600); err != nil {
		return err
	}
	p, err := start(s.dir, binary, "serve", "--config", s.config())
	if err != nil {
		return err
	}
	client := s.client()
	return p.ready(func() error {
		scheme := "http://"
		if s.callers == s.keystile {
			scheme = "https://"
		}
		answer, err := client.Get(scheme + s.keystile + "/readyz")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, answer.Body.Close()) }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz is %d", answer.StatusCode)
		}
		return nil
	})
}

// client trusts the site's certificate for api.example.com at any address.
func (s *site) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls.Clone(), DisableKeepAlives: true, ForceAttemptHTTP2: true}}
}

// front starts the program that callers connect to, and waits until it does TLS.
func (s *site) front(program string, args ...string) error {
	p, err := start(s.dir, program, args...)
	if err != nil {
		return err
	}
	return p.ready(func() error {
		c, err := s.dial()
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func (s *site) dial() (net.Conn, error) {
	d := &tls.Dialer{Config: s.tls, NetDialer: &net.Dialer{Timeout: patience}}
	return d.DialContext(context.Background(), "tcp", s.callers)
}

// newKey makes a key for site north with its own limit, so that tests do not use up each other's.
func (s *site) newKey(t *testing.T, limit string) createdKey {
	t.Helper()
	cmd := exec.Command(binary, "key", "create", "--config", s.config(), "-o", "json",
		"--organization", "acme", "--site", "north", "--scope", "telemetry:read")
	if limit != "" {
		cmd.Args = append(cmd.Args, "--limit", limit)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("key create: %v\n%s", err, out)
	}
	key, err := lastKey(out)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writeCertificate puts the certificate the pages speak of into dir, under the names in use there.
func writeCertificate(dir string) (*tls.Config, error) {
	certificate, key, err := selfSigned()
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"fullchain.pem": certificate, "privkey.pem": key, "both.pem": append(bytes.Clone(certificate), key...),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		return nil, errors.New("the certificate just made cannot be read")
	}
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}

// point is a page and how to put it to work.
type point struct {
	name  string
	start func() (*site, error)
}

// points are the pages every test here is run against.
var points = []point{
	once("gateway", startGateway),
	once("nginx", startNginx),
	once("nginx with x-original", startNginxOriginal),
	once("caddy", startCaddy),
	once("haproxy", startHAProxy),
	once("traefik", startTraefik),
}

func once(name string, start func() (*site, error)) point {
	var s *site
	var err error
	var done bool
	return point{name, func() (*site, error) {
		if !done {
			done = true
			s, err = start()
		}
		return s, err
	}}
}

// everywhere runs a test at every point.
func everywhere(t *testing.T, test func(t *testing.T, s *site)) {
	for _, p := range points {
		t.Run(strings.ReplaceAll(p.name, " ", "_"), func(t *testing.T) {
			s, err := p.start()
			if err != nil {
				t.Fatal(err)
			}
			s.api.take()
			if s.witness != nil {
				s.witness.take()
			}
			test(t, s)
		})
	}
}
