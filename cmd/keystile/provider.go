package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

var providers = thing[client.IdentityProvider]{
	noun: "provider", plural: "identity providers", byOrganization: true,
	columns: []string{"NAME", "ORGANIZATION", "ISSUER", "AUDIENCE", "ALGORITHMS", "KEYS", "ROLES", "CREATES USERS", "SIGN-IN", "DISABLED"},
	cells: func(p client.IdentityProvider) []string {
		return []string{
			p.Name, p.Organization, p.Issuer, p.Audience, strings.Join(p.Algorithms, ","), keySourceText(p), strings.Join(p.Roles, ","),
			strconv.FormatBool(p.CreateUsers), signInText(p), strconv.FormatBool(p.Disabled),
		}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.IdentityProvider, error] {
		return m.AllIdentityProviders(ctx, o)
	},
	one: func(ctx context.Context, m *management, name string) (client.IdentityProvider, error) {
		return m.IdentityProvider(ctx, name)
	},
	remove: func(ctx context.Context, m *management, name string) error {
		return m.DeleteIdentityProvider(ctx, name)
	},
}

// signInText says what the button of a provider says, if it has one.
func signInText(p client.IdentityProvider) string {
	switch {
	case p.SignIn == nil:
		return ""
	case p.SignIn.Label == "":
		return p.Name
	}
	return p.SignIn.Label
}

// keySourceText says what the tokens of a provider are verified by.
func keySourceText(p client.IdentityProvider) string {
	switch {
	case p.JWKSURL != nil:
		return *p.JWKSURL
	case p.PublicKey != nil:
		return "public key"
	case p.HasSecret:
		return "secret"
	case len(p.JWKS) == 0 || string(p.JWKS) == "null":
		return "where its issuer says"
	}
	return "key set"
}

func newProvider(a *app) *cobra.Command {
	const example = "keystile provider create --name external-sso --organization sibaya-power --issuer https://sso.example.com --audience keystile --algorithm RS256 --jwks-url https://sso.example.com/jwks"
	cmd := &cobra.Command{
		Use: "provider", Short: "Create, list, show, disable and delete outside issuers whose word signs in users", Example: "  " + example,
	}
	var p providerFlags
	create := creator(a, "identity provider", example, p.add, func(ctx context.Context, m *management, f format) error {
		if err := p.read(a); err != nil {
			return err
		}
		made, err := m.CreateIdentityProvider(ctx, p.IdentityProviderCreate)
		if err != nil {
			return err
		}
		for _, warning := range made.Warnings {
			if _, err := fmt.Fprintf(a.stderr, "warning: %s\n", warning); err != nil {
				return fmt.Errorf("write a warning: %w", err)
			}
		}
		return providers.print(a, f, made.IdentityProvider)
	})
	cmd.AddCommand(create, providers.list(a), providers.show(a), newProviderSwitch(a, "disable", true), newProviderSwitch(a, "enable", false), providers.delete(a))
	return cmd
}

// providerFlags are what a new identity provider is described with.
type providerFlags struct {
	client.IdentityProviderCreate
	jwks   string
	claims []string
	signIn client.ProviderSignInSet
}

func (p *providerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.Name, "name", "", "name, an id (required)")
	flags.StringVar(&p.Organization, "organization", "", "organisation whose users it may sign in (required)")
	flags.StringVar(&p.Issuer, "issuer", "", "the iss of its tokens (required)")
	flags.StringVar(&p.Audience, "audience", "", "the aud of its tokens; with --client-id it may be left out")
	flags.StringArrayVar(&p.Algorithms, "algorithm", nil, "HS256, RS256, ES256 or EdDSA; repeat for more; with --client-id: RS256 if left out")
	flags.StringArrayVar(&p.Roles, "role", nil, "role it may assert; repeat for more")
	flags.StringArrayVar(&p.claims, "claim", nil, "MEMBER=CLAIM, such as username=email; repeat for more")
	flags.BoolVar(&p.CreateUsers, "create-users", false, "create users that are not there yet")
	flags.StringVar(&p.JWKSURL, "jwks-url", "", "where its keys are published")
	flags.StringVar(&p.jwks, "jwks", "", "its keys (RFC 7517): @FILE, - for standard input, or the text")
	flags.StringVar(&p.PublicKey, "public-key", "", "its one key, PEM: @FILE, - for standard input, or the text")
	flags.StringVar(&p.Secret, "secret", "", "the shared secret, for HS256: @FILE, - for standard input, or the text")
	flags.StringVar(&p.signIn.ClientID, "client-id", "", "our client id there: makes it a way to sign in on the page")
	flags.StringVar(&p.signIn.ClientSecret, "client-secret", "", "our client secret there: @FILE, - for standard input, or the text")
	flags.StringVar(&p.signIn.Label, "label", "", "what its button says")
	flags.StringArrayVar(&p.signIn.Scopes, "scope", nil, "scope to ask for; repeat for more (default openid, email, profile)")
	flags.BoolVar(&p.signIn.LinkByEmail, "link-by-email", false, "find users that are there by an e-mail address that it has verified")
	flags.StringArrayVar(&p.signIn.TrustedAMR, "trusted-amr", nil, "value of amr that stands for a second factor; repeat for more")
	flags.BoolVar(&p.signIn.Unlisted, "unlisted", false, "its button is on /login?organization=ORGANIZATION alone")
}

// read settles what the flags say.
func (p *providerFlags) read(a *app) error {
	if err := p.readSignIn(); err != nil {
		return err
	}
	for _, text := range p.claims {
		member, claim, ok := strings.Cut(text, "=")
		if !ok {
			return usagef("--claim %q: write MEMBER=CLAIM, for example username=email", text)
		}
		if p.Claims == nil {
			p.Claims = map[string]string{}
		}
		p.Claims[member] = claim
	}
	for _, text := range []*string{&p.jwks, &p.PublicKey, &p.Secret, &p.signIn.ClientSecret} {
		given := *text
		var err error
		if *text, err = a.secretArgument(given); err != nil {
			return err
		}
		if given != "" && *text == "" {
			return usagef("%s is empty", given)
		}
	}
	if p.jwks == "" {
		return nil
	}
	if !json.Valid([]byte(p.jwks)) {
		return usagef("--jwks is not JSON")
	}
	p.JWKS = json.RawMessage(p.jwks)
	return nil
}

// readSignIn settles whether people sign in at it, and wants what such a provider
// cannot do without, or another one.
func (p *providerFlags) readSignIn() error {
	needed := []struct{ flag, value string }{{"name", p.Name}, {"organization", p.Organization}, {"issuer", p.Issuer}}
	if p.signIn.ClientID == "" {
		if p.signIn.ClientSecret != "" || p.signIn.Label != "" || p.signIn.LinkByEmail {
			return usagef("--client-secret, --label and --link-by-email go with --client-id")
		}
		needed = append(needed, []struct{ flag, value string }{{"audience", p.Audience}, {"algorithm", strings.Join(p.Algorithms, "")}}...)
	} else {
		p.SignIn = &p.signIn
	}
	for _, required := range needed {
		if required.value == "" {
			return usagef("--%s is required", required.flag)
		}
	}
	return nil
}

// newProviderSwitch disables or enables an identity provider: a disabled one
// signs in nobody, and the sessions it opened end.
func newProviderSwitch(a *app, verb string, disabled bool) *cobra.Command {
	var (
		t target
		f format
	)
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: "Let an identity provider sign in nobody, or users again", Args: oneArgument("its name"),
		Example: "  keystile provider " + verb + " external-sso",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				changed, err := m.UpdateIdentityProvider(ctx, args[0], client.Version{}, client.IdentityProviderUpdate{Disabled: &disabled})
				if err != nil {
					return notFound(err, "identity provider", args[0])
				}
				return providers.print(a, f, changed)
			})
		},
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}
