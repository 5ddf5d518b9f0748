package console

import "net/http"

// access is who may see a page.
type access int

const (
	// anyone, signed in or not.
	anyone access = iota
	// member: whoever is signed in.
	member
	// recent: whoever signed in a moment ago (stepUpAge); others do it again first, so
	// that package login has no reason to refuse what the page leads to.
	recent
)

// route is one page or form.
type route struct {
	// pattern is a method and a path (http.ServeMux).
	pattern string
	access  access
	handler handler
}

// Paths are what ServeHTTP serves; "/x/" is everything below it.
var Paths = []string{"/login", "/login/", "/logout", "/account", "/account/", "/admin", "/admin/"}

// routes is every page.
func (c *Console) routes() []route {
	routes := c.accountRoutes()
	if c.options.Providers != nil {
		routes = append(routes, c.providerRoutes()...)
	}
	if c.options.Applications != nil {
		routes = append(routes,
			route{"GET /account/applications", member, c.applications},
			route{"POST /account/applications/open", member, c.openApplication},
		)
	}
	if c.options.Authorizer != nil {
		routes = append(routes, c.authorizeRoutes()...)
	}
	if c.options.Administration != nil {
		routes = append(routes, c.adminRoutes()...)
	}
	return routes
}

// accountRoutes are those that every server has.
func (c *Console) accountRoutes() []route {
	return []route{
		{"GET /login", anyone, c.signInForm},
		{"POST /login", anyone, c.signIn},
		{"GET /login/code", anyone, c.codeForm},
		{"POST /login/code", anyone, c.code},
		{"POST /login/passkey", anyone, c.askPasskey},
		{"POST /login/passkey/answer", anyone, c.answerPasskey},
		{"GET /login/password", anyone, c.newPasswordForm},
		{"POST /login/password", anyone, c.newPassword},
		{"GET /login/reset", anyone, c.resetForm},
		{"POST /login/reset", anyone, c.reset},
		{"POST /login/reset/set", anyone, c.resetSet},
		{"POST /logout", anyone, c.signOut},

		{"GET /account", member, c.profile},
		{"POST /account/key", member, c.showKey},
		{"GET /account/key/reset", recent, c.resetKeyQuestion},
		{"POST /account/key/reset", recent, c.resetKey},
		{"GET /account/password", member, c.passwordForm},
		{"POST /account/password", member, c.changePassword},
		{"GET /account/factors", member, c.factors},
		{"GET /account/factors/remove", recent, c.removeFactorQuestion},
		{"POST /account/factors/remove", recent, c.removeFactor},
		{"POST /account/factors/totp", recent, c.enrolTOTP},
		{"POST /account/factors/totp/confirm", recent, c.confirmTOTP},
		{"POST /account/factors/passkeys", recent, c.addPasskey},
		{"POST /account/factors/passkeys/answer", recent, c.keepPasskey},
		{"GET /account/factors/passkeys/rename", member, c.renamePasskeyForm},
		{"POST /account/factors/passkeys/rename", member, c.renamePasskey},
		{"GET /account/factors/recovery", recent, c.recoveryQuestion},
		{"POST /account/factors/recovery", recent, c.recovery},
		{"GET /account/sessions", member, c.sessions},
		{"POST /account/sessions/end", member, c.endSession},
		{"GET /account/sessions/others", member, c.endOthersQuestion},
		{"POST /account/sessions/others", member, c.endOthers},
	}
}

func (c *Console) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		mux.Handle(r.pattern, c.serve(r))
	}
	for name, asset := range c.views.assets {
		mux.Handle("GET "+name, asset)
	}
	mux.Handle("/", c.nowhere)
	return mux
}
