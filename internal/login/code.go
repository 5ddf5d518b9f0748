package login

import (
	"context"
	"errors"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/recovery"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/store"
)

// maxCode bounds what is typed as a code, in bytes.
const maxCode = 64

// Code answers a challenge with a TOTP or recovery code and returns what mint made. The
// same token and code from the same address get the identical answer for 10 s, and nothing new is
// made (rulings R18). Five wrong codes burn the challenge. *ChangeRequired: right, but not signed in.
func (s *Service) Code(ctx context.Context, c Caller, token keystile.Secret, code string, mint Mint) (answer []byte, err error) {
	if len(code) > maxCode {
		return nil, ErrInvalidCode
	}
	typed := code
	if six, ok := totp.Shape(code); ok {
		typed = six
	} else if word, ok := recovery.Shape(code); ok {
		typed = word
	}
	r := response{token: token, digests: s.candidates(useChallenge, token), key: s.answerKey(c, token, "code "+typed), mint: mint}
	r.check = func(ctx context.Context, tx *store.Tx, at step, ch *keystile.Challenge) (keystile.AuthMethod, error) {
		if len(ch.Sealed) > 0 {
			return s.confirm(ctx, tx, at.user, ch, typed)
		}
		return s.spend(ctx, tx, at.user, typed)
	}
	r.done = func(u keystile.User, enrolled bool, m keystile.AuthMethod) {
		switch {
		case enrolled:
			s.tellEnrolled(u)
		case m == keystile.MethodRecovery:
			s.tell(u, "A recovery code was used", "One of your recovery codes was used to sign in. If it was not you, change your password and make new codes.")
		}
	}
	return s.respond(ctx, c, r)
}

// response is an answer to a challenge.
type response struct {
	token   keystile.Secret
	digests [][32]byte
	// key stands for the whole question: the same one gets the same answer.
	key [32]byte
	// check proves a factor, spending what may be used once, and says which; the empty method: it was wrong.
	check func(context.Context, *store.Tx, step, *keystile.Challenge) (keystile.AuthMethod, error)
	mint  Mint
	// done is told what was proven, and whether it was enrolled, once that is committed; nil: nobody is.
	done func(u keystile.User, enrolled bool, m keystile.AuthMethod)
}

// answerKey is kept as a keyed digest: what is typed may be a password.
func (s *Service) answerKey(c Caller, token keystile.Secret, typed string) [32]byte {
	return s.keyed("question", token.Reveal()+"\x00"+addressText(c)+"\x00"+typed)
}

// respond judges an answer to a challenge. Everything that follows from it is one transaction: racing
// answers take turns at the user's row, and each sees all that the one before did.
func (s *Service) respond(ctx context.Context, c Caller, r response) (made []byte, err error) {
	ch, found, err := s.challenged(ctx, r.digests)
	if err != nil {
		return nil, err
	}
	// Read here: only what is in the transaction decides, but whom it is about does not change.
	counters, err := s.counters(ctx, c, ch.UserID, "")
	if err != nil {
		return nil, err
	}
	var refused error
	proven := keystile.AuthMethod("")
	check := r.check
	r.check = func(ctx context.Context, tx *store.Tx, at step, ch *keystile.Challenge) (m keystile.AuthMethod, err error) {
		m, err = check(ctx, tx, at, ch)
		proven = m
		return m, err
	}
	err = s.mutate(ctx, actor(c, ch.UserID), func(ctx context.Context, tx *store.Tx) error {
		made, refused, proven = nil, nil, ""
		if len(ch.Sealed) > 0 {
			// An enrolment is in the audit log, whose chain is locked before anything else.
			if _, err := tx.User(ctx, ch.UserID); err != nil && !notFound(err) {
				return err
			}
		}
		u, err := lockUser(ctx, tx, ch.UserID)
		if err != nil {
			return err
		}
		made, refused, err = s.judge(ctx, tx, c, r, judged{step: step{user: u, found: found}, counters: counters})
		return err
	})
	if err != nil {
		return nil, err
	}
	if refused != nil && !isChange(refused) {
		s.noteFailure(ctx, c, ch.UserID, refused.Error())
	}
	if proven != "" && r.done != nil {
		r.done(found.User, len(ch.Sealed) > 0, proven)
	}
	return made, refused
}

// judged is what an answer is judged by.
type judged struct {
	step
	counters []counter
}

func isChange(err error) bool {
	var change *ChangeRequired
	return errors.As(err, &change)
}

// challenged reads a challenge and its user.
func (s *Service) challenged(ctx context.Context, digests [][32]byte) (keystile.Challenge, store.UserLookup, error) {
	if len(digests) == 0 {
		return keystile.Challenge{}, store.UserLookup{}, ErrChallengeExpired
	}
	ch, err := s.o.Store.Challenge(ctx, digests)
	if notFound(err) {
		return ch, store.UserLookup{}, ErrChallengeExpired
	}
	if err != nil {
		return ch, store.UserLookup{}, err
	}
	found, err := s.userOf(ctx, ch.UserID)
	if notFound(err) {
		err = ErrChallengeExpired
	}
	return ch, found, err
}

// judge is what happens to an answer, with the user locked. A refusal is not an error: what it counts is kept.
func (s *Service) judge(ctx context.Context, tx *store.Tx, c Caller, r response, j judged) (made []byte, refused, err error) {
	ch, err := tx.Challenge(ctx, r.digests)
	switch {
	case notFound(err):
		return nil, ErrChallengeExpired, nil
	case err != nil:
		return nil, nil, err
	case ch.AnswerKey == r.key && (ch.ChangeDue || !ch.ConsumedAt.IsZero()):
		return s.again(ch, r.token)
	case !s.waiting(ch):
		return nil, ErrChallengeExpired, nil
	}
	if err := inactive(j.user, j.found.Organization); err != nil {
		return nil, err, nil
	}
	method, err := s.attempt(ctx, tx, r, j, &ch)
	if err != nil {
		return nil, nil, err
	}
	if method == "" {
		return nil, ErrInvalidCode, nil
	}
	j.proof = proof{methods: append(slices.Clone(ch.Methods), method), provider: ch.ProviderName}
	if err := forget(ctx, tx, j.counters); err != nil {
		return nil, nil, err
	}
	return s.complete(ctx, tx, c, r, settled{step: j.step, challenge: ch})
}

// waiting says whether a challenge waits for a factor.
func (s *Service) waiting(ch keystile.Challenge) bool {
	return ch.ConsumedAt.IsZero() && !ch.ChangeDue && ch.Failures < maxWrong && s.now().Before(ch.ExpiresAt)
}

// attempt checks a factor unless it comes too early, and counts it if it is wrong.
func (s *Service) attempt(ctx context.Context, tx *store.Tx, r response, j judged, ch *keystile.Challenge) (keystile.AuthMethod, error) {
	held, err := s.hold(ctx, tx, j.counters)
	if err != nil {
		return "", err
	}
	method, err := r.check(ctx, tx, j.step, ch)
	if err != nil || method != "" {
		return method, err
	}
	ch.Failures++
	if err := tx.SaveChallenge(ctx, *ch); err != nil {
		return "", err
	}
	_, err = s.count(ctx, tx, j.counters, held)
	return "", err
}

// settled is a challenge whose factor was proven.
type settled struct {
	step
	challenge keystile.Challenge
}

// complete makes the session and its answer, or asks for the new password that is due.
func (s *Service) complete(ctx context.Context, tx *store.Tx, c Caller, r response, at settled) (made []byte, refused, err error) {
	n, err := s.needs(ctx, tx, at.user, at.found, at.proof)
	if err != nil {
		return nil, nil, err
	}
	ch := at.challenge
	ch.Methods, ch.AnswerKey, ch.Sealed = at.proof.methods, r.key, nil
	if n.change {
		ch.ChangeDue, ch.ExpiresAt = true, s.now().Add(challengeLife)
		return nil, changeRequired(ch, r.token), tx.SaveChallenge(ctx, ch)
	}
	c.Door = ch.Door // the door it began at: a challenge opens no other
	session, err := s.open(ctx, tx, c, at.step)
	if err != nil {
		return nil, nil, err
	}
	if made, err = r.mint(ctx, session, at.user); err != nil {
		return nil, nil, err
	}
	if ch.Answer, err = s.o.Sealer.Seal(made, store.ChallengePlace(ch.Digest, "answer")); err != nil {
		return nil, nil, err
	}
	ch.ConsumedAt = s.now()
	return made, nil, tx.SaveChallenge(ctx, ch)
}

// again answers a question that was answered.
func (s *Service) again(ch keystile.Challenge, token keystile.Secret) (made []byte, refused, err error) {
	switch {
	case ch.ConsumedAt.IsZero():
		if !s.now().Before(ch.ExpiresAt) {
			return nil, ErrChallengeExpired, nil
		}
		return nil, changeRequired(ch, token), nil
	case s.now().Sub(ch.ConsumedAt) > sameAnswer:
		return nil, ErrChallengeExpired, nil
	}
	made, err = s.o.Sealer.Open(ch.Answer, store.ChallengePlace(ch.Digest, "answer"))
	return made, nil, err
}

func changeRequired(ch keystile.Challenge, token keystile.Secret) *ChangeRequired {
	return &ChangeRequired{Challenge: Challenge{Token: token, ExpiresAt: ch.ExpiresAt, MustChangePassword: true}}
}

// spend accepts the code of an enrolled factor, once.
func (s *Service) spend(ctx context.Context, tx *store.Tx, u keystile.User, typed string) (keystile.AuthMethod, error) {
	if _, ok := totp.Shape(typed); ok {
		return s.spendTOTP(ctx, tx, u, typed)
	}
	word, ok := recovery.Shape(typed)
	if !ok {
		return "", nil
	}
	kinds, err := s.enrolled(ctx, tx, u.ID)
	if err != nil || len(kinds) == 0 { // codes without a factor stand in for nothing
		return "", err
	}
	sum := recovery.Sum(u.ID, word)
	taken, err := tx.TakeRecoveryCode(ctx, u.ID, s.o.Digester.Candidates(sum, make([][32]byte, 0, 3)))
	if err != nil || !taken {
		return "", err
	}
	return keystile.MethodRecovery, nil
}

func (s *Service) spendTOTP(ctx context.Context, tx *store.Tx, u keystile.User, typed string) (keystile.AuthMethod, error) {
	factors, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(factors, func(f keystile.Factor) bool { return f.Kind == keystile.FactorTOTP })
	if i < 0 {
		return "", nil
	}
	f := factors[i]
	secret, err := s.o.Sealer.Open(f.Sealed, keystile.FactorPlace(f.ID))
	if err != nil {
		return "", err
	}
	at, ok := totp.Match(secret, typed, s.now(), f.LastStep)
	if !ok {
		return "", nil
	}
	// RFC 6238, section 5.2: a code is accepted once, whoever asks in the same moment.
	accepted, err := tx.AdvanceFactor(ctx, f, at, f.Sealed)
	if err != nil || !accepted {
		return "", err
	}
	return keystile.MethodTOTP, nil
}

// confirm enrols the secret of a challenge with its first code, and ends every other that was offered. It is
// for users without a factor: of whoever has enrolled one meanwhile, by whatever way, that one is asked.
func (s *Service) confirm(ctx context.Context, tx *store.Tx, u keystile.User, ch *keystile.Challenge, typed string) (keystile.AuthMethod, error) {
	factors, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return "", err
	}
	if len(factors) > 0 {
		return "", &answer{ErrChallengeExpired}
	}
	secret, err := s.o.Sealer.Open(ch.Sealed, store.ChallengePlace(ch.Digest, "secret"))
	if err != nil {
		return "", err
	}
	at, ok := totp.Match(secret, typed, s.now(), 0)
	if !ok {
		return "", nil
	}
	if err := s.enrolTOTP(ctx, tx, u, newTOTP{secret: secret, step: at}); err != nil {
		if errors.Is(err, keystile.ErrConflict) {
			return "", &answer{ErrChallengeExpired} // another one was confirmed
		}
		return "", err
	}
	if err := tx.ExpireEnrolments(ctx, u.ID, ch.Digest, s.now()); err != nil {
		return "", err
	}
	return keystile.MethodTOTP, nil
}

// newTOTP is a TOTP factor to enrol.
type newTOTP struct {
	secret []byte
	name   string
	step   int64
}

func (s *Service) enrolTOTP(ctx context.Context, tx *store.Tx, u keystile.User, n newTOTP) error {
	id, err := s.base62(16)
	if err != nil {
		return err
	}
	f := keystile.Factor{ID: "fac_" + id, UserID: u.ID, Kind: keystile.FactorTOTP, Name: n.name, LastStep: n.step, LastUsedAt: s.now()}
	if f.Sealed, err = s.o.Sealer.Seal(n.secret, keystile.FactorPlace(f.ID)); err != nil {
		return err
	}
	return tx.CreateFactor(ctx, f)
}

func (s *Service) tellEnrolled(u keystile.User) {
	s.tell(u, "An authenticator app was added", "An authenticator app was added to your account at "+s.now().Format(time.RFC1123)+". If it was not you, tell your administrator at once.")
}
