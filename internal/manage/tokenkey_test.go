package manage_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

func TestTokenKeysAreMadeOnceAndRotatedOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for range 3 {
		if err := w.EnsureTokenKeys(ctx, operator, keystile.EdDSA, keystile.HS256); err != nil {
			t.Fatal(err)
		}
	}
	if keys := must(w.TokenKeys(ctx, manage.Page{}))(t); len(keys) != 2 {
		t.Fatalf("%v", keys)
	}
	// Of many who rotate at once none undoes another.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := w.RotateTokenKey(ctx, operator, manage.NewTokenKey{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys := must(w.TokenKeys(ctx, manage.Page{}))(t); len(keys) != 10 {
		t.Errorf("%d keys are left", len(keys))
	}
	page := must(w.TokenKeys(ctx, manage.Page{Limit: 4}))(t)
	rest := must(w.TokenKeys(ctx, manage.Page{AfterID: page[3].ID}))(t)
	if len(page) != 4 || len(rest) != 6 {
		t.Errorf("pages of %d and %d", len(page), len(rest))
	}
}

func TestThreat30_TokenKeysAreNoBusinessOfATokenBoundToAnOrganization(t *testing.T) {
	w := newWorld(t)
	if err := w.EnsureTokenKeys(t.Context(), operator, keystile.EdDSA); err != nil {
		t.Fatal(err)
	}
	id := must(w.TokenKeys(t.Context(), manage.Page{}))(t)[0].ID
	bound := w.For(keystile.AdminToken{ID: "adm", OrganizationID: "acme", Scopes: keystile.AdminScopes})
	if keys := must(bound.TokenKeys(t.Context(), manage.Page{}))(t); len(keys) != 0 {
		t.Errorf("sees %v", keys)
	}
	if _, _, err := bound.RotateTokenKey(t.Context(), operator, manage.NewTokenKey{}); err == nil {
		t.Error("rotated")
	}
	if _, err := bound.RevokeTokenKey(t.Context(), operator, id); err == nil {
		t.Error("revoked")
	}
}

func TestThreat33_ATokenSecretIsInTheAnswerThatMadeItAndInNoEvent(t *testing.T) {
	w := newWorld(t)
	const given = "a secret that was given, of thirty-two bytes or more"
	_, drawn, err := w.RotateTokenKey(t.Context(), operator, manage.NewTokenKey{Algorithm: keystile.HS256})
	if err != nil || len(drawn) != 64 {
		t.Fatalf("%d characters, %v", len(drawn), err)
	}
	if _, shown, err := w.RotateTokenKey(t.Context(), operator, manage.NewTokenKey{Algorithm: keystile.HS256, Secret: given}); err != nil || shown != "" {
		t.Errorf("a secret that was given is shown, %v", err)
	}
	for _, e := range must(w.Events(t.Context(), manage.EventFilter{}))(t) {
		if strings.Contains(e.Detail, drawn.Reveal()) || strings.Contains(e.Detail, given) {
			t.Errorf("%s holds a secret", e.Action)
		}
	}
}

func TestARevokedTokenKeyIsFollowedByOneThatSigns(t *testing.T) {
	w := newWorld(t)
	if err := w.EnsureTokenKeys(t.Context(), operator, keystile.EdDSA); err != nil {
		t.Fatal(err)
	}
	only := must(w.TokenKeys(t.Context(), manage.Page{}))(t)[0]
	must(w.RevokeTokenKey(t.Context(), operator, only.ID))(t)
	set := must(w.TokenSet(t.Context()))(t)
	if next, ok := set.Signing(keystile.EdDSA, "", w.Now()); !ok || next.ID == only.ID {
		t.Errorf("%+v %v", next, ok)
	}
	if _, err := w.RevokeTokenKey(t.Context(), operator, only.ID); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	long := 721 * time.Hour
	var invalid *keystile.Invalid
	if _, _, err := w.RotateTokenKey(t.Context(), operator, manage.NewTokenKey{Ahead: &long}); !errors.As(err, &invalid) {
		t.Errorf("published for %s: %v", long, err)
	}
}
