package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// rowsAtOnce is how many rows one INSERT holds: enough that calls cost little,
// few enough for SQLite's limit of 32766 parameters
// (https://www.sqlite.org/limits.html) with any table here.
const rowsAtOnce = 100

// insertRows inserts many rows with few statements. into is the table and its
// columns, tail follows the values. It returns how many rows were inserted.
func (s *Store) insertRows(ctx context.Context, tx *sql.Tx, into string, rows [][]any, tail string) (inserted int64, err error) {
	if len(rows) >= 2*rowsAtOnce {
		full := len(rows) - len(rows)%rowsAtOnce
		if inserted, err = s.insertFull(ctx, tx, into, rows[:full], tail); err != nil {
			return inserted, err
		}
		rows = rows[full:]
	}
	for chunk := range slices.Chunk(rows, rowsAtOnce) {
		args := flatten(make([]any, 0, len(chunk)*len(chunk[0])), chunk)
		result, err := tx.ExecContext(ctx, s.insertText(into, len(chunk), len(chunk[0]), tail), args...)
		if err != nil {
			return inserted, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted += n
	}
	return inserted, nil
}

// keptRows is the most rows of one statement that is kept prepared.
const keptRows = 64

// keptChunks calls fn for parts of n things whose lengths are powers of two, at
// most keptRows: so a statement for many has few texts, and each is prepared once.
func keptChunks(n int, fn func(from, to int) error) error {
	size := keptRows
	for from := 0; from < n; {
		for size > n-from {
			size /= 2
		}
		if err := fn(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

// insertKept inserts rows with statements that are kept prepared, for what is
// written often.
func (s *Store) insertKept(ctx context.Context, tx *preparedTx, into string, rows [][]any, tail string) error {
	return keptChunks(len(rows), func(from, to int) error {
		chunk := rows[from:to]
		args := flatten(make([]any, 0, len(chunk)*len(chunk[0])), chunk)
		_, err := tx.ExecContext(ctx, s.insertText(into, len(chunk), len(chunk[0]), tail), args...)
		return err
	})
}

// places is "?, ?, ?" or "$1, $2, $3", as insertText has them.
func (s *Store) places(n int) string {
	numbered := s.Engine() != "sqlite"
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		if numbered {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i + 1))
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}

// insertFull inserts a multiple of rowsAtOnce rows with one prepared statement.
func (s *Store) insertFull(ctx context.Context, tx *sql.Tx, into string, rows [][]any, tail string) (inserted int64, err error) {
	stmt, err := tx.PrepareContext(ctx, s.insertText(into, rowsAtOnce, len(rows[0]), tail))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	args := make([]any, 0, rowsAtOnce*len(rows[0]))
	for chunk := range slices.Chunk(rows, rowsAtOnce) {
		result, err := stmt.ExecContext(ctx, flatten(args[:0], chunk)...)
		if err != nil {
			return inserted, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted += n
	}
	return inserted, nil
}

// insertReturning inserts many rows and collects the one text column that tail
// returns of each row that was inserted.
func (s *Store) insertReturning(ctx context.Context, tx *sql.Tx, into string, rows [][]any, tail string) (map[string]bool, error) {
	inserted := make(map[string]bool, len(rows))
	for chunk := range slices.Chunk(rows, rowsAtOnce) {
		args := flatten(make([]any, 0, len(chunk)*len(chunk[0])), chunk)
		if err := collect(ctx, tx, inserted, s.insertText(into, len(chunk), len(chunk[0]), tail), args); err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

func collect(ctx context.Context, tx *sql.Tx, into map[string]bool, query string, args []any) (err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		into[id] = true
	}
	return rows.Err()
}

func flatten(args []any, rows [][]any) []any {
	for _, row := range rows {
		args = append(args, row...)
	}
	return args
}

// insertText is "INSERT INTO into VALUES ($1, $2), ($3, $4) tail". On SQLite
// the places are "?": it keeps the names of "$1500" in a list that is walked for
// each, which made half the cost of an import.
func (s *Store) insertText(into string, rows, columns int, tail string) string {
	numbered := s.Engine() != "sqlite"
	var b strings.Builder
	b.Grow(len(into) + len(tail) + 24 + rows*columns*7)
	b.WriteString("INSERT INTO ")
	b.WriteString(into)
	b.WriteString(" VALUES ")
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		if numbered {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i + 1))
		} else {
			b.WriteByte('?')
		}
	}
	b.WriteString(") ")
	b.WriteString(tail)
	return b.String()
}

// mapRows turns rows into things; one that cannot be read fails them all.
func mapRows[R, T any](rows []R, of func(R) (T, error), fail func(string, error) error, op string) ([]T, error) {
	things := make([]T, len(rows))
	for i, row := range rows {
		thing, err := of(row)
		if err != nil {
			return nil, fail(op, err)
		}
		things[i] = thing
	}
	return things, nil
}
