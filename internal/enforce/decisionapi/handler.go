package decisionapi

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/problem"
)

// The bounds of one call.
const (
	// MaxBytes is the largest input, in bytes.
	MaxBytes = 1 << 20
	// MaxBatch is the most requests of one batch.
	MaxBatch = 100
)

// Options are what a Handler needs.
type Options struct {
	// Gate decides.
	Gate enforce.Gate
	// Authorize says whether the caller may ask: nil for yes, else what it is
	// answered. It is asked before a byte of the body is read.
	Authorize func(*http.Request) *problem.Problem
	// Logger gets what went wrong inside; may be nil.
	Logger *slog.Logger
}

// Handler is the decision endpoint. It is safe for concurrent use.
type Handler struct {
	gate      enforce.Gate
	authorize func(*http.Request) *problem.Problem
	logger    *slog.Logger
}

// New makes a Handler. It fails without a gate and without Authorize: the
// endpoint is never open.
func New(o Options) (*Handler, error) {
	if o.Gate == nil || o.Authorize == nil {
		return nil, errors.New("decision endpoint: a gate and an authorisation of callers are required")
	}
	return &Handler{gate: o.Gate, authorize: o.Authorize, logger: o.Logger}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	if p := h.authorize(hr); p != nil {
		if p.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="keystile"`)
		}
		problem.Write(w, p)
		return
	}
	if hr.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		problem.Write(w, problem.ForStatus(http.StatusMethodNotAllowed))
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, hr.Body, MaxBytes))
	if err != nil {
		problem.Write(w, inputProblem(err))
		return
	}
	in, err := parse(data)
	if err != nil {
		problem.Write(w, inputProblem(err))
		return
	}
	h.answer(w, hr, in)
}

func (h *Handler) answer(w http.ResponseWriter, hr *http.Request, in *input) {
	answers := make([]answer, 0, len(in.calls))
	for i := range in.calls {
		if hr.Context().Err() != nil {
			return // nobody is there to read the rest
		}
		answers = append(answers, h.decide(hr, &in.calls[i]))
	}
	var out any = batchAnswer{Decisions: answers}
	if !in.batch {
		out = &answers[0]
	}
	body, err := json.Marshal(out)
	if err != nil {
		problem.Write(w, problem.From(err))
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(append(body, '\n')); err != nil {
		return // the caller has gone
	}
}

func (h *Handler) decide(hr *http.Request, c *call) answer {
	id := enforce.NewRequestID()
	var d keystile.Decision
	if r, err := c.request(id); err != nil {
		d = enforce.Refuse(err)
	} else {
		d = enforce.Ask(hr.Context(), h.gate, r, h.logger)
	}
	return newAnswer(&d, id)
}

// inputProblem is the answer to input that could not be read. It is 400 for
// every fault but size, as for a request that the gate cannot read.
func inputProblem(err error) *problem.Problem {
	p := problem.From(err)
	switch p.Status {
	case http.StatusUnprocessableEntity:
		fields := p.Errors
		p = problem.New(http.StatusBadRequest, string(keystile.ReasonRequestInvalid), "")
		p.Errors = fields
	case http.StatusInternalServerError: // the connection broke
		p = problem.New(http.StatusBadRequest, problem.CodeMalformed, "the body cannot be read")
	}
	return p
}
