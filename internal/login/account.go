package login

import (
	"context"

	keystile "keystile.dev/keystile"
)

// The methods of this file are what users do about their own sign-in. sid is the session
// they do it in: it is read anew each time, and ErrSessionEnded if it is over. What would
// let a thief of a session stay (factors, keys, passwords) needs a fresh session that
// proved all factors the user has, else ErrStepUp.

// Sessions lists the live sessions of the user, newest first.
func (s *Service) Sessions(ctx context.Context, sid string) ([]keystile.Session, error) {
	return nil, keystile.ErrUnavailable
}

// RevokeSession ends another session of the same user. Somebody else's is keystile.ErrNotFound.
func (s *Service) RevokeSession(ctx context.Context, c Caller, sid, other string) error {
	return keystile.ErrUnavailable
}

// ChangePassword replaces the password after checking the old one (ErrInvalidCredentials) and ends
// all other sessions of the user. A weak one is a *keystile.Invalid of field "password".
func (s *Service) ChangePassword(ctx context.Context, c Caller, sid string, old, password keystile.Secret) error {
	return keystile.ErrUnavailable
}

// Factors lists the user's enrolled factors; Sealed and CredentialID are left out. Recovery codes are one
// factor of kind FactorRecovery each that is left.
func (s *Service) Factors(ctx context.Context, sid string) ([]keystile.Factor, error) {
	return nil, keystile.ErrUnavailable
}

// EnrolTOTP offers a new TOTP secret. Nothing is enrolled before ConfirmTOTP.
func (s *Service) EnrolTOTP(ctx context.Context, c Caller, sid string) (TOTPEnrolment, error) {
	return TOTPEnrolment{}, keystile.ErrUnavailable
}

// ConfirmTOTP enrols the secret of EnrolTOTP with its first code; it replaces a TOTP factor that is there.
// name is what the user calls it; empty: none.
func (s *Service) ConfirmTOTP(ctx context.Context, c Caller, sid string, token keystile.Secret, name, code string) error {
	return keystile.ErrUnavailable
}

// BeginPasskeyEnrolment begins to register a passkey of the user.
func (s *Service) BeginPasskeyEnrolment(ctx context.Context, c Caller, sid string) (PasskeyCeremony, error) {
	return PasskeyCeremony{}, keystile.ErrUnavailable
}

// FinishPasskeyEnrolment registers the passkey in response (JSON, at most 64 KiB).
func (s *Service) FinishPasskeyEnrolment(ctx context.Context, c Caller, sid string, ceremony keystile.Secret, name string, response []byte) (keystile.Factor, error) {
	return keystile.Factor{}, keystile.ErrUnavailable
}

// RecoveryCodes makes ten new recovery codes, shown here and never again; older ones end.
func (s *Service) RecoveryCodes(ctx context.Context, c Caller, sid string) ([]keystile.Secret, error) {
	return nil, keystile.ErrUnavailable
}

// RemoveFactor removes a factor of the user. The last one of a user who must have one is keystile.ErrConflict.
func (s *Service) RemoveFactor(ctx context.Context, c Caller, sid, factorID string) error {
	return keystile.ErrUnavailable
}

// AuthToken shows the user's personal API key (auth_token), which is made if there is none.
func (s *Service) AuthToken(ctx context.Context, c Caller, sid string) (keystile.Secret, error) {
	return "", keystile.ErrUnavailable
}

// ResetAuthToken replaces the personal API key. The old one and every session it opened end.
func (s *Service) ResetAuthToken(ctx context.Context, c Caller, sid string) (keystile.Secret, error) {
	return "", keystile.ErrUnavailable
}

// BeginReset mails a reset link to the user of that name, if there is one with an address. The
// answer is the same either way, and does not wait for the mail server. ErrOff: no mail or no public_url.
func (s *Service) BeginReset(ctx context.Context, c Caller, name string) error {
	return keystile.ErrUnavailable
}

// FinishReset sets the password with the token of a reset link (path /login/reset?token=TOKEN of public_url),
// which is good for 30 minutes and once, and ends all sessions of the user. It signs nobody in: every
// factor is asked for as before. A weak password is a *keystile.Invalid and the link stands.
func (s *Service) FinishReset(ctx context.Context, c Caller, token, password keystile.Secret) error {
	return keystile.ErrUnavailable
}
