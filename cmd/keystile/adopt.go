package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/manage"
)

// proofRate is how often one address may have one imported hash computed
// (rulings R40): whoever has a key needs it once.
var proofRate = keystile.Rate{Requests: 10, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}

// proofBytes bounds what is remembered of those who asked.
const proofBytes = 4 << 20

// adopter takes over imported keys at their first use.
type adopter struct {
	keys   *manage.Adopter
	proofs *limit.Memory
}

func newAdopter(s *manage.Service) *adopter {
	return &adopter{keys: manage.NewAdopter(s), proofs: limit.NewMemory(limit.MemoryOptions{MaxBytes: proofBytes})}
}

// adopt implements apikey.Adopt.
func (a *adopter) adopt(ctx context.Context, key keystile.Secret, source netip.Addr) (bool, error) {
	return a.keys.Adopt(ctx, key, func(lookup [32]byte) bool {
		who := limit.Key{Per: keystile.PerAddress, ID: source.String() + " " + hex.EncodeToString(lookup[:8])}
		_, ok, err := a.proofs.Take(ctx, who, &proofRate, time.Now())
		return ok && err == nil
	})
}

// leakResponder answers to leaks of imported keys that were never used here, too.
type leakResponder struct {
	*manage.Service
	adopter *adopter
}

// ReportLeak implements leak.Responder.
func (r leakResponder) ReportLeak(ctx context.Context, a manage.Actor, in manage.LeakReport) (manage.Leak, error) {
	leak, err := r.Service.ReportLeak(ctx, a, in)
	if !errors.Is(err, keystile.ErrNotFound) {
		return leak, err
	}
	adopted, failed := r.adopter.adopt(ctx, in.Secret, netip.Addr{})
	if failed != nil || !adopted {
		return leak, errors.Join(err, failed)
	}
	return r.Service.ReportLeak(ctx, a, in)
}
