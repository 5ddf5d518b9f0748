package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/store"
)

// What the store remembers of the ledger: that there is one, and which.
const (
	metaLedgerStore = "ledger.store_id"
	metaLedgerEpoch = "ledger.epoch"
)

const (
	// defaultClockWindow is for organisations and dialects that name none.
	defaultClockWindow = 60 * time.Second
	ledgerPurge        = 2 * time.Second
)

// ledger is the record of spent nonces, whichever engine keeps it.
type ledger struct {
	replay.Ledger
	status func() replay.Status
	purge  func(context.Context) error
	close  func() error
}

// buildLedger opens the ledger: Valkey where it is configured, the store on
// PostgreSQL, else memory and a journal beside the SQLite store.
func (s *server) buildLedger(ctx context.Context, _ *app) error {
	s.windows.Store(true) // what changes before the feed is heard is looked for once more
	window, err := widestWindow(ctx, s.house.store, clockWindow(s.cfg))
	if err != nil {
		return err
	}
	memory := replay.MemoryOptions{Window: window, Now: time.Now, Random: randomSource}
	epoch, err := s.house.store.Meta(ctx, metaLedgerEpoch)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	open := s.openOwnLedger
	switch {
	case s.cfg.Shared.Reveal() != "memory":
		open = s.openValkeyLedger
	case s.house.store.Engine() == "postgres":
		open = s.openTable
	}
	fresh, err := open(ctx, epoch, memory)
	if err != nil || fresh == "" || fresh == epoch {
		return err
	}
	return s.keepEpoch(ctx, fresh)
}

// keepEpoch has the store remember which ledger there is.
func (s *server) keepEpoch(ctx context.Context, epoch string) error {
	return s.house.store.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		return tx.SetMeta(ctx, metaLedgerEpoch, epoch)
	})
}

// noteWindows hears of changes by which a clock window may have become wider.
func (s *server) noteWindows(c keystile.Change) {
	if c.Kind == keystile.ChangeOrganization || c.Kind == keystile.ChangeAll {
		s.windows.Store(true)
	}
}

// widenLedger has the ledger look as far ahead as the widest clock window there is now.
func (s *server) widenLedger(ctx context.Context) error {
	if !s.windows.Swap(false) {
		return nil
	}
	window, err := widestWindow(ctx, s.house.store, clockWindow(s.cfg))
	if err == nil {
		err = s.ledger.Widen(ctx, window, s.keepEpoch)
	}
	if err != nil {
		s.windows.Store(true) // again, next time
	}
	return err
}

// openValkeyLedger opens the ledger that several servers share in Valkey, and
// returns the epoch that the store is to remember.
func (s *server) openValkeyLedger(ctx context.Context, epoch string, memory replay.MemoryOptions) (string, error) {
	v, err := replay.NewValkey(ctx, replay.ValkeyOptions{URL: s.cfg.Shared.Reveal(), Epoch: epoch, Memory: memory})
	if err != nil {
		return "", err
	}
	s.ledger = &ledger{v, v.Status, v.Check, func() error { v.Close(); return nil }}
	return v.Epoch(), nil
}

// openTable opens the ledger that lies in PostgreSQL. Its bounds are rows of the
// same table: there is no epoch to remember.
func (s *server) openTable(_ context.Context, _ string, memory replay.MemoryOptions) (string, error) {
	t, err := replay.NewTable(replay.TableOptions{Claims: claimTable{s.house.store}, Memory: memory})
	if err != nil {
		return "", err
	}
	s.ledger = &ledger{t, t.Status, func(ctx context.Context) error {
		_, err := t.Purge(ctx)
		return errors.Join(err, t.Check(ctx))
	}, func() error { return nil }}
	return "", nil
}

// openJournal opens the ledger of one server on SQLite.
func (s *server) openJournal(ctx context.Context, epoch string, memory replay.MemoryOptions) (string, error) {
	id, err := ledgerStoreID(ctx, s.house.store)
	if err != nil {
		return "", err
	}
	latest, err := latestEvent(ctx, s.house.store)
	if err != nil {
		return "", err
	}
	j, err := replay.OpenJournal(replay.JournalOptions{
		Path: journalPath(s.cfg), StoreID: id, Epoch: epoch, Latest: latest, Memory: memory, Logger: s.log,
	})
	if err != nil {
		return "", err
	}
	s.ledger = &ledger{j, j.Status, func(context.Context) error { j.Purge(); return nil }, j.Close}
	return j.Epoch(), nil
}

// latestEvent is the newest time the store knows of: a clock that was set back
// must not shorten the time for which an incomplete ledger refuses.
func latestEvent(ctx context.Context, st *store.Store) (time.Time, error) {
	decisions, err := st.Decisions(ctx, store.DecisionFilter{Limit: 1}) // newest first
	if err != nil || len(decisions) == 0 {
		return time.Time{}, err
	}
	return decisions[0].At, nil
}

// purgeLedger forgets nonces whose tokens could not pass the clock any more, and
// keeps the ledger's status, and how far ahead it looks, up to date.
func (s *server) purgeLedger(ctx context.Context) {
	every(ctx, ledgerPurge, func() {
		if err := errors.Join(s.widenLedger(ctx), s.ledger.purge(ctx)); err != nil && ctx.Err() == nil {
			s.log.Warn("the ledger of spent nonces is not well", "error", err)
		}
	})
}

// journalPath is where the journal of a SQLite store lies.
func journalPath(cfg *config.Config) string {
	path := strings.TrimPrefix(cfg.Store.Reveal(), "sqlite:")
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".nonces"
}

func clockWindow(cfg *config.Config) time.Duration {
	if cfg.Dialects.Ownera != nil && cfg.Dialects.Ownera.ClockWindow > 0 {
		return cfg.Dialects.Ownera.ClockWindow
	}
	return defaultClockWindow
}

// widestWindow is the widest clock window that any organisation has now.
func widestWindow(ctx context.Context, st *store.Store, widest time.Duration) (time.Duration, error) {
	page := store.Page{Limit: 1000}
	for {
		organizations, err := st.Organizations(ctx, page)
		if err != nil {
			return 0, err
		}
		for i := range organizations {
			widest = max(widest, organizations[i].OneTime.ClockWindow)
		}
		if len(organizations) < page.Limit {
			return widest, nil
		}
		page.AfterID = organizations[len(organizations)-1].ID
	}
}

// ledgerStoreID names the store whose nonces a journal holds.
func ledgerStoreID(ctx context.Context, st *store.Store) (string, error) {
	id, err := st.Meta(ctx, metaLedgerStore)
	if err == nil || !errors.Is(err, keystile.ErrNotFound) {
		return id, err
	}
	var random [16]byte
	if _, err := io.ReadFull(randomSource, random[:]); err != nil {
		return "", fmt.Errorf("draw an id for the store: %w", err)
	}
	id = hex.EncodeToString(random[:])
	return id, st.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		return tx.SetMeta(ctx, metaLedgerStore, id)
	})
}

// spentNonces is the ledger as the onetime kind asks it.
type spentNonces struct{ ledger replay.Ledger }

// Claim implements onetime.Ledger.
func (s spentNonces) Claim(ctx context.Context, n onetime.Nonce) error {
	return s.ledger.Claim(ctx, replay.Nonce(n))
}

// Spent implements onetime.Ledger.
func (s spentNonces) Spent(ctx context.Context, n onetime.Nonce) error {
	return s.ledger.Spent(ctx, replay.Nonce(n))
}

// claimTable is the store's table of nonces as package replay asks it.
type claimTable struct{ store *store.Store }

// ClaimNonce implements replay.ClaimStore.
func (c claimTable) ClaimNonce(ctx context.Context, key [16]byte, keepUntil time.Time) (replay.Claimed, error) {
	claimed, err := c.store.ClaimNonce(ctx, key, keepUntil)
	return replay.Claimed{Fresh: claimed.Fresh, Now: claimed.Now, Bounds: replay.Bounds(claimed.Bounds)}, err
}

// NonceSpent implements replay.ClaimStore.
func (c claimTable) NonceSpent(ctx context.Context, key [16]byte) (bool, error) {
	return c.store.NonceSpent(ctx, key)
}

// NonceBounds implements replay.ClaimStore.
func (c claimTable) NonceBounds(ctx context.Context) (replay.Bounds, time.Time, error) {
	b, now, err := c.store.NonceBounds(ctx)
	return replay.Bounds(b), now, err
}

// RaiseNonceBounds implements replay.ClaimStore.
func (c claimTable) RaiseNonceBounds(ctx context.Context, b replay.Bounds) error {
	return c.store.RaiseNonceBounds(ctx, store.NonceBounds(b))
}

// PurgeNonces implements replay.ClaimStore.
func (c claimTable) PurgeNonces(ctx context.Context, before time.Time, limit int) (int64, error) {
	return c.store.PurgeNonces(ctx, before, limit)
}

// lookupLedger asks about nonces without a server's ledger, for explain: the
// journal that a running server writes, the table, or Valkey.
func lookupLedger(ctx context.Context, h *house, cfg *config.Config) (onetime.Ledger, func(), error) {
	none := func() {}
	switch {
	case cfg.Shared.Reveal() != "memory":
		epoch, err := h.store.Meta(ctx, metaLedgerEpoch)
		if err != nil && !errors.Is(err, keystile.ErrNotFound) {
			return nil, none, err
		}
		v, err := replay.NewValkey(ctx, replay.ValkeyOptions{URL: cfg.Shared.Reveal(), Epoch: epoch, Look: true})
		if err != nil {
			return nil, none, err
		}
		return spentNonces{v}, v.Close, nil
	case h.store.Engine() == "postgres":
		t, err := replay.NewTable(replay.TableOptions{Claims: claimTable{h.store}})
		return spentNonces{t}, none, err
	}
	return journalReader{journalPath(cfg)}, none, nil
}

// journalReader looks nonces up in the journal of a server on this machine.
type journalReader struct{ path string }

// Claim implements onetime.Ledger; explain never claims.
func (journalReader) Claim(context.Context, onetime.Nonce) error {
	return fmt.Errorf("a reader of the journal claims nothing: %w", keystile.ErrUnavailable)
}

// Spent implements onetime.Ledger. Where there is no journal nothing was spent.
func (j journalReader) Spent(_ context.Context, n onetime.Nonce) error {
	err := replay.LookupJournal(j.path, replay.Nonce(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
