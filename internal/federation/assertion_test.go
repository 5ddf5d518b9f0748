package federation_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/federation"
)

const (
	ours  = "https://auth.example.com"
	token = ours + "/oauth/token"
)

// assertion are the claims of one that is good now.
func (w *world) assertion() map[string]any {
	c := w.good()
	c["aud"], c["jti"] = ours, "a-1"
	return c
}

func (w *world) assert(organization string, text keystile.Secret) (federation.Assertion, error) {
	w.t.Helper()
	return w.Assertion(context.Background(), organization, []string{ours, token}, text)
}

func TestThreat05_AnAssertionIsOfOneProviderOfTheOrganisationAndForUsAlone(t *testing.T) {
	s := newSigner(t, keystile.ES256, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	now := w.now.Unix()
	for name, change := range map[string]map[string]any{
		"as it should be": {}, "for the token endpoint": {"aud": token}, "for us in a list": {"aud": []string{ours}}, "five minutes ahead": {"exp": now + 300},
	} {
		claims := w.assertion()
		maps.Copy(claims, change)
		got, err := w.assert("acme", s.sign(t, claims, nil))
		if err != nil || got.Subject != "person-1" || got.Username != "ann@acme.example" || got.Provider.Name != sso || got.ID != "a-1" || got.ExpiresAt.Unix() != claims["exp"] {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	without := w.assertion()
	delete(without, "jti")
	if got, err := w.assert("acme", s.sign(t, without, nil)); err != nil || got.ID != "" {
		t.Errorf("without jti: %+v %v", got, err)
	}
	for name, change := range map[string]map[string]any{
		"an ID token for the provider's client": {"aud": "keystile"},
		"for somebody else":                     {"aud": "https://other.example.com"},
		"for us and for somebody else":          {"aud": []string{ours, "https://other.example.com"}},
		"for us twice over":                     {"aud": []string{ours, token}},
		"for us with a slash":                   {"aud": ours + "/"},
		"for nobody":                            {"aud": nil},
		"audience a number":                     {"aud": 1},
		"audience an empty list":                {"aud": []string{}},
		"another issuer":                        {"iss": "https://evil.example.com"},
		"issuer with a slash":                   {"iss": issuer + "/"},
		"no issuer":                             {"iss": nil},
		"issuer a list":                         {"iss": []string{issuer}},
		"ended":                                 {"exp": now},
		"no end":                                {"exp": nil},
		"end as text":                           {"exp": "2000000000"},
		"more than five minutes ahead":          {"exp": now + 301},
		"not yet":                               {"nbf": now + 61},
		"made in the future":                    {"iat": now + 61},
		"no subject":                            {"sub": nil},
		"subject a number":                      {"sub": 1},
		"no name":                               {"email": nil},
		"address not verified":                  {"email_verified": false},
		"a role that it may not assert":         {"role": "role_admin"},
		"jti empty":                             {"jti": ""},
		"jti a number":                          {"jti": 1},
		"jti too long":                          {"jti": strings.Repeat("j", 256)},
		"an event":                              {"events": map[string]any{}},
		"proven in the future":                  {"auth_time": now + 3600},
	} {
		claims := w.assertion()
		for claim, value := range change {
			if claims[claim] = value; value == nil {
				delete(claims, claim)
			}
		}
		if got, err := w.assert("acme", s.sign(t, claims, nil)); !errors.Is(err, federation.ErrInvalidToken) || got.Subject != "" {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	stranger := newSigner(t, keystile.ES256, "k1")
	shared := newSigner(t, keystile.HS256, "k1")
	good := s.sign(t, w.assertion(), nil)
	for name, c := range map[string]struct {
		organization string
		text         keystile.Secret
	}{
		"another organisation's client": {"other", good},
		"no organisation":               {"", good},
		"another's key":                 {"acme", stranger.sign(t, w.assertion(), nil)},
		"another algorithm":             {"acme", shared.sign(t, w.assertion(), nil)},
		"no algorithm":                  {"acme", keystile.Secret("eyJhbGciOiJub25lIn0." + strings.Split(good.Reveal(), ".")[1] + ".")},
		"an access token":               {"acme", s.sign(t, w.assertion(), map[jose.HeaderKey]any{"typ": "at+jwt"})},
		"a logout token":                {"acme", s.sign(t, w.assertion(), map[jose.HeaderKey]any{"typ": "logout+jwt"})},
		"no token":                      {"acme", "x"},
		"nothing":                       {"acme", ""},
	} {
		if got, err := w.assert(c.organization, c.text); !errors.Is(err, federation.ErrInvalidToken) || got.Subject != "" {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestThreat05_AnIssuerOfSeveralProvidersIsNobody(t *testing.T) {
	s := newSigner(t, keystile.ES256, "k1")
	w := newWorld(t)
	w.provider(sso, s)
	w.provider("second", s)
	text := s.sign(t, w.assertion(), nil)
	if _, err := w.assert("acme", text); !errors.Is(err, federation.ErrInvalidToken) {
		t.Errorf("two: %v", err)
	}
	w.edit("second", func(p *keystile.IdentityProvider) { p.Disabled = true })
	if got, err := w.assert("acme", text); err != nil || got.Provider.Name != sso {
		t.Errorf("two, one disabled: %+v %v", got, err)
	}
	w.edit("second", func(p *keystile.IdentityProvider) { p.Disabled, p.OrganizationID = false, "other" })
	if got, err := w.assert("acme", text); err != nil || got.Provider.Name != sso {
		t.Errorf("another organisation has one, too: %+v %v", got, err)
	}
	w.edit(sso, func(p *keystile.IdentityProvider) { p.Disabled = true })
	if _, err := w.assert("acme", text); !errors.Is(err, federation.ErrInvalidToken) {
		t.Errorf("disabled: %v", err)
	}
	w.broken = true
	if _, err := w.assert("acme", text); !errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, keystile.ErrRejected) {
		t.Errorf("the store is away: %v", err)
	}
}

func FuzzAssertion(f *testing.F) {
	s := newSigner(f, keystile.HS256, "")
	w := newWorld(f)
	w.provider(sso)
	w.edit(sso, func(p *keystile.IdentityProvider) {
		p.JWKSURL, p.Algorithms, p.SealedSecret = "", []keystile.SigningAlgorithm{keystile.HS256}, []byte(keystile.ProviderSecretPlace(sso)+"="+secret)
	})
	f.Add(s.sign(f, w.assertion(), nil).Reveal())
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := w.Assertion(t.Context(), "acme", []string{ours, token}, keystile.Secret(text))
		switch {
		case err != nil && !errors.Is(err, federation.ErrInvalidToken):
			t.Errorf("%q: %v", text, err)
		case err == nil && (got.Subject == "" || got.ExpiresAt.Before(w.now) || got.Provider.OrganizationID != "acme"):
			t.Errorf("%q: %+v", text, got)
		}
	})
}
