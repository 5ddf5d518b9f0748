package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// EventFilter chooses audit events; empty members choose all.
type EventFilter struct {
	// OrganizationID names the chain; empty is the global one.
	OrganizationID string
	// All chooses every chain, OrganizationID apart, in the order of time.
	All bool
	// AfterSeq: only events after it, in the order of the list. Not with All.
	AfterSeq int64
	// After is the event that the list goes on after, with All.
	After *EventPlace
	Actor string
	// Action is "noun.verb", or "noun.*" for every verb.
	Action string
	Target string
	// Since and Until bound the time: at or after, and before.
	Since, Until time.Time
	// NewestFirst turns the order round.
	NewestFirst bool
	// Limit as in Page.
	Limit int
}

// EventPlace is where an event stands among those of every chain.
type EventPlace struct {
	At             time.Time
	OrganizationID string
	Seq            int64
}

// Events lists audit events, each chain in the order it happened.
func (r *reads) Events(ctx context.Context, f EventFilter) ([]keystile.Event, error) {
	const op = "list audit events"
	q := &query{}
	order := "seq"
	switch {
	case f.All:
		order = "at, organization_id, seq"
		if f.After != nil {
			q.and("(at, organization_id, seq) "+beyond(f.NewestFirst)+" (%, %, %)", micros(f.After.At), f.After.OrganizationID, f.After.Seq)
		}
	case f.AfterSeq != 0:
		q.and("seq "+beyond(f.NewestFirst)+" %", f.AfterSeq)
		fallthrough
	default:
		q.and("organization_id = %", f.OrganizationID)
	}
	q.text("actor", f.Actor)
	q.text("target", f.Target)
	if noun, ok := strings.CutSuffix(f.Action, "*"); ok {
		q.and("substr(action, 1, "+strconv.Itoa(len(noun))+") = %", noun)
	} else {
		q.text("action", f.Action)
	}
	q.times(f.Since, f.Until)
	statement := q.statement(eventColumns, "audit_events", ordered(order, f.NewestFirst), f.Limit)
	events, err := search(ctx, r, statement, q.args, scanEvent)
	return events, r.fail(op, err)
}

// Events lists audit events, those of this transaction among them.
func (t *Tx) Events(ctx context.Context, f EventFilter) ([]keystile.Event, error) {
	if err := t.writeEvents(ctx); err != nil {
		return nil, err
	}
	return t.reads.Events(ctx, f)
}

const eventColumns = "organization_id, seq, at, actor, action, target, detail, request_id, prev_hash, hash"

func scanEvent(rows *sql.Rows) (keystile.Event, error) {
	var row gen.AuditEvent
	err := rows.Scan(&row.OrganizationID, &row.Seq, &row.At, &row.Actor, &row.Action, &row.Target, &row.Detail, &row.RequestID, &row.PrevHash, &row.Hash)
	if err != nil {
		return keystile.Event{}, err
	}
	return eventOf(row), nil
}

// DecisionFilter chooses recorded decisions; empty members choose all.
type DecisionFilter struct {
	OrganizationID string
	CredentialID   string
	RequestID      string
	Reason         keystile.Reason
	// Since and Until bound the time of the decision: at or after, and before.
	Since, Until time.Time
	// AfterSeq: only decisions after it, in the order of the list.
	AfterSeq int64
	// OldestFirst turns the order round, which is newest first.
	OldestFirst bool
	// Limit as in Page.
	Limit int
}

// Decisions lists recorded decisions, the newest first.
func (s *Store) Decisions(ctx context.Context, f DecisionFilter) ([]keystile.DecisionRecord, error) {
	const op = "list decisions"
	q := &query{}
	q.text("organization_id", f.OrganizationID)
	q.text("credential_id", f.CredentialID)
	q.text("request_id", f.RequestID)
	q.text("reason", string(f.Reason))
	q.times(f.Since, f.Until)
	if f.AfterSeq != 0 {
		q.and("seq "+beyond(!f.OldestFirst)+" %", f.AfterSeq)
	}
	statement := q.statement(decisionFields, "audit_decisions", ordered("seq", !f.OldestFirst), f.Limit)
	decisions, err := search(ctx, &s.reads, statement, q.args, scanDecision)
	return decisions, s.fail(op, err)
}

const decisionFields = "seq, at, request_id, organization_id, kind, credential_id, route_id, point, method, path, client_addr, allowed, observed, reason, cause"

func scanDecision(rows *sql.Rows) (keystile.DecisionRecord, error) {
	var row gen.AuditDecision
	err := rows.Scan(&row.Seq, &row.At, &row.RequestID, &row.OrganizationID, &row.Kind, &row.CredentialID, &row.RouteID, &row.Point,
		&row.Method, &row.Path, &row.ClientAddr, &row.Allowed, &row.Observed, &row.Reason, &row.Cause)
	return decisionOf(row), err
}

// query gathers the conditions of a search and their arguments. Column names and
// operators are this file's own; what a caller gave is an argument.
type query struct {
	conditions []string
	args       []any
}

// and adds a condition in which each % is an argument.
func (q *query) and(condition string, args ...any) {
	for _, arg := range args {
		q.args = append(q.args, arg)
		condition = strings.Replace(condition, "%", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.conditions = append(q.conditions, condition)
}

// arg adds an argument and returns how a text names it.
func (q *query) arg(value any) string {
	q.args = append(q.args, value)
	return "$" + strconv.Itoa(len(q.args))
}

func (q *query) text(column, value string) {
	if value != "" {
		q.and(column+" = %", value)
	}
}

func (q *query) times(since, until time.Time) {
	if !since.IsZero() {
		q.and("at >= %", micros(since))
	}
	if !until.IsZero() {
		q.and("at < %", micros(until))
	}
}

func (q *query) statement(columns, table, order string, limit int) string {
	where := ""
	if len(q.conditions) > 0 {
		where = " WHERE " + strings.Join(q.conditions, " AND ")
	}
	q.args = append(q.args, rowLimit(limit))
	return fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT $%d", columns, table, where, order, len(q.args))
}

// beyond is the comparison of what follows in an order.
func beyond(descending bool) string {
	if descending {
		return "<"
	}
	return ">"
}

// ordered is a list of columns in one direction.
func ordered(columns string, descending bool) string {
	if !descending {
		return columns
	}
	return strings.ReplaceAll(columns, ",", " DESC,") + " DESC"
}

// search runs a statement that query made.
func search[T any](ctx context.Context, r *reads, statement string, args []any, scan func(*sql.Rows) (T, error)) (found []T, err error) {
	rows, err := r.searches.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found = []T{}
	for rows.Next() {
		thing, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, thing)
	}
	return found, rows.Err()
}
