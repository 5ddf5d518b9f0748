// Package nao speaks NAO Cloud's error format: JSON:API error objects.
package nao

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/problem"
)

// Dialect is NAO Cloud's.
type Dialect struct{}

// Name is what routes[].errors calls it.
func (Dialect) Name() string { return "nao" }

// The two media types that the platform's clients ask for.
const (
	typeJSON    = "application/json"
	typeJSONAPI = "application/vnd.api+json"
)

// errorObject is a JSON:API 1.1 error object; status is text there.
type errorObject struct {
	Status string `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// Refusal is {"errors":[{"status":"401","code":...,"title":...,"detail":...}]}.
// It is typed application/vnd.api+json for a client that asks for that, and
// application/json, which every client reads, for the rest.
func (Dialect) Refusal(status int, d *keystile.Decision, accept string) (string, []byte) {
	p := problem.ForDecision(d)
	if p.Status != status {
		p = problem.ForStatus(status)
	}
	detail := p.Detail
	if detail == "" {
		detail = sentence(status)
	}
	one := errorObject{Status: strconv.Itoa(status), Code: p.Code, Title: p.Title, Detail: detail}
	body, err := json.Marshal(struct {
		Errors [1]errorObject `json:"errors"`
	}{[1]errorObject{one}})
	if err != nil { // cannot happen to four strings; the status still refuses
		body = []byte(`{"errors":[]}`)
	}
	return mediaType(accept), body
}

// mediaType is the type that an answer is given as.
func mediaType(accept string) string {
	if strings.Contains(strings.ToLower(accept), typeJSONAPI) {
		return typeJSONAPI
	}
	return typeJSON
}

func sentence(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "Credentials are missing or invalid."
	case status == http.StatusForbidden:
		return "The credentials do not allow this request."
	case status == http.StatusNotFound:
		return "The resource was not found."
	case status == http.StatusRequestEntityTooLarge:
		return "The request body is too large."
	case status == http.StatusTooManyRequests:
		return "Too many requests."
	case status >= http.StatusInternalServerError:
		return "The service is not available."
	}
	return "The request is not valid."
}
