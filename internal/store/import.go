package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// ImportRow is one API key of an import, with its one secret.
type ImportRow struct {
	Key      keystile.APIKey
	Digest   [32]byte
	PepperID string
	// Hint replaces Key.Hint if it is not empty.
	Hint string
	// Foreign is in place of Digest and PepperID where another system hashed the secret.
	Foreign *ForeignRow
}

// ImportOptions says how to import.
type ImportOptions struct {
	// JobID names the import: the same id with the same rows goes on where an
	// interrupted one stopped. One that has ended begins again.
	JobID string
	// Live keeps the indexes, for rows that are Foreign: they are refused where the
	// indexes are built last.
	Live bool
	// BatchRows is how many rows a transaction holds; 0 is 5000.
	BatchRows int
}

const (
	defaultBatchRows = 5000
	maxBatchRows     = 50_000
	// maxRefusals is how many refused rows a report names.
	maxRefusals = 100
)

// ImportReport says what became of the rows, those of interrupted runs included.
type ImportReport struct {
	// Rows that were read; each was imported, skipped or refused.
	Rows int64 `json:"rows"`
	// Imported rows are in the store.
	Imported int64 `json:"imported"`
	// SkippedDuplicates had an id or a digest that was there before them.
	SkippedDuplicates int64 `json:"skipped_duplicates"`
	// Refused were not valid: no such organisation or site, a bad id, ...
	Refused int64 `json:"refused"`
	// Refusals names the first refused and skipped rows of this run.
	Refusals []ImportRefusal `json:"-"`
	// Bulk says that the tables were empty and indexes were built last.
	Bulk bool `json:"bulk"`
	// Resumed is how many rows earlier runs had done.
	Resumed int64 `json:"-"`
}

// ImportRefusal is one row that was not imported.
type ImportRefusal struct {
	// Row counts from 1; 0 is a duplicate that was found when the indexes were built.
	Row int64
	// ID of the key.
	ID string
	// Problem says what is wrong; safe to show.
	Problem string
}

// ownMeta begins the names of meta that only the store sets.
const ownMeta = "store."

func isOwnMeta(name string) bool { return strings.HasPrefix(name, ownMeta) }

const (
	// metaImport holds the id of the bulk import whose indexes are missing.
	metaImport = ownMeta + "import"
	// importPurpose is how an import takes the server lease.
	importPurpose = "import"
)

func metaJob(id string) string { return metaImport + "." + id }

// importState is what a job remembers between transactions.
type importState struct {
	ImportReport
	// Sum is SHA-256 over the rows so far: a job cannot be resumed with others.
	Sum  string `json:"sum"`
	Done bool   `json:"done"`
}

// ImportAPIKeys imports API keys by the million. next returns rows in any
// portions and io.EOF at the end; it is called from another goroutine, one call
// at a time, and not after ImportAPIKeys has returned. progress, which may be
// nil, is told how many rows are done after each batch.
//
// Each batch is one transaction with one audit event, in the global chain, that
// carries SHA-256 over its rows. A row that is not valid, or whose id or digest
// exists, is passed over and reported; it does not stop the others.
//
// Into a store without API keys, with no server running, the indexes are
// dropped first and built last, which is several times faster. Until they are
// built the store refuses servers and changes, also if the import is killed:
// run it again with the same JobID and the same rows, or [Store.FinishImport].
// Into any other store rows go in beside running servers, ordered by digest.
//
// [keystile.ErrConflict]: another import was interrupted, or the rows are not
// those the job began with.
func (s *Store) ImportAPIKeys(ctx context.Context, a Actor, o ImportOptions, next func() ([]ImportRow, error), progress func(int64)) (ImportReport, error) {
	if err := checkID("job_id", o.JobID); err != nil {
		return ImportReport{}, err
	}
	if err := s.writable(); err != nil {
		return ImportReport{}, err
	}
	if o.BatchRows <= 0 {
		o.BatchRows = defaultBatchRows
	}
	j := &importer{store: s, actor: a, id: o.JobID, live: o.Live, batch: min(o.BatchRows, maxBatchRows), sum: importSum()}
	err := j.run(ctx, next, progress)
	return j.state.ImportReport, s.fail("import API keys", err)
}

// FinishImport ends an interrupted bulk import with the rows it has: it builds
// the indexes, so that servers may run again. Without one it does nothing.
func (s *Store) FinishImport(ctx context.Context, a Actor) (ImportReport, error) {
	if err := s.writable(); err != nil {
		return ImportReport{}, err
	}
	id, err := s.Meta(ctx, metaImport)
	if errors.Is(err, keystile.ErrNotFound) {
		return ImportReport{}, nil
	}
	if err != nil {
		return ImportReport{}, err
	}
	j := &importer{store: s, actor: a, id: id}
	err = j.finishOnly(ctx)
	return j.state.ImportReport, s.fail("finish the import", err)
}

// refuseDuringImport keeps everybody out while indexes are missing: duplicates
// would not be seen, and look-ups would read the whole table.
func (s *Store) refuseDuringImport(ctx context.Context, r reads) error {
	id, err := r.Meta(ctx, metaImport)
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return conflict("bulk import %q has not ended; wait for it, or if it was interrupted run it again with the same file, or finish it with the rows it has", id)
}

// importer is one run of an import.
type importer struct {
	store *Store
	actor Actor
	id    string
	batch int
	live  bool
	state importState
	// skipped counts rows that earlier runs did, as they come by again.
	skipped int64
	// sum runs over every row of the job.
	sum hash.Hash
	// db is the connection of the batches: in bulk one of its own on SQLite.
	db *sql.DB
}

func (j *importer) run(ctx context.Context, next func() ([]ImportRow, error), progress func(int64)) (err error) {
	if err := j.load(ctx); err != nil {
		return err
	}
	release, err := j.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := j.readAll(ctx, next, progress); err != nil {
		return errors.Join(err, j.abandon(context.WithoutCancel(ctx)))
	}
	return j.finish(ctx)
}

// readAll writes every row that earlier runs did not.
func (j *importer) readAll(ctx context.Context, next func() ([]ImportRow, error), progress func(int64)) error {
	in := readAhead(ctx, next)
	defer in.stop()
	for more := true; more; {
		rows, err := in.next(ctx)
		if more = !errors.Is(err, io.EOF); more && err != nil {
			return err
		}
		if rows, err = j.skip(rows); err != nil {
			return err
		}
		for batch := range slices.Chunk(rows, j.batch) {
			if err := j.write(ctx, batch); err != nil {
				return err
			}
			if progress != nil {
				progress(j.state.Rows)
			}
		}
	}
	if j.skipped < j.state.Resumed {
		return conflict("import %q had %d rows before it was interrupted and now has %d; run it with the same file", j.id, j.state.Resumed, j.skipped)
	}
	return nil
}

func (j *importer) finishOnly(ctx context.Context) (err error) {
	if err := j.load(ctx); err != nil {
		return err
	}
	release, err := j.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	return j.finish(ctx)
}

// load reads what earlier runs of the job did.
func (j *importer) load(ctx context.Context) error {
	text, err := j.store.Meta(ctx, metaJob(j.id))
	if errors.Is(err, keystile.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &j.state); err != nil {
		return fmt.Errorf("read the state of import %s: %w", j.id, err)
	}
	if j.state.Done {
		// Keys may have been deleted since, or what was missing made.
		j.state = importState{}
	}
	j.state.Resumed = j.state.Rows
	return nil
}

func (j *importer) save(ctx context.Context, q *gen.Queries, state importState) error {
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("write the state of import %s: %w", j.id, err)
	}
	return q.PutMeta(ctx, metaJob(j.id), string(text))
}

// skip passes over rows that earlier runs did, and checks that they are the same.
func (j *importer) skip(rows []ImportRow) ([]ImportRow, error) {
	n := min(int64(len(rows)), j.state.Resumed-j.skipped)
	if n <= 0 {
		return rows, nil
	}
	for i := range rows[:n] {
		writeLengthAnd(j.sum, rowBytes(nil, &rows[i]))
	}
	j.skipped += n
	if j.skipped == j.state.Resumed && hex.EncodeToString(j.sum.Sum(nil)) != j.state.Sum {
		return nil, conflict("the first %d rows are not those import %q began with; run it with the same file, or choose another job id", j.skipped, j.id)
	}
	return rows[n:], nil
}

// rowBytes is what the sums run over: whatever of the row is stored.
func rowBytes(buf []byte, r *ImportRow) []byte {
	for _, s := range []string{
		r.Key.ID, r.Key.OrganizationID, r.Key.Name, string(r.Key.Environment), joinList(r.Key.PermittedSiteIDs), joinList(r.Key.Scopes),
		joinPrefixes(r.Key.AllowedIPs), rateText(r.Key.Limit), instant(r.Key.ExpiresAt), instant(r.Key.RevokedAt), r.PepperID,
	} {
		buf = append(buf, s...)
		buf = append(buf, 0) // none of them may hold a NUL
	}
	if r.Foreign != nil {
		buf = append(buf, r.Foreign.Hash...)
		buf = append(buf, 0)
		buf = append(buf, r.Foreign.Lookup[:]...)
	}
	return append(buf, r.Digest[:]...)
}

// write puts one batch in the store, with its event and the job's state.
func (j *importer) write(ctx context.Context, rows []ImportRow) error {
	batch, buf := sha256.New(), []byte(nil)
	for i := range rows {
		if hint := rows[i].Hint; hint != "" {
			rows[i].Key.Hint = hint
		}
		buf = rowBytes(buf[:0], &rows[i])
		writeLengthAnd(j.sum, buf)
		batch.Write(buf)
	}
	var next importState
	known := map[string]bool{}
	err := j.store.inTxOn(ctx, j.db, func(ctx context.Context, tx *sql.Tx) error {
		t := newTx(j.store, j.store.preparedOn(j.db, tx), j.actor, known)
		if err := t.lockKnown(ctx); err != nil {
			return err
		}
		next = j.state
		next.Refusals = append([]ImportRefusal(nil), j.state.Refusals...)
		if err := j.insert(ctx, t, rows, &next); err != nil {
			return err
		}
		next.Rows += int64(len(rows))
		next.Sum = hex.EncodeToString(j.sum.Sum(nil))
		detail := map[string]any{
			"first_row": j.state.Rows + 1, "rows": len(rows), "imported": next.Imported - j.state.Imported,
			"sha256": hex.EncodeToString(batch.Sum(nil)),
		}
		if err := t.Record(ctx, "", "api_key.import", "import:"+j.id, detail); err != nil {
			return err
		}
		if err := t.writeEvents(ctx); err != nil {
			return err
		}
		return j.save(ctx, t.q, next)
	})
	if err != nil {
		return err
	}
	j.state = next
	return nil
}
