package credential

import "slices"

// Alphabet is the set of alphabets a base64 text may use (RFC 4648, sections 4 and 5).
type Alphabet byte

// The alphabets. Either takes one of the two, with its padding or without; JWT
// takes the URL-safe one without padding (RFC 7515, section 2).
const (
	AlphabetEither Alphabet = iota
	AlphabetJWT
)

// Marks beside the six bits of a character: it belongs to one alphabet only, or
// (both marks) to neither.
const (
	onlyStandard = 0x40
	onlyURLSafe  = 0x80
	notBase64    = onlyStandard | onlyURLSafe
)

// sextets is the value of each character, with its mark.
var sextets = func() (table [256]byte) {
	for i := range table {
		table[i] = notBase64
	}
	const shared = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for i := range len(shared) {
		table[shared[i]] = byte(i)
	}
	table['+'], table['/'] = onlyStandard|62, onlyStandard|63
	table['-'], table['_'] = onlyURLSafe|62, onlyURLSafe|63
	return table
}()

// AppendBase64 appends what text stands for to dst. It takes exactly one text
// for each run of bytes in an alphabet: bits left over in the last character
// must be zero, padding is whole or absent, the alphabets are not mixed, and
// there are no line breaks. Otherwise ok is false and dst holds rubbish.
func AppendBase64(dst []byte, text string, alphabet Alphabet) (decoded []byte, ok bool) {
	rest := text
	if alphabet == AlphabetEither {
		for len(text)-len(rest) < 2 && rest != "" && rest[len(rest)-1] == '=' {
			rest = rest[:len(rest)-1]
		}
		if len(rest) != len(text) && len(text)%4 != 0 {
			return dst, false
		}
	}
	var marks byte
	at, whole := len(dst), len(rest)/4*3
	dst = slices.Grow(dst, whole+2)[:at+whole]
	for out := dst[at:]; len(rest) >= 4 && len(out) >= 3; rest, out = rest[4:], out[3:] {
		a, b, c, d := sextets[rest[0]], sextets[rest[1]], sextets[rest[2]], sextets[rest[3]]
		marks |= a | b | c | d
		out[0], out[1], out[2] = a<<2|b&63>>4, b<<4|c&63>>2, c<<6|d&63
	}
	dst, last, ok := appendLast(dst, rest)
	if marks |= last; marks&notBase64 == notBase64 || alphabet == AlphabetJWT && marks&onlyStandard != 0 {
		return dst, false
	}
	return dst, ok
}

// appendLast decodes the none, two or three characters that are left at the end.
func appendLast(dst []byte, rest string) (decoded []byte, marks byte, ok bool) {
	switch len(rest) {
	case 0:
		return dst, 0, true
	case 2:
		a, b := sextets[rest[0]], sextets[rest[1]]
		return append(dst, a<<2|b&63>>4), a | b, b&0x0f == 0
	case 3:
		a, b, c := sextets[rest[0]], sextets[rest[1]], sextets[rest[2]]
		return append(dst, a<<2|b&63>>4, b<<4|c&63>>2), a | b | c, c&0x03 == 0
	}
	return dst, 0, false
}
