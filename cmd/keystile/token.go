package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/keyring"
)

func newToken(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Look into tokens and keys, and make codes",
		Example: "  keystile token inspect @token.txt",
	}
	cmd.AddCommand(newTokenInspect(a), newTokenTOTP(a))
	return cmd
}

func newTokenInspect(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use:   "inspect TOKEN",
		Short: "Decode a token or key and say whether it is good, and if not, why",
		Long: `Takes an API key, a session token, a one-time token or an assertion of this store,
decodes what can be decoded, and verifies it as the gate would. It spends nothing
and is not recorded. The exit status is 0 if it is good and 1 if it is not.
TOKEN may be @FILE, or - for standard input, which keeps it out of the shell's history.`,
		Example: "  keystile token inspect @token.txt --config keystile.yaml",
		Args:    oneArgument("the token: @FILE, - for standard input, or the text"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.secretArgument(args[0])
			if err != nil {
				return err
			}
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			seen, err := a.inspect(cmd.Context(), cfg, strings.TrimSpace(text))
			if err != nil {
				return err
			}
			if err := a.printInspected(f, seen); err != nil {
				return err
			}
			if !seen.Verified {
				return fmt.Errorf("the credential is not good: %s", seen.Code)
			}
			return nil
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// kindAssertion is what inspect calls Keystile-Assertion, which no route takes.
const kindAssertion keystile.KindName = "assertion"

// inspected is what there is to say of a credential.
type inspected struct {
	Kind     keystile.KindName `json:"kind"`
	Verified bool              `json:"verified"`
	// Code is why not.
	Code   keystile.Reason `json:"code,omitempty"`
	Detail string          `json:"detail,omitempty"`
	// Header and Claims are decoded and believed by nobody unless Verified.
	Header json.RawMessage `json:"header,omitempty"`
	Claims json.RawMessage `json:"claims,omitempty"`

	Subject      string           `json:"subject,omitempty"`
	Organization string           `json:"organization,omitempty"`
	Credential   string           `json:"credential,omitempty"`
	Scopes       []keystile.Scope `json:"scopes,omitempty"`
	Sites        []string         `json:"sites,omitempty"`
	ExpiresAt    *time.Time       `json:"expires_at,omitempty"`
}

func (i *inspected) refuse(reason keystile.Reason, detail string) { i.Code, i.Detail = reason, detail }

// inspect decodes and verifies one credential.
func (a *app) inspect(ctx context.Context, cfg *config.Config, text string) (seen *inspected, err error) {
	h, err := a.openConfigured(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	seen = &inspected{}
	seen.Header, seen.Claims = decoded(text)
	if handled, err := h.inspectAssertion(seen, cfg, text); handled || err != nil {
		return seen, err
	}
	kinds, done, err := h.kinds(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer done()
	return seen, seen.ask(ctx, kinds, text)
}

// ask finds and verifies the credential as the gate does.
func (i *inspected) ask(ctx context.Context, kinds []keystile.Kind, text string) error {
	r := &keystile.Request{
		Method: "GET", Scheme: "https", Path: "/", Header: keystile.Header{"Authorization": {text}}, ClientAddr: netip.IPv6Loopback(),
	}
	found, rejection := credential.Find(r, &keystile.Route{Accept: []keystile.KindName{keystile.KindAPIKey, keystile.KindSessionJWT}})
	if rejection != nil {
		i.refuse(rejection.Reason, rejection.Cause)
		return nil
	}
	if i.Kind = found.Kind; i.Kind == "" {
		i.Kind = keystile.KindAPIKey
	}
	for _, kind := range kinds {
		if kind.Name() == i.Kind {
			return i.verify(ctx, kind, r, found)
		}
	}
	i.refuse(keystile.ReasonKindNotAccepted, "this version verifies no credentials of that kind")
	return nil
}

func (i *inspected) verify(ctx context.Context, kind keystile.Kind, r *keystile.Request, found keystile.Found) error {
	presented, err := kind.Parse(r, found)
	if err != nil {
		i.refuse(keystile.ReasonCredentialMalformed, err.Error())
		return nil
	}
	presented.At = time.Now()
	p, err := kind.Verify(ctx, presented)
	if claimer, spends := kind.(keystile.Claimer); err == nil && spends {
		err = claimer.Spent(ctx, presented)
	}
	var rejection *keystile.Rejection
	switch {
	case errors.Is(err, keystile.ErrReplayed):
		i.refuse(keystile.ReasonReplayed, "it was used before")
		return nil
	case errors.As(err, &rejection):
		i.refuse(rejection.Reason, rejection.Cause)
		return nil
	case err != nil:
		return err
	}
	i.Verified = true
	i.Subject, i.Organization, i.Credential = p.Subject, p.OrganizationID, string(p.Kind)+":"+p.CredentialID
	i.Scopes, i.Sites = p.Scopes, p.SiteIDs
	if !p.ExpiresAt.IsZero() {
		i.ExpiresAt = &p.ExpiresAt
	}
	return nil
}

// inspectAssertion verifies a token that names the key of assertions.
func (h *house) inspectAssertion(i *inspected, cfg *config.Config, text string) (handled bool, err error) {
	token, err := jws.Parse(text)
	if err != nil {
		return false, nil //nolint:nilerr // it is no signed token: something else may know it
	}
	signer, err := keyring.OpenSigner(h.sealer, h.assertion, keyring.SignerOptions{Issuer: issuerOf(cfg), Now: time.Now, Random: randomSource})
	if err != nil {
		return false, err
	}
	key, err := signer.Public()
	if err != nil || token.KeyID != key.ID {
		return false, err
	}
	i.Kind = kindAssertion
	var claims struct {
		Subject      string `json:"sub"`
		Organization string `json:"organization"`
		Credential   string `json:"credential"`
		Expires      int64  `json:"exp"`
	}
	switch {
	case !key.Verify(token):
		i.refuse(keystile.ReasonSignatureInvalid, "the signature is not that of the assertion key")
	case json.Unmarshal(token.Payload, &claims) != nil:
		i.refuse(keystile.ReasonCredentialMalformed, "its payload is no JSON")
	case time.Now().Unix() >= claims.Expires:
		i.refuse(keystile.ReasonCredentialExpired, "it has ended")
	default:
		ends := time.Unix(claims.Expires, 0).UTC()
		i.Verified, i.ExpiresAt = true, &ends
		i.Subject, i.Organization, i.Credential = claims.Subject, claims.Organization, claims.Credential
	}
	return true, nil
}

// decoded are the JSON objects that a token is made of, as far as it is.
func decoded(text string) (header, claims json.RawMessage) {
	if parts := strings.Split(text, "."); len(parts) == 3 {
		return object(parts[0]), object(parts[1])
	}
	return nil, object(text)
}

// object is a JSON object in base64 of either alphabet, nil for anything else.
func object(text string) json.RawMessage {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !json.Valid(raw) || !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return nil
	}
	return raw
}

func (a *app) printInspected(f format, i *inspected) error {
	if f == formatJSON {
		return printJSON(a.stdout, i)
	}
	verdict := "yes"
	if !i.Verified {
		verdict = "no: " + string(i.Code)
	}
	pairs := []string{"kind", string(i.Kind), "good", verdict}
	var scopes []string
	for _, s := range i.Scopes {
		scopes = append(scopes, string(s))
	}
	for _, pair := range [][2]string{
		{"detail", i.Detail},
		{"subject", i.Subject},
		{"organization", i.Organization},
		{"credential", i.Credential},
		{"scopes", strings.Join(scopes, ", ")},
		{"sites", strings.Join(i.Sites, ", ")},
		{"expires", timeText(i.ExpiresAt)},
		{"header", string(i.Header)},
		{"claims", string(i.Claims)},
	} {
		if pair[1] != "" {
			pairs = append(pairs, pair[0], pair[1])
		}
	}
	return printFields(a.stdout, pairs...)
}
