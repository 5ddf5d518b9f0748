package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ColumnKind is what a column holds, on either engine.
type ColumnKind string

// The kinds of columns.
const (
	ColumnInt   ColumnKind = "int"
	ColumnText  ColumnKind = "text"
	ColumnBytes ColumnKind = "bytes"
	ColumnBool  ColumnKind = "bool"
)

// Column is one column of a table.
type Column struct {
	Name string     `json:"name"`
	Kind ColumnKind `json:"kind"`
}

// Table is one table of the store.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
}

// leftOut are tables that belong to a database and not to what is in it.
var leftOut = []string{versionTable, "schema_lock", "server_leases"}

// Snapshot reads the whole store as it is at one moment, while others write. It
// holds one connection; on SQLite the WAL cannot shrink meanwhile. It belongs to
// one goroutine.
type Snapshot struct {
	// Schema is the store's version, Revision the feed's, At when it was taken.
	Schema   int64
	Revision int64
	At       time.Time

	reads
	store *Store
	tx    *sql.Tx
}

// Snapshot begins to read. Close ends it.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	const op = "take a snapshot"
	if s.closed.Load() {
		return nil, errClosed
	}
	if err := s.refuseDuringImport(ctx, s.reads); err != nil {
		return nil, err
	}
	options := &sql.TxOptions{ReadOnly: true}
	if s.Engine() == "postgres" {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx, err := s.reader.BeginTx(ctx, options)
	if err != nil {
		return nil, s.fail(op, err)
	}
	t := &Snapshot{store: s, tx: tx, At: stored(s.now())}
	t.q, t.fail = s.q.WithTx(tx), s.explain
	// The first statement is what fixes the moment, on either engine.
	head, err := t.q.GetFeedHead(ctx)
	if err == nil {
		t.Revision = head.Revision
		err = tx.QueryRowContext(ctx, "SELECT max(version_id) FROM "+versionTable).Scan(&t.Schema)
	}
	if err != nil {
		return nil, s.fail(op, errors.Join(err, tx.Rollback()))
	}
	return t, nil
}

// Close ends the snapshot.
func (t *Snapshot) Close() error {
	if err := t.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("end the snapshot: %w", err)
	}
	return nil
}

// Tables lists the tables in an order in which each comes after those that it
// refers to.
func (t *Snapshot) Tables(ctx context.Context) ([]Table, error) {
	tables, err := t.store.tables(ctx, t.tx)
	return tables, t.store.fail("list the tables", err)
}

// Rows calls each with every row of a table, a value for each column: nil,
// int64, string, []byte or bool. The values are good until each returns.
func (t *Snapshot) Rows(ctx context.Context, table Table, each func([]any) error) (err error) {
	fail := func(err error) error { return t.store.fail("read table "+table.Name, err) }
	rows, err := t.tx.QueryContext(ctx, "SELECT "+columnList(table.Columns)+" FROM "+quoted(table.Name)) //nolint:gosec // G202: names are those of the schema
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]any, len(table.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fail(err)
		}
		for i, c := range table.Columns {
			if values[i], err = valueOf(c.Kind, values[i]); err != nil {
				return fmt.Errorf("read table %s, column %s: %w", table.Name, c.Name, err)
			}
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return fail(rows.Err())
}

// valueOf is a value as its column's kind has it: SQLite keeps booleans as numbers.
func valueOf(kind ColumnKind, value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case int64:
		if kind == ColumnBool {
			return v != 0, nil
		}
		if kind == ColumnInt {
			return v, nil
		}
	case bool:
		if kind == ColumnBool {
			return v, nil
		}
	case string:
		if kind == ColumnText {
			return v, nil
		}
	case []byte:
		if kind == ColumnBytes {
			return v, nil
		}
	}
	return nil, fmt.Errorf("a value of type %T is not %s", value, kind)
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func columnList(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quoted(c.Name)
	}
	return strings.Join(names, ", ")
}

// Each row is a column: its table, name and type. SQLite's booleans are numbers
// that a CHECK holds to 0 and 1; what they are shows in the table's own text.
const (
	sqliteColumns = `SELECT m.name, p.name, CASE WHEN instr(m.sql, 'CHECK (' || p.name || ' IN (0, 1))') > 0 THEN 'boolean' ELSE lower(p.type) END
		FROM sqlite_master AS m, pragma_table_info(m.name) AS p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, p.cid`
	postgresColumns = `SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns AS c
		JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'
		WHERE c.table_schema = current_schema() ORDER BY c.table_name COLLATE "C", c.ordinal_position`
	sqliteReferences   = `SELECT m.name, f."table", '' FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table'`
	postgresReferences = `SELECT a.relname, b.relname, '' FROM pg_constraint AS k JOIN pg_class AS a ON a.oid = k.conrelid JOIN pg_class AS b ON b.oid = k.confrelid
		WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace`
)

var columnKinds = map[string]ColumnKind{
	"integer": ColumnInt, "bigint": ColumnInt, "text": ColumnText, "blob": ColumnBytes, "bytea": ColumnBytes, "boolean": ColumnBool,
}

// tables lists the tables there are, each after those that it refers to.
func (s *Store) tables(ctx context.Context, q searcher) ([]Table, error) {
	columns, references := sqliteColumns, sqliteReferences
	if s.Engine() == "postgres" {
		columns, references = postgresColumns, postgresReferences
	}
	var tables []Table
	err := triples(ctx, q, columns, func(table, column, kind string) error {
		if slices.Contains(leftOut, table) {
			return nil
		}
		known, ok := columnKinds[kind]
		if !ok {
			return fmt.Errorf("column %s.%s has the type %q, which no backup knows", table, column, kind)
		}
		if len(tables) == 0 || tables[len(tables)-1].Name != table {
			tables = append(tables, Table{Name: table})
		}
		last := &tables[len(tables)-1]
		last.Columns = append(last.Columns, Column{column, known})
		return nil
	})
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	err = triples(ctx, q, references, func(from, to, _ string) error {
		needs[from] = append(needs[from], to)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return inOrder(tables, needs)
}

// inOrder sorts tables so that each comes after those it needs, else by name.
func inOrder(tables []Table, needs map[string][]string) ([]Table, error) {
	slices.SortFunc(tables, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	placed := map[string]bool{}
	var ordered []Table
	for len(ordered) < len(tables) {
		before := len(ordered)
		for _, t := range tables {
			if !placed[t.Name] && !slices.ContainsFunc(needs[t.Name], func(need string) bool { return !placed[need] }) {
				placed[t.Name] = true
				ordered = append(ordered, t)
			}
		}
		if len(ordered) == before {
			return nil, errors.New("tables refer to each other in a circle")
		}
	}
	return ordered, nil
}

// triples reads rows of three texts.
func triples(ctx context.Context, q searcher, text string, each func(a, b, c string) error) (err error) {
	rows, err := q.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a, b, c string
		if err := rows.Scan(&a, &b, &c); err != nil {
			return err
		}
		if err := each(a, b, c); err != nil {
			return err
		}
	}
	return rows.Err()
}
