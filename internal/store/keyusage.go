package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Upserts of a batch of usage. Counts add up, the later of two last requests stays.
const (
	usageColumns = "api_key_usage (key_id, hour, allowed, refused, last_at, last_addr, last_route)"
	usageMerge   = "ON CONFLICT (key_id, hour) DO UPDATE SET " +
		"allowed = api_key_usage.allowed + excluded.allowed, refused = api_key_usage.refused + excluded.refused, " +
		"last_addr = CASE WHEN excluded.last_at >= api_key_usage.last_at THEN excluded.last_addr ELSE api_key_usage.last_addr END, " +
		"last_route = CASE WHEN excluded.last_at >= api_key_usage.last_at THEN excluded.last_route ELSE api_key_usage.last_route END, " +
		"last_at = CASE WHEN excluded.last_at >= api_key_usage.last_at THEN excluded.last_at ELSE api_key_usage.last_at END"
	aspectColumns = "api_key_aspects (key_id, aspect, name, first_at, last_at)"
	aspectMerge   = "ON CONFLICT (key_id, aspect, name) DO UPDATE SET " +
		"last_at = CASE WHEN excluded.last_at >= api_key_aspects.last_at THEN excluded.last_at ELSE api_key_aspects.last_at END"
	placeText = "UPDATE api_keys SET last_used_at = $2, last_used_addr = $3, last_used_route = $4 " +
		"WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2)"
)

// NoteKeyUsage adds a batch of usage to what is stored, one row a key and hour.
// It writes no audit event and no change.
func (s *Store) NoteKeyUsage(ctx context.Context, batch []keystile.KeyUsage) error {
	if err := s.writable(); err != nil {
		return err
	}
	if len(batch) == 0 {
		return nil
	}
	rows, aspects := usageRows(batch)
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := s.insertRows(ctx, tx, usageColumns, rows, usageMerge); err != nil {
			return err
		}
		if len(aspects) > 0 {
			if _, err := s.insertRows(ctx, tx, aspectColumns, aspects, aspectMerge); err != nil {
				return err
			}
		}
		return notePlaces(ctx, tx, batch)
	})
	return s.fail("note the usage of API keys", err)
}

// usageRows are the values of a batch, each row once, because PostgreSQL updates a
// row once in a statement, and ordered, so that two servers lock rows alike.
func usageRows(batch []keystile.KeyUsage) (rows, aspects [][]any) {
	type hour struct {
		key string
		at  int64
	}
	type used struct {
		key, name string
		aspect    keystile.Aspect
	}
	hours, seen := map[hour]int{}, map[used]bool{}
	var merged []keystile.KeyUsage
	var touched []keystile.KeyAspect
	for i := range batch {
		u := &batch[i]
		at := hour{u.KeyID, micros(u.Hour)}
		n, again := hours[at]
		if !again {
			hours[at] = len(merged)
			merged = append(merged, *u)
		} else {
			m := &merged[n]
			m.Allowed, m.Refused = m.Allowed+u.Allowed, m.Refused+u.Refused
			if !u.LastAt.Before(m.LastAt) {
				m.LastAt, m.LastAddr, m.LastRoute = u.LastAt, u.LastAddr, u.LastRoute
			}
		}
		for _, a := range u.Aspects {
			if one := (used{u.KeyID, a.Name, a.Aspect}); !seen[one] {
				seen[one] = true
				a.KeyID = u.KeyID
				touched = append(touched, a)
			}
		}
	}
	slices.SortFunc(merged, func(a, b keystile.KeyUsage) int {
		return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), a.Hour.Compare(b.Hour))
	})
	slices.SortFunc(touched, func(a, b keystile.KeyAspect) int {
		return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Aspect, b.Aspect), cmp.Compare(a.Name, b.Name))
	})
	for _, a := range touched {
		aspects = append(aspects, []any{a.KeyID, string(a.Aspect), clean(a.Name), micros(a.FirstAt), micros(a.LastAt)})
	}
	for i := range merged {
		u := &merged[i]
		rows = append(rows, []any{u.KeyID, micros(u.Hour), u.Allowed, u.Refused, micros(u.LastAt), clean(u.LastAddr), clean(u.LastRoute)})
	}
	return rows, aspects
}

// notePlaces writes the last use of keys that are due.
func notePlaces(ctx context.Context, tx *sql.Tx, batch []keystile.KeyUsage) (err error) {
	var update *sql.Stmt
	defer func() {
		if update != nil {
			err = errors.Join(err, update.Close())
		}
	}()
	for i := range batch {
		u := &batch[i]
		if !u.Place {
			continue
		}
		if update == nil {
			if update, err = tx.PrepareContext(ctx, placeText); err != nil {
				return err
			}
		}
		if _, err := update.ExecContext(ctx, u.KeyID, micros(u.LastAt), clean(u.LastAddr), clean(u.LastRoute)); err != nil {
			return err
		}
	}
	return nil
}

// KeyUsage reads the usage of a key in the hours that begin from since on and
// before until, in their order.
func (s *Store) KeyUsage(ctx context.Context, keyID string, since, until time.Time) ([]keystile.KeyUsage, error) {
	const op = "read the usage of an API key"
	rows, err := s.q.ListAPIKeyUsage(ctx, keyID, micros(since), micros(until))
	if err != nil {
		return nil, s.fail(op, err)
	}
	return mapRows(rows, usageOf, s.fail, op)
}

// LastKeyUsage is the newest hour in which a key was used, if it was.
func (s *Store) LastKeyUsage(ctx context.Context, keyID string) (keystile.KeyUsage, error) {
	row, err := s.q.LastAPIKeyUsage(ctx, keyID)
	if errors.Is(err, sql.ErrNoRows) {
		return keystile.KeyUsage{}, nil
	}
	if err != nil {
		return keystile.KeyUsage{}, s.fail("read the usage of an API key", err)
	}
	return usageOf(row)
}

// KeyAspects lists everything that a key was seen to use.
func (s *Store) KeyAspects(ctx context.Context, keyID string) ([]keystile.KeyAspect, error) {
	const op = "read what an API key used"
	rows, err := s.q.ListAPIKeyAspects(ctx, keyID)
	if err != nil {
		return nil, s.fail(op, err)
	}
	return mapRows(rows, aspectOf, s.fail, op)
}

// PurgeKeyUsage forgets usage of hours before a time, a bounded batch at a time.
func (s *Store) PurgeKeyUsage(ctx context.Context, before time.Time, limit int) (int64, error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	n, err := gen.New(s.writer).PurgeAPIKeyUsage(ctx, micros(before), rowLimit(limit))
	return n, s.fail("purge the usage of API keys", err)
}

func usageOf(row gen.ApiKeyUsage) (keystile.KeyUsage, error) {
	return keystile.KeyUsage{
		KeyID: row.KeyID, Hour: timeOf(row.Hour), Allowed: row.Allowed, Refused: row.Refused,
		LastAt: timeOf(row.LastAt), LastAddr: row.LastAddr, LastRoute: row.LastRoute,
	}, nil
}

func aspectOf(row gen.ApiKeyAspect) (keystile.KeyAspect, error) {
	return keystile.KeyAspect{
		KeyID: row.KeyID, Aspect: keystile.Aspect(row.Aspect), Name: row.Name, FirstAt: timeOf(row.FirstAt), LastAt: timeOf(row.LastAt),
	}, nil
}
