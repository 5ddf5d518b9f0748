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

// maxKept bounds the statements that are kept prepared for the writer.
const maxKept = 512

// keptStatements are the statements of the one connection that writes to SQLite,
// each prepared once: parsing one costs more than running it. Preparing needs the
// connection, so a text that a transaction runs is prepared before the next one
// begins. PostgreSQL's driver keeps its own: there this is nil.
type keptStatements struct {
	db     *sql.DB
	mu     sync.RWMutex
	stmts  map[string]*sql.Stmt
	wanted []string
}

// ready prepares what earlier transactions ran. A text that cannot be prepared
// (of a table that is no more) stays as it is: who runs it meets the error.
func (k *keptStatements) ready(ctx context.Context) {
	if k == nil {
		return
	}
	k.mu.RLock()
	none := len(k.wanted) == 0
	k.mu.RUnlock()
	if none {
		return
	}
	k.mu.Lock()
	wanted := k.wanted
	k.wanted = nil
	k.mu.Unlock()
	for _, text := range wanted {
		stmt, err := k.db.PrepareContext(ctx, text) //nolint:sqlclosecheck // it lives as long as the connection
		k.mu.Lock()
		if err != nil {
			delete(k.stmts, text)
		} else {
			k.stmts[text] = stmt
		}
		k.mu.Unlock()
	}
}

// find returns a text's statement; nil if it is not prepared, and then it is by
// the next transaction.
func (k *keptStatements) find(text string) *sql.Stmt {
	if k == nil {
		return nil
	}
	k.mu.RLock()
	stmt, known := k.stmts[text]
	full := len(k.stmts) >= maxKept
	k.mu.RUnlock()
	if known || full {
		return stmt
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.stmts[text]; !known {
		k.stmts[text] = nil
		k.wanted = append(k.wanted, text)
	}
	return nil
}

// preparedTx runs the statements of one transaction. It prepares those that come
// a second time, as an apply of 100 000 things runs a dozen texts, where they are
// not kept prepared anyway. Texts must be few: they are constants, or made for one
// of a few numbers of rows. PostgreSQL's driver keeps every text prepared for its
// connection: preparing it once more would ask the server twice.
type preparedTx struct {
	*sql.Tx
	plain bool
	kept  *keptStatements
	// stmts holds nil for a text that has been run once. They are closed with the transaction.
	stmts map[string]statement
}

func (s *Store) prepared(tx *sql.Tx) *preparedTx { return s.preparedOn(s.writer, tx) }

// preparedOn is the same for a transaction of another pool, which keeps no statements.
func (s *Store) preparedOn(db *sql.DB, tx *sql.Tx) *preparedTx {
	p := &preparedTx{Tx: tx, plain: s.Engine() == "postgres", stmts: map[string]statement{}}
	if db == s.writer {
		p.kept = s.kept
	}
	return p
}

func (p *preparedTx) prepare(ctx context.Context, text string) (statement, error) {
	if p.plain {
		return nil, nil
	}
	s, again := p.stmts[text]
	if s != nil {
		return s, nil
	}
	if !again {
		if kept := p.kept.find(text); kept != nil {
			s = p.StmtContext(ctx, kept)
		}
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
