package enforce

import (
	"net/http"
	"net/textproto"
	"strings"

	keystile "keystile.dev/keystile"
)

// overrides are header fields by which some frameworks let a caller replace
// the method or the path after a checker has looked at them. They are refused
// at every enforcement point, in every spelling SameName knows.
var overrides = [...]string{
	"x-http-method-override", "x-http-method", "x-method-override",
	"x-original-url", "x-rewrite-url", "x-override-url",
}

// CheckHeader refuses header fields that would let an upstream see another
// request than the gate: X-HTTP-Method-Override and its kin, X-Original-URL and
// X-Rewrite-URL, in any spelling that a server could take for them.
func CheckHeader(h keystile.Header) error {
	for name := range h {
		if IsOverride(name) {
			return invalid("the header field " + canonical(name) + " is not allowed")
		}
	}
	return nil
}

// IsOverride says whether CheckHeader refuses a header field of that name.
func IsOverride(name string) bool {
	if name == "" || name[0]|0x20 != 'x' && name[0] > ' ' {
		return false
	}
	for _, o := range overrides {
		if SameName(name, o) {
			return true
		}
	}
	return false
}

// SameName says whether some server could take the header name for folded,
// which is in lower case with hyphens: whatever the case, "_" for "-" (CGI, RFC
// 3875, section 4.1.18, makes both the same variable), with space around it.
func SameName(name, folded string) bool {
	if len(name) < len(folded) {
		return false
	}
	if len(name) > len(folded) {
		name = strings.Trim(name, " \t")
	}
	return len(name) == len(folded) && hasFoldedPrefix(name, folded)
}

// hasFoldedPrefix is strings.HasPrefix in the sense of SameName.
func hasFoldedPrefix(name, folded string) bool {
	if len(name) < len(folded) {
		return false
	}
	for i := range len(folded) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_':
			c = '-'
		}
		if c != folded[i] {
			return false
		}
	}
	return true
}

// canonical names a header field in a message to its sender.
func canonical(name string) string {
	name = strings.ReplaceAll(strings.Trim(name, " \t"), "_", "-")
	return textproto.CanonicalMIMEHeaderKey(name)
}

// hopByHop are the fields that end at each hop (RFC 9110, section 7.6.1), with
// the two that custom makes so.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// StripHopByHop removes the hop-by-hop fields and those that Connection names.
// It must run before SetIdentity: a caller who names an identity field in
// Connection would otherwise have it removed on the way to the upstream.
func StripHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// ValidFieldName says whether s is a field name (RFC 9110, section 5.1).
func ValidFieldName(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// ValidFieldValue says whether s has no control characters but tab (RFC 9110,
// section 5.5).
func ValidFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
