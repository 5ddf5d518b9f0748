package login

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/passkey"
	"keystile.dev/keystile/internal/store"
)

// purpose is what a sealed token is for; a token of one purpose serves no other.
type purpose string

const (
	forChallenge purpose = "answer a challenge"
	forSignIn    purpose = "sign in"
	forEnrolment purpose = "enrol a passkey"
	forTOTP      purpose = "enrol an authenticator app"
	forProvider  purpose = "sign in at a provider"
)

// ticket is what a sealed token holds: state that the client carries, so that anybody may begin
// a ceremony without a row in the store.
type ticket struct {
	Purpose purpose `json:"p"`
	// ID makes it good once.
	ID string `json:"i"`
	// Token of the challenge, or the session, that it belongs to.
	Token     string          `json:"t,omitempty"`
	SessionID string          `json:"s,omitempty"`
	State     json.RawMessage `json:"c,omitempty"`
	// TOTP is the secret that is offered.
	TOTP []byte `json:"k,omitempty"`
	// Back is where to go on afterwards.
	Back      string    `json:"b,omitempty"`
	ExpiresAt time.Time `json:"e"`
}

const (
	ticketPlace = "login/tickets"
	maxTicket   = 16 << 10
	// enrolmentLife is how long an authenticator app may take to be set up.
	enrolmentLife = 10 * time.Minute
)

func (s *Service) sealTicket(t ticket) (keystile.Secret, error) {
	var err error
	if t.ID, err = s.base62(tokenLength); err != nil {
		return "", err
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("write a ticket: %w", err)
	}
	sealed, err := s.o.Sealer.Seal(raw, ticketPlace)
	return keystile.Secret(base64.RawURLEncoding.EncodeToString(sealed)), err
}

// openTicket reads a token of ours; anything else is ErrChallengeExpired.
func (s *Service) openTicket(token keystile.Secret, wanted ...purpose) (t ticket, err error) {
	if len(token) > maxTicket {
		return t, ErrChallengeExpired
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token.Reveal())
	if err != nil {
		return t, ErrChallengeExpired
	}
	raw, err := s.o.Sealer.Open(sealed, ticketPlace)
	if err != nil || json.Unmarshal(raw, &t) != nil || !s.now().Before(t.ExpiresAt) {
		return ticket{}, ErrChallengeExpired
	}
	for _, p := range wanted {
		if t.Purpose == p {
			return t, nil
		}
	}
	return ticket{}, ErrChallengeExpired
}

// passkeyUser is a user with the records of their passkeys.
func (s *Service) passkeyUser(u keystile.User, factors []keystile.Factor) (passkey.User, error) {
	p := passkey.User{ID: u.ID, Name: u.Username, DisplayName: firstOf(u.Name, u.Username)}
	for _, f := range factors {
		if f.Kind != keystile.FactorPasskey {
			continue
		}
		record, err := s.o.Sealer.Open(f.Sealed, keystile.FactorPlace(f.ID))
		if err != nil {
			return p, err
		}
		p.Records = append(p.Records, record)
	}
	return p, nil
}

// BeginPasskey begins a passkey ceremony: as the answer to the challenge that token names,
// or, with an empty token, as a sign-in of its own by a discoverable passkey.
func (s *Service) BeginPasskey(ctx context.Context, _ Caller, token keystile.Secret) (PasskeyCeremony, error) {
	if s.passkeys == nil {
		return PasskeyCeremony{}, ErrOff
	}
	t := ticket{Purpose: forSignIn, ExpiresAt: s.now().Add(challengeLife)}
	var user *passkey.User
	if token != "" {
		ch, found, err := s.challenged(ctx, s.candidates(useChallenge, token))
		if err != nil {
			return PasskeyCeremony{}, err
		}
		if !s.waiting(ch) {
			return PasskeyCeremony{}, ErrChallengeExpired
		}
		factors, err := s.o.Store.Factors(ctx, ch.UserID)
		if err != nil {
			return PasskeyCeremony{}, err
		}
		u, err := s.passkeyUser(found.User, factors)
		if err != nil {
			return PasskeyCeremony{}, err
		}
		if len(u.Records) == 0 {
			return PasskeyCeremony{}, ErrInvalidCode // nothing of it could be right
		}
		t.Purpose, t.Token, user = forChallenge, token.Reveal(), &u
	}
	options, state, err := s.passkeys.BeginUse(user)
	if err != nil {
		return PasskeyCeremony{}, err
	}
	t.State = state
	sealed, err := s.sealTicket(t)
	return PasskeyCeremony{Token: sealed, Options: options}, err
}

// FinishPasskey ends the ceremony with the browser's response (JSON, at most 64 KiB) and returns what
// mint made. A wrong response is ErrInvalidCode; *ChangeRequired as with Code.
func (s *Service) FinishPasskey(ctx context.Context, c Caller, ceremony keystile.Secret, raw []byte, mint Mint) (answer []byte, err error) {
	if s.passkeys == nil {
		return nil, ErrOff
	}
	t, err := s.openTicket(ceremony, forChallenge, forSignIn)
	if err != nil {
		return nil, err
	}
	if len(raw) > passkey.MaxResponse {
		return nil, ErrInvalidCode
	}
	r := response{token: keystile.Secret(t.Token), mint: mint, key: s.answerKey(c, ceremony, "passkey "+string(raw))}
	r.check = func(ctx context.Context, tx *store.Tx, at step, _ *keystile.Challenge) (keystile.AuthMethod, error) {
		return s.spendPasskey(ctx, tx, at.user, t, raw)
	}
	if t.Purpose == forChallenge {
		r.digests = s.candidates(useChallenge, r.token)
		return s.respond(ctx, c, r)
	}
	return s.passkeySignIn(ctx, c, t, raw, r)
}

// passkeySignIn finds out whose passkey it is, and judges it like the answer to a challenge that was
// consumed as soon as it was made: so it is good once, and the same question gets the same answer.
func (s *Service) passkeySignIn(ctx context.Context, c Caller, t ticket, raw []byte, r response) (made []byte, err error) {
	f, err := s.o.Store.FindPasskey(ctx, passkey.Named(raw))
	if err != nil && !notFound(err) {
		return nil, err
	}
	counters, err := s.counters(ctx, c, f.UserID, "passkey")
	if err != nil {
		return nil, err
	}
	if f.UserID == "" {
		if _, err := s.reserve(ctx, c, counters); err != nil {
			return nil, err
		}
		s.noteFailure(ctx, c, "", "unknown passkey")
		return nil, ErrInvalidCode
	}
	found, err := s.userOf(ctx, f.UserID)
	if err != nil {
		return nil, err
	}
	ch := keystile.Challenge{UserID: f.UserID, Door: c.Door, ClientAddr: addressText(c), UserAgent: userAgent(c), CreatedAt: s.now(), ExpiresAt: t.ExpiresAt}
	ch.Digest, ch.PepperID = s.o.Digester.Digest(sumOf("passkey ceremony", t.ID))
	r.digests = s.o.Digester.Candidates(sumOf("passkey ceremony", t.ID), make([][32]byte, 0, 3))
	var refused error
	err = s.mutate(ctx, actor(c, f.UserID), func(ctx context.Context, tx *store.Tx) error {
		made, refused = nil, nil
		u, err := lockUser(ctx, tx, f.UserID)
		if err != nil {
			return err
		}
		if err := tx.CreateChallenge(ctx, ch); err != nil && !errors.Is(err, keystile.ErrConflict) {
			return err
		}
		made, refused, err = s.judge(ctx, tx, c, r, judged{step: step{user: u, found: found}, counters: counters})
		return err
	})
	if err != nil {
		return nil, err
	}
	if refused != nil {
		s.noteFailure(ctx, c, f.UserID, refused.Error())
	}
	return made, refused
}

// spendPasskey verifies a use of one of the user's passkeys. Its signature counter is accepted once.
func (s *Service) spendPasskey(ctx context.Context, tx *store.Tx, u keystile.User, t ticket, raw []byte) (keystile.AuthMethod, error) {
	factors, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return "", err
	}
	owner, err := s.passkeyUser(u, factors)
	if err != nil {
		return "", err
	}
	used, err := s.passkeys.FinishUse(owner, t.State, raw)
	if errors.Is(err, passkey.ErrWrong) {
		s.o.Logger.InfoContext(ctx, "a passkey was refused", "user", u.ID, "reason", err.Error())
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, f := range factors {
		if string(f.CredentialID) != string(used.ID) {
			continue
		}
		sealed, err := s.o.Sealer.Seal(used.Record, keystile.FactorPlace(f.ID))
		if err != nil {
			return "", err
		}
		accepted := false
		if used.Counter == 0 {
			accepted, err = tx.TouchFactor(ctx, f, sealed)
		} else {
			accepted, err = tx.AdvanceFactor(ctx, f, used.Counter, sealed)
		}
		if err != nil || !accepted {
			return "", err
		}
		return keystile.MethodPasskey, nil
	}
	return "", nil
}

// BeginPasskeyEnrolment begins to register a passkey of the user.
func (s *Service) BeginPasskeyEnrolment(ctx context.Context, _ Caller, sid string) (PasskeyCeremony, error) {
	if s.passkeys == nil {
		return PasskeyCeremony{}, ErrOff
	}
	l, err := s.strong(ctx, sid)
	if err != nil {
		return PasskeyCeremony{}, err
	}
	factors, err := s.o.Store.Factors(ctx, l.User.ID)
	if err != nil {
		return PasskeyCeremony{}, err
	}
	u, err := s.passkeyUser(l.User, factors)
	if err != nil {
		return PasskeyCeremony{}, err
	}
	options, state, err := s.passkeys.BeginRegistration(u)
	if err != nil {
		return PasskeyCeremony{}, err
	}
	sealed, err := s.sealTicket(ticket{Purpose: forEnrolment, SessionID: sid, State: state, ExpiresAt: s.now().Add(enrolmentLife)})
	return PasskeyCeremony{Token: sealed, Options: options}, err
}

// maxPasskeys bounds how many a user has: their ids are in the options of every ceremony.
const maxPasskeys = 20

// FinishPasskeyEnrolment registers the passkey in response (JSON, at most 64 KiB).
func (s *Service) FinishPasskeyEnrolment(ctx context.Context, c Caller, sid string, enrolled PasskeyResponse) (keystile.Factor, error) {
	none := keystile.Factor{}
	if s.passkeys == nil {
		return none, ErrOff
	}
	l, err := s.strong(ctx, sid)
	if err != nil {
		return none, err
	}
	t, err := s.openTicket(enrolled.Ceremony, forEnrolment)
	if err != nil || t.SessionID != sid {
		return none, ErrChallengeExpired
	}
	made, err := s.passkeys.FinishRegistration(passkey.User{ID: l.User.ID}, t.State, enrolled.Response)
	if errors.Is(err, passkey.ErrWrong) {
		s.noteFailure(ctx, c, l.User.ID, err.Error())
		return none, ErrInvalidCode
	}
	if err != nil {
		return none, err
	}
	f, err := s.keepPasskey(ctx, c, l.User, keystile.Factor{
		UserID: l.User.ID, Kind: keystile.FactorPasskey, Name: clipName(enrolled.Name), Sealed: made.Record,
		CredentialID: made.ID, LastStep: made.Counter, CreatedAt: s.now(),
	})
	if err != nil {
		return none, err
	}
	s.tell(l.User, "A passkey was added", "A passkey was added to your account. If it was not you, tell your administrator at once.")
	f.Sealed, f.CredentialID = nil, nil
	return f, nil
}

// keepPasskey seals and enrols a passkey whose record is in Sealed.
func (s *Service) keepPasskey(ctx context.Context, c Caller, u keystile.User, f keystile.Factor) (keystile.Factor, error) {
	id, err := s.base62(16)
	if err != nil {
		return f, err
	}
	f.ID = "fac_" + id
	if f.Sealed, err = s.o.Sealer.Seal(f.Sealed, keystile.FactorPlace(f.ID)); err != nil {
		return f, err
	}
	return f, s.mutate(ctx, actor(c, u.ID), func(ctx context.Context, tx *store.Tx) error {
		if _, err := s.lockAccount(ctx, tx, u.ID); err != nil {
			return err
		}
		factors, err := tx.Factors(ctx, u.ID)
		if err != nil {
			return err
		}
		if len(factors) > maxPasskeys {
			return keystile.Invalidf("passkey", "remove one that is not used", "there are %d already", maxPasskeys)
		}
		// Secrets that were offered at a sign-in end here, too: whoever knows the password may have one (rulings R18).
		return errors.Join(tx.CreateFactor(ctx, f), tx.ExpireEnrolments(ctx, u.ID, [32]byte{}, s.now()))
	})
}
