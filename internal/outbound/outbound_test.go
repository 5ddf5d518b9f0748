package outbound_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"keystile.dev/keystile/internal/outbound"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// serve is a real listener that counts what reaches it.
func serve(t *testing.T, secure bool, handler http.HandlerFunc) (server *httptest.Server, reached *atomic.Int64) {
	t.Helper()
	reached = &atomic.Int64{}
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		handler(w, r)
	})
	if secure {
		server = httptest.NewTLSServer(counted)
	} else {
		server = httptest.NewServer(counted)
	}
	t.Cleanup(server.Close)
	return server, reached
}

func hello(w http.ResponseWriter, _ *http.Request) {
	if _, err := io.WriteString(w, "hello"); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func trusting(server *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &tls.Config{RootCAs: pool, ServerName: "example.com"}
}

func TestWhatTheOperatorAllowsIsFetched(t *testing.T) {
	secure, _ := serve(t, true, hello)
	plain, _ := serve(t, false, hello)
	c := outbound.New(outbound.Options{AllowPrivate: loopback, TLS: trusting(secure)})
	for _, target := range []string{secure.URL, plain.URL, strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)} {
		if body, err := c.Get(t.Context(), target, 100); err != nil || string(body) != "hello" {
			t.Errorf("%s: %q %v", target, body, err)
		}
	}
}

func TestThreat13_NothingPrivateIsReachedUnlessTheOperatorNamesIt(t *testing.T) {
	secure, reached := serve(t, true, hello)
	plain, alsoReached := serve(t, false, hello)
	_, port, err := net.SplitHostPort(secure.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	strict := outbound.New(outbound.Options{TLS: trusting(secure)})
	other := outbound.New(outbound.Options{TLS: trusting(secure), AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, client := range []*outbound.Client{strict, other} {
		for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "127.1.2.3", "LOCALHOST", "localhost."} {
			for _, scheme := range []string{"https", "http"} {
				if body, err := client.Get(t.Context(), scheme+"://"+host+":"+port+"/", 100); err == nil {
					t.Errorf("%s://%s was reached: %q", scheme, host, body)
				}
			}
		}
		if _, err := client.Get(t.Context(), plain.URL, 100); err == nil {
			t.Error("plain http was spoken")
		}
	}
	var refused *outbound.Refused
	if _, err := strict.Get(t.Context(), secure.URL, 100); !errors.As(err, &refused) || refused.Addr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("the error is %v", err)
	}
	if reached.Load()+alsoReached.Load() != 0 {
		t.Error("a request reached a listener")
	}
}

// names is a DNS server that answers a name with the next address at each question.
func names(t *testing.T, addresses ...string) (resolver *net.Resolver, asked *atomic.Int64) {
	t.Helper()
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := socket.Close(); err != nil {
			t.Error(err)
		}
	})
	asked = &atomic.Int64{}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			answer := resolve(buffer[:n], addresses, asked)
			if _, err := socket.WriteTo(answer, from); err != nil {
				return
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}, asked
}

func resolve(question []byte, addresses []string, asked *atomic.Int64) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Authoritative = true, true
	m.Additionals = nil
	q := m.Questions[0]
	if q.Type == dnsmessage.TypeA {
		addr := netip.MustParseAddr(addresses[min(int(asked.Add(1))-1, len(addresses)-1)])
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: &dnsmessage.AResource{A: addr.As4()},
		}}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func TestThreat13_ANameThatAnswersDifferentlyTheSecondTimeGainsNothing(t *testing.T) {
	secure, reached := serve(t, true, hello)
	_, port, err := net.SplitHostPort(secure.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolver, asked := names(t, "127.0.0.1")
	target := "https://rebind.example.com:" + port + "/"
	_, err = outbound.New(outbound.Options{TLS: trusting(secure), Resolver: resolver}).Get(t.Context(), target, 100)
	var refused *outbound.Refused
	if !errors.As(err, &refused) || asked.Load() == 0 || reached.Load() != 0 {
		t.Errorf("%v, asked %d, reached %d", err, asked.Load(), reached.Load())
	}
	// The first answer is within what is allowed, the next is not: each connection is judged by itself.
	allowed := outbound.Options{TLS: trusting(secure), AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	allowed.Resolver, _ = names(t, "127.0.0.1", "127.0.0.2")
	c := outbound.New(allowed)
	if _, err := c.Get(t.Context(), target, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), target, 100); !errors.As(err, &refused) {
		t.Errorf("the second answer was taken: %v", err)
	}
}

func TestThreat13_RedirectsAreNotFollowed(t *testing.T) {
	target, reached := serve(t, true, hello)
	for _, status := range []int{301, 302, 303, 307, 308} {
		secure, _ := serve(t, true, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, status) })
		c := outbound.New(outbound.Options{AllowPrivate: loopback, TLS: trusting(secure)})
		if _, err := c.Get(t.Context(), secure.URL, 100); err == nil || !strings.Contains(err.Error(), "and not 200") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestThreat13_NoEnvironmentChoosesAProxy(t *testing.T) {
	proxy, reached := serve(t, false, hello)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	c := outbound.New(outbound.Options{Timeout: time.Second})
	if _, err := c.Get(t.Context(), "https://192.0.2.1/", 100); err == nil {
		t.Error("an address of documentation answered")
	}
	if reached.Load() != 0 {
		t.Error("the proxy of the environment was used")
	}
	// One that the operator names is.
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c = outbound.New(outbound.Options{Proxy: address, Timeout: 5 * time.Second})
	if _, err := c.Get(t.Context(), "https://keys.example.com/", 100); err == nil || reached.Load() != 1 {
		t.Errorf("%v, reached %d", err, reached.Load())
	}
}

func TestAnAnswerIsBoundedInSizeAndTime(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // an answer to whoever is leaving may still be read
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		says    string
	}{
		"too long":                  {func(w http.ResponseWriter, _ *http.Request) { write(w, strings.Repeat("x", 101)) }, "longer than 100 bytes"},
		"too long, in small pieces": {func(w http.ResponseWriter, _ *http.Request) { pieces(w, 1000) }, "longer than 100 bytes"},
		"not found":                 {http.NotFound, "404"},
		"no content":                {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "204"},
		"silent":                    {hang, "fetch from"},
		"silent in the middle": {func(w http.ResponseWriter, r *http.Request) {
			write(w, "x")
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			hang(w, r)
		}, "fetch from"},
		"a huge header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) }, "fetch from"},
	} {
		secure, _ := serve(t, true, c.handler)
		o := outbound.Options{AllowPrivate: loopback, TLS: trusting(secure)}
		if strings.HasPrefix(name, "silent") {
			o.Timeout = 300 * time.Millisecond
		}
		client := outbound.New(o)
		if body, err := client.Get(t.Context(), secure.URL, 100); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
		}
	}
	secure, _ := serve(t, true, func(w http.ResponseWriter, _ *http.Request) { write(w, strings.Repeat("x", 100)) })
	if body, err := outbound.New(outbound.Options{AllowPrivate: loopback, TLS: trusting(secure)}).Get(t.Context(), secure.URL, 100); err != nil || len(body) != 100 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func write(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func pieces(w http.ResponseWriter, n int) {
	for range n {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
}

func TestACertificateThatIsNotTrustedIsNoAnswer(t *testing.T) {
	secure, reached := serve(t, true, hello)
	if _, err := outbound.New(outbound.Options{AllowPrivate: loopback}).Get(t.Context(), secure.URL, 100); err == nil || reached.Load() != 0 {
		t.Errorf("%v", err)
	}
	old := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	if _, err := outbound.New(outbound.Options{AllowPrivate: loopback, TLS: trusting(old)}).Get(t.Context(), old.URL, 100); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

func TestURLsThatNameNothingToFetchAreRefused(t *testing.T) {
	c := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	for _, text := range []string{
		"", "keys.example.com", "//keys.example.com/", "ftp://keys.example.com/", "file:///etc/passwd", "gopher://127.0.0.1:70/", "https:///path", "https://",
		"https://user@keys.example.com/", "https://user:password@keys.example.com/", "https://keys.example.com/#x", "https:keys", "http://keys.example.com/",
		"http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "https://keys.example.com/" + strings.Repeat("x", 3000), "https://a b/", "http://[::ffff:10.0.0.1]/",
	} {
		if _, err := c.Get(t.Context(), text, 100); err == nil {
			t.Errorf("%q was fetched", text)
		}
	}
}

func TestThreat13_AddressesThatAreNotOfThePublicInternet(t *testing.T) {
	for text, public := range map[string]bool{
		"93.184.216.34": true, "1.1.1.1": true, "8.8.8.8": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.255.255": true, "172.32.0.0": true,
		"11.0.0.0": true, "192.0.1.0": true, "198.20.0.0": true, "223.255.255.255": true, "169.253.0.1": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "2400::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false, "100.127.255.255": false, "100.100.100.200": false,
		"127.0.0.1": false, "127.255.255.255": false, "169.254.0.1": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.1": false, "192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,
		"::": false, "::1": false, "::7f00:1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:0:127.0.0.1": false,
		"::ffff:93.184.216.34": true, // what it says it is
		"64:ff9b::7f00:1":      false, "64:ff9b::5db8:d822": false, "64:ff9b:1::1": false, "100::1": false, "2001::1": false, "2001:0:7f00:1::": false,
		"2001:2::1": false, "2001:10::1": false, "2001:20::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "2002:5db8:d822::": false,
		"3fff::1": false, "5f00::1": false, "fc00::1": false, "fd00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false, "ff0e::1": false,
		"2606:4700::1111%eth0": false,
	} {
		if got := outbound.Public(netip.MustParseAddr(text)); got != public {
			t.Errorf("%s: public %v, want %v", text, got, public)
		}
	}
	if outbound.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestThreat13_MetadataServicesStayOutOfReachWhateverIsAllowed(t *testing.T) {
	everything := outbound.New(outbound.Options{
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, Timeout: time.Second,
	})
	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.170.2", "[fd00:ec2::254]"} {
		_, err := everything.Get(t.Context(), "https://"+host+"/", 100)
		var refused *outbound.Refused
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", host, err)
		}
	}
}
