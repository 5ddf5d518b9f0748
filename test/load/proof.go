package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
)

// proof is one algorithm that one-time requests are signed with.
type proof struct {
	// name is for the report, and the key's public name.
	name      string
	algorithm string
	private   crypto.Signer // nil: HMAC
	// batch is how many requests a round sends: a second of CPU or more.
	batch int
	// over is how many microseconds a request may cost beyond a bare verification;
	// zero where nothing is promised.
	over float64
}

// proofs are what is measured, with new keys.
func proofs() ([]proof, error) {
	all := []proof{
		{name: "HS256", algorithm: "HS256", batch: 40_000},
		{name: "RS256-2048", algorithm: "RS256", batch: 15_000, over: 15},
		{name: "RS256-4096", algorithm: "RS256", batch: 3000, over: 15},
		{name: "ES256", algorithm: "ES256", batch: 10_000},
		{name: "EdDSA", algorithm: "EdDSA", batch: 10_000},
	}
	for i := range all[1:] {
		var err error
		if all[i+1].private, err = newPrivateKey(all[i+1].name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func newPrivateKey(name string) (crypto.Signer, error) {
	switch name {
	case "RS256-2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "RS256-4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("no algorithm %q", name)
}

var errVerify = errors.New("the signature does not verify")

// verification is one bare verification by the standard library of a signature
// of its own. What it costs does not depend on the signature.
func verification(name string) (func() error, error) {
	private, err := newPrivateKey(name)
	if err != nil {
		return nil, err
	}
	text := []byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	digest := sha256.Sum256(text)
	if name == "EdDSA" {
		signature, err := private.Sign(rand.Reader, text, crypto.Hash(0))
		if err != nil {
			return nil, err
		}
		public, ok := private.Public().(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("the key of %s has no Ed25519 public key", name)
		}
		return func() error {
			if !ed25519.Verify(public, text, signature) {
				return errVerify
			}
			return nil
		}, nil
	}
	signature, err := private.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	switch public := private.Public().(type) {
	case *rsa.PublicKey:
		return func() error { return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) }, nil
	case *ecdsa.PublicKey:
		return func() error {
			if !ecdsa.VerifyASN1(public, digest[:], signature) {
				return errVerify
			}
			return nil
		}, nil
	}
	return nil, fmt.Errorf("no verification for %s", name)
}
