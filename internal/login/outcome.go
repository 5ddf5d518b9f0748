package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
)

// Caller is who asks: for the limits, the audit log and the list of sessions.
type Caller struct {
	// Addr is the client's address, as the trusted proxies tell it.
	Addr netip.Addr
	// UserAgent is what the client calls itself; it is clipped to 200 bytes.
	UserAgent string
	Door      keystile.Door
	RequestID string
}

// Outcome is a session, or a challenge that stands before one: exactly one is set.
type Outcome struct {
	Session *keystile.Session
	// User is the one who signed in; the zero User with a challenge, which must not
	// tell more than it has to.
	User      keystile.User
	Challenge *Challenge
}

// Challenge asks for what is still missing. It lives 5 minutes from the first factor.
type Challenge struct {
	// Token names the challenge (mfa_token): 32 base62 characters.
	Token     keystile.Secret
	ExpiresAt time.Time
	// Kinds may answer it; none if MustChangePassword.
	Kinds []keystile.FactorKind
	// Enrolment: no factor is enrolled and one is required. The answer is a code of Provisioning.
	Enrolment bool
	// Provisioning is the otpauth:// URI with issuer to enrol; empty otherwise. Each
	// challenge has a secret of its own (rulings R18).
	Provisioning keystile.Secret
	// MustChangePassword: every factor is proven, and the answer is ForcedChange.
	MustChangePassword bool
}

// Mint makes the answer for a new session: its tokens or its cookie. It runs within the
// transaction that makes the session, perhaps more than once if the store asks for
// another attempt, and then the last one counts: it must have no effect but its
// result, and must not call the Service or change the store. An error undoes the sign-in.
type Mint func(ctx context.Context, s keystile.Session, u keystile.User) ([]byte, error)

// Identity is what an identity provider vouched for, after its token was verified.
type Identity struct {
	// Provider as it is in the store.
	Provider keystile.IdentityProvider
	// Issuer and Subject name the person for ever; the first sign-in pins them to the user.
	Issuer, Subject string
	// Username is the claim that Provider.Claims maps, compared in canonical form.
	Username string
	// EmailVerified false refuses (rulings R22); it is true where the token says nothing.
	EmailVerified bool
	// Email, Name, RoleID, CustomerIDs, GroupID, SkinID are for a user that is created; a
	// RoleID is also checked against Provider.Roles.
	Email, Name, RoleID string
	CustomerIDs         []string
	GroupID, SkinID     string
	// EmailProven says that the provider says, in so many words, that it has verified Email. Where people sign in at the
	// provider, a user that is there is found by such an address alone, and only if the provider links by it.
	EmailProven bool
	// SecondFactor says that the provider asked for one, in words that Provider.SignIn trusts.
	SecondFactor bool
	// AuthenticatedAt is when the provider asked for proof, which may be long ago; zero: now.
	AuthenticatedAt time.Time
}

// PasskeyCeremony is a WebAuthn ceremony that was begun.
type PasskeyCeremony struct {
	// Token is handed back to the finishing call. It is sealed, good for 5 minutes and for one success.
	Token keystile.Secret
	// Options is the JSON for navigator.credentials.get or create: {"publicKey": {...}}.
	Options json.RawMessage
}

// TOTPEnrolment is a TOTP factor that waits to be confirmed with its first code.
type TOTPEnrolment struct {
	// Token is handed back to ConfirmTOTP. It is sealed and good for 10 minutes.
	Token keystile.Secret
	// URI is the otpauth:// URI.
	URI keystile.Secret
	// PNG is the URI as a QR code.
	PNG []byte
}

// The answers that are a "no". Every door maps them; any other error but
// [keystile.ErrUnavailable], *[Throttled], *[Busy] and *[keystile.Invalid] is a fault of the program.
// All of them mean: not signed in.
var (
	// ErrInvalidCredentials: wrong password, unknown name, or an identity or key that opens nothing. Which, is not told.
	ErrInvalidCredentials = errors.New("invalid credentials")
	// ErrCancelled: the person did not allow it at the identity provider. It comes with ErrInvalidCredentials.
	ErrCancelled = errors.New("cancelled at the identity provider")
	// ErrInactive: the credentials were right, and the user or their organisation is disabled.
	ErrInactive = errors.New("user account is inactive")
	// ErrInvalidCode: the code or passkey is wrong or was used before; the challenge stands.
	ErrInvalidCode = errors.New("invalid code")
	// ErrChallengeExpired: the challenge, ceremony or link is unknown, expired, burnt or used.
	ErrChallengeExpired = errors.New("challenge expired")
	// ErrSessionEnded: the session is unknown, expired or revoked, or its user is gone or disabled.
	ErrSessionEnded = errors.New("session ended")
	// ErrStepUp: the session is good, but not for this: it was signed in too long ago
	// (more than 15 minutes) or with fewer factors than the user has. Sign in again.
	ErrStepUp = errors.New("sign in again to do this")
	// ErrOff: what was asked for is not configured (mail, public_url).
	ErrOff = errors.New("not configured")
)

// Throttled is the answer after too many failures: nothing was checked (HTTP 429).
type Throttled struct{ RetryAfter time.Duration }

// Error implements error.
func (t *Throttled) Error() string {
	return fmt.Sprintf("too many failed attempts; retry after %s", t.RetryAfter)
}

// Busy is the answer while too many passwords are being checked: this one was not, and is not counted (HTTP 503).
type Busy struct{ RetryAfter time.Duration }

// Error implements error.
func (b *Busy) Error() string {
	return fmt.Sprintf("too many sign-ins at once; retry after %s", b.RetryAfter)
}

// ChangeRequired is the answer to a right code or passkey of a user who must choose a new
// password first: the challenge has the same token and is answered with ForcedChange.
type ChangeRequired struct{ Challenge Challenge }

// Error implements error.
func (*ChangeRequired) Error() string { return "a new password is needed" }
