package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Provider is an identity provider with every member set that may stand
// together; the role "r" must exist.
func Provider(name, organization string) keystile.IdentityProvider {
	return keystile.IdentityProvider{
		Name: name, OrganizationID: organization, Roles: []string{"r"}, Issuer: "https://sso.example.com/" + name, Audience: "keystile",
		Algorithms: []keystile.SigningAlgorithm{keystile.RS256, keystile.ES256}, JWKSURL: "https://sso.example.com/jwks",
		Claims:      map[string]string{"username": "email", "role_id": "https://example.com/role"},
		CreateUsers: true, CreatedAt: T0, UpdatedAt: T0,
		SignIn: &keystile.ProviderSignIn{
			ClientID: "client of " + name, SealedSecret: []byte("canary\x00client"), Label: "Sign in with " + name, Scopes: []string{"openid", "email"},
			LinkByEmail: true, TrustedAMR: []string{"mfa"}, Unlisted: true,
		},
	}
}

// shared is an identity provider with a shared secret, and nothing else that is optional.
func shared(name, organization string) keystile.IdentityProvider {
	return keystile.IdentityProvider{
		Name: name, OrganizationID: organization, Issuer: "sso", Audience: "keystile", Algorithms: []keystile.SigningAlgorithm{keystile.HS256},
		SealedSecret: []byte("canary\x00" + name), Disabled: true, CreatedAt: T0, UpdatedAt: T0,
	}
}

func createProvider(p keystile.IdentityProvider) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.CreateIdentityProvider(ctx, p) }
}

func withRole(t *testing.T, s *store.Store) {
	t.Helper()
	Seed(t, s)
	Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, Role("r")) })
}

var providerBehaviours = []behaviour{
	{"an identity provider comes back as it was created, by name and in lists", func(t *testing.T, s *store.Store) {
		withRole(t, s)
		full, bare, south := Provider("full", "north"), shared("bare", "north"), Provider("other", "south")
		keyed, set := Provider("keyed", "south"), Provider("set", "south")
		keyed.JWKSURL, keyed.PublicKey = "", PublicKey
		set.JWKSURL, set.JWKS = "", `{"keys":[]}`
		for _, p := range []keystile.IdentityProvider{full, bare, south, keyed, set} {
			Must(t, s, createProvider(p))
			got, err := s.IdentityProvider(t.Context(), p.Name)
			same(t, err, p, got)
			revision, err := s.Revision(t.Context())
			noError(t, err)
			found, err := s.FindIdentityProvider(t.Context(), p.Name)
			same(t, err, store.IdentityProviderLookup{Provider: p, Organization: Organization(p.OrganizationID), Revision: revision}, found)
		}
		refused(t, s, keystile.ErrConflict, createProvider(Provider("full", "south")))
		got, err := s.IdentityProviders(t.Context(), store.IdentityProviderFilter{OrganizationID: "north"})
		same(t, err, []keystile.IdentityProvider{bare, full}, got)
		got, err = s.IdentityProviders(t.Context(), store.IdentityProviderFilter{Page: store.Page{AfterID: "bare", Limit: 1}})
		same(t, err, []keystile.IdentityProvider{full}, got)
	}},
	{"an identity provider's update is written once", func(t *testing.T, s *store.Store) {
		withRole(t, s)
		p := Provider("p", "north")
		Must(t, s, createProvider(p))
		update := func(ctx context.Context, tx *store.Tx) error { return tx.UpdateIdentityProvider(ctx, p) }
		unchanged(t, s, func() { Must(t, s, update) })
		p.SignIn.Label, p.SignIn.TrustedAMR, p.SignIn.SealedSecret = "", nil, []byte("another")
		Must(t, s, update)
		unchanged(t, s, func() { Must(t, s, update) })
		p.SignIn = nil
		p.Roles, p.Claims, p.CreateUsers, p.Disabled = nil, nil, false, true
		p.Issuer, p.Audience, p.JWKSURL, p.SealedSecret = "new", "other", "", []byte("canary")
		p.Algorithms = []keystile.SigningAlgorithm{keystile.HS256}
		Must(t, s, update)
		got, err := s.IdentityProvider(t.Context(), "p")
		p.UpdatedAt = got.UpdatedAt
		same(t, err, p, got)
		unchanged(t, s, func() { Must(t, s, update) })
		p.OrganizationID = "south"
		invalid(t, s, "organization", update)
	}},
	{"providers to sign in at are listed, but for disabled ones and those of disabled organizations", func(t *testing.T, s *store.Store) {
		withRole(t, s)
		a, b, off, none := Provider("a", "north"), Provider("b", "south"), Provider("off", "north"), Provider("none", "north")
		a.JWKSURL, a.SignIn = "", &keystile.ProviderSignIn{ClientID: "a"} // its keys are where its issuer says
		off.Disabled, none.SignIn = true, nil
		for _, p := range []keystile.IdentityProvider{b, off, none, a} {
			Must(t, s, createProvider(p))
		}
		got, err := s.SignInProviders(t.Context(), "", 10)
		same(t, err, []keystile.IdentityProvider{a, b}, got)
		got, err = s.SignInProviders(t.Context(), "", 1)
		same(t, err, []keystile.IdentityProvider{a}, got)
		got, err = s.SignInProviders(t.Context(), "north", 10)
		same(t, err, []keystile.IdentityProvider{a}, got)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			o, err := tx.Organization(ctx, "south")
			if err != nil {
				return err
			}
			o.Disabled = true
			return tx.UpdateOrganization(ctx, o)
		})
		got, err = s.SignInProviders(t.Context(), "south", 10)
		same(t, err, []keystile.IdentityProvider{}, got)
	}},
	{"TestThreat01 an identity provider that could not be verified by, or in two ways, is refused", func(t *testing.T, s *store.Store) {
		withRole(t, s)
		for field, spoils := range map[string][]func(*keystile.IdentityProvider){
			"jwks_url": {
				func(p *keystile.IdentityProvider) { p.JWKSURL, p.SignIn = "", nil },
				func(p *keystile.IdentityProvider) { p.PublicKey = PublicKey },
				func(p *keystile.IdentityProvider) { p.SealedSecret = []byte("x") },
			},
			"algorithms": {
				func(p *keystile.IdentityProvider) { p.Algorithms = nil },
				func(p *keystile.IdentityProvider) { p.Algorithms = append(p.Algorithms, keystile.HS256) },
				func(p *keystile.IdentityProvider) { p.JWKSURL, p.SealedSecret = "", []byte("x") },
			},
			"sign_in.client_id": {func(p *keystile.IdentityProvider) { p.SignIn.ClientID = "" }},
			"sign_in.label":     {func(p *keystile.IdentityProvider) { p.SignIn.Label = "\xff" }},
			"name":              {func(p *keystile.IdentityProvider) { p.Name = "a/b" }},
			"issuer":            {func(p *keystile.IdentityProvider) { p.Issuer = "" }, func(p *keystile.IdentityProvider) { p.Audience = "" }},
			"roles[1]":          {func(p *keystile.IdentityProvider) { p.Roles = []string{"r", "nobody"} }},
			"organization":      {func(p *keystile.IdentityProvider) { p.OrganizationID = "nobody" }},
			"claims":            {func(p *keystile.IdentityProvider) { p.Claims = map[string]string{"username": "\xff"} }},
		} {
			for _, spoil := range spoils {
				p := Provider("p", "north")
				spoil(&p)
				invalid(t, s, field, createProvider(p))
			}
		}
	}},
	{"TestThreat30 a role or organization is not free for others while an identity provider holds it", func(t *testing.T, s *store.Store) {
		withRole(t, s)
		Must(t, s, createProvider(Provider("p", "north")))
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.DeleteAPIKey(ctx, "north-key"), tx.DeleteSite(ctx, "north-1"), tx.DeleteSite(ctx, "north-2"))
		})
		for what, remove := range map[string]func(context.Context, *store.Tx) error{
			"take it off their roles first":       func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, "r") },
			"delete its identity providers first": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOrganization(ctx, "north") },
		} {
			if err := refusal(t, s, keystile.ErrConflict, remove); !strings.Contains(err.Error(), what) {
				t.Errorf("the refusal is %q", err)
			}
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.DeleteIdentityProvider(ctx, "p"), tx.DeleteRole(ctx, "r"), tx.DeleteOrganization(ctx, "north"))
		})
	}},
	{"every change of an identity provider has its event and is announced, and neither holds its secret", func(t *testing.T, s *store.Store) {
		withRole(t, s)
		before, err := s.Revision(t.Context())
		noError(t, err)
		p := shared("p", "north")
		Must(t, s, createProvider(p))
		p.SealedSecret, p.SignIn = []byte("canary again"), &keystile.ProviderSignIn{ClientID: "c", SealedSecret: []byte("canary of the client")}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateIdentityProvider(ctx, p) })
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteIdentityProvider(ctx, "p") })
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north", AfterSeq: 4})
		noError(t, err)
		var actions []string
		for _, e := range events {
			actions = append(actions, e.Action+" "+e.Target)
			if strings.Contains(e.Detail, "canary") {
				t.Errorf("%s shows the sealed secret: %s", e.Action, e.Detail)
			}
		}
		same(t, nil, []string{
			"identity_provider.create identity_provider:p", "identity_provider.update identity_provider:p", "identity_provider.delete identity_provider:p",
		}, actions)
		changes, _, err := s.Changes(t.Context(), before, 10)
		noError(t, err)
		if len(changes) != 2 {
			t.Errorf("%d changes are announced: %v", len(changes), changes)
		}
		for _, c := range changes {
			if c.Kind != keystile.ChangeProvider || c.ID != "p" {
				t.Errorf("change %+v", c)
			}
		}
	}},
	{"an identity provider that is not there is not found", func(t *testing.T, s *store.Store) {
		for _, name := range []string{"x", "", "a/b", "\x00"} {
			if _, err := s.FindIdentityProvider(t.Context(), name); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("look up %q: %v", name, err)
			}
		}
		for name, change := range map[string]func(context.Context, *store.Tx) error{
			"update": func(ctx context.Context, tx *store.Tx) error {
				return tx.UpdateIdentityProvider(ctx, Provider("x", "y"))
			},
			"delete": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteIdentityProvider(ctx, "x") },
		} {
			if err := s.Mutate(t.Context(), Actor, change); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
	}},
}
