package keyring

import (
	"bytes"
	"encoding/binary"
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
	keys atomic.Pointer[sealingKeys]
	// away is why nothing may be sealed now.
	away atomic.Pointer[error]
	// fetch takes up keys that were added meanwhile; nil: there are none.
	fetch atomic.Pointer[func() error]
}

// sealingKeys are the keys that values are sealed with: one seals, all open.
type sealingKeys struct {
	handle *keyset.Handle
	aead   tink.AEAD
	master *Master
}

// headLength is how many bytes of a sealed value name its key: Tink's mark 1 and
// the key's number (https://developers.google.com/tink/wire-format).
const headLength = 5

func head(keyID uint32) []byte { return binary.BigEndian.AppendUint32([]byte{1}, keyID) }

// knows says whether one of the keys is the one that a value names.
func (k *sealingKeys) knows(sealed []byte) bool {
	for _, one := range k.handle.KeysetInfo().GetKeyInfo() {
		if bytes.HasPrefix(sealed, head(one.GetKeyId())) {
			return true
		}
	}
	return false
}

// Rewrap returns the same keyset wrapped under another master key.
func (s *Sealer) Rewrap(master *Master) ([]byte, error) { return s.keys.Load().wrap(master) }

// Wrapped returns the keyset wrapped under its own master key.
func (s *Sealer) Wrapped() ([]byte, error) {
	keys := s.keys.Load()
	return keys.wrap(keys.master)
}

func (k *sealingKeys) wrap(master *Master) ([]byte, error) {
	var buf bytes.Buffer
	if err := k.handle.Write(keyset.NewBinaryWriter(&buf), &masterAEAD{master: master}); err != nil {
		return nil, fmt.Errorf("wrap the sealing keyset: %w", err)
	}
	return buf.Bytes(), nil
}

// Renewed returns a Sealer with one key more, which seals from now on; what the
// others sealed opens as before.
func (s *Sealer) Renewed() (*Sealer, error) {
	keys := s.keys.Load()
	manager := keyset.NewManagerFromHandle(keys.handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("draw a sealing key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("draw a sealing key: %w", err)
	}
	return sealerOf(manager, keys.master)
}

// Alone returns a Sealer with the key that seals and no other: what the others
// sealed opens no more.
func (s *Sealer) Alone() (*Sealer, error) {
	keys := s.keys.Load()
	info := keys.handle.KeysetInfo()
	manager := keyset.NewManagerFromHandle(keys.handle)
	for _, one := range info.GetKeyInfo() {
		if one.GetKeyId() == info.GetPrimaryKeyId() {
			continue
		}
		if err := manager.Delete(one.GetKeyId()); err != nil {
			return nil, fmt.Errorf("end a sealing key: %w", err)
		}
	}
	return sealerOf(manager, keys.master)
}

func sealerOf(manager *keyset.Manager, master *Master) (*Sealer, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("change the sealing keyset: %w", err)
	}
	return newSealer(master, handle)
}

// Keys is how many keys open values; more than one while values are sealed again.
func (s *Sealer) Keys() int { return len(s.keys.Load().handle.KeysetInfo().GetKeyInfo()) }

// Head begins every value that is sealed with the key that seals now, and no other.
func (s *Sealer) Head() []byte { return head(s.keys.Load().handle.KeysetInfo().GetPrimaryKeyId()) }

// Reseal opens a value and seals it for the same place with the key that seals now.
func (s *Sealer) Reseal(sealed []byte, place string) ([]byte, error) {
	plain, err := s.Open(sealed, place)
	if err != nil {
		return nil, err
	}
	return s.Seal(plain, place)
}

// Take has s use another's keys from now on. What runs meanwhile uses either.
func (s *Sealer) Take(other *Sealer) { s.keys.Store(other.keys.Load()) }

// Fetch has a function called when a value names a key that s does not have: it
// takes up keys that another process added, with Take. It may be called by many at once.
func (s *Sealer) Fetch(fetch func() error) { s.fetch.Store(&fetch) }

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
	s := &Sealer{}
	s.keys.Store(&sealingKeys{handle: handle, aead: primitive, master: master})
	return s, nil
}

// MasterID names the master key the sealer's keyset is wrapped with.
func (s *Sealer) MasterID() string { return s.keys.Load().master.ID() }

// Seal encrypts plain for one place, "table/row/column"; it opens nowhere else.
func (s *Sealer) Seal(plain []byte, place string) ([]byte, error) {
	if away := s.away.Load(); away != nil {
		return nil, fmt.Errorf("seal %s: the master key is away: %w: %w", place, keystile.ErrUnavailable, *away)
	}
	sealed, err := s.keys.Load().aead.Encrypt(plain, []byte(place))
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
	keys := s.keys.Load()
	plain, err := keys.aead.Decrypt(sealed, []byte(place))
	if fetch := s.fetch.Load(); err != nil && fetch != nil && len(sealed) > headLength && !keys.knows(sealed) {
		if failed := (*fetch)(); failed != nil {
			return nil, fmt.Errorf("open the sealed value of %s: it is under a key that is not known here: %w", place, failed)
		}
		plain, err = s.keys.Load().aead.Decrypt(sealed, []byte(place))
	}
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
