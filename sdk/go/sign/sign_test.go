package sign_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"keystile.dev/keystile/sdk/go/sign"
)

var stamp = sign.Stamp{Nonce: "000102030405060708090a0b0c0d0e0f", Time: time.Unix(1_700_000_000, 0)}

func demo(t *testing.T) *sign.Signer {
	t.Helper()
	s, err := sign.NewHMAC("bank-x", "demo-api-key", "demo-secret")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What clients of the platform send for the same key, nonce and time.
func TestTheFormsAreThoseOfThePlatformsOwnClients(t *testing.T) {
	header, err := demo(t).Header(stamp)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Bearer "))
	const want = `{"organization":"bank-x","apiKey":"demo-api-key","nonce":"000102030405060708090a0b0c0d0e0f","timestamp":1700000000,` +
		`"accessToken":"e9b50e4fb31a3a6e5a2f0a971467c4e00d7a1fc0b32d8ab5f070f24eeff97bcc"}`
	if err != nil || string(raw) != want {
		t.Errorf("%s %v", raw, err)
	}
	token, err := demo(t).JWT(sign.Stamp{Nonce: strings.Repeat("01", 24) + "000000006553f100", Time: stamp.Time})
	if err != nil || !strings.HasPrefix(token, "Bearer eyJhbGciOiJIUzI1NiJ9.") || !strings.HasSuffix(token, ".kibvhxsoi6Mb31wgNPI_S8FZMB_hkA_2rT9F4tuqCB0") {
		t.Errorf("%s %v", token, err)
	}
}

func TestAFreshStampIsUnlikeAnyOther(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		header, err := demo(t).Header(sign.Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		token, err := demo(t).JWT(sign.Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		if seen[header] || seen[token] {
			t.Fatal("the same twice")
		}
		seen[header], seen[token] = true, true
	}
}

func TestWhatNoServerWouldTakeIsNotSigned(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, made := range map[string]func() (*sign.Signer, error){
		"an empty secret":       func() (*sign.Signer, error) { return sign.NewHMAC("o", "k", "") },
		"no organisation":       func() (*sign.Signer, error) { return sign.NewHMAC("", "k", "s") },
		"an API key with space": func() (*sign.Signer, error) { return sign.NewHMAC("o", "a key", "s") },
		"no key":                func() (*sign.Signer, error) { return sign.New("o", "k", nil) },
		"RSA 1024":              func() (*sign.Signer, error) { return sign.New("o", "k", weak) },
		"P-384":                 func() (*sign.Signer, error) { return sign.New("o", "k", curve) },
		"no API key":            func() (*sign.Signer, error) { return sign.New("o", "", good) },
	} {
		if s, err := made(); err == nil || s != nil {
			t.Errorf("%s: %v", what, s)
		}
	}
	for what, bad := range map[string]sign.Stamp{
		"a short nonce":      {Nonce: "0123456789abcde"},
		"a long nonce":       {Nonce: strings.Repeat("n", 129)},
		"a nonce with space": {Nonce: "0123456789abcdef "},
		"a nonce in Unicode": {Nonce: "0123456789abcdefé"},
		"before 1970":        {Time: time.Unix(-1, 0)},
	} {
		if text, err := demo(t).Header(bad); err == nil {
			t.Errorf("%s: %s", what, text)
		}
		if text, err := demo(t).JWT(bad); err == nil {
			t.Errorf("%s: %s", what, text)
		}
	}
	for what, text := range map[string]string{
		"nothing": "", "no PEM": "x", "a public key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"rubbish": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		if key, err := sign.ParsePrivateKey([]byte(text)); err == nil {
			t.Errorf("%s: %v", what, key)
		}
	}
}

func TestRequestsThatCannotBeSignedAreLeftUnsigned(t *testing.T) {
	for what, change := range map[string]func(*http.Request){
		"no URL":             func(r *http.Request) { r.URL = nil },
		"another scheme":     func(r *http.Request) { r.URL.Scheme = "ftp" },
		"an opaque URL":      func(r *http.Request) { r.URL.Opaque = "x" },
		"a host in Unicode":  func(r *http.Request) { r.Host = "bücher.example" },
		"a query in Unicode": func(r *http.Request) { r.URL.RawQuery = "ü" },
		"a body over 64 KiB": func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 64<<10+1))) },
		"a body that breaks": func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(errors.New("broken"))) },
	} {
		req, err := http.NewRequest(http.MethodPost, "https://bank.example/x", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		if err := demo(t).Request(req, stamp); err == nil || len(req.Header["Signature"]) > 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheBodyIsPutBackAndAnOldSignatureReplaced(t *testing.T) {
	req, err := http.NewRequest(http.MethodPost, "https://bank.example/x", io.NopCloser(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := demo(t).Request(req, sign.Stamp{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Signature", "Signature-Input", "Content-Digest"} {
		if len(req.Header[name]) != 1 {
			t.Errorf("%s: %q", name, req.Header[name])
		}
	}
	got, err := io.ReadAll(req.Body)
	if err != nil || string(got) != "body" || req.ContentLength != 4 {
		t.Errorf("%q %d %v", got, req.ContentLength, err)
	}
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if got, err = io.ReadAll(again); err != nil || string(got) != "body" {
		t.Errorf("%q %v", got, err)
	}
}
