package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// Bounds on request bodies, in bytes.
const (
	// MaxBody bounds the body of every operation but one.
	MaxBody = 64 << 10
	// MaxState bounds a state file.
	MaxState = 64 << 20
)

// Options is what the API stands on. Everything without "may be nil" must be set.
type Options struct {
	Service *manage.Service
	// Routes returns the routes that are enforced now.
	Routes func() []keystile.Route
	// State applies and exports state files.
	State State
	// APIKeys proves the key presented to GET /v1/keys/self.
	APIKeys keystile.Kind
	// Leaks takes reports of leaked keys; nil: they are answered 503.
	Leaks Leaks
	// CursorKey seals list cursors: 32 random bytes, the same on every replica.
	CursorKey []byte
	// ClientAddr is the caller's address behind trusted proxies.
	ClientAddr func(*http.Request) (netip.Addr, error)
	// RequestID names a request in logs and audit events.
	RequestID func(*http.Request) string
	// FailedToken counts a bad credential from an address (the zero Addr if it
	// cannot be told) and returns how long to tell it to wait; may be nil.
	FailedToken func(netip.Addr) time.Duration
	Logger      *slog.Logger
	// Version of the server, for the OpenAPI document.
	Version string
}

func (o Options) check() error {
	var missing []string
	for name, absent := range map[string]bool{
		"Service": o.Service == nil, "Routes": o.Routes == nil, "State": o.State == nil, "APIKeys": o.APIKeys == nil,
		"ClientAddr": o.ClientAddr == nil, "RequestID": o.RequestID == nil, "Logger": o.Logger == nil,
	} {
		if absent {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("management API without %s", strings.Join(missing, ", "))
	}
	return nil
}

// API is the management API as an http.Handler for everything under /v1/.
type API struct {
	options Options
	cursors *cursors
	mux     *http.ServeMux
	huma    huma.API
	// pending holds the operations whose handler is not registered yet.
	pending map[string]Operation
	// byPattern finds the operation that the mux would run.
	byPattern map[string]Operation
	// named are paths of operations without any pattern.
	named   map[string]bool
	openapi []byte
}

// New builds the API.
func New(o Options) (*API, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	sealer, err := newCursors(o.CursorKey)
	if err != nil {
		return nil, err
	}
	a := &API{
		options: o, cursors: sealer, mux: http.NewServeMux(),
		pending: map[string]Operation{}, byPattern: map[string]Operation{}, named: map[string]bool{},
	}
	for _, op := range operations {
		a.pending[op.ID] = op
		a.byPattern[op.Pattern()] = op
		a.named[op.Path] = true
	}
	a.huma = humago.New(a.mux, humaConfig(o.Version))
	for _, register := range []func(*API) error{
		registerOrganizations, registerSites, registerRoles, registerUsers, registerProviders,
		registerKeys, registerBulkKeys, registerOwnKey, registerLeaks, registerSigningKeys,
		registerTokenKeys, registerSessions,
		registerApplications, registerClients, registerWebhooks, registerAuthorizations,
		registerRoutes, registerObserved, registerAdminTokens, registerAudit, registerState, registerDocs, registerOpenAPI,
	} {
		if err := register(a); err != nil {
			return nil, err
		}
	}
	for id := range a.pending {
		return nil, fmt.Errorf("operation %s of the management API has no handler", id)
	}
	return a, nil
}

// Operations lists everything the API does, for the walk over all routes of
// the server.
func (a *API) Operations() []Operation {
	return append([]Operation(nil), operations...)
}

// ServeHTTP implements http.Handler.
//
//nolint:gocyclo // a list of checks, one after the other
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = a.identify(r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	defer a.recovered(w, r)

	if p := unreadable(r); p != nil {
		a.writeRefusal(w, r, p, "")
		return
	}
	op, known := a.find(r)
	switch {
	case known && op.Access == AccessOpen:
		a.mux.ServeHTTP(w, a.withClientAddr(r))
		return
	case known && op.Access == AccessKey:
		if principal, ok := a.authenticateKey(w, r); ok {
			a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyOwnKey, principal)))
		}
		return
	}
	c, ok := a.authenticate(w, r)
	if !ok {
		return
	}
	if !known {
		a.notFound(w, r)
		return
	}
	if !a.permit(w, r, c, op) {
		return
	}
	if p := hollow(r); p != nil {
		a.writeRefusal(w, r, p, "")
		return
	}
	if !op.Conditional && r.Header.Get("If-Match") != "" {
		// A condition that is not checked must not look as if it held.
		a.writeRefusal(w, r, problem.New(http.StatusBadRequest, problem.CodeOf(http.StatusBadRequest), "If-Match is not supported by this operation"), "")
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), keyCaller, c))
	if len(r.Header.Values(headerIdempotency)) > 0 {
		if op.Method != http.MethodPost {
			// A promise that is not kept must not look as if it were.
			a.writeRefusal(w, r, problem.New(http.StatusBadRequest, problem.CodeOf(http.StatusBadRequest), "Idempotency-Key is for POST"), "")
			return
		}
		a.once(w, r, c, op)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// identify gives the request its id.
func (a *API) identify(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), keyRequestID, a.options.RequestID(r)))
}

// find returns the operation that the mux would run for a request.
func (a *API) find(r *http.Request) (Operation, bool) {
	_, pattern := a.mux.Handler(r)
	if r.Method == http.MethodHead {
		// The mux runs GET for HEAD; it is the same operation.
		pattern = strings.Replace(pattern, http.MethodHead+" ", http.MethodGet+" ", 1)
	}
	op, ok := a.byPattern[pattern]
	return op, ok
}

// unreadable refuses a request that has two readings: a path that cleaning or
// decoding would change, a query that cannot be parsed or says a thing twice.
func unreadable(r *http.Request) *problem.Problem {
	bad := func(detail string) *problem.Problem {
		return problem.New(http.StatusBadRequest, problem.CodeOf(http.StatusBadRequest), detail)
	}
	// ":" is the one character of ids that some clients encode.
	spelled := strings.NewReplacer("%3A", ":", "%3a", ":").Replace(r.URL.RawPath)
	if r.URL.RawPath != "" && spelled != r.URL.Path || !strings.HasPrefix(r.URL.Path, "/") || path.Clean(r.URL.Path) != r.URL.Path {
		return bad("the path is ambiguous")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return bad("the query cannot be read")
	}
	// PostgreSQL stores neither, and answers a question with such a text by an error.
	noText := func(s string) bool { return !utf8.ValidString(s) || strings.Contains(s, "\x00") }
	if noText(r.URL.Path) {
		return problem.ForStatus(http.StatusNotFound) // no id holds them
	}
	for _, values := range query {
		if len(values) > 1 {
			return bad("a query parameter is written more than once")
		}
		if noText(values[0]) {
			return bad("a query parameter is not text")
		}
	}
	return nil
}

// hollow refuses a filter whose value got lost: it must not ask for everything. No
// cursor is the beginning.
func hollow(r *http.Request) *problem.Problem {
	for name, values := range r.URL.Query() {
		if values[0] == "" && name != "cursor" {
			return problem.New(http.StatusBadRequest, problem.CodeOf(http.StatusBadRequest), "a query parameter is empty")
		}
	}
	return nil
}

// notFound answers a path or method that the table does not have: 404, or 405
// with the methods there are (RFC 9110, section 15.5.6).
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
		other := *r
		other.Method = method
		// What a path has of its own counts before a pattern that it fits, as "self" fits {id}.
		if op, ok := a.find(&other); ok && (op.Path == r.URL.Path || !a.named[r.URL.Path]) {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		a.writeRefusal(w, r, problem.ForStatus(http.StatusNotFound), "")
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	a.writeRefusal(w, r, problem.ForStatus(http.StatusMethodNotAllowed), "")
}

// recovered turns a panic into a bare 500. A panic that aborts the connection
// on purpose goes on.
func (a *API) recovered(w http.ResponseWriter, r *http.Request) {
	caught := recover()
	if caught == nil {
		return
	}
	if err, ok := caught.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(caught)
	}
	// What was panicked with may quote a request; the stack does not.
	a.options.Logger.ErrorContext(r.Context(), "panic in the management API",
		"request_id", requestID(r.Context()), "stack", string(debug.Stack()))
	a.writeRefusal(w, r, problem.ForStatus(http.StatusInternalServerError), "")
}
