package jws

import (
	"fmt"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// Token is a signed token whose signature nobody has checked yet.
type Token struct {
	// Algorithm is what the header claims; "" is one that no key here has.
	Algorithm keystile.SigningAlgorithm
	// KeyID is "kid" (RFC 7515, section 4.1.4); empty: none.
	KeyID string
	// Type is "typ" (section 4.1.9), as it was written; empty: none.
	Type string
	// Other says that the header has members besides those three.
	Other bool
	// Payload is the decoded payload.
	Payload []byte

	text      string // the whole token
	signed    string // header.payload
	signature []byte
}

const (
	// maxKeyID bounds "kid", in bytes. Keys are compared with it, never fetched by it.
	maxKeyID = 256
	maxType  = 64
)

// refusedMembers are header parameters that change what a token means or where
// its key comes from. A reader that ignored one would see another token than its
// maker, or would let the token bring its own key (RFC 7515, sections 4.1.2,
// 4.1.3, 4.1.5, 4.1.11; RFC 7797; RFC 7516, section 4.1). ParseProof reads "jwk".
var refusedMembers = []string{"crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "cty", "epk", "p2c", "p2s"}

// Parse reads a token. It answers an error that wraps [keystile.ErrMalformed] for
// text that is longer than [credential.MaxLength], is not three base64url parts in
// their one spelling, has no header of one JSON object with "alg", is not signed,
// or has a header member that is refused.
func Parse(text string) (*Token, error) { return parse(text, nil) }

// parse reads a token, and its "jwk" into key unless that is nil.
func parse(text string, key *credential.Value) (*Token, error) {
	if len(text) > credential.MaxLength {
		return nil, malformed("it is longer than 8 KiB")
	}
	if strings.Count(text, ".") != 2 {
		return nil, malformed("it has not three parts")
	}
	last := strings.LastIndexByte(text, '.')
	t := &Token{text: text, signed: text[:last]}
	head, body, _ := strings.Cut(t.signed, ".")
	space := make([]byte, 0, len(text))
	header, ok := credential.AppendBase64(space, head, credential.AlphabetJWT)
	if !ok {
		return nil, malformed("its header is not base64url")
	}
	if err := t.readHeader(header, key); err != nil {
		return nil, err
	}
	if t.Payload, ok = credential.AppendBase64(header[len(header):], body, credential.AlphabetJWT); !ok {
		return nil, malformed("its payload is not base64url")
	}
	if t.signature, ok = credential.AppendBase64(t.Payload[len(t.Payload):], text[last+1:], credential.AlphabetJWT); !ok || len(t.signature) == 0 {
		return nil, malformed("its signature is missing or is not base64url")
	}
	return t, nil
}

func (t *Token) readHeader(data []byte, key *credential.Value) error {
	named := false
	object := credential.NewObject(data)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		var err error
		if string(name) == "jwk" && key != nil {
			*key = value
			continue
		}
		switch string(name) {
		case "alg":
			named, err = true, t.readAlgorithm(value)
		case "kid":
			t.KeyID, err = short(value, "kid", maxKeyID)
		case "typ":
			t.Type, err = short(value, "typ", maxType)
		default:
			t.Other, err = true, refusedMember(string(name))
		}
		if err != nil {
			return err
		}
	}
	if !object.Good() || !named {
		return malformed("its header is not one JSON object with alg, each member once")
	}
	return nil
}

// readAlgorithm knows the algorithms that keys here have, by their exact names.
func (t *Token) readAlgorithm(value credential.Value) error {
	alg, ok := value.Text()
	if !ok || len(alg) == 0 || strings.EqualFold(string(alg), "none") {
		return malformed("it is not signed: alg is none or no text")
	}
	for _, known := range []keystile.SigningAlgorithm{keystile.HS256, keystile.RS256, keystile.ES256, keystile.EdDSA} {
		if string(alg) == string(known) {
			t.Algorithm = known
		}
	}
	return nil
}

func short(value credential.Value, name string, longest int) (string, error) {
	text, ok := value.Text()
	if !ok || len(text) == 0 || len(text) > longest {
		return "", malformed(name + " in its header is no text, empty or too long")
	}
	return string(text), nil
}

func refusedMember(name string) error {
	for _, refused := range refusedMembers {
		if name == refused {
			return malformed("its header has " + refused)
		}
	}
	return nil
}

func malformed(problem string) error {
	return fmt.Errorf("a signed token: %s: %w", problem, keystile.ErrMalformed)
}
