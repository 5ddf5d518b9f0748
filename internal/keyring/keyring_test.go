package keyring_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/keyring"
)

func master(t *testing.T) *keyring.Master {
	t.Helper()
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	m, err := keyring.NewMaster(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sealer(t *testing.T, m *keyring.Master) *keyring.Sealer {
	t.Helper()
	s, _, err := keyring.NewSealer(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestThreat04_AWeakOrMissingMasterKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	good, err := keyring.NewMasterText(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	env := func(text string) func(string) string { return func(string) string { return text } }
	for name, c := range map[string]struct {
		spec string
		env  string
		want string
	}{
		"empty":                  {"", "", "write file:PATH, env:NAME, vault:"},
		"no such file":           {"file:" + filepath.Join(dir, "absent"), "", "open the key file"},
		"unset variable":         {"env:KEY", "", "is not set"},
		"not base64":             {"env:KEY", "!!!", "not standard base64"},
		"16 bytes":               {"env:KEY", "AAECAwQFBgcICQoLDA0ODw==", "has 16 bytes"},
		"all zero":               {"env:KEY", strings.Repeat("A", 43) + "=", "weak"},
		"readable by others":     {write("open", good, 0o644), "", "chmod 600"},
		"an unknown provider":    {"gcpkms://projects/x", "", "not in this build"},
		"an empty file":          {write("empty", "", 0o600), "", "has 0 bytes"},
		"a key of one character": {"env:KEY", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=", "weak"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := keyring.LoadMaster(c.spec, env(c.env)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			} else if c.env != "" && strings.Contains(err.Error(), c.env) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	for _, spec := range []string{write("good", good+"\n", 0o600), "env:KEY"} {
		if _, err := keyring.LoadMaster(spec, env(good)); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

func TestASealedValueOpensOnlyInItsPlaceAndUnderItsMaster(t *testing.T) {
	m := master(t)
	s, wrapped, err := keyring.NewSealer(m)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte("canary"), "table/1/column")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("canary")) {
		t.Fatal("the sealed value shows its content")
	}
	again, err := keyring.OpenSealer(m, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, "table/1/column"); err != nil || string(plain) != "canary" {
		t.Fatalf("got %q, %v", plain, err)
	}
	if _, err := again.Open(sealed, "table/2/column"); err == nil {
		t.Error("a value moved to another row was opened")
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := again.Open(damaged, "table/1/column"); err == nil {
			t.Fatalf("a value damaged at byte %d was opened", i)
		}
	}
	_, err = keyring.OpenSealer(master(t), wrapped)
	if !errors.Is(err, keyring.ErrWrongMaster) || !strings.Contains(err.Error(), m.ID()) {
		t.Errorf("another master key: %v; want one that names %s", err, m.ID())
	}
}

func TestADigestIsHMACOfTheSumUnderThePepper(t *testing.T) {
	s := sealer(t, master(t))
	fixed := bytes.Repeat([]byte{7}, 36)
	pepper, sealed, err := keyring.NewPepper(bytes.NewReader(fixed), s)
	if err != nil {
		t.Fatal(err)
	}
	reopened, err := keyring.OpenPepper(s, pepper.ID, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.OpenPepper(s, "pep_other", sealed); err == nil {
		t.Error("a pepper opened under another id")
	}
	d, err := keyring.NewDigester(reopened)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("key"))
	mac := hmac.New(sha256.New, fixed[:32])
	mac.Write(sum[:])
	got, id := d.Digest(sum)
	if !bytes.Equal(got[:], mac.Sum(nil)) || id != pepper.ID {
		t.Errorf("got %x under %s", got, id)
	}
}

func TestALookUpTriesTheCurrentPepperAndTwoRetiredOnes(t *testing.T) {
	s := sealer(t, master(t))
	peppers := make([]keyring.Pepper, 4)
	for i := range peppers {
		p, _, err := keyring.NewPepper(rand.Reader, s)
		if err != nil {
			t.Fatal(err)
		}
		peppers[i] = p
	}
	d, err := keyring.NewDigester(peppers[0], peppers[1:3]...)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("key"))
	candidates := d.Candidates(sum, nil)
	current, id := d.Digest(sum)
	if len(candidates) != 3 || candidates[0] != current || id != peppers[0].ID {
		t.Errorf("candidates %x, current %x", candidates, current)
	}
	if !d.Knows(peppers[2].ID) || d.Knows(peppers[3].ID) {
		t.Error("Knows is wrong")
	}
	if _, err := keyring.NewDigester(peppers[0], peppers[1:]...); err == nil {
		t.Error("three retired peppers were taken")
	}
}

func newSigner(t *testing.T, now *time.Time) *keyring.Signer {
	t.Helper()
	s := sealer(t, master(t))
	sealed, err := keyring.NewSigningKey(rand.Reader, s)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keyring.OpenSigner(s, sealed, keyring.SignerOptions{
		Issuer: "https://auth.example.com", Now: func() time.Time { return *now }, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestAnAssertionSaysWhoForWhomAndUntilWhenAndTheJWKSProvesIt(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	signer := newSigner(t, &now)
	principal := &keystile.Principal{Subject: "key:k1", OrganizationID: "org", Kind: keystile.KindAPIKey, CredentialID: "k1", SiteIDs: []string{"Sibaya"}}
	d := &keystile.Decision{Allowed: true, Principal: principal, Route: &keystile.Route{ID: "r"}}
	token, err := signer.Assertion(d, "http://127.0.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	public, err := signer.Public()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.WriteSet([]*jws.Key{public})
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Key(parsed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("kid %q is not in the JWKS", parsed.Signatures[0].Header.KeyID)
	}
	if _, private := keys[0].Key.(ed25519.PrivateKey); private {
		t.Fatal("the JWKS shows the private key")
	}
	payload, err := parsed.Verify(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"iss": "https://auth.example.com", "sub": "key:k1", "aud": "http://127.0.0.1:9000", "organization": "org",
		"credential": "api_key:k1", "iat": 1.7e9, "exp": 1.7e9 + 60,
	} {
		if claims[name] != want {
			t.Errorf("%s = %v, want %v", name, claims[name], want)
		}
	}
}

func TestAnAssertionIsReusedForHalfAMinuteAndNeverForAnotherAudienceOrPrincipal(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	signer := newSigner(t, &now)
	route := &keystile.Route{ID: "r"}
	mint := func(p *keystile.Principal, audience string) string {
		token, err := signer.Assertion(&keystile.Decision{Allowed: true, Principal: p, Route: route}, audience)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	p := &keystile.Principal{Subject: "key:k1"}
	first := mint(p, "http://a")
	now = now.Add(29 * time.Second)
	if mint(p, "http://a") != first {
		t.Error("not reused within 30 s")
	}
	if mint(p, "http://b") == first || mint(&keystile.Principal{Subject: "key:k1"}, "http://a") == first {
		t.Error("reused for another audience or principal")
	}
	now = now.Add(time.Second)
	if mint(p, "http://a") == first {
		t.Error("reused after 30 s")
	}
}

func TestNoAssertionIsMintedForARefusal(t *testing.T) {
	now := time.Now()
	if _, err := newSigner(t, &now).Assertion(&keystile.Decision{Principal: &keystile.Principal{}, Route: &keystile.Route{}}, "a"); err == nil {
		t.Error("minted")
	}
}

func TestAnAssertionNeverOutlivesItsCredential(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := &keystile.Principal{ExpiresAt: now.Add(10 * time.Second)}
	token, err := newSigner(t, &now).Assertion(&keystile.Decision{Allowed: true, Principal: p, Route: &keystile.Route{}}, "a")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Exp int64 `json:"exp"`
	}
	if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil || claims.Exp != p.ExpiresAt.Unix() {
		t.Errorf("exp %d, %v", claims.Exp, err)
	}
}

func TestAnAssertionOfAPersonTellsHowTheySignedIn(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	signer := newSigner(t, &now)
	claimsOf := func(p *keystile.Principal) map[string]any {
		token, err := signer.Assertion(&keystile.Decision{Allowed: true, Principal: p, Route: &keystile.Route{}}, "a")
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jws.Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := json.Unmarshal(parsed.Payload, &claims); err != nil {
			t.Fatal(err)
		}
		return claims
	}
	person := claimsOf(&keystile.Principal{
		Subject: "user:u1", UserID: "u1", Username: "ann@example.com", Role: "role_analyst", SessionID: "ses_1",
		Methods: []keystile.AuthMethod{"pwd", "otp", "mfa"}, AuthenticatedAt: now.Add(-time.Minute), CustomerIDs: []string{"c1"},
	})
	if person["username"] != "ann@example.com" || person["role"] != "role_analyst" || person["sid"] != "ses_1" || person["auth_time"] != 1.7e9-60 {
		t.Errorf("%v", person)
	}
	if amr, ok := person["amr"].([]any); !ok || len(amr) != 3 {
		t.Errorf("amr %v", person["amr"])
	}
	key := claimsOf(&keystile.Principal{Subject: "key:k1"})
	for _, name := range []string{"username", "role", "group", "customers", "sid", "amr", "auth_time"} {
		if _, there := key[name]; there {
			t.Errorf("a key has %s", name)
		}
	}
}
