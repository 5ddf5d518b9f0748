package browser

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"keystile.dev/keystile/test/e2e/program"
)

// tab is a browser window with cookies of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	// complaints are the errors that the browser logged about our pages, provoked parts of those that a test means to cause.
	complaints, provoked []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 6*program.Patience)
	t.Cleanup(cancel)
	// A form that is refused is answered with a 4xx, which Chromium logs.
	b := &tab{t: t, ctx: ctx, provoked: []string{"Failed to load resource: the server responded with a status of 4"}}
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*log.EventEntryAdded); ok && e.Entry.Level == log.EntryLevelError && strings.HasPrefix(e.Entry.URL, origin) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.complaints = append(b.complaints, e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1200, 800))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, text := range b.complaints {
			if !slices.ContainsFunc(b.provoked, func(part string) bool { return strings.Contains(text, part) }) {
				t.Errorf("the browser logs: %s", text)
			}
		}
	})
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// eval is the value of a JavaScript expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// open goes to a path of ours.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(origin + path))
}

// fill types into an empty field.
func (b *tab) fill(name, text string) {
	b.t.Helper()
	b.do(chromedp.Clear(chromedp.CSS("#"+name)), chromedp.SendKeys(chromedp.CSS("#"+name), text))
}

// press clicks what leads to another page, and waits for it.
func (b *tab) press(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

// Buttons by what they do.
const (
	mainButton   = "main button.main"
	dangerButton = "main button.danger"
)

func button(action string) string { return "form[action='" + action + "'] button" }

// at is the path of the page.
func (b *tab) at() string {
	b.t.Helper()
	where, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(where)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Path
}

// mustBeAt fails the test if the page is another one.
func (b *tab) mustBeAt(path string) {
	b.t.Helper()
	if at := b.at(); at != path {
		b.t.Fatalf("at %s, not at %s:\n%s", at, path, b.text())
	}
}

// text is what the page says.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, "document.body.innerText")
}

func (b *tab) mustSay(text string) {
	b.t.Helper()
	if said := b.text(); !strings.Contains(said, text) {
		b.t.Fatalf("the page does not say %q:\n%s", text, said)
	}
}

// signIn gives a name and the password.
func (b *tab) signIn(username string) {
	b.t.Helper()
	b.open("/login?again=1")
	b.fill("username", username)
	b.fill("password", password)
	b.press(mainButton)
}

// code is the TOTP code of a secret, steps of 30 s from now (RFC 6238, SHA-1, 6 digits).
func code(t *testing.T, secret string, steps int64) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha1.New, key)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(time.Now().Unix()/30+steps))
	h.Write(counter[:])
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// media sets what the page thinks people prefer: "light" or "dark".
func (b *tab) media(scheme string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// finding is what the accessibility checker complains about.
type finding struct {
	ID    string
	Help  string
	Nodes []string
}

// look checks the page as it stands, light, dark and on a phone.
func (b *tab) look(name string) {
	b.t.Helper()
	if !eval[bool](b, "'axe' in window") {
		eval[bool](b, axe+";true")
	}
	for _, view := range []struct {
		name, scheme  string
		width, height int64
		rules         string
	}{
		{"light", "light", 1200, 800, "{}"},
		{"dark", "dark", 1200, 800, "{runOnly: ['color-contrast']}"},
		{"phone", "light", 320, 640, "{runOnly: ['target-size', 'scrollable-region-focusable']}"},
	} {
		b.media(view.scheme)
		b.do(chromedp.EmulateViewport(view.width, view.height))
		b.until(fmt.Sprintf("window.innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches", view.width, view.scheme))
		found := eval[[]finding](b, "axe.run(document, "+view.rules+").then(r => r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => n.html)})))")
		for _, f := range found {
			b.t.Errorf("%s, %s: %s: %s %q", name, view.name, f.ID, f.Help, f.Nodes)
		}
		if eval[bool](b, "document.documentElement.scrollWidth > window.innerWidth") {
			b.t.Errorf("%s, %s: the page scrolls sideways", name, view.name)
		}
		b.picture(name + "-" + view.name)
	}
	b.media("light")
	b.do(chromedp.EmulateViewport(1200, 800))
}

// picture leaves a screenshot, if somebody wants them.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("KEYSTILE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
