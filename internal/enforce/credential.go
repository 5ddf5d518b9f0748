package enforce

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// foreignSchemes are the authentication schemes that never carry a credential
// of Keystile's. A field with one of them is meant for the upstream.
var foreignSchemes = []string{"basic", "digest", "negotiate", "ntlm", "hoba", "mutual", "vapid", "aws4-hmac-sha256"}

// cookiePrefixes begin the names of Keystile's own cookies, in lower case.
var cookiePrefixes = []string{"keystile", "__host-keystile", "__secure-keystile"}

// StripCredential removes from a request that is about to be forwarded every
// place where the route takes a credential from: x-api-key, Authorization
// (unless its scheme is one Keystile does not know, such as Basic), a message
// signature where one-time requests are taken, the proof of a key where access
// tokens are, the route's own header field and query parameter. A route with ForwardCredential keeps
// them. Keystile's own cookies go in any case: they open its pages, and no
// upstream has a use for them. hr.URL and hr.Header are changed in place.
func StripCredential(hr *http.Request, route *keystile.Route) {
	stripCookies(hr.Header)
	if route == nil || route.ForwardCredential {
		return
	}
	delete(hr.Header, "X-Api-Key")
	if slices.Contains(route.Accept, keystile.KindOneTime) { // elsewhere a message signature is the upstream's business
		delete(hr.Header, "Signature")
		delete(hr.Header, "Signature-Input")
	}
	if slices.Contains(route.Accept, keystile.KindOAuthToken) {
		delete(hr.Header, "Dpop") // the proof goes with the token that it was for
	}
	if values := hr.Header["Authorization"]; !allForeign(values) {
		delete(hr.Header, "Authorization")
	}
	if route.CredentialHeader != "" {
		hr.Header.Del(route.CredentialHeader)
	}
	if route.CredentialQuery != "" {
		hr.URL.RawQuery = withoutParameter(hr.URL.RawQuery, route.CredentialQuery)
	}
}

func allForeign(values []string) bool {
	for _, v := range values {
		scheme, _, spaced := strings.Cut(textproto.TrimString(v), " ")
		if !spaced || !slices.Contains(foreignSchemes, strings.ToLower(scheme)) {
			return false
		}
	}
	return true
}

// withoutParameter drops a parameter from a query and leaves every other byte
// as it was: the upstream must see what the policy saw.
func withoutParameter(query, name string) string {
	if query == "" {
		return ""
	}
	kept := make([]string, 0, 8)
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if key != name {
			decoded, err := url.QueryUnescape(key)
			if err != nil || decoded != name {
				kept = append(kept, pair)
			}
		}
	}
	return strings.Join(kept, "&")
}

// stripCookies drops Keystile's own cookies and leaves the rest as it was.
func stripCookies(h http.Header) {
	fields := h["Cookie"]
	if !slices.ContainsFunc(fields, hasOwnCookie) {
		return
	}
	kept := make([]string, 0, len(fields))
	for _, field := range fields {
		pairs := make([]string, 0, 8)
		for pair := range strings.SplitSeq(field, ";") {
			if pair = textproto.TrimString(pair); pair != "" && !isOwnCookie(pair) {
				pairs = append(pairs, pair)
			}
		}
		if len(pairs) > 0 {
			kept = append(kept, strings.Join(pairs, "; "))
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func hasOwnCookie(field string) bool {
	for pair := range strings.SplitSeq(field, ";") {
		if isOwnCookie(textproto.TrimString(pair)) {
			return true
		}
	}
	return false
}

// isOwnCookie compares without case, as browsers do with the __Host- prefix.
func isOwnCookie(pair string) bool {
	for _, prefix := range cookiePrefixes {
		if len(pair) >= len(prefix) && strings.EqualFold(pair[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}
