package store

import (
	"context"
	"database/sql"
)

// Where a table and its indexes lie, in bytes of the file or of the server's disk. What
// was deleted and is not reused yet counts.
const (
	sizeInSQLite   = "SELECT sum(pgsize) FROM dbstat WHERE name = $1 OR name IN (SELECT name FROM sqlite_master WHERE tbl_name = $1)"
	sizeInPostgres = "SELECT pg_total_relation_size(to_regclass($1))"
)

// TableSize is how many bytes a table takes with its indexes. On SQLite it reads the whole
// file. A table that is not there is [keystile.ErrNotFound].
func (s *Store) TableSize(ctx context.Context, table string) (int64, error) {
	const op = "measure a table"
	query := sizeInSQLite
	if s.Engine() == "postgres" {
		query = sizeInPostgres
	}
	var size sql.NullInt64
	if err := s.reader.QueryRowContext(ctx, query, table).Scan(&size); err != nil {
		return 0, s.fail(op, err)
	}
	if !size.Valid {
		return 0, s.fail(op, sql.ErrNoRows)
	}
	return size.Int64, nil
}
