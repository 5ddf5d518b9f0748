package clientmetadata_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
)

// Each is asked for by a client that registered https://app.example.com/cb,
// https://app.example.com/cb?a=1 and https://app.example.com:8443/deep/er.
func TestThreat11_NothingButARegisteredRedirectURIMatches(t *testing.T) {
	registered := []string{"https://app.example.com/cb", "https://app.example.com/cb?a=1", "https://app.example.com:8443/deep/er", ""}
	for _, asked := range registered[:3] {
		if !clientmetadata.MatchRedirect(registered, asked) {
			t.Errorf("%q does not match itself", asked)
		}
	}
	for _, asked := range []string{
		"", " ", "/", "/cb", "//app.example.com/cb", "app.example.com/cb", "https:app.example.com/cb", "https:///app.example.com/cb", "https:/app.example.com/cb",
		// User and host.
		"https://app.example.com@evil.example/cb", "https://evil.example@app.example.com/cb", "https://app.example.com:8443@evil.example/deep/er",
		"https://:@app.example.com/cb", "https://@app.example.com/cb", "https://user:pass@app.example.com/cb", "https://app.example.com%40evil.example/cb",
		"https://app.example.com\\@evil.example/cb", "https://evil.example\\@app.example.com/cb", "https://evil.example#@app.example.com/cb", "https://evil.example?@app.example.com/cb",
		"https://app.example.com.evil.example/cb", "https://evilapp.example.com/cb", "https://app-example.com/cb", "https://appXexample.com/cb", "https://app.example.co/cb",
		"https://example.com/cb", "https://sub.app.example.com/cb", "https://*.example.com/cb", "https://app.example.com./cb", "https://.app.example.com/cb",
		"https://app.example.com%00.evil.example/cb", "https://app.example.com%2eevil.example/cb", "https://app%2eexample.com/cb", "https://аpp.example.com/cb", "https://app.example。com/cb",
		// Case.
		"https://App.example.com/cb", "https://APP.EXAMPLE.COM/cb", "HTTPS://app.example.com/cb", "Https://app.example.com/cb", "https://app.example.com/CB", "https://app.example.com/Cb",
		// Scheme.
		"http://app.example.com/cb", "ftp://app.example.com/cb", "javascript:alert(1)//app.example.com/cb", "javascript://app.example.com/cb%0aalert(1)", "data:text/html,x", "file:///cb", "blob:https://app.example.com/cb",
		// Port.
		"https://app.example.com:443/cb", "https://app.example.com:/cb", "https://app.example.com:80/cb", "https://app.example.com:8443/cb", "https://app.example.com:08443/deep/er", "https://app.example.com:8444/deep/er",
		"https://app.example.com/deep/er", "https://app.example.com:84430/deep/er",
		// Path.
		"https://app.example.com", "https://app.example.com/", "https://app.example.com/cb/", "https://app.example.com//cb", "https://app.example.com/cb/../evil", "https://app.example.com/evil/../cb", "https://app.example.com/./cb",
		"https://app.example.com/cb/..;/evil", "https://app.example.com/cb..;/", "https://app.example.com/..;/cb", "https://app.example.com/cb;x=1", "https://app.example.com/cb/..%2fevil", "https://app.example.com/cb%2f..%2fevil",
		"https://app.example.com/cb/%2e%2e/evil", "https://app.example.com/%63b", "https://app.example.com/c%62", "https://app.example.com/cb%00", "https://app.example.com/cb%20", "https://app.example.com/cb\\..\\evil", "https://app.example.com/cb\t",
		"https://app.example.com/cb\n", "https://app.example.com/cb\r\nSet-Cookie: a=b", " https://app.example.com/cb", "https://app.example.com/cb ", "https://app.example.com/cbx", "https://app.example.com/c", "https://app.example.com/evil/https://app.example.com/cb",
		// Query and fragment.
		"https://app.example.com/cb?", "https://app.example.com/cb?b=1", "https://app.example.com/cb?a=1&b=2", "https://app.example.com/cb?a=1&a=1", "https://app.example.com/cb?a=%31", "https://app.example.com/cb#", "https://app.example.com/cb#a=1",
		"https://app.example.com/cb?a=1#x", "https://app.example.com/cb%3fa=1", "https://app.example.com/cb?redirect=https://evil.example",
		// The registered ones, glued.
		"https://app.example.com/cb,https://evil.example/", "https://app.example.com/cb https://app.example.com/cb", "https://evil.example/?https://app.example.com/cb",
		// This machine, which nobody registered.
		"http://127.0.0.1/cb", "http://localhost/cb", "http://[::1]:80/cb", "http://127.0.0.1:1234/cb?a=1",
	} {
		if clientmetadata.MatchRedirect(registered, asked) {
			t.Errorf("%q matches", asked)
		}
	}
	if clientmetadata.MatchRedirect(nil, "https://app.example.com/cb") || clientmetadata.MatchRedirect(nil, "") {
		t.Error("a client that registered nothing is sent somewhere")
	}
}

func TestThePortOfAURIToTheUsersOwnMachineMayDifferAndNothingElse(t *testing.T) {
	registered := []string{"http://127.0.0.1/cb", "http://[::1]:3000/cb?a=1", "http://localhost:8080/"}
	for _, asked := range []string{
		"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://127.0.0.1:80/cb", "http://[::1]/cb?a=1", "http://[::1]:3000/cb?a=1", "http://[::1]:4000/cb?a=1",
		"http://localhost:8080/",
	} {
		if !clientmetadata.MatchRedirect(registered, asked) {
			t.Errorf("%q does not match", asked)
		}
	}
	for _, asked := range []string{
		"http://127.0.0.1:0/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:080/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:+80/cb", "http://127.0.0.1:-1/cb", "http://127.0.0.1:8080a/cb", "http://127.0.0.1:80:80/cb",
		"http://127.0.0.1:80@evil.example/cb", "http://127.0.0.1@evil.example/cb", "http://127.0.0.1.evil.example/cb", "http://127.0.0.1:1234.evil.example/cb", "http://127.0.0.1evil.example/cb", "http://127.0.0.1%2f@evil.example/cb",
		"http://127.0.0.1\\@evil.example/cb", "http://127.0.0.1:80\\@evil.example/cb", "http://127.0.0.1:80#/cb", "http://127.0.0.1:80", "http://127.0.0.1:80/cb/", "http://127.0.0.1:80/cb?x", "http://127.0.0.1:80/CB", "http://127.0.0.1:80/../cb",
		"http://127.0.0.2/cb", "http://127.1/cb", "http://2130706433/cb", "http://0x7f000001/cb", "http://0177.0.0.1/cb", "http://[::ffff:127.0.0.1]/cb", "http://0.0.0.0/cb", "http://[::]/cb", "http://10.0.0.1/cb",
		"https://127.0.0.1/cb", "https://127.0.0.1:1234/cb", "HTTP://127.0.0.1/cb", "http://localhost/cb", "http://127.0.0.1/", "http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]/cb?a=1", "http://LOCALHOST:8080/", "http://localhost.:8080/",
		"http://localhost.evil.example/", "http://localhost:51234/", "http://localhost/", "http://[::1]:3000/cb?a=2", "http://[::1%25lo]/cb?a=1",
	} {
		if clientmetadata.MatchRedirect(registered, asked) {
			t.Errorf("%q matches", asked)
		}
	}
}

func TestRedirectURIsThatMayBeRegistered(t *testing.T) {
	for _, text := range []string{
		"https://app.example.com/cb", "https://app.example.com", "https://app.example.com/", "https://app.example.com:8443/cb?a=1&b=2", "https://xn--bcher-kva.example/cb", "https://93.184.216.34/cb", "https://[2606:4700::1111]/cb",
		"https://app.example.com/cb;v=1/a,b/~x/%C3%A4", "https://localhost/cb", "http://127.0.0.1/cb", "http://127.0.0.1:3000/cb", "http://[::1]:3000/", "http://localhost:3000/cb", "http://localhost",
		"com.example.app:/cb", "com.example.app://cb", "com.example.app://callback/path?x=1",
	} {
		if err := clientmetadata.CheckRedirect("redirect_uris[0]", text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "/cb", "//app.example.com/cb", "app.example.com/cb", "https:", "https://", "https:///cb", "https:app.example.com/cb", "HTTPS://app.example.com/cb",
		"http://app.example.com/cb", "http://127.0.0.2/cb", "http://127.1/cb", "http://0.0.0.0/", "http://10.0.0.1/cb", "http://localhost.evil.example/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:99999/", "http://user@127.0.0.1/cb",
		"https://user@app.example.com/cb", "https://user:pw@app.example.com/cb", "https://@app.example.com/cb", "https://app.example.com/cb#x", "https://app.example.com/cb#",
		"https://App.example.com/cb", "https://app.example.com./cb", "https://app..example.com/cb", "https://.example.com/cb", "https://-a.example.com/cb", "https://*.example.com/cb", "https://app.example.com/*", "https://app%2eexample.com/cb",
		"https://127.1/cb", "https://2130706433/cb", "https://0x7f.1/cb", "https://example.123/cb", "https://app.example.com:443/cb", "https://app.example.com:/cb", "https://app.example.com:0/cb", "https://app.example.com:99999/cb", "https://app.example.com:08/cb",
		"https://app.example.com/../cb", "https://app.example.com/a/./b", "https://app.example.com/..;/cb", "https://app.example.com/.;x/cb", "https://app.example.com/%2e%2e/cb", "https://app.example.com/a%2Fb", "https://app.example.com/a%5cb", "https://app.example.com/a%252f", "https://app.example.com/%00",
		"https://app.example.com//cb", "https://app.example.com/a\\b", "https://app.example.com/a b", "https://app.example.com/a\tb", "https://app.example.com/\n", "https://app.example.com/ä", "https://аpp.example.com/", "https://app.example.com/%zz", "https://app.example.com/<x>",
		"javascript:alert(1)", "javascript://app.example.com/%0aalert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://app.example.com/x", "about:blank", "urn:ietf:wg:oauth:2.0:oob", "myapp://cb", "ftp://app.example.com/", "ws://app.example.com/", "mailto:a@b.example",
		"com.example.app:cb", "com.example.app:", "Com.example.app:/cb", "com.example.app://user@cb", "https://app.example.com/" + strings.Repeat("a", 2048),
	} {
		var invalid *keystile.Invalid
		if err := clientmetadata.CheckRedirect("redirect_uris[3]", text); !errors.As(err, &invalid) || invalid.Field != "redirect_uris[3]" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAConsentShowsWhereTheAnswerGoes(t *testing.T) {
	for text, want := range map[string]string{
		"https://app.example.com:8443/cb?x": "https://app.example.com:8443", "http://127.0.0.1:3000/": "http://127.0.0.1:3000", "com.example.app://cb": "com.example.app:", "%": "",
	} {
		if got := clientmetadata.RedirectHost(text); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func FuzzRedirect(f *testing.F) {
	for _, text := range []string{"https://app.example.com/cb", "http://127.0.0.1:1/cb", "http://[::1]/?a", "com.example.app:/x", "https://a@b/..;/"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, registered, asked string) {
		if clientmetadata.CheckRedirect("", registered) != nil || !clientmetadata.MatchRedirect([]string{registered}, asked) || registered == asked {
			return
		}
		// Another text was taken: it differs in the port of this machine alone.
		r, err := url.Parse(registered)
		if err != nil {
			t.Fatal(err)
		}
		a, err := url.Parse(asked)
		if err != nil {
			t.Fatalf("%q matches %q: %v", asked, registered, err)
		}
		if a.Scheme != "http" || a.Hostname() != r.Hostname() || a.User != nil || a.EscapedPath() != r.EscapedPath() || a.RawQuery != r.RawQuery || a.Fragment != "" {
			t.Errorf("%q matches %q", asked, registered)
		}
	})
}
