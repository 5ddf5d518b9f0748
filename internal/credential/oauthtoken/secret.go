package oauthtoken

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	keystile "keystile.dev/keystile"
)

// Prefix of opaque access tokens, and length of what follows it: 238 random bits.
const (
	Prefix       = "ot_"
	opaqueLength = 40
	alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Generate draws an opaque token: "ot_" and 40 base62 characters. random must be a
// cryptographic source.
func Generate(random io.Reader) (keystile.Secret, error) {
	text, err := Random(random, opaqueLength)
	return keystile.Secret(Prefix + text), err
}

// Random draws n letters and digits, each with the same chance.
func Random(random io.Reader, n int) (string, error) {
	text := make([]byte, 0, n)
	var buf [64]byte
	for len(text) < n {
		if _, err := io.ReadFull(random, buf[:]); err != nil {
			return "", fmt.Errorf("draw random bytes for a token: %w", err)
		}
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: above it, the first
			// characters of the alphabet would be likelier.
			if b < 248 && len(text) < n {
				text = append(text, alphabet[b%62])
			}
		}
	}
	return string(text), nil
}

// shaped says whether text has the form of an access token: opaque, or three parts.
func shaped(text string) bool {
	body, opaque := strings.CutPrefix(text, Prefix)
	if !opaque {
		return strings.Count(text, ".") == 2
	}
	if len(body) != opaqueLength {
		return false
	}
	for i := range len(body) {
		if c := body[i]; c-'0' > 9 && (c|0x20)-'a' > 25 { // a byte wraps round: below '0' is above 9
			return false
		}
	}
	return true
}

// Sum is SHA-256 of a token's text.
func Sum(s keystile.Secret) [32]byte { return sha256.Sum256([]byte(s.Reveal())) }
