package main

import (
	"context"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var organizations = thing[client.Organization]{
	noun: "org", plural: "organisations", columns: []string{"ID", "NAME", "ENVIRONMENT", "TENANT ID", "KEY PREFIX", "MFA", "DISABLED", "CREATED"},
	cells: func(o client.Organization) []string {
		return []string{o.ID, o.Name, o.Environment, o.TenantID, o.KeyPrefix, o.MFA, strconv.FormatBool(o.Disabled), timeText(&o.CreatedAt)}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.Organization, error] {
		return m.AllOrganizations(ctx, o)
	},
	one: func(ctx context.Context, m *management, id string) (client.Organization, error) {
		return m.Organization(ctx, id)
	},
	remove: func(ctx context.Context, m *management, id string) error { return m.DeleteOrganization(ctx, id) },
}

func newOrganization(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "org", Aliases: []string{"organization"}, Short: "Create, list, show, change, disable and delete organisations",
		Example: "  keystile org create --id sibaya-power --name 'Sibaya Power'",
	}
	var in client.OrganizationCreate
	create := creator(a, "organisation", "keystile org create --id sibaya-power --name 'Sibaya Power'", func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&in.ID, "id", "", "id; default generated")
		cmd.Flags().StringVar(&in.Name, "name", "", "name for people")
		cmd.Flags().StringVar(&in.Environment, "environment", "", "production (default) or sandbox")
		cmd.Flags().StringVar(&in.TenantID, "tenant-id", "", "UUID; default the id if it is one, else generated")
		cmd.Flags().StringVar(&in.KeyPrefix, "key-prefix", "", "beginning of its API keys; default opa")
		cmd.Flags().StringVar(&in.MFA, "mfa", "", "required, optional (default) or off, where neither the user nor their role says")
	}, func(ctx context.Context, m *management, f format) error {
		created, err := m.CreateOrganization(ctx, in)
		if err != nil {
			return err
		}
		return organizations.print(a, f, created)
	})
	cmd.AddCommand(create, organizations.list(a), organizations.show(a), newOrganizationUpdate(a), newOrganizationSwitch(a, "disable", true), newOrganizationSwitch(a, "enable", false), organizations.delete(a))
	return cmd
}

// newOrganizationSwitch disables or enables an organisation: every credential
// of a disabled one is refused.
func newOrganizationSwitch(a *app, verb string, disabled bool) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use: verb + " ID", Short: "Refuse, or accept again, every credential of an organisation", Args: oneArgument("its id"),
		Example: "  keystile org " + verb + " sibaya-power",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				changed, err := m.UpdateOrganization(ctx, args[0], client.Version{}, client.OrganizationUpdate{Disabled: &disabled})
				if err != nil {
					return notFound(err, "organisation", args[0])
				}
				return organizations.print(a, f, changed)
			})
		},
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newOrganizationUpdate(a *app) *cobra.Command {
	var (
		t            target
		f            format
		name, policy string
		leak, grace  string
	)
	cmd := &cobra.Command{
		Use: "update ID", Short: "Change an organisation", Args: oneArgument("its id"),
		Example: "  keystile org update sibaya-power --mfa required",
		RunE: func(cmd *cobra.Command, args []string) error {
			var in client.OrganizationUpdate
			if cmd.Flags().Changed("name") {
				in.Name = &name
			}
			if cmd.Flags().Changed("mfa") {
				in.MFA = &policy
			}
			if cmd.Flags().Changed("leak-response") {
				in.Leak = &client.Leak{Response: leak}
			}
			if cmd.Flags().Changed("leak-grace") {
				if in.Leak == nil {
					return usagef("--leak-grace goes with --leak-response revoke")
				}
				in.Leak.Grace = &grace
			}
			if in == (client.OrganizationUpdate{}) {
				return usagef("nothing to change: give --name, --mfa or --leak-response")
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				changed, err := m.UpdateOrganization(ctx, args[0], client.Version{}, in)
				if err != nil {
					return notFound(err, "organisation", args[0])
				}
				return organizations.print(a, f, changed)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people")
	cmd.Flags().StringVar(&policy, "mfa", "", "required, optional or off, where neither the user nor their role says; empty: optional")
	cmd.Flags().StringVar(&leak, "leak-response", "", "what happens to API keys found in the open: notify, throttle or revoke")
	cmd.Flags().StringVar(&grace, "leak-grace", "", "with revoke: how long a leaked secret goes on, such as 24h; default it ends at once")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
