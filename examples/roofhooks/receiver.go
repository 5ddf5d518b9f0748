// Package roofhooks is a small webhook receiver: what a partner builds to hear
// what happens to its application, in one file.
//
//	Keystile ── POST /webhooks, signed as Standard Webhooks says ──> verified, once an id ──> kept
//	a person ── GET /received ──────────────────────────────────> what came since it was last asked
//
// It stands on two addresses: what is told comes by TLS to Webhooks, what a person
// asks comes to Received, which is for the machine it runs on alone. It is for the
// demo and tests.
package roofhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxBody bounds an event, in bytes.
	maxBody = 64 << 10
	// tolerance is how far a message's time may be from now: an older one is a replay.
	tolerance = 5 * time.Minute
	// maxKept bounds what waits to be shown and the ids that are remembered.
	maxKept = 1000
	// patience is how long Received waits for something to show.
	patience = 10 * time.Second
)

// Receiver keeps verified events until somebody asks for them.
type Receiver struct {
	key []byte
	now func() time.Time

	mu    sync.Mutex
	seen  map[string]bool
	ids   []string
	fresh []event
	came  chan struct{}
}

// event is one that was verified: how it is shown, and the status it tells of.
type event struct{ line, status string }

// New makes a Receiver that verifies with a signing secret, whsec_….
func New(secret string, now func() time.Time) (*Receiver, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 {
		return nil, errors.New("roofhooks: the secret is not whsec_ and base64")
	}
	return &Receiver{key: key, now: now, seen: map[string]bool{}, came: make(chan struct{}, 1)}, nil
}

// Webhooks serves POST /webhooks.
func (r *Receiver) Webhooks() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks", r.take)
	return mux
}

// Received serves GET /received: the events that came since it was last asked, one
// on a line. It waits a moment for the first; with ?until=STATUS for one of that status.
func (r *Receiver) Received() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /received", r.show)
	return mux
}

// take verifies a message before anything of it is believed. A message that came
// before is answered like a new one and done once.
func (r *Receiver) take(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
		return
	}
	id := q.Header.Get("webhook-id")
	if err := r.verify(id, q.Header.Get("webhook-timestamp"), q.Header.Get("webhook-signature"), body); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var message struct {
		Type string         `json:"type"`
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(body, &message); err != nil {
		http.Error(w, "the body is no event", http.StatusBadRequest)
		return
	}
	// A session token lets its bearer in: it is not shown.
	if _, there := message.Data["session_token"]; there {
		message.Data["session_token"] = "…"
	}
	line, err := json.Marshal(map[string]any{"verified": id, "type": message.Type, "data": message.Data})
	if err != nil {
		http.Error(w, "the body is no event", http.StatusBadRequest)
		return
	}
	status, ok := message.Data["status"].(string)
	if !ok {
		status = "" // not every event tells of one
	}
	r.keep(id, event{string(line), status})
	w.WriteHeader(http.StatusNoContent)
}

// verify checks a message as Standard Webhooks says: HMAC-SHA256 of id, time and
// body, any of the signatures in the header.
func (r *Receiver) verify(id, timestamp, signatures string, body []byte) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" {
		return errors.New("the message has no id or no time")
	}
	if age := r.now().Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errors.New("the message is too old, or of a time to come")
	}
	mac := hmac.New(sha256.New, r.key)
	io.WriteString(mac, id+"."+timestamp+".") //nolint:errcheck,gosec // a hash takes everything
	mac.Write(body)
	want := mac.Sum(nil)
	for one := range strings.FieldsSeq(signatures) {
		text, ok := strings.CutPrefix(one, "v1,")
		if got, err := base64.StdEncoding.DecodeString(text); ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("the signature does not fit")
}

func (r *Receiver) keep(id string, e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return
	}
	if len(r.ids) >= maxKept {
		delete(r.seen, r.ids[0])
		r.ids = r.ids[1:]
	}
	r.seen[id], r.ids = true, append(r.ids, id)
	if len(r.fresh) >= maxKept {
		r.fresh = r.fresh[1:]
	}
	r.fresh = append(r.fresh, e)
	select {
	case r.came <- struct{}{}:
	default: // somebody is told already
	}
}

func (r *Receiver) show(w http.ResponseWriter, q *http.Request) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if text := r.since(q.URL.Query().Get("until")); text != "" {
			w.Header().Set("Content-Type", "application/jsonl")
			io.WriteString(w, text) //nolint:errcheck,gosec // whoever asked went away
			return
		}
		select {
		case <-r.came:
		case <-timer.C:
			w.WriteHeader(http.StatusNoContent)
			return
		case <-q.Context().Done():
			return
		}
	}
}

// since takes what came, once an event of a status is among it; any, if that is empty.
func (r *Receiver) since(until string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.ContainsFunc(r.fresh, func(e event) bool { return until == "" || e.status == until }) {
		return ""
	}
	var text strings.Builder
	for _, e := range r.fresh {
		text.WriteString(e.line + "\n")
	}
	r.fresh = nil
	return text.String()
}
