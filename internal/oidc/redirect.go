package oidc

import (
	"net/netip"
	"net/url"
	"strings"
)

// redirectMatches says whether a redirect URI is one that the client registered: the
// same text (RFC 9700, section 4.1.3; RFC 3986, section 6.2.1), but that of a loopback
// address, which a native application opens on whatever port is free, the port does not
// count (RFC 8252, section 7.3). "localhost" is a name, not an address, and its port
// counts (section 8.3).
func redirectMatches(registered []string, uri string) bool {
	for _, r := range registered {
		if r == uri || loopbackMatches(r, uri) {
			return true
		}
	}
	return false
}

func loopbackMatches(registered, uri string) bool {
	head, port, tail, ok := cutLoopback(registered)
	if !ok {
		return false
	}
	gotHead, gotPort, gotTail, ok := cutLoopback(uri)
	return ok && head == gotHead && tail == gotTail && (port == gotPort || validPort(gotPort))
}

// cutLoopback cuts a URI at the port of its loopback address: "http://127.0.0.1", "80"
// and "/cb". It looks at the text, so that no reader's idea of it counts.
func cutLoopback(uri string) (head, port, tail string, ok bool) {
	const scheme = "http://"
	rest, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return "", "", "", false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	host := authority
	if at := strings.LastIndexByte(authority, ':'); at >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:at], authority[at+1:]
		if !validPort(port) {
			return "", "", "", false
		}
	}
	if host != "127.0.0.1" && host != "[::1]" {
		return "", "", "", false
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
		return "", "", "", false
	}
	return scheme + host, port, tail, true
}

// validPort knows a port as it is written: digits without a leading zero, or none.
func validPort(port string) bool {
	if port == "" {
		return true
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' || i == 0 && port[i] == '0' || len(port) > 5 {
			return false
		}
		n = 10*n + int(port[i]-'0')
	}
	return n <= 65535
}

// originOf is where a redirect URI leads, as form-action takes it: an origin, or the
// scheme of a native application.
func originOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if u.Host == "" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// withParameters adds parameters to a redirect URI, whose own query stays (RFC 6749,
// section 4.1.2).
func withParameters(uri string, parameters url.Values) string {
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
		if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
			sep = ""
		}
	}
	return uri + sep + parameters.Encode()
}
