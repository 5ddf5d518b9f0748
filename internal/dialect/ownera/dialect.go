// Package ownera speaks the FinP2P router's wire format: a list of errors with
// numeric codes.
//
// Every failure to authenticate is the same 401 with code 3000, a malformed
// credential too: the reason goes to the audit log, never to the caller.
package ownera

import (
	"net/http"
	"strconv"

	keystile "keystile.dev/keystile"
)

// Dialect is Ownera's.
type Dialect struct{}

// Name is what routes[].errors calls it.
func (Dialect) Name() string { return "ownera" }

// The platform's codes (its operational API). 1000 and 2000 are its general
// client and server errors, for statuses it has no code of their own for.
const (
	codeClient   = 1000
	codeFormat   = 1002
	codeNotFound = 1100
	codeServer   = 2000
	codeAuth     = 3000
	codeDenied   = 3400
)

// Refusal is {"errors":[{"code":N,"message":"TEXT"}]}.
func (Dialect) Refusal(status int, _ *keystile.Decision, _ string) (string, []byte) {
	code, message := outcome(status)
	return "application/json", []byte(`{"errors":[{"code":` + strconv.Itoa(code) + `,"message":"` + message + `"}]}`)
}

func outcome(status int) (code int, message string) {
	switch {
	case status == http.StatusBadRequest:
		return codeFormat, "Invalid request format"
	case status == http.StatusUnauthorized:
		return codeAuth, "Authentication error"
	case status == http.StatusForbidden:
		return codeDenied, "Access denied"
	case status == http.StatusNotFound:
		return codeNotFound, "Resource not found"
	case status >= http.StatusInternalServerError:
		return codeServer, "General server error"
	}
	return codeClient, "General client error"
}
