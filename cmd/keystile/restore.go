package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/backup"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/store"
)

func newRestore(a *app) *cobra.Command {
	var (
		c      configFlags
		f      format
		events string
	)
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty store from a backup",
		Long: `Reads the whole backup before it writes anything. The store that the configuration
names must be empty, or as init made it, and the master key the one that the backup
needs. Sessions and whatever may be used once end, and one-time requests are refused
for the time in which they may have been spent without this store knowing.

Keys that were revoked after the backup was taken are live again in it: give the
audit log as it was exported since, and they are listed.`,
		Example: "  keystile restore /var/backups/keystile-2026-11-28 --config new/keystile.yaml --audit november.jsonl",
		Args:    oneArgument("the backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			done, err := a.restore(cmd.Context(), cfg, args[0], events)
			if err != nil {
				return err
			}
			return a.printRestored(f, done)
		},
	}
	c.add(cmd)
	cmd.Flags().StringVar(&events, "audit", "", "events since the backup, as keystile audit export writes them: what they revoked is listed")
	addFormat(cmd, &f)
	return cmd
}

// restored is what a restore did.
type restored struct {
	CreatedAt time.Time        `json:"backup_created_at"`
	Rows      int64            `json:"rows"`
	Ended     map[string]int64 `json:"ended"`
	// Revocations are what --audit says was ended after the backup.
	Revocations []client.Event `json:"revocations"`
}

func (a *app) restore(ctx context.Context, cfg *config.Config, file, events string) (done restored, err error) {
	master, err := keyring.LoadMaster(cfg.MasterKey, a.getenv)
	if err != nil {
		return done, masterKeyProblem(cfg, "name a file of mode 0600 that holds the key", err)
	}
	in, err := openBackup(file, master)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	done.CreatedAt = in.reader.Header.CreatedAt
	if done.Revocations, err = revocationsSince(events, done.CreatedAt); err != nil {
		return done, err
	}
	if err := a.readThrough(ctx, in); err != nil {
		return done, err
	}
	st, err := store.Open(ctx, store.Options{URL: cfg.Store.Reveal(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	err = a.fill(ctx, cfg, st, in, &done)
	return done, err
}

// backupFile is a backup that the master key opens.
type backupFile struct {
	file   *os.File
	reader *backup.Reader
	sealer *keyring.Sealer
	name   string
}

func openBackup(name string, master *keyring.Master) (*backupFile, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	in := &backupFile{file: f, name: name}
	if in.reader, err = backup.NewReader(f); err == nil {
		in.sealer, err = keyring.OpenSealer(master, in.reader.Header.Sealing)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return in, nil
}

func (b *backupFile) close() error { return b.file.Close() }

// rewind begins again, with the same header.
func (b *backupFile) rewind() error {
	if _, err := b.file.Seek(0, 0); err != nil {
		return fmt.Errorf("read the backup again: %w", err)
	}
	var err error
	b.reader, err = backup.NewReader(b.file)
	return err
}

// readThrough verifies the whole file.
func (a *app) readThrough(ctx context.Context, in *backupFile) error {
	p := a.newProgress("rows verified")
	defer p.end()
	if _, err := in.reader.Copy(ctx, backup.Nothing{Progress: p.add}, in.sealer.Open); err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	return in.rewind()
}

// filling is a restore that shows how far it is.
type filling struct {
	*store.Restore

	progress *progress
}

// Row implements backup.Sink.
func (f filling) Row(ctx context.Context, values []any) error {
	f.progress.add(1)
	return f.Restore.Row(ctx, values)
}

// fill puts the backup's rows into the store and makes it safe to use.
func (a *app) fill(ctx context.Context, cfg *config.Config, st *store.Store, in *backupFile, done *restored) (err error) {
	r, err := st.BeginRestore(ctx, in.reader.Header.Schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	p := a.newProgress("rows restored")
	defer p.end()
	if done.Rows, err = in.reader.Copy(ctx, filling{r, p}, in.sealer.Open); err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	done.Ended, err = r.Finish(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error {
		if err := forgetLedger(ctx, st, tx, clockWindow(cfg)); err != nil {
			return err
		}
		return tx.Record(ctx, "", "store.restore", "store:"+st.Engine(), map[string]any{
			"backup_created_at": done.CreatedAt.Format(time.RFC3339Nano), "backup_engine": in.reader.Header.Engine, "rows": done.Rows,
		})
	})
	return err
}

// forgetLedger has the store remember a ledger that nobody has: one-time requests
// may have been spent since the backup that neither it nor a journal knows of.
func forgetLedger(ctx context.Context, st *store.Store, tx *store.Tx, window time.Duration) error {
	window, err := widestWindow(ctx, st, window)
	if err != nil {
		return err
	}
	before, err := tx.Meta(ctx, metaLedgerEpoch)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	epoch, err := replay.NewEpoch(randomSource, window, before)
	if err != nil {
		return err
	}
	if err := tx.SetMeta(ctx, metaLedgerEpoch, epoch); err != nil {
		return err
	}
	return tx.RaiseNonceBounds(ctx, store.NonceBounds{Refuse: time.Now().Add(window)})
}

// endingVerbs are the verbs by which something stops being good.
var endingVerbs = []string{"revoke", "revoke_all", "delete", "expire", "expire_secrets", "withdraw", "suspend"}

// revocationsSince reads exported events and returns those after an instant by
// which something ended: revoked, deleted, disabled.
func revocationsSince(file string, since time.Time) (found []client.Event, err error) {
	if file == "" {
		return []client.Event{}, nil
	}
	f, err := os.Open(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	found = []client.Event{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxSecret)
	for number := 1; lines.Scan(); number++ {
		var e client.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Action == "" {
			return nil, fmt.Errorf("%s: line %d: it is no audit event", file, number)
		}
		if e.At.After(since) && ends(&e) {
			found = append(found, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return found, nil
}

func ends(e *client.Event) bool {
	_, verb, _ := strings.Cut(e.Action, ".")
	if slices.Contains(endingVerbs, verb) {
		return true
	}
	var change struct {
		Disabled struct {
			To bool `json:"to"`
		} `json:"disabled"`
		Review struct {
			To string `json:"to"`
		} `json:"review"`
	}
	if json.Unmarshal(e.Detail, &change) != nil {
		return false
	}
	review := keystile.ReviewState(change.Review.To)
	return change.Disabled.To || review == keystile.ReviewSuspended || review == keystile.ReviewRetired
}

func (a *app) printRestored(f format, done restored) error {
	if f == formatJSON {
		return printJSON(a.stdout, done)
	}
	fields := []string{"backup of", done.CreatedAt.Format(time.RFC3339), "rows", strconv.FormatInt(done.Rows, 10)}
	for _, what := range slices.Sorted(maps.Keys(done.Ended)) {
		fields = append(fields, what+" ended", strconv.FormatInt(done.Ended[what], 10))
	}
	if err := printFields(a.stdout, fields...); err != nil || len(done.Revocations) == 0 {
		return err
	}
	if _, err := fmt.Fprint(a.stdout, "\nEnded after the backup was taken, and good again now. End it again:\n"); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	out := newTable(a.stdout, eventColumns...)
	for i := range done.Revocations {
		out.row(eventCells(&done.Revocations[i])...)
	}
	return out.flush()
}
