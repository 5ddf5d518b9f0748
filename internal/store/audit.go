package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// chain is one hash chain of the audit log, locked by this transaction.
type chain struct {
	id      string
	seq     int64
	hash    [32]byte
	pending []keystile.Event
}

// lock takes a chain's row, and with it everything of that organisation, until
// the transaction ends. The empty id is the global chain. fresh says that the
// lock is new, so that what was read before may be stale.
func (t *Tx) lock(ctx context.Context, id string) (c *chain, fresh bool, err error) {
	if c := t.chains[id]; c != nil {
		return c, false, nil
	}
	t.known[id] = true
	if err := t.keepOrder(ctx, id); err != nil {
		return nil, false, t.fail("lock the audit chain", err)
	}
	if c, err = lockChain(ctx, t.q, id); err != nil {
		return nil, false, t.fail("lock the audit chain", err)
	}
	t.chains[id] = c
	t.order = append(t.order, c)
	return c, true, nil
}

// errLockOrder asks for another attempt, which locks what is known in order.
var errLockOrder = errors.New("a chain is locked by a transaction that may wait for this one")

// keepOrder keeps PostgreSQL from deadlocks, which it takes a second to find:
// chains are waited for in the order of their ids only. One that comes out of
// order and is held by another transaction ends the attempt; the next attempt
// locks all that are known by then, in order, before anything else.
func (t *Tx) keepOrder(ctx context.Context, id string) error {
	if t.store.Engine() != "postgres" || !slices.ContainsFunc(t.order, func(c *chain) bool { return c.id > id }) {
		return nil
	}
	var there, free int
	const look = "SELECT count(*), (SELECT count(*) FROM (SELECT 1 FROM audit_heads WHERE chain = $1 FOR UPDATE SKIP LOCKED) AS free) FROM audit_heads WHERE chain = $1"
	if err := t.tx.QueryRowContext(ctx, look, id).Scan(&there, &free); err != nil {
		return err
	}
	if there > free {
		return errLockOrder
	}
	return nil
}

// lockKnown locks the chains that earlier attempts came to need.
func (t *Tx) lockKnown(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(t.known)) {
		if _, _, err := t.lock(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func lockChain(ctx context.Context, q *gen.Queries, id string) (*chain, error) {
	head, err := q.LockAuditHead(ctx, id, make([]byte, sha256.Size))
	if err != nil {
		return nil, err
	}
	c := &chain{id: id, seq: head.Seq}
	c.hash, err = digestOf(head.Hash)
	return c, err
}

// locked reads a thing, locks the organisation it belongs to, and reads again
// if the lock is new.
func locked[T any](ctx context.Context, t *Tx, read func() (T, error), chainOf func(T) string) (T, error) {
	thing, err := read()
	if err != nil {
		return thing, err
	}
	_, fresh, err := t.lock(ctx, chainOf(thing))
	if err != nil || !fresh {
		return thing, err
	}
	return read()
}

// Record appends an audit event of its own, to the chain of an organisation or,
// with an empty orgID, to the global one. detail is written as a JSON object
// and must hold no credential material. action is "noun.verb", target "noun:id".
func (t *Tx) Record(ctx context.Context, orgID, action, target string, detail any) error {
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("write the detail of %s: %w", action, err)
	}
	c, _, err := t.lock(ctx, orgID)
	if err != nil {
		return err
	}
	e := keystile.Event{
		OrganizationID: orgID, At: t.now, Actor: t.actor.Name, Action: clean(action), Target: clean(target),
		Detail: clean(string(text)), RequestID: t.actor.RequestID,
	}
	c.pending = append(c.pending, e)
	return nil
}

const (
	eventRow    = "audit_events (organization_id, seq, at, actor, action, target, detail, request_id, prev_hash, hash)"
	headColumns = "audit_heads (chain, seq, hash)"
	headMerge   = "ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"
)

// writeEvents chains and inserts what Record noted, of all chains together. The
// heads are locked already.
func (t *Tx) writeEvents(ctx context.Context) error {
	var events, heads [][]any
	for _, c := range t.order {
		if len(c.pending) == 0 {
			continue
		}
		for i := range c.pending {
			e := &c.pending[i]
			c.seq++
			e.Seq, e.PrevHash = c.seq, c.hash
			e.Hash = eventHash(e)
			c.hash = e.Hash
			events = append(events, []any{e.OrganizationID, e.Seq, micros(e.At), e.Actor, e.Action, e.Target, e.Detail, e.RequestID, e.PrevHash[:], e.Hash[:]})
		}
		heads = append(heads, []any{c.id, c.seq, c.hash[:]})
		c.pending = nil
	}
	err := t.store.insertKept(ctx, t.prepared, eventRow, events, "")
	if err == nil {
		err = t.store.insertKept(ctx, t.prepared, headColumns, heads, headMerge)
	}
	return t.fail("write audit events", err)
}

// lockAll locks chains that are in the order of their ids, many with one statement.
// Chains that are locked already keep to keepOrder.
func (t *Tx) lockAll(ctx context.Context, ids []string) error {
	if len(t.order) > 0 {
		for _, id := range ids {
			if _, _, err := t.lock(ctx, id); err != nil {
				return err
			}
		}
		return nil
	}
	err := keptChunks(len(ids), func(from, to int) error { return t.lockSome(ctx, ids[from:to]) })
	return t.fail("lock audit chains", err)
}

func (t *Tx) lockSome(ctx context.Context, ids []string) (err error) {
	args := make([]any, 0, 3*len(ids))
	for _, id := range ids {
		t.known[id] = true
		args = append(args, id, int64(0), make([]byte, sha256.Size))
	}
	// The rows are locked in the order in which they stand here.
	text := t.store.insertText(headColumns, len(ids), 3, "ON CONFLICT (chain) DO UPDATE SET seq = audit_heads.seq RETURNING chain, seq, hash")
	rows, err := t.prepared.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c chain
		var sum []byte
		if err := rows.Scan(&c.id, &c.seq, &sum); err != nil {
			return err
		}
		if c.hash, err = digestOf(sum); err != nil {
			return err
		}
		t.chains[c.id] = &c
		t.order = append(t.order, &c)
	}
	return rows.Err()
}

// chainHash hashes fields so that no two different lists of them give the same
// bytes: each is preceded by its length.
type chainHash struct{ b []byte }

func newChainHash(domain string, prev [32]byte) *chainHash {
	c := &chainHash{b: make([]byte, 0, 768)}
	c.text(domain)
	c.bytes(prev[:])
	return c
}

func (c *chainHash) bytes(b []byte) {
	c.b = append(binary.BigEndian.AppendUint64(c.b, uint64(len(b))), b...)
}

func (c *chainHash) text(s string) {
	c.b = append(binary.BigEndian.AppendUint64(c.b, uint64(len(s))), s...)
}

func (c *chainHash) number(i int64) {
	c.b = binary.BigEndian.AppendUint64(c.b, 8)
	c.b = binary.BigEndian.AppendUint64(c.b, uint64(i)) //nolint:gosec // two's complement is what is meant
}

func (c *chainHash) flag(b bool) {
	if b {
		c.number(1)
	} else {
		c.number(0)
	}
}

func (c *chainHash) sum() [32]byte { return sha256.Sum256(c.b) }

// importSum begins the hash of an import, which goes on for as many rows as there are.
func importSum() hash.Hash {
	h := sha256.New()
	h.Write(newChainHash("keystile import 1", [32]byte{}).b)
	return h
}

// writeLengthAnd is chainHash.bytes for a hash that goes on.
func writeLengthAnd(h hash.Hash, b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	h.Write(n[:])
	h.Write(b)
}

func eventHash(e *keystile.Event) [32]byte {
	h := newChainHash("keystile audit event 1", e.PrevHash)
	h.text(e.OrganizationID)
	h.number(e.Seq)
	h.number(micros(e.At))
	for _, s := range []string{e.Actor, e.Action, e.Target, e.Detail, e.RequestID} {
		h.text(s)
	}
	return h.sum()
}

func eventOf(row gen.AuditEvent) keystile.Event {
	e := keystile.Event{
		OrganizationID: row.OrganizationID, Seq: row.Seq, At: timeOf(row.At), Actor: row.Actor, Action: row.Action,
		Target: row.Target, Detail: row.Detail, RequestID: row.RequestID,
	}
	// A hash of the wrong length stays zero: reading must still show the rest,
	// and VerifyChain finds that it does not fit.
	copy(e.PrevHash[:], row.PrevHash)
	copy(e.Hash[:], row.Hash)
	return e
}
