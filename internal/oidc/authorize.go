package oidc

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/store"
)

// Person is who is signed in at the browser.
type Person struct {
	Session keystile.Session
	User    keystile.User
}

// Step is what comes next in an authorization: exactly one member is set.
type Step struct {
	// Location is where the browser goes on to: the client, with a code or an error.
	Location string
	// Post is the same for a client that wants its answer as a form (response_mode=form_post).
	Post *FormPost
	// SignIn asks for a sign-in first.
	SignIn *SignIn
	// Consent asks the person.
	Consent *Consent
	// byStranger: Location is that of a client which nobody vouches for.
	byStranger bool
}

// FormPost is an answer that the browser posts to a client (OAuth 2.0 Form Post Response
// Mode, section 2).
type FormPost struct {
	// Action is the redirect URI, http or https, and Origin where it leads, as form-action
	// takes it.
	Action, Origin string
	Fields         url.Values
}

// SignIn is what is asked of a sign-in.
type SignIn struct {
	// Again: whoever is signed in has to prove who they are once more.
	Again bool
	// Hint is the name that the client expects; empty: any.
	Hint string
	// Passkey: nothing else will do.
	Passkey bool
}

// Consent is what a person is asked.
type Consent struct {
	// Client is what it calls itself, and Owner who makes it.
	Client, Owner, Homepage string
	// Verified: the platform's reviewers know the client. One that registered itself may
	// call itself anything (rulings R41).
	Verified bool
	// Redirect is where the answer leads, as form-action takes it, and Host as people read it.
	Redirect, Host string
	Scopes         []keystile.Scope
	// Resources are those that the tokens are for; none: this server's gateway.
	Resources []string
	// Lasting: access goes on while the person is away.
	Lasting bool
	// UserCode is what a device shows, as it shows it; empty: it is no device.
	UserCode string
}

// Refused is an authorization request that cannot be answered to the client: whoever
// sent it may not be the client, and must not choose where the browser goes.
type Refused struct{ Text string }

// Error implements error.
func (r *Refused) Error() string { return "authorization request: " + r.Text }

// authorization is a request that was checked.
type authorization struct {
	client      *client
	redirectURI string
	formPost    bool // the answer is a form, not a query
	state       string
	nonce       string
	thumbprint  string // of the key that the code is bound to (dpop_jkt); empty: none
	scopes      []keystile.Scope
	audiences   []string
	challenge   string
	prompt      []string
	maxAge      time.Duration // negative: any
	// pushed is the digest of the pushed request that it came as; nil: it stood in the URL.
	pushed *[32]byte
	hint   string
	claims claimsRequest
	acr    acrRequest
	// subjects are sets of which each must hold the subject of the person.
	subjects [][]string
}

// maxParameter bounds what is kept for the client or given back to it, in bytes.
const maxParameter = 2048

// Begin reads an authorization request and says what comes next. person is nil where
// nobody is signed in; since is when a sign-in that this request asked for was begun,
// zero if none was. A request that cannot be answered to a client is *Refused.
func (s *Server) Begin(ctx context.Context, query url.Values, person *Person, since time.Time) (Step, error) {
	a, step, err := s.approach(ctx, query, person)
	if a == nil {
		return step, err
	}
	need, err := s.signIn(ctx, a, person, since)
	switch {
	case err != nil:
		return s.answerRefusal(a, err)
	case need != nil && slices.Contains(a.prompt, "none"):
		return s.answerError(a, "login_required", "Nobody is signed in, or not as asked."), nil
	case need != nil:
		return Step{SignIn: need}, nil
	}
	granted, step, err := s.grantable(ctx, a, person)
	if granted == nil {
		return step, err
	}
	told := union(granted, a.claims.scopes())
	asked, err := s.mustAsk(ctx, a, person, told)
	if err != nil {
		return Step{}, err
	}
	if !asked {
		return s.giveCode(ctx, a, person, granted)
	}
	if slices.Contains(a.prompt, "none") {
		return s.answerError(a, "consent_required", "The user has to be asked."), nil
	}
	u, err := url.Parse(a.redirectURI)
	if err != nil {
		return Step{}, &Refused{"The redirect URI cannot be read."}
	}
	c := a.client
	return Step{Consent: &Consent{
		Client: c.name(), Owner: c.OwnerName, Homepage: c.Application.Homepage, Verified: c.Client.ApplicationID != "",
		Redirect: originOf(a.redirectURI), Host: u.Host, Scopes: told, Resources: a.audiences, Lasting: c.may(keystile.GrantRefreshToken),
	}}, nil
}

// approach reads a request. That of a client which nobody vouches for has its person
// sign in first: before that, no document is fetched, and nobody is led away (RFC 9700,
// section 4.11.2).
func (s *Server) approach(ctx context.Context, query url.Values, person *Person) (*authorization, Step, error) {
	first := Step{SignIn: &SignIn{}}
	if person == nil && s.o.Documents != nil && clientmetadata.IsDocumentURL(query.Get("client_id")) {
		return nil, first, nil
	}
	a, step, err := s.read(ctx, query)
	if a == nil && step.byStranger && person == nil && query.Get("prompt") != "none" {
		return nil, first, err
	}
	return a, step, err
}

// Decide answers an authorization request as the person decided on it. It reads the
// request anew: nothing of what was shown is taken from the browser.
func (s *Server) Decide(ctx context.Context, query url.Values, person Person, since time.Time, allow bool) (Step, error) {
	a, step, err := s.read(ctx, query)
	if a == nil {
		return step, err
	}
	need, err := s.signIn(ctx, a, &person, since)
	if err != nil {
		return s.answerRefusal(a, err)
	}
	if need != nil {
		return s.answerError(a, "login_required", "The sign-in is not as asked any more."), nil
	}
	granted, step, err := s.grantable(ctx, a, &person)
	if granted == nil {
		return step, err
	}
	if !allow {
		return s.answerError(a, "access_denied", "The user said no."), nil
	}
	if err := s.remember(ctx, a, &person, union(granted, a.claims.scopes())); err != nil {
		return Step{}, err
	}
	return s.giveCode(ctx, a, &person, granted)
}

// RedirectOrigin is where the answer to an authorization request leads, as form-action
// takes it; empty: the request is not one that is answered to a client.
func (s *Server) RedirectOrigin(ctx context.Context, query url.Values) string {
	query, _, err := s.resolve(ctx, query)
	if err != nil {
		return ""
	}
	c, uri, err := s.destination(ctx, query)
	if err != nil || c == nil {
		return ""
	}
	return originOf(uri)
}

// destination is the client of a request and where it wants the answer, before anything
// else is looked at: what is wrong up to here is shown to the person and to nobody else
// (RFC 6749, section 4.1.2.1).
func (s *Server) destination(ctx context.Context, query url.Values) (*client, string, error) {
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(query[name]) != 1 || query.Get(name) == "" {
			return nil, "", &Refused{name + " is missing, or there more than once."}
		}
	}
	c, err := s.asking(ctx, query.Get("client_id"))
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, "", &Refused{"There is no such application, or it may not work here."}
	}
	if err != nil {
		return nil, "", err
	}
	uri := query.Get("redirect_uri")
	if !clientmetadata.MatchRedirect(c.Client.RedirectURIs, uri) {
		return nil, "", &Refused{"The application did not register that redirect URI."}
	}
	return c, uri, nil
}

// read checks a request. a is nil where it is answered already, by step or err.
func (s *Server) read(ctx context.Context, query url.Values) (a *authorization, step Step, err error) {
	query, pushed, err := s.resolve(ctx, query)
	if err != nil {
		return nil, Step{}, err
	}
	c, uri, err := s.destination(ctx, query)
	if err != nil {
		return nil, Step{}, err
	}
	a = &authorization{client: c, redirectURI: uri, pushed: pushed, formPost: len(query["response_mode"]) == 1 && query.Get("response_mode") == modeFormPost && postable(uri)}
	if len(query["state"]) == 1 && len(query.Get("state")) <= maxParameter {
		a.state = query.Get("state")
	}
	if err := s.take(ctx, a, query); err != nil {
		step, err = s.answerRefusal(a, err)
		step.byStranger = c.Client.ApplicationID == ""
		return nil, step, err
	}
	return a, Step{}, nil
}

// grantable are the scopes that this person can give: what their role holds of what is
// asked. nil: it is answered already.
func (s *Server) grantable(ctx context.Context, a *authorization, person *Person) (granted []keystile.Scope, step Step, err error) {
	user, err := s.o.Store.FindUserByID(ctx, person.User.ID)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (user.User.Disabled || user.Organization.Disabled) {
		return nil, s.answerError(a, "access_denied", "The user may not sign in."), nil
	}
	if err != nil {
		return nil, Step{}, err
	}
	if app := a.client.Application; app.ID != "" && app.Environment != user.Organization.Environment {
		return nil, s.answerError(a, "access_denied", "The application is of another environment than the user."), nil
	}
	return append([]keystile.Scope{}, oauthtoken.Effective(a.scopes, user.Role.Scopes)...), Step{}, nil
}

// resourcesOf are the rows that a consent is remembered in.
func resourcesOf(audiences []string) []string {
	if len(audiences) == 0 {
		return []string{""}
	}
	return audiences
}

// mustAsk says whether the person has to be asked: unless the client is the platform's
// own, or they allowed this much for each of these resources before.
func (s *Server) mustAsk(ctx context.Context, a *authorization, person *Person, granted []keystile.Scope) (bool, error) {
	if slices.Contains(a.prompt, "consent") {
		return true, nil
	}
	if a.client.Client.FirstParty {
		return false, nil
	}
	known, err := s.o.Store.OAuthConsents(ctx, person.User.ID, a.client.id())
	if err != nil {
		return false, err
	}
	for _, resource := range resourcesOf(a.audiences) {
		at := slices.IndexFunc(known, func(c keystile.OAuthConsent) bool { return c.Resource == resource })
		if at < 0 || slices.ContainsFunc(granted, func(s keystile.Scope) bool { return !slices.Contains(known[at].Scopes, s) }) {
			return true, nil
		}
	}
	return false, nil
}

// remember keeps a yes, beside what the person had said yes to before.
func (s *Server) remember(ctx context.Context, a *authorization, person *Person, granted []keystile.Scope) error {
	actor := store.Actor{Name: "user:" + person.User.ID}
	return s.o.Store.Mutate(ctx, actor, func(ctx context.Context, tx *store.Tx) error {
		known, err := tx.OAuthConsents(ctx, person.User.ID, a.client.id())
		if err != nil {
			return err
		}
		for _, resource := range resourcesOf(a.audiences) {
			scopes := slices.Clone(granted)
			for _, c := range known {
				if c.Resource == resource {
					scopes = union(c.Scopes, scopes)
				}
			}
			err := tx.PutOAuthConsent(ctx, keystile.OAuthConsent{UserID: person.User.ID, ClientID: a.client.id(), Resource: resource, Scopes: scopes})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func union(a, b []keystile.Scope) []keystile.Scope {
	both := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(both, s) {
			both = append(both, s)
		}
	}
	return both
}

// giveCode makes a code and leads back to the client with it.
func (s *Server) giveCode(ctx context.Context, a *authorization, person *Person, granted []keystile.Scope) (Step, error) {
	secret, err := s.draw("oc_")
	if err != nil {
		return Step{}, err
	}
	grantID, err := s.newID("gra_")
	if err != nil {
		return Step{}, err
	}
	now := s.now()
	code := keystile.OAuthCode{
		Grant: keystile.OAuthGrant{
			ID: grantID, ClientID: a.client.id(), UserID: person.User.ID, SessionID: person.Session.ID, Scopes: granted, Audiences: a.audiences,
			Methods: person.Session.Methods, AuthenticatedAt: person.Session.AuthenticatedAt, Nonce: a.nonce, Thumbprint: a.thumbprint,
			UserinfoClaims: a.claims.userinfo, IDTokenClaims: a.claims.idToken, ACR: a.acr.met(person.Session.Methods),
		},
		RedirectURI: a.redirectURI, Challenge: a.challenge, CreatedAt: now, ExpiresAt: now.Add(keystile.OAuthCodeLife),
	}
	if wantsLogout(&a.client.Client) {
		code.SessionExpiresAt = person.Session.ExpiresAt
	}
	code.Digest, code.PepperID = s.digest(secret)
	if a.pushed != nil { // good once (RFC 9126, section 7.3)
		spent, err := s.o.Store.SpendOAuthRequest(ctx, *a.pushed)
		if err != nil {
			return Step{}, err
		}
		if !spent {
			return Step{}, &Refused{"This request was used before. Go back to the application and start again."}
		}
	}
	if err := s.o.Store.CreateOAuthCode(ctx, code); err != nil {
		return Step{}, err
	}
	return s.answer(a, url.Values{"code": {secret.Reveal()}}), nil
}

// answer leads back to the client, with its state and our name: a client of several
// servers must know whose answer it is (RFC 9207, section 2).
func (s *Server) answer(a *authorization, parameters url.Values) Step {
	if a.state != "" {
		parameters.Set("state", a.state)
	}
	parameters.Set("iss", s.o.Issuer)
	if a.formPost {
		return Step{Post: &FormPost{Action: a.redirectURI, Origin: originOf(a.redirectURI), Fields: parameters}}
	}
	return Step{Location: withParameters(a.redirectURI, parameters)}
}

// answerRefusal answers an *Error to the client. Any other error is returned.
func (s *Server) answerRefusal(a *authorization, err error) (Step, error) {
	var e *Error
	if !errors.As(err, &e) {
		return Step{}, err
	}
	return s.answerError(a, e.Code, e.Description), nil
}

func (s *Server) answerError(a *authorization, code, description string) Step {
	return s.answer(a, url.Values{"error": {code}, "error_description": {description}})
}
