package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var tokenKeyKind = thing[client.TokenKey]{
	noun: "token-key", plural: "the keys that session tokens are signed with",
	columns: []string{"ID", "ALGORITHM", "ORGANIZATION", "SIGNS FROM", "VERIFIES UNTIL"},
	cells: func(k client.TokenKey) []string {
		return []string{k.ID, k.Algorithm, k.Organization, timeText(&k.SignsFrom), timeText(k.VerifiesUntil)}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.TokenKey, error] {
		return m.AllTokenKeys(ctx, o)
	},
}

func newTokenKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "token-key", Short: "List, rotate and revoke the keys that session tokens are signed with",
		Long: `Session tokens are signed with a public key of the JWKS (EdDSA, ES256, RS256), and
those of the Ona platform with an HS256 secret that its verifiers share. Each
algorithm rotates by itself, and an organisation may have an HS256 secret of its own.`,
		Example: "  keystile token-key rotate",
	}
	cmd.AddCommand(newTokenKeyRotate(a), tokenKeyKind.list(a), newTokenKeyRevoke(a))
	return cmd
}

func newTokenKeyRotate(a *app) *cobra.Command {
	var (
		t     target
		f     format
		in    client.TokenKeyRotate
		ahead time.Duration
	)
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make the next key; the one before it verifies until its last token has ended",
		Long: `A new public key stands in the JWKS for a while before it signs, so that whoever
remembers the JWKS knows it by then; a new HS256 secret signs at once unless --ahead
says otherwise. No token that is good stops being good.`,
		Example: `  keystile token-key rotate
  keystile token-key rotate --algorithm HS256 --organization sibaya-power --secret @secret.txt --ahead 24h`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if in.Secret, err = a.secretArgument(in.Secret); err != nil {
				return err
			}
			if cmd.Flags().Changed("ahead") {
				seconds := int64(ahead / time.Second)
				in.AheadSeconds = &seconds
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				made, err := m.RotateTokenKey(ctx, in)
				if err != nil {
					return err
				}
				return a.printNewTokenKey(f, made)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.Algorithm, "algorithm", "EdDSA", "EdDSA, ES256, RS256 or HS256")
	flags.StringVar(&in.Organization, "organization", "", "give this organisation an HS256 secret of its own")
	flags.StringVar(&in.Secret, "secret", "", "the HS256 secret to take, 32 bytes or more: @FILE, - for standard input, or the text; default drawn")
	flags.DurationVar(&ahead, "ahead", 0, "how long it is published before it signs; default 10m for a public key, 0s for a secret")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// printNewTokenKey prints a token key with the secret that was drawn for it, the
// only time it is shown.
func (a *app) printNewTokenKey(f format, made client.TokenKeySecret) error {
	if f == formatJSON {
		return printJSON(a.stdout, made)
	}
	if err := tokenKeyKind.print(a, f, made.TokenKey); err != nil || made.Secret == "" {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\nSecret, shown only now:\n%s\n", made.Secret)
	return err
}

func newTokenKeyRevoke(a *app) *cobra.Command {
	var (
		t   target
		f   format
		yes bool
	)
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a key at once, and every token that it signed",
		Example: "  keystile token-key revoke ID --yes",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(yes, "revoke token key "+args[0]+" and every token that it signed?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.RevokeTokenKey(ctx, args[0])
				if err != nil {
					return notFound(err, "token key", args[0])
				}
				if f == formatJSON {
					return printJSON(a.stdout, key)
				}
				_, err = fmt.Fprintf(a.stdout, "token key %s is revoked\n", key.ID)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
