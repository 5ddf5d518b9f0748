package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

// Error is the answer to a request that is refused (RFC 6749, section 5.2).
type Error struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	// status of the answer; 0 is 400.
	status int
	// challenge is WWW-Authenticate; empty: none.
	challenge string
	// nonce is DPoP-Nonce; empty: none.
	nonce string
	// cause is for the log.
	cause error
}

// Error implements error.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Description
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.cause }

func refuse(code, description string) *Error { return &Error{Code: code, Description: description} }

// because adds what the log is to know.
func (e *Error) because(cause string) *Error {
	e.cause = errors.New(cause)
	return e
}

func badRequest(description string) *Error { return refuse("invalid_request", description) }

// badGrant is the one answer to whatever is wrong with a code or a refresh token:
// which of it, is for the log.
func badGrant(cause string) *Error {
	return refuse("invalid_grant", "The grant is not good: it is unknown, used, expired, or of another client.").because(cause)
}

// unavailable is the answer where nobody can tell.
func unavailable(err error) *Error {
	return &Error{Code: "temporarily_unavailable", Description: "Something this endpoint needs does not answer.", status: http.StatusServiceUnavailable, cause: err}
}

// asError is any error as an answer.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return unavailable(err)
	}
	return &Error{Code: "server_error", Description: "Something went wrong here.", status: http.StatusInternalServerError, cause: err}
}

// maxForm bounds the body of a request, in bytes.
const maxForm = 64 << 10

// request is one request of a client.
type request struct {
	form url.Values
	http *http.Request
	id   string
	// thumbprint is the key that the caller proved to hold (DPoP); empty: none.
	thumbprint string
	// certificate is the thumbprint of the one that what it gets is bound to; empty: none.
	certificate string
	// asksOnly: the caller is told something and given nothing.
	asksOnly bool
}

// get is a parameter that stands once; empty: it is not there.
func (r *request) get(name string) string { return r.form.Get(name) }

// repeatable are the parameters that may stand more than once (RFC 8707, section 2;
// RFC 8693, section 2.1).
var repeatable = []string{"resource", "audience"}

// form serves an endpoint that takes one form.
func (s *Server) form(endpoint func(context.Context, *request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, hr *http.Request) {
		r := &request{http: hr, id: s.o.RequestID(hr)}
		var body any
		err := r.read(w)
		if err == nil {
			body, err = endpoint(hr.Context(), r)
		}
		if err != nil {
			s.refuse(w, r.id, err)
			return
		}
		status := http.StatusOK
		if other, ok := body.(interface{ status() int }); ok {
			status = other.status()
		}
		write(w, status, body)
	}
}

// refuse answers an error and writes down what the answer does not say.
func (s *Server) refuse(w http.ResponseWriter, id string, err error) {
	e := asError(err)
	if e.cause != nil {
		level := s.o.Logger.Info
		if e.status >= http.StatusInternalServerError {
			level = s.o.Logger.Error
		}
		level("a token request was refused", "code", e.Code, "request", id, "cause", e.cause.Error())
	}
	if e.challenge != "" {
		w.Header().Set("WWW-Authenticate", e.challenge)
	}
	if e.nonce != "" {
		w.Header().Set("DPoP-Nonce", e.nonce)
	}
	status := e.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	write(w, status, e)
}

// read reads the form: from the body alone, so that no secret stands in a URL, which
// is logged (RFC 6749, section 2.3.1), and no parameter twice (section 3.2).
func (r *request) read(w http.ResponseWriter) error {
	if r.http.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &Error{Code: "invalid_request", Description: "The endpoint takes POST.", status: http.StatusMethodNotAllowed}
	}
	if r.http.URL.RawQuery != "" {
		return badRequest("Parameters belong into the body, none into the URL.")
	}
	if given := r.http.Header.Get("Content-Type"); given != formType {
		if kind, _, err := mime.ParseMediaType(given); err != nil || kind != formType {
			return badRequest("The body has to be " + formType + ".")
		}
	}
	// Beside Request.ParseForm, which does the same, nothing is kept twice.
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.http.ContentLength, 0), 4<<10)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.http.Body, maxForm))
	if err == nil {
		r.form, err = url.ParseQuery(body.String())
	}
	if err != nil {
		return badRequest("The body cannot be read as a form of at most 64 KiB.")
	}
	return checkOnce(r.form)
}

// formType is the type of the body that clients send.
const formType = "application/x-www-form-urlencoded"

// checkOnce refuses a parameter that stands twice: two readers might take one each
// (threat 12). An empty one is as none (RFC 6749, section 3.1). What is no text is
// refused, too: one engine would store it, and the other would not.
func checkOnce(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return badRequest("A parameter is there more than once.")
		}
		for _, v := range values {
			if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
				return badRequest("A parameter is not text in UTF-8.")
			}
		}
	}
	return nil
}

// typeJSON and unkept are header fields of every answer, shared by all of them: nobody
// changes their values.
var (
	typeJSON = []string{"application/json"}
	unkept   = []struct {
		name   string
		values []string
	}{
		{"Cache-Control", []string{"no-store"}}, {"Pragma", []string{"no-cache"}}, {"X-Content-Type-Options", []string{"nosniff"}},
	}
)

// write answers with JSON that nobody keeps (RFC 6749, section 5.1).
func write(w http.ResponseWriter, status int, body any) {
	data := []byte{}
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil { // cannot happen to what is answered here
			status, data = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
		}
		w.Header()["Content-Type"] = typeJSON
	}
	h := w.Header()
	for _, f := range unkept {
		h[f.name] = f.values
	}
	w.WriteHeader(status)
	if _, err := w.Write(data); err != nil {
		return // the caller has gone; the status was its answer
	}
}
