package credential

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Value is one JSON value as it stands in the text of an Object.
type Value []byte

// maxDigits keeps integers far inside an int64 and far beyond any clock.
const maxDigits = 15

// IsText says whether the value is a string.
func (v Value) IsText() bool { return len(v) > 1 && v[0] == '"' }

// Text is the content of a string value; ok is false for other values and for
// escapes that stand for nothing, half a surrogate pair among them. It allocates
// only where there are escapes.
func (v Value) Text() (text []byte, ok bool) {
	if !v.IsText() {
		return nil, false
	}
	inner := v[1 : len(v)-1]
	first := bytes.IndexByte(inner, '\\')
	if first < 0 {
		return inner, true
	}
	text = append(make([]byte, 0, len(inner)), inner[:first]...)
	for i := first; i < len(inner); {
		if inner[i] != '\\' {
			text = append(text, inner[i])
			i++
			continue
		}
		var width int
		if text, width = appendEscape(text, inner[i:]); width == 0 {
			return nil, false
		}
		i += width
	}
	return text, true
}

// appendEscape appends what the escape at the head of s stands for, and says how
// many bytes it is; 0 is a bad escape.
func appendEscape(text, s []byte) (grown []byte, width int) {
	if len(s) < 2 {
		return text, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return append(text, s[1]), 2
	case 'b':
		return append(text, '\b'), 2
	case 'f':
		return append(text, '\f'), 2
	case 'n':
		return append(text, '\n'), 2
	case 'r':
		return append(text, '\r'), 2
	case 't':
		return append(text, '\t'), 2
	case 'u':
		return appendUnicodeEscape(text, s)
	}
	return text, 0
}

func appendUnicodeEscape(text, s []byte) (grown []byte, width int) {
	r, ok := hexRune(s)
	if !ok {
		return text, 0
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(text, r), 6
	}
	low, ok := hexRune(s[6:])
	if whole := utf16.DecodeRune(r, low); ok && whole != utf8.RuneError {
		return utf8.AppendRune(text, whole), 12
	}
	return text, 0
}

// hexRune reads \uXXXX at the head of s.
func hexRune(s []byte) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range s[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Integer is the value of a whole number without sign, fraction or exponent, of
// at most 15 digits. The digits are the value itself: what a sender signed is
// the text it sent, and 1700000000.0 or 17e8 are other texts.
func (v Value) Integer() (n int64, ok bool) {
	if len(v) == 0 || len(v) > maxDigits || v[0] == '0' && len(v) > 1 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
