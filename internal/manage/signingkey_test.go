package manage_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// signingKey makes a signing key.
func (w *world) signingKey(t testing.TB, in manage.NewSigningKey) manage.MadeSigningKey {
	t.Helper()
	return must(w.CreateSigningKey(context.Background(), operator, in))(t)
}

// publicOf is the public key of a private key as it was shown.
func publicOf(t *testing.T, private keystile.Secret) crypto.PublicKey {
	t.Helper()
	block, rest := pem.Decode([]byte(private.Reveal()))
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 {
		t.Fatal("the private key is not one PKCS#8 block")
	}
	key := must(x509.ParsePKCS8PrivateKey(block.Bytes))(t)
	signer, ok := key.(crypto.Signer)
	if !ok {
		t.Fatalf("a %T signs nothing", key)
	}
	return signer.Public()
}

func TestAGeneratedSigningKeyIsShownOnceAndVerifiedByWhatIsKept(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "bank-x", "Branch")
	for _, algorithm := range []keystile.SigningAlgorithm{keystile.RS256, keystile.ES256, keystile.EdDSA} {
		made := w.signingKey(t, manage.NewSigningKey{OrganizationID: "bank-x", Algorithm: algorithm})
		if made.Secret != "" || made.Key.SealedSecret != nil || made.Key.ID != made.Key.APIKey || made.Key.Environment != keystile.Production {
			t.Errorf("%s: %+v", algorithm, made.Key)
		}
		public := must(onetime.ParsePublicKey(algorithm, made.Key.PublicKey))(t)
		if kept, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !kept.Equal(publicOf(t, made.PrivateKey)) {
			t.Errorf("%s: the keys are no pair", algorithm)
		}
		switch key := public.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() != 4096 {
				t.Errorf("an RSA key of %d bits", key.N.BitLen())
			}
		case *ecdsa.PublicKey, ed25519.PublicKey:
		default:
			t.Errorf("a %T", key)
		}
	}
	made := w.signingKey(t, manage.NewSigningKey{
		OrganizationID: "bank-x", Name: "Treasury", Algorithm: keystile.HS256, PermittedSiteIDs: []string{"Branch"}, Scopes: []keystile.Scope{"finapi:*"},
	})
	if len(made.Secret) != 64 || made.PrivateKey != "" || made.Key.PublicKey != "" {
		t.Errorf("HS256: a secret of %d characters, %+v", len(made.Secret), made.Key)
	}
	found := must(w.Store.FindSigningKey(context.Background(), made.Key.APIKey))(t)
	if secret := must(w.OpenSigningSecret(found.Key))(t); !secret.Equal(made.Secret) {
		t.Error("the sealed secret is another one")
	}
	if found.Organization.ID != "bank-x" || found.Key.Scopes[0] != "finapi:*" || found.Key.PermittedSiteIDs[0] != "Branch" {
		t.Errorf("found %+v", found)
	}
}

func TestADrawnAPIKeyNameIsRecognisableAndNeverTwice(t *testing.T) {
	w := newWorld(t)
	w.organization(t, "bank-x", "")
	seen := map[string]bool{}
	for range 50 {
		name := w.signingKey(t, manage.NewSigningKey{OrganizationID: "bank-x", Algorithm: keystile.HS256}).Key.APIKey
		if len(name) != 24 || !strings.HasPrefix(name, "sig_") || seen[name] {
			t.Errorf("api_key %q", name)
		}
		seen[name] = true
	}
}

func TestASigningKeyIsImportedByItsSecretOrPublicKeyAndNothingIsShown(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "")
	in := manage.NewSigningKey{OrganizationID: "bank-x", APIKey: "demo-api-key", Algorithm: keystile.HS256, Secret: "demo-secret"}
	made := w.signingKey(t, in)
	if made.Secret != "" || made.PrivateKey != "" || made.Key.ID != "demo-api-key" {
		t.Errorf("made %+v", made.Key)
	}
	if secret := must(w.OpenSigningSecret(made.Key))(t); secret != "demo-secret" {
		t.Error("the sealed secret is another one")
	}
	if warnings := in.Warnings(); len(warnings) != 1 || !strings.Contains(warnings[0], "32 bytes") || strings.Contains(warnings[0], "demo-secret") {
		t.Errorf("warnings %q", warnings)
	}
	_, err := w.CreateSigningKey(ctx, operator, in)
	wantIs(t, err, keystile.ErrConflict)

	pair := w.signingKey(t, manage.NewSigningKey{OrganizationID: "bank-x", Algorithm: keystile.ES256})
	around := "\r\n" + strings.ReplaceAll(pair.Key.PublicKey, "\n", "\r\n") + "\r\n"
	public := w.signingKey(t, manage.NewSigningKey{OrganizationID: "bank-x", APIKey: "odd/@!", Algorithm: keystile.ES256, PublicKey: around})
	if public.PrivateKey != "" || public.Key.PublicKey != pair.Key.PublicKey || !strings.HasPrefix(public.Key.ID, "sgk_") {
		t.Errorf("made %+v", public.Key)
	}
	if public.Key.ID != manage.SigningKeyID(public.Key.APIKey) || manage.SigningKeyID(".") == "." {
		t.Errorf("id %q", public.Key.ID)
	}
}

func TestEverythingWrongWithANewSigningKeyIsToldAtOnce(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "Branch")
	w.organization(t, "other", "Plant")
	_, err := w.CreateSigningKey(ctx, operator, manage.NewSigningKey{
		ID: "..", OrganizationID: "bank-x", APIKey: "a b", Name: "\x01", Environment: "beta", Algorithm: "none", Scopes: []keystile.Scope{"*"},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}, Limit: &keystile.Rate{}, ExpiresAt: w.clock.Now(), PermittedSiteIDs: []string{"Plant"},
	})
	wantFaults(t, err, "api_key", "id", "name", "scopes[0]", "allowed_ips[0]", "limit", "expires_at", "algorithm", "environment", "permitted_site_ids[0]")
	for _, org := range []string{"", "nobody"} {
		_, err := w.CreateSigningKey(ctx, operator, manage.NewSigningKey{OrganizationID: org, Algorithm: keystile.HS256})
		wantFaults(t, err, "organization")
	}
}

func TestThreat01_WhatAKeyIsVerifiedByFitsItsAlgorithmAlone(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "")
	public := w.signingKey(t, manage.NewSigningKey{OrganizationID: "bank-x", Algorithm: keystile.EdDSA}).Key.PublicKey
	for _, c := range []struct {
		field string
		in    manage.NewSigningKey
	}{
		{"secret", manage.NewSigningKey{Algorithm: keystile.HS256, Secret: keystile.Secret(public)}},
		{"public_key", manage.NewSigningKey{Algorithm: keystile.HS256, PublicKey: public}},
		{"public_key", manage.NewSigningKey{Algorithm: keystile.RS256, PublicKey: public}},
		{"public_key", manage.NewSigningKey{Algorithm: keystile.EdDSA, PublicKey: "canary"}},
		{"secret", manage.NewSigningKey{Algorithm: keystile.EdDSA, Secret: "canary-canary-canary-canary-canary"}},
		{"secret", manage.NewSigningKey{Algorithm: keystile.EdDSA, Secret: "canary", PublicKey: public}},
		{"sealed", manage.NewSigningKey{Algorithm: keystile.HS256, Sealed: []byte("canary")}},
	} {
		c.in.OrganizationID = "bank-x"
		_, err := w.CreateSigningKey(ctx, operator, c.in)
		wantFaults(t, err, c.field)
		if strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("the refusal quotes what was sent: %v", err)
		}
	}
}

func TestASealedSecretIsTakenBackOnlyForTheKeyItWasSealedFor(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "")
	sealed := must(w.SealSigningSecret("mine", "demo-secret"))(t)
	made := w.signingKey(t, manage.NewSigningKey{ID: "mine", APIKey: "a", OrganizationID: "bank-x", Algorithm: keystile.HS256, Sealed: sealed})
	if !bytes.Equal(made.Key.SealedSecret, sealed) {
		t.Error("it was sealed anew")
	}
	_, err := w.CreateSigningKey(ctx, operator, manage.NewSigningKey{ID: "yours", APIKey: "b", OrganizationID: "bank-x", Algorithm: keystile.HS256, Sealed: sealed})
	wantFaults(t, err, "sealed")
}

func TestWithoutASealerNoSecretIsKept(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "")
	w.Sealer = nil
	for _, secret := range []keystile.Secret{"", "demo-secret"} {
		_, err := w.CreateSigningKey(ctx, operator, manage.NewSigningKey{OrganizationID: "bank-x", Algorithm: keystile.HS256, Secret: secret})
		if err == nil || faults(err) != nil || strings.Contains(err.Error(), "demo-secret") {
			t.Errorf("error = %v", err)
		}
	}
}

func TestRotationMakesANewKeyOfTheSameRightsAndEndsTheOldOne(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "Branch")
	old := w.signingKey(t, manage.NewSigningKey{
		ID: "old", APIKey: "demo-api-key", OrganizationID: "bank-x", Name: "Treasury", Algorithm: keystile.HS256, Environment: keystile.Sandbox,
		PermittedSiteIDs: []string{"Branch"}, Scopes: []keystile.Scope{"finapi:*"}, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Limit: must(keystile.ParseRate("60/1m", ""))(t), ExpiresAt: w.clock.Now().Add(1000 * time.Hour),
	})
	made := must(w.RotateSigningKey(ctx, operator, "old", manage.SigningRotation{Overlap: time.Hour}))(t)
	if made.Secret == "" || made.Key.ID == "old" || made.Key.APIKey == "demo-api-key" || !strings.HasPrefix(made.Key.APIKey, "sig_") {
		t.Errorf("made %+v", made.Key)
	}
	same := made.Key
	same.ID, same.APIKey, same.SealedSecret, same.CreatedAt, same.UpdatedAt = old.Key.ID, old.Key.APIKey, old.Key.SealedSecret, old.Key.CreatedAt, old.Key.UpdatedAt
	if fmt.Sprintf("%+v", same) != fmt.Sprintf("%+v", old.Key) {
		t.Errorf("the rights differ:\n%+v\n%+v", same, old.Key)
	}
	ends := func(id string) time.Time { return must(w.SigningKey(ctx, id))(t).ExpiresAt }
	if !ends("old").Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("the old key ends %v", ends("old"))
	}
	// A second rotation with a longer overlap does not bring the first end back.
	must(w.RotateSigningKey(ctx, operator, "old", manage.SigningRotation{Overlap: 2 * time.Hour, APIKey: "third", Secret: "third-secret"}))(t)
	if !ends("old").Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("the old key ends %v", ends("old"))
	}
	must(w.RotateSigningKey(ctx, operator, "third", manage.SigningRotation{}))(t)
	if state := manage.SigningStateOf(must(w.SigningKey(ctx, "third"))(t), w.clock.Now()); state != manage.KeyRevoked {
		t.Errorf("rotated without overlap it is %s", state)
	}
	_, err := w.RotateSigningKey(ctx, operator, "third", manage.SigningRotation{Overlap: time.Hour})
	wantIs(t, err, keystile.ErrConflict)
	_, err = w.RotateSigningKey(ctx, operator, "old", manage.SigningRotation{Overlap: -1})
	wantFaults(t, err, "overlap")
	_, err = w.RotateSigningKey(ctx, operator, "old", manage.SigningRotation{APIKey: "demo-api-key"})
	wantIs(t, err, keystile.ErrConflict)
	if state := manage.SigningStateOf(must(w.SigningKey(ctx, "old"))(t), w.clock.Now()); state != manage.KeyActive {
		t.Errorf("a refused rotation ended the key: %s", state)
	}
}

func TestASigningKeyIsNarrowedRevokedAndThenStaysAsItIs(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "Branch")
	w.signingKey(t, manage.NewSigningKey{ID: "k", OrganizationID: "bank-x", Algorithm: keystile.HS256})
	edit := func(k *keystile.SigningKey) error {
		k.Name, k.PermittedSiteIDs, k.Algorithm, k.APIKey = "new", []string{"Branch"}, keystile.RS256, "other"
		return nil
	}
	changed := must(w.UpdateSigningKey(ctx, operator, "k", edit))(t)
	if changed.Name != "new" || changed.PermittedSiteIDs[0] != "Branch" || changed.Algorithm != keystile.HS256 || changed.APIKey == "other" {
		t.Errorf("changed %+v", changed)
	}
	_, err := w.UpdateSigningKey(ctx, operator, "k", func(k *keystile.SigningKey) error {
		k.PermittedSiteIDs, k.ExpiresAt = []string{"Nowhere"}, w.clock.Now()
		return keystile.Invalidf("limit", "", "not a limit")
	})
	wantFaults(t, err, "limit", "expires_at", "permitted_site_ids[0]")
	for range 2 {
		if key := must(w.RevokeSigningKey(ctx, operator, "k"))(t); manage.SigningStateOf(key, w.clock.Now()) != manage.KeyRevoked {
			t.Errorf("revoked %+v", key)
		}
	}
	_, err = w.UpdateSigningKey(ctx, operator, "k", func(k *keystile.SigningKey) error { k.Name = "newer"; return nil })
	wantIs(t, err, keystile.ErrConflict)
	_, err = w.RotateSigningKey(ctx, operator, "k", manage.SigningRotation{})
	wantIs(t, err, keystile.ErrConflict)
}

func TestThreat30_SigningKeysOfAnotherOrganizationLookAsIfTheyDidNotExist(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "")
	w.organization(t, "bank-y", "")
	w.signingKey(t, manage.NewSigningKey{ID: "k", OrganizationID: "bank-x", Algorithm: keystile.HS256})
	other, _, _ := w.token(t, manage.NewAdminToken{OrganizationID: "bank-y"})
	for name, try := range map[string]func() error{
		"get":    func() error { _, err := other.SigningKey(ctx, "k"); return err },
		"revoke": func() error { _, err := other.RevokeSigningKey(ctx, operator, "k"); return err },
		"rotate": func() error {
			_, err := other.RotateSigningKey(ctx, operator, "k", manage.SigningRotation{})
			return err
		},
		"update": func() error {
			_, err := other.UpdateSigningKey(ctx, operator, "k", func(*keystile.SigningKey) error { return errors.New("edited") })
			return err
		},
	} {
		if err := try(); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if keys := must(other.SigningKeys(ctx, manage.SigningKeyFilter{OrganizationID: "bank-x"}))(t); len(keys) != 0 {
		t.Errorf("listed %v", keys)
	}
	_, err := other.CreateSigningKey(ctx, operator, manage.NewSigningKey{OrganizationID: "bank-x", Algorithm: keystile.HS256})
	wantFaults(t, err, "organization")
	if made := must(other.CreateSigningKey(ctx, operator, manage.NewSigningKey{Algorithm: keystile.HS256}))(t); made.Key.OrganizationID != "bank-y" {
		t.Errorf("made %+v", made.Key)
	}
	_, err = other.UpdateOrganization(ctx, operator, "bank-y", func(o *keystile.Organization) error { o.OneTime.ClockWindow = 15 * time.Minute; return nil })
	wantIs(t, err, manage.ErrNotPermitted)
}

func TestWhatAnOrganizationAsksOfOneTimeRequestsIsChecked(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "bank-x", "")
	set := func(policy keystile.OneTimePolicy) (keystile.Organization, error) {
		return w.UpdateOrganization(ctx, operator, "bank-x", func(o *keystile.Organization) error { o.OneTime = policy; return nil })
	}
	for _, window := range []time.Duration{-1, time.Second, 4 * time.Second, 5500 * time.Millisecond, 16 * time.Minute} {
		_, err := set(keystile.OneTimePolicy{ClockWindow: window})
		wantFaults(t, err, "onetime.clock_window")
	}
	_, err := set(keystile.OneTimePolicy{Forms: []keystile.OneTimeForm{"jwt", "cookie", "jwt"}})
	wantFaults(t, err, "onetime.forms[1]", "onetime.forms[2]")
	want := keystile.OneTimePolicy{ClockWindow: 5 * time.Second, Forms: []keystile.OneTimeForm{"http_signature", "header"}}
	if got := must(set(want))(t); fmt.Sprint(got.OneTime) != fmt.Sprint(want) {
		t.Errorf("set %+v", got.OneTime)
	}
	if got := must(set(keystile.OneTimePolicy{Forms: []keystile.OneTimeForm{}}))(t); got.OneTime.Forms != nil || got.OneTime.ClockWindow != 0 {
		t.Errorf("set %+v", got.OneTime)
	}
}

func TestThreat33_NoFileOfTheStoreHoldsASigningSecretOrPrivateKeyInClear(t *testing.T) {
	ctx, directory := context.Background(), t.TempDir()
	st := must(store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(directory, "keystile.db")}))(t)
	if err := st.Migrate(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Store, w.Now = st, time.Now
	w.organization(t, "bank-x", "")
	canaries := []string{"canary-canary-canary-canary-canary"}
	w.signingKey(t, manage.NewSigningKey{ID: "imported", OrganizationID: "bank-x", Algorithm: keystile.HS256, Secret: keystile.Secret(canaries[0])})
	for _, algorithm := range []keystile.SigningAlgorithm{keystile.HS256, keystile.ES256, keystile.EdDSA} {
		made := w.signingKey(t, manage.NewSigningKey{ID: "made-" + string(algorithm), OrganizationID: "bank-x", Algorithm: algorithm})
		rotated := must(w.RotateSigningKey(ctx, operator, made.Key.ID, manage.SigningRotation{}))(t)
		for _, m := range []manage.MadeSigningKey{made, rotated} {
			if m.Secret != "" {
				canaries = append(canaries, m.Secret.Reveal())
				continue
			}
			lines := strings.Split(m.PrivateKey.Reveal(), "\n")
			block, _ := pem.Decode([]byte(m.PrivateKey.Reveal()))
			// The end of an Ed25519 key alone is secret: what comes before names the algorithm.
			canaries = append(canaries, lines[1][len(lines[1])-24:], string(block.Bytes), string(block.Bytes[len(block.Bytes)-32:])[:16])
			if algorithm == keystile.ES256 {
				canaries = canaries[:len(canaries)-1] // its end is the public key
			}
		}
	}
	events := must(w.Events(ctx, manage.EventFilter{OrganizationID: "bank-x"}))(t)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	held := fmt.Sprint(events)
	for _, entry := range must(os.ReadDir(directory))(t) {
		held += string(must(os.ReadFile(filepath.Join(directory, entry.Name())))(t))
	}
	for _, canary := range canaries {
		if strings.Contains(held, canary) {
			t.Errorf("found %.6s...", canary)
		}
	}
}
