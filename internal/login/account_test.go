package login_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

const fresh = keystile.Secret("river-copper-lamp-eleven")

func (w *world) ended(sid string) bool {
	w.t.Helper()
	_, _, err := w.service.Renew(w.t.Context(), from(home), sid)
	if err != nil && !errors.Is(err, login.ErrSessionEnded) {
		w.t.Fatal(err)
	}
	return err != nil
}

func TestAPasswordThatMustBeChangedLeadsToANewOneAndToNothingElse(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		before := w.session("thandi")
		w.change("user_thandi", func(u *keystile.User) { u.MustChangePassword = true })
		out := w.signIn(from(home), "thandi")
		if out.Session != nil || !out.Challenge.MustChangePassword || len(out.Challenge.Kinds) != 0 {
			t.Fatalf("got %+v", out)
		}
		token := out.Challenge.Token
		_, err := w.service.Code(t.Context(), from(home), token, "123456", answer)
		is(t, err, login.ErrChallengeExpired)
		var invalid *keystile.Invalid
		for _, weak := range []keystile.Secret{"short", "password123", "thandi2024", secret} {
			if _, err := w.service.ForcedChange(t.Context(), from(home), token, weak, answer); !errors.As(err, &invalid) || invalid.Field != password.Field {
				t.Errorf("%q: %v", weak.Reveal(), err)
			}
		}
		answers, refused := race(t, w, func(s *login.Service, i int) ([]byte, error) {
			if i > 3 {
				return nil, errors.New("idle")
			}
			return s.ForcedChange(t.Context(), from(home), token, fresh, answer)
		})
		if len(answers) != 1 || refused["idle"] != 60 {
			t.Errorf("answers %v, refused %v", answers, refused)
		}
		if !w.ended(before.ID) {
			t.Error("a session from before goes on")
		}
		_, err = w.service.Password(t.Context(), from(home), "thandi", secret)
		is(t, err, login.ErrInvalidCredentials)
		out, err = w.service.Password(t.Context(), from(home), "thandi", fresh)
		if err != nil || out.Session == nil {
			t.Errorf("with the new password: %+v, %v", out, err)
		}
	})
}

func TestAForcedChangeComesAfterAllFactors(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		w.change("user_thandi", func(u *keystile.User) { u.MustChangePassword = true })
		ch := w.challenge(from(home), "thandi")
		if ch.MustChangePassword {
			t.Fatal("the password may be changed before the second factor")
		}
		_, err := w.service.ForcedChange(t.Context(), from(home), ch.Token, fresh, answer)
		is(t, err, login.ErrChallengeExpired)
		code := a.next()
		var due *login.ChangeRequired
		for range 2 { // a repeated question has the same answer
			if _, err = w.service.Code(t.Context(), from(home), ch.Token, code, answer); !errors.As(err, &due) || due.Challenge.Token != ch.Token {
				t.Fatalf("got %v", err)
			}
		}
		_, err = w.service.Code(t.Context(), from(home), ch.Token, a.next(), answer)
		is(t, err, login.ErrChallengeExpired)
		made, err := w.service.ForcedChange(t.Context(), from(home), ch.Token, fresh, answer)
		noError(t, err)
		if s := w.sessionOf(made); !slices.Equal(s.Methods, []keystile.AuthMethod{"pwd", "otp", "mfa"}) {
			t.Errorf("methods %v", s.Methods)
		}
	})
}

func TestAChangedPasswordEndsAllOtherSessionsAndNeedsTheOldOne(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		mine, elsewhere := w.session("thandi"), w.session("thandi")
		is(t, w.service.ChangePassword(t.Context(), from(home), mine.ID, "wrong", fresh), login.ErrInvalidCredentials)
		var invalid *keystile.Invalid
		if err := w.service.ChangePassword(t.Context(), from(home), mine.ID, secret, "letmein1"); !errors.As(err, &invalid) {
			t.Errorf("a weak one: %v", err)
		}
		noError(t, w.service.ChangePassword(t.Context(), from(home), mine.ID, secret, fresh))
		if w.ended(mine.ID) || !w.ended(elsewhere.ID) {
			t.Error("the wrong session ended")
		}
		is(t, w.service.ChangePassword(t.Context(), from(home), elsewhere.ID, fresh, secret), login.ErrSessionEnded)
	})
}

func TestAPasswordThatIsDueIsNoLongerSoOnceItIsChangedOnTheAccountPage(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		mine := w.session("thandi")
		w.change("user_thandi", func(u *keystile.User) { u.MustChangePassword = true })
		noError(t, w.service.ChangePassword(t.Context(), from(home), mine.ID, secret, fresh))
		out, err := w.service.Password(t.Context(), from(home), "thandi", fresh)
		if err != nil || out.Session == nil {
			t.Errorf("a second change is asked for: %+v, %v", out, err)
		}
	})
}

// atDraw is called when randomness is drawn, once.
type atDraw struct{ call func() }

func (a *atDraw) Read(p []byte) (int, error) {
	if call := a.call; call != nil {
		a.call = nil
		call()
	}
	return rand.Read(p)
}

func TestThreat08_AChangeOfPasswordThatAResetOvertookChangesNothing(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		stolen := w.session("thandi")
		noError(t, w.service.BeginReset(t.Context(), from(home), "thandi"))
		tokens := w.mailed()
		owners := keystile.Secret("kettle-orbit-velvet-nine")
		reset := w.service
		draw := &atDraw{}
		slow, err := password.New(password.Options{Random: draw, Wait: time.Minute})
		noError(t, err)
		w.options.Passwords = slow
		w.restart()
		// While the new password is hashed, the owner's reset goes through.
		draw.call = func() { noError(t, reset.FinishReset(t.Context(), from(home), tokens[0], owners)) }
		is(t, w.service.ChangePassword(t.Context(), from(away), stolen.ID, secret, fresh), login.ErrSessionEnded)
		_, err = reset.Password(t.Context(), from(away), "thandi", fresh)
		is(t, err, login.ErrInvalidCredentials)
		out, err := reset.Password(t.Context(), from(home), "thandi", owners)
		if err != nil || out.Session == nil {
			t.Errorf("the owner's password: %+v, %v", out, err)
		}
	})
}

func TestThreat25_ASessionIsNoPlaceToGuessThePassword(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		s := w.session("thandi")
		for range 10 {
			is(t, w.service.ChangePassword(t.Context(), from(away), s.ID, "wrong", fresh), login.ErrInvalidCredentials)
		}
		var throttled *login.Throttled
		if err := w.service.ChangePassword(t.Context(), from(away), s.ID, secret, fresh); !errors.As(err, &throttled) {
			t.Errorf("got %v", err)
		}
	})
}

var link = regexp.MustCompile(`https://auth\.example\.com/login/reset\?token=([0-9A-Za-z]{32})\n`)

// mailed lets the Service send what waits and returns the reset tokens so far.
func (w *world) mailed() (tokens []keystile.Secret) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.service.Run(ctx)
	}()
	w.service.Idle()
	cancel()
	<-done
	for _, m := range w.inbox.all() {
		if found := link.FindStringSubmatch(m); found != nil {
			tokens = append(tokens, keystile.Secret(found[1]))
		}
	}
	return tokens
}

func TestAResetLinkIsMailedOnceGoodForHalfAnHourAndLowersNothing(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		before := w.sessions("user_thandi")
		for _, name := range []string{"nobody", "thandi@example.com", "\x00", strings.Repeat("x", 1<<20)} {
			noError(t, w.service.BeginReset(t.Context(), from(home), name))
		}
		tokens := w.mailed()
		if len(tokens) != 1 || !strings.HasPrefix(w.inbox.all()[len(w.inbox.all())-1], "To: thandi@example.com\n") {
			t.Fatalf("mail %q", w.inbox.all())
		}
		for _, wrong := range []keystile.Secret{"", "x", keystile.Secret(strings.Repeat("A", 32))} {
			is(t, w.service.FinishReset(t.Context(), from(home), wrong, fresh), login.ErrChallengeExpired)
		}
		var invalid *keystile.Invalid
		if err := w.service.FinishReset(t.Context(), from(home), tokens[0], "password1"); !errors.As(err, &invalid) {
			t.Errorf("a weak password: %v", err)
		}
		_, refused := race(t, w, func(s *login.Service, i int) ([]byte, error) {
			if i > 3 {
				return nil, errors.New("idle")
			}
			return nil, s.FinishReset(t.Context(), from(home), tokens[0], fresh)
		})
		if refused[login.ErrChallengeExpired.Error()]+refused["password: is the one you have; choose one that you have not now"] != 3 {
			t.Errorf("refused %v", refused)
		}
		for _, s := range before {
			if !w.ended(s.ID) {
				t.Error("a session from before goes on")
			}
		}
		out, err := w.service.Password(t.Context(), from(home), "thandi", fresh)
		if err != nil || out.Challenge == nil || out.Challenge.Enrolment {
			t.Fatalf("the second factor is not asked for: %+v, %v", out, err)
		}
		_, err = w.service.Code(t.Context(), from(home), out.Challenge.Token, a.next(), answer)
		noError(t, err)

		noError(t, w.service.BeginReset(t.Context(), from(home), "thandi"))
		old := w.mailed()[1]
		w.pass(30 * time.Minute)
		is(t, w.service.FinishReset(t.Context(), from(home), old, secret), login.ErrChallengeExpired)
	})
}

func TestThreat28_AResetLinkEndsWithTheAddressThatItWasMailedToAndWithTheAccount(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		for name, change := range map[string]func(*keystile.User){
			"moved":    func(u *keystile.User) { u.Email = "new@example.com" },
			"disabled": func(u *keystile.User) { u.Disabled = true },
		} {
			w.user(name, nil)
			noError(t, w.service.BeginReset(t.Context(), from(home), name))
			tokens := w.mailed()
			w.change("user_"+name, change)
			w.change("user_"+name, func(u *keystile.User) { u.Disabled = false })
			is(t, w.service.FinishReset(t.Context(), from(away), tokens[len(tokens)-1], fresh), login.ErrChallengeExpired)
		}
	})
}

func TestThreat28_AChallengeThatWaitsEndsWithItsUsersDisabling(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		waiting := w.challenge(from(away), "thandi")
		for _, disabled := range []bool{true, false} {
			w.change("user_thandi", func(u *keystile.User) { u.Disabled = disabled })
		}
		_, err := w.service.Code(t.Context(), from(away), waiting.Token, a.next(), answer)
		is(t, err, login.ErrChallengeExpired)
	})
}

func TestResetLinksAreLimitedForAnAccountAndFollowItsState(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		w.user("gone", func(u *keystile.User) { u.Disabled = true })
		for i := range 6 {
			noError(t, w.service.BeginReset(t.Context(), from(netip.AddrFrom4([4]byte{10, 0, byte(i), 1})), "thandi"))
		}
		noError(t, w.service.BeginReset(t.Context(), from(home), "gone"))
		tokens := w.mailed()
		if len(tokens) != 3 {
			t.Errorf("%d links", len(tokens))
		}
		noError(t, w.service.FinishReset(t.Context(), from(home), tokens[0], fresh))
		is(t, w.service.FinishReset(t.Context(), from(home), tokens[1], "another-long-enough-one"), login.ErrChallengeExpired)
		var throttled *login.Throttled
		var err error
		for range 20 {
			if err = w.service.BeginReset(t.Context(), from(away), "thandi"); err != nil {
				break
			}
		}
		if !errors.As(err, &throttled) {
			t.Errorf("one address may ask for ever: %v", err)
		}
		w.inbox.fail = errors.New("mail server is down")
		noError(t, w.service.BeginReset(t.Context(), from(home), "thandi"))
		w.mailed()
		w.options.Mailer = nil
		w.restart()
		is(t, w.service.BeginReset(t.Context(), from(home), "thandi"), login.ErrOff)
	})
}

func TestTenRecoveryCodesAreGoodOnceEachAndNewOnesEndThem(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		ch := w.challenge(from(home), "thandi")
		made, err := w.service.Code(t.Context(), from(home), ch.Token, a.next(), answer)
		noError(t, err)
		mine := w.sessionOf(made)
		old, err := w.service.RecoveryCodes(t.Context(), from(home), mine.ID)
		noError(t, err)
		codes, err := w.service.RecoveryCodes(t.Context(), from(home), mine.ID)
		noError(t, err)
		use := func(c login.Caller, code string) ([]byte, error) {
			ch := w.challenge(c, "thandi")
			if !slices.Contains(ch.Kinds, keystile.FactorRecovery) {
				t.Errorf("kinds %v", ch.Kinds)
			}
			return w.service.Code(t.Context(), c, ch.Token, code, answer)
		}
		_, err = use(from(home), old[0].Reveal())
		is(t, err, login.ErrInvalidCode)
		made, err = use(from(home), strings.ToUpper(codes[3].Reveal()))
		noError(t, err)
		if s := w.sessionOf(made); !slices.Equal(s.Methods, []keystile.AuthMethod{"pwd", "rec", "mfa"}) {
			t.Errorf("methods %v", s.Methods)
		}
		_, err = use(from(home), codes[3].Reveal())
		is(t, err, login.ErrInvalidCode)
		var challenges []login.Challenge
		for range 8 {
			challenges = append(challenges, w.challenge(from(home), "thandi"))
		}
		answers, _ := race(t, w, func(s *login.Service, i int) ([]byte, error) {
			return s.Code(t.Context(), from(netip.AddrFrom4([4]byte{10, byte(i), 0, 1})), challenges[i%8].Token, codes[4].Reveal(), answer)
		})
		if len(answers) != 1 {
			t.Errorf("one recovery code opened %d sessions", len(answers))
		}
		factors, err := w.service.Factors(t.Context(), mine.ID)
		if err != nil || len(factors) != 1+8 {
			t.Errorf("%d factors and codes are left, %v", len(factors), err)
		}
	})
}

func TestRecoveryCodesEndWithTheLastFactorThatTheyStandInFor(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFAInherit })
		ch := w.challenge(from(home), "thandi")
		made, err := w.service.Code(t.Context(), from(home), ch.Token, a.next(), answer)
		noError(t, err)
		mine := w.sessionOf(made)
		codes, err := w.service.RecoveryCodes(t.Context(), from(home), mine.ID)
		noError(t, err)
		w.passkey(mine.ID)
		factors, err := w.service.Factors(t.Context(), mine.ID)
		noError(t, err)
		for i, f := range factors[:2] {
			noError(t, w.service.RemoveFactor(t.Context(), from(home), mine.ID, f.ID))
			left, err := w.service.Factors(t.Context(), mine.ID)
			if want := []int{11, 0}[i]; err != nil || len(left) != want {
				t.Errorf("after %d factors were removed %d and codes are left, want %d; %v", i+1, len(left), want, err)
			}
		}
		w.passkey(mine.ID)
		ch = w.challenge(from(home), "thandi")
		_, err = w.service.Code(t.Context(), from(home), ch.Token, codes[0].Reveal(), answer)
		is(t, err, login.ErrInvalidCode)
	})
}

func TestThreat28_APersonalKeyIsShownAfterAllFactorsAndItsResetEndsWhatItOpened(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		mine := w.session("thandi")
		first, err := w.service.AuthToken(t.Context(), from(home), mine.ID)
		noError(t, err)
		again, err := w.service.AuthToken(t.Context(), from(home), mine.ID)
		if err != nil || again != first || len(first) != 32 {
			t.Fatalf("the key is not the same: %v", err)
		}
		principal := func(token keystile.Secret) *keystile.Principal {
			found, err := w.store.FindAPIKeySecret(t.Context(), w.options.Digester.Candidates(apikey.Sum(token), nil))
			noError(t, err)
			return &keystile.Principal{Kind: keystile.KindAPIKey, CredentialID: found.Key.ID, UserID: found.Key.UserID}
		}
		out, err := w.service.APIKey(t.Context(), from(home), principal(first))
		if err != nil || !slices.Equal(out.Session.Methods, []keystile.AuthMethod{"key"}) || out.User.ID != "user_thandi" {
			t.Fatalf("got %+v, %v", out, err)
		}
		// A session that a key opened is nobody in person.
		_, err = w.service.AuthToken(t.Context(), from(home), out.Session.ID)
		is(t, err, login.ErrStepUp)
		_, err = w.service.EnrolTOTP(t.Context(), from(home), out.Session.ID)
		is(t, err, login.ErrStepUp)
		is(t, w.service.ChangePassword(t.Context(), from(home), out.Session.ID, secret, fresh), login.ErrStepUp)
		second, err := w.service.ResetAuthToken(t.Context(), from(home), mine.ID)
		if err != nil || second == first {
			t.Fatal("not reset", err)
		}
		if !w.ended(out.Session.ID) || w.ended(mine.ID) {
			t.Error("the wrong session ended")
		}
		key, err := w.store.APIKey(t.Context(), out.Session.APIKeyID)
		if err != nil || key.RevokedAt.IsZero() {
			t.Errorf("the old key lives: %v", err)
		}
		for _, p := range []*keystile.Principal{nil, {}, {Kind: keystile.KindAPIKey, CredentialID: "x"}, {Kind: keystile.KindSessionJWT, UserID: "user_thandi"}} {
			_, err := w.service.APIKey(t.Context(), from(home), p)
			is(t, err, login.ErrInvalidCredentials)
		}
		w.pass(16 * time.Minute)
		_, err = w.service.AuthToken(t.Context(), from(home), mine.ID)
		is(t, err, login.ErrStepUp)
	})
}

// Threats 27 and 28: whatever a session hangs on, its end is the session's.
// A leaked personal key is held to a rate; a session of its own would not be.
func TestThreat28_AKeyThatIsHeldToALimitOpensNoSessionWithoutOne(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		held := keystile.Principal{Kind: keystile.KindAPIKey, UserID: "user_thandi", CredentialID: "key_1", Limit: &keystile.LeakRate}
		out, err := w.service.APIKey(t.Context(), from(away), &held)
		is(t, err, login.ErrInvalidCredentials)
		if out.Session != nil {
			t.Errorf("session %+v", out.Session)
		}
	})
}

func TestThreat27_ASessionEndsWithEverythingItHangsOn(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		inTx := func(fn func(context.Context, *store.Tx) error) func(*testing.T, string, keystile.Session) {
			return func(t *testing.T, _ string, _ keystile.Session) { storetest.Must(t, w.store, fn) }
		}
		n := 0
		for name, c := range map[string]struct {
			end  func(t *testing.T, user string, s keystile.Session)
			undo func(user string)
		}{
			"the user is disabled": {func(_ *testing.T, user string, _ keystile.Session) {
				w.change(user, func(u *keystile.User) { u.Disabled = true })
			}, func(user string) { w.change(user, func(u *keystile.User) { u.Disabled = false }) }},
			"the user is deleted": {func(t *testing.T, user string, _ keystile.Session) {
				storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, user) })
			}, nil},
			"it is revoked": {func(t *testing.T, _ string, s keystile.Session) {
				noError(t, w.service.Logout(t.Context(), from(home), s.ID))
				noError(t, w.service.Logout(t.Context(), from(home), s.ID))
			}, nil},
			"the password is set by somebody else": {func(t *testing.T, user string, _ keystile.Session) {
				hash, err := w.hasher.Hash(t.Context(), fresh)
				noError(t, err)
				storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error {
					u, err := tx.User(ctx, user)
					if err != nil {
						return err
					}
					return errors.Join(tx.PutPassword(ctx, store.Password{UserID: user, Hash: hash, Class: "x"}), tx.RevokeSessionsOfUser(ctx, u, ""))
				})
			}, nil},
			"its life is over": {func(*testing.T, string, keystile.Session) { w.pass(30 * 24 * time.Hour) }, nil},
			"its organisation is disabled": {inTx(func(ctx context.Context, tx *store.Tx) error {
				o := storetest.Organization("north")
				o.Disabled = true
				return tx.UpdateOrganization(ctx, o)
			}), nil},
		} {
			t.Run(name, func(t *testing.T) {
				storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error {
					return tx.UpdateOrganization(ctx, storetest.Organization("north"))
				})
				n++
				who := "user" + string(rune('a'+n))
				w.user(who, nil)
				s := w.session(who)
				if w.ended(s.ID) {
					t.Fatal("ended before it began")
				}
				c.end(t, "user_"+who, s)
				if !w.ended(s.ID) {
					t.Error("the session goes on")
				}
				if c.undo != nil {
					c.undo("user_" + who)
					if !w.ended(s.ID) {
						t.Error("the session came back")
					}
				}
			})
		}
	})
}

func TestUsersSeeAndEndTheirOwnSessionsOnly(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		w.user("sipho", nil)
		mine, second, theirs := w.session("thandi"), w.session("thandi"), w.session("sipho")
		list, err := w.service.Sessions(t.Context(), mine.ID)
		if err != nil || len(list) != 2 || list[0].ID != second.ID {
			t.Errorf("list %+v, %v", list, err)
		}
		is(t, w.service.RevokeSession(t.Context(), from(home), mine.ID, theirs.ID), keystile.ErrNotFound)
		is(t, w.service.RevokeSession(t.Context(), from(home), mine.ID, "ses_nobody"), keystile.ErrNotFound)
		noError(t, w.service.RevokeSession(t.Context(), from(home), mine.ID, second.ID))
		if !w.ended(second.ID) || w.ended(theirs.ID) || w.ended(mine.ID) {
			t.Error("the wrong session ended")
		}
	})
}

func TestFactorsAreChangedInAFreshSessionWithAllFactorsOnly(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		early := w.session("thandi")
		offered, err := w.service.EnrolTOTP(t.Context(), from(home), early.ID)
		noError(t, err)
		a := w.app(offered.URI)
		is(t, w.service.ConfirmTOTP(t.Context(), from(home), early.ID, login.TOTPConfirmation{Token: offered.Token, Code: a.wrong()}), login.ErrInvalidCode)
		elsewhere := w.session("thandi")
		is(t, w.service.ConfirmTOTP(t.Context(), from(home), elsewhere.ID, login.TOTPConfirmation{Token: offered.Token, Code: a.code()}), login.ErrChallengeExpired)
		noError(t, w.service.ConfirmTOTP(t.Context(), from(home), early.ID, login.TOTPConfirmation{Token: offered.Token, Name: "Phone", Code: a.code()}))
		// There is a second factor now, which the session did not prove.
		_, err = w.service.EnrolTOTP(t.Context(), from(home), early.ID)
		is(t, err, login.ErrStepUp)
		factors, err := w.service.Factors(t.Context(), early.ID)
		if err != nil || len(factors) != 1 || factors[0].Name != "Phone" || factors[0].Sealed != nil {
			t.Fatalf("factors %+v, %v", factors, err)
		}
		is(t, w.service.RemoveFactor(t.Context(), from(home), early.ID, factors[0].ID), login.ErrStepUp)
		ch := w.challenge(from(home), "thandi")
		made, err := w.service.Code(t.Context(), from(home), ch.Token, a.next(), answer)
		noError(t, err)
		strong := w.sessionOf(made)
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFARequired })
		is(t, w.service.RemoveFactor(t.Context(), from(home), strong.ID, factors[0].ID), keystile.ErrConflict)
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFAInherit })
		w.user("sipho", nil)
		is(t, w.service.RemoveFactor(t.Context(), from(home), w.session("sipho").ID, factors[0].ID), keystile.ErrNotFound)
		noError(t, w.service.RemoveFactor(t.Context(), from(home), strong.ID, factors[0].ID))
		w.pass(16 * time.Minute)
		_, err = w.service.RecoveryCodes(t.Context(), from(home), strong.ID)
		is(t, err, login.ErrStepUp)
	})
}

func TestAnImportedHashIsUpgradedAtTheNextSignInAndRacingSignInsAllSucceed(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		const imported = "$pbkdf2-sha256$1000$c2Vhc2FsdDA$f9ZY4I3u9jc4dcHKy8mooBqRzn0XYdgaPa1MqkzCMK8" // "password"
		storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error {
			return tx.PutPassword(ctx, store.Password{UserID: "user_thandi", Hash: imported, Class: "pbkdf2-sha256 i=1000 l=32"})
		})
		_, err := w.service.Password(t.Context(), from(home), "thandi", "passwore")
		is(t, err, login.ErrInvalidCredentials)
		together(4, func(int) {
			if out, err := w.service.Password(t.Context(), from(home), "thandi", "password"); err != nil || out.Session == nil {
				t.Errorf("got %+v, %v", out, err)
			}
		})
		kept, err := w.store.Password(t.Context(), "user_thandi")
		if err != nil || !strings.HasPrefix(kept.Hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("kept %s, %v", kept.Hash, err)
		}
	})
}
