package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// SignInProviders lists by name the identity providers that people can sign in at: of
// one organisation, or of all. Disabled ones and those of disabled organisations are not
// among them. At most limit are read.
func (r *reads) SignInProviders(ctx context.Context, organizationID string, limit int) ([]keystile.IdentityProvider, error) {
	const op = "list providers to sign in at"
	var rows []gen.IdentityProvider
	if organizationID == "" {
		found, err := r.q.ListSignInProviders(ctx, rowLimit(limit))
		if err != nil {
			return nil, r.fail(op, err)
		}
		for _, row := range found {
			rows = append(rows, row.IdentityProvider)
		}
		return mapRows(rows, providerOf, r.fail, op)
	}
	found, err := r.q.ListSignInProvidersOfOrganization(ctx, organizationID, rowLimit(limit))
	if err != nil {
		return nil, r.fail(op, err)
	}
	for _, row := range found {
		rows = append(rows, row.IdentityProvider)
	}
	return mapRows(rows, providerOf, r.fail, op)
}

// signInColumn is what the column sign_in holds.
type signInColumn struct {
	ClientID    string   `json:"client_id"`
	Label       string   `json:"label,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
	LinkByEmail bool     `json:"link_by_email,omitempty"`
	TrustedAMR  []string `json:"trusted_amr,omitempty"`
	Unlisted    bool     `json:"unlisted,omitempty"`
}

func signInText(p keystile.IdentityProvider) (string, error) {
	if p.SignIn == nil {
		return "", nil
	}
	data, err := json.Marshal(signInColumn{
		ClientID: p.SignIn.ClientID, Label: p.SignIn.Label, Scopes: p.SignIn.Scopes,
		LinkByEmail: p.SignIn.LinkByEmail, TrustedAMR: p.SignIn.TrustedAMR, Unlisted: p.SignIn.Unlisted,
	})
	if err != nil {
		return "", fmt.Errorf("write the sign-in of identity provider %s: %w", p.Name, err)
	}
	return string(data), nil
}

func signInOf(row gen.IdentityProvider) (*keystile.ProviderSignIn, error) {
	if row.SignIn == "" {
		return nil, nil
	}
	var c signInColumn
	if err := json.Unmarshal([]byte(row.SignIn), &c); err != nil {
		return nil, fmt.Errorf("identity provider %s: read the stored sign-in: %w", row.Name, err)
	}
	s := &keystile.ProviderSignIn{
		ClientID: c.ClientID, Label: c.Label, Scopes: c.Scopes, LinkByEmail: c.LinkByEmail, TrustedAMR: c.TrustedAMR, Unlisted: c.Unlisted,
	}
	if len(row.SealedClientSecret) > 0 {
		s.SealedSecret = row.SealedClientSecret
	}
	return s, nil
}

// clientSecret is the sealed client secret as its column has it: never nil, which would be NULL.
func clientSecret(p keystile.IdentityProvider) []byte {
	if p.SignIn == nil {
		return []byte{}
	}
	return append([]byte{}, p.SignIn.SealedSecret...)
}

func checkSignIn(s *keystile.ProviderSignIn) error {
	if s == nil {
		return nil
	}
	if s.ClientID == "" {
		return keystile.Invalidf("sign_in.client_id", "give the one that the provider gave you", "is missing")
	}
	for i, lists := 0, slices.Concat(s.Scopes, s.TrustedAMR); i < len(lists); i++ {
		if err := checkTexts(text{"sign_in", lists[i]}); err != nil {
			return err
		}
	}
	return checkTexts(text{"sign_in.client_id", s.ClientID}, text{"sign_in.label", s.Label})
}

// signInMembers are those of the audit log; without a secret, of which only that it
// changed may be said.
func signInMembers(s *keystile.ProviderSignIn) []member {
	if s == nil {
		s = &keystile.ProviderSignIn{}
	}
	return []member{
		{"sign_in.client_id", s.ClientID},
		{"sign_in.label", s.Label},
		{"sign_in.scopes", texts(s.Scopes)},
		{"sign_in.link_by_email", s.LinkByEmail},
		{"sign_in.trusted_amr", texts(s.TrustedAMR)},
		{"sign_in.unlisted", s.Unlisted},
	}
}
