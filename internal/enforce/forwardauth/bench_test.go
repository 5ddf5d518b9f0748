package forwardauth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/forwardauth"
)

// The bytes nginx sends for one sub-request; both handlers get the same.
const subrequest = "GET /forward-auth HTTP/1.1\r\n" +
	"Host: 127.0.0.1:8080\r\n" +
	"X-Forwarded-For: 203.0.113.9\r\n" +
	"X-Forwarded-Method: GET\r\n" +
	"X-Forwarded-Proto: https\r\n" +
	"X-Forwarded-Host: api.example.com\r\n" +
	"X-Forwarded-Uri: /telemetry/inverter?asset_id=INV-1000000054495190&site_id=Sibaya\r\n" +
	"X-Api-Key: opa_prod_0123456789abcdefghijABCDEFGHIJ01ABCDEF\r\n" +
	"User-Agent: curl/8.5.0\r\n" +
	"Accept: */*\r\n\r\n"

type fixedGate keystile.Decision

func (g *fixedGate) Check(context.Context, *keystile.Request) keystile.Decision {
	return keystile.Decision(*g)
}

func benchHandler(tb testing.TB) http.Handler {
	tb.Helper()
	gate := fixedGate(keystile.Decision{
		Allowed: true,
		Principal: &keystile.Principal{
			Subject: "key:key_sibaya", OrganizationID: "sibaya-power", Kind: keystile.KindAPIKey, CredentialID: "key_sibaya",
			Scopes: []keystile.Scope{"telemetry:read"}, SiteIDs: []string{"Sibaya"},
		},
		Route: &keystile.Route{},
		Limit: keystile.LimitState{
			Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Remaining: 42, Reset: 30 * time.Second,
		},
	})
	h, err := forwardauth.New(forwardauth.Options{
		Gate:  &gate,
		Trust: enforce.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// bare answers 200 with header fields of the same names and sizes, which is
// what the answer costs whoever decided.
func bare(fields http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, values := range fields {
			h[name] = values
		}
		w.WriteHeader(http.StatusOK)
	})
}

func answerFields(tb testing.TB) http.Header {
	tb.Helper()
	rec := &discarding{header: http.Header{}}
	benchHandler(tb).ServeHTTP(rec, parsed(tb))
	if rec.status != http.StatusOK {
		tb.Fatalf("status %d", rec.status)
	}
	return rec.header.Clone()
}

func parsed(tb testing.TB) *http.Request {
	tb.Helper()
	hr := httptest.NewRequest(http.MethodGet, "/forward-auth", http.NoBody)
	hr.RemoteAddr = "127.0.0.1:40000"
	for name, value := range map[string]string{
		"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https",
		"X-Forwarded-Host": "api.example.com", "X-Forwarded-Uri": "/telemetry/inverter?asset_id=INV-1000000054495190&site_id=Sibaya",
		"X-Api-Key": "opa_prod_0123456789abcdefghijABCDEFGHIJ01ABCDEF", "User-Agent": "curl/8.5.0", "Accept": "*/*",
	} {
		hr.Header.Set(name, value)
	}
	return hr
}

type discarding struct {
	header http.Header
	status int
}

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) WriteHeader(status int)      { d.status = status }
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }

func TestAnAllowedRequestCostsFewAllocations(t *testing.T) {
	h, rec, hr := benchHandler(t), &discarding{header: http.Header{}}, parsed(t)
	h.ServeHTTP(rec, hr)
	// The request, the decision, the request id, the credential's name, the identity
	// fields in one piece, RateLimit and its field.
	if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(rec, hr) }); n > 7 || rec.status != http.StatusOK {
		t.Errorf("%v allocations, status %d", n, rec.status)
	}
}

// BenchmarkForwardAuth is the handler alone, with a gate that costs nothing.
func BenchmarkForwardAuth(b *testing.B) {
	for name, h := range map[string]http.Handler{"handler=keystile": benchHandler(b), "handler=bare": bare(answerFields(b))} {
		b.Run(name, func(b *testing.B) {
			rec, hr := &discarding{header: http.Header{}}, parsed(b)
			b.ReportAllocs()
			for b.Loop() {
				clear(rec.header)
				h.ServeHTTP(rec, hr)
			}
		})
	}
}

// BenchmarkForwardAuthServer is the whole net/http server on a connection in
// memory: no system call and no client in the figure. Compare it with the bare
// handlers of the same run; a kernel's part is the same for all three.
func BenchmarkForwardAuthServer(b *testing.B) {
	for name, h := range map[string]http.Handler{
		"handler=keystile": benchHandler(b), "handler=bare-same-fields": bare(answerFields(b)), "handler=bare": bare(nil),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			conn := &scripted{left: b.N, done: make(chan struct{})}
			b.ResetTimer()
			err := (&http.Server{Handler: h, ReadHeaderTimeout: time.Minute}).Serve(&single{conn: conn})
			if !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
			<-conn.done
		})
	}
}

// single is a listener with one connection.
type single struct{ conn net.Conn }

func (s *single) Accept() (net.Conn, error) {
	if s.conn == nil {
		return nil, io.EOF
	}
	conn := s.conn
	s.conn = nil
	return conn, nil
}
func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

// scripted sends the sub-request over and over, then ends.
type scripted struct {
	left int
	rest []byte
	done chan struct{}
}

func (c *scripted) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		c.left--
		c.rest = []byte(subrequest)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *scripted) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 200 OK\r\n")) {
		return 0, errors.New("the handler refused")
	}
	return len(p), nil
}

func (c *scripted) Close() error {
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	return nil
}

func (c *scripted) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (c *scripted) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}
}
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }
