package browser

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// choose ticks, or unticks, a checkbox or radio button by its name and value.
func (b *tab) choose(name, value string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`input[name='` + name + `'][value='` + value + `']`)))
}

// write types into a text of several lines.
func (b *tab) write(name, text string) {
	b.t.Helper()
	eval[bool](b, "document.querySelector('#"+name+"').value = '', true")
	b.do(chromedp.SendKeys(chromedp.CSS("#"+name), text))
}

// follow clicks the first link with a text.
func (b *tab) follow(text string) {
	b.t.Helper()
	marked := eval[bool](b, `(() => { const a = [...document.querySelectorAll("main a, nav a")].find(a => a.innerText.trim().startsWith(`+"`"+text+"`"+`)); if (!a) return false; a.id ||= "followed"; window.followed = a.id; return true; })()`)
	if !marked {
		b.t.Fatalf("no link says %q:\n%s", text, b.text())
	}
	b.press("#" + eval[string](b, "window.followed"))
}

// TestAnApplicationGoesFromDraftThroughReviewIntoATenant leads the three people
// through their pages, and looks at each.
func TestAnApplicationGoesFromDraftThroughReviewIntoATenant(t *testing.T) {
	maker := newTab(t)
	maker.signIn("maker@example.com")
	maker.follow("Administration")
	maker.mustBeAt("/admin")
	maker.look("admin-maker")
	maker.follow("Your applications")
	maker.look("makers")
	maker.follow("Register an application")
	maker.look("makers-new")
	maker.fill("launch_url", "http://shade.example/")
	maker.press(mainButton)
	maker.look("makers-new-wrong")
	maker.fill("name", "Shade Finder")
	maker.fill("description", "Finds trees that shade your panels")
	maker.fill("launch_url", "https://shade.example/open")
	maker.choose("environment", "production")
	maker.write("permissions", "designs:read\nshading:read")
	maker.press(mainButton)
	maker.mustSay("Shade Finder")
	path := maker.at()
	id := strings.TrimPrefix(path, "/admin/applications/")
	maker.look("made-draft")
	maker.follow("New key")
	maker.look("newkey-first")
	maker.press(mainButton)
	maker.mustSay("shown now and never again")
	key := eval[string](maker, "document.querySelector('#application-key').innerText")
	if !regexp.MustCompile(`^ak_prod_[0-9A-Za-z]{32}$`).MatchString(key) {
		t.Errorf("the key is %q", key)
	}
	maker.look("newkey-shown")
	maker.follow("I have kept it")
	maker.follow("New key")
	maker.look("newkey-second")
	maker.choose("overlap", "24h")
	maker.press(mainButton)
	maker.follow("I have kept it")
	maker.follow("Revoke")
	maker.look("key-revoke")
	maker.press(dangerButton)
	maker.mustSay("The key was revoked")
	maker.press(button(path + "/move"))
	maker.mustSay("In review")
	maker.look("made-in-review")

	reviewer := newTab(t)
	reviewer.signIn("reviewer@example.com")
	reviewer.follow("Reviews")
	reviewer.mustSay("Shade Finder")
	reviewer.look("reviews")
	reviewer.follow("Look")
	reviewer.look("review-first")
	reviewer.press("button[value='draft']")
	reviewer.mustSay("Say why")
	reviewer.look("review-wrong")
	reviewer.write("comment", "Say what you do with shading data.\nThen submit it again.")
	reviewer.press("button[value='draft']")
	reviewer.mustSay("was sent back")
	reviewer.look("reviews-empty")

	maker.open(path)
	maker.mustSay("Say what you do with shading data.")
	maker.look("made-sent-back")
	maker.follow("Change")
	maker.fill("description", "Finds trees that shade your panels; keeps no shading data")
	maker.look("makers-edit")
	maker.press(mainButton)
	maker.press(button(path + "/move"))

	reviewer.open("/admin/reviews/" + id)
	reviewer.press("button[value='approved']")
	reviewer.mustSay("The application is approved.")
	reviewer.follow("Approved")
	reviewer.mustSay("Shade Finder")
	reviewer.look("reviews-approved")

	maker.open(path)
	maker.mustSay("Approved")
	maker.fill("tenant", "nobody")
	maker.press("form[action$='/requests'] button")
	maker.look("made-ask-wrong")
	maker.fill("tenant", "sunny-homes")
	maker.press("form[action$='/requests'] button")
	maker.mustSay("Asked")
	maker.look("made-approved")
	maker.follow("Retire")
	maker.look("retire")

	tenant := newTab(t)
	tenant.signIn("tenant@example.com")
	tenant.follow("Administration")
	tenant.look("admin-tenant")
	tenant.follow("Application access")
	tenant.mustSay("Waiting for your answer")
	tenant.look("access")
	tenant.open("/admin/access/" + id)
	tenant.mustSay("Read shading")
	tenant.look("grant")
	tenant.choose("permission:shading:read", "yes")
	tenant.choose("permission:designs:read", "yes")
	tenant.press(mainButton)
	tenant.mustSay("Tick at least one")
	tenant.look("grant-wrong")
	tenant.choose("permission:designs:read", "yes")
	tenant.do(chromedp.SetValue(chromedp.CSS("#expires_at"), "2031-05-31"))
	tenant.press(mainButton)
	tenant.mustBeAt("/admin/access")
	tenant.mustSay("1 Jun 2031, 00:00 UTC")
	tenant.look("access-granted")
	tenant.fill("application", "nonsense")
	tenant.press("form[action='/admin/access'] button.main")
	tenant.look("access-find-wrong")
	tenant.fill("application", roofTools)
	tenant.press("form[action='/admin/access'] button.main")
	tenant.mustBeAt("/admin/access/" + roofTools)
	tenant.open("/admin/access/" + id)
	tenant.look("grant-granted")
	tenant.follow("Withdraw")
	tenant.look("withdraw")
	tenant.press(dangerButton)
	tenant.mustSay("may do nothing in your organisation any more")
	tenant.look("access-ended")

	// What is approved changes only by way of a draft, and the reviewer sees what did.
	maker.open(path)
	maker.follow("Take back to draft")
	maker.press(dangerButton)
	maker.follow("Change")
	maker.fill("name", "Shade and Loan Finder")
	maker.write("permissions", "designs:read\npayments:write")
	maker.press(mainButton)
	maker.press(button(path + "/move"))
	reviewer.open("/admin/reviews/" + id)
	reviewer.mustSay("payments:write")
	reviewer.look("review-diff")
	reviewer.write("comment", "Never.")
	reviewer.press("button[value='suspended']")
	reviewer.follow("Suspended")
	reviewer.look("reviews-suspended")
	maker.open(path)
	maker.look("made-suspended")
}

func TestAnAdministratorNeedsNoJavaScript(t *testing.T) {
	b := newTab(t)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.signIn("tenant@example.com")
	b.open("/admin/access/" + permits)
	b.press(mainButton)
	b.mustBeAt("/admin/access")
	b.mustSay("It is authorised, as you chose.")
}

func TestAPlatformAdministratorFindsEveryPage(t *testing.T) {
	b := newTab(t)
	b.signIn("platform@example.com")
	b.follow("Administration")
	b.look("admin-platform")
	for _, page := range []string{"Application access", "Your applications", "Reviews"} {
		b.open("/admin")
		b.follow(page)
		b.mustSay(page)
	}
	b.look("reviews-platform")
}

func TestThreat29_WhoeverHasNoRoleFindsNoAdministration(t *testing.T) {
	b := newTab(t)
	b.signIn("plainroof@example.com")
	if strings.Contains(b.text(), "Administration") {
		t.Error("the menu shows it")
	}
	b.open("/admin/access")
	b.mustSay("Not yours to do")
	b.look("admin-refused")
}

func TestAKeyboardIsEnoughToGrant(t *testing.T) {
	b := newTab(t)
	b.signIn("tenant@example.com")
	b.open("/admin/access/" + roofTools)
	b.tabTo("permission:designs:read")
	b.keys(" ")
	if eval[bool](b, `document.activeElement.checked`) {
		t.Error("the space bar does not untick it")
	}
	b.tabTo("Authorise")
	b.enter()
	b.mustBeAt("/admin/access")
	b.mustSay("Roof Tools")
}

func TestAPartnerReadsWhatAWebhookWasTold(t *testing.T) {
	b := newTab(t)
	b.signIn("maker@example.com")
	path := "/admin/applications/" + permits
	b.open(path)
	b.follow("New webhook")
	b.look("hook-new")
	b.press(mainButton)
	b.look("hook-new-wrong")
	b.fill("url_template", "https://hooks.invalid/<TENANT_ID>?session=<SESSION_TOKEN>&status=<STATUS>")
	b.fill("header_name", "Authorization")
	b.fill("header_value", "Bearer secret")
	b.fill("description", "Tells the billing service")
	b.press(mainButton)
	b.mustSay("The webhook is set up.")
	b.look("hook-empty")
	hook := b.at()
	if _, err := keystile(t.Context(), "app", "authorize", permits, "--tenant", "strict", "--permission", "designs:read", "--config", config); err != nil {
		t.Fatal(err)
	}
	// Nobody is at that host, so that the first try fails.
	b.waitFor(hook, func(text string) bool {
		return strings.Contains(text, "strict") && !strings.Contains(text, "Not tried yet")
	})
	b.look("hook")
	b.follow("Look")
	b.mustSay("Try 1")
	b.look("delivery")
	b.open(path)
	b.mustSay("Tells the billing service")
	b.look("made-hooks")
	b.open(hook + "/edit")
	b.look("hook-edit")
	b.open(hook + "/delete")
	b.press(dangerButton)
	b.mustSay("The webhook was deleted.")

	b.follow("New webhook")
	b.choose("form", "signed_post")
	b.choose("event", "application_key_expired")
	b.fill("url_template", "https://hooks.invalid/keys")
	b.press(mainButton)
	b.mustSay("shown now and never again")
	b.look("hook-secret")
}

// waitFor reloads a page until it says what is waited for.
func (b *tab) waitFor(path string, told func(text string) bool) {
	b.t.Helper()
	for {
		b.open(path)
		text := b.text()
		if told(text) {
			return
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("it never said so:\n%s", text)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
