package oidc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/store"
)

const (
	toolID   = "https://tool.example/client.json"
	toolBack = "https://tool.example/cb"
	toolText = `{"client_id":"https://tool.example/client.json","client_name":"Tool","redirect_uris":["https://tool.example/cb"],` +
		`"grant_types":["authorization_code","refresh_token"],"scope":"openid sites:read"}`
)

func toolQuery(pairs ...string) map[string][]string {
	return query(append([]string{"client_id", toolID, "redirect_uri", toolBack}, pairs...)...)
}

func TestAClientIsFoundByTheURLOfItsDocument(t *testing.T) {
	w := newWorld(t)
	w.served = map[string]string{toolID: toolText}
	step := w.begin(toolQuery(), time.Time{})
	if step.Consent == nil || step.Consent.Verified || step.Consent.Client != "Tool (tool.example)" {
		t.Fatalf("%+v", step)
	}
	got := w.redeem(w.allow(toolQuery()).Get("code"), "client_id", toolID, "client_secret", "", "redirect_uri", toolBack)
	if got.text("scope") != "openid sites:read" || !w.good(got.text("access_token")) {
		t.Fatalf("%v", got.body)
	}
	if id := claimsOf(t, got.text("id_token")); id["aud"] != toolID {
		t.Errorf("the ID token is for %v", id["aud"])
	}
	if again := w.refresh(got.text("refresh_token"), "client_id", toolID, "client_secret", ""); again.text("access_token") == "" {
		t.Errorf("%v", again.body)
	}
	kept, err := w.store.OAuthClient(t.Context(), toolID)
	if err != nil || !kept.Public || kept.FirstParty {
		t.Fatalf("%+v, %v", kept, err)
	}
	// Nothing is written while the document stays the same, and what it takes back is gone.
	w.pass(time.Minute)
	w.begin(toolQuery(), time.Time{})
	if same, err := w.store.OAuthClient(t.Context(), toolID); err != nil || !same.UpdatedAt.Equal(kept.UpdatedAt) {
		t.Errorf("written again at %s, %v", same.UpdatedAt, err)
	}
	w.served[toolID] = strings.Replace(toolText, "tool.example/cb", "tool.example/other", 1)
	var refused *oidc.Refused
	if _, err := w.server.Begin(t.Context(), toolQuery(), &w.person, time.Time{}); !errors.As(err, &refused) {
		t.Errorf("a redirect URI that the document took back: %v", err)
	}
}

func TestThreat13_AStrangerMakesTheServerFetchNoDocument(t *testing.T) {
	w := newWorld(t)
	w.served = map[string]string{toolID: toolText}
	step, err := w.server.Begin(t.Context(), toolQuery(), nil, time.Time{})
	if err != nil || step.SignIn == nil {
		t.Errorf("%+v, %v", step, err)
	}
	for _, path := range []string{"/oauth/token", "/oauth/par", "/oauth/device_authorization", "/oauth/introspect", "/oauth/revoke"} {
		if got := w.post(path, "client_id", toolID, "grant_type", "authorization_code", "code", "x", "token", "x"); got.text("error") != "invalid_client" {
			t.Errorf("%s: %v", path, got.body)
		}
	}
	if w.fetched != 0 {
		t.Errorf("%d documents were asked for", w.fetched)
	}
}

func TestADocumentThatIsNoneIsNoClient(t *testing.T) {
	w := newWorld(t)
	for name, text := range map[string]string{
		"missing":            "",
		"of another":         strings.Replace(toolText, "client.json", "other.json", 1),
		"with a secret":      strings.Replace(toolText, `"scope"`, `"client_secret":"x","scope"`, 1),
		"for itself":         strings.Replace(toolText, "refresh_token", "client_credentials", 1),
		"a member twice":     strings.Replace(toolText, `"scope"`, `"client_name":"Bank","scope"`, 1),
		"a redirect by http": strings.ReplaceAll(toolText, "https://tool.example/cb", "http://tool.example/cb"),
	} {
		w.served = map[string]string{toolID: text}
		var refused *oidc.Refused
		if step, err := w.server.Begin(t.Context(), toolQuery(), &w.person, time.Time{}); !errors.As(err, &refused) {
			t.Errorf("%s: %+v, %v", name, step, err)
		}
		if _, err := w.store.OAuthClient(t.Context(), toolID); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s: it is kept: %v", name, err)
		}
	}
}

func TestADocumentsClientThatWasRevokedHereStaysSo(t *testing.T) {
	w := newWorld(t)
	w.served = map[string]string{toolID: toolText}
	w.begin(toolQuery(), time.Time{})
	w.change(func(ctx context.Context, tx *store.Tx) error {
		c, err := tx.OAuthClient(ctx, toolID)
		if err != nil {
			return err
		}
		c.RevokedAt = w.now()
		return tx.UpdateOAuthClient(ctx, c)
	})
	var refused *oidc.Refused
	if step, err := w.server.Begin(t.Context(), toolQuery(), &w.person, time.Time{}); !errors.As(err, &refused) {
		t.Errorf("%+v, %v", step, err)
	}
}
