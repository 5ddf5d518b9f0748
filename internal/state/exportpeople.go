package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

func (x *exporter) users(ctx context.Context, s *section) error {
	list := func(ctx context.Context, after string, limit int) ([]keystile.User, error) {
		return x.Users(ctx, store.UserFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
	return every(ctx, list, storedUserID, func(u *keystile.User) error {
		if s.items.Len() > yamlfile.MaxState {
			return errTooLarge
		}
		return x.user(ctx, s, u)
	})
}

func (x *exporter) user(ctx context.Context, s *section, u *keystile.User) error {
	s.item()
	s.text("id", u.ID)
	s.text("username", u.Username)
	if u.Email != u.Username {
		s.text("email", u.Email)
	}
	s.text("name", u.Name)
	s.text("organization", u.OrganizationID)
	s.text("role_id", u.RoleID)
	s.text("admin_role", string(u.AdminRole))
	s.list("customer_ids", u.CustomerIDs)
	s.text("group_id", u.GroupID)
	s.text("skin_id", u.SkinID)
	s.text("mfa", string(u.MFA))
	s.flag("must_change_password", u.MustChangePassword)
	s.flag("disabled", u.Disabled)
	password, err := x.Password(ctx, u.ID)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	s.text("password_hash", password.Hash)
	if err := x.totp(ctx, s, u.ID); err != nil {
		return err
	}
	return x.authToken(ctx, s, u.ID)
}

func (x *exporter) totp(ctx context.Context, s *section, userID string) error {
	factors, err := x.Factors(ctx, userID)
	if err != nil {
		return err
	}
	for _, f := range factors {
		if f.Kind != keystile.FactorTOTP {
			continue
		}
		value, err := x.sealed(f.Sealed)
		if err != nil {
			return err
		}
		members := []string{"id: " + scalar(f.ID)}
		if f.Name != "" {
			members = append(members, "name: "+scalar(f.Name))
		}
		s.raw("totp", "{"+strings.Join(append(members, "sealed: "+scalar(value)), ", ")+"}")
	}
	return nil
}

func (x *exporter) authToken(ctx context.Context, s *section, userID string) error {
	kept, err := x.AuthToken(ctx, userID)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	key, err := x.APIKey(ctx, kept.APIKeyID)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && !key.RevokedAt.IsZero() {
		return nil // it ended, and would be good again elsewhere
	}
	if err != nil {
		return err
	}
	value, err := x.sealed(kept.Sealed)
	if err != nil {
		return err
	}
	s.raw("auth_token_sealed", "{id: "+scalar(kept.APIKeyID)+", sealed: "+scalar(value)+"}")
	return nil
}

// sealed is a sealed value as text, with the id of its master key.
func (x *exporter) sealed(data []byte) (string, error) {
	if x.masterID == "" {
		return "", errNoMasterID
	}
	return sealed{master: x.masterID, data: data}.String(), nil
}

// flag writes a member that is true.
func (s *section) flag(name string, value bool) {
	if value {
		s.raw(name, "true")
	}
}

func (x *exporter) providers(ctx context.Context, s *section) error {
	list := func(ctx context.Context, after string, limit int) ([]keystile.IdentityProvider, error) {
		return x.IdentityProviders(ctx, store.IdentityProviderFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
	return every(ctx, list, storedProviderName, func(p *keystile.IdentityProvider) error {
		if s.items.Len() > yamlfile.MaxState {
			return errTooLarge
		}
		return x.provider(s, p)
	})
}

func (x *exporter) provider(s *section, p *keystile.IdentityProvider) error {
	s.item()
	s.text("name", p.Name)
	s.text("organization", p.OrganizationID)
	s.list("roles", p.Roles)
	s.text("issuer", p.Issuer)
	s.text("audience", p.Audience)
	s.list("algorithms", textsOf(p.Algorithms))
	switch {
	case p.JWKSURL != "":
		s.text("jwks_url", p.JWKSURL)
	case p.JWKS != "":
		s.raw("jwks", p.JWKS) // JSON is YAML (YAML 1.2, section 1.3)
	case p.PublicKey != "":
		s.block("public_key", p.PublicKey)
	case len(p.SealedSecret) > 0:
		value, err := x.sealed(p.SealedSecret)
		if err != nil {
			return err
		}
		s.text("sealed", value)
	}
	if len(p.Claims) > 0 {
		members := make([]string, 0, len(p.Claims))
		for _, member := range slices.Sorted(maps.Keys(p.Claims)) {
			members = append(members, fmt.Sprintf("%s: %s", member, scalar(p.Claims[member])))
		}
		s.raw("claims", "{"+strings.Join(members, ", ")+"}")
	}
	s.flag("create_users", p.CreateUsers)
	s.flag("disabled", p.Disabled)
	return x.signIn(s, p.SignIn)
}
