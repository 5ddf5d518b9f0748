package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Event is one entry of the audit log.
type Event struct {
	// Organization is the chain it belongs to; empty: the global one.
	Organization string    `json:"organization"`
	Seq          int64     `json:"seq"`
	At           time.Time `json:"at"`
	Actor        string    `json:"actor"`
	Action       string    `json:"action"`
	Target       string    `json:"target"`
	// Detail holds the changed members, a JSON object.
	Detail    json.RawMessage `json:"detail"`
	RequestID string          `json:"request_id"`
	// PrevHash and Hash chain the events, hexadecimal.
	PrevHash string `json:"prev_hash"`
	Hash     string `json:"hash"`
}

// Decision is one recorded decision of the gate.
type Decision struct {
	Seq          int64     `json:"seq"`
	At           time.Time `json:"at"`
	RequestID    string    `json:"request_id"`
	Organization string    `json:"organization"`
	Kind         string    `json:"kind"`
	Credential   string    `json:"credential"`
	Route        string    `json:"route"`
	Point        string    `json:"point"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	ClientAddr   string    `json:"client_addr"`
	Allowed      bool      `json:"allowed"`
	Observed     bool      `json:"observed"`
	Reason       string    `json:"reason"`
	Cause        string    `json:"cause"`
}

// EventSearch chooses audit events; empty members choose all.
type EventSearch struct {
	// Organization is whose chain; empty: the global one.
	Organization string
	// All: every chain that the token may see, in the order of time.
	All   bool
	Actor string
	// Action is "noun.verb", or "noun.*".
	Action string
	Target string
	// Since and Until bound the time: at or after, and before.
	Since, Until time.Time
	NewestFirst  bool
	// Limit and Cursor as in [ListOptions].
	Limit  int
	Cursor string
}

func (o EventSearch) query() url.Values {
	q := ListOptions{Organization: o.Organization, Limit: o.Limit, Cursor: o.Cursor}.query()
	setAll(q, map[string]string{"actor": o.Actor, "action": o.Action, "target": o.Target, "all": flag(o.All), "newest_first": flag(o.NewestFirst)})
	setTimes(q, o.Since, o.Until)
	return q
}

// DecisionSearch chooses recorded decisions; empty members choose all.
type DecisionSearch struct {
	Organization string
	Credential   string
	Reason       string
	RequestID    string
	// Since and Until bound the time: at or after, and before.
	Since, Until time.Time
	OldestFirst  bool
	// Limit and Cursor as in [ListOptions].
	Limit  int
	Cursor string
}

func (o DecisionSearch) query() url.Values {
	q := ListOptions{Organization: o.Organization, Limit: o.Limit, Cursor: o.Cursor}.query()
	setAll(q, map[string]string{"credential": o.Credential, "reason": o.Reason, "request_id": o.RequestID, "oldest_first": flag(o.OldestFirst)})
	setTimes(q, o.Since, o.Until)
	return q
}

func setAll(q url.Values, values map[string]string) {
	for name, value := range values {
		if value != "" {
			q.Set(name, value)
		}
	}
}

func flag(is bool) string {
	if !is {
		return ""
	}
	return strconv.FormatBool(is)
}

func setTimes(q url.Values, since, until time.Time) {
	for name, at := range map[string]time.Time{"since": since, "until": until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
}

// AllEvents goes through the audit events of one chain: that of
// o.Organization, or the global one.
func (c *Client) AllEvents(ctx context.Context, o ListOptions) iter.Seq2[Event, error] {
	return all[Event](ctx, c, "audit", o)
}

// FindEvents goes through the audit events that are looked for.
func (c *Client) FindEvents(ctx context.Context, o EventSearch) iter.Seq2[Event, error] {
	return found[Event](ctx, c, o.Cursor, o.query(), "audit")
}

// FindDecisions goes through the recorded decisions that are looked for, the
// newest first.
func (c *Client) FindDecisions(ctx context.Context, o DecisionSearch) iter.Seq2[Decision, error] {
	return found[Decision](ctx, c, o.Cursor, o.query(), "audit", "decisions")
}

func found[T any](ctx context.Context, c *Client, cursor string, q url.Values, path ...string) iter.Seq2[T, error] {
	return pages(cursor, func(cursor string) (page List[T], err error) {
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		err = c.send(ctx, call{method: "GET", path: path, query: q}, &page)
		return page, err
	})
}
