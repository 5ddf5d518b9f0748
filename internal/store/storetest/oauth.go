package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// OAuthClient is the client of application n with every member set.
func OAuthClient(n int) keystile.OAuthClient {
	return keystile.OAuthClient{
		ID: ApplicationID(n), ApplicationID: ApplicationID(n), JWKS: `{"keys":[]}`, RedirectURIs: []string{"https://app.example.com/cb", "http://127.0.0.1/cb"},
		PostLogoutRedirectURIs: []string{"https://app.example.com/bye"}, GrantTypes: []keystile.GrantType{keystile.GrantAuthorizationCode, keystile.GrantRefreshToken},
		Scopes: []keystile.Scope{"openid", "sites:read"}, Audiences: []string{"https://api.example.com"}, Serves: []string{"https://own.example.com"},
		TokenFormat: keystile.TokenOpaque, FirstParty: true, IDTokenAlgorithm: keystile.EdDSA, Pairwise: true, DPoP: true, PushedOnly: true,
		TLSSubject: "dns:batch.example.com", SelfSignedTLS: true, CertificateBound: true, DPoPNonce: true,
		Backchannel:  keystile.LogoutURI{URI: "https://app.example.com/backchannel", SessionRequired: true},
		Frontchannel: keystile.LogoutURI{URI: "https://app.example.com/frontchannel", SessionRequired: true},
		CreatedAt:    T0, UpdatedAt: T0,
	}
}

func createClient(c keystile.OAuthClient) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.CreateOAuthClient(ctx, c) }
}

// oauthSeeded has application 1 of north with its client, and user "user_ann" of south.
func oauthSeeded(t *testing.T, s *store.Store) {
	t.Helper()
	Seed(t, s)
	Must(t, s, createApplication(Application(1, "north")))
	Must(t, s, createClient(OAuthClient(1)))
	Must(t, s, CreateUser("user_ann", "south"))
}

func oauthGrant(n int) keystile.OAuthGrant {
	return keystile.OAuthGrant{
		ID: fmt.Sprintf("gra_%d", n), ClientID: ApplicationID(1), UserID: "user_ann", SessionID: "ses_1", Scopes: []keystile.Scope{"openid", "sites:read"},
		Audiences: []string{"https://api.example.com"}, Methods: []keystile.AuthMethod{keystile.MethodPassword, keystile.MethodMFA}, AuthenticatedAt: T0,
		Nonce: "n", Thumbprint: "t", UserinfoClaims: []string{"email", "name"}, IDTokenClaims: []string{"name"}, ACR: "urn:keystile:acr:mfa", CreatedAt: T0, ExpiresAt: T0.Add(1000 * time.Hour),
	}
}

func oauthCode(n int) keystile.OAuthCode {
	g := oauthGrant(n)
	g.CreatedAt, g.ExpiresAt = time.Time{}, time.Time{}
	return keystile.OAuthCode{
		Digest: partnerDigest(1000 + n), PepperID: "p1", Grant: g, RedirectURI: "https://app.example.com/cb", Challenge: "challenge", CreatedAt: T0, ExpiresAt: T0.Add(time.Minute),
	}
}

func oauthToken(n int, grant string) keystile.OAuthToken {
	return keystile.OAuthToken{
		ID: fmt.Sprintf("oat_%d", n), Digest: partnerDigest(2000 + n), PepperID: "p1", GrantID: grant, ClientID: ApplicationID(1), UserID: "user_ann",
		Scopes: []keystile.Scope{"openid", "sites:read"}, Audiences: []string{"https://api.example.com"}, Thumbprint: "t", Actor: "a", ParentID: "p", CreatedAt: T0, ExpiresAt: T0.Add(2 * time.Hour),
	}
}

func oauthRefresh(n int, grant string) *keystile.OAuthRefreshToken {
	return &keystile.OAuthRefreshToken{Digest: partnerDigest(3000 + n), PepperID: "p1", GrantID: grant, CreatedAt: T0, ExpiresAt: T0.Add(720 * time.Hour)}
}

// issueByCode is a token request with code n.
func issueByCode(n int) store.OAuthIssue {
	code, grant := oauthCode(n), oauthGrant(n)
	return store.OAuthIssue{At: T0, Code: &code.Digest, Grant: &grant, Token: oauthToken(n, grant.ID), NextRefresh: oauthRefresh(n, grant.ID)}
}

var oauthBehaviours = []behaviour{
	{"a client comes back as it was registered, with its application, and changes or goes", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		want := OAuthClient(1)
		got, err := s.OAuthClient(t.Context(), want.ID)
		same(t, err, want, got)
		got, err = s.OAuthClientOfApplication(t.Context(), ApplicationID(1))
		same(t, err, want, got)
		list, err := s.OAuthClients(t.Context(), store.OAuthClientFilter{OrganizationID: "north"})
		same(t, err, []keystile.OAuthClient{want}, list)
		list, err = s.OAuthClients(t.Context(), store.OAuthClientFilter{OrganizationID: "south"})
		same(t, err, []keystile.OAuthClient{}, list)
		found, err := s.FindOAuthClient(t.Context(), want.ID)
		same(t, err, want, found.Client)
		if found.Application.Name != "Roof Tools" || found.Application.OrganizationID != "north" || found.Application.Review != keystile.ReviewApproved || found.OwnerDisabled {
			t.Errorf("found %+v", found)
		}
		refused(t, s, keystile.ErrConflict, createClient(want))
		second := want
		second.ID = "another"
		refused(t, s, keystile.ErrConflict, createClient(second))
		alone := keystile.OAuthClient{ID: "alone", Name: "By itself", Public: true, CreatedAt: T0, UpdatedAt: T0}
		Must(t, s, createClient(alone))
		found, err = s.FindOAuthClient(t.Context(), "alone")
		same(t, err, alone, found.Client)
		same(t, nil, keystile.Application{}, found.Application)

		update := func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOAuthClient(ctx, want) }
		unchanged(t, s, func() { Must(t, s, update) })
		want.RedirectURIs, want.FirstParty, want.RevokedAt = []string{"https://new.example.com/cb"}, false, T0
		Must(t, s, update)
		got, err = s.OAuthClient(t.Context(), want.ID)
		want.UpdatedAt = got.UpdatedAt
		same(t, err, want, got)
		want.RedirectURIs = []string{"https://a.example.com/ https://b.example.com/"}
		invalid(t, s, "redirect_uris[0]", update)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteApplication(ctx, ApplicationID(1)) })
		if _, err := s.OAuthClient(t.Context(), want.ID); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the client of a deleted application: %v", err)
		}
	}},
	{"client secrets are kept as digests, end by rotation and by revocation", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		for n := 1; n <= 2; n++ {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.AddOAuthSecret(ctx, keystile.OAuthSecret{ID: fmt.Sprintf("ocs_%d", n), ClientID: ApplicationID(1), Digest: partnerDigest(n), PepperID: "p1", CreatedAt: T0.Add(time.Duration(n))})
			})
		}
		end := T0.Add(time.Hour)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.ExpireOAuthSecrets(ctx, ApplicationID(1), "ocs_2", end)
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.RevokeOAuthSecret(ctx, ApplicationID(1), "ocs_2")
		})
		secrets, err := s.OAuthSecrets(t.Context(), ApplicationID(1))
		noError(t, err)
		if len(secrets) != 2 || !secrets[0].ExpiresAt.Equal(end) || secrets[0].Digest != partnerDigest(1) || secrets[1].RevokedAt.IsZero() {
			t.Errorf("secrets %+v", secrets)
		}
	}},
	{"whatever becomes of a secret is announced, as its client's application", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		for what, change := range map[string]func(context.Context, *store.Tx) error{
			"added": func(ctx context.Context, tx *store.Tx) error {
				return tx.AddOAuthSecret(ctx, keystile.OAuthSecret{ID: "ocs_1", ClientID: ApplicationID(1), Digest: partnerDigest(1), PepperID: "p1", CreatedAt: T0})
			},
			"ended": func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(
					tx.AddOAuthSecret(ctx, keystile.OAuthSecret{ID: "ocs_2", ClientID: ApplicationID(1), Digest: partnerDigest(2), PepperID: "p1", CreatedAt: T0}),
					tx.ExpireOAuthSecrets(ctx, ApplicationID(1), "none", T0.Add(time.Hour)))
			},
			"revoked": func(ctx context.Context, tx *store.Tx) error {
				return tx.RevokeOAuthSecret(ctx, ApplicationID(1), "none")
			},
		} {
			before, err := s.Revision(t.Context())
			noError(t, err)
			Must(t, s, change)
			changes, _, err := s.Changes(t.Context(), before, 10)
			noError(t, err)
			if len(changes) != 1 || changes[0].Kind != keystile.ChangeApplication || changes[0].ID != ApplicationID(1) {
				t.Errorf("%s: changes %+v", what, changes)
			}
		}
	}},
	{"tokens that nothing is spent for are written together, all or none", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		tokens := make([]keystile.OAuthToken, 100)
		for n := range tokens {
			tokens[n] = oauthToken(n, "")
		}
		noError(t, s.CreateOAuthTokens(t.Context(), tokens[:99]))
		for _, want := range tokens[:99] {
			found, err := s.FindOAuthToken(t.Context(), [][32]byte{want.Digest})
			same(t, err, want, found.Token)
		}
		if err := s.CreateOAuthTokens(t.Context(), []keystile.OAuthToken{tokens[99], tokens[0]}); err == nil {
			t.Error("a digest was written twice")
		}
		if _, err := s.FindOAuthToken(t.Context(), [][32]byte{tokens[99].Digest}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("half of what failed is there: %v", err)
		}
	}},
	{"a code comes back as it was kept and gives its tokens once", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		want := oauthCode(1)
		noError(t, s.CreateOAuthCode(t.Context(), want))
		got, err := s.FindOAuthCode(t.Context(), [][32]byte{partnerDigest(9), want.Digest})
		same(t, err, want, got)
		late := issueByCode(1)
		late.At = want.ExpiresAt
		if ok, err := s.IssueOAuth(t.Context(), late); ok || err != nil {
			t.Errorf("an expired code: %v, %v", ok, err)
		}
		if ok, err := s.IssueOAuth(t.Context(), issueByCode(1)); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		again := issueByCode(1)
		again.Token.Digest, again.NextRefresh.Digest, again.Grant.ID = partnerDigest(1), partnerDigest(2), "gra_9"
		if ok, err := s.IssueOAuth(t.Context(), again); ok || err != nil {
			t.Errorf("a spent code: %v, %v", ok, err)
		}
		if _, err := s.OAuthGrant(t.Context(), "gra_9"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("a refused request left a grant: %v", err)
		}
		grant, err := s.OAuthGrant(t.Context(), "gra_1")
		same(t, err, oauthGrant(1), grant)
	}},
	{"of 64 requests with one code, one is given tokens", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		noError(t, s.CreateOAuthCode(t.Context(), oauthCode(1)))
		once(t, func(n int) (bool, error) {
			issue := issueByCode(1)
			issue.Grant.ID, issue.Token.Digest, issue.NextRefresh.Digest = fmt.Sprintf("gra_%d", n), partnerDigest(5000+n), partnerDigest(6000+n)
			return s.IssueOAuth(t.Context(), issue)
		})
	}},
	{"of 64 rotations of one refresh token, one succeeds, and it remembers its successor", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		noError(t, s.CreateOAuthCode(t.Context(), oauthCode(1)))
		if ok, err := s.IssueOAuth(t.Context(), issueByCode(1)); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		spent := oauthRefresh(1, "gra_1").Digest
		winner := once(t, func(n int) (bool, error) {
			next := oauthRefresh(100+n, "gra_1")
			return s.IssueOAuth(t.Context(), store.OAuthIssue{At: T0, Refresh: &spent, Answer: []byte("sealed"), Token: oauthToken(100+n, "gra_1"), NextRefresh: next})
		})
		got, err := s.FindOAuthRefreshToken(t.Context(), [][32]byte{spent})
		want := *oauthRefresh(1, "gra_1")
		want.ConsumedAt, want.Successor, want.Answer = T0, oauthRefresh(100+winner, "gra_1").Digest, []byte("sealed")
		same(t, err, want, got)
	}},
	{"a token is found with all it hangs on, and each of it ends it", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		noError(t, s.CreateOAuthCode(t.Context(), oauthCode(1)))
		if ok, err := s.IssueOAuth(t.Context(), issueByCode(1)); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		find := func() store.OAuthTokenLookup {
			t.Helper()
			found, err := s.FindOAuthToken(t.Context(), [][32]byte{oauthToken(1, "gra_1").Digest})
			noError(t, err)
			return found
		}
		found := find()
		same(t, nil, oauthToken(1, "gra_1"), found.Token)
		if found.GrantGone || found.UserGone || found.Owner.ID != "north" || found.Tenant.ID != "south" || found.Grant.SessionID != "ses_1" ||
			found.Environment != keystile.Production || found.Tenant.Environment != keystile.Production || len(found.SiteIDs) != 2 || found.User.Username == "" {
			t.Errorf("found %+v", found)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeOAuthToken(ctx, found.Token, "south") })
		if find().Token.RevokedAt.IsZero() {
			t.Error("a revoked token is not")
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeOAuthGrant(ctx, "gra_1", "test") })
		unchanged(t, s, func() {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeOAuthGrant(ctx, "gra_1", "test") })
		})
		if !find().GrantGone {
			t.Error("a revoked grant is not")
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, "user_ann") })
		if !find().UserGone {
			t.Error("a deleted user is there")
		}
		if _, err := s.FindOAuthToken(t.Context(), [][32]byte{partnerDigest(9)}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("an unknown digest: %v", err)
		}
	}},
	{"a consent is remembered for each resource, and withdrawing it ends what was given", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		noError(t, s.CreateOAuthCode(t.Context(), oauthCode(1)))
		if ok, err := s.IssueOAuth(t.Context(), issueByCode(1)); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		for _, resource := range []string{"", "https://api.example.com"} {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.PutOAuthConsent(ctx, keystile.OAuthConsent{UserID: "user_ann", ClientID: ApplicationID(1), Resource: resource, Scopes: []keystile.Scope{"openid"}})
			})
		}
		list, err := s.OAuthConsents(t.Context(), "user_ann", ApplicationID(1))
		noError(t, err)
		if len(list) != 2 || list[1].Resource != "https://api.example.com" || len(list[0].Scopes) != 1 {
			t.Errorf("consents %+v", list)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.WithdrawOAuthConsents(ctx, "user_ann", ApplicationID(1))
		})
		refused(t, s, keystile.ErrNotFound, func(ctx context.Context, tx *store.Tx) error {
			return tx.WithdrawOAuthConsents(ctx, "user_ann", ApplicationID(1))
		})
		list, err = s.OAuthConsentsOfUser(t.Context(), "user_ann")
		same(t, err, []keystile.OAuthConsent{}, list)
		grant, err := s.OAuthGrant(t.Context(), "gra_1")
		noError(t, err)
		if grant.RevokedAt.IsZero() {
			t.Error("the grant lives on")
		}
	}},
	{"what has ended is purged in batches and what lives stays", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		for n := 1; n <= 5; n++ {
			noError(t, s.CreateOAuthCode(t.Context(), oauthCode(n)))
			if ok, err := s.IssueOAuth(t.Context(), issueByCode(n)); !ok || err != nil {
				t.Fatalf("%v, %v", ok, err)
			}
		}
		for _, want := range []int64{2, 2, 1, 0} {
			got, err := s.PurgeOAuth(t.Context(), T0.Add(3*time.Hour), 2)
			same(t, err, want, got)
		}
		if _, err := s.FindOAuthToken(t.Context(), [][32]byte{oauthToken(1, "gra_1").Digest}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("an ended token: %v", err)
		}
		if _, err := s.FindOAuthRefreshToken(t.Context(), [][32]byte{oauthRefresh(1, "gra_1").Digest}); err != nil {
			t.Errorf("a live refresh token: %v", err)
		}
	}},
}

// once runs 64 requests at once and returns which of them was the one that succeeded.
func once(t *testing.T, request func(n int) (bool, error)) (winner int) {
	t.Helper()
	var begin, done sync.WaitGroup
	var wins, last atomic.Int64
	begin.Add(1)
	for n := range 64 {
		done.Add(1)
		go func() {
			defer done.Done()
			begin.Wait()
			ok, err := request(n)
			if err != nil {
				t.Errorf("request %d: %v", n, err)
			}
			if ok {
				wins.Add(1)
				last.Store(int64(n))
			}
		}()
	}
	begin.Done()
	done.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d of 64 succeeded", wins.Load())
	}
	return int(last.Load())
}
