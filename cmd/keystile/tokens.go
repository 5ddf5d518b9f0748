package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/credential/sessionjwt"
	"keystile.dev/keystile/internal/federation"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/outbound"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/usage"
)

// keysetTokenID is the name of the sealed key of token ids in the store.
const keysetTokenID = "token_id"

// openTokenIDs opens the key of token ids, or draws it if there is none yet.
func (h *house) openTokenIDs(ctx context.Context) error {
	sealed, err := h.keysetOrDrawn(ctx, keysetTokenID, keyring.NewTokenIDKey)
	if err != nil {
		return err
	}
	h.tokenIDs, err = keyring.OpenTokenIDs(h.sealer, sealed, randomSource)
	return err
}

// keysetOrDrawn reads a sealed key, or draws it if there is none yet.
func (h *house) keysetOrDrawn(ctx context.Context, name string, draw func(io.Reader, *keyring.Sealer) ([]byte, error)) (sealed []byte, err error) {
	sealed, err = h.store.Keyset(ctx, name)
	if !errors.Is(err, keystile.ErrNotFound) {
		return sealed, err
	}
	drawn, err := draw(randomSource, h.sealer)
	if err != nil {
		return nil, err
	}
	err = h.store.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if sealed, err = tx.Keyset(ctx, name); !errors.Is(err, keystile.ErrNotFound) {
			return err // nil: another process was first
		}
		sealed = drawn
		return tx.PutKeyset(ctx, name, drawn)
	})
	return sealed, err
}

// tokenSettings are what configuration says of session tokens.
type tokenSettings struct {
	issuer                 string
	algorithm              keystile.SigningAlgorithm
	onaIssuer, onaAudience string
	onaSecret              keystile.Secret
	onaLife, naoLife       time.Duration
}

func tokenSettingsOf(cfg *config.Config) tokenSettings {
	t := tokenSettings{issuer: issuerOf(cfg), algorithm: keystile.SigningAlgorithm(cfg.Tokens.Algorithm)}
	if d := cfg.Dialects.ONA; d != nil {
		t.onaIssuer, t.onaAudience, t.onaSecret, t.onaLife = d.JWT.Issuer, d.JWT.Audience, d.JWT.Secret, d.JWT.TTL
	}
	if d := cfg.Dialects.NAO; d != nil {
		t.naoLife = d.JWTTTL
	}
	return t
}

// life is the longest that a session token lives.
func (t *tokenSettings) life() time.Duration {
	return max(t.onaLife, t.naoLife, sessionjwt.DefaultLife)
}

// issuerOf is the server's own name in tokens: "iss".
func issuerOf(cfg *config.Config) string {
	if cfg.PublicURL != "" {
		return cfg.PublicURL
	}
	return "http://" + cfg.Listen
}

// ensureTokenKeys makes the keys that session tokens are signed with, if there are
// none yet.
func (h *house) ensureTokenKeys(ctx context.Context, t *tokenSettings) error {
	needed := []keystile.SigningAlgorithm{t.algorithm}
	if t.onaSecret == "" {
		needed = append(needed, keystile.HS256)
	}
	return h.service.EnsureTokenKeys(ctx, store.Actor{Name: "system"}, needed...)
}

// newTokenKeys are the keys of session tokens, as the store has them.
func (h *house) newTokenKeys(t *tokenSettings) *keyring.TokenKeys {
	return keyring.NewTokenKeys(keyring.TokenKeysOptions{Load: h.service.TokenSet, Secret: t.onaSecret, Now: time.Now})
}

// newSessions is the kind that proves session tokens.
func (h *house) newSessions(t *tokenSettings, keys *keyring.TokenKeys, o sessionjwt.Options) (*sessionjwt.Kind, error) {
	o.Find, o.Keys, o.IDs, o.Now = findSessions(h.store), keys, h.tokenIDs, time.Now
	o.Issuer, o.OnaIssuer, o.OnaAudience = t.issuer, t.onaIssuer, t.onaAudience
	return sessionjwt.New(o)
}

// newMinter makes the tokens of sessions.
func (h *house) newMinter(t *tokenSettings, keys *keyring.TokenKeys) (*sessionjwt.Minter, error) {
	return sessionjwt.NewMinter(sessionjwt.MinterOptions{
		Keys: keys, IDs: h.tokenIDs, Issuer: t.issuer, Algorithm: t.algorithm, OnaLife: t.onaLife,
		OnaIssuer: t.onaIssuer, OnaAudience: t.onaAudience, Now: time.Now,
	})
}

// buildTokens makes what signs, proves and takes in session tokens.
func (s *server) buildTokens(ctx context.Context, _ *app) error {
	t := tokenSettingsOf(s.cfg)
	s.house.service.TokenLife = t.life()
	s.seen = usage.New(s.house.store.TouchSessions, s.log)
	if err := s.house.ensureTokenKeys(ctx, &t); err != nil {
		return err
	}
	s.tokenKeys = s.house.newTokenKeys(&t)
	// Before the kinds: when they drop what a change made stale, the keys know of it.
	s.feed.Subscribe(s.tokenKeys.Apply)
	var err error
	if s.minter, err = s.house.newMinter(&t, s.tokenKeys); err != nil {
		return err
	}
	s.sessions, err = s.house.newSessions(&t, s.tokenKeys, sessionjwt.Options{
		Fresh: s.feed.Fresh, Used: s.noteSession, MaxEntries: s.cfg.Limits.WarmCredentials, MaxRejections: s.cfg.Limits.WarmRefusals,
		Lookups: s.cfg.Limits.Lookups, LookupBatch: s.cfg.Limits.LookupBatch,
	})
	if err != nil {
		return err
	}
	s.feed.Subscribe(s.sessions.Apply)
	return s.buildFederation()
}

// buildFederation makes what verifies the tokens of identity providers.
func (s *server) buildFederation() error {
	var err error
	if s.fetcher, err = newFetcher(s.cfg, s.options.demo); err != nil {
		return err
	}
	s.federation, err = federation.New(federation.Options{
		Find: findProviders(s.house.store), Of: providersOf(s.house.store), Open: s.house.sealer.Open, Fetch: s.fetcher.Get, Now: time.Now,
	})
	if err != nil {
		return err
	}
	s.feed.Subscribe(s.federation.Apply)
	return nil
}

// newFetcher makes what fetches from outside.
func newFetcher(cfg *config.Config, demo bool) (*outbound.Client, error) {
	o, err := outboundOptions(cfg, demo)
	if err != nil {
		return nil, err
	}
	return outbound.New(o), nil
}

// outboundOptions say what may be reached outside. The demo's whole world is on this machine.
func outboundOptions(cfg *config.Config, demo bool) (outbound.Options, error) {
	o := outbound.Options{AllowPrivate: slices.Clone(cfg.Outbound.AllowPrivate)}
	if demo {
		o.AllowPrivate = append(o.AllowPrivate, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	if cfg.Outbound.Proxy != "" {
		proxy, err := url.Parse(cfg.Outbound.Proxy)
		if err != nil {
			return o, fmt.Errorf("outbound.proxy: %w", err)
		}
		o.Proxy = proxy
	}
	return o, nil
}

// findProviders is federation's view of the store.
func findProviders(st *store.Store) func(context.Context, string) (keystile.IdentityProvider, keystile.Organization, error) {
	return func(ctx context.Context, name string) (keystile.IdentityProvider, keystile.Organization, error) {
		found, err := st.FindIdentityProvider(ctx, name)
		return found.Provider, found.Organization, err
	}
}

// providersOf lists every identity provider of an organisation.
func providersOf(st *store.Store) func(context.Context, string) ([]keystile.IdentityProvider, error) {
	return func(ctx context.Context, organizationID string) ([]keystile.IdentityProvider, error) {
		var all []keystile.IdentityProvider
		for f := (store.IdentityProviderFilter{OrganizationID: organizationID}); ; {
			page, err := st.IdentityProviders(ctx, f)
			if err != nil || len(page) == 0 {
				return all, err
			}
			all = append(all, page...)
			f.AfterID = page[len(page)-1].Name
		}
	}
}

// findSessions is the session kind's view of the store.
func findSessions(st *store.Store) func(context.Context, string) (sessionjwt.Record, error) {
	return func(ctx context.Context, id string) (sessionjwt.Record, error) {
		found, err := st.FindSession(ctx, id)
		return sessionjwt.Record{
			Session: found.Session, User: found.User, Organization: found.Organization, Role: found.Role, SiteIDs: found.SiteIDs, ParentsLive: found.ParentsLive,
		}, err
	}
}
