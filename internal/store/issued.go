package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"
)

// issued is a table of what is issued too often for each to lock its
// organisation's chain: the row is the record, and its audit event is written
// from it a moment later.
type issued struct {
	table string
	// key names the row; it stands in no event.
	key string
	// columns are what target and event are made of, as text.
	organization, actor, target string
	// action is the event's, and detail its members by column.
	action string
	detail map[string]string
}

// everyIssued lists those tables. Each has a column audited, and an index of
// the rows where that is false.
var everyIssued = []issued{
	{
		table: "sessions", key: "id", organization: "organization_id", actor: "'user:' || user_id", target: "'session:' || id",
		action: "session.issue", detail: map[string]string{"user": "user_id", "door": "door", "methods": "methods", "client_addr": "client_addr"},
	},
	{
		table: "partner_sessions", key: "digest", organization: "tenant_id", actor: "CASE WHEN user_id = '' THEN 'application:' || application_id ELSE 'user:' || user_id END",
		target: "'application:' || application_id", action: "partner_session.issue", detail: map[string]string{"user": "user_id"},
	},
	{
		table: "temporary_keys", key: "digest", organization: "tenant_id", actor: "'application:' || application_id", target: "'temporary_key:' || id",
		action: "temporary_key.issue", detail: map[string]string{"application": "application_id", "application_key": "application_key_id", "user": "user_id"},
	},
	{
		table: "oauth_grants", key: "id", organization: ofUserOrClient("oauth_grants"), actor: "'user:' || user_id", target: "'grant:' || id",
		action: "grant.issue", detail: map[string]string{"client": "client_id", "user": "user_id", "scopes": "scopes", "audiences": "audiences"},
	},
	{
		table: "oauth_tokens", key: "digest", organization: ofUserOrClient("oauth_tokens"), actor: "'client:' || client_id", target: "'access_token:' || id",
		action: "access_token.issue", detail: map[string]string{"client": "client_id", "user": "user_id", "grant": "grant_id", "scopes": "scopes", "audiences": "audiences"},
	},
}

// ofUserOrClient is the organisation of a row's user, else of its client's
// application, else none.
func ofUserOrClient(table string) string {
	return "COALESCE((SELECT u.organization_id FROM users AS u WHERE u.id = " + table + ".user_id), " +
		"(SELECT a.organization_id FROM oauth_clients AS c JOIN applications AS a ON a.id = c.application_id WHERE c.id = " + table + ".client_id), '')"
}

// issuedRow is one row that has no event yet.
type issuedRow struct {
	of                          *issued
	key                         any
	organization, actor, target string
	detail                      map[string]any
}

// AuditIssued writes the audit events of at most limit rows of each table of
// issued credentials, and says how many it wrote.
func (s *Store) AuditIssued(ctx context.Context, limit int) (written int, err error) {
	there, err := s.anyUnaudited(ctx)
	if err != nil || !there {
		return 0, s.fail("audit what was issued", err)
	}
	err = s.Mutate(ctx, Actor{Name: "system"}, func(ctx context.Context, t *Tx) error {
		var rows []issuedRow
		for i := range everyIssued {
			some, err := t.unaudited(ctx, &everyIssued[i], limit)
			if err != nil {
				return t.fail("audit what was issued", err)
			}
			if err := t.markAudited(ctx, &everyIssued[i], some); err != nil {
				return err
			}
			rows = append(rows, some...)
		}
		// Chains are locked in the order of their ids, as everywhere.
		slices.SortStableFunc(rows, func(a, b issuedRow) int { return strings.Compare(a.organization, b.organization) })
		var chains []string
		for i := range rows {
			if i == 0 || rows[i].organization != rows[i-1].organization {
				chains = append(chains, rows[i].organization)
			}
		}
		if err := t.lockAll(ctx, chains); err != nil {
			return err
		}
		for i := range rows {
			if err := t.auditIssued(ctx, &rows[i]); err != nil {
				return err
			}
		}
		written = len(rows)
		return nil
	})
	return written, err
}

// anyUnaudited looks without a transaction: mostly there is nothing to do.
func (s *Store) anyUnaudited(ctx context.Context) (there bool, err error) {
	for i := range everyIssued {
		if err := s.reader.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+everyIssued[i].table+" WHERE audited = FALSE)").Scan(&there); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// markAudited marks rows whose events are written in the same transaction: many in
// one statement, for the statement costs more than the row.
func (t *Tx) markAudited(ctx context.Context, of *issued, rows []issuedRow) error {
	err := keptChunks(len(rows), func(from, to int) error {
		keys := make([]any, 0, to-from)
		for i := range rows[from:to] {
			keys = append(keys, rows[from+i].key)
		}
		text := "UPDATE " + of.table + " SET audited = TRUE WHERE " + of.key + " IN (" + t.store.places(len(keys)) + ")"
		_, err := t.prepared.ExecContext(ctx, text, keys...)
		return err
	})
	return t.fail("audit what was issued", err)
}

func (t *Tx) auditIssued(ctx context.Context, row *issuedRow) error {
	actor := t.actor
	t.actor.Name = clean(row.actor)
	err := t.Record(ctx, row.organization, row.of.action, row.target, row.detail)
	t.actor = actor
	return err
}

// unaudited reads rows without an event. On PostgreSQL it leaves those out that
// another server is at.
func (t *Tx) unaudited(ctx context.Context, of *issued, limit int) (found []issuedRow, err error) {
	names := make([]string, 0, len(of.detail))
	for name := range of.detail {
		names = append(names, name)
	}
	slices.Sort(names)
	columns := []string{of.key, of.organization, of.actor, of.target, "created_at", "expires_at"}
	for _, name := range names {
		columns = append(columns, of.detail[name])
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + of.table + " WHERE audited = FALSE ORDER BY " + of.key + " LIMIT $1"
	if t.store.Engine() == "postgres" {
		text += " FOR UPDATE SKIP LOCKED"
	}
	rows, err := t.prepared.QueryContext(ctx, text, rowLimit(limit))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		row, err := scanIssued(rows, of, names)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

func scanIssued(rows *sql.Rows, of *issued, names []string) (issuedRow, error) {
	row := issuedRow{of: of, detail: map[string]any{}}
	var created, expires int64
	values := make([]string, len(names))
	into := []any{&row.key, &row.organization, &row.actor, &row.target, &created, &expires}
	for i := range values {
		into = append(into, &values[i])
	}
	if err := rows.Scan(into...); err != nil {
		return row, err
	}
	row.detail["issued_at"], row.detail["expires_at"] = timeOf(created).Format(time.RFC3339Nano), timeOf(expires).Format(time.RFC3339Nano)
	for i, name := range names {
		if values[i] != "" {
			row.detail[name] = values[i]
		}
	}
	return row, nil
}
