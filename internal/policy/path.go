package policy

import (
	"strings"
	"unicode/utf8"
)

// maxPath is the longest path accepted, in bytes as sent.
const maxPath = 8 << 10

// Why a path is refused. The texts go to the caller.
const (
	pathNoSlash  = "the path does not begin with a slash"
	pathTooLong  = "the path is longer than 8 KiB"
	pathEmpty    = "the path has an empty segment"
	pathDots     = "the path has a . or .. segment"
	pathByte     = "the path has a character that must be percent-encoded or may not occur"
	pathEscape   = "the path has an invalid percent-encoding"
	pathHidden   = "the path encodes a character that changes its meaning"
	pathNeedless = "the path percent-encodes a character that needs no encoding"
	pathDouble   = "the path is percent-encoded twice"
	pathSlash    = "the path has a final slash that decides which route it belongs to"
	pathText     = "the path is not valid UTF-8 text"
	queryByte    = "the query has a character that must be percent-encoded"
)

// What a byte of a path as sent is.
const (
	classPlain byte = iota
	classSlash
	classPercent
	classBad
)

// pathClass sorts the bytes of a path as sent. Plain are the characters of a
// segment (RFC 3986, section 3.3) without the semicolon, which some servers
// cut a segment at, and with "[", "]" and "|", which browsers send as they are.
var pathClass = func() (t [256]byte) {
	for i := range t {
		t[i] = classBad
		if isAlnum(byte(i)) || strings.IndexByte("-._~!$&'()*+,=:@[]|", byte(i)) >= 0 {
			t[i] = classPlain
		}
	}
	t['/'], t['%'] = classSlash, classPercent
	return t
}()

// checkPath refuses a path that two servers could read differently, and
// decodes the others. It returns the decoded path, the form that is matched,
// or why not. It allocates only for a path that holds a percent-encoding.
//
// A decoded path has one meaning: no segment is empty but the last, none is
// "." or "..", and no byte in it is a separator in disguise. So nginx, Caddy,
// net/http and path.Clean all leave it as it is.
func checkPath(p string) (decoded, problem string) {
	if p == "" || p[0] != '/' {
		return "", pathNoSlash
	}
	if len(p) > maxPath {
		return "", pathTooLong
	}
	escaped := false
	start := 1 // of the segment being read
	for i := 1; i < len(p); i++ {
		switch pathClass[p[i]] {
		case classPlain:
		case classSlash:
			if i == start {
				return "", pathEmpty
			}
			if isDots(p[start:i]) {
				return "", pathDots
			}
			start = i + 1
		case classPercent:
			escaped = true
		default:
			return "", pathByte
		}
	}
	if isDots(p[start:]) {
		return "", pathDots
	}
	if !escaped {
		return p, ""
	}
	return decodePath(p)
}

func isDots(segment string) bool { return segment == "." || segment == ".." }

// decodePath decodes a path whose raw bytes are known to be good.
//
// An encoded unreserved character is refused: RFC 3986, section 2.3, says that
// producers do not make them, and a server that compares undecoded paths would
// see another path than one that decodes. As the dot is one of them, "%2e%2e"
// needs no rule of its own.
func decodePath(p string) (decoded, problem string) {
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			out = append(out, p[i])
			continue
		}
		c, ok := unhex(p, i+1)
		switch {
		case !ok:
			return "", pathEscape
		case c < 0x20 || c == 0x7f || strings.IndexByte(`/\;?#`, c) >= 0:
			return "", pathHidden
		case isAlnum(c) || strings.IndexByte("-._~", c) >= 0:
			return "", pathNeedless
		}
		out = append(out, c)
		i += 2
	}
	decoded = string(out)
	if encodedTwice(decoded) {
		return "", pathDouble
	}
	if !plainText(decoded) {
		return "", pathText
	}
	return decoded, ""
}

// unhex reads the two hexadecimal digits at s[i:].
func unhex(s string, i int) (byte, bool) {
	if i+2 > len(s) {
		return 0, false
	}
	hi, ok1 := hexDigit(s[i])
	lo, ok2 := hexDigit(s[i+1])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// encodedTwice says whether a decoded text could be decoded once more: "%41",
// or the "%u0041" that some servers know.
func encodedTwice(s string) bool {
	for i := range len(s) {
		if s[i] != '%' {
			continue
		}
		if _, ok := unhex(s, i+1); ok {
			return true
		}
		if i+1 < len(s) && (s[i+1] == 'u' || s[i+1] == 'U') {
			return true
		}
	}
	return false
}

// plainText says whether s is UTF-8 without control characters (C0, DEL, C1)
// and without the replacement character, which stands for a decoding error.
func plainText(s string) bool {
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// checkQuery refuses bytes no query may hold: control characters and the space
// would end the request line early, "#" begins a fragment for some servers. It
// looks at eight bytes at a time: queries are long and every request has one.
func checkQuery(q string) (problem string) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(q); i += 8 {
		word := uint64(q[i]) | uint64(q[i+1])<<8 | uint64(q[i+2])<<16 | uint64(q[i+3])<<24 |
			uint64(q[i+4])<<32 | uint64(q[i+5])<<40 | uint64(q[i+6])<<48 | uint64(q[i+7])<<56
		// The high bit of a byte is set in x-n & ^x if some byte of x is below n.
		hash, del := word^ones*'#', word^ones*0x7f
		if ((word-ones*0x21)&^word|(hash-ones)&^hash|(del-ones)&^del)&highs != 0 {
			return queryByte
		}
	}
	for ; i < len(q); i++ {
		if !queryByteAllowed(q[i]) {
			return queryByte
		}
	}
	return ""
}

func queryByteAllowed(c byte) bool { return c > ' ' && c != '#' && c != 0x7f }
