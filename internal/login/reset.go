package login

import (
	"context"
	"errors"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/username"
)

const (
	// resetLife is how long a reset link is good (rulings R24).
	resetLife = 30 * time.Minute
	// resetsPerHour bounds the links of an account.
	resetsPerHour = 3
	// resetPath follows public_url in a reset link. No header of a request has a part in it.
	resetPath = "/login/reset?token="

	useReset = "password reset"
)

// BeginReset mails a reset link to the user of that name, if there is one with an address. The
// answer is the same either way, and does not wait for the mail server. ErrOff: no mail or no public_url.
func (s *Service) BeginReset(ctx context.Context, c Caller, name string) error {
	if s.o.Mailer == nil || s.o.PublicURL == "" {
		return ErrOff
	}
	canonical, invalid := username.Canonical(name)
	if invalid != nil {
		canonical = name
	}
	// Whatever the name: who asks too often from one place is told to wait.
	counters := []counter{{key: s.keyed("resets asked by address", single(c.Addr)), limit: pairLimit, quiet: quiet}}
	if _, err := s.reserve(ctx, c, counters); err != nil {
		return err
	}
	if len(name) > username.MaxBytes {
		return nil
	}
	// In its own time: that there is such a user must not show in how long this takes.
	s.mail.do(func(ctx context.Context) error { return s.mailReset(ctx, c, canonical) })
	return nil
}

// mailReset makes a link and sends it, unless the account had its share.
func (s *Service) mailReset(ctx context.Context, c Caller, canonical string) error {
	found, err := s.o.Store.FindUser(ctx, canonical)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	u := found.User
	if u.Email == "" || inactive(u, found.Organization) != nil {
		return nil
	}
	token, err := s.base62(tokenLength)
	if err != nil {
		return err
	}
	now := s.now()
	link := store.PasswordReset{UserID: u.ID, ExpiresAt: now.Add(resetLife)}
	link.Digest, link.PepperID = s.o.Digester.Digest(sumOf(useReset, token))
	made := false
	err = s.mutate(ctx, store.Actor{Name: "system", RequestID: c.RequestID}, func(ctx context.Context, tx *store.Tx) error {
		made = false
		is, err := tx.User(ctx, u.ID)
		if err != nil || is.Email != u.Email { // changed meanwhile, which ended the links that were there
			return err
		}
		made, err = tx.CreatePasswordReset(ctx, link, now.Add(-time.Hour), resetsPerHour)
		return err
	})
	if err != nil || !made {
		return err
	}
	s.tell(u, "Choose a new password", "Somebody asked for a new password for your account. If it was you, open this page within 30 minutes:\n\n  "+
		strings.TrimSuffix(s.o.PublicURL, "/")+resetPath+token+"\n\nIf it was not you, there is nothing to do: your password is what it was.")
	return nil
}

// FinishReset sets the password with the token of a reset link (path /login/reset?token=TOKEN of public_url),
// which is good for 30 minutes and once, and ends all sessions of the user. It signs nobody in: every
// factor is asked for as before. A weak password is a *keystile.Invalid and the link stands.
func (s *Service) FinishReset(ctx context.Context, c Caller, token, typed keystile.Secret) error {
	digests := s.candidates(useReset, token)
	if len(digests) == 0 {
		return ErrChallengeExpired
	}
	digest, userID, err := s.o.Store.FindPasswordReset(ctx, digests, s.now())
	if notFound(err) {
		return ErrChallengeExpired
	}
	if err != nil {
		return err
	}
	found, err := s.userOf(ctx, userID)
	if err != nil {
		return err
	}
	if err := inactive(found.User, found.Organization); err != nil {
		return err
	}
	hash, err := s.newHash(ctx, found.User, typed)
	if err != nil {
		return err
	}
	err = s.mutate(ctx, actor(c, userID), func(ctx context.Context, tx *store.Tx) error {
		u, err := s.lockAccount(ctx, tx, userID)
		if err != nil {
			return err
		}
		taken, err := tx.TakePasswordReset(ctx, digest, s.now())
		if err != nil {
			return err
		}
		if !taken {
			return &answer{ErrChallengeExpired}
		}
		return errors.Join(s.settle(ctx, tx, u, hash), tx.RevokeSessionsOfUser(ctx, u, ""))
	})
	if err != nil {
		return err
	}
	s.tell(found.User, "Your password was changed", "Your password was changed with a link that was mailed to you. If it was not you, tell your administrator at once.")
	return nil
}

// settle sets a password that the user chose: a change that was due is done.
func (s *Service) settle(ctx context.Context, tx *store.Tx, u keystile.User, hash store.Password) error {
	if _, err := s.noLongerDue(ctx, tx, u); err != nil {
		return err
	}
	return tx.PutPassword(ctx, hash)
}
