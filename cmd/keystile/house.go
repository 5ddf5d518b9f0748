package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// Names of the sealed keysets in the store.
const (
	keysetSealing = "sealing"
	// keysetSealingBefore is the same keyset under the master key before, until
	// every configuration names the new one.
	keysetSealingBefore = "sealing.before"
	keysetAssertion     = "assertion"
	keysetCursor        = "cursor"
)

// cursorPlace binds the sealed cursor key to its row.
const cursorPlace = "keysets/cursor/sealed"

// metaDemo marks a store that demo made: serve refuses it.
const metaDemo = "demo"

// house is an open store with the keys that belong to it.
type house struct {
	store  *store.Store
	sealer *keyring.Sealer
	// outdated: the master key is the one before a rotation.
	outdated bool
	// wrapped is the sealing keyset as it was read.
	wrapped   []byte
	digester  *keyring.Digester
	assertion []byte // sealed signing key
	cursorKey []byte
	tokenIDs  *keyring.TokenIDs
	// checkpoints signs those of the audit log.
	checkpoints *keyring.CheckpointKey
	passwords   passwords
	service     *manage.Service
}

// houseOptions say which store and which master key.
type houseOptions struct {
	storeURL string
	master   *keyring.Master
	logger   *slog.Logger
	// migrated is told of each schema step; nil: nobody.
	migrated func(version int64, name string)
}

// openHouse opens the store, brings its schema up to date, and opens its keys
// or draws them if there are none yet.
func openHouse(ctx context.Context, o houseOptions) (h *house, err error) {
	st, err := store.Open(ctx, store.Options{URL: o.storeURL, Logger: o.logger})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	if o.migrated == nil {
		o.migrated = func(int64, string) {}
	}
	if err := st.Migrate(ctx, o.migrated); err != nil {
		return nil, err
	}
	h = &house{store: st}
	if err := h.openKeys(ctx, o.master); err != nil {
		return nil, err
	}
	if err := h.openTokenIDs(ctx); err != nil {
		return nil, err
	}
	if err := h.openCheckpointKey(ctx); err != nil {
		return nil, err
	}
	h.service = &manage.Service{Store: st, Digester: h.digester, Sealer: h.sealer, Passwords: &h.passwords, Random: rand.Reader, Now: time.Now}
	return h, nil
}

func (h *house) close() error { return h.store.Close() }

// openKeys opens the sealed keys of the store.
func (h *house) openKeys(ctx context.Context, master *keyring.Master) error {
	opened, err := openSealer(ctx, h.store, master)
	if errors.Is(err, keystile.ErrNotFound) {
		if err := h.drawKeys(ctx, master); err != nil {
			return err
		}
		opened, err = openSealer(ctx, h.store, master)
	}
	if err != nil {
		return err
	}
	h.sealer, h.outdated, h.wrapped = opened.sealer, opened.outdated, opened.wrapped
	if h.digester, err = openDigester(ctx, h.store, h.sealer); err != nil {
		return err
	}
	if h.assertion, err = h.store.Keyset(ctx, keysetAssertion); err != nil {
		return err
	}
	sealedCursor, err := h.store.Keyset(ctx, keysetCursor)
	if err != nil {
		return err
	}
	h.cursorKey, err = h.sealer.Open(sealedCursor, cursorPlace)
	return err
}

// openedSealer is a sealing keyset as a master key opened it.
type openedSealer struct {
	sealer *keyring.Sealer
	// outdated: by the master key before a rotation.
	outdated bool
	// wrapped is the keyset under the newest master key.
	wrapped []byte
}

// openSealer opens the sealing keyset of a store with the master key that it needs,
// or, until a rotation is retired, with the one before.
func openSealer(ctx context.Context, st *store.Store, master *keyring.Master) (openedSealer, error) {
	wrapped, err := st.Keyset(ctx, keysetSealing)
	if err != nil {
		return openedSealer{}, err
	}
	sealer, wrong := keyring.OpenSealer(master, wrapped)
	if wrong == nil {
		return openedSealer{sealer, false, wrapped}, nil
	}
	if !errors.Is(wrong, keyring.ErrWrongMaster) {
		return openedSealer{}, wrong
	}
	before, err := st.Keyset(ctx, keysetSealingBefore)
	if err != nil {
		return openedSealer{}, wrong
	}
	if sealer, err = keyring.OpenSealer(master, before); err != nil {
		return openedSealer{}, wrong
	}
	return openedSealer{sealer, true, wrapped}, nil
}

func openDigester(ctx context.Context, st *store.Store, sealer *keyring.Sealer) (*keyring.Digester, error) {
	current, retired, err := openPeppers(ctx, st, sealer)
	if err != nil {
		return nil, err
	}
	return keyring.NewDigester(current, retired...)
}

func openPeppers(ctx context.Context, st *store.Store, sealer *keyring.Sealer) (current keyring.Pepper, retired []keyring.Pepper, err error) {
	stored, err := st.Peppers(ctx)
	if err != nil {
		return current, nil, err
	}
	for _, p := range stored {
		pepper, err := keyring.OpenPepper(sealer, p.ID, p.Sealed)
		if err != nil {
			return current, nil, err
		}
		if p.Current {
			current = pepper
		} else {
			retired = append(retired, pepper)
		}
	}
	return current, retired, nil
}

// drawKeys gives a new store its keys, in one transaction. Of two processes
// that do so at once, one finds that there is nothing left to do.
func (h *house) drawKeys(ctx context.Context, master *keyring.Master) error {
	sealer, wrapped, err := keyring.NewSealer(master)
	if err != nil {
		return err
	}
	pepper, sealedPepper, err := keyring.NewPepper(rand.Reader, sealer)
	if err != nil {
		return err
	}
	assertion, err := keyring.NewSigningKey(rand.Reader, sealer)
	if err != nil {
		return err
	}
	cursor := make([]byte, 32)
	if _, err := io.ReadFull(rand.Reader, cursor); err != nil {
		return fmt.Errorf("draw a cursor key: %w", err)
	}
	sealedCursor, err := sealer.Seal(cursor, cursorPlace)
	if err != nil {
		return err
	}
	return h.store.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Keyset(ctx, keysetSealing); !errors.Is(err, keystile.ErrNotFound) {
			return err // nil: another process was first
		}
		for name, sealed := range map[string][]byte{keysetSealing: wrapped, keysetAssertion: assertion, keysetCursor: sealedCursor} {
			if err := tx.PutKeyset(ctx, name, sealed); err != nil {
				return err
			}
		}
		return tx.PutPepper(ctx, store.Pepper{ID: pepper.ID, Sealed: sealedPepper, Current: true, CreatedAt: time.Now()})
	})
}

// findAPIKeys is the apikey kind's view of the store.
func findAPIKeys(st *store.Store) apikey.Find {
	return func(ctx context.Context, digests [][32]byte) (apikey.Record, error) {
		found, err := st.FindAPIKeySecret(ctx, digests)
		if err != nil {
			return apikey.Record{}, err
		}
		record := apikey.Record{Key: found.Key, Secret: found.Secret, Organization: found.Organization}
		if found.Owner != nil {
			record.Owner = &apikey.Owner{User: found.Owner.User, Role: found.Owner.Role, SiteIDs: found.Owner.SiteIDs}
		}
		return record, nil
	}
}

// findSigningKeys is the onetime kind's view of the store.
func findSigningKeys(st *store.Store) func(context.Context, string) (onetime.Record, error) {
	return func(ctx context.Context, apiKey string) (onetime.Record, error) {
		found, err := st.FindSigningKey(ctx, apiKey)
		return onetime.Record{Key: found.Key, Organization: found.Organization}, err
	}
}
