package onetime

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"keystile.dev/keystile/internal/credential"
)

// This file reads the part of Structured Field Values (RFC 9651) that signatures
// and digests are written in: dictionaries, inner lists, and items that are
// strings, tokens, integers, byte sequences or booleans. It is stricter than the
// standard where the standard lets two readers differ: a key that is there twice
// is refused instead of the last one winning, and base64 must be whole.

// Limits of what is read.
const (
	maxField      = 8 << 10 // bytes of one field
	maxComponents = 64
	maxParameters = 16
	maxDictionary = 16
)

type itemKind byte

const (
	itemBoolean itemKind = iota // true, as a key without value is
	itemInteger
	itemString
	itemToken
	itemBytes
)

// item is a bare item (RFC 9651, section 3.3).
type item struct {
	kind    itemKind
	text    string // of a string, token; the bytes of a byte sequence
	integer int64
	no      bool // ?0
}

// parameter is one parameter, in its place.
type parameter struct {
	key   string
	value item
}

// component is one string of an inner list with its parameters.
type component struct {
	name       string
	parameters []parameter
}

// fieldReader walks over a field value.
type fieldReader struct {
	text string
	at   int
}

func (r *fieldReader) end() bool { return r.at == len(r.text) }

func (r *fieldReader) take(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

// spaces walks over spaces; tabs are allowed between members of a dictionary only.
func (r *fieldReader) spaces(tabs bool) {
	for r.take(' ') || tabs && r.take('\t') {
	}
}

// span walks over the bytes that fit.
func (r *fieldReader) span(fits func(c byte) bool) string {
	start := r.at
	for r.at < len(r.text) && fits(r.text[r.at]) {
		r.at++
	}
	return r.text[start:r.at]
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// key reads a key (section 4.2.3.3).
func (r *fieldReader) key() (string, bool) {
	if r.end() || !isLower(r.text[r.at]) && r.text[r.at] != '*' {
		return "", false
	}
	return r.span(func(c byte) bool { return isLower(c) || isDigit(c) || strings.IndexByte("_-.*", c) >= 0 }), true
}

// item reads a bare item (section 4.2.3.1).
func (r *fieldReader) item() (item, bool) {
	if r.end() {
		return item{}, false
	}
	switch c := r.text[r.at]; {
	case c == '"':
		text, ok := r.quoted()
		return item{kind: itemString, text: text}, ok
	case c == ':':
		text, ok := r.bytes()
		return item{kind: itemBytes, text: text}, ok
	case c == '?':
		r.at++
		no := r.take('0')
		return item{kind: itemBoolean, no: no}, no || r.take('1')
	case c == '-', isDigit(c):
		return r.integer()
	case isLower(c), c >= 'A' && c <= 'Z', c == '*':
		text := r.span(func(c byte) bool { return isTokenByte(c) || c == ':' || c == '/' })
		return item{kind: itemToken, text: text}, true
	}
	return item{}, false
}

// quoted reads a string (section 4.2.5).
func (r *fieldReader) quoted() (string, bool) {
	r.at++
	var text strings.Builder
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return text.String(), true
		case c == '\\':
			if r.end() || r.text[r.at] != '"' && r.text[r.at] != '\\' {
				return "", false
			}
			c = r.text[r.at]
			r.at++
		case c < ' ' || c > '~':
			return "", false
		}
		text.WriteByte(c)
	}
	return "", false
}

// bytes reads a byte sequence (section 4.2.7).
func (r *fieldReader) bytes() (string, bool) {
	r.at++
	end := strings.IndexByte(r.text[r.at:], ':')
	if end < 0 {
		return "", false
	}
	text := r.text[r.at : r.at+end]
	r.at += end + 1
	decoded, ok := credential.AppendBase64(nil, text, credential.AlphabetEither)
	return string(decoded), ok && len(text)%4 == 0 && !strings.ContainsAny(text, "-_")
}

// integer reads an integer (section 4.2.4). Decimals are of no use here.
func (r *fieldReader) integer() (item, bool) {
	negative := r.take('-')
	digits := r.span(isDigit)
	if digits == "" || len(digits) > 15 || !r.end() && r.text[r.at] == '.' {
		return item{}, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if negative {
		n = -n
	}
	return item{kind: itemInteger, integer: n}, err == nil
}

// parameters reads parameters (section 4.2.3.2).
func (r *fieldReader) parameters() ([]parameter, bool) {
	var list []parameter
	for r.take(';') {
		r.spaces(false)
		key, ok := r.key()
		if !ok || len(list) == maxParameters {
			return nil, false
		}
		for _, p := range list {
			if p.key == key {
				return nil, false
			}
		}
		value := item{kind: itemBoolean}
		if r.take('=') {
			if value, ok = r.item(); !ok {
				return nil, false
			}
		}
		list = append(list, parameter{key, value})
	}
	return list, true
}

// innerList reads an inner list of strings (section 4.2.1.2).
func (r *fieldReader) innerList() ([]component, bool) {
	if !r.take('(') {
		return nil, false
	}
	var list []component
	for {
		r.spaces(false)
		if r.take(')') {
			return list, true
		}
		name, ok := r.item()
		if !ok || name.kind != itemString || len(list) == maxComponents {
			return nil, false
		}
		parameters, ok := r.parameters()
		if !ok || !r.end() && r.text[r.at] != ' ' && r.text[r.at] != ')' {
			return nil, false
		}
		list = append(list, component{name.text, parameters})
	}
}

// dictionary reads a dictionary whose members are byte sequences (section
// 4.2.2), as Content-Digest is. The function is given each of them, and says
// whether to go on.
func dictionary(text string, member func(key string, value []byte) bool) bool {
	if len(text) > maxField {
		return false
	}
	r := &fieldReader{text: text}
	r.spaces(false)
	seen := make([]string, 0, 4)
	for len(seen) < maxDictionary {
		key, value, ok := r.member()
		if !ok || slices.Contains(seen, key) || !member(key, []byte(value.text)) {
			return false
		}
		seen = append(seen, key)
		r.spaces(true)
		if r.end() {
			return true
		}
		if !r.take(',') {
			return false
		}
		r.spaces(true)
	}
	return false
}

// member reads one member of a dictionary that is a byte sequence.
func (r *fieldReader) member() (key string, value item, ok bool) {
	if key, ok = r.key(); !ok || !r.take('=') {
		return "", value, false
	}
	if value, ok = r.item(); !ok || value.kind != itemBytes {
		return "", value, false
	}
	_, ok = r.parameters()
	return key, value, ok
}

// isTokenByte is tchar of RFC 9110, section 5.6.2.
func isTokenByte(c byte) bool {
	return isLower(c) || c >= 'A' && c <= 'Z' || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// appendString writes a string (section 4.1.6).
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// appendParameters writes parameters (section 4.1.1.2).
func appendParameters(dst []byte, list []parameter) []byte {
	for _, p := range list {
		dst = append(append(dst, ';'), p.key...)
		switch v := p.value; v.kind {
		case itemBoolean:
			if v.no {
				dst = append(dst, "=?0"...)
			}
		case itemInteger:
			dst = strconv.AppendInt(append(dst, '='), v.integer, 10)
		case itemString:
			dst = appendString(append(dst, '='), v.text)
		case itemToken:
			dst = append(append(dst, '='), v.text...)
		case itemBytes:
			dst = append(base64.StdEncoding.AppendEncode(append(dst, "=:"...), []byte(v.text)), ':')
		}
	}
	return dst
}

// appendComponent writes a component identifier (RFC 9421, section 2.5).
func appendComponent(dst []byte, c component) []byte {
	return appendParameters(appendString(dst, c.name), c.parameters)
}

// appendInnerList writes an inner list with its parameters (section 4.1.1.1).
func appendInnerList(dst []byte, list []component, parameters []parameter) []byte {
	dst = append(dst, '(')
	for i, c := range list {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = appendComponent(dst, c)
	}
	return appendParameters(append(dst, ')'), parameters)
}
