package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/store"
)

const (
	// challengeLife is how long a challenge waits for its answer.
	challengeLife = 5 * time.Minute
	// maxWrong is how many wrong answers burn it.
	maxWrong = 5
	// sameAnswer is how long the same question gets the same answer (rulings R18).
	sameAnswer = 10 * time.Second

	useChallenge = "mfa_token"
)

func notFound(err error) bool { return errors.Is(err, keystile.ErrNotFound) }

// proof is what was proven so far, and how.
type proof struct {
	methods []keystile.AuthMethod
	// provider is the identity provider that vouched; empty: none.
	provider string
	// key is the API key that was used; empty: none.
	key string
	// at is when somebody else asked for it; zero: just now.
	at time.Time
}

// complete adds MethodMFA where more than one factor is among the methods. A passkey with its user
// verified is two: what one has, and what one is or knows.
func (p proof) complete() []keystile.AuthMethod {
	if slices.Contains(p.methods, keystile.MethodMFA) {
		return p.methods
	}
	if len(p.methods) > 1 || slices.Contains(p.methods, keystile.MethodPasskey) {
		return append(slices.Clone(p.methods), keystile.MethodMFA)
	}
	return p.methods
}

// since is when it was asked for, not later than now.
func (p proof) since(now time.Time) time.Time {
	if !p.at.IsZero() && p.at.Before(now) {
		return p.at
	}
	return now
}

// second says whether a second factor is among the methods; MethodMFA is before completion
// the word of a provider that is trusted with it.
func (p proof) second() bool {
	return slices.ContainsFunc(p.methods, func(m keystile.AuthMethod) bool {
		return m == keystile.MethodMFA || m == keystile.MethodTOTP || m == keystile.MethodPasskey || m == keystile.MethodRecovery
	})
}

// policyOf says whether a second factor is asked of a user.
func (s *Service) policyOf(u keystile.User, l store.UserLookup) keystile.MFAPolicy {
	for _, p := range []keystile.MFAPolicy{u.MFA, l.Role.MFA, l.Organization.MFA, s.o.MFA} {
		if p != keystile.MFAInherit {
			return p
		}
	}
	return keystile.MFAOptional
}

// need is what is still missing of a sign-in.
type need struct {
	second bool
	// kinds that may be used; none: one has to be enrolled.
	kinds []keystile.FactorKind
	// change: a new password is due.
	change bool
}

func (n need) nothing() bool { return !n.second && !n.change }

// needs is the one place where it is decided which factors a sign-in needs. The rest
// of it is the dispatcher: every door comes through here.
func (s *Service) needs(ctx context.Context, tx *store.Tx, u keystile.User, l store.UserLookup, p proof) (need, error) {
	n := need{change: u.MustChangePassword && slices.Contains(p.methods, keystile.MethodPassword)}
	policy := s.policyOf(u, l)
	if p.second() || policy == keystile.MFAOff {
		return n, nil
	}
	kinds, err := s.enrolled(ctx, tx, u.ID)
	if err != nil {
		return n, err
	}
	n.kinds = kinds
	n.second = policy == keystile.MFARequired || len(kinds) > 0
	return n, nil
}

// enrolled are the kinds of factors a user has. Recovery codes stand in for a factor and are none by themselves.
func (s *Service) enrolled(ctx context.Context, tx factorReader, userID string) ([]keystile.FactorKind, error) {
	factors, err := tx.Factors(ctx, userID)
	if err != nil || len(factors) == 0 {
		return nil, err
	}
	var kinds []keystile.FactorKind
	for _, f := range factors {
		if !slices.Contains(kinds, f.Kind) {
			kinds = append(kinds, f.Kind)
		}
	}
	codes, err := tx.RecoveryCodes(ctx, userID)
	if len(codes) > 0 {
		kinds = append(kinds, keystile.FactorRecovery)
	}
	slices.Sort(kinds)
	return kinds, err
}

// proceed goes on after a first factor: a session, or a challenge. It is called within a transaction, with the user locked.
func (s *Service) proceed(ctx context.Context, tx *store.Tx, c Caller, at step) (Outcome, error) {
	n, err := s.needs(ctx, tx, at.user, at.found, at.proof)
	if err != nil {
		return Outcome{}, err
	}
	if !n.nothing() {
		challenge, err := s.challenge(ctx, tx, c, at, n)
		return Outcome{Challenge: &challenge}, err
	}
	session, err := s.open(ctx, tx, c, at)
	return Outcome{Session: &session, User: at.user}, err
}

// step is where a sign-in stands.
type step struct {
	user  keystile.User
	found store.UserLookup
	proof proof
}

// open makes the session. It is the only place that does.
func (s *Service) open(ctx context.Context, tx *store.Tx, c Caller, at step) (keystile.Session, error) {
	id, err := s.base62(tokenLength)
	if err != nil {
		return keystile.Session{}, err
	}
	now := s.now()
	proven := at.proof.since(now) // a session never says that more was proven, or later
	session := keystile.Session{
		ID: "ses_" + id, UserID: at.user.ID, OrganizationID: at.user.OrganizationID, Door: c.Door, Methods: at.proof.complete(),
		AuthenticatedAt: proven, APIKeyID: at.proof.key, ProviderName: at.proof.provider,
		ClientAddr: addressText(c), UserAgent: userAgent(c), CreatedAt: now, ExpiresAt: now.Add(s.o.SessionLife),
	}
	if err := errors.Join(
		tx.CreateSession(ctx, session),
		tx.NoteLogin(ctx, at.user.ID, now),
	); err != nil {
		return keystile.Session{}, err
	}
	if at.proof.key == "" { // a key says nothing about where its owner is
		err = tx.NoteLoginNetwork(ctx, at.user.ID, network(c.Addr).String(), now)
	}
	return session, err
}

func addressText(c Caller) string {
	if !c.Addr.IsValid() {
		return ""
	}
	return c.Addr.Unmap().String()
}

// challenge asks for what is missing.
func (s *Service) challenge(ctx context.Context, tx *store.Tx, c Caller, at step, n need) (Challenge, error) {
	token, err := s.base62(tokenLength)
	if err != nil {
		return Challenge{}, err
	}
	now := s.now()
	kept := keystile.Challenge{
		UserID: at.user.ID, Door: c.Door, Methods: at.proof.methods, ProviderName: at.proof.provider,
		ClientAddr: addressText(c), UserAgent: userAgent(c), CreatedAt: now, ExpiresAt: now.Add(challengeLife), ChangeDue: !n.second,
	}
	kept.Digest, kept.PepperID = s.o.Digester.Digest(sumOf(useChallenge, token))
	asked := Challenge{Token: keystile.Secret(token), ExpiresAt: kept.ExpiresAt, MustChangePassword: !n.second}
	if n.second {
		asked.Kinds = n.kinds
	}
	if n.second && len(n.kinds) == 0 {
		// Each challenge offers a secret of its own: who has only the password must not
		// learn the one that the owner will use (rulings R18).
		secret, err := totp.NewSecret(s.o.Random)
		if err != nil {
			return Challenge{}, err
		}
		if kept.Sealed, err = s.o.Sealer.Seal(secret, store.ChallengePlace(kept.Digest, "secret")); err != nil {
			return Challenge{}, err
		}
		asked.Enrolment, asked.Kinds = true, []keystile.FactorKind{keystile.FactorTOTP}
		asked.Provisioning = totp.URI(s.o.Issuer, at.user.Username, secret)
	}
	return asked, tx.CreateChallenge(ctx, kept)
}

// inactive refuses a user who may not sign in, after what they proved was right.
func inactive(u keystile.User, o keystile.Organization) error {
	if u.Disabled || o.Disabled {
		return ErrInactive
	}
	return nil
}

// userOf reads a user with role and organisation.
func (s *Service) userOf(ctx context.Context, id string) (store.UserLookup, error) {
	found, err := s.o.Store.FindUserByID(ctx, id)
	if err != nil {
		return found, fmt.Errorf("who signs in: %w", err)
	}
	return found, nil
}
