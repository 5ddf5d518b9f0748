package storetest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

func samePrefix(a, b netip.Prefix) bool { return a == b }

var siteBehaviours = []behaviour{
	{"a site comes back as it was created", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		got, err := s.Site(t.Context(), "north-1")
		same(t, err, Site("north-1", "north"), got)
	}},
	{"sites are listed for one organization or for all", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		all, err := s.Sites(t.Context(), store.SiteFilter{})
		noError(t, err)
		ours, err := s.Sites(t.Context(), store.SiteFilter{OrganizationID: "south"})
		noError(t, err)
		if len(all) != 4 || len(ours) != 2 || ours[0].ID != "south-1" || ours[1].ID != "south-2" {
			t.Errorf("all: %v; south: %v", all, ours)
		}
	}},
	{"a site needs an organization that exists", func(t *testing.T, s *store.Store) {
		invalid(t, s, "organization", func(ctx context.Context, tx *store.Tx) error { return tx.CreateSite(ctx, Site("s", "nobody")) })
	}},
	{"a site's update is written once", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		site := Site("north-1", "north")
		unchanged(t, s, func() { Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSite(ctx, site) }) })
		site.Name = "Renamed"
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSite(ctx, site) })
		got, err := s.Site(t.Context(), "north-1")
		got.UpdatedAt = site.UpdatedAt
		same(t, err, site, got)
	}},
	{"TestThreat30 a site cannot be taken over by another organization", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.CreateSite(ctx, Site("north-1", "south")) })
		invalid(t, s, "organization", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSite(ctx, Site("north-1", "south")) })
	}},
	{"TestThreat30 a site id is not free for others while a live key permits it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		err := refusal(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSite(ctx, "north-1") })
		if !strings.Contains(err.Error(), "north-key") {
			t.Errorf("the refusal is %q; it should name the key", err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.RevokeAPIKey(ctx, "north-key", T0); err != nil {
				return err
			}
			return tx.DeleteSite(ctx, "north-1")
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateSite(ctx, Site("north-1", "south")) })
	}},
	{"a key that permits a site with a longer or shorter name is not in a site's way", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateSite(ctx, Site("north-11", "north")), tx.CreateSite(ctx, Site("orth-1", "north")),
				tx.CreateSite(ctx, Site("NORTH-1", "north")))
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.DeleteSite(ctx, "north-11"), tx.DeleteSite(ctx, "orth-1"), tx.DeleteSite(ctx, "NORTH-1"))
		})
	}},
}

var roleBehaviours = []behaviour{
	{"a role is created, updated once, listed and deleted", func(t *testing.T, s *store.Store) {
		role := Role("analyst")
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, role) })
		got, err := s.Role(t.Context(), "analyst")
		same(t, err, role, got)
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, role) })
		unchanged(t, s, func() { Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateRole(ctx, role) }) })
		role.Scopes = nil
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateRole(ctx, role) })
		list, err := s.Roles(t.Context(), store.Page{})
		noError(t, err)
		if len(list) != 1 || list[0].Scopes != nil {
			t.Errorf("roles: %+v", list)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, "analyst") })
	}},
}

var keyBehaviours = []behaviour{
	{"a key comes back as it was created, with every member set and with none", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		full := Key("full", "north", "north-1", "north-2")
		full.RevokedAt, full.LastUsedAt = T0.Add(time.Hour), T0.Add(time.Minute)
		full.Limit = &keystile.Rate{Requests: 100_000, Window: 90 * time.Second, Algorithm: keystile.AlgorithmGCRA}
		bare := keystile.APIKey{ID: "bare", OrganizationID: "north", CreatedAt: T0, UpdatedAt: T0}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateAPIKey(ctx, full), tx.CreateAPIKey(ctx, bare))
		})
		for _, want := range []keystile.APIKey{full, bare} {
			got, err := s.APIKey(t.Context(), want.ID)
			same(t, err, want, got)
		}
	}},
	{"a key that is created without times has them", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, keystile.APIKey{ID: "k", OrganizationID: "north"}, keystile.APIKeySecret{Digest: Digest("k"), PepperID: "p"})
		})
		k, err := s.APIKey(t.Context(), "k")
		noError(t, err)
		secrets, err := s.APIKeySecrets(t.Context(), "k")
		noError(t, err)
		if k.CreatedAt.IsZero() || !k.CreatedAt.Equal(k.UpdatedAt) || len(secrets) != 1 || secrets[0].CreatedAt.IsZero() {
			t.Errorf("key %+v, secrets %+v", k, secrets)
		}
	}},
	{"keys are listed for one organization or for all", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		all, err := s.APIKeys(t.Context(), store.APIKeyFilter{})
		noError(t, err)
		ours, err := s.APIKeys(t.Context(), store.APIKeyFilter{OrganizationID: "south"})
		noError(t, err)
		after, err := s.APIKeys(t.Context(), store.APIKeyFilter{Page: store.Page{AfterID: "north-key"}})
		noError(t, err)
		if len(all) != 2 || len(ours) != 1 || ours[0].ID != "south-key" || len(after) != 1 || after[0].ID != "south-key" {
			t.Errorf("all %v, south %v, after %v", all, ours, after)
		}
	}},
	{"a key's update is written once and leaves its history alone", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		k, err := s.APIKey(t.Context(), "north-key")
		noError(t, err)
		unchanged(t, s, func() {
			same := k
			same.Hint, same.LastUsedAt, same.RevokedAt = "other", T0, T0
			same.ExpiresAt = same.ExpiresAt.In(time.FixedZone("x", 3600)).Add(300 * time.Nanosecond)
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, same) })
		})
		want := k
		want.Name, want.Environment, want.PermittedSiteIDs, want.Scopes = "new", keystile.Sandbox, nil, []keystile.Scope{"a:b"}
		want.AllowedIPs, want.Limit, want.ExpiresAt = nil, nil, time.Time{}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, want) })
		got, err := s.APIKey(t.Context(), "north-key")
		want.UpdatedAt = got.UpdatedAt
		same(t, err, want, got)
	}},
	{"TestThreat30 a key cannot refer to what is not its organization's", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		moved := Key("north-key", "south", "south-1")
		foreign := Key("north-key", "north", "north-1", "south-1")
		for field, change := range map[string]func(context.Context, *store.Tx) error{
			"organization": func(ctx context.Context, tx *store.Tx) error { return tx.CreateAPIKey(ctx, Key("k", "nobody")) },
			"permitted_site_ids[1]": func(ctx context.Context, tx *store.Tx) error {
				return tx.CreateAPIKey(ctx, Key("k", "north", "north-1", "south-1"))
			},
			"permitted_site_ids[0]": func(ctx context.Context, tx *store.Tx) error {
				return tx.CreateAPIKey(ctx, Key("k", "north", "nowhere"))
			},
		} {
			invalid(t, s, field, change)
		}
		invalid(t, s, "organization", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, moved) })
		invalid(t, s, "permitted_site_ids[1]", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, foreign) })
	}},
	{"TestThreat30 a refusal does not tell another organization's site from none", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		problem := func(site string) string {
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error { return tx.CreateAPIKey(ctx, Key("k", "north", site)) })
			if err == nil {
				t.Fatal("a foreign site was permitted")
			}
			return strings.ReplaceAll(err.Error(), site, "SITE")
		}
		if diff := cmp.Diff(problem("south-1"), problem("nowhere")); diff != "" {
			t.Errorf("they differ:\n%s", diff)
		}
	}},
	{"a duplicate key is a conflict, and its secret is not added", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, Key("north-key", "south"), Secret("north-key", "fresh"))
		})
		unknown(t, s, "fresh")
	}},
	{"a revoked key stays revoked, at the time it was first revoked", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		revoke := func(at time.Time) {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "north-key", at) })
		}
		revoke(T0)
		unchanged(t, s, func() { revoke(T0.Add(time.Hour)) })
		k, err := s.APIKey(t.Context(), "north-key")
		noError(t, err)
		k.RevokedAt, k.Name = time.Time{}, "alive?"
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, k) })
		found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest("north-secret")})
		noError(t, err)
		if !found.Key.RevokedAt.Equal(T0) {
			t.Errorf("revoked at %v, want %v", found.Key.RevokedAt, T0)
		}
	}},
	{"a deleted key's secrets open nothing", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, "north-key") })
		unknown(t, s, "north-secret")
		secrets, err := s.APIKeySecrets(t.Context(), "north-key")
		if err != nil || len(secrets) != 0 {
			t.Errorf("secrets left: %v, %v", secrets, err)
		}
	}},
}

// unknown fails the test if the secret of a word opens something.
func unknown(t *testing.T, s *store.Store, word string) {
	t.Helper()
	if found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest(word)}); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("the secret %q: %+v, %v, want not found", word, found, err)
	}
}
