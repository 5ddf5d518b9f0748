package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var adminTokens = thing[client.AdminToken]{
	noun: "admin-token", plural: "admin tokens", byOrganization: true,
	columns: []string{"ID", "NAME", "ORGANIZATION", "SCOPES", "CREATED", "EXPIRES", "REVOKED"},
	cells: func(t client.AdminToken) []string {
		return []string{t.ID, t.Name, t.Organization, strings.Join(t.Scopes, ","), timeText(&t.CreatedAt), timeText(t.ExpiresAt), timeText(t.RevokedAt)}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.AdminToken, error] {
		return m.AllAdminTokens(ctx, o)
	},
	one: func(ctx context.Context, m *management, id string) (client.AdminToken, error) {
		return m.AdminToken(ctx, id)
	},
}

func newAdminToken(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "admin-token", Short: "Create, list, show and revoke tokens of the management API",
		Example: "  keystile admin-token create --scope keys:write --organization sibaya-power",
	}
	var (
		in      client.AdminTokenCreate
		expires string
	)
	create := creator(a, "admin token", "keystile admin-token create --scope keys:read --scope keys:write", func(cmd *cobra.Command) {
		cmd.Flags().StringVar(&in.Organization, "organization", "", "confine it to one organisation; default global")
		cmd.Flags().StringArrayVar(&in.Scopes, "scope", nil, "scope such as keys:write; repeat for more; default all")
		cmd.Flags().StringVar(&expires, "expires", "", "when it ends, RFC 3339; default never")
		cmd.Flags().StringVar(&in.Name, "name", "", "name for people")
		cmd.Flags().StringVar(&in.ID, "id", "", "id; default generated")
	}, func(ctx context.Context, m *management, f format) error {
		if expires != "" {
			at, err := time.Parse(time.RFC3339, expires)
			if err != nil {
				return usagef("--expires %q: use RFC 3339, for example 2027-01-01T00:00:00Z", expires)
			}
			in.ExpiresAt = &at
		}
		created, err := m.CreateAdminToken(ctx, in)
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, created)
		}
		if err := adminTokens.print(a, f, created.AdminToken); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "\nSecret, shown only now:\n%s\n", created.Secret)
		return err
	})
	cmd.AddCommand(create, adminTokens.list(a), adminTokens.show(a), newAdminTokenRevoke(a))
	return cmd
}

func newAdminTokenRevoke(a *app) *cobra.Command {
	var (
		t   target
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End an admin token for good", Args: oneArgument("its id"),
		Example: "  keystile admin-token revoke adm_x --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "revoke admin token "+args[0]+" for good?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				revoked, err := m.RevokeAdminToken(ctx, args[0])
				if err != nil {
					return notFound(err, "admin token", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, revoked)
				}
				_, err = fmt.Fprintf(a.stdout, "admin token %s is revoked\n", args[0])
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
