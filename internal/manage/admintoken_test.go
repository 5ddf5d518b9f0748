package manage_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/manage"
)

// refused returns the reason that a token is refused for; empty if it is good.
func (w *world) refused(t *testing.T, secret keystile.Secret) keystile.Reason {
	t.Helper()
	_, err := w.Authenticate(context.Background(), secret, w.clock.Now())
	if err == nil {
		return keystile.ReasonNone
	}
	var no *keystile.Rejection
	if !errors.As(err, &no) || !errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("error = %v, want a rejection", err)
	}
	return no.Reason
}

func TestAnAdminTokenOpensWithItsScopesAndNothingElseDoes(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	_, token, secret := w.token(t, manage.NewAdminToken{Name: "ci", Scopes: []keystile.Scope{"keys:*", "sites:read"}})
	if len(secret) != 43 || secret.Reveal()[:5] != "kadm_" {
		t.Errorf("the token has %d characters", len(secret))
	}
	got := must(w.Authenticate(ctx, secret, w.clock.Now()))(t)
	if got.ID != token.ID || !slices.Equal(got.Scopes, []keystile.Scope{"keys:read", "keys:write", "sites:read"}) {
		t.Errorf("token = %+v", got)
	}
	w.organization(t, "acme", "")
	_, key := w.key(t, manage.NewKey{OrganizationID: "acme"})
	other := must(apikey.GenerateTyped(w.Random, "kadm_"))(t)
	for text, want := range map[keystile.Secret]keystile.Reason{
		"": keystile.ReasonCredentialMalformed, "kadm_": keystile.ReasonCredentialMalformed,
		key: keystile.ReasonCredentialMalformed, other: keystile.ReasonCredentialUnknown,
		secret + "0": keystile.ReasonCredentialMalformed, " " + secret: keystile.ReasonCredentialMalformed,
	} {
		if got := w.refused(t, text); got != want {
			t.Errorf("refused for %q, want %q", got, want)
		}
	}
}

func TestThreat22_EveryPrefixAndBitFlipOfAnAdminTokenIsRefused(t *testing.T) {
	w := newWorld(t)
	_, _, secret := w.token(t, manage.NewAdminToken{})
	text := secret.Reveal()
	for i := range len(text) {
		if w.refused(t, keystile.Secret(text[:i])) == "" || w.refused(t, keystile.Secret(text[i+1:])) == "" {
			t.Errorf("a piece of the token opens (cut at %d)", i)
		}
		for bit := range 8 {
			flipped := []byte(text)
			flipped[i] ^= 1 << bit
			if w.refused(t, keystile.Secret(flipped)) == "" {
				t.Errorf("the token opens with bit %d of byte %d flipped", bit, i)
			}
		}
	}
}

func TestThreat27_AnEndedTokenOrOrganizationIsRefusedAtTheNextRequest(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	_, revoked, s1 := w.token(t, manage.NewAdminToken{})
	_, _, s2 := w.token(t, manage.NewAdminToken{ExpiresAt: w.clock.Now().Add(time.Minute)})
	_, _, s3 := w.token(t, manage.NewAdminToken{OrganizationID: "acme"})
	for _, s := range []keystile.Secret{s1, s2, s3} {
		if got := w.refused(t, s); got != "" {
			t.Fatalf("a good token was refused: %s", got)
		}
	}
	must(w.RevokeAdminToken(ctx, operator, revoked.ID))(t)
	must(w.RevokeAdminToken(ctx, operator, revoked.ID))(t)
	w.clock.Move(time.Minute)
	must(w.UpdateOrganization(ctx, operator, "acme", func(o *keystile.Organization) error { o.Disabled = true; return nil }))(t)
	for s, want := range map[keystile.Secret]keystile.Reason{
		s1: keystile.ReasonCredentialRevoked, s2: keystile.ReasonCredentialExpired, s3: keystile.ReasonCredentialRevoked,
	} {
		if got := w.refused(t, s); got != want {
			t.Errorf("refused for %q, want %q", got, want)
		}
	}
}

func TestABootstrapTokenEndsADayAfterItsFirstUse(t *testing.T) {
	w := newWorld(t)
	_, _, secret := w.token(t, manage.NewAdminToken{Bootstrap: true})
	w.clock.Move(30 * 24 * time.Hour) // unused, it waits
	if got := w.refused(t, secret); got != "" {
		t.Fatalf("refused: %s", got)
	}
	w.clock.Move(manage.BootstrapLife - time.Second)
	if got := w.refused(t, secret); got != "" {
		t.Errorf("refused within 24 h: %s", got)
	}
	w.clock.Move(time.Second)
	if got := w.refused(t, secret); got != keystile.ReasonCredentialExpired {
		t.Errorf("after 24 h: %q", got)
	}
}

func TestABootstrapTokenEndsWhenAnotherGlobalTokenIsMade(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	boot, _, secret := w.token(t, manage.NewAdminToken{Bootstrap: true})
	if _, _, err := boot.CreateAdminToken(ctx, operator, manage.NewAdminToken{OrganizationID: "acme"}); err != nil {
		t.Fatal(err)
	}
	if got := w.refused(t, secret); got != "" {
		t.Errorf("an organization's token ended the bootstrap token: %s", got)
	}
	made, _, err := boot.CreateAdminToken(ctx, operator, manage.NewAdminToken{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(made.Scopes, keystile.AdminScopes) {
		t.Errorf("the first real token has scopes %v", made.Scopes)
	}
	if got := w.refused(t, secret); got != keystile.ReasonCredentialRevoked {
		t.Errorf("the bootstrap token lives on: %q", got)
	}
}

func TestThreat30_ATokenBoundToAnOrganizationSeesAndTouchesOnlyThat(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "Roof")
	w.organization(t, "other", "Plant")
	mine, _ := w.key(t, manage.NewKey{ID: "key_a", OrganizationID: "acme"})
	theirs, _ := w.key(t, manage.NewKey{ID: "key_b", OrganizationID: "other"})
	must(w.CreateRole(ctx, operator, keystile.Role{ID: "role"}))(t)
	s, _, _ := w.token(t, manage.NewAdminToken{OrganizationID: "acme"})
	_, global, _ := w.token(t, manage.NewAdminToken{ID: "adm_global"})
	_, foreign, _ := w.token(t, manage.NewAdminToken{ID: "adm_other", OrganizationID: "other"})
	keep := func(*keystile.Site) error { return nil }

	for what, err := range map[string]error{
		"organization":        second(s.Organization(ctx, "other")),
		"update organization": second(s.UpdateOrganization(ctx, operator, "other", func(*keystile.Organization) error { return nil })),
		"site":                second(s.Site(ctx, "Plant")),
		"update site":         second(s.UpdateSite(ctx, operator, "Plant", keep)),
		"delete site":         s.DeleteSite(ctx, operator, "Plant"),
		"role":                second(s.Role(ctx, "role")),
		"delete role":         s.DeleteRole(ctx, operator, "role"),
		"key":                 second(s.APIKey(ctx, theirs.ID)),
		"update key":          second(s.UpdateKey(ctx, operator, theirs.ID, func(*keystile.APIKey) error { return nil })),
		"delete key":          s.DeleteKey(ctx, operator, theirs.ID),
		"revoke key":          second(s.RevokeKey(ctx, operator, theirs.ID)),
		"rotate key":          third(s.RotateKey(ctx, operator, theirs.ID, 0)),
		"global token":        second(s.AdminToken(ctx, global.ID)),
		"foreign token":       second(s.AdminToken(ctx, foreign.ID)),
		"revoke global token": second(s.RevokeAdminToken(ctx, operator, global.ID)),
	} {
		if !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s: %v, want not found", what, err)
		}
	}
	for what, err := range map[string]error{
		"create organization": second(s.CreateOrganization(ctx, operator, keystile.Organization{ID: "x"})),
		"delete organization": s.DeleteOrganization(ctx, operator, "acme"),
		"create role":         second(s.CreateRole(ctx, operator, keystile.Role{ID: "x"})),
		"enable organization": second(s.UpdateOrganization(ctx, operator, "acme", func(o *keystile.Organization) error { o.Disabled = true; return nil })),
	} {
		if !errors.Is(err, manage.ErrNotPermitted) {
			t.Errorf("%s: %v, want not permitted", what, err)
		}
	}
	_, _, err := s.CreateKey(ctx, operator, manage.NewKey{OrganizationID: "other"})
	wantFaults(t, err, "organization")
	_, _, err = s.CreateKey(ctx, operator, manage.NewKey{PermittedSiteIDs: []string{"Plant"}})
	wantFaults(t, err, "permitted_site_ids[0]")
	_, err = s.CreateSite(ctx, operator, keystile.Site{ID: "New", OrganizationID: "other"})
	wantFaults(t, err, "organization")

	page := manage.Page{Limit: 100}
	orgs := must(s.Organizations(ctx, page))(t)
	sites := must(s.Sites(ctx, manage.SiteFilter{Page: page}))(t)
	keys := must(s.APIKeys(ctx, manage.APIKeyFilter{Page: page}))(t)
	tokens := must(s.AdminTokens(ctx, manage.AdminTokenFilter{Page: page}))(t)
	if len(orgs) != 1 || orgs[0].ID != "acme" || len(sites) != 1 || sites[0].ID != "Roof" || len(keys) != 1 || keys[0].ID != mine.ID || len(tokens) != 1 || tokens[0].OrganizationID != "acme" {
		t.Errorf("lists: %v %v %v %v", orgs, sites, keys, tokens)
	}
	for _, e := range must(s.Events(ctx, manage.EventFilter{Limit: 100}))(t) {
		if e.OrganizationID != "acme" {
			t.Errorf("event of another chain: %+v", e)
		}
	}
	if keys := must(s.APIKeys(ctx, manage.APIKeyFilter{Page: page, OrganizationID: "other"}))(t); len(keys) != 0 {
		t.Errorf("asked for another organization's keys: %v", keys)
	}
	if roles := must(s.Roles(ctx, page))(t); len(roles) != 0 {
		t.Errorf("roles: %v", roles)
	}
}

func TestABoundTokenInTheSandboxCannotGiveItselfProductionKeys(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: "trial", Environment: keystile.Sandbox}))(t)
	s, _, _ := w.token(t, manage.NewAdminToken{OrganizationID: "trial"})
	_, _, err := s.CreateKey(ctx, operator, manage.NewKey{Environment: keystile.Production})
	wantFaults(t, err, "environment")
	if _, _, err := s.CreateKey(ctx, operator, manage.NewKey{}); err != nil {
		t.Error(err)
	}
}

func TestATokenNeverMakesOneThatMayDoMoreOrLivesLonger(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "")
	w.organization(t, "other", "")
	end := w.clock.Now().Add(time.Hour)
	s, _, _ := w.token(t, manage.NewAdminToken{
		OrganizationID: "acme", Scopes: []keystile.Scope{"admin_tokens:write", "keys:read"}, ExpiresAt: end,
	})
	_, _, err := s.CreateAdminToken(ctx, operator, manage.NewAdminToken{Scopes: []keystile.Scope{"keys:write"}, ExpiresAt: end})
	wantIs(t, err, manage.ErrNotPermitted)
	_, _, err = s.CreateAdminToken(ctx, operator, manage.NewAdminToken{Scopes: []keystile.Scope{"state:write"}, ExpiresAt: end})
	wantFaults(t, err, "scopes[0]")
	_, _, err = s.CreateAdminToken(ctx, operator, manage.NewAdminToken{OrganizationID: "other", ExpiresAt: end})
	wantFaults(t, err, "organization")
	_, _, err = s.CreateAdminToken(ctx, operator, manage.NewAdminToken{Scopes: []keystile.Scope{"keys:read"}})
	wantFaults(t, err, "expires_at")
	_, _, err = s.CreateAdminToken(ctx, operator, manage.NewAdminToken{Bootstrap: true, ExpiresAt: end})
	if err == nil {
		t.Error("a token made a bootstrap token")
	}
	made, _, err := s.CreateAdminToken(ctx, operator, manage.NewAdminToken{ExpiresAt: end})
	if err != nil {
		t.Fatal(err)
	}
	if made.OrganizationID != "acme" || !slices.Equal(made.Scopes, []keystile.Scope{"keys:read", "admin_tokens:write"}) {
		t.Errorf("made = %+v", made)
	}
}

func TestEverythingWrongWithANewTokenIsToldAtOnce(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.CreateAdminToken(context.Background(), operator, manage.NewAdminToken{
		ID: "a/b", Name: "\u202E", OrganizationID: "x", Bootstrap: true, ExpiresAt: w.clock.Now(),
		Scopes: []keystile.Scope{"keys:read", "nonsense", "state:write", "*:*"},
	})
	wantFaults(t, err, "id", "name", "expires_at", "organization", "scopes[1]", "scopes[2]", "scopes[3]")
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }
