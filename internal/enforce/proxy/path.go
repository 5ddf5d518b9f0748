package proxy

import "strings"

// forwardPath cuts prefix from a percent-encoded path and says whether the
// result may stand in a request line. Nothing is decoded or encoded: the
// upstream must read the very bytes that the gate judged, and any change in
// encoding is a chance for the two to differ.
//
// The prefix is cut only where a segment ends: "/prod" is cut from "/prod/x" and
// not from "/production". A path without the prefix is left as it is.
func forwardPath(path, prefix string) (string, bool) {
	prefix = strings.TrimRight(prefix, "/")
	if rest, ok := strings.CutPrefix(path, prefix); ok && prefix != "" {
		switch {
		case rest == "":
			path = "/"
		case rest[0] == '/':
			path = rest
		}
	}
	if path == "" || path[0] != '/' {
		return "", false
	}
	// "//host/x" would be read as an authority by whoever resolves it as a
	// reference (RFC 3986, 4.2).
	if len(path) > 1 && path[1] == '/' {
		return "", false
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c == 0x7f || c == '?' || c == '#' {
			return "", false
		}
	}
	return path, true
}
