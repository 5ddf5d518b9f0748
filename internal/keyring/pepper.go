package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"
)

// MaxPeppers is how many peppers a look-up tries: the current one and two retired.
const MaxPeppers = 3

// Pepper is a secret that stored digests are keyed with.
type Pepper struct {
	ID   string
	key  []byte
	pool *sync.Pool
}

// NewPepper draws a pepper and returns it with its sealed form for the store.
func NewPepper(random io.Reader, sealer *Sealer) (Pepper, []byte, error) {
	raw := make([]byte, 32+4)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Pepper{}, nil, fmt.Errorf("draw a pepper: %w", err)
	}
	id := "pep_" + hex.EncodeToString(raw[32:])
	sealed, err := sealer.Seal(raw[:32], pepperPlace(id))
	if err != nil {
		return Pepper{}, nil, err
	}
	return pepperOf(id, raw[:32]), sealed, nil
}

// OpenPepper opens a sealed pepper.
func OpenPepper(sealer *Sealer, id string, sealed []byte) (Pepper, error) {
	key, err := sealer.Open(sealed, pepperPlace(id))
	if err != nil {
		return Pepper{}, err
	}
	if len(key) != 32 {
		return Pepper{}, fmt.Errorf("pepper %s has %d bytes, not 32", id, len(key))
	}
	return pepperOf(id, key), nil
}

func pepperPlace(id string) string { return "peppers/" + id + "/sealed" }

func pepperOf(id string, key []byte) Pepper {
	p := Pepper{ID: id, key: key}
	p.pool = &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	return p
}

// digest is HMAC-SHA-256(pepper, sum), with pooled states: making one costs
// three times as much as using it.
func (p *Pepper) digest(sum [32]byte) (out [32]byte) {
	mac, ok := p.pool.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, p.key)
	}
	mac.Reset()
	mac.Write(sum[:])
	mac.Sum(out[:0])
	p.pool.Put(mac)
	return out
}

// Digester makes the stored digests of secrets. It is safe for concurrent use.
type Digester struct {
	peppers atomic.Pointer[[]Pepper] // the current one first
}

// NewDigester takes the current pepper and at most two retired ones.
func NewDigester(current Pepper, retired ...Pepper) (*Digester, error) {
	d := &Digester{}
	return d, d.Replace(current, retired...)
}

// Replace takes other peppers, as after a rotation. What runs meanwhile uses
// either; with an error the old ones stay.
func (d *Digester) Replace(current Pepper, retired ...Pepper) error {
	if current.pool == nil {
		return errors.New("there is no current pepper")
	}
	if len(retired) > MaxPeppers-1 {
		return fmt.Errorf("%d retired peppers are in use, and a look-up tries at most %d: let keys of the oldest be used or rotate them", len(retired), MaxPeppers-1)
	}
	all := append([]Pepper{current}, retired...)
	d.peppers.Store(&all)
	return nil
}

// Digest is the stored digest of a secret whose SHA-256 is sum, under the current pepper.
func (d *Digester) Digest(sum [32]byte) (digest [32]byte, pepperID string) {
	current := &(*d.peppers.Load())[0]
	return current.digest(sum), current.ID
}

// Candidates appends to buf the digests of sum under every live pepper, current first.
func (d *Digester) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	peppers := *d.peppers.Load()
	for i := range peppers {
		buf = append(buf, peppers[i].digest(sum))
	}
	return buf
}

// Knows says whether a stored digest with this pepper id can be looked up.
func (d *Digester) Knows(pepperID string) bool {
	peppers := *d.peppers.Load()
	for i := range peppers {
		if peppers[i].ID == pepperID {
			return true
		}
	}
	return false
}
