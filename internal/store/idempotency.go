package store

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// IdempotentRequest is a request that must have its effect once, however often it
// is sent.
type IdempotentRequest struct {
	// ID is a digest of who asked and the key they gave.
	ID [32]byte
	// Request is a digest of what was asked.
	Request [32]byte
	// Answer is sealed; empty: the effect is there, and its answer is not yet, or was lost.
	Answer []byte
	// Bare is the answer without secrets, sealed.
	Bare []byte
	// CreatedAt is when the effect came to be.
	CreatedAt time.Time
}

// alongside is what a context asks of the next transaction.
type alongside struct {
	fn   func(context.Context, *Tx) error
	done atomic.Bool
}

type alongsideKey struct{}

// Alongside makes the first [Store.Mutate] that succeeds under the context do fn
// too, last, in its transaction: what fn writes is there if and only if the change
// is. If fn fails so does the change. Other rules are those of Mutate's fn.
func Alongside(ctx context.Context, fn func(context.Context, *Tx) error) context.Context {
	return context.WithValue(ctx, alongsideKey{}, &alongside{fn: fn})
}

// with is fn and what the context asks for besides; committed is to be called once
// both are in.
func with(ctx context.Context, fn func(context.Context, *Tx) error) (both func(context.Context, *Tx) error, committed func()) {
	more, ok := ctx.Value(alongsideKey{}).(*alongside)
	if !ok || more.done.Load() {
		return fn, func() {}
	}
	both = func(ctx context.Context, tx *Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return more.fn(ctx, tx)
	}
	return both, func() { more.done.Store(true) }
}

// BeginIdempotentRequest notes that a request has its effect. A second request
// with the id is [keystile.ErrConflict].
func (t *Tx) BeginIdempotentRequest(ctx context.Context, id, request [32]byte) error {
	n, err := t.q.InsertIdempotentRequest(ctx, id[:], request[:], []byte{}, micros(t.now))
	if err != nil {
		return t.fail("note an idempotent request", err)
	}
	if n == 0 {
		return conflict("a request with the same Idempotency-Key was faster")
	}
	return nil
}

// AnswerIdempotentRequest keeps the answer to a request that had its effect. It
// writes no audit event and no change.
func (s *Store) AnswerIdempotentRequest(ctx context.Context, id [32]byte, answer, bare []byte) error {
	if err := s.writable(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return gen.New(tx).AnswerIdempotentRequest(ctx, id[:], answer, bare)
	})
	return s.fail("keep the answer to an idempotent request", err)
}

// IdempotentRequest reads a request by its id; [keystile.ErrNotFound]: it had no effect.
func (s *Store) IdempotentRequest(ctx context.Context, id [32]byte) (IdempotentRequest, error) {
	const op = "read an idempotent request"
	row, err := s.q.GetIdempotentRequest(ctx, id[:])
	if errors.Is(err, sql.ErrNoRows) {
		return IdempotentRequest{}, errNoRequest
	}
	if err != nil {
		return IdempotentRequest{}, s.fail(op, err)
	}
	request, err := digestOf(row.Request)
	if err != nil {
		return IdempotentRequest{}, s.fail(op, err)
	}
	return IdempotentRequest{ID: id, Request: request, Answer: row.Answer, Bare: row.Bare, CreatedAt: timeOf(row.CreatedAt)}, nil
}

var errNoRequest = errors.Join(errors.New("no such request"), keystile.ErrNotFound)

// PurgeIdempotentRequests forgets the secrets of requests before one time, and all
// of those before another.
func (s *Store) PurgeIdempotentRequests(ctx context.Context, secretsBefore, before time.Time) error {
	if err := s.writable(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(tx)
		if err := q.ForgetIdempotentAnswers(ctx, micros(secretsBefore)); err != nil {
			return err
		}
		_, err := q.PurgeIdempotentRequests(ctx, micros(before))
		return err
	})
	return s.fail("purge idempotent requests", err)
}
