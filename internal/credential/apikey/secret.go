package apikey

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

const (
	alphabet       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomLength   = 32
	checksumLength = 6
)

// Lengths of imported keys, in bytes.
const (
	// MinImport is the shortest key that may be imported at all.
	MinImport = 8
	// WeakImport is the length below which an import is warned about.
	WeakImport = 20
	// MaxImport is the longest.
	MaxImport = 512
)

// environmentText is how an environment stands in a key.
func environmentText(env keystile.Environment) string {
	if env == keystile.Sandbox {
		return "test"
	}
	return "prod"
}

// Generate makes a new key for an environment: prefix_env_ + 32 base62 + checksum.
// The prefix is 1-16 of [a-z0-9]; random must be a cryptographic source.
func Generate(random io.Reader, prefix string, env keystile.Environment) (keystile.Secret, error) {
	return GenerateTyped(random, prefix+"_"+environmentText(env)+"_")
}

// GenerateTyped makes a secret of the same form after any head, such as "kadm_".
func GenerateTyped(random io.Reader, head string) (keystile.Secret, error) {
	body := make([]byte, 0, len(head)+randomLength+checksumLength)
	body = append(body, head...)
	var buf [64]byte
	for len(body) < len(head)+randomLength {
		if _, err := io.ReadFull(random, buf[:]); err != nil {
			return "", fmt.Errorf("draw random bytes for a key: %w", err)
		}
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte: higher values would
			// make the first characters of the alphabet likelier.
			if b < 248 && len(body) < len(head)+randomLength {
				body = append(body, alphabet[b%62])
			}
		}
	}
	return keystile.Secret(appendChecksum(body)), nil
}

// appendChecksum adds six base62 digits, big-endian and zero-padded, of
// CRC-32/IEEE over everything before them.
func appendChecksum(body []byte) []byte {
	sum := crc32.ChecksumIEEE(body)
	var digits [checksumLength]byte
	for i := checksumLength - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%62]
		sum /= 62
	}
	return append(body, digits[:]...)
}

// Shape says what a key's text tells about itself.
type Shape int

// The shapes. A wrong checksum explains a refusal; it never causes one, because
// anybody can compute it and imported keys need not have one.
const (
	ShapeForeign Shape = iota
	ShapeOurs
	ShapeBadChecksum
)

// ShapeOf says whether text has the form of our own keys and whether its checksum holds.
func ShapeOf(text string) Shape {
	tail := randomLength + checksumLength
	if len(text) <= tail || !strings.HasSuffix(text[:len(text)-tail], "_") {
		return ShapeForeign
	}
	head, rest := text[:len(text)-tail], text[len(text)-tail:]
	for i := range len(rest) {
		if strings.IndexByte(alphabet, rest[i]) < 0 {
			return ShapeForeign
		}
	}
	prefix, env, ok := strings.Cut(strings.TrimSuffix(head, "_"), "_")
	if !ok || !ValidPrefix(prefix) || env != "prod" && env != "test" {
		return ShapeForeign
	}
	body := text[:len(text)-checksumLength]
	if string(appendChecksum([]byte(body))) != text {
		return ShapeBadChecksum
	}
	return ShapeOurs
}

// adminPrefix starts admin tokens, which are no API keys.
const adminPrefix = "kadm"

// ValidPrefix says whether an organisation may use prefix: 1-16 of [a-z0-9],
// and none of the prefixes that name another kind.
func ValidPrefix(prefix string) bool {
	if len(prefix) < 1 || len(prefix) > 16 {
		return false
	}
	for i := range len(prefix) {
		if c := prefix[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return prefix != adminPrefix && credential.Classify(prefix+"_") == ""
}

// Sum is SHA-256 of the key's text: what warm entries are found by, and what
// an import by hash carries.
func Sum(secret keystile.Secret) [32]byte {
	var buf [MaxImport]byte
	if len(secret) > len(buf) {
		return sha256.Sum256([]byte(secret.Reveal()))
	}
	n := copy(buf[:], secret.Reveal())
	return sha256.Sum256(buf[:n])
}

// Hint is the visible head of a key, to recognise it by: the prefix and four
// characters for our own keys; nothing of a foreign key shorter than 20
// characters, else its first four.
func Hint(secret keystile.Secret) string {
	text := secret.Reveal()
	if ShapeOf(text) == ShapeOurs {
		return text[:len(text)-randomLength-checksumLength+4]
	}
	if len(text) < WeakImport {
		return ""
	}
	return text[:4]
}

// CheckImport says whether a foreign key may be taken as an API key. Text that
// looks like another kind of credential is refused: the classifier would never
// look it up.
func CheckImport(secret keystile.Secret) error {
	text := secret.Reveal()
	switch {
	case len(text) < MinImport:
		return keystile.Invalidf("secret", "use at least 20 characters of a random key", "the key has fewer than %d characters", MinImport)
	case len(text) > MaxImport:
		return keystile.Invalidf("secret", "use at most 512 characters", "the key has more than %d characters", MaxImport)
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f {
			return keystile.Invalidf("secret", "use visible ASCII characters only", "the key holds a space, a control character or a byte outside ASCII")
		}
	}
	if kind := credential.Classify(text); kind != "" {
		return keystile.Invalidf("secret", "issue a new key in its place", "the text looks like a credential of kind %s and could never be presented as an API key", kind)
	}
	if len(text) >= 6 && strings.EqualFold(text[:6], "bearer") {
		return keystile.Invalidf("secret", "leave the scheme out", "the text begins with an authentication scheme")
	}
	return nil
}
