package store_test

import (
	"context"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestAChangeByAnotherProcessWakesAWatcher(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		here, there := storetest.OpenURL(t, address), storetest.OpenURL(t, address)
		ctx, cancel := context.WithCancel(t.Context())
		woken, ended := make(chan struct{}, 100), make(chan error, 1)
		go func() { ended <- here.Watch(ctx, func() { woken <- struct{}{} }) }()
		<-woken // it watches now
		storetest.Must(t, there, func(_ context.Context, tx *store.Tx) error {
			tx.Announce(keystile.ChangeReload, "")
			return nil
		})
		for seen := false; !seen; {
			<-woken
			changes, _, err := here.Changes(t.Context(), 0, 0)
			noError(t, err)
			seen = len(changes) == 1
		}
		cancel()
		noError(t, <-ended)
		noError(t, here.Ping(t.Context()))
	})
}
