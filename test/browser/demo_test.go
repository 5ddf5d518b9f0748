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

// demonstration starts keystile demo and returns where it is and its people's password.
func demonstration(t *testing.T) (url, secret string) {
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
	said := regexp.MustCompile(`sign in as homes@example.com with the password (\w+), choose Applications, Open`).FindStringSubmatch(p.Stdout())
	if said == nil {
		t.Fatalf("the demo does not say how to open the application:\n%s", p.Stdout())
	}
	return "http://" + listen, said[1]
}

func TestTheDemosEmbeddedApplicationOpensFromTheAccountAndShowsTheTenantsData(t *testing.T) {
	url, secret := demonstration(t)
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
