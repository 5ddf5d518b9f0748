package jws_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

// proof is a token of p that brings its own key.
func (p pair) proof(t *testing.T, payload string) string {
	t.Helper()
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.alg), Key: p.private}, &jose.SignerOptions{EmbedJWK: true}))(t)
	return must(must(signer.Sign([]byte(payload)))(t).CompactSerialize())(t)
}

func TestAProofIsVerifiedByTheKeyItBringsAndByNoOther(t *testing.T) {
	all := pairs(t)[1:]
	for i, p := range all {
		token, key, err := jws.ParseProof(p.proof(t, `{"a":1}`))
		if err != nil {
			t.Fatalf("%s: %v", p.alg, err)
		}
		if !key.Verify(token) || key.Algorithm() != p.alg || string(token.Payload) != `{"a":1}` {
			t.Errorf("%s is not verified by its own key", p.alg)
		}
		if all[(i+1)%len(all)].key.Verify(token) {
			t.Errorf("%s is verified by another key", p.alg)
		}
		if _, err := jws.Parse(p.proof(t, `{}`)); !errors.Is(err, keystile.ErrMalformed) {
			t.Errorf("%s: a token that brings its key is taken where none is asked for: %v", p.alg, err)
		}
	}
}

func TestThreat01_AProofWithoutAnAsymmetricPublicKeyIsMalformed(t *testing.T) {
	const x = `"x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"`
	if _, _, err := jws.ParseProof(part(`{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256",`+x+`}}`) + "." + part(`{}`) + ".AA"); err != nil {
		t.Fatalf("a good key: %v", err)
	}
	for name, jwk := range map[string]string{
		"missing":           ``,
		"null":              `,"jwk":null`,
		"a text":            `,"jwk":"key"`,
		"a list":            `,"jwk":[]`,
		"empty":             `,"jwk":{}`,
		"a secret":          `,"jwk":{"kty":"oct","k":"AA"}`,
		"a private EC key":  `,"jwk":{"kty":"EC","crv":"P-256",` + x + `,"d":"AA"}`,
		"d by an escape":    `,"jwk":{"kty":"EC","crv":"P-256",` + x + `,"\u0064":"AA"}`,
		"d null":            `,"jwk":{"kty":"EC","crv":"P-256",` + x + `,"d":null}`,
		"a member twice":    `,"jwk":{"kty":"EC","crv":"P-256",` + x + `,` + x + `}`,
		"two keys":          `,"jwk":{"kty":"EC","crv":"P-256",` + x + `},"jwk":{"kty":"EC","crv":"P-256",` + x + `}`,
		"for encryption":    `,"jwk":{"kty":"EC","crv":"P-256",` + x + `,"use":"enc"}`,
		"other algorithm":   `,"jwk":{"kty":"EC","crv":"P-256",` + x + `,"alg":"RS256"}`,
		"off the curve":     `,"jwk":{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`,
		"another curve":     `,"jwk":{"kty":"EC","crv":"P-384",` + x + `}`,
		"a key URL beside":  `,"jku":"https://evil.example","jwk":{"kty":"EC","crv":"P-256",` + x + `}`,
		"short RSA modulus": `,"jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}`,
	} {
		token, key, err := jws.ParseProof(part(`{"alg":"ES256"`+jwk+`}`) + "." + part(`{}`) + ".AA")
		if !errors.Is(err, keystile.ErrMalformed) || token != nil || key != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	secret := mac(`{"alg":"HS256","jwk":{"kty":"oct","k":"`+part(secret)+`"}}`, `{}`, []byte(secret))
	if _, _, err := jws.ParseProof(secret); err == nil {
		t.Error("an HMAC with the secret beside it is a proof")
	}
}

// The published thumbprints: RFC 7638, section 3.1, RFC 8037, appendix A.3, and
// RFC 9449, section 6.1.
func TestThumbprintsAreThePublishedOnes(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	for want, jwk := range map[string]string{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": `{"kty":"RSA","alg":"RS256","kid":"2011-04-29","e":"AQAB","n":"` + n + `"}`,
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I": `{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}`,
	} {
		_, key, err := jws.ParseProof(part(`{"alg":"ES256","jwk":`+jwk+`}`) + "." + part(`{}`) + ".AA")
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if got := must(key.Thumbprint())(t); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if _, err := must(jws.NewSecret(secret))(t).Thumbprint(); err == nil {
		t.Error("a secret shows a thumbprint")
	}
}

func FuzzParseProof(f *testing.F) {
	f.Add(part(`{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}}`) + "." + part(`{}`) + ".AA")
	f.Add(part(`{"alg":"none","jwk":{}}`) + ".e30.AA")
	f.Fuzz(func(t *testing.T, text string) {
		token, key, err := jws.ParseProof(text)
		if err != nil {
			if !errors.Is(err, keystile.ErrMalformed) || token != nil || key != nil {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		thumbprint, err := key.Thumbprint()
		if err != nil || len(thumbprint) != 43 || key.Algorithm() == keystile.HS256 {
			t.Errorf("%q: a key of %s with thumbprint %q: %v", text, key.Algorithm(), thumbprint, err)
		}
		if data, err := jws.WriteSet([]*jws.Key{key}); err != nil || strings.Contains(string(data), `"d"`) || !json.Valid(data) {
			t.Errorf("%q: %s %v", text, data, err)
		}
	})
}
