package sessionjwt_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/sessionjwt"
)

func TestThreat01_OnlyOurHeadersInTheirOwnFormAreRead(t *testing.T) {
	w := newWorld(t, nil)
	body := strings.Split(w.ona(acmeSession), ".")[1]
	claims := string(must(base64.RawURLEncoding.DecodeString(body))(t))
	for name, header := range map[string]string{
		"none":                     `{"alg":"none","typ":"JWT"}`,
		"none in other case":       `{"alg":"NonE"}`,
		"another HMAC":             `{"alg":"HS512","typ":"JWT"}`,
		"PSS":                      `{"alg":"PS256","kid":"k"}`,
		"RS256 without kid":        `{"alg":"RS256","typ":"JWT"}`,
		"EdDSA without kid":        `{"alg":"EdDSA","typ":"JWT"}`,
		"HS256 with kid":           `{"alg":"HS256","typ":"JWT","kid":"x"}`,
		"kid injection: a path":    `{"alg":"HS256","kid":"../../../dev/null"}`,
		"kid injection: SQL":       `{"alg":"HS256","kid":"x' UNION SELECT 'key"}`,
		"jku":                      `{"alg":"HS256","jku":"https://evil.example/jwks"}`,
		"jwk":                      `{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`,
		"x5u":                      `{"alg":"HS256","x5u":"https://evil.example"}`,
		"x5c":                      `{"alg":"HS256","x5c":["AA"]}`,
		"x5t":                      `{"alg":"HS256","x5t":"AA"}`,
		"crit":                     `{"alg":"HS256","crit":["exp"]}`,
		"b64":                      `{"alg":"HS256","b64":false,"crit":["b64"]}`,
		"zip":                      `{"alg":"HS256","zip":"DEF"}`,
		"nested":                   `{"alg":"HS256","cty":"JWT"}`,
		"an access token's type":   `{"alg":"HS256","typ":"at+jwt"}`,
		"a logout token's type":    `{"alg":"HS256","typ":"logout+jwt"}`,
		"a proof's type":           `{"alg":"HS256","typ":"dpop+jwt"}`,
		"PBES2":                    `{"alg":"PBES2-HS256+A128KW","p2c":1000000000,"p2s":"AA","enc":"A128GCM"}`,
		"a member that is unknown": `{"alg":"HS256","typ":"JWT","x":1}`,
	} {
		t.Log(name)
		w.wants(forge(header, claims), "malformed")
	}
	// No typ, and typ in other case, are the same token to us.
	w.wants(forge(`{"alg":"HS256"}`, claims), "")
	w.wants(forge(`{"alg":"HS256","typ":"jwt"}`, claims), "")
}

func TestThreat01_ATokenOfOneFormIsNoneOfAnother(t *testing.T) {
	w := newWorld(t, nil)
	w.rotate(keystile.RS256, "")
	ona, standard := w.ona(acmeSession), w.standard(acmeSession)
	onaParts, standardParts := strings.Split(ona, "."), strings.Split(standard, ".")
	claims := func(parts []string) string { return string(must(base64.RawURLEncoding.DecodeString(parts[1]))(t)) }
	// Whoever has the shared secret signs the claims of a standard token with it.
	w.wants(forge(`{"alg":"HS256","typ":"JWT"}`, claims(standardParts)), keystile.ReasonSignatureInvalid)
	// Headers, payloads and signatures of good tokens, put together anew.
	for _, h := range []string{onaParts[0], standardParts[0]} {
		for _, p := range []string{onaParts[1], standardParts[1]} {
			for _, s := range []string{onaParts[2], standardParts[2]} {
				mixed := h + "." + p + "." + s
				if mixed == ona || mixed == standard {
					w.wants(mixed, "")
					continue
				}
				w.wants(mixed, keystile.ReasonSignatureInvalid)
			}
		}
	}
	// The header of each key over the signature of each other.
	for _, k := range w.set.Keys() {
		for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
			head := part(`{"alg":"` + algorithm + `","kid":"` + k.ID + `","typ":"JWT"}`)
			if head == standardParts[0] {
				continue
			}
			w.wants(head+"."+standardParts[1]+"."+standardParts[2], keystile.ReasonSignatureInvalid)
		}
	}
}

func TestThreat02_WhoKnowsTheSharedSecretCanMakeNoTokenOfTheirOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.add("ses_of_an_admin", "acme")
	token := w.ona(acmeSession)
	claims := claimsOf(t, token)
	issued, expires, id := number(t, claims["iat"]), number(t, claims["exp"]), fmt.Sprint(claims["jti"])
	for name, change := range map[string]func(map[string]any){
		"another session": func(c map[string]any) { c["sid"] = "ses_of_an_admin" },
		"a later end":     func(c map[string]any) { c["exp"] = expires + 86400 },
		"an earlier time": func(c map[string]any) { c["iat"] = issued - 1 },
		"another id":      func(c map[string]any) { c["jti"] = strings.Repeat("A", 38) },
		"a plain id":      func(c map[string]any) { c["jti"] = "1" },
		"a cut id":        func(c map[string]any) { c["jti"] = id[:37] },
	} {
		t.Log(name)
		w.wants(with(t, token, change), keystile.ReasonSignatureInvalid)
	}
	if w.reads != 0 {
		t.Errorf("forged tokens read the store %d times", w.reads)
	}
	// What the token says of the user counts for nothing, whoever wrote it.
	p := w.wants(with(t, token, func(c map[string]any) {
		c["role_id"], c["user_id"], c["customer_ids"], c["scopes"] = "role_admin", "user_other", []string{"all"}, []string{"*:*"}
	}), "")
	if p.Role != "role_analyst" || p.UserID != "user_acme" || !slices.Equal(p.CustomerIDs, []string{"cust-1", "cust-2"}) {
		t.Errorf("%+v", p)
	}
}

func TestThreat02_TheSecretOfOneOrganizationSignsNothingForAnother(t *testing.T) {
	w := newWorld(t, nil)
	w.add("ses_other", "other")
	w.rotate(keystile.HS256, "acme")
	own := w.ona(acmeSession)
	w.wants(own, "")
	w.wants(w.ona("ses_other"), "")
	w.now = w.now.Add(24*time.Hour + time.Second)
	token := w.ona(acmeSession)
	w.wants(token, "")
	// with signs by the general secret: no longer good for acme.
	w.wants(with(t, token, func(map[string]any) {}), keystile.ReasonSignatureInvalid)
}

func TestClaimsMustHaveTheirTypes(t *testing.T) {
	w := newWorld(t, nil)
	token := w.ona(acmeSession)
	for name, change := range map[string]func(map[string]any){
		"exp as text":     func(c map[string]any) { c["exp"] = "1700086400" },
		"exp as fraction": func(c map[string]any) { c["exp"] = 1700086400.5 },
		"exp missing":     func(c map[string]any) { delete(c, "exp") },
		"exp negative":    func(c map[string]any) { c["exp"] = -1 },
		"exp null":        func(c map[string]any) { c["exp"] = nil },
		"exp true":        func(c map[string]any) { c["exp"] = true },
		"exp before iat":  func(c map[string]any) { c["exp"] = 1 },
		"exp huge":        func(c map[string]any) { c["exp"] = float64(1 << 60) },
		"iat as text":     func(c map[string]any) { c["iat"] = "1700000000" },
		"iat missing":     func(c map[string]any) { delete(c, "iat") },
		"nbf as text":     func(c map[string]any) { c["nbf"] = "0" },
		"sid missing":     func(c map[string]any) { delete(c, "sid") },
		"sid empty":       func(c map[string]any) { c["sid"] = "" },
		"sid a list":      func(c map[string]any) { c["sid"] = []string{acmeSession} },
		"sid long":        func(c map[string]any) { c["sid"] = strings.Repeat("s", 65) },
		"jti missing":     func(c map[string]any) { delete(c, "jti") },
		"jti a number":    func(c map[string]any) { c["jti"] = 1 },
		"iss an object":   func(c map[string]any) { c["iss"] = map[string]string{} },
		"aud a list":      func(c map[string]any) { c["aud"] = []string{"a"} },
		"more than we write": func(c map[string]any) {
			for i := range 30 {
				c[strings.Repeat("x", i+1)] = i
			}
		},
	} {
		t.Log(name)
		w.wants(with(t, token, change), "malformed")
	}
	for name, claims := range map[string]string{
		"twice the same": `{"sid":"a","sid":"b","jti":"c","iat":1,"exp":2}`,
		"a list":         `["sid"]`,
		"not JSON":       `sid`,
		"not UTF-8":      "{\"sid\":\"\xff\"}",
		"deep":           `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"empty":          ``,
	} {
		t.Log(name)
		w.wants(forge(`{"alg":"HS256","typ":"JWT"}`, claims), "malformed")
	}
}

func TestATokenOfTomorrowIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.now = w.now.Add(time.Hour)
	w.record[acmeSession].Session.ExpiresAt = w.now.Add(30 * 24 * time.Hour)
	tokens := []string{w.ona(acmeSession), w.standard(acmeSession)}
	w.now = w.now.Add(-61 * time.Second)
	for _, token := range tokens {
		w.wants(token, keystile.ReasonClockSkew)
	}
	w.now = w.now.Add(time.Second) // as far as two servers' clocks may differ
	for _, token := range tokens {
		w.wants(token, "")
	}
}

func TestATokenStandsInAuthorizationAndNowhereElse(t *testing.T) {
	w := newWorld(t, nil)
	token := keystile.Secret(w.ona(acmeSession))
	for name, f := range map[string]keystile.Found{
		"an API key's field": {Header: "X-Api-Key", Value: token},
		"a route's field":    {Header: "X-Token", Value: token},
		"a URL":              {Query: "token", Value: token},
	} {
		if _, err := w.kind.Parse(request(), f); !errors.Is(err, keystile.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, scheme := range []keystile.Scheme{keystile.SchemeNone, keystile.SchemeBearer} {
		if _, err := w.kind.Parse(request(), keystile.Found{Header: "Authorization", Scheme: scheme, Value: token}); err != nil {
			t.Errorf("%q: %v", scheme, err)
		}
	}
}

func TestThreat22_EveryPrefixSuffixAndBitFlipOfATokenIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	for _, token := range []string{w.ona(acmeSession), w.standard(acmeSession)} {
		w.wants(token, "") // remembered
		for i := range token {
			mutants := []string{token[:i], token[i+1:], token[:i] + token[i+1:]}
			for bit := range 8 {
				flipped := []byte(token)
				flipped[i] ^= 1 << bit
				mutants = append(mutants, string(flipped))
			}
			for _, mutant := range mutants {
				if p, err := w.verify(mutant); err == nil && mutant != token {
					t.Fatalf("a mutant at %d is good as %s", i, p.Subject)
				}
			}
		}
	}
}

func TestThreat03_AKeyOutsideOurSetVerifiesNothing(t *testing.T) {
	w, stranger := newWorld(t, nil), newWorld(t, nil)
	// A stranger with the same shared secret, issuer and session id, and keys of their own.
	w.wants(stranger.standard(acmeSession), keystile.ReasonSignatureInvalid)
	w.wants(stranger.ona(acmeSession), keystile.ReasonSignatureInvalid)
	// Even one whose token ids are ours.
	minter := must(sessionjwt.NewMinter(sessionjwt.MinterOptions{Keys: stranger.keys, IDs: w.ids, Issuer: issuer, Now: func() time.Time { return w.now }}))(t)
	r := w.record[acmeSession]
	token, _, err := minter.Standard(t.Context(), r.Session, r.User, "", 0)
	w.wants(must(token, err)(t).Reveal(), keystile.ReasonSignatureInvalid)
}

func FuzzParse(f *testing.F) {
	w := newWorld(f, nil)
	minted := []string{w.ona(acmeSession), w.standard(acmeSession)}
	f.Add(minted[0])
	f.Add(minted[1])
	standard := strings.Split(minted[1], ".")[0]
	f.Add(forge(`{"alg":"none"}`, `{}`))
	f.Add(forge(`{"alg":"HS256","typ":"JWT"}`, `{"sid":"a","jti":"b","iat":1,"exp":2,"nbf":0,"iss":"i","aud":"a"}`))
	good := map[string]bool{minted[0]: true, minted[1]: true}
	f.Fuzz(func(t *testing.T, text string) {
		presented, err := w.kind.Parse(request(), found(text))
		if err != nil {
			if !errors.Is(err, keystile.ErrMalformed) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		p, err := w.kind.Verify(t.Context(), presented)
		if err != nil && !errors.Is(err, keystile.ErrRejected) || err == nil && p.CredentialID != acmeSession {
			t.Errorf("%q is %+v, %v", text, p, err)
		}
		if err == nil && !good[text] && strings.HasPrefix(text, standard) {
			t.Errorf("%q was not minted", text)
		}
	})
}
