package dpop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dpop"
	"keystile.dev/keystile/internal/replay"
)

// The examples of RFC 9449: figure 2 (token endpoint), figure 12 (resource with a token).
const (
	rfcHeader   = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	rfcToken    = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcResource = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcAccess   = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcKey      = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func TestTheProofsOfTheRFCAreGood(t *testing.T) {
	p, err := dpop.Parse(rfcToken)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != "-BwC3ESc6acc2lTc" || p.Method != "POST" || p.URL != "https://server.example.com/token" || p.IssuedAt.Unix() != 1562262616 || p.Thumbprint != rfcKey {
		t.Errorf("%+v", p)
	}
	now := p.IssuedAt.Add(time.Second)
	if err := p.Check(dpop.Expected{Method: "POST", URL: "https://SERVER.example.com:443/token?x=1#y", Thumbprint: rfcKey}, now); err != nil {
		t.Error(err)
	}
	if p, err = dpop.Parse(rfcResource); err != nil {
		t.Fatal(err)
	}
	want := dpop.Expected{Method: "GET", URL: "https://resource.example.org/protectedresource", Token: rfcAccess, Thumbprint: rfcKey}
	if err := p.Check(want, now); err != nil {
		t.Error(err)
	}
}

// sender makes proofs.
type sender struct {
	alg     jose.SignatureAlgorithm
	private any
}

func newSender(t testing.TB) sender {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sender{jose.ES256, key}
}

const (
	method = "GET"
	target = "https://api.example.com/v1/sites"
	token  = keystile.Secret("an-access-token")
)

var now = time.Unix(1_790_000_000, 0)

func claims() map[string]any {
	return map[string]any{"jti": "0123456789abcdef", "htm": method, "htu": target, "iat": now.Unix(), "ath": dpop.TokenDigest(token)}
}

func (s sender) proof(t testing.TB, claims map[string]any, typ string) string {
	t.Helper()
	o := &jose.SignerOptions{EmbedJWK: true}
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.private}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// wants fails unless the proof is refused, and for that field.
func wants(t *testing.T, name, field string, err error) {
	t.Helper()
	var f *dpop.Fault
	if !errors.As(err, &f) || f.Field != field || !errors.Is(err, keystile.ErrRejected) {
		t.Errorf("%s: %v; want a fault of %s", name, err, field)
	}
}

func TestAProofOfEveryAlgorithmIsGood(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []sender{newSender(t), {jose.RS256, r}, {jose.EdDSA, ed}} {
		for _, typ := range []string{"dpop+jwt", "DPoP+JWT"} {
			p, err := dpop.Parse(s.proof(t, claims(), typ))
			if err != nil {
				t.Fatalf("%s: %v", s.alg, err)
			}
			if err := p.Check(dpop.Expected{Method: method, URL: target, Token: token, Thumbprint: p.Thumbprint}, now); err != nil {
				t.Errorf("%s: %v", s.alg, err)
			}
		}
	}
}

func TestAProofThatIsNotWellFormedIsRefusedByItsField(t *testing.T) {
	s := newSender(t)
	for _, c := range []struct {
		name, field string
		change      map[string]any // nil removes
	}{
		{"no jti", "jti", map[string]any{"jti": nil}},
		{"an empty jti", "jti", map[string]any{"jti": ""}},
		{"a short jti", "jti", map[string]any{"jti": "1234567"}},
		{"a long jti", "jti", map[string]any{"jti": strings.Repeat("a", 257)}},
		{"a jti with a line end", "jti", map[string]any{"jti": "12345678\n"}},
		{"a jti beyond ASCII", "jti", map[string]any{"jti": "12345678é"}},
		{"a jti that is a number", "jti", map[string]any{"jti": 12345678}},
		{"no htm", "htm", map[string]any{"htm": nil}},
		{"a long htm", "htm", map[string]any{"htm": strings.Repeat("A", 33)}},
		{"no htu", "htu", map[string]any{"htu": nil}},
		{"an htu without a scheme", "htu", map[string]any{"htu": "api.example.com/v1/sites"}},
		{"an htu of another scheme", "htu", map[string]any{"htu": "ftp://api.example.com/"}},
		{"an htu with a user", "htu", map[string]any{"htu": "https://a@api.example.com/"}},
		{"an htu with dots", "htu", map[string]any{"htu": "https://api.example.com/a/../b"}},
		{"an htu with encoded dots", "htu", map[string]any{"htu": "https://api.example.com/a/%2E%2e/b"}},
		{"a long htu", "htu", map[string]any{"htu": "https://api.example.com/" + strings.Repeat("a", 2048)}},
		{"no iat", "iat", map[string]any{"iat": nil}},
		{"iat as text", "iat", map[string]any{"iat": fmt.Sprint(now.Unix())}},
		{"iat as a fraction", "iat", map[string]any{"iat": float64(now.Unix()) + 0.5}},
		{"iat negative", "iat", map[string]any{"iat": -1}},
		{"iat null", "iat", map[string]any{"iat": json.RawMessage("null")}},
		{"ath of another length", "ath", map[string]any{"ath": "AAAA"}},
		{"ath as a list", "ath", map[string]any{"ath": []string{"x"}}},
		{"a long nonce", "nonce", map[string]any{"nonce": strings.Repeat("n", 513)}},
		{"an empty nonce", "nonce", map[string]any{"nonce": ""}},
	} {
		m := claims()
		for k, v := range c.change {
			if v == nil {
				delete(m, k)
			} else {
				m[k] = v
			}
		}
		_, err := dpop.Parse(s.proof(t, m, dpop.Type))
		wants(t, c.name, c.field, err)
	}
	for _, typ := range []string{"", "JWT", "at+jwt", "jwt", "application/dpop+jwt", "dpop"} {
		_, err := dpop.Parse(s.proof(t, claims(), typ))
		wants(t, "typ "+typ, "typ", err)
	}
}

func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestThreat01_AProofIsSignedByItsOwnPublicKeyOrRefused(t *testing.T) {
	s := newSender(t)
	good := s.proof(t, claims(), dpop.Type)
	parts := strings.Split(good, ".")
	other := strings.Split(newSender(t).proof(t, claims(), dpop.Type), ".")
	_, err := dpop.Parse(other[0] + "." + parts[1] + "." + parts[2])
	wants(t, "another key in the header", "jwk", err)
	_, err = dpop.Parse(parts[0] + "." + part(`{"jti":"0123456789abcdef","htm":"DELETE"}`) + "." + parts[2])
	wants(t, "another payload", "jwk", err)

	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"RS256", "HS256", "ES384", "PS256", "EdDSA"} {
		_, err := dpop.Parse(part(strings.Replace(string(header), "ES256", alg, 1)) + "." + parts[1] + "." + parts[2])
		wants(t, alg, "alg", err)
	}
	_, err = dpop.Parse(part(strings.Replace(string(header), "ES256", "none", 1)) + "." + parts[1] + "." + parts[2])
	wants(t, "none", "DPoP", err)
	symmetric := part(`{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"c2VjcmV0"}}`) + "." + parts[1]
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(symmetric))
	_, err = dpop.Parse(symmetric + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	wants(t, "a secret as the key", "DPoP", err)
	for i := range good {
		if _, err := dpop.Parse(good[:i]); err == nil {
			t.Fatalf("the first %d characters are a proof", i)
		}
	}
}

func TestAProofForAnotherRequestIsRefusedByItsField(t *testing.T) {
	p, err := dpop.Parse(newSender(t).proof(t, claims(), dpop.Type))
	if err != nil {
		t.Fatal(err)
	}
	bare := claims()
	delete(bare, "ath")
	unbound, err := dpop.Parse(newSender(t).proof(t, bare, dpop.Type))
	if err != nil {
		t.Fatal(err)
	}
	good := dpop.Expected{Method: method, URL: target, Token: token, Thumbprint: p.Thumbprint}
	for _, c := range []struct {
		name, field string
		proof       *dpop.Proof
		change      func(*dpop.Expected)
		at          time.Time
	}{
		{"another method", "htm", p, func(e *dpop.Expected) { e.Method = "POST" }, now},
		{"the method in other case", "htm", p, func(e *dpop.Expected) { e.Method = "get" }, now},
		{"another path", "htu", p, func(e *dpop.Expected) { e.URL += "/" }, now},
		{"the path in other case", "htu", p, func(e *dpop.Expected) { e.URL = "https://api.example.com/V1/sites" }, now},
		{"another host", "htu", p, func(e *dpop.Expected) { e.URL = "https://api.example.com.evil.example/v1/sites" }, now},
		{"another port", "htu", p, func(e *dpop.Expected) { e.URL = "https://api.example.com:8443/v1/sites" }, now},
		{"another scheme", "htu", p, func(e *dpop.Expected) { e.URL = "http://api.example.com/v1/sites" }, now},
		{"a request without a URL", "htu", p, func(e *dpop.Expected) { e.URL = "" }, now},
		{"too old", "iat", p, func(*dpop.Expected) {}, now.Add(dpop.MaxAge + time.Second)},
		{"too far ahead", "iat", p, func(*dpop.Expected) {}, now.Add(-dpop.MaxAhead - time.Second)},
		{"another key", "jwk", p, func(e *dpop.Expected) { e.Thumbprint = rfcKey }, now},
		{"another token", "ath", p, func(e *dpop.Expected) { e.Token = "another" }, now},
		{"no ath where there is a token", "ath", unbound, func(e *dpop.Expected) { e.Thumbprint = "" }, now},
		{"no nonce where one is asked for", "nonce", p, func(e *dpop.Expected) { e.Nonce = func(n string) bool { return n == "ours" } }, now},
	} {
		e := good
		c.change(&e)
		wants(t, c.name, c.field, c.proof.Check(e, c.at))
	}
	for name, at := range map[string]time.Time{"the oldest": now.Add(dpop.MaxAge), "the farthest ahead": now.Add(-dpop.MaxAhead)} {
		if err := p.Check(good, at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := unbound.Check(dpop.Expected{Method: method, URL: target}, now); err != nil {
		t.Errorf("without a token no ath is asked for: %v", err)
	}
}

func TestANonceThatIsMissingOrWrongAsksForAnotherProof(t *testing.T) {
	m := claims()
	m["nonce"] = "ours"
	p, err := dpop.Parse(newSender(t).proof(t, m, dpop.Type))
	if err != nil {
		t.Fatal(err)
	}
	e := dpop.Expected{Method: method, URL: target, Nonce: func(n string) bool { return n == "ours" }}
	if err := p.Check(e, now); err != nil {
		t.Error(err)
	}
	e.Nonce = func(string) bool { return false }
	var f *dpop.Fault
	if err := p.Check(e, now); !errors.As(err, &f) || f.Code() != dpop.CodeUseNonce {
		t.Errorf("%v", err)
	}
	if err := p.Check(dpop.Expected{Method: "PUT", URL: target}, now); !errors.As(err, &f) || f.Code() != dpop.CodeInvalidProof {
		t.Errorf("%v", err)
	}
}

func TestThereIsOneProofOrNone(t *testing.T) {
	if _, there, err := dpop.Sole(nil); there || err != nil {
		t.Error("no field is a proof")
	}
	if text, there, err := dpop.Sole([]string{"a"}); text != "a" || !there || err != nil {
		t.Error("one field is none")
	}
	for _, values := range [][]string{{"a", "a"}, {"a", ""}, {"", "a"}, {"", ""}, {""}} {
		_, there, err := dpop.Sole(values)
		if !there {
			t.Errorf("%q is no proof at all", values)
		}
		wants(t, fmt.Sprintf("%q", values), "DPoP", err)
	}
}

func TestURLsAreComparedInOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example":              "https://a.example/",
		"HTTPS://A.Example/":             "https://a.example/",
		"https://a.example:443/x":        "https://a.example/x",
		"https://a.example:/x":           "https://a.example/x",
		"http://a.example:80":            "http://a.example/",
		"http://a.example:443/":          "http://a.example:443/",
		"https://a.example:4430/":        "https://a.example:4430/",
		"https://[2001:DB8::1]:443/":     "https://[2001:db8::1]/",
		"https://a.example/%7euser/%c3":  "https://a.example/~user/%C3",
		"https://a.example/a%2fb":        "https://a.example/a%2Fb",
		"https://a.example/a?b=/../c#d":  "https://a.example/a",
		"https://a.example?b":            "https://a.example/",
		"https://a.example/a//b":         "https://a.example/a//b",
		"https://a.example/a;v=1/b,c":    "https://a.example/a;v=1/b,c",
		"https://a.example/.../..hidden": "https://a.example/.../..hidden",
	} {
		if got, err := dpop.NormalizeURL(text); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "/x", "//a.example/x", "a.example", "https:", "https:///x", "https://:443/", "https://a@b.example/", "https://a.example/%zz", "https://a.example/%2",
		"https://a.example/.", "https://a.example/..", "https://a.example/a/./b", "https://a.example/%2e%2E", "mailto:a@b.example", "javascript:1", "https://a b/",
	} {
		if got, err := dpop.NormalizeURL(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

// ledger is the real one, in memory.
type ledger struct{ *replay.Memory }

func (l ledger) Claim(ctx context.Context, n dpop.Nonce) error {
	return l.Memory.Claim(ctx, replay.Nonce{Scope: n.Scope, Value: n.Value, Stamp: n.Stamp, LastValid: n.LastValid})
}

func TestThreat08_OfManyThatSendOneProofAtOnceOneIsServed(t *testing.T) {
	m := claims()
	m["iat"] = time.Now().Unix()
	p, err := dpop.Parse(newSender(t).proof(t, m, dpop.Type))
	if err != nil {
		t.Fatal(err)
	}
	other, err := dpop.Parse(newSender(t).proof(t, m, dpop.Type))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := replay.NewMemory(replay.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := ledger{memory}
	var served atomic.Int64
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			switch err := p.Spend(t.Context(), l); {
			case err == nil:
				served.Add(1)
			case !errors.Is(err, keystile.ErrReplayed):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if served.Load() != 1 {
		t.Errorf("%d were served", served.Load())
	}
	if err := other.Spend(t.Context(), l); err != nil {
		t.Errorf("the same id under another key: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(rfcToken)
	f.Add(rfcResource)
	f.Add(newSender(f).proof(f, claims(), dpop.Type))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := dpop.Parse(text)
		var fault *dpop.Fault
		if err != nil {
			if !errors.As(err, &fault) || fault.Field == "" {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if len(p.Thumbprint) != 43 || len(p.ID) < 8 || p.IssuedAt.IsZero() || p.Method == "" || p.URL == "" {
			t.Errorf("%q: %+v", text, p)
		}
	})
}

func FuzzNormalizeURL(f *testing.F) {
	f.Add("https://a.example:443/%7e?x#y")
	f.Fuzz(func(t *testing.T, text string) {
		once, err := dpop.NormalizeURL(text)
		if err != nil {
			return
		}
		if twice, err := dpop.NormalizeURL(once); err != nil || twice != once {
			t.Errorf("%q: %q and then %q, %v", text, once, twice, err)
		}
	})
}

func BenchmarkParseAndCheck(b *testing.B) {
	proof := newSender(b).proof(b, claims(), dpop.Type)
	b.ReportAllocs()
	for b.Loop() {
		p, err := dpop.Parse(proof)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Check(dpop.Expected{Method: method, URL: target, Token: token}, now); err != nil {
			b.Fatal(err)
		}
	}
}
