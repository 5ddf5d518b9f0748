package keystile

import "time"

// IdentityProvider is an outside issuer whose word signs in users of one
// organisation (rulings R22).
type IdentityProvider struct {
	// Name is unique in the store; it is what callers send as provider. See ValidID.
	Name           string
	OrganizationID string
	// Roles it may assert; any other role is refused.
	Roles []string
	// Issuer is the "iss" of its tokens, compared byte by byte.
	Issuer string
	// Audience is the "aud" its tokens must have.
	Audience string
	// Algorithms its tokens may be signed with: those of [SigningAlgorithm].
	Algorithms []SigningAlgorithm
	// One of these says what its tokens are verified by.
	JWKSURL string
	// JWKS is a key set (RFC 7517) as JSON.
	JWKS string
	// PublicKey is PEM, PKCS#1 or SPKI.
	PublicKey string
	// SealedSecret is the HS256 secret, sealed for ProviderSecretPlace(Name).
	SealedSecret []byte
	// Claims maps members of the user (username, email, name, role_id, customer_ids, group_id,
	// skin_id) to claims of the token; username defaults to "email".
	Claims map[string]string
	// CreateUsers makes unknown users; otherwise they are refused.
	CreateUsers bool
	Disabled    bool
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// ProviderSecretPlace is the place an identity provider's secret is sealed for.
func ProviderSecretPlace(name string) string { return "identity_providers/" + name + "/secret" }
