package partner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	keystile "keystile.dev/keystile"
)

// Type is the first part of a partner's credential.
type Type string

// The types (protocols 2.8, "Formats").
const (
	ApplicationKey Type = "ak"
	SessionToken   Type = "st"
	TemporaryKey   Type = "tk"
)

const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	base62Length = 32
	// temporaryBytes are 24 hex digits: the platform's shape (rulings R35).
	temporaryBytes = 12
)

// environmentText is how an environment stands in a credential.
func environmentText(env keystile.Environment) string {
	if env == keystile.Sandbox {
		return "test"
	}
	return "prod"
}

// Generate draws a credential of a type for an environment: "ak_prod_" and 32
// base62 characters, "st_prod_" likewise, "tk_prod_" and 24 lower-case hex
// digits. random must be a cryptographic source.
func Generate(random io.Reader, t Type, env keystile.Environment) (keystile.Secret, error) {
	head := string(t) + "_" + environmentText(env) + "_"
	if t == TemporaryKey {
		var raw [temporaryBytes]byte
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return "", fmt.Errorf("draw random bytes for a temporary key: %w", err)
		}
		return keystile.Secret(hex.AppendEncode([]byte(head), raw[:])), nil
	}
	text := make([]byte, 0, len(head)+base62Length)
	text = append(text, head...)
	var buf [64]byte
	for len(text) < len(head)+base62Length {
		if _, err := io.ReadFull(random, buf[:]); err != nil {
			return "", fmt.Errorf("draw random bytes for an application's credential: %w", err)
		}
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: above it, the first
			// characters of the alphabet would be likelier.
			if b < 248 && len(text) < len(head)+base62Length {
				text = append(text, base62[b%62])
			}
		}
	}
	return keystile.Secret(text), nil
}

// Shape reads what a credential's text says it is; ok is false for text that no
// credential of ours has. It is pure and allocates nothing.
func Shape(text string) (t Type, env keystile.Environment, ok bool) {
	if len(text) < 8 {
		return "", "", false
	}
	head, body := text[:8], text[8:]
	t = Type(head[:2])
	switch head[2:] {
	case "_test_":
		env = keystile.Sandbox
	case "_prod_":
		env = keystile.Production
	default:
		return "", "", false
	}
	length, letters, fold := base62Length, byte(26), byte(0x20)
	switch t {
	case ApplicationKey, SessionToken:
	case TemporaryKey: // hexadecimal digits in lower case
		length, letters, fold = 2*temporaryBytes, 6, 0
	default:
		return "", "", false
	}
	if len(body) != length {
		return "", "", false
	}
	for i := range len(body) {
		if c := body[i]; c-'0' > 9 && (c|fold)-'a' >= letters { // a byte wraps round: below '0' is above 9
			return "", "", false
		}
	}
	return t, env, true
}

// Hint is the visible head of a credential, to recognise it by.
func Hint(s keystile.Secret) string {
	text := s.Reveal()
	return text[:min(len(text), 12)]
}

// Sum is SHA-256 of a credential's text.
func Sum(s keystile.Secret) [32]byte { return sha256.Sum256([]byte(s.Reveal())) }
