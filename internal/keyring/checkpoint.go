package keyring

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// checkpointPlace binds the sealed key of checkpoints to its row.
const checkpointPlace = "keysets/checkpoint/sealed"

// CheckpointKey signs the checkpoints of the audit log with Ed25519 (RFC 8032).
// It is safe for concurrent use.
type CheckpointKey struct {
	id      string
	private ed25519.PrivateKey
}

// NewCheckpointKey draws a key and returns its sealed form.
func NewCheckpointKey(random io.Reader, sealer *Sealer) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("draw the key of checkpoints: %w", err)
	}
	return sealer.Seal(seed, checkpointPlace)
}

// OpenCheckpointKey opens a sealed key.
func OpenCheckpointKey(sealer *Sealer, sealed []byte) (*CheckpointKey, error) {
	seed, err := sealer.Open(sealed, checkpointPlace)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the key of checkpoints has %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	k := &CheckpointKey{private: ed25519.NewKeyFromSeed(seed)}
	sum := sha256.Sum256(k.Public())
	k.id = "cpk_" + hex.EncodeToString(sum[:6])
	return k, nil
}

// ID names the key: "cpk_" and the first 12 hex digits of the SHA-256 of its
// public key.
func (k *CheckpointKey) ID() string { return k.id }

// Public is what anybody can verify checkpoints with.
func (k *CheckpointKey) Public() []byte { return k.private[ed25519.SeedSize:] }

// Sign signs a message and names the key.
func (k *CheckpointKey) Sign(message []byte) (keyID string, signature []byte) {
	return k.id, ed25519.Sign(k.private, message)
}

// Verify says whether a signature is this key's, over the message.
func (k *CheckpointKey) Verify(keyID string, message, signature []byte) bool {
	return keyID == k.id && ed25519.Verify(ed25519.PublicKey(k.Public()), message, signature)
}
