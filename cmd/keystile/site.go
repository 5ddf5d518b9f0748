package main

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var sites = thing[client.Site]{
	noun: "site", plural: "sites", columns: []string{"ID", "ORGANIZATION", "NAME", "CREATED"}, byOrganization: true,
	cells: func(s client.Site) []string { return []string{s.ID, s.Organization, s.Name, timeText(&s.CreatedAt)} },
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.Site, error] {
		return m.AllSites(ctx, o)
	},
	one:    func(ctx context.Context, m *management, id string) (client.Site, error) { return m.Site(ctx, id) },
	remove: func(ctx context.Context, m *management, id string) error { return m.DeleteSite(ctx, id) },
}

func newSite(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "site", Short: "Create, list, show and delete sites",
		Example: "  keystile site create --id Sibaya --organization sibaya-power",
	}
	var in client.SiteCreate
	create := creator(a, "site", "keystile site create --id Sibaya --organization sibaya-power", func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&in.ID, "id", "", "id, as callers send it")
		cmd.Flags().StringVar(&in.Organization, "organization", "", "organisation that owns it")
		cmd.Flags().StringVar(&in.Name, "name", "", "name for people")
	}, func(ctx context.Context, m *management, f format) error {
		created, err := m.CreateSite(ctx, in)
		if err != nil {
			return err
		}
		return sites.print(a, f, created)
	})
	cmd.AddCommand(create, sites.list(a), sites.show(a), sites.delete(a))
	return cmd
}
