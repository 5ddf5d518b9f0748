package onetime

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"math/big"
	"sync"

	keystile "keystile.dev/keystile"
)

// verifier proves signatures of one stored key. Its algorithm is fixed when it
// is made; nothing a request says changes it. It is safe for concurrent use.
type verifier struct {
	algorithm keystile.SigningAlgorithm
	rsa       *rsa.PublicKey
	ecdsa     *ecdsa.PublicKey
	ed25519   ed25519.PublicKey
	// fingerprint is SHA-256 of a public key's SPKI, 32 bytes; empty for HS256.
	fingerprint string
	macs        sync.Pool // of *mac, for HS256
}

// mac is a keyed HMAC state: making one costs three times what using it does.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

// newVerifier makes the verifier of a public key, or of a secret for HS256.
func newVerifier(algorithm keystile.SigningAlgorithm, public crypto.PublicKey, secret []byte) (*verifier, error) {
	v := &verifier{algorithm: algorithm}
	if algorithm == keystile.HS256 && len(secret) > 0 {
		v.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }
		return v, nil
	}
	fits := false
	switch key := public.(type) {
	case *rsa.PublicKey:
		v.rsa, fits = key, algorithm == keystile.RS256
	case *ecdsa.PublicKey:
		v.ecdsa, fits = key, algorithm == keystile.ES256
	case ed25519.PublicKey:
		v.ed25519, fits = key, algorithm == keystile.EdDSA
	}
	if !fits {
		return nil, fmt.Errorf("no key for algorithm %q: %w", algorithm, keystile.ErrUnavailable)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("name the key of algorithm %q: %w: %w", algorithm, keystile.ErrUnavailable, err)
	}
	sum := sha256.Sum256(spki)
	v.fingerprint = string(sum[:])
	return v, nil
}

// costly says whether a verification is worth an attacker's while: tens to
// hundreds of microseconds instead of one.
func (v *verifier) costly() bool { return v.algorithm != keystile.HS256 }

// verify says whether signature is the key's over text. ES256 signatures are r
// and s, 32 bytes each (RFC 7518, 3.4; RFC 9421, 3.3.4), in every form.
func (v *verifier) verify(text, signature []byte) bool {
	switch v.algorithm {
	case keystile.HS256:
		m, ok := v.macs.Get().(*mac)
		if !ok {
			return false
		}
		m.Reset()
		_, err := m.Write(text)
		ok = err == nil && hmac.Equal(m.Sum(m.sum[:0]), signature)
		v.macs.Put(m)
		return ok
	case keystile.RS256:
		sum := sha256.Sum256(text)
		return rsa.VerifyPKCS1v15(v.rsa, crypto.SHA256, sum[:], signature) == nil
	case keystile.ES256:
		const half = 32
		if len(signature) != 2*half {
			return false
		}
		sum := sha256.Sum256(text)
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(v.ecdsa, sum[:], r, s)
	case keystile.EdDSA:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(v.ed25519, text, signature)
	}
	return false
}
