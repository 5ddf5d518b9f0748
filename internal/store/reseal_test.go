package store_test

import (
	"slices"
	"testing"

	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// notSealed are the binary columns that hold no sealed value: digests, hashes,
// nonces, public ids.
var notSealed = []string{
	"admin_tokens.digest", "api_key_secrets.digest", "application_keys.digest",
	"audit_checkpoints.hash", "audit_checkpoints.signature", "audit_decisions.hash", "audit_decisions.prev_hash",
	"audit_events.hash", "audit_events.prev_hash", "audit_heads.hash", "challenges.answer_key", "challenges.digest", "foreign_secrets.lookup",
	"factors.credential_id", "idempotent_requests.id", "idempotent_requests.request", "login_failures.counter", "oauth_codes.digest", "oauth_devices.digest",
	"oauth_refresh_tokens.digest", "oauth_refresh_tokens.successor", "oauth_requests.digest", "oauth_secrets.digest", "oauth_tokens.digest", "partner_sessions.digest", "password_resets.digest",
	"recovery_codes.digest", "spent_nonces.nonce", "temporary_keys.digest", "webhook_deliveries.session",
}

// A rotation of the master key that missed a column would leave values that only
// the old sealing key opens.
func TestEveryBinaryColumnIsSealedAgainOrHoldsNothingSealed(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, s *store.Store) {
		columns, err := s.BinaryColumns(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		known := append(store.SealedColumns(), notSealed...)
		for _, column := range columns {
			if !slices.Contains(known, column) {
				t.Errorf("%s is neither sealed again nor known to hold nothing sealed", column)
			}
		}
		for _, column := range known {
			if !slices.Contains(columns, column) {
				t.Errorf("%s is not there", column)
			}
		}
	})
}
