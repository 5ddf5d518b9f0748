package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// stepUpAge is the age of a sign-in after which package login asks for another
// one before factors, keys and passwords are touched (login.ErrStepUp).
const stepUpAge = 15 * time.Minute

// visit is one request for a page, and who makes it.
type visit struct {
	request *http.Request
	caller  login.Caller
	// session and user are zero where nobody is signed in.
	session keystile.Session
	user    keystile.User
	// form is the body of a POST; empty otherwise.
	form url.Values
	// token belongs into the forms of the session; empty without one.
	token string
	// program says that a program asks, which is refused with problem details in place of a page.
	program bool
}

func (v *visit) context() context.Context { return v.request.Context() }

func (v *visit) signedIn() bool { return v.session.ID != "" }

// query is a query parameter that stands once; empty otherwise.
func (v *visit) query(name string) string {
	if values := v.request.URL.Query()[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// handler is one page or form. An error becomes the page that fault.go has for it.
type handler func(*visit) (answer, error)

// serve puts the guards that every page has before a handler, so that no page
// can forget them.
func (c *Console) serve(rt route) http.Handler { return c.serveTo(rt, false) }

// serveTo is serve for a program, too; see visit.
func (c *Console) serveTo(rt route, program bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{request: r, program: program}
		a, err := c.guarded(w, v, rt)
		if err != nil {
			a = c.fault(v, err)
		}
		c.send(w, v, a)
	})
}

func (c *Console) guarded(w http.ResponseWriter, v *visit, rt route) (answer, error) {
	post := v.request.Method == http.MethodPost
	if post && !sameOrigin(v.request) {
		return answer{}, errCrossSite
	}
	addr, err := c.options.ClientAddr(v.request)
	if err != nil {
		return answer{}, errForm // an unreadable X-Forwarded-For (contract, "Details, continued")
	}
	v.caller = login.Caller{Addr: addr, UserAgent: v.request.UserAgent(), Door: keystile.DoorWeb, RequestID: c.options.RequestID(v.request)}
	if err := c.recognise(v); err != nil {
		return answer{}, err
	}
	if away, ok := c.admit(v, rt.access); !ok {
		return away, nil
	}
	if post {
		if v.form, err = readForm(w, v.request); err != nil {
			return answer{}, err
		}
		if rt.access != anyone && !c.seals.isFormToken(v.form.Get("token"), v.session.ID) {
			return answer{}, errStaleForm
		}
	}
	return rt.handler(v)
}

// recognise finds the session of the cookie, if it is live. A cookie that is not
// ours, or of a session that is over, is as none; not being able to tell is an error.
func (c *Console) recognise(v *visit) error {
	sid, ok := c.seals.openSession(c.cookies.read(v.request, cookieSession))
	if !ok {
		return nil
	}
	session, user, err := c.people.Renew(v.context(), v.caller, sid)
	switch {
	case errors.Is(err, login.ErrSessionEnded):
		return nil
	case err != nil:
		return err
	case session.Door != keystile.DoorWeb:
		return nil // its tokens are another door's; only the pages make cookies
	}
	v.session, v.user, v.token = session, user, c.seals.formToken(session.ID)
	return nil
}

// admit says whether a page may be seen; if not, where to go instead.
func (c *Console) admit(v *visit, need access) (away answer, ok bool) {
	switch {
	case need == anyone:
		return answer{}, true
	case !v.signedIn():
		return goTo("/login?" + url.Values{"return_to": {v.back()}}.Encode()), false
	case need == recent && c.options.Now().Sub(v.session.AuthenticatedAt) > stepUpAge:
		return v.stepUp(), false
	}
	return answer{}, true
}

// stepUp leads through a new sign-in and back.
func (v *visit) stepUp() answer {
	return goTo("/login?" + url.Values{"again": {"1"}, "return_to": {v.back()}}.Encode())
}

// back is where to go on after a sign-in in between: this page, or, as a form
// cannot be sent once more, the page of the menu that it belongs to.
func (v *visit) back() string {
	if v.request.Method == http.MethodGet {
		return v.request.URL.RequestURI()
	}
	if here := place(v.request.URL.Path); here != "" {
		return here
	}
	return home
}
