package jws

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
)

// Limits of a key set that somebody else serves.
const (
	// MaxSet is the longest set that is read, in bytes.
	MaxSet = 256 << 10
	// maxSetKeys bounds how many of its keys are used.
	maxSetKeys = 64
)

// Set is the keys of one issuer. It is immutable and safe for concurrent use.
type Set struct{ keys []*Key }

// NewSet makes a Set of keys.
func NewSet(keys ...*Key) *Set { return &Set{keys: slices.Clone(keys)} }

// ParseSet reads a JSON Web Key Set (RFC 7517, section 5). Keys that no token
// here can be verified with are left out, as that section asks: of another type,
// for encryption, private or symmetric (a published secret is none), for another
// algorithm than their type has here. A set without a usable key is an error.
func ParseSet(data []byte) (*Set, error) {
	if len(data) > MaxSet {
		return nil, errors.New("the key set is longer than 256 KiB")
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("the key set is not JSON: %w", err)
	}
	s := &Set{}
	for _, member := range raw.Keys {
		if len(s.keys) == maxSetKeys {
			break
		}
		if key := usable(member); key != nil {
			s.keys = append(s.keys, key)
		}
	}
	if len(s.keys) == 0 {
		return nil, errors.New("the key set has no key that a token can be verified with")
	}
	return s, nil
}

// usable is the key that a member of a set stands for, nil if it is of no use.
func usable(member []byte) *Key {
	var hints struct {
		Operations []string `json:"key_ops"`
	}
	var key jose.JSONWebKey
	if json.Unmarshal(member, &hints) != nil || key.UnmarshalJSON(member) != nil || !key.IsPublic() || len(key.KeyID) > maxKeyID {
		return nil
	}
	if key.Use != "" && key.Use != "sig" || hints.Operations != nil && !slices.Contains(hints.Operations, "verify") {
		return nil
	}
	k, err := NewPublic(key.KeyID, key.Key)
	if err != nil || key.Algorithm != "" && key.Algorithm != string(k.algorithm) {
		return nil
	}
	return k
}

// Find is the one key that may have signed the token: of its algorithm, and with
// its "kid" where it has one. A token without "kid" is the only key's of its
// algorithm. Nil: none, or more than one.
func (s *Set) Find(t *Token) *Key {
	if s == nil {
		return nil
	}
	var found *Key
	for _, k := range s.keys {
		if k.algorithm != t.Algorithm || t.KeyID != "" && k.ID != t.KeyID {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

// Verify says whether one key of the set, the one Find finds, signed the token.
func (s *Set) Verify(t *Token) bool { return s.Find(t).Verify(t) }

// WriteSet writes the key set that others verify tokens with. Secrets are left out.
func WriteSet(keys []*Key) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		if k.algorithm != keystile.HS256 {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.public, KeyID: k.ID, Algorithm: string(k.algorithm), Use: "sig"})
		}
	}
	data, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("write a key set: %w", err)
	}
	return data, nil
}
