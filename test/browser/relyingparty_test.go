package browser

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"keystile.dev/keystile/test/e2e/program"
)

// relyingParty is a client's site, which says what came to it.
type relyingParty struct {
	*httptest.Server
	id string
	// posted are answers that came as a form, framed the queries of its sign-out page.
	posted, framed chan url.Values
}

// newRelyingParty is a site with a client of its own at the server.
func newRelyingParty(t *testing.T) *relyingParty {
	t.Helper()
	p := &relyingParty{posted: make(chan url.Values, 9), framed: make(chan url.Values, 9)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cb", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		p.posted <- r.PostForm
		http.Redirect(w, r, "/home", http.StatusSeeOther) // as sites do, within their origin
	})
	mux.HandleFunc("GET /home", func(w http.ResponseWriter, _ *http.Request) { say(t, w, "The client's own page") })
	mux.HandleFunc("GET /front", func(w http.ResponseWriter, r *http.Request) {
		p.framed <- r.URL.Query()
		say(t, w, "signed out")
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	out, err := keystile(t.Context(), "client", "create", "--organization", "roof-tools-inc", "--name", "Roofs of "+t.Name(), "--redirect-uri", p.URL+"/cb", "--frontchannel-logout-uri", p.URL+"/front",
		"--scope", "openid", "--config", config, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.ID == "" {
		t.Fatalf("%s: %v", out, err)
	}
	p.id = made.ID
	return p
}

// ask is the path of an authorization request of the client, answered by a form.
func (p *relyingParty) ask() string {
	return "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "response_mode": {"form_post"}, "client_id": {p.id}, "redirect_uri": {p.URL + "/cb"}, "state": {"xyz"}, "scope": {"openid"},
	}.Encode()
}

// came is what came to the client.
func came(t *testing.T, from <-chan url.Values) url.Values {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(program.Patience):
		t.Fatal("nothing came to the client")
		return nil
	}
}

func TestAnAnswerIsPostedToTheClientByItself(t *testing.T) {
	p := newRelyingParty(t)
	b := newTab(t)
	b.signIn("answers@example.com")
	b.open(p.ask())
	b.press("button[value=allow]")
	got := came(t, p.posted)
	if got.Get("code") == "" || got.Get("state") != "xyz" || got.Get("iss") != origin {
		t.Errorf("%v", got)
	}
	b.arrive("/home")

	// Without scripts a button does it.
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.do(chromedp.Navigate(origin + p.ask()))
	select {
	case got := <-p.posted:
		t.Fatalf("posted without a script: %v", got)
	default:
	}
	b.press(mainButton)
	if got := came(t, p.posted); got.Get("code") == "" {
		t.Errorf("%v", got)
	}
}

func TestASignOutLoadsTheClientsPageAndGoesOn(t *testing.T) {
	p := newRelyingParty(t)
	b := newTab(t)
	b.signIn("leaves@example.com")
	b.open(p.ask())
	b.press("button[value=allow]")
	came(t, p.posted)
	b.arrive("/home")
	b.open("/account")
	b.press(button("/logout"))
	if got := came(t, p.framed); got.Get("iss") != origin || got.Get("sid") == "" {
		t.Errorf("%v", got)
	}
	b.arrive("/login")
	b.mustSay("You are signed out.")
}

func say(t *testing.T, w http.ResponseWriter, text string) {
	t.Helper()
	w.Header().Set("Content-Type", "text/html")
	if _, err := w.Write([]byte("<!doctype html><title>A client</title>" + text)); err != nil {
		t.Log(err) // the browser went on
	}
}
