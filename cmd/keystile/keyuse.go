package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

func newKeyUsage(a *app) *cobra.Command {
	var (
		t         target
		f         format
		by        string
		since, to string
	)
	cmd := &cobra.Command{
		Use:     "usage ID",
		Short:   "Show how a key was used: requests by day or hour, the last one, and what it really used",
		Example: "  keystile key usage key_sibaya --by hour",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if by != "hour" && by != "day" {
				return usagef("--by %q: use hour or day", by)
			}
			from, err := timeFlag("--since", since)
			if err != nil {
				return err
			}
			until, err := timeFlag("--until", to)
			if err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				usage, err := m.KeyUsage(ctx, args[0], by, from, until)
				if err != nil {
					return notFound(err, "key", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, usage)
				}
				return a.printUsage(usage)
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "day", "hour or day")
	cmd.Flags().StringVar(&since, "since", "", "first hour to show, RFC 3339; default 30 days ago")
	cmd.Flags().StringVar(&to, "until", "", "end of what is shown, RFC 3339; default now")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// timeFlag reads a time that may be left out.
func timeFlag(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("%s %q: use RFC 3339, for example 2027-01-01T00:00:00Z", name, text)
	}
	return at, nil
}

func (a *app) printUsage(u client.KeyUsage) error {
	out := newTable(a.stdout, strings.ToUpper(u.By), "ALLOWED", "REFUSED")
	for _, r := range u.Requests {
		out.row(r.Start.UTC().Format(time.RFC3339), strconv.FormatInt(r.Allowed, 10), strconv.FormatInt(r.Refused, 10))
	}
	if err := out.flush(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	last := "never within 90 days"
	if u.LastUsed != nil {
		last = u.LastUsed.At.UTC().Format(time.RFC3339) + " from " + visible(u.LastUsed.Address) + " for " + visible(u.LastUsed.Route)
	}
	return printFields(a.stdout, "last used", last, "scopes used", aspectNames(u.Scopes), "sites used", aspectNames(u.Sites), "routes used", aspectNames(u.Routes),
		"scopes never used", strings.Join(u.Unused.Scopes, ", "), "sites never used", strings.Join(u.Unused.PermittedSiteIDs, ", "))
}

func aspectNames(aspects []client.KeyAspect) string {
	names := make([]string, len(aspects))
	for i, aspect := range aspects {
		names[i] = aspect.Name
	}
	return strings.Join(names, ", ")
}

func newKeyPropose(a *app) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use:   "propose ID",
		Short: "Propose a narrower key that would have been enough for what it was used for",
		Long: `Compares what a key was granted with what it really used and prints a narrower
key. Nothing is changed: keystile key narrow ID --to-used does that. A condition
of a route that reads scopes or sites is not seen.`,
		Example: "  keystile key propose key_sibaya",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				usage, err := m.KeyUsage(ctx, args[0], "day", time.Time{}, time.Time{})
				if err != nil {
					return notFound(err, "key", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, map[string]any{"id": args[0], "proposal": usage.Proposal, "unused": usage.Unused})
				}
				if usage.Proposal == nil {
					_, err := fmt.Fprintf(a.stdout, "key %s: nothing narrower can be proposed\n", args[0])
					return err
				}
				if err := printFields(a.stdout,
					"scopes", strings.Join(usage.Proposal.Scopes, ", "), "sites", strings.Join(usage.Proposal.PermittedSiteIDs, ", "),
					"scopes given up", strings.Join(usage.Unused.Scopes, ", "), "sites given up", strings.Join(usage.Unused.PermittedSiteIDs, ", ")); err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "\nTo do so: keystile key narrow %s --to-used --yes\n", args[0])
				return err
			})
		},
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newKeyIdle(a *app) *cobra.Command {
	var (
		t      target
		f      format
		filter client.KeyFilter
		idle   time.Duration
	)
	cmd := &cobra.Command{
		Use:     "idle",
		Short:   "Report keys that are good and have not been used for long",
		Example: "  keystile key idle --for 2160h",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if idle <= 0 {
				return usagef("--for: use a duration such as 2160h")
			}
			filter.State, filter.IdleSince = "active", time.Now().Add(-idle)
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error { return a.printKeys(ctx, m, filter, f) })
		},
	}
	cmd.Flags().DurationVar(&idle, "for", 90*24*time.Hour, "how long without use; a key that was never used counts from when it was made")
	cmd.Flags().StringVar(&filter.Organization, "organization", "", "only this organisation's")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newKeyRename(a *app) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use:     "rename ID NAME",
		Short:   "Give a key another name",
		Example: "  keystile key rename key_sibaya 'Telemetry export'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("give the key's id and its new name")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.UpdateKey(ctx, args[0], client.Version{}, client.KeyUpdate{Name: &args[1]})
				if err != nil {
					return notFound(err, "key", args[0])
				}
				return a.printOneKey(f, key)
			})
		},
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (a *app) printOneKey(f format, key client.Key) error {
	if f == formatJSON {
		return printJSON(a.stdout, key)
	}
	return printKey(a, key)
}
