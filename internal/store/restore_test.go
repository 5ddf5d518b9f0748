package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// afterRestore says of each table why its rows are good in a store that was
// restored. What may be used once, and sessions, are not: a statement of package
// store ends those.
var afterRestore = map[string]string{
	"organizations": "kept", "sites": "kept", "roles": "kept", "users": "kept", "user_names": "kept", "identity_providers": "kept", "user_identities": "kept",
	"api_keys": "kept", "api_key_secrets": "kept", "signing_keys": "kept", "signing_key_names": "kept", "auth_tokens": "kept", "admin_tokens": "kept",
	"applications": "kept", "application_keys": "kept", "authorizations": "kept", "passwords": "kept", "factors": "kept",
	"recovery_codes": "kept: the owner has no others", "peppers": "kept", "keysets": "kept", "meta": "kept",
	"audit_events": "kept", "audit_heads": "kept", "audit_decisions": "kept", "audit_checkpoints": "kept",
	"changes": "kept: every cache is told to start over", "feed_head": "kept", "login_failures": "kept: they pass by themselves", "login_networks": "kept",
	"spent_nonces": "kept: the bounds refuse what may be missing", "nonce_bounds": "kept, and raised by the program",
	"api_key_aspects": "kept", "api_key_notices": "kept", "api_key_usage": "kept", "idempotent_requests": "kept: what they made is of the same moment",
	"webhooks": "kept", "webhook_turns": "kept: what held them has lapsed", "webhook_attempts": "kept", "expiry_notices": "kept",
	"webhook_deliveries": "kept: what waited is delivered, perhaps again, under the same id",
	"foreign_secrets":    "kept: the same keys prove them again",
	"oauth_clients":      "kept", "oauth_secrets": "kept", "oauth_consents": "kept", "oauth_grants": "ended", "oauth_codes": "ended", "oauth_tokens": "ended",
	"oauth_refresh_tokens": "ended", "oauth_requests": "ended", "oauth_devices": "ended", "oauth_visits": "ended",
	"sessions": "ended", "challenges": "ended", "password_resets": "ended", "partner_sessions": "ended", "temporary_keys": "ended",
}

func TestOfEveryTableItIsKnownWhatARestoreDoesWithIt(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		tables, err := s.Tables(t.Context())
		noError(t, err)
		if len(tables) < 30 {
			t.Fatalf("only %v", tables)
		}
		for _, table := range tables {
			fate, ok := afterRestore[table]
			if !ok {
				t.Errorf("table %s: are its rows good after a restore? Say so here, or end them in package store", table)
			}
			ended := slices.ContainsFunc(store.Voids(), func(statement string) bool { return strings.HasPrefix(statement, "UPDATE "+table+" ") })
			if ended != (fate == "ended") {
				t.Errorf("table %s is %q here, and a restore ends it: %v", table, fate, ended)
			}
		}
	})
}

func TestARestoreNeedsAnEmptyStoreThatNobodyUses(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		_, newest, err := s.SchemaVersion(t.Context())
		noError(t, err)
		refusal := func(schema int64, want string) {
			t.Helper()
			r, err := s.BeginRestore(t.Context(), schema)
			if err == nil {
				noError(t, r.Close())
			}
			if !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), want) {
				t.Errorf("it says: %v, want %s", err, want)
			}
		}
		refusal(newest+1, "run the newer keystile")
		lease, err := s.AcquireServerLease(t.Context(), store.LeaseRequest{SharedMemory: true})
		noError(t, err)
		refusal(newest, "another keystile serve")
		noError(t, lease.Release())
		execute(t, s.Writer(), "INSERT INTO roles (id, name, scopes, created_at, updated_at) VALUES ('r', '', '', 0, 0)")
		refusal(newest, "not empty (table roles has rows)")
	})
}

func TestARestoreThatDidNotEndLeavesNothingOrAStoreThatNobodyOpens(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		_, newest, err := s.SchemaVersion(t.Context())
		noError(t, err)
		role := store.Table{Name: "roles", Columns: []store.Column{{Name: "id", Kind: store.ColumnText}, {Name: "name", Kind: store.ColumnText}, {Name: "scopes", Kind: store.ColumnText}, {Name: "created_at", Kind: store.ColumnInt}, {Name: "updated_at", Kind: store.ColumnInt}}}
		fill := func() *store.Restore {
			r, err := s.BeginRestore(t.Context(), newest)
			noError(t, err)
			noError(t, r.Table(t.Context(), role))
			noError(t, r.Row(t.Context(), []any{"r", "", "", int64(0), int64(0)}))
			return r
		}
		noError(t, fill().Close())
		roles, err := s.Roles(t.Context(), store.Page{})
		if err != nil || len(roles) != 0 {
			t.Errorf("roles: %v, %v", roles, err)
		}
		r := fill()
		failure := errors.New("the disk is full")
		if _, err := r.Finish(t.Context(), storetest.Actor, func(context.Context, *store.Tx) error { return failure }); !errors.Is(err, failure) {
			t.Errorf("finishing says: %v", err)
		}
		noError(t, r.Close())
		if err := s.Migrate(t.Context(), nil); !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "did not end") {
			t.Errorf("opening says: %v", err)
		}
		if _, err := s.BeginRestore(t.Context(), newest); !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "did not end") {
			t.Errorf("restoring again says: %v", err)
		}
	})
}
