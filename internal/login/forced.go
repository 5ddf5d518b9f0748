package login

import (
	"context"
	"errors"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/store"
)

// ForcedChange answers a challenge that MustChangePassword with a new password and returns
// what mint made. A weak password is a *keystile.Invalid and the challenge stands.
func (s *Service) ForcedChange(ctx context.Context, c Caller, token, typed keystile.Secret, mint Mint) (made []byte, err error) {
	digests := s.candidates(useChallenge, token)
	ch, found, err := s.challenged(ctx, digests)
	if err != nil {
		return nil, err
	}
	r := response{token: token, digests: digests, key: s.answerKey(c, token, "password "+typed.Reveal()), mint: mint}
	if !ch.ConsumedAt.IsZero() {
		if ch.AnswerKey != r.key {
			return nil, ErrChallengeExpired
		}
		made, refused, err := s.again(ch, token)
		return made, errors.Join(refused, err)
	}
	if !ch.ChangeDue || !s.now().Before(ch.ExpiresAt) {
		return nil, ErrChallengeExpired
	}
	hash, err := s.newHash(ctx, found.User, typed)
	if err != nil {
		return nil, err
	}
	var refused error
	err = s.mutate(ctx, actor(c, ch.UserID), func(ctx context.Context, tx *store.Tx) error {
		made, refused = nil, nil
		if _, err := tx.User(ctx, ch.UserID); err != nil { // the audit log's chain, before anything else
			return err
		}
		u, err := lockUser(ctx, tx, ch.UserID)
		if err != nil {
			return err
		}
		made, refused, err = s.changed(ctx, tx, c, r, forced{step: step{user: u, found: found}, hash: hash})
		return err
	})
	if err != nil {
		return nil, err
	}
	return made, refused
}

// forced is a new password for a user who had to choose one.
type forced struct {
	step
	hash store.Password
}

func (s *Service) changed(ctx context.Context, tx *store.Tx, c Caller, r response, f forced) (made []byte, refused, err error) {
	ch, err := tx.Challenge(ctx, r.digests)
	switch {
	case notFound(err):
		return nil, ErrChallengeExpired, nil
	case err != nil:
		return nil, nil, err
	case !ch.ConsumedAt.IsZero() && ch.AnswerKey == r.key:
		return s.again(ch, r.token)
	case s.nothingDue(&ch):
		return nil, ErrChallengeExpired, nil
	}
	if refused = inactive(f.user, f.found.Organization); refused != nil {
		return nil, refused, nil
	}
	if f.user, err = s.noLongerDue(ctx, tx, f.user); err == nil {
		err = tx.RevokeSessionsOfUser(ctx, f.user, "")
	}
	if err != nil {
		return nil, nil, err
	}
	f.proof = proof{methods: ch.Methods, provider: ch.ProviderName}
	made, refused, err = s.complete(ctx, tx, c, r, settled{step: f.step, challenge: ch})
	if err != nil || refused != nil {
		return nil, refused, err
	}
	// Last: it deletes the challenges that are not answered.
	return made, nil, tx.PutPassword(ctx, f.hash)
}

// nothingDue says whether a challenge does not wait for a new password: it was
// answered, asks for something else, or has ended.
func (s *Service) nothingDue(ch *keystile.Challenge) bool {
	return !ch.ConsumedAt.IsZero() || !ch.ChangeDue || !s.now().Before(ch.ExpiresAt)
}

// noLongerDue notes that a user has chosen a password.
func (s *Service) noLongerDue(ctx context.Context, tx *store.Tx, u keystile.User) (keystile.User, error) {
	if !u.MustChangePassword {
		return u, nil
	}
	names, err := tx.UserNames(ctx, u.ID)
	if err != nil {
		return u, err
	}
	u.MustChangePassword = false
	return u, tx.UpdateUser(ctx, u, names...)
}

// newHash checks a new password of a user and hashes it.
func (s *Service) newHash(ctx context.Context, u keystile.User, typed keystile.Secret) (store.Password, error) {
	none := store.Password{}
	if err := s.o.Policy.Check(typed, u.Username, u.Email, u.Name, s.o.Issuer); err != nil {
		return none, err
	}
	old, err := s.o.Store.Password(ctx, u.ID)
	if err != nil && !notFound(err) {
		return none, err
	}
	same, _, err := s.passwords.Verify(ctx, old.Hash, typed, func(context.Context) error { return nil })
	if err != nil {
		return none, busy(err)
	}
	if same {
		return none, keystile.Invalidf(password.Field, "choose one that you have not now", "is the one you have")
	}
	hash, err := s.passwords.Hash(ctx, typed)
	if err != nil {
		return none, busy(err)
	}
	parsed, err := password.Parse(hash)
	if err != nil {
		return none, err
	}
	return store.Password{UserID: u.ID, Hash: hash, Class: parsed.Class()}, nil
}

// busy is what a full queue means to a caller.
func busy(err error) error {
	if errors.Is(err, password.ErrBusy) {
		return &Busy{RetryAfter: busyFor}
	}
	return err
}
