package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/enforcetest"
	"keystile.dev/keystile/internal/enforce/proxy"
)

func TestContract(t *testing.T) { enforcetest.Run(t, contractClient) }

// contractClient is a caller behind a trusted proxy, in front of a gateway whose
// upstream tells what it saw.
func contractClient(t *testing.T, gate enforce.Gate) enforcetest.Client {
	t.Helper()
	var arrived sync.Map // request id -> header fields at the upstream
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived.Store(r.Header.Get(enforce.HeaderRequestID), r.Header.Clone())
	})
	transport := proxy.NewTransport(proxy.TransportOptions{})
	t.Cleanup(transport.CloseIdleConnections)
	server := httptest.NewServer(proxy.New(proxy.Options{
		Gate: gate, Asserter: asserter{}, Upstream: transport,
		Trust: enforce.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}))
	t.Cleanup(server.Close)
	return enforcetest.Client{
		Wire:  true,
		Route: keystile.Route{ID: "api.example.com/**", Upstreams: []string{up}},
		Do: func(t *testing.T, c enforcetest.Call) enforcetest.Answer {
			t.Helper()
			u, err := url.Parse(c.URL)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), c.Method, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.URL.Opaque, r.URL.RawQuery, r.Host = u.EscapedPath(), u.RawQuery, u.Host
			for name, values := range c.Header {
				r.Header[name] = values
			}
			r.Header.Set("X-Forwarded-For", c.ClientIP)
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			closeAll(t, res.Body)
			if err != nil {
				t.Fatal(err)
			}
			a := enforcetest.Answer{Status: res.StatusCode, Header: res.Header, Body: string(body)}
			if h, ok := arrived.Load(res.Header.Get(enforce.HeaderRequestID)); ok {
				if a.Upstream, ok = h.(http.Header); !ok {
					t.Fatalf("what arrived is %T, not a header", h)
				}
			}
			return a
		},
	}
}
