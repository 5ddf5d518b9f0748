package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/sdk/go/sign"
)

// signing is what the sign command is asked for.
type signing struct {
	config       configFlags
	key          string
	organization string
	form         string
	secret       string
	privateKey   string
	method       string
	data         string
}

func newSign(a *app) *cobra.Command {
	g := &signing{}
	cmd := &cobra.Command{
		Use:   "sign --key ID [URL]",
		Short: "Print a one-time Authorization header, ready for curl",
		Long: `Signs one request and prints the header fields it needs, one a line. The header
and jwt forms need no URL; http-signature (RFC 9421) signs method, URL and body.

An HS256 key of the local store needs nothing else: its secret is sealed there.
Any other key takes --private-key @FILE. With --organization and --secret or
--private-key no store is read at all.`,
		Example: `  curl -H "$(keystile sign --key demo-api-key --config keystile.yaml)" http://127.0.0.1:8080/finapi/profiles/owner
  keystile sign --key my-key --organization bank-x --form jwt --private-key @prv.key
  keystile sign --key my-key --form http-signature -X POST -d '{"a":1}' http://127.0.0.1:8080/finapi/payments/deposit > fields
  curl -H @fields -X POST -d '{"a":1}' http://127.0.0.1:8080/finapi/payments/deposit`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("sign takes at most one URL")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.key == "" {
				return usagef("--key is required: the id of a signing key, or its api_key")
			}
			signer, err := a.signer(cmd, g)
			if err != nil {
				return err
			}
			lines, err := a.sign(cmd.Context(), g, signer, args)
			if err != nil {
				return err
			}
			return writeText(a.stdout, []byte(strings.Join(lines, "\n")+"\n"))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&g.key, "key", "", "signing key: its id or its api_key (required)")
	flags.StringVar(&g.organization, "organization", "", "organisation of the key; default: the store's")
	flags.StringVar(&g.form, "form", "header", "header (base64 JSON), jwt, or http-signature (RFC 9421)")
	flags.StringVar(&g.secret, "secret", "", "HS256 secret: @FILE as it is, - for standard input, or the text")
	flags.StringVar(&g.privateKey, "private-key", "", "PEM private key: @FILE, or - for standard input")
	flags.StringVarP(&g.method, "request", "X", "", "with http-signature: method; default GET, or POST with -d")
	flags.StringVarP(&g.data, "data", "d", "", "with http-signature: body: @FILE, - for standard input, or the text")
	g.config.add(cmd)
	return cmd
}

// signer makes the signer of the key that was asked for.
func (a *app) signer(cmd *cobra.Command, g *signing) (*sign.Signer, error) {
	if g.secret != "" && g.privateKey != "" {
		return nil, usagef("--secret and --private-key: give one of them")
	}
	if g.organization != "" && (g.secret != "" || g.privateKey != "") {
		return a.givenSigner(g, g.organization, g.key)
	}
	return a.storedSigner(cmd, g)
}

// storedSigner signs for a key of the store: with its sealed secret, or with what
// the command line gives.
func (a *app) storedSigner(cmd *cobra.Command, g *signing) (_ *sign.Signer, err error) {
	cfg, err := g.config.load(a, cmd)
	if err != nil {
		return nil, err
	}
	h, err := a.openConfigured(cmd.Context(), cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	key, err := findSigningKey(cmd.Context(), h, g.key)
	if err != nil {
		return nil, err
	}
	if g.secret != "" || g.privateKey != "" {
		return a.givenSigner(g, key.OrganizationID, key.APIKey)
	}
	if key.Algorithm != keystile.HS256 {
		return nil, usagef("the private half of %s key %s is not in the store: give it with --private-key @FILE", key.Algorithm, key.APIKey)
	}
	secret, err := h.sealer.Open(key.SealedSecret, keystile.SigningSecretPlace(key.ID))
	if err != nil {
		return nil, err
	}
	return sign.NewHMAC(key.OrganizationID, key.APIKey, string(secret))
}

// givenSigner signs with a secret or private key from the command line. A secret
// file counts byte for byte: a newline at its end is part of the secret.
func (a *app) givenSigner(g *signing, organization, apiKey string) (*sign.Signer, error) {
	if g.secret != "" {
		secret, err := a.exactSecret(g.secret)
		if err != nil {
			return nil, err
		}
		return sign.NewHMAC(organization, apiKey, secret)
	}
	text, err := a.secretArgument(g.privateKey)
	if err != nil {
		return nil, err
	}
	private, err := sign.ParsePrivateKey([]byte(text + "\n"))
	if err != nil {
		return nil, fmt.Errorf("--private-key: %w", err)
	}
	return sign.New(organization, apiKey, private)
}

// findSigningKey finds a signing key by its id or its api_key.
func findSigningKey(ctx context.Context, h *house, name string) (keystile.SigningKey, error) {
	if keystile.ValidID(name) {
		key, err := h.store.SigningKey(ctx, name)
		if err == nil || !errors.Is(err, keystile.ErrNotFound) {
			return key, err
		}
	}
	found, err := h.store.FindSigningKey(ctx, name)
	if errors.Is(err, keystile.ErrNotFound) {
		return keystile.SigningKey{}, fmt.Errorf("there is no signing key %q: see keystile signing-key list", name)
	}
	return found.Key, err
}

// sign returns the header fields of the form that was asked for.
func (a *app) sign(ctx context.Context, g *signing, signer *sign.Signer, args []string) ([]string, error) {
	if g.form != "http-signature" && g.form != "http_signature" && (g.data != "" || g.method != "") {
		return nil, usagef("-X and -d belong to --form http-signature: the %s form signs neither method nor body", g.form)
	}
	var token string
	var err error
	switch g.form {
	case "header":
		token, err = signer.Header(sign.Stamp{})
	case "jwt":
		token, err = signer.JWT(sign.Stamp{})
	case "http-signature", "http_signature":
		return a.signMessage(ctx, g, signer, args)
	default:
		return nil, usagef("--form %q: use header, jwt or http-signature", g.form)
	}
	if err != nil {
		return nil, err
	}
	return []string{"Authorization: Bearer " + strings.TrimPrefix(token, "Bearer ")}, nil
}

func (a *app) signMessage(ctx context.Context, g *signing, signer *sign.Signer, args []string) ([]string, error) {
	if len(args) != 1 {
		return nil, usagef("--form http-signature signs the URL: give it")
	}
	body := ""
	var err error
	if g.data != "" {
		if body, err = a.exactSecret(g.data); err != nil { // byte for byte, as curl --data-binary sends it
			return nil, err
		}
	}
	method := g.method
	if method == "" {
		method = http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, args[0], bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, usagef("%q is not a full URL such as http://api.example.com/path", args[0])
	}
	if err := signer.Request(req, sign.Stamp{}); err != nil {
		return nil, err
	}
	var lines []string
	for name, values := range req.Header {
		for _, value := range values {
			lines = append(lines, name+": "+value)
		}
	}
	slices.Sort(lines)
	return lines, nil
}
