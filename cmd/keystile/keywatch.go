package main

import (
	"context"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
)

// masterInterval is how often the master key is looked for.
const masterInterval = 30 * time.Second

// keyWatch has a running server take up peppers and a master key that were
// rotated, and notice when the master key cannot be had any more.
type keyWatch struct {
	spec   atomic.Pointer[string]
	getenv func(string) string
	wake   chan struct{}
}

func (k *keyWatch) start(spec string, getenv func(string) string) {
	k.getenv, k.wake = getenv, make(chan struct{}, 1)
	k.spec.Store(&spec)
}

// named takes the master key as a configuration that was read again names it.
func (k *keyWatch) named(spec string) {
	k.spec.Store(&spec)
	k.look()
}

// note hears of changes after which everything is read again.
func (k *keyWatch) note(c keystile.Change) {
	if c.Kind == keystile.ChangeAll {
		k.look()
	}
}

func (k *keyWatch) look() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// watchKeys runs until ctx ends.
func (s *server) watchKeys(ctx context.Context) {
	tick := time.NewTicker(masterInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.keyWatch.wake:
		}
		s.checkPeppers(ctx)
		s.checkMaster(ctx)
	}
}

// checkPeppers takes the peppers as the store has them now.
func (s *server) checkPeppers(ctx context.Context) {
	current, retired, err := openPeppers(ctx, s.house.store, s.house.sealer)
	if err == nil {
		err = s.house.digester.Replace(current, retired...)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("the peppers could not be read again; the old ones stay", "error", err)
	}
}

// checkMaster looks whether the master key still opens the store's keys, as it
// would have to at the next start. Where the store is away nothing is concluded.
func (s *server) checkMaster(ctx context.Context) {
	if s.house.store.Ping(ctx) != nil {
		return
	}
	master, err := keyring.LoadMaster(*s.keyWatch.spec.Load(), s.keyWatch.getenv)
	outdated := false
	if err == nil {
		_, outdated, err = openSealer(ctx, s.house.store, master)
	}
	if ctx.Err() != nil {
		return
	}
	before := s.house.sealer.Away()
	s.house.sealer.MasterAway(err)
	switch {
	case err != nil && before == nil:
		s.log.Error("the master key is away: opened keys stay in memory, nothing is sealed until it is back", "error", err)
	case err == nil && before != nil:
		s.log.Info("the master key is back")
	}
	if outdated {
		s.log.Warn("the master key was rotated: name the new one in the configuration and reload it, then run keystile master-key retire")
	}
}
