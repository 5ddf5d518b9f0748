package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// DecisionsChain names the chain of recorded decisions for [Store.VerifyChain].
// "#" keeps it apart from organisations' ids.
const DecisionsChain = "#decisions"

// ChainError says where an audit chain is broken.
type ChainError struct {
	// Chain is an organisation's id, "" for the global chain, or DecisionsChain.
	Chain string
	// Seq is the first entry that does not fit.
	Seq int64
	// Problem says what is wrong with it.
	Problem string
}

// Error implements error.
func (e *ChainError) Error() string {
	return fmt.Sprintf("audit chain %q is broken at entry %d: %s", e.Chain, e.Seq, e.Problem)
}

// Chains lists every chain of the audit log, DecisionsChain among them once
// there are decisions.
func (s *Store) Chains(ctx context.Context) ([]string, error) {
	chains, err := s.q.ListAuditChains(ctx)
	if err != nil {
		return nil, s.fail("list audit chains", err)
	}
	decisions, err := s.q.ListDecisionsBySeq(ctx, 0, 1)
	if err != nil {
		return nil, s.fail("list audit chains", err)
	}
	if len(decisions) > 0 && !slices.Contains(chains, DecisionsChain) {
		chains = append(chains, DecisionsChain)
	}
	return chains, nil
}

// CheckpointKey signs checkpoints and knows its own signatures again.
type CheckpointKey interface {
	// Sign signs a message and names the key it signed with.
	Sign(message []byte) (keyID string, signature []byte)
	// Verify says whether a signature is that key's, over the message.
	Verify(keyID string, message, signature []byte) bool
}

// Verification says what a chain is verified against besides itself.
type Verification struct {
	// Key checks the signatures of checkpoints; nil: they are not checked.
	Key CheckpointKey
	// Outside are checkpoints that were kept outside the store, of any chain.
	Outside []keystile.Checkpoint
}

// ChainReport is what was found of a chain that is whole.
type ChainReport struct {
	Chain string
	// Removed is the last entry that retention took away; 0: none.
	Removed int64
	// Last is the newest entry; 0: there is none.
	Last int64
	// Sealed is the newest entry that a checkpoint vouches for, and SealedAt when
	// it was made; 0: none.
	Sealed   int64
	SealedAt time.Time
}

// VerifyChain is Verify against nothing but the chain itself.
func (s *Store) VerifyChain(ctx context.Context, id string) error {
	_, err := s.Verify(ctx, id, Verification{})
	return err
}

// Verify reads a chain from its first entry, or from the checkpoint that stands
// for what retention removed, and answers a *[ChainError] if an entry was changed,
// removed, inserted or moved, if the end is not where the chain's head says, or if
// a checkpoint says otherwise. Whoever can write to the store can still rewrite
// what no checkpoint vouches for yet; entries cut off together with their
// checkpoints show only against checkpoints kept outside.
func (s *Store) Verify(ctx context.Context, id string, with Verification) (ChainReport, error) {
	for {
		v := verifier{store: s, chain: id, Verification: with}
		report, err := v.whole(ctx)
		broken := (*ChainError)(nil)
		if !errors.As(err, &broken) {
			return report, s.fail("verify the audit chain", err)
		}
		// Retention may have taken entries away meanwhile; the next try begins after them.
		again := verifier{store: s, chain: id, Verification: with}
		if again.load(ctx) != nil || again.base.Seq <= v.base.Seq {
			return report, err
		}
	}
}

// verifier walks one chain.
type verifier struct {
	Verification

	store *Store
	chain string
	seq   int64
	hash  [32]byte
	base  keystile.Checkpoint
	// marks are the checkpoints to meet, by entry.
	marks  map[int64][]mark
	sealed keystile.Checkpoint
}

// mark is a checkpoint and where it was kept.
type mark struct {
	keystile.Checkpoint
	outside bool
}

func (m *mark) String() string {
	where := ""
	if m.outside {
		where = " kept outside the store"
	}
	return fmt.Sprintf("the checkpoint of %s%s", m.At.UTC().Format(time.RFC3339), where)
}

func (v *verifier) broken(seq int64, format string, args ...any) error {
	return &ChainError{Chain: v.chain, Seq: seq, Problem: fmt.Sprintf(format, args...)}
}

// load reads the checkpoints and begins where retention has left the chain.
func (v *verifier) load(ctx context.Context) error {
	rows, err := v.store.q.ListCheckpoints(ctx, v.chain)
	if err != nil {
		return err
	}
	var all []mark
	for i := range rows {
		all = append(all, mark{checkpointOf(&rows[i]), false})
	}
	for _, c := range v.Outside {
		if c.Chain == v.chain {
			all = append(all, mark{c, true})
		}
	}
	v.marks = map[int64][]mark{}
	for i := range all {
		m := &all[i]
		if v.Key != nil && !v.Key.Verify(m.KeyID, m.Message(), m.Signature) {
			return v.broken(m.Seq, "%s has a signature that is not this store's", m)
		}
		if m.Kind == keystile.CheckpointBase && !m.outside && m.Seq > v.base.Seq {
			v.base = m.Checkpoint
		}
		v.marks[m.Seq] = append(v.marks[m.Seq], *m)
	}
	v.seq, v.hash = v.base.Seq, v.base.Hash
	return v.meet()
}

// meet compares the entry just reached with the checkpoints of it.
func (v *verifier) meet() error {
	for i := range v.marks[v.seq] {
		m := &v.marks[v.seq][i]
		if m.Hash != v.hash {
			return v.broken(v.seq, "%s vouches for another entry: this one, or one before it, was rewritten", m)
		}
		v.sealed = m.Checkpoint
	}
	return nil
}

func (v *verifier) whole(ctx context.Context) (ChainReport, error) {
	if err := v.load(ctx); err != nil {
		return ChainReport{}, err
	}
	for last := int64(-1); ; last = v.seq {
		if err := v.walk(ctx, 0); err != nil {
			return ChainReport{}, err
		}
		// The head is read after the entries, so an honest one is never behind
		// them. If it is ahead, entries came meanwhile, or were cut off.
		head, err := v.store.q.GetAuditHead(ctx, v.chain)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return ChainReport{}, err
		}
		if err == nil && head.Seq > v.seq && v.seq > last {
			continue
		}
		report := ChainReport{Chain: v.chain, Removed: v.base.Seq, Last: v.seq, Sealed: v.sealed.Seq, SealedAt: v.sealed.At}
		return report, v.atEnd(head, err != nil)
	}
}

func (v *verifier) atEnd(head gen.AuditHead, missing bool) error {
	for seq, marks := range v.marks {
		if seq > v.seq {
			return v.broken(v.seq+1, "entries were removed from the end: %s vouches for entry %d", &marks[0], seq)
		}
	}
	switch {
	case missing && v.seq > 0:
		return v.broken(v.seq+1, "the chain's head was removed")
	case !missing && v.seq < head.Seq:
		return v.broken(v.seq+1, "%s removed from the end", entries(v.seq+1, head.Seq))
	case !missing && (v.seq > head.Seq || !bytes.Equal(head.Hash, v.hash[:])):
		return v.broken(v.seq+1, "the chain's head does not fit its last entry")
	}
	return nil
}

// verifyPage is how many entries are held at a time.
const verifyPage = 1000

// walk goes on to the last entry there is, or to the entry until.
func (v *verifier) walk(ctx context.Context, until int64) error {
	page := v.events
	if v.chain == DecisionsChain {
		page = v.decisions
	}
	for until == 0 || v.seq < until {
		limit := verifyPage
		if until > 0 {
			limit = int(min(verifyPage, until-v.seq))
		}
		n, err := page(ctx, limit)
		if n == 0 || err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) events(ctx context.Context, limit int) (int, error) {
	rows, err := v.store.q.ListAuditEvents(ctx, v.chain, v.seq, rowLimit(limit))
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		e := eventOf(row)
		if err := v.step(e.Seq, e.PrevHash, e.Hash, eventHash(&e)); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

func (v *verifier) decisions(ctx context.Context, limit int) (int, error) {
	rows, err := v.store.q.ListDecisionsBySeq(ctx, v.seq, rowLimit(limit))
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		d := decisionOf(row)
		var prev, sum [32]byte
		copy(prev[:], row.PrevHash)
		copy(sum[:], row.Hash)
		if err := v.step(row.Seq, prev, sum, decisionHash(row.Seq, prev, &d)); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

func (v *verifier) step(seq int64, prev, got, want [32]byte) error {
	if problem := cmp.Or(gap(v.seq, seq), mismatch(prev != v.hash, "it does not follow the entry before it"),
		mismatch(got != want, "it was changed: its contents do not fit its hash")); problem != "" {
		return v.broken(v.seq+1, "%s", problem)
	}
	v.seq, v.hash = seq, got
	return v.meet()
}

func gap(last, seq int64) string {
	return mismatch(seq != last+1, entries(last+1, seq-1)+" removed")
}

// entries is "entry 5 was" or "entries 5 to 7 were".
func entries(first, last int64) string {
	if first == last {
		return fmt.Sprintf("entry %d was", first)
	}
	return fmt.Sprintf("entries %d to %d were", first, last)
}

func mismatch(is bool, problem string) string {
	if is {
		return problem
	}
	return ""
}
