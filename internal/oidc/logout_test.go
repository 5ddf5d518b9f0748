package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

const backchannel = "https://app.example.com/backchannel"

// signedInAt has ann's session in the store, and app tells where it wants to know of its end.
func (w *world) signedInAt(uris ...keystile.LogoutURI) {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		session := storetest.Session("ses_1", "user_ann", "south")
		session.ExpiresAt = w.person.Session.ExpiresAt
		return tx.CreateSession(ctx, session)
	})
	w.changeClient("app", func(c *keystile.OAuthClient) {
		c.Backchannel = uris[0]
		if len(uris) > 1 {
			c.Frontchannel = uris[1]
		}
	})
}

func (w *world) logout() {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, "ses_1") })
	w.pass(time.Hour) // the store has a clock of its own
}

// telling runs the server's logouts until a condition holds.
func (w *world) telling(done func() error) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		w.server.RunLogouts(ctx)
		close(ended)
	}()
	defer func() {
		stop()
		<-ended
	}()
	deadline := time.After(time.Minute)
	for err := done(); err != nil; err = done() {
		select {
		case <-deadline:
			w.t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tokensAt are the logout tokens that were posted to an address.
func (w *world) tokensAt(address string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.told[address]...)
}

// undelivered is nil when nothing waits to be told, at whatever time.
func (w *world) undelivered() error {
	w.t.Helper()
	far := w.now().Add(10000 * time.Hour)
	claimed, err := w.store.ClaimOAuthVisits(w.t.Context(), far, far, store.VisitRoom{All: 10, Each: 10})
	if err != nil {
		return err
	}
	if len(claimed) > 0 {
		return errors.New("it waits still")
	}
	return nil
}

// TestAClientIsToldOfTheEndOfASession (OpenID Connect Back-Channel Logout, section 2.4).
func TestAClientIsToldOfTheEndOfASession(t *testing.T) {
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{URI: backchannel, SessionRequired: true})
	id := claimsOf(t, w.tokens().text("id_token"))
	w.logout()
	w.telling(w.wasTold(backchannel))
	text := w.tokensAt(backchannel)[0]
	token, err := jws.Parse(text)
	if err != nil || token.Type != "logout+jwt" || !w.keys.key.Verify(token) {
		t.Fatalf("%+v, %v", token, err)
	}
	got := claimsOf(t, text)
	events, _ := got["events"].(map[string]any) //nolint:errcheck // none is seen below
	event, there := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	now := float64(w.now().Unix())
	switch {
	case got["iss"] != issuer || got["aud"] != "app" || got["sub"] != id["sub"] || got["sid"] != id["sid"] || got["jti"] == "" || got["jti"] == nil:
		t.Errorf("%v", got)
	case len(events) != 1 || !there || len(event) != 0:
		t.Errorf("events: %v", events)
	case got["iat"] != now || got["exp"] != now+120:
		t.Errorf("times: %v", got)
	case got["nonce"] != nil:
		t.Error("a nonce: it could be taken for an ID token")
	}
	if err := w.undelivered(); err != nil {
		t.Errorf("told, and it %v", err)
	}
	// It is no ID token here either: nobody signs anybody out with it, and no one is hinted at.
	var refused *oidc.Refused
	if _, err := w.server.EndSession(t.Context(), url.Values{"id_token_hint": {text}}); !errors.As(err, &refused) {
		t.Errorf("a logout token as hint: %v", err)
	}
}

func TestAClientThatDoesNotAnswerIsToldAgainAndNotForEver(t *testing.T) {
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{URI: backchannel})
	w.tokens()
	w.answer = http.StatusServiceUnavailable
	w.logout()
	seen := map[any]bool{}
	for n := 1; n <= 6; n++ {
		w.telling(func() error {
			if len(w.tokensAt(backchannel)) < n {
				return errors.New("not tried again")
			}
			return nil
		})
		if got := w.tokensAt(backchannel); len(got) != n {
			t.Fatalf("%d tries before their time", len(got))
		}
		seen[claimsOf(t, w.tokensAt(backchannel)[n-1])["jti"]] = true
		w.pass(24 * time.Hour)
	}
	if len(seen) != 6 {
		t.Errorf("%d names for 6 tokens", len(seen))
	}
	if err := w.undelivered(); err != nil {
		t.Errorf("after the last try %v", err)
	}
}

// TestAClientThatHangsKeepsNoOtherFromBeingTold: it has more to be told than
// there is room for, and all of it was due before the other's.
func TestAClientThatHangsKeepsNoOtherFromBeingTold(t *testing.T) {
	const twins, hanging = "https://twin.example.com/backchannel", 40
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{URI: backchannel})
	w.changeClient("twin", func(c *keystile.OAuthClient) { c.Backchannel.URI = twins })
	w.hangs = backchannel
	for n := range hanging {
		session := storetest.Session(fmt.Sprintf("ses_h%d", n), "user_ann", "south")
		session.ExpiresAt = w.person.Session.ExpiresAt
		w.change(func(ctx context.Context, tx *store.Tx) error { return tx.CreateSession(ctx, session) })
		w.person.Session.ID = session.ID
		w.allow(query())
		w.change(func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, session.ID) })
	}
	w.person.Session.ID = "ses_1"
	w.allow(query("client_id", "twin"))
	w.logout()
	w.telling(func() error {
		err := w.wasTold(twins)()
		if n := w.gaveUp.Load(); err != nil && n > 0 {
			t.Fatalf("it waited until %d others were given up", n)
		}
		return err
	})
}

func TestWhoDoesNotWantToKnowOfAnEndIsNotTold(t *testing.T) {
	const twins = "https://twin.example.com/backchannel"
	for name, change := range map[string]func(*keystile.OAuthClient){
		"it does not any more": func(c *keystile.OAuthClient) { c.Backchannel = keystile.LogoutURI{} },
		"it was revoked":       func(c *keystile.OAuthClient) { c.RevokedAt = c.CreatedAt.Add(time.Second) },
	} {
		w := newWorld(t)
		w.signedInAt(keystile.LogoutURI{URI: backchannel})
		w.changeClient("twin", func(c *keystile.OAuthClient) { c.Backchannel.URI = twins })
		w.allow(query())
		w.allow(query("client_id", "twin"))
		w.changeClient("app", change)
		w.logout()
		w.telling(w.wasTold(twins))
		if got := w.tokensAt(backchannel); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
		if err := w.undelivered(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{})
	w.tokens()
	if visits, err := w.store.OAuthVisits(t.Context(), "ses_1"); err != nil || len(visits) != 0 {
		t.Errorf("kept of a client that never wanted to know: %v, %v", visits, err)
	}
}

// TestACodeOfASessionThatEndedSignsNobodyIn: the client was told before it knew the
// session, and would not be told again.
func TestACodeOfASessionThatEndedSignsNobodyIn(t *testing.T) {
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{URI: backchannel})
	code := w.allow(query()).Get("code")
	w.change(func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, "ses_1") })
	if got := w.redeem(code); got.text("error") != "invalid_grant" {
		t.Errorf("%d %v", got.status, got.body)
	}
}

// TestAPairwiseClientIsToldOfItsOwnSubject: no other client's, and not the user's id.
func TestAPairwiseClientIsToldOfItsOwnSubject(t *testing.T) {
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{URI: backchannel})
	w.changeClient("app", func(c *keystile.OAuthClient) { c.Pairwise = true })
	id := claimsOf(t, w.tokens().text("id_token"))
	w.logout()
	w.telling(w.wasTold(backchannel))
	if got := claimsOf(t, w.tokensAt(backchannel)[0]); got["sub"] != id["sub"] || got["sub"] == "user_ann" {
		t.Errorf("%v, and the ID token said %v", got["sub"], id["sub"])
	}
}

// wasTold is nil when an address was told something.
func (w *world) wasTold(address string) func() error {
	return func() error {
		if len(w.tokensAt(address)) == 0 {
			return errors.New("nothing was told")
		}
		return nil
	}
}

func TestABrowserThatSignsOutLoadsThePagesOfItsClientsAlone(t *testing.T) {
	w := newWorld(t)
	w.signedInAt(keystile.LogoutURI{}, keystile.LogoutURI{URI: "https://app.example.com/front?x=1", SessionRequired: true})
	if frames, err := w.server.LogoutFrames(t.Context(), "ses_1"); err != nil || len(frames) != 0 {
		t.Errorf("before a sign-in there: %v, %v", frames, err)
	}
	w.tokens()
	frames, err := w.server.LogoutFrames(t.Context(), "ses_1")
	want := oidc.LogoutFrame{URL: "https://app.example.com/front?x=1&iss=https%3A%2F%2Fauth.example.com&sid=ses_1", Origin: "https://app.example.com"}
	if err != nil || len(frames) != 1 || frames[0] != want {
		t.Errorf("%+v, %v", frames, err)
	}
	if frames, err := w.server.LogoutFrames(t.Context(), "ses_2"); err != nil || len(frames) != 0 {
		t.Errorf("of another session: %v, %v", frames, err)
	}
}

func TestAClientThatRegistersItselfSaysWhereItIsTold(t *testing.T) {
	w := newWorld(t)
	good := `{"redirect_uris":["https://rp.example/cb"],"backchannel_logout_uri":"https://rp.example/back","backchannel_logout_session_required":true,"frontchannel_logout_uri":"https://rp.example/front","frontchannel_logout_session_required":true}`
	got := w.json(http.MethodPost, "/oauth/register", "", good)
	if got.status != http.StatusCreated || got.text("backchannel_logout_uri") != "https://rp.example/back" || got.body["backchannel_logout_session_required"] != true ||
		got.text("frontchannel_logout_uri") != "https://rp.example/front" || got.body["frontchannel_logout_session_required"] != true {
		t.Fatalf("%d %v", got.status, got.body)
	}
	c, err := w.store.OAuthClient(t.Context(), got.text("client_id"))
	if err != nil || c.Backchannel != (keystile.LogoutURI{URI: "https://rp.example/back", SessionRequired: true}) || c.Frontchannel != (keystile.LogoutURI{URI: "https://rp.example/front", SessionRequired: true}) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{
		`{"redirect_uris":["https://rp.example/cb"],"backchannel_logout_uri":"http://rp.example/back"}`, `{"redirect_uris":["https://rp.example/cb"],"backchannel_logout_uri":"https://rp.example/back#x"}`,
		`{"redirect_uris":["https://rp.example/cb"],"backchannel_logout_uri":["https://rp.example/back"]}`, `{"redirect_uris":["https://rp.example/cb"],"backchannel_logout_session_required":"true"}`,
		`{"redirect_uris":["https://rp.example/cb"],"frontchannel_logout_uri":"javascript:alert(1)"}`,
	} {
		if got := w.json(http.MethodPost, "/oauth/register", "", bad); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", bad, got.status, got.body)
		}
	}
}
