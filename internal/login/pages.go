package login

import (
	"context"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/store"
)

// Offers is what a server is set up for.
type Offers struct {
	// Passkeys: public_url is an origin that passkeys may belong to.
	Passkeys bool
	// Reset: a link to reset a password can be mailed, and leads somewhere.
	Reset bool
}

// Offers says what pages may offer; the rest is ErrOff.
func (s *Service) Offers() Offers {
	return Offers{Passkeys: s.passkeys != nil, Reset: s.o.Mailer != nil && s.o.PublicURL != ""}
}

// factorReader is the store, or a transaction in it.
type factorReader interface {
	Factors(ctx context.Context, userID string) ([]keystile.Factor, error)
	RecoveryCodes(ctx context.Context, userID string) ([]store.RecoveryCode, error)
}

// Challenge reads a challenge that waits, for a page that shows it once more, and changes nothing:
// an enrolment offers the same secret again. What Code would not take is ErrChallengeExpired.
func (s *Service) Challenge(ctx context.Context, token keystile.Secret) (Challenge, error) {
	ch, found, err := s.challenged(ctx, s.candidates(useChallenge, token))
	if err != nil {
		return Challenge{}, err
	}
	if !ch.ConsumedAt.IsZero() || ch.Failures >= maxWrong || !s.now().Before(ch.ExpiresAt) {
		return Challenge{}, ErrChallengeExpired
	}
	asked := Challenge{Token: token, ExpiresAt: ch.ExpiresAt, MustChangePassword: ch.ChangeDue}
	if ch.ChangeDue {
		return asked, nil
	}
	if len(ch.Sealed) == 0 {
		asked.Kinds, err = s.enrolled(ctx, s.o.Store, ch.UserID)
		return asked, err
	}
	secret, err := s.o.Sealer.Open(ch.Sealed, store.ChallengePlace(ch.Digest, "secret"))
	if err != nil {
		return Challenge{}, fmt.Errorf("open the secret of a challenge: %w", err)
	}
	asked.Enrolment, asked.Kinds = true, []keystile.FactorKind{keystile.FactorTOTP}
	asked.Provisioning = totp.URI(s.o.Issuer, found.User.Username, secret)
	return asked, nil
}

// RenameFactor changes what the user calls a factor; somebody else's is keystile.ErrNotFound, and no name a
// *keystile.Invalid of field "name". It proves nothing and opens nothing, so any live session may.
func (s *Service) RenameFactor(ctx context.Context, c Caller, sid, factorID, name string) error {
	l, err := s.live(ctx, sid)
	if err != nil {
		return err
	}
	if name = clipName(name); name == "" {
		return keystile.Invalidf("name", "give it one that you will know again", "there is no name")
	}
	return s.mutate(ctx, actor(c, l.User.ID), func(ctx context.Context, tx *store.Tx) error {
		u, err := s.lockAccount(ctx, tx, l.User.ID)
		if err != nil {
			return err
		}
		return tx.RenameFactor(ctx, u, factorID, name)
	})
}
