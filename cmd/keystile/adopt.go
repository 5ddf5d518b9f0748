package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
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

// foreignKeys answers for keys that another system hashed, for a command beside the
// store: it proves them as a server does at their first use, and takes over none.
type foreignKeys struct {
	house *house
	find  apikey.Find
	keys  *manage.Adopter
	// apply tells the cache that what it could not find is known now.
	apply func(keystile.Change)

	mu     sync.Mutex
	proven map[[32]byte]apikey.Record
}

func newForeignKeys(h *house) *foreignKeys {
	return &foreignKeys{house: h, find: findAPIKeys(h.store), keys: manage.NewAdopter(h.service), proven: map[[32]byte]apikey.Record{}}
}

// record implements apikey.Find.
func (f *foreignKeys) record(ctx context.Context, digests [][32]byte) (apikey.Record, error) {
	record, err := f.find(ctx, digests)
	if !errors.Is(err, keystile.ErrNotFound) {
		return record, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, digest := range digests {
		if proven, ok := f.proven[digest]; ok {
			return proven, nil
		}
	}
	return record, err
}

// prove implements apikey.Adopt.
func (f *foreignKeys) prove(ctx context.Context, key keystile.Secret, _ netip.Addr) (bool, error) {
	foreign, proven, err := f.keys.Find(ctx, key, func([32]byte) bool { return true })
	if err != nil || !proven {
		return false, err
	}
	record := apikey.Record{}
	if record.Key, err = f.house.store.APIKey(ctx, foreign.KeyID); err != nil {
		return false, err
	}
	if record.Organization, err = f.house.store.Organization(ctx, record.Key.OrganizationID); err != nil {
		return false, err
	}
	record.Secret = keystile.APIKeySecret{KeyID: foreign.KeyID, CreatedAt: foreign.CreatedAt, ExpiresAt: foreign.ExpiresAt}
	record.Secret.Digest, record.Secret.PepperID = f.house.digester.Digest(apikey.Sum(key))
	f.mu.Lock()
	f.proven[record.Secret.Digest] = record
	f.mu.Unlock()
	f.apply(keystile.Change{Kind: keystile.ChangeKey, ID: foreign.KeyID})
	return true, nil
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
	adopted, failed := r.adopter.adopt(ctx, in.Secret, in.From)
	switch {
	case errors.Is(failed, manage.ErrTooManyProofs): // who guesses uses up their own proofs, and keeps nobody waiting
		return leak, err
	case failed != nil: // nobody can tell yet, so it is not unknown
		return leak, failed
	case !adopted:
		return leak, err
	}
	return r.Service.ReportLeak(ctx, a, in)
}
