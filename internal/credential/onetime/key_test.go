package onetime_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/onetime"
)

func pemOf(t testing.TB, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// rsaKey is an RSA public key of a size, with an exponent. No private key is
// needed to be refused, so the modulus is any odd number.
func rsaKey(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(12345)), E: exponent}
}

func TestPublicKeysAreReadInTheirFormsAndNoOthers(t *testing.T) {
	curve256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		return pemOf(t, "PUBLIC KEY", der, err)
	}
	pkcs1 := func(key *rsa.PublicKey) string {
		return pemOf(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key), nil)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(edPrivate)
	private := pemOf(t, "PRIVATE KEY", pkcs8, err)
	sec1, err := x509.MarshalECPrivateKey(curve256)
	ecPrivate := pemOf(t, "EC PRIVATE KEY", sec1, err)
	for what, c := range map[string]struct {
		algorithm keystile.SigningAlgorithm
		text      string
		problem   string // empty: good
	}{
		"RSA 2048 PKCS#1":           {keystile.RS256, pkcs1(rsaKey(2048, 65537)), ""},
		"RSA 2048 SPKI":             {keystile.RS256, spki(rsaKey(2048, 65537)), ""},
		"RSA 8192":                  {keystile.RS256, spki(rsaKey(8192, 65537)), ""},
		"white space around":        {keystile.RS256, "\n " + pkcs1(rsaKey(2048, 65537)) + "\n\n", ""},
		"P-256":                     {keystile.ES256, spki(curve256.Public()), ""},
		"Ed25519":                   {keystile.EdDSA, spki(ed), ""},
		"RSA 1024":                  {keystile.RS256, pkcs1(rsaKey(1024, 65537)), "1024 bits"},
		"RSA 2047":                  {keystile.RS256, pkcs1(rsaKey(2047, 65537)), "2047 bits"},
		"RSA 8193":                  {keystile.RS256, pkcs1(rsaKey(8193, 65537)), "8193 bits"},
		"RSA 16384":                 {keystile.RS256, pkcs1(rsaKey(16384, 65537)), "16384 bits"},
		"exponent 1":                {keystile.RS256, pkcs1(rsaKey(2048, 1)), "bad exponent"},
		"exponent 3":                {keystile.RS256, spki(rsaKey(2048, 3)), "bad exponent"},
		"an even exponent":          {keystile.RS256, spki(rsaKey(2048, 65538)), "bad exponent"},
		"P-384":                     {keystile.ES256, spki(curve384.Public()), "another type"},
		"P-256 for RS256":           {keystile.RS256, spki(curve256.Public()), "another type"},
		"RSA for EdDSA":             {keystile.EdDSA, spki(rsaKey(2048, 65537)), "another type"},
		"Ed25519 for ES256":         {keystile.ES256, spki(ed), "another type"},
		"any key for HS256":         {keystile.HS256, spki(ed), "no public key"},
		"an unknown algorithm":      {"PS256", spki(rsaKey(2048, 65537)), "another type"},
		"a private key":             {keystile.EdDSA, private, "this is a private key"},
		"a private EC key":          {keystile.ES256, ecPrivate, "this is a private key"},
		"an encrypted private key":  {keystile.RS256, pemOf(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil), "this is a private key"},
		"a private key behind it":   {keystile.EdDSA, spki(ed) + private, "this is a private key"},
		"a private key in disguise": {keystile.EdDSA, pemOf(t, "PUBLIC KEY", pkcs8, nil), "cannot be read"},
		"two keys":                  {keystile.EdDSA, spki(ed) + spki(ed), "something follows"},
		"a certificate":             {keystile.RS256, pemOf(t, "CERTIFICATE", []byte("x"), nil), "certificate"},
		"another block":             {keystile.RS256, pemOf(t, "SSH PUBLIC KEY", []byte("x"), nil), "another type"},
		"rubbish in a block":        {keystile.RS256, pemOf(t, "RSA PUBLIC KEY", []byte("x"), nil), "cannot be read"},
		"no PEM":                    {keystile.RS256, "AAAA", "not PEM"},
		"nothing":                   {keystile.RS256, "", "not PEM"},
		"a megabyte":                {keystile.RS256, strings.Repeat("A", 1<<20), "longer than"},
	} {
		t.Run(what, func(t *testing.T) {
			key, err := onetime.ParsePublicKey(c.algorithm, c.text)
			if c.problem == "" {
				if err != nil || key == nil {
					t.Fatal(err)
				}
				return
			}
			var invalid *keystile.Invalid
			if !errors.As(err, &invalid) || key != nil || !strings.Contains(invalid.Error(), c.problem) || invalid.Remedy == "" {
				t.Errorf("got %v, %v", key, err)
			}
		})
	}
}

func TestSecretsOfAnyLengthAreTakenTheShortOnesWithAWarning(t *testing.T) {
	for secret, want := range map[string]struct{ warned, refused bool }{
		"":                           {refused: true},
		"x":                          {warned: true},
		"demo-secret\n":              {warned: true},
		strings.Repeat("s", 31):      {warned: true},
		strings.Repeat("s", 32):      {},
		strings.Repeat("s", 8<<10):   {},
		strings.Repeat("s", 1+8<<10): {refused: true},
		"-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n": {refused: true},
	} {
		warning, err := onetime.CheckSecret(keystile.Secret(secret))
		var invalid *keystile.Invalid
		if (warning != "") != want.warned || errors.As(err, &invalid) != want.refused || (err != nil) != want.refused {
			t.Errorf("%d bytes: %q, %v", len(secret), warning, err)
		}
	}
}

// Keys that came into the store another way than through management are checked again.
func TestAnUnsafeKeyInTheStoreIsNotUsed(t *testing.T) {
	for what, key := range map[string]*rsa.PublicKey{"exponent 1": rsaKey(2048, 1), "16384 bits": rsaKey(16384, 65537), "1024 bits": rsaKey(1024, 65537)} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.add(testKey{Organization: "bank-x", APIKey: "bad", Algorithm: "RS256", PublicKey: pemOf(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key), nil)})
			r := object("", `{"organization":"bank-x","apiKey":"bad","nonce":%q,"timestamp":1700000000,"accessToken":"%s"}`, nonce, strings.Repeat("ab", 256))
			w.want(t, r, true, keystile.ReasonStoreUnavailable)
		})
	}
}
