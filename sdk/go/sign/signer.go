package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Algorithm is how a signing key signs. It belongs to the key on both sides.
type Algorithm string

// The algorithms (RFC 7518, section 3.1; RFC 8037).
const (
	HS256 Algorithm = "HS256" // HMAC-SHA-256
	RS256 Algorithm = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 8192 bits
	ES256 Algorithm = "ES256" // ECDSA on P-256 with SHA-256
	EdDSA Algorithm = "EdDSA" // Ed25519
)

// Signer signs for one signing key of an organisation. It is safe for
// concurrent use if its private key is; those of the standard library are.
type Signer struct {
	organization string
	apiKey       string
	algorithm    Algorithm
	secret       []byte
	private      crypto.Signer
}

// NewHMAC makes the signer of an HS256 key: the bytes of the secret's text are
// the key, whatever they are, a newline at its end included.
func NewHMAC(organization, apiKey, secret string) (*Signer, error) {
	if secret == "" {
		return nil, errors.New("the secret is empty")
	}
	return (&Signer{organization: organization, apiKey: apiKey, algorithm: HS256, secret: []byte(secret)}).checked()
}

// New makes the signer of an RS256, ES256 or EdDSA key: RSA, P-256 or Ed25519.
// The private key may be one that never leaves its hardware.
func New(organization, apiKey string, private crypto.Signer) (*Signer, error) {
	if private == nil {
		return nil, errors.New("there is no private key")
	}
	s := &Signer{organization: organization, apiKey: apiKey, private: private}
	switch public := private.Public().(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < 2048 || bits > 8192 {
			return nil, fmt.Errorf("the RSA key has %d bits; use 2048 to 8192", bits)
		}
		s.algorithm = RS256
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return nil, errors.New("the key is on another curve than P-256")
		}
		s.algorithm = ES256
	case ed25519.PublicKey:
		s.algorithm = EdDSA
	default:
		return nil, fmt.Errorf("a key of type %T does not sign; use RSA, P-256 or Ed25519", public)
	}
	return s.checked()
}

// ParsePrivateKey reads an RSA, P-256 or Ed25519 private key: one unencrypted PEM
// block, PKCS#8, PKCS#1 or SEC 1.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the private key is not PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block %q is no private key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not sign", key)
	}
	return signer, nil
}

// Algorithm is how the signer signs.
func (s *Signer) Algorithm() Algorithm { return s.algorithm }

func (s *Signer) checked() (*Signer, error) {
	if !visible(s.organization) || !visible(s.apiKey) {
		return nil, errors.New("organisation and API key are printable ASCII without space, and not empty")
	}
	return s, nil
}

// visible says whether text is one or more printable ASCII characters without space.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}

// Stamp is what makes a signature unlike any other. The zero Stamp is filled
// in: a fresh random nonce and the time now. Set its members for tests only.
type Stamp struct {
	// Nonce is 16 to 128 printable ASCII characters without space.
	Nonce string
	// Time has whole seconds; fractions are cut.
	Time time.Time
}

// fill completes the stamp. fresh makes a nonce for a time.
func (st Stamp) fill(fresh func(seconds int64) (string, error)) (nonce string, seconds int64, err error) {
	if st.Time.IsZero() {
		st.Time = time.Now()
	}
	seconds = st.Time.Unix()
	if st.Nonce == "" {
		if st.Nonce, err = fresh(seconds); err != nil {
			return "", 0, fmt.Errorf("make a nonce: %w", err)
		}
	}
	if len(st.Nonce) < 16 || len(st.Nonce) > 128 || !visible(st.Nonce) {
		return "", 0, errors.New("a nonce is 16 to 128 printable ASCII characters without space")
	}
	if seconds < 0 {
		return "", 0, errors.New("the time is before 1970")
	}
	return st.Nonce, seconds, nil
}

// randomBytes are n bytes of the system's generator.
func randomBytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	return b, nil
}

// sign signs a text: 32 bytes for HS256, the size of the key for RS256, r and s
// of 32 bytes each for ES256, 64 bytes for EdDSA.
func (s *Signer) sign(text []byte) ([]byte, error) {
	switch s.algorithm {
	case HS256:
		mac := hmac.New(sha256.New, s.secret)
		if _, err := mac.Write(text); err != nil {
			return nil, err
		}
		return mac.Sum(nil), nil
	case EdDSA:
		return s.private.Sign(rand.Reader, text, crypto.Hash(0))
	case RS256, ES256:
	}
	sum := sha256.Sum256(text)
	signature, err := s.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil || s.algorithm == RS256 {
		return signature, err
	}
	return fixedWidth(signature)
}

// fixedWidth turns the ASN.1 form of an ECDSA signature into r and s (RFC 7518,
// section 3.4).
func fixedWidth(signature []byte) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &pair); err != nil || len(rest) > 0 || pair.R.BitLen() > 256 || pair.S.BitLen() > 256 {
		return nil, errors.New("the key made a signature that cannot be read")
	}
	fixed := make([]byte, 64)
	pair.R.FillBytes(fixed[:32])
	pair.S.FillBytes(fixed[32:])
	return fixed, nil
}
