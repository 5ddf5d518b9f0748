package replaytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/valkey-io/valkey-go"
)

// ValkeyVariable is the environment variable that names the server for tests,
// such as redis://127.0.0.1:6399.
const ValkeyVariable = "KEYSTILE_TEST_VALKEY"

// ValkeyURL is the server for tests. A test that needs one fails without it: a
// guarantee that was not tried is not a guarantee.
func ValkeyURL(tb testing.TB) string {
	tb.Helper()
	url := os.Getenv(ValkeyVariable)
	if url == "" {
		tb.Fatalf("%s is not set, so this cannot be tested; run 'make test', which starts a server", ValkeyVariable)
	}
	return url
}

// Client connects to a server until the test ends.
func Client(tb testing.TB, url string) valkey.Client {
	tb.Helper()
	option, err := valkey.ParseURL(url)
	if err != nil {
		tb.Fatalf("%s: %v", url, err)
	}
	option.DisableCache = true
	client, err := valkey.NewClient(option)
	if err != nil {
		tb.Fatalf("connect to %s: %v", url, err)
	}
	tb.Cleanup(client.Close)
	return client
}

// Prefix is a prefix for keys that no other test uses. What is left under it is
// deleted when the test ends.
func Prefix(tb testing.TB, client valkey.Client) string {
	tb.Helper()
	prefix := "keystile-test:" + rand.Text() + ":"
	tb.Cleanup(func() {
		ctx := context.Background()
		keys, err := client.Do(ctx, client.B().Keys().Pattern(prefix+"*").Build()).AsStrSlice()
		if err == nil && len(keys) > 0 {
			err = client.Do(ctx, client.B().Unlink().Key(keys...).Build()).Error()
		}
		if err != nil {
			tb.Errorf("delete the keys this test left: %v", err)
		}
	})
	return prefix
}

// Server is a Valkey or Redis server of the test's own, to be killed.
type Server struct {
	tb   testing.TB
	dir  string
	port string
	args []string
	run  *exec.Cmd
	log  bytes.Buffer
}

// StartServer starts a server with more arguments, in a directory of its own. It is
// killed when the test ends.
func StartServer(tb testing.TB, args ...string) *Server {
	tb.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listen.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if err := listen.Close(); err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, dir: tb.TempDir(), port: port, args: args}
	s.Start()
	tb.Cleanup(s.Kill)
	return s
}

// URL is where the server listens.
func (s *Server) URL() string { return "redis://127.0.0.1:" + s.port }

// Port is where the server listens, as a number.
func (s *Server) Port() int64 {
	n, err := strconv.ParseInt(s.port, 10, 64)
	if err != nil {
		s.tb.Fatal(err)
	}
	return n
}

// Start starts the server again after Kill, with whatever is in its directory, and
// returns when it answers.
func (s *Server) Start() {
	s.tb.Helper()
	name, err := exec.LookPath("valkey-server")
	if err != nil {
		name, err = exec.LookPath("redis-server")
	}
	if err != nil {
		s.tb.Fatal("neither valkey-server nor redis-server is installed; on Debian: apt-get install redis-server")
	}
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	s.run = exec.Command(name, args...) //nolint:gosec // G204: a server for tests, found on the path
	s.run.Stdout, s.run.Stderr = &s.log, &s.log
	if err := s.run.Start(); err != nil {
		s.tb.Fatal(err)
	}
	option := valkey.ClientOption{InitAddress: []string{"127.0.0.1:" + s.port}, DisableCache: true}
	for range 2000 {
		client, err := valkey.NewClient(option)
		if err != nil {
			// Bounded by what a process needs to start listening: each try costs a fork's worth.
			if err := exec.Command("true").Run(); err != nil {
				s.tb.Fatal(err)
			}
			continue
		}
		err = client.Do(context.Background(), client.B().Ping().Build()).Error()
		client.Close()
		if err == nil {
			return
		}
	}
	s.tb.Fatal("the server does not answer")
}

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() {
	if s.run == nil {
		return
	}
	if err := s.run.Process.Kill(); err != nil {
		s.tb.Errorf("kill the server: %v", err)
	}
	if err := s.run.Wait(); err == nil {
		s.tb.Error("the server ended by itself")
	}
	s.run = nil
}
