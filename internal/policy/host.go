package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Why a host is refused. The texts go to the caller.
const (
	hostMissing = "the request names no host"
	hostInvalid = "the host is not valid"
)

const (
	maxHost  = 253 // RFC 1035, section 2.3.4, as text without the final dot
	maxLabel = 63
	// maxUnicodeHost bounds the work on a name before it is known to be one.
	maxUnicodeHost = 4 * maxHost
)

// appendHost appends the canonical form of an authority to dst: lower-case
// ASCII without port and without the one trailing dot that marks a full name,
// international names in their ASCII form (RFC 5891, lookup), IPv6 addresses
// in brackets as RFC 5952 writes them. It allocates only for international
// names. The second result says why the host is refused.
func appendHost(dst []byte, host string) ([]byte, string) {
	if host == "" {
		return dst, hostMissing
	}
	if host[0] == '[' {
		return appendAddress(dst, host)
	}
	name, port, found := strings.Cut(host, ":")
	if found && !validPort(port) {
		return dst, hostInvalid
	}
	name = strings.TrimSuffix(name, ".")
	if out, ok := appendName(dst, name); ok {
		return out, ""
	}
	if len(name) > maxUnicodeHost || !utf8.ValidString(name) {
		return dst, hostInvalid
	}
	// Either international or wrong: the lookup profile tells.
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return dst, hostInvalid
	}
	out, ok := appendLabels(dst, ascii)
	if !ok {
		return dst, hostInvalid
	}
	return out, ""
}

// appendName appends a name that needs no international processing.
func appendName(dst []byte, name string) ([]byte, bool) {
	out, ok := appendLabels(dst, name)
	if !ok || hasPunycode(out[len(dst):]) {
		return dst, false
	}
	return out, true
}

// appendLabels appends an ASCII name in lower case, or reports false: labels
// are letters, digits, "-" and "_" (not a host name's by RFC 952, yet used by
// container networks), not empty, with no hyphen at either end.
func appendLabels(dst []byte, name string) ([]byte, bool) {
	if name == "" || len(name) > maxHost {
		return dst, false
	}
	start := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '.':
			if !validLabel(name[start:i]) {
				return dst, false
			}
			start = i + 1
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return dst, false
		}
		dst = append(dst, c)
	}
	return dst, validLabel(name[start:])
}

func validLabel(l string) bool {
	return l != "" && len(l) <= maxLabel && l[0] != '-' && l[len(l)-1] != '-'
}

// hasPunycode says whether a label of a lower-case name begins with "xn--".
func hasPunycode(name []byte) bool {
	for i := 0; i+4 <= len(name); i++ {
		if (i == 0 || name[i-1] == '.') && string(name[i:i+4]) == "xn--" {
			return true
		}
	}
	return false
}

// appendAddress appends an IPv6 literal (RFC 3986, section 3.2.2).
func appendAddress(dst []byte, host string) ([]byte, string) {
	text, rest, found := strings.Cut(host[1:], "]")
	if !found || rest != "" && (rest[0] != ':' || !validPort(rest[1:])) {
		return dst, hostInvalid
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return dst, hostInvalid
	}
	dst = append(dst, '[')
	dst = addr.AppendTo(dst)
	return append(dst, ']'), ""
}

// validPort takes what may follow the colon: digits up to 65535, also none
// (RFC 3986, section 3.2.3).
func validPort(port string) bool {
	if port == "" {
		return true
	}
	if port[0] < '0' || port[0] > '9' {
		return false
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// canonicalHost is appendHost as a string.
func canonicalHost(host string) (canonical, problem string) {
	out, problem := appendHost(nil, host)
	return string(out), problem
}
