package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// IdentityProviderFilter chooses identity providers.
type IdentityProviderFilter struct {
	// Page is by name.
	Page
	// OrganizationID: only this organisation's; empty: all.
	OrganizationID string
}

// IdentityProvider reads one identity provider.
func (r *reads) IdentityProvider(ctx context.Context, name string) (keystile.IdentityProvider, error) {
	row, err := r.q.GetIdentityProvider(ctx, name)
	if err != nil {
		return keystile.IdentityProvider{}, r.fail("read identity provider "+clip(name), err)
	}
	p, err := providerOf(row)
	return p, r.fail("read identity provider "+clip(name), err)
}

// IdentityProvider reads one identity provider and keeps it from changing until the transaction ends.
func (t *Tx) IdentityProvider(ctx context.Context, name string) (keystile.IdentityProvider, error) {
	return locked(ctx, t, func() (keystile.IdentityProvider, error) { return t.reads.IdentityProvider(ctx, name) },
		func(p keystile.IdentityProvider) string { return p.OrganizationID })
}

// IdentityProviders lists identity providers by name, disabled ones too.
func (r *reads) IdentityProviders(ctx context.Context, f IdentityProviderFilter) ([]keystile.IdentityProvider, error) {
	var rows []gen.IdentityProvider
	var err error
	if f.OrganizationID == "" {
		rows, err = r.q.ListIdentityProviders(ctx, f.AfterID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListIdentityProvidersOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list identity providers", err)
	}
	return mapRows(rows, providerOf, r.fail, "list identity providers")
}

// IdentityProviderLookup is what the name of an identity provider leads to.
type IdentityProviderLookup struct {
	Provider     keystile.IdentityProvider
	Organization keystile.Organization
	// Revision of the feed, read by the same statement: a cache drops what it
	// read before a newer change of the same thing.
	Revision int64
}

// FindIdentityProvider finds an identity provider and its organisation by the
// provider's name. None is [keystile.ErrNotFound]; whether they are enabled is
// the caller's to judge.
func (r *reads) FindIdentityProvider(ctx context.Context, name string) (IdentityProviderLookup, error) {
	const op = "look up an identity provider"
	if !keystile.ValidID(name) {
		return IdentityProviderLookup{}, notFound("identity provider", name)
	}
	row, err := r.q.FindIdentityProvider(ctx, name)
	if err != nil {
		return IdentityProviderLookup{}, r.fail(op, err)
	}
	p, err := providerOf(row.IdentityProvider)
	if err != nil {
		return IdentityProviderLookup{}, r.fail(op, err)
	}
	o, err := organizationOf(row.Organization)
	if err != nil {
		return IdentityProviderLookup{}, r.fail(op, err)
	}
	return IdentityProviderLookup{Provider: p, Organization: o, Revision: row.Revision}, nil
}

// CreateIdentityProvider adds an identity provider. A duplicate name is
// [keystile.ErrConflict]. Its organisation and the roles it may assert must
// exist. Zero times of creation are now.
func (t *Tx) CreateIdentityProvider(ctx context.Context, p keystile.IdentityProvider) error {
	if err := t.checkProvider(ctx, p); err != nil {
		return err
	}
	t.stamp(&p.CreatedAt, &p.UpdatedAt)
	row, err := providerRow(p)
	if err != nil {
		return err
	}
	n, err := t.q.InsertIdentityProvider(ctx, gen.InsertIdentityProviderParams(row))
	if err != nil {
		return t.fail("create identity provider "+p.Name, err)
	}
	if n == 0 {
		return conflict("identity provider %q exists already", p.Name)
	}
	t.announceHere(keystile.ChangeProvider, p.Name)
	return t.Record(ctx, p.OrganizationID, "identity_provider.create", "identity_provider:"+p.Name, whole(providerMembers(p)))
}

// UpdateIdentityProvider makes the stored identity provider as p says, but for
// its times; nothing is written if nothing differs, and a secret sealed again
// differs. A provider cannot move to another organisation: it would sign in as
// whoever has the same names there.
func (t *Tx) UpdateIdentityProvider(ctx context.Context, p keystile.IdentityProvider) error {
	before, err := t.IdentityProvider(ctx, p.Name)
	if err != nil {
		return err
	}
	if before.OrganizationID != p.OrganizationID {
		return keystile.Invalidf("organization", "delete the provider and create it there", "identity provider %q belongs to another organization", p.Name)
	}
	detail := difference(providerMembers(before), providerMembers(p))
	if !bytes.Equal(before.SealedSecret, p.SealedSecret) {
		detail["secret"] = "changed" // which is all that may be said of it
	}
	if !bytes.Equal(clientSecret(before), clientSecret(p)) {
		detail["sign_in.client_secret"] = "changed"
	}
	if len(detail) == 0 {
		return nil
	}
	if err := t.checkProvider(ctx, p); err != nil {
		return err
	}
	row, err := providerRow(p)
	if err != nil {
		return err
	}
	err = t.q.UpdateIdentityProvider(ctx, gen.UpdateIdentityProviderParams{
		Name: p.Name, Roles: row.Roles, Issuer: row.Issuer, Audience: row.Audience, Algorithms: row.Algorithms,
		JwksUrl: row.JwksUrl, Jwks: row.Jwks, PublicKey: row.PublicKey, SealedSecret: row.SealedSecret, Claims: row.Claims,
		CreateUsers: row.CreateUsers, Disabled: row.Disabled, UpdatedAt: micros(t.now), SignIn: row.SignIn, SealedClientSecret: row.SealedClientSecret,
	})
	if err != nil {
		return t.fail("update identity provider "+p.Name, err)
	}
	if p.Disabled && !before.Disabled {
		if err := t.endSessionsOfProvider(ctx, p.Name); err != nil {
			return err
		}
	}
	t.Announce(keystile.ChangeProvider, p.Name)
	return t.Record(ctx, p.OrganizationID, "identity_provider.update", "identity_provider:"+p.Name, detail)
}

// DeleteIdentityProvider removes an identity provider.
func (t *Tx) DeleteIdentityProvider(ctx context.Context, name string) error {
	p, err := t.IdentityProvider(ctx, name)
	if err != nil {
		return err
	}
	if err := t.q.DeleteIdentityProvider(ctx, name); err != nil {
		return t.fail("delete identity provider "+name, err)
	}
	if err := t.endSessionsOfProvider(ctx, name); err != nil {
		return err
	}
	t.Announce(keystile.ChangeProvider, name)
	return t.Record(ctx, p.OrganizationID, "identity_provider.delete", "identity_provider:"+name, whole(providerMembers(p)))
}

// checkProvider checks the provider itself and what it refers to.
func (t *Tx) checkProvider(ctx context.Context, p keystile.IdentityProvider) error {
	if err := checkProviderFields(p); err != nil {
		return err
	}
	if err := t.ownerExists(ctx, "organization", p.OrganizationID); err != nil {
		return err
	}
	for i, id := range p.Roles {
		// Under a lock, as no reference of the schema keeps a role that is named in a list.
		if _, err := t.Role(ctx, id); err != nil {
			return dangling(err, fmt.Sprintf("roles[%d]", i), "role", id)
		}
	}
	return nil
}

func checkProviderFields(p keystile.IdentityProvider) error {
	if err := checkID("name", p.Name); err != nil {
		return err
	}
	err := checkTexts(text{"issuer", p.Issuer}, text{"audience", p.Audience}, text{"jwks_url", p.JWKSURL}, text{"jwks", p.JWKS}, text{"public_key", p.PublicKey})
	if err != nil {
		return err
	}
	if p.Issuer == "" || p.Audience == "" {
		return keystile.Invalidf("issuer", "give issuer and audience", "an identity provider has an issuer and an audience")
	}
	if err := checkList("roles", p.Roles); err != nil {
		return err
	}
	if err := checkList("algorithms", p.Algorithms); err != nil {
		return err
	}
	for member, claim := range p.Claims {
		if err := checkTexts(text{"claims", member}, text{"claims", claim}); err != nil {
			return err
		}
	}
	if err := checkSignIn(p.SignIn); err != nil {
		return err
	}
	return checkProviderKeys(p)
}

// checkProviderKeys refuses a provider whose tokens could be verified by nothing (the keys
// of one that people sign in at are where its issuer says)
// or in two ways, and one whose public key could serve as an HMAC secret.
func checkProviderKeys(p keystile.IdentityProvider) error {
	sources := 0
	for _, is := range []bool{p.JWKSURL != "", p.JWKS != "", p.PublicKey != "", len(p.SealedSecret) > 0} {
		if is {
			sources++
		}
	}
	if sources != 1 && (sources != 0 || p.SignIn == nil) {
		return keystile.Invalidf("jwks_url", "give one of jwks_url, jwks, public_key and secret", "an identity provider has one source of keys, not %d", sources)
	}
	if len(p.Algorithms) == 0 {
		return keystile.Invalidf("algorithms", "name at least one", "names no algorithm")
	}
	for _, a := range p.Algorithms {
		if (a == keystile.HS256) != (len(p.SealedSecret) > 0) {
			return keystile.Invalidf("algorithms", "use HS256 with a secret and alone, another one otherwise", "%s does not fit the source of keys", clip(string(a)))
		}
	}
	return nil
}

func providerRow(p keystile.IdentityProvider) (gen.IdentityProvider, error) {
	claims, err := json.Marshal(p.Claims) // with its members in order
	if err != nil {
		return gen.IdentityProvider{}, fmt.Errorf("write the claims of identity provider %s: %w", p.Name, err)
	}
	signIn, err := signInText(p)
	if err != nil {
		return gen.IdentityProvider{}, err
	}
	return gen.IdentityProvider{
		SignIn: signIn, SealedClientSecret: clientSecret(p),
		Name: p.Name, OrganizationID: p.OrganizationID, Roles: joinList(p.Roles), Issuer: p.Issuer, Audience: p.Audience,
		Algorithms: joinList(p.Algorithms), JwksUrl: p.JWKSURL, Jwks: p.JWKS, PublicKey: p.PublicKey,
		SealedSecret: append([]byte{}, p.SealedSecret...), // never nil, which would be NULL
		Claims:       string(claims), CreateUsers: p.CreateUsers, Disabled: p.Disabled,
		CreatedAt: micros(p.CreatedAt), UpdatedAt: micros(p.UpdatedAt),
	}, nil
}

func providerOf(row gen.IdentityProvider) (keystile.IdentityProvider, error) {
	p := keystile.IdentityProvider{
		Name: row.Name, OrganizationID: row.OrganizationID, Roles: splitList[string](row.Roles), Issuer: row.Issuer, Audience: row.Audience,
		Algorithms: splitList[keystile.SigningAlgorithm](row.Algorithms), JWKSURL: row.JwksUrl, JWKS: row.Jwks, PublicKey: row.PublicKey,
		CreateUsers: row.CreateUsers, Disabled: row.Disabled, CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}
	if len(row.SealedSecret) > 0 {
		p.SealedSecret = row.SealedSecret
	}
	if err := json.Unmarshal([]byte(row.Claims), &p.Claims); err != nil {
		return keystile.IdentityProvider{}, fmt.Errorf("identity provider %s: read the stored claims: %w", row.Name, err)
	}
	var err error
	if p.SignIn, err = signInOf(row); err != nil {
		return keystile.IdentityProvider{}, err
	}
	if err := checkProviderKeys(p); err != nil {
		return keystile.IdentityProvider{}, fmt.Errorf("identity provider %s: what is stored contradicts itself", row.Name)
	}
	return p, nil
}

func providerMembers(p keystile.IdentityProvider) []member {
	var claims map[string]string
	if len(p.Claims) > 0 {
		claims = maps.Clone(p.Claims)
	}
	return append([]member{
		{"name", p.Name},
		{"organization", p.OrganizationID},
		{"roles", texts(p.Roles)},
		{"issuer", p.Issuer},
		{"audience", p.Audience},
		{"algorithms", texts(p.Algorithms)},
		{"jwks_url", p.JWKSURL},
		{"jwks", fingerprint(p.JWKS)},
		{"public_key", fingerprint(p.PublicKey)},
		{"claims", claims},
		{"create_users", p.CreateUsers},
		{"disabled", p.Disabled},
	}, signInMembers(p.SignIn)...)
}
