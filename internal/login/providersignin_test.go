package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// vouching is a federation whose answer is settled beforehand. That of the real one is
// tested with it, and the two together in the black box.
type vouching struct {
	id    login.Identity
	fail  error
	anew  bool
	asked atomic.Int64
}

func (v *vouching) Begin(_ context.Context, provider string, anew bool) (string, json.RawMessage, error) {
	v.anew = anew
	if v.fail != nil {
		return "", nil, v.fail
	}
	return "https://idp.example/authorize", json.RawMessage(`{"for":"` + provider + `"}`), nil
}

func (v *vouching) Finish(_ context.Context, provider string, pending json.RawMessage, _ url.Values) (login.Identity, error) {
	v.asked.Add(1)
	if string(pending) != `{"for":"`+provider+`"}` {
		return login.Identity{}, fmt.Errorf("another sign-in: %w", keystile.ErrRejected)
	}
	return v.id, v.fail
}

// upstream is a world whose organisation north has a provider to sign in at.
func (w *world) upstream(change func(*keystile.IdentityProvider)) (*vouching, keystile.IdentityProvider) {
	w.t.Helper()
	p := w.provider(func(p *keystile.IdentityProvider) {
		p.SignIn = &keystile.ProviderSignIn{ClientID: "c", Label: "Corp"}
		if change != nil {
			change(p)
		}
	})
	v := &vouching{id: login.Identity{
		Provider: p, Issuer: p.Issuer, Subject: "1", Username: "thandi@example.com", Email: "thandi@example.com", EmailVerified: true, EmailProven: true,
	}}
	w.options.Providers = v
	w.restart()
	return v, p
}

func (w *world) signInAt(provider string) (login.Outcome, error) {
	w.t.Helper()
	begun, err := w.service.BeginProvider(w.t.Context(), from(home), provider, "/account", false)
	noError(w.t, err)
	out, back, err := w.service.FinishProvider(w.t.Context(), from(home), begun.Token, provider, nil)
	if err == nil && back != "/account" {
		w.t.Errorf("sent on to %q", back)
	}
	return out, err
}

func TestThreat35_AUserThatIsThereIsFoundByAProvenAddressAndOnlyIfTheProviderLinks(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		for i, c := range []struct {
			what    string
			change  func(*keystile.IdentityProvider)
			spoil   func(*login.Identity)
			linked  bool
			creates bool
		}{
			{"it links and the address is proven", func(p *keystile.IdentityProvider) { p.SignIn.LinkByEmail = true }, func(*login.Identity) {}, true, false},
			{"it does not link", func(*keystile.IdentityProvider) {}, func(*login.Identity) {}, false, false},
			{"the token is silent about the address", func(p *keystile.IdentityProvider) { p.SignIn.LinkByEmail = true }, func(id *login.Identity) { id.EmailProven = false }, false, false},
			{"the name is theirs and the address another's", func(p *keystile.IdentityProvider) { p.SignIn.LinkByEmail = true }, func(id *login.Identity) { id.Email = "new@example.com" }, false, false},
			{"the address is of another organisation", func(p *keystile.IdentityProvider) { p.SignIn.LinkByEmail = true }, func(id *login.Identity) { id.Email = "southern@example.com" }, false, false},
			{"the address is of who runs the platform", func(p *keystile.IdentityProvider) { p.SignIn.LinkByEmail = true }, func(id *login.Identity) { id.Email = "root@example.com" }, false, false},
			{"nobody is there", func(*keystile.IdentityProvider) {}, func(id *login.Identity) { id.Email, id.Username = "fresh@example.com", "fresh@example.com" }, false, true},
			{"nobody is there and none is made", func(p *keystile.IdentityProvider) { p.CreateUsers = false }, func(id *login.Identity) { id.Email, id.Username = "fresh2@example.com", "fresh2@example.com" }, false, false},
		} {
			if i == 0 {
				w.user("thandi", nil)
				w.user("southern", func(u *keystile.User) { u.OrganizationID = "south" })
				w.user("root", func(u *keystile.User) { u.AdminRole = keystile.PlatformAdmin })
			}
			name := fmt.Sprintf("corp%d", i)
			v, p := w.upstream(func(p *keystile.IdentityProvider) { p.Name = name; c.change(p) })
			c.spoil(&v.id)
			if !c.linked && !c.creates { // nor by another door
				if out, err := w.service.Provider(t.Context(), from(home), v.id); !errors.Is(err, login.ErrInvalidCredentials) || out.Session != nil {
					t.Errorf("%s, by exchange: %+v, %v", c.what, out, err)
				}
			}
			out, err := w.signInAt(p.Name)
			switch {
			case c.linked && (err != nil || out.User.ID != "user_thandi"):
				t.Errorf("%s: %+v, %v", c.what, out.User, err)
			case c.creates && (err != nil || out.User.Username != "fresh@example.com" || out.User.OrganizationID != "north"):
				t.Errorf("%s: %+v, %v", c.what, out.User, err)
			case !c.linked && !c.creates && (!errors.Is(err, login.ErrInvalidCredentials) || out.Session != nil || out.Challenge != nil):
				t.Errorf("%s: %+v, %v", c.what, out, err)
			}
			if !c.linked {
				continue
			}
			// From the first time on the subject is who counts, whatever the address says.
			v.id.Email, v.id.EmailProven = "other@example.com", false
			if out, err := w.signInAt(p.Name); err != nil || out.User.ID != "user_thandi" {
				t.Errorf("the second time: %+v, %v", out.User, err)
			}
			v.id.Subject, v.id.Email, v.id.EmailProven = "2", "thandi@example.com", true
			if _, err := w.signInAt(p.Name); !errors.Is(err, login.ErrInvalidCredentials) {
				t.Errorf("a second subject takes the same user: %v", err)
			}
		}
	})
}

func TestThreat24_ASignInAtAProviderProvesWhatTheProviderIsTrustedWithAndNoMore(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		v, _ := w.upstream(func(p *keystile.IdentityProvider) { p.SignIn.LinkByEmail, p.SignIn.TrustedAMR = true, []string{"mfa"} })
		w.user("thandi", nil)
		a := w.enrol("thandi")
		out, err := w.signInAt("corp")
		if err != nil || out.Session != nil || out.Challenge == nil {
			t.Fatalf("no second factor was asked for: %+v, %v", out, err)
		}
		made, err := w.service.Code(t.Context(), from(home), out.Challenge.Token, a.next(), answer)
		noError(t, err)
		if s := w.sessionOf(made); !slices.Equal(s.Methods, []keystile.AuthMethod{"fed", "otp", "mfa"}) {
			t.Errorf("methods %v", s.Methods)
		}
		v.id.SecondFactor, v.id.AuthenticatedAt = true, w.now().Add(-3*time.Hour)
		if out, err = w.signInAt("corp"); err != nil || out.Session == nil {
			t.Fatalf("the provider's second factor does not count: %+v, %v", out, err)
		}
		if !slices.Equal(out.Session.Methods, []keystile.AuthMethod{"fed", "mfa"}) || w.now().Sub(out.Session.AuthenticatedAt) < 2*time.Hour {
			t.Errorf("%v at %v", out.Session.Methods, out.Session.AuthenticatedAt)
		}
		// Proof of hours ago does not change how somebody signs in.
		_, err = w.service.EnrolTOTP(t.Context(), from(home), out.Session.ID)
		is(t, err, login.ErrStepUp)
		v.id.AuthenticatedAt = w.now().Add(time.Hour)
		if out, err = w.signInAt("corp"); err != nil || out.Session.AuthenticatedAt.After(w.now()) {
			t.Errorf("a session from the future: %+v, %v", out.Session, err)
		}
	})
}

func TestThreat08_ASignInAtAProviderLeadsToOneSessionHoweverOftenItIsSent(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		_, _ = w.upstream(nil)
		begun, err := w.service.BeginProvider(t.Context(), from(home), "corp", "/account", false)
		noError(t, err)
		var sessions, refused atomic.Int64
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				switch out, _, err := w.service.FinishProvider(t.Context(), from(home), begun.Token, "corp", nil); {
				case err == nil && out.Session != nil:
					sessions.Add(1)
				case errors.Is(err, login.ErrChallengeExpired), errors.Is(err, login.ErrInvalidCredentials):
					refused.Add(1)
				default:
					t.Errorf("%+v, %v", out, err)
				}
			})
		}
		wait.Wait()
		users, err := w.store.Users(t.Context(), store.UserFilter{})
		noError(t, err)
		if sessions.Load() != 1 || refused.Load() != 7 || len(users) != 1 {
			t.Errorf("%d sessions, %d refusals, %d users", sessions.Load(), refused.Load(), len(users))
		}
	})
}

func TestATokenOfASignInAtAProviderIsOfThatSignInAlone(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		v, _ := w.upstream(nil)
		w.user("thandi", nil)
		s := w.session("thandi")
		begun, err := w.service.BeginProvider(t.Context(), from(home), "corp", "/account", true)
		noError(t, err)
		if !v.anew {
			t.Error("the provider is not asked for proof anew")
		}
		totp, err := w.service.EnrolTOTP(t.Context(), from(home), s.ID)
		noError(t, err)
		for _, token := range []keystile.Secret{"", "x", totp.Token, begun.Token[1:]} {
			_, _, err := w.service.FinishProvider(t.Context(), from(home), token, "corp", nil)
			is(t, err, login.ErrChallengeExpired)
		}
		_, err = w.service.FinishPasskey(t.Context(), from(home), begun.Token, []byte("{}"), answer)
		is(t, err, login.ErrChallengeExpired)
		_, _, err = w.service.FinishProvider(t.Context(), from(home), begun.Token, "other", nil)
		is(t, err, login.ErrInvalidCredentials)
		w.pass(15 * time.Minute)
		_, _, err = w.service.FinishProvider(t.Context(), from(home), begun.Token, "corp", nil)
		is(t, err, login.ErrChallengeExpired)
		v.fail = errors.New("no answer")
		if _, err := w.service.BeginProvider(t.Context(), from(home), "corp", "", false); err == nil || errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("a provider that does not answer: %v", err)
		}
		v.fail = keystile.ErrRejected
		_, err = w.service.BeginProvider(t.Context(), from(home), "corp", "", false)
		is(t, err, keystile.ErrNotFound)
		w.options.Providers = nil
		w.restart()
		_, err = w.service.BeginProvider(t.Context(), from(home), "corp", "", false)
		is(t, err, keystile.ErrNotFound)
		if buttons, err := w.service.Buttons(t.Context(), ""); err != nil || buttons != nil {
			t.Errorf("%v, %v", buttons, err)
		}
	})
}

func TestThreat38_FailuresAtAProviderCountAgainstTheirAddress(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.stop()
		v, _ := w.upstream(nil)
		begun, err := w.service.BeginProvider(t.Context(), from(home), "corp", "", false)
		noError(t, err)
		v.fail = keystile.ErrRejected
		for range 50 {
			_, _, err := w.service.FinishProvider(t.Context(), from(home), begun.Token, "corp", nil)
			is(t, err, login.ErrInvalidCredentials)
		}
		asked := v.asked.Load()
		var throttled *login.Throttled
		if _, _, err := w.service.FinishProvider(t.Context(), from(home), begun.Token, "corp", nil); !errors.As(err, &throttled) || v.asked.Load() != asked {
			t.Errorf("the 51st: %v, asked %d times", err, v.asked.Load())
		}
		if _, _, err := w.service.FinishProvider(t.Context(), from(away), begun.Token, "corp", nil); !errors.Is(err, login.ErrInvalidCredentials) {
			t.Errorf("elsewhere: %v", err)
		}
	})
}

func TestTheButtonsAreThoseOfAnOrganisationOrTheListedOnes(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		_, p := w.upstream(nil)
		hidden, south := p, p
		hidden.Name, hidden.SignIn = "hidden", &keystile.ProviderSignIn{ClientID: "c", Unlisted: true}
		south.Name, south.OrganizationID = "south", "south"
		storetest.Must(t, w.store, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateIdentityProvider(ctx, hidden), tx.CreateIdentityProvider(ctx, south))
		})
		for organization, want := range map[string][]login.Button{
			"": {{Provider: "corp", Label: "Corp"}, {Provider: "south", Label: "Corp"}}, "north": {{Provider: "corp", Label: "Corp"}, {Provider: "hidden", Label: "hidden"}},
			"south": {{Provider: "south", Label: "Corp"}}, "nobody": nil, "a/b": nil, "\x00": nil,
		} {
			got, err := w.service.Buttons(t.Context(), organization)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %v, %v", organization, got, err)
			}
		}
	})
}
