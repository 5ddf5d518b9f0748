package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

func newKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Create, list, show, change, rotate, revoke and import API keys, and see how they are used",
		Example: `  keystile key create --organization sibaya-power --site Sibaya --scope telemetry:read
  keystile key rotate key_x --overlap 24h`,
	}
	cmd.AddCommand(newKeyCreate(a), newKeyList(a), newKeyShow(a), newKeyRotate(a), newKeyRevoke(a), newKeyImport(a),
		newKeyUsage(a), newKeyPropose(a), newKeyIdle(a), newKeyRename(a), newKeyNarrow(a))
	return cmd
}

func newKeyCreate(a *app) *cobra.Command {
	var (
		t       target
		f       format
		in      client.KeyCreate
		expires string
		bulk    string
		secrets string
	)
	cmd := &cobra.Command{
		Use:   "create --organization ID",
		Short: "Create an API key and print its secret once, or many from a file",
		Long: `Creates one key as the flags say, or with --bulk one for each line of a file: JSON
Lines, or CSV with a header line (FILE.csv, lists separated by ";"). Members: id,
organization, name, environment, permitted_site_ids, scopes, allowed_ips, limit,
limit_algorithm, expires_at. A file with a line that cannot be read makes no key; the
keys are made 500 at a time, all of them or none. Their secrets are written as JSON
Lines, once: to --secrets, a new file that its owner alone may read, or to standard
output.`,
		Example: `  keystile key create --organization sibaya-power --site Sibaya --scope telemetry:read --expires 2027-01-01T00:00:00Z --limit 60/1m
  keystile key create --bulk keys.csv --secrets made.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if bulk != "" {
				if err := aloneWithBulk(cmd); err != nil {
					return err
				}
				return a.withClient(cmd, &t, func(ctx context.Context, m *management) error { return a.createBulk(ctx, m, bulk, secrets, f) })
			}
			if secrets != "" {
				return usagef("--secrets goes with --bulk")
			}
			if in.Organization == "" {
				return usagef("--organization is required")
			}
			if expires != "" {
				at, err := time.Parse(time.RFC3339, expires)
				if err != nil {
					return usagef("--expires %q: use RFC 3339, for example 2027-01-01T00:00:00Z", expires)
				}
				in.ExpiresAt = &at
			}
			var err error
			if in.Secret, err = a.secretArgument(in.Secret); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.CreateKey(ctx, in)
				if err != nil {
					return err
				}
				return a.printNewKey(f, key)
			})
		},
	}
	keyFlags(cmd, &in, &expires)
	cmd.Flags().StringVar(&bulk, "bulk", "", "make a key for each line of this file")
	cmd.Flags().StringVar(&secrets, "secrets", "", "with --bulk: write the secrets into this new file")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// keyFlags are what one new key is to be.
func keyFlags(cmd *cobra.Command, in *client.KeyCreate, expires *string) {
	flags := cmd.Flags()
	flags.StringVar(&in.Organization, "organization", "", "organisation that owns the key (required)")
	flags.StringArrayVar(&in.PermittedSiteIDs, "site", nil, "permitted site; repeat for more")
	flags.StringArrayVar(&in.Scopes, "scope", nil, "scope such as telemetry:read; repeat for more")
	flags.StringArrayVar(&in.AllowedIPs, "allow-ip", nil, "network it may be used from, as a CIDR; repeat for more")
	flags.StringVar(expires, "expires", "", "when it ends, RFC 3339; default never")
	flags.StringVar(&in.Limit, "limit", "", "its own rate limit, such as 60/1m, in place of the routes'")
	flags.StringVar(&in.LimitAlgorithm, "limit-algorithm", "", "window or gcra")
	flags.StringVar(&in.Name, "name", "", "name for people")
	flags.StringVar(&in.Environment, "environment", "", "production or sandbox; default the organisation's")
	flags.StringVar(&in.ID, "id", "", "id; default generated")
	flags.StringVar(&in.Secret, "secret", "", "import this key instead of making one: @FILE, - for standard input, or the text")
	flags.StringVar(&in.SHA256, "sha256", "", "import a key known only by its SHA-256, in hexadecimal")
}

// printNewKey prints a key with its secret, the only time it is shown.
func (a *app) printNewKey(f format, key client.KeySecret) error {
	for _, warning := range key.Warnings {
		fmt.Fprintf(a.stderr, "warning: %s\n", warning)
	}
	if f == formatJSON {
		return printJSON(a.stdout, key)
	}
	if err := printKey(a, key.Key); err != nil {
		return err
	}
	if key.Secret != "" {
		fmt.Fprintf(a.stdout, "\nSecret, shown only now:\n%s\n", key.Secret)
	}
	return nil
}

func printKey(a *app, k client.Key) error {
	limit := ""
	if k.Limit != nil {
		limit = *k.Limit
	}
	return printFields(a.stdout,
		"id", k.ID, "organization", k.Organization, "name", k.Name, "environment", k.Environment, "state", k.State, "hint", k.Hint,
		"sites", strings.Join(k.PermittedSiteIDs, ", "), "scopes", strings.Join(k.Scopes, ", "), "allowed ips", strings.Join(k.AllowedIPs, ", "),
		"limit", limit, "created", timeText(&k.CreatedAt), "expires", timeText(k.ExpiresAt), "revoked", timeText(k.RevokedAt),
		"last used", timeText(k.LastUsedAt), "from", k.LastUsedAddress, "for", k.LastUsedRoute)
}

func newKeyList(a *app) *cobra.Command {
	var (
		t            target
		f            format
		filter       client.KeyFilter
		idle, before string
	)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List API keys",
		Example: "  keystile key list --organization sibaya-power --state active -o json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if filter.IdleSince, err = timeFlag("--idle-since", idle); err != nil {
				return err
			}
			if filter.ExpiresBefore, err = timeFlag("--expires-before", before); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error { return a.printKeys(ctx, m, filter, f) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&filter.Organization, "organization", "", "only this organisation's")
	flags.StringVar(&filter.User, "user", "", "only keys that this user owns, by id")
	flags.StringVar(&filter.State, "state", "", "only keys that are active, expired or revoked")
	flags.StringVar(&filter.Site, "site", "", "only keys that permit this site")
	flags.StringVar(&filter.Scope, "scope", "", "only keys that grant this scope")
	flags.StringVar(&filter.Prefix, "prefix", "", "only keys whose newest secret begins so, such as opa_prod_V24M")
	flags.StringVar(&idle, "idle-since", "", "only keys not used since then, RFC 3339")
	flags.StringVar(&before, "expires-before", "", "only keys that end before then, RFC 3339")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// printKeys lists the keys that a filter asks for.
func (a *app) printKeys(ctx context.Context, m *management, filter client.KeyFilter, f format) error {
	keys := []client.Key{}
	for key, err := range m.FilteredKeys(ctx, filter) {
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	if f == formatJSON {
		return printJSON(a.stdout, keys)
	}
	out := newTable(a.stdout, "ID", "ORGANIZATION", "NAME", "STATE", "HINT", "SITES", "EXPIRES", "LAST USED")
	for _, k := range keys {
		out.row(k.ID, k.Organization, k.Name, k.State, k.Hint, strings.Join(k.PermittedSiteIDs, ","), timeText(k.ExpiresAt), timeText(k.LastUsedAt))
	}
	return out.flush()
}

func newKeyShow(a *app) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show one API key",
		Example: "  keystile key show key_sibaya",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.Key(ctx, args[0])
				if err != nil {
					return notFound(err, "key", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, key)
				}
				return printKey(a, key)
			})
		},
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newKeyRotate(a *app) *cobra.Command {
	var (
		t       target
		f       format
		overlap time.Duration
	)
	cmd := &cobra.Command{
		Use:     "rotate ID --overlap DURATION",
		Short:   "Give a key a new secret; the old one works for the overlap",
		Example: "  keystile key rotate key_sibaya --overlap 24h",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("overlap") {
				return usagef("--overlap is required: how long the old secret still works, 0s to end it at once")
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.RotateKey(ctx, args[0], overlap)
				if err != nil {
					return notFound(err, "key", args[0])
				}
				return a.printNewKey(f, key)
			})
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 0, "how long the old secret still works, such as 24h; 0s ends it at once (required)")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newKeyRevoke(a *app) *cobra.Command {
	var (
		t   target
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use:     "revoke ID...",
		Short:   "End keys and every secret of them, for good; of several all or none",
		Example: "  keystile key revoke key_sibaya --yes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("give the key's id")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "revoke key "+strings.Join(args, ", ")+" for good?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error { return a.revokeKeys(ctx, m, args, f) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (a *app) revokeKeys(ctx context.Context, m *management, ids []string, f format) error {
	if len(ids) == 1 {
		key, err := m.RevokeKey(ctx, ids[0])
		if err != nil {
			return notFound(err, "key", ids[0])
		}
		if f == formatJSON {
			return printJSON(a.stdout, key)
		}
		_, err = fmt.Fprintf(a.stdout, "key %s is revoked\n", key.ID)
		return err
	}
	revoked, err := m.RevokeKeys(ctx, ids)
	if err != nil {
		return err
	}
	if f == formatJSON {
		return printJSON(a.stdout, revoked)
	}
	for _, key := range revoked {
		if _, err := fmt.Fprintf(a.stdout, "key %s is revoked\n", key.ID); err != nil {
			return err
		}
	}
	return nil
}

// notFound names the thing that does not exist.
func notFound(err error, noun, id string) error {
	if client.IsNotFound(err) {
		return fmt.Errorf("there is no %s %q", noun, id)
	}
	return err
}
