package login

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// Sealer seals values for one place each; [keyring.Sealer] is one. It is safe for concurrent use.
type Sealer interface {
	Seal(plain []byte, place string) ([]byte, error)
	// Open opens what was sealed for the same place.
	Open(sealed []byte, place string) ([]byte, error)
}

// Mailer sends one plain text message. It may block until ctx ends and is called from
// the Service's own goroutine, never while somebody waits. It is safe for concurrent use.
type Mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}

// Options configure a Service. Zero values that have a meaning say so.
type Options struct {
	Store    *store.Store
	Digester *keyring.Digester
	Sealer   Sealer
	// Mailer sends reset links; nil: there are none.
	Mailer Mailer
	Logger *slog.Logger
	// Now and Random are time.Now and crypto/rand.Reader outside tests.
	Now    func() time.Time
	Random io.Reader
	// PublicURL is the origin of passkeys and reset links; empty: there are none.
	PublicURL string
	// Issuer is what authenticator apps show; empty: Keystile.
	Issuer string
	// SessionLife is the absolute life of a session; 0: 30 days.
	SessionLife time.Duration
	// MFA holds where neither user, role nor organisation states a policy; empty: optional.
	MFA keystile.MFAPolicy
	// RateExempt are networks of known proxies: their addresses have no failure count of their own.
	RateExempt []netip.Prefix
}

// Service signs people in. It is safe for concurrent use.
type Service struct {
	o Options
}

// New makes a Service.
func New(o Options) (*Service, error) { return &Service{o: o}, nil }

// Run purges what is over, sends mail and notes last uses until ctx ends.
func (s *Service) Run(ctx context.Context) { <-ctx.Done() }

// Password signs in by name (username or e-mail address) and password. Unknown names and wrong
// passwords are ErrInvalidCredentials after the same time; ErrInactive only follows a right password.
func (s *Service) Password(ctx context.Context, c Caller, name string, password keystile.Secret) (Outcome, error) {
	return Outcome{}, keystile.ErrUnavailable
}

// Code answers a challenge with a TOTP or recovery code and returns what mint made. The
// same token and code from the same address get the identical answer for 10 s, and nothing new is
// made (rulings R18). Five wrong codes burn the challenge. *ChangeRequired: right, but not signed in.
func (s *Service) Code(ctx context.Context, c Caller, token keystile.Secret, code string, mint Mint) (answer []byte, err error) {
	return nil, keystile.ErrUnavailable
}

// ForcedChange answers a challenge that MustChangePassword with a new password and returns
// what mint made. A weak password is a *keystile.Invalid and the challenge stands.
func (s *Service) ForcedChange(ctx context.Context, c Caller, token, password keystile.Secret, mint Mint) (answer []byte, err error) {
	return nil, keystile.ErrUnavailable
}

// BeginPasskey begins a passkey ceremony: as the answer to the challenge that token names,
// or, with an empty token, as a sign-in of its own by a discoverable passkey.
func (s *Service) BeginPasskey(ctx context.Context, c Caller, token keystile.Secret) (PasskeyCeremony, error) {
	return PasskeyCeremony{}, keystile.ErrUnavailable
}

// FinishPasskey ends the ceremony with the browser's response (JSON, at most 64 KiB) and returns what
// mint made. A wrong response is ErrInvalidCode; *ChangeRequired as with Code.
func (s *Service) FinishPasskey(ctx context.Context, c Caller, ceremony keystile.Secret, response []byte, mint Mint) (answer []byte, err error) {
	return nil, keystile.ErrUnavailable
}

// APIKey opens a session for the user whose API key (or auth_token) p is. A key of no user is
// ErrInvalidCredentials. The session ends with the key.
func (s *Service) APIKey(ctx context.Context, c Caller, p *keystile.Principal) (Outcome, error) {
	return Outcome{}, keystile.ErrUnavailable
}

// Provider signs in the user an identity provider vouched for, and creates them if
// the provider may. The same factors are asked for as after a password.
func (s *Service) Provider(ctx context.Context, c Caller, id Identity) (Outcome, error) {
	return Outcome{}, keystile.ErrUnavailable
}

// Renew reads a session again with its user: for refreshed tokens. Revoked, expired, or of a
// user or organisation that is gone or disabled: ErrSessionEnded.
func (s *Service) Renew(ctx context.Context, c Caller, sid string) (keystile.Session, keystile.User, error) {
	return keystile.Session{}, keystile.User{}, keystile.ErrUnavailable
}

// Logout ends a session, and so every token minted from it. Ending one that has ended is no error.
func (s *Service) Logout(ctx context.Context, c Caller, sid string) error {
	return keystile.ErrUnavailable
}
