package manage

import (
	"context"
	"encoding/base32"
	"fmt"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/store"
)

// maxTOTPSecret bounds an imported TOTP secret, in bytes: as many as one block of
// its HMAC-SHA-1 (RFC 2104, section 3).
const maxTOTPSecret = 64

// TOTPSecret reads a TOTP secret written in base32, as authenticator apps show
// it: small letters, spaces and missing padding are allowed. Its error is *keystile.Invalid.
func TOTPSecret(text keystile.Secret) ([]byte, error) {
	plain := strings.TrimRight(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(text.Reveal())), "=")
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(plain)
	if err != nil || len(secret) == 0 || len(secret) > maxTOTPSecret || strings.ContainsAny(plain, "\r\n") {
		return nil, keystile.Invalidf("totp_secret", fmt.Sprintf("write 1 to %d bytes in base32: A-Z and 2-7", maxTOTPSecret), "is not a TOTP secret")
	}
	return secret, nil
}

// EnrolledTOTP is a TOTP factor that was enrolled for a user, with what is shown of it once.
type EnrolledTOTP struct {
	Factor keystile.Factor
	// URI is the otpauth URI that authenticator apps read, also as a QR code.
	URI keystile.Secret
}

// EnrolTOTP gives a user a TOTP factor with a new secret. One who has a TOTP
// factor is keystile.ErrConflict: reset it first.
func (s *Service) EnrolTOTP(ctx context.Context, a store.Actor, id string) (EnrolledTOTP, error) {
	secret, err := totp.NewSecret(s.Random)
	if err != nil {
		return EnrolledTOTP{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (EnrolledTOTP, error) {
		u, err := s.userToChange(ctx, tx, id)
		if err != nil {
			return EnrolledTOTP{}, err
		}
		factor, err := s.ImportTOTPTx(ctx, tx, id, secret)
		return EnrolledTOTP{Factor: factor, URI: totp.URI(s.issuer(), u.Username, secret)}, err
	})
}

// ImportTOTPTx gives a user a TOTP factor with a secret they have already.
func (s *Service) ImportTOTPTx(ctx context.Context, tx *store.Tx, userID string, secret []byte) (keystile.Factor, error) {
	if s.Sealer == nil {
		return keystile.Factor{}, errNoSealer
	}
	id, err := s.newID("fac_")
	if err != nil {
		return keystile.Factor{}, err
	}
	sealed, err := s.Sealer.Seal(secret, keystile.FactorPlace(id))
	if err != nil {
		return keystile.Factor{}, fmt.Errorf("seal the TOTP secret of user %q: %w", userID, err)
	}
	f := keystile.Factor{ID: id, UserID: userID, Kind: keystile.FactorTOTP, Sealed: sealed, CreatedAt: s.now()}
	if err := tx.CreateFactor(ctx, f); err != nil {
		return keystile.Factor{}, fmt.Errorf("enrol a TOTP factor of user %q: %w", userID, err)
	}
	return f, nil
}

// ResetMFA removes every second factor of a user, recovery codes too, and ends
// their sessions. What policy asks of them stays: where a factor is required,
// the next sign-in enrols one.
func (s *Service) ResetMFA(ctx context.Context, a store.Actor, id string) (keystile.User, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.User, error) {
		u, err := s.userToChange(ctx, tx, id)
		if err != nil {
			return keystile.User{}, err
		}
		factors, err := tx.Factors(ctx, id)
		if err != nil {
			return keystile.User{}, fmt.Errorf("factors of user %q: %w", id, err)
		}
		for _, f := range factors {
			if err := tx.DeleteFactor(ctx, u, f.ID); err != nil {
				return keystile.User{}, fmt.Errorf("remove factor %q: %w", f.ID, err)
			}
		}
		if err := tx.ReplaceRecoveryCodes(ctx, u, nil); err != nil {
			return keystile.User{}, fmt.Errorf("end the recovery codes of user %q: %w", id, err)
		}
		if err := tx.RevokeSessionsOfUser(ctx, u, ""); err != nil {
			return keystile.User{}, fmt.Errorf("end the sessions of user %q: %w", id, err)
		}
		return s.user(ctx, tx, id)
	})
}

// CheckAuthToken says whether a text can be imported as a personal API key. Its
// error is *keystile.Invalid.
func CheckAuthToken(text keystile.Secret) error {
	var p problems
	p.under("auth_token", apikey.CheckImport(text))
	if strings.HasPrefix(text.Reveal(), adminTokenHead) {
		p.add("auth_token", "generate a new one", "the text looks like an admin token")
	}
	return p.err()
}

// ImportAuthTokenTx gives a user a personal API key that they have already; an
// older one ends. A key that anybody has is keystile.ErrConflict.
func (s *Service) ImportAuthTokenTx(ctx context.Context, tx *store.Tx, u keystile.User, text keystile.Secret) error {
	if s.Sealer == nil {
		return errNoSealer
	}
	if err := s.unused(ctx, NewKey{Secret: text}); err != nil {
		return err
	}
	org, err := s.organization(ctx, tx, u.OrganizationID)
	if err != nil {
		return err
	}
	if err := s.endAuthToken(ctx, tx, u.ID); err != nil {
		return err
	}
	key := keystile.APIKey{
		OrganizationID: u.OrganizationID, UserID: u.ID, Name: "Personal key of " + u.Username, Environment: org.Environment, Hint: apikey.Hint(text), CreatedAt: s.now(),
	}
	if key.ID, err = s.newID("key_"); err != nil {
		return err
	}
	if err := tx.CreateAPIKey(ctx, key, s.keySecret(key.ID, apikey.Sum(text), key.CreatedAt)); err != nil {
		return fmt.Errorf("create the personal API key of user %q: %w", u.ID, err)
	}
	sealed, err := s.Sealer.Seal([]byte(text.Reveal()), store.AuthTokenPlace(u.ID))
	if err != nil {
		return fmt.Errorf("seal the personal API key of user %q: %w", u.ID, err)
	}
	return tx.PutAuthToken(ctx, store.AuthToken{UserID: u.ID, APIKeyID: key.ID, Sealed: sealed})
}

// endAuthToken revokes the personal API key that a user has, if any.
func (s *Service) endAuthToken(ctx context.Context, tx *store.Tx, userID string) error {
	old, err := tx.AuthToken(ctx, userID)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("personal API key of user %q: %w", userID, err)
	}
	if err := tx.RevokeAPIKey(ctx, old.APIKeyID, s.now()); err != nil && !isNotFound(err) {
		return fmt.Errorf("end the personal API key of user %q: %w", userID, err)
	}
	return nil
}

// OpenAuthToken is the personal API key of a user; ok is false if they have none that is good.
func (s *Service) OpenAuthToken(ctx context.Context, tx *store.Tx, userID string) (text keystile.Secret, ok bool, err error) {
	kept, err := tx.AuthToken(ctx, userID)
	if isNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	key, err := tx.APIKey(ctx, kept.APIKeyID)
	if isNotFound(err) || err == nil && !key.RevokedAt.IsZero() {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if s.Sealer == nil {
		return "", false, errNoSealer
	}
	plain, err := s.Sealer.Open(kept.Sealed, store.AuthTokenPlace(userID))
	if err != nil {
		return "", false, fmt.Errorf("open the personal API key of user %q: %w", userID, err)
	}
	return keystile.Secret(plain), true, nil
}
