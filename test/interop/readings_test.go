package interop

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

// targets are request targets that servers are known to read differently, and
// some that they do not. All are sent with a key that permits site north alone.
var targets = slices.Concat([]string{
	// plain ones, which must pass somewhere for the rest to prove anything
	"/telemetry/inverter?site_id=north", "/telemetry?site_id=north", "/telemetry/?site_id=north",
	"/telemetry/a/b/c?x=1&site_id=north", "/telemetry/inverter?site_id=%6eorth", "/telemetry/inverter?site_id=north&start=2025-11-01T00:00:00",
	"/telemetry/r%C3%A9sum%C3%A9?site_id=north", "/telemetry/a+b?site_id=north", "/telemetry/%7Euser?site_id=north",
	// parameters that disagree
	"/telemetry/x?site_id=south&site_id=north", "/telemetry/x?site_id=north&site_id=south", "/telemetry/x?site_id=north;site_id=south",
	"/telemetry/x?site_id=north&site%5fid=south", "/telemetry/x?site_id=north&site%5Fid=south",
	"/telemetry/x?site_id=north%00", "/telemetry/x?site_id=north%26site_id=south", "/telemetry/x?site_id=north&%00site_id=south",
	"/telemetry/x?site_id=north#?site_id=south", "/telemetry/x#?site_id=north", "/telemetry/x?site_id=north?site_id=south",
	"/telemetry/x%3fsite_id=south?site_id=north", "/telemetry/x?site_id=south%zz&site_id=north", "/telemetry/x?site_id=north&&site_id=",
	"/telemetry/x?site_id=north&site_id", "/telemetry/x?+site_id=south&site_id=north",
	// absolute and odd forms of the request target
	"http://api.example.com/telemetry/x?site_id=north", "https://api.example.com/telemetry/x?site_id=north",
	"http://api.example.com/admin?site_id=north", "http://other.example.com/telemetry/x?site_id=north",
	"http://user@api.example.com/telemetry/x?site_id=north", "http://api.example.com:80/telemetry/x?site_id=north",
	"//api.example.com/telemetry/x?site_id=north", "///telemetry/x?site_id=north", "telemetry/x?site_id=north", "*",
	"?site_id=north", "http:/telemetry/x?site_id=north", "http:///telemetry/x?site_id=north", "api.example.com:443",
}, withSite(
	// out of the prefix, and into it
	"/telemetry/../admin", "/telemetry/x/../../admin", "/admin/../telemetry/x", "/./telemetry/x", "/telemetry/./x", "/telemetry/.",
	"/telemetry/..", "/telemetry/...", "/telemetry/.../admin", "/telemetry/..%2fadmin", "/telemetry/..%2Fadmin", "/telemetry/%2e%2e/admin",
	"/telemetry/%2E%2E/admin", "/telemetry/.%2e/admin", "/telemetry/%2e./admin", "/telemetry/%2e%2e%2fadmin", "/admin%2f..%2ftelemetry/x",
	"/telemetry%2f..%2fadmin", "/telemetry%2fx", "/%74elemetry/x", "/telemetry/%2e/x", "/telemetry/x%2f..%2f..%2fadmin",
	// encoded twice, and badly
	"/telemetry/%252e%252e/admin", "/telemetry/%25%32%65%25%32%65/admin", "/telemetry/..%252fadmin", "/telemetry/%c0%ae%c0%ae/admin",
	"/telemetry/%c0%af..%c0%afadmin", "/telemetry/%u002e%u002e/admin", "/telemetry/%", "/telemetry/%2", "/telemetry/%zz", "/telemetry/%e0%80%af",
	"/telemetry/%ff", "/telemetry/%c3%28", "/telemetry/\xff", "/telemetry/\xc3\xa9", "/telemetry/%ef%bc%8e%ef%bc%8e/admin",
	// slashes
	"//telemetry/x", "/telemetry//x", "/telemetry//../admin", "/telemetry///../../admin", "/telemetry/..//admin", "//admin/../telemetry/x",
	"/telemetry/x//", "/.//telemetry/x",
	// backslashes, parameters of segments, control characters
	`/telemetry/..\admin`, `/telemetry\..\admin`, `/telemetry/..%5cadmin`, `/telemetry%5c..%5cadmin`, `\telemetry\x`,
	"/telemetry/..;/admin", "/telemetry/;/../admin", "/telemetry;x=1/y", "/telemetry/x;/../../admin", "/telemetry/..;x=1/admin",
	"/telemetry/%2e%2e;/admin", "/telemetry/..%3b/admin", "/telemetry/;%2e%2e/admin",
	"/telemetry/%00", "/telemetry/x%00/../admin", "/telemetry/%0a", "/telemetry/%0d%0aX-Api-Key:%20y", "/telemetry/%09", "/telemetry/\x01",
	"/telemetry/\x7f", "/telemetry/%7f", "/telemetry/x%20HTTP/1.1", "/telemetry/x\tHTTP/1.1",
	// case, dots and spaces that file systems forgive
	"/TELEMETRY/x", "/Telemetry/x", "/telemetry./x", "/telemetry%20/x", "/telemetry/x.", "/telemetry/..%20/admin", "/telemetry/.%20./admin",
	"/telemetry/~/../admin", "/telemetry/x:y/../../admin", "/telemetry/$%7bx%7d",
))

func withSite(paths ...string) []string {
	for i := range paths {
		paths[i] += "?site_id=north"
	}
	return paths
}

// reading is what some server may understand a request target to ask for.
type reading struct {
	path  string
	sites []string
}

// permitted says whether the key of these tests may ask for it.
func (r reading) permitted() bool {
	if r.path != "/telemetry" && !strings.HasPrefix(r.path, "/telemetry/") {
		return false
	}
	return len(r.sites) == 1 && r.sites[0] == "north"
}

// readings are the ways to read a target: decoded once or not, with and
// without the habits that servers have, in every combination.
func readings(target string) []reading {
	rawPath, rawQuery, _ := strings.Cut(target, "?")
	paths := []string{rawPath}
	habits := []func(string) string{
		func(p string) string { // decode what can be decoded
			if decoded, err := url.PathUnescape(p); err == nil {
				return decoded
			}
			return p
		},
		func(p string) string { return strings.ReplaceAll(p, `\`, "/") },
		dropParameters,
		func(p string) string { return strings.SplitN(p, "\x00", 2)[0] },
		func(p string) string { return strings.SplitN(p, "#", 2)[0] },
		func(p string) string { return path.Clean("/" + p) },
	}
	for _, habit := range habits {
		for _, p := range paths {
			paths = append(paths, habit(p))
		}
	}
	slices.Sort(paths)
	var all []reading
	for _, p := range slices.Compact(paths) {
		for _, query := range []string{rawQuery, strings.ReplaceAll(rawQuery, ";", "&")} {
			all = append(all, reading{p, sites(query)})
		}
	}
	return all
}

// dropParameters cuts ";…" off each segment, as Java servers do.
func dropParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// sites are the values of every parameter that decodes to site_id.
func sites(query string) []string {
	var all []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		if name == "site_id" {
			all = append(all, value)
		}
	}
	return all
}

func TestTheReadingsSeeThroughKnownTricks(t *testing.T) {
	for _, target := range []string{
		"/telemetry/../admin?site_id=north", "/telemetry/%2e%2e%2fadmin?site_id=north", "/telemetry/..;/admin?site_id=north",
		`/telemetry/..%5cadmin?site_id=north`, "/telemetry/x?site_id=north&site%5fid=south", "/telemetry/x?site_id=north;site_id=south",
	} {
		if !slices.ContainsFunc(readings(target), func(r reading) bool { return !r.permitted() }) {
			t.Errorf("%q is taken for harmless", target)
		}
	}
	for _, r := range readings(pathNorth) {
		if !r.permitted() {
			t.Errorf("%q is taken for %+v", pathNorth, r)
		}
	}
}
