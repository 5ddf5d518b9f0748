package main

import (
	"bytes"
	"context"
	"sync"
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
	// mu has sealing keys be taken up in the order in which they were read.
	mu sync.Mutex
	// taken is the sealing keyset that is in use, as the store has it.
	taken []byte
}

// fetchTimeout bounds how long a value waits for the key that opens it.
const fetchTimeout = 5 * time.Second

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
	outdated, err := s.takeSealer(ctx)
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

// takeSealer takes up the sealing keys as the store has them now.
func (s *server) takeSealer(ctx context.Context) (outdated bool, err error) {
	s.keyWatch.mu.Lock()
	defer s.keyWatch.mu.Unlock()
	master, err := keyring.LoadMaster(*s.keyWatch.spec.Load(), s.keyWatch.getenv)
	if err != nil {
		return false, err
	}
	opened, err := openSealer(ctx, s.house.store, master)
	if err != nil {
		return false, err
	}
	s.house.sealer.Take(opened.sealer)
	s.keyWatch.taken = opened.wrapped
	return opened.outdated, nil
}

// fetchSealer takes up sealing keys that were added since: a value was found that
// none of the present ones opens. Where nothing was added that costs one read.
func (s *server) fetchSealer() error {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	wrapped, err := s.house.store.Keyset(ctx, keysetSealing)
	if err != nil {
		return err
	}
	s.keyWatch.mu.Lock()
	known := bytes.Equal(wrapped, s.keyWatch.taken)
	s.keyWatch.mu.Unlock()
	if known {
		return nil
	}
	_, err = s.takeSealer(ctx)
	return err
}
