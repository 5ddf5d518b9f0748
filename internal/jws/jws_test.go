package jws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// pair signs tokens of one algorithm, and verifies them.
type pair struct {
	alg     keystile.SigningAlgorithm
	private any
	public  crypto.PublicKey
	key     *jws.Key
}

const secret = "a secret of more than thirty-two bytes, for tests"

func pairs(t *testing.T) []pair {
	t.Helper()
	r := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	e := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []pair{
		{keystile.HS256, []byte(secret), nil, must(jws.NewSecret(secret))(t)},
		{keystile.RS256, r, &r.PublicKey, must(jws.NewPublic("rsa", &r.PublicKey))(t)},
		{keystile.ES256, e, &e.PublicKey, must(jws.NewPublic("ec", &e.PublicKey))(t)},
		{keystile.EdDSA, private, public, must(jws.NewPublic("ed", public))(t)},
	}
}

func (p pair) sign(t *testing.T, payload string) string {
	t.Helper()
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.alg), Key: p.private}, (&jose.SignerOptions{}).WithType("JWT")))(t)
	return must(must(signer.Sign([]byte(payload)))(t).CompactSerialize())(t)
}

func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// mac is a token under an HMAC with any bytes as its secret.
func mac(header, payload string, key []byte) string {
	signed := part(header) + "." + part(payload)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func verified(text string, key *jws.Key) bool {
	token, err := jws.Parse(text)
	return err == nil && key.Verify(token)
}

func TestATokenIsVerifiedByItsKey(t *testing.T) {
	for _, p := range pairs(t) {
		token := must(jws.Parse(p.sign(t, `{"a":1}`)))(t)
		if !p.key.Verify(token) || string(token.Payload) != `{"a":1}` || token.Algorithm != p.alg || token.Type != "JWT" || token.Other {
			t.Errorf("%s: %+v", p.alg, token)
		}
	}
}

func TestThreat01_NoKeyVerifiesATokenThatClaimsAnotherAlgorithm(t *testing.T) {
	all := pairs(t)
	headers := []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519",
		"none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "rs256", "A128KW", "dir", "PBES2-HS256+A128KW", "RSA1_5",
	}
	for _, holder := range all {
		good := holder.sign(t, `{"a":1}`)
		parts := strings.Split(good, ".")
		for _, claimed := range headers {
			if claimed == string(holder.alg) {
				continue
			}
			// The header is exchanged under a good signature ...
			if forged := part(`{"alg":"`+claimed+`","typ":"JWT"}`) + "." + parts[1] + "." + parts[2]; verified(forged, holder.key) {
				t.Errorf("the key for %s took a token that claims %q", holder.alg, claimed)
			}
		}
		// ... and every other key signs under the header that the holder's key is for, and under its own.
		for _, other := range all {
			if other.alg != holder.alg && verified(other.sign(t, `{"a":1}`), holder.key) {
				t.Errorf("the key for %s took a token of %s", holder.alg, other.alg)
			}
		}
		// Public material as the secret of an HMAC.
		if holder.public == nil {
			continue
		}
		der := must(x509.MarshalPKIXPublicKey(holder.public))(t)
		for _, key := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), []byte(secret)} {
			for _, claimed := range []string{"HS256", string(holder.alg)} {
				if verified(mac(`{"alg":"`+claimed+`"}`, `{"a":1}`, key), holder.key) {
					t.Errorf("the key for %s took an HMAC with its public key that claims %s", holder.alg, claimed)
				}
			}
		}
	}
}

func TestThreat01_AHeaderThatBringsItsOwnKeyOrChangesTheMeaningIsMalformed(t *testing.T) {
	for name, header := range map[string]string{
		"none":                 `{"alg":"none"}`,
		"none in other case":   `{"alg":"nOnE"}`,
		"no alg":               `{"typ":"JWT"}`,
		"alg is no text":       `{"alg":256}`,
		"alg is null":          `{"alg":null}`,
		"alg twice":            `{"alg":"HS256","alg":"none"}`,
		"alg twice by escapes": `{"alg":"HS256","\u0061lg":"HS256"}`,
		"jwk":                  `{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`,
		"jku":                  `{"alg":"HS256","jku":"https://evil.example/jwks"}`,
		"x5u":                  `{"alg":"HS256","x5u":"https://evil.example/x5u"}`,
		"crit":                 `{"alg":"HS256","crit":["exp"],"exp":1}`,
		"b64":                  `{"alg":"HS256","b64":false}`,
		"b64 with crit":        `{"alg":"HS256","b64":false,"crit":["b64"]}`,
		"zip":                  `{"alg":"HS256","zip":"DEF"}`,
		"enc":                  `{"alg":"HS256","enc":"A256GCM"}`,
		"nested":               `{"alg":"HS256","cty":"JWT"}`,
		"PBES2":                `{"alg":"HS256","p2c":2147483647,"p2s":"AA"}`,
		"kid is a number":      `{"alg":"HS256","kid":1}`,
		"kid is empty":         `{"alg":"HS256","kid":""}`,
		"kid is long":          `{"alg":"HS256","kid":"` + strings.Repeat("k", 257) + `"}`,
		"an array":             `["alg"]`,
		"two objects":          `{"alg":"HS256"}{}`,
		"not UTF-8":            "{\"alg\":\"HS256\",\"kid\":\"\xff\"}",
		"empty":                ``,
	} {
		_, err := jws.Parse(mac(header, `{"a":1}`, []byte(secret)))
		if !errors.Is(err, keystile.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThreat22_NoPartOfATokenIsATokenAndNoBitMayDiffer(t *testing.T) {
	for _, p := range pairs(t) {
		good := p.sign(t, `{"a":1}`)
		for i := range good {
			mutants := []string{good[:i], good[i+1:], good[:i] + good[i+1:]}
			for bit := range 8 {
				flipped := []byte(good)
				flipped[i] ^= 1 << bit
				mutants = append(mutants, string(flipped))
			}
			for _, mutant := range mutants {
				if mutant != good && verified(mutant, p.key) {
					t.Fatalf("%s: a mutant at %d was taken: %q", p.alg, i, mutant)
				}
			}
		}
		for _, mutant := range []string{good + "=", good + "A", good + ".", "." + good, good + "\n", " " + good, good + "." + good, strings.Replace(good, ".", "..", 1)} {
			if verified(mutant, p.key) {
				t.Errorf("%s: taken: %q", p.alg, mutant)
			}
		}
	}
}

func TestThreat37_HugeAndDeepTokensAreRefusedBeforeTheyAreRead(t *testing.T) {
	deep := `{"alg":"HS256","x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}"
	for name, text := range map[string]string{
		"huge":         mac(`{"alg":"HS256"}`, `{"x":"`+strings.Repeat("x", 1<<20)+`"}`, []byte(secret)),
		"deep":         mac(deep, `{}`, []byte(secret)),
		"many members": mac(`{"alg":"HS256",`+strings.Repeat(`"a":1,`, 500)+`"b":1}`, `{}`, []byte(secret)),
		"many dots":    strings.Repeat(".", 8000),
		"five parts":   "a.b.c.d.e",
		"empty":        "",
		"empty parts":  "..",
		"no signature": part(`{"alg":"HS256"}`) + "." + part(`{}`) + ".",
		"JSON":         `{"payload":"e30","signatures":[]}`,
	} {
		if _, err := jws.Parse(text); !errors.Is(err, keystile.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWeakAndForeignKeysAreRefused(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))(t)
	r := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	for name, key := range map[string]crypto.PublicKey{
		"a short RSA key":   &small.PublicKey,
		"exponent 1":        &rsa.PublicKey{N: r.N, E: 1},
		"exponent 3":        &rsa.PublicKey{N: r.N, E: 3},
		"another curve":     &must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t).PublicKey,
		"a cut Ed25519 key": ed25519.PublicKey("short"),
		"a private key":     r,
		"a secret":          []byte(secret),
		"nothing":           nil,
		"a P-224 key":       &must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))(t).PublicKey,
	} {
		if _, err := jws.NewPublic("k", key); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := jws.NewSecret(""); err == nil {
		t.Error("an empty secret was taken")
	}
}

func TestASetNamesOneKeyOrNone(t *testing.T) {
	all := pairs(t)
	r, e := all[1], all[2]
	named := func(kid string) *jws.Token {
		return must(jws.Parse(part(`{"alg":"RS256","kid":"`+kid+`"}`) + "." + part(`{}`) + ".AA"))(t)
	}
	unnamed := must(jws.Parse(part(`{"alg":"RS256"}`) + "." + part(`{}`) + ".AA"))(t)
	one := jws.NewSet(r.key, e.key)
	if one.Find(named("rsa")) != r.key || one.Find(unnamed) != r.key {
		t.Error("the only RS256 key was not found")
	}
	for _, kid := range []string{"ec", "RSA", "rsa ", "../rsa", "rsa'--", "other"} {
		if one.Find(named(kid)) != nil {
			t.Errorf("kid %q found a key", kid)
		}
	}
	other := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	twice := jws.NewSet(r.key, must(jws.NewPublic("rsa", &other.PublicKey))(t))
	if twice.Find(named("rsa")) != nil || twice.Find(unnamed) != nil {
		t.Error("of two keys one was chosen")
	}
	var none *jws.Set
	if none.Find(unnamed) != nil || none.Verify(unnamed) {
		t.Error("no set verifies nothing")
	}
}

func TestASetIsWrittenAndReadAgainWithoutSecrets(t *testing.T) {
	all := pairs(t)
	keys := make([]*jws.Key, len(all))
	for i, p := range all {
		keys[i] = p.key
	}
	data := must(jws.WriteSet(keys))(t)
	if strings.Contains(string(data), `"oct"`) || strings.Contains(string(data), `"d"`) || strings.Contains(string(data), part(secret)) {
		t.Errorf("the set shows a secret: %s", data)
	}
	set := must(jws.ParseSet(data))(t)
	for _, p := range all[1:] {
		if !set.Verify(must(jws.Parse(p.sign(t, `{}`)))(t)) {
			t.Errorf("%s is not verified by the set", p.alg)
		}
	}
	if set.Verify(must(jws.Parse(all[0].sign(t, `{}`)))(t)) {
		t.Error("HS256 is verified by the set")
	}
}

func TestASetWithoutAUsableKeyIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               ``,
		"no JSON":             `<html>`,
		"no keys":             `{"keys":[]}`,
		"a secret":            `{"keys":[{"kty":"oct","k":"` + part(secret) + `"}]}`,
		"a key for secrecy":   `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"a key to sign with":  `{"keys":[{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"another algorithm":   `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"a private key":       `{"keys":[{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"a point off a curve": `{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`,
		"longer than 256 KiB": `{"keys":[` + strings.Repeat(" ", jws.MaxSet) + `]}`,
	} {
		if _, err := jws.ParseSet([]byte(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	set := must(jws.ParseSet([]byte(`{"keys":[{"kty":"future"},{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},7]}`)))(t)
	if set.Find(must(jws.Parse(part(`{"alg":"EdDSA","kid":"a"}`)+"."+part(`{}`)+".AA"))(t)) == nil {
		t.Error("the usable key beside unknown ones was not found")
	}
}

// unlike are the cases where Keystile differs from Project Wycheproof, and why.
var unlike = map[string]string{
	"json_web_key 7":  "keys of one vendor's weak generator are not looked for",
	"json_web_key 10": "how long a secret must be is for who takes it in",
	"json_web_key 2":  "a set of secrets: a secret is never read from a set",
	// The text of these two is that of the good token, byte for byte.
	"json_web_signature 367": "the published text has no bad padding",
	"json_web_signature 370": "the published text has no bad padding",
	// Called valid because some readers skip characters outside the alphabet; RFC 7515 does not.
	"json_web_signature 372": "a question mark within base64url",
	"json_web_signature 373": "a question mark within base64url",
}

func TestProjectWycheproof(t *testing.T) {
	var groups []struct {
		Source, Comment string
		Key             json.RawMessage
		Tests           []struct {
			ID                   int `json:"tcId"`
			Comment, JWS, Result string
		}
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/wycheproof.json"))(t), &groups); err != nil {
		t.Fatal(err)
	}
	valid, refused := 0, 0
	for _, g := range groups {
		verifies := verifierOf(t, g.Key)
		for _, c := range g.Tests {
			token, err := jws.Parse(c.JWS)
			got := err == nil && verifies(token)
			name := fmt.Sprintf("%s %d", g.Source, c.ID)
			foreign := err == nil && token.Algorithm == "" // an algorithm that no key has here
			if want := c.Result == "valid" && !foreign; got != want && unlike[name] == "" {
				t.Errorf("%s (%s, %s): verified %v, want %v", name, g.Comment, c.Comment, got, want)
			}
			if got {
				valid++
			} else {
				refused++
			}
		}
	}
	if valid < 15 || refused < 350 {
		t.Errorf("only %d were verified and %d refused", valid, refused)
	}
}

// verifierOf is the set of a group's keys, or its secret where that is the only key.
func verifierOf(t *testing.T, data []byte) func(*jws.Token) bool {
	t.Helper()
	var raw struct {
		Keys []struct {
			Kty, K, Alg string
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	if len(raw.Keys) == 1 && raw.Keys[0].Kty == "oct" && raw.Keys[0].Alg == "HS256" {
		key, err := jws.NewSecret(keystile.Secret(must(base64.RawURLEncoding.DecodeString(raw.Keys[0].K))(t)))
		return func(token *jws.Token) bool { return err == nil && key.Verify(token) }
	}
	set, err := jws.ParseSet(data)
	return func(token *jws.Token) bool { return err == nil && set.Verify(token) }
}

func FuzzParse(f *testing.F) {
	f.Add(mac(`{"alg":"HS256","typ":"JWT"}`, `{"a":1}`, []byte(secret)))
	f.Add(part(`{"alg":"none"}`) + "..")
	f.Add("a.b.c")
	key, err := jws.NewSecret(secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := jws.Parse(text)
		if err != nil {
			if !errors.Is(err, keystile.ErrMalformed) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if key.Verify(token) {
			want := hmac.New(sha256.New, []byte(secret))
			want.Write([]byte(text[:strings.LastIndexByte(text, '.')]))
			if token.Algorithm != keystile.HS256 || !strings.HasSuffix(text, "."+base64.RawURLEncoding.EncodeToString(want.Sum(nil))) {
				t.Errorf("%q is verified", text)
			}
		}
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := jws.ParseSet(data)
		if (set == nil) == (err == nil) {
			t.Errorf("%v %v", set, err)
		}
	})
}
