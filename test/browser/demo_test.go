package browser

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"keystile.dev/keystile/test/e2e/program"
)

// demonstration starts keystile demo and returns where it is and what it prints.
func demonstration(t *testing.T) (url, printed string) {
	t.Helper()
	listen, err := program.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Start(t.Context(), program.Command{Dir: t.TempDir(), Argv: []string{executable, "demo", "--listen", listen, "--data", filepath.Join(t.TempDir(), "world")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	err = p.Eventually(t.Context(), func() error {
		if !strings.Contains(p.Stdout(), "Ctrl-C ends the demo") {
			return errors.New("the demo has not printed its commands")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + listen, p.Stdout()
}

// told is what the demo's text says where a pattern has its groups.
func told(t *testing.T, printed, pattern string) []string {
	t.Helper()
	said := regexp.MustCompile(pattern).FindStringSubmatch(printed)
	if said == nil {
		t.Fatalf("the demo does not say %s:\n%s", pattern, printed)
	}
	return said[1:]
}

func TestTheDemosEmbeddedApplicationOpensFromTheAccountAndShowsTheTenantsData(t *testing.T) {
	url, printed := demonstration(t)
	secret := told(t, printed, `sign in as homes@example.com with the password (\w+), choose Applications, Open`)[0]
	b := newTab(t)
	b.do(chromedp.Navigate(url + "/login"))
	b.fill("username", "homes@example.com")
	b.fill("password", secret)
	b.press(mainButton)
	b.mustBeAt("/account")
	b.follow("Applications")
	b.mustSay("Roof Viewer")
	b.look("demo-applications")
	b.press(button("/account/applications/open"))
	b.mustSay("Hillside 12")
	b.mustSay("0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01")
	b.look("demo-roof-viewer")
	where := eval[string](b, "location.href")
	if strings.HasPrefix(where, url) || strings.Contains(where, "session_token") {
		t.Errorf("the application is shown at %s", where)
	}
	// A session token is good once: the way back opens nothing by itself.
	b.do(chromedp.Reload())
	b.mustSay("Hillside 12")

	// The tenant's administrator takes its yes back: the application is let in nowhere.
	b.do(chromedp.Navigate(url + "/admin/access"))
	for strings.Contains(b.text(), "Change") { // both of the demo's applications
		b.follow("Change")
		b.follow("Withdraw")
		b.press(dangerButton)
	}
	b.do(chromedp.Navigate(where))
	b.mustSay("may have withdrawn its yes")
	b.do(chromedp.Navigate(url + "/account/applications"))
	if strings.Contains(b.text(), "Roof Viewer") {
		t.Error("what was withdrawn can still be opened")
	}
}

func TestTheDemosWebsiteShowsWhoSignedInAndTheirSites(t *testing.T) {
	_, printed := demonstration(t)
	said := told(t, printed, `Site Planner, a website, is at (\S+) for your browser: sign in as tracker@example.com with the password (\w+),`)
	b := newTab(t)
	b.do(chromedp.Navigate(said[0]))
	b.fill("username", "tracker@example.com")
	b.fill("password", said[1])
	b.press(mainButton)
	b.mustSay("Site Planner by NAO Corp")
	b.press("main button[value=deny]")
	b.mustSay("You were not let in: The user said no.")
	b.look("demo-site-planner-refused")
	b.follow("Try again")
	b.press(mainButton)
	b.mustSay("You are tracker@example.com, signed in with Keystile.")
	b.mustSay("Central Station")
	b.look("demo-site-planner")
	b.do(chromedp.Navigate(said[0])) // nothing is asked again
	b.mustSay("Central Station")
	b.do(chromedp.Reload()) // an answer is good once
	b.mustSay("This sign-in was not begun here")
}
