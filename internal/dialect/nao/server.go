package nao

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/login"
)

// The paths of the door.
const (
	SessionsPath = "/api/v2/sessions"
	MePath       = "/api/v2/me"
)

// SignIn is what NAO's door asks of the login service. Errors are those of
// package login, or wrap keystile.ErrUnavailable. Every method may block on the
// store, and on the queue for password hashes.
type SignIn interface {
	Password(ctx context.Context, c login.Caller, username string, password keystile.Secret) (login.Outcome, error)
	// Code answers a challenge. mint makes the answer of a new session; an
	// identical request within 10 s gets the stored one (rulings R18).
	Code(ctx context.Context, c login.Caller, token keystile.Secret, code string, mint login.Mint) (answer []byte, err error)
	// APIKey opens a session with a verified API key of a user.
	APIKey(ctx context.Context, c login.Caller, p *keystile.Principal) (login.Outcome, error)
	// Renew reads session and user again and refuses what has ended.
	Renew(ctx context.Context, c login.Caller, sid string) (keystile.Session, keystile.User, error)
	Logout(ctx context.Context, c login.Caller, sid string) error
}

// Options is what the door stands on. Everything without "may be nil" must be set.
type Options struct {
	SignIn SignIn
	// Mint makes the session's token and says when it ends.
	Mint func(context.Context, keystile.Session, keystile.User) (token keystile.Secret, exp time.Time, err error)
	// AuthToken is the personal API key of a session's user, made if there is none.
	// It is shown after a sign-in with a password and every factor that is asked for
	// (rulings R24). nil: it is never shown.
	AuthToken func(ctx context.Context, c login.Caller, sid string) (keystile.Secret, error)
	// User reads a user; keystile.ErrNotFound if there is none.
	User func(ctx context.Context, id string) (keystile.User, error)
	// Tokens proves session tokens, Keys API keys.
	Tokens, Keys keystile.Kind
	// Access proves the access tokens of OAuth clients, which open me alone. nil: there are none.
	Access keystile.Kind
	// Edge says whose request it is.
	Edge door.Edge
	// Origins are those whose pages may call the door; none by default.
	Origins []string
	// MaxAge is how long a browser may remember that.
	MaxAge time.Duration
	Logger *slog.Logger
}

// Server is NAO's sessions endpoint and me. It is safe for concurrent use.
type Server struct{ o Options }

// New makes the server.
func New(o Options) (*Server, error) {
	if o.SignIn == nil || o.Mint == nil || o.User == nil || o.Tokens == nil || o.Keys == nil ||
		o.Edge.ClientAddr == nil || o.Edge.RequestID == nil || o.Logger == nil {
		return nil, errors.New("nao: an option is missing")
	}
	return &Server{o}, nil
}

// call is one request.
type call struct {
	header keystile.Header
	body   []byte
	caller login.Caller
}

// answer is what is sent.
type answer struct {
	status     int
	body       []byte
	retryAfter string
}

// operation does what one method of one path does.
type operation func(*Server, context.Context, *call) answer

// endpoints is every path and what each method does there.
var endpoints = map[string]map[string]operation{
	SessionsPath: {http.MethodPost: (*Server).create, http.MethodDelete: (*Server).end},
	MePath:       {http.MethodGet: (*Server).me},
}

// allowed are the methods of each path, as Allow and preflights name them.
var allowed = map[string]string{SessionsPath: "POST, DELETE", MePath: "GET"}

// ServeHTTP serves SessionsPath and MePath. Neither Content-Type nor Accept is a
// reason to refuse: many clients send none (protocols 4.8, point 4).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{header: keystile.Header(r.Header)}
	c.caller = login.Caller{UserAgent: door.UserAgent(r), Door: keystile.DoorNAO, RequestID: s.o.Edge.RequestID(r)}
	s.allowOrigin(w, r)
	if s.answerPreflight(w, r, c.caller.RequestID) {
		return
	}
	a := s.read(w, r, c)
	if a.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allowed[r.URL.Path])
	}
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	contentType := mediaType(strings.Join(r.Header["Accept"], ","))
	if a.body == nil {
		contentType = ""
	}
	door.Write(w, c.caller.RequestID, a.status, contentType, a.body)
}

// read completes a call and answers it.
func (s *Server) read(w http.ResponseWriter, r *http.Request, c *call) answer {
	operations, known := endpoints[r.URL.Path]
	if !known || r.URL.RawPath != "" {
		return refusal(http.StatusNotFound, "not_found", "")
	}
	serve, known := operations[r.Method]
	if !known {
		return refusal(http.StatusMethodNotAllowed, "method_not_allowed", "The endpoint takes "+allowed[r.URL.Path]+".")
	}
	addr, err := s.o.Edge.ClientAddr(r)
	if err != nil {
		return malformed
	}
	c.caller.Addr = addr
	c.body, err = door.ReadBody(w, r)
	if errors.Is(err, keystile.ErrBodyTooLarge) {
		return refusal(http.StatusRequestEntityTooLarge, "body_too_large", "")
	}
	if err != nil {
		return malformed
	}
	return serve(s, r.Context(), c)
}
