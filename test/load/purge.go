package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// numbered is a digest that is as random as a key's, of a number.
func numbered(n uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("load"), n))
}

func temporaryKey(n uint64, tenant string, made time.Time) keystile.TemporaryKey {
	return keystile.TemporaryKey{
		ID: fmt.Sprintf("tkey_%012d", n), Digest: numbered(n), PepperID: "load", ApplicationID: exchangeApplication, TenantID: tenant,
		Generation: 1, CreatedAt: made, ExpiresAt: made.Add(keystile.TemporaryKeyLife),
	}
}

// purgeBatch is the server's: what one transaction of a purge deletes.
const purgeBatch = 500

// purges fills a store with live temporary keys, lets them end, and measures
// exchanges while a purge deletes them, -rounds times, so that the size of the table is
// seen to come to rest. The store itself grows by the audit of the exchanges. It is no part of a run of everything unless -huge is.
func (b *bench) purges(ctx context.Context) (err error) {
	if !b.huge && b.only != "purge" {
		return nil
	}
	dir := filepath.Join(b.dir, "purge")
	w := &world{dir: dir}
	if _, err := b.keystile(ctx, "init", dir); err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "keystile.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	p := &purging{store: st, now: time.Now().UTC().Truncate(time.Microsecond)}
	if err := p.seed(ctx); err != nil {
		return err
	}
	for turn := range b.rounds {
		if err := b.purgeTurn(ctx, p, turn+1); err != nil {
			return err
		}
		size, err := storeSize(w.dir)
		if err != nil {
			return err
		}
		table, err := st.TableSize(ctx, "temporary_keys")
		if err != nil {
			return err
		}
		b.report.figure(fmt.Sprintf("turn %d: size of the table of temporary keys", turn+1), float64(table)/1e6, "MB", "")
		b.report.figure(fmt.Sprintf("turn %d: size of the store", turn+1), float64(size)/1e6, "MB", "")
	}
	return nil
}

// purgeTurn fills the store, lets what is in it end, and purges it beside exchanges.
func (b *bench) purgeTurn(ctx context.Context, p *purging, turn int) error {
	b.note("turn %d: making %d temporary keys", turn, b.temporaryKeys)
	if err := p.fill(ctx, b.temporaryKeys); err != nil {
		return err
	}
	quiet, err := p.exchange(ctx, b.connections, b.duration, nil)
	if err != nil {
		return err
	}
	ended := p.kept
	p.now = p.now.Add(keystile.TemporaryKeyLife + 2*time.Hour)
	b.note("turn %d: purging them", turn)
	purged := int64(0)
	began := time.Now()
	busy, err := p.exchange(ctx, b.connections, 0, func(ctx context.Context) error {
		for {
			n, err := p.store.PurgePartnerCredentials(ctx, p.now.Add(-time.Hour), purgeBatch)
			if purged += n; err != nil || n < purgeBatch {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	b.report.figure(fmt.Sprintf("turn %d: keys purged in a second", turn), float64(purged)/time.Since(began).Seconds(), "/s", "")
	b.report.figure(fmt.Sprintf("turn %d: keys left that had ended", turn), float64(ended-purged), "", "0")
	p.kept -= purged
	for _, f := range []struct {
		when  string
		times []float64
	}{{"at rest", quiet}, {"during the purge", busy}} {
		b.report.figure(fmt.Sprintf("turn %d: %d exchanges at once %s, median", turn, b.connections, f.when), median(f.times), "ms", "")
		b.report.figure(fmt.Sprintf("turn %d: the same, 99 of 100 within", turn), percentile(f.times, 0.99), "ms", "")
		b.report.figure(fmt.Sprintf("turn %d: the same, longest", turn), slices.Max(f.times), "ms", "")
	}
	return nil
}

// purging is a store of temporary keys under way.
type purging struct {
	store *store.Store
	now   time.Time
	next  uint64
	// kept counts the keys in the table.
	kept int64
}

// seed makes the partner and the tenant that the keys are of.
func (p *purging) seed(ctx context.Context) error {
	service := &manage.Service{Store: p.store, Now: time.Now}
	return p.store.Mutate(ctx, store.Actor{Name: "load"}, func(ctx context.Context, tx *store.Tx) error {
		for _, id := range []string{"maker", "tenant-0"} {
			if err := tx.CreateOrganization(ctx, keystile.Organization{ID: id, Name: id, Environment: keystile.Production, TenantID: exchangeTenant(len(id))}); err != nil {
				return err
			}
		}
		_, err := service.CreateApplicationTx(ctx, tx, keystile.Application{
			ID: exchangeApplication, OrganizationID: "maker", Name: "Roofs", Kind: keystile.ApplicationBackend, Environment: keystile.Production,
			Permissions: []keystile.Scope{"designs:read"}, Review: keystile.ReviewApproved,
		})
		return errors.Join(err, tx.Authorize(ctx, keystile.Authorization{ApplicationID: exchangeApplication, TenantID: "tenant-0", Permissions: []keystile.Scope{"designs:read"}, GrantedBy: "load"}))
	})
}

// batch is n new keys.
func (p *purging) batch(n int) []store.Exchange {
	batch := make([]store.Exchange, n)
	for i := range batch {
		batch[i] = store.Exchange{At: p.now, Seen: store.SeenNothing, Key: temporaryKey(p.next, "tenant-0", p.now)}
		p.next++
	}
	p.kept += int64(n)
	return batch
}

func (p *purging) fill(ctx context.Context, n int) error {
	const together = 1000
	for made := 0; made < n; made += together {
		if _, err := p.store.ExchangeKeys(ctx, p.batch(min(together, n-made))); err != nil {
			return err
		}
	}
	return nil
}

// exchange makes keys in groups, one transaction after the other, for a while, or
// until beside is done, and returns how long each transaction took in milliseconds.
func (p *purging) exchange(ctx context.Context, together int, while time.Duration, beside func(context.Context) error) (times []float64, err error) {
	var wg sync.WaitGroup
	done := make(chan error, 1)
	if beside != nil {
		wg.Go(func() { done <- beside(ctx) })
	}
	defer wg.Wait()
	for began := time.Now(); ; {
		at := time.Now()
		if _, err := p.store.ExchangeKeys(ctx, p.batch(together)); err != nil {
			return nil, err
		}
		times = append(times, milliseconds(time.Since(at)))
		select {
		case err := <-done:
			return times, err
		default:
			if beside == nil && time.Since(began) >= while {
				return times, nil
			}
		}
	}
}
