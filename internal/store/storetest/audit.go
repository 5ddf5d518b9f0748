package storetest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

var auditBehaviours = []behaviour{
	{"every change has its event, in the chain of its organization", func(t *testing.T, s *store.Store) {
		everyChange(t, s)
		want := map[string][]string{
			"": {
				"role.create role:r", "role.update role:r", "role.delete role:r", "pepper.put pepper:p1", "pepper.put pepper:p2", "pepper.delete pepper:p1",
				"keyset.put keyset:signing", "meta.set meta:demo", "admin_token.create admin_token:global", "admin_token.revoke admin_token:global",
				"note.make note:1",
			},
			"north": {
				"organization.create organization:north", "organization.update organization:north", "site.create site:site", "site.update site:site",
				"api_key.create api_key:key", "api_key.update api_key:key", "api_key.rotate api_key:key", "api_key.expire_secrets api_key:key",
				"api_key.revoke api_key:key", "api_key.delete api_key:key", "site.delete site:site", "organization.delete organization:north",
			},
		}
		for chain, actions := range want {
			events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: chain})
			noError(t, err)
			var got []string
			for i, e := range events {
				got = append(got, e.Action+" "+e.Target)
				if e.Seq != int64(i+1) || e.Actor != "cli" || e.RequestID != "req-1" || e.At.IsZero() || e.OrganizationID != chain {
					t.Errorf("event %+v", e)
				}
				if !json.Valid([]byte(e.Detail)) {
					t.Errorf("the detail of %s is no JSON: %s", e.Action, e.Detail)
				}
			}
			if diff := cmp.Diff(actions, got); diff != "" {
				t.Errorf("chain %q (-want +got):\n%s", chain, diff)
			}
			noError(t, s.VerifyChain(t.Context(), chain))
		}
		chains, err := s.Chains(t.Context())
		same(t, err, []string{"", "north"}, chains)
	}},
	{"an update's event holds what differs, and a creation's what was set", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		k, err := s.APIKey(t.Context(), "north-key")
		noError(t, err)
		k.Scopes, k.Limit = []keystile.Scope{"alarms:*"}, nil
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, k) })
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north", AfterSeq: 3})
		noError(t, err)
		want := []string{
			`{"allowed_ips":["10.0.0.0/8","2001:db8::/32"],"environment":"production","expires_at":"2025-11-23T10:00:00.123456Z","id":"north-key",` +
				`"limit":"60/1m","name":"Key north-key","organization":"north","permitted_site_ids":["north-1"],"scopes":["telemetry:read","alarms:*"]}`,
			`{"limit":{"from":"60/1m","to":""},"scopes":{"from":["telemetry:read","alarms:*"],"to":["alarms:*"]}}`,
		}
		if got := []string{events[0].Detail, events[1].Detail}; !slices.Equal(want, got) {
			t.Errorf("details:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}},
	{"TestThreat33 no event holds a digest, a sealed key or a value of meta", func(t *testing.T, s *store.Store) {
		everyChange(t, s)
		for _, chain := range []string{"", "north"} {
			events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: chain})
			noError(t, err)
			for _, e := range events {
				text := strings.ToLower(e.Detail + e.Target + e.Action)
				for _, canary := range []string{"canary", digestText("first"), digestText("second"), digestText("global")} {
					if strings.Contains(text, canary) {
						t.Errorf("%s holds %s: %s", e.Action, canary, e.Detail)
					}
				}
			}
		}
	}},
	{"a transaction that fails leaves no event, no change and no gap", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		failure := errors.New("changed my mind")
		unchanged(t, s, func() {
			refused(t, s, failure, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.RevokeAPIKey(ctx, "north-key", T0), failure)
			})
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "north-key", T0) })
		noError(t, s.VerifyChain(t.Context(), "north"))
	}},
	{"events are listed page by page", func(t *testing.T, s *store.Store) {
		everyChange(t, s)
		var seqs []int64
		for f := (store.EventFilter{OrganizationID: "north", Limit: 5}); ; {
			events, err := s.Events(t.Context(), f)
			noError(t, err)
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				seqs = append(seqs, e.Seq)
			}
			f.AfterSeq = seqs[len(seqs)-1]
		}
		if diff := cmp.Diff([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, seqs); diff != "" {
			t.Error(diff)
		}
	}},
	{"a transaction reads its own events", func(t *testing.T, s *store.Store) {
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateOrganization(ctx, Organization("north")); err != nil {
				return err
			}
			events, err := tx.Events(ctx, store.EventFilter{OrganizationID: "north"})
			if len(events) != 1 {
				t.Errorf("events within the transaction: %v", events)
			}
			return err
		})
		noError(t, s.VerifyChain(t.Context(), "north"))
	}},
	{"a chain that has no entries verifies", func(t *testing.T, s *store.Store) {
		noError(t, s.VerifyChain(t.Context(), ""))
		noError(t, s.VerifyChain(t.Context(), "nobody"))
		noError(t, s.VerifyChain(t.Context(), store.DecisionsChain))
	}},
	{"a chain longer than a page verifies", func(t *testing.T, s *store.Store) {
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for range 2345 {
				if err := tx.Record(ctx, "", "note.make", "note:1", map[string]string{"a": "b"}); err != nil {
					return err
				}
			}
			return nil
		})
		noError(t, s.VerifyChain(t.Context(), ""))
	}},
}

func digestText(word string) string {
	d := Digest(word)
	return hex.EncodeToString(d[:])
}

// everyChange makes each kind of change once, in the order they must come.
func everyChange(t *testing.T, s *store.Store) {
	t.Helper()
	o, site, role, key := Organization("north"), Site("site", "north"), Role("r"), Key("key", "north", "site")
	for _, change := range []func(context.Context, *store.Tx) error{
		func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, o) },
		func(ctx context.Context, tx *store.Tx) error { o.Name = "new"; return tx.UpdateOrganization(ctx, o) },
		func(ctx context.Context, tx *store.Tx) error { return tx.CreateSite(ctx, site) },
		func(ctx context.Context, tx *store.Tx) error { site.Name = "new"; return tx.UpdateSite(ctx, site) },
		func(ctx context.Context, tx *store.Tx) error { return tx.CreateRole(ctx, role) },
		func(ctx context.Context, tx *store.Tx) error { role.Name = "new"; return tx.UpdateRole(ctx, role) },
		func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, "r") },
		func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, key, Secret("key", "first"))
		},
		func(ctx context.Context, tx *store.Tx) error { key.Name = "new"; return tx.UpdateAPIKey(ctx, key) },
		func(ctx context.Context, tx *store.Tx) error {
			return tx.AddAPIKeySecret(ctx, Secret("key", "second"), "hint")
		},
		func(ctx context.Context, tx *store.Tx) error {
			return tx.ExpireAPIKeySecrets(ctx, "key", Digest("second"), T0)
		},
		func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "key", T0) },
		func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, "key") },
		func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSite(ctx, "site") },
		func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOrganization(ctx, "north") },
		func(ctx context.Context, tx *store.Tx) error {
			return tx.PutPepper(ctx, store.Pepper{ID: "p1", Sealed: []byte("canary"), Current: true})
		},
		func(ctx context.Context, tx *store.Tx) error {
			return tx.PutPepper(ctx, store.Pepper{ID: "p2", Sealed: []byte("canary"), Current: true})
		},
		func(ctx context.Context, tx *store.Tx) error { return tx.DeletePepper(ctx, "p1") },
		func(ctx context.Context, tx *store.Tx) error { return tx.PutKeyset(ctx, "signing", []byte("canary")) },
		func(ctx context.Context, tx *store.Tx) error { return tx.SetMeta(ctx, "demo", "canary") },
		func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, AdminToken("global", ""), Digest("global"), "p2")
		},
		func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAdminToken(ctx, "global", T0) },
		func(ctx context.Context, tx *store.Tx) error {
			return tx.Record(ctx, "", "note.make", "note:1", map[string]string{"text": "hello"})
		},
	} {
		Must(t, s, change)
	}
}
