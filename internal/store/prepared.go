package store

import (
	"context"
	"database/sql"
	"sync"
)

// statement is a prepared one. Whoever runs it does not close it: it lives as
// long as the connections or the transaction it was prepared for.
type statement interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, args ...any) *sql.Row
}

// preparedReads runs queries as prepared statements, each prepared at its first
// use: on SQLite parsing costs more than a look-up. The texts are constants, so
// there are as many statements as queries. Statements live as long as db.
type preparedReads struct {
	db    *sql.DB
	mu    sync.RWMutex
	stmts map[string]statement
}

func (p *preparedReads) prepare(ctx context.Context, text string) (statement, error) {
	p.mu.RLock()
	s := p.stmts[text]
	p.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.stmts[text]; s != nil {
		return s, nil
	}
	prepared, err := p.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	p.stmts[text] = prepared
	return prepared, nil
}

// ExecContext implements gen.DBTX.
func (p *preparedReads) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	return p.db.ExecContext(ctx, text, args...)
}

// PrepareContext implements gen.DBTX.
func (p *preparedReads) PrepareContext(ctx context.Context, text string) (*sql.Stmt, error) {
	return p.db.PrepareContext(ctx, text)
}

// QueryContext implements gen.DBTX.
func (p *preparedReads) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := p.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext implements gen.DBTX.
func (p *preparedReads) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	s, err := p.prepare(ctx, text)
	if err != nil {
		// An sql.Row cannot be made from an error; this meets the same one and carries it.
		return p.db.QueryRowContext(ctx, text, args...)
	}
	return s.QueryRowContext(ctx, args...)
}

// preparedTx runs the statements of one transaction and prepares those that
// come a second time: an apply of 100 000 things runs a dozen texts.
type preparedTx struct {
	*sql.Tx
	// stmts holds nil for a text that has been run once. They are closed with the transaction.
	stmts map[string]statement
}

func (p *preparedTx) prepare(ctx context.Context, text string) (statement, error) {
	s, again := p.stmts[text]
	if s != nil || !again {
		p.stmts[text] = s
		return s, nil
	}
	prepared, err := p.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	p.stmts[text] = prepared
	return prepared, nil
}

// ExecContext implements gen.DBTX.
func (p *preparedTx) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := p.prepare(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return p.Tx.ExecContext(ctx, text, args...)
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements gen.DBTX.
func (p *preparedTx) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := p.prepare(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return p.Tx.QueryContext(ctx, text, args...)
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext implements gen.DBTX.
func (p *preparedTx) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	s, err := p.prepare(ctx, text)
	if err != nil || s == nil {
		return p.Tx.QueryRowContext(ctx, text, args...)
	}
	return s.QueryRowContext(ctx, args...)
}
