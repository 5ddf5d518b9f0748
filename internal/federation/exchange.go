package federation

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// The names of RFC 8693.
const (
	// GrantTokenExchange is the grant type (section 2.1).
	GrantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	// Token types (section 3).
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	TypeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// ProviderParameter names the identity provider whose token is exchanged. RFC 8693
// has no parameter for that; this name is in common use. It is required: two
// providers of two organisations may have one issuer.
const ProviderParameter = "subject_issuer"

// Exchanged is the answer to a good exchange (section 2.2.1), as JSON.
type Exchanged struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
}

// ExchangeError is the answer to any other (RFC 6749, section 5.2), as JSON.
type ExchangeError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	// Cause is for the log.
	Cause error `json:"-"`
}

// Error implements error.
func (e *ExchangeError) Error() string {
	if e.Cause != nil {
		return "token exchange: " + e.Code + ": " + e.Cause.Error()
	}
	return "token exchange: " + e.Code + ": " + e.Description
}

// Unwrap is the cause.
func (e *ExchangeError) Unwrap() error { return e.Cause }

// ErrNotSignedIn is what SignIn answers where the identity is good and does not
// lead to a session: no such user, a disabled one, or one who must prove more.
var ErrNotSignedIn = errors.New("the identity opens no session")

// ExchangerOptions configure an Exchanger. All but Audiences are required.
type ExchangerOptions struct {
	// Verify is a Verifier's.
	Verify func(ctx context.Context, provider string, token keystile.Secret) (Identity, error)
	// SignIn opens a session for an identity, by the same rules as every other way
	// in. A "no" wraps ErrNotSignedIn; any other error means "cannot tell".
	SignIn func(ctx context.Context, id Identity) (keystile.Session, keystile.User, error)
	// Mint makes the session's token for an audience; the empty one is this server.
	Mint func(ctx context.Context, s keystile.Session, u keystile.User, audience string) (keystile.Secret, time.Time, error)
	// Audiences are those a token may be asked for.
	Audiences []string
	Now       func() time.Time
}

// Exchanger is the token exchange of RFC 8693: a provider's token for a session
// token of ours. It is a grant and no endpoint: whoever calls it has settled who
// the client is and that it may use this grant.
type Exchanger struct{ o ExchangerOptions }

// NewExchanger makes an Exchanger.
func NewExchanger(o ExchangerOptions) (*Exchanger, error) {
	if o.Verify == nil || o.SignIn == nil || o.Mint == nil || o.Now == nil {
		return nil, errors.New("token exchange: Verify, SignIn, Mint and Now are required")
	}
	return &Exchanger{o}, nil
}

// single are the parameters that may stand once (RFC 6749, section 3.2: none may be
// repeated; RFC 8693 lets audience and resource be, and one audience is all we issue for).
var single = []string{
	"grant_type", "subject_token", "subject_token_type", ProviderParameter, "audience", "resource", "scope", "requested_token_type", "actor_token", "actor_token_type",
}

// Exchange answers the parameters of a token request. Every error is an *ExchangeError.
func (x *Exchanger) Exchange(ctx context.Context, parameters url.Values) (Exchanged, error) {
	audience, err := x.check(parameters)
	if err != nil {
		return Exchanged{}, err
	}
	id, err := x.o.Verify(ctx, parameters.Get(ProviderParameter), keystile.Secret(parameters.Get("subject_token")))
	if err != nil {
		return Exchanged{}, outcome(err, ErrInvalidToken, "the subject token is not good")
	}
	session, user, err := x.o.SignIn(ctx, id)
	if err != nil {
		return Exchanged{}, outcome(err, ErrNotSignedIn, "the subject token opens no session")
	}
	token, expires, err := x.o.Mint(ctx, session, user, audience)
	if err != nil {
		return Exchanged{}, outcome(err, nil, "")
	}
	return Exchanged{
		AccessToken: token.Reveal(), IssuedTokenType: TypeJWT, TokenType: "Bearer", ExpiresIn: int64(expires.Sub(x.o.Now()) / time.Second),
	}, nil
}

// outcome is a "no" of one kind as invalid_grant without details, and anything
// else as a failure of ours.
func outcome(err, no error, description string) error {
	if no != nil && errors.Is(err, no) {
		return &ExchangeError{Code: "invalid_grant", Description: description, Cause: err}
	}
	return &ExchangeError{Code: "temporarily_unavailable", Cause: err}
}

// check refuses what it does not do rather than leave it out: a request that asks
// for more than it gets must not look like a success. It returns the audience.
func (x *Exchanger) check(parameters url.Values) (audience string, err error) {
	for _, name := range single {
		if len(parameters[name]) > 1 {
			return "", badRequest("%s is there more than once", name)
		}
	}
	if err := checkSubject(parameters); err != nil {
		return "", err
	}
	if err := checkWishes(parameters); err != nil {
		return "", err
	}
	audience = parameters.Get("audience")
	if audience != "" && !slices.Contains(x.o.Audiences, audience) {
		return "", &ExchangeError{Code: "invalid_target", Description: "tokens are not issued for that audience"}
	}
	return audience, nil
}

// checkWishes refuses what is asked for and not done.
func checkWishes(parameters url.Values) error {
	wanted := parameters.Get("requested_token_type")
	switch {
	case parameters.Has("actor_token") || parameters.Has("actor_token_type"):
		return badRequest("an actor is not supported")
	case parameters.Has("requested_token_type") && wanted != TypeJWT && wanted != TypeAccessToken:
		return badRequest("requested_token_type is not supported")
	case parameters.Get("scope") != "":
		return &ExchangeError{Code: "invalid_scope", Description: "a session has the scopes of its user's role: none can be asked for"}
	case parameters.Has("resource"):
		return &ExchangeError{Code: "invalid_target", Description: "resource is not supported"}
	}
	return nil
}

// checkSubject wants the grant, the token and the provider.
func checkSubject(parameters url.Values) error {
	switch {
	case parameters.Get("grant_type") != GrantTokenExchange:
		return &ExchangeError{Code: "unsupported_grant_type", Description: "grant_type is not " + GrantTokenExchange}
	case parameters.Get("subject_token") == "":
		return badRequest("subject_token is missing")
	case parameters.Get(ProviderParameter) == "":
		return badRequest("%s is missing: the name of the identity provider", ProviderParameter)
	case !slices.Contains([]string{TypeJWT, TypeIDToken, TypeAccessToken}, parameters.Get("subject_token_type")):
		return badRequest("subject_token_type is missing or not supported")
	}
	return nil
}

func badRequest(format string, args ...any) error {
	return &ExchangeError{Code: "invalid_request", Description: fmt.Sprintf(format, args...)}
}
