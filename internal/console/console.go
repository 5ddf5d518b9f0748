package console

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"time"

	"keystile.dev/keystile/internal/oidc"
)

// Options are what the pages stand on.
type Options struct {
	People People
	// Applications are what people open; nil: the server has none.
	Applications Applications
	// Providers signs people in at identity providers; nil: the server has none.
	Providers Providers
	// Authorizer answers clients of the authorization server; nil: there is none.
	Authorizer Authorizer
	// Administration is what administrators do here; nil: nothing.
	Administration Administration
	// Origin is where browsers reach the pages: scheme, host and port of public_url.
	// Over https the cookies are Secure and have the __Host- prefix.
	Origin string
	// Passkeys and Reset say whether there are passkeys, and mail to reset a password with.
	Passkeys, Reset bool
	// Key signs cookies and form tokens: 32 random bytes that live as long as the store.
	Key []byte
	// ClientAddr is the caller's address behind trusted proxies.
	ClientAddr func(*http.Request) (netip.Addr, error)
	RequestID  func(*http.Request) string
	Now        func() time.Time
	Logger     *slog.Logger
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	people  People
	seals   seals
	cookies cookies
	views   *views
	mux     *http.ServeMux
	// nowhere answers for every other path.
	nowhere http.Handler
	options Options
}

// New builds the pages.
func New(o Options) (*Console, error) {
	origin, err := url.Parse(o.Origin)
	if err != nil || origin.Host == "" || (origin.Scheme != "http" && origin.Scheme != "https") {
		return nil, fmt.Errorf("console: %q is no origin", o.Origin)
	}
	if len(o.Key) < minKey {
		return nil, errors.New("console: the key is too short")
	}
	views, err := readViews()
	if err != nil {
		return nil, err
	}
	c := &Console{people: o.People, seals: seals{key: o.Key}, cookies: cookies{secure: origin.Scheme == "https"}, views: views, options: o}
	c.nowhere = c.serve(route{access: anyone, handler: func(*visit) (answer, error) { return answer{}, errNoPage }})
	c.mux = c.newMux()
	return c, nil
}

// ServeHTTP serves every path of the pages (see Paths).
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != path.Clean(r.URL.Path) { // the mux would lead on to the path it means
		c.nowhere.ServeHTTP(w, r)
		return
	}
	if c.options.Authorizer != nil && r.Method == http.MethodPost && (r.URL.Path == oidc.PathAuthorize || r.URL.Path == oidc.PathLogout) {
		c.sendPosted(w, r)
		return
	}
	c.mux.ServeHTTP(w, r)
}
