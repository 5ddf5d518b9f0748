package store

import (
	"context"
	"database/sql"
	"io/fs"
)

// MigrateWith is Migrate with migrations of the test's own.
func (s *Store) MigrateWith(ctx context.Context, all fs.FS, progress func(int64, string)) error {
	return s.migrate(ctx, all, progress)
}

// Migrations are the embedded migrations of the store's engine.
func (s *Store) Migrations() (fs.FS, error) { return fs.Sub(migrations, "migrations/"+s.Engine()) }

// Writer is the connection that transactions use.
func (s *Store) Writer() *sql.DB { return s.writer }

// VersionTable is where the schema's version is kept.
const VersionTable = versionTable

// Classify says whether an engine's error means that the store is away, with
// the text for an operator.
func (s *Store) Classify(err error) (unavailable bool, text string) {
	kind, text := s.engine.classify(err)
	return kind == failureUnavailable, text
}

// Tables are the names of the store's tables that a backup holds.
func (s *Store) Tables(ctx context.Context) (names []string, err error) {
	tables, err := s.tables(ctx, s.reader)
	for _, t := range tables {
		names = append(names, t.Name)
	}
	return names, err
}

// Voids are the statements by which a restore ends what was good once.
func Voids() (statements []string) {
	for _, v := range voids {
		statements = append(statements, v.statement)
	}
	return statements
}

// BinaryColumns are all columns that hold bytes, as "table.column".
func (s *Store) BinaryColumns(ctx context.Context) (names []string, err error) {
	tables, err := s.tables(ctx, s.reader)
	for _, t := range tables {
		for _, c := range t.Columns {
			if c.Kind == ColumnBytes {
				names = append(names, t.Name+"."+c.Name)
			}
		}
	}
	return names, err
}

// SealedColumns are the columns that Reseal seals again, as "table.column".
func SealedColumns() (names []string) {
	for _, c := range sealedColumns {
		names = append(names, c.table+"."+c.column)
	}
	return names
}
