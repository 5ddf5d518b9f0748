package console

import (
	"context"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// The interfaces below are what the pages ask of package login, whose Service is
// all of them and says what each method does; its errors are told apart in
// fault.go. sid is the session that asks. Every method may block on the store and
// is safe for concurrent use.

// SignIn proves who somebody is.
type SignIn interface {
	Password(ctx context.Context, c login.Caller, name string, password keystile.Secret) (login.Outcome, error)
	// Challenge reads a challenge that waits, and changes nothing.
	Challenge(ctx context.Context, token keystile.Secret) (login.Challenge, error)
	Code(ctx context.Context, c login.Caller, token keystile.Secret, code string, mint login.Mint) (answer []byte, err error)
	ForcedChange(ctx context.Context, c login.Caller, token, password keystile.Secret, mint login.Mint) (answer []byte, err error)
}

// Passkeys runs the two ceremonies of WebAuthn, as a sign-in and to enrol.
type Passkeys interface {
	BeginPasskey(ctx context.Context, c login.Caller, token keystile.Secret) (login.PasskeyCeremony, error)
	FinishPasskey(ctx context.Context, c login.Caller, ceremony keystile.Secret, response []byte, mint login.Mint) (answer []byte, err error)
	BeginPasskeyEnrolment(ctx context.Context, c login.Caller, sid string) (login.PasskeyCeremony, error)
	FinishPasskeyEnrolment(ctx context.Context, c login.Caller, sid string, made login.PasskeyResponse) (keystile.Factor, error)
}

// Passwords changes them.
type Passwords interface {
	ChangePassword(ctx context.Context, c login.Caller, sid string, old, password keystile.Secret) error
	BeginReset(ctx context.Context, c login.Caller, name string) error
	FinishReset(ctx context.Context, c login.Caller, token, password keystile.Secret) error
}

// Factors are the ways of a user to prove who they are.
type Factors interface {
	Factors(ctx context.Context, sid string) ([]keystile.Factor, error)
	EnrolTOTP(ctx context.Context, c login.Caller, sid string) (login.TOTPEnrolment, error)
	ConfirmTOTP(ctx context.Context, c login.Caller, sid string, confirmed login.TOTPConfirmation) error
	RenameFactor(ctx context.Context, c login.Caller, sid, factorID, name string) error
	RemoveFactor(ctx context.Context, c login.Caller, sid, factorID string) error
}

// Codes are the secrets that people may see of their own.
type Codes interface {
	RecoveryCodes(ctx context.Context, c login.Caller, sid string) ([]keystile.Secret, error)
	AuthToken(ctx context.Context, c login.Caller, sid string) (keystile.Secret, error)
	ResetAuthToken(ctx context.Context, c login.Caller, sid string) (keystile.Secret, error)
}

// Sessions are the sign-ins of users.
type Sessions interface {
	Renew(ctx context.Context, c login.Caller, sid string) (keystile.Session, keystile.User, error)
	Sessions(ctx context.Context, sid string) ([]keystile.Session, error)
	RevokeSession(ctx context.Context, c login.Caller, sid, other string) error
	Logout(ctx context.Context, c login.Caller, sid string) error
	Replace(ctx context.Context, c login.Caller, old, now string) error
}

// People is all of them.
type People interface {
	SignIn
	Passkeys
	Passwords
	Factors
	Codes
	Sessions
}
