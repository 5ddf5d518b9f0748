package onetime

import (
	"crypto"
	"encoding/base64"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
)

// The test-request of RFC 9421, appendix B.2.
func rfcRequest() *keystile.Request {
	return &keystile.Request{
		Method: "POST", Scheme: "https", Host: "example.com", Path: "/foo", RawQuery: "param=Value&Pet=dog",
		Header: keystile.Header{
			"Date":           {"Tue, 20 Apr 2021 02:07:55 GMT"},
			"Content-Type":   {"application/json"},
			"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
			"Content-Length": {"18"},
		},
		Body: func(int64) ([]byte, error) { return []byte(`{"hello": "world"}`), nil },
	}
}

// Vectors of RFC 9421, appendix B. Those of RSA-PSS (B.2.1 to B.2.3) have their
// text compared only: PSS is no algorithm of ours. B.2.4 signs a response, which
// only its text and signature can be taken from.
var rfcVectors = []struct {
	name, input, base string
	algorithm         keystile.SigningAlgorithm
	key, signature    string
}{
	{
		name:  "B.2.1, nothing covered",
		input: `sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
		base:  `"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
	},
	{
		name:  "B.2.2, some components",
		input: `sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
		base: `"@authority": example.com
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"@query-param";name="Pet": dog
"@signature-params": ("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
	},
	{
		name:  "B.2.3, full coverage",
		input: `sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
		base: `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
	},
	{
		name: "B.2.4, a response by ECDSA P-256",
		base: `"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`,
		algorithm: keystile.ES256,
		key: `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----`,
		signature: "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
	},
	{
		name:  "B.2.5, HMAC",
		input: `sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
		base: `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
		algorithm: keystile.HS256,
		key:       "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
		signature: "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
	},
	{
		name:  "B.2.6, Ed25519",
		input: `sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		base: `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		algorithm: keystile.EdDSA,
		key: `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----`,
		signature: "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
	},
}

func TestTheVectorsOfRFC9421GiveTheirTextsAndSignatures(t *testing.T) {
	for _, v := range rfcVectors {
		t.Run(v.name, func(t *testing.T) {
			if v.input != "" {
				input, ok := parseSignatureInput([]string{v.input})
				if !ok {
					t.Fatal("the input cannot be read")
				}
				base, broken := signatureBase(rfcRequest(), input)
				if broken != "" || string(base) != v.base {
					t.Fatalf("%s\ngot  %s\nwant %s", broken, base, v.base)
				}
			}
			if v.algorithm == "" {
				return
			}
			signature, err := base64.StdEncoding.DecodeString(v.signature)
			if err != nil {
				t.Fatal(err)
			}
			if ver := rfcVerifier(t, v.algorithm, v.key); !ver.verify([]byte(v.base), signature) || ver.verify([]byte(v.base+" "), signature) {
				t.Error("the signature is not answered as the RFC says")
			}
		})
	}
}

func rfcVerifier(t *testing.T, algorithm keystile.SigningAlgorithm, key string) *verifier {
	t.Helper()
	var public crypto.PublicKey
	var secret []byte
	var err error
	if algorithm == keystile.HS256 {
		secret, err = base64.StdEncoding.DecodeString(key)
	} else {
		public, err = ParsePublicKey(algorithm, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVerifier(algorithm, public, secret)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTheContentDigestOfTheRFCsRequestFitsItsBody(t *testing.T) {
	if err := contentOf(rfcRequest(), true).check(); err != nil {
		t.Error(err)
	}
}

func TestComponentsHaveTheValuesTheRFCGivesThem(t *testing.T) {
	r := &keystile.Request{
		Method: "POST", Scheme: "HTTPS", Host: "WWW.example.com:443", Path: "/path",
		RawQuery: "var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&x=1&x=2&empty=&flag&tilde=~*",
		Header: keystile.Header{
			"X-Ows-Header":   {"  Leading and trailing whitespace.   "},
			"Cache-Control":  {"max-age=60", "   must-revalidate"},
			"X-Empty-Header": {""},
			"X-Line":         {"a\nb"},
			"X-Latin":        {"caf\xe9"},
			"X-Tab":          {"a\tb"},
		},
	}
	for component, want := range map[string]string{
		`"@method"`:                 "POST",
		`"@scheme"`:                 "https",
		`"@authority"`:              "www.example.com",
		`"@path"`:                   "/path",
		`"@target-uri"`:             "https://WWW.example.com:443/path?" + r.RawQuery,
		`"@request-target"`:         "/path?" + r.RawQuery,
		`"@query"`:                  "?" + r.RawQuery,
		`"host"`:                    "WWW.example.com:443",
		`"x-ows-header"`:            "Leading and trailing whitespace.",
		`"cache-control"`:           "max-age=60, must-revalidate",
		`"x-empty-header"`:          "",
		`"x-tab"`:                   "a\tb",
		`"@query-param";name="var"`: "this%20is%20a%20big%0Amultiline%20value",
		`"@query-param";name="bar"`: "with%20plus%20whitespace",
		`"@query-param";name="fa%C3%A7ade%22%3A%20"`: "something",
		`"@query-param";name="empty"`:                "",
		`"@query-param";name="flag"`:                 "",
		`"@query-param";name="tilde"`:                "%7E*",
		`"x-absent"`:                                 "!",
		`"x-line"`:                                   "!",
		`"x-latin"`:                                  "!",
		`"@query-param";name="x"`:                    "!",
		`"@query-param";name="absent"`:               "!",
	} {
		t.Run(component, func(t *testing.T) {
			input, ok := parseSignatureInput([]string{"sig=(" + component + ")"})
			if !ok || checkComponents(input.components) != nil {
				t.Fatal("refused")
			}
			base, broken := signatureBase(r, input)
			if want == "!" {
				if broken == "" {
					t.Errorf("got %q", base)
				}
				return
			}
			if text := component + ": " + want + "\n\"@signature-params\": (" + component + ")"; string(base) != text {
				t.Errorf("got %q (%s), want %q", base, broken, text)
			}
		})
	}
	t.Run("a request without query", func(t *testing.T) {
		input, _ := parseSignatureInput([]string{`sig=("@query" "@target-uri")`})
		base, broken := signatureBase(&keystile.Request{Scheme: "http", Host: "h", Path: "/"}, input)
		if broken != "" || !strings.HasPrefix(string(base), "\"@query\": ?\n\"@target-uri\": http://h/\n") {
			t.Errorf("got %q", base)
		}
	})
}

func TestTheTextIsWrittenInOneWayOnly(t *testing.T) {
	for given, want := range map[string]string{
		`sig=(  "@method"   "a"  );created=1; keyid="k";  alg="x"`: `("@method" "a");created=1;keyid="k";alg="x"`,
		`sig=();created=007;n=-0`:                                  `();created=7;n=0`,
		`sig=();a=?1;b=?0;c;d=token/x:y;e=:AAECAw==:`:              `();a;b=?0;c;d=token/x:y;e=:AAECAw==:`,
		`sig=();k="a\"b\\c"`:                                       `();k="a\"b\\c"`,
	} {
		input, ok := parseSignatureInput([]string{given})
		if got := string(appendInnerList(nil, input.components, input.parameters)); !ok || got != want {
			t.Errorf("%s: %t, %s", given, ok, got)
		}
	}
}

func TestFieldsThatTwoReadersReadDifferentlyAreRefused(t *testing.T) {
	for _, bad := range []string{
		``, `sig`, `sig=`, `sig=1`, `sig=(`, `sig=()x`, `sig=(),`, `sig=(), sig=()`, `sig=(), b=()`, `Sig=()`, `1=()`,
		`sig =()`, `sig= ()`, `sig=("a""b")`, `sig=(a)`, `sig=(1)`, `sig=("a";)`, `sig=("a" ;x)`, `sig=("a"	"b")`, `sig=("a);x="b"`,
		`sig=("a\x")`, "sig=(\"a\x00\")", "sig=(\"é\")", `sig=();`, `sig=();=1`, `sig=();a=`, `sig=();a=1;a=1`, `sig=();A=1`,
		`sig=();a=1.5`, `sig=();a=1.`, `sig=();a=-`, `sig=();a=1234567890123456`, `sig=();a=:A:`, `sig=();a=:AAA:`, `sig=();a=:AA=A:`,
		`sig=();a=:AB==:`, `sig=();a=:AA--:`, `sig=();a=:AAAA`, `sig=();a=?2`, `sig=();a=?`, `sig=();a=@1`, `sig=();a="`, `sig=();a="\`,
	} {
		if input, ok := parseSignatureInput([]string{bad}); ok {
			t.Errorf("%q was read as %+v", bad, input)
		}
	}
	for _, bad := range []string{
		``, `sig`, `sig=x`, `sig="x"`, `sig=()`, `sig=::`, `sig=:AA==:, sig=:AA==:`, `sig=:AA==:,`, `sig=:AA==:, b=:AA==:`,
		`b=:AA==:`, `sig=:AA==:x`, `sig=:AA==`, `sig=:AB==:`, `sig=:AA:`, `sig=: AA==:`, `sig=:AA==:;`,
	} {
		if _, ok := parseSignature([]string{bad}, "sig"); ok {
			t.Errorf("%q was read", bad)
		}
	}
	for _, lines := range [][]string{nil, {"sig=:AA==:", "sig=:AA==:"}, {"sig=:AA==:", "b=:AA==:"}, {""}} {
		if _, ok := parseSignature(lines, "sig"); ok {
			t.Errorf("%q was read", lines)
		}
	}
}
