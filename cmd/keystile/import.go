package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyimport"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

const (
	importBatch = 5000
	// shownProblems is how many bad lines are told one by one.
	shownProblems = 100
)

// importHelp is what the import reads.
const importHelp = `Reads one key a line: JSON Lines (FILE.jsonl) or CSV with a header line (FILE.csv).
Members: organization; one of secret, sha256, hmac_sha256, bcrypt, argon2; and
optionally id, name, environment, permitted_site_ids, scopes, allowed_ips, limit,
expires_at. hmac_sha256 is HMAC-SHA-256 of the key under a pepper that --pepper
gives. bcrypt and argon2 need a prefix, 6 to 20 characters that only this key
begins with. Such keys are proven by that hash once, when they are first used, and
then kept as all others. Lists in CSV are separated by ";". Lines that cannot be
used are reported as FILE:LINE and left out. A key without an environment has that
of its organization. --dry-run asks the store, too, whether organizations and sites
are there and which keys it has already. An import that was interrupted goes on
where it stopped when the command is run again.`

func newKeyImport(a *app) *cobra.Command {
	var (
		c              configFlags
		f              format
		dryRun, finish bool
		pepper         string
	)
	cmd := &cobra.Command{
		Use:     "import FILE",
		Short:   "Import API keys in bulk from JSON Lines or CSV",
		Long:    importHelp,
		Example: "  keystile key import keys.jsonl --config keystile.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if finish {
				return noArguments(cmd, args)
			}
			return oneArgument("the file")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			h, err := a.openConfigured(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.close()) }()
			if finish {
				report, err := h.store.FinishImport(cmd.Context(), store.Actor{Name: "cli"})
				if err != nil {
					return err
				}
				return a.printImport(f, report, 0)
			}
			if pepper != "" && !dryRun {
				text, err := a.exactSecret(pepper)
				if err != nil {
					return err
				}
				if err := h.service.AddForeignPepper(cmd.Context(), store.Actor{Name: "cli"}, keystile.Secret(text)); err != nil {
					return err
				}
			}
			return a.importKeys(cmd.Context(), h, args[0], f, dryRun)
		},
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "end an interrupted import with the keys it has so far, so that servers may run again")
	cmd.Flags().StringVar(&pepper, "pepper", "", "key of hmac_sha256, every byte of it counts: @FILE, - for standard input, or the text")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "read and check every line, and change nothing")
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// keySource reads rows and counts the lines that cannot be used.
type keySource struct {
	reader   *keyimport.Reader
	digester *keyring.Digester
	store    *store.Store
	told     func(string)
	bad      int64
	// foreign: the file holds hashes of another system.
	foreign bool
	// environments are those of organisations that were met, "" where there is none.
	environments map[string]keystile.Environment
	// owners are the organisations of sites that were met.
	owners map[string]string
}

func (a *app) importKeys(ctx context.Context, h *house, path string, f format, dryRun bool) (err error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("open the file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	job, size, err := importJob(file, path)
	if err != nil {
		return err
	}
	source := &keySource{digester: h.digester, store: h.store, environments: map[string]keystile.Environment{}, owners: map[string]string{}, told: func(line string) { fmt.Fprintf(a.stderr, "%s%s\n", path, line) }}
	if source.foreign, err = holdsHashes(file); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if source.reader, err = openRows(file, path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if dryRun {
		return a.importDryRun(ctx, source, f)
	}
	progress := a.progress("keys imported", size, file)
	report, err := h.store.ImportAPIKeys(ctx, store.Actor{Name: "cli"}, store.ImportOptions{JobID: job, BatchRows: importBatch, Live: source.foreign},
		func() ([]store.ImportRow, error) { return source.batch(ctx) }, progress)
	a.endProgress()
	if err != nil {
		return err
	}
	for _, refusal := range report.Refusals {
		fmt.Fprintf(a.stderr, "%s: key %s: %s\n", path, visible(refusal.ID), refusal.Problem)
	}
	return a.printImport(f, report, source.bad)
}

// printImport tells what became of the lines; some refused is exit status 1.
func (a *app) printImport(f format, report store.ImportReport, bad int64) error {
	refused := report.Refused + bad
	var err error
	if f == formatJSON {
		err = printJSON(a.stdout, map[string]any{"imported": report.Imported, "skipped_duplicates": report.SkippedDuplicates, "refused": refused})
	} else {
		_, err = fmt.Fprintf(a.stdout, "%d keys imported, %d duplicates skipped, %d lines refused\n", report.Imported, report.SkippedDuplicates, refused)
	}
	if err == nil && refused > 0 {
		return errReported
	}
	return err
}

// importJob names an import by what it imports: the same file goes on where it stopped.
func importJob(file *os.File, path string) (job string, size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return "", 0, fmt.Errorf("look at the file: %w", err)
	}
	head := make([]byte, 1<<20)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, fmt.Errorf("read the file: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(head[:n:n], "\x00%d\x00%s", info.Size(), filepath.Base(path)))
	return "import_" + hex.EncodeToString(sum[:12]), info.Size(), nil
}

func openRows(file io.Reader, path string) (*keyimport.Reader, error) {
	// One instant for all, the same at every run: what is read twice must be equal.
	created := time.Now().UTC().Truncate(24 * time.Hour)
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		return keyimport.NewCSV(file, created)
	}
	return keyimport.NewJSONLines(file, created), nil
}

// next returns the next good row; bad lines are told and passed over.
func (k *keySource) next(ctx context.Context) (keyimport.Row, error) {
	for {
		row, err := k.reader.Next()
		if err == nil {
			err = k.check(ctx, &row)
		}
		var problem keyimport.Problem
		if !errors.As(err, &problem) {
			return row, err
		}
		k.tell(problem)
	}
}

// tell counts a line that cannot be used and says what is wrong with it, on one line.
func (k *keySource) tell(problem keyimport.Problem) {
	if k.bad++; k.bad <= shownProblems {
		k.told(fmt.Sprintf(":%d: %s", problem.Line, strings.ReplaceAll(problem.Err.Error(), "\n", "; ")))
	} else if k.bad == shownProblems+1 {
		k.told(": more lines cannot be used; they are counted")
	}
}

// check says what is wrong with a row, and gives it its organisation's environment
// if it has none: a Problem, or why that cannot be told.
func (k *keySource) check(ctx context.Context, row *keyimport.Row) error {
	if err := manage.CheckImported(row.Key); err != nil {
		return keyimport.Problem{Line: row.Line, Err: err}
	}
	environment, known := k.environments[row.Key.OrganizationID]
	if !known {
		org, err := k.store.Organization(ctx, row.Key.OrganizationID)
		if err != nil && !errors.Is(err, keystile.ErrNotFound) {
			return fmt.Errorf("organization of line %d: %w", row.Line, err)
		}
		environment = org.Environment
		k.environments[row.Key.OrganizationID] = environment
	}
	if row.Key.Environment == "" {
		row.Key.Environment = environment
	}
	return nil
}

// fits says what the store will refuse a row for, and whether it has the key already.
func (k *keySource) fits(ctx context.Context, row keyimport.Row) (duplicate bool, err error) {
	refused := func(field, problem string) error {
		return keyimport.Problem{Line: row.Line, Err: keystile.Invalidf(field, "create it first", "%s", problem)}
	}
	if k.environments[row.Key.OrganizationID] == "" {
		return false, refused("organization", "there is no such organization")
	}
	for i, id := range row.Key.PermittedSiteIDs {
		owner, known := k.owners[id]
		if !known {
			site, err := k.store.Site(ctx, id)
			if err != nil && !errors.Is(err, keystile.ErrNotFound) {
				return false, err
			}
			owner = site.OrganizationID
			k.owners[id] = owner
		}
		if owner != row.Key.OrganizationID {
			return false, refused(fmt.Sprintf("permitted_site_ids[%d]", i), "the organization has no such site")
		}
	}
	_, err = k.store.APIKey(ctx, row.Key.ID)
	if errors.Is(err, keystile.ErrNotFound) {
		if stored := k.stored(row); stored.Foreign != nil {
			_, err = k.store.ForeignSecret(ctx, stored.Foreign.Lookup)
		} else {
			_, err = k.store.FindAPIKeySecret(ctx, k.digester.Candidates(row.Sum, make([][32]byte, 0, keyring.MaxPeppers)))
		}
	}
	if errors.Is(err, keystile.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// batch implements the source of store.ImportAPIKeys.
func (k *keySource) batch(ctx context.Context) ([]store.ImportRow, error) {
	rows := make([]store.ImportRow, 0, importBatch)
	for len(rows) < importBatch {
		row, err := k.next(ctx)
		if err != nil { // io.EOF too: it goes with the last rows
			return rows, err
		}
		rows = append(rows, k.stored(row))
	}
	return rows, nil
}

// importDryRun reads every line and asks the store of it. A key that is twice in the
// file is told by the import alone.
func (a *app) importDryRun(ctx context.Context, source *keySource, f format) error {
	var good, duplicates int64
	for {
		row, err := source.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		duplicate, err := source.fits(ctx, row)
		var problem keyimport.Problem
		switch {
		case errors.As(err, &problem):
			source.tell(problem)
		case err != nil:
			return err
		case duplicate:
			duplicates++
		default:
			good++
		}
	}
	var err error
	if f == formatJSON {
		err = printJSON(a.stdout, map[string]any{"dry_run": true, "readable": good, "skipped_duplicates": duplicates, "refused": source.bad})
	} else {
		_, err = fmt.Fprintf(a.stdout, "%d keys would be imported, %d duplicates skipped, %d lines refused; nothing was changed\n", good, duplicates, source.bad)
	}
	if err == nil && source.bad > 0 {
		return errReported
	}
	return err
}

// progress shows on a terminal how far long work is.
func (a *app) progress(what string, size int64, file *os.File) func(int64) {
	if !isTerminal(a.stderr) {
		return func(int64) {}
	}
	return func(done int64) {
		at, err := file.Seek(0, io.SeekCurrent)
		if err != nil || size == 0 {
			return
		}
		fmt.Fprintf(a.stderr, "\r%3d %%  %d %s", min(100, at*100/size), done, what)
	}
}

func (a *app) endProgress() {
	if isTerminal(a.stderr) {
		fmt.Fprintln(a.stderr)
	}
}

// stored is a row as the store takes it.
func (k *keySource) stored(row keyimport.Row) store.ImportRow {
	out := store.ImportRow{Key: row.Key, Hint: row.Hint}
	switch {
	case row.Hash == nil:
		out.Digest, out.PepperID = k.digester.Digest(row.Sum)
	case row.Hash.Text == "":
		out.Foreign = &store.ForeignRow{Lookup: row.Hash.HMAC}
	default:
		out.Foreign = &store.ForeignRow{Lookup: manage.ForeignHead(row.Hash.Head), Hash: row.Hash.Text, Head: len(row.Hash.Head)}
	}
	return out
}

// holdsHashes says whether a file may hold hashes of another system, which are not
// imported in bulk. It looks at the beginning.
func holdsHashes(file *os.File) (bool, error) {
	head := make([]byte, 1<<20)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the file: %w", err)
	}
	for _, member := range []string{"bcrypt", "argon2", "hmac_sha256"} {
		if bytes.Contains(head[:n], []byte(member)) {
			return true, nil
		}
	}
	return false, nil
}
