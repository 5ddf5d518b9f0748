package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"keystile.dev/keystile/internal/console"
	"keystile.dev/keystile/internal/federation"
	"keystile.dev/keystile/internal/login"
)

// upstream signs people in at identity providers: what package login asks for, by package federation.
type upstream struct{ signIns *federation.SignIns }

// newUpstream makes what sends browsers to identity providers and back to this server's own origin.
func (s *server) newUpstream() (login.Providers, error) {
	signIns, err := federation.NewSignIns(federation.SignInOptions{
		Verifier: s.federation, Ask: s.fetcher.Do, Random: randomSource,
		Callback: func(provider string) string { return s.origin() + console.ProviderCallback(provider) },
	})
	return upstream{signIns}, err
}

// Begin implements login.Providers.
func (u upstream) Begin(ctx context.Context, provider string, anew bool) (string, json.RawMessage, error) {
	address, pending, err := u.signIns.Begin(ctx, provider, anew)
	if err != nil {
		return "", nil, err
	}
	state, err := json.Marshal(pending)
	if err != nil {
		return "", nil, fmt.Errorf("write a sign-in that was begun: %w", err)
	}
	return address, state, nil
}

// Finish implements login.Providers.
func (u upstream) Finish(ctx context.Context, provider string, state json.RawMessage, callback url.Values) (login.Identity, error) {
	var pending federation.Pending
	if err := json.Unmarshal(state, &pending); err != nil {
		return login.Identity{}, fmt.Errorf("read a sign-in that was begun: %w", err)
	}
	id, err := u.signIns.Finish(ctx, provider, pending, callback)
	var declined *federation.Declined
	if errors.As(err, &declined) && declined.Cancelled {
		err = fmt.Errorf("%w: %w", login.ErrCancelled, err)
	}
	return login.Identity(id), err
}
