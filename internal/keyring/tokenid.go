package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"sync"
)

// tokenIDPlace binds the sealed key of token ids to its row.
const tokenIDPlace = "keysets/token_id/sealed"

// Sizes of a token id, in bytes before encoding.
const (
	tokenIDKey    = 32
	tokenIDRandom = 12
	tokenIDMAC    = 16
	tokenIDLength = (tokenIDRandom+tokenIDMAC)*8/6 + 1 // base64url without padding
)

// TokenIDs make the ids of session tokens ("jti") and know their own again
// without a look-up: 12 random bytes, and the first 16 bytes of an HMAC-SHA-256
// over them and the facts, under a key that nobody else has. It is safe for
// concurrent use.
type TokenIDs struct {
	key    []byte
	random io.Reader
	pool   sync.Pool // of hash.Hash
}

// NewTokenIDKey draws the key of token ids and returns its sealed form.
func NewTokenIDKey(random io.Reader, sealer *Sealer) ([]byte, error) {
	key := make([]byte, tokenIDKey)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("draw the key of token ids: %w", err)
	}
	return sealer.Seal(key, tokenIDPlace)
}

// OpenTokenIDs opens the sealed key.
func OpenTokenIDs(sealer *Sealer, sealed []byte, random io.Reader) (*TokenIDs, error) {
	key, err := sealer.Open(sealed, tokenIDPlace)
	if err != nil {
		return nil, err
	}
	if len(key) != tokenIDKey {
		return nil, fmt.Errorf("the key of token ids has %d bytes, not %d", len(key), tokenIDKey)
	}
	return &TokenIDs{key: key, random: random}, nil
}

// NewID makes an id for a token of a form and a session; times are seconds since 1970.
func (i *TokenIDs) NewID(form, sessionID string, issuedAt, expires int64) (string, error) {
	var id [tokenIDRandom + tokenIDMAC]byte
	if _, err := io.ReadFull(i.random, id[:tokenIDRandom]); err != nil {
		return "", fmt.Errorf("make a token id: %w", err)
	}
	sum := i.mac(facts(form, sessionID, issuedAt, expires, id[:tokenIDRandom]))
	copy(id[tokenIDRandom:], sum[:])
	return base64.RawURLEncoding.EncodeToString(id[:]), nil
}

// Ours says whether an id was made here for exactly these facts.
func (i *TokenIDs) Ours(id, form, sessionID string, issuedAt, expires int64) bool {
	if len(id) != tokenIDLength {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != tokenIDRandom+tokenIDMAC {
		return false
	}
	sum := i.mac(facts(form, sessionID, issuedAt, expires, raw[:tokenIDRandom]))
	return hmac.Equal(sum[:tokenIDMAC], raw[tokenIDRandom:])
}

// facts is what an id is bound to as one text: each part has its length before
// it, so that no two sets of facts are one text.
func facts(form, sessionID string, issuedAt, expires int64, random []byte) []byte {
	text := make([]byte, 0, 128)
	for _, part := range []string{"keystile token id 1", form, sessionID} {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part))) //nolint:gosec // bounded by the token
		text = append(text, part...)
	}
	text = binary.BigEndian.AppendUint64(text, uint64(issuedAt)) //nolint:gosec // any value has one form
	text = binary.BigEndian.AppendUint64(text, uint64(expires))  //nolint:gosec // any value has one form
	return append(text, random...)
}

func (i *TokenIDs) mac(text []byte) (sum [sha256.Size]byte) {
	mac, ok := i.pool.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, i.key)
	}
	mac.Reset()
	mac.Write(text)
	mac.Sum(sum[:0])
	i.pool.Put(mac)
	return sum
}
