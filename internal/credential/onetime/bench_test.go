package onetime_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/sdk/go/sign"
)

// benchmark takes one request through finding, parsing and proving, as the gate does.
func benchmark(b *testing.B, r *keystile.Request) {
	b.Helper()
	w := newWorld(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		found, rejection := credential.Find(r, route)
		if rejection != nil {
			b.Fatal(rejection)
		}
		presented, err := w.kind.Parse(r, found)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.kind.Verify(ctx, presented); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	keys := sharedKeys(b)
	for _, key := range []string{"hs", "rs", "es", "ed"} {
		s := signer(b, keys[key])
		header, err := s.Header(sign.Stamp{Time: t0})
		if err != nil {
			b.Fatal(err)
		}
		token, err := s.JWT(sign.Stamp{Time: t0})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("header/"+keys[key].Algorithm, func(b *testing.B) { benchmark(b, bearer(header)) })
		b.Run("jwt/"+keys[key].Algorithm, func(b *testing.B) { benchmark(b, bearer(token)) })
		b.Run("message/"+keys[key].Algorithm, func(b *testing.B) { benchmark(b, post(b, key, nil)) })
	}
}

// BenchmarkBareRSA2048 is what RS256 is measured against.
func BenchmarkBareRSA2048(b *testing.B) {
	private, err := sign.ParsePrivateKey([]byte(sharedKeys(b)["rs"].PrivateKey))
	if err != nil {
		b.Fatal(err)
	}
	key, ok := private.(*rsa.PrivateKey)
	if !ok {
		b.Fatal("no RSA key")
	}
	sum := sha256.Sum256([]byte("text"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}
