package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// ContentType is the media type of problem details (RFC 9457, section 3).
const ContentType = "application/problem+json"

// Problem is an error as its receiver sees it (RFC 9457, section 3.1). Nothing
// in it is internal: every member may be shown to whoever sent the request.
type Problem struct {
	// Title is the same for every occurrence of Code.
	Title string `json:"title"`
	// Status is the HTTP status, 400 to 599.
	Status int `json:"status"`
	// Code is stable and meant for programs: "scope_missing".
	Code string `json:"code"`
	// Detail helps to mend this one request; may be empty.
	Detail string `json:"detail,omitempty"`
	// Errors names the members at fault; empty where no single member is.
	Errors []FieldError `json:"errors,omitempty"`
	// RequestID names the request in Keystile's logs; may be empty.
	RequestID string `json:"request_id,omitempty"`
}

// FieldError is one fault of one member of the input.
type FieldError struct {
	// Field is the path of the member: "api_keys[2].allowed_ips".
	Field string `json:"field"`
	// Problem says what is wrong with it.
	Problem string `json:"problem"`
	// Remedy says what would be right; may be empty.
	Remedy string `json:"remedy,omitempty"`
}

// New makes a problem with a detail that is safe to show.
func New(status int, code, detail string) *Problem {
	return &Problem{Title: title(status), Status: status, Code: code, Detail: detail}
}

// Error implements error, so that a handler may return a Problem as one.
func (p *Problem) Error() string {
	s := strconv.Itoa(p.Status) + " " + p.Code
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	return s
}

// GetStatus is the HTTP status; the router of the management API asks for it
// under this name.
func (p *Problem) GetStatus() int { return p.Status }

// JSON is the body. It never fails: a Problem holds only text and numbers.
func (p *Problem) JSON() []byte {
	body, err := json.Marshal(p)
	if err != nil {
		return []byte(`{"title":"Internal Server Error","status":500,"code":"internal"}`)
	}
	return append(body, '\n')
}

// Write answers w with p. It sets Content-Type, Cache-Control: no-store (an
// error of one caller is never another's) and nosniff; other header fields that
// are already set stay. net/http drops the body for HEAD by itself.
func Write(w http.ResponseWriter, p *Problem) {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	w.WriteHeader(p.Status)
	if _, err := w.Write(p.JSON()); err != nil {
		return // the caller has gone; the status was its answer
	}
}

// title is the phrase of the status (RFC 9457, section 4.2.1: a problem without
// a type of its own has the title of its status).
func title(status int) string {
	if t := http.StatusText(status); t != "" {
		return t
	}
	return "Error"
}
