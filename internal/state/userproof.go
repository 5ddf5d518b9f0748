package state

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// foundPassword is what was found out about a password of the files before the
// transaction, which would wait for every hash.
type foundPassword struct {
	// verified is the stored hash that the password has; empty: none.
	verified string
	// fresh is a new hash of the password, where no stored one is of it.
	fresh string
}

// hashesAtOnce bounds how many passwords of a file are hashed at a time: each
// takes a processor and tens of MiB.
const hashesAtOnce = 2

// prepare compares the passwords of the files with the stored hashes.
func (k *users) prepare(ctx context.Context, service *manage.Service) error {
	found := make([]foundPassword, len(k.entries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(hashesAtOnce)
	for i := range k.entries {
		if e := &k.entries[i]; e.value.Password != "" {
			group.Go(func() (err error) {
				found[i], err = k.preparePassword(ctx, service, e)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	k.passwords = map[*entry[user]]foundPassword{}
	for i := range k.entries {
		k.passwords[&k.entries[i]] = found[i]
	}
	return nil
}

func (k *users) preparePassword(ctx context.Context, service *manage.Service, e *entry[user]) (found foundPassword, err error) {
	old, ok, err := k.find(ctx, service.Store, nil, e)
	if err != nil {
		return found, err
	}
	if ok {
		stored, err := service.Store.Password(ctx, old.ID)
		if err != nil && !errors.Is(err, keystile.ErrNotFound) {
			return found, err
		}
		if err == nil {
			matches, err := service.VerifyPassword(ctx, stored.Hash, e.value.Password)
			if err != nil {
				return found, err
			}
			if matches {
				return foundPassword{verified: stored.Hash}, nil
			}
		}
	}
	found.fresh, err = service.HashPassword(ctx, e.value.Password)
	return found, err
}

// proofs makes what a user proves who they are with that of the file. What the
// file leaves out stays. d is told what changed.
func (k *users) proofs(ctx context.Context, tx *store.Tx, r *run, e *entry[user], u keystile.User, d *diff) error {
	for _, step := range []func(context.Context, *store.Tx, *run, *entry[user], keystile.User, *diff) error{k.password, k.passwordHash, k.totp, k.authToken} {
		if err := step(ctx, tx, r, e, u, d); err != nil {
			return err
		}
	}
	return nil
}

// storedHash is the hash of a user's password; "" for none.
func storedHash(ctx context.Context, tx *store.Tx, id string) (string, error) {
	stored, err := tx.Password(ctx, id)
	if errors.Is(err, keystile.ErrNotFound) {
		return "", nil
	}
	return stored.Hash, err
}

func (k *users) password(ctx context.Context, tx *store.Tx, r *run, e *entry[user], u keystile.User, d *diff) error {
	if e.value.Password == "" {
		return nil
	}
	stored, err := storedHash(ctx, tx, u.ID)
	if err != nil {
		return err
	}
	found := k.passwords[e]
	if stored != "" && (stored == found.verified || e.value.MustChangePassword) {
		return nil // theirs already, or they have chosen their own since
	}
	if found.fresh == "" {
		// Somebody changed it since it was compared.
		if found.fresh, err = r.service.HashPassword(ctx, e.value.Password); err != nil {
			return err
		}
	}
	d.text("password", oldOrNone(stored), "new")
	return r.service.SetPasswordHashTx(ctx, tx, u.ID, found.fresh)
}

func oldOrNone(stored string) string {
	if stored == "" {
		return ""
	}
	return "old"
}

func (k *users) passwordHash(ctx context.Context, tx *store.Tx, r *run, e *entry[user], u keystile.User, d *diff) error {
	given := e.value.PasswordHash.Reveal()
	if given == "" {
		return nil
	}
	stored, err := storedHash(ctx, tx, u.ID)
	switch {
	case err != nil:
		return err
	case stored == given, stored != "" && e.value.MustChangePassword:
		return nil
	case manage.Supersedes(stored, given):
		warn(r, e, keystile.Invalidf("password_hash", "take it out of the file, or set the password with keystile user set-password",
			"the stored hash of user %s was renewed at a sign-in or changed since, and stays", u.Username))
		return nil
	}
	d.text("password_hash", oldOrNone(stored), "new")
	return r.service.SetPasswordHashTx(ctx, tx, u.ID, given)
}

// totp imports a TOTP factor where the user has none. One that they have since is
// not replaced: a file must not bring back what was given up.
func (k *users) totp(ctx context.Context, tx *store.Tx, r *run, e *entry[user], u keystile.User, d *diff) error {
	if e.value.TOTPSecret == "" && e.value.TOTP == nil {
		return nil
	}
	secret, err := k.totpSecret(r, e.value)
	if err != nil {
		return err
	}
	factors, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(factors, func(f keystile.Factor) bool { return f.Kind == keystile.FactorTOTP }); i >= 0 {
		have, err := r.service.OpenFactor(factors[i])
		if err != nil {
			return fmt.Errorf("compare the TOTP secret with the stored one: %w", err)
		}
		if subtle.ConstantTimeCompare(have, secret) == 0 {
			warn(r, e, keystile.Invalidf("totp_secret", "take it out of the file, or reset the user's factors with keystile user reset-mfa",
				"user %s has enrolled another factor since, which stays", u.Username))
		}
		return nil
	}
	d.text("totp_secret", "", "new")
	if e.value.TOTP == nil {
		_, err = r.service.ImportTOTPTx(ctx, tx, u.ID, secret)
		return err
	}
	return tx.CreateFactor(ctx, keystile.Factor{
		ID: e.value.TOTP.ID, UserID: u.ID, Kind: keystile.FactorTOTP, Name: e.value.TOTP.Name, Sealed: e.value.TOTP.Sealed.data,
	})
}

func (k *users) totpSecret(r *run, u *user) ([]byte, error) {
	if u.TOTP == nil {
		return manage.TOTPSecret(u.TOTPSecret)
	}
	secret, err := r.service.OpenFactor(keystile.Factor{ID: u.TOTP.ID, Sealed: u.TOTP.Sealed.data})
	if err != nil {
		return nil, keystile.Invalidf("totp.sealed", "apply it to the store that it was exported from, or give totp_secret", "does not open in this store")
	}
	return secret, nil
}

// authToken makes the user's personal API key that of the file. One that was
// replaced since stays out.
func (k *users) authToken(ctx context.Context, tx *store.Tx, r *run, e *entry[user], u keystile.User, d *diff) error {
	in, err := k.givenAuthToken(r, e.value, u)
	if err != nil || in.Text == "" {
		return err
	}
	have, ok, err := r.service.OpenAuthToken(ctx, tx, u.ID)
	if err != nil || ok && have.Equal(in.Text) {
		return err
	}
	spent, err := r.service.SpentAuthToken(ctx, tx, u.ID, in.Text)
	if err != nil {
		return err
	}
	if spent {
		warn(r, e, keystile.Invalidf("auth_token", "take it out of the file", "the personal API key of user %s was replaced or revoked since, and stays so", u.Username))
		return nil
	}
	d.text("auth_token", oldOrNone(have.Reveal()), "new")
	return r.service.ImportAuthTokenTx(ctx, tx, u, in)
}

func (k *users) givenAuthToken(r *run, u *user, stored keystile.User) (manage.NewAuthToken, error) {
	if u.AuthTokenSealed == nil {
		return manage.NewAuthToken{Text: u.AuthToken}, nil
	}
	sealed := u.AuthTokenSealed.Sealed.data
	text, err := r.service.OpenSealedAuthToken(stored.ID, sealed)
	if err != nil {
		return manage.NewAuthToken{}, keystile.Invalidf("auth_token_sealed.sealed", "apply it to the store that it was exported from, with the user's id, or give auth_token", "does not open in this store")
	}
	return manage.NewAuthToken{ID: u.AuthTokenSealed.ID, Text: text, Sealed: sealed}, nil
}
