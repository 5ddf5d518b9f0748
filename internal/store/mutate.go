package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Actor is who acts, for the audit log.
type Actor struct {
	// Name is "cli", "system" or "admin:ID".
	Name string
	// RequestID ties the events to a request; empty if there was none.
	RequestID string
}

// Tx is one transaction of [Store.Mutate]. It belongs to the goroutine that was
// given it and is of no use after fn has returned.
type Tx struct {
	reads

	store *Store
	tx    *sql.Tx
	// prepared runs texts on tx that come again in other transactions.
	prepared *preparedTx
	actor    Actor
	// now is the one instant of the transaction.
	now    time.Time
	chains map[string]*chain
	// order lists chains as they were locked.
	order []*chain
	// known are the chains that this transaction is known to need.
	known   map[string]bool
	changes []keystile.Change
	told    map[keystile.Change]bool
	// owners and siteOwners remember what was found under a lock, so that a large
	// apply does not read the same organisation for each of its keys; roles remembers
	// what was found at all.
	owners     map[string]bool
	siteOwners map[string]string
	roles      map[string]bool
	// broken is the first failure of the engine, after which nothing may be committed.
	broken error
}

// Mutate runs fn in one transaction and commits it, with the audit events and
// changes of everything fn did, if fn returns nil. Otherwise nothing has
// happened, and Mutate returns fn's error. A commit whose answer was lost (the
// connection broke) is [keystile.ErrUnavailable], and only reading tells
// whether it happened.
//
// fn may be run more than once, when the engine asks for it: it must set what
// it returns anew each time and have no other effects.
func (s *Store) Mutate(ctx context.Context, a Actor, fn func(context.Context, *Tx) error) error {
	if err := s.writable(); err != nil {
		return err
	}
	a.Name, a.RequestID = clean(a.Name), clean(a.RequestID)
	var changes []keystile.Change
	known := map[string]bool{}
	fn, committed := with(ctx, fn)
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		t := newTx(s, s.prepared(tx), a, known)
		if err := t.run(ctx, fn); err != nil {
			return err
		}
		changes = t.changes
		return nil
	})
	if err != nil {
		return s.fail("change the store", err)
	}
	committed()
	s.announce(changes)
	return nil
}

// newTx makes the Tx of one attempt. known holds the chains that earlier
// attempts locked, and is added to.
func newTx(s *Store, tx *preparedTx, a Actor, known map[string]bool) *Tx {
	t := &Tx{
		store: s, tx: tx.Tx, prepared: tx, actor: a, now: stored(s.now()), known: known,
		chains: map[string]*chain{}, told: map[keystile.Change]bool{},
		owners: map[string]bool{}, siteOwners: map[string]string{}, roles: map[string]bool{},
	}
	t.q, t.searches = gen.New(tx), tx.Tx
	t.fail = t.note
	return t
}

// note gives an error its meaning and remembers a failure: PostgreSQL would
// refuse the rest of the transaction, and SQLite may have rolled it back.
func (t *Tx) note(op string, err error) error {
	if err == nil || isAnswer(err) || errors.Is(err, sql.ErrNoRows) {
		return t.store.explain(op, err)
	}
	if t.broken == nil {
		t.broken = t.store.explain(op, err)
	}
	return t.broken
}

func (t *Tx) run(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := t.store.refuseDuringImport(ctx, t.reads); err != nil {
		return err
	}
	if err := t.lockKnown(ctx); err != nil {
		return err
	}
	err := fn(ctx, t)
	if t.broken != nil {
		return t.broken
	}
	if err != nil {
		return err
	}
	if err := t.writeEvents(ctx); err != nil {
		return err
	}
	return t.writeChanges(ctx)
}

const (
	// attempts is how often a transaction is tried that others got in the way of.
	attempts = 20
	// firstPause and longestPause bound the random wait before the next attempt.
	firstPause   = 2 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// inTx runs fn in a transaction, again if the engine rolled it back because of
// others. Errors come back as the engine made them.
func (s *Store) inTx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	return s.inTxOn(ctx, s.writer, fn)
}

func (s *Store) inTxOn(ctx context.Context, db *sql.DB, fn func(context.Context, *sql.Tx) error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, db, fn)
		if err == nil || isAnswer(err) || attempt == attempts {
			return err
		}
		if errors.Is(err, errLockOrder) {
			continue
		}
		if kind, _ := s.engine.classify(err); kind != failureRetry {
			return err
		}
		timer := time.NewTimer(rand.N(pause)) //nolint:gosec // jitter needs no secrecy
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
		pause = min(2*pause, longestPause)
	}
}

func (s *Store) once(ctx context.Context, db *sql.DB, fn func(context.Context, *sql.Tx) error) (err error) {
	if db == s.writer {
		s.kept.ready(ctx)
	}
	tx, err := db.BeginTx(ctx, s.txOptions)
	if err != nil {
		return err
	}
	committed := false
	// Deferred, so that a panic in fn leaves no transaction open behind it.
	defer func() {
		if committed {
			return
		}
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) && err != nil && !isAnswer(err) {
			err = fmt.Errorf("%w (and rolling back: %s)", err, undo.Error())
		}
	}()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	committed = true
	return nil
}

// stamp fills in the times of a new thing.
func (t *Tx) stamp(created, updated *time.Time) {
	if created.IsZero() {
		*created = t.now
	}
	if updated.IsZero() {
		*updated = *created
	}
}

// dangling turns "not found" into the refusal of a reference.
func dangling(err error, field, noun, id string) error {
	if errors.Is(err, keystile.ErrNotFound) {
		return noSuch(field, noun, id)
	}
	return err
}

func noSuch(field, noun, id string) error {
	return keystile.Invalidf(field, "create it first, or name one that exists", "there is no %s %q here", noun, clip(id))
}

// Announce adds a change to the feed that no other method implies, such as
// ChangeReload. It reaches every server that uses the store.
func (t *Tx) Announce(kind keystile.ChangeKind, id string) {
	t.tell(keystile.Change{Revision: durable, Kind: kind, ID: id})
}

// durable marks a change that will be given a revision at the end of the transaction.
const durable = -1

// announceHere tells listeners of this Store only: new things are in no cache
// but the short one of unknown credentials.
func (t *Tx) announceHere(kind keystile.ChangeKind, id string) {
	t.tell(keystile.Change{Kind: kind, ID: id})
}

func (t *Tx) tell(c keystile.Change) {
	if !t.told[c] {
		t.told[c] = true
		t.changes = append(t.changes, c)
	}
}
