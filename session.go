package keystile

import "time"

// Session is one sign-in of a user. Every token minted from it ends with it.
type Session struct {
	// ID is the "sid" of its tokens: "ses_" and 32 base62 characters.
	ID             string
	UserID         string
	OrganizationID string
	// Door is where it was opened.
	Door Door
	// Methods are the factors that were proven (amr, RFC 8176): the assurance of the session.
	Methods []AuthMethod
	// AuthenticatedAt is when they were proven last (auth_time, OpenID Connect Core, section 2).
	AuthenticatedAt time.Time
	// APIKeyID is the key that opened it, where a key did: the session ends with the key. Empty otherwise.
	APIKeyID string
	// ProviderName is the identity provider that vouched for the user; empty: none.
	ProviderName string
	// ClientAddr and UserAgent are of the request that opened it, for the user to recognise it by.
	ClientAddr string
	UserAgent  string
	CreatedAt  time.Time
	LastUsedAt time.Time
	// ExpiresAt is its absolute end, whatever is refreshed (rulings R24).
	ExpiresAt time.Time
	RevokedAt time.Time
}

// Door is a way in to a session.
type Door string

// The doors.
const (
	DoorOna      Door = "ona"      // Ona's auth API, over HTTPS or Lambda Invoke
	DoorNAO      Door = "nao"      // NAO's sessions endpoint
	DoorWeb      Door = "web"      // the sign-in page
	DoorExchange Door = "exchange" // a foreign token (Ona's exchange, RFC 8693)
)

// AuthMethod is one way in which the user was authenticated.
type AuthMethod string

// The methods (RFC 8176, section 2, where it names them).
const (
	MethodPassword AuthMethod = "pwd"
	MethodTOTP     AuthMethod = "otp"
	MethodPasskey  AuthMethod = "hwk"
	MethodRecovery AuthMethod = "rec" // a recovery code; ours, RFC 8176 has none
	MethodAPIKey   AuthMethod = "key" // an API key; ours
	MethodProvider AuthMethod = "fed" // an identity provider's word; ours
	MethodMFA      AuthMethod = "mfa" // added where more than one factor was proven
)

// Challenge is a sign-in that waits for another factor. Its token is the client's
// (mfa_token): 32 base62 characters, of which only a digest is kept.
type Challenge struct {
	// Digest is the keyed digest of the token.
	Digest   [32]byte
	PepperID string
	UserID   string
	Door     Door
	// Methods were proven before it.
	Methods []AuthMethod
	// ProviderName is the identity provider whose word was the first factor; empty: none.
	ProviderName string
	// Sealed is the TOTP secret offered for enrolment, sealed for
	// ChallengePlace(Digest); empty where a factor is enrolled already.
	// Each challenge has its own (rulings R18).
	Sealed []byte
	// Failures counts wrong codes.
	Failures int
	// ChangeDue: every factor is proven, and only a new password is waited for.
	ChangeDue  bool
	ClientAddr string
	UserAgent  string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	// ConsumedAt is when it led to a session; zero: not yet.
	ConsumedAt time.Time
	// AnswerKey is SHA-256 of the code and address that consumed it, and Answer what was
	// answered, sealed: the same question within 10 s gets the same answer (rulings R18).
	AnswerKey [32]byte
	Answer    []byte
}
