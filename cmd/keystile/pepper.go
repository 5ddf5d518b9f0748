package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// pepperSettles is how long a new pepper is in force before the one before may
// go: by then every server has taken it up.
const pepperSettles = time.Minute

func newPepper(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pepper", Short: "List, rotate and remove the keys that stored digests are made with",
		Long: `A digest of a secret is kept under the pepper that was current when it was made.
After a rotation digests of API keys move to the new one as the keys are used; others
as they are made again. Two peppers that were retired can be in use beside the current one.`,
		Example: "  keystile pepper rotate",
	}
	cmd.AddCommand(newPepperList(a), newPepperRotate(a), newPepperPrune(a))
	return cmd
}

// pepperShown is a pepper as list shows it: never itself.
type pepperShown struct {
	ID        string           `json:"id"`
	Current   bool             `json:"current"`
	CreatedAt time.Time        `json:"created_at"`
	Digests   map[string]int64 `json:"digests"`
}

func newPepperList(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List peppers and how many digests are under each", Args: noArguments, Example: "  keystile pepper list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				peppers, err := h.store.Peppers(ctx)
				if err != nil {
					return err
				}
				shown := []pepperShown{}
				for _, p := range peppers {
					uses, err := h.store.PepperUses(ctx, p.ID)
					if err != nil {
						return err
					}
					shown = append(shown, pepperShown{p.ID, p.Current, p.CreatedAt, uses})
				}
				return a.printPeppers(f, shown)
			})
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (a *app) printPeppers(f format, peppers []pepperShown) error {
	if f == formatJSON {
		return printJSON(a.stdout, peppers)
	}
	out := newTable(a.stdout, "ID", "STATE", "CREATED", "DIGESTS")
	for _, p := range peppers {
		state := "retired"
		if p.Current {
			state = "current"
		}
		var uses []string
		for _, table := range slices.Sorted(maps.Keys(p.Digests)) {
			uses = append(uses, fmt.Sprintf("%s %d", table, p.Digests[table]))
		}
		out.row(p.ID, state, timeText(&p.CreatedAt), strings.Join(uses, ", "))
	}
	return out.flush()
}

func newPepperRotate(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new pepper; the old ones go on verifying what is under them", Args: noArguments,
		Example: "  keystile pepper rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				id, err := h.rotatePepper(ctx)
				if err != nil {
					return err
				}
				if f == formatJSON {
					return printJSON(a.stdout, map[string]string{"id": id})
				}
				_, err = fmt.Fprintf(a.stdout, "pepper %s is current; running servers take it up within a second\n", id)
				return err
			})
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (h *house) rotatePepper(ctx context.Context) (string, error) {
	pepper, sealed, err := keyring.NewPepper(rand.Reader, h.sealer)
	if err != nil {
		return "", err
	}
	err = h.store.Mutate(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Keyset(ctx, keysetSealing); err != nil { // and nobody else rotates meanwhile
			return err
		}
		there, err := tx.Peppers(ctx)
		if err != nil {
			return err
		}
		if len(there) >= keyring.MaxPeppers {
			return fmt.Errorf("%d peppers are in use, and a look-up tries at most %d: run keystile pepper prune, and keystile pepper list for what is under the oldest", len(there), keyring.MaxPeppers)
		}
		return tx.PutPepper(ctx, store.Pepper{ID: pepper.ID, Sealed: sealed, Current: true})
	})
	return pepper.ID, err
}

func newPepperPrune(a *app) *cobra.Command {
	var (
		c   configFlags
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove retired peppers that no digest is under any more", Args: noArguments,
		Example: "  keystile pepper prune --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(yes, "remove retired peppers that no digest is under?"); err != nil {
				return err
			}
			return a.withHouse(cmd, &c, func(ctx context.Context, h *house) error {
				removed, kept, err := h.prunePeppers(ctx)
				switch {
				case err != nil:
				case f == formatJSON:
					err = printJSON(a.stdout, map[string]int{"removed": removed, "kept": kept})
				default:
					_, err = fmt.Fprintf(a.stdout, "%d removed, %d retired ones still have digests\n", removed, kept)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (h *house) prunePeppers(ctx context.Context) (removed, kept int, err error) {
	peppers, err := h.store.Peppers(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range peppers {
		if p.Current && time.Since(p.CreatedAt) < pepperSettles {
			return 0, 0, fmt.Errorf("the current pepper is not a minute old: a server may still make digests under the one before; try again in %s", (pepperSettles - time.Since(p.CreatedAt)).Round(time.Second))
		}
	}
	for _, p := range peppers {
		if p.Current {
			continue
		}
		err := h.store.Mutate(ctx, store.Actor{Name: "cli"}, func(ctx context.Context, tx *store.Tx) error { return tx.DeletePepper(ctx, p.ID) })
		switch {
		case errors.Is(err, keystile.ErrConflict):
			kept++
		case err != nil:
			return removed, kept, err
		default:
			removed++
		}
	}
	return removed, kept, nil
}
