package browser

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"keystile.dev/keystile/test/e2e/program"
)

func TestAPasswordSignsInAndSignOutEndsIt(t *testing.T) {
	b := newTab(t)
	b.open("/account/sessions")
	b.mustBeAt("/login")
	b.fill("username", "plain@example.com")
	b.fill("password", "not the password")
	b.press(mainButton)
	b.mustSay("do not match")
	b.fill("password", password)
	b.press(mainButton)
	b.mustBeAt("/account/sessions")
	b.mustSay("This one")
	b.press(button("/logout"))
	b.mustBeAt("/login")
	b.mustSay("You are signed out.")
	b.open("/account")
	b.mustBeAt("/login")
}

func TestTheCookieCannotBeReadByScriptsNorPlantedByOthers(t *testing.T) {
	b := newTab(t)
	b.signIn("plain@example.com")
	if cookies := eval[string](b, "document.cookie"); cookies != "" {
		t.Errorf("a script reads %q", cookies)
	}
	seen := 0
	for _, c := range b.cookies() {
		if c.Name == "__Host-keystile" {
			seen++
			if !c.Secure || !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" || !c.Session {
				t.Errorf("%+v", c)
			}
		}
	}
	if seen != 1 {
		t.Errorf("%d session cookies", seen)
	}
}

func (b *tab) cookies() []*network.Cookie {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, func(ctx context.Context, _ *chromedp.Target) ([]*network.Cookie, error) {
		r, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{})
		return r.Cookies, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// enrol sets an authenticator app up on the account page and returns its secret.
func (b *tab) enrol() (secret string) {
	b.t.Helper()
	b.open("/account/factors")
	b.press(button("/account/factors/totp"))
	secret = eval[string](b, "document.querySelector('.key').innerText")
	b.fill("code", "000000")
	b.press(mainButton)
	b.mustSay("That code is not right")
	if again := eval[string](b, "document.querySelector('.key').innerText"); again != secret {
		b.t.Fatal("a wrong code changes the secret")
	}
	b.fill("code", code(b.t, secret, 0))
	b.press(mainButton)
	b.mustBeAt("/account/factors")
	b.mustSay("Your authenticator app is set up.")
	return secret
}

func TestAnAuthenticatorAppIsEnrolledAndAskedFor(t *testing.T) {
	b := newTab(t)
	b.signIn("enrol@example.com")
	secret := b.enrol()

	again := newTab(t)
	again.signIn("enrol@example.com")
	again.mustBeAt("/login/code")
	again.fill("code", "000000")
	again.press(mainButton)
	again.mustSay("That code is not right")
	again.open("/account")
	again.mustBeAt("/login")
	again.signIn("enrol@example.com")
	again.fill("code", code(t, secret, 1))
	again.press(mainButton)
	again.mustBeAt("/account")
}

func TestWhoMustHaveASecondStepEnrolsAtSignIn(t *testing.T) {
	b := newTab(t)
	b.signIn("strict@example.com")
	b.mustBeAt("/login/code")
	secret := eval[string](b, "document.querySelector('.key').innerText")
	if drawn := eval[int](b, "document.querySelector('.qr img').naturalWidth"); drawn < 100 {
		t.Fatalf("the QR code is %d pixels wide", drawn)
	}
	b.do(chromedp.Reload())
	if reloaded := eval[string](b, "document.querySelector('.key').innerText"); reloaded != secret {
		t.Fatal("a reload changes the secret")
	}
	b.fill("code", code(t, secret, 0))
	b.press(mainButton)
	b.mustBeAt("/account/factors/recovery")
	b.press(mainButton)
	b.mustSay("Each works once")
	b.press("main a.main")
	b.mustBeAt("/account")
	b.open("/account/factors")
	b.press("a[href*='/account/factors/remove']")
	b.press(dangerButton)
	b.mustSay("this is your last one")
}

func TestARecoveryCodeOpensOnce(t *testing.T) {
	b := newTab(t)
	b.signIn("recover@example.com")
	secret := b.enrol()
	// The session has not proven the factor that its user has now: it has to, and comes back.
	b.open("/account/factors/recovery")
	b.press(mainButton)
	b.mustBeAt("/login")
	b.mustSay("Confirm it is you")
	b.fill("password", password)
	b.press(mainButton)
	b.fill("code", code(t, secret, 1))
	b.press(mainButton)
	b.mustBeAt("/account/factors")
	b.open("/account/factors/recovery")
	b.press(mainButton)
	codes := strings.Fields(eval[string](b, "Array.from(document.querySelectorAll('.codes code'), c => c.innerText).join(' ')"))
	if len(codes) != 10 || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != 10 {
		t.Fatalf("codes: %q", codes)
	}
	again := newTab(t)
	again.signIn("recover@example.com")
	again.fill("code", codes[3])
	again.press(mainButton)
	again.mustBeAt("/account")
	again.open("/account/factors")
	again.mustSay("9 of ten codes are left")

	third := newTab(t)
	third.signIn("recover@example.com")
	third.fill("code", codes[3])
	third.press(mainButton)
	third.mustSay("That code is not right")
}

// authenticator gives the tab a device that keeps passkeys and says yes.
func (b *tab) authenticator() {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return err
	}))
}

func TestAPasskeySignsInAndIsASecondStep(t *testing.T) {
	b := newTab(t)
	b.authenticator()
	b.signIn("passkey@example.com")
	b.open("/account/factors")
	b.press(button("/account/factors/passkeys"))
	b.fill("name", "Work laptop")
	b.press(mainButton)
	b.mustBeAt("/account/factors")
	b.mustSay("Your passkey was added.")
	b.mustSay("Work laptop")

	// As the sign-in itself: the ceremony begins when the page opens.
	b.press(button("/logout"))
	b.press(button("/login/passkey"))
	b.arrive("/account")

	// As a second step after the password.
	b.press(button("/logout"))
	b.signIn("passkey@example.com")
	b.mustBeAt("/login/code")
	b.press(button("/login/passkey"))
	b.arrive("/account")

	b.open("/account/factors")
	b.press("a[href*='/rename']")
	b.fill("name", "Desk")
	b.press(mainButton)
	b.mustSay("Desk")
	b.press("a[href*='/remove']")
	b.press(dangerButton)
	b.mustSay("It was removed")
	b.mustSay("None yet.")

	// What was removed opens nothing any more.
	b.press(button("/logout"))
	b.press(button("/login/passkey"))
	b.arriveSaying("does not open an account here")
}

// arrive waits until scripts have led to a path.
func (b *tab) arrive(path string) {
	b.t.Helper()
	b.until("location.pathname === '" + path + "' && document.readyState === 'complete'")
}

// arriveSaying waits until scripts have led to a page that says something.
func (b *tab) arriveSaying(text string) {
	b.t.Helper()
	b.until("document.readyState === 'complete' && document.body.innerText.includes('" + text + "')")
}

// until waits for a condition, over as many pages as it takes.
func (b *tab) until(condition string) {
	b.t.Helper()
	err := program.Until(b.ctx, func() error {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](condition))
		if err == nil && !ok {
			err = errors.New("not so: " + condition)
		}
		return err // an error too while one page takes the other's place
	})
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.text())
	}
}

func TestAPasswordIsResetByTheMailedLinkOnceAndSignsNobodyIn(t *testing.T) {
	b := newTab(t)
	b.open("/login")
	b.press("a[href='/login/reset']")
	b.fill("username", "reset@example.com")
	b.press(mainButton)
	b.mustSay("a link is on its way")
	link := inbox.link(t, "reset@example.com")
	if !strings.HasPrefix(link, origin+"/login/reset?token=") {
		t.Fatalf("the link is %s", link)
	}
	path := strings.TrimPrefix(link, origin)
	const chosen = "a brand new passphrase 7"
	b.open(path)
	b.fill("password", "password1234")
	b.fill("repeat", "password1234")
	b.press(mainButton)
	b.mustSay("Please look at this again")
	b.fill("password", chosen)
	b.fill("repeat", chosen)
	b.press(mainButton)
	b.mustBeAt("/login")
	b.mustSay("Your new password is set.")
	b.open("/account")
	b.mustBeAt("/login")
	b.fill("username", "reset@example.com")
	b.fill("password", chosen)
	b.press(mainButton)
	b.mustBeAt("/account")

	b.open(path)
	b.fill("password", chosen+"!")
	b.fill("repeat", chosen+"!")
	b.press(mainButton)
	b.mustSay("This link is no longer good")
}

func TestAForcedChangeComesBeforeEverything(t *testing.T) {
	b := newTab(t)
	b.signIn("forced@example.com")
	b.mustBeAt("/login/password")
	b.open("/account")
	b.mustBeAt("/login")
	b.signIn("forced@example.com")
	b.fill("password", password)
	b.fill("repeat", "something else")
	b.press(mainButton)
	b.mustSay("not the same")
	b.fill("password", "another passphrase of mine")
	b.fill("repeat", "another passphrase of mine")
	b.press(mainButton)
	b.mustBeAt("/account")
}

var keyShape = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)

func TestThePersonalKeyIsShownWhenAskedForAndCanBeReplaced(t *testing.T) {
	b := newTab(t)
	b.signIn("plain@example.com")
	if eval[bool](b, "document.querySelector('#api-key') !== null") {
		t.Fatal("it is shown unasked")
	}
	b.press(button("/account/key"))
	first := eval[string](b, "document.querySelector('#api-key').innerText")
	b.open("/account/key/reset")
	b.press(dangerButton)
	second := eval[string](b, "document.querySelector('#api-key').innerText")
	if !keyShape.MatchString(first) || !keyShape.MatchString(second) || first == second {
		t.Fatalf("%q, then %q", first, second)
	}
}

func TestASessionEndedHereIsOverThere(t *testing.T) {
	here, there := newTab(t), newTab(t)
	here.signIn("sessions@example.com")
	there.signIn("sessions@example.com")
	here.open("/account/sessions")
	if rows := eval[int](here, "document.querySelectorAll('tbody tr').length"); rows != 2 {
		t.Fatalf("%d sessions", rows)
	}
	here.press(button("/account/sessions/end"))
	here.mustSay("That session was ended.")
	there.open("/account")
	there.mustBeAt("/login")
	here.open("/account")
	here.mustBeAt("/account")

	there.signIn("sessions@example.com")
	here.open("/account/sessions/others")
	here.press(dangerButton)
	here.mustSay("All your other sessions were ended.")
	there.open("/account")
	there.mustBeAt("/login")
}

func TestAChangedPasswordEndsTheOtherSessions(t *testing.T) {
	here, there := newTab(t), newTab(t)
	here.signIn("sessions@example.com")
	there.signIn("sessions@example.com")
	here.open("/account/password")
	here.fill("current", "wrong")
	here.fill("password", password)
	here.fill("repeat", password)
	here.press(mainButton)
	here.mustSay("That is not your current password.")
	here.fill("current", password)
	here.fill("password", password+" 2")
	here.fill("repeat", password+" 2")
	here.press(mainButton)
	here.mustSay("Your password was changed.")
	there.open("/account")
	there.mustBeAt("/login")
}
