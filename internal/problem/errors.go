package problem

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	keystile "keystile.dev/keystile"
)

// From is an error as its receiver may see it, for every wire but the gate's.
//
//	*Problem                        itself
//	*keystile.Invalid, one or many  422 invalid, with the fields at fault
//	*keystile.Rejection             as a refusal for its reason
//	ErrNotFound                     404 not_found
//	ErrConflict                     409 conflict
//	ErrBodyTooLarge, MaxBytesError  413 body_too_large
//	ErrMalformed, JSON errors       400 malformed
//	ErrRejected, ErrReplayed        401 unauthorized
//	ErrUnavailable, a deadline      503 unavailable
//	anything else                   500 internal
//
// Only an Invalid's own text crosses; what wraps it does not. nil gives nil.
func From(err error) *Problem {
	if err == nil {
		return nil
	}
	var own *Problem
	if errors.As(err, &own) {
		return own
	}
	if fields := invalids(err, nil); len(fields) > 0 {
		p := New(http.StatusUnprocessableEntity, CodeInvalid, "")
		p.Errors = fields
		return p
	}
	var no *keystile.Rejection
	if errors.As(err, &no) {
		return ForDecision(&keystile.Decision{Reason: no.Reason, Public: no.Public})
	}
	return fromSentinel(err)
}

func fromSentinel(err error) *Problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return ForStatus(http.StatusNotFound)
	case errors.Is(err, keystile.ErrConflict):
		return ForStatus(http.StatusConflict)
	case errors.Is(err, keystile.ErrBodyTooLarge), errors.As(err, &tooLarge):
		return ForStatus(http.StatusRequestEntityTooLarge)
	case errors.Is(err, keystile.ErrMalformed), isJSON(err):
		return New(http.StatusBadRequest, CodeMalformed, "")
	case errors.Is(err, keystile.ErrRejected), errors.Is(err, keystile.ErrReplayed):
		return ForStatus(http.StatusUnauthorized)
	case errors.Is(err, keystile.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return ForStatus(http.StatusServiceUnavailable)
	}
	return ForStatus(http.StatusInternalServerError)
}

func isJSON(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, io.ErrUnexpectedEOF)
}

// maxFields bounds the list, so that one bad file cannot make a huge answer.
const maxFields = 100

// invalids collects every Invalid in the tree of err, in order.
func invalids(err error, into []FieldError) []FieldError {
	if err == nil || len(into) >= maxFields {
		return into
	}
	if invalid, ok := err.(*keystile.Invalid); ok { //nolint:errorlint // this walk is the unwrapping
		return append(into, FieldError{Field: invalid.Field, Problem: invalid.Problem, Remedy: invalid.Remedy})
	}
	switch wrapper := err.(type) { //nolint:errorlint // this walk is the unwrapping
	case interface{ Unwrap() error }:
		return invalids(wrapper.Unwrap(), into)
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			into = invalids(inner, into)
		}
	}
	return into
}
