package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations a store has had.
const versionTable = "schema_versions"

// Migrate brings the schema to the newest version this program knows, one
// transaction a migration: interrupted, it is simply run again. progress, which
// may be nil, is told of each one that was applied.
//
// A schema newer than the program is [keystile.ErrConflict], and so is a SQLite
// store in use by another server: an older program would go on writing to a
// schema it does not know. On PostgreSQL servers stay up while a new one
// migrates, so migrations there add and never take away what the previous
// release uses.
func (s *Store) Migrate(ctx context.Context, progress func(version int64, name string)) error {
	all, err := fs.Sub(migrations, path.Join("migrations", s.Engine()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if err := s.migrate(ctx, all, progress); err != nil {
		return err
	}
	return s.refuseHalfRestored(ctx)
}

func (s *Store) migrate(ctx context.Context, all fs.FS, progress func(int64, string)) error {
	provider, err := s.provider(all)
	if err != nil {
		return err
	}
	return s.migrateTo(ctx, provider, newestVersion(provider), progress)
}

// migrateTo brings the schema up to a version, which need not be the newest.
func (s *Store) migrateTo(ctx context.Context, provider *goose.Provider, newest int64, progress func(int64, string)) (err error) {
	if err := s.writable(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if done, err := s.current(ctx, newest); done || err != nil {
		return err
	}
	unlock, err := s.engine.lockSchema(ctx)
	if err != nil {
		return s.fail("migrate", err)
	}
	defer func() { err = errors.Join(err, unlock(context.WithoutCancel(ctx))) }()
	// Again under the lock: another process may have done it all meanwhile.
	if done, err := s.current(ctx, newest); done || err != nil {
		return err
	}
	for {
		result, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err != nil {
			return s.fail("migrate", err)
		}
		if progress != nil {
			progress(result.Source.Version, path.Base(result.Source.Path))
		}
		if result.Source.Version >= newest {
			return nil
		}
	}
}

// current says whether the schema is at the newest version, and refuses a newer one.
func (s *Store) current(ctx context.Context, newest int64) (bool, error) {
	version, err := s.version(ctx)
	if err != nil {
		return false, err
	}
	if version > newest {
		return false, conflict("the store's schema is version %d and this keystile knows versions up to %d; run the newer keystile, or restore a backup made before the upgrade", version, newest)
	}
	return version == newest, nil
}

// SchemaVersion is the version the store has (0: none yet) and the newest this
// program knows. A server may run only if they are equal.
func (s *Store) SchemaVersion(ctx context.Context) (current, newest int64, err error) {
	all, err := fs.Sub(migrations, path.Join("migrations", s.Engine()))
	if err != nil {
		return 0, 0, fmt.Errorf("read the migrations: %w", err)
	}
	provider, err := s.provider(all)
	if err != nil {
		return 0, 0, err
	}
	current, err = s.version(ctx)
	return current, newestVersion(provider), err
}

// version writes nothing, so that it works on a store that is read-only.
func (s *Store) version(ctx context.Context) (int64, error) {
	if s.closed.Load() {
		return 0, errClosed
	}
	there, err := s.engine.hasTable(ctx, versionTable)
	if err != nil || !there {
		return 0, s.fail("read the schema's version", err)
	}
	var version sql.NullInt64
	err = s.reader.QueryRowContext(ctx, "SELECT max(version_id) FROM "+versionTable).Scan(&version)
	return version.Int64, s.fail("read the schema's version", err)
}

func (s *Store) provider(all fs.FS) (*goose.Provider, error) {
	dialect := goose.DialectPostgres
	if s.Engine() == "sqlite" {
		dialect = goose.DialectSQLite3
	}
	provider, err := goose.NewProvider(dialect, s.writer, all,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}

func newestVersion(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}
