package main

import (
	"context"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var roles = thing[client.Role]{
	noun: "role", plural: "roles", columns: []string{"ID", "NAME", "SCOPES", "CREATED"},
	cells: func(r client.Role) []string {
		return []string{r.ID, r.Name, strings.Join(r.Scopes, ", "), timeText(&r.CreatedAt)}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.Role, error] {
		return m.AllRoles(ctx, o)
	},
	one:    func(ctx context.Context, m *management, id string) (client.Role, error) { return m.Role(ctx, id) },
	remove: func(ctx context.Context, m *management, id string) error { return m.DeleteRole(ctx, id) },
}

func newRole(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "role", Short: "Create, list, show and delete roles",
		Example: "  keystile role create --id role_analyst --scope telemetry:read",
	}
	var in client.RoleCreate
	create := creator(a, "role", "keystile role create --id role_analyst --scope telemetry:read", func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&in.ID, "id", "", "id")
		cmd.Flags().StringVar(&in.Name, "name", "", "name for people")
		cmd.Flags().StringArrayVar(&in.Scopes, "scope", nil, "scope; repeat for more")
	}, func(ctx context.Context, m *management, f format) error {
		created, err := m.CreateRole(ctx, in)
		if err != nil {
			return err
		}
		return roles.print(a, f, created)
	})
	cmd.AddCommand(create, roles.list(a), roles.show(a), roles.delete(a))
	return cmd
}
