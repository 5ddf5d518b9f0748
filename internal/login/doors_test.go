package login_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

var site = virtualwebauthn.RelyingParty{ID: "auth.example.com", Name: "Ona", Origin: "https://auth.example.com"}

// device is an authenticator with a passkey of a user.
type device struct {
	w   *world
	dev virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

func (w *world) passkey(sid string) *device {
	w.t.Helper()
	d := &device{w: w, dev: virtualwebauthn.NewAuthenticator(), key: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
	begun, err := w.service.BeginPasskeyEnrolment(w.t.Context(), from(home), sid)
	noError(w.t, err)
	options, err := virtualwebauthn.ParseAttestationOptions(string(begun.Options))
	noError(w.t, err)
	d.dev.Options.UserHandle = []byte(options.UserID)
	d.dev.AddCredential(d.key)
	response := []byte(virtualwebauthn.CreateAttestationResponse(site, d.dev, d.key, *options))
	f, err := w.service.FinishPasskeyEnrolment(w.t.Context(), from(home), sid, login.PasskeyResponse{Ceremony: begun.Token, Name: "Key", Response: response})
	noError(w.t, err)
	if f.Name != "Key" || f.Kind != keystile.FactorPasskey || f.Sealed != nil {
		w.t.Errorf("factor %+v", f)
	}
	return d
}

func (d *device) use(options []byte) []byte {
	d.w.t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(string(options))
	noError(d.w.t, err)
	d.key.Counter++
	return []byte(virtualwebauthn.CreateAssertionResponse(site, d.dev, d.key, *parsed))
}

func TestAPasskeyIsASecondFactorAndASignInOfItsOwn(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		d := w.passkey(w.session("thandi").ID)
		ch := w.challenge(from(home), "thandi")
		if !slices.Equal(ch.Kinds, []keystile.FactorKind{keystile.FactorPasskey}) {
			t.Fatalf("kinds %v", ch.Kinds)
		}
		begun, err := w.service.BeginPasskey(t.Context(), from(home), ch.Token)
		noError(t, err)
		made, err := w.service.FinishPasskey(t.Context(), from(home), begun.Token, d.use(begun.Options), answer)
		noError(t, err)
		if s := w.sessionOf(made); !slices.Equal(s.Methods, []keystile.AuthMethod{"pwd", "hwk", "mfa"}) {
			t.Errorf("methods %v", s.Methods)
		}
		_, err = w.service.BeginPasskey(t.Context(), from(home), ch.Token)
		is(t, err, login.ErrChallengeExpired)

		begun, err = w.service.BeginPasskey(t.Context(), from(away), "")
		noError(t, err)
		response := d.use(begun.Options)
		answers, refused := race(t, w, func(s *login.Service, i int) ([]byte, error) {
			c := from(home)
			if i >= 32 {
				c = from(away)
			}
			return s.FinishPasskey(t.Context(), c, begun.Token, response, answer)
		})
		if len(answers) != 1 {
			t.Errorf("one ceremony opened %d sessions, refused %v", len(answers), refused)
		}
		for made := range answers {
			if s := w.sessionOf([]byte(made)); !slices.Equal(s.Methods, []keystile.AuthMethod{"hwk", "mfa"}) || s.UserID != "user_thandi" {
				t.Errorf("session %+v", s)
			}
		}
		// The same answer to a ceremony of its own: the counter did not grow.
		again, err := w.service.BeginPasskey(t.Context(), from(home), "")
		noError(t, err)
		_, err = w.service.FinishPasskey(t.Context(), from(home), again.Token, response, answer)
		is(t, err, login.ErrInvalidCode)
	})
}

func TestATicketServesItsOwnPurposeOnly(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		s := w.session("thandi")
		totp, err := w.service.EnrolTOTP(t.Context(), from(home), s.ID)
		noError(t, err)
		signIn, err := w.service.BeginPasskey(t.Context(), from(home), "")
		noError(t, err)
		enrol, err := w.service.BeginPasskeyEnrolment(t.Context(), from(home), s.ID)
		noError(t, err)
		for _, token := range []keystile.Secret{totp.Token, enrol.Token, "", "x", signIn.Token[:len(signIn.Token)-2], keystile.Secret(strings.Repeat("A", 1<<20))} {
			_, err := w.service.FinishPasskey(t.Context(), from(home), token, []byte("{}"), answer)
			is(t, err, login.ErrChallengeExpired)
		}
		for _, token := range []keystile.Secret{signIn.Token, enrol.Token} {
			is(t, w.service.ConfirmTOTP(t.Context(), from(home), s.ID, login.TOTPConfirmation{Token: token, Code: "123456"}), login.ErrChallengeExpired)
		}
		for _, token := range []keystile.Secret{signIn.Token, totp.Token} {
			_, err := w.service.FinishPasskeyEnrolment(t.Context(), from(home), s.ID, login.PasskeyResponse{Ceremony: token})
			is(t, err, login.ErrChallengeExpired)
		}
		_, err = w.service.FinishPasskey(t.Context(), from(home), signIn.Token, []byte("{}"), answer)
		is(t, err, login.ErrInvalidCode)
		w.pass(5 * time.Minute)
		_, err = w.service.FinishPasskey(t.Context(), from(home), signIn.Token, []byte("{}"), answer)
		is(t, err, login.ErrChallengeExpired)
		w.options.PublicURL = "http://127.0.0.1:8080"
		w.restart()
		_, err = w.service.BeginPasskey(t.Context(), from(home), "")
		is(t, err, login.ErrOff)
	})
}

func (w *world) provider(change func(*keystile.IdentityProvider)) keystile.IdentityProvider {
	w.t.Helper()
	p := keystile.IdentityProvider{
		Name: "corp", OrganizationID: "north", Roles: []string{"role_analyst"}, Issuer: "https://idp.example", Audience: "keystile",
		Algorithms: []keystile.SigningAlgorithm{keystile.RS256}, JWKSURL: "https://idp.example/jwks", CreateUsers: true,
	}
	if change != nil {
		change(&p)
	}
	storetest.Must(w.t, w.store, func(ctx context.Context, tx *store.Tx) error { return tx.CreateIdentityProvider(ctx, p) })
	return p
}

func TestThreat05_AProviderSignsInItsOwnOrganisationsUsersAndPinsThem(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		p := w.provider(nil)
		w.user("thandi", nil)
		w.user("southern", func(u *keystile.User) { u.OrganizationID = "south" })
		w.user("gone", func(u *keystile.User) { u.Disabled = true })
		w.user("root", func(u *keystile.User) { u.AdminRole = keystile.PlatformAdmin })
		w.user("reviewer", func(u *keystile.User) { u.AdminRole = keystile.PlatformReviewer })
		id := func(subject, name string) login.Identity {
			return login.Identity{Provider: p, Issuer: p.Issuer, Subject: subject, Username: name, EmailVerified: true}
		}
		sign := func(i login.Identity) (login.Outcome, error) { return w.service.Provider(t.Context(), from(home), i) }
		out, err := sign(id("1", "Thandi@example.com"))
		if err != nil || out.Session == nil || !slices.Equal(out.Session.Methods, []keystile.AuthMethod{"fed"}) || out.Session.ProviderName != "corp" || out.User.ID != "user_thandi" {
			t.Fatalf("got %+v, %v", out, err)
		}
		// Pinned: the subject stays the same person whatever name it comes with, and the person the same subject.
		if again, err := sign(id("1", "southern")); err != nil || again.User.ID != "user_thandi" {
			t.Errorf("the pinned subject with another name: %+v, %v", again.User, err)
		}
		unverified, unlisted, disabled := id("3", "x"), id("4", "y"), id("1", "thandi")
		unverified.EmailVerified, unlisted.RoleID, disabled.Provider.Disabled = false, "role_admin", true
		for name, i := range map[string]login.Identity{
			"another subject with a pinned name": id("2", "thandi"), "a user of another organisation": id("5", "southern"),
			"an address that is not verified": unverified, "a role that is not listed": unlisted, "a disabled provider": disabled,
			"no subject": id("", "thandi"), "no name": id("6", ""), "a name that is none": id("7", "a\x00b"),
			"a look-alike of a user":                 id("8", "thаndi"),
			"an administrator of the whole platform": id("11", "root"), "a reviewer of the whole platform": id("12", "reviewer"),
		} {
			if out, err := sign(i); !errors.Is(err, login.ErrInvalidCredentials) || out.Session != nil {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
		}
		_, err = sign(id("9", "gone"))
		is(t, err, login.ErrInactive)
		made := id("10", "zola@example.com")
		made.Name, made.RoleID, made.CustomerIDs = "Zola", "role_analyst", []string{"c1"}
		created, err := sign(made)
		if err != nil || created.User.OrganizationID != "north" || created.User.RoleID != "role_analyst" || !strings.HasPrefix(created.User.ID, "user_2") || len(created.User.ID) != 25 {
			t.Fatalf("created %+v, %v", created.User, err)
		}
		// What asks for no session finds the same people, and opens none.
		before := len(w.sessions("user_thandi"))
		vouched, err := w.service.Vouch(t.Context(), from(home), id("1", "whoever"))
		if err != nil || vouched.User.ID != "user_thandi" || !slices.Equal(vouched.Methods, []keystile.AuthMethod{"fed"}) || len(w.sessions("user_thandi")) != before {
			t.Errorf("vouched for %+v, %v", vouched, err)
		}
		for name, i := range map[string]login.Identity{
			"another subject with a pinned name": id("2", "thandi"), "a user of another organisation": id("5", "southern"), "a disabled provider": disabled,
			"an administrator of the whole platform": id("11", "root"), "no subject": id("", "thandi"), "no name": id("6", ""), "a role that is not listed": unlisted,
		} {
			if vouched, err := w.service.Vouch(t.Context(), from(home), i); !errors.Is(err, login.ErrInvalidCredentials) || vouched.User.ID != "" {
				t.Errorf("vouched, %s: %+v, %v", name, vouched, err)
			}
		}
		_, err = w.service.Vouch(t.Context(), from(home), id("9", "gone"))
		is(t, err, login.ErrInactive)
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFARequired })
		if vouched, err := w.service.Vouch(t.Context(), from(home), id("1", "thandi")); !errors.Is(err, login.ErrStepUp) || vouched.User.ID != "" {
			t.Errorf("a factor is required: %+v, %v", vouched, err)
		}
		w.change("user_thandi", func(u *keystile.User) { u.MFA = keystile.MFAInherit })
		storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error {
			q := p
			q.Disabled = true
			return tx.UpdateIdentityProvider(ctx, q)
		})
		if !w.ended(out.Session.ID) || !w.ended(created.Session.ID) {
			t.Error("sessions outlive their provider")
		}
	})
}

// Threat 24: no door gives more than was proven, and none forgets a factor.
func TestThreat24_EveryDoorAsksForTheSecondFactorAndNoSessionClaimsMoreThanWasProven(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		p := w.provider(nil)
		w.user("thandi", nil)
		a := w.enrol("thandi")
		for _, door := range []keystile.Door{keystile.DoorOna, keystile.DoorNAO, keystile.DoorWeb, keystile.DoorExchange} {
			c := from(home)
			c.Door = door
			byPassword, err := w.service.Password(t.Context(), c, "thandi", secret)
			noError(t, err)
			byProvider, err := w.service.Provider(t.Context(), c, login.Identity{Provider: p, Issuer: p.Issuer, Subject: "1", Username: "thandi", EmailVerified: true})
			noError(t, err)
			for first, out := range map[keystile.AuthMethod]login.Outcome{keystile.MethodPassword: byPassword, keystile.MethodProvider: byProvider} {
				if out.Session != nil || out.Challenge == nil || out.User.ID != "" {
					t.Fatalf("%s by %s: %+v", door, first, out)
				}
				// Answered at another door, it is still a session of the first.
				elsewhere := from(home)
				elsewhere.Door = keystile.DoorWeb
				made, err := w.service.Code(t.Context(), elsewhere, out.Challenge.Token, a.next(), answer)
				noError(t, err)
				if s := w.sessionOf(made); !slices.Equal(s.Methods, []keystile.AuthMethod{first, "otp", "mfa"}) || s.Door != door {
					t.Errorf("%s by %s: %+v", door, first, s)
				}
			}
		}
		for _, s := range w.sessions("user_thandi") {
			if slices.Contains(s.Methods, keystile.MethodMFA) != (len(s.Methods) > 2) {
				t.Errorf("session %v", s.Methods)
			}
		}
	})
}

func TestWhatIsOverIsPurgedAndWhatIsNotIsKept(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.user("thandi", nil)
		s := w.session("thandi")
		_, err := w.service.Password(t.Context(), from(away), "nobody", "wrong")
		is(t, err, login.ErrInvalidCredentials)
		w.service.Purge(t.Context())
		if w.ended(s.ID) {
			t.Error("a live session was purged")
		}
		w.pass(31 * 24 * time.Hour)
		w.service.Purge(t.Context())
		_, err = w.store.Session(t.Context(), s.ID)
		is(t, err, keystile.ErrNotFound)
	})
}
