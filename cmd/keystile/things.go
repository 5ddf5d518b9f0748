package main

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

// thing is what list, show and delete need to know of one kind of thing. Create
// has flags of its own.
type thing[T any] struct {
	noun    string
	plural  string
	columns []string
	cells   func(T) []string
	all     func(context.Context, *management, client.ListOptions) iter.Seq2[T, error]
	one     func(context.Context, *management, string) (T, error)
	// byOrganization says that a list can be narrowed.
	byOrganization bool
	// byUser says that a list can be narrowed to one user's.
	byUser bool
	remove func(context.Context, *management, string) error
}

func (k thing[T]) list(a *app) *cobra.Command {
	var (
		t target
		f format
		o client.ListOptions
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List " + k.plural, Args: noArguments,
		Example: "  keystile " + k.noun + " list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				if o.User != "" {
					u, err := findUser(ctx, m, o.User)
					if err != nil {
						return notFound(err, "user", o.User)
					}
					o.User = u.ID
				}
				items := []T{}
				for item, err := range k.all(ctx, m, o) {
					if err != nil {
						return err
					}
					items = append(items, item)
				}
				if f == formatJSON {
					return printJSON(a.stdout, items)
				}
				out := newTable(a.stdout, k.columns...)
				for _, item := range items {
					out.row(k.cells(item)...)
				}
				return out.flush()
			})
		},
	}
	if k.byOrganization {
		cmd.Flags().StringVar(&o.Organization, "organization", "", "only this organisation's")
	}
	if k.byUser {
		cmd.Flags().StringVar(&o.User, "user", "", "only this user's: an id, username or e-mail address")
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// print writes one thing.
func (k thing[T]) print(a *app, f format, item T) error {
	if f == formatJSON {
		return printJSON(a.stdout, item)
	}
	var pairs []string
	for i, cell := range k.cells(item) {
		pairs = append(pairs, strings.ToLower(k.columns[i]), cell)
	}
	return printFields(a.stdout, pairs...)
}

func (k thing[T]) show(a *app) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one " + k.noun, Args: oneArgument("its id"),
		Example: "  keystile " + k.noun + " show ID -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				item, err := k.one(ctx, m, args[0])
				if err != nil {
					return notFound(err, k.noun, args[0])
				}
				return k.print(a, f, item)
			})
		},
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (k thing[T]) delete(a *app) *cobra.Command {
	var (
		t   target
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use: "delete ID", Short: "Delete one " + k.noun, Args: oneArgument("its id"),
		Example: "  keystile " + k.noun + " delete ID --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "delete "+k.noun+" "+args[0]+"?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				if err := k.remove(ctx, m, args[0]); err != nil {
					return notFound(err, k.noun, args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, map[string]any{"id": args[0], "deleted": true})
				}
				_, err := fmt.Fprintf(a.stdout, "%s %s is deleted\n", k.noun, args[0])
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// creator makes a create command: flags adds the flags, make creates and prints.
func creator(a *app, noun, example string, flags func(*cobra.Command), create func(context.Context, *management, format) error) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use: "create", Short: "Create one " + noun, Args: noArguments, Example: "  " + example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error { return create(ctx, m, f) })
		},
	}
	flags(cmd)
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
