package replay

import (
	"crypto/sha256"
	"encoding/binary"
)

// mark is a nonce as the ledger keeps it.
type mark struct {
	key   [16]byte // digest of scope and value
	scope uint64   // hash of the scope, to count by
	last  int64    // LastValid, Unix nanoseconds
}

// digester turns nonces into marks. Nobody outside knows its key (in Memory and
// Journal), so nobody can look for two nonces with one mark; whoever found two would
// have the second refused, never accepted twice.
type digester struct{ key [32]byte }

// shared is the digester of ledgers that many nodes use. It needs no secret:
// with 128 bits of SHA-256 a collision costs 2^64 tries and only spoils a
// nonce of whoever made it.
var shared = digester{key: sha256.Sum256([]byte("keystile replay ledger, version 1"))}

// inSpace marks the length of a space, so that it is not taken for a scope's.
const inSpace = 1 << 63

// mark digests a nonce. The scope's length comes first, so that "ab","c" and
// "a","bc" differ; in a space it is the space's, and they do not.
func (d *digester) mark(n *Nonce) mark {
	var room [512]byte // a space of 141, a key of 200 and a nonce of 128 fit
	b := append(room[:0], d.key[:]...)
	scope := d.scope(n.Scope)
	if n.Space == "" {
		b = binary.BigEndian.AppendUint64(b, uint64(len(n.Scope)))
	} else {
		b = binary.BigEndian.AppendUint64(b, inSpace|uint64(len(n.Space)))
		b = append(b, n.Space...)
		// What is one nonce must be looked for in one shard.
		scope = scope&^(shards-1) | d.scope(n.Space)&(shards-1)
	}
	b = append(b, n.Scope...)
	b = append(b, n.Value...)
	sum := sha256.Sum256(b)
	return mark{key: [16]byte(sum[:16]), scope: scope, last: n.LastValid.UnixNano()}
}

// scope is FNV-1a (Fowler, Noll, Vo), begun at the key and finished as splitmix64
// is. Two scopes with one hash would share a count, no more.
func (d *digester) scope(s string) uint64 {
	h := binary.BigEndian.Uint64(d.key[:8])
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
