package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/console"
	"keystile.dev/keystile/internal/store"
)

// keysetConsole names the key that signs the pages' cookies, and consolePlace binds it to its row.
const (
	keysetConsole = "console"
	consolePlace  = "keysets/console/sealed"
)

// consoleKey opens the key of the pages, or draws it in a store that has none yet. Of two servers
// that do so at once, one finds the other's.
func (h *house) consoleKey(ctx context.Context) ([]byte, error) {
	sealed, err := h.store.Keyset(ctx, keysetConsole)
	if errors.Is(err, keystile.ErrNotFound) {
		sealed, err = h.drawConsoleKey(ctx)
	}
	if err != nil {
		return nil, err
	}
	return h.sealer.Open(sealed, consolePlace)
}

func (h *house) drawConsoleKey(ctx context.Context) (sealed []byte, err error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(randomSource, key); err != nil {
		return nil, fmt.Errorf("draw a key for the pages: %w", err)
	}
	fresh, err := h.sealer.Seal(key, consolePlace)
	if err != nil {
		return nil, err
	}
	err = h.store.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		if sealed, err = tx.Keyset(ctx, keysetConsole); !errors.Is(err, keystile.ErrNotFound) {
			return err
		}
		sealed = fresh
		return tx.PutKeyset(ctx, keysetConsole, fresh)
	})
	return sealed, err
}

// buildConsole makes the pages that people see.
func (s *server) buildConsole(ctx context.Context, _ *app) error {
	key, err := s.house.consoleKey(ctx)
	if err != nil {
		return err
	}
	offers := s.login.Offers()
	s.console, err = console.New(console.Options{
		People: s.login, Providers: s.login, Applications: s.applications(), Administration: s.administration(), Origin: s.origin(), Passkeys: offers.Passkeys, Reset: offers.Reset, Key: key,
		ClientAddr: s.clientAddr, RequestID: s.requestID, Now: time.Now, Logger: s.log,
	})
	return err
}

// origin is where browsers reach this server: public_url, else the address it listens on.
func (s *server) origin() string {
	switch {
	case s.cfg.PublicURL != "":
		return s.cfg.PublicURL
	case s.cfg.TLS.Mode == "off":
		return "http://" + s.cfg.Listen
	}
	return "https://" + s.cfg.Listen
}

// pages are the paths of the pages.
func (s *server) pages() []endpoint {
	own := make([]endpoint, len(console.Paths))
	for i, path := range console.Paths {
		own[i] = endpoint{path: path, handler: s.tracer.Wrap(s.console)}
	}
	return own
}
