package api

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	keystile "keystile.dev/keystile"
)

const (
	// cursorKeyLength: AES-256.
	cursorKeyLength = 32
	// maxCursor bounds a cursor's text; ours are at most 240 characters.
	maxCursor = 512
)

// cursors seals the place where a list goes on. A cursor is opaque and bound to
// the collection, the filter and the caller it was made for: it cannot be made
// up, and taken to another list it is refused, so that no place in one
// organisation's list says anything about another's.
type cursors struct {
	aead cipher.AEAD
}

func newCursors(key []byte) (*cursors, error) {
	if len(key) != cursorKeyLength {
		return nil, fmt.Errorf("the cursor key has %d bytes, not %d", len(key), cursorKeyLength)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cursor key: %w", err)
	}
	// A random nonce in each: 2^32 cursors under one key are safe.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("cursor key: %w", err)
	}
	return &cursors{aead: aead}, nil
}

// seal makes a cursor for what follows after in the list that binding names.
func (c *cursors) seal(after string, binding ...string) string {
	sealed := c.aead.Seal(nil, nil, []byte(after), bind(binding)) //nolint:gosec // G407: no nonce is given; NewGCMWithRandomNonce draws one for each Seal and puts it in front
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// open returns what was sealed with the same binding. The empty cursor is the
// beginning. Anything else is *keystile.Invalid.
func (c *cursors) open(cursor string, binding ...string) (after string, err error) {
	if cursor == "" {
		return "", nil
	}
	bad := keystile.Invalidf("cursor", "begin again without a cursor", "not a cursor of this list")
	if len(cursor) > maxCursor {
		return "", bad
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return "", bad
	}
	plain, err := c.aead.Open(nil, nil, sealed, bind(binding))
	if err != nil {
		return "", bad
	}
	return string(plain), nil
}

// bind joins parts so that no two lists of parts have the same text: each is
// preceded by its length.
func bind(parts []string) []byte {
	var out []byte
	for _, part := range parts {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}
