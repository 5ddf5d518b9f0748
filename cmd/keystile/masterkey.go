package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

func newMasterKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "master-key", Short: "Rotate the key that everything sealed in the store hangs on",
		Long: `A rotation wraps the store's sealing keyset under another master key, adds a new
sealing key to it, and seals every value again with that one. Until it is retired the
old master key opens the store too, so that servers and their configurations can
follow one by one, without a pause:

  keystile master-key rotate --to file:/etc/keystile/master-2.key
  (name it as master_key in every configuration; SIGHUP or restart the servers)
  keystile master-key retire`,
		Example: "  keystile master-key rotate --to file:/etc/keystile/master-2.key",
	}
	cmd.AddCommand(newMasterKeyShow(a), newMasterKeyRotate(a), newMasterKeyRetire(a))
	return cmd
}

// withHouse runs work on the store of a configuration, in this process.
func (a *app) withHouse(cmd *cobra.Command, c *configFlags, work func(context.Context, *house) error) (err error) {
	cfg, err := c.load(a, cmd)
	if err != nil {
		return err
	}
	h, err := a.openConfigured(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	return work(cmd.Context(), h)
}

func newMasterKeyShow(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use: "show", Short: "Show which master key opens the store, and whether a rotation is under way", Args: noArguments,
		Example: "  keystile master-key show",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error { return a.showMaster(ctx, h, f) })
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (a *app) showMaster(ctx context.Context, h *house, f format) error {
	rotating, err := h.rotating(ctx)
	if err != nil {
		return err
	}
	left, err := h.store.SealedBefore(ctx, h.sealer.Head())
	if err != nil {
		return err
	}
	if f == formatJSON {
		return printJSON(a.stdout, map[string]any{"id": h.sealer.MasterID(), "rotating": rotating, "outdated": h.outdated, "sealed_before": left})
	}
	state := "the only one"
	switch {
	case h.outdated:
		state = "rotated: name the new one in this configuration"
	case rotating:
		state = "new; the one before opens the store until keystile master-key retire"
	}
	return printFields(a.stdout, "id", h.sealer.MasterID(), "state", state, "to be sealed again", strconv.FormatInt(sum(left), 10))
}

func sum(counts map[string]int64) (n int64) {
	for _, count := range counts {
		n += count
	}
	return n
}

func newMasterKeyRotate(a *app) *cobra.Command {
	var (
		c    configFlags
		f    format
		to   string
		wrap bool
	)
	cmd := &cobra.Command{
		Use: "rotate", Short: "Put the store's keys under another master key and seal every value again", Args: noArguments,
		Long: `Takes the new key as master_key names it: file:PATH, which is drawn and written if it
is not there, env:NAME, vault:https://HOST:8200/MOUNT/KEY or aws-kms://ARN. Running
servers go on. Values are sealed again some at a time; if that is interrupted, run
the same command again, and it goes on where it stopped.`,
		Example: "  keystile master-key rotate --to file:/etc/keystile/master-2.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usagef("name the new key with --to")
			}
			next, err := a.nextMaster(to)
			if err != nil {
				return err
			}
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				before := h.sealer.MasterID()
				if err := h.rotateMaster(ctx, next, !wrap); err != nil {
					return err
				}
				report, err := a.sealAgain(ctx, h)
				if err != nil {
					return err
				}
				return a.printRotation(f, rotation{ID: next.ID(), Before: before, MasterKey: to, Resealed: sum(report.Resealed), Broken: report.Broken})
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the new master key, as the configuration names it (required)")
	cmd.Flags().BoolVar(&wrap, "wrap-only", false, "keep the sealing key: no value is sealed again, and whoever has the old master key and a copy of the store goes on opening new values")
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// rotation is what master-key rotate did.
type rotation struct {
	ID        string `json:"id"`
	Before    string `json:"before"`
	MasterKey string `json:"master_key"`
	// Resealed counts values that were sealed again by this run.
	Resealed int64 `json:"resealed"`
	// Broken are values that do not open; they were left as they are.
	Broken []string `json:"broken,omitempty"`
}

func (a *app) printRotation(f format, r rotation) error {
	if f == formatJSON {
		return printJSON(a.stdout, r)
	}
	a.tellBroken(r.Broken)
	_, err := fmt.Fprintf(a.stdout, "The store is now under %s, and %s opens it until it is retired. %d values were sealed again.\n\nNext: set master_key: %s in every configuration, reload the servers (SIGHUP), then run\n  keystile master-key retire\n",
		r.ID, r.Before, r.Resealed, r.MasterKey)
	return err
}

func (a *app) tellBroken(broken []string) {
	for _, place := range broken {
		fmt.Fprintf(a.stderr, "warning: %s does not open and was left as it is\n", place)
	}
}

// sealAgain seals what is not under the newest sealing key.
func (a *app) sealAgain(ctx context.Context, h *house) (store.ResealReport, error) {
	p := a.newProgress("values sealed again")
	report, err := h.store.Reseal(ctx, store.Actor{Name: "cli"}, store.Resealing{
		Head: h.sealer.Head(), Again: h.sealer.Reseal,
		Progress: func(done int64) { p.add(done - p.done) },
	})
	p.end()
	return report, err
}

// nextMaster loads a master key; a key file that is not there is drawn.
func (a *app) nextMaster(spec string) (*keyring.Master, error) {
	if path, ok := strings.CutPrefix(spec, "file:"); ok {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := writeMasterKey(path); err != nil {
				return nil, err
			}
		}
	}
	return keyring.LoadMaster(spec, a.getenv)
}

// errRotating says that a rotation was not ended.
var errRotating = errors.New("a rotation of the master key is under way: name the new key in every configuration, then run keystile master-key retire")

// rotating says whether a rotation was not ended.
func (h *house) rotating(ctx context.Context) (bool, error) {
	_, err := h.store.Keyset(ctx, keysetSealingBefore)
	if errors.Is(err, keystile.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// rotateMaster wraps the sealing keyset, with a new key in it if renew is set,
// under another master key, and under the present one as well, so that both open
// what is sealed from now on. Of a rotation to the same key that was interrupted
// nothing is left to do here.
func (h *house) rotateMaster(ctx context.Context, next *keyring.Master, renew bool) error {
	rotating, err := h.rotating(ctx)
	if err != nil {
		return err
	}
	if rotating {
		if _, err := keyring.OpenSealer(next, h.wrapped); err != nil {
			return errRotating
		}
		return nil
	}
	if next.ID() == h.sealer.MasterID() && !next.KeptElsewhere() {
		return fmt.Errorf("%s is the present master key: name another one", next.ID())
	}
	keys, wrapped, before, err := h.rewrapped(next, renew)
	if err != nil {
		return err
	}
	err = h.store.Mutate(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error {
		if err := h.unchanged(ctx, tx); err != nil {
			return err
		}
		if err := errors.Join(tx.PutKeyset(ctx, keysetSealingBefore, before), tx.PutKeyset(ctx, keysetSealing, wrapped)); err != nil {
			return err
		}
		tx.Announce(keystile.ChangeAll, "")
		return tx.Record(ctx, "", "master_key.rotate", "master_key:"+next.ID(), map[string]any{"before": h.sealer.MasterID(), "new_sealing_key": renew})
	})
	if err == nil {
		h.sealer.Take(keys)
		h.wrapped = wrapped
	}
	return err
}

// rewrapped are the sealing keys, with a new one if renew is set, wrapped under the
// next master key, which was tried, and under the present one.
func (h *house) rewrapped(next *keyring.Master, renew bool) (keys *keyring.Sealer, wrapped, before []byte, err error) {
	keys = h.sealer
	if renew {
		if keys, err = h.sealer.Renewed(); err != nil {
			return nil, nil, nil, err
		}
	}
	if wrapped, err = keys.Rewrap(next); err != nil {
		return nil, nil, nil, err
	}
	if _, err = keyring.OpenSealer(next, wrapped); err != nil {
		return nil, nil, nil, fmt.Errorf("the new master key does not open what it wrapped: %w", err)
	}
	before, err = keys.Wrapped()
	return keys, wrapped, before, err
}

// unchanged refuses to write over a sealing keyset that is not what was read: two
// rotations at once would each drop the other's key.
func (h *house) unchanged(ctx context.Context, tx *store.Tx) error {
	present, err := tx.Keyset(ctx, keysetSealing)
	if err != nil {
		return err
	}
	if !bytes.Equal(present, h.wrapped) {
		return errors.New("the sealing keys were changed by another command meanwhile: run this one again")
	}
	return nil
}

// sealingSettles is how long a new sealing key is in force before the one before
// may go: by then every server seals with it, and what was sealed before is written.
const sealingSettles = 10 * time.Second

func newMasterKeyRetire(a *app) *cobra.Command {
	var (
		c   configFlags
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use: "retire", Short: "End the master key before the last rotation: it opens the store no more", Args: noArguments,
		Long: `Seals again what is left to be, and drops the old sealing keys: the old master key
opens nothing that the store holds. Refused where the configuration itself still
names the old key. Backups that were taken before the rotation go on needing the old
one: keep it as long as them. State files that were exported before hold sealed
values which are not taken any more: export again.`,
		Example: "  keystile master-key retire --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(yes, "end the master key before the last rotation, once every configuration names the new one?"); err != nil {
				return err
			}
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				if err := a.retireMaster(ctx, h); err != nil {
					return err
				}
				if f == formatJSON {
					return printJSON(a.stdout, map[string]string{"id": h.sealer.MasterID()})
				}
				_, err := fmt.Fprintf(a.stdout, "%s alone opens the store\n", h.sealer.MasterID())
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// retirePasses is how often retire seals again what others sealed meanwhile.
const retirePasses = 3

// errSealedMeanwhile says that values came under an older key after the last pass.
var errSealedMeanwhile = errors.New("values were sealed with an older key meanwhile: see that every server has read its configuration again, then run this again")

func (a *app) retireMaster(ctx context.Context, h *house) error {
	if h.outdated {
		return errors.New("this configuration names the old master key: name the new one first")
	}
	rotating, err := h.rotating(ctx)
	if err != nil {
		return err
	}
	if !rotating {
		return errors.New("there is no rotation to end: only one master key opens the store")
	}
	if err := a.settleSealing(ctx, h); err != nil {
		return err
	}
	for range retirePasses {
		report, err := a.sealAgain(ctx, h)
		if err != nil {
			return err
		}
		if len(report.Broken) > 0 {
			a.tellBroken(report.Broken)
			return fmt.Errorf("%d values do not open, the first is %s: remove or renew what they are of, then run this again", len(report.Broken), report.Broken[0])
		}
		if err = h.dropSealing(ctx); !errors.Is(err, errSealedMeanwhile) {
			return err
		}
	}
	return errSealedMeanwhile
}

// settleSealing waits until every server seals with the newest key.
func (a *app) settleSealing(ctx context.Context, h *house) error {
	if h.sealer.Keys() == 1 {
		return nil
	}
	since, err := h.store.KeysetChanged(ctx, keysetSealing)
	if err != nil {
		return err
	}
	left := sealingSettles - time.Since(since)
	if left <= 0 {
		return nil
	}
	fmt.Fprintf(a.stderr, "waiting %s until every server seals with the new key\n", min(left, sealingSettles).Round(time.Second))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(left, sealingSettles)):
		return nil
	}
}

// dropSealing ends the old master key and every sealing key but the newest, if no
// value is under them.
func (h *house) dropSealing(ctx context.Context) error {
	alone, err := h.sealer.Alone()
	if err != nil {
		return err
	}
	wrapped, err := alone.Wrapped()
	if err != nil {
		return err
	}
	err = h.store.Mutate(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error {
		if err := h.unchanged(ctx, tx); err != nil {
			return err
		}
		left, err := tx.SealedBefore(ctx, h.sealer.Head())
		if err != nil {
			return err
		}
		if sum(left) > 0 {
			return errSealedMeanwhile
		}
		if err := errors.Join(tx.DeleteKeyset(ctx, keysetSealingBefore), tx.PutKeyset(ctx, keysetSealing, wrapped)); err != nil {
			return err
		}
		tx.Announce(keystile.ChangeAll, "")
		return tx.Record(ctx, "", "master_key.retire", "master_key:"+h.sealer.MasterID(), map[string]any{})
	})
	if err == nil {
		h.sealer.Take(alone)
		h.wrapped = wrapped
	}
	return err
}
