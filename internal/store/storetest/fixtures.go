package storetest

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Actor acts in tests.
var Actor = store.Actor{Name: "cli", RequestID: "req-1"}

// T0 is an instant that every engine can hold exactly.
var T0 = time.Date(2025, 11, 22, 10, 0, 0, 123456000, time.UTC)

// Digest is a digest made from a word.
func Digest(word string) [32]byte { return sha256.Sum256([]byte(word)) }

// Organization is a complete organisation with the given id.
func Organization(id string) keystile.Organization {
	return keystile.Organization{
		ID: id, Name: "Organization " + id, Environment: keystile.Production, TenantID: "tenant-" + id, KeyPrefix: "opa",
		CreatedAt: T0, UpdatedAt: T0,
	}
}

// Site is a complete site.
func Site(id, organization string) keystile.Site {
	return keystile.Site{ID: id, OrganizationID: organization, Name: "Site " + id, CreatedAt: T0, UpdatedAt: T0}
}

// Role is a complete role.
func Role(id string) keystile.Role {
	return keystile.Role{ID: id, Name: "Role " + id, Scopes: []keystile.Scope{"telemetry:read", "sites:*"}, CreatedAt: T0, UpdatedAt: T0}
}

// Key is an API key with every member set.
func Key(id, organization string, sites ...string) keystile.APIKey {
	return keystile.APIKey{
		ID: id, OrganizationID: organization, Name: "Key " + id, Environment: keystile.Production, PermittedSiteIDs: sites,
		Scopes:     []keystile.Scope{"telemetry:read", "alarms:*"},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Limit:      &keystile.Rate{Requests: 60, Window: time.Minute, Algorithm: keystile.AlgorithmWindow},
		ExpiresAt:  T0.Add(24 * time.Hour), CreatedAt: T0, UpdatedAt: T0, Hint: "opa_prod_V24M",
	}
}

// Secret is the secret of a key whose digest is Digest(word).
func Secret(keyID, word string) keystile.APIKeySecret {
	return keystile.APIKeySecret{KeyID: keyID, Digest: Digest(word), PepperID: "pepper-1", CreatedAt: T0}
}

// AdminToken is an admin token with every member set that a new one has.
func AdminToken(id, organization string) keystile.AdminToken {
	return keystile.AdminToken{
		ID: id, Name: "Token " + id, OrganizationID: organization, Scopes: []keystile.Scope{"keys:read", "keys:write"},
		CreatedAt: T0, ExpiresAt: T0.Add(time.Hour),
	}
}

// Must runs a change that has to succeed.
func Must(t testing.TB, s *store.Store, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := s.Mutate(t.Context(), Actor, fn); err != nil {
		t.Fatalf("change the store: %v", err)
	}
}

// Seed makes two organisations that mirror each other, "north" and "south",
// each with the sites ID-1 and ID-2, and the key ID-key that permits ID-1 and
// whose secret's digest is Digest("ID-secret").
func Seed(t testing.TB, s *store.Store) {
	t.Helper()
	Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		for _, id := range []string{"north", "south"} {
			if err := tx.CreateOrganization(ctx, Organization(id)); err != nil {
				return err
			}
			for _, site := range []string{id + "-1", id + "-2"} {
				if err := tx.CreateSite(ctx, Site(site, id)); err != nil {
					return err
				}
			}
			key := Key(id+"-key", id, id+"-1")
			if err := tx.CreateAPIKey(ctx, key, Secret(key.ID, id+"-secret")); err != nil {
				return err
			}
		}
		return nil
	})
}
