package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"keystile.dev/keystile/test/e2e/program"
)

func want(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func address(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 0, "address VAR...")
	for _, name := range args {
		free, err := program.FreeAddress(stageOf(ts).ctx)
		ts.Check(err)
		ts.Setenv(name, free)
	}
}

// upstream starts an API that answers with what it was asked.
func upstream(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "upstream VAR")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"path": r.URL.Path, "query": r.URL.RawQuery, "header": r.Header}); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	s := stageOf(ts)
	s.closers = append(s.closers, func() error { srv.Close(); return nil })
	ts.Setenv(args[0], srv.URL)
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 1, "status N COMMAND ARGS...")
	wanted, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, err := 0, ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != wanted {
		ts.Fatalf("exit status %d, want %d", got, wanted)
	}
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 1, "serve NAME ARGS...")
	s := stageOf(ts)
	if old, ok := s.servers[args[0]]; ok && !old.Ended() {
		ts.Fatalf("%s is running", args[0])
	}
	p, err := program.Start(s.ctx, program.Command{
		Dir: ts.MkAbs("."), Argv: append([]string{binary}, args[1:]...),
		Env: []string{"KEYSTILE_LISTEN=" + ts.Getenv("KEYSTILE_LISTEN"), "SSL_CERT_FILE=" + ts.Getenv("SSL_CERT_FILE")},
	})
	ts.Check(err)
	s.servers[args[0]] = p
	_, err = p.Listening(s.ctx)
	ts.Check(err)
}

func server(ts *testscript.TestScript, name string) *program.Process {
	p, ok := stageOf(ts).servers[name]
	if !ok {
		ts.Fatalf("there is no server %s", name)
	}
	return p
}

func outputMatches(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && (len(args) == 2 || len(args) == 3 && args[1] == "!"), "output NAME [!] PATTERN")
	p, pattern := server(ts, args[0]), regexp.MustCompile(args[len(args)-1])
	if len(args) == 3 {
		if pattern.MatchString(p.Stderr()) {
			ts.Fatalf("%s matches %q:\n%s", args[0], pattern, p.Stderr())
		}
		return
	}
	ts.Check(p.Eventually(stageOf(ts).ctx, func() error {
		if !pattern.MatchString(p.Stderr()) {
			return fmt.Errorf("%s does not match %q", args[0], pattern)
		}
		return nil
	}))
}

func hup(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "hup NAME")
	ts.Check(server(ts, args[0]).Signal(syscall.SIGHUP))
}

func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "stop NAME")
	p := server(ts, args[0])
	ts.Check(p.Signal(syscall.SIGTERM))
	code, err := p.Wait(stageOf(ts).ctx)
	ts.Check(err)
	if code != 0 {
		ts.Fatalf("%s ended with %d:\n%s", args[0], code, p.Stderr())
	}
}

// call is a request in curl's words.
type call struct {
	method, url, body string
	headers           [][2]string
}

func parseCall(args []string) (c call, err error) {
	c.method = http.MethodGet
	for ; len(args) > 1; args = args[2:] {
		switch args[0] {
		case "-X":
			c.method = args[1]
		case "-H":
			name, value, ok := strings.Cut(args[1], ":")
			if !ok {
				return c, fmt.Errorf("%q is no header field", args[1])
			}
			c.headers = append(c.headers, [2]string{name, strings.TrimSpace(value)})
		case "-u":
			c.headers = append(c.headers, [2]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(args[1]))})
		case "-f": // a form, as curl -d sends it
			c.headers = append(c.headers, [2]string{"Content-Type", "application/x-www-form-urlencoded"})
			c.body, c.method = args[1], http.MethodPost
		case "-d":
			c.body = args[1]
			if c.method == http.MethodGet {
				c.method = http.MethodPost
			}
		default:
			return c, fmt.Errorf("%q is not -X, -H, -u, -f or -d", args[0])
		}
	}
	if len(args) != 1 {
		return c, errors.New("one URL is wanted")
	}
	c.url = args[0]
	return c, nil
}

// answer is a status line, the header and the body, as curl -i shows them.
type answer struct {
	status int
	text   string
	body   string
}

func (s *stage) do(client *http.Client, c call) (a answer, err error) {
	r, err := http.NewRequestWithContext(s.ctx, c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		return a, err
	}
	for _, h := range c.headers {
		r.Header.Add(h[0], h[1])
		if strings.EqualFold(h[0], "host") {
			r.Host = h[1]
		}
	}
	if c.body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(r)
	if err != nil {
		return a, err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return a, err
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s\n", response.Proto, response.Status)
	if err := response.Header.Write(&head); err != nil {
		return a, err
	}
	return answer{response.StatusCode, strings.ReplaceAll(head.String(), "\r\n", "\n"), string(body)}, nil
}

// request writes the body to stdout, and the status line and header to stderr.
func request(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 1, "http STATUS [-X M] [-H 'N: V'] [-d BODY] URL")
	c, err := parseCall(args[1:])
	ts.Check(err)
	a, err := stageOf(ts).do(http.DefaultClient, c)
	ts.Check(err)
	show(ts, a)
	if strconv.Itoa(a.status) != args[0] {
		ts.Fatalf("status %d, want %s", a.status, args[0])
	}
}

func show(ts *testscript.TestScript, a answer) {
	_, err := io.WriteString(ts.Stdout(), a.body)
	ts.Check(err)
	_, err = io.WriteString(ts.Stderr(), a.text)
	ts.Check(err)
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 1, "until STATUS [-X M] [-H 'N: V'] [-d BODY] URL")
	c, err := parseCall(args[1:])
	ts.Check(err)
	s := stageOf(ts)
	var a answer
	ts.Check(program.Until(s.ctx, func() (err error) {
		if a, err = s.do(http.DefaultClient, c); err != nil {
			return err
		}
		if strconv.Itoa(a.status) != args[0] {
			return fmt.Errorf("status %d, want %s: %s", a.status, args[0], a.body)
		}
		return nil
	}))
	show(ts, a)
}

// load is requests without a pause.
type load struct {
	stop  chan struct{}
	once  sync.Once
	done  chan struct{}
	count int
	err   error
}

func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	<-l.done
}

func startLoad(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 2, "load NAME STATUS [-H 'N: V'] URL")
	c, err := parseCall(args[2:])
	ts.Check(err)
	s := stageOf(ts)
	l := &load{stop: make(chan struct{}), done: make(chan struct{})}
	s.loads[args[0]] = l
	go func() {
		defer close(l.done)
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			a, err := s.do(http.DefaultClient, c)
			if err == nil && strconv.Itoa(a.status) != args[1] {
				err = fmt.Errorf("request %d: status %d, want %s: %s", l.count, a.status, args[1], a.body)
			}
			if err != nil {
				l.err = err
				return
			}
			l.count++
		}
	}()
}

func endLoad(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "loaded NAME")
	l, ok := stageOf(ts).loads[args[0]]
	want(ts, ok, "loaded NAME, after load NAME")
	l.end()
	ts.Check(l.err)
	if l.count == 0 {
		ts.Fatalf("no request was made")
	}
}

// field reads one member of the JSON on stdout.
func field(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "field VAR PATH")
	var value any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &value); err != nil {
		ts.Fatalf("stdout is no JSON: %v", err)
	}
	for name := range strings.SplitSeq(args[1], ".") {
		switch in := value.(type) {
		case map[string]any:
			value = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				ts.Fatalf("there is no element %s", name)
			}
			value = in[i]
		}
	}
	if value == nil {
		ts.Fatalf("there is no member %s", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(value))
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "mode FILE PERMISSIONS")
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has %s, want %s", args[0], got, args[1])
	}
}
