package nao

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// corsHeaders are what a page may send: the credential and what describes a
// JSON body. Reading an answer needs no more than Retry-After beside it.
const (
	corsHeaders = "Authorization, Content-Type, Accept"
	corsExposed = "Keystile-Request-Id, Retry-After, WWW-Authenticate"
)

// allowOrigin lets pages of the configured origins read the answer. Credentials
// mode is never allowed: the credential is a field that the page sets, and no
// cookie opens anything here.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) {
	if len(s.o.Origins) == 0 {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if origins := r.Header["Origin"]; len(origins) == 1 && slices.Contains(s.o.Origins, origins[0]) {
		h.Set("Access-Control-Allow-Origin", origins[0])
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
}

// answerPreflight answers the preflight of an allowed origin (Fetch standard,
// 3.2.2) and says whether it did. Any other OPTIONS is an ordinary request.
func (s *Server) answerPreflight(w http.ResponseWriter, r *http.Request, requestID string) bool {
	h := w.Header()
	methods, known := allowed[r.URL.Path]
	if r.Method != http.MethodOptions || !known || h.Get("Access-Control-Allow-Origin") == "" ||
		len(r.Header["Access-Control-Request-Method"]) != 1 {
		return false
	}
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	if s.o.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.FormatInt(int64(s.o.MaxAge/time.Second), 10))
	}
	h["Keystile-Request-Id"] = []string{requestID}
	w.WriteHeader(http.StatusNoContent)
	return true
}
