package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

func newMasterKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "master-key", Short: "Rotate the key that everything sealed in the store hangs on",
		Long: `A rotation wraps the store's sealing keyset under another master key. Until it is
retired the old key opens the store too, so that servers and their configurations
can follow one by one, without a pause:

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
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				_, err := h.store.Keyset(ctx, keysetSealingBefore)
				if err != nil && !errors.Is(err, keystile.ErrNotFound) {
					return err
				}
				rotating := err == nil
				if f == formatJSON {
					return printJSON(a.stdout, map[string]any{"id": h.sealer.MasterID(), "rotating": rotating, "outdated": h.outdated})
				}
				state := "the only one"
				switch {
				case h.outdated:
					state = "rotated: name the new one in this configuration"
				case rotating:
					state = "new; the one before opens the store until keystile master-key retire"
				}
				return printFields(a.stdout, "id", h.sealer.MasterID(), "state", state)
			})
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newMasterKeyRotate(a *app) *cobra.Command {
	var (
		c  configFlags
		f  format
		to string
	)
	cmd := &cobra.Command{
		Use: "rotate", Short: "Wrap the store's keys under another master key; the old one opens them too until it is retired", Args: noArguments,
		Long: `Takes the new key as master_key names it: file:PATH, which is drawn and written if it
is not there, env:NAME or vault:https://HOST:8200/MOUNT/KEY. Running servers go on.`,
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
				if err := h.rotateMaster(ctx, next); err != nil {
					return err
				}
				if f == formatJSON {
					return printJSON(a.stdout, map[string]string{"id": next.ID(), "before": before, "master_key": to})
				}
				_, err := fmt.Fprintf(a.stdout, "The store is now under %s, and %s opens it until it is retired.\n\nNext: set master_key: %s in every configuration, reload the servers (SIGHUP), then run\n  keystile master-key retire\n", next.ID(), before, to)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the new master key, as the configuration names it (required)")
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
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

// rotateMaster wraps the sealing keyset under another master key, and keeps it
// wrapped under the present one.
func (h *house) rotateMaster(ctx context.Context, next *keyring.Master) error {
	if h.outdated {
		return errRotating
	}
	if next.ID() == h.sealer.MasterID() && !strings.HasPrefix(next.ID(), "vault/") {
		return fmt.Errorf("%s is the present master key: name another one", next.ID())
	}
	wrapped, err := h.sealer.Rewrap(next)
	if err != nil {
		return err
	}
	if _, err := keyring.OpenSealer(next, wrapped); err != nil {
		return fmt.Errorf("the new master key does not open what it wrapped: %w", err)
	}
	return h.store.Mutate(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Keyset(ctx, keysetSealingBefore); !errors.Is(err, keystile.ErrNotFound) {
			return errors.Join(err, errRotating)
		}
		present, err := tx.Keyset(ctx, keysetSealing)
		if err != nil {
			return err
		}
		if err := errors.Join(tx.PutKeyset(ctx, keysetSealingBefore, present), tx.PutKeyset(ctx, keysetSealing, wrapped)); err != nil {
			return err
		}
		tx.Announce(keystile.ChangeAll, "")
		return tx.Record(ctx, "", "master_key.rotate", "master_key:"+next.ID(), map[string]any{"before": h.sealer.MasterID()})
	})
}

func newMasterKeyRetire(a *app) *cobra.Command {
	var (
		c   configFlags
		yes bool
	)
	cmd := &cobra.Command{
		Use: "retire", Short: "End the master key before the last rotation: it opens the store no more", Args: noArguments,
		Long: `Refused where the configuration itself still names the old key. Backups that were
taken before the rotation go on needing the old one: keep it as long as them.`,
		Example: "  keystile master-key retire --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(yes, "end the master key before the last rotation, once every configuration names the new one?"); err != nil {
				return err
			}
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				if h.outdated {
					return errors.New("this configuration names the old master key: name the new one first")
				}
				err := h.store.Mutate(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error {
					if err := tx.DeleteKeyset(ctx, keysetSealingBefore); err != nil {
						return err
					}
					tx.Announce(keystile.ChangeAll, "")
					return tx.Record(ctx, "", "master_key.retire", "master_key:"+h.sealer.MasterID(), map[string]any{})
				})
				if errors.Is(err, keystile.ErrNotFound) {
					return errors.New("there is no rotation to end: only one master key opens the store")
				}
				if err == nil {
					_, err = fmt.Fprintf(a.stdout, "%s alone opens the store\n", h.sealer.MasterID())
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.add(cmd)
	return cmd
}
