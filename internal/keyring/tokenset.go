package keyring

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
)

// tokenPlace binds the sealed token keys to their row.
const tokenPlace = "keysets/token/sealed"

// MinTokenSecret is the length of a secret that tokens are signed with, in bytes:
// that of the hash's output (RFC 7518, section 3.2).
const MinTokenSecret = 32

// PublishAhead is how long a new public key stands in the JWKS before tokens are
// signed with it: twice as long as others may remember the JWKS.
const PublishAhead = 10 * time.Minute

// lateSignatures is how much longer than its tokens live a key verifies: another
// server's clock may be behind, and sign with it a little longer.
const lateSignatures = 5 * time.Minute

const newRSABits = 2048

// TokenAlgorithms are those a token key may have.
var TokenAlgorithms = []keystile.SigningAlgorithm{keystile.EdDSA, keystile.ES256, keystile.RS256, keystile.HS256}

// TokenKey is one key that session tokens are signed with, without its material.
//
//	made ──> SignsFrom: signs, until the next key of its line does ──> VerifiesUntil: forgotten
//
// A line is an algorithm; of HS256 keys each organisation may have a line of its own.
type TokenKey struct {
	// ID is the "kid" of a public key's tokens (RFC 7638 thumbprint), or "hs_" and
	// 16 hexadecimal digits: tokens under a secret name no key.
	ID        string                    `json:"id"`
	Algorithm keystile.SigningAlgorithm `json:"algorithm"`
	// OrganizationID is whose tokens an HS256 key signs; empty: those of every
	// organisation without a key of its own.
	OrganizationID string    `json:"organization,omitempty"`
	CreatedAt      time.Time `json:"created_at"`
	SignsFrom      time.Time `json:"signs_from"`
	// VerifiesUntil is when the last token that it signed has ended; zero: it signs.
	VerifiesUntil time.Time `json:"verifies_until,omitzero"`
	// SharedUntil is of the first key of an organisation: until then tokens that its
	// users were given under the general secret are good.
	SharedUntil time.Time `json:"shared_until,omitzero"`
}

// sameLine says whether two keys follow each other.
func (k *TokenKey) sameLine(algorithm keystile.SigningAlgorithm, organization string) bool {
	return k.Algorithm == algorithm && k.OrganizationID == organization
}

// live says whether tokens that the key signed may still be good.
func (k *TokenKey) live(now time.Time) bool {
	return k.VerifiesUntil.IsZero() || now.Before(k.VerifiesUntil)
}

// storedKey is a TokenKey with its material: PKCS#8, or the secret itself.
type storedKey struct {
	TokenKey
	Material []byte `json:"material"`
}

// TokenSet is every token key of a store. It is immutable: changes make a new one.
type TokenSet struct{ keys []storedKey }

// sealing is what a [Sealer] does.
type sealing interface {
	Seal(plain []byte, place string) ([]byte, error)
	Open(sealed []byte, place string) ([]byte, error)
}

// OpenTokenSet opens the sealed form. None is the empty set.
func OpenTokenSet(sealer sealing, sealed []byte) (*TokenSet, error) {
	if len(sealed) == 0 {
		return &TokenSet{}, nil
	}
	plain, err := sealer.Open(sealed, tokenPlace)
	if err != nil {
		return nil, err
	}
	s := &TokenSet{}
	if err := json.Unmarshal(plain, &s.keys); err != nil {
		return nil, fmt.Errorf("read the token keys: %w", err)
	}
	return s, nil
}

// Seal is the form the store keeps.
func (s *TokenSet) Seal(sealer sealing) ([]byte, error) {
	plain, err := json.Marshal(s.keys)
	if err != nil {
		return nil, fmt.Errorf("write the token keys: %w", err)
	}
	return sealer.Seal(plain, tokenPlace)
}

// Keys lists the keys without their material, oldest first.
func (s *TokenSet) Keys() []TokenKey {
	keys := make([]TokenKey, len(s.keys))
	for i := range s.keys {
		keys[i] = s.keys[i].TokenKey
	}
	return keys
}

// Signing is the key of a line that signs at a moment.
func (s *TokenSet) Signing(algorithm keystile.SigningAlgorithm, organization string, now time.Time) (TokenKey, bool) {
	k := s.signing(algorithm, organization, now)
	if k == nil {
		return TokenKey{}, false
	}
	return k.TokenKey, true
}

func (s *TokenSet) signing(algorithm keystile.SigningAlgorithm, organization string, now time.Time) *storedKey {
	var found *storedKey
	for i := range s.keys {
		k := &s.keys[i]
		if k.sameLine(algorithm, organization) && k.live(now) && !now.Before(k.SignsFrom) && (found == nil || !k.SignsFrom.Before(found.SignsFrom)) {
			found = k
		}
	}
	return found
}

// TokenRotation says how the next key of a line comes.
type TokenRotation struct {
	Algorithm keystile.SigningAlgorithm
	// OrganizationID: see TokenKey.
	OrganizationID string
	// Secret is the HS256 secret to take; empty: one is drawn.
	Secret keystile.Secret
	Now    time.Time
	// Ahead is how long the key is published before it signs. The first key of a
	// line signs at once: nothing else would.
	Ahead time.Duration
	// Life is the longest that a token lives: for so long after its last signature
	// the key before it still verifies.
	Life   time.Duration
	Random io.Reader
}

// Rotate makes the next key of a line and the set that it is in. Keys whose last
// token has ended are left out of that.
func (s *TokenSet) Rotate(r TokenRotation) (*TokenSet, TokenKey, error) {
	material, err := newMaterial(r)
	if err != nil {
		return nil, TokenKey{}, err
	}
	if material.ID, err = materialID(material, r.Random); err != nil {
		return nil, TokenKey{}, err
	}
	material.CreatedAt, material.SignsFrom = r.Now.UTC(), r.Now.UTC()
	if s.signing(r.Algorithm, r.OrganizationID, r.Now) != nil {
		material.SignsFrom = r.Now.Add(r.Ahead).UTC()
	} else if r.OrganizationID != "" {
		material.SharedUntil = r.Now.Add(r.Life).UTC()
	}
	next := &TokenSet{}
	for _, k := range s.keys {
		if !k.live(r.Now) {
			continue
		}
		if k.ID == material.ID {
			return nil, TokenKey{}, keystile.Invalidf("secret", "give another one, or none and one is drawn", "this key is there already")
		}
		if k.sameLine(r.Algorithm, r.OrganizationID) && k.VerifiesUntil.IsZero() {
			k.VerifiesUntil = material.SignsFrom.Add(r.Life + lateSignatures)
		}
		next.keys = append(next.keys, k)
	}
	next.keys = append(next.keys, material)
	slices.SortStableFunc(next.keys, func(a, b storedKey) int { return cmp.Compare(a.CreatedAt.UnixNano(), b.CreatedAt.UnixNano()) })
	return next, material.TokenKey, nil
}

// Secret is an HS256 key's secret, for the one answer that tells it to whoever
// must verify with it.
func (s *TokenSet) Secret(id string) keystile.Secret {
	for i := range s.keys {
		if k := &s.keys[i]; k.ID == id && k.Algorithm == keystile.HS256 {
			return keystile.Secret(k.Material)
		}
	}
	return ""
}

// Remove takes a key out at once: no token that it signed is good any more. The
// key before it in its line, if its tokens are good still, is the newest again;
// if none is left, the caller rotates.
func (s *TokenSet) Remove(id string, now time.Time) (*TokenSet, TokenKey, error) {
	at := slices.IndexFunc(s.keys, func(k storedKey) bool { return k.ID == id })
	if at < 0 {
		return nil, TokenKey{}, fmt.Errorf("token key %q: %w", id, keystile.ErrNotFound)
	}
	removed := s.keys[at].TokenKey
	next := &TokenSet{keys: slices.Delete(slices.Clone(s.keys), at, at+1)}
	if last := next.newest(removed.Algorithm, removed.OrganizationID); last != nil && last.live(now) {
		last.VerifiesUntil = time.Time{}
	}
	return next, removed, nil
}

// newest is the last key of a line.
func (s *TokenSet) newest(algorithm keystile.SigningAlgorithm, organization string) *storedKey {
	var found *storedKey
	for i := range s.keys {
		if k := &s.keys[i]; k.sameLine(algorithm, organization) && (found == nil || !k.SignsFrom.Before(found.SignsFrom)) {
			found = k
		}
	}
	return found
}

func newMaterial(r TokenRotation) (storedKey, error) {
	k := storedKey{TokenKey: TokenKey{Algorithm: r.Algorithm, OrganizationID: r.OrganizationID}}
	if r.Algorithm == keystile.HS256 {
		var err error
		k.Material, err = newSecret(r)
		return k, err
	}
	if r.OrganizationID != "" || r.Secret != "" {
		return k, keystile.Invalidf("algorithm", "use HS256", "only an HS256 key has a secret or belongs to an organisation")
	}
	private, err := newPrivate(r.Algorithm)
	if err != nil {
		return k, err
	}
	if k.Material, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return k, fmt.Errorf("write a token key: %w", err)
	}
	return k, nil
}

func newSecret(r TokenRotation) ([]byte, error) {
	if r.Secret == "" {
		secret := make([]byte, MinTokenSecret)
		if _, err := io.ReadFull(r.Random, secret); err != nil {
			return nil, fmt.Errorf("draw a token secret: %w", err)
		}
		return []byte(hex.EncodeToString(secret)), nil
	}
	if len(r.Secret) < MinTokenSecret {
		return nil, keystile.Invalidf("secret", "use the output of openssl rand -base64 32", "it has %d bytes; fewer than %d can be guessed", len(r.Secret), MinTokenSecret)
	}
	return []byte(r.Secret.Reveal()), nil
}

// newPrivate draws a key with the system's own randomness: Go's key generation
// takes no other.
func newPrivate(algorithm keystile.SigningAlgorithm) (crypto.Signer, error) {
	var (
		private crypto.Signer
		err     error
	)
	switch algorithm {
	case keystile.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case keystile.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case keystile.RS256:
		private, err = rsa.GenerateKey(rand.Reader, newRSABits)
	default:
		return nil, keystile.Invalidf("algorithm", "use EdDSA, ES256, RS256 or HS256", "%q is no algorithm for token keys", algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("make a token key: %w", err)
	}
	return private, nil
}

// materialID names a key: the thumbprint of a public one (RFC 7638), and a random
// name for a secret, about which a name must tell nothing.
func materialID(k storedKey, random io.Reader) (string, error) {
	if k.Algorithm == keystile.HS256 {
		var id [8]byte
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return "", fmt.Errorf("name a token key: %w", err)
		}
		return "hs_" + hex.EncodeToString(id[:]), nil
	}
	private, err := privateOf(k.Material)
	if err != nil {
		return "", err
	}
	sum, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name a token key: %w", err)
	}
	return base64url(sum), nil
}

func privateOf(material []byte) (crypto.Signer, error) {
	private, err := x509.ParsePKCS8PrivateKey(material)
	if err != nil {
		return nil, fmt.Errorf("read a token key: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a token key of type %T cannot sign", private)
	}
	return signer, nil
}
