package main

import (
	"context"
	"crypto/rand"
	"sync"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/password"
)

// passwords makes the one hasher of a house when a password first needs it: that
// takes a hash, which the many commands that need none should not wait for.
type passwords struct {
	once   sync.Once
	hasher *password.Hasher
	err    error
}

// open is the hasher; whoever hashes in this process shares its bound on memory.
func (p *passwords) open() (*password.Hasher, error) {
	p.once.Do(func() { p.hasher, p.err = password.New(password.Options{Random: rand.Reader}) })
	return p.hasher, p.err
}

// Hash implements manage.Hasher.
func (p *passwords) Hash(ctx context.Context, text keystile.Secret) (string, error) {
	h, err := p.open()
	if err != nil {
		return "", err
	}
	return h.Hash(ctx, text)
}

// Verify implements manage.Hasher.
func (p *passwords) Verify(ctx context.Context, stored string, text keystile.Secret, began func(context.Context) error) (ok, outdated bool, err error) {
	h, err := p.open()
	if err != nil {
		return false, false, err
	}
	return h.Verify(ctx, stored, text, began)
}
