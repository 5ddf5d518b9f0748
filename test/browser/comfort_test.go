package browser

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"keystile.dev/keystile/test/e2e/program"
)

func TestWithoutJavaScriptEverythingButPasskeysWorks(t *testing.T) {
	b := newTab(t)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.signIn("still@example.com")
	b.mustBeAt("/login/code")
	b.fill("code", code(t, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", 0))
	b.press(mainButton)
	b.mustBeAt("/account")
	b.press(button("/account/key"))
	b.mustSay("Whoever has this key")
	b.open("/account/factors")
	b.press("a[href='/account/factors/recovery']")
	b.press(mainButton)
	b.mustSay("Each works once")
	b.open("/account/factors")
	b.press(button("/account/factors/passkeys"))
	b.mustSay("Passkeys need JavaScript")
	b.press(button("/logout"))
	b.mustSay("You are signed out.")
}

// keys presses keys as a person without a mouse does.
func (b *tab) keys(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// focused says what has the focus: its name, else its role, else its text.
func (b *tab) focused() string {
	b.t.Helper()
	return eval[string](b, "(e => e.name || e.getAttribute('role') || e.innerText.trim())(document.activeElement)")
}

// mustBegin waits until typing goes into the field of that name. Chromium gives the focus to a page's autofocus when it next draws the page,
// which may be after it said that the page is loaded.
func (b *tab) mustBegin(name string) {
	b.t.Helper()
	for deadline := time.Now().Add(program.Patience); b.focused() != name; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("typing begins in %q, not in %q", b.focused(), name)
		}
	}
}

// tabTo presses Tab until something has the focus, and sees that the focus shows.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	for range 30 {
		if b.focused() == name {
			if eval[string](b, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
				b.t.Errorf("nobody sees that %q has the focus", name)
			}
			return
		}
		b.keys(kb.Tab)
	}
	b.t.Fatalf("Tab does not lead to %q", name)
}

func TestAKeyboardIsEnough(t *testing.T) {
	b := newTab(t)
	b.open("/login")
	b.mustBegin("username")
	b.keys("keys@example.com" + kb.Tab + "wrong")
	b.enter()
	b.mustBegin("alert")
	b.tabTo("password")
	b.keys(password)
	b.enter()
	b.mustBeAt("/login/code")
	b.mustBegin("code")
	b.keys(code(t, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", 0))
	b.enter()
	b.mustBeAt("/account")
	b.keys(kb.Tab)
	if at := b.focused(); at != "Skip to content" {
		t.Errorf("Tab first leads to %q", at)
	}
	b.keys(kb.Enter)
	b.tabTo("Show key")
	b.enter()
	b.mustSay("Whoever has this key")
	b.tabTo("Sessions")
	b.enter()
	b.mustBeAt("/account/sessions")
	b.tabTo("Sign out")
	b.enter()
	b.mustSay("You are signed out.")
}

// enter presses what has the focus and waits for the next page.
func (b *tab) enter() {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		b.t.Fatal(err)
	}
}

func TestTheCheckerFindsWhatIsWrong(t *testing.T) {
	b := newTab(t)
	b.open("/login")
	eval[bool](b, axe+";true")
	found := eval[[]finding](b, `(document.querySelector("label").remove(), document.querySelector("h1").style.color = "#999", axe.run(document))
		.then(r => r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => n.html)})))`)
	for _, want := range []string{"label", "color-contrast"} {
		if !slices.ContainsFunc(found, func(f finding) bool { return f.ID == want }) {
			t.Errorf("%s is not found: %+v", want, found)
		}
	}
}

// TestEveryPageIsForEveryone leads through every page and looks at each.
func TestEveryPageIsForEveryone(t *testing.T) {
	b := newTab(t)
	b.authenticator()
	b.open("/login")
	b.look("login")
	b.press(mainButton)
	b.look("login-empty")
	b.fill("username", "looked@example.com")
	b.fill("password", "wrong")
	b.press(mainButton)
	b.look("login-wrong")
	b.open("/login/reset")
	b.look("reset")
	b.fill("username", "nobody@example.com")
	b.press(mainButton)
	b.look("reset-sent")
	b.open("/login/reset?token=made-up")
	b.look("reset-set")
	b.fill("password", password)
	b.fill("repeat", password)
	b.press(mainButton)
	b.look("reset-over")
	b.open("/login/nothing")
	b.look("fault")

	b.signIn("looked@example.com")
	b.look("profile")
	b.press(button("/account/key"))
	b.look("profile-key")
	b.open("/account/key/reset")
	b.look("confirm")
	b.open("/account/password")
	b.look("password")
	b.press(mainButton)
	b.look("password-empty")
	b.open("/account/factors")
	b.look("factors-empty")
	b.press(button("/account/factors/totp"))
	b.look("totp")
	secret := eval[string](b, "document.querySelector('.key').innerText")
	b.fill("code", "1")
	b.press(mainButton)
	b.look("totp-wrong")
	b.fill("code", code(t, secret, 0))
	b.press(mainButton)
	b.signIn("looked@example.com")
	b.look("code")
	b.press(mainButton)
	b.look("code-empty")
	b.fill("code", code(t, secret, 1))
	b.press(mainButton)
	b.open("/account/factors")
	b.press(button("/account/factors/passkeys"))
	b.look("passkey-add")
	b.fill("name", "Laptop")
	b.press(mainButton)
	b.look("factors")
	b.press("a[href*='/rename']")
	b.look("rename")
	b.open("/account/factors/recovery")
	b.look("recovery-ask")
	b.press(mainButton)
	b.look("recovery")
	b.open("/account/sessions")
	b.look("sessions")
	b.open("/login?again=1")
	b.look("login-again")

	strict := newTab(t)
	strict.signIn("strict2@example.com")
	strict.look("enrol")
	strict.signIn("forced2@example.com")
	strict.look("newpassword")
	// Without an authenticator the ceremony waits, and the page can be looked at.
	strict.open("/login")
	strict.press(button("/login/passkey"))
	strict.look("passkey")
}
