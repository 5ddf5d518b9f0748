package state

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// bank is a world with every field of organizations' onetime and of signing_keys but sealed.
const bank = `
organizations:
  - {id: bank-x, onetime: {clock_window: 1m30s, forms: [jwt, http_signature]}}
  - id: bank-y
    onetime: {clock_window: 5s}
sites: [{id: Branch, organization: bank-x}]
signing_keys:
  - organization: bank-x
    api_key: demo-api-key
    algorithm: HS256
    secret: demo-secret
    scopes: ["finapi:*"]
  - id: treasury
    organization: bank-x
    api_key: "odd/name\"'"
    algorithm: EdDSA
    public_key: |
      -----BEGIN PUBLIC KEY-----
      MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
      -----END PUBLIC KEY-----
    name: Treasury
    environment: sandbox
    permitted_site_ids: [Branch]
    expires_at: 2020-01-01T00:00:00Z
    limit: 20000/1h
    limit_algorithm: gcra
    allowed_ips: [10.0.0.0/8]
  - {organization: bank-y, api_key: old, algorithm: HS256, secret: another-secret-another-secret-another, revoked_at: 2026-02-01T00:00:00Z}
`

// secretOf is the HS256 secret of the signing key that callers name so.
func (s *shop) secretOf(t testing.TB, apiKey string) keystile.Secret {
	t.Helper()
	found, err := s.Store.FindSigningKey(context.Background(), apiKey)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := s.OpenSigningSecret(found.Key)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestSigningKeysAreCreatedFromTheFileAndThenNothingChanges(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, st *store.Store) {
		s := shopOn(t, st, newPepper(t))
		first := s.apply(t, bank, Options{})
		want := `+ organization bank-x
+ organization bank-y
+ site Branch
+ signing_key demo-api-key
+ signing_key treasury
+ signing_key old
6 created, 0 updated, 0 deleted
`
		if diff := cmp.Diff(want, first.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(first.Warnings) != 1 || !strings.HasPrefix(first.Warnings[0].Error(), "world.yaml:11: signing_keys[0].secret: ") || len(first.Secrets) != 0 {
			t.Errorf("warnings %v, secrets %v", first.Warnings, first.Secrets)
		}
		if s.secretOf(t, "demo-api-key") != "demo-secret" {
			t.Error("the secret is another one")
		}
		for _, id := range []string{"bank-x", "bank-y"} {
			org, err := st.Organization(t.Context(), id)
			wanted := map[string]string{"bank-x": "{1m30s [jwt http_signature]}", "bank-y": "{5s []}"}[id]
			if err != nil || fmt.Sprint(org.OneTime) != wanted {
				t.Errorf("%s asks %v, %v", id, org.OneTime, err)
			}
		}
		if second := s.apply(t, bank, Options{Prune: true}); second.String() != "no changes\n" {
			t.Errorf("the second apply: %s", second.String())
		}
		exported := s.export(t)
		if again := s.apply(t, exported, Options{Prune: true}); again.String() != "no changes\n" {
			t.Errorf("export then apply: %s\n%s", again.String(), exported)
		}
		for _, want := range []string{
			"onetime: {clock_window: 90s, forms: [jwt, http_signature]}\n", "onetime: {clock_window: 5s}\n",
			"sealed: \"" + s.Sealer.MasterID() + ":", "    public_key: |\n      -----BEGIN PUBLIC KEY-----\n      MCow",
		} {
			if !strings.Contains(exported, want) {
				t.Errorf("the export does not hold %q:\n%s", want, exported)
			}
		}
		if strings.Contains(exported, "demo-secret") {
			t.Error("the export holds a secret")
		}
	})
}

func TestUpdatesOfSigningKeysShowEachFieldAndNeverASecret(t *testing.T) {
	s := newShop(t)
	s.apply(t, bank, Options{})
	got := s.apply(t, `
organizations: [{id: bank-x, onetime: {clock_window: 60s}}]
signing_keys:
  - {organization: bank-x, api_key: demo-api-key, algorithm: HS256, secret: new-secret-new-secret-new-secret-new, permitted_site_ids: [Branch], limit: 60/1m, name: Demo}
  - {organization: bank-x, api_key: "odd/name\"'", algorithm: HS256, secret: former-public-key-former-public-key}
  - {organization: bank-y, api_key: old, algorithm: HS256, secret: x, revoked_at: 2026-02-01T00:00:00Z}
`, Options{})
	want := `~ organization bank-x: onetime.clock_window: 90s -> 60s
~ organization bank-x: onetime.forms: jwt,http_signature -> none
~ signing_key demo-api-key: name: none -> Demo
~ signing_key demo-api-key: permitted_site_ids: none -> Branch
~ signing_key demo-api-key: scopes: finapi:* -> none
~ signing_key demo-api-key: limit: none -> 60/1m
~ signing_key demo-api-key: limit_algorithm: none -> window
~ signing_key demo-api-key: secret: old -> new
~ signing_key treasury: name: Treasury -> none
~ signing_key treasury: environment: sandbox -> production
~ signing_key treasury: algorithm: EdDSA -> HS256
~ signing_key treasury: permitted_site_ids: Branch -> none
~ signing_key treasury: expires_at: 2020-01-01T00:00:00Z -> none
~ signing_key treasury: limit: 20000/1h -> none
~ signing_key treasury: limit_algorithm: gcra -> none
~ signing_key treasury: allowed_ips: 10.0.0.0/8 -> none
~ signing_key treasury: secret: old -> new
0 created, 3 updated, 0 deleted
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.secretOf(t, "demo-api-key") != "new-secret-new-secret-new-secret-new" || s.secretOf(t, `odd/name"'`) != "former-public-key-former-public-key" {
		t.Error("the secrets are not those of the file")
	}
}

func TestASigningKeyThatWasRevokedStaysSo(t *testing.T) {
	s := newShop(t)
	s.apply(t, bank, Options{})
	if _, err := s.RevokeSigningKey(context.Background(), cli, "demo-api-key"); err != nil {
		t.Fatal(err)
	}
	got := s.apply(t, bank, Options{})
	if got.String() != "no changes\n" || len(got.Warnings) != 2 || !strings.Contains(got.Warnings[0].Error()+got.Warnings[1].Error(), "revoked at 2026-03-01T12:00:00Z and stays so") {
		t.Errorf("%s%v", got.String(), got.Warnings)
	}
}

func TestPruneDeletesSigningKeysAndTheirNamesAreNeverUsedAgain(t *testing.T) {
	s := newShop(t)
	s.apply(t, bank, Options{})
	got := s.apply(t, `signing_keys: [{organization: bank-x, api_key: other, id: treasury, algorithm: HS256, secret: a-secret-of-more-than-thirty-two-bytes}]`, Options{Prune: true})
	if got.String() != "- signing_key demo-api-key\n- signing_key old\n- signing_key treasury\n+ signing_key treasury\n1 created, 0 updated, 3 deleted\n" {
		t.Errorf("%s", got.String())
	}
	back := "signing_keys: [{organization: bank-x, api_key: demo-api-key, algorithm: HS256, secret: demo-secret}]"
	_, err := Apply(context.Background(), s.Service, cli, parse(t, back), Options{})
	if err == nil || !strings.Contains(err.Error(), "never used again") || !strings.HasPrefix(err.Error(), "world.yaml:1: signing_keys[0]") {
		t.Errorf("the name came back: %v", err)
	}
	s.apply(t, "signing_keys: []\nsites: []\norganizations: []", Options{Prune: true})
}

func TestWhatASigningKeyContradictsOrMissesIsToldWithItsLine(t *testing.T) {
	s := newShop(t)
	s.apply(t, bank, Options{})
	s.refuses(t, `signing_keys:
  - {organization: bank-y, api_key: demo-api-key, algorithm: HS256, secret: s}
  - {organization: bank-x, api_key: "odd/name\"'", id: mine, algorithm: HS256, secret: s}
  - {organization: bank-x, api_key: new, id: treasury, algorithm: HS256, secret: s}
  - {organization: nobody, api_key: newer, algorithm: HS256, secret: s}
  - {organization: bank-y, api_key: newest, algorithm: HS256, secret: s, permitted_site_ids: [Branch]}
`, Options{}, `world.yaml:2: signing_keys[0].organization: the api_key belongs to another organization, and keys do not move; choose another api_key
world.yaml:3: signing_keys[1].id: the key of this api_key has the id treasury; write that id, or choose another api_key
world.yaml:4: signing_keys[2].api_key: signing key treasury has another api_key, which cannot change; give the new key an id of its own
world.yaml:5: signing_keys[3].organization: there is no organization nobody; name one that the files or the store have
world.yaml:6: signing_keys[4].permitted_site_ids[0]: organization bank-y has no site Branch; name a site of the key's organization`)
}

func TestAFileWhoseSigningKeysCannotBeIsRefusedBeforeTheStoreIsAsked(t *testing.T) {
	_, err := Parse(File{Name: "w.yaml", Data: []byte(`organizations: [{id: a, onetime: {clock_window: 4s, forms: [jwt, jwt, cookie]}}, {id: b, onetime: {clock_window: 0s}}]
signing_keys:
  - {organization: a, api_key: "a b", algorithm: HS256, secret: canary}
  - {organization: a, api_key: k1, algorithm: HS256}
  - {organization: a, api_key: k1, algorithm: HS256, secret: canary}
  - {organization: a, api_key: k2, id: k1, algorithm: RS256, secret: canary}
  - {organization: a, api_key: k3, algorithm: RS256}
  - {organization: a, api_key: k4, algorithm: ES256, public_key: canary}
  - {organization: a, api_key: k5, algorithm: HS256, public_key: canary}
  - {organization: a, api_key: k6, algorithm: HS256, sealed: canary}
  - {organization: a, api_key: k7, algorithm: HS256, secret: canary, sealed: "mk_00:AAAA"}
  - {organization: a, api_key: k8, algorithm: none}
`)})
	want := `w.yaml:1: organizations[0].onetime.forms[2]: "cookie" is not a known value; write one of: header, jwt, http_signature
w.yaml:1: organizations[0].onetime.clock_window: is not a clock window; use whole seconds from 5s to 15m, or remove the line for the server's default
w.yaml:1: organizations[0].onetime.forms[1]: names jwt a second time; name it once
w.yaml:1: organizations[1].onetime.clock_window: is not a clock window; use whole seconds from 5s to 15m, or remove the line for the server's default
w.yaml:3: signing_keys[0].api_key: not an api_key; use 1 to 200 printable ASCII characters without space
w.yaml:4: signing_keys[1].secret: is missing, and HS256 needs it; write the secret
w.yaml:5: signing_keys[2].api_key: "k1" is named a second time (first at w.yaml:4); keep one
w.yaml:6: signing_keys[3].id: signing key k1 is named a second time (first at w.yaml:4); keep one
w.yaml:6: signing_keys[3].secret: a key of RS256 has no shared secret; give its public_key
w.yaml:7: signing_keys[4].public_key: is missing, and RS256 needs it; write the public key
w.yaml:8: signing_keys[5].public_key: this is not PEM; give one PEM block, "RSA PUBLIC KEY" or "PUBLIC KEY"
w.yaml:9: signing_keys[6].public_key: an HS256 key has no public key; give its secret, or another algorithm
w.yaml:10: signing_keys[7].sealed: is not a sealed value; write MASTERKEY:BASE64 as keystile export does
w.yaml:11: signing_keys[8].sealed: secret and sealed exclude each other; keep one of them
w.yaml:12: signing_keys[9].algorithm: "none" is not a known value; write one of: HS256, RS256, ES256, EdDSA`
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASealedSecretOfAnotherStoreIsRefusedAndItsMasterKeyNamed(t *testing.T) {
	s, other := newShop(t), newShop(t)
	s.apply(t, bank, Options{})
	exported := s.export(t)
	_, err := Apply(context.Background(), other.Service, cli, parse(t, exported), Options{})
	if err == nil || strings.Count(err.Error(), "was sealed under master key "+s.Sealer.MasterID()+", and this store has "+other.Sealer.MasterID()) != 2 {
		t.Errorf("it says: %v", err)
	}
	if _, err := other.Store.Organization(context.Background(), "bank-x"); err == nil {
		t.Error("a part was applied")
	}
	// The same master key, but another store's keyset.
	forged := strings.ReplaceAll(exported, s.Sealer.MasterID(), other.Sealer.MasterID())
	if _, err := Apply(context.Background(), other.Service, cli, parse(t, forged), Options{}); err == nil || !strings.Contains(err.Error(), "does not open in this store") {
		t.Errorf("it says: %v", err)
	}
	other.Sealer = nil
	if _, err := Apply(context.Background(), other.Service, cli, parse(t, exported), Options{}); err == nil || !strings.Contains(err.Error(), "no master key to open it with") {
		t.Errorf("it says: %v", err)
	}
	if _, err := Export(context.Background(), s.Store, s.clock()); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("an export without the master key's id: %v", err)
	}
}

func TestASecretSealedAgainIsTheSameSecret(t *testing.T) {
	s := newShop(t)
	s.apply(t, bank, Options{})
	seal := func(secret keystile.Secret) string {
		raw, err := s.SealSigningSecret("demo-api-key", secret)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`signing_keys: [{organization: bank-x, api_key: demo-api-key, algorithm: HS256, sealed: "%s", scopes: ["finapi:*"]}]`, sealed{master: s.Sealer.MasterID(), data: raw})
	}
	if got := s.apply(t, seal("demo-secret"), Options{}); got.String() != "no changes\n" {
		t.Errorf("%s", got.String())
	}
	if got := s.apply(t, seal("another"), Options{}); got.String() != "~ signing_key demo-api-key: secret: old -> new\n0 created, 1 updated, 0 deleted\n" || s.secretOf(t, "demo-api-key") != "another" {
		t.Errorf("%s", got.String())
	}
}

// drawSigningKeys makes signing keys through the operations that people use.
func drawSigningKeys(t *rapid.T, s *shop, round int) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "organizations") {
		org := keystile.Organization{ID: fmt.Sprintf("org:%d", i), OneTime: keystile.OneTimePolicy{
			ClockWindow: time.Duration(rapid.SampledFrom([]int{0, 5, 60, 61, 900}).Draw(t, "window")) * time.Second,
			Forms:       rapid.SliceOfNDistinct(rapid.SampledFrom([]keystile.OneTimeForm{"header", "jwt", "http_signature"}), 0, 3, rapid.ID).Draw(t, "forms"),
		}}
		_, err := s.CreateOrganization(ctx, cli, org)
		must(err)
		site := fmt.Sprintf("site.%d", i)
		_, err = s.CreateSite(ctx, cli, keystile.Site{ID: site, OrganizationID: org.ID})
		must(err)
		for j := range rapid.IntRange(0, 3).Draw(t, "keys") {
			in := manage.NewSigningKey{
				OrganizationID: org.ID, Name: rapid.SampledFrom(trickyNames).Draw(t, "name"),
				APIKey:    fmt.Sprintf("%s%d-%d-%d", rapid.SampledFrom([]string{"k", "-", "&", "\"'\\", "%00", "!!", "{}", "on:", "*"}).Draw(t, "api_key"), round, i, j),
				Algorithm: rapid.SampledFrom([]keystile.SigningAlgorithm{keystile.HS256, keystile.ES256, keystile.EdDSA}).Draw(t, "algorithm"),
				Limit:     rapid.SampledFrom([]*keystile.Rate{nil, {Requests: 60, Window: 90 * time.Second, Algorithm: keystile.AlgorithmWindow}}).Draw(t, "limit"),
			}
			if rapid.Bool().Draw(t, "narrow") {
				in.PermittedSiteIDs, in.AllowedIPs = []string{site}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
				in.Scopes, in.ExpiresAt = []keystile.Scope{"a:*"}, s.clock().Add(time.Minute)
			}
			made, err := s.CreateSigningKey(ctx, cli, in)
			must(err)
			if rapid.Bool().Draw(t, "rotated") {
				_, err := s.RotateSigningKey(ctx, cli, made.Key.ID, manage.SigningRotation{Overlap: time.Duration(rapid.IntRange(0, 1).Draw(t, "overlap")) * time.Hour})
				must(err)
			}
			if rapid.Bool().Draw(t, "revoked") {
				_, err := s.RevokeSigningKey(ctx, cli, made.Key.ID)
				must(err)
			}
		}
	}
}

func TestWhateverTheSigningKeysExportThenApplyChangesNothing(t *testing.T) {
	const nothing = "organizations: []\nsites: []\nsigning_keys: []\n"
	s, round := newShop(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++ // names are never used again
		s.apply(t, nothing, Options{Prune: true})
		drawSigningKeys(rt, s, round)
		exported := s.export(t)
		w, err := Parse(File{Name: "export.yaml", Data: []byte(exported)})
		if err != nil {
			rt.Fatalf("%v in\n%s", err, exported)
		}
		got, err := Apply(context.Background(), s.Service, cli, w, Options{Prune: true})
		if err != nil || got.String() != "no changes\n" {
			rt.Fatalf("%s%v in\n%s", got.String(), err, exported)
		}
		// What is deleted and exported again elsewhere keeps its order.
		if again := s.export(t); again != exported {
			rt.Fatal("two exports of one world differ")
		}
	})
}

func TestPublicKeysAreTheSameHoweverTheyAreWritten(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s := newShop(t)
	for i, written := range []string{text, "\n" + text, strings.ReplaceAll(text, "\n", "\r\n"), strings.TrimSpace(text)} {
		got := s.apply(t, fmt.Sprintf("organizations: [{id: a}]\nsigning_keys: [{organization: a, api_key: k, algorithm: EdDSA, public_key: %q}]", written), Options{})
		if (got.String() == "no changes\n") != (i > 0) {
			t.Errorf("%d: %s", i, got.String())
		}
	}
}

func FuzzSealedValuesAreReadBackAsTheyAreWritten(f *testing.F) {
	for _, seed := range []string{"mk_0a:AAAA", "mk_:AA==", "mk_0:A===", "mk:AAAA", ":", "mk_0:AAA=\n", "mk_é:AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s sealed
		if err := s.UnmarshalText([]byte(text)); err == nil && s.String() != text {
			t.Errorf("%q is read as %q", text, s.String())
		}
	})
}
