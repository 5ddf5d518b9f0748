package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keystile.dev/keystile/internal/enforce/proxy"
)

// pattern is n bytes that are not all alike.
type pattern struct{ n, at int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at >= p.n {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.n-p.at))
	for i := range b[:n] {
		b[i] = byte((p.at + int64(i)) * 31 >> 3)
	}
	p.at += int64(n)
	return n, nil
}

func digest(t *testing.T, r io.Reader) (string, int64) {
	t.Helper()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), n
}

const tenMiB = 10 << 20

func TestTenMiBGoUpAndDownUnchanged(t *testing.T) {
	want, _ := digest(t, &pattern{n: tenMiB})
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, r *http.Request) {
		got, n := digest(t, r.Body)
		if got != want || n != tenMiB {
			t.Errorf("the upstream read %d bytes, digest %s", n, got)
		}
		if r.URL.Path == "/known" {
			w.Header().Set("Content-Length", fmt.Sprint(tenMiB))
		}
		if _, err := io.Copy(w, &pattern{n: tenMiB}); err != nil {
			t.Error(err)
		}
	}))
	w.start()
	for _, path := range []string{"/known", "/chunked"} {
		r := w.request("POST", path, &pattern{n: tenMiB})
		if path == "/known" {
			r.ContentLength = tenMiB
		}
		res, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, n := digest(t, res.Body); got != want || n != tenMiB {
			t.Errorf("%s: the caller read %d bytes, digest %s", path, n, got)
		}
		closeAll(t, res.Body)
	}
}

func TestBodiesAreNotBuffered(t *testing.T) {
	// The upstream answers each line before it is sent the next: with any buffering
	// of a body both sides would wait for ever.
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			if _, err := fmt.Fprintf(w, "echo %s\n", lines.Text()); err != nil {
				t.Error(err)
			}
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
		}
	}))
	w.start()
	pr, pw := io.Pipe()
	res, err := w.client.Do(w.request("POST", "/a", pr))
	if err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(res.Body)
	for i := range 100 {
		if _, err := fmt.Fprintf(pw, "%d\n", i); err != nil {
			t.Fatal(err)
		}
		got, err := answer.ReadString('\n')
		if want := fmt.Sprintf("echo %d\n", i); got != want || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	closeAll(t, pw)
	if rest, err := io.ReadAll(answer); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	closeAll(t, res.Body)
}

func TestMemoryDoesNotGrowWithTheBody(t *testing.T) {
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
	}))
	const size = 64 << 20
	w.route.MaxBody = size
	w.start()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := w.request("POST", "/a", &pattern{n: size})
	r.ContentLength = size
	if res, _ := w.do(r); res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/8 {
		t.Errorf("%d bytes were allocated to forward %d", grown, size)
	}
}

func TestEventsArriveWhenTheyAreSent(t *testing.T) {
	next := make(chan string)
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range next {
			if _, err := fmt.Fprintf(w, "data: %s\n\n", event); err != nil {
				t.Error(err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
	}))
	w.start()
	go func() { next <- "first" }()
	res, err := w.client.Do(w.request("GET", "/events", nil))
	if err != nil {
		t.Fatal(err)
	}
	events := bufio.NewReader(res.Body)
	for _, event := range []string{"first", "second", "third"} {
		if event != "first" {
			next <- event
		}
		line, err := events.ReadString('\n')
		if err != nil || line != "data: "+event+"\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		if _, err := events.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	close(next)
	closeAll(t, res.Body)
}

// echoUpgrade is an upstream that switches to a protocol and echoes.
func echoUpgrade(t *testing.T) string {
	return upstream(t, func(w http.ResponseWriter, r *http.Request) {
		protocol := r.Header.Get("Upgrade")
		if protocol == "" {
			w.WriteHeader(http.StatusUpgradeRequired)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer closeAll(t, c)
		if _, err := fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nKeystile-Subject: forged\r\n\r\n", protocol); err != nil {
			t.Error(err)
		}
		if err := rw.Flush(); err != nil {
			t.Error(err)
		}
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	})
}

// upgrade opens a connection through the gateway and switches it.
func (w *world) upgrade(protocol string) (io.ReadWriteCloser, *bufio.Reader, *http.Response) {
	w.t.Helper()
	c := w.dial()
	if _, err := fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", protocol); err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	return c, r, readAnswer(w.t, r, "GET")
}

func TestWebSocketsAndOtherUpgradesAreCarried(t *testing.T) {
	w := newWorld(t, echoUpgrade(t))
	w.start()
	for _, protocol := range []string{"websocket", "WebSocket", "tcp-like/1"} {
		c, r, res := w.upgrade(protocol)
		if res.StatusCode != 101 || res.Header.Get("Upgrade") != protocol || res.Header.Get("Keystile-Subject") != "" {
			t.Fatalf("%s: %d %v", protocol, res.StatusCode, res.Header)
		}
		for _, line := range []string{"hello\n", strings.Repeat("x", 100_000) + "\n"} {
			if _, err := io.WriteString(c, line); err != nil {
				t.Fatal(err)
			}
			if got, err := r.ReadString('\n'); got != line || err != nil {
				t.Fatalf("%s: %d bytes came back, %v", protocol, len(got), err)
			}
		}
		closeAll(t, c)
	}
}

func TestAnUpgradeThatWasNotAskedForIsABadGateway(t *testing.T) {
	for _, answer := range []string{"Connection: Upgrade\r\nUpgrade: other\r\n", ""} {
		w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer closeAll(t, c)
			if _, err := rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n" + answer + "\r\n"); err != nil {
				t.Error(err)
			}
			if err := rw.Flush(); err != nil {
				t.Error(err)
			}
		}))
		w.start()
		c, _, res := w.upgrade("websocket")
		if res.StatusCode != 502 {
			t.Errorf("%q: %d, want 502", answer, res.StatusCode)
		}
		closeAll(t, c)
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	sent := make(chan http.Header, 2)
	base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		sent <- r.Trailer
		w.Header().Set("Trailer", "X-Announced, Keystile-Scopes")
		if _, err := io.WriteString(w, "body"); err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Announced", "1")
		w.Header().Set("Keystile-Scopes", "forged")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		w.Header().Set(http.TrailerPrefix+"Keystile-Subject", "forged")
	})
	w := newWorld(t, base)
	w.start()
	r := w.request("POST", "/a", io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{
		"X-Sum": {"sum"}, "Keystile-Subject": {"forged"}, "Authorization": {"forged"}, "X-Forwarded-For": {"forged"},
		"X-Http-Method-Override": {"forged"},
	}
	res, body := w.do(r)
	if body != "body" {
		t.Errorf("body %q", body)
	}
	if diff := cmp.Diff(http.Header{"X-Sum": {"sum"}}, receive(t, "trailers", sent)); diff != "" {
		t.Errorf("trailers at the upstream: %s", diff)
	}
	if diff := cmp.Diff(http.Header{"X-Announced": {"1"}, "X-Late": {"2"}}, res.Trailer); diff != "" {
		t.Errorf("trailers at the caller: %s", diff)
	}
}

func TestContinueIsAskedOfTheUpstream(t *testing.T) {
	base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, base)
	w.start()

	c := w.dial()
	r := bufio.NewReader(c)
	if _, err := io.WriteString(c, "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if res := readAnswer(t, r, "POST"); res.StatusCode != 100 {
		t.Fatalf("interim answer %d", res.StatusCode)
	}
	if _, err := io.WriteString(c, "body"); err != nil {
		t.Fatal(err)
	}
	res := readAnswer(t, r, "POST")
	if body, err := io.ReadAll(res.Body); string(body) != "body" || err != nil || res.StatusCode != 200 {
		t.Errorf("%d %q %v", res.StatusCode, body, err)
	}
	closeAll(t, c)

	c = w.dial()
	r = bufio.NewReader(c)
	if _, err := io.WriteString(c, "POST /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if res := readAnswer(t, r, "POST"); res.StatusCode != 417 || !res.Close {
		t.Errorf("a refused body: %d, connection closes: %v", res.StatusCode, res.Close)
	}
	closeAll(t, c)
}

func TestInterimAnswersPassWithoutForgedIdentity(t *testing.T) {
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set("Keystile-Subject", "forged")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Keystile-Subject")
	}))
	w.start()
	var hints http.Header
	r := w.request("GET", "/a", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == http.StatusEarlyHints {
				hints = http.Header(h).Clone()
			}
			return nil
		},
	}))
	w.do(r)
	if hints.Get("Link") == "" || hints.Get("Keystile-Subject") != "" {
		t.Errorf("early hints: %v", hints)
	}
}

func TestHTTP2ClientsAndUpstreams(t *testing.T) {
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("Trailer", "Grpc-Status")
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Grpc-Status", "0")
	}))
	behind.EnableHTTP2 = true
	behind.StartTLS()
	t.Cleanup(behind.Close)
	w := newWorld(t, behind.URL)
	transport := proxy.NewTransport(proxy.TransportOptions{TLS: insecure()})
	t.Cleanup(transport.CloseIdleConnections)
	w.options.Upstream = transport
	w.start()
	front := httptest.NewUnstartedServer(w.handler())
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)

	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	r, err := http.NewRequestWithContext(t.Context(), "POST", front.URL+"/a", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Te", "trailers")
	res, err := front.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	closeAll(t, res.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if res.ProtoMajor != 2 || res.Header.Get("X-Proto") != "HTTP/2.0" || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%s at the caller, %s at the upstream, trailers %v", res.Proto, res.Header.Get("X-Proto"), res.Trailer)
	}
}

func TestHTTP2WithoutTLSIsOff(t *testing.T) {
	w := newWorld(t, upstream(t, func(http.ResponseWriter, *http.Request) {}))
	w.start()
	answer := w.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if strings.HasPrefix(answer, "\x00") {
		t.Errorf("HTTP/2 was spoken: %q", answer)
	}
}

// lateReader is an upstream's client that asks a request's body once more when
// the answer has begun, as net/http's does to see that no byte is left.
type lateReader struct{ again chan error }

func (u lateReader) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	answer := io.MultiReader(strings.NewReader("first "), readFunc(func([]byte) (int, error) {
		_, err := r.Body.Read(make([]byte, 1))
		u.again <- err
		return 0, io.EOF
	}))
	return &http.Response{
		StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: -1,
		Body: io.NopCloser(answer), Request: r,
	}, nil
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestABodyThatEndedHasEndedForWhoeverReadsItAgain(t *testing.T) {
	// Once the answer's header is written, net/http closes a request body that was
	// read. An upstream's client that then saw an error in place of the end would
	// give its connection up, and the answer would break off.
	u := lateReader{again: make(chan error, 1)}
	w := newWorld(t, "http://upstream.test")
	w.options.Upstream = u
	w.start()
	res, body := w.do(w.request("POST", "/a", strings.NewReader("all of it")))
	if res.StatusCode != 200 || body != "first " {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if err := receive(t, "the second end", u.again); !errors.Is(err, io.EOF) {
		t.Errorf("the body ended and then said: %v", err)
	}
}
