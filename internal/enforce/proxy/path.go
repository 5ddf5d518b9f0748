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
	path = cutSegments(path, strings.TrimRight(prefix, "/"))
	if !isRequestPath(path) {
		return "", false
	}
	return path, true
}

// cutSegments cuts a prefix that has no slash at its end, if it ends where a
// segment of path does.
func cutSegments(path, prefix string) string {
	rest, ok := strings.CutPrefix(path, prefix)
	switch {
	case !ok || prefix == "":
		return path
	case rest == "":
		return "/"
	case rest[0] == '/':
		return rest
	}
	return path
}

// isRequestPath says whether path may stand in a request line: it begins at the
// root and holds nothing that would end it there.
func isRequestPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	// "//host/x" would be read as an authority by whoever resolves it as a
	// reference (RFC 3986, 4.2).
	if len(path) > 1 && path[1] == '/' {
		return false
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c == 0x7f || c == '?' || c == '#' {
			return false
		}
	}
	return true
}
