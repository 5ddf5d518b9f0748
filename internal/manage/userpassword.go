package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/store"
)

// errNoHasher: no password can be kept.
var errNoHasher = errors.New("there is nothing to hash passwords with")

// NewPassword is a password that somebody gives a user.
type NewPassword struct {
	Password keystile.Secret
	// MustChange: the user's next sign-in leads to a new password and nothing else.
	MustChange bool
}

// SetPassword gives a user a password and ends their sessions. One that is too
// weak is *keystile.Invalid.
func (s *Service) SetPassword(ctx context.Context, a store.Actor, id string, in NewPassword) (keystile.User, error) {
	// Outside the transaction, which would wait for the hash.
	u, err := s.userToChange(ctx, s.Store, id)
	if err != nil {
		return keystile.User{}, err
	}
	if err := s.checkStrength(in.Password, u); err != nil {
		return keystile.User{}, err
	}
	hash, err := s.HashPassword(ctx, in.Password)
	if err != nil {
		return keystile.User{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.User, error) {
		if err := s.SetPasswordHashTx(ctx, tx, id, hash); err != nil {
			return keystile.User{}, err
		}
		return s.UpdateUserTx(ctx, tx, id, func(u *keystile.User) error { u.MustChangePassword = in.MustChange; return nil })
	})
}

// SetPasswordHashTx gives a user the password of a hash and ends their sessions.
func (s *Service) SetPasswordHashTx(ctx context.Context, tx *store.Tx, id, hash string) error {
	u, err := s.userToChange(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := s.putPassword(ctx, tx, id, hash); err != nil {
		return err
	}
	if err := tx.RevokeSessionsOfUser(ctx, u, ""); err != nil {
		return fmt.Errorf("end the sessions of user %q: %w", id, err)
	}
	return nil
}

func (s *Service) putPassword(ctx context.Context, tx *store.Tx, id, hash string) error {
	parsed, err := password.Parse(hash)
	if err != nil {
		return err
	}
	if err := tx.PutPassword(ctx, store.Password{UserID: id, Hash: hash, Class: parsed.Class()}); err != nil {
		return fmt.Errorf("set the password of user %q: %w", id, err)
	}
	return nil
}

// CheckPasswordHash says whether a text is a hash that a password can be imported
// with. Its error is *keystile.Invalid.
func CheckPasswordHash(hash keystile.Secret) error {
	_, err := password.Parse(hash.Reveal())
	return err
}

// CheckPassword says whether a text can be a password, of whatever strength.
// Its error is *keystile.Invalid.
func CheckPassword(text keystile.Secret) error {
	if !password.Acceptable(text) {
		return keystile.Invalidf("password", fmt.Sprintf("use 1 to %d bytes of UTF-8 without NUL", password.MaxLength), "cannot be a password")
	}
	return nil
}

// HashPassword hashes a password, of whatever strength.
func (s *Service) HashPassword(ctx context.Context, text keystile.Secret) (string, error) {
	if err := CheckPassword(text); err != nil {
		return "", err
	}
	if s.Passwords == nil {
		return "", errNoHasher
	}
	hash, err := s.Passwords.Hash(ctx, text)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", busy(err))
	}
	return hash, nil
}

// VerifyPassword says whether a password has a stored hash.
func (s *Service) VerifyPassword(ctx context.Context, stored string, text keystile.Secret) (bool, error) {
	if s.Passwords == nil {
		return false, errNoHasher
	}
	ok, _, err := s.Passwords.Verify(ctx, stored, text, func(context.Context) error { return nil })
	if err != nil {
		return false, fmt.Errorf("verify a password: %w", busy(err))
	}
	return ok, nil
}

// busy makes a full queue what callers wait for and try again.
func busy(err error) error {
	if errors.Is(err, password.ErrBusy) {
		return fmt.Errorf("%w: %w", keystile.ErrUnavailable, err)
	}
	return err
}

// checkStrength refuses a weak new password of a user.
func (s *Service) checkStrength(text keystile.Secret, u keystile.User) error {
	local, domain, _ := strings.Cut(u.Email, "@")
	return s.PasswordPolicy.Check(text, u.Username, u.Name, local, domain, s.issuer())
}

func (s *Service) issuer() string {
	if s.Issuer == "" {
		return "Keystile"
	}
	return s.Issuer
}
