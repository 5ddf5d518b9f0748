package policy

import "slices"

// methodBit is one well-known method; unusual ones are compared as text.
type methodBit uint16

const (
	bitGet methodBit = 1 << iota
	bitHead
	bitPost
	bitPut
	bitPatch
	bitDelete
	bitOptions
)

// bitOf returns the bit of a well-known method, 0 for any other text. Methods
// are case-sensitive (RFC 9110, section 9.1): "get" is not GET.
func bitOf(method string) methodBit {
	switch method {
	case "GET":
		return bitGet
	case "HEAD":
		return bitHead
	case "POST":
		return bitPost
	case "PUT":
		return bitPut
	case "PATCH":
		return bitPatch
	case "DELETE":
		return bitDelete
	case "OPTIONS":
		return bitOptions
	}
	return 0
}

// maxMethod is the longest method accepted; the longest registered one,
// UPDATEREDIRECTREF, has 17 letters.
const maxMethod = 64

// checkMethod says why a request's method is refused, "" if it is not. CONNECT
// asks for a tunnel and has no path; TRACE echoes the caller's credential.
func checkMethod(method string) string {
	switch {
	case bitOf(method) != 0:
		return ""
	case method == "CONNECT" || method == "TRACE":
		return "the method " + method + " is not accepted"
	case len(method) > maxMethod || !isToken(method):
		return "the method is not a valid token"
	}
	return ""
}

// isToken says whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func tokenByte(c byte) bool {
	if isAlnum(c) {
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// methodSet is what match.methods lists; the zero value takes every method.
type methodSet struct {
	bits  methodBit
	other []string
}

func newMethodSet(methods []string) methodSet {
	var s methodSet
	for _, m := range methods {
		if b := bitOf(m); b != 0 {
			s.bits |= b
		} else {
			s.other = append(s.other, m)
		}
	}
	return s
}

func (s *methodSet) all() bool { return s.bits == 0 && len(s.other) == 0 }

// has says whether the set takes the method whose bit is b.
func (s *methodSet) has(b methodBit, method string) bool {
	if b != 0 && s.bits&b != 0 {
		return true
	}
	return s.all() || b == 0 && slices.Contains(s.other, method)
}

// overlaps says whether some method is in both sets.
func (s *methodSet) overlaps(t *methodSet) bool {
	return s.all() || t.all() || s.bits&t.bits != 0 ||
		slices.ContainsFunc(s.other, func(m string) bool { return slices.Contains(t.other, m) })
}

// covers says whether every method of t is in s.
func (s *methodSet) covers(t *methodSet) bool {
	if s.all() {
		return true
	}
	if t.all() || t.bits&^s.bits != 0 {
		return false
	}
	return !slices.ContainsFunc(t.other, func(m string) bool { return !slices.Contains(s.other, m) })
}
