package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
)

const (
	keyColumns = "api_keys (id, organization_id, name, environment, permitted_site_ids, scopes, allowed_ips, " +
		"rate, rate_algorithm, hint, expires_at, revoked_at, last_used_at, created_at, updated_at)"
	secretColumns = "api_key_secrets (digest, key_id, pepper_id, created_at, expires_at)"
)

// insert writes the rows of a batch that can be written and notes the others.
//
//nolint:gocyclo // a list of checks, one after the other
func (j *importer) insert(ctx context.Context, t *Tx, rows []ImportRow, state *importState) error {
	good, foreign := make([]*ImportRow, 0, len(rows)), []*ImportRow(nil)
	ids, digests := make(map[string]bool, len(rows)), make(map[[32]byte]bool, len(rows))
	for i := range rows {
		row := &rows[i]
		number := j.state.Rows + int64(i) + 1
		if err := checkImport(ctx, t, row); err != nil {
			var invalid *keystile.Invalid
			if !errors.As(err, &invalid) {
				return err
			}
			state.refuse(number, row.Key.ID, invalid.Error())
			continue
		}
		digest := row.Digest
		if row.Foreign != nil {
			digest = row.Foreign.Lookup
		}
		if ids[row.Key.ID] || digests[digest] {
			state.duplicate(number, row.Key.ID)
			continue
		}
		ids[row.Key.ID], digests[digest] = true, true
		switch {
		case row.Foreign == nil:
			good = append(good, row)
		case j.state.Bulk:
			state.refuse(number, row.Key.ID, "a hash of another system in a bulk import; import such keys in a file of their own")
		default:
			foreign = append(foreign, row)
		}
	}
	if err := j.insertForeign(ctx, t, foreign, state); err != nil {
		return err
	}
	// In the order of the index that would otherwise be touched at random.
	if !j.state.Bulk {
		slices.SortFunc(good, func(a, b *ImportRow) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	}
	cells := importCells(t, good)
	if j.state.Bulk {
		if slices.ContainsFunc(good, func(r *ImportRow) bool { return !r.Key.ExpiresAt.IsZero() }) {
			if _, err := t.tx.ExecContext(ctx, "DROP INDEX IF EXISTS "+expiryIndex); err != nil {
				return err
			}
		}
		if _, err := t.store.insertRows(ctx, t.tx, keyColumns, cells.keys, ""); err != nil {
			return err
		}
		if _, err := t.store.insertRows(ctx, t.tx, secretColumns, cells.secrets, ""); err != nil {
			return err
		}
		state.Imported += int64(len(good))
		return nil
	}
	return t.insertLive(ctx, good, cells, secretColumns, state)
}

func checkImport(ctx context.Context, t *Tx, row *ImportRow) error {
	if row.Foreign != nil {
		if row.Foreign.Lookup == [32]byte{} {
			return keystile.Invalidf("secret", "give its look-up", "the row has nothing to find its secret by")
		}
		if err := checkTexts(text{"hash", row.Foreign.Hash}); err != nil {
			return err
		}
		return t.checkAPIKey(ctx, row.Key)
	}
	if row.Digest == [32]byte{} || row.PepperID == "" {
		return keystile.Invalidf("secret", "give its digest and the pepper's id", "the row has no digest")
	}
	if err := checkTexts(text{"pepper_id", row.PepperID}); err != nil {
		return err
	}
	return t.checkAPIKey(ctx, row.Key)
}

// cells are the values of a batch, a row each, for the two tables.
type cells struct{ keys, secrets [][]any }

// importCells cuts every row's values from one array for each table.
func importCells(t *Tx, good []*ImportRow) cells {
	const keyWidth, secretWidth = 15, 5
	keys, secrets := make([][]any, len(good)), make([][]any, len(good))
	keyCells, secretCells := make([]any, 0, len(good)*keyWidth), make([]any, 0, len(good)*secretWidth)
	for i, row := range good {
		k := row.Key
		t.stamp(&k.CreatedAt, &k.UpdatedAt)
		c := apiKeyRow(k)
		keyCells = append(keyCells, c.ID, c.OrganizationID, c.Name, c.Environment, c.PermittedSiteIds, c.Scopes, c.AllowedIps,
			c.Rate, c.RateAlgorithm, c.Hint, c.ExpiresAt, c.RevokedAt, c.LastUsedAt, c.CreatedAt, c.UpdatedAt)
		keys[i] = keyCells[i*keyWidth : (i+1)*keyWidth]
		secretCells = append(secretCells, row.Digest[:], k.ID, row.PepperID, c.CreatedAt, nil)
		secrets[i] = secretCells[i*secretWidth : (i+1)*secretWidth]
	}
	return cells{keys: keys, secrets: secrets}
}

// insertLive inserts beside what is there: a row whose id or digest exists is
// left out by the unique indexes, whoever got there first.
func (t *Tx) insertLive(ctx context.Context, good []*ImportRow, c cells, secrets string, state *importState) error {
	inserted, err := t.store.insertReturning(ctx, t.tx, keyColumns, c.keys, "ON CONFLICT DO NOTHING RETURNING id")
	if err != nil {
		return err
	}
	fresh := make([][]any, 0, len(inserted))
	for i, row := range good {
		if inserted[row.Key.ID] {
			fresh = append(fresh, c.secrets[i])
		}
	}
	whole, err := t.store.insertReturning(ctx, t.tx, secrets, fresh, "ON CONFLICT DO NOTHING RETURNING key_id")
	if err != nil {
		return err
	}
	for _, row := range good {
		id := row.Key.ID
		if whole[id] {
			state.Imported++
			continue
		}
		if inserted[id] { // its digest belongs to another key
			if err := t.q.DeleteAPIKey(ctx, id); err != nil {
				return err
			}
		}
		state.duplicate(0, id)
	}
	return nil
}

func (s *importState) refuse(row int64, id, problem string) {
	s.Refused++
	s.name(row, id, problem)
}

func (s *importState) duplicate(row int64, id string) {
	s.SkippedDuplicates++
	s.name(row, id, "an API key with this id or secret is there already")
}

func (s *importState) name(row int64, id, problem string) {
	if len(s.Refusals) < maxRefusals {
		s.Refusals = append(s.Refusals, ImportRefusal{Row: row, ID: clip(id), Problem: problem})
	}
}

// ahead reads rows while the ones before are written.
type ahead struct {
	portions chan portion
	cancel   context.CancelFunc
	done     chan struct{}
}

type portion struct {
	rows []ImportRow
	err  error
}

func readAhead(ctx context.Context, next func() ([]ImportRow, error)) *ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{portions: make(chan portion, 1), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for {
			var p portion
			if p.rows, p.err = next(); p.err != nil {
				p.err = fmt.Errorf("read the rows to import: %w", p.err)
			}
			select {
			case a.portions <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	return a
}

// next answers rows, or the error of the source after the rows before it.
func (a *ahead) next(ctx context.Context) ([]ImportRow, error) {
	select {
	case p := <-a.portions:
		return p.rows, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stop waits for a call of the source that is under way.
func (a *ahead) stop() {
	a.cancel()
	<-a.done
}
