package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Pepper is the sealed key that digests are made with.
type Pepper struct {
	ID string
	// Sealed is the key under the master key.
	Sealed []byte
	// Current says that new digests are made with it; one pepper is current.
	Current   bool
	CreatedAt time.Time
}

// Peppers lists all peppers, oldest first.
func (r *reads) Peppers(ctx context.Context) ([]Pepper, error) {
	rows, err := r.q.ListPeppers(ctx)
	if err != nil {
		return nil, r.fail("list peppers", err)
	}
	return mapRows(rows, pepperOf, r.fail, "list peppers")
}

func pepperOf(row gen.Pepper) (Pepper, error) {
	return Pepper{ID: row.ID, Sealed: row.Sealed, Current: row.IsCurrent, CreatedAt: timeOf(row.CreatedAt)}, nil
}

// PutPepper adds a pepper or replaces its sealed form. If it is current, every
// other one is retired. Every cache is told to start over. Nothing is written
// if nothing differs. A zero CreatedAt is now.
func (t *Tx) PutPepper(ctx context.Context, p Pepper) error {
	if err := checkSealed("id", p.ID, p.Sealed); err != nil {
		return err
	}
	if _, _, err := t.lock(ctx, ""); err != nil {
		return err
	}
	all, err := t.Peppers(ctx)
	if err != nil {
		return err
	}
	same := func(there Pepper) bool {
		return there.ID == p.ID && there.Current == p.Current && bytes.Equal(there.Sealed, p.Sealed)
	}
	if slices.ContainsFunc(all, same) {
		return nil
	}
	if p.CreatedAt.IsZero() {
		p.CreatedAt = t.now
	}
	if p.Current {
		if err := t.q.RetireOtherPeppers(ctx, p.ID); err != nil {
			return t.fail("retire peppers", err)
		}
	}
	if err := t.q.PutPepper(ctx, p.ID, p.Sealed, p.Current, micros(p.CreatedAt)); err != nil {
		return t.fail("put pepper "+p.ID, err)
	}
	t.Announce(keystile.ChangeAll, "")
	return t.Record(ctx, "", "pepper.put", "pepper:"+p.ID, map[string]any{"current": p.Current})
}

func checkSealed(field, id string, sealed []byte) error {
	if err := checkID(field, id); err != nil {
		return err
	}
	if len(sealed) == 0 {
		return keystile.Invalidf("sealed", "seal it under the master key", "the sealed form of %q is empty", id)
	}
	return nil
}

// DeletePepper removes a retired pepper that no digest names any more; one that
// is current or named is [keystile.ErrConflict]. It reads every digest.
func (t *Tx) DeletePepper(ctx context.Context, id string) error {
	if _, _, err := t.lock(ctx, ""); err != nil {
		return err
	}
	all, err := t.Peppers(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p Pepper) bool { return p.ID == id })
	switch {
	case i < 0:
		return notFound("pepper", id)
	case all[i].Current:
		return conflict("pepper %q is the current one; make another current first", id)
	}
	uses, err := t.store.pepperUses(ctx, t.tx, id)
	if err != nil {
		return t.fail("delete pepper "+id, err)
	}
	if len(uses) > 0 {
		return conflict("pepper %q still has digests; they move to the current one as their keys are used", id)
	}
	if err := t.q.DeletePepper(ctx, id); err != nil {
		return t.fail("delete pepper "+id, err)
	}
	t.Announce(keystile.ChangeAll, "")
	return t.Record(ctx, "", "pepper.delete", "pepper:"+id, map[string]any{})
}

// PepperUses counts the digests under a pepper by table; it reads every digest.
func (s *Store) PepperUses(ctx context.Context, id string) (map[string]int64, error) {
	uses, err := s.pepperUses(ctx, s.reader, id)
	return uses, s.fail("count the digests of pepper "+clip(id), err)
}

// pepperUses asks every table that has digests: whatever table names its pepper in
// a column pepper_id.
func (s *Store) pepperUses(ctx context.Context, q searcher, id string) (map[string]int64, error) {
	tables, err := s.tables(ctx, q)
	if err != nil {
		return nil, err
	}
	uses := map[string]int64{}
	for _, t := range tables {
		if !slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == "pepper_id" }) {
			continue
		}
		n, err := count(ctx, q, "SELECT count(*) FROM "+quoted(t.Name)+" WHERE pepper_id = $1", id)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			uses[t.Name] = n
		}
	}
	return uses, nil
}

func count(ctx context.Context, q searcher, text string, args ...any) (n int64, err error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

// Keyset reads a sealed set of keys by name.
func (r *reads) Keyset(ctx context.Context, name string) ([]byte, error) {
	row, err := r.q.GetKeyset(ctx, name)
	if err != nil {
		return nil, r.fail("read keyset "+clip(name), err)
	}
	return row.Sealed, nil
}

// KeysetChanged is when a sealed set of keys was last put.
func (r *reads) KeysetChanged(ctx context.Context, name string) (time.Time, error) {
	row, err := r.q.GetKeyset(ctx, name)
	if err != nil {
		return time.Time{}, r.fail("read keyset "+clip(name), err)
	}
	return timeOf(row.UpdatedAt), nil
}

// Keyset reads a sealed set of keys and keeps it from changing until the
// transaction ends, so that two who change one do so one after the other.
func (t *Tx) Keyset(ctx context.Context, name string) ([]byte, error) {
	if _, _, err := t.lock(ctx, ""); err != nil {
		return nil, err
	}
	return t.reads.Keyset(ctx, name)
}

// PutKeyset adds or replaces a sealed set of keys. Nothing is written if
// nothing differs. It announces nothing: whoever changes keys that caches have
// used says so with Announce.
func (t *Tx) PutKeyset(ctx context.Context, name string, sealed []byte) error {
	if err := checkSealed("name", name, sealed); err != nil {
		return err
	}
	if _, _, err := t.lock(ctx, ""); err != nil {
		return err
	}
	before, err := t.Keyset(ctx, name)
	switch {
	case err == nil && bytes.Equal(before, sealed):
		return nil
	case err != nil && !errors.Is(err, keystile.ErrNotFound):
		return err
	}
	if err := t.q.PutKeyset(ctx, name, sealed, micros(t.now)); err != nil {
		return t.fail("put keyset "+name, err)
	}
	return t.Record(ctx, "", "keyset.put", "keyset:"+name, map[string]any{"created": before == nil})
}

// DeleteKeyset removes a sealed set of keys. One that is not there is
// [keystile.ErrNotFound].
func (t *Tx) DeleteKeyset(ctx context.Context, name string) error {
	if _, _, err := t.lock(ctx, ""); err != nil {
		return err
	}
	n, err := t.q.DeleteKeyset(ctx, name)
	if err != nil {
		return t.fail("delete keyset "+clip(name), err)
	}
	if n == 0 {
		return notFound("keyset", name)
	}
	return t.Record(ctx, "", "keyset.delete", "keyset:"+name, map[string]any{})
}

// Meta reads a fact about the store itself by name. Absent ones are
// [keystile.ErrNotFound].
func (r *reads) Meta(ctx context.Context, name string) (string, error) {
	value, err := r.q.GetMeta(ctx, name)
	return value, r.fail("read meta "+clip(name), err)
}

// SetMeta sets a fact about the store itself. It must not be secret; the audit
// log names it without its value. Nothing is written if nothing differs. Names
// that begin with "store." are the store's own.
func (t *Tx) SetMeta(ctx context.Context, name, value string) error {
	if err := checkID("name", name); err != nil {
		return err
	}
	if err := checkTexts(text{"value", value}); err != nil {
		return err
	}
	if isOwnMeta(name) {
		return keystile.Invalidf("name", "use a name that does not begin with "+ownMeta, "%q is the store's own", name)
	}
	if _, _, err := t.lock(ctx, ""); err != nil {
		return err
	}
	before, err := t.Meta(ctx, name)
	switch {
	case err == nil && before == value:
		return nil
	case err != nil && !errors.Is(err, keystile.ErrNotFound):
		return err
	}
	if err := t.q.PutMeta(ctx, name, value); err != nil {
		return t.fail("set meta "+name, err)
	}
	return t.Record(ctx, "", "meta.set", "meta:"+name, map[string]any{})
}
