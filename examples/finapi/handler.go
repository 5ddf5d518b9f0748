// Package finapi is a small stand-in for a financial API behind the gateway: it
// answers a few of the paths that callers of such APIs use, from memory. It never
// looks at credentials: that is the gateway's work. It is for the demo and tests.
package finapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds on what a caller may leave behind.
const (
	maxBody       = 16 << 10
	maxOperations = 10_000
)

// operation is one deposit and what became of it.
type operation struct {
	CID       string    `json:"cid"`
	Type      string    `json:"type"`
	Status    string    `json:"status"`
	Owner     string    `json:"owner"`
	Amount    string    `json:"amount"`
	Asset     string    `json:"asset"`
	CreatedAt time.Time `json:"createdAt"`
}

// server keeps the operations, newest maxOperations of them.
type server struct {
	now        func() time.Time
	newID      func() string
	mu         sync.Mutex
	operations map[string]operation
	order      []string
}

// Handler serves
//
//	GET  /finapi/profiles/owner            the organisation that called
//	POST /finapi/payments/deposit          {"asset","amount"} -> an operation
//	GET  /finapi/operations/status/{cid}   that operation again
//
// now and newID make times and operation ids.
func Handler(now func() time.Time, newID func() string) http.Handler {
	s := &server{now: now, newID: newID, operations: map[string]operation{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /finapi/profiles/owner", s.owner)
	mux.HandleFunc("POST /finapi/payments/deposit", s.deposit)
	mux.HandleFunc("GET /finapi/operations/status/{cid}", s.status)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusNotFound, 1100, "Resource not found") })
	return mux
}

// caller is the organisation that the gateway vouches for.
func caller(r *http.Request) string { return r.Header.Get("Keystile-Organization") }

func (s *server) owner(w http.ResponseWriter, r *http.Request) {
	send(w, http.StatusOK, map[string]any{
		"id": caller(r) + ":101", "organizationId": caller(r), "type": "owner",
		"accounts": []map[string]string{{"asset": "EUR", "balance": "1250000.00"}, {"asset": "bond-2031", "balance": "400"}},
	})
}

func (s *server) deposit(w http.ResponseWriter, r *http.Request) {
	var in struct{ Asset, Amount string }
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(raw, &in) != nil || in.Asset == "" || strings.Trim(in.Amount, "0123456789.") != "" || in.Amount == "" {
		fail(w, http.StatusBadRequest, 1002, "Invalid request format")
		return
	}
	op := operation{CID: s.newID(), Type: "deposit", Status: "completed", Owner: caller(r), Amount: in.Amount, Asset: in.Asset, CreatedAt: s.now().UTC()}
	s.mu.Lock()
	s.operations[op.CID] = op
	if s.order = append(s.order, op.CID); len(s.order) > maxOperations {
		delete(s.operations, s.order[0])
		s.order = s.order[1:]
	}
	s.mu.Unlock()
	send(w, http.StatusOK, op)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	op, ok := s.operations[r.PathValue("cid")]
	s.mu.Unlock()
	if !ok || op.Owner != caller(r) {
		fail(w, http.StatusNotFound, 1100, "Resource not found")
		return
	}
	send(w, http.StatusOK, op)
}

func fail(w http.ResponseWriter, status, code int, message string) {
	send(w, status, map[string]any{"errors": []map[string]any{{"code": code, "message": message}}})
}

func send(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"errors":[{"code":2000,"message":"General server error"}]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(append(raw, '\n')); err != nil {
		return // the caller is gone
	}
}
