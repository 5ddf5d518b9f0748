package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
)

// scheme derives a tag from a password; its parameters are within bounds.
type scheme interface {
	// derive is deterministic, and as long as the tag it is compared with.
	derive(password []byte) ([]byte, error)
	// memory it takes, in bytes.
	memory() int64
	// class names the scheme and its cost: hashes of one class take the same time.
	class() string
}

// Hash is a stored hash of a password, parsed.
type Hash struct {
	scheme scheme
	tag    []byte
}

// maxHash bounds the text of a stored hash, in bytes.
const maxHash = 512

// Bounds of imported hashes. A hash that costs more would let every attempt at that
// user's password stop the server for seconds; one that costs less is upgraded soon.
const (
	maxMemory     = 128 << 20 // bytes, for argon2 and scrypt
	maxWork       = 1 << 30   // bytes of memory written in all
	maxIterations = 2_000_000 // PBKDF2
	maxBcryptCost = 14
	minTag        = 16
	maxTag        = 64
	maxSalt       = 64
)

// errForm is the one refusal of text that is no hash: the text may be a password
// that stands in the wrong column, and is never repeated.
var errForm = keystile.Invalidf("password_hash", "give a PHC string such as $argon2id$v=19$m=19456,t=2,p=1$SALT$TAG, a bcrypt, scrypt or PBKDF2 hash", "is not a password hash of a known form")

// Parse reads a stored hash: argon2id and argon2i (PHC), bcrypt ($2a$, $2b$, $2y$), scrypt (PHC: ln, r, p)
// and PBKDF2 (passlib, PHC and Django). Another form, or a cost beyond the bounds, is a *keystile.Invalid.
func Parse(text string) (Hash, error) {
	if len(text) > maxHash {
		return Hash{}, errForm
	}
	switch {
	case strings.HasPrefix(text, "$argon2"):
		return parseArgon2(text)
	case strings.HasPrefix(text, "$2"):
		return parseBcrypt(text)
	case strings.HasPrefix(text, "$scrypt$"):
		return parseScrypt(text)
	case strings.HasPrefix(text, "$pbkdf2"), strings.HasPrefix(text, "pbkdf2_"):
		return parsePBKDF2(text)
	}
	return Hash{}, errForm
}

// Class names the scheme and its cost, such as "argon2id m=19456 t=2 p=1".
func (h Hash) Class() string { return h.scheme.class() }

// verify says whether the password has this hash.
func (h Hash) verify(password []byte) (bool, error) {
	tag, err := h.scheme.derive(password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(tag, h.tag) == 1, nil
}

// errCost is the refusal of a cost; what is the part of the hash it is about.
func errCost(what string) error {
	return keystile.Invalidf("password_hash", "let the user reset the password instead", "%s is beyond what a sign-in may cost", what)
}

// params reads "m=19456,t=2,p=1": exactly these names, in this order.
func params(text string, names ...string) ([]int64, error) {
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return nil, errForm
	}
	values := make([]int64, len(names))
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		n, err := number(value)
		if !ok || name != names[i] || err != nil {
			return nil, errForm
		}
		values[i] = n
	}
	return values, nil
}

// number reads a decimal without sign or leading zero, at most 2^31.
func number(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, errForm
	}
	return int64(n), nil
}

// saltAndTag decodes both and checks their lengths.
func saltAndTag(encoding *base64.Encoding, salt, tag string) (s, t []byte, err error) {
	s, errS := encoding.Strict().DecodeString(salt)
	t, errT := encoding.Strict().DecodeString(tag)
	if errors.Join(errS, errT) != nil || len(s) < 1 || len(s) > maxSalt || len(t) < minTag || len(t) > maxTag {
		return nil, nil, errForm
	}
	return s, t, nil
}

func classOf(name string, values ...any) string {
	return strings.TrimSpace(fmt.Sprintf(name+strings.Repeat(" %s=%d", len(values)/2), values...))
}
