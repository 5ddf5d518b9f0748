package ona

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/login"
)

// SignIn is what Ona's door asks of the login service. Errors are those of
// package login, or wrap keystile.ErrUnavailable. Every method may block on the
// store, and on the queue for password hashes.
type SignIn interface {
	Password(ctx context.Context, c login.Caller, username string, password keystile.Secret) (login.Outcome, error)
	// Code answers a challenge. mint makes the answer of a new session; an
	// identical request within 10 s gets the stored one (rulings R18).
	Code(ctx context.Context, c login.Caller, token keystile.Secret, code string, mint login.Mint) (answer []byte, err error)
	// Renew reads session and user again and refuses what has ended.
	Renew(ctx context.Context, c login.Caller, sid string) (keystile.Session, keystile.User, error)
	Logout(ctx context.Context, c login.Caller, sid string) error
}

// Options is what the door stands on. Everything must be set.
type Options struct {
	SignIn SignIn
	// Exchange signs in whom a foreign token of a configured provider names. A token that is not good wraps keystile.ErrRejected.
	Exchange func(ctx context.Context, c login.Caller, provider string, token keystile.Secret) (login.Outcome, error)
	// Mint makes the session's token and says when it ends.
	Mint func(context.Context, keystile.Session, keystile.User) (token keystile.Secret, exp time.Time, err error)
	// Tokens proves session tokens, Keys API keys.
	Tokens, Keys keystile.Kind
	// Key and Role read what an answer shows; keystile.ErrNotFound if there is none.
	Key  func(ctx context.Context, id string) (keystile.APIKey, error)
	Role func(ctx context.Context, id string) (keystile.Role, error)
	// Limiter counts questions about API keys for each address.
	Limiter door.Limiter
	// Edge says whose request it is.
	Edge door.Edge
	// BasePaths are what the endpoints stand under; "" is the root.
	BasePaths []string
	Now       func() time.Time
	Logger    *slog.Logger
}

// Rates of questions about API keys from one address. Those about keys that are
// not good are counted apart: whoever guesses keys keeps nobody at the same
// address from asking about a good one.
var (
	rateGood = keystile.Rate{Requests: 600, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}
	rateBad  = keystile.Rate{Requests: 60, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}
)

// Server is Ona's auth API over both transports. It is safe for concurrent use.
type Server struct {
	o         Options
	good, bad door.Quota
}

// endpoint is one operation: its method and what it does.
type endpoint struct {
	method string
	serve  func(*Server, context.Context, *call) answer
}

// endpoints is every path below /api/auth/. What is not here is unknown, signup
// among them: users are made by whoever runs the server, or by an exchange.
var endpoints = map[string]endpoint{
	"login":            {http.MethodPost, (*Server).login},
	"verify-mfa":       {http.MethodPost, (*Server).verifyMFA},
	"refresh":          {http.MethodPost, (*Server).refresh},
	"exchange":         {http.MethodPost, (*Server).exchange},
	"logout":           {http.MethodPost, (*Server).logout},
	"me":               {http.MethodGet, (*Server).me},
	"api-key-info":     {http.MethodPost, (*Server).keyInfo},
	"validate-api-key": {http.MethodPost, (*Server).validateKey},
}

// Endpoints are the paths below Prefix, for the walk over all paths of the server.
func Endpoints() []string { return slices.Sorted(maps.Keys(endpoints)) }

// New makes the server.
func New(o Options) (*Server, error) {
	for name, absent := range map[string]bool{
		"SignIn": o.SignIn == nil, "Exchange": o.Exchange == nil, "Mint": o.Mint == nil, "Tokens": o.Tokens == nil, "Keys": o.Keys == nil,
		"Key": o.Key == nil, "Role": o.Role == nil, "Limiter": o.Limiter == nil, "Edge": o.Edge.ClientAddr == nil || o.Edge.RequestID == nil,
		"Now": o.Now == nil, "Logger": o.Logger == nil,
	} {
		if absent {
			return nil, errors.New("ona: no " + name + " was given")
		}
	}
	return &Server{
		o:    o,
		good: door.Quota{Limiter: o.Limiter, Name: "ona api-key", Rate: rateGood},
		bad:  door.Quota{Limiter: o.Limiter, Name: "ona api-key refused", Rate: rateBad},
	}, nil
}

// call is a request, whatever transport brought it.
type call struct {
	method string
	// path is the whole path without base path: "/api/auth/login".
	path   string
	header keystile.Header
	body   []byte
	// caller is always that of the connection.
	caller login.Caller
}

// answer is what both transports send.
type answer struct {
	status int
	body   []byte
	// allow and retryAfter are header fields of 405, and of 429 and 503.
	allow, retryAfter string
}

// Prefix is where the endpoints are, below a base path.
const Prefix = "/api/auth/"

// answer is the one path that every request takes.
func (s *Server) answer(ctx context.Context, c *call) answer {
	name, below := strings.CutPrefix(c.path, Prefix)
	e, known := endpoints[name]
	switch {
	case !below || !known:
		return refusal(http.StatusNotFound, text(http.StatusNotFound))
	case c.method != e.method:
		refused := refusal(http.StatusMethodNotAllowed, text(http.StatusMethodNotAllowed))
		refused.allow = e.method
		return refused
	case len(c.body) > door.MaxBody:
		return tooLarge
	}
	return e.serve(s, ctx, c)
}
