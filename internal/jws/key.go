package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
)

// Limits of RSA keys. A verification grows with the square of the size, and a
// small exponent invites forgeries wherever a padding check is not perfect.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// Key verifies tokens with one algorithm, fixed when it is made. It is immutable
// and safe for concurrent use.
type Key struct {
	// ID is what a token may name it by; empty: nothing.
	ID        string
	algorithm keystile.SigningAlgorithm
	public    crypto.PublicKey // nil for HS256
	secret    []byte
}

// NewSecret makes an HS256 key (RFC 7518, section 3.2). Whether a secret is long
// enough is for who takes it in; an empty one is refused here.
func NewSecret(secret keystile.Secret) (*Key, error) {
	if secret == "" {
		return nil, errors.New("the secret of an HS256 key is empty")
	}
	return &Key{algorithm: keystile.HS256, secret: []byte(secret.Reveal())}, nil
}

// NewPublic makes the key of an *rsa.PublicKey (RS256), an *ecdsa.PublicKey on
// P-256 (ES256) or an ed25519.PublicKey (EdDSA). Any other key, and an RSA key
// under 2048 or over 8192 bits or with a bad exponent, is refused.
func NewPublic(id string, public crypto.PublicKey) (*Key, error) {
	k := &Key{ID: id, public: public}
	switch p := public.(type) {
	case *rsa.PublicKey:
		k.algorithm = keystile.RS256
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits || p.E < minRSAExponent || p.E%2 == 0 || p.N.Bit(0) == 0 {
			return nil, fmt.Errorf("an RSA key has %d bits and exponent %d: 2048 to 8192 bits and 65537 are right", bits, p.E)
		}
	case *ecdsa.PublicKey:
		k.algorithm = keystile.ES256
		if p.Curve != elliptic.P256() {
			return nil, errors.New("an EC key is on another curve than P-256")
		}
		if _, err := p.ECDH(); err != nil { // checks that the point is on the curve
			return nil, fmt.Errorf("an EC key is none: %w", err)
		}
	case ed25519.PublicKey:
		k.algorithm = keystile.EdDSA
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("an Ed25519 key has not 32 bytes")
		}
	default:
		return nil, fmt.Errorf("a key of type %T verifies no token here", public)
	}
	return k, nil
}

// Algorithm is the one algorithm the key verifies.
func (k *Key) Algorithm() keystile.SigningAlgorithm { return k.algorithm }

// Verify says whether the token's signature is this key's. A token whose header
// claims another algorithm is refused before anything is computed: the key says
// how it is used (RFC 8725, section 3.1).
func (k *Key) Verify(t *Token) bool {
	if k == nil || t.Algorithm == "" || t.Algorithm != k.algorithm {
		return false
	}
	if k.algorithm == keystile.HS256 {
		mac := hmac.New(sha256.New, k.secret)
		mac.Write([]byte(t.signed))
		return hmac.Equal(mac.Sum(nil), t.signature)
	}
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.algorithm)})
	if err != nil {
		return false
	}
	_, err = signed.Verify(k.public)
	return err == nil
}
