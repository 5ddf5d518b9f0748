package proxy_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	keystile "keystile.dev/keystile"
)

// Each entry is one connection's bytes. Whatever a server makes of them, the
// upstream must see at most one request, and never the one hidden in the body.
var smuggling = map[string]string{
	"Content-Length and Transfer-Encoding":  "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"Transfer-Encoding and Content-Length":  "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 46\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
	"two different Content-Length":          "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 39\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
	"Content-Length list":                   "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 39\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
	"signed Content-Length":                 "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"negative Content-Length":               "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"hexadecimal Content-Length":            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"Content-Length of chunk size overflow": "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"space before the colon":                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"unknown transfer coding":               "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"chunked twice":                         "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"chunked, then identity":                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"vertical tab in transfer coding":       "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"obs-fold":                              "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"bad chunk size":                        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"chunk longer than its size":            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"chunk ended by LF alone":               "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"LF inside a chunk extension":           "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"CR in a field value":                   "POST /a HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"NUL in a field value":                  "POST /a HTTP/1.1\r\nHost: a\r\nX: a\x00\r\nContent-Length: 0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"two Hosts":                             "POST /a HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"framing named by Connection":           "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\nContent-Length: 33\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"framing in a trailer":                  "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 33\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"upgrade to h2c":                        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"upgrade to h2c behind another":         "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket, h2c\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT":                               "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"HTTP/1.0 with chunks":                  "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
	"request line in the method":            "GET\x20/smuggled\tHTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
}

func TestThreat19_NothingIsSmuggledPastTheGate(t *testing.T) {
	for name, sent := range smuggling {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{}
			w := newWorld(t, upstream(t, rec.ServeHTTP))
			var judged []string
			inner := w.gate
			w.gate = func(r *keystile.Request) keystile.Decision {
				judged = append(judged, r.Path)
				if r.Path != "/a" {
					return keystile.Decision{Reason: keystile.ReasonNoRoute}
				}
				return inner(r)
			}
			w.start()
			answer := w.raw(sent + "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			got := rec.all()
			if len(got) > 1 {
				t.Errorf("%d requests reached the upstream: %v; answer %q", len(got), got, answer)
			}
			for _, s := range got {
				if s.Target != "/a" {
					t.Errorf("%s %s reached the upstream without having been judged; judged were %v", s.Method, s.Target, judged)
				}
				if s.Header.Get("Upgrade") != "" || s.Header.Get("Http2-Settings") != "" {
					t.Errorf("the upstream was asked to switch protocols: %v", s.Header)
				}
			}
		})
	}
}

// A body that turns bad after the answer has begun must end the connection:
// what follows on it could be anything.
func TestThreat19_ABadBodyUnderAnEarlyAnswerEndsTheConnection(t *testing.T) {
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", "2")
		if _, err := io.WriteString(w, "ok"); err != nil {
			t.Error(err)
		}
	}))
	asked := 0
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision { asked++; return inner(r) }
	w.start()
	answer := w.raw("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	if asked != 1 || strings.Count(answer, "HTTP/1.1 ") > 1 {
		t.Errorf("the gate was asked %d times; answer %q", asked, answer)
	}
}

// An HTTP/2 client writes its target into a field of its own, where a space ends
// nothing; on the way to an HTTP/1.1 upstream it would end the target.
func TestThreat19_HTTP2CannotWriteARequestLine(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	s := httptest.NewUnstartedServer(w.handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, target := range []string{"/a HTTP/1.1", "/a?b HTTP/1.1", "/a?b%20c d", "/a?b#c", "/a?b\tc"} {
		if got := http2Status(t, s.Listener.Addr().String(), target); got != "400" {
			t.Errorf("%q: status %q, want 400", target, got)
		}
	}
	if got := http2Status(t, s.Listener.Addr().String(), "/a?b"); got != "200" || len(rec.all()) != 1 {
		t.Errorf("a good target: status %q; %d requests reached the upstream, want 1", got, len(rec.all()))
	}
}

// http2Status sends one HTTP/2 request with the target as it is and returns the
// status; or "400" if the server refuses the stream itself.
func http2Status(t *testing.T, address, target string) string {
	t.Helper()
	config := insecure()
	config.NextProtos = []string{"h2"}
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, c)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", target}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "400"
		}
	}
}

func TestThreat17_NoIdentityFieldOfACallerReachesTheUpstream(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	names := []string{
		"Keystile-Subject", "keystile-subject", "KEYSTILE-SUBJECT", "Keystile_Subject", "keystile_subject", "KEYSTILE_SUBJECT",
		"Keystile-Organization", "Keystile_Organization", "Keystile-Scopes", "keystile-Scopes", "Keystile-Sites",
		"Keystile-Assertion", "Keystile_Assertion", "Keystile-Request-Id", "Keystile-Anything", "keystile-",
		"Client-Cert", "client_cert", "CLIENT-CERT-CHAIN",
	}
	var fields strings.Builder
	for i, name := range names {
		fmt.Fprintf(&fields, "%s: forged%d\r\n%s: forged again\r\n", name, i, name)
	}
	requests := map[string]string{
		"plain":               "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields.String() + "\r\n",
		"named by Connection": "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, keystile-subject, Keystile-Assertion, Keystile-Request-Id\r\n" + fields.String() + "\r\n",
		"in two Connections":  "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: Keystile-Subject, ,Keystile_subject\r\n" + fields.String() + "\r\n",
		"in a trailer": "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: " + strings.Join(names[:8], ", ") +
			"\r\n\r\n0\r\n" + fields.String() + "\r\n",
	}
	for name, sent := range requests {
		t.Run(name, func(t *testing.T) {
			if answer := w.raw(sent); !strings.HasPrefix(answer, "HTTP/1.1 200") {
				t.Fatalf("answer: %s", answer)
			}
			got := rec.last(t)
			for field, values := range got.Header {
				if strings.Contains(strings.Join(values, ","), "forged") {
					t.Errorf("the upstream saw %s: %q", field, values)
				}
			}
			if len(got.Trailer) > 0 {
				t.Errorf("the upstream saw trailers %v", got.Trailer)
			}
			for _, field := range []string{"Keystile-Subject", "Keystile-Assertion", "Keystile-Request-Id"} {
				if v := got.Header.Values(field); len(v) != 1 || v[0] == "" {
					t.Errorf("%s: %q, want the gateway's own", field, v)
				}
			}
		})
	}
}

func TestThreat17_TheGateSeesOnlyFieldsThatAreForwarded(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	var judged keystile.Header
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision { judged = r.Header; return inner(r) }
	w.start()
	w.raw("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, X-Site\r\nX-Site: Sibaya\r\nKeystile-Subject: forged\r\n\r\n")
	if judged.Get("X-Site") != "" || judged.Get("Keystile-Subject") != "" {
		t.Errorf("the gate saw %v", judged)
	}
	if got := rec.last(t); got.Header.Get("X-Site") != "" {
		t.Errorf("the upstream saw X-Site: %q", got.Header.Get("X-Site"))
	}
}

func TestHopByHopFieldsEndHere(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	w.raw("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop, TE\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: gzip\r\n" +
		"Proxy-Connection: close\r\nProxy-Authorization: Basic eA==\r\nX-End: kept\r\n\r\n")
	got := rec.last(t).Header
	for _, name := range []string{"X-Hop", "Keep-Alive", "Te", "Proxy-Connection", "Proxy-Authorization", "Connection"} {
		if v := got.Values(name); len(v) > 0 {
			t.Errorf("%s: %q", name, v)
		}
	}
	if got.Get("X-End") != "kept" || got.Get("Via") != "1.1 keystile" {
		t.Errorf("the upstream saw %v", got)
	}
}

func TestThreat14_MethodAndPathOverridesAreRefused(t *testing.T) {
	rec := &recorder{}
	w := newWorld(t, upstream(t, rec.ServeHTTP))
	w.start()
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "x_original_url"} {
		r := w.request("GET", "/a", nil)
		r.Header[name] = []string{"/admin"}
		if res, _ := w.do(r); res.StatusCode != 400 {
			t.Errorf("%s: %d, want 400", name, res.StatusCode)
		}
	}
	if n := len(rec.all()); n != 0 {
		t.Errorf("%d reached the upstream", n)
	}
}

// insecure trusts the certificates of test servers.
func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}
