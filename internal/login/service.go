package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login/passkey"
	"keystile.dev/keystile/internal/login/password"
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
	// Passwords hashes; nil: one with the default bounds.
	Passwords *password.Hasher
	// Policy says which new passwords are good enough.
	Policy password.Policy
	// Mailer sends reset links; nil: there are none.
	Mailer Mailer
	// Logger is told of what is refused for a reason that operators should see; nil: nobody.
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
	// Providers runs sign-ins at identity providers; nil: there are none on the page.
	Providers Providers
	// MFA holds where neither user, role nor organisation states a policy; empty: optional.
	MFA keystile.MFAPolicy
	// RateExempt are networks of known proxies: their addresses have no failure count of their own.
	RateExempt []netip.Prefix
}

// DefaultSessionLife is the absolute life of a session (rulings R24).
const DefaultSessionLife = 30 * 24 * time.Hour

// Service signs people in. It is safe for concurrent use.
type Service struct {
	o         Options
	passwords *password.Hasher
	// passkeys is nil where public_url is no origin for them.
	passkeys *passkey.RelyingParty
	mail     *outbox
	uses     *uses
}

// New makes a Service.
func New(o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Issuer == "" {
		o.Issuer = "Keystile"
	}
	if o.SessionLife == 0 {
		o.SessionLife = DefaultSessionLife
	}
	s := &Service{o: o, passwords: o.Passwords, mail: newOutbox(o.Mailer, o.Logger), uses: newUses()}
	var err error
	if s.passwords == nil {
		if s.passwords, err = password.New(password.Options{Random: o.Random}); err != nil {
			return nil, err
		}
	}
	if s.passkeys, err = passkey.New(o.PublicURL, o.Issuer); err != nil && !errors.Is(err, passkey.ErrOrigin) {
		return nil, err
	}
	return s, nil
}

const (
	// purgeInterval is how often what is over is deleted, and purgeBatch how much of each table at once.
	purgeInterval = time.Minute
	purgeBatch    = 1000
	// usesInterval is how often last uses of sessions are written.
	usesInterval = time.Second
)

// Run sends mail, writes last uses, deletes what is over and learns which schemes passwords are hashed with,
// until ctx ends.
func (s *Service) Run(ctx context.Context) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.mail.run(ctx)
	}()
	used, purged := time.NewTicker(usesInterval), time.NewTicker(purgeInterval)
	defer used.Stop()
	defer purged.Stop()
	s.learn(ctx)
	for {
		select {
		case <-used.C:
			s.writeUses(ctx)
		case <-purged.C:
			s.learn(ctx)
			s.Purge(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.writeUses(last)
			<-sent
			return
		}
	}
}

// Purge deletes what is over, in bounded batches, until little is left or ctx ends.
func (s *Service) Purge(ctx context.Context) {
	now := s.now()
	for ctx.Err() == nil {
		most, err := s.o.Store.PurgeLogins(ctx, store.LoginPurge{Over: now, Networks: now.Add(-knownFor), Limit: purgeBatch})
		if err != nil {
			s.o.Logger.ErrorContext(ctx, "sessions and challenges that are over could not be deleted", "error", err)
			return
		}
		if most < purgeBatch {
			return
		}
	}
}

// learn tells the hasher which schemes failures must take as long as.
func (s *Service) learn(ctx context.Context) {
	classes, err := s.o.Store.PasswordClasses(ctx)
	if err != nil {
		s.o.Logger.ErrorContext(ctx, "the schemes of passwords could not be read", "error", err)
		return
	}
	s.passwords.Learn(classes)
}

// now is the clock in the resolution that the store keeps.
func (s *Service) now() time.Time { return s.o.Now().UTC().Truncate(time.Microsecond) }

// base62 draws n letters and digits, each with the same chance.
func (s *Service) base62(n int) (string, error) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := make([]byte, 0, n)
	buf := make([]byte, n+n/2)
	for len(text) < n {
		if _, err := io.ReadFull(s.o.Random, buf); err != nil {
			return "", fmt.Errorf("draw a token: %w", err)
		}
		for _, b := range buf {
			if b &= 63; int(b) < len(alphabet) && len(text) < n {
				text = append(text, alphabet[b])
			}
		}
	}
	return string(text), nil
}

// tokenLength of challenges and reset links: 190 bits.
const tokenLength = 32

// sumOf is SHA-256 over a text of one use; the same text of another use has another sum.
func sumOf(use, text string) [32]byte { return sha256.Sum256([]byte(use + "\x00" + text)) }

// keyed is the keyed digest of a text of one use, for the store.
func (s *Service) keyed(use, text string) [32]byte {
	digest, _ := s.o.Digester.Digest(sumOf(use, text))
	return digest
}

// candidates are the digests that a token may be kept under; none for what is no token.
func (s *Service) candidates(use string, token keystile.Secret) [][32]byte {
	if len(token) != tokenLength {
		return nil
	}
	return s.o.Digester.Candidates(sumOf(use, token.Reveal()), make([][32]byte, 0, 3))
}

// actor is who the audit log says it was.
func actor(c Caller, userID string) store.Actor {
	return store.Actor{Name: "user:" + userID, RequestID: c.RequestID}
}

// maxUserAgent bounds what is kept of a client's name for itself.
const maxUserAgent = 200

func userAgent(c Caller) string {
	if len(c.UserAgent) > maxUserAgent {
		return c.UserAgent[:maxUserAgent]
	}
	return c.UserAgent
}

// answer is an error that undoes a transaction and is what the caller is told.
type answer struct{ err error }

// Error implements error.
func (a *answer) Error() string { return a.err.Error() }

// mutate runs fn in a transaction. What fn returns as *answer comes back as the error in it.
func (s *Service) mutate(ctx context.Context, a store.Actor, fn func(context.Context, *store.Tx) error) error {
	err := s.o.Store.Mutate(ctx, a, fn)
	var told *answer
	if errors.As(err, &told) {
		return told.err
	}
	return err
}
