package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/store"
)

// receiver is a client's server that is told of sign-outs.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	tokens []string
	// busy: that many requests are answered with 503 first.
	busy int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if q.Method != http.MethodPost || q.URL.Path != "/backchannel" || q.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || q.Header.Get("Cookie") != "" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if r.busy--; r.busy >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.tokens = append(r.tokens, q.PostFormValue("logout_token"))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.tokens...)
}

const ownMachine = "\noutbound: {allow_private: [127.0.0.0/8]}\n"

// enter signs ann in to roof-tools and returns the ID token.
func (b *browser) enter() string {
	b.r.t.Helper()
	w := b.open(authorization(nil))
	if w.Code == http.StatusOK {
		w = b.allow(w.Body.String())
	}
	u := must(url.Parse(w.Header().Get("Location")))(b.r.t)
	return text(b.r.t, b.r.redeem(u.Query().Get("code")), "id_token")
}

// TestWhoeverEndsASessionItsClientsAreTold: by a request with a token that the keys of
// the server verify, whatever ended the session.
func TestWhoeverEndsASessionItsClientsAreTold(t *testing.T) {
	rp := newReceiver(t)
	r := startProvider(t, ownMachine, `backchannel_logout_uri: "`+rp.URL+`/backchannel", backchannel_logout_session_required: true, post_logout_redirect_uris: ["https://app.example.com/bye"]`)
	formToken := regexp.MustCompile(`name="token" value="([^"]+)"`)
	for n, c := range []struct {
		name string
		end  func(b *browser, id string)
	}{
		{"the client asks for it", func(b *browser, id string) {
			w := b.open("/oauth/logout?" + url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {"https://app.example.com/bye"}, "state": {"s"}}.Encode())
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "https://app.example.com/bye?state=s" {
				t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
			}
		}},
		{"sign out on the account page", func(b *browser, _ string) {
			page := b.open("/account").Body.String()
			if w := b.post("/logout", url.Values{"token": {formToken.FindStringSubmatch(page)[1]}}); w.Code != http.StatusSeeOther {
				t.Errorf("%d", w.Code)
			}
		}},
		{"an administrator revokes it", func(_ *browser, id string) {
			status, body := r.call(http.MethodPost, "/v1/sessions/"+sidOf(t, id)+"/revoke", bearerOf(r.token), "{}")
			if status/100 != 2 {
				t.Errorf("%d %s", status, body)
			}
		}},
		{"the user is disabled", func(*browser, string) {
			r.mutate(func(ctx context.Context, tx *store.Tx) error {
				users, err := tx.Users(ctx, store.UserFilter{OrganizationID: "nao-corp"})
				if err != nil {
					return err
				}
				u := users[0]
				u.Disabled = true
				names, err := tx.UserNames(ctx, u.ID)
				return errors.Join(err, tx.UpdateUser(ctx, u, names...))
			})
		}},
	} {
		b := r.browser()
		b.signIn()
		id := b.enter()
		if got := rp.told(); len(got) != n {
			t.Fatalf("%s: told before: %v", c.name, got)
		}
		c.end(b, id)
		eventually(t, func() error {
			if got := rp.told(); len(got) != n+1 {
				return fmt.Errorf("%s: %d were told", c.name, len(got))
			}
			return nil
		})
		token := must(jws.Parse(rp.told()[n]))(t)
		status, keys := r.call(http.MethodGet, "/.well-known/jwks.json", nil, "")
		set := must(jws.ParseSet([]byte(keys)))(t)
		if status != http.StatusOK || !set.Verify(token) || token.Type != "logout+jwt" {
			t.Errorf("%s: %+v", c.name, token)
		}
		got, want := payloadOf(t, rp.told()[n]), payloadOf(t, id)
		for _, name := range []string{"iss", "aud", "sub", "sid"} {
			if got[name] != want[name] || got[name] == nil {
				t.Errorf("%s: %s is %v, and the ID token said %v", c.name, name, got[name], want[name])
			}
		}
	}
}

// TestThreat13_ALogoutTokenIsPostedToNothingInside: what a client registers leads to no
// machine of ours, unless the operator names its network.
func TestThreat13_ALogoutTokenIsPostedToNothingInside(t *testing.T) {
	rp := newReceiver(t)
	r := startProvider(t, "", `backchannel_logout_uri: "`+rp.URL+`/backchannel"`)
	b := r.browser()
	b.signIn()
	b.open("/oauth/logout?id_token_hint=" + b.enter())
	eventually(t, func() error {
		if !strings.Contains(r.log.String(), "a client was not told of a sign-out") {
			return errors.New("it was not tried")
		}
		return nil
	})
	if !strings.Contains(r.log.String(), "is not an address of the public internet") || len(rp.told()) > 0 {
		t.Errorf("told %v; the log says: %s", rp.told(), r.log)
	}
}

// TestProvingOnceMoreWhoOneIsSignsNobodyOut: a client that asks for a fresh sign-in does
// not end what another client has.
func TestProvingOnceMoreWhoOneIsSignsNobodyOut(t *testing.T) {
	rp := newReceiver(t)
	r := startProvider(t, ownMachine, `backchannel_logout_uri: "`+rp.URL+`/backchannel"`)
	b := r.browser()
	b.signIn()
	first := payloadOf(t, b.enter())
	b.signIn()
	second := payloadOf(t, b.enter())
	if first["sid"] == second["sid"] {
		t.Fatal("the session is the same: nothing is shown")
	}
	if live := must(r.server.house.store.OAuthVisits(t.Context(), fmt.Sprint(second["sid"])))(t); len(live) != 2 {
		t.Errorf("the second sign-in ended what the first had: %+v", live)
	}
	page := b.open("/account").Body.String()
	b.post("/logout", url.Values{"token": {regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(page)[1]}})
	// Told of both, at once.
	eventually(t, func() error {
		var sids []any
		for _, token := range rp.told() {
			sids = append(sids, payloadOf(t, token)["sid"])
		}
		if len(sids) < 2 {
			return fmt.Errorf("told of %v", sids)
		}
		return nil
	})
	said := map[any]bool{}
	for _, token := range rp.told() {
		said[payloadOf(t, token)["sid"]] = true
	}
	if diff := cmp.Diff(map[any]bool{first["sid"]: true, second["sid"]: true}, said); diff != "" {
		t.Error(diff)
	}
}

// TestASignOutLoadsThePagesOfItsClientsAndNoOthers (OpenID Connect Front-Channel Logout).
func TestASignOutLoadsThePagesOfItsClientsAndNoOthers(t *testing.T) {
	r := startProvider(t, "", `frontchannel_logout_uri: "https://app.example.com/front?a=b", post_logout_redirect_uris: ["https://app.example.com/bye"]`)
	b := r.browser()
	b.signIn()
	bare := b.open("/oauth/logout")
	if bare.Code != http.StatusOK || strings.Contains(bare.Body.String(), "<iframe") || !strings.Contains(bare.Body.String(), "Sign out?") {
		t.Fatalf("a link of anybody's: %d %s", bare.Code, bare.Body)
	}
	id := b.enter()
	sid := sidOf(t, id)
	w := b.open("/oauth/logout?" + url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {"https://app.example.com/bye"}, "state": {"a&b"}}.Encode())
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	frame := `<iframe src="https://app.example.com/front?a=b&amp;iss=` + url.QueryEscape(issuerOf(r.cfg)) + `&amp;sid=` + sid + `"`
	switch {
	case w.Code != http.StatusOK || !strings.Contains(page, frame):
		t.Errorf("%d, no %s in %s", w.Code, frame, page)
	case !strings.HasSuffix(policy, "; frame-src https://app.example.com") || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'"):
		t.Errorf("%s", policy)
	case !strings.Contains(page, `<a class="button" href="https://app.example.com/bye?state=a%26b" data-onward>`):
		t.Errorf("no way on: %s", page)
	}
	if again := b.open("/account"); again.Code != http.StatusSeeOther {
		t.Errorf("signed in still: %d", again.Code)
	}
	// Nobody is signed in: nothing is loaded for a stranger who has the link.
	if w := b.open("/oauth/logout?" + url.Values{"id_token_hint": {id}}.Encode()); strings.Contains(w.Body.String(), "<iframe") {
		t.Errorf("%s", w.Body)
	}
	// From the account page, too.
	b.signIn()
	b.enter()
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(b.open("/account").Body.String())[1]
	if w := b.post("/logout", url.Values{"token": {token}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<iframe") || !strings.Contains(w.Body.String(), `href="/login"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestALogoutPageAsksWhoeverDidNotProveThatTheyMeanThisSignIn: what the plan of
// RP-initiated logout has the person see.
func TestALogoutPageAsksWhoeverDidNotProveThatTheyMeanThisSignIn(t *testing.T) {
	r := startProvider(t, "", `post_logout_redirect_uris: ["https://app.example.com/bye"]`)
	b := r.browser()
	b.signIn()
	id := b.enter()
	old := id
	b.signIn() // another session: the token is of the one before
	for name, link := range map[string]string{
		"no parameters": "/oauth/logout", "a state alone": "/oauth/logout?state=s", "no token": "/oauth/logout?post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye&client_id=roof-tools",
		"a token of another sign-in": "/oauth/logout?id_token_hint=" + old,
	} {
		if w := b.open(link); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Sign out?") {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("Location"))
		}
	}
	for name, link := range map[string]string{
		"a token that is none": "/oauth/logout?id_token_hint=x", "an address of nobody's": "/oauth/logout?client_id=roof-tools&post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F",
		"a parameter twice": "/oauth/logout?state=a&state=b",
	} {
		if w := b.open(link); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := b.open("/account"); w.Code != http.StatusOK {
		t.Fatalf("a link of somebody's signed ann out: %d", w.Code)
	}
	// The answer to the question leads on to the client, and ends the session.
	form := fields(b.open("/oauth/logout?client_id=roof-tools&state=s&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye").Body.String())
	if w := b.post("/oauth/logout/confirm", form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "https://app.example.com/bye?state=s" {
		t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
	}
	if w := b.open("/account"); w.Code != http.StatusSeeOther {
		t.Errorf("signed in still: %d", w.Code)
	}
	// A POST does the same as the link (RP-Initiated Logout, section 2), with as few parameters.
	for name, form := range map[string]url.Values{"none": {}, "a state": {"state": {"s"}}, "an address": {"post_logout_redirect_uri": {"https://app.example.com/bye"}}} {
		if w := b.post("/oauth/logout", form); w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), "/oauth/logout") {
			t.Errorf("a POST with %s: %d %s", name, w.Code, w.Header().Get("Location"))
		}
	}
	if w := b.post("/oauth/logout", url.Values{"id_token_hint": {id}}); w.Code != http.StatusSeeOther {
		t.Errorf("a POST: %d", w.Code)
	}
}
