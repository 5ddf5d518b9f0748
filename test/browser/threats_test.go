package browser

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// elsewhere is a page of another site.
func elsewhere(t *testing.T, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><html lang=en><title>elsewhere</title><main>"+body+"</main>") //nolint:errcheck // the browser tells if it got no page
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestThreat35_AFormOnAnotherSiteEndsNoSessionAndSignsNobodyIn(t *testing.T) {
	b := newTab(t)
	b.signIn("forged@example.com")
	b.do(chromedp.Navigate(elsewhere(t, `<form method="post" action="`+origin+`/logout"><button>win</button></form>`)))
	b.press("button")
	b.mustSay("sent by another site")
	b.do(chromedp.Navigate(elsewhere(t, `<form method="post" action="`+origin+`/login"><input name="username" value="plain@example.com"><input name="password" value="`+password+`"><button>win</button></form>`)))
	b.press("button")
	b.mustSay("sent by another site")
	b.open("/account")
	b.mustBeAt("/account")
	b.mustSay("forged@example.com")
}

func TestThreat35_NoOtherSiteCanPutAPageIntoAFrame(t *testing.T) {
	b := newTab(t)
	b.provokes("Framing", "frame-ancestors", "ERR_BLOCKED_BY_RESPONSE")
	b.do(chromedp.Navigate(elsewhere(t, `<iframe src="`+origin+`/login" width="600" height="600"></iframe>`)))
	frames, err := chromedp.Run(b.ctx, func(ctx context.Context, _ *chromedp.Target) ([]string, error) {
		tree, err := chromedp.Call(ctx, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return nil, err
		}
		var urls []string
		for _, child := range tree.FrameTree.ChildFrames {
			urls = append(urls, child.Frame.URL)
		}
		return urls, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range frames {
		if strings.HasPrefix(u, origin) {
			t.Errorf("%s is shown in a frame", u)
		}
	}
}

// payloads run a script wherever they are taken for markup.
var payloads = []string{
	`<script>document.title='owned'</script>`, `"><img src=x onerror="document.title='owned'">`, `'><svg/onload=document.title='owned'>`,
	`</title><script>document.title='owned'</script>`, `" autofocus onfocus="document.title='owned'" x="`, `javascript:document.title='owned'`,
}

func TestThreat34_NamesRunNothing(t *testing.T) {
	b := newTab(t)
	b.authenticator()
	b.signIn("named@example.com")
	for _, p := range payloads {
		b.open("/account/factors")
		if eval[int](b, "document.querySelectorAll('a[href*=\"/rename\"]').length") == 0 {
			b.press(button("/account/factors/passkeys"))
			b.fill("name", "first")
			b.press(mainButton)
		}
		b.press("a[href*='/rename']")
		b.do(chromedp.SetValue(chromedp.CSS("#name"), p))
		b.press(mainButton)
		b.mustSay(p)
		b.press("a[href*='/remove']")
		b.mustSay(p)
		b.open("/account/factors")
		b.press("a[href*='/rename']")
		if value := eval[string](b, "document.querySelector('#name').value"); value != p {
			t.Errorf("%q comes back as %q", p, value)
		}
		if title := eval[string](b, "document.title"); strings.Contains(title, "owned") {
			t.Errorf("%s ran", html.EscapeString(p))
		}
	}
	// A name that is refused is said again in the sign-in page.
	b.press(button("/logout"))
	for _, p := range payloads {
		b.open("/login")
		b.do(chromedp.SetValue(chromedp.CSS("#username"), p))
		b.fill("password", "x")
		b.press(mainButton)
		if title := eval[string](b, "document.title"); strings.Contains(title, "owned") {
			t.Errorf("%s ran", html.EscapeString(p))
		}
	}
}

func TestThreat34_AScriptThatGotIntoAPageWouldNotRun(t *testing.T) {
	b := newTab(t)
	b.provokes("Content Security Policy")
	b.open("/login")
	// The image cannot be loaded, so that one of the two happens: its handler runs, or the policy is broken.
	ran := eval[bool](b, `new Promise(done => {
		window.addEventListener("owned", () => done(true));
		document.addEventListener("securitypolicyviolation", e => { if (e.violatedDirective.startsWith("script-src")) done(false); });
		const inline = document.createElement("div");
		inline.innerHTML = "<img src='data:,' onerror='window.dispatchEvent(new Event(&quot;owned&quot;))'>";
		document.body.append(inline);
	})`)
	if ran {
		t.Error("an inline handler ran")
	}
	if reached := eval[bool](b, "fetch('/healthz').then(() => true, () => false)"); reached {
		t.Error("a script of the page reaches the network")
	}
}

// provokes says which complaints of the browser a test means to cause. They may come at any time.
func (b *tab) provokes(parts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.provoked = append(b.provoked, parts...)
}
