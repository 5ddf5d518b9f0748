package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce/proxy"
)

// closedPort is the URL of a loopback port where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, l)
	return "http://" + l.Addr().String()
}

// rawUpstream serves each connection with f, which gets the request's bytes up to
// the end of its header section.
func rawUpstream(t *testing.T, f func(net.Conn, string)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Add(1)
			go func() {
				defer all.Done()
				defer closeAll(t, c)
				buf := make([]byte, 64<<10)
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				f(c, string(buf[:n]))
			}()
		}
	}()
	t.Cleanup(func() { closeAll(t, l); all.Wait() })
	return "http://" + l.Addr().String()
}

func answerRaw(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Errorf("answer: %v", err)
	}
}

// reset closes a connection with RST.
func reset(t *testing.T, c net.Conn) {
	t.Helper()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Errorf("%T cannot be reset", c)
		return
	}
	if err := tcp.SetLinger(0); err != nil {
		t.Error(err)
	}
}

func TestUpstreamFailuresAreBadGatewaysThatTellNothing(t *testing.T) {
	tests := map[string]string{
		"nobody listens": closedPort(t),
		"closes at once": rawUpstream(t, func(net.Conn, string) {}),
		"resets":         rawUpstream(t, func(c net.Conn, _ string) { reset(t, c) }),
		"speaks no HTTP": rawUpstream(t, func(c net.Conn, _ string) { answerRaw(t, c, "SSH-2.0-OpenSSH\r\n\r\n") }),
		"answers with both framings' errors": rawUpstream(t, func(c net.Conn, _ string) {
			answerRaw(t, c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
		}),
		"TLS on a plain port":  strings.Replace(rawUpstream(t, func(c net.Conn, _ string) { answerRaw(t, c, "HTTP/1.1 400 Bad\r\n\r\n") }), "http:", "https:", 1),
		"not a URL":            "http://[::1",
		"with credentials":     "http://user:pass@127.0.0.1:1",
		"not http":             "ftp://127.0.0.1:1",
		"huge header section":  rawUpstream(t, func(c net.Conn, _ string) { writeHugeHeader(c) }),
		"a name that is none":  "http://upstream.invalid",
		"header section stops": rawUpstream(t, func(c net.Conn, _ string) { answerRaw(t, c, "HTTP/1.1 200 OK\r\nX: ") }),
	}
	for name, base := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, base)
			var failed []int
			w.options.Failed = func(_ *keystile.Route, status int) { failed = append(failed, status) }
			w.start()
			res, body := w.get("/a?secret=s3cret")
			if res.StatusCode != 502 && res.StatusCode != 504 {
				t.Errorf("%d %s, want 502", res.StatusCode, body)
			}
			if name != "a name that is none" && res.StatusCode != 502 {
				t.Errorf("%d, want 502", res.StatusCode)
			}
			for _, told := range []string{"127.0.0.1", "upstream.invalid", "dial", "refused", "EOF"} {
				if strings.Contains(body, told) {
					t.Errorf("the caller was told %q: %s", told, body)
				}
			}
			if len(failed) != 1 || failed[0] != res.StatusCode {
				t.Errorf("reported: %v", failed)
			}
			log := w.log.String()
			if !strings.Contains(log, "a request could not be forwarded") || strings.Contains(log, "s3cret") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func writeHugeHeader(c net.Conn) {
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"); err != nil {
		return
	}
	for range 1000 {
		if _, err := io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
			return
		}
	}
}

func TestAnUpstreamThatDoesNotAnswerIsAGatewayTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func(net.Conn, string) { <-release }
	w := newWorld(t, rawUpstream(t, hang))
	w.route.Timeout = 20 * time.Millisecond
	w.start()
	if res, _ := w.get("/a"); res.StatusCode != 504 {
		t.Errorf("GET: %d, want 504", res.StatusCode)
	}
	// A body larger than the sockets hold: the upstream does not even read it.
	r := w.request("POST", "/a", &pattern{n: 9 << 20})
	r.ContentLength = 9 << 20
	res, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 504 {
		t.Errorf("POST: %d, want 504", res.StatusCode)
	}
	closeAll(t, res.Body)
}

func TestTheTimeoutIsForTheBeginOfAnAnswerOnly(t *testing.T) {
	goOn := make(chan struct{})
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-goOn
		if _, err := io.WriteString(w, "late"); err != nil {
			t.Error(err)
		}
	}))
	w.route.Timeout = 500 * time.Millisecond // a busy machine may take a while to begin
	w.start()
	res, err := w.client.Do(w.request("GET", "/a", nil))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * w.route.Timeout)
	close(goOn)
	if body, err := io.ReadAll(res.Body); string(body) != "late" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	closeAll(t, res.Body)
}

func TestASlowUploadIsNotAnUpstreamsFault(t *testing.T) {
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
	}))
	w.route.Timeout = 500 * time.Millisecond // a busy machine may take a while to begin
	w.start()
	pr, pw := io.Pipe()
	go func() {
		for range 3 {
			<-time.After(w.route.Timeout)
			if _, err := pw.Write([]byte("slow")); err != nil {
				t.Error(err)
			}
		}
		closeAll(t, pw)
	}()
	if res, _ := w.do(w.request("POST", "/a", pr)); res.StatusCode != 200 {
		t.Errorf("%d, want 200", res.StatusCode)
	}
}

func TestAClientThatStopsSendingIsToldSo(t *testing.T) {
	broken := make(chan error, 1)
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		broken <- err
	}))
	w.options.ClientTimeout = 200 * time.Millisecond
	w.start()
	answer := w.raw("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	if !strings.HasPrefix(answer, "HTTP/1.1 408") {
		t.Errorf("answer %.80q, want 408", answer)
	}
	if receive(t, "end at the upstream", broken) == nil {
		t.Error("the upstream took half a body for a whole one")
	}
}

func TestAnAnswerThatBreaksOffBreaksOffAtTheCaller(t *testing.T) {
	tests := map[string]string{
		"known length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"chunked":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"bad chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
	}
	for name, answer := range tests {
		w := newWorld(t, rawUpstream(t, func(c net.Conn, _ string) { answerRaw(t, c, answer); reset(t, c) }))
		w.start()
		res, err := w.client.Do(w.request("GET", "/a", nil))
		if err != nil {
			continue // it broke off before the header section was through
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: the caller took half an answer for a whole one", name)
		}
		closeAll(t, res.Body)
	}
}

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	var whole atomic.Int32
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	}))
	w.route.MaxBody = 1 << 20
	w.start()
	send := func(n int64, declared bool) int {
		r := w.request("POST", "/a", &pattern{n: n})
		if declared {
			r.ContentLength = n
		}
		res, err := w.client.Do(r)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		closeAll(t, res.Body)
		return res.StatusCode
	}
	for _, declared := range []bool{true, false} {
		if got := send(1<<20, declared); got != 200 {
			t.Errorf("a body of the limit, declared %v: %d", declared, got)
		}
		if got := send(1<<20+1, declared); got != 413 {
			t.Errorf("a byte more, declared %v: %d, want 413", declared, got)
		}
	}
	if n := whole.Load(); n != 2 {
		t.Errorf("the upstream took %d bodies for whole, want 2", n)
	}
}

func TestABrokenBodyIsTheCallersFault(t *testing.T) {
	var whole atomic.Int32
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	}))
	w.start()
	answer := w.raw("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 400") || !strings.Contains(answer, "Connection: close") {
		t.Errorf("answer %.100q, want 400 and the end of the connection", answer)
	}
	if whole.Load() != 0 {
		t.Error("the upstream took a broken body for a whole one")
	}
}

func TestACallerWhoLeavesEndsTheRequestUpstream(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}))
	w.start()
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-arrived; leave() }()
	if _, err := w.client.Do(w.request("GET", "/a", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	receive(t, "end at the upstream", ended)
	await(t, "log of 499", func() bool { return strings.Contains(w.log.String(), "status=499") })
	if strings.Contains(w.log.String(), "level=WARN") {
		t.Errorf("a caller's leaving is nobody's failure: %s", w.log.String())
	}
}

func TestRequestsGoRoundTheUpstreams(t *testing.T) {
	var a, b atomic.Int32
	w := newWorld(t,
		upstream(t, func(http.ResponseWriter, *http.Request) { a.Add(1) }),
		upstream(t, func(http.ResponseWriter, *http.Request) { b.Add(1) }))
	w.start()
	for range 10 {
		w.get("/a")
	}
	if a.Load() != 5 || b.Load() != 5 {
		t.Errorf("%d and %d requests", a.Load(), b.Load())
	}
}

func TestAnUpstreamThatIsDownCostsNoRequest(t *testing.T) {
	rec := &recorder{}
	up := upstream(t, rec.ServeHTTP)
	w := newWorld(t, closedPort(t), up, closedPort(t))
	w.start()
	for i := range 20 {
		body := fmt.Sprintf("body %d", i)
		r := w.request("POST", "/a", io.MultiReader(strings.NewReader(body)))
		r.Trailer = http.Header{"X-Sum": {body}}
		if res, _ := w.do(r); res.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, res.StatusCode)
		}
		got := rec.last(t)
		if got.Body != body || got.Trailer.Get("X-Sum") != body {
			t.Errorf("request %d arrived as %q with trailer %v", i, got.Body, got.Trailer)
		}
		if aud := got.Header.Get("Keystile-Assertion"); !strings.HasSuffix(aud, up) {
			t.Errorf("the assertion is for %q", aud)
		}
	}
	if !strings.Contains(w.log.String(), "is left out") {
		t.Errorf("log: %s", w.log.String())
	}
}

func TestOnlyWhatMayBeSentTwiceIsSentTwice(t *testing.T) {
	var arrived atomic.Int32
	drop := func(c net.Conn, _ string) { arrived.Add(1); reset(t, c) }
	w := newWorld(t, rawUpstream(t, drop), rawUpstream(t, drop))
	w.start()
	tests := []struct {
		method, body string
		want         int32
	}{
		{"GET", "", 2}, {"HEAD", "", 2}, {"DELETE", "", 2}, {"POST", "", 1}, {"PATCH", "", 1}, {"PUT", "body", 1}, {"GET", "body", 1},
	}
	for _, tt := range tests {
		arrived.Store(0)
		var body io.Reader
		if tt.body != "" {
			body = strings.NewReader(tt.body)
		}
		if res, _ := w.do(w.request(tt.method, "/a", body)); res.StatusCode != 502 {
			t.Errorf("%s: %d", tt.method, res.StatusCode)
		}
		if got := arrived.Load(); got != tt.want {
			t.Errorf("%s with body %q was sent %d times, want %d", tt.method, tt.body, got, tt.want)
		}
	}
}

func TestARequestIsOfferedToFewUpstreams(t *testing.T) {
	ups := make([]string, 10)
	for i := range ups {
		ups[i] = closedPort(t)
	}
	dialled := &countingUpstream{Upstream: proxy.NewTransport(proxy.TransportOptions{})}
	w := newWorld(t, ups...)
	w.options.Upstream = dialled
	w.start()
	if res, _ := w.get("/a"); res.StatusCode != 502 || dialled.n.Load() != 3 {
		t.Errorf("%d after %d upstreams", res.StatusCode, dialled.n.Load())
	}
}

// countingUpstream counts what is sent through it.
type countingUpstream struct {
	proxy.Upstream
	n atomic.Int32
}

func (c *countingUpstream) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.Upstream.RoundTrip(r)
}
