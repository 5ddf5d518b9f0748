package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/state"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

func newApply(a *app) *cobra.Command {
	var (
		t     target
		f     format
		o     state.Options
		files []string
		yes   bool
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE [FILE...]",
		Short: "Make the world match a state file: all of it, or nothing",
		Long: `Compares the state files with the store, prints what changes, and changes it in
one transaction. Applying the same files again changes nothing. A running server
sees the change within a second and reads its routes again.`,
		Example: "  keystile apply -f world.yaml --config keystile.yaml --dry-run",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(files) == 0 {
				return usagef("-f FILE is required")
			}
			files := slices.Concat(files, args) // as a shell makes of -f *.yaml
			if o.Prune && !o.DryRun {
				if err := a.confirm(yes, "delete what the files do not name?"); err != nil {
					return err
				}
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				if m.house == nil {
					return a.applyRemote(ctx, m, files, o, f)
				}
				return a.applyLocal(ctx, m.house, files, o, f)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&files, "file", "f", nil, "state file; repeat for more")
	flags.BoolVar(&o.DryRun, "dry-run", false, "tell what would change, and change nothing")
	flags.BoolVar(&o.Prune, "prune", false, "delete what the files do not name, of the kinds they do name")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func readStates(files []string) ([]state.File, error) {
	sources := make([]state.File, len(files))
	for i, name := range files {
		data, err := yamlfile.Read(name, yamlfile.MaxState)
		if err != nil {
			return nil, err
		}
		sources[i] = state.File{Name: name, Data: data}
	}
	return sources, nil
}

func (a *app) applyLocal(ctx context.Context, h *house, files []string, o state.Options, f format) error {
	sources, err := readStates(files)
	if err != nil {
		return err
	}
	world, err := state.Parse(sources...)
	if err != nil {
		return err
	}
	summary, err := applyWorld(ctx, h, world, o)
	if err != nil {
		return err
	}
	return a.printApplied(f, o, wireResult(summary, o))
}

// applyWorld applies in one transaction and tells running servers to read their
// routes again.
func applyWorld(ctx context.Context, h *house, world *state.World, o state.Options) (state.Summary, error) {
	actor := store.Actor{Name: "cli"}
	summary, err := state.Apply(ctx, h.service, actor, world, o)
	if err != nil || o.DryRun {
		return summary, err
	}
	return summary, announceReload(ctx, h, actor)
}

func announceReload(ctx context.Context, h *house, actor store.Actor) error {
	return h.store.Mutate(ctx, actor, func(_ context.Context, tx *store.Tx) error {
		tx.Announce(keystile.ChangeReload, "")
		return nil
	})
}

func (a *app) applyRemote(ctx context.Context, m *management, files []string, o state.Options, f format) error {
	sources, err := readStates(files)
	if err != nil {
		return err
	}
	if _, err := state.Parse(sources...); err != nil { // what is wrong with the files alone
		return err
	}
	sent := joinStates(sources)
	result, err := m.ApplyState(ctx, sent.data, client.ApplyOptions{DryRun: o.DryRun, Prune: o.Prune})
	var refused *client.Error
	if errors.As(err, &refused) && len(refused.Fields) > 0 {
		return sent.problems(refused)
	}
	if err != nil {
		return err
	}
	for i, warning := range result.Warnings { // the server read bytes, and calls them so
		result.Warnings[i] = sent.named(warning)
	}
	return a.printApplied(f, o, result)
}

func (a *app) printApplied(f format, o state.Options, result client.StateResult) error {
	for _, warning := range result.Warnings {
		fmt.Fprintf(a.stderr, "warning: %s\n", warning)
	}
	if f == formatJSON {
		return printJSON(a.stdout, result)
	}
	signs := map[string]string{"create": "+", "update": "~", "delete": "-"}
	counts := map[string]int{}
	for _, c := range result.Changes {
		counts[c.Action]++
		line := signs[c.Action] + " " + c.Kind + " " + visible(c.ID)
		if len(c.Members) > 0 {
			line += ": " + strings.Join(c.Members, "; ")
		}
		fmt.Fprintln(a.stdout, line)
	}
	verb := ""
	if o.DryRun {
		verb = " (dry run: nothing was changed)"
	}
	if len(result.Changes) == 0 {
		fmt.Fprintf(a.stdout, "no changes%s\n", verb)
	} else {
		fmt.Fprintf(a.stdout, "%d created, %d updated, %d deleted%s\n", counts["create"], counts["update"], counts["delete"], verb)
	}
	for i, s := range result.Secrets {
		if i == 0 {
			fmt.Fprintln(a.stdout, "\nSecrets, shown only now:")
		}
		fmt.Fprintf(a.stdout, "%s  %s\n", s.ID, s.Secret)
	}
	return nil
}

// wireResult is a summary in the API's words.
func wireResult(s state.Summary, o state.Options) client.StateResult {
	result := client.StateResult{DryRun: o.DryRun, Changes: []client.StateChange{}, Secrets: []client.StateSecret{}, Warnings: []string{}}
	for _, c := range s.Changes {
		change := client.StateChange{Action: string(c.Action), Kind: c.Kind, ID: c.ID}
		for _, field := range c.Fields {
			change.Members = append(change.Members, field.Name+": "+field.From+" -> "+field.To)
		}
		result.Changes = append(result.Changes, change)
	}
	for _, secret := range s.Secrets {
		result.Secrets = append(result.Secrets, client.StateSecret{Kind: secret.Kind, ID: secret.KeyID, Secret: secret.Secret.Reveal()})
	}
	for _, warning := range s.Warnings {
		result.Warnings = append(result.Warnings, warning.Error())
	}
	return result
}

// stateOf lets the management API apply and export state files.
func stateOf(h *house) api.State { return stateFiles{h} }

type stateFiles struct{ house *house }

// Apply implements api.State.
func (s stateFiles) Apply(ctx context.Context, actor manage.Actor, file []byte, o api.StateOptions) (api.StateResult, error) {
	none := api.StateResult{}
	files, err := splitStates(file)
	if err != nil {
		return none, err
	}
	world, err := state.Parse(files...)
	if err != nil {
		return none, invalids(err)
	}
	options := state.Options{DryRun: o.DryRun, Prune: o.Prune}
	summary, err := state.Apply(ctx, s.house.service, actor, world, options)
	if err != nil {
		return none, invalids(err)
	}
	if !o.DryRun {
		if err := announceReload(ctx, s.house, actor); err != nil {
			return none, err
		}
	}
	wire := wireResult(summary, options)
	result := api.StateResult{DryRun: wire.DryRun, Changes: []api.StateChange{}, Secrets: []api.StateSecret{}, Warnings: wire.Warnings}
	for _, c := range wire.Changes {
		result.Changes = append(result.Changes, api.StateChange(c))
	}
	for _, c := range wire.Secrets {
		result.Secrets = append(result.Secrets, api.StateSecret(c))
	}
	return result, nil
}

// invalids turns problems with lines into the API's members at fault: the line
// stands before the field.
func invalids(err error) error {
	problems, ok := yamlfile.ProblemsOf(err)
	if !ok {
		return err
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = &keystile.Invalid{Field: fmt.Sprintf("%d: %s", p.Line, p.Field), Problem: p.Problem, Remedy: p.Remedy}
	}
	return errors.Join(errs...)
}

// Export implements api.State.
func (s stateFiles) Export(ctx context.Context) ([]byte, error) {
	return state.Export(ctx, s.house.store, time.Now(), state.SealedUnder(s.house.sealer.MasterID()))
}

func newExport(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the world as a state file that apply takes back",
		Long: `Writes the world to standard output, everything that a state file can say: from
organisations, sites and people to keys, applications and what was authorized.
Secrets are written as keyed digests, which only a store with the same pepper can
use, or, where they must be readable, sealed under the master key. Applying the
export to the same store changes nothing.`,
		Example: "  keystile export --config keystile.yaml > world.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				text, err := m.ExportState(ctx)
				if err != nil {
					return err
				}
				return writeText(a.stdout, text)
			})
		},
	}
	t.add(cmd)
	return cmd
}
