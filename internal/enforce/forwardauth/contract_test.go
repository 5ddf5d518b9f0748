package forwardauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/enforcetest"
	"keystile.dev/keystile/internal/enforce/forwardauth"
)

func TestContract(t *testing.T) {
	for _, family := range []forwardauth.Family{forwardauth.XForwarded, forwardauth.XOriginal} {
		t.Run(string(family), func(t *testing.T) {
			enforcetest.Run(t, func(t *testing.T, gate enforce.Gate) enforcetest.Client {
				return newClient(t, gate, family)
			})
		})
	}
}

// newClient plays a proxy that asks the endpoint over loopback and copies the
// identity fields of a 200 onto its caller's request.
func newClient(t *testing.T, gate enforce.Gate, family forwardauth.Family) enforcetest.Client {
	t.Helper()
	h, err := forwardauth.New(forwardauth.Options{
		Gate: gate, Headers: family,
		Trust: enforce.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return enforcetest.Client{
		Wire:  true,
		Route: keystile.Route{ID: "GET api.example.com/**"},
		Do: func(t *testing.T, c enforcetest.Call) enforcetest.Answer {
			t.Helper()
			return subRequest(t, server, family, c)
		},
	}
}

func subRequest(t *testing.T, server *httptest.Server, family forwardauth.Family, c enforcetest.Call) enforcetest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.Method, server.URL+"/forward-auth", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	req.Header.Set("X-Forwarded-For", c.ClientIP)
	if family == forwardauth.XOriginal {
		req.Header.Set("X-Original-Method", c.Method)
		if req.Header.Get("X-Original-Url") == "" { // else a caller's own comes first, repeated
			req.Header.Set("X-Original-Url", c.URL)
		} else {
			req.Header.Add("X-Original-Url", c.URL)
		}
	} else {
		u, err := url.Parse(c.URL)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-Method", c.Method)
		req.Header.Set("X-Forwarded-Proto", u.Scheme)
		req.Header.Set("X-Forwarded-Host", u.Host)
		req.Header.Set("X-Forwarded-Uri", u.RequestURI())
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := enforcetest.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	if resp.StatusCode == http.StatusOK {
		a.Upstream = c.Header.Clone()
		for _, name := range enforce.IdentityHeaders {
			for spelled := range a.Upstream {
				if http.CanonicalHeaderKey(spelled) == name {
					delete(a.Upstream, spelled)
				}
			}
			a.Upstream[name] = resp.Header[name]
		}
	}
	return a
}
