package oidc_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// own asks for a token of the client's own and says how that was answered.
func (w *world) own(pairs ...string) string {
	w.t.Helper()
	got := w.post("/oauth/token", append([]string{"grant_type", "client_credentials", "scope", "sites:read"}, pairs...)...)
	if got.status == http.StatusOK {
		return "a token"
	}
	return got.text("error")
}

// ends are changes after which client "app" may not have a token, each with the answer.
var ends = map[string]struct {
	change func(context.Context, *store.Tx) error
	answer string
}{
	"its secret was revoked": {func(ctx context.Context, tx *store.Tx) error { return tx.RevokeOAuthSecret(ctx, "app", "ocs_app") }, "invalid_client"},
	"it was revoked": {func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.OAuthClient(ctx, "app")
		if err != nil {
			return err
		}
		c.RevokedAt = c.CreatedAt
		return tx.UpdateOAuthClient(ctx, c)
	}, "invalid_client"},
	"it was deleted": {func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOAuthClient(ctx, "app") }, "invalid_client"},
	"it may not use the grant": {func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.OAuthClient(ctx, "app")
		if err != nil {
			return err
		}
		c.GrantTypes = []keystile.GrantType{keystile.GrantRefreshToken}
		return tx.UpdateOAuthClient(ctx, c)
	}, "unauthorized_client"},
	"its application was suspended": {func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Application(ctx, storetest.ApplicationID(1))
		if err != nil {
			return err
		}
		a.Review = keystile.ReviewSuspended
		return tx.UpdateApplication(ctx, a)
	}, "invalid_client"},
	"its organisation was disabled": {func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organization(ctx, "north")
		if err != nil {
			return err
		}
		o.Disabled = true
		return tx.UpdateOrganization(ctx, o)
	}, "invalid_client"},
}

func TestARememberedClientEndsWithWhatItHangsOn(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if got := w.own(); got != "a token" {
				t.Fatalf("before: %s", got)
			}
			w.change(end.change)
			if got := w.own(); got != end.answer {
				t.Errorf("after: %s", got)
			}
		})
	}
}

// TestNothingIsRememberedWhileChangesAreNotHeard: the change that ends the client is not
// told to the server, which knows that it hears nothing.
func TestNothingIsRememberedWhileChangesAreNotHeard(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if got := w.own(); got != "a token" {
				t.Fatalf("before: %s", got)
			}
			w.deaf.Store(true)
			w.stale.Store(true)
			w.change(end.change)
			if got := w.own(); got != end.answer {
				t.Errorf("after: %s", got)
			}
		})
	}
}

// TestNobodyIsGivenTokensBecauseTheFeedIsBehind: another process made the change, and the
// feed has not told of it yet.
func TestNobodyIsGivenTokensBecauseTheFeedIsBehind(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if got := w.own(); got != "a token" {
				t.Fatalf("before: %s", got)
			}
			w.deaf.Store(true)
			w.change(end.change)
			if got := w.own(); got != end.answer {
				t.Errorf("after: %s", got)
			}
		})
	}
}

// TestAnEndedClientIsToldNothing: introspection takes clients from memory until the feed
// tells of a change, or is not heard.
func TestAnEndedClientIsToldNothing(t *testing.T) {
	for _, heard := range []bool{true, false} {
		w := newWorld(t)
		token := w.tokens().text("access_token")
		if got := w.post("/oauth/introspect", "token", token); got.body["active"] != true {
			t.Fatalf("before: %v", got.body)
		}
		w.deaf.Store(!heard)
		w.stale.Store(!heard)
		w.change(ends["its secret was revoked"].change)
		if got := w.post("/oauth/introspect", "token", token); got.text("error") != "invalid_client" {
			t.Errorf("heard %v: %v", heard, got.body)
		}
	}
}

// TestASecretThatIsNewerThanMemoryIsTaken: another server gave it, and the change has not
// arrived yet.
func TestASecretThatIsNewerThanMemoryIsTaken(t *testing.T) {
	w := newWorld(t)
	if got := w.own(); got != "a token" {
		t.Fatalf("before: %s", got)
	}
	const newer = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
	w.deaf.Store(true)
	w.change(func(ctx context.Context, tx *store.Tx) error {
		digest, pepper := hashing{}.Digest(sha256.Sum256([]byte(newer)))
		return tx.AddOAuthSecret(ctx, keystile.OAuthSecret{ID: "ocs_newer", ClientID: "app", Digest: digest, PepperID: pepper})
	})
	if got := w.own("client_secret", newer); got != "a token" {
		t.Errorf("the newer secret: %s", got)
	}
	if got := w.own("client_secret", newer+"0"); got != "invalid_client" {
		t.Errorf("one that nobody gave: %s", got)
	}
}

// TestWhatARequestDoesToAClientStaysItsOwn: a remembered client is shared by requests.
func TestWhatARequestDoesToAClientStaysItsOwn(t *testing.T) {
	w := newWorld(t)
	for range 3 { // all scopes, of which identity scopes are taken out
		got := w.post("/oauth/token", "grant_type", "client_credentials")
		if got.text("scope") != "sites:read admin:write" {
			t.Fatalf("scope %q", got.text("scope"))
		}
	}
	if got := w.tokens(); got.text("id_token") == "" {
		t.Errorf("%v", got.body)
	}
}

// TestClientsAreRememberedUnderChanges runs requests beside changes that end and restore
// the client: after each end there is no token.
func TestClientsAreRememberedUnderChanges(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	var beside sync.WaitGroup
	for range 4 {
		beside.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.own()
				}
			}
		})
	}
	for n := range 40 {
		enabled := n%2 == 1
		w.changeClient("app", func(c *keystile.OAuthClient) {
			if c.RevokedAt = c.CreatedAt; enabled {
				c.RevokedAt = keystile.OAuthClient{}.RevokedAt
			}
		})
		want := map[bool]string{true: "a token", false: "invalid_client"}[enabled]
		if got := w.own(); got != want {
			t.Errorf("change %d: %s, want %s", n, got, want)
		}
	}
	close(stop)
	beside.Wait()
}
