package login

import (
	"context"
	"errors"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/recovery"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/store"
)

// The methods of this file are what users do about their own sign-in. sid is the session
// they do it in: it is read anew each time, and ErrSessionEnded if it is over. What would
// let a thief of a session stay (factors, keys, passwords) needs a fresh session that
// proved all factors the user has, else ErrStepUp.

// PasskeyResponse is a browser's response to BeginPasskeyEnrolment.
type PasskeyResponse struct {
	// Ceremony is the Token of the ceremony.
	Ceremony keystile.Secret
	// Name is what the user calls the passkey; empty: none.
	Name string
	// Response is the JSON of the new credential.
	Response []byte
}

// ChangePassword replaces the password after checking the old one (ErrInvalidCredentials) and ends
// all other sessions of the user. A weak one is a *keystile.Invalid of field "password".
func (s *Service) ChangePassword(ctx context.Context, c Caller, sid string, old, typed keystile.Secret) error {
	l, err := s.live(ctx, sid)
	if err != nil {
		return err
	}
	if l.Session.APIKeyID != "" {
		return ErrStepUp // a key is no person
	}
	if err := s.checkOld(ctx, c, l.User, old); err != nil {
		return err
	}
	hash, err := s.newHash(ctx, l.User, typed)
	if err != nil {
		return err
	}
	err = s.mutate(ctx, actor(c, l.User.ID), func(ctx context.Context, tx *store.Tx) error {
		u, err := s.lockAccount(ctx, tx, l.User.ID)
		if err != nil {
			return err
		}
		// While the hashes were computed a reset may have ended the session: it must not be undone by a thief.
		now, err := tx.Session(ctx, sid)
		if notFound(err) || err == nil && !now.RevokedAt.IsZero() {
			return &answer{ErrSessionEnded}
		}
		if err != nil {
			return err
		}
		return errors.Join(s.settle(ctx, tx, u, hash), tx.RevokeSessionsOfUser(ctx, u, sid))
	})
	if err != nil {
		return err
	}
	s.tell(l.User, "Your password was changed", "Your password was changed. If it was not you, tell your administrator at once.")
	return nil
}

// checkOld verifies the present password, counted like a sign-in: a stolen session must not be a place to guess.
func (s *Service) checkOld(ctx context.Context, c Caller, u keystile.User, old keystile.Secret) error {
	had, err := s.o.Store.Password(ctx, u.ID)
	if err != nil && !notFound(err) {
		return err
	}
	counters, err := s.counters(ctx, c, u.ID, "")
	if err != nil {
		return err
	}
	if err := s.mayTry(ctx, counters); err != nil {
		return err
	}
	var reserved []counted
	right, _, err := s.passwords.Verify(ctx, had.Hash, old, func(ctx context.Context) (err error) {
		reserved, err = s.reserve(ctx, c, counters)
		return err
	})
	if err != nil {
		return busy(err)
	}
	if !right {
		s.noteFailure(ctx, c, u.ID, "present password")
		return ErrInvalidCredentials
	}
	return s.mutate(ctx, actor(c, u.ID), func(ctx context.Context, tx *store.Tx) error { return forgive(ctx, tx, reserved, false) })
}

// Factors lists the user's enrolled factors; Sealed and CredentialID are left out. Recovery codes are one
// factor of kind FactorRecovery each that is left.
func (s *Service) Factors(ctx context.Context, sid string) ([]keystile.Factor, error) {
	l, err := s.live(ctx, sid)
	if err != nil {
		return nil, err
	}
	factors, err := s.o.Store.Factors(ctx, l.User.ID)
	if err != nil {
		return nil, err
	}
	for i := range factors {
		factors[i].Sealed, factors[i].CredentialID = nil, nil
	}
	codes, err := s.o.Store.RecoveryCodes(ctx, l.User.ID)
	for _, code := range codes {
		factors = append(factors, keystile.Factor{UserID: l.User.ID, Kind: keystile.FactorRecovery, CreatedAt: code.CreatedAt})
	}
	return factors, err
}

// EnrolTOTP offers a new TOTP secret. Nothing is enrolled before ConfirmTOTP.
func (s *Service) EnrolTOTP(ctx context.Context, _ Caller, sid string) (TOTPEnrolment, error) {
	l, err := s.strong(ctx, sid)
	if err != nil {
		return TOTPEnrolment{}, err
	}
	secret, err := totp.NewSecret(s.o.Random)
	if err != nil {
		return TOTPEnrolment{}, err
	}
	e := TOTPEnrolment{URI: totp.URI(s.o.Issuer, l.User.Username, secret)}
	if e.PNG, err = totp.PNG(e.URI); err != nil {
		return TOTPEnrolment{}, err
	}
	e.Token, err = s.sealTicket(ticket{Purpose: forTOTP, SessionID: sid, TOTP: secret, ExpiresAt: s.now().Add(enrolmentLife)})
	return e, err
}

// TOTPConfirmation is the first code of an enrolment.
type TOTPConfirmation struct {
	// Token of the enrolment.
	Token keystile.Secret
	// Name is what the user calls it; empty: none.
	Name string
	Code string
}

// ConfirmTOTP enrols the secret of EnrolTOTP with its first code; it replaces a TOTP factor that is there.
func (s *Service) ConfirmTOTP(ctx context.Context, c Caller, sid string, confirmed TOTPConfirmation) error {
	l, err := s.strong(ctx, sid)
	if err != nil {
		return err
	}
	t, err := s.openTicket(confirmed.Token, forTOTP)
	if err != nil || t.SessionID != sid {
		return ErrChallengeExpired
	}
	code, ok := totp.Shape(confirmed.Code)
	if !ok {
		return ErrInvalidCode
	}
	at, ok := totp.Match(t.TOTP, code, s.now(), 0)
	if !ok {
		return ErrInvalidCode // the secret is the user's own: nothing is guessed here
	}
	err = s.mutate(ctx, actor(c, l.User.ID), func(ctx context.Context, tx *store.Tx) error {
		return s.replaceTOTP(ctx, tx, l.User.ID, newTOTP{secret: t.TOTP, name: clipName(confirmed.Name), step: at})
	})
	if err != nil {
		return err
	}
	s.tellEnrolled(l.User)
	return nil
}

// replaceTOTP enrols a TOTP factor in place of the one that is there, and ends what else was offered.
func (s *Service) replaceTOTP(ctx context.Context, tx *store.Tx, userID string, n newTOTP) error {
	u, err := s.lockAccount(ctx, tx, userID)
	if err != nil {
		return err
	}
	factors, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, f := range factors {
		if f.Kind != keystile.FactorTOTP {
			continue
		}
		if err := tx.DeleteFactor(ctx, u, f.ID); err != nil {
			return err
		}
	}
	if err := s.enrolTOTP(ctx, tx, u, n); err != nil {
		return err
	}
	return tx.ExpireEnrolments(ctx, u.ID, [32]byte{}, s.now())
}

// lockAccount locks the audit log's chain and then the user: the order of all transactions.
func (s *Service) lockAccount(ctx context.Context, tx *store.Tx, userID string) (keystile.User, error) {
	if _, err := tx.User(ctx, userID); err != nil {
		return keystile.User{}, err
	}
	return lockUser(ctx, tx, userID)
}

// RecoveryCodes makes ten new recovery codes, shown here and never again; older ones end.
func (s *Service) RecoveryCodes(ctx context.Context, c Caller, sid string) ([]keystile.Secret, error) {
	l, err := s.strong(ctx, sid)
	if err != nil {
		return nil, err
	}
	codes, err := recovery.New(s.o.Random)
	if err != nil {
		return nil, err
	}
	kept := make([]store.RecoveryCode, len(codes))
	for i, code := range codes {
		word, _ := recovery.Shape(code.Reveal())
		kept[i].Digest, kept[i].PepperID = s.o.Digester.Digest(recovery.Sum(l.User.ID, word))
	}
	err = s.mutate(ctx, actor(c, l.User.ID), func(ctx context.Context, tx *store.Tx) error {
		u, err := s.lockAccount(ctx, tx, l.User.ID)
		if err != nil {
			return err
		}
		return tx.ReplaceRecoveryCodes(ctx, u, kept)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RemoveFactor removes a factor of the user. The last one of a user who must have one is keystile.ErrConflict.
func (s *Service) RemoveFactor(ctx context.Context, c Caller, sid, factorID string) error {
	l, err := s.strong(ctx, sid)
	if err != nil {
		return err
	}
	return s.mutate(ctx, actor(c, l.User.ID), func(ctx context.Context, tx *store.Tx) error {
		u, err := s.lockAccount(ctx, tx, l.User.ID)
		if err != nil {
			return err
		}
		factors, err := tx.Factors(ctx, u.ID)
		if err != nil {
			return err
		}
		mine := slices.ContainsFunc(factors, func(f keystile.Factor) bool { return f.ID == factorID })
		required := s.policyOf(u, store.UserLookup{Organization: l.Organization, Role: l.Role}) == keystile.MFARequired
		if mine && len(factors) == 1 && required {
			return &answer{errLastFactor}
		}
		if err := tx.DeleteFactor(ctx, u, factorID); err != nil || len(factors) > 1 {
			return err
		}
		return s.endRecoveryCodes(ctx, tx, u)
	})
}

// endRecoveryCodes ends the codes of a user who has no factor that they stand in for: they must
// not come back with the next one.
func (s *Service) endRecoveryCodes(ctx context.Context, tx *store.Tx, u keystile.User) error {
	codes, err := tx.RecoveryCodes(ctx, u.ID)
	if err != nil || len(codes) == 0 {
		return err
	}
	return tx.ReplaceRecoveryCodes(ctx, u, nil)
}
