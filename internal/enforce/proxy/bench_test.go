package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"syscall"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce/proxy"
)

// The two benchmarks differ in what stands in the middle alone: the same client
// and the same upstream, both as cheap as a socket allows, the same bytes. The
// figure to compare is cpu-us/op, user and system time of the whole process; the
// client and the upstream are in both, so the ratio understates the difference
// by about a fifth.

const benchAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + `{"status":"ok"}`

var benchRequest = []byte("GET /prod/telemetry/inverter?asset_id=INV-1000000054495190&site_id=Sibaya HTTP/1.1\r\nHost: api.example.com\r\n" +
	"User-Agent: curl/8.5.0\r\nAccept: */*\r\nX-Api-Key: opa_prod_V24MSZCB0mZlBZ6Y1nqRzCkKqhQ4dW5T2Xb7ca\r\n\r\n")

// benchUpstream answers every request with the same bytes.
func benchUpstream(b *testing.B) string {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer closeBench(b, c)
				buf := make([]byte, 8<<10)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := io.WriteString(c, benchAnswer); err != nil {
						return
					}
				}
			}()
		}
	}()
	b.Cleanup(func() { closeBench(b, l) })
	return "http://" + l.Addr().String()
}

func closeBench(b *testing.B, c io.Closer) {
	if err := c.Close(); err != nil {
		b.Log(err)
	}
}

func runBench(b *testing.B, h http.Handler) {
	b.Helper()
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	c, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeBench(b, c) })
	r := bufio.NewReader(c)
	ask := func() {
		if _, err := c.Write(benchRequest); err != nil {
			b.Fatal(err)
		}
		length := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
			const field = "Content-Length: "
			if len(line) > len(field) && string(line[:len(field)]) == field {
				if length, err = strconv.Atoi(string(line[len(field) : len(line)-2])); err != nil {
					b.Fatal(err)
				}
			}
		}
		if _, err := r.Discard(length); err != nil || length != 15 {
			b.Fatalf("%d bytes, %v", length, err)
		}
	}
	ask()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		ask()
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
}

// cpu is the user and system time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkReverseProxyAlone(b *testing.B) {
	target, err := url.Parse(benchUpstream(b))
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: proxy.DefaultIdlePerUpstream}
	b.Cleanup(transport.CloseIdleConnections)
	runBench(b, &httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(target); pr.SetXForwarded() },
		Transport: transport,
	})
}

func BenchmarkGateway(b *testing.B) {
	route := &keystile.Route{ID: "GET /**", Upstreams: []string{benchUpstream(b)}}
	transport := proxy.NewTransport(proxy.TransportOptions{})
	b.Cleanup(transport.CloseIdleConnections)
	d := keystile.Decision{Allowed: true, Principal: testKey, Route: route, Limit: keystile.LimitState{
		Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Per: keystile.PerCredential, Remaining: 59, Reset: time.Second,
	}}
	runBench(b, proxy.New(proxy.Options{
		Gate: gateFunc(func(*keystile.Request) keystile.Decision { return d }), Asserter: asserter{}, Upstream: transport,
	}))
}
