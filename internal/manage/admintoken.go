package manage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/store"
)

// adminTokenHead starts every admin token.
const adminTokenHead = "kadm_"

// NewAdminToken says what an admin token is to be.
type NewAdminToken struct {
	// ID may be empty, then one is drawn: "adm_" and 16 characters.
	ID   string
	Name string
	// OrganizationID confines the token to one organisation; empty is global.
	OrganizationID string
	// Scopes: "noun:*" stands for all verbs the noun has now. None: everything
	// that a token of its reach may hold and its maker holds.
	Scopes []keystile.Scope
	// ExpiresAt: zero is never.
	ExpiresAt time.Time
	// Bootstrap marks the first token, which ends when another global token is
	// made or 24 h after its first use.
	Bootstrap bool
}

// boundScopes lists what a token bound to one organisation may hold. The other
// scopes of the API are about the whole server: its routes, its roles, its
// state, the decisions for every tenant.
var boundScopes = []keystile.Scope{
	"organizations:read", "organizations:write", "sites:read", "sites:write",
	"users:read", "users:write", "sessions:read", "sessions:write", "identity_providers:read", "identity_providers:write",
	"applications:read", "applications:write", "authorizations:read", "authorizations:write",
	"keys:read", "keys:write", "signing_keys:read", "signing_keys:write", "audit:read", "admin_tokens:read", "admin_tokens:write",
}

// CreateAdminToken makes an admin token and returns its secret, once:
// "kadm_", 32 random base62 characters and 6 of checksum. Making a global token
// ends every bootstrap token in the same transaction.
func (s *Service) CreateAdminToken(ctx context.Context, a store.Actor, in NewAdminToken) (keystile.AdminToken, keystile.Secret, error) {
	made, err := change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (tokenAndSecret, error) {
		token, secret, err := s.CreateAdminTokenTx(ctx, tx, in)
		return tokenAndSecret{token, secret}, err
	})
	return made.token, made.secret, err
}

type tokenAndSecret struct {
	token  keystile.AdminToken
	secret keystile.Secret
}

// CreateAdminTokenTx is CreateAdminToken inside a transaction.
func (s *Service) CreateAdminTokenTx(ctx context.Context, tx *store.Tx, in NewAdminToken) (keystile.AdminToken, keystile.Secret, error) {
	var none keystile.AdminToken
	if in.OrganizationID == "" {
		in.OrganizationID = s.boundTo()
	}
	token, err := s.describeToken(in)
	if err != nil {
		return none, "", err
	}
	if token.OrganizationID != "" {
		if _, err := s.owner(ctx, tx, token.OrganizationID); err != nil {
			return none, "", err
		}
	}
	if err := s.mayGrant(token); err != nil {
		return none, "", err
	}
	secret, err := apikey.GenerateTyped(s.Random, adminTokenHead)
	if err != nil {
		return none, "", fmt.Errorf("generate admin token %q: %w", token.ID, err)
	}
	digest, pepperID := s.Digester.Digest(apikey.Sum(secret))
	if err := tx.CreateAdminToken(ctx, token, digest, pepperID); err != nil {
		return none, "", fmt.Errorf("create admin token %q: %w", token.ID, err)
	}
	if token.OrganizationID == "" && !token.Bootstrap {
		if err := s.endBootstrap(ctx, tx); err != nil {
			return none, "", err
		}
	}
	return token, secret, nil
}

// describeToken checks everything that is wrong with a new token at once and
// returns the record it will be.
func (s *Service) describeToken(in NewAdminToken) (keystile.AdminToken, error) {
	now := s.now()
	token := keystile.AdminToken{
		ID: in.ID, Name: in.Name, OrganizationID: in.OrganizationID, Bootstrap: in.Bootstrap, CreatedAt: now,
	}
	if !in.ExpiresAt.IsZero() {
		token.ExpiresAt = in.ExpiresAt.UTC().Truncate(time.Microsecond)
	}
	if token.ID == "" {
		id, err := s.newID("adm_")
		if err != nil {
			return token, err
		}
		token.ID = id
	}
	var p problems
	p.id("id", token.ID)
	p.name("name", token.Name)
	p.expiry("expires_at", token.ExpiresAt, now)
	if token.OrganizationID != "" {
		p.reference("organization", token.OrganizationID)
		if token.Bootstrap {
			p.add("organization", "leave it out", "a bootstrap token is global")
		}
	}
	token.Scopes = s.expandScopes(&p, in.Scopes, grantable(token.OrganizationID))
	return token, p.err()
}

// grantable lists the scopes that a token of this reach may hold.
func grantable(organizationID string) []keystile.Scope {
	if organizationID != "" {
		return boundScopes
	}
	return keystile.AdminScopes
}

// expandScopes writes wanted scopes out one by one. "noun:*" is kept as what it
// means today, so that a later version's new verb is not granted unasked.
func (s *Service) expandScopes(p *problems, wanted, may []keystile.Scope) []keystile.Scope {
	if len(wanted) == 0 {
		return slices.DeleteFunc(slices.Clone(may), func(scope keystile.Scope) bool { return !s.holds(scope) })
	}
	if len(wanted) > MaxScopes {
		p.add("scopes", fmt.Sprintf("name at most %d", MaxScopes), "names %d scopes", len(wanted))
		return nil
	}
	granted := make([]keystile.Scope, 0, len(wanted))
	for i, want := range wanted {
		covered := 0
		for _, scope := range may {
			if want.Covers(scope) {
				covered++
				if !slices.Contains(granted, scope) {
					granted = append(granted, scope)
				}
			}
		}
		if covered == 0 {
			p.add(fmt.Sprintf("scopes[%d]", i), "use some of "+joinScopes(may), "not a scope that this token may hold")
		}
	}
	return granted
}

func joinScopes(scopes []keystile.Scope) string {
	words := make([]string, len(scopes))
	for i, scope := range scopes {
		words[i] = string(scope)
	}
	return strings.Join(words, ", ")
}

// holds says whether the caller itself has a scope; the operator has all.
func (s *Service) holds(scope keystile.Scope) bool {
	if s.token == nil {
		return true
	}
	return HasScope(*s.token, scope)
}

// HasScope says whether a token was granted a scope.
func HasScope(token keystile.AdminToken, want keystile.Scope) bool {
	return slices.ContainsFunc(token.Scopes, func(have keystile.Scope) bool { return have.Covers(want) })
}

// mayGrant refuses to make a token that may do more than its maker, or
// outlives it: such a token would be a way to keep what was to end.
func (s *Service) mayGrant(token keystile.AdminToken) error {
	if s.token == nil {
		return nil
	}
	if token.Bootstrap {
		return fmt.Errorf("make a bootstrap token with a token: %w", ErrNotPermitted)
	}
	for _, scope := range token.Scopes {
		if !s.holds(scope) {
			return fmt.Errorf("grant scope %s, which the caller does not hold: %w", scope, ErrNotPermitted)
		}
	}
	end := s.token.ExpiresAt
	if !end.IsZero() && (token.ExpiresAt.IsZero() || token.ExpiresAt.After(end)) {
		return keystile.Invalidf("expires_at", "name a time up to "+end.Format(time.RFC3339),
			"a token cannot outlive the one that made it")
	}
	return nil
}

// endBootstrap revokes every live bootstrap token.
func (s *Service) endBootstrap(ctx context.Context, tx *store.Tx) error {
	after := ""
	for {
		tokens, err := tx.AdminTokens(ctx, store.AdminTokenFilter{Page: store.Page{AfterID: after, Limit: tokenPage}})
		if err != nil {
			return fmt.Errorf("list admin tokens: %w", err)
		}
		for _, token := range tokens {
			after = token.ID
			if !token.Bootstrap || !token.RevokedAt.IsZero() {
				continue
			}
			if err := tx.RevokeAdminToken(ctx, token.ID, s.now()); err != nil {
				return fmt.Errorf("end bootstrap token %q: %w", token.ID, err)
			}
		}
		if len(tokens) < tokenPage {
			return nil
		}
	}
}

// tokenPage is how many tokens endBootstrap reads at a time.
const tokenPage = 500

// RevokeAdminToken ends an admin token for good. Revoking a revoked one changes
// nothing.
func (s *Service) RevokeAdminToken(ctx context.Context, a store.Actor, id string) (keystile.AdminToken, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.AdminToken, error) {
		return s.RevokeAdminTokenTx(ctx, tx, id)
	})
}

// RevokeAdminTokenTx is RevokeAdminToken inside a transaction.
func (s *Service) RevokeAdminTokenTx(ctx context.Context, tx *store.Tx, id string) (keystile.AdminToken, error) {
	token, err := s.adminToken(ctx, tx, id)
	if err != nil {
		return keystile.AdminToken{}, err
	}
	if !token.RevokedAt.IsZero() {
		return token, nil
	}
	if err := tx.RevokeAdminToken(ctx, id, s.now()); err != nil {
		return keystile.AdminToken{}, fmt.Errorf("revoke admin token %q: %w", id, err)
	}
	return s.adminToken(ctx, tx, id)
}

// AdminToken returns one admin token, without its secret.
func (s *Service) AdminToken(ctx context.Context, id string) (keystile.AdminToken, error) {
	return s.adminToken(ctx, s.Store, id)
}

// AdminTokens lists admin tokens by id. A caller bound to an organisation sees
// that organisation's, never the global ones.
func (s *Service) AdminTokens(ctx context.Context, filter store.AdminTokenFilter) ([]keystile.AdminToken, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	tokens, err := s.Store.AdminTokens(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list admin tokens: %w", err)
	}
	return tokens, nil
}

type adminTokenReader interface {
	AdminToken(ctx context.Context, id string) (keystile.AdminToken, error)
}

func (s *Service) adminToken(ctx context.Context, from adminTokenReader, id string) (keystile.AdminToken, error) {
	if !keystile.ValidID(id) {
		return keystile.AdminToken{}, missing("admin token", id)
	}
	token, err := from.AdminToken(ctx, id)
	if err != nil {
		return keystile.AdminToken{}, fmt.Errorf("admin token %q: %w", id, err)
	}
	if !s.sees(token.OrganizationID) {
		return keystile.AdminToken{}, missing("admin token", id)
	}
	return token, nil
}
