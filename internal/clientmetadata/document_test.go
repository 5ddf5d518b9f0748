package clientmetadata_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/outbound"
)

// site is a real server of documents, and what fetches from it.
type site struct {
	*httptest.Server
	handler atomic.Value // http.HandlerFunc
	reached atomic.Int64
	mu      sync.Mutex
	now     time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{now: time.Unix(1_790_000_000, 0)}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reached.Add(1)
		s.handler.Load().(http.HandlerFunc)(w, r) //nolint:errcheck // set by serve alone
	}))
	t.Cleanup(s.Close)
	s.serve("application/json", "", s.document(nil))
	return s
}

// id is the URL of the document, by a name that the certificate is for.
func (s *site) id() string {
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/client.json"
}

func (s *site) document(change map[string]string) string {
	return string(object(map[string]string{
		"client_id": `"` + s.id() + `"`, "client_name": `"A tool"`, "redirect_uris": `["http://127.0.0.1/cb"]`, "token_endpoint_auth_method": `"none"`,
	}, change))
}

func (s *site) serve(contentType, cache, body string) {
	s.handler.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		if contentType == "" {
			w.Header()["Content-Type"] = nil
		}
		if cache != "" {
			w.Header().Set("Cache-Control", cache)
		}
		if _, err := io.WriteString(w, body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
}

func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// documents fetches through the real guard, which reaches what is allowed.
func (s *site) documents(allowed ...netip.Prefix) *clientmetadata.Documents {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	client := outbound.New(outbound.Options{AllowPrivate: allowed, TLS: &tls.Config{RootCAs: pool, ServerName: "example.com"}, Timeout: 10 * time.Second})
	return clientmetadata.NewDocuments(func(ctx context.Context, url string, limit int64) (int, http.Header, []byte, error) {
		answer, err := client.Do(ctx, outbound.Request{URL: url}, limit)
		return answer.Status, answer.Header, answer.Body, err
	}, func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	})
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestAClientIsWhatItsDocumentSays(t *testing.T) {
	s := newSite(t)
	m, err := s.documents(loopback...).Find(t.Context(), s.id())
	if err != nil {
		t.Fatal(err)
	}
	if m.ClientID != s.id() || m.Name != "A tool" || m.AuthMethod != clientmetadata.AuthNone || len(m.RedirectURIs) != 1 {
		t.Errorf("%+v", m)
	}
	// A document that says nothing of a method is one of a public client: there is no secret.
	s.serve("application/cimd+json; charset=utf-8", "", s.document(map[string]string{"token_endpoint_auth_method": ""}))
	if m, err = s.documents(loopback...).Find(t.Context(), s.id()); err != nil || m.AuthMethod != clientmetadata.AuthNone {
		t.Errorf("%+v %v", m, err)
	}
}

func TestThreat13_ADocumentOnAPrivateAddressIsNotFetched(t *testing.T) {
	s := newSite(t)
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"} {
		id := strings.Replace(s.id(), "localhost", host, 1)
		if m, err := s.documents().Find(t.Context(), id); err == nil || m != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	s.handler.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://169.254.169.254/", http.StatusFound)
	}))
	before := s.reached.Load()
	if _, err := s.documents(loopback...).Find(t.Context(), s.id()); !errors.Is(err, clientmetadata.ErrNoDocument) {
		t.Errorf("a redirect: %v", err)
	}
	if before != 0 || s.reached.Load() != 1 {
		t.Errorf("reached %d times, and %d", before, s.reached.Load())
	}
}

func TestWhatIsNoDocumentOfThatClientIsRefused(t *testing.T) {
	s := newSite(t)
	for name, serve := range map[string]func(){
		"another client_id": func() {
			s.serve("application/json", "", s.document(map[string]string{"client_id": `"https://other.example/c"`}))
		},
		"client_id with a slash": func() {
			s.serve("application/json", "", s.document(map[string]string{"client_id": `"` + s.id() + `/"`}))
		},
		"client_id in other case": func() { s.serve("application/json", "", strings.Replace(s.document(nil), "localhost", "LOCALHOST", 1)) },
		"no client_id":            func() { s.serve("application/json", "", s.document(map[string]string{"client_id": ""})) },
		"client_id twice":         func() { s.serve("application/json", "", strings.Replace(s.document(nil), "{", `{"client_id":"x",`, 1)) },
		"a secret":                func() { s.serve("application/json", "", s.document(map[string]string{"client_secret": `"s"`})) },
		"the end of a secret": func() {
			s.serve("application/json", "", s.document(map[string]string{"client_secret_expires_at": "0"}))
		},
		"a method with a secret": func() {
			s.serve("application/json", "", s.document(map[string]string{"token_endpoint_auth_method": `"client_secret_post"`}))
		},
		"a bad redirect URI": func() {
			s.serve("application/json", "", s.document(map[string]string{"redirect_uris": `["http://a.example/"]`}))
		},
		"HTML":                     func() { s.serve("text/html", "", s.document(nil)) },
		"text":                     func() { s.serve("text/plain", "", s.document(nil)) },
		"no type":                  func() { s.serve("", "", s.document(nil)) },
		"a type that only ends so": func() { s.serve("text/x+json", "", s.document(nil)) },
		"no JSON":                  func() { s.serve("application/json", "", "<html>") },
		"not found":                func() { s.handler.Store(http.HandlerFunc(http.NotFound)) },
		"204": func() {
			s.handler.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
		},
	} {
		serve()
		if m, err := s.documents(loopback...).Find(t.Context(), s.id()); !errors.Is(err, clientmetadata.ErrNoDocument) || !errors.Is(err, keystile.ErrRejected) || m != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.serve("application/json", "", s.document(map[string]string{"x": `"` + strings.Repeat("x", 64<<10) + `"`}))
	if _, err := s.documents(loopback...).Find(t.Context(), s.id()); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("more than 64 KiB: %v", err)
	}
	for _, id := range []string{
		"", "https://", "http://localhost/c", "https://a.example", "https://a.example?x", "https://a.example/c?x=1", "https://a.example/c?", "https://a.example/c#x", "https://user@a.example/c", "https://a.example/../c", "https://a.example/%2e/c",
		"https://A.example/c", "https://a.example:443/c", "https://a.example./c", "ftp://a.example/c", "https://0x7f.1/c", "HTTPS://a.example/c", "https://a.example/" + strings.Repeat("x", 2048), "https://a.example//c",
	} {
		if _, err := s.documents(loopback...).Find(t.Context(), id); !errors.Is(err, clientmetadata.ErrNoDocument) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestADocumentIsUsedForAsLongAsItsServerSaysWithinBounds(t *testing.T) {
	for cache, want := range map[string]time.Duration{
		"": clientmetadata.DefaultFresh, "max-age=3600": time.Hour, "public, Max-Age=\"600\"": 10 * time.Minute, "max-age=1": clientmetadata.MinFresh, "no-store": clientmetadata.MinFresh,
		"max-age=99999999": clientmetadata.MaxFresh, "no-cache, max-age=3600": clientmetadata.MinFresh, "max-age=x": clientmetadata.DefaultFresh, "max-age=-1": clientmetadata.DefaultFresh,
	} {
		s := newSite(t)
		s.serve("application/json", cache, s.document(nil))
		d := s.documents(loopback...)
		find := func(fetches int64) {
			t.Helper()
			if _, err := d.Find(t.Context(), s.id()); err != nil || s.reached.Load() != fetches {
				t.Errorf("%q: fetched %d times, want %d: %v", cache, s.reached.Load(), fetches, err)
			}
		}
		find(1)
		s.wait(want - time.Second)
		find(1)
		s.wait(time.Second)
		find(2)
		// The clock is set back by a week: the document does not count for so much longer.
		s.wait(-7 * 24 * time.Hour)
		find(3)
	}
}

func TestAClientWhoseDocumentIsGoneIsGone(t *testing.T) {
	s := newSite(t)
	d := s.documents(loopback...)
	if _, err := d.Find(t.Context(), s.id()); err != nil {
		t.Fatal(err)
	}
	s.handler.Store(http.HandlerFunc(http.NotFound))
	s.wait(clientmetadata.DefaultFresh)
	for range 3 { // a failure is remembered for a moment
		if _, err := d.Find(t.Context(), s.id()); !errors.Is(err, clientmetadata.ErrNoDocument) {
			t.Error(err)
		}
	}
	if s.reached.Load() != 2 {
		t.Errorf("fetched %d times", s.reached.Load())
	}
	s.serve("application/json", "", s.document(nil))
	s.wait(10 * time.Second)
	if _, err := d.Find(t.Context(), s.id()); err != nil {
		t.Error(err)
	}
}

func TestManyWhoAskAtOnceAreOneFetch(t *testing.T) {
	s := newSite(t)
	d := s.documents(loopback...)
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			if _, err := d.Find(t.Context(), s.id()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if s.reached.Load() != 1 {
		t.Errorf("fetched %d times", s.reached.Load())
	}
}
