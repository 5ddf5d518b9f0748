package keystile

import (
	"strings"
	"time"
)

// ValidClientID says whether s names a client: an id, or the https URL of the document
// that a client says what it is in, of at most 512 printable characters.
func ValidClientID(s string) bool {
	if ValidID(s) {
		return true
	}
	if len(s) > 512 || !strings.HasPrefix(s, "https://") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte("\\\"<>^`{|}", s[i]) >= 0 {
			return false
		}
	}
	return true
}

// OAuthClient is an application's way in through the authorization server
// (RFC 6749, section 2). A client that registered itself (RFC 7591) belongs to no
// application.
type OAuthClient struct {
	// ID is the client_id: the application's id, unless one was given.
	ID string
	// ApplicationID is the application it belongs to; empty: it registered itself.
	ApplicationID string
	// Name is what a client that registered itself calls itself; empty with an application.
	Name string
	// Public clients cannot keep a secret (RFC 6749, section 2.1): they have none and need PKCE.
	Public bool
	// JWKS is the JSON of the public keys with which it signs what proves who it is
	// (private_key_jwt); empty: it has none.
	JWKS string
	// RedirectURIs are compared byte for byte, but for the port of a loopback address
	// (RFC 8252, section 7.3).
	RedirectURIs []string
	// PostLogoutRedirectURIs are where a browser may be sent after a sign-out.
	PostLogoutRedirectURIs []string
	GrantTypes             []GrantType
	// Scopes it may ask for; one that asks for none is given all of them.
	Scopes []Scope
	// Audiences are the resources that it may ask tokens for (RFC 8707).
	Audiences []string
	// Serves are the resources that it is: it may introspect tokens for them.
	Serves []string
	// TokenFormat of its access tokens; empty: JWT.
	TokenFormat TokenFormat
	// FirstParty clients are the platform's own: people are not asked. Only a reviewer says so.
	FirstParty bool
	// IDTokenAlgorithm signs its ID tokens; empty: RS256, which every client knows.
	IDTokenAlgorithm SigningAlgorithm
	// Pairwise gives it subjects of its own (OpenID Connect Core, section 8.1).
	Pairwise bool
	// DPoP makes every token it gets bound to a key (RFC 9449).
	DPoP bool
	// DPoPNonce asks that its proofs at the token endpoint carry a nonce of the server's (RFC 9449, section 8).
	DPoPNonce bool
	// TLSSubject is what the certificate has to name with which it proves who it is, one that
	// a configured authority signed (RFC 8705, section 2.1): dn:, dns:, uri:, ip: or email:
	// and a value; empty: it does not.
	TLSSubject string
	// SelfSignedTLS clients prove who they are with a certificate that is in JWKS, as the
	// first of an "x5c" (RFC 8705, section 2.2).
	SelfSignedTLS bool
	// CertificateBound makes every token it gets bound to the certificate that it was asked
	// for with (RFC 8705, section 3).
	CertificateBound bool
	// PushedOnly refuses authorization requests that were not pushed (RFC 9126, section 6).
	PushedOnly bool
	// Backchannel is told when a session that signed in to the client ends (OpenID Connect
	// Back-Channel Logout, section 2.2), and Frontchannel is shown in the page of the browser
	// that signs out (Front-Channel Logout, section 2).
	Backchannel, Frontchannel LogoutURI
	CreatedAt                 time.Time
	UpdatedAt                 time.Time
	// RevokedAt ends it with everything it was given; zero: it stands.
	RevokedAt time.Time
	// LastUsedAt is kept of clients that registered themselves.
	LastUsedAt time.Time
}

// LogoutURI is where a client learns of the end of a session.
type LogoutURI struct {
	// URI is https, or http to a loopback address; empty: it does not want to know.
	URI string
	// SessionRequired: it has to be told which session ended. It always is.
	SessionRequired bool
}

// OAuthVisit is a session that signed in to a client which wants to know of its end.
type OAuthVisit struct {
	// SID is the session as the client knows it ("sid"), and SessionID the one whose end is
	// meant: another one where the user proved who they are once more since.
	SID       string
	SessionID string
	ClientID  string
	UserID    string
	// ExpiresAt is when the session ends by itself.
	ExpiresAt time.Time
	// DueAt is when the client is told next; zero: the session lives.
	DueAt time.Time
	// Tries is how often that was tried.
	Tries int
}

// ByTLS says whether it proves who it is with a certificate, and with nothing else.
func (c *OAuthClient) ByTLS() bool { return c.TLSSubject != "" || c.SelfSignedTLS }

// HasSecret says whether it proves who it is with a secret that both sides know.
func (c *OAuthClient) HasSecret() bool { return !c.Public && c.JWKS == "" && !c.ByTLS() }

// GrantType is a way of getting tokens (RFC 6749, section 1.3).
type GrantType string

// The grant types.
const (
	GrantAuthorizationCode GrantType = "authorization_code"
	GrantRefreshToken      GrantType = "refresh_token"
	GrantClientCredentials GrantType = "client_credentials"
	GrantDeviceCode        GrantType = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628
	GrantTokenExchange     GrantType = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
	GrantJWTBearer         GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523
)

// GrantTypes lists the grant types.
var GrantTypes = []GrantType{GrantAuthorizationCode, GrantRefreshToken, GrantClientCredentials, GrantDeviceCode, GrantTokenExchange, GrantJWTBearer}

// TokenFormat is how access tokens are written.
type TokenFormat string

// The formats.
const (
	TokenJWT    TokenFormat = "jwt"    // at+jwt (RFC 9068): resource servers can read it
	TokenOpaque TokenFormat = "opaque" // ot_ and random characters: they ask
)

// OAuthSecret is one secret of a client. Its keyed digest is what is stored.
type OAuthSecret struct {
	ID        string
	ClientID  string
	Purpose   SecretPurpose
	Digest    [32]byte
	PepperID  string
	CreatedAt time.Time
	// ExpiresAt ends it after a rotation; zero: never.
	ExpiresAt time.Time
	RevokedAt time.Time
}

// SecretPurpose is what a secret of a client proves.
type SecretPurpose string

// The purposes.
const (
	ClientSecret      SecretPurpose = ""             // that it is the client
	RegistrationToken SecretPurpose = "registration" // that it registered the client (RFC 7592, section 3)
)

// OAuthRequest is an authorization request that its client pushed (RFC 9126).
type OAuthRequest struct {
	// Digest of its request_uri.
	Digest   [32]byte
	PepperID string
	ClientID string
	// Parameters are its form.
	Parameters string
	CreatedAt  time.Time
	ExpiresAt  time.Time
}

// OAuthDevice is a device that waits for a user to decide (RFC 8628).
type OAuthDevice struct {
	// Digest of its device code.
	Digest   [32]byte
	PepperID string
	// UserCode is what it shows: 8 letters.
	UserCode   string
	ClientID   string
	Scopes     []Scope
	Audiences  []string
	Thumbprint string
	State      DeviceState
	// UserID, SessionID, Methods and AuthenticatedAt are of who decided.
	UserID          string
	SessionID       string
	Methods         []AuthMethod
	AuthenticatedAt time.Time
	// PolledAt is when it asked last, and Interval how long it has to wait in between.
	PolledAt  time.Time
	Interval  time.Duration
	CreatedAt time.Time
	ExpiresAt time.Time
}

// DeviceState is what was decided about a device.
type DeviceState string

// The states.
const (
	DevicePending DeviceState = "pending"
	DeviceAllowed DeviceState = "allowed"
	DeviceDenied  DeviceState = "denied"
)

// OAuthGrant is what one authorization gave a client: every token of it ends with it.
type OAuthGrant struct {
	ID       string
	ClientID string
	UserID   string
	// SessionID is the sign-in in which it was given.
	SessionID string
	Scopes    []Scope
	// Audiences are the resources it is for; none: this server's gateway.
	Audiences []string
	// Methods and AuthenticatedAt tell how the user had signed in.
	Methods         []AuthMethod
	AuthenticatedAt time.Time
	Nonce           string
	// Thumbprint of the key that its refresh tokens are bound to (RFC 9449, section 5); empty: none.
	Thumbprint string
	// ProviderName is the identity provider whose assertion it was given on (RFC 7523, section
	// 2.1), and ends with; empty: the user gave it.
	ProviderName string
	// UserinfoClaims and IDTokenClaims are those that were asked for by name, beside the
	// scopes (OpenID Connect Core, section 5.5).
	UserinfoClaims []string
	IDTokenClaims  []string
	// ACR is the authentication context that was asked for and is met; empty: none was.
	ACR       string
	CreatedAt time.Time
	// ExpiresAt is the absolute end, however often it is refreshed.
	ExpiresAt time.Time
	RevokedAt time.Time
}

// OAuthCode is an authorization code: good once, for a minute.
type OAuthCode struct {
	Digest   [32]byte
	PepperID string
	// Grant is what it is exchanged for.
	Grant       OAuthGrant
	RedirectURI string
	// Challenge is the S256 code challenge (RFC 7636, section 4.2); empty: none was sent.
	Challenge string
	// SessionExpiresAt is the end of the session, where the client wants to know of it; zero:
	// it does not. It is kept as a visit, not with the code.
	SessionExpiresAt time.Time
	CreatedAt        time.Time
	ExpiresAt        time.Time
	ConsumedAt       time.Time
}

// OAuthToken is an access token that was issued.
type OAuthToken struct {
	// ID is its "jti".
	ID       string
	Digest   [32]byte
	PepperID string
	// GrantID is empty where nobody authorized it: client credentials.
	GrantID  string
	ClientID string
	UserID   string
	Scopes   []Scope
	// Audiences: see OAuthGrant.
	Audiences []string
	// Thumbprint of the key it is bound to (RFC 9449, section 6); empty: none.
	Thumbprint string
	// Certificate is x5t#S256 of the one it is bound to (RFC 8705, section 3.1); empty: none.
	Certificate string
	// Actor is the client that acts for the subject after an exchange (RFC 8693, section 4.1); empty: none.
	Actor string
	// ParentID is the token that it was exchanged for, and ends with; empty: none.
	ParentID  string
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time
}

// OAuthRefreshToken is exchanged once for new tokens of the same grant.
type OAuthRefreshToken struct {
	Digest     [32]byte
	PepperID   string
	GrantID    string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	ConsumedAt time.Time
	// Successor is the digest of the token that took its place, and Answer what was
	// answered, sealed: a lost answer is given again (rulings R19).
	Successor [32]byte
	Answer    []byte
}

// OAuthConsent is what a user allowed a client, for one resource.
type OAuthConsent struct {
	UserID   string
	ClientID string
	// Resource is empty for this server's gateway.
	Resource  string
	Scopes    []Scope
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Lives of what the authorization server issues (protocols 4.7).
const (
	OAuthCodeLife    = time.Minute
	OAuthTokenLife   = 2 * time.Hour
	OAuthRefreshLife = 30 * 24 * time.Hour
)
