package manage

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// NewIdentityProvider says what an identity provider is to be.
type NewIdentityProvider struct {
	// Provider with one source of keys: JWKSURL, JWKS, PublicKey, or Secret or Sealed
	// below. Times are ignored.
	Provider keystile.IdentityProvider
	// Secret is the HS256 secret; Sealed is one as an export of this store wrote it.
	Secret keystile.Secret
	Sealed []byte
	// ClientSecret is our client secret at the provider, for Provider.SignIn;
	// SealedClientSecret is one as an export of this store wrote it.
	ClientSecret       keystile.Secret
	SealedClientSecret []byte
}

// CreateIdentityProvider makes an identity provider. Its organisation and roles
// must exist. Whoever makes one decides who signs in, so that a token must hold
// all that a user of the organisation may be able to do.
func (s *Service) CreateIdentityProvider(ctx context.Context, a store.Actor, in NewIdentityProvider) (keystile.IdentityProvider, error) {
	if in.Provider.OrganizationID == "" {
		in.Provider.OrganizationID = s.boundTo()
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.IdentityProvider, error) {
		return s.CreateIdentityProviderTx(ctx, tx, in)
	})
}

// CreateIdentityProviderTx is CreateIdentityProvider inside a transaction.
func (s *Service) CreateIdentityProviderTx(ctx context.Context, tx *store.Tx, in NewIdentityProvider) (keystile.IdentityProvider, error) {
	if err := s.mayHave(keystile.OrgAdmin); err != nil {
		return keystile.IdentityProvider{}, err
	}
	var p problems
	provider, err := s.completeProvider(&p, in)
	if err != nil {
		return keystile.IdentityProvider{}, err
	}
	p.reference("organization", provider.OrganizationID)
	if keystile.ValidID(provider.OrganizationID) {
		if err := s.userOwner(ctx, tx, &p, provider.OrganizationID); err != nil {
			return keystile.IdentityProvider{}, err
		}
	}
	if err := p.err(); err != nil {
		return keystile.IdentityProvider{}, err
	}
	provider.CreatedAt = s.now()
	provider.UpdatedAt = provider.CreatedAt
	if err := tx.CreateIdentityProvider(ctx, provider); err != nil {
		return keystile.IdentityProvider{}, fmt.Errorf("create identity provider %q: %w", provider.Name, err)
	}
	return provider, nil
}

// completeProvider checks everything about a provider that needs no look-up, and
// seals its secret.
func (s *Service) completeProvider(p *problems, in NewIdentityProvider) (keystile.IdentityProvider, error) {
	provider := in.Provider
	secret, err := s.providerSecret(p, in)
	if err != nil {
		return provider, err
	}
	if in.Secret != "" || in.Sealed != nil {
		provider.SealedSecret = secret
	}
	client, err := s.clientSecret(p, in)
	if err != nil {
		return provider, err
	}
	if client != nil && provider.SignIn != nil {
		settings := *provider.SignIn
		settings.SealedSecret, provider.SignIn = client, &settings
	}
	p.adopt(CheckIdentityProvider(&provider, in.Secret != "" || len(provider.SealedSecret) > 0))
	return provider, nil
}

// providerSecret is the sealed secret that a provider is given; nil for none.
func (s *Service) providerSecret(p *problems, in NewIdentityProvider) ([]byte, error) {
	name := in.Provider.Name
	switch {
	case in.Secret != "" && in.Sealed != nil:
		p.add("secret", "keep one of them", "secret and sealed exclude each other")
		return nil, nil
	case in.Sealed != nil:
		if _, err := s.OpenProviderSecret(keystile.IdentityProvider{Name: name, SealedSecret: in.Sealed}); err != nil {
			p.add("sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
		}
		return in.Sealed, nil
	case in.Secret != "":
		if err := CheckProviderSecret(in.Secret); err != nil {
			return nil, p.take(err)
		}
		if s.Sealer == nil {
			return nil, errNoSealer
		}
		sealed, err := s.Sealer.Seal([]byte(in.Secret.Reveal()), keystile.ProviderSecretPlace(name))
		if err != nil {
			return nil, fmt.Errorf("seal the secret of identity provider %q: %w", name, err)
		}
		return sealed, nil
	}
	return nil, nil
}

// OpenProviderSecret opens the HS256 secret of an identity provider.
func (s *Service) OpenProviderSecret(p keystile.IdentityProvider) (keystile.Secret, error) {
	if s.Sealer == nil {
		return "", errNoSealer
	}
	plain, err := s.Sealer.Open(p.SealedSecret, keystile.ProviderSecretPlace(p.Name))
	if err != nil {
		return "", fmt.Errorf("open the secret of identity provider %q: %w", p.Name, err)
	}
	return keystile.Secret(plain), nil
}

// UpdateIdentityProvider lets edit change an identity provider, its source of
// keys too: to give it a secret, edit sets Secret, and the others to none. Name and
// organisation stay.
func (s *Service) UpdateIdentityProvider(ctx context.Context, a store.Actor, name string, edit func(*NewIdentityProvider) error) (keystile.IdentityProvider, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.IdentityProvider, error) {
		return s.UpdateIdentityProviderTx(ctx, tx, name, edit)
	})
}

// UpdateIdentityProviderTx is UpdateIdentityProvider inside a transaction.
func (s *Service) UpdateIdentityProviderTx(ctx context.Context, tx *store.Tx, name string, edit func(*NewIdentityProvider) error) (keystile.IdentityProvider, error) {
	old, err := s.provider(ctx, tx, name)
	if err != nil {
		return keystile.IdentityProvider{}, err
	}
	if err := s.mayHave(keystile.OrgAdmin); err != nil {
		return keystile.IdentityProvider{}, err
	}
	in := NewIdentityProvider{Provider: old}
	in.Provider.Roles, in.Provider.Algorithms = slices.Clone(old.Roles), slices.Clone(old.Algorithms)
	in.Provider.Claims = maps.Clone(old.Claims)
	if old.SignIn != nil {
		settings := *old.SignIn
		in.Provider.SignIn = &settings
	}
	var p problems
	if err := p.take(edit(&in)); err != nil {
		return keystile.IdentityProvider{}, err
	}
	in.Provider.Name, in.Provider.OrganizationID = old.Name, old.OrganizationID
	in.Provider.CreatedAt, in.Provider.UpdatedAt = old.CreatedAt, old.UpdatedAt
	provider, err := s.completeProvider(&p, in)
	if err != nil {
		return keystile.IdentityProvider{}, err
	}
	if err := p.err(); err != nil {
		return keystile.IdentityProvider{}, err
	}
	if reflect.DeepEqual(provider, old) {
		return old, nil
	}
	if err := tx.UpdateIdentityProvider(ctx, provider); err != nil {
		return keystile.IdentityProvider{}, fmt.Errorf("update identity provider %q: %w", name, err)
	}
	return s.provider(ctx, tx, name) // the store stamped it
}

// DeleteIdentityProvider deletes an identity provider; the sessions it opened end.
func (s *Service) DeleteIdentityProvider(ctx context.Context, a store.Actor, name string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteIdentityProviderTx(ctx, tx, name)
	})
}

// DeleteIdentityProviderTx is DeleteIdentityProvider inside a transaction.
func (s *Service) DeleteIdentityProviderTx(ctx context.Context, tx *store.Tx, name string) error {
	if _, err := s.provider(ctx, tx, name); err != nil {
		return err
	}
	if err := tx.DeleteIdentityProvider(ctx, name); err != nil {
		return fmt.Errorf("delete identity provider %q: %w", name, err)
	}
	return nil
}

// IdentityProvider returns one identity provider.
func (s *Service) IdentityProvider(ctx context.Context, name string) (keystile.IdentityProvider, error) {
	return s.provider(ctx, s.Store, name)
}

// IdentityProviders lists identity providers by name.
func (s *Service) IdentityProviders(ctx context.Context, filter IdentityProviderFilter) ([]keystile.IdentityProvider, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	providers, err := s.Store.IdentityProviders(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list identity providers: %w", err)
	}
	return providers, nil
}

type providerReader interface {
	IdentityProvider(ctx context.Context, name string) (keystile.IdentityProvider, error)
}

func (s *Service) provider(ctx context.Context, from providerReader, name string) (keystile.IdentityProvider, error) {
	if !keystile.ValidID(name) {
		return keystile.IdentityProvider{}, missing("identity provider", name)
	}
	p, err := from.IdentityProvider(ctx, name)
	if err != nil {
		return keystile.IdentityProvider{}, fmt.Errorf("identity provider %q: %w", name, err)
	}
	if !s.sees(p.OrganizationID) {
		return keystile.IdentityProvider{}, missing("identity provider", name)
	}
	return p, nil
}
