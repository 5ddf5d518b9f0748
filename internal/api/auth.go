package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// Challenges for WWW-Authenticate (RFC 6750, section 3). A request that carried
// no token is told no error code (section 3.1).
const (
	challengeNone    = `Bearer realm="keystile"`
	challengeInvalid = `Bearer realm="keystile", error="invalid_token"`
)

// caller is who asked, once that is known: an admin token and the Service
// narrowed to it. Handlers have no other way to a Service.
type caller struct {
	token   keystile.AdminToken
	service *manage.Service
	actor   manage.Actor
	// operator: a command beside the store, see Local.
	operator bool
}

type contextKey int

const (
	keyCaller contextKey = iota
	keyRequestID
	keyOwnKey
	keyClientAddr
)

func callerOf(ctx context.Context) (*caller, bool) {
	c, ok := ctx.Value(keyCaller).(*caller)
	return c, ok
}

func requestID(ctx context.Context) string {
	id, ok := ctx.Value(keyRequestID).(string)
	if !ok {
		return ""
	}
	return id
}

// errNoToken: the request carries no admin token at all.
var errNoToken = keystile.Reject(keystile.ReasonCredentialMissing, "no admin token")

// bearer returns the token of an Authorization field (RFC 6750, section 2.1).
// Anything but exactly one field, one scheme and one token is refused: a
// present but malformed credential is never nobody's.
func bearer(h http.Header) (keystile.Secret, error) {
	fields := h.Values("Authorization")
	switch len(fields) {
	case 0:
		return "", errNoToken
	case 1:
	default:
		return "", keystile.Reject(keystile.ReasonCredentialMalformed, "Authorization stands there more than once")
	}
	scheme, token, ok := strings.Cut(fields[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", keystile.Reject(keystile.ReasonCredentialMalformed, "Authorization is not Bearer and a token")
	}
	return keystile.Secret(token), nil
}

// authenticate finds out whose admin token a request carries. Where it cannot,
// it has answered and ok is false.
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) (c *caller, ok bool) {
	secret, err := bearer(r.Header)
	var token keystile.AdminToken
	if err == nil {
		token, err = a.options.Service.Authenticate(r.Context(), secret, a.options.Service.Now())
	}
	if err != nil {
		a.denied(w, r, err)
		return nil, false
	}
	return &caller{
		token: token, service: a.options.Service.For(token),
		actor: manage.Actor{Name: "admin:" + token.ID, RequestID: requestID(r.Context())},
	}, true
}

// denied answers a request without a good credential. Failures are counted per
// address and, over the limit, told to wait; a good credential is never asked
// to, because it does not get here.
func (a *API) denied(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, keystile.ErrRejected) {
		a.options.Logger.ErrorContext(r.Context(), "cannot tell whether a credential of the management API is good",
			"request_id", requestID(r.Context()), "error", err)
		a.writeRefusal(w, r, problem.ForStatus(http.StatusServiceUnavailable), "")
		return
	}
	p, challenge := problem.From(err), challengeInvalid
	if p.Status != http.StatusUnauthorized {
		a.writeRefusal(w, r, p, "") // a good key in the wrong place
		return
	}
	if reasonOf(err) == keystile.ReasonCredentialMissing {
		challenge = challengeNone
	} else if wait := a.countFailure(r); wait > 0 {
		w.Header().Set("Retry-After", retryAfter(wait))
		a.writeRefusal(w, r, problem.ForStatus(http.StatusTooManyRequests), "")
		return
	}
	a.writeRefusal(w, r, p, challenge)
}

// retryAfter is a wait in whole seconds, rounded up (RFC 9110, section 10.2.3).
func retryAfter(wait time.Duration) string {
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}

// countFailure reports a bad credential and returns how long its sender is to
// wait; zero: not at all. A request whose address cannot be told is not counted
// under anybody else's.
func (a *API) countFailure(r *http.Request) time.Duration {
	if a.options.FailedToken == nil {
		return 0
	}
	addr, err := a.options.ClientAddr(r)
	if err != nil {
		addr = netip.Addr{}
	}
	return a.options.FailedToken(addr)
}

// permit checks scope and reach. Where it does not permit, it has answered.
func (a *API) permit(w http.ResponseWriter, r *http.Request, c *caller, op Operation) bool {
	if !manage.HasScope(c.token, op.Scope) {
		a.insufficient(w, r, op.Scope, "the admin token lacks scope "+string(op.Scope))
		return false
	}
	if op.Access == AccessGlobal && c.token.OrganizationID != "" {
		a.insufficient(w, r, op.Scope, "the admin token is bound to one organization")
		return false
	}
	return true
}

func (a *API) insufficient(w http.ResponseWriter, r *http.Request, scope keystile.Scope, detail string) {
	challenge := fmt.Sprintf(`Bearer realm="keystile", error="insufficient_scope", scope="%s"`, scope)
	a.writeRefusal(w, r, problem.New(http.StatusForbidden, CodeInsufficientScope, detail), challenge)
}

// Require guards another handler of the server with an admin token that holds
// scope and is not bound to one organisation: the metrics, the decision
// endpoint. Its refusals are those of the API.
func (a *API) Require(scope keystile.Scope, next http.Handler) http.Handler {
	op := Operation{Access: AccessGlobal, Scope: scope}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = a.identify(r)
		c, ok := a.authenticate(w, r)
		if ok && a.permit(w, r, c, op) {
			next.ServeHTTP(w, r)
		}
	})
}
