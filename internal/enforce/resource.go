package enforce

import (
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// MetadataPath is where the metadata of protected resources begins (RFC 9728, section 3).
const MetadataPath = "/.well-known/oauth-protected-resource"

// ResourcePath is the path of the protected resource that a route belongs to: what
// its pattern begins with, up to the first segment with a wildcard; "" for the whole
// origin. Routes that begin alike are one resource.
func ResourcePath(pattern string) string {
	if i := strings.IndexByte(pattern, '*'); i >= 0 {
		pattern = pattern[:strings.LastIndexByte(pattern[:i], '/')+1]
	}
	return strings.TrimRight(pattern, "/")
}

// metadataURL is where a caller without a good token finds which authorization server
// gives one out (RFC 9728, section 5.1); "" on routes that take none, and for a host
// that cannot stand between quotes.
func metadataURL(r *keystile.Request, route *keystile.Route) string {
	if route == nil || !slices.Contains(route.Accept, keystile.KindOAuthToken) || !ValidHost(r.Host) {
		return ""
	}
	return Origin(r.Scheme, r.Host) + MetadataPath + ResourcePath(route.Match.Path)
}
