package main

import (
	"context"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var roles = thing[client.Role]{
	noun: "role", plural: "roles", columns: []string{"ID", "NAME", "SCOPES", "MFA", "CREATED"},
	cells: func(r client.Role) []string {
		return []string{r.ID, r.Name, strings.Join(r.Scopes, ", "), r.MFA, timeText(&r.CreatedAt)}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.Role, error] {
		return m.AllRoles(ctx, o)
	},
	one:    func(ctx context.Context, m *management, id string) (client.Role, error) { return m.Role(ctx, id) },
	remove: func(ctx context.Context, m *management, id string) error { return m.DeleteRole(ctx, id) },
}

func newRole(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "role", Short: "Create, list, show, change and delete roles",
		Example: "  keystile role create --id role_analyst --scope telemetry:read",
	}
	var in client.RoleCreate
	create := creator(a, "role", "keystile role create --id role_analyst --scope telemetry:read", func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&in.ID, "id", "", "id")
		cmd.Flags().StringVar(&in.Name, "name", "", "name for people")
		cmd.Flags().StringArrayVar(&in.Scopes, "scope", nil, "scope; repeat for more")
		cmd.Flags().StringVar(&in.MFA, "mfa", "", "required, optional or off for users with it; default as their organisation says")
	}, func(ctx context.Context, m *management, f format) error {
		created, err := m.CreateRole(ctx, in)
		if err != nil {
			return err
		}
		return roles.print(a, f, created)
	})
	cmd.AddCommand(create, roles.list(a), roles.show(a), newRoleUpdate(a), roles.delete(a))
	return cmd
}

func newRoleUpdate(a *app) *cobra.Command {
	var (
		t            target
		f            format
		name, policy string
		scopes       []string
	)
	cmd := &cobra.Command{
		Use: "update ID", Short: "Change a role, at once for everybody who has it", Args: oneArgument("its id"),
		Example: "  keystile role update role_analyst --scope telemetry:read --mfa required",
		RunE: func(cmd *cobra.Command, args []string) error {
			var in client.RoleUpdate
			if cmd.Flags().Changed("name") {
				in.Name = &name
			}
			if cmd.Flags().Changed("scope") {
				in.Scopes = &scopes
			}
			if cmd.Flags().Changed("mfa") {
				in.MFA = &policy
			}
			if in == (client.RoleUpdate{}) {
				return usagef("nothing to change: give --name, --scope or --mfa")
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				changed, err := m.UpdateRole(ctx, args[0], client.Version{}, in)
				if err != nil {
					return notFound(err, "role", args[0])
				}
				return roles.print(a, f, changed)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people")
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "scope; repeat for more; they replace those there are")
	cmd.Flags().StringVar(&policy, "mfa", "", "required, optional or off for users with it; empty: as their organisation says")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
