package keystile

import (
	"net/netip"
	"time"
)

// SigningAlgorithm is how a one-time request is signed. It belongs to the stored
// key, never to the request.
type SigningAlgorithm string

// The algorithms (RFC 7518, section 3.1; RFC 8037; RFC 9421, section 3.3).
const (
	HS256 SigningAlgorithm = "HS256" // hmac-sha256
	RS256 SigningAlgorithm = "RS256" // rsa-v1_5-sha256, 2048 to 8192 bits
	ES256 SigningAlgorithm = "ES256" // ecdsa-p256-sha256
	EdDSA SigningAlgorithm = "EdDSA" // ed25519
)

// SigningKey proves one-time signed requests of an organisation. Several may be
// live at once, for rotation.
type SigningKey struct {
	ID             string
	OrganizationID string
	Name           string
	Environment    Environment
	// APIKey is the public name of the key that callers send: 1-200 printable
	// ASCII characters without space. It is unique in the store and never used again.
	APIKey    string
	Algorithm SigningAlgorithm
	// PublicKey is PEM, PKCS#1 or SPKI as it was given; empty for HS256.
	PublicKey string
	// SealedSecret is the HS256 secret sealed for "signing_keys/ID/secret"; empty otherwise.
	SealedSecret []byte
	// PermittedSiteIDs, Scopes, AllowedIPs, Limit: as of an APIKey.
	PermittedSiteIDs []string
	Scopes           []Scope
	AllowedIPs       []netip.Prefix
	Limit            *Rate
	ExpiresAt        time.Time
	RevokedAt        time.Time
	LastUsedAt       time.Time
	CreatedAt        time.Time
	UpdatedAt        time.Time
}

// SigningSecretPlace is the place a signing key's HS256 secret is sealed for.
func SigningSecretPlace(id string) string { return "signing_keys/" + id + "/secret" }

// OneTimeForm is one of the ways a one-time request is written.
type OneTimeForm string

// The forms: Ownera's base64 JSON header, its JWT variant, RFC 9421 message signatures.
const (
	FormHeader        OneTimeForm = "header"
	FormJWT           OneTimeForm = "jwt"
	FormHTTPSignature OneTimeForm = "http_signature"
)

// OneTimePolicy is what an organisation asks of one-time requests.
type OneTimePolicy struct {
	// ClockWindow is how far a stamp may be from our clock, either way, 5 s to
	// 15 min; 0 is the server's default (60 s).
	ClockWindow time.Duration
	// Forms that are accepted; empty: all.
	Forms []OneTimeForm
}

// Accepts says whether a form is switched on.
func (p OneTimePolicy) Accepts(form OneTimeForm) bool {
	if len(p.Forms) == 0 {
		return true
	}
	for _, f := range p.Forms {
		if f == form {
			return true
		}
	}
	return false
}
