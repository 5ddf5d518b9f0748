package console

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// answer is what a page answers with: a view, or a way on.
type answer struct {
	// status of a view; 0 is 200.
	status int
	// view names the .html file; title is its heading and content what it shows.
	view    string
	title   string
	content any
	// to is where to go on (303, so that a reload repeats no form); empty: a view.
	to      string
	cookies []*http.Cookie
	// retry is Retry-After, in seconds; empty: none.
	retry string
	// formActions are the origins that a view's forms lead on to beside our own.
	formActions []string
	// frames are the origins whose pages a view shows in frames.
	frames []string
	// json is an answer to a program, in place of a view; nil: none.
	json []byte
}

func show(view, title string, content any) answer {
	return answer{view: view, title: title, content: content}
}

func goTo(path string) answer { return answer{to: path} }

// with adds a cookie.
func (a answer) with(cookie *http.Cookie) answer {
	a.cookies = append(a.cookies, cookie)
	return a
}

// refused is the same view for input that was not accepted.
func (a answer) refused(status int) answer {
	a.status = status
	return a
}

// navigation is the menu of signed-in people.
var navigation = []link{
	{home, "Profile"},
	{home + "/password", "Password"},
	{home + "/factors", "Sign-in methods"},
	{home + "/sessions", "Sessions"},
}

// applicationsLink is in the menu where there are applications.
var applicationsLink = link{home + "/applications", "Applications"}

// consentsLink is in the menu where there are clients that people give access to.
var consentsLink = link{home + "/access", "Access you gave"}

// menu is navigation as this server has it.
func (c *Console) menu() []link {
	menu := slices.Clone(navigation)
	if c.options.Applications != nil {
		menu = append(menu, applicationsLink)
	}
	if c.options.Authorizer != nil {
		menu = append(menu, consentsLink)
	}
	return menu
}

// link is a place in the menu.
type link struct{ Path, Label string }

// noticeTexts are what a page can say about what the page before it did. The
// cookie holds the name, so nobody else's words can be put here.
var noticeTexts = map[string]string{
	"password-changed":  "Your password was changed. All your other sessions were ended.",
	"password-set":      "Your new password is set. Sign in with it.",
	"signed-out":        "You are signed out.",
	"totp-added":        "Your authenticator app is set up.",
	"passkey-added":     "Your passkey was added.",
	"passkey-renamed":   "The passkey was renamed.",
	"factor-removed":    "It was removed and opens nothing any more.",
	"session-ended":     "That session was ended.",
	"sessions-ended":    "All your other sessions were ended.",
	"device-allowed":    "The device is connected. It goes on by itself in a moment.",
	"device-denied":     "The device was refused.",
	"consent-withdrawn": "The access was withdrawn. What the application holds opens nothing any more.",

	"access-granted":         "It is authorised, as you chose.",
	"access-withdrawn":       "It may do nothing in your organisation any more.",
	"application-made":       "It is registered. Make a key for it next.",
	"application-changed":    "It was changed.",
	"application-submitted":  "It was submitted. A reviewer of the platform looks at it.",
	"application-taken-back": "It is a draft again.",
	"application-retired":    "It is retired and works nowhere any more.",
	"key-revoked":            "The key was revoked and opens nothing any more.",
	"webhook-made":           "The webhook is set up.",
	"webhook-changed":        "The webhook was changed.",
	"webhook-deleted":        "The webhook was deleted.",
	"delivery-again":         "It is sent again in a moment.",
	"tenant-asked":           "The tenant's administrators see your request.",
	"review-approved":        "The application is approved.",
	"review-draft":           "The application was sent back.",
	"review-suspended":       "The application is suspended and works nowhere.",
}

// frame is what layout.html shows: a page and what is around it.
type frame struct {
	Title   string
	Content any
	// Name is who is signed in; empty: nobody.
	Name   string
	Token  string
	Notice string
	Menu   []link
	// Admin is the menu of administrators; none for other people.
	Admin []link
	// Here is the menu's place that the page belongs to.
	Here   string
	Style  string
	Script string
	// Onward is the script of pages that go on by themselves.
	Onward string
	Icon   string
}

// policy is the Content-Security-Policy of every page. default-src 'none' also
// forbids scripts to send anything: passkey.js submits a form.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// protect sets the headers of every answer of the pages.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// send writes an answer.
func (c *Console) send(w http.ResponseWriter, v *visit, a answer) {
	protect(w.Header())
	for _, cookie := range a.cookies {
		http.SetCookie(w, cookie)
	}
	if a.view != "" && len(a.formActions) == 0 {
		a.formActions = c.leadsOn(v)
	}
	if len(a.formActions) > 0 {
		w.Header().Set("Content-Security-Policy", formActionsOf(a.formActions))
	}
	if len(a.frames) > 0 {
		h := w.Header()
		h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; frame-src "+strings.Join(a.frames, " "))
	}
	switch {
	case v.program && a.view == faultView:
		sendProblem(w, a)
	case a.json != nil:
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(a.json); err != nil {
			c.options.Logger.Debug("send an answer", "error", err) // the program went away
		}
	case a.to != "":
		http.Redirect(w, v.request, a.to, http.StatusSeeOther)
	default:
		c.sendPage(w, v, a)
	}
}

// sendPage writes a view.
func (c *Console) sendPage(w http.ResponseWriter, v *visit, a answer) {
	f := frame{Title: a.title, Content: a.content, Token: v.token, Style: c.views.style, Script: c.views.script, Onward: c.views.onward, Icon: c.views.icon}
	if name := c.cookies.read(v.request, cookieNotice); name != "" {
		f.Notice = noticeTexts[name]
		http.SetCookie(w, c.cookies.drop(cookieNotice))
	}
	// A sign-in page has no menu: whoever is asked for proof is not to wander off.
	if v.signedIn() && place(v.request.URL.Path) != "" {
		f.Name, f.Menu, f.Admin, f.Here = v.user.Name, c.menu(), c.adminMenu(&v.user), place(v.request.URL.Path)
		if f.Name == "" {
			f.Name = v.user.Username
		}
	}
	// Rendered whole before the status is sent: a page that fails is a 500, not half a page.
	var page bytes.Buffer
	if err := c.views.render(&page, a.view, f); err != nil {
		c.options.Logger.Error("render a page", "view", a.view, "error", err)
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if a.retry != "" {
		w.Header().Set("Retry-After", a.retry)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		c.options.Logger.Debug("send a page", "error", err) // the browser went away
	}
}

// place is the longest path of the menu that a path is at or below.
func place(path string) string {
	here := ""
	places := append(slices.Clone(navigation), applicationsLink, consentsLink, link{Path: admin})
	for _, d := range duties {
		places = append(places, d.link)
	}
	for _, l := range places {
		if (path == l.Path || strings.HasPrefix(path, l.Path+"/")) && len(l.Path) > len(here) {
			here = l.Path
		}
	}
	return here
}
