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

const signingKeyNoun = "signing-key"

var signingKeyKind = thing[client.SigningKey]{
	noun: signingKeyNoun, plural: "signing keys", byOrganization: true,
	columns: []string{"ID", "ORGANIZATION", "NAME", "STATE", "API KEY", "ALGORITHM", "SCOPES", "SITES", "EXPIRES", "LAST USED"},
	cells: func(k client.SigningKey) []string {
		return []string{
			k.ID, k.Organization, k.Name, k.State, k.APIKey, k.Algorithm, strings.Join(k.Scopes, ","), strings.Join(k.PermittedSiteIDs, ","),
			timeText(k.ExpiresAt), timeText(k.LastUsedAt),
		}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.SigningKey, error] {
		return m.AllSigningKeys(ctx, o)
	},
	one: func(ctx context.Context, m *management, id string) (client.SigningKey, error) {
		return m.SigningKey(ctx, id)
	},
}

func newSigningKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   signingKeyNoun,
		Short: "Create, import, list, show, rotate and revoke keys that one-time requests are signed with",
		Example: `  keystile signing-key create --organization bank-x --algorithm EdDSA --scope 'finapi:*' -o json
  keystile signing-key import --organization bank-x --algorithm RS256 --api-key demo-api-key --public-key @public.pem`,
	}
	cmd.AddCommand(newSigningKeyCreate(a), newSigningKeyImport(a), signingKeyKind.list(a), signingKeyKind.show(a), newSigningKeyRotate(a), newSigningKeyRevoke(a))
	return cmd
}

// signingKeyFlags are what a new signing key is described with.
type signingKeyFlags struct {
	client.SigningKeyCreate
	expires string
}

func (k *signingKeyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&k.Organization, "organization", "", "organisation that signs (required)")
	flags.StringVar(&k.Algorithm, "algorithm", "", "HS256, RS256, ES256 or EdDSA (required)")
	flags.StringVar(&k.APIKey, "api-key", "", "public name that callers send; default generated")
	flags.StringArrayVar(&k.PermittedSiteIDs, "site", nil, "permitted site; repeat for more")
	flags.StringArrayVar(&k.Scopes, "scope", nil, "scope such as finapi:read; repeat for more")
	flags.StringArrayVar(&k.AllowedIPs, "allow-ip", nil, "network it may be used from, as a CIDR; repeat for more")
	flags.StringVar(&k.expires, "expires", "", "when it ends, RFC 3339; default never")
	flags.StringVar(&k.Limit, "limit", "", "its own rate limit, such as 60/1m, in place of the routes'")
	flags.StringVar(&k.LimitAlgorithm, "limit-algorithm", "", "window or gcra")
	flags.StringVar(&k.Name, "name", "", "name for people")
	flags.StringVar(&k.Environment, "environment", "", "production or sandbox; default the organisation's")
	flags.StringVar(&k.ID, "id", "", "id; default the api-key, where that is an id")
	addMaterial(cmd, &k.Secret, &k.PublicKey)
}

// addMaterial adds the flags that import what a key is verified by.
func addMaterial(cmd *cobra.Command, secret, publicKey *string) {
	cmd.Flags().StringVar(secret, "secret", "", "import this HS256 secret, every byte of it: @FILE, - for standard input, or the text")
	cmd.Flags().StringVar(publicKey, "public-key", "", "import this public key, PEM (PKCS#1 or SPKI): @FILE, - for standard input, or the text")
}

// read settles what the flags say.
func (k *signingKeyFlags) read(a *app) error {
	switch {
	case k.Organization == "":
		return usagef("--organization is required")
	case k.Algorithm == "":
		return usagef("--algorithm is required: HS256, RS256, ES256 or EdDSA")
	}
	if k.expires != "" {
		at, err := time.Parse(time.RFC3339, k.expires)
		if err != nil {
			return usagef("--expires %q: use RFC 3339, for example 2027-01-01T00:00:00Z", k.expires)
		}
		k.ExpiresAt = &at
	}
	return a.readMaterial(&k.Secret, &k.PublicKey)
}

// readMaterial replaces @FILE and - by what they name. A secret counts byte for
// byte, as it does for callers that read the same file.
func (a *app) readMaterial(secret, publicKey *string) error {
	if *secret != "" && *publicKey != "" {
		return usagef("--secret and --public-key exclude each other")
	}
	given := *secret
	var err error
	if *secret, err = a.exactSecret(*secret); err != nil {
		return err
	}
	if given != "" && *secret == "" {
		return usagef("--secret is empty")
	}
	if strings.HasSuffix(*secret, "\n") {
		if _, err := fmt.Fprintln(a.stderr, "warning: the secret ends with a line break, which is part of it"); err != nil {
			return fmt.Errorf("write a warning: %w", err)
		}
	}
	given = *publicKey
	if *publicKey, err = a.secretArgument(given); err != nil {
		return err
	}
	if given != "" && *publicKey == "" {
		return usagef("--public-key is empty")
	}
	return nil
}

func newSigningKeyCreate(a *app) *cobra.Command {
	return newSigningKeyMaker(a, &cobra.Command{
		Use:     "create --organization ID --algorithm ALGORITHM",
		Short:   "Create a signing key and print its secret or private key once",
		Example: "  keystile signing-key create --organization bank-x --algorithm HS256 --scope 'finapi:*' -o json",
	}, func(*signingKeyFlags) error { return nil })
}

func newSigningKeyImport(a *app) *cobra.Command {
	return newSigningKeyMaker(a, &cobra.Command{
		Use:     "import --organization ID --algorithm ALGORITHM --api-key NAME (--secret @FILE | --public-key @FILE)",
		Short:   "Import a signing key that callers have already",
		Example: "  keystile signing-key import --organization bank-x --algorithm HS256 --api-key demo-api-key --secret @secret.txt",
	}, func(k *signingKeyFlags) error {
		if k.Secret == "" && k.PublicKey == "" {
			return usagef("--secret or --public-key is required")
		}
		return nil
	})
}

// newSigningKeyMaker completes a command that makes a signing key.
func newSigningKeyMaker(a *app, cmd *cobra.Command, check func(*signingKeyFlags) error) *cobra.Command {
	var (
		t target
		f format
		k signingKeyFlags
	)
	cmd.Args = noArguments
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := check(&k); err != nil {
			return err
		}
		if err := k.read(a); err != nil {
			return err
		}
		return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
			made, err := m.CreateSigningKey(ctx, k.SigningKeyCreate)
			if err != nil {
				return err
			}
			return a.printNewSigningKey(f, made)
		})
	}
	k.add(cmd)
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// printNewSigningKey prints a signing key with its secret or private key, the
// only time it is shown.
func (a *app) printNewSigningKey(f format, made client.SigningKeySecret) error {
	for _, warning := range made.Warnings {
		if _, err := fmt.Fprintf(a.stderr, "warning: %s\n", warning); err != nil {
			return fmt.Errorf("write a warning: %w", err)
		}
	}
	if f == formatJSON {
		return printJSON(a.stdout, made)
	}
	if err := signingKeyKind.print(a, f, made.SigningKey); err != nil {
		return err
	}
	var err error
	switch {
	case made.Secret != "":
		_, err = fmt.Fprintf(a.stdout, "\nSecret, shown only now:\n%s\n", made.Secret)
	case made.PrivateKey != "":
		_, err = fmt.Fprintf(a.stdout, "\nPrivate key, shown only now and kept nowhere:\n%s", made.PrivateKey)
	}
	return err
}

func newSigningKeyRotate(a *app) *cobra.Command {
	var (
		t  target
		f  format
		in client.SigningKeyRotate
	)
	cmd := &cobra.Command{
		Use:     "rotate ID --overlap DURATION",
		Short:   "Make a new key of the same rights; the old one works for the overlap",
		Example: "  keystile signing-key rotate demo-api-key --overlap 24h -o json",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("overlap") {
				return usagef("--overlap is required: how long the old key still works, 0s to end it at once")
			}
			if err := a.readMaterial(&in.Secret, &in.PublicKey); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				made, err := m.RotateSigningKey(ctx, args[0], in)
				if err != nil {
					return notFound(err, "signing key", args[0])
				}
				return a.printNewSigningKey(f, made)
			})
		},
	}
	cmd.Flags().DurationVar(&in.Overlap, "overlap", 0, "how long the old key still works, such as 24h; 0s ends it at once (required)")
	cmd.Flags().StringVar(&in.APIKey, "api-key", "", "public name of the new key; default generated")
	addMaterial(cmd, &in.Secret, &in.PublicKey)
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newSigningKeyRevoke(a *app) *cobra.Command {
	var (
		t   target
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a signing key, for good",
		Example: "  keystile signing-key revoke demo-api-key --yes",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "revoke signing key "+args[0]+" for good?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.RevokeSigningKey(ctx, args[0])
				if err != nil {
					return notFound(err, "signing key", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, key)
				}
				_, err = fmt.Fprintf(a.stdout, "signing key %s is revoked\n", key.ID)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
