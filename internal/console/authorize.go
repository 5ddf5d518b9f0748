package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
)

// Authorizer is the authorization server as the pages ask it; [oidc.Server] is one and
// says what each method does. Every method may block on the store and is safe for
// concurrent use.
type Authorizer interface {
	Begin(ctx context.Context, query url.Values, person *oidc.Person, since time.Time) (oidc.Step, error)
	Decide(ctx context.Context, query url.Values, person oidc.Person, since time.Time, allow bool) (oidc.Step, error)
	RedirectOrigin(ctx context.Context, query url.Values) string
	EndSession(ctx context.Context, query url.Values) (oidc.Logout, error)
	LogoutFrames(ctx context.Context, sessionID string) ([]oidc.LogoutFrame, error)
	// Device is what is asked about the device that shows a code; a wrong one is
	// [oidc.ErrUserCode].
	Device(ctx context.Context, person oidc.Person, code string) (oidc.Consent, error)
	DecideDevice(ctx context.Context, person oidc.Person, code string, allow bool) error
	// Access lists what the user allowed clients, and Withdraw takes it back; nothing to
	// take back is keystile.ErrNotFound.
	Access(ctx context.Context, userID string) ([]oidc.Access, error)
	Withdraw(ctx context.Context, userID, clientID, requestID string) error
}

// AuthorizePaths are what ServeHTTP serves where there is an Authorizer.
var AuthorizePaths = []string{oidc.PathAuthorize, oidc.PathConsent, oidc.PathDevice, oidc.PathLogout, pathLogoutConfirmed}

// authorizeRoutes are the pages of the authorization server.
func (c *Console) authorizeRoutes() []route {
	return []route{
		{"GET " + oidc.PathAuthorize, anyone, c.authorize},
		{"POST " + oidc.PathConsent, member, c.decideAccess},
		{"GET " + oidc.PathDevice, member, c.deviceForm},
		{"POST " + oidc.PathDevice, member, c.device},
		{"GET " + oidc.PathLogout, anyone, c.clientLogout},
		{"POST " + pathLogoutConfirmed, member, c.confirmLogout},
		{"GET " + home + "/access", member, c.consents},
		{"POST " + home + "/access/withdraw", member, c.withdrawConsent},
	}
}

// sinceParameter remembers, over a sign-in in between, when the request that asked for
// it was made: "UNIX.MAC". The MAC is over the rest of the request, so that it stands for
// no other.
const sinceParameter = "keystile_since"

// authorizationOf reads the query of an authorization request, without our own parameter,
// and when the sign-in that it asked for was begun.
func (c *Console) authorizationOf(raw string) (query url.Values, since time.Time) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return url.Values{}, time.Time{}
	}
	marks := query[sinceParameter]
	query.Del(sinceParameter)
	if len(marks) != 1 {
		return query, time.Time{}
	}
	text, mac, ok := strings.Cut(marks[0], ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || !c.seals.is(mac, "since", text+"\x00"+query.Encode()) {
		return query, time.Time{}
	}
	return query, time.Unix(seconds, 0)
}

// sendPosted leads a request that was posted on to the same one in a URL: the page is
// one, and no cookie of ours is needed to find the way (OpenID Connect Core, section
// 3.1.2.1).
func (c *Console) sendPosted(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	address := r.URL.Path
	if len(form) > 0 {
		address += "?" + form.Encode()
	}
	a := goTo(address)
	v := &visit{request: r}
	nobodys := form.Get("client_id") == "" && r.URL.Path == oidc.PathAuthorize // a sign-out needs no parameter (RP-Initiated Logout, section 2)
	if err != nil || r.URL.RawQuery != "" || nobodys {
		a = c.fault(v, errForm)
	}
	c.send(w, v, a)
}

func (v *visit) person() *oidc.Person {
	if !v.signedIn() {
		return nil
	}
	return &oidc.Person{Session: v.session, User: v.user}
}

func (c *Console) authorize(v *visit) (answer, error) {
	query, since := c.authorizationOf(v.request.URL.RawQuery)
	step, err := c.options.Authorizer.Begin(v.context(), query, v.person(), since)
	if err != nil {
		return answer{}, err
	}
	switch {
	case step.SignIn != nil:
		return c.signInFirst(query, step.SignIn), nil
	case step.Consent != nil:
		return c.consentPage(v, v.request.URL.RawQuery, step.Consent), nil
	}
	return c.answerClient(step), nil
}

// formPostView is the content of formpost.html.
type formPostView struct {
	Action, Host string
	Fields       []formPostField
}

type formPostField struct{ Name, Value string }

// answerClient leads back to a client, as it wants its answer.
func (c *Console) answerClient(step oidc.Step) answer {
	if step.Post == nil {
		return goTo(step.Location)
	}
	view := formPostView{Action: step.Post.Action}
	if u, err := url.Parse(step.Post.Action); err == nil {
		view.Host = u.Host
	}
	for _, name := range slices.Sorted(maps.Keys(step.Post.Fields)) {
		view.Fields = append(view.Fields, formPostField{name, step.Post.Fields.Get(name)})
	}
	a := show("formpost", "Back to the application", view)
	a.formActions = []string{step.Post.Origin}
	return a
}

// signInFirst leads through a sign-in and back to the request.
func (c *Console) signInFirst(query url.Values, need *oidc.SignIn) answer {
	encoded := query.Encode()
	now := strconv.FormatInt(c.options.Now().Unix(), 10)
	back := oidc.PathAuthorize + "?" + encoded + "&" + sinceParameter + "=" + url.QueryEscape(now+"."+c.seals.mac("since", now+"\x00"+encoded))
	to := url.Values{"return_to": {back}}
	if need.Again {
		to.Set("again", "1")
	}
	if need.Passkey {
		to.Set("factor", "passkey")
	}
	if need.Hint != "" && len(need.Hint) <= 320 {
		to.Set("hint", need.Hint)
	}
	return goTo("/login?" + to.Encode())
}

// consentView is the content of consent.html.
type consentView struct {
	*oidc.Consent
	// User is who is asked.
	User string
	// Permissions are the scopes in words.
	Permissions []allowance
	Form        *form
}

// allowance is a scope as people read it.
type allowance struct{ Text, Scope string }

// scopeTexts are the scopes that tell of a person, in words. Others are shown as they are.
var scopeTexts = map[keystile.Scope]string{
	"openid":         "Know who you are here",
	"profile":        "See your name and username",
	"email":          "See your e-mail address",
	"offline_access": "Keep its access while you are away",
}

func allowances(scopes []keystile.Scope) []allowance {
	var list []allowance
	for _, s := range scopes {
		if text, ok := scopeTexts[s]; ok {
			list = append(list, allowance{Text: text})
			continue
		}
		noun, verb, _ := strings.Cut(string(s), ":")
		text := strings.ReplaceAll(noun, "_", " ")
		switch verb {
		case "":
		case "*":
			text = "Everything about " + text
		case "read":
			text = "Read " + text
		case "write":
			text = "Change " + text
		default:
			text += ": " + verb
		}
		list = append(list, allowance{Text: text, Scope: string(s)})
	}
	return list
}

func (c *Console) consentPage(v *visit, raw string, asked *oidc.Consent) answer {
	view := consentView{Consent: asked, User: v.user.Username, Permissions: allowances(besideIdentity(asked.Scopes)), Form: v.newForm(oidc.PathConsent, "Allow").hide("request", raw)}
	a := show("consent", "Allow "+asked.Client+"?", view)
	a.formActions = []string{asked.Redirect}
	return a
}

// decideAccess answers a request as its form says. The browser brings the request along, and
// the server reads it anew.
func (c *Console) decideAccess(v *visit) (answer, error) {
	var allow bool
	switch v.form.Get("decision") {
	case "allow":
		allow = true
	case "deny":
	default:
		return answer{}, errForm
	}
	query, since := c.authorizationOf(v.form.Get("request"))
	step, err := c.options.Authorizer.Decide(v.context(), query, *v.person(), since, allow)
	if err != nil {
		return answer{}, err
	}
	return c.answerClient(step), nil
}

// refusedRequest is the page for a request that may not be answered to anybody else.
func refusedRequest(err error) (answer, bool) {
	var refused *oidc.Refused
	if !errors.As(err, &refused) {
		return answer{}, false
	}
	return sorry(http.StatusBadRequest, "This link does not work", refused.Text+" Tell whoever made the application.", 0), true
}

// leadsOn is where a page's forms lead beside our own origin, if what stands before it is
// an authorization request: Chromium holds form-action against every redirect after a
// POST (rulings R28).
func (c *Console) leadsOn(v *visit) []string {
	if c.options.Authorizer == nil {
		return nil
	}
	back := v.query("return_to")
	if back == "" {
		back = v.form.Get("return_to")
	}
	raw, ok := strings.CutPrefix(returnTo(back), oidc.PathAuthorize+"?")
	if !ok {
		return nil
	}
	query, _ := c.authorizationOf(raw)
	if origin := c.options.Authorizer.RedirectOrigin(v.context(), query); origin != "" {
		return []string{origin}
	}
	return nil
}

// consentsView is the content of consents.html.
type consentsView struct{ Consents []consentRow }

type consentRow struct {
	oidc.Access
	Permissions []allowance
	Withdraw    *form
}

func (c *Console) consents(v *visit) (answer, error) {
	list, err := c.options.Authorizer.Access(v.context(), v.user.ID)
	if err != nil {
		return answer{}, err
	}
	var view consentsView
	for _, a := range list {
		view.Consents = append(view.Consents, consentRow{a, allowances(a.Scopes), v.newForm(home+"/access/withdraw", "Withdraw").hide("client", a.ClientID)})
	}
	slices.SortFunc(view.Consents, func(a, b consentRow) int { return strings.Compare(a.Client, b.Client) })
	return show("consents", "Access you gave", view), nil
}

func (c *Console) withdrawConsent(v *visit) (answer, error) {
	if err := c.options.Authorizer.Withdraw(v.context(), v.user.ID, v.form.Get("client"), v.caller.RequestID); err != nil {
		return answer{}, err
	}
	return c.done(home+"/access", "consent-withdrawn"), nil
}
