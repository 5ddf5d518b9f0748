package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	keystile "keystile.dev/keystile"
)

// failure is what an engine's error means to a caller.
type failure int

const (
	// failureOther: nothing more is known.
	failureOther failure = iota
	// failureRetry: the engine rolled the transaction back and asks to run it again.
	failureRetry
	// failureConflict: a unique index or a reference refused the row.
	failureConflict
	// failureUnavailable: the store is away; the text says why and what to do.
	failureUnavailable
)

// engine is what SQLite and PostgreSQL do differently.
type engine interface {
	// name is "sqlite" or "postgres".
	name() string
	// classify says what a driver's error means, in words for an operator.
	classify(err error) (failure, string)
	// hasTable says whether a table exists.
	hasTable(ctx context.Context, table string) (bool, error)
	// lease takes the server lease, or answers ErrConflict naming the holder.
	lease(ctx context.Context, r LeaseRequest) (*Lease, error)
	// lockSchema keeps other processes from migrating until unlock.
	lockSchema(ctx context.Context) (unlock func(context.Context) error, err error)
}

var (
	errClosed   = fmt.Errorf("the store is closed: %w", keystile.ErrUnavailable)
	errReadOnly = fmt.Errorf("the store was opened read-only: %w", keystile.ErrUnavailable)
)

// explain names the operation that failed and says what the failure means. Answers
// (not found, conflict, invalid) stay what they are.
func (s *Store) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	if isAnswer(err) || errors.Is(err, keystile.ErrUnavailable) {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", op, keystile.ErrNotFound)
	}
	if s.closed.Load() {
		return fmt.Errorf("%s: %w", op, errClosed)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: the store did not answer in time: %w: %w", op, keystile.ErrUnavailable, err)
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	switch kind, text := s.engine.classify(err); kind {
	case failureConflict:
		return fmt.Errorf("%s: %w: %w", op, keystile.ErrConflict, err)
	case failureUnavailable:
		return fmt.Errorf("%s: %s: %w: %w", op, text, keystile.ErrUnavailable, err)
	case failureRetry:
		return fmt.Errorf("%s: other transactions kept getting in the way; try again: %w: %w", op, keystile.ErrUnavailable, err)
	case failureOther:
	}
	return fmt.Errorf("%s: %w", op, err)
}

// isAnswer says whether err is a "no" of the store itself, after which the
// transaction is still whole.
func isAnswer(err error) bool {
	var invalid *keystile.Invalid
	return errors.Is(err, keystile.ErrNotFound) || errors.Is(err, keystile.ErrConflict) || errors.As(err, &invalid)
}

// notFound is the error for a thing that is not there.
func notFound(noun, id string) error {
	return fmt.Errorf("%s %q: %w", noun, clip(id), keystile.ErrNotFound)
}

// conflict is the error for a change that contradicts what is there.
func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: %s", keystile.ErrConflict, fmt.Sprintf(format, args...))
}
