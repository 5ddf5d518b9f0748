package keyring

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	keystile "keystile.dev/keystile"
)

// sealingPlace binds the wrapped keyset to its row.
var sealingPlace = []byte("keysets/sealing")

// Sealer seals values that must be readable again. It is safe for concurrent use.
type Sealer struct {
	handle *keyset.Handle
	aead   tink.AEAD
	master *Master
	// away is why nothing may be sealed now.
	away atomic.Pointer[error]
}

// Rewrap returns the same keyset wrapped under another master key.
func (s *Sealer) Rewrap(master *Master) ([]byte, error) {
	var buf bytes.Buffer
	if err := s.handle.Write(keyset.NewBinaryWriter(&buf), &masterAEAD{master: master}); err != nil {
		return nil, fmt.Errorf("wrap the sealing keyset: %w", err)
	}
	return buf.Bytes(), nil
}

// NewSealer draws a fresh sealing keyset and returns it with its wrapped form
// for the store.
func NewSealer(master *Master) (*Sealer, []byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("make a sealing keyset: %w", err)
	}
	s, err := newSealer(master, handle)
	if err != nil {
		return nil, nil, err
	}
	wrapped, err := s.Rewrap(master)
	return s, wrapped, err
}

// OpenSealer opens a wrapped sealing keyset. Under another master key it
// answers ErrWrongMaster and names the key that is needed.
func OpenSealer(master *Master, wrapped []byte) (*Sealer, error) {
	wrapping := masterAEAD{master: master}
	handle, err := keyset.Read(keyset.NewBinaryReader(bytes.NewReader(wrapped)), &wrapping)
	if wrapping.failed != nil { // Tink keeps the text of the cause and loses its identity
		return nil, fmt.Errorf("open the sealing keyset: %w", wrapping.failed)
	}
	if err != nil {
		return nil, fmt.Errorf("open the sealing keyset: %w", err)
	}
	return newSealer(master, handle)
}

func newSealer(master *Master, handle *keyset.Handle) (*Sealer, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use the sealing keyset: %w", err)
	}
	return &Sealer{handle: handle, aead: primitive, master: master}, nil
}

// MasterID names the master key the sealer's keyset is wrapped with.
func (s *Sealer) MasterID() string { return s.master.ID() }

// Seal encrypts plain for one place, "table/row/column"; it opens nowhere else.
func (s *Sealer) Seal(plain []byte, place string) ([]byte, error) {
	if away := s.away.Load(); away != nil {
		return nil, fmt.Errorf("seal %s: the master key is away: %w: %w", place, keystile.ErrUnavailable, *away)
	}
	sealed, err := s.aead.Encrypt(plain, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", place, err)
	}
	return sealed, nil
}

// MasterAway says why the master key cannot be had; nil: it can. What is sealed
// without it could be lost with this process, so nothing is until it is back;
// what is sealed already opens all the same.
func (s *Sealer) MasterAway(why error) {
	if why == nil {
		s.away.Store(nil)
		return
	}
	s.away.Store(&why)
}

// Away is what MasterAway said last.
func (s *Sealer) Away() error {
	if why := s.away.Load(); why != nil {
		return *why
	}
	return nil
}

// Open decrypts what Seal made for the same place.
func (s *Sealer) Open(sealed []byte, place string) ([]byte, error) {
	plain, err := s.aead.Decrypt(sealed, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("open the sealed value of %s: damaged, or moved from another place: %w", place, err)
	}
	return plain, nil
}

// masterAEAD lets Tink wrap a keyset with the master key.
type masterAEAD struct {
	master *Master
	failed error
}

// Encrypt implements tink.AEAD.
func (m *masterAEAD) Encrypt(plain, _ []byte) ([]byte, error) {
	return m.master.wrap(plain, sealingPlace)
}

// Decrypt implements tink.AEAD.
func (m *masterAEAD) Decrypt(wrapped, _ []byte) ([]byte, error) {
	plain, err := m.master.unwrap(wrapped, sealingPlace)
	m.failed = err
	return plain, err
}
