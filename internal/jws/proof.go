package jws

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// privateMembers are members of a key that say it is no public one (RFC 7518,
// sections 6.2.2, 6.3.2 and 6.4.1).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseProof reads a token that brings the key it is signed with, as "jwk" in its
// header: a proof that its sender holds the key, and nothing more (RFC 9449,
// section 4.2). Nothing that is not bound to that key may be believed of it. The
// key is public, of an algorithm of [NewPublic], and each of its members is there
// once. An error wraps [keystile.ErrMalformed]; whether the key signed the token
// is for [Key.Verify].
func ParseProof(text string) (*Token, *Key, error) {
	var member credential.Value
	t, err := parse(text, &member)
	if err != nil {
		return nil, nil, err
	}
	key, err := embedded(member)
	if err != nil {
		return nil, nil, fmt.Errorf("the jwk of a proof: %w: %w", err, keystile.ErrMalformed)
	}
	return t, key, nil
}

// embedded is the public key that a header brings.
func embedded(member credential.Value) (*Key, error) {
	if member == nil {
		return nil, errors.New("it is missing")
	}
	object := credential.NewObject(member)
	for name, _, more := object.Next(); more; name, _, more = object.Next() {
		for _, private := range privateMembers {
			if string(name) == private {
				return nil, errors.New("it is not a public key")
			}
		}
	}
	if !object.Good() {
		return nil, errors.New("it is not one JSON object with each member once")
	}
	key := usable(member)
	if key == nil {
		return nil, errors.New("no signature can be verified with it: RSA from 2048 bits, P-256 and Ed25519 are right, for signatures and for their own algorithm")
	}
	return key, nil
}

// Thumbprint is the SHA-256 thumbprint of a public key (RFC 7638, section 3; RFC
// 8037, appendix A.3) as base64url, 43 characters: what "jkt" names a key by. A
// secret has none, which is an error.
func (k *Key) Thumbprint() (string, error) {
	if k.algorithm == keystile.HS256 {
		return "", errors.New("a secret has no thumbprint to show")
	}
	sum, err := (&jose.JSONWebKey{Key: k.public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("the thumbprint of a key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
