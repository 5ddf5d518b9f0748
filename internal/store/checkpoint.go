package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

func checkpointOf(row *gen.AuditCheckpoint) keystile.Checkpoint {
	c := keystile.Checkpoint{
		Chain: row.Chain, Kind: keystile.CheckpointKind(row.Kind), Seq: row.Seq, At: timeOf(row.At), KeyID: row.KeyID, Signature: row.Signature,
	}
	copy(c.Hash[:], row.Hash) // of the wrong length it stays zero, and fits nothing
	return c
}

// signed completes a checkpoint.
func (s *Store) signed(c keystile.Checkpoint, key CheckpointKey) keystile.Checkpoint {
	c.At = stored(s.now())
	c.KeyID, c.Signature = key.Sign(c.Message())
	return c
}

func insertCheckpoint(ctx context.Context, q *gen.Queries, c keystile.Checkpoint) (inserted bool, err error) {
	n, err := q.InsertCheckpoint(ctx, gen.InsertCheckpointParams{
		Chain: c.Chain, Kind: string(c.Kind), Seq: c.Seq, Hash: c.Hash[:], At: micros(c.At), KeyID: c.KeyID, Signature: c.Signature,
	})
	return n > 0, err
}

// Checkpoints lists the checkpoints of a chain by the entry they vouch for.
func (s *Store) Checkpoints(ctx context.Context, chain string) ([]keystile.Checkpoint, error) {
	rows, err := s.q.ListCheckpoints(ctx, chain)
	if err != nil {
		return nil, s.fail("list checkpoints", err)
	}
	all := make([]keystile.Checkpoint, len(rows))
	for i := range rows {
		all[i] = checkpointOf(&rows[i])
	}
	return all, nil
}

// Seal signs a checkpoint for each chain that has grown since its last one, and
// answers those that it made. What a checkpoint is to vouch for is verified
// first: a chain that is broken is not sealed, and its *[ChainError] is among
// the errors.
func (s *Store) Seal(ctx context.Context, key CheckpointKey) (made []keystile.Checkpoint, err error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	heads, err := s.q.ListUnsealedHeads(ctx)
	if err != nil {
		return nil, s.fail("seal the audit log", err)
	}
	var errs []error
	for _, head := range heads {
		c, err := s.sealChain(ctx, head, key)
		if err == nil && c != nil {
			made = append(made, *c)
		}
		errs = append(errs, err)
	}
	return made, errors.Join(errs...)
}

// sealChain returns nil where another server was first.
func (s *Store) sealChain(ctx context.Context, head gen.AuditHead, key CheckpointKey) (*keystile.Checkpoint, error) {
	fail := func(err error) (*keystile.Checkpoint, error) { return nil, s.chainFailure("seal the audit log", err) }
	v := verifier{store: s, chain: head.Chain, Verification: Verification{Key: key}}
	if err := v.resume(ctx); err != nil {
		return fail(err)
	}
	if err := v.walk(ctx, head.Seq); err != nil {
		return fail(err)
	}
	if v.seq != head.Seq || !bytes.Equal(head.Hash, v.hash[:]) {
		return fail(v.atEnd(head, false))
	}
	c := s.signed(keystile.Checkpoint{Chain: head.Chain, Kind: keystile.CheckpointSeal, Seq: v.seq, Hash: v.hash}, key)
	inserted := false
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		inserted, err = insertCheckpoint(ctx, gen.New(tx), c)
		return err
	})
	if err != nil || !inserted {
		return fail(err)
	}
	return &c, nil
}

// resume begins at the chain's newest checkpoint.
func (v *verifier) resume(ctx context.Context) error {
	for _, kind := range []keystile.CheckpointKind{keystile.CheckpointBase, keystile.CheckpointSeal} {
		row, err := v.store.q.LastCheckpoint(ctx, v.chain, string(kind))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		c := mark{checkpointOf(&row), false}
		if !v.Key.Verify(c.KeyID, c.Message(), c.Signature) {
			return v.broken(c.Seq, "%s has a signature that is not this store's", &c)
		}
		if c.Seq >= v.seq {
			v.seq, v.hash = c.Seq, c.Hash
		}
	}
	return nil
}

// chainFailure leaves a *ChainError as it is.
func (s *Store) chainFailure(op string, err error) error {
	if broken := (*ChainError)(nil); errors.As(err, &broken) {
		return err
	}
	return s.fail(op, err)
}

// pruneBatch is how many entries one transaction of retention removes.
const pruneBatch = 1000

// Prune removes the entries of a chain that were sealed at or before an instant,
// and says how many. A signed base checkpoint stands for them, so that the rest
// verifies; what is removed is verified first, and a chain that is broken keeps
// everything. It records that it did. made is nil where there was nothing to do.
func (s *Store) Prune(ctx context.Context, chain string, before time.Time, key CheckpointKey) (removed int64, made *keystile.Checkpoint, err error) {
	const op = "prune the audit log"
	if err := s.writable(); err != nil {
		return 0, nil, err
	}
	v := verifier{store: s, chain: chain, Verification: Verification{Key: key}}
	if err := v.load(ctx); err != nil {
		return 0, nil, s.chainFailure(op, err)
	}
	row, err := s.q.LastSealBefore(ctx, chain, micros(before))
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && row.Seq <= v.base.Seq:
		removed, err := s.removeThrough(ctx, chain, v.base.Seq) // what an earlier run left
		return removed, nil, s.fail(op, err)
	case err != nil:
		return 0, nil, s.fail(op, err)
	}
	if err := v.walk(ctx, row.Seq); err != nil {
		return 0, nil, s.chainFailure(op, err)
	}
	if v.seq != row.Seq {
		return 0, nil, v.broken(v.seq+1, "%s removed", entries(v.seq+1, row.Seq))
	}
	base := s.signed(keystile.Checkpoint{Chain: chain, Kind: keystile.CheckpointBase, Seq: v.seq, Hash: v.hash}, key)
	if err := s.recordBase(ctx, base, v.base.Seq); err != nil {
		return 0, nil, err
	}
	removed, err = s.removeThrough(ctx, chain, base.Seq)
	return removed, &base, s.fail(op, err)
}

// recordBase keeps a base checkpoint, with the event that says so.
func (s *Store) recordBase(ctx context.Context, base keystile.Checkpoint, from int64) error {
	return s.Mutate(ctx, Actor{Name: "system"}, func(ctx context.Context, t *Tx) error {
		if _, err := insertCheckpoint(ctx, t.q, base); err != nil {
			return t.fail("prune the audit log", err)
		}
		recorded := base.Chain
		if recorded == DecisionsChain {
			recorded = ""
		}
		return t.Record(ctx, recorded, "audit.prune", "audit:"+base.Chain, map[string]any{"from": from + 1, "through": base.Seq})
	})
}

// removeThrough deletes entries and the checkpoints before the base, a batch a transaction.
func (s *Store) removeThrough(ctx context.Context, chain string, through int64) (removed int64, err error) {
	if through == 0 {
		return 0, nil
	}
	for {
		first, err := s.firstEntry(ctx, chain)
		if err != nil || first == 0 || first > through {
			if err == nil {
				err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					return gen.New(tx).DeleteCheckpointsBefore(ctx, chain, through)
				})
			}
			return removed, err
		}
		batch := min(through, first+pruneBatch-1)
		err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			n, err := deleteEntries(ctx, gen.New(tx), chain, batch)
			removed += n
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("remove entries through %d: %w", batch, err)
		}
	}
}

// firstEntry is the oldest entry of a chain; 0: there is none.
func (s *Store) firstEntry(ctx context.Context, chain string) (int64, error) {
	if chain == DecisionsChain {
		rows, err := s.q.ListDecisionsBySeq(ctx, 0, 1)
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		return rows[0].Seq, nil
	}
	rows, err := s.q.ListAuditEvents(ctx, chain, 0, 1)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].Seq, nil
}

func deleteEntries(ctx context.Context, q *gen.Queries, chain string, through int64) (int64, error) {
	if chain == DecisionsChain {
		return q.DeleteDecisionsThrough(ctx, through)
	}
	return q.DeleteAuditEventsThrough(ctx, chain, through)
}
