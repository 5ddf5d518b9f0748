// Package ona speaks the Ona Platform's wire format: application/json with one
// member, error.
//
// The texts are the ones the platform's reference backends answer and its
// clients show. They are per status: a caller never learns more.
package ona

import (
	"net/http"

	keystile "keystile.dev/keystile"
)

// Dialect is Ona's.
type Dialect struct{}

// Name is what routes[].errors calls it.
func (Dialect) Name() string { return "ona" }

// Refusal is {"error":"TEXT"} with the platform's text for the status.
func (Dialect) Refusal(status int, _ *keystile.Decision, _ string) (string, []byte) {
	return "application/json", []byte(`{"error":"` + text(status) + `"}`)
}

func text(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "Unauthorized"
	case status == http.StatusForbidden:
		return "Access denied"
	case status == http.StatusNotFound:
		return "Not found"
	case status == http.StatusTooManyRequests:
		return "Too many requests"
	case status >= http.StatusInternalServerError:
		return "Service unavailable"
	}
	return "Invalid request"
}
