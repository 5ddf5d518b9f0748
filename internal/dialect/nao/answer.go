package nao

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"keystile.dev/keystile/internal/dialect/door"
)

// errorDocument is a JSON:API document of one error.
type errorDocument struct {
	Errors [1]errorObject `json:"errors"`
	Meta   any            `json:"meta,omitempty"`
}

// Codes of the door's errors, beside those of problem details.
const (
	codeInvalidCredentials = "invalid_credentials"
	codeUnauthorized       = "unauthorized"
	codeMFARequired        = "mfa_required"
	codeInvalidOTP         = "invalid_otp"
	codeMFATokenExpired    = "mfa_token_expired"
	codeInactive           = "account_inactive"
	codePasswordChange     = "password_change_required"
)

// refusals that are the same every time.
var (
	malformed    = refusal(http.StatusBadRequest, "malformed", "The body must be one JSON object.")
	unauthorized = refusal(http.StatusUnauthorized, codeUnauthorized, "")
	unavailable  = refusal(http.StatusServiceUnavailable, "unavailable", "")
)

// refusal is one error; without a detail it has the dialect's sentence for the status.
func refusal(status int, code, detail string) answer { return refusalWith(status, code, detail, nil) }

func refusalWith(status int, code, detail string, meta any) answer {
	if detail == "" {
		detail = sentence(status)
	}
	one := errorObject{Status: strconv.Itoa(status), Code: code, Title: http.StatusText(status), Detail: detail}
	return document(status, errorDocument{[1]errorObject{one}, meta})
}

// wait is a refusal for now.
func wait(status int, code string, d time.Duration) answer {
	a := refusal(status, code, "")
	a.retryAfter = door.RetryAfter(d)
	return a
}

// document is an answer with v as JSON. A value that cannot be written is a refusal.
func document(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{status: http.StatusServiceUnavailable, body: []byte(`{"errors":[]}`)}
	}
	return answer{status: status, body: body}
}
