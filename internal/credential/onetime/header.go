package onetime

import (
	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// parseHeader reads the header form: base64, of either alphabet, of a JSON
// object. Unknown members are ignored; a member that is there twice is refused.
func parseHeader(text string) (*proof, error) {
	p := &proof{form: keystile.FormHeader}
	data, ok := credential.AppendBase64(p.space[:0], text, credential.AlphabetEither)
	if !ok {
		return nil, malformed("the credential is not base64")
	}
	stamp, token, err := p.readObject(data)
	if err != nil {
		return nil, err
	}
	// Each decoded part goes behind the one before it, in the same space.
	if p.signature, ok = appendHex(data[len(data):], token); !ok {
		return nil, malformed("accessToken is not hexadecimal")
	}
	// The digits as they were sent: another way of writing the number is another text.
	p.signed = append(append(append(p.signature[len(p.signature):], p.apiKey...), p.nonce...), stamp...)
	return p, p.check()
}

// readObject reads the members, and returns the digits of the timestamp and of
// the accessToken.
func (p *proof) readObject(data []byte) (stamp credential.Value, token []byte, err error) {
	object := credential.NewObject(data)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		ok := true
		switch string(name) {
		case "organization":
			p.organization, ok = value.Text()
		case "apiKey":
			p.apiKey, ok = value.Text()
		case "nonce":
			p.nonce, ok = value.Text()
		case "timestamp":
			stamp = value
			p.times.stamp, ok = value.Integer()
		case "accessToken":
			token, ok = value.Text()
		}
		if !ok {
			return nil, nil, malformed("a member is of the wrong type: timestamp is a whole number, the others are text")
		}
	}
	if !object.Good() {
		return nil, nil, malformed("the credential is not one JSON object with each member once")
	}
	for _, part := range [...][]byte{p.organization, p.apiKey, p.nonce, stamp, token} {
		if part == nil {
			return nil, nil, malformed("organization, apiKey, nonce, timestamp or accessToken is missing")
		}
	}
	return stamp, token, nil
}

// appendHex appends what pairs of hexadecimal digits, of either case, stand for.
func appendHex(dst, digits []byte) (decoded []byte, ok bool) {
	if len(digits) == 0 || len(digits)%2 != 0 || len(digits) > 2*maxSignature {
		return dst, false
	}
	for i := 0; i < len(digits); i += 2 {
		high, low := hexDigit(digits[i]), hexDigit(digits[i+1])
		if high > 15 || low > 15 {
			return dst, false
		}
		dst = append(dst, high<<4|low)
	}
	return dst, true
}

// hexDigit is the value of a digit, or more than 15.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
