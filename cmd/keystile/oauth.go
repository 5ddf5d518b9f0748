package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/internal/dpop"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/outbound"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/store"
)

// keysetPairwise names the key of pairwise subjects, and pairwisePlace binds it to its row.
const (
	keysetPairwise = "pairwise"
	pairwisePlace  = "keysets/pairwise/sealed"
)

// buildOAuth makes the kind that proves access tokens and the server that issues them.
func (s *server) buildOAuth(ctx context.Context, _ *app) error {
	var err error
	s.access, err = s.house.newAccessTokens(oauthtoken.Options{
		Ledger: spentProofs{spentNonces{s.ledger}}, Fresh: s.feed.Fresh, MaxEntries: s.cfg.Limits.WarmCredentials, MaxRejections: s.cfg.Limits.WarmRefusals,
		Lookups: s.cfg.Limits.Lookups, LookupBatch: s.cfg.Limits.LookupBatch,
	})
	if err != nil {
		return err
	}
	s.feed.Subscribe(s.access.Apply)
	pairwise, err := s.house.secretKey(ctx, keysetPairwise, pairwisePlace)
	if err != nil {
		return err
	}
	certificates, err := s.mutualTLS()
	if err != nil {
		return err
	}
	s.oauth, err = oidc.New(oidc.Options{
		Store: s.house.store, Digester: s.house.digester, Sealer: s.house.sealer, Keys: &signingKeys{TokenKeys: s.tokenKeys, service: s.house.service},
		Tokens: s.access, Claim: s.claimOnce, CheckClient: checkOAuthClient, Issuer: issuerOf(s.cfg), Algorithm: keystile.SigningAlgorithm(s.cfg.Tokens.Algorithm), PairwiseKey: pairwise,
		Tell: s.tellClient, Foreign: s.exchangeForeign, Assertions: s.readAssertion, Documents: clientmetadata.NewDocuments(s.fetchDocument, time.Now).Find, ClientAddr: s.clientAddr, RequestID: s.requestID, Random: randomSource, Now: time.Now, Logger: s.log,
		Offered: s.offeredScopes, MTLS: certificates, Fresh: s.feed.Fresh,
	})
	if err != nil {
		return err
	}
	s.feed.Subscribe(s.oauth.Apply)
	return nil
}

// maxOffered bounds the scopes that a client gets which names none.
const maxOffered = 50

// offeredScopes are those that the routes which take access tokens ask for.
func (s *server) offeredScopes() []keystile.Scope {
	var scopes []keystile.Scope
	for _, route := range s.gate.Table().Routes() {
		if slices.Contains(route.Accept, keystile.KindOAuthToken) {
			scopes = append(scopes, route.Scopes...)
		}
	}
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	return scopes[:min(len(scopes), maxOffered)]
}

// mutualTLS is the listener that asks for certificates, as the authorization server knows it.
func (s *server) mutualTLS() (*oidc.MutualTLS, error) {
	if s.cfg.MTLS.Listen == "" {
		return nil, nil
	}
	authorities, err := clientAuthorities(s.cfg)
	return &oidc.MutualTLS{URL: s.cfg.MTLS.URL, Authorities: authorities}, err
}

// fetchDocument gets what a client says of itself, through the guard.
func (s *server) fetchDocument(ctx context.Context, address string, limit int64) (int, http.Header, []byte, error) {
	answer, err := s.fetcher.Do(ctx, outbound.Request{URL: address}, limit)
	return answer.Status, answer.Header, answer.Body, err
}

// tellClient posts a form to a client, through the guard.
func (s *server) tellClient(ctx context.Context, address string, form url.Values) (int, error) {
	return s.teller.Send(ctx, outbound.Request{
		Method: http.MethodPost, URL: address, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte(form.Encode()),
	})
}

// checkOAuthClient completes a client and checks it as management does.
func checkOAuthClient(c keystile.OAuthClient) (keystile.OAuthClient, error) {
	c = manage.CompleteOAuthClient(c)
	return c, manage.CheckOAuthClient(c)
}

// newAccessTokens is the kind that proves access tokens on this store.
func (h *house) newAccessTokens(o oauthtoken.Options) (*oauthtoken.Kind, error) {
	o.Find, o.Digester, o.Now = findAccessTokens(h.store), h.digester, time.Now
	return oauthtoken.New(o)
}

// findAccessTokens is the kind's view of the store.
func findAccessTokens(st *store.Store) oauthtoken.Find {
	return func(ctx context.Context, digests [][32]byte) (oauthtoken.Record, error) {
		f, err := st.FindOAuthToken(ctx, digests)
		if err != nil {
			return oauthtoken.Record{}, err
		}
		return oauthtoken.Record{
			Token: f.Token, Client: f.Client, GrantGone: f.GrantGone, GrantApplication: f.GrantApplication, Grant: f.Grant, Review: f.Review, Environment: f.Environment, Owner: f.Owner,
			UserGone: f.UserGone, User: f.User, Tenant: f.Tenant, RoleScopes: f.RoleScopes, SiteIDs: f.SiteIDs,
		}, nil
	}
}

// spentProofs is the ledger as the kind of access tokens asks it.
type spentProofs struct{ ledger onetime.Ledger }

// Claim implements oauthtoken.Ledger.
func (s spentProofs) Claim(ctx context.Context, n dpop.Nonce) error {
	return s.ledger.Claim(ctx, proofNonce(n))
}

// Spent implements oauthtoken.Ledger.
func (s spentProofs) Spent(ctx context.Context, n dpop.Nonce) error {
	return s.ledger.Spent(ctx, proofNonce(n))
}

// proofNonce is the nonce of a proof, whose scope and value always stand apart.
func proofNonce(n dpop.Nonce) onetime.Nonce {
	return onetime.Nonce{Scope: n.Scope, Value: n.Value, Stamp: n.Stamp, LastValid: n.LastValid}
}

// claimOnce spends what clients may use once, in the ledger of the server.
func (s *server) claimOnce(ctx context.Context, scope, value string, stamp, lastValid time.Time) error {
	return s.ledger.Claim(ctx, replay.Nonce{Scope: scope, Value: value, Stamp: stamp, LastValid: lastValid})
}

// signingKeys are the token keys, one of which is made when a client first asks for its
// algorithm: most servers never need more than one.
type signingKeys struct {
	*keyring.TokenKeys
	service *manage.Service
	mu      sync.Mutex
	made    map[keystile.SigningAlgorithm]bool
}

// SignAs implements oidc.Keys.
func (k *signingKeys) SignAs(ctx context.Context, algorithm keystile.SigningAlgorithm, typ string, claims []byte) (keystile.Secret, error) {
	token, err := k.TokenKeys.SignAs(ctx, algorithm, typ, claims)
	if err == nil || !errors.Is(err, keystile.ErrUnavailable) {
		return token, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.made[algorithm] {
		if err := k.service.EnsureTokenKeys(ctx, store.Actor{Name: "system"}, algorithm); err != nil {
			return "", err
		}
		if k.made == nil {
			k.made = map[keystile.SigningAlgorithm]bool{}
		}
		k.made[algorithm] = true
	}
	return k.TokenKeys.SignAs(ctx, algorithm, typ, claims)
}

// oauthEndpoints are those that clients call.
func (s *server) oauthEndpoints() []endpoint {
	own := make([]endpoint, len(oidc.Paths))
	for i, path := range oidc.Paths {
		own[i] = endpoint{path: path, handler: s.tracer.Wrap(s.oauth)}
	}
	return own
}

const (
	// oauthPurgeInterval and oauthPurgeBatch keep each purge short: a token request waits for
	// one batch at most.
	oauthPurgeInterval = 30 * time.Second
	oauthPurgeBatch    = 500
	// oauthKept is how long what ended is still told apart from what never was.
	oauthKept = time.Hour
	// unusedKept is how long a client that registered itself is kept without being used
	// (rulings R41).
	unusedKept = 30 * 24 * time.Hour
)

// purgeOAuth removes ended codes, tokens and grants.
func (s *server) purgeOAuth(ctx context.Context) {
	every(ctx, oauthPurgeInterval, func() {
		for {
			most, err := s.house.store.PurgeOAuth(ctx, time.Now().Add(-oauthKept), oauthPurgeBatch)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("ended access tokens could not be purged", slog.Any("error", err))
			}
			if err == nil {
				var n int64
				n, err = s.house.store.PurgeOAuthClients(ctx, time.Now().Add(-unusedKept), oauthPurgeBatch)
				most = max(most, n)
			}
			if err != nil || most < oauthPurgeBatch {
				return
			}
		}
	})
}
