package door

import (
	"net/http"
	"net/netip"
)

// HeaderRequestID names the request in Keystile's logs. It is the field of that
// name that the enforcement points write.
const HeaderRequestID = "Keystile-Request-Id"

// Edge is what a door must be told about HTTP requests; both are of the server.
type Edge struct {
	// ClientAddr is the caller's address behind trusted proxies.
	ClientAddr func(*http.Request) (netip.Addr, error)
	// RequestID names a request in logs and audit events.
	RequestID func(*http.Request) string
}

// challenge is WWW-Authenticate of a 401 (RFC 9110, section 11.6.1).
const challenge = `Bearer realm="keystile"`

// maxUserAgent bounds what is kept of a User-Agent.
const maxUserAgent = 256

// UserAgent is the caller's program, as far as it is kept: visible ASCII and
// spaces, cut at 256 bytes.
func UserAgent(r *http.Request) string {
	agent := r.UserAgent()
	if len(agent) > maxUserAgent {
		agent = agent[:maxUserAgent]
	}
	clean := make([]byte, 0, len(agent))
	for i := range len(agent) {
		if c := agent[i]; c >= ' ' && c < 0x7f {
			clean = append(clean, c)
		}
	}
	return string(clean)
}

// Write answers with a body of a JSON media type; "" and nil are no body. What a
// door answers is for its one caller: it is never stored and never run.
func Write(w http.ResponseWriter, requestID string, status int, contentType string, body []byte) {
	h := w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h[HeaderRequestID] = []string{requestID}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge)
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return // the caller has gone; the status was its answer
	}
}
