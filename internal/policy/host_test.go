package policy

import (
	"strings"
	"testing"
)

func TestThreat15_HostsAreComparedInOneForm(t *testing.T) {
	for sent, want := range map[string]string{
		"api.example.com":            "api.example.com",
		"API.Example.COM":            "api.example.com",
		"api.example.com:8443":       "api.example.com",
		"api.example.com:":           "api.example.com",
		"api.example.com.":           "api.example.com",
		"Api.example.com.:80":        "api.example.com",
		"bücher.example":             "xn--bcher-kva.example",
		"BÜCHER.example":             "xn--bcher-kva.example",
		"xn--bcher-kva.example":      "xn--bcher-kva.example",
		"XN--BCHER-KVA.example":      "xn--bcher-kva.example",
		"api\u3002example.com":       "api.example.com", // ideographic full stop
		"ａpi.example.com":            "api.example.com", // full-width letter
		"127.0.0.1:8080":             "127.0.0.1",
		"[::1]:8080":                 "[::1]",
		"[0:0:0:0:0:0:0:1]":          "[::1]",
		"[2001:DB8::A]":              "[2001:db8::a]",
		"key_server:8080":            "key_server",
		strings.Repeat("a", 63) + "": strings.Repeat("a", 63),
	} {
		got, problem := canonicalHost(sent)
		if got != want || problem != "" {
			t.Errorf("canonicalHost(%q) = %q, %q; want %q", sent, got, problem, want)
		}
	}
}

func TestThreat15_AHostThatIsNoneIsRefused(t *testing.T) {
	for _, sent := range []string{
		"", ".", "..", "a..b", "a.example..", ".example", "a b", "a\x00", "a/b", "a\\b", "a%2eb", "user@host", "a:b", "a:80:90", "a:99999", "a:-1",
		"a:+1", "[::1", "[::1]x", "[::1]:x", "[127.0.0.1]", "[fe80::1%eth0]", "::1", "-a.example", "a-.example", "a,b", "a#b", "a?b", "*",
		"xn--zzzzzzzzzzzz.example", "xn--.example", "\xff.example", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a", strings.Repeat("é", 5000),
	} {
		if got, problem := canonicalHost(sent); problem == "" {
			t.Errorf("canonicalHost(%.40q) = %q and no problem", sent, got)
		}
	}
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"a.example", "A.example.:80", "[::1]:1", "bücher.example", "xn--bcher-kva.example", "a..b", "%", "a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		once, problem := canonicalHost(host)
		if problem != "" {
			return
		}
		twice, problem := canonicalHost(once)
		if problem != "" || twice != once {
			t.Fatalf("%q becomes %q and then %q (%s)", host, once, twice, problem)
		}
		if len(once) > maxHost+2 || strings.ToLower(once) != once || strings.ContainsAny(once, "/\\@%?# \x00") {
			t.Fatalf("%q becomes %q", host, once)
		}
	})
}
