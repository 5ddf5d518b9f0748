package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
)

func newObserved(a *app) *cobra.Command {
	var (
		t     target
		f     format
		since string
	)
	cmd := &cobra.Command{
		Use:   "observed",
		Short: "Show what routes that only observe would have refused",
		Long: `Tells, by route, reason and credential, which requests a route with observe_until
let through that it would have refused. Exit status 0 also if there are any.`,
		Example: "  keystile observed --since 2026-11-01T00:00:00Z",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := timeFlag("--since", since)
			if err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				refusals, err := m.ObservedRefusals(ctx, from)
				if err != nil {
					return err
				}
				if f == formatJSON {
					return printJSON(a.stdout, refusals)
				}
				out := newTable(a.stdout, "ROUTE", "REASON", "ORGANIZATION", "CREDENTIAL", "RECORDED", "LAST")
				for _, r := range refusals {
					out.row(r.Route, r.Reason, r.Organization, r.Credential, strconv.FormatInt(r.Recorded, 10), timeText(&r.LastAt))
				}
				return out.flush()
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "RFC 3339; default 24 hours ago")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
