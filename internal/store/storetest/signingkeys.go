package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// PublicKey is an Ed25519 public key; a store keeps it as it is given.
const PublicKey = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

// SigningKey is an HS256 signing key with every member set that a new one has.
// Callers name it "name/ID".
func SigningKey(id, organization string, sites ...string) keystile.SigningKey {
	return keystile.SigningKey{
		ID: id, OrganizationID: organization, Name: "Signing key " + id, Environment: keystile.Production, APIKey: "name/" + id,
		Algorithm: keystile.HS256, SealedSecret: []byte("canary\x00" + id), PermittedSiteIDs: sites,
		Scopes:     []keystile.Scope{"finapi:*"},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Limit:      &keystile.Rate{Requests: 60, Window: time.Minute, Algorithm: keystile.AlgorithmWindow},
		ExpiresAt:  T0.Add(24 * time.Hour), CreatedAt: T0, UpdatedAt: T0,
	}
}

// asymmetric is a signing key with a public key, and nothing else that is optional.
func asymmetric(id, organization string) keystile.SigningKey {
	return keystile.SigningKey{
		ID: id, OrganizationID: organization, Environment: keystile.Sandbox, APIKey: "name/" + id,
		Algorithm: keystile.EdDSA, PublicKey: PublicKey, CreatedAt: T0, UpdatedAt: T0,
	}
}

func createSigningKey(k keystile.SigningKey) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.CreateSigningKey(ctx, k) }
}

var signingKeyBehaviours = []behaviour{
	{"an organization keeps what it asks of one-time requests", func(t *testing.T, s *store.Store) {
		want := Organization("north")
		want.OneTime = keystile.OneTimePolicy{ClockWindow: 90 * time.Second, Forms: []keystile.OneTimeForm{keystile.FormJWT, keystile.FormHTTPSignature}}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, want) })
		got, err := s.Organization(t.Context(), "north")
		same(t, err, want, got)
		want.OneTime = keystile.OneTimePolicy{}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, want) })
		got, err = s.Organization(t.Context(), "north")
		got.UpdatedAt = want.UpdatedAt
		same(t, err, want, got)
		want.OneTime.ClockWindow = 1
		invalid(t, s, "onetime.clock_window", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, want) })
	}},
	{"a signing key comes back as it was created, by id, by api_key and in lists", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		full, bare, south := SigningKey("full", "north", "north-1"), asymmetric("bare", "north"), SigningKey("other", "south")
		for _, k := range []keystile.SigningKey{full, bare, south} {
			Must(t, s, createSigningKey(k))
			got, err := s.SigningKey(t.Context(), k.ID)
			same(t, err, k, got)
			revision, err := s.Revision(t.Context())
			noError(t, err)
			found, err := s.FindSigningKey(t.Context(), k.APIKey)
			same(t, err, store.SigningKeyLookup{Key: k, Organization: Organization(k.OrganizationID), Revision: revision}, found)
		}
		got, err := s.SigningKeys(t.Context(), store.SigningKeyFilter{OrganizationID: "north"})
		same(t, err, []keystile.SigningKey{bare, full}, got)
		got, err = s.SigningKeys(t.Context(), store.SigningKeyFilter{Page: store.Page{AfterID: "bare", Limit: 1}})
		same(t, err, []keystile.SigningKey{full}, got)
	}},
	{"an api_key is found by its exact bytes alone", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		k := SigningKey("a", "north")
		k.APIKey = "Demo-Key"
		Must(t, s, createSigningKey(k))
		for _, name := range []string{"", "demo-key", "DEMO-KEY", "Demo-Key ", " Demo-Key", "Demo-Ke", "Demo-Key2", "Demo-Key\x00", "Demo%", "\xff"} {
			if found, err := s.FindSigningKey(t.Context(), name); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%q finds %q, %v", name, found.Key.ID, err)
			}
		}
	}},
	{"TestThreat21 an api_key is never used again, in whatever organization, also after deletion", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, createSigningKey(SigningKey("first", "north")))
		second := SigningKey("second", "south")
		second.APIKey = "name/first"
		refused(t, s, keystile.ErrConflict, createSigningKey(second))
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSigningKey(ctx, "first", T0) })
		refused(t, s, keystile.ErrConflict, createSigningKey(second))
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSigningKey(ctx, "first") })
		for _, again := range []keystile.SigningKey{second, SigningKey("first", "north")} {
			if err := refusal(t, s, keystile.ErrConflict, createSigningKey(again)); !strings.Contains(err.Error(), "never used again") {
				t.Errorf("the refusal is %q", err)
			}
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateSigningKey(ctx, second); !errors.Is(err, keystile.ErrConflict) {
				return fmt.Errorf("within a transaction: %w", err)
			}
			return nil // what was refused must leave nothing, though this is committed
		})
		if _, err := s.SigningKey(t.Context(), "second"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the refused key is there: %v", err)
		}
	}},
	{"of 16 that ask for one api_key at once, one gets it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		won := make([]bool, 16)
		together(t, len(won), func(i int) error {
			k := SigningKey(fmt.Sprintf("key-%d", i), []string{"north", "south"}[i%2])
			k.APIKey = "wanted"
			err := s.Mutate(t.Context(), Actor, createSigningKey(k))
			won[i] = err == nil
			if errors.Is(err, keystile.ErrConflict) {
				return nil
			}
			return err
		})
		n := 0
		for _, w := range won {
			if w {
				n++
			}
		}
		keys, err := s.SigningKeys(t.Context(), store.SigningKeyFilter{})
		noError(t, err)
		if n != 1 || len(keys) != 1 {
			t.Errorf("%d got it, %d keys are there", n, len(keys))
		}
	}},
	{"a signing key's update is written once and leaves its history alone", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		k := SigningKey("k", "north", "north-1")
		Must(t, s, createSigningKey(k))
		update := func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSigningKey(ctx, k) }
		unchanged(t, s, func() { Must(t, s, update) })
		k.Name, k.Scopes, k.Limit, k.AllowedIPs, k.PermittedSiteIDs = "new", nil, nil, nil, []string{"north-2"}
		k.Algorithm, k.PublicKey, k.SealedSecret = keystile.EdDSA, PublicKey, nil
		k.RevokedAt, k.LastUsedAt = T0, T0
		Must(t, s, update)
		got, err := s.SigningKey(t.Context(), "k")
		k.RevokedAt, k.LastUsedAt, k.UpdatedAt = time.Time{}, time.Time{}, got.UpdatedAt
		same(t, err, k, got)
		unchanged(t, s, func() { Must(t, s, update) })
		k.APIKey = "name/other"
		invalid(t, s, "api_key", update)
		k.APIKey, k.OrganizationID = "name/k", "south"
		invalid(t, s, "organization", update)
	}},
	{"a signing key that could not be verified by is refused", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for field, spoil := range map[string]func(*keystile.SigningKey){
			"algorithm":  func(k *keystile.SigningKey) { k.Algorithm = "none" },
			"secret":     func(k *keystile.SigningKey) { k.SealedSecret = nil },
			"public_key": func(k *keystile.SigningKey) { k.Algorithm = keystile.RS256 },
			"api_key":    func(k *keystile.SigningKey) { k.APIKey = "a b" },
			"id":         func(k *keystile.SigningKey) { k.ID = "a/b" },
		} {
			k := SigningKey("k", "north")
			spoil(&k)
			invalid(t, s, field, createSigningKey(k))
		}
		both := SigningKey("k", "north")
		both.PublicKey = PublicKey
		invalid(t, s, "secret", createSigningKey(both))
	}},
	{"TestThreat30 a signing key cannot refer to what is not its organization's", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for _, k := range []keystile.SigningKey{SigningKey("k", "north", "north-1", "south-1"), SigningKey("k", "north", "north-1", "nowhere")} {
			invalid(t, s, "permitted_site_ids[1]", createSigningKey(k))
		}
		invalid(t, s, "organization", createSigningKey(SigningKey("k", "nobody")))
	}},
	{"TestThreat30 a site or organization is not free for others while a signing key holds it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, createSigningKey(SigningKey("k", "north", "north-2")))
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSite(ctx, "north-2") })
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.RevokeSigningKey(ctx, "k", T0), tx.DeleteSite(ctx, "north-2"),
				tx.DeleteAPIKey(ctx, "north-key"), tx.DeleteSite(ctx, "north-1"))
		})
		remove := func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOrganization(ctx, "north") }
		if err := refusal(t, s, keystile.ErrConflict, remove); !strings.Contains(err.Error(), "delete its signing keys first") {
			t.Errorf("the refusal is %q", err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSigningKey(ctx, "k") })
		Must(t, s, remove)
	}},
	{"every change of a signing key has its event and is announced, and neither holds its secret", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		before, err := s.Revision(t.Context())
		noError(t, err)
		k := SigningKey("k", "north")
		Must(t, s, createSigningKey(k))
		k.SealedSecret = []byte("canary again")
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSigningKey(ctx, k) })
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSigningKey(ctx, "k", time.Time{}) })
		unchanged(t, s, func() {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSigningKey(ctx, "k", T0) })
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSigningKey(ctx, "k") })
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
			"signing_key.create signing_key:k", "signing_key.update signing_key:k", "signing_key.revoke signing_key:k", "signing_key.delete signing_key:k",
		}, actions)
		if len(events) > 1 && events[1].Detail != `{"secret":"changed"}` {
			t.Errorf("the update says %s", events[1].Detail)
		}
		changes, _, err := s.Changes(t.Context(), before, 10)
		noError(t, err)
		if len(changes) != 3 {
			t.Errorf("%d changes are announced: %v", len(changes), changes)
		}
		for _, c := range changes {
			if c.Kind != keystile.ChangeSigningKey || c.ID != "k" {
				t.Errorf("change %+v", c)
			}
		}
	}},
	{"uses of signing keys are written in a batch: the latest counts, absent keys do not matter, nothing is announced", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, createSigningKey(SigningKey("k", "north")))
		unchanged(t, s, func() {
			use := func(id string, after time.Duration) store.SigningKeyUse {
				return store.SigningKeyUse{KeyID: id, At: T0.Add(after)}
			}
			noError(t, s.TouchSigningKeys(t.Context(), []store.SigningKeyUse{use("k", 0), use("k", 2*time.Second), use("k", time.Second), use("gone", 0)}))
			noError(t, s.TouchSigningKeys(t.Context(), []store.SigningKeyUse{use("k", 0)}))
			noError(t, s.TouchSigningKeys(t.Context(), nil))
		})
		k, err := s.SigningKey(t.Context(), "k")
		if err != nil || !k.LastUsedAt.Equal(T0.Add(2*time.Second)) {
			t.Errorf("last used %v, %v", k.LastUsedAt, err)
		}
	}},
	{"a signing key that is not there is not found", func(t *testing.T, s *store.Store) {
		_, err := s.SigningKey(t.Context(), "x")
		if !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("reading: %v", err)
		}
		for name, change := range map[string]func(context.Context, *store.Tx) error{
			"update": func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSigningKey(ctx, SigningKey("x", "y")) },
			"revoke": func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSigningKey(ctx, "x", T0) },
			"delete": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSigningKey(ctx, "x") },
		} {
			if err := s.Mutate(t.Context(), Actor, change); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
	}},
}
