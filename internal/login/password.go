package login

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/username"
)

// busyFor is what a client is told to wait where the queue was full.
const busyFor = 2 * time.Second

// account is what a name leads to; the zero User is nobody.
type account struct {
	store.UserLookup
	password store.Password
	counters []counter
}

// account finds whom a name means, by the canonical form that all counts are kept under.
func (s *Service) account(ctx context.Context, c Caller, name string) (a account, err error) {
	canonical, invalid := username.Canonical(name)
	if invalid != nil {
		canonical = name // nobody's, and counted like any other name
	} else if a.UserLookup, err = s.o.Store.FindUser(ctx, canonical); err != nil && !notFound(err) {
		return a, err
	}
	if a.User.ID != "" {
		if a.password, err = s.o.Store.Password(ctx, a.User.ID); err != nil && !notFound(err) {
			return a, err
		}
	}
	a.counters, err = s.counters(ctx, c, a.User.ID, canonical)
	return a, err
}

// Password signs in by name (username or e-mail address) and password. Unknown names and wrong
// passwords are ErrInvalidCredentials after the same time; ErrInactive only follows a right password.
func (s *Service) Password(ctx context.Context, c Caller, name string, typed keystile.Secret) (Outcome, error) {
	began := time.Now() // the padding is about real time, whatever the clock says
	if !password.Acceptable(typed) || len(name) > username.MaxBytes {
		return Outcome{}, ErrInvalidCredentials // nobody's, and not worth a hash
	}
	a, err := s.account(ctx, c, name)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.mayTry(ctx, a.counters); err != nil {
		return Outcome{}, err
	}
	var reserved []counted
	right, outdated, err := s.passwords.Verify(ctx, a.password.Hash, typed, func(ctx context.Context) (err error) {
		reserved, err = s.reserve(ctx, c, a.counters)
		return err
	})
	switch {
	case errors.Is(err, password.ErrBusy):
		return Outcome{}, &Busy{RetryAfter: busyFor}
	case err != nil:
		return Outcome{}, err
	case !right:
		s.passwords.Pad(ctx, began)
		s.noteFailure(ctx, c, a.User.ID, "password")
		return Outcome{}, ErrInvalidCredentials
	}
	var upgraded string
	if outdated {
		// Not worth a failure: the next sign-in tries again.
		if upgraded, err = s.passwords.Hash(ctx, typed); err != nil && !errors.Is(err, password.ErrBusy) {
			return Outcome{}, err
		}
	}
	return s.afterPassword(ctx, c, a, reserved, upgraded)
}

func (s *Service) afterPassword(ctx context.Context, c Caller, a account, reserved []counted, upgraded string) (out Outcome, err error) {
	refused := error(nil)
	err = s.mutate(ctx, actor(c, a.User.ID), func(ctx context.Context, tx *store.Tx) error {
		out, refused = Outcome{}, nil
		u, err := lockUser(ctx, tx, a.User.ID)
		if err != nil {
			return err
		}
		// Between the look and the lock the password may have been changed, and all sessions ended.
		now, err := tx.Password(ctx, u.ID)
		if err != nil && !notFound(err) {
			return err
		}
		if !now.ChangedAt.Equal(a.password.ChangedAt) {
			return &answer{ErrInvalidCredentials}
		}
		if upgraded != "" {
			parsed, err := password.Parse(upgraded)
			if err != nil {
				return err
			}
			if err := tx.UpgradePassword(ctx, u.ID, a.password.Hash, upgraded, parsed.Class()); err != nil {
				return err
			}
		}
		if refused = inactive(u, a.Organization); refused == nil {
			out, err = s.proceed(ctx, tx, c, step{user: u, found: a.UserLookup, proof: proof{methods: []keystile.AuthMethod{keystile.MethodPassword}}})
			if err != nil {
				return err
			}
		}
		return forgive(ctx, tx, reserved, out.Session != nil)
	})
	if err != nil {
		return Outcome{}, err
	}
	if refused != nil {
		s.noteFailure(ctx, c, a.User.ID, "inactive")
	}
	return out, refused
}
