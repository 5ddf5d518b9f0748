package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

const (
	// flowShare is one code flow, with its code, grant, access token and refresh token, for as many tokens of clients' own.
	flowShare = 20
	// shortBatch is how many tokens share a transaction.
	shortBatch = 250
)

// shortLived issues access tokens, lets them end and purges them, -rounds
// times: what issuing writes must be gone after each, so that the tables are flat however
// many tokens there were. It is no part of a run of everything unless -huge is.
func (b *bench) shortLived(ctx context.Context) (err error) {
	if !b.huge && b.only != "tokens" {
		return nil
	}
	dir := filepath.Join(b.dir, "tokens")
	if _, err := b.keystile(ctx, "init", dir); err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "keystile.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	t := &tokenTurns{store: st, now: time.Now().UTC().Truncate(time.Microsecond)}
	if err := t.seed(ctx); err != nil {
		return err
	}
	for turn := range b.rounds {
		if err := b.tokenTurn(ctx, t, turn+1); err != nil {
			return err
		}
	}
	return nil
}

// tokenTurns is a store of access tokens under way.
type tokenTurns struct {
	store *store.Store
	now   time.Time
	next  uint64
}

// seed makes the client, and the person that it acts for.
func (t *tokenTurns) seed(ctx context.Context) error {
	service := &manage.Service{Store: t.store, Now: time.Now}
	return t.store.Mutate(ctx, store.Actor{Name: "load"}, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateOrganization(ctx, keystile.Organization{ID: "load", Name: "Load", Environment: keystile.Production}); err != nil {
			return err
		}
		_, err := service.CreateApplicationTx(ctx, tx, keystile.Application{
			ID: exchangeApplication, OrganizationID: "load", Name: "Roofs", Kind: keystile.ApplicationBackend, Environment: keystile.Production, Review: keystile.ReviewApproved,
		})
		user := keystile.User{ID: "user_load", OrganizationID: "load", Username: "load@example.com"}
		return errors.Join(err,
			tx.CreateUser(ctx, user, store.SignInName{Name: user.Username, Skeleton: user.Username}),
			tx.CreateOAuthClient(ctx, keystile.OAuthClient{ID: flowClient, ApplicationID: exchangeApplication, Scopes: []keystile.Scope{"sites:read"}, GrantTypes: []keystile.GrantType{keystile.GrantClientCredentials}}))
	})
}

// token is a new access token; grant is empty where nobody authorized it.
func (t *tokenTurns) token(grant string) keystile.OAuthToken {
	t.next++
	token := keystile.OAuthToken{
		Digest: numbered(t.next), ID: fmt.Sprintf("oat_%024d", t.next), PepperID: "load", GrantID: grant, ClientID: flowClient, Scopes: []keystile.Scope{"sites:read"},
		CreatedAt: t.now, ExpiresAt: t.now.Add(keystile.OAuthTokenLife),
	}
	if grant != "" {
		token.UserID = "user_load"
	}
	return token
}

// flow makes a code and redeems it for a grant that ends as its token does.
func (t *tokenTurns) flow(ctx context.Context) error {
	grant := keystile.OAuthGrant{
		ID: fmt.Sprintf("gra_%024d", t.next), ClientID: flowClient, UserID: "user_load", SessionID: "ses_load", Scopes: []keystile.Scope{"openid", "sites:read"},
		Methods: []keystile.AuthMethod{keystile.MethodPassword}, AuthenticatedAt: t.now, CreatedAt: t.now, ExpiresAt: t.now.Add(keystile.OAuthTokenLife),
	}
	code := keystile.OAuthCode{Grant: grant, PepperID: "load", RedirectURI: flowCallback, CreatedAt: t.now, ExpiresAt: t.now.Add(keystile.OAuthCodeLife)}
	token := t.token(grant.ID)
	t.next++
	code.Digest = numbered(t.next)
	if err := t.store.CreateOAuthCode(ctx, code); err != nil {
		return err
	}
	t.next++
	made, err := t.store.IssueOAuth(ctx, store.OAuthIssue{
		At: t.now, Code: &code.Digest, Grant: &grant, Token: token,
		NextRefresh: &keystile.OAuthRefreshToken{Digest: numbered(t.next), PepperID: "load", GrantID: grant.ID, CreatedAt: t.now, ExpiresAt: grant.ExpiresAt},
	})
	if err == nil && !made {
		err = errors.New("a code was not redeemed")
	}
	return err
}

// fill issues n tokens of clients' own and the flows that come with them, and writes
// their audit events as a server does a moment later.
func (t *tokenTurns) fill(ctx context.Context, n int) error {
	for made := 0; made < n; made += shortBatch {
		batch := make([]keystile.OAuthToken, min(shortBatch, n-made))
		for i := range batch {
			batch[i] = t.token("")
		}
		if err := t.store.CreateOAuthTokens(ctx, batch); err != nil {
			return err
		}
		for range len(batch) / flowShare {
			if err := t.flow(ctx); err != nil {
				return err
			}
		}
	}
	for {
		if n, err := t.store.AuditIssued(ctx, 1000); err != nil || n == 0 {
			return err
		}
	}
}

// oauthTables are those that issuing writes to, besides the audit log.
var oauthTables = []string{"oauth_codes", "oauth_grants", "oauth_tokens", "oauth_refresh_tokens"}

// megabytes is what tables take with their indexes.
func (t *tokenTurns) megabytes(ctx context.Context, tables ...string) (all float64, err error) {
	for _, table := range tables {
		n, err := t.store.TableSize(ctx, table)
		if err != nil {
			return 0, err
		}
		all += float64(n) / 1e6
	}
	return all, nil
}

func (b *bench) tokenTurn(ctx context.Context, t *tokenTurns, turn int) error {
	b.note("turn %d: issuing %d access tokens, and a code flow for every %d", turn, b.shortTokens, flowShare)
	began := time.Now()
	if err := t.fill(ctx, b.shortTokens); err != nil {
		return err
	}
	say := func(name string, value float64, unit, goal string) {
		b.report.figure(fmt.Sprintf("turn %d: %s", turn, name), value, unit, goal)
	}
	say("seconds to issue them", time.Since(began).Seconds(), "s", "")
	full, err := t.megabytes(ctx, oauthTables...)
	if err != nil {
		return err
	}
	say("tables of codes, grants and tokens before the purge", full, "MB", "")
	t.now = t.now.Add(keystile.OAuthTokenLife + 2*time.Hour)
	b.note("turn %d: purging them", turn)
	began = time.Now()
	for {
		n, err := t.store.PurgeOAuth(ctx, t.now.Add(-time.Hour), purgeBatch)
		if err != nil {
			return err
		}
		if n < purgeBatch {
			break
		}
	}
	say("seconds to purge them", time.Since(began).Seconds(), "s", "")
	empty, err := t.megabytes(ctx, oauthTables...)
	if err != nil {
		return err
	}
	events, err := t.megabytes(ctx, "audit_events")
	if err != nil {
		return err
	}
	say("tables of codes, grants and tokens after the purge", empty, "MB", "")
	say("the audit log, which keeps an event of each", events, "MB", "")
	return nil
}
