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

var applicationKind = thing[client.Application]{
	noun: "app", plural: "partner applications", byOrganization: true,
	columns: []string{"ID", "ORGANIZATION", "NAME", "KIND", "ENVIRONMENT", "REVIEW", "PERMISSIONS", "LAUNCH URL"},
	cells: func(p client.Application) []string {
		return []string{p.ID, p.Organization, p.Name, p.Kind, p.Environment, p.Review, strings.Join(p.Permissions, ","), p.LaunchURL}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.Application, error] {
		return m.AllApplications(ctx, o)
	},
	one: func(ctx context.Context, m *management, id string) (client.Application, error) {
		return m.Application(ctx, id)
	},
}

func newApplication(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "app",
		Short: "Register, review and authorize partner applications, and make their keys",
		Example: `  keystile app create --organization roof-tools-inc --name 'Roof Tools' --kind backend --permission roof_summary:read
  keystile app key 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c -o json
  keystile app authorize 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --tenant sandbox-tenant --permission roof_summary:read`,
	}
	cmd.AddCommand(newApplicationCreate(a), applicationKind.list(a), applicationKind.show(a),
		newApplicationMove(a), newApplicationReview(a), newApplicationKey(a), newApplicationRevokeKey(a),
		newApplicationAuthorize(a), newApplicationWithdraw(a), newApplicationWebhook(a))
	return cmd
}

func newApplicationCreate(a *app) *cobra.Command {
	var (
		t  target
		f  format
		in client.ApplicationCreate
	)
	cmd := &cobra.Command{
		Use:     "create --organization ID --name NAME --kind KIND",
		Short:   "Register an application, as a draft",
		Example: "  keystile app create --organization roof-tools-inc --name 'Roof Tools' --kind embedded --launch-url https://app.example.com/embed --permission roof_summary:read",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case in.Organization == "":
				return usagef("--organization is required")
			case in.Name == "":
				return usagef("--name is required")
			case in.Kind == "":
				return usagef("--kind is required: embedded or backend")
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				made, err := m.CreateApplication(ctx, in)
				if err != nil {
					return err
				}
				return applicationKind.print(a, f, made)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.Organization, "organization", "", "partner that makes it (required)")
	flags.StringVar(&in.Name, "name", "", "name for people (required)")
	flags.StringVar(&in.Kind, "kind", "", "embedded or backend (required)")
	flags.StringVar(&in.ID, "id", "", "UUID; default drawn")
	flags.StringVar(&in.Description, "description", "", "what it is for")
	flags.StringVar(&in.Homepage, "homepage", "", "its page, https")
	flags.StringVar(&in.Environment, "environment", "", "sandbox or production; default the organisation's")
	flags.StringArrayVar(&in.Permissions, "permission", nil, "scope it asks tenants for; repeat for more")
	flags.StringVar(&in.LaunchURL, "launch-url", "", "where an embedded application opens, https")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// applicationCommand completes a command that does something to one application.
func applicationCommand(a *app, cmd *cobra.Command, do func(ctx context.Context, m *management, f format, id string) error) *cobra.Command {
	var (
		t target
		f format
	)
	cmd.Args = oneArgument("the application's id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
			return notFound(do(ctx, m, f, args[0]), "application", args[0])
		})
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newApplicationMove(a *app) *cobra.Command {
	var to string
	var yes bool
	cmd := applicationCommand(a, &cobra.Command{
		Use:     "move ID --to STATE",
		Short:   "Submit an application for review (in_review), take it back (draft), or retire it for good",
		Example: "  keystile app move 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --to in_review",
	}, func(ctx context.Context, m *management, f format, id string) error {
		if to == "" {
			return usagef("--to is required: in_review, draft or retired")
		}
		if to == "retired" {
			if err := a.confirm(yes, "retire application "+id+" for good?"); err != nil {
				return err
			}
		}
		moved, err := m.MoveApplication(ctx, id, to)
		if err != nil {
			return err
		}
		return applicationKind.print(a, f, moved)
	})
	cmd.Flags().StringVar(&to, "to", "", "in_review, draft or retired (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newApplicationReview(a *app) *cobra.Command {
	var to, comment string
	cmd := applicationCommand(a, &cobra.Command{
		Use:     "review ID --to STATE",
		Short:   "Approve an application, send it back (draft) or suspend it, as a reviewer",
		Example: "  keystile app review 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --to approved --comment 'Looks good'",
	}, func(ctx context.Context, m *management, f format, id string) error {
		if to == "" {
			return usagef("--to is required: approved, draft or suspended")
		}
		moved, err := m.ReviewApplication(ctx, id, to, comment)
		if err != nil {
			return err
		}
		return applicationKind.print(a, f, moved)
	})
	cmd.Flags().StringVar(&to, "to", "", "approved, draft or suspended (required)")
	cmd.Flags().StringVar(&comment, "comment", "", "shown to the partner")
	return cmd
}

func newApplicationKey(a *app) *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:     "key ID",
		Short:   "Make an application key and print it once; with --overlap a rotation",
		Example: "  keystile app key 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --overlap 24h -o json",
	}
	applicationCommand(a, cmd, func(ctx context.Context, m *management, f format, id string) error {
		var rotate *time.Duration
		if cmd.Flags().Changed("overlap") {
			rotate = &overlap
		}
		made, err := m.CreateApplicationKey(ctx, id, rotate)
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, made)
		}
		_, err = fmt.Fprintf(a.stdout, "id  %s\n\nApplication key, shown only now:\n%s\n", made.ID, made.Secret)
		return err
	})
	cmd.Flags().DurationVar(&overlap, "overlap", 0, "how long the earlier keys stay good, such as 24h; 0s ends them at once; default: they stay")
	return cmd
}

func newApplicationRevokeKey(a *app) *cobra.Command {
	var key string
	var yes bool
	cmd := applicationCommand(a, &cobra.Command{
		Use:     "revoke-key ID --key KEY",
		Short:   "End an application key, for good",
		Example: "  keystile app revoke-key 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --key akey_… --yes",
	}, func(ctx context.Context, m *management, f format, id string) error {
		if key == "" {
			return usagef("--key is required: the id of the application key")
		}
		if err := a.confirm(yes, "revoke application key "+key+" for good?"); err != nil {
			return err
		}
		if err := m.RevokeApplicationKey(ctx, id, key); err != nil {
			return err
		}
		return a.done(f, "application key "+key+" is revoked")
	})
	cmd.Flags().StringVar(&key, "key", "", "id of the application key (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// done prints that something was done; as JSON an object that says so.
func (a *app) done(f format, text string) error {
	if f == formatJSON {
		return printJSON(a.stdout, map[string]string{"result": text})
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

func newApplicationAuthorize(a *app) *cobra.Command {
	var (
		tenant, expires string
		grant           client.Grant
	)
	cmd := applicationCommand(a, &cobra.Command{
		Use:     "authorize ID --tenant ORGANIZATION --permission SCOPE",
		Short:   "Authorize an application in a tenant",
		Example: "  keystile app authorize 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --tenant sandbox-tenant --permission roof_summary:read",
	}, func(ctx context.Context, m *management, f format, id string) error {
		if tenant == "" {
			return usagef("--tenant is required: the organisation that authorizes it")
		}
		if expires != "" {
			at, err := time.Parse(time.RFC3339, expires)
			if err != nil {
				return usagef("--expires %q: use RFC 3339, for example 2027-01-01T00:00:00Z", expires)
			}
			grant.ExpiresAt = &at
		}
		granted, err := m.Authorize(ctx, tenant, id, grant)
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, granted)
		}
		return printFields(a.stdout, "application", granted.Application, "tenant", granted.Tenant, "state", granted.State,
			"permissions", strings.Join(granted.Permissions, ","), "expires", timeText(granted.ExpiresAt))
	})
	cmd.Flags().StringVar(&tenant, "tenant", "", "organisation that authorizes it (required)")
	cmd.Flags().StringArrayVar(&grant.Permissions, "permission", nil, "scope it is granted; repeat for more")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends, RFC 3339; default never")
	return cmd
}

func newApplicationWithdraw(a *app) *cobra.Command {
	var tenant string
	var yes bool
	cmd := applicationCommand(a, &cobra.Command{
		Use:     "withdraw ID --tenant ORGANIZATION",
		Short:   "Withdraw a tenant's authorization; the application's temporary keys there end at once",
		Example: "  keystile app withdraw 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --tenant sandbox-tenant --yes",
	}, func(ctx context.Context, m *management, f format, id string) error {
		if tenant == "" {
			return usagef("--tenant is required: the organisation that authorized it")
		}
		if err := a.confirm(yes, "withdraw the authorization of "+id+" in "+tenant+"?"); err != nil {
			return err
		}
		if err := m.Withdraw(ctx, tenant, id); err != nil {
			return err
		}
		return a.done(f, "the authorization of "+id+" in "+tenant+" is withdrawn")
	})
	cmd.Flags().StringVar(&tenant, "tenant", "", "organisation that authorized it (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
