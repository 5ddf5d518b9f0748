package login_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestANameAndItsPasswordOpenASessionThatSaysWhatWasProven(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		for _, name := range []string{"thandi", "THANDI", " thandi ", "Thandi@Example.com", "thandi@example.com"} {
			out := w.signIn(from(home), name)
			s := out.Session
			if s == nil || out.Challenge != nil || out.User.ID != "user_thandi" {
				t.Fatalf("%q: %+v", name, out)
			}
			if len(s.ID) != 36 || !strings.HasPrefix(s.ID, "ses_") || !slices.Equal(s.Methods, []keystile.AuthMethod{keystile.MethodPassword}) ||
				s.Door != keystile.DoorOna || s.ClientAddr != "192.0.2.10" || s.ExpiresAt.Sub(s.CreatedAt) != 30*24*time.Hour {
				t.Errorf("session %+v", s)
			}
			kept, u, err := w.service.Renew(t.Context(), from(home), s.ID)
			if err != nil || kept.ID != s.ID || u.ID != "user_thandi" {
				t.Errorf("renew: %+v, %v", kept, err)
			}
		}
		found, err := w.store.FindSession(t.Context(), w.sessions("user_thandi")[0].ID)
		if err != nil || found.Role.ID != "role_analyst" || !slices.Equal(found.SiteIDs, []string{"Sibaya"}) || !found.Live(w.now()) || found.Organization.ID != "north" {
			t.Errorf("look-up %+v, %v", found, err)
		}
	})
}

func TestThreat26_WrongPasswordUnknownNameAndNoPasswordAreOneAnswer(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		w.user("gone", func(u *keystile.User) { u.Disabled = true })
		for name, c := range map[string]struct {
			user  string
			typed keystile.Secret
			want  error
		}{
			"wrong":                           {"thandi", "wrong", login.ErrInvalidCredentials},
			"unknown":                         {"nobody", secret, login.ErrInvalidCredentials},
			"no name":                         {"", secret, login.ErrInvalidCredentials},
			"not a name":                      {"\x00\xff", secret, login.ErrInvalidCredentials},
			"a name of a megabyte":            {strings.Repeat("x", 1<<20), secret, login.ErrInvalidCredentials},
			"a look-alike":                    {"thаndi", secret, login.ErrInvalidCredentials},
			"empty":                           {"thandi", "", login.ErrInvalidCredentials},
			"with NUL":                        {"thandi", secret + "\x00", login.ErrInvalidCredentials},
			"a password of a megabyte":        {"thandi", keystile.Secret(strings.Repeat("x", 1<<20)), login.ErrInvalidCredentials},
			"disabled, with a wrong password": {"gone", "wrong", login.ErrInvalidCredentials},
			"disabled, with the right one":    {"gone", secret, login.ErrInactive},
		} {
			t.Run(name, func(t *testing.T) {
				out, err := w.service.Password(t.Context(), from(netip.AddrFrom4([4]byte{10, 0, byte(len(name)), 1})), c.user, c.typed)
				if !errors.Is(err, c.want) || out.Session != nil || out.Challenge != nil {
					t.Errorf("got %+v, %v", out, err)
				}
			})
		}
	})
}

func TestEnrolmentAtSignInConfirmsTheSecretOfItsOwnChallengeAndEndsTheOthers(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", func(u *keystile.User) { u.MFA = keystile.MFARequired })
		thief, owner := w.challenge(from(away), "thandi"), w.challenge(from(home), "thandi")
		if thief.Provisioning == owner.Provisioning || !thief.Enrolment || !owner.Enrolment {
			t.Fatalf("two enrolments have one secret: %+v", owner)
		}
		made, err := w.service.Code(t.Context(), from(home), owner.Token, w.app(owner.Provisioning).code(), answer)
		noError(t, err)
		if s := w.sessionOf(made); !slices.Equal(s.Methods, []keystile.AuthMethod{"pwd", "otp", "mfa"}) {
			t.Errorf("methods %v", s.Methods)
		}
		// Who had the password first has learned a secret that is worth nothing.
		_, err = w.service.Code(t.Context(), from(away), thief.Token, w.app(thief.Provisioning).code(), answer)
		is(t, err, login.ErrChallengeExpired)
		again := w.challenge(from(home), "thandi")
		if again.Enrolment || again.Provisioning != "" || !slices.Equal(again.Kinds, []keystile.FactorKind{keystile.FactorTOTP}) {
			t.Errorf("after enrolment: %+v", again)
		}
		_, err = w.service.Code(t.Context(), from(away), again.Token, w.app(thief.Provisioning).next(), answer)
		is(t, err, login.ErrInvalidCode)
		_, err = w.service.Code(t.Context(), from(home), again.Token, w.app(owner.Provisioning).next(), answer)
		noError(t, err)
	})
}

// Whoever has the password first was offered a secret, and the owner enrolled a passkey elsewhere meanwhile.
func TestThreat24_AnEnrolmentThatWasOfferedEndsWithAnyFactorThatIsEnrolled(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		owner := w.session("thandi")
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFARequired })
		thief := w.challenge(from(away), "thandi")
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFAInherit })
		w.passkey(owner.ID)
		_, err := w.service.Challenge(t.Context(), thief.Token)
		is(t, err, login.ErrChallengeExpired)
		made, err := w.service.Code(t.Context(), from(away), thief.Token, w.app(thief.Provisioning).code(), answer)
		is(t, err, login.ErrChallengeExpired)
		if made != nil {
			t.Errorf("the thief is signed in: %+v", w.sessionOf(made))
		}
	})
}

func TestThreat23_ACodeIsGoodOnceWhateverChallengeItAnswers(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		first, second := w.challenge(from(home), "thandi"), w.challenge(from(home), "thandi")
		code := a.next()
		_, err := w.service.Code(t.Context(), from(home), first.Token, code, answer)
		noError(t, err)
		_, err = w.service.Code(t.Context(), from(home), second.Token, code, answer)
		is(t, err, login.ErrInvalidCode)
		// The one before, although it is within the window.
		a.w.pass(-30 * time.Second)
		old := a.code()
		a.w.pass(30 * time.Second)
		_, err = w.service.Code(t.Context(), from(home), second.Token, old, answer)
		is(t, err, login.ErrInvalidCode)
		_, err = w.service.Code(t.Context(), from(home), second.Token, a.next(), answer)
		noError(t, err)
	})
}

func TestTheSameQuestionWithinTenSecondsGetsTheIdenticalAnswer(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		a := w.enrol("thandi")
		ch := w.challenge(from(home), "thandi")
		code := a.next()
		first, err := w.service.Code(t.Context(), from(home), ch.Token, code, answer)
		noError(t, err)
		sessions := len(w.sessions("user_thandi"))
		w.pass(9 * time.Second)
		w.restart()
		second, err := w.service.Code(t.Context(), from(home), ch.Token, code[:3]+" "+code[3:], answer)
		if err != nil || !bytes.Equal(first, second) || len(w.sessions("user_thandi")) != sessions {
			t.Errorf("the same question: %q, then %q, %v", first, second, err)
		}
		_, err = w.service.Code(t.Context(), from(away), ch.Token, code, answer)
		is(t, err, login.ErrChallengeExpired)
		_, err = w.service.Code(t.Context(), from(home), ch.Token, a.wrong(), answer)
		is(t, err, login.ErrChallengeExpired)
		w.pass(2 * time.Second)
		_, err = w.service.Code(t.Context(), from(home), ch.Token, code, answer)
		is(t, err, login.ErrChallengeExpired)
	})
}

// race lets 64 answer at once on two servers and counts what came of it.
func race(t *testing.T, w *world, ask func(s *login.Service, i int) ([]byte, error)) (answers map[string]int, refused map[string]int) {
	t.Helper()
	w.restart()
	servers := []*login.Service{w.service}
	w.restart()
	servers = append(servers, w.service)
	answers, refused = map[string]int{}, map[string]int{}
	var mu sync.Mutex
	together(64, func(i int) {
		made, err := ask(servers[i%2], i)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			refused[err.Error()]++
			return
		}
		answers[string(made)]++
	})
	return answers, refused
}

func TestThreat08_Of64RacingAnswersOneMakesASessionAndAllOfTheSameAddressGetIt(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		for name, addr := range map[string]func(i int) netip.Addr{
			"the same address": func(int) netip.Addr { return home },
			"other addresses":  func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i), 0, 1}) },
		} {
			t.Run(name, func(t *testing.T) {
				ch := w.challenge(from(home), "thandi")
				code := a.next()
				before := len(w.sessions("user_thandi"))
				answers, refused := race(t, w, func(s *login.Service, i int) ([]byte, error) {
					return s.Code(t.Context(), from(addr(i)), ch.Token, code, answer)
				})
				made := len(w.sessions("user_thandi")) - before
				if made != 1 || len(answers) != 1 {
					t.Errorf("%d sessions, %d distinct answers, refused %v", made, len(answers), refused)
				}
				want := 64
				if name == "other addresses" {
					want = 1
				}
				for _, n := range answers {
					if n != want {
						t.Errorf("%d got the answer, want %d; refused %v", n, want, refused)
					}
				}
			})
		}
	})
}

func TestThreat23_Of64ChallengesRacingWithOneCodeOneIsAnswered(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		challenges := make([]login.Challenge, 8)
		for i := range challenges {
			challenges[i] = w.challenge(from(home), "thandi")
		}
		code := a.next()
		before := len(w.sessions("user_thandi"))
		answers, refused := race(t, w, func(s *login.Service, i int) ([]byte, error) {
			return s.Code(t.Context(), from(netip.AddrFrom4([4]byte{10, byte(i), 0, 1})), challenges[i%8].Token, code, answer)
		})
		if made := len(w.sessions("user_thandi")) - before; made != 1 || len(answers) != 1 {
			t.Errorf("%d sessions, answers %v, refused %v", made, answers, refused)
		}
	})
}

func TestThreat23_FiveWrongCodesBurnAChallengeHoweverTheyRace(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		ch := w.challenge(from(home), "thandi")
		wrong := a.wrong()
		_, refused := race(t, w, func(s *login.Service, i int) ([]byte, error) {
			return s.Code(t.Context(), from(netip.AddrFrom4([4]byte{10, byte(i), 0, 1})), ch.Token, wrong, answer)
		})
		if refused[login.ErrInvalidCode.Error()] != 5 || refused[login.ErrChallengeExpired.Error()] != 59 {
			t.Errorf("refused %v", refused)
		}
		_, err := w.service.Code(t.Context(), from(home), ch.Token, a.next(), answer)
		is(t, err, login.ErrChallengeExpired)
	})
}

func TestAChallengeLivesFiveMinutesAndServesItsOwnUserOnly(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		w.user("sipho", nil)
		mine, theirs := w.enrol("thandi"), w.enrol("sipho")
		ch := w.challenge(from(home), "thandi")
		_, err := w.service.Code(t.Context(), from(home), ch.Token, theirs.next(), answer)
		is(t, err, login.ErrInvalidCode)
		w.pass(5 * time.Minute)
		_, err = w.service.Code(t.Context(), from(home), ch.Token, mine.code(), answer)
		is(t, err, login.ErrChallengeExpired)
		for _, token := range []keystile.Secret{"", "x", keystile.Secret(strings.Repeat("A", 32)), keystile.Secret(strings.Repeat("A", 1<<20))} {
			_, err := w.service.Code(t.Context(), from(home), token, "123456", answer)
			is(t, err, login.ErrChallengeExpired)
		}
		for _, code := range []string{"", "12345", "1234567", "abcdef", "１２３４５６", strings.Repeat("1", 1<<20)} {
			ch := w.challenge(from(away), "thandi")
			_, err := w.service.Code(t.Context(), from(away), ch.Token, code, answer)
			is(t, err, login.ErrInvalidCode)
		}
	})
}

func TestAMintThatFailsLeavesTheCodeAndTheChallengeUnused(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		a := w.enrol("thandi")
		ch := w.challenge(from(home), "thandi")
		code := a.next()
		before := len(w.sessions("user_thandi"))
		broken := errors.New("no key")
		_, err := w.service.Code(t.Context(), from(home), ch.Token, code, func(context.Context, keystile.Session, keystile.User) ([]byte, error) { return nil, broken })
		is(t, err, broken)
		if len(w.sessions("user_thandi")) != before {
			t.Error("a session was made")
		}
		_, err = w.service.Code(t.Context(), from(home), ch.Token, code, answer)
		noError(t, err)
	})
}

func TestWhoMustHaveASecondFactorIsSaidByUserThenRoleThenOrganisation(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		w.user("enrolled", nil)
		w.enrol("enrolled")
		set := func(user, role, org keystile.MFAPolicy) {
			storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error {
				r, o := storetest.Role("role_analyst"), storetest.Organization("north")
				r.MFA, o.MFA = role, org
				return errors.Join(tx.UpdateRole(ctx, r), tx.UpdateOrganization(ctx, o))
			})
			for _, id := range []string{"user_thandi", "user_enrolled"} {
				w.change(id, func(u *keystile.User) { u.MFA = user })
			}
		}
		const req, opt, off, none = keystile.MFARequired, keystile.MFAOptional, keystile.MFAOff, keystile.MFAInherit
		for _, c := range []struct {
			user, role, org keystile.MFAPolicy
			bare, enrolled  bool // whether a challenge is made
		}{
			{none, none, none, false, true},
			{none, none, req, true, true},
			{none, opt, req, false, true},
			{none, req, off, true, true},
			{off, req, req, false, false},
			{req, off, off, true, true},
			{opt, req, req, false, true},
			{none, none, off, false, false},
		} {
			set(c.user, c.role, c.org)
			for name, want := range map[string]bool{"thandi": c.bare, "enrolled": c.enrolled} {
				if out := w.signIn(from(home), name); (out.Challenge != nil) != want {
					t.Errorf("user %q role %q organisation %q: %s challenged: %v", c.user, c.role, c.org, name, out.Challenge != nil)
				}
			}
		}
	})
}

func TestThreat25_AccountsAreCountedByWhoTheyAreWhateverNameOrFactorIsTried(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		a := w.enrol("thandi")
		tries := []func() error{}
		for _, name := range []string{"thandi", "THANDI", "thandi@example.com", " Thandi@Example.COM "} {
			tries = append(tries, func() error {
				_, err := w.service.Password(t.Context(), from(away), name, "wrong")
				return err
			})
		}
		ch := w.challenge(from(away), "thandi")
		tries = append(tries, func() error {
			_, err := w.service.Code(t.Context(), from(away), ch.Token, a.wrong(), answer)
			return err
		})
		for i := range 10 {
			if err := tries[i%len(tries)](); !errors.Is(err, login.ErrInvalidCredentials) && !errors.Is(err, login.ErrInvalidCode) {
				t.Fatalf("attempt %d: %v", i, err)
			}
		}
		w.restart()
		for i, try := range tries {
			var throttled *login.Throttled
			if err := try(); !errors.As(err, &throttled) || throttled.RetryAfter < time.Second {
				t.Errorf("after ten failures, way %d: %v", i, err)
			}
		}
		// The owner, where they signed in before, is not held up.
		w.signIn(from(home), "thandi")
	})
}

func TestTheDelayGrowsAndQuietForgivesIt(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		attempt := func() error {
			_, err := w.service.Password(t.Context(), from(away), "thandi", "wrong")
			return err
		}
		for range 10 {
			is(t, attempt(), login.ErrInvalidCredentials)
		}
		var throttled *login.Throttled
		last := time.Duration(0)
		for range 6 {
			if err := attempt(); !errors.As(err, &throttled) || throttled.RetryAfter < last {
				t.Fatalf("got %v after %s", err, last)
			}
			last = throttled.RetryAfter
			// Trying on in vain makes it no longer.
			if err := attempt(); !errors.As(err, &throttled) || throttled.RetryAfter > last {
				t.Errorf("the delay grew from %s to %s by attempts that were refused", last, throttled.RetryAfter)
			}
			w.pass(last + time.Second)
			is(t, attempt(), login.ErrInvalidCredentials)
		}
		if last < 16*time.Second {
			t.Errorf("the delay grew to %s only", last)
		}
		w.pass(15*time.Minute + time.Second)
		for range 10 {
			is(t, attempt(), login.ErrInvalidCredentials)
		}
	})
}

func TestThreat23_ARightPasswordDoesNotForgiveWrongCodes(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		a := w.enrol("thandi")
		guesses := 0
		for range 10 {
			out, err := w.service.Password(t.Context(), from(away), "thandi", secret)
			var throttled *login.Throttled
			if errors.As(err, &throttled) {
				break
			}
			noError(t, err)
			for range 4 {
				if _, err := w.service.Code(t.Context(), from(away), out.Challenge.Token, a.wrong(), answer); errors.Is(err, login.ErrInvalidCode) {
					guesses++
				}
			}
		}
		if guesses != 10 {
			t.Errorf("%d codes were looked at", guesses)
		}
	})
}

func TestThreat25_RacingGuessesAreCountedOneByOne(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		for _, name := range []string{"thandi", "nobody"} {
			_, refused := race(t, w, func(s *login.Service, _ int) ([]byte, error) {
				_, err := s.Password(t.Context(), from(netip.MustParseAddr("198.51.100."+map[string]string{"thandi": "1", "nobody": "200"}[name])), name, "wrong")
				return nil, err
			})
			if n := refused[login.ErrInvalidCredentials.Error()]; n < 10 || n > 12 {
				t.Errorf("%s: %d of 64 guesses were looked at: %v", name, n, refused)
			}
		}
	})
}

func TestAnAccountAttackedFromEverywhereIsOpenToItsOwnerWhereTheySignedInBefore(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		w.signIn(from(home), "thandi")
		var throttledAt atomic.Int64
		var throttled *login.Throttled
		for i := range 110 {
			_, err := w.service.Password(t.Context(), from(netip.AddrFrom4([4]byte{10, byte(i), 1, 1})), "thandi", "")
			is(t, err, login.ErrInvalidCredentials) // nothing that could be a password is counted
			_, err = w.service.Password(t.Context(), from(netip.AddrFrom4([4]byte{10, byte(i), 1, 1})), "thandi", "wrong")
			if errors.As(err, &throttled) {
				throttledAt.CompareAndSwap(0, int64(i))
			}
		}
		if throttledAt.Load() != 100 {
			t.Errorf("throttled from attempt %d on", throttledAt.Load())
		}
		_, err := w.service.Password(t.Context(), from(other), "thandi", secret)
		if !errors.As(err, &throttled) {
			t.Errorf("a new network: %v", err)
		}
		w.signIn(from(home), "thandi")
		w.signIn(from(netip.MustParseAddr("192.0.2.200")), "thandi") // the same /24
		w.pass(31 * 24 * time.Hour)
		w.signIn(from(other), "thandi") // and nothing lasts
	})
}

func TestAnAddressIsCountedOverAllNamesButNotAKnownProxy(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		w.user("thandi", nil)
		w.options.RateExempt = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		w.restart()
		var throttled *login.Throttled
		spray := func(addr netip.Addr) (looked int) {
			for i := range 60 {
				if _, err := w.service.Password(t.Context(), from(addr), fmt.Sprintf("name%d", i), "wrong"); !errors.As(err, &throttled) {
					looked++
				}
			}
			return looked
		}
		if n := spray(away); n != 50 {
			t.Errorf("%d of 60 names were looked at from one address", n)
		}
		v6 := spray(netip.MustParseAddr("2001:db8:1:2::1"))
		if _, err := w.service.Password(t.Context(), from(netip.MustParseAddr("2001:db8:1:2:ffff::9")), "thandi", secret); v6 != 50 || !errors.As(err, &throttled) {
			t.Errorf("%d from IPv6, and another address of the same /64: %v", v6, err)
		}
		if n := spray(other); n != 60 {
			t.Errorf("%d of 60 names were looked at behind a known proxy", n)
		}
	})
}
