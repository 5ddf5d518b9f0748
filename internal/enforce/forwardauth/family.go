package forwardauth

import (
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// Family names the header fields that describe the caller's request, in the
// words of forward_auth.headers.
type Family string

// The families.
const (
	XForwarded Family = "x-forwarded"
	XOriginal  Family = "x-original"
)

// family is how one Family is read. other lists the fields of the family that
// must not be there, own those that must stand in their canonical spelling;
// both as enforce.SameName takes them.
type family struct {
	own   []name
	other []name
	read  func(*keystile.Request) error
}

// name is a header field: canonical as net/http keeps it, folded to compare.
type name struct{ canonical, folded string }

var (
	forwardedNames = []name{
		{"X-Forwarded-Method", "x-forwarded-method"},
		{"X-Forwarded-Proto", "x-forwarded-proto"},
		{"X-Forwarded-Host", "x-forwarded-host"},
		{"X-Forwarded-Uri", "x-forwarded-uri"},
	}
	originalNames = []name{
		{"X-Original-Method", "x-original-method"},
		{"X-Original-Url", "x-original-url"},
		{"X-Original-Uri", "x-original-uri"},
		{"X-Original-Proto", "x-original-proto"},
		{"X-Original-Host", "x-original-host"},
	}
	// addressName is in both families.
	addressName = name{"X-Forwarded-For", "x-forwarded-for"}
)

var families = map[Family]*family{
	"":         &xForwarded,
	XForwarded: &xForwarded,
	XOriginal:  &xOriginal,
}

var (
	xForwarded = family{own: append([]name{addressName}, forwardedNames...), other: originalNames, read: readForwarded}
	xOriginal  = family{own: append([]name{addressName}, originalNames...), other: forwardedNames, read: readOriginal}
)

// check looks at every header field once and refuses those that would make the
// caller's request ambiguous.
func (f *family) check(h http.Header) error {
	for key := range h {
		if key == "" {
			continue
		}
		switch c := key[0] | 0x20; { // lower case; a leading space or tab is neither letter
		case c == 'x':
			if err := f.checkExtension(key); err != nil {
				return err
			}
		case c == 'k':
			if err := checkIdentity(key); err != nil {
				return err
			}
		case key[0] <= ' ':
			return invalid("the name of a header field begins with space")
		}
	}
	return nil
}

// checkIdentity refuses spellings of identity fields that a proxy would pass on
// beside what it copies from the answer; the very name it overwrites.
func checkIdentity(key string) error {
	if strings.ContainsAny(key, "_ \t") && enforce.IsIdentity(key) {
		return invalid("a header field is spelled like an identity field of Keystile")
	}
	return nil
}

func (f *family) checkExtension(key string) error {
	for i := range f.own {
		n := &f.own[i]
		if key == n.canonical {
			return nil
		}
		if enforce.SameName(key, n.folded) {
			return invalid(n.canonical + " is spelled in a way that servers read differently")
		}
	}
	for i := range f.other {
		if n := &f.other[i]; enforce.SameName(key, n.folded) {
			return invalid(n.canonical + " is not of the family that forward_auth.headers names; let the proxy remove it")
		}
	}
	if enforce.IsOverride(key) {
		return invalid("a header field that overrides the method or the path is not allowed")
	}
	return nil
}

// readForwarded reads what Traefik and Caddy send by themselves, and HAProxy as
// its guide sets it.
func readForwarded(r *keystile.Request) error {
	return readParts(r, "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri")
}

// readOriginal reads what nginx is told to send: either the whole URL
// ($scheme://$http_host$request_uri) or its parts, never a mixture.
func readOriginal(r *keystile.Request) error {
	h := r.Header
	if len(h["X-Original-Url"]) == 0 {
		return readParts(r, "X-Original-Method", "X-Original-Proto", "X-Original-Host", "X-Original-Uri")
	}
	if len(h["X-Original-Uri"]) > 0 || len(h["X-Original-Host"]) > 0 || len(h["X-Original-Proto"]) > 0 {
		return invalid("X-Original-URL stands beside its parts; send one or the others")
	}
	method, err := one(h, "X-Original-Method")
	if err != nil {
		return err
	}
	raw, err := one(h, "X-Original-Url")
	if err != nil {
		return err
	}
	var ok bool
	if r.Scheme, r.Host, r.Path, r.RawQuery, ok = enforce.SplitURL(raw); !ok {
		return invalid("X-Original-URL is not an absolute http URL")
	}
	return setMethod(r, method)
}

func readParts(r *keystile.Request, methodName, protoName, hostName, uriName string) error {
	method, err := one(r.Header, methodName)
	if err != nil {
		return err
	}
	proto, err := one(r.Header, protoName)
	if err != nil {
		return err
	}
	host, err := one(r.Header, hostName)
	if err != nil {
		return err
	}
	uri, err := one(r.Header, uriName)
	if err != nil {
		return err
	}
	var ok bool
	if r.Scheme, ok = enforce.ParseScheme(proto); !ok {
		return invalid(protoName + " is not http or https")
	}
	if r.Host = host; !enforce.ValidHost(host) {
		return invalid(hostName + " is not one host")
	}
	if r.Path, r.RawQuery, ok = enforce.SplitTarget(uri); !ok {
		return invalid(uriName + " is not a path with an optional query")
	}
	return setMethod(r, method)
}

// one is the only value of a field that must be there once.
func one(h keystile.Header, canonical string) (string, error) {
	switch v := h[canonical]; {
	case len(v) == 0:
		return "", invalid(canonical + " is missing; the proxy must send it")
	case len(v) > 1:
		return "", invalid(canonical + " is repeated")
	case v[0] == "":
		return "", invalid(canonical + " is empty")
	default:
		return v[0], nil
	}
}

// setMethod takes a method as it was sent: methods are case-sensitive tokens
// (RFC 9110, section 9.1). CONNECT has no path that a route could match.
func setMethod(r *keystile.Request, method string) error {
	if method == http.MethodConnect || !enforce.ValidMethod(method) {
		return invalid("the method of the request is not one that is served")
	}
	r.Method = method
	return nil
}

func invalid(public string) *keystile.Rejection {
	return &keystile.Rejection{Reason: keystile.ReasonRequestInvalid, Cause: public, Public: public}
}
