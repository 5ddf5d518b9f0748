package main

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var sessions = thing[client.Session]{
	noun: "session", plural: "live sessions", columns: []string{"ID", "USER", "ORGANIZATION", "DOOR", "METHODS", "CLIENT", "CREATED", "EXPIRES"}, byOrganization: true, byUser: true,
	cells: func(s client.Session) []string {
		return []string{s.ID, s.User, s.Organization, s.Door, strings.Join(s.Methods, " "), s.ClientAddr, timeText(&s.CreatedAt), timeText(&s.ExpiresAt)}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.Session, error] {
		return m.AllSessions(ctx, o)
	},
	one: func(ctx context.Context, m *management, id string) (client.Session, error) { return m.Session(ctx, id) },
}

func newSession(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "session", Short: "List, show and revoke sessions of users",
		Example: "  keystile session list --user user@example.com\n  keystile session revoke ses_4fGh2kLmN8pQrStUvWxYz01234567890 --yes",
	}
	cmd.AddCommand(sessions.list(a), sessions.show(a), newSessionRevoke(a))
	return cmd
}

func newSessionRevoke(a *app) *cobra.Command {
	var (
		t   target
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End a session and every token minted from it", Args: oneArgument("the session's id"),
		Example: "  keystile session revoke ses_4fGh2kLmN8pQrStUvWxYz01234567890 --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "revoke session "+args[0]+"?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				ended, err := m.RevokeSession(ctx, args[0])
				if err != nil {
					return notFound(err, "session", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, ended)
				}
				_, err = fmt.Fprintf(a.stdout, "session %s is revoked\n", ended.ID)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
