package oidc

import (
	"context"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// The authentication contexts that a sign-in may have proven (OpenID Connect Core,
// section 2, acr), weakest first. The last is that of OpenID Connect Extended
// Authentication Profile ACR Values 1.0, section 2.
const (
	acrOne = "urn:keystile:acr:1"   // one factor, such as a password
	acrMFA = "urn:keystile:acr:mfa" // two factors or more
	acrPHR = "phr"                  // resistant to phishing: a passkey
)

// contexts are all of them, in the order in which discovery lists them.
var contexts = []string{acrOne, acrMFA, acrPHR}

// proves says whether the methods of a sign-in prove a context.
func proves(methods []keystile.AuthMethod, acr string) bool {
	switch acr {
	case acrOne:
		return true
	case acrMFA:
		return slices.Contains(methods, keystile.MethodMFA)
	case acrPHR:
		return slices.Contains(methods, keystile.MethodPasskey)
	}
	return false
}

// acrOf is the strongest context that methods prove.
func acrOf(methods []keystile.AuthMethod) string {
	for _, acr := range slices.Backward(contexts) {
		if proves(methods, acr) {
			return acr
		}
	}
	return acrOne
}

// contextOf is what is told of a sign-in: the context that the client asked for, if it
// is met.
func contextOf(asked string, methods []keystile.AuthMethod) string {
	if asked != "" {
		return asked
	}
	return acrOf(methods)
}

// met is the first context of the list that methods prove; empty: none.
func (r acrRequest) met(methods []keystile.AuthMethod) string {
	at := slices.IndexFunc(r.values, func(acr string) bool { return proves(methods, acr) })
	if at < 0 {
		return ""
	}
	return r.values[at]
}

// known are the contexts of the list that there are here.
func (r acrRequest) known() []string {
	return slices.DeleteFunc(slices.Clone(r.values), func(acr string) bool { return !slices.Contains(contexts, acr) })
}

// unmet is the answer where what a client asked of the sign-in cannot be had (OpenID
// Connect Core Error Code unmet_authentication_requirements; RFC 9470, section 5).
func unmet() *Error {
	return refuse("unmet_authentication_requirements", "The user cannot sign in as strongly as was asked.")
}

// signIn is the sign-in that has to come first; nil, with no error: the one there is
// will do. It is asked of the person the request ends on: after a sign-in as somebody
// else, of them. A refusal is an *Error, for the client.
func (s *Server) signIn(ctx context.Context, a *authorization, person *Person, since time.Time) (*SignIn, error) {
	if person == nil {
		return &SignIn{Hint: a.hint, Passkey: a.acr.passkeyOnly()}, nil
	}
	proven := person.Session.AuthenticatedAt
	fresh := !since.IsZero() && !proven.Before(since.Truncate(time.Second))
	again := &SignIn{Again: true, Hint: a.hint, Passkey: a.acr.passkeyOnly()}
	asked := slices.Contains(a.prompt, "login") || slices.Contains(a.prompt, "select_account")
	if (asked || a.maxAge >= 0 && s.now().Sub(proven) > a.maxAge) && !fresh {
		return again, nil
	}
	if !s.isMeant(a, person) {
		if !fresh {
			return again, nil
		}
		return nil, refuse("login_required", "Somebody else is signed in than the application asked for.")
	}
	return s.stepUp(ctx, a, person, stepUp{again, fresh})
}

// isMeant says whether the person is the one that the client asks about: by a token of
// theirs (id_token_hint), or by their subject in the claims parameter.
func (s *Server) isMeant(a *authorization, person *Person) bool {
	subject := s.subject(a.client.Client, person.User.ID)
	return !slices.ContainsFunc(a.subjects, func(set []string) bool { return !slices.Contains(set, subject) })
}

// stepUp is the way to a stronger sign-in, and whether it was gone already.
type stepUp struct {
	again *SignIn
	gone  bool
}

// stepUp asks for the factor that is missing, of people who have it.
func (s *Server) stepUp(ctx context.Context, a *authorization, person *Person, way stepUp) (*SignIn, error) {
	known := a.acr.known()
	switch {
	case a.acr.met(person.Session.Methods) != "":
		return nil, nil
	case len(known) == 0 && !a.acr.essential: // acr_values that nobody here knows are left alone (Core, section 3.1.2.1)
		return nil, nil
	case len(known) == 0 || way.gone:
		return nil, unmet()
	}
	factors, err := s.o.Store.Factors(ctx, person.User.ID)
	if err != nil {
		return nil, err
	}
	for _, f := range factors {
		if f.Kind == keystile.FactorPasskey || f.Kind == keystile.FactorTOTP && slices.Contains(known, acrMFA) {
			return way.again, nil
		}
	}
	return nil, unmet()
}

// passkeyOnly says whether nothing but a passkey will do.
func (r acrRequest) passkeyOnly() bool {
	known := r.known()
	return len(known) > 0 && !slices.ContainsFunc(known, func(acr string) bool { return acr != acrPHR })
}
