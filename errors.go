package keystile

import (
	"errors"
	"fmt"
)

// The errors that rooms share. They are wrapped with %w and what was
// attempted, and compared with errors.Is.
var (
	// ErrNotFound: the named thing does not exist, or may not be seen by the asker.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the change contradicts what is there (duplicate id, stale version).
	ErrConflict = errors.New("conflict")
	// ErrRejected: the credential is not good. Any other error from a Kind means "cannot tell".
	ErrRejected = errors.New("rejected")
	// ErrMalformed: the text is not a credential of the kind it claims to be.
	ErrMalformed = errors.New("malformed")
	// ErrReplayed: what may be used once was used before.
	ErrReplayed = errors.New("replayed")
	// ErrUnavailable: a dependency (store, shared state) did not answer.
	ErrUnavailable = errors.New("unavailable")
	// ErrBodyTooLarge: a request body is over the limit it was read with.
	ErrBodyTooLarge = errors.New("body too large")
)

// Rejection is a "no" with its reason. It wraps ErrRejected.
type Rejection struct {
	Reason Reason
	// Cause is the internal explanation, for the audit log and explain.
	Cause string
	// Public is text that helps the caller mend the request, safe to send.
	Public string
	// StepUp: see Decision.
	StepUp bool
}

// Reject makes a Rejection.
func Reject(reason Reason, cause string) *Rejection { return &Rejection{Reason: reason, Cause: cause} }

// Error implements error.
func (r *Rejection) Error() string {
	if r.Cause == "" {
		return string(r.Reason)
	}
	return string(r.Reason) + ": " + r.Cause
}

// Unwrap makes errors.Is(err, ErrRejected) true.
func (r *Rejection) Unwrap() error { return ErrRejected }

// Invalid is input that breaks a rule: which field, what is wrong, and what to
// do about it. Its text is safe to show to whoever sent the input.
type Invalid struct {
	// Field is the path of the member, such as "api_keys[2].allowed_ips".
	Field string
	// Problem says what is wrong.
	Problem string
	// Remedy says what would be right.
	Remedy string
}

// Error implements error: "field: problem; remedy".
func (i *Invalid) Error() string {
	s := i.Problem
	if i.Field != "" {
		s = i.Field + ": " + s
	}
	if i.Remedy != "" {
		s += "; " + i.Remedy
	}
	return s
}

// Invalidf makes an Invalid whose problem is formatted.
func Invalidf(field, remedy, format string, args ...any) *Invalid {
	return &Invalid{Field: field, Problem: fmt.Sprintf(format, args...), Remedy: remedy}
}
