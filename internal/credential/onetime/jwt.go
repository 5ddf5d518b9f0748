package onetime

import (
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// maxLife is the longest a JWT may live, exp - iat, in seconds.
const maxLife = 300

// parseJWT reads the JWT form (RFC 7515, compact serialisation; RFC 7519).
func parseJWT(text string) (*proof, error) {
	head, rest, _ := strings.Cut(text, ".")
	body, last, _ := strings.Cut(rest, ".")
	p := &proof{form: keystile.FormJWT}
	space := p.space[:0]
	decoded, ok := credential.AppendBase64(space, head, credential.AlphabetJWT)
	if !ok {
		return nil, malformed("the JWT's header is not base64url")
	}
	if err := p.readHeader(decoded); err != nil {
		return nil, err
	}
	decoded, ok = credential.AppendBase64(decoded[len(decoded):], body, credential.AlphabetJWT)
	if !ok {
		return nil, malformed("the JWT's payload is not base64url")
	}
	if err := p.readClaims(decoded); err != nil {
		return nil, err
	}
	if strings.Trim(last, jwtAlphabet) != "" {
		return nil, malformed("the JWT's signature is not base64url")
	}
	// A signature that was cut is a wrong one; it has no bytes if it cannot be decoded.
	if decoded, ok = credential.AppendBase64(decoded[len(decoded):], last, credential.AlphabetJWT); ok {
		p.signature = decoded
	}
	p.signed = append(p.signature[len(p.signature):], text[:len(text)-len(last)-1]...)
	return p, p.check()
}

const jwtAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// readHeader reads alg. Keys that a header brings along (jwk, jku, x5c) and kid
// are not looked at: the key is the stored one. Extensions that a reader must
// understand (crit) are none we know.
func (p *proof) readHeader(data []byte) error {
	named := false
	object := credential.NewObject(data)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		switch string(name) {
		case "alg":
			alg, ok := value.Text()
			if !ok || len(alg) == 0 || strings.EqualFold(string(alg), "none") {
				return malformed("the JWT is not signed: its alg is none or no text")
			}
			p.algorithm, named = algorithmOf(alg), true
		case "crit":
			return malformed("the JWT has critical extensions")
		}
	}
	if !object.Good() || !named {
		return malformed("the JWT's header is not one JSON object with alg, each member once")
	}
	return nil
}

// foreignAlgorithm stands for every algorithm that no key has.
const foreignAlgorithm keystile.SigningAlgorithm = "another"

// algorithmOf knows the four algorithms by their JOSE names, without keeping the request's text.
func algorithmOf(name []byte) keystile.SigningAlgorithm {
	for _, known := range []keystile.SigningAlgorithm{keystile.HS256, keystile.RS256, keystile.ES256, keystile.EdDSA} {
		if string(name) == string(known) {
			return known
		}
	}
	return foreignAlgorithm
}

// claims are the raw members a JWT is read from.
type claims struct{ audience, apiKey, subject, nonce, issued, expires, notBefore credential.Value }

func (p *proof) readClaims(data []byte) error {
	var c claims
	object := credential.NewObject(data)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		switch string(name) {
		case "aud":
			c.audience = value
		case "apiKey":
			c.apiKey = value
		case "sub":
			c.subject = value
		case "nonce":
			c.nonce = value
		case "iat":
			c.issued = value
		case "exp":
			c.expires = value
		case "nbf":
			c.notBefore = value
		}
	}
	if !object.Good() {
		return malformed("the JWT's payload is not one JSON object with each member once")
	}
	if err := p.readNames(&c); err != nil {
		return err
	}
	return p.readTimes(&c)
}

func (p *proof) readNames(c *claims) error {
	var ok, named bool
	if p.organization, ok = c.audience.Text(); !ok {
		return malformed("aud is missing or is not one text")
	}
	if p.nonce, ok = c.nonce.Text(); !ok {
		return malformed("nonce is missing or is no text")
	}
	for _, value := range []credential.Value{c.apiKey, c.subject} {
		if value == nil {
			continue
		}
		name, ok := value.Text()
		if !ok || named && string(name) != string(p.apiKey) {
			return malformed("apiKey and sub are not text, or disagree")
		}
		p.apiKey, named = name, true
	}
	if !named {
		return malformed("apiKey and sub are missing")
	}
	return nil
}

func (p *proof) readTimes(c *claims) error {
	t := &p.times
	var issued bool
	t.stamp, issued = c.issued.Integer()
	t.ends, t.hasEnd = c.expires.Integer()
	if !issued || !t.hasEnd {
		return malformed("iat or exp is missing or is no whole number")
	}
	if t.ends < t.stamp || t.ends-t.stamp > maxLife {
		return malformed("exp is before iat, or more than 300 s after it")
	}
	if c.notBefore != nil {
		if t.notBefore, t.hasNotBefore = c.notBefore.Integer(); !t.hasNotBefore {
			return malformed("nbf is no whole number")
		}
	}
	t.tail, t.hasTail = nonceTail(p.nonce)
	return nil
}

// nonceTail is the time that the platform's own clients end a nonce with: 24
// random bytes and 8 bytes of seconds, big-endian, as 64 hexadecimal digits.
func nonceTail(nonce []byte) (seconds int64, ok bool) {
	if len(nonce) != 64 {
		return 0, false
	}
	var value uint64
	for _, c := range nonce {
		digit := hexDigit(c)
		if digit > 15 {
			return 0, false
		}
		value = value<<4 | uint64(digit)
	}
	if value >= 1<<62 {
		return 1 << 62, true // farther from any clock than a difference can overflow
	}
	return int64(value), true
}
