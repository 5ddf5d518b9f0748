package recovery

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	keystile "keystile.dev/keystile"
)

// Count is how many codes a user has.
const Count = 10

// alphabet has no letters that look like others; 32 of them make 5 bits each.
const alphabet = "abcdefghjkmnpqrstuvwxyz23456789@"

const (
	groups = 3
	group  = 4 // 12 characters of 31: 59 bits, and five guesses
)

// New draws a set of codes, each "xxxx-xxxx-xxxx".
func New(random io.Reader) ([]keystile.Secret, error) {
	codes := make([]keystile.Secret, Count)
	for i := range codes {
		code, err := draw(random)
		if err != nil {
			return nil, err
		}
		codes[i] = code
	}
	return codes, nil
}

func draw(random io.Reader) (keystile.Secret, error) {
	var b strings.Builder
	var one [1]byte
	for n := 0; n < groups*group; {
		if _, err := io.ReadFull(random, one[:]); err != nil {
			return "", fmt.Errorf("draw a recovery code: %w", err)
		}
		c := alphabet[one[0]&31]
		if c == '@' { // 31 letters: a 32nd would not be even
			continue
		}
		if n > 0 && n%group == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(c)
		n++
	}
	return keystile.Secret(b.String()), nil
}

// Shape reads a code as people type it: in any case, with or without hyphens and spaces. ok is false
// for what cannot be one.
func Shape(text string) (code string, ok bool) {
	if len(text) > 64 {
		return "", false
	}
	code = strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(text))
	if len(code) != groups*group || strings.ContainsFunc(code, func(r rune) bool { return r == '@' || !strings.ContainsRune(alphabet, r) }) {
		return "", false
	}
	return code, true
}

// Sum is SHA-256 over the user's id and a code in the form of Shape, for the keyed digest that is
// kept: the same code of two users has two digests.
func Sum(userID, code string) [32]byte {
	return sha256.Sum256([]byte("recovery code\x00" + userID + "\x00" + code))
}
