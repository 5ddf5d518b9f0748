package store

import (
	"context"
	"database/sql"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// feedChannel is where PostgreSQL notifies of new changes.
const feedChannel = "keystile_changes"

// writeChanges gives the transaction's durable changes the next revisions. It
// comes last: the feed's row stays locked until the commit, so a reader that has
// seen a revision has seen every smaller one.
func (t *Tx) writeChanges(ctx context.Context) error {
	n := int64(0)
	for _, c := range t.changes {
		if c.Revision == durable {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	last, err := t.q.AdvanceFeed(ctx, n)
	if err != nil {
		return t.fail("advance the feed", err)
	}
	rows := make([][]any, 0, n)
	for i := range t.changes {
		c := &t.changes[i]
		if c.Revision != durable {
			continue
		}
		c.Revision = last - n + int64(len(rows)) + 1
		rows = append(rows, []any{c.Revision, string(c.Kind), c.ID, micros(t.now)})
	}
	if _, err := t.store.insertRows(ctx, t.tx, "changes (revision, kind, id, at)", rows, ""); err != nil {
		return t.fail("write changes", err)
	}
	return t.fail("notify of changes", t.store.notify(ctx, t.tx))
}

// notify wakes other servers, which otherwise find out by asking. Only durable
// changes notify: PostgreSQL lets transactions that do commit one at a time.
func (s *Store) notify(ctx context.Context, tx *sql.Tx) error {
	if s.Engine() != "postgres" {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_notify($1, '')", feedChannel)
	return err
}

// Revision is the newest revision of the feed; 0 if nothing has changed yet.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	head, err := s.lookups.GetFeedHead(s.lookupContext(ctx))
	return head.Revision, s.fail("read the feed's revision", err)
}

// Changes lists changes after a revision, in order. complete is false if some
// of them have been purged, or if the store is older than the revision (it was
// restored): then everything that was cached is stale, and the next call starts
// from [Store.Revision].
func (s *Store) Changes(ctx context.Context, after int64, limit int) (changes []keystile.Change, complete bool, err error) {
	rows, err := s.q.ListChanges(ctx, after, rowLimit(limit))
	if err != nil {
		return nil, false, s.fail("list changes", err)
	}
	// Read after the changes: a purge in between makes the answer incomplete, not short.
	head, err := s.q.GetFeedHead(ctx)
	if err != nil {
		return nil, false, s.fail("read the feed's revision", err)
	}
	changes, err = mapRows(rows, changeOf, s.fail, "list changes")
	return changes, after >= head.Purged && after <= head.Revision, err
}

func changeOf(row gen.Change) (keystile.Change, error) {
	return keystile.Change{Revision: row.Revision, Kind: keystile.ChangeKind(row.Kind), ID: row.ID}, nil
}

// Tell writes a change to the feed as another process would: listeners of this
// Store hear of it as they hear of changes made elsewhere. It is no change of
// anything, and has no audit event.
func (s *Store) Tell(ctx context.Context, kind keystile.ChangeKind, id string) error {
	if err := s.writable(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		t := newTx(s, s.prepared(tx), Actor{}, map[string]bool{})
		t.Announce(kind, id)
		return t.writeChanges(ctx)
	})
	return s.fail("write to the feed", err)
}

// PurgeChanges deletes at most batch of the oldest changes that were made
// before olderThan and says how many.
func (s *Store) PurgeChanges(ctx context.Context, olderThan time.Time, batch int) (purged int64, err error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(tx)
		revisions, err := q.ListPurgeableChanges(ctx, micros(olderThan), rowLimit(batch))
		if err != nil || len(revisions) == 0 {
			return err
		}
		last := revisions[len(revisions)-1]
		if err := q.SetPurged(ctx, last); err != nil {
			return err
		}
		purged, err = q.DeleteChangesThrough(ctx, last)
		return err
	})
	return purged, s.fail("purge changes", err)
}
