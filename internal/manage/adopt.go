package manage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/store"
)

// MinForeignHead is how short a head may be that a foreign secret is found by.
const MinForeignHead = 6

// MaxForeignPepper bounds the pepper of another system, in bytes.
const MaxForeignPepper = 4096

// ForeignHead is what finds a foreign secret by the head of its key.
func ForeignHead(head string) [32]byte { return sha256.Sum256([]byte(head)) }

// ForeignDigest is what finds a foreign secret that was hashed as HMAC-SHA-256.
func ForeignDigest(pepper, key keystile.Secret) [32]byte {
	mac := hmac.New(sha256.New, []byte(pepper.Reveal()))
	mac.Write([]byte(key.Reveal()))
	return [32]byte(mac.Sum(nil))
}

// AddForeignPepper keeps the pepper of another system, sealed, so that keys which
// it hashed with HMAC-SHA-256 can be told.
func (s *Service) AddForeignPepper(ctx context.Context, a store.Actor, pepper keystile.Secret) error {
	if n := len(pepper); n == 0 || n > MaxForeignPepper {
		return keystile.Invalidf("pepper", fmt.Sprintf("give 1 to %d bytes", MaxForeignPepper), "has %d bytes", n)
	}
	name := foreignKeyset(pepper)
	sealed, err := s.Sealer.Seal([]byte(pepper.Reveal()), foreignPlace(name))
	if err != nil {
		return fmt.Errorf("keep the pepper: %w", err)
	}
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Keyset(ctx, name); !errors.Is(err, keystile.ErrNotFound) {
			return err // nil: it is there
		}
		if err := tx.PutKeyset(ctx, name, sealed); err != nil {
			return fmt.Errorf("keep the pepper: %w", err)
		}
		return tx.AddForeignWays(ctx, store.ForeignWays{Peppers: []string{name}})
	})
}

// foreignKeyset names a pepper's keyset without telling the pepper: few bits of a hash.
func foreignKeyset(pepper keystile.Secret) string {
	sum := sha256.Sum256([]byte("keystile foreign pepper\x00" + pepper.Reveal()))
	return "foreign_pepper_" + hex.EncodeToString(sum[:4])
}

func foreignPlace(keyset string) string { return "keysets/" + keyset + "/sealed" }

// waysFresh is how long what is known of foreign secrets is believed.
const waysFresh = 2 * time.Second

const (
	// maxAdoptions bounds the keys that are looked for at a time, maxProofs those that
	// are proven: hashing is dear, and people who sign in hash too.
	maxAdoptions = 8
	maxProofs    = 1
	// proofWait is how long a key waits for its turn to be proven.
	proofWait = 2 * time.Second
)

// NewAdopter makes an Adopter for the keys of a Service.
func NewAdopter(s *Service) *Adopter {
	return &Adopter{service: s, looking: make(chan struct{}, maxAdoptions), proving: make(chan struct{}, maxProofs)}
}

// ErrTooManyProofs is that of a caller who asked for more proofs of one hashed key than
// are allowed; it is a [keystile.ErrUnavailable].
var ErrTooManyProofs = fmt.Errorf("too many proofs of a hashed key from one address: %w", keystile.ErrUnavailable)

// Adopter takes over keys that another system hashed when they are first used: it
// proves them by that hash and gives them a digest of ours. It is safe for
// concurrent use.
type Adopter struct {
	service          *Service
	looking, proving chan struct{}

	mu      sync.Mutex
	readAt  time.Time
	heads   []int
	peppers []keystile.Secret
}

// ways are the ways to look for foreign secrets, read now and then.
func (a *Adopter) ways(ctx context.Context) ([]int, []keystile.Secret, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.service.Now()
	if age := now.Sub(a.readAt); !a.readAt.IsZero() && age >= 0 && age < waysFresh {
		return a.heads, a.peppers, nil
	}
	ways, err := a.service.Store.ForeignWays(ctx)
	if err != nil {
		return nil, nil, err
	}
	var peppers []keystile.Secret
	for _, name := range ways.Peppers {
		sealed, err := a.service.Store.Keyset(ctx, name)
		if err != nil {
			return nil, nil, fmt.Errorf("pepper of another system: %w", err)
		}
		pepper, err := a.service.Sealer.Open(sealed, foreignPlace(name))
		if err != nil {
			return nil, nil, fmt.Errorf("pepper of another system: %w", err)
		}
		peppers = append(peppers, keystile.Secret(pepper))
	}
	a.heads, a.peppers, a.readAt = ways.Heads, peppers, now
	return a.heads, a.peppers, nil
}

// Adopt proves a key that no digest of ours is known of, and says whether it was
// taken over. allow is asked before a costly proof of the key with a look-up: it
// bounds how often somebody may ask for one. An error means "cannot tell".
func (a *Adopter) Adopt(ctx context.Context, key keystile.Secret, allow func(lookup [32]byte) bool) (bool, error) {
	s := a.service
	foreign, proven, err := a.Find(ctx, key, allow)
	if err != nil || !proven {
		return false, err
	}
	secret := s.keySecret(foreign.KeyID, apikey.Sum(key), s.now())
	err = remove(ctx, s, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		return tx.AdoptForeignSecret(ctx, foreign, secret, apikey.Hint(key))
	})
	if isNotFound(err) {
		return true, nil // another request was faster: the digest is there
	}
	return err == nil, err
}

// Find proves a key as Adopt does, and changes nothing: proven says whether foreign
// is a secret of it.
func (a *Adopter) Find(ctx context.Context, key keystile.Secret, allow func(lookup [32]byte) bool) (foreign store.ForeignSecret, proven bool, err error) {
	heads, peppers, err := a.ways(ctx)
	if err != nil || len(key) > apikey.MaxImport || len(heads)+len(peppers) == 0 {
		return foreign, false, err
	}
	if err := enter(ctx, a.looking); err != nil {
		return foreign, false, err
	}
	defer leave(a.looking)
	for _, pepper := range peppers {
		if foreign, proven, err = a.try(ctx, key, ForeignDigest(pepper, key), nil); proven || err != nil {
			return foreign, proven, err
		}
	}
	for _, n := range heads {
		if n >= len(key) {
			continue
		}
		if foreign, proven, err = a.try(ctx, key, ForeignHead(key.Reveal()[:n]), allow); proven || err != nil {
			return foreign, proven, err
		}
	}
	return foreign, false, nil
}

// try proves a key by one foreign secret. allow is nil where finding it is the proof.
func (a *Adopter) try(ctx context.Context, key keystile.Secret, lookup [32]byte, allow func([32]byte) bool) (foreign store.ForeignSecret, proven bool, err error) {
	s := a.service
	foreign, err = s.Store.ForeignSecret(ctx, lookup)
	if isNotFound(err) {
		return foreign, false, nil
	}
	if err != nil {
		return foreign, false, err
	}
	if !foreign.ExpiresAt.IsZero() && !s.Now().Before(foreign.ExpiresAt) {
		return foreign, false, nil
	}
	// A head finds only what has a hash to prove: an HMAC is never told by a head.
	if (allow != nil) != (foreign.Hash != "") {
		return foreign, false, nil
	}
	if allow == nil {
		return foreign, true, nil
	}
	if !allow(lookup) {
		return foreign, false, ErrTooManyProofs
	}
	proven, err = a.prove(ctx, foreign.Hash, key)
	return foreign, proven, err
}

// prove hashes a key as the other system did, in its turn.
func (a *Adopter) prove(ctx context.Context, hash string, key keystile.Secret) (bool, error) {
	waiting, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	if err := enter(waiting, a.proving); err != nil {
		return false, err
	}
	defer leave(a.proving)
	good, _, err := a.service.Passwords.Verify(ctx, hash, key, func(context.Context) error { return nil })
	if err != nil {
		return false, fmt.Errorf("prove a key by its imported hash: %w", err)
	}
	return good, nil
}

// enter takes one of a bounded number of places.
func enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("too many imported keys are being proven: %w", keystile.ErrUnavailable)
	}
}

func leave(places chan struct{}) { <-places }
