package federation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/federation"
	"keystile.dev/keystile/internal/jws"
)

const (
	sso    = "external-sso"
	issuer = "https://sso.example.com"
	secret = "the secret of a provider of more than thirty-two bytes"
)

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// signer is one key of an issuer.
type signer struct {
	alg     keystile.SigningAlgorithm
	kid     string
	private any
	public  crypto.PublicKey
}

func newSigner(t testing.TB, alg keystile.SigningAlgorithm, kid string) signer {
	t.Helper()
	s := signer{alg: alg, kid: kid}
	switch alg {
	case keystile.RS256:
		k := must(rsa.GenerateKey(rand.Reader, 2048))(t)
		s.private, s.public = k, &k.PublicKey
	case keystile.ES256:
		k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
		s.private, s.public = k, &k.PublicKey
	case keystile.EdDSA:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		s.private, s.public = must(private, err)(t), public
	case keystile.HS256:
		s.private = []byte(secret)
	}
	return s
}

// sign is a token of some claims; header members are added to its own.
func (s signer) sign(t testing.TB, claims map[string]any, header map[jose.HeaderKey]any) keystile.Secret {
	t.Helper()
	o := (&jose.SignerOptions{ExtraHeaders: header})
	key := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.alg), Key: s.private}
	if s.kid != "" {
		key.Key = jose.JSONWebKey{Key: s.private, KeyID: s.kid}
	}
	signed := must(must(jose.NewSigner(key, o))(t).Sign(must(json.Marshal(claims))(t)))(t)
	return keystile.Secret(must(signed.CompactSerialize())(t))
}

func keySet(t testing.TB, signers ...signer) []byte {
	t.Helper()
	var keys []*jws.Key
	for _, s := range signers {
		keys = append(keys, must(jws.NewPublic(s.kid, s.public))(t))
	}
	return must(jws.WriteSet(keys))(t)
}

// world is a store of providers, and what their endpoints serve.
type world struct {
	t         testing.TB
	mu        sync.Mutex
	providers map[string]keystile.IdentityProvider
	org       keystile.Organization
	served    map[string][]byte
	down      bool
	broken    bool
	fetches   atomic.Int64
	now       time.Time
	slow      time.Duration // how long a fetch takes
	*federation.Verifier
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, providers: map[string]keystile.IdentityProvider{}, served: map[string][]byte{}, now: time.Unix(1_700_000_000, 0),
		org: keystile.Organization{ID: "acme"},
	}
	w.Verifier = must(federation.New(federation.Options{
		Find: func(_ context.Context, name string) (keystile.IdentityProvider, keystile.Organization, error) {
			if w.broken {
				return keystile.IdentityProvider{}, keystile.Organization{}, errors.New("disk on fire")
			}
			p, ok := w.providers[name]
			if !ok {
				return p, w.org, fmt.Errorf("provider: %w", keystile.ErrNotFound)
			}
			org := w.org
			org.ID = p.OrganizationID
			return p, org, nil
		},
		Of: func(_ context.Context, organizationID string) ([]keystile.IdentityProvider, error) {
			var list []keystile.IdentityProvider
			for _, p := range w.providers {
				if p.OrganizationID == organizationID {
					list = append(list, p)
				}
			}
			if w.broken {
				return nil, errors.New("disk on fire")
			}
			return list, nil
		},
		Open: func(sealed []byte, place string) ([]byte, error) {
			text, ok := strings.CutPrefix(string(sealed), place+"=")
			if !ok {
				return nil, errors.New("sealed for another place")
			}
			return []byte(text), nil
		},
		Fetch: func(_ context.Context, url string, limit int64) ([]byte, error) {
			w.fetches.Add(1)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.now = w.now.Add(w.slow)
			data, ok := w.served[url]
			if w.down || !ok || int64(len(data)) > limit {
				return nil, errors.New("the endpoint is away")
			}
			return data, nil
		},
		Now: func() time.Time { return w.now },
	}))(t)
	return w
}

// provider adds a provider whose keys are at a URL of its own.
func (w *world) provider(name string, signers ...signer) keystile.IdentityProvider {
	w.t.Helper()
	p := keystile.IdentityProvider{
		Name: name, OrganizationID: "acme", Roles: []string{"role_analyst"}, Issuer: issuer, Audience: "keystile",
		JWKSURL: "https://" + name + ".example.com/jwks", Claims: map[string]string{"username": "email", "role_id": "role"},
	}
	for _, s := range signers {
		if !slices.Contains(p.Algorithms, s.alg) {
			p.Algorithms = append(p.Algorithms, s.alg)
		}
	}
	w.providers[name] = p
	w.serve(p.JWKSURL, signers...)
	return p
}

func (w *world) serve(url string, signers ...signer) {
	w.t.Helper()
	data := keySet(w.t, signers...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served[url] = data
}

func (w *world) edit(name string, change func(*keystile.IdentityProvider)) {
	p := w.providers[name]
	change(&p)
	w.providers[name] = p
	w.Apply(keystile.Change{Kind: keystile.ChangeProvider, ID: name})
}

// good are the claims of a token that is good now.
func (w *world) good() map[string]any {
	now := w.now.Unix()
	return map[string]any{
		"iss": issuer, "aud": "keystile", "sub": "person-1", "iat": now, "nbf": now, "exp": now + 300,
		"email": "ann@acme.example", "email_verified": true, "name": "Ann", "role": "role_analyst",
	}
}

func (w *world) wants(good bool, provider string, token keystile.Secret) federation.Identity {
	w.t.Helper()
	id, err := w.Verify(context.Background(), provider, token)
	if good && err != nil || !good && (!errors.Is(err, federation.ErrInvalidToken) || !errors.Is(err, keystile.ErrRejected)) {
		w.t.Errorf("good %v, got %v", good, err)
	}
	if !good && id.Subject != "" {
		w.t.Errorf("a refusal names %s", id.Subject)
	}
	return id
}

func (w *world) cannotTell(provider string, token keystile.Secret) {
	w.t.Helper()
	if _, err := w.Verify(context.Background(), provider, token); !errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, keystile.ErrRejected) {
		w.t.Errorf("got %v", err)
	}
}

func TestATokenOfEveryAlgorithmAndSourceOfKeysSignsIn(t *testing.T) {
	for _, alg := range []keystile.SigningAlgorithm{keystile.RS256, keystile.ES256, keystile.EdDSA} {
		s := newSigner(t, alg, "k1")
		der := must(x509.MarshalPKIXPublicKey(s.public))(t)
		for source, change := range map[string]func(*keystile.IdentityProvider){
			"a URL": func(*keystile.IdentityProvider) {},
			"a set": func(p *keystile.IdentityProvider) { p.JWKSURL, p.JWKS = "", string(keySet(t, s)) },
			"a public key": func(p *keystile.IdentityProvider) {
				p.JWKSURL, p.PublicKey = "", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			},
		} {
			w := newWorld(t)
			w.provider(sso, s)
			w.edit(sso, change)
			id := w.wants(true, sso, s.sign(t, w.good(), nil))
			if id.Subject != "person-1" || id.Issuer != issuer || id.Username != "ann@acme.example" || id.Email != "ann@acme.example" || id.Name != "Ann" ||
				id.RoleID != "role_analyst" || !id.EmailVerified || id.Provider.Name != sso {
				t.Errorf("%s of %s: %+v", alg, source, id)
			}
		}
	}
	w := newWorld(t)
	s := newSigner(t, keystile.HS256, "")
	w.provider(sso)
	w.edit(sso, func(p *keystile.IdentityProvider) {
		p.JWKSURL, p.Algorithms, p.SealedSecret = "", []keystile.SigningAlgorithm{keystile.HS256}, []byte(keystile.ProviderSecretPlace(sso)+"="+secret)
	})
	w.wants(true, sso, s.sign(t, w.good(), nil))
	s.kid = "any"
	w.wants(true, sso, s.sign(t, w.good(), nil))
}

func TestThreat05_TheExchangeMatrix(t *testing.T) {
	s := newSigner(t, keystile.ES256, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	w.wants(true, sso, s.sign(t, w.good(), nil))
	now := w.now.Unix()
	for name, change := range map[string]map[string]any{
		"wrong audience":                   {"aud": "other"},
		"audience in other case":           {"aud": "Keystile"},
		"audience missing":                 {"aud": nil},
		"audience a number":                {"aud": 1},
		"audience an object":               {"aud": map[string]any{"keystile": true}},
		"audiences without ours":           {"aud": []string{"a", "b"}},
		"audience with a part of ours":     {"aud": "keystile2"},
		"several audiences and no azp":     {"aud": []string{"keystile", "other"}},
		"several audiences, another's azp": {"aud": []string{"keystile", "other"}, "azp": "other"},
		"wrong issuer":                     {"iss": "https://sso.example.com.evil.example"},
		"issuer with a slash":              {"iss": issuer + "/"},
		"issuer in other case":             {"iss": "https://SSO.example.com"},
		"issuer missing":                   {"iss": nil},
		"issuer a list":                    {"iss": []string{issuer}},
		"ended":                            {"exp": now},
		"ended long ago":                   {"exp": 1},
		"exp missing":                      {"exp": nil},
		"exp as text":                      {"exp": fmt.Sprint(now + 300)},
		"exp a boolean":                    {"exp": true},
		"exp negative":                     {"exp": -1},
		"exp huge":                         {"exp": 1e300},
		"not yet":                          {"nbf": now + 61},
		"nbf as text":                      {"nbf": fmt.Sprint(now)},
		"issued tomorrow":                  {"iat": now + 86400},
		"subject missing":                  {"sub": nil},
		"subject empty":                    {"sub": ""},
		"subject a number":                 {"sub": 1},
		"subject too long":                 {"sub": strings.Repeat("s", 256)},
		"subject with a line end":          {"sub": "a\nb"},
		"subject with a zero":              {"sub": "a\x00"},
		"address not verified":             {"email_verified": false},
		"address verified as text":         {"email_verified": "true"},
		"address not verified as text":     {"email_verified": "false"},
		"address verified as number":       {"email_verified": 1},
		"address verified null":            {"email_verified": json.RawMessage("null")},
		"address missing":                  {"email": nil},
		"address empty":                    {"email": ""},
		"address a list":                   {"email": []string{"ann@acme.example"}},
		"address an object":                {"email": map[string]any{"a": 1}},
		"address with two ats":             {"email": "ann@acme.example@evil.example"},
		"address without one":              {"email": "ann"},
		"a role that it may not assert":    {"role": "role_admin"},
		"a role in other case":             {"role": "Role_Analyst"},
		"several roles":                    {"role": []string{"role_analyst", "role_admin"}},
		"a role that is a number":          {"role": 1},
		"roles that are numbers":           {"role": []int{1}},
		"a logout token's event":           {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
	} {
		t.Log(name)
		claims := w.good()
		for claim, value := range change {
			if value == nil {
				delete(claims, claim)
			} else {
				claims[claim] = value
			}
		}
		w.wants(false, sso, s.sign(t, claims, nil))
	}
	for name, change := range map[string]map[string]any{
		"several audiences and our azp": {"aud": []string{"other", "keystile"}, "azp": "keystile"},
		"one audience as a list":        {"aud": []string{"keystile"}},
		"a fraction of a second":        {"exp": float64(now) + 0.5 + 10},
		"one role as a list":            {"role": []string{"role_analyst"}},
		"no role":                       {"role": []string{}},
		"within the skew of clocks":     {"nbf": now + 60, "iat": now + 60},
	} {
		t.Log(name)
		claims := w.good()
		maps.Copy(claims, change)
		w.wants(true, sso, s.sign(t, claims, nil))
	}
}

func TestThreat05_ADisabledOrForgottenProviderSignsNobodyIn(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	token := s.sign(t, w.good(), nil)
	w.wants(true, sso, token)
	w.edit(sso, func(p *keystile.IdentityProvider) { p.Disabled = true })
	w.wants(false, sso, token)
	w.edit(sso, func(p *keystile.IdentityProvider) { p.Disabled = false })
	w.org.Disabled = true
	w.wants(false, sso, token)
	w.org.Disabled = false
	w.wants(true, sso, token)
	for _, name := range []string{"", "external", "EXTERNAL-SSO", "external-sso ", "../external-sso", "none"} {
		w.wants(false, name, token)
	}
	delete(w.providers, sso)
	w.wants(false, sso, token)
	w.broken = true
	w.cannotTell(sso, token)
}

func TestThreat05_AProviderWithoutIssuerAudienceAlgorithmOrKeysSignsNobodyIn(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	for name, change := range map[string]func(*keystile.IdentityProvider){
		"issuer":     func(p *keystile.IdentityProvider) { p.Issuer = "" },
		"audience":   func(p *keystile.IdentityProvider) { p.Audience = "" },
		"algorithms": func(p *keystile.IdentityProvider) { p.Algorithms = nil },
	} {
		w := newWorld(t)
		w.provider(sso, s)
		w.edit(sso, change)
		t.Log(name)
		claims := w.good()
		claims["iss"], claims["aud"] = w.providers[sso].Issuer, w.providers[sso].Audience
		w.wants(false, sso, s.sign(t, claims, nil))
	}
	w := newWorld(t)
	w.provider(sso, s)
	w.edit(sso, func(p *keystile.IdentityProvider) { p.JWKSURL = "" })
	w.cannotTell(sso, s.sign(t, w.good(), nil))
	w.edit(sso, func(p *keystile.IdentityProvider) { p.SealedSecret = []byte("moved from another row") })
	w.cannotTell(sso, s.sign(t, w.good(), nil))
}

func TestThreat01_AProvidersKeysVerifyTheirOwnAlgorithmAlone(t *testing.T) {
	rs := newSigner(t, keystile.RS256, "k1")
	w := newWorld(t)
	w.provider(sso, rs)
	w.edit(sso, func(p *keystile.IdentityProvider) {
		p.Algorithms = []keystile.SigningAlgorithm{keystile.RS256, keystile.HS256, keystile.ES256}
	})
	der := must(x509.MarshalPKIXPublicKey(rs.public))(t)
	for _, key := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), keySet(t, rs), []byte(secret)} {
		w.wants(false, sso, signer{alg: keystile.HS256, kid: "k1", private: key}.sign(t, w.good(), nil))
	}
	w.wants(false, sso, newSigner(t, keystile.ES256, "k1").sign(t, w.good(), nil))
	w.wants(false, sso, newSigner(t, keystile.RS256, "k1").sign(t, w.good(), nil))
	w.edit(sso, func(p *keystile.IdentityProvider) { p.Algorithms = []keystile.SigningAlgorithm{keystile.ES256} })
	w.wants(false, sso, rs.sign(t, w.good(), nil))
	// A key set in the store that holds a secret verifies nothing with it.
	oct := fmt.Sprintf(`{"keys":[{"kty":"oct","alg":"HS256","kid":"k1","k":"YSBzZWNyZXQgdGhhdCBzb21lYm9keSBwdWJsaXNoZWQ"},%s]}`, strings.TrimSuffix(strings.TrimPrefix(string(keySet(t, rs)), `{"keys":[`), `]}`))
	w.edit(sso, func(p *keystile.IdentityProvider) {
		p.JWKSURL, p.JWKS, p.Algorithms = "", oct, []keystile.SigningAlgorithm{keystile.RS256, keystile.HS256}
	})
	w.wants(true, sso, rs.sign(t, w.good(), nil))
	w.wants(false, sso, signer{alg: keystile.HS256, kid: "k1", private: []byte("a secret that somebody published")}.sign(t, w.good(), nil))
}

func TestThreat02_TokensOfOtherTypesSayNothingOfWhoSomebodyIs(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	for _, typ := range []string{"logout+jwt", "secevent+jwt", "dpop+jwt", "token-introspection+jwt", "oauth-authz-req+jwt", "vp+jwt", "kb+jwt", "JOSE"} {
		w.wants(false, sso, s.sign(t, w.good(), map[jose.HeaderKey]any{"typ": typ}))
	}
	for _, typ := range []string{"JWT", "jwt", "at+jwt", "application/at+jwt"} {
		w.wants(true, sso, s.sign(t, w.good(), map[jose.HeaderKey]any{"typ": typ}))
	}
}

func TestThreat03_TwoIssuersWhoseKeysHaveOneNameNeverMix(t *testing.T) {
	a, b := newSigner(t, keystile.EdDSA, "same"), newSigner(t, keystile.EdDSA, "same")
	w := newWorld(t)
	w.provider("one", a)
	w.provider("two", b)
	w.edit("two", func(p *keystile.IdentityProvider) { p.OrganizationID = "other" })
	ofA, ofB := a.sign(t, w.good(), nil), b.sign(t, w.good(), nil)
	for range 3 { // cold and warm
		w.wants(true, "one", ofA)
		w.wants(true, "two", ofB)
		w.wants(false, "one", ofB)
		w.wants(false, "two", ofA)
		w.now = w.now.Add(31 * time.Second)
	}
	// One URL for both is asked for each.
	w.edit("two", func(p *keystile.IdentityProvider) { p.JWKSURL = w.providers["one"].JWKSURL })
	w.wants(true, "two", a.sign(t, w.good(), nil))
	w.wants(false, "two", b.sign(t, w.good(), nil))
}

func TestThreat03_NothingInATokenChoosesTheKeys(t *testing.T) {
	s, evil := newSigner(t, keystile.EdDSA, "k1"), newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	w.serve("https://evil.example/jwks", evil)
	for name, value := range map[jose.HeaderKey]any{
		"jku": "https://evil.example/jwks", "x5u": "https://evil.example/jwks", "jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "AA"},
		"crit": []string{"jku"}, "zip": "DEF", "cty": "JWT",
	} {
		for _, by := range []signer{evil, s} {
			w.wants(false, sso, by.sign(t, w.good(), map[jose.HeaderKey]any{name: value}))
		}
	}
	for _, kid := range []string{"https://evil.example/jwks", "../evil", "k1\u0000", "k1'; DROP TABLE"} {
		evil.kid = kid
		w.wants(false, sso, evil.sign(t, w.good(), nil))
	}
	claims := w.good()
	claims["jwks_uri"], claims["jku"] = "https://evil.example/jwks", "https://evil.example/jwks"
	w.wants(true, sso, s.sign(t, claims, nil))
	w.wants(true, sso, s.sign(t, w.good(), map[jose.HeaderKey]any{"x5t": "AA", "x5t#S256": "AA"}))
}

func TestKeysAreFetchedOnceAndAgainForAnUnknownNameAtMostOnceInHalfAMinute(t *testing.T) {
	old, next := newSigner(t, keystile.EdDSA, "k1"), newSigner(t, keystile.EdDSA, "k2")
	w := newWorld(t)
	p := w.provider(sso, old)
	for range 10 {
		w.wants(true, sso, old.sign(t, w.good(), nil))
	}
	if n := w.fetches.Load(); n != 1 {
		t.Fatalf("%d fetches", n)
	}
	w.serve(p.JWKSURL, old, next)
	w.wants(false, sso, next.sign(t, w.good(), nil)) // fetched a moment ago
	w.now = w.now.Add(30 * time.Second)
	w.wants(true, sso, next.sign(t, w.good(), nil))
	if n := w.fetches.Load(); n != 2 {
		t.Fatalf("%d fetches", n)
	}
	for i := range 100 {
		unknown := next
		unknown.kid = fmt.Sprintf("unknown-%d", i)
		w.wants(false, sso, unknown.sign(t, w.good(), nil))
	}
	w.now = w.now.Add(30 * time.Second)
	for i := range 100 {
		unknown := next
		unknown.kid = fmt.Sprintf("unknown-%d", i)
		w.wants(false, sso, unknown.sign(t, w.good(), nil))
	}
	if n := w.fetches.Load(); n != 3 {
		t.Errorf("unknown names led to %d fetches", n)
	}
	// A key that the provider withdraws is gone with the next reading.
	w.serve(p.JWKSURL, next)
	w.now = w.now.Add(15 * time.Minute)
	w.wants(false, sso, old.sign(t, w.good(), nil))
	w.wants(true, sso, next.sign(t, w.good(), nil))
}

func TestWhileTheEndpointIsDownOldKeysCountForAnHourAndThenNobodyIsSignedIn(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	p := w.provider(sso, s)
	w.down = true
	w.cannotTell(sso, s.sign(t, w.good(), nil))
	w.cannotTell(sso, s.sign(t, w.good(), nil))
	if n := w.fetches.Load(); n != 1 {
		t.Errorf("an endpoint that is down was asked %d times at once", n)
	}
	w.down, w.now = false, w.now.Add(5*time.Second)
	w.wants(true, sso, s.sign(t, w.good(), nil))
	fetched := w.now
	w.down = true
	for w.now.Before(fetched.Add(federation.StaleFor)) {
		w.wants(true, sso, s.sign(t, w.good(), nil))
		w.now = w.now.Add(time.Minute)
	}
	w.cannotTell(sso, s.sign(t, w.good(), nil))
	if n := w.fetches.Load(); n > 60 {
		t.Errorf("%d fetches in an hour", n)
	}
	// Rubbish is no key set, and does not replace one.
	w.down, w.now = false, w.now.Add(time.Minute)
	w.wants(true, sso, s.sign(t, w.good(), nil))
	w.served[p.JWKSURL] = []byte(`<html>login</html>`)
	w.now = w.now.Add(16 * time.Minute)
	w.wants(true, sso, s.sign(t, w.good(), nil))
	// A changed provider starts afresh.
	w.Apply(keystile.Change{Kind: keystile.ChangeProvider, ID: sso})
	w.cannotTell(sso, s.sign(t, w.good(), nil))
}

// Each of those who waited for an endpoint that answers nothing would otherwise wait for it once more, one after the other.
func TestThreat13_WhoWaitedForAnEndpointThatHangsIsAnsweredByThatOneFetch(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	w.down, w.slow = true, 5*time.Second
	for range 3 {
		w.cannotTell(sso, s.sign(t, w.good(), nil))
	}
	if n := w.fetches.Load(); n != 1 {
		t.Errorf("%d fetches of an endpoint that hangs", n)
	}
	w.down, w.slow = false, 0
	w.now = w.now.Add(5 * time.Second)
	w.wants(true, sso, s.sign(t, w.good(), nil))
}

func TestManyWhoAskAtOnceAreOneFetch(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	token := s.sign(t, w.good(), nil)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() { w.wants(true, sso, token) })
	}
	wg.Wait()
	if n := w.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestClaimsAreMappedAsTheProviderSays(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	w.edit(sso, func(p *keystile.IdentityProvider) {
		p.Claims = map[string]string{
			"username": "https://sso.example.com/login", "email": "mail", "name": "display", "customer_ids": "customers", "group_id": "group", "skin_id": "skin",
		}
	})
	claims := w.good()
	maps.Copy(claims, map[string]any{
		"https://sso.example.com/login": "ann", "mail": "ann@acme.example", "display": "Ann O'Néill", "customers": []string{"c1", "c2"}, "group": "g1", "skin": "s1",
		"role": "role_admin", // not mapped: it says nothing
	})
	id := w.wants(true, sso, s.sign(t, claims, nil))
	if id.Username != "ann" || id.Email != "ann@acme.example" || id.Name != "Ann O'Néill" || !slices.Equal(id.CustomerIDs, []string{"c1", "c2"}) ||
		id.GroupID != "g1" || id.SkinID != "s1" || id.RoleID != "" {
		t.Errorf("%+v", id)
	}
	for name, change := range map[string]map[string]any{
		"no username":               {"https://sso.example.com/login": ""},
		"customers of other types":  {"customers": []any{"c1", 2}},
		"customers with a null":     {"customers": []any{"c1", nil}},
		"a customer that is no id":  {"customers": []string{"c 1"}},
		"too many customers":        {"customers": slices.Repeat([]string{"c"}, 65)},
		"a group that is no id":     {"group": "a/b"},
		"a group that is a list":    {"group": []string{"g1"}},
		"a name that turns text":    {"display": "Ann\u202e"},
		"a name of 1 kB":            {"display": strings.Repeat("n", 1000)},
		"a skin that is an object":  {"skin": map[string]any{}},
		"customers that are a text": {"customers": map[string]any{}},
	} {
		t.Log(name)
		bad := maps.Clone(claims)
		maps.Copy(bad, change)
		w.wants(false, sso, s.sign(t, bad, nil))
	}
}

func TestAPayloadWithAMemberTwiceIsRefused(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	good := string(must(json.Marshal(w.good()))(t))
	for name, payload := range map[string]string{
		"a second subject": strings.Replace(good, `"sub":"person-1"`, `"sub":"person-1","sub":"person-2"`, 1),
		"a list":           `[` + good + `]`,
		"nothing":          ``,
		"null":             `null`,
		"two":              good + good,
		"not UTF-8":        strings.Replace(good, "Ann", "\xff", 1),
	} {
		t.Log(name)
		signed := must(must(jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: s.private, KeyID: "k1"}}, nil))(t).Sign([]byte(payload)))(t)
		w.wants(false, sso, keystile.Secret(must(signed.CompactSerialize())(t)))
	}
}

func TestThreat33_ARefusalShowsNothingOfTheToken(t *testing.T) {
	s := newSigner(t, keystile.EdDSA, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	claims := w.good()
	claims["role"] = "role_canary"
	token := s.sign(t, claims, nil)
	_, err := w.Verify(t.Context(), sso, token)
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), token.Reveal()[:10]) {
		t.Errorf("%v", err)
	}
}

func FuzzClaims(f *testing.F) {
	s := newSigner(f, keystile.EdDSA, "k1")
	w := newWorld(f)
	w.provider(sso, s)
	w.edit(sso, func(p *keystile.IdentityProvider) { p.Claims["customer_ids"] = "customers" })
	f.Add(must(json.Marshal(w.good()))(f))
	f.Add([]byte(`{"aud":["keystile"],"exp":1e9,"customers":["a",null]}`))
	signing := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: s.private, KeyID: "k1"}}, nil))(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		text := must(must(signing.Sign(payload))(t).CompactSerialize())(t)
		id, err := w.Verify(t.Context(), sso, keystile.Secret(text))
		if err != nil {
			if !errors.Is(err, federation.ErrInvalidToken) {
				t.Errorf("%q: %v", payload, err)
			}
			return
		}
		if id.Subject == "" || id.Username == "" || id.RoleID != "" && id.RoleID != "role_analyst" || id.Issuer != issuer {
			t.Errorf("%q: %+v", payload, id)
		}
	})
}
