package proxy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"keystile.dev/keystile/internal/enforce"
)

func TestThreat14_ThePrefixIsCutOnlyAtSegmentEnds(t *testing.T) {
	tests := []struct{ path, prefix, want string }{
		{"/prod/a", "/prod", "/a"},
		{"/prod/a", "/prod/", "/a"},
		{"/prod", "/prod", "/"},
		{"/prod/", "/prod", "/"},
		{"/prod", "/prod/", "/"},
		{"/production", "/prod", "/production"},
		{"/a/prod/b", "/prod", "/a/prod/b"},
		{"/%70rod/a", "/prod", "/%70rod/a"},
		{"/PROD/a", "/prod", "/PROD/a"},
		{"/a", "", "/a"},
		{"/a", "/", "/a"},
		{"/prod%2fa", "/prod", "/prod%2fa"},
		{"/prod;x/a", "/prod", "/prod;x/a"},
		{"/prod//a", "/prod", ""},
		{"//a", "", ""},
		{"", "", ""},
		{"a", "", ""},
		{"/a b", "", ""},
		{"/a\r\n", "", ""},
		{"/a?b", "", ""},
		{"/a#b", "", ""},
	}
	for _, tt := range tests {
		got, ok := forwardPath(tt.path, tt.prefix)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("forwardPath(%q, %q) = %q, %v, want %q", tt.path, tt.prefix, got, ok, tt.want)
		}
	}
}

// FuzzForwardPath holds the rewriting to what an upstream's parser makes of it:
// one request, with the target that was meant, and no segment that the judged
// path did not have.
func FuzzForwardPath(f *testing.F) {
	for _, path := range []string{"/", "/prod/a", "/prod", "/prod//a", "//a", "/a%2fb/../c", "/prod/..;/a", "/a b", "/a\x00", "/\xff", "/prod\\a", "/a HTTP/1.1\r\nX: y", "/prod?/a", "/prod/%zz", "*", ""} {
		f.Add(path, "/prod", "b=%2F&c")
	}
	f.Add("/v1/a", "/v1/", "b c")
	f.Fuzz(func(t *testing.T, path, prefix, query string) {
		got, ok := forwardPath(path, prefix)
		if !ok {
			if got != "" {
				t.Fatalf("a refused path became %q", got)
			}
			return
		}
		if !strings.HasSuffix(path, got) && got != "/" {
			t.Fatalf("%q is no end of %q", got, path)
		}
		if got != path && got != "/" && !strings.HasPrefix(got, "/") {
			t.Fatalf("%q was cut inside a segment: %q", path, got)
		}
		target := got
		if query != "" {
			target += "?" + query
		}
		if _, _, ok := enforce.SplitTarget(target); !ok {
			return // such a request is refused before the gate
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")))
		if err != nil {
			return // a stricter parser than ours refuses it: nothing is misread
		}
		if r.RequestURI != target || r.URL.RawQuery != query || r.Host != "a" || len(r.Header) != 0 {
			t.Fatalf("%q was read as %q, query %q, of host %q with %v", target, r.RequestURI, r.URL.RawQuery, r.Host, r.Header)
		}
	})
}
