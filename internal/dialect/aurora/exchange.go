package aurora

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/problem"
)

// Exchange is one call of create_token.
type Exchange struct {
	ApplicationID string
	// TenantID is the tenant's id on the wire, a UUID.
	TenantID       string
	ApplicationKey keystile.Secret
	// SessionToken is nil where the caller sent none.
	SessionToken *keystile.Secret
}

// Token is a new temporary key.
type Token struct {
	Secret    keystile.Secret
	ExpiresAt time.Time
}

// Exchanger makes temporary keys. An error that has a method
// Problem() *problem.Problem is answered with it; any other is 503.
type Exchanger func(ctx context.Context, e Exchange) (Token, error)

// expiresFormat is how the platform writes a time (protocols 2.3): no ISO 8601.
const expiresFormat = "2006-01-02 15:04:05 UTC"

// maxExchangeQuery bounds the query of an exchange; a session token is 40 bytes.
const maxExchangeQuery = 4 << 10

// CreateToken answers POST
// /partner_applications/{application_id}/tenants/{tenant_id}/create_token
// (protocols 2.3, 2.8).
type CreateToken struct {
	Exchange Exchanger
	Logger   *slog.Logger
}

// Matches says whether a path is that of an exchange, whatever its ids are.
func (CreateToken) Matches(path string) bool {
	_, _, ok := exchangePath(path)
	return ok
}

// exchangePath reads the two ids of the path. A path that is escaped is none:
// ids are UUIDs.
func exchangePath(path string) (application, tenant string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/partner_applications/")
	if !ok {
		return "", "", false
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[0] == "" || parts[1] != "tenants" || parts[2] == "" || parts[3] != "create_token" {
		return "", "", false
	}
	return parts[0], parts[2], true
}

// ServeHTTP implements http.Handler. The body is not read.
func (h CreateToken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	application, tenant, ok := exchangePath(r.URL.EscapedPath())
	if !ok {
		problem.Write(w, problem.ForStatus(http.StatusNotFound))
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		problem.Write(w, problem.ForStatus(http.StatusMethodNotAllowed))
		return
	}
	key, ok := BearerOf(r.Header)
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem.Write(w, problem.New(http.StatusUnauthorized, "invalid_application_key", "Send the application key once, as Authorization: Bearer KEY."))
		return
	}
	session, bad := sessionOf(r.URL.RawQuery)
	if bad != nil {
		problem.Write(w, bad)
		return
	}
	token, err := h.Exchange(r.Context(), Exchange{ApplicationID: application, TenantID: tenant, ApplicationKey: key, SessionToken: session})
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	var answer struct {
		Token struct {
			BearerToken string `json:"bearer_token"`
			ExpiresAt   string `json:"expires_at"`
		} `json:"token"`
	}
	answer.Token.BearerToken, answer.Token.ExpiresAt = token.Secret.Reveal(), token.ExpiresAt.UTC().Format(expiresFormat)
	body, err := json.Marshal(answer)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(body); err != nil {
		h.Logger.DebugContext(r.Context(), "the answer to an exchange was not taken", "error", err)
	}
}

// refuse answers an error. What it was is for the log alone.
func (h CreateToken) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known interface{ Problem() *problem.Problem }
	if !errors.As(err, &known) {
		h.Logger.ErrorContext(r.Context(), "an exchange could not be decided", "error", err)
		problem.Write(w, problem.New(http.StatusServiceUnavailable, "unavailable", "The exchange could not be decided. Nothing was spent unless a later try says so."))
		return
	}
	h.Logger.InfoContext(r.Context(), "exchange refused", "cause", err.Error())
	p := known.Problem()
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	problem.Write(w, p)
}

// BearerOf is the one credential in Authorization: Bearer (RFC 6750, section 2.1).
func BearerOf(h http.Header) (keystile.Secret, bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, value, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	value = strings.Trim(value, " ")
	if value == "" || len(value) > 512 || strings.ContainsAny(value, " \t") {
		return "", false
	}
	return keystile.Secret(value), true
}

// sessionOf reads session_token from a query; nil if it is absent. A repeated
// one is refused: two servers could read different ones.
func sessionOf(rawQuery string) (*keystile.Secret, *problem.Problem) {
	if len(rawQuery) > maxExchangeQuery {
		return nil, problem.New(http.StatusBadRequest, "request_invalid", "The query is too long.")
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, problem.New(http.StatusBadRequest, "request_invalid", "The query cannot be read.")
	}
	values, there := query["session_token"]
	if !there {
		return nil, nil
	}
	if len(values) > 1 {
		return nil, problem.New(http.StatusBadRequest, "request_invalid", "session_token stands more than once in the query.")
	}
	session := keystile.Secret(values[0])
	return &session, nil
}
