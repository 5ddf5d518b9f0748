package onetime

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"

	keystile "keystile.dev/keystile"
)

// Limits of keys. An RSA verification grows with the square of the size; 8192
// bits cost about 1.5 ms, 16384 four times that.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
	maxPEM         = 16 << 10
	maxSecret      = 8 << 10
	weakSecret     = 32
)

const keyField = "public_key"

// ParsePublicKey reads the public key of an RS256, ES256 or EdDSA signing key:
// one PEM block, PKCS#1 ("RSA PUBLIC KEY", RFC 8017, A.1.1) or SPKI ("PUBLIC
// KEY", RFC 5280, 4.1.2.7). The result is an *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey. Every error is a *keystile.Invalid, safe to show.
func ParsePublicKey(algorithm keystile.SigningAlgorithm, text string) (crypto.PublicKey, error) {
	if algorithm == keystile.HS256 {
		return nil, keystile.Invalidf(keyField, remedyOf(algorithm), "an HS256 key has no public key")
	}
	block, err := onlyBlock(text)
	if err != nil {
		return nil, err
	}
	parsed, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	if algorithmFor(parsed) != algorithm {
		return nil, keystile.Invalidf(keyField, remedyOf(algorithm), "this is a key of another type than %s needs", algorithm)
	}
	if key, ok := parsed.(*rsa.PublicKey); ok {
		if err := checkRSA(key); err != nil {
			return nil, err
		}
	}
	return parsed, nil
}

// algorithmFor is the one algorithm that a public key is for, or "".
func algorithmFor(public crypto.PublicKey) keystile.SigningAlgorithm {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return keystile.RS256
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return keystile.ES256
		}
	case ed25519.PublicKey:
		return keystile.EdDSA
	}
	return ""
}

func remedyOf(algorithm keystile.SigningAlgorithm) string {
	switch algorithm {
	case keystile.RS256:
		return "give an RSA public key of 2048 to 8192 bits"
	case keystile.ES256:
		return "give a P-256 public key"
	case keystile.EdDSA:
		return "give an Ed25519 public key"
	case keystile.HS256:
		return "give a secret"
	}
	return "use HS256, RS256, ES256 or EdDSA"
}

// onlyBlock is the one PEM block of a text.
func onlyBlock(text string) (*pem.Block, error) {
	const remedy = `give one PEM block, "RSA PUBLIC KEY" or "PUBLIC KEY"`
	if len(text) > maxPEM {
		return nil, keystile.Invalidf(keyField, remedy, "the text is longer than 16 KiB")
	}
	if strings.Contains(text, "PRIVATE KEY-----") {
		return nil, keystile.Invalidf(keyField, "give the public key, and replace the pair: a private key that was sent is not private any more",
			"this is a private key")
	}
	text = strings.TrimSpace(text)
	block, rest := pem.Decode([]byte(text))
	if block == nil || !strings.HasPrefix(text, "-----BEGIN ") {
		return nil, keystile.Invalidf(keyField, remedy, "this is not PEM")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, keystile.Invalidf(keyField, remedy, "something follows the key")
	}
	return block, nil
}

func parseBlock(block *pem.Block) (crypto.PublicKey, error) {
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "CERTIFICATE":
		return nil, keystile.Invalidf(keyField, "take the public key out: openssl x509 -pubkey -noout", "this is a certificate")
	default:
		return nil, keystile.Invalidf(keyField, `give "RSA PUBLIC KEY" or "PUBLIC KEY"`, "this is a PEM block of another type")
	}
	if err != nil {
		return nil, keystile.Invalidf(keyField, "check that the whole key was copied", "the key cannot be read")
	}
	return key, nil
}

func checkRSA(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return keystile.Invalidf(keyField, remedyOf(keystile.RS256), "the RSA key has %d bits", bits)
	}
	// With exponent 1 every text is its own signature; a small one invites forgeries
	// wherever a padding check is not perfect; an even one is no RSA key.
	if key.E < minRSAExponent || key.E%2 == 0 || key.N.Bit(0) == 0 {
		return keystile.Invalidf(keyField, "make a key with exponent 65537", "the RSA key has a bad exponent or modulus")
	}
	return nil
}

// CheckSecret says whether a text may be the secret of an HS256 key: its bytes
// are the key, whatever they are. A secret under 32 bytes is taken with a
// warning, because keys of other platforms are that short. A public key is
// refused: whoever reads it could sign. The error is a *keystile.Invalid.
func CheckSecret(secret keystile.Secret) (warning string, err error) {
	text := secret.Reveal()
	switch {
	case text == "":
		return "", keystile.Invalidf("secret", "give the text the caller signs with", "the secret is empty")
	case len(text) > maxSecret:
		return "", keystile.Invalidf("secret", "use at most 8 KiB", "the secret is too long")
	case strings.Contains(text, "-----BEGIN") && strings.Contains(text, "PUBLIC KEY-----"):
		return "", keystile.Invalidf("secret", "give it as public_key with algorithm RS256, ES256 or EdDSA", "this is a public key, which is no secret")
	case len(text) < weakSecret:
		return "the secret is shorter than 32 bytes: it can be guessed from one signed request", nil
	}
	return "", nil
}
