package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// Providers signs people in at identity providers; package login's Service is one and
// says what each method does. Every method may wait for the store or a provider and is safe
// for concurrent use.
type Providers interface {
	Buttons(ctx context.Context, organizationID string) ([]login.Button, error)
	BeginProvider(ctx context.Context, c login.Caller, provider, back string, anew bool) (login.ProviderSignIn, error)
	FinishProvider(ctx context.Context, c login.Caller, token keystile.Secret, provider string, callback url.Values) (login.Outcome, string, error)
}

// ProviderCallback is the path that a provider sends browsers back to.
func ProviderCallback(provider string) string {
	return "/login/with/" + url.PathEscape(provider) + "/callback"
}

const (
	// cookieProvider holds the sealed token of a sign-in at a provider. It is what binds the
	// answer to the browser that asked: another one has no such cookie, and cannot be given it.
	cookieProvider = "keystile_provider"
	// providerLife is how long a browser keeps it; the token ends by its own clock.
	providerLife = 15 * time.Minute
	// maxProviderBack bounds where to go on, which is in the cookie: browsers keep 4 KiB. An
	// ampersand counts six times, as JSON writes it.
	maxProviderBack = 2048
)

// providerRoutes are those of sign-ins at providers. They begin with a link and not with a
// form: a form's redirect to a provider would need its origin in form-action of every page.
func (c *Console) providerRoutes() []route {
	return []route{
		{"GET /login/with/{provider}", anyone, c.beginProvider},
		{"GET /login/with/{provider}/callback", anyone, c.finishProvider},
	}
}

// buttonView is a way to sign in at a provider.
type buttonView struct{ Label, To string }

// buttons are those of the sign-in page.
func (c *Console) buttons(v *visit, organization, back string, again bool) ([]buttonView, error) {
	if c.options.Providers == nil {
		return nil, nil
	}
	found, err := c.options.Providers.Buttons(v.context(), organization)
	if err != nil {
		return nil, err
	}
	views := make([]buttonView, len(found))
	for i, b := range found {
		query := url.Values{"return_to": {back}}
		if again {
			query.Set("again", "1")
		}
		views[i] = buttonView{Label: b.Label, To: "/login/with/" + url.PathEscape(b.Provider) + "?" + query.Encode()}
	}
	return views, nil
}

func (c *Console) beginProvider(v *visit) (answer, error) {
	back := returnTo(v.query("return_to"))
	if len(back)+5*strings.Count(back, "&") > maxProviderBack {
		back = home
	}
	again := v.query("again") == "1"
	if v.signedIn() && !again {
		return goTo(back), nil
	}
	begun, err := c.options.Providers.BeginProvider(v.context(), v.caller, v.request.PathValue("provider"), back, again)
	if errors.Is(err, keystile.ErrNotFound) {
		return answer{}, errNoPage
	}
	if err != nil {
		return answer{}, err
	}
	return goTo(begun.URL).with(c.cookies.set(cookieProvider, begun.Token.Reveal(), providerLife)), nil
}

func (c *Console) finishProvider(v *visit) (answer, error) {
	token := c.cookies.read(v.request, cookieProvider)
	if token == "" {
		return answer{}, login.ErrChallengeExpired // another browser's answer, or one that took too long
	}
	outcome, back, err := c.options.Providers.FinishProvider(v.context(), v.caller, keystile.Secret(token), v.request.PathValue("provider"), v.request.URL.Query())
	done := c.cookies.drop(cookieProvider)
	if errors.Is(err, login.ErrInvalidCredentials) || errors.Is(err, login.ErrInactive) {
		return c.providerRefused(err).with(done), nil
	}
	if err != nil {
		return answer{}, err
	}
	a, err := c.proceed(v, outcome, returnTo(back))
	return a.with(done), err
}

// providerRefused says that nobody was signed in, and what can be done about it; what
// was wrong with the answer is for the log.
func (c *Console) providerRefused(err error) answer {
	text := "The account you used there opens none here, or its answer could not be used. Try again, or sign in another way."
	switch {
	case errors.Is(err, login.ErrInactive):
		text = "This account is not active. Ask whoever manages your organisation."
	case errors.Is(err, login.ErrCancelled):
		text = "The sign-in was cancelled there. Try again, or sign in another way."
	}
	return sorry(http.StatusForbidden, "Not signed in", text, 0)
}
