package oidc

import (
	"net/url"
	"strings"
)

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

// postable says whether a browser can post a form to a redirect URI: to a native
// application's own scheme it cannot.
func postable(uri string) bool {
	return strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://")
}
