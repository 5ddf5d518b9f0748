package enforce_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// onWire parses a request as net/http's server does.
func onWire(t testing.TB, raw, remote string) *http.Request {
	t.Helper()
	hr, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	hr.RemoteAddr = remote
	return hr
}

func TestThreat14_ThePathIsTheOneOnTheWire(t *testing.T) {
	for _, c := range []struct{ target, path, query string }{
		{"/a/b", "/a/b", ""},
		{"/a%2fb/%2e%2e//c;d?x=%20?y", "/a%2fb/%2e%2e//c;d", "x=%20?y"},
		{"/../a/./b", "/../a/./b", ""},
		{"//host/a", "//host/a", ""},
		{"/?", "/", ""},
		{"http://api.example.com/a%2fb?c", "/a%2fb", "c"},
		{"http://API.example.com?c", "/", "c"},
		{"http://api.example.com", "/", ""},
	} {
		hr := onWire(t, "GET "+c.target+" HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "203.0.113.9:1")
		r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
		if err != nil {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		if r.Path != c.path || r.RawQuery != c.query || !strings.EqualFold(r.Host, "api.example.com") {
			t.Errorf("%s: %s %q ? %q", c.target, r.Host, r.Path, r.RawQuery)
		}
	}
}

func TestThreat19_RequestTargetsThatNameNoResourceAreRefused(t *testing.T) {
	for _, raw := range []string{
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n",
		"CONNECT /a HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET /a?b#c HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET ftp://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET http://user@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET http:/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
	} {
		hr := onWire(t, raw, "203.0.113.9:1")
		if r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id"); err == nil {
			t.Errorf("%q became %s %s", raw, r.Host, r.Path)
		}
	}
}

func TestSchemeAndAddressAreBelievedOnlyOfTrustedProxies(t *testing.T) {
	const fields = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Host: evil.example\r\n\r\n"
	for _, c := range []struct{ remote, scheme, client string }{
		{"10.0.0.1:1", "https", "203.0.113.9"},
		{"192.0.2.1:1", "http", "192.0.2.1"},
	} {
		hr := onWire(t, "GET / HTTP/1.1\r\nHost: api.example.com\r\n"+fields, c.remote)
		r, err := enforce.NewRequest(hr, keystile.PointGateway, trusting("10.0.0.0/8"), "id")
		if err != nil || r.Scheme != c.scheme || r.ClientAddr.String() != c.client || r.Host != "api.example.com" {
			t.Errorf("%s: %+v %v", c.remote, r, err)
		}
	}
	hr := onWire(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "192.0.2.1:1")
	hr.TLS = &tls.ConnectionState{}
	if r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id"); err != nil || r.Scheme != "https" {
		t.Errorf("%+v %v", r, err)
	}
	for _, proto := range []string{"X-Forwarded-Proto: gopher\r\n", "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", "X-Forwarded-Proto: https, http\r\n"} {
		hr := onWire(t, "GET / HTTP/1.1\r\nHost: a\r\n"+proto+"\r\n", "10.0.0.1:1")
		if _, err := enforce.NewRequest(hr, keystile.PointGateway, trusting("10.0.0.0/8"), "id"); err == nil {
			t.Errorf("%q was believed", proto)
		}
	}
}

func post(body io.Reader) *http.Request {
	hr := httptest.NewRequest(http.MethodPost, "/", body)
	hr.RemoteAddr = "203.0.113.9:1"
	return hr
}

func gateReads(t *testing.T, hr *http.Request, limit int64) ([]byte, error) {
	t.Helper()
	r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
	if err != nil {
		t.Fatal(err)
	}
	return r.Body(limit)
}

func rest(t *testing.T, hr *http.Request) string {
	t.Helper()
	data, err := io.ReadAll(hr.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := hr.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheUpstreamGetsTheBodyTheGateRead(t *testing.T) {
	text := strings.Repeat("0123456789", 100)
	for name, hr := range map[string]*http.Request{
		"with a length":   post(strings.NewReader(text)),
		"of no length":    post(io.MultiReader(strings.NewReader(text[:7]), strings.NewReader(text[7:]))),
		"in small pieces": post(oneByte{strings.NewReader(text)}),
	} {
		got, err := gateReads(t, hr, 1000)
		if err != nil || string(got) != text {
			t.Errorf("%s: the gate read %d bytes, %v", name, len(got), err)
		}
		if hr.ContentLength != 1000 {
			t.Errorf("%s: length %d", name, hr.ContentLength)
		}
		if got := rest(t, hr); got != text {
			t.Errorf("%s: the upstream gets %d bytes", name, len(got))
		}
	}
}

type oneByte struct{ io.Reader }

func (o oneByte) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return o.Reader.Read(p)
}

func TestThreat37_ABodyOverTheLimitIsNotBuffered(t *testing.T) {
	text := strings.Repeat("x", 1001)
	for name, hr := range map[string]*http.Request{
		"with a length": post(strings.NewReader(text)),
		"of no length":  post(oneByte{strings.NewReader(text)}),
	} {
		r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Body(1000); !errors.Is(err, keystile.ErrBodyTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if got := rest(t, hr); got != text {
			t.Errorf("%s: %d bytes are left for the upstream", name, len(got))
		}
	}
	hr := post(http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(oneByte{strings.NewReader(text)}), 10))
	if _, err := gateReads(t, hr, 1000); !errors.Is(err, keystile.ErrBodyTooLarge) {
		t.Errorf("under a MaxBytesReader: %v", err)
	}
}

func TestTheBodyIsReadOnceHoweverOftenItIsAskedFor(t *testing.T) {
	hr := post(strings.NewReader("hello"))
	r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{5, 64, 5} {
		if got, err := r.Body(limit); err != nil || string(got) != "hello" {
			t.Errorf("%q %v", got, err)
		}
	}
	if _, err := r.Body(4); !errors.Is(err, keystile.ErrBodyTooLarge) {
		t.Errorf("a smaller limit: %v", err)
	}
	if got := rest(t, hr); got != "hello" {
		t.Errorf("the upstream gets %q", got)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestABodyThatBreaksOffIsAnErrorAndNotTooLarge(t *testing.T) {
	hr := post(io.MultiReader(strings.NewReader("hel"), broken{}))
	r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Body(64); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, keystile.ErrBodyTooLarge) {
			t.Errorf("%v", err)
		}
	}
}

func TestARequestWithoutABodyShowsAnEmptyOne(t *testing.T) {
	hr := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	hr.RemoteAddr = "203.0.113.9:1"
	if got, err := gateReads(t, hr, 0); err != nil || len(got) != 0 {
		t.Errorf("%q %v", got, err)
	}
}

func TestRequestIDsAreFreshUnlessATrustedCallerNamesOne(t *testing.T) {
	hr := post(http.NoBody)
	hr.Header.Set("X-Request-Id", "from-the-edge-1")
	if got := enforce.RequestID(hr, true); got != "from-the-edge-1" {
		t.Errorf("trusted: %q", got)
	}
	if got := enforce.RequestID(hr, false); got == "from-the-edge-1" || len(got) != 32 {
		t.Errorf("not trusted: %q", got)
	}
	for _, bad := range [][]string{{"a b"}, {""}, {"a\nb"}, {"a", "b"}, {strings.Repeat("a", 129)}} {
		hr.Header["X-Request-Id"] = bad
		if got := enforce.RequestID(hr, true); len(got) != 32 {
			t.Errorf("%q became %q", bad, got)
		}
	}
	seen := map[string]bool{}
	for range 10_000 {
		id := enforce.NewRequestID()
		if seen[id] || !keystile.ValidID(id) {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}

func TestOriginHasOneSpelling(t *testing.T) {
	for want, in := range map[string][2]string{
		"https://a.example":      {"https", "A.example:443"},
		"https://a.example:8443": {"https", "a.example:8443"},
		"http://a.example":       {"http", "a.example:80"},
		"http://a.example:443":   {"http", "a.example:443"},
	} {
		if got := enforce.Origin(in[0], in[1]); got != want {
			t.Errorf("%v: %s", in, got)
		}
	}
}

func FuzzRequestTarget(f *testing.F) {
	for _, s := range []string{"/", "/a?b", "*", "http://a/", "http://a?b", "//a", "/a#", "a:1", "https://a@b/", "/%", "/\x7f"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, target, host string) {
		hr := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		hr.RequestURI, hr.Host, hr.RemoteAddr = target, host, "203.0.113.9:1"
		r, err := enforce.NewRequest(hr, keystile.PointGateway, enforce.Trust{}, "id")
		if err != nil {
			return
		}
		if r.Path == "" || r.Path[0] != '/' || strings.ContainsAny(r.Path+r.RawQuery, "# \r\n\t\x00") || strings.Contains(r.Path, "?") {
			t.Fatalf("%q became %q ? %q", target, r.Path, r.RawQuery)
		}
		if target != "" && !strings.Contains(target, r.Path) && r.Path != "/" {
			t.Fatalf("%q became %q", target, r.Path)
		}
	})
}
