package dpop

import (
	"errors"
	"net/url"
	"strings"
)

// NormalizeURL is the form in which the URL of a proof and that of a request are
// compared (RFC 9449, section 4.3, check 9): without query and fragment, scheme and
// host in lower case, no default port, an empty path as "/", and percent-encoding
// in its one spelling (RFC 3986, sections 6.2.2 and 6.2.3). A path with "." or ".."
// as a segment is refused rather than shortened: no route takes one. An error says
// what is wrong in words.
func NormalizeURL(text string) (string, error) {
	bare, _, _ := strings.Cut(text, "#")
	bare, _, _ = strings.Cut(bare, "?")
	u, err := url.Parse(bare)
	switch {
	case err != nil || u.Opaque != "":
		return "", errors.New("it is no URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("it is no http or https URL")
	case u.User != nil:
		return "", errors.New("it holds a user or password")
	case u.Hostname() == "":
		return "", errors.New("it names no host")
	}
	path, err := normalPath(u.EscapedPath())
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + normalHost(u) + path, nil
}

func normalHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	port := u.Port()
	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	return host
}

// normalPath writes percent-encoding in one way: none for characters that never
// need it, upper case for the others.
func normalPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(path) {
			return "", errors.New("its path is badly encoded")
		}
		decoded, err := url.PathUnescape(path[i : i+3])
		if err != nil {
			return "", errors.New("its path is badly encoded")
		}
		if unreserved(decoded[0]) {
			b.WriteByte(decoded[0])
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	for segment := range strings.SplitSeq(b.String(), "/") {
		if segment == "." || segment == ".." {
			return "", errors.New("its path has . or .. as a segment")
		}
	}
	return b.String(), nil
}

// unreserved says whether a character never needs encoding (RFC 3986, section 2.3).
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
