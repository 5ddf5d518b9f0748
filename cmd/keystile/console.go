package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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

// secretKey opens a key of 32 random bytes that is kept sealed, or draws it in a store that has none
// yet. Of two servers that do so at once, one finds the other's.
func (h *house) secretKey(ctx context.Context, name, place string) ([]byte, error) {
	sealed, err := h.store.Keyset(ctx, name)
	if errors.Is(err, keystile.ErrNotFound) {
		sealed, err = h.drawSecretKey(ctx, name, place)
	}
	if err != nil {
		return nil, err
	}
	return h.sealer.Open(sealed, place)
}

func (h *house) drawSecretKey(ctx context.Context, name, place string) (sealed []byte, err error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(randomSource, key); err != nil {
		return nil, fmt.Errorf("draw the key %s: %w", name, err)
	}
	fresh, err := h.sealer.Seal(key, place)
	if err != nil {
		return nil, err
	}
	err = h.store.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		if sealed, err = tx.Keyset(ctx, name); !errors.Is(err, keystile.ErrNotFound) {
			return err
		}
		sealed = fresh
		return tx.PutKeyset(ctx, name, fresh)
	})
	return sealed, err
}

// buildConsole makes the pages that people see.
func (s *server) buildConsole(ctx context.Context, _ *app) error {
	key, err := s.house.secretKey(ctx, keysetConsole, consolePlace)
	if err != nil {
		return err
	}
	offers := s.login.Offers()
	s.console, err = console.New(console.Options{
		People: s.login, Providers: s.login, Applications: s.applications(), Administration: s.administration(), Authorizer: s.oauth,
		Origin: s.origin(), Passkeys: offers.Passkeys, Reset: offers.Reset, Key: key,
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
	var own []endpoint
	for _, path := range slices.Concat(console.Paths, console.AuthorizePaths) {
		own = append(own, endpoint{path: path, handler: s.tracer.Wrap(s.console)})
	}
	return own
}
