package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// headerIdempotency is the field of a request that must have its effect once
// (draft-ietf-httpapi-idempotency-key-header); headerReplayed marks an answer that
// was given before.
const (
	headerIdempotency = "Idempotency-Key"
	headerReplayed    = "Idempotency-Replayed"
)

// maxIdempotencyKey is the longest key, in bytes.
const maxIdempotencyKey = 255

// Codes of refused repetitions.
const (
	// CodeKeyReused: the Idempotency-Key came with another request.
	CodeKeyReused = "idempotency_key_reused"
	// CodeAnswerLost: the request is under way, or was done and its answer was lost.
	CodeAnswerLost = "idempotency_answer_missing"
)

// secretMembers are the members of answers that hold secrets, wherever they stand.
var secretMembers = []string{"secret", "secrets", "private_key", "uri"}

// once runs an operation that a key makes idempotent: the first time as it is,
// later from what was answered. It buffers the answer.
func (a *API) once(w http.ResponseWriter, r *http.Request, c *caller, op Operation) {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		a.writeRefusal(w, r, problem.From(err), "")
		return
	}
	body, p := readWhole(w, r, a.bodyLimit(op))
	if p != nil {
		a.writeRefusal(w, r, p, "")
		return
	}
	parts := [][]byte{[]byte(op.ID), []byte(r.URL.RequestURI()), []byte(r.Header.Get("Content-Type")), body}
	request := c.service.Idempotent(c.token.ID, key, parts...)
	if a.replay(w, r, request, false) {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	out := &answer{header: http.Header{}, status: http.StatusOK}
	a.mux.ServeHTTP(out, r.WithContext(request.Within(r.Context())))
	if out.status >= http.StatusBadRequest {
		// One that was faster had the effect: its answer is everybody's.
		if out.status == http.StatusConflict && a.replay(w, r, request, true) {
			return
		}
		out.writeTo(w)
		return
	}
	// The effect is there, whatever becomes of the caller.
	if err := keepAnswer(context.WithoutCancel(r.Context()), request, out); err != nil {
		a.options.Logger.ErrorContext(r.Context(), "the answer to an idempotent request could not be kept",
			"operation", op.ID, "request_id", requestID(r.Context()), "error", err)
	}
	out.writeTo(w)
}

// idempotencyKey is the key of a request: one field of visible characters.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(headerIdempotency)
	bad := problem.New(http.StatusBadRequest, problem.CodeMalformed, "Idempotency-Key is one field of 1 to 255 visible characters")
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxIdempotencyKey {
		return "", bad
	}
	if strings.ContainsFunc(values[0], func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", bad
	}
	return values[0], nil
}

// bodyLimit is how large the body of an operation may be, in bytes.
func (a *API) bodyLimit(op Operation) int64 {
	if described := a.huma.OpenAPI().Paths[op.Path]; described != nil && described.Post != nil && described.Post.MaxBodyBytes > 0 {
		return described.Post.MaxBodyBytes
	}
	return MaxBody
}

func readWhole(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *problem.Problem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problem.New(http.StatusRequestEntityTooLarge, problem.CodeOf(http.StatusRequestEntityTooLarge), "the body is over the limit of this operation")
	case err != nil:
		return nil, problem.ForStatus(http.StatusBadRequest)
	}
	return body, nil
}

// replay answers from what was answered before, if anything was. In a race that
// was lost only an answer is wanted: the refusal of the loser tells the rest.
func (a *API) replay(w http.ResponseWriter, r *http.Request, request *manage.Idempotent, lost bool) bool {
	kept, err := request.Recall(r.Context())
	switch {
	case err == nil:
		out, err := readAnswer(kept)
		if err != nil {
			a.writeRefusal(w, r, a.refuse(r.Context(), "replay", err).Problem, "")
			return true
		}
		out.header.Set(headerReplayed, "true")
		out.writeTo(w)
		return true
	case errors.Is(err, keystile.ErrNotFound):
		return false
	case errors.Is(err, manage.ErrOtherRequest):
		a.writeRefusal(w, r, problem.New(http.StatusUnprocessableEntity, CodeKeyReused, "the Idempotency-Key was used for another request: take a new one"), "")
		return true
	case errors.Is(err, manage.ErrAnswerLost):
		if !lost {
			w.Header().Set("Retry-After", "1")
		}
		a.writeRefusal(w, r, problem.New(http.StatusConflict, CodeAnswerLost,
			"the request is under way, or was done and its answer was lost: try again, and read what is there if that goes on"), "")
		return true
	}
	a.writeRefusal(w, r, a.refuse(r.Context(), "replay", err).Problem, "")
	return true
}

// keptAnswer is an answer as it is kept.
type keptAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

func keepAnswer(ctx context.Context, request *manage.Idempotent, out *answer) error {
	whole, err := json.Marshal(keptAnswer{out.status, out.header, out.body.Bytes()})
	if err != nil {
		return err
	}
	bare, err := json.Marshal(keptAnswer{out.status, out.header, withoutSecrets(out.body.Bytes())})
	if err != nil {
		return err
	}
	return request.Keep(ctx, whole, bare)
}

func readAnswer(kept []byte) (*answer, error) {
	var k keptAnswer
	if err := json.Unmarshal(kept, &k); err != nil {
		return nil, err
	}
	out := &answer{header: k.Header, status: k.Status}
	if out.header == nil {
		out.header = http.Header{}
	}
	_, err := out.body.Write(k.Body)
	return out, err
}

// withoutSecrets is a JSON answer without the members that hold secrets; one that
// cannot be read is nothing.
func withoutSecrets(body []byte) []byte {
	if len(body) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	bare, err := json.Marshal(strip(value))
	if err != nil {
		return nil
	}
	return append(bare, '\n')
}

func strip(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if slices.Contains(secretMembers, name) {
				delete(v, name)
				continue
			}
			v[name] = strip(member)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return value
}

// writeTo sends a buffered answer.
func (a *answer) writeTo(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	if _, err := w.Write(a.body.Bytes()); err != nil { //nolint:gosec // G705: the buffered answer of this API, of its own content type
		return // the caller is gone
	}
}
