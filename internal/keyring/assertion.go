package keyring

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

// Lives of an assertion: it is handed out for reuseLife and good for assertionLife.
const (
	assertionReuse = 30 * time.Second
	assertionLife  = 60 * time.Second
)

// assertionPlace binds the sealed signing key to its row.
const assertionPlace = "keysets/assertion/sealed"

// Signer mints Keystile-Assertion: a JWT (RFC 7519) over the facts of an allowed
// decision, signed with Ed25519 (RFC 8037), that an upstream verifies against
// the JWKS. One is minted for each principal, route and audience and reused for
// 30 s; a changed credential has a new principal and so a new assertion.
// It is safe for concurrent use.
type Signer struct {
	issuer string
	kid    string
	public ed25519.PublicKey
	// private signs; header is the encoded JOSE header with its dot. Tokens are put
	// together here and not by a JOSE library: with a hundred thousand credentials
	// in use one in ten decisions mints one.
	private ed25519.PrivateKey
	header  []byte
	now     func() time.Time
	random  io.Reader
	minted  *mintedCache
}

// NewSigningKey draws an Ed25519 key and returns its sealed form for the store.
func NewSigningKey(random io.Reader, sealer *Sealer) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return sealer.Seal(private.Seed(), assertionPlace)
}

// SignerOptions configure a Signer.
type SignerOptions struct {
	// Issuer is the public URL; it becomes "iss".
	Issuer string
	Now    func() time.Time
	Random io.Reader
}

// OpenSigner opens a sealed signing key.
func OpenSigner(sealer *Sealer, sealed []byte, o SignerOptions) (*Signer, error) {
	seed, err := sealer.Open(sealed, assertionPlace)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the sealed signing key has %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	private := ed25519.NewKeyFromSeed(seed)
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the signing key is no Ed25519 key")
	}
	s := &Signer{issuer: o.Issuer, public: public, private: private, now: o.Now, random: o.Random, minted: newMintedCache()}
	thumbprint := sha256.Sum256(public)
	s.kid = base64.RawURLEncoding.EncodeToString(thumbprint[:12])
	header, err := json.Marshal(map[string]string{"alg": string(jose.EdDSA), "typ": "JWT", "kid": s.kid})
	if err != nil {
		return nil, fmt.Errorf("use the signing key: %w", err)
	}
	s.header = append(base64.RawURLEncoding.AppendEncode(nil, header), '.')
	return s, nil
}

// Assertion returns the JWT for an allowed decision and an audience, the
// upstream's origin. It refuses a decision that does not allow.
func (s *Signer) Assertion(d *keystile.Decision, audience string) (string, error) {
	if !d.Allowed || d.Principal == nil || d.Route == nil {
		return "", errors.New("no assertion for a request that was not allowed")
	}
	key := assertionKey{d.Principal, d.Route, audience}
	now := s.now()
	if token, ok := s.minted.get(&key, now); ok {
		return token, nil
	}
	token, err := s.mint(d.Principal, d.Route, audience, now)
	if err != nil {
		return "", err
	}
	s.minted.put(&key, token, now)
	return token, nil
}

// claims are the assertion's claims. Lists are always present, also when empty.
type claims struct {
	Issuer       string           `json:"iss"`
	Subject      string           `json:"sub"`
	Audience     string           `json:"aud"`
	IssuedAt     int64            `json:"iat"`
	Expires      int64            `json:"exp"`
	ID           string           `json:"jti"`
	Organization string           `json:"organization"`
	Environment  string           `json:"environment"`
	Credential   string           `json:"credential"`
	Scopes       []keystile.Scope `json:"scopes"`
	Sites        []string         `json:"sites"`
	Route        string           `json:"route"`
	*personClaims
}

// personClaims are there for a person alone. Methods and time of the sign-in are
// named as in OpenID Connect Core, section 2.
type personClaims struct {
	Username        string                `json:"username"`
	Role            string                `json:"role"`
	Group           string                `json:"group"`
	Customers       []string              `json:"customers"`
	SessionID       string                `json:"sid,omitempty"`
	Methods         []keystile.AuthMethod `json:"amr,omitempty"`
	AuthenticatedAt int64                 `json:"auth_time,omitempty"`
}

func personOf(p *keystile.Principal) *personClaims {
	if p.UserID == "" {
		return nil
	}
	person := &personClaims{
		Username: p.Username, Role: p.Role, Group: p.GroupID, Customers: orEmpty(p.CustomerIDs), SessionID: p.SessionID, Methods: p.Methods,
	}
	if !p.AuthenticatedAt.IsZero() {
		person.AuthenticatedAt = p.AuthenticatedAt.Unix()
	}
	return person
}

func (s *Signer) mint(p *keystile.Principal, route *keystile.Route, audience string, now time.Time) (string, error) {
	var id [12]byte
	if _, err := io.ReadFull(s.random, id[:]); err != nil {
		return "", fmt.Errorf("mint an assertion: %w", err)
	}
	expires := now.Add(assertionLife)
	if !p.ExpiresAt.IsZero() && p.ExpiresAt.Before(expires) {
		expires = p.ExpiresAt
	}
	payload, err := json.Marshal(claims{
		Issuer: s.issuer, Subject: p.Subject, Audience: audience,
		IssuedAt: now.Unix(), Expires: expires.Unix(), ID: hex.EncodeToString(id[:]),
		Organization: p.OrganizationID, Environment: string(p.Environment),
		Credential: string(p.Kind) + ":" + p.CredentialID,
		Scopes:     orEmpty(p.Scopes), Sites: orEmpty(p.SiteIDs), Route: route.ID, personClaims: personOf(p),
	})
	if err != nil {
		return "", fmt.Errorf("mint an assertion: %w", err)
	}
	// RFC 7515, section 7.1: BASE64URL(header).BASE64URL(payload).BASE64URL(signature).
	token := make([]byte, 0, len(s.header)+base64.RawURLEncoding.EncodedLen(len(payload))+1+base64.RawURLEncoding.EncodedLen(ed25519.SignatureSize))
	token = append(token, s.header...)
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	signature := ed25519.Sign(s.private, token)
	token = append(token, '.')
	return string(base64.RawURLEncoding.AppendEncode(token, signature)), nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Public is the key that upstreams verify assertions with.
func (s *Signer) Public() (*jws.Key, error) { return jws.NewPublic(s.kid, s.public) }
