package manage_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// finds says whether a look-up by the secret finds the key, in whatever state.
func (w *world) finds(t testing.TB, secret keystile.Secret) (store.APIKeyLookup, bool) {
	t.Helper()
	candidates := w.Digester.Candidates(apikey.Sum(secret), nil)
	found, err := w.Store.FindAPIKeySecret(context.Background(), candidates)
	if err != nil {
		wantNotFound(t, err)
		return store.APIKeyLookup{}, false
	}
	return found, true
}

func wantNotFound(t testing.TB, err error) {
	t.Helper()
	if got := fmt.Sprint(err); !strings.Contains(got, keystile.ErrNotFound.Error()) {
		t.Fatalf("error = %v, want not found", err)
	}
}

func TestANewKeyIsGeneratedForItsOrganizationAndFoundByItsSecret(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "acme", "Roof")
	limit := must(keystile.ParseRate("60/1m", ""))(t)
	key, secret := w.key(t, manage.NewKey{
		OrganizationID: "acme", Name: "Export", PermittedSiteIDs: []string{"Roof"}, Scopes: []keystile.Scope{"telemetry:read"},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Limit: limit, ExpiresAt: w.clock.Now().Add(time.Hour),
	})
	if !strings.HasPrefix(key.ID, "key_") || len(key.ID) != 20 {
		t.Errorf("id = %q", key.ID)
	}
	if key.Environment != keystile.Production || !strings.HasPrefix(secret.Reveal(), "opa_prod_") {
		t.Errorf("environment %q, secret begins %.9s", key.Environment, secret.Reveal())
	}
	if key.Hint == "" || !strings.HasPrefix(secret.Reveal(), key.Hint) || len(key.Hint) > 20 {
		t.Errorf("hint = %q", key.Hint)
	}
	found, ok := w.finds(t, secret)
	if !ok || found.Key.ID != key.ID || found.Key.Limit.String() != "60/1m" || found.Organization.ID != "acme" {
		t.Errorf("look-up = %+v, %v", found, ok)
	}
	if manage.StateOf(found.Key, w.clock.Now()) != manage.KeyActive {
		t.Error("a new key is not active")
	}
	if manage.StateOf(found.Key, key.ExpiresAt) != manage.KeyExpired {
		t.Error("a key is not expired at its expiry")
	}
}

func TestEverythingWrongWithANewKeyIsToldAtOnce(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "acme", "Roof")
	w.organization(t, "other", "Plant")
	_, _, err := w.CreateKey(context.Background(), operator, manage.NewKey{
		ID: "self", OrganizationID: "acme", Name: "\x01", Environment: "beta",
		PermittedSiteIDs: []string{"Roof", "Plant", "Nowhere", "Roof", "a/b"},
		Scopes:           []keystile.Scope{"*"},
		AllowedIPs:       []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8"), netip.MustParsePrefix("::ffff:10.0.0.0/104")},
		Limit:            &keystile.Rate{Requests: 0, Window: time.Minute},
		ExpiresAt:        w.clock.Now(),
		Secret:           "short", SHA256: []byte{1},
	})
	wantFaults(t, err, "id", "name", "scopes[0]", "allowed_ips[0]", "allowed_ips[1]", "limit", "expires_at",
		"secret", "sha256", "secret", "environment",
		"permitted_site_ids[1]", "permitted_site_ids[2]", "permitted_site_ids[3]", "permitted_site_ids[4]")
}

func TestAKeyNeedsAnOrganizationThatExistsAndIsNotDisabled(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	must(w.UpdateOrganization(ctx, operator, "acme", func(o *keystile.Organization) error { o.Disabled = true; return nil }))(t)
	for _, org := range []string{"", "nobody", "acme"} {
		_, _, err := w.CreateKey(ctx, operator, manage.NewKey{OrganizationID: org})
		wantFaults(t, err, "organization")
	}
}

func TestAKeyTakesTheEnvironmentAndPrefixOfItsOrganization(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: "trial", Environment: keystile.Sandbox, KeyPrefix: "trl"}))(t)
	key, secret := w.key(t, manage.NewKey{OrganizationID: "trial"})
	if key.Environment != keystile.Sandbox || !strings.HasPrefix(secret.Reveal(), "trl_test_") {
		t.Errorf("environment %q, secret begins %.9s", key.Environment, secret.Reveal())
	}
}

func TestAKeyIsImportedByTextOrByHashAndItsSecretIsNotShownAgain(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	const old = "legacy-0123456789abcdefghij"
	_, shown := w.key(t, manage.NewKey{ID: "a", OrganizationID: "acme", Secret: old})
	if shown != "" {
		t.Error("an imported secret was shown")
	}
	if found, ok := w.finds(t, old); !ok || found.Key.ID != "a" {
		t.Errorf("imported key not found: %+v", found)
	}
	hashed := keystile.Secret("another-0123456789abcdefghij")
	sum := sha256.Sum256([]byte(hashed.Reveal()))
	w.key(t, manage.NewKey{ID: "b", OrganizationID: "acme", SHA256: sum[:]})
	if found, ok := w.finds(t, hashed); !ok || found.Key.ID != "b" || found.Key.Hint != "" {
		t.Errorf("key imported by hash: %+v, %v", found, ok)
	}
	for _, in := range []manage.NewKey{{ID: "c", OrganizationID: "acme", Secret: old}, {ID: "d", OrganizationID: "acme", SHA256: sum[:]}} {
		_, _, err := w.CreateKey(ctx, operator, in)
		wantIs(t, err, keystile.ErrConflict)
	}
	for _, bad := range []keystile.Secret{"seven77", "has space 0123456789abcdef", "ak_0123456789abcdefghijklmnopqrstuv", "kadm_0123456789abcdefghijklmnopqrstuv"} {
		_, _, err := w.CreateKey(ctx, operator, manage.NewKey{OrganizationID: "acme", Secret: bad})
		wantFaults(t, err, "secret")
		if strings.Contains(fmt.Sprint(err), bad.Reveal()) {
			t.Errorf("the error quotes the secret: %v", err)
		}
	}
}

func TestASecretThatIsKnownUnderARetiredPepperIsNotImportedAgain(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	first := newPepper(t)
	w.Digester = must(keyring.NewDigester(first))(t)
	const secret = "legacy-0123456789abcdefghij"
	w.key(t, manage.NewKey{OrganizationID: "acme", Secret: secret})
	w.Digester = must(keyring.NewDigester(newPepper(t), first))(t)
	_, _, err := w.CreateKey(ctx, operator, manage.NewKey{OrganizationID: "acme", Secret: secret})
	wantIs(t, err, keystile.ErrConflict)
}

func TestKeyedDigestsAreTakenBackOnlyWhereTheirPepperIs(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	secret := must(apikey.Generate(rand.Reader, "opa", keystile.Production))(t)
	digest, pepper := w.Digester.Digest(apikey.Sum(secret))
	w.key(t, manage.NewKey{ID: "back", OrganizationID: "acme", Hint: "opa_prod_", Digests: []manage.KeyDigest{{Digest: digest, PepperID: pepper}}})
	if found, ok := w.finds(t, secret); !ok || found.Key.ID != "back" || found.Key.Hint != "opa_prod_" {
		t.Errorf("found %+v, %v", found, ok)
	}
	_, _, err := w.CreateKey(ctx, operator, manage.NewKey{OrganizationID: "acme", Digests: []manage.KeyDigest{{PepperID: "pep_elsewhere"}}})
	wantFaults(t, err, "digests[0]")
	_, _, err = w.CreateKey(ctx, operator, manage.NewKey{OrganizationID: "acme", Digests: []manage.KeyDigest{}})
	wantFaults(t, err, "digests")
}

func TestWhatIsProbablyNotMeantIsWarnedAbout(t *testing.T) {
	in := manage.NewKey{
		Secret:     "only-15-letters",
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	}
	warnings := in.Warnings()
	if len(warnings) != 3 || !strings.Contains(warnings[0], "allowed_ips[1]") || !strings.Contains(warnings[1], "allowed_ips[2]") || !strings.Contains(warnings[2], "secret") {
		t.Errorf("warnings = %q", warnings)
	}
	if strings.Contains(strings.Join(warnings, ""), in.Secret.Reveal()) {
		t.Error("a warning quotes the secret")
	}
	if got := (manage.NewKey{Secret: "twenty-letters-exact", AllowedIPs: in.AllowedIPs[:1]}).Warnings(); len(got) != 0 {
		t.Errorf("warnings = %q, want none", got)
	}
}

func TestAStateFileMayHoldAnExpiredKey(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "acme", "")
	key, _ := w.key(t, manage.NewKey{OrganizationID: "acme", ExpiresAt: w.clock.Now().Add(-time.Hour), AllowExpired: true})
	if manage.StateOf(key, w.clock.Now()) != manage.KeyExpired {
		t.Errorf("state = %s", manage.StateOf(key, w.clock.Now()))
	}
}

func TestAnUpdatedKeyKeepsWhatAnUpdateMayNotChange(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "Roof")
	w.organization(t, "other", "Plant")
	key, _ := w.key(t, manage.NewKey{OrganizationID: "acme", Scopes: []keystile.Scope{"a:read"}})
	w.clock.Move(time.Minute)
	changed := must(w.UpdateKey(ctx, operator, key.ID, func(k *keystile.APIKey) error {
		k.ID, k.OrganizationID, k.Environment, k.Hint = "x", "other", keystile.Sandbox, "y"
		k.RevokedAt = time.Time{}.Add(1)
		k.Scopes[0] = "b:read"
		k.PermittedSiteIDs = []string{"Roof"}
		return nil
	}))(t)
	if changed.ID != key.ID || changed.OrganizationID != "acme" || changed.Environment != key.Environment || changed.Hint != key.Hint || !changed.RevokedAt.IsZero() {
		t.Errorf("changed = %+v", changed)
	}
	if changed.Scopes[0] != "b:read" || changed.PermittedSiteIDs[0] != "Roof" || !changed.UpdatedAt.After(key.UpdatedAt) {
		t.Errorf("changed = %+v", changed)
	}
	_, err := w.UpdateKey(ctx, operator, key.ID, func(k *keystile.APIKey) error {
		k.PermittedSiteIDs = []string{"Plant"}
		k.ExpiresAt = w.clock.Now().Add(-time.Second)
		return nil
	})
	wantFaults(t, err, "expires_at", "permitted_site_ids[0]")
	must(w.RevokeKey(ctx, operator, key.ID))(t)
	_, err = w.UpdateKey(ctx, operator, key.ID, func(k *keystile.APIKey) error { k.Name = "again"; return nil })
	wantIs(t, err, keystile.ErrConflict)
}

func TestARotatedKeyKeepsItsIDAndItsOldSecretForTheOverlap(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	key, first := w.key(t, manage.NewKey{OrganizationID: "acme"})
	rotated, second, err := w.RotateKey(ctx, operator, key.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if rotated.ID != key.ID || second == "" || second == first || !strings.HasPrefix(second.Reveal(), rotated.Hint) {
		t.Errorf("rotated = %+v", rotated)
	}
	end := w.clock.Now().Add(time.Hour)
	if found, ok := w.finds(t, first); !ok || !found.Secret.ExpiresAt.Equal(end) {
		t.Errorf("old secret ends at %v, want %v", found.Secret.ExpiresAt, end)
	}
	if found, ok := w.finds(t, second); !ok || !found.Secret.ExpiresAt.IsZero() {
		t.Errorf("new secret ends at %v", found.Secret.ExpiresAt)
	}
	// A longer overlap later does not prolong the first secret.
	if _, _, err := w.RotateKey(ctx, operator, key.ID, 48*time.Hour); err != nil {
		t.Fatal(err)
	}
	if found, _ := w.finds(t, first); !found.Secret.ExpiresAt.Equal(end) {
		t.Errorf("the first secret's end moved to %v", found.Secret.ExpiresAt)
	}
	if _, _, err := w.RotateKey(ctx, operator, key.ID, 0); err != nil {
		t.Fatal(err)
	}
	for _, old := range []keystile.Secret{first, second} {
		if found, ok := w.finds(t, old); ok && found.Secret.ExpiresAt.After(w.clock.Now()) {
			t.Errorf("a secret outlived a rotation without overlap: ends at %v", found.Secret.ExpiresAt)
		}
	}
}

func TestRotationIsBounded(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	key, _ := w.key(t, manage.NewKey{OrganizationID: "acme"})
	for _, overlap := range []time.Duration{-1, 90*24*time.Hour + 1} {
		_, _, err := w.RotateKey(ctx, operator, key.ID, overlap)
		wantFaults(t, err, "overlap")
	}
	var err error
	for range 8 {
		_, _, err = w.RotateKey(ctx, operator, key.ID, time.Hour)
	}
	wantFaults(t, err, "overlap")
	if _, _, err := w.RotateKey(ctx, operator, key.ID, 0); err != nil {
		t.Errorf("rotating without overlap should always be possible: %v", err)
	}
}

func TestThreat27_ARevokedOrExpiredKeyIsNotRotatedBackToLife(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	revoked, secret := w.key(t, manage.NewKey{OrganizationID: "acme"})
	got := must(w.RevokeKey(ctx, operator, revoked.ID))(t)
	if manage.StateOf(got, w.clock.Now()) != manage.KeyRevoked {
		t.Errorf("state = %s", manage.StateOf(got, w.clock.Now()))
	}
	if found, ok := w.finds(t, secret); ok && found.Key.RevokedAt.IsZero() {
		t.Error("the secret of a revoked key still opens")
	}
	again := must(w.RevokeKey(ctx, operator, revoked.ID))(t)
	if !again.RevokedAt.Equal(got.RevokedAt) {
		t.Error("revoking twice moved the time of revocation")
	}
	expired, _ := w.key(t, manage.NewKey{OrganizationID: "acme", ExpiresAt: w.clock.Now().Add(time.Minute)})
	w.clock.Move(time.Minute)
	for _, id := range []string{revoked.ID, expired.ID} {
		_, _, err := w.RotateKey(ctx, operator, id, time.Hour)
		wantIs(t, err, keystile.ErrConflict)
	}
}

func TestARefusedKeyLeavesNothingBehind(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	before := len(must(w.Events(ctx, manage.EventFilter{OrganizationID: "acme", Limit: 100}))(t))
	w.Random = bytes.NewReader(make([]byte, 8)) // runs dry while the key is drawn
	_, _, err := w.CreateKey(ctx, operator, manage.NewKey{ID: "dry", OrganizationID: "acme"})
	if err == nil {
		t.Fatal("a key was made without randomness")
	}
	if _, err := w.APIKey(ctx, "dry"); err == nil {
		t.Error("half a key was stored")
	}
	if after := len(must(w.Events(ctx, manage.EventFilter{OrganizationID: "acme", Limit: 100}))(t)); after != before {
		t.Errorf("a refused key left %d audit events", after-before)
	}
}

func TestOfManyImportsOfOneSecretAtOnceExactlyOneSucceeds(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "acme", "")
	const callers = 16
	results := make(chan error, callers)
	for range callers {
		go func() {
			_, _, err := w.CreateKey(context.Background(), operator, manage.NewKey{OrganizationID: "acme", Secret: "legacy-0123456789abcdefghij"})
			results <- err
		}()
	}
	made := 0
	for range callers {
		if err := <-results; err == nil {
			made++
		} else {
			wantIs(t, err, keystile.ErrConflict)
		}
	}
	if made != 1 {
		t.Errorf("%d imports succeeded", made)
	}
}

func TestThreat33_NoAuditEventHoldsASecretOrItsHash(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "Roof")
	key, first := w.key(t, manage.NewKey{OrganizationID: "acme"})
	_, second, err := w.RotateKey(ctx, operator, key.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	const imported = keystile.Secret("canary-0123456789abcdefghij")
	w.key(t, manage.NewKey{ID: "old", OrganizationID: "acme", Secret: imported})
	_, _, admin := w.token(t, manage.NewAdminToken{OrganizationID: "acme"})
	_, _, global := w.token(t, manage.NewAdminToken{})
	must(w.RevokeKey(ctx, operator, key.ID))(t)
	var log strings.Builder
	for _, chain := range []string{"acme", ""} {
		for _, e := range must(w.Events(ctx, manage.EventFilter{OrganizationID: chain, Limit: 500}))(t) {
			fmt.Fprintf(&log, "%+v\n", e)
		}
	}
	if !strings.Contains(log.String(), key.ID) {
		t.Fatal("the audit log does not name the key")
	}
	for _, secret := range []keystile.Secret{first, second, imported, admin, global} {
		sum := apikey.Sum(secret)
		digest, _ := w.Digester.Digest(sum)
		text := secret.Reveal()
		for _, canary := range []string{text, text[len(text)-12:], hex.EncodeToString(sum[:]), hex.EncodeToString(digest[:])} {
			if strings.Contains(log.String(), canary) {
				t.Errorf("the audit log holds %q", canary)
			}
		}
	}
}
