package clients

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// person is somebody at a browser: it keeps cookies, follows redirects, fills in the
// forms of Keystile's pages and says yes. It leaves the server where a client is led to.
type person struct {
	http *http.Client
	// passwords and consents count what was asked of it.
	passwords, consents int
}

// newPerson is Ann at a fresh browser.
func newPerson(t *testing.T) *person {
	t.Helper()
	jar := must(cookiejar.New(nil))(t)
	return &person{http: &http.Client{
		Transport: trusting, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxSteps bounds a visit: no flow is that long.
const maxSteps = 15

// visit opens a URL of the server and does what the pages ask. It returns where the
// browser ends: the URL of a client, or the page of ours that asks nothing.
func (p *person) visit(to string) (string, error) {
	method, form := http.MethodGet, url.Values(nil)
	for range maxSteps {
		page, next, err := p.fetch(method, to, form)
		if err != nil {
			return "", err
		}
		if next != "" {
			if !strings.HasPrefix(next, origin+"/") {
				return next, nil
			}
			method, to, form = http.MethodGet, next, nil
			continue
		}
		action, values, asks := p.answer(page)
		if !asks {
			return to, nil
		}
		method, to, form = http.MethodPost, origin+action, values
	}
	return "", fmt.Errorf("no end after %d steps, at %s", maxSteps, to)
}

// fetch sends one request: its answer is a page, or leads on.
func (p *person) fetch(method, to string, form url.Values) (page *html.Node, next string, err error) {
	r, err := http.NewRequest(method, to, strings.NewReader(form.Encode())) //nolint:noctx // a browser waits as long as it takes
	if err != nil {
		return nil, "", err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, "", err
	}
	if location, err := answer.Location(); err == nil {
		return nil, location.String(), nil
	}
	if answer.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s %s: %s\n%s", method, to, answer.Status, body)
	}
	page, err = html.Parse(strings.NewReader(string(body)))
	return page, "", err
}

// answer fills in the form of a page, if it is one that asks something.
func (p *person) answer(page *html.Node) (action string, values url.Values, asks bool) {
	for n := range page.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		values, buttons := fields(n)
		switch action := attribute(n, "action"); action {
		case "/login":
			p.passwords++
			values.Set("username", "ann@example.com")
			values.Set("password", "correct horse battery")
			return action, values, true
		case "/oauth/consent", "/oauth/device":
			if buttons["decision"] {
				p.consents++
				values.Set("decision", "allow")
			}
			return action, values, true
		case "/oauth/logout/confirm":
			return action, values, true
		}
	}
	return "", nil, false
}

// fields are what a form would send as it stands, and the names of its buttons.
func fields(form *html.Node) (values url.Values, buttons map[string]bool) {
	values, buttons = url.Values{}, map[string]bool{}
	for n := range form.Descendants() {
		name := attribute(n, "name")
		switch {
		case name == "":
		case n.Data == "input":
			values.Set(name, attribute(n, "value"))
		case n.Data == "button":
			buttons[name] = true
		}
	}
	return values, buttons
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
