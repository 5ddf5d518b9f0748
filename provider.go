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
	// One of these says what its tokens are verified by. With SignIn none may: the keys
	// are then where the issuer's discovery document says.
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
	// SignIn makes it a way to sign in on the page; nil: it is none.
	SignIn    *ProviderSignIn
	Disabled  bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ProviderSignIn says how people sign in at an identity provider: by the authorization
// code flow of OpenID Connect, in which we are a client of it. Its endpoints are where
// the issuer's discovery document says.
type ProviderSignIn struct {
	// ClientID is ours at the provider: the "aud" of its ID tokens.
	ClientID string
	// SealedSecret is our client secret there, sealed for ProviderClientSecretPlace(Name);
	// empty: we are a public client, and PKCE is all that binds a code to us.
	SealedSecret []byte
	// Label is what its button says; empty: its name.
	Label string
	// Scopes we ask for; none: openid, email and profile.
	Scopes []string
	// LinkByEmail lets the first sign-in find a user that is there by an e-mail address that
	// the provider says it has verified. Otherwise only users it made before are found.
	LinkByEmail bool
	// TrustedAMR are values of "amr" (RFC 8176) that stand for a second factor that the
	// provider has asked for; none: we ask for our own.
	TrustedAMR []string
	// Unlisted providers have a button on the sign-in page of their organisation alone.
	Unlisted bool
}

// DefaultSignInScopes are asked for where a provider names none (OpenID Connect Core, section 5.4).
var DefaultSignInScopes = []string{"openid", "email", "profile"}

// ProviderClientSecretPlace is the place that our client secret at a provider is sealed for.
func ProviderClientSecretPlace(name string) string {
	return "identity_providers/" + name + "/client_secret"
}

// ProviderSecretPlace is the place an identity provider's secret is sealed for.
func ProviderSecretPlace(name string) string { return "identity_providers/" + name + "/secret" }
