package manage

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/onetime"
)

const (
	// rsaBits of a generated RS256 key, as the platform's own instructions make it.
	rsaBits = 4096
	// secretBytes of a generated HS256 secret: as many as its HMAC's output has
	// (RFC 7518, section 3.2).
	secretBytes = 32
)

// rsaTurn lets one RSA key be generated at a time: it takes a processor seconds,
// and whoever may make keys must not be able to take them all.
var rsaTurn = make(chan struct{}, 1)

// newAPIKeyName draws "sig_" and 20 characters of base62: 119 bits.
func (s *Service) newAPIKeyName() (string, error) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	name := []byte("sig_")
	var random [1]byte
	for len(name) < len("sig_")+20 {
		if _, err := io.ReadFull(s.Random, random[:]); err != nil {
			return "", fmt.Errorf("draw random bytes for an api_key: %w", err)
		}
		// 248 is the largest multiple of 62 in a byte: what is above it would favour the first letters.
		if random[0] < 248 {
			name = append(name, alphabet[int(random[0])%len(alphabet)])
		}
	}
	return string(name), nil
}

// importMaterial checks what a key is imported with and returns it as it is
// stored; none is the zero value.
func (s *Service) importMaterial(p *problems, in NewSigningKey) (keystile.SigningKey, error) {
	var none keystile.SigningKey
	given := 0
	for _, is := range []bool{in.Secret != "", in.Sealed != nil, in.PublicKey != ""} {
		if is {
			given++
		}
	}
	switch {
	case !KnownAlgorithm(in.Algorithm):
		p.add("algorithm", "use HS256, RS256, ES256 or EdDSA", "not an algorithm")
	case given > 1:
		p.add("secret", "keep one of them", "secret and public_key exclude each other")
	case in.PublicKey != "":
		text, err := PublicKeyText(in.Algorithm, in.PublicKey)
		p.under("public_key", err)
		return keystile.SigningKey{PublicKey: text}, nil
	case in.Secret != "", in.Sealed != nil:
		sealed, err := s.importSecret(in)
		return keystile.SigningKey{SealedSecret: sealed}, p.take(err)
	}
	return none, nil
}

// KnownAlgorithm says whether signing keys of an algorithm can be made.
func KnownAlgorithm(algorithm keystile.SigningAlgorithm) bool {
	switch algorithm {
	case keystile.HS256, keystile.RS256, keystile.ES256, keystile.EdDSA:
		return true
	}
	return false
}

// PublicKeyText checks a public key and returns it as it is stored: its one PEM
// block, PKCS#1 or SPKI as it was given, without what stood around it. Its
// error is *keystile.Invalid.
func PublicKeyText(algorithm keystile.SigningAlgorithm, text string) (string, error) {
	if _, err := onetime.ParsePublicKey(algorithm, text); err != nil {
		return "", err
	}
	block, _ := pem.Decode([]byte(text))
	return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})), nil
}

// importSecret is the imported secret of an HS256 key, sealed.
func (s *Service) importSecret(in NewSigningKey) ([]byte, error) {
	if in.Algorithm != keystile.HS256 {
		return nil, keystile.Invalidf("secret", "give its public_key", "a key of %s has no shared secret", in.Algorithm)
	}
	if in.Sealed == nil {
		return s.SealSigningSecret(in.ID, in.Secret)
	}
	// A sealed value that does not open would be a key that refuses everybody.
	if _, err := s.OpenSigningSecret(keystile.SigningKey{ID: in.ID, Algorithm: in.Algorithm, SealedSecret: in.Sealed}); err != nil {
		return nil, keystile.Invalidf("sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
	}
	return in.Sealed, nil
}

// CheckSigningSecret says whether a text may be the secret of an HS256 key. Its
// error is *keystile.Invalid.
func CheckSigningSecret(secret keystile.Secret) error {
	_, err := onetime.CheckSecret(secret)
	return err
}

// SealSigningSecret checks an HS256 secret and seals it for the signing key of
// an id. A secret that may not be one is *keystile.Invalid.
func (s *Service) SealSigningSecret(id string, secret keystile.Secret) ([]byte, error) {
	if err := CheckSigningSecret(secret); err != nil {
		return nil, err
	}
	if s.Sealer == nil {
		return nil, errNoSealer
	}
	sealed, err := s.Sealer.Seal([]byte(secret.Reveal()), keystile.SigningSecretPlace(id))
	if err != nil {
		return nil, fmt.Errorf("seal the secret of signing key %q: %w", id, err)
	}
	return sealed, nil
}

// OpenSigningSecret opens the secret of an HS256 key.
func (s *Service) OpenSigningSecret(k keystile.SigningKey) (keystile.Secret, error) {
	if s.Sealer == nil {
		return "", errNoSealer
	}
	plain, err := s.Sealer.Open(k.SealedSecret, keystile.SigningSecretPlace(k.ID))
	if err != nil {
		return "", fmt.Errorf("open the secret of signing key %q: %w", k.ID, err)
	}
	return keystile.Secret(plain), nil
}

// material gives a key what it is verified by: what was imported, or new.
func (s *Service) material(ctx context.Context, key keystile.SigningKey, imported keystile.SigningKey) (MadeSigningKey, error) {
	made := MadeSigningKey{Key: key}
	made.Key.PublicKey, made.Key.SealedSecret = imported.PublicKey, imported.SealedSecret
	if imported.PublicKey != "" || imported.SealedSecret != nil {
		return made, nil
	}
	if key.Algorithm == keystile.HS256 {
		raw := make([]byte, secretBytes)
		if _, err := io.ReadFull(s.Random, raw); err != nil {
			return MadeSigningKey{}, fmt.Errorf("draw a secret: %w", err)
		}
		// Callers use the text itself as the key: hexadecimal survives every shell and file.
		made.Secret = keystile.Secret(hex.EncodeToString(raw))
		sealed, err := s.SealSigningSecret(key.ID, made.Secret)
		made.Key.SealedSecret = sealed
		return made, err
	}
	private, err := s.newPrivateKey(ctx, key.Algorithm)
	if err != nil {
		return MadeSigningKey{}, fmt.Errorf("generate a key pair for %s: %w", key.Algorithm, err)
	}
	made.Key.PublicKey, made.PrivateKey, err = pairText(private)
	return made, err
}

func (s *Service) newPrivateKey(ctx context.Context, algorithm keystile.SigningAlgorithm) (crypto.Signer, error) {
	switch algorithm {
	case keystile.RS256:
		select {
		case rsaTurn <- struct{}{}:
			defer func() { <-rsaTurn }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return rsa.GenerateKey(s.Random, rsaBits)
	case keystile.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), s.Random)
	case keystile.EdDSA:
		_, private, err := ed25519.GenerateKey(s.Random)
		return private, err
	case keystile.HS256:
	}
	return nil, fmt.Errorf("there are no key pairs of %q", algorithm)
}

// pairText is a key pair as text: SPKI (RFC 5280, section 4.1.2.7) and PKCS#8 (RFC 5958).
func pairText(private crypto.Signer) (public string, secret keystile.Secret, err error) {
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", "", fmt.Errorf("write the public key: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", fmt.Errorf("write the private key: %w", err)
	}
	public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	return public, keystile.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), nil
}
