package dpop

import (
	"strings"
	"time"

	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/jws"
)

const (
	// Header is the field a proof stands in (RFC 9449, section 4.1).
	Header = "DPoP"
	// Type is the "typ" of a proof (section 4.2).
	Type = "dpop+jwt"

	// An id has 96 bits of chance or more (section 4.2), which is 16 characters
	// in base64url; ids of some clients are shorter than asked for, and a short one
	// harms nobody but its sender. The longest bounds what a ledger digests.
	minID     = 8
	maxID     = 256
	maxMethod = 32
	maxURL    = 2 << 10
	maxNonce  = 512
)

// Proof is a proof whose signature is good. What it says is checked by Check.
type Proof struct {
	// Thumbprint is that of its key, the "jkt" of RFC 9449, section 6: 43 characters.
	Thumbprint string
	// ID is "jti": 8 to 256 printable characters.
	ID string
	// Method is "htm", as it was written.
	Method string
	// URL is "htu" in the form of NormalizeURL.
	URL string
	// IssuedAt is "iat", to the second.
	IssuedAt time.Time
	// TokenDigest is "ath": the SHA-256 of the access token as base64url; empty: none.
	TokenDigest string
	// ServerNonce is "nonce": one that a server gave out; empty: none.
	ServerNonce string
}

// Sole is the one proof among the values of the DPoP field; there is false where
// the field is absent. More than one value is a fault: a reader that took the first
// and one that took the last would see two senders (section 4.3, check 1).
func Sole(values []string) (text string, there bool, err error) {
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) > 1:
		return "", true, fault(Header, "the field is there more than once")
	case values[0] == "":
		return "", true, fault(Header, "the field is empty")
	}
	return values[0], true, nil
}

// Parse reads a proof and verifies its signature (section 4.3, checks 2 to 7). Every
// error is a *Fault. It is pure: nothing is fetched and no clock is asked.
func Parse(text string) (*Proof, error) {
	token, key, err := jws.ParseProof(text)
	if err != nil {
		return nil, fault(Header, err.Error())
	}
	// "typ" is a media type without its "application/"; case does not count (RFC 7515, section 4.1.9).
	if !strings.EqualFold(token.Type, Type) {
		return nil, fault("typ", "it is not "+Type)
	}
	if token.Algorithm == "" || token.Algorithm != key.Algorithm() {
		return nil, fault("alg", "it is not that of the key: RS256, ES256 and EdDSA are taken")
	}
	if !key.Verify(token) {
		return nil, fault("jwk", "the signature is not that of the key")
	}
	p := &Proof{}
	if p.Thumbprint, err = key.Thumbprint(); err != nil {
		return nil, fault("jwk", err.Error())
	}
	if err := p.read(token.Payload); err != nil {
		return nil, err
	}
	return p, nil
}

// read reads the claims. Members that are not known are left alone (section 4.2).
func (p *Proof) read(payload []byte) error {
	object := credential.NewObject(payload)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		if err := p.member(string(name), value); err != nil {
			return err
		}
	}
	if !object.Good() {
		return fault(Header, "the payload is not one JSON object with each member once")
	}
	return p.complete()
}

// member reads one claim.
func (p *Proof) member(name string, value credential.Value) (err error) {
	switch name {
	case "jti":
		p.ID, err = text(name, value, maxID)
	case "htm":
		p.Method, err = text(name, value, maxMethod)
	case "htu":
		p.URL, err = readURL(value)
	case "iat":
		seconds, ok := value.Integer()
		if !ok || seconds == 0 {
			return fault(name, "it is no whole number of seconds")
		}
		p.IssuedAt = time.Unix(seconds, 0).UTC()
	case "ath":
		p.TokenDigest, err = text(name, value, digestLength)
	case "nonce":
		p.ServerNonce, err = text(name, value, maxNonce)
	}
	return err
}

// complete wants the claims that every proof has.
func (p *Proof) complete() error {
	switch {
	case p.ID == "":
		return fault("jti", "it is missing")
	case len(p.ID) < minID:
		return fault("jti", "it is too short to be used once")
	case p.Method == "":
		return fault("htm", "it is missing")
	case p.URL == "":
		return fault("htu", "it is missing")
	case p.IssuedAt.IsZero():
		return fault("iat", "it is missing")
	case p.TokenDigest != "" && len(p.TokenDigest) != digestLength:
		return fault("ath", "it is no SHA-256 as base64url")
	}
	return nil
}

func readURL(value credential.Value) (string, error) {
	written, err := text("htu", value, maxURL)
	if err != nil {
		return "", err
	}
	normal, err := NormalizeURL(written)
	if err != nil {
		return "", fault("htu", err.Error())
	}
	return normal, nil
}

// text is a member that is a text of printable ASCII without spaces.
func text(name string, value credential.Value, longest int) (string, error) {
	written, ok := value.Text()
	if !ok || len(written) == 0 || len(written) > longest {
		return "", fault(name, "it is no text, empty or too long")
	}
	for _, c := range written {
		if c <= ' ' || c > '~' {
			return "", fault(name, "it holds a character that is not printable ASCII")
		}
	}
	return string(written), nil
}
