package credential

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
	body := text
	if alphabet == AlphabetEither {
		for len(text)-len(body) < 2 && len(body) > 0 && body[len(body)-1] == '=' {
			body = body[:len(body)-1]
		}
		if len(body) != len(text) && len(text)%4 != 0 {
			return dst, false
		}
	}
	var marks byte
	whole := len(body) &^ 3
	for i := 0; i < whole; i += 4 {
		a, b, c, d := sextets[body[i]], sextets[body[i+1]], sextets[body[i+2]], sextets[body[i+3]]
		marks |= a | b | c | d
		dst = append(dst, a<<2|b&63>>4, b<<4|c&63>>2, c<<6|d&63)
	}
	switch rest := body[whole:]; len(rest) {
	case 1:
		return dst, false
	case 2:
		a, b := sextets[rest[0]], sextets[rest[1]]
		marks |= a | b
		if b&0x0f != 0 {
			return dst, false
		}
		dst = append(dst, a<<2|b&63>>4)
	case 3:
		a, b, c := sextets[rest[0]], sextets[rest[1]], sextets[rest[2]]
		marks |= a | b | c
		if c&0x03 != 0 {
			return dst, false
		}
		dst = append(dst, a<<2|b&63>>4, b<<4|c&63>>2)
	}
	if marks&notBase64 == notBase64 || alphabet == AlphabetJWT && marks&onlyStandard != 0 {
		return dst, false
	}
	return dst, true
}
