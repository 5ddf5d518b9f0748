package keystile

import (
	"encoding/binary"
	"time"
)

// CheckpointKind says what a checkpoint states.
type CheckpointKind string

// What a checkpoint may state.
const (
	// CheckpointSeal: the chain's entry Seq has the hash Hash.
	CheckpointSeal CheckpointKind = "seal"
	// CheckpointBase: the entries through Seq were removed by retention; the last
	// of them had the hash Hash. It stands for what was removed.
	CheckpointBase CheckpointKind = "base"
)

// Checkpoint is a signed statement about a chain of the audit log. Kept outside
// the store, it shows what was done to the store since.
type Checkpoint struct {
	// Chain is an organisation's id, "" for the global chain, "#decisions" for decisions.
	Chain string
	Kind  CheckpointKind
	Seq   int64
	Hash  [32]byte
	// At is when it was made, in whole microseconds.
	At time.Time
	// KeyID names the key that signed Message.
	KeyID     string
	Signature []byte
}

// checkpointDomain keeps the signed text apart from everything else that a key might sign.
const checkpointDomain = "keystile audit checkpoint 1"

// Message is what is signed: the domain and each member but the signature and
// its key, each preceded by its length in bytes, so that no two checkpoints have
// the same one. Numbers are 8 bytes, big endian; At is microseconds since 1970.
func (c *Checkpoint) Message() []byte {
	var out []byte
	for _, field := range [][]byte{
		[]byte(checkpointDomain), []byte(c.Kind), []byte(c.Chain), bigEndian(c.Seq), c.Hash[:], bigEndian(c.At.UnixMicro()),
	} {
		out = binary.BigEndian.AppendUint64(out, uint64(len(field)))
		out = append(out, field...)
	}
	return out
}

func bigEndian(i int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(i)) //nolint:gosec // two's complement is what is meant
}
