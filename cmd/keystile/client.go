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

var clientKind = thing[client.OAuthClient]{
	noun: "client", plural: "OAuth clients", byOrganization: true,
	columns: []string{"ID", "APPLICATION", "PUBLIC", "GRANTS", "SCOPES", "REDIRECT URIS", "REVOKED"},
	cells: func(c client.OAuthClient) []string {
		application := c.Name
		if c.Application != nil {
			application = *c.Application
		}
		return []string{
			c.ID, application, fmt.Sprint(c.Public), strings.Join(c.GrantTypes, ","), strings.Join(c.Scopes, ","), strings.Join(c.RedirectURIs, ","), timeText(c.RevokedAt),
		}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.OAuthClient, error] {
		return m.AllOAuthClients(ctx, o)
	},
	one: func(ctx context.Context, m *management, id string) (client.OAuthClient, error) {
		return m.OAuthClient(ctx, id)
	},
}

func newClient(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Create, list, show, change, rotate and revoke OAuth clients",
		Example: `  keystile client create --organization roof-tools-inc --name 'Roof Tools' --redirect-uri https://app.example.com/cb --scope openid
  keystile client create --organization roof-tools-inc --name 'Nightly batch' --scope sites:read
  keystile client rotate CLIENT_ID --overlap 24h`,
	}
	cmd.AddCommand(newClientCreate(a), clientKind.list(a), clientKind.show(a), newClientUpdate(a), newClientRotate(a), newClientRevoke(a))
	return cmd
}

func newClientCreate(a *app) *cobra.Command {
	var in client.OAuthClientCreate
	return creator(a, "client", "keystile client create --organization roof-tools-inc --name 'Roof Tools' --redirect-uri https://app.example.com/cb --scope openid -o json",
		func(cmd *cobra.Command) {
			flags := cmd.Flags()
			flags.StringVar(&in.Application, "application", "", "application it is a way in of; default: one is registered")
			flags.StringVar(&in.Organization, "organization", "", "organization of a new application")
			flags.StringVar(&in.Name, "name", "", "name of a new application, for people")
			flags.StringVar(&in.Environment, "environment", "", "sandbox or production, of a new application; default the organisation's")
			flags.StringVar(&in.ID, "id", "", "client_id; default drawn")
			flags.StringArrayVar(&in.RedirectURIs, "redirect-uri", nil, "where users are sent back, exactly; repeat for more")
			flags.StringArrayVar(&in.PostLogoutRedirectURIs, "post-logout-redirect-uri", nil, "where users may be sent after a sign-out; repeat for more")
			flags.StringArrayVar(&in.GrantTypes, "grant", nil, "grant it may use; default authorization_code and refresh_token with redirect URIs, else client_credentials")
			flags.StringArrayVar(&in.Scopes, "scope", nil, "scope it may ask for; repeat for more")
			flags.StringArrayVar(&in.Audiences, "audience", nil, "resource it may ask tokens for, a URL; repeat for more")
			flags.StringArrayVar(&in.Serves, "serves", nil, "resource that it is, a URL; repeat for more")
			flags.StringVar(&in.TokenFormat, "token-format", "", "jwt or opaque; default jwt")
			flags.BoolVar(&in.Public, "public", false, "it cannot keep a secret")
			flags.BoolVar(&in.FirstParty, "first-party", false, "it is the platform's own: people are not asked")
			flags.BoolVar(&in.Pairwise, "pairwise", false, "give it subjects of its own")
			flags.BoolVar(&in.DPoP, "dpop", false, "bind every token it gets to a key")
			flags.StringVar(&in.BackchannelLogoutURI, "backchannel-logout-uri", "", "where it is told, by a signed token, that a session ended")
			flags.StringVar(&in.FrontchannelLogoutURI, "frontchannel-logout-uri", "", "a page of its own, of the origin of a redirect URI, that browsers load when they sign out")
			flags.BoolVar(&in.DPoPNonce, "dpop-nonce", false, "ask for a nonce of the server's in proofs at the token endpoint; with --dpop")
			flags.StringVar(&in.JWKS, "jwks", "", "its public keys, a JSON Web Key Set, for private_key_jwt or --self-signed-tls")
			flags.StringVar(&in.TLSSubject, "tls-subject", "", "what its certificate names, such as dns:batch.example.com: it proves who it is with one of a configured authority")
			flags.BoolVar(&in.SelfSignedTLS, "self-signed-tls", false, "it proves who it is with a certificate in --jwks")
			flags.BoolVar(&in.CertificateBound, "certificate-bound", false, "bind every token it gets to its certificate")
			flags.BoolVar(&in.PushedOnly, "pushed-only", false, "take only pushed authorization requests")
		},
		func(ctx context.Context, m *management, f format) error {
			if in.Application == "" && in.Name == "" {
				return usagef("--name is required, or --application")
			}
			if in.Application == "" && in.Organization == "" {
				return usagef("--organization is required, or --application")
			}
			made, err := m.CreateOAuthClient(ctx, in)
			if err != nil {
				return err
			}
			return a.printClientSecret(f, made)
		})
}

// printClientSecret prints a client and its secret, once.
func (a *app) printClientSecret(f format, made client.OAuthClientSecret) error {
	if f == formatJSON {
		return printJSON(a.stdout, made)
	}
	if err := clientKind.print(a, f, made.OAuthClient); err != nil || made.Secret == "" {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\nclient_secret, shown only now:\n%s\n", made.Secret)
	return err
}

// clientCommand completes a command that does something to one client.
func clientCommand(a *app, cmd *cobra.Command, do func(ctx context.Context, m *management, f format, id string) error) *cobra.Command {
	var (
		t target
		f format
	)
	cmd.Args = oneArgument("the client's id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
			return notFound(do(ctx, m, f, args[0]), "client", args[0])
		})
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// newClientUpdate changes what its flags name, and nothing if somebody else changed
// the client since it was read.
func newClientUpdate(a *app) *cobra.Command {
	var (
		name, tokens, algorithm   string
		redirects, after, grants  []string
		scopes, audiences, serves []string
		firstParty, dpop, pushed  bool
		changed                   func(flag string) bool
	)
	cmd := clientCommand(a, &cobra.Command{
		Use: "update ID", Short: "Change what a client may do; a list replaces the whole of it, and '' empties it",
		Example: "  keystile client update CLIENT_ID --redirect-uri https://app.example.com/cb --redirect-uri https://app.example.com/cb2 --scope openid",
	}, func(ctx context.Context, m *management, f format, id string) error {
		in := client.OAuthClientUpdate{
			Name: given(changed, "name", &name), TokenFormat: given(changed, "token-format", &tokens), IDTokenAlgorithm: given(changed, "id-token-algorithm", &algorithm),
			RedirectURIs: givenList(changed, "redirect-uri", redirects), PostLogoutRedirectURIs: givenList(changed, "post-logout-redirect-uri", after),
			GrantTypes: givenList(changed, "grant", grants), Scopes: givenList(changed, "scope", scopes), Audiences: givenList(changed, "audience", audiences),
			Serves: givenList(changed, "serves", serves), FirstParty: given(changed, "first-party", &firstParty), DPoP: given(changed, "dpop", &dpop),
			PushedOnly: given(changed, "pushed-only", &pushed),
		}
		if in == (client.OAuthClientUpdate{}) {
			return usagef("name what is to change")
		}
		before, err := m.OAuthClient(ctx, id)
		if err != nil {
			return err
		}
		after, err := m.UpdateOAuthClient(ctx, id, before.Version, in)
		if err != nil {
			return err
		}
		return clientKind.print(a, f, after)
	})
	flags := cmd.Flags()
	changed = flags.Changed
	flags.StringVar(&name, "name", "", "what one that registered itself is called")
	flags.StringArrayVar(&redirects, "redirect-uri", nil, "where users are sent back, exactly; repeat for more")
	flags.StringArrayVar(&after, "post-logout-redirect-uri", nil, "where users may be sent after a sign-out; repeat for more")
	flags.StringArrayVar(&grants, "grant", nil, "grant it may use; repeat for more")
	flags.StringArrayVar(&scopes, "scope", nil, "scope it may ask for; repeat for more")
	flags.StringArrayVar(&audiences, "audience", nil, "resource it may ask tokens for, a URL; repeat for more")
	flags.StringArrayVar(&serves, "serves", nil, "resource that it is, a URL; repeat for more")
	flags.StringVar(&tokens, "token-format", "", "jwt or opaque")
	flags.StringVar(&algorithm, "id-token-algorithm", "", "RS256, ES256 or EdDSA")
	flags.BoolVar(&firstParty, "first-party", false, "it is the platform's own: people are not asked")
	flags.BoolVar(&dpop, "dpop", false, "bind every token it gets to a key")
	flags.BoolVar(&pushed, "pushed-only", false, "take only pushed authorization requests")
	return cmd
}

// given is the value of a flag that was given; nil: it was not.
func given[T any](changed func(string) bool, flag string, value *T) *T {
	if !changed(flag) {
		return nil
	}
	return value
}

// givenList is given for a list, which one empty value empties.
func givenList(changed func(string) bool, flag string, values []string) *[]string {
	if !changed(flag) {
		return nil
	}
	if len(values) == 1 && values[0] == "" {
		values = []string{}
	}
	return &values
}

func newClientRotate(a *app) *cobra.Command {
	var overlap time.Duration
	cmd := clientCommand(a, &cobra.Command{
		Use: "rotate ID", Short: "Give a client a new secret and print it once",
		Example: "  keystile client rotate CLIENT_ID --overlap 24h -o json",
	}, func(ctx context.Context, m *management, f format, id string) error {
		made, err := m.RotateOAuthClient(ctx, id, overlap)
		if err != nil {
			return err
		}
		return a.printClientSecret(f, made)
	})
	cmd.Flags().DurationVar(&overlap, "overlap", 0, "how long earlier secrets stay good, such as 24h; 0s ends them at once")
	return cmd
}

func newClientRevoke(a *app) *cobra.Command {
	var yes bool
	cmd := clientCommand(a, &cobra.Command{
		Use: "revoke ID", Short: "End a client, with every grant and token it has",
		Example: "  keystile client revoke CLIENT_ID --yes",
	}, func(ctx context.Context, m *management, f format, id string) error {
		if err := a.confirm(yes, "revoke client "+id+" and everything it was given?"); err != nil {
			return err
		}
		revoked, err := m.RevokeOAuthClient(ctx, id)
		if err != nil {
			return err
		}
		return clientKind.print(a, f, revoked)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
