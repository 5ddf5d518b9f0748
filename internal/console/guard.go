package console

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"keystile.dev/keystile/internal/oidc"
)

var (
	errCrossSite = errors.New("the form was sent by another site")
	errStaleForm = errors.New("the form is not of this session")
	errForm      = errors.New("the form cannot be read")
)

// maxForm bounds the body of a form, in bytes. A passkey's answer with an
// attestation is a few KiB.
const maxForm = 64 << 10

// sameOrigin says whether a browser sent a form from a page of ours.
//
// Sec-Fetch-Site cannot be set by a page (Fetch Metadata, section 2.4); browsers
// that lack it send Origin with every POST (Fetch, section 3.2). What sends
// neither is no browser, and holds no cookie that another site could make it use.
func sameOrigin(r *http.Request) bool {
	sites, origins := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	if len(sites) > 1 || len(origins) > 1 {
		return false
	}
	if len(sites) == 1 {
		return sites[0] == "same-origin"
	}
	if len(origins) == 0 {
		return true
	}
	origin, err := url.Parse(origins[0])
	return err == nil && origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}

// readForm reads a form's fields: from the body alone, none of them twice
// (threat 12). What a field may hold is checked where it is used.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, err
		}
		return nil, errForm
	}
	for _, values := range r.PostForm {
		if len(values) != 1 {
			return nil, errForm
		}
	}
	return r.PostForm, nil
}

// home is where people are sent who want nothing in particular.
const home = "/account"

// places are the paths that return_to may name: pages of ours, never the
// gateway's, which may be on the same host. What ends in "/" is everything below.
var places = []string{home, home + "/", admin, admin + "/", oidc.PathAuthorize, oidc.PathDevice}

// maxReturn and maxAuthorization bound return_to, in bytes: an authorization request
// carries what a client put into it.
const (
	maxReturn        = 2048
	maxAuthorization = 8192
)

// returnTo is a path and query of ours that people may be sent on to, or home.
// Nothing is repaired: what is not exactly the path of a page is home.
//
//nolint:gocyclo // a list of checks, one after the other
func returnTo(to string) string {
	if len(to) > maxAuthorization || strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' || r == '#' }) {
		return home
	}
	u, err := url.Parse(to)
	if err == nil && len(to) > maxReturn && u.Path != oidc.PathAuthorize {
		return home
	}
	if err != nil || !plainPath(u) || strings.ContainsAny(to[:len(to)-len(u.RawQuery)], "%;") {
		return home
	}
	if !slices.ContainsFunc(places, func(p string) bool {
		return u.Path == p || (strings.HasSuffix(p, "/") && strings.HasPrefix(u.Path, p))
	}) {
		return home
	}
	return u.RequestURI()
}

// plainPath says whether a URL is a clean path and query and nothing else.
func plainPath(u *url.URL) bool {
	return u.Scheme == "" && u.Host == "" && u.User == nil && u.Opaque == "" && u.RawPath == "" && u.Path == path.Clean(u.Path)
}
