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

// proofs makes what one user proves who they are with that of the file. What the
// file leaves out stays.
type proofs struct {
	*run
	tx    *store.Tx
	entry *entry[user]
	// user as they are stored.
	user keystile.User
	// diff is told what changed.
	diff *diff
}

func (p *proofs) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{p.password, p.passwordHash, p.totp, p.authToken} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// storedHash is the hash of the user's password; "" for none.
func (p *proofs) storedHash(ctx context.Context) (string, error) {
	stored, err := p.tx.Password(ctx, p.user.ID)
	if errors.Is(err, keystile.ErrNotFound) {
		return "", nil
	}
	return stored.Hash, err
}

func (p *proofs) password(ctx context.Context) error {
	if p.entry.value.Password == "" {
		return nil
	}
	stored, err := p.storedHash(ctx)
	if err != nil {
		return err
	}
	found := p.world.users.passwords[p.entry]
	if stored != "" && (stored == found.verified || p.entry.value.MustChangePassword) {
		return nil // theirs already, or they have chosen their own since
	}
	if found.fresh == "" {
		// Somebody changed it since it was compared.
		if found.fresh, err = p.service.HashPassword(ctx, p.entry.value.Password); err != nil {
			return err
		}
	}
	p.diff.text("password", oldOrNone(stored), "new")
	return p.service.SetPasswordHashTx(ctx, p.tx, p.user.ID, found.fresh)
}

func oldOrNone(stored string) string {
	if stored == "" {
		return ""
	}
	return "old"
}

func (p *proofs) passwordHash(ctx context.Context) error {
	given := p.entry.value.PasswordHash.Reveal()
	if given == "" {
		return nil
	}
	stored, err := p.storedHash(ctx)
	switch {
	case err != nil:
		return err
	case stored == given, stored != "" && p.entry.value.MustChangePassword:
		return nil
	case manage.Supersedes(stored, given):
		warn(p.run, p.entry, keystile.Invalidf("password_hash", "take it out of the file, or set the password with keystile user set-password",
			"the stored hash of user %s was renewed at a sign-in or changed since, and stays", p.user.Username))
		return nil
	}
	p.diff.text("password_hash", oldOrNone(stored), "new")
	return p.service.SetPasswordHashTx(ctx, p.tx, p.user.ID, given)
}

// totp imports a TOTP factor where the user has none. One that they have since is
// not replaced: a file must not bring back what was given up.
func (p *proofs) totp(ctx context.Context) error {
	if p.entry.value.TOTPSecret == "" && p.entry.value.TOTP == nil {
		return nil
	}
	secret, err := p.totpSecret()
	if err != nil {
		return err
	}
	factors, err := p.tx.Factors(ctx, p.user.ID)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(factors, func(f keystile.Factor) bool { return f.Kind == keystile.FactorTOTP }); i >= 0 {
		have, err := p.service.OpenFactor(factors[i])
		if err != nil {
			return fmt.Errorf("compare the TOTP secret with the stored one: %w", err)
		}
		if subtle.ConstantTimeCompare(have, secret) == 0 {
			warn(p.run, p.entry, keystile.Invalidf("totp_secret", "take it out of the file, or reset the user's factors with keystile user reset-mfa",
				"user %s has enrolled another factor since, which stays", p.user.Username))
		}
		return nil
	}
	p.diff.text("totp_secret", "", "new")
	if p.entry.value.TOTP == nil {
		_, err = p.service.ImportTOTPTx(ctx, p.tx, p.user.ID, secret)
		return err
	}
	return p.tx.CreateFactor(ctx, keystile.Factor{
		ID: p.entry.value.TOTP.ID, UserID: p.user.ID, Kind: keystile.FactorTOTP, Name: p.entry.value.TOTP.Name, Sealed: p.entry.value.TOTP.Sealed.data,
	})
}

func (p *proofs) totpSecret() ([]byte, error) {
	u := p.entry.value
	if u.TOTP == nil {
		return manage.TOTPSecret(u.TOTPSecret)
	}
	secret, err := p.service.OpenFactor(keystile.Factor{ID: u.TOTP.ID, Sealed: u.TOTP.Sealed.data})
	if err != nil {
		return nil, keystile.Invalidf("totp.sealed", "apply it to the store that it was exported from, or give totp_secret", "does not open in this store")
	}
	return secret, nil
}

// authToken makes the user's personal API key that of the file. One that was
// replaced since stays out.
func (p *proofs) authToken(ctx context.Context) error {
	in, err := p.givenAuthToken()
	if err != nil || in.Text == "" {
		return err
	}
	have, ok, err := p.service.OpenAuthToken(ctx, p.tx, p.user.ID)
	if err != nil || ok && have.Equal(in.Text) {
		return err
	}
	spent, err := p.service.SpentAuthToken(ctx, p.tx, p.user.ID, in.Text)
	if err != nil {
		return err
	}
	if spent {
		warn(p.run, p.entry, keystile.Invalidf("auth_token", "take it out of the file", "the personal API key of user %s was replaced or revoked since, and stays so", p.user.Username))
		return nil
	}
	p.diff.text("auth_token", oldOrNone(have.Reveal()), "new")
	return p.service.ImportAuthTokenTx(ctx, p.tx, p.user, in)
}

func (p *proofs) givenAuthToken() (manage.NewAuthToken, error) {
	u := p.entry.value
	if u.AuthTokenSealed == nil {
		return manage.NewAuthToken{Text: u.AuthToken}, nil
	}
	sealed := u.AuthTokenSealed.Sealed.data
	text, err := p.service.OpenSealedAuthToken(p.user.ID, sealed)
	if err != nil {
		return manage.NewAuthToken{}, keystile.Invalidf("auth_token_sealed.sealed", "apply it to the store that it was exported from, with the user's id, or give auth_token", "does not open in this store")
	}
	return manage.NewAuthToken{ID: u.AuthTokenSealed.ID, Text: text, Sealed: sealed}, nil
}
