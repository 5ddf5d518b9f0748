package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/state"
	"keystile.dev/keystile/internal/store"
)

func newMigrate(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the store's schema up to this version",
		Long:    "Upgrades the schema of the store, step by step; an interrupted upgrade goes on where it stopped. serve and apply do the same by themselves.",
		Example: "  keystile migrate --config keystile.yaml", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			st, err := store.Open(cmd.Context(), store.Options{URL: cfg.Store.Reveal(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			steps := 0
			if err := st.Migrate(cmd.Context(), func(version int64, name string) {
				steps++
				fmt.Fprintf(a.stderr, "schema %d  %s\n", version, name)
			}); err != nil {
				return err
			}
			current, _, err := st.SchemaVersion(cmd.Context())
			if err != nil {
				return err
			}
			if f == formatJSON {
				return printJSON(a.stdout, map[string]any{"version": current, "steps": steps})
			}
			_, err = fmt.Fprintf(a.stdout, "schema version %d, %d steps done\n", current, steps)
			return err
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newSchema(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "schema [config|state]", Short: "Print the JSON Schema of the configuration or of the state file",
		Example: "  keystile schema config > keystile.schema.json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "config" && args[0] != "state" {
				return usagef("schema takes config or state")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			ofConfig, err := config.Schema()
			if err != nil {
				return err
			}
			ofState, err := state.Schema()
			if err != nil {
				return err
			}
			switch {
			case len(args) == 0:
				return writeText(a.stdout, fmt.Appendf(nil, "{\n\"config\": %s,\n\"state\": %s\n}\n", ofConfig, ofState))
			case args[0] == "state":
				return writeText(a.stdout, ofState)
			}
			return writeText(a.stdout, ofConfig)
		},
	}
	addUnreadConfig(cmd)
	return cmd
}

func writeText(w io.Writer, text []byte) error {
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
