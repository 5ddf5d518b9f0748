package manage_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

func TestAnOrganizationGetsItsDefaults(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	org := must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: "sibaya-power"}))(t)
	if org.Name != "sibaya-power" || org.Environment != keystile.Production || org.KeyPrefix != "opa" {
		t.Errorf("defaults = %+v", org)
	}
	if len(org.TenantID) != 36 || org.TenantID[14] != '4' {
		t.Errorf("tenant id %q is not a random UUID", org.TenantID)
	}
	if got := must(w.Organization(ctx, "sibaya-power"))(t); !cmp.Equal(got, org) {
		t.Errorf("stored %+v, returned %+v", got, org)
	}
	drawn := must(w.CreateOrganization(ctx, operator, keystile.Organization{}))(t)
	if !strings.HasPrefix(drawn.ID, "org_") || len(drawn.ID) != 20 {
		t.Errorf("drawn id = %q", drawn.ID)
	}
	const uuid = "6a1f2f0e-7f6b-4b57-9d39-2f2d8f1f7c11"
	if org := must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: uuid}))(t); org.TenantID != uuid {
		t.Errorf("an id that is a UUID should be the tenant id, got %q", org.TenantID)
	}
}

func TestEverythingWrongWithAnOrganizationIsToldAtOnce(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreateOrganization(context.Background(), operator, keystile.Organization{
		ID: "a b", Name: "x\x00y", Environment: "staging", TenantID: "12", KeyPrefix: "Up",
	})
	wantFaults(t, err, "id", "name", "environment", "tenant_id", "key_prefix")
}

func TestAKeyPrefixThatNamesAnotherKindIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, prefix := range []string{"ak", "st", "tk", "ot", "kadm", "o_p", "OPA", "aaaaaaaaaaaaaaaaa"} {
		_, err := w.CreateOrganization(context.Background(), operator, keystile.Organization{ID: "x", KeyPrefix: prefix})
		wantFaults(t, err, "key_prefix")
	}
}

func TestThreat34_NamesMayHoldMarkupButNothingThatHidesOrReordersText(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	for i, name := range []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "Ωμέγα ☀️", strings.Repeat("ü", 200)} {
		org := must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: string(rune('a' + i)), Name: name}))(t)
		if got := must(w.Organization(ctx, org.ID))(t).Name; got != name {
			t.Errorf("name %q came back as %q", name, got)
		}
	}
	for _, name := range []string{
		"a\nb", "a\rb", "tab\t", "\x1b[31m", "null\x00", "a\u0085b", "a\u2028b", "a\u2029b",
		"user\u202Egpj.exe", "\u202A", "\u2066", "\u2069", "\u200E", "\u200F", "\u061C", "\uFEFF", "\U000E0041", "Ac\u200Bme", "Ac\u00ADme", "\u2060",
		"bad\xff", strings.Repeat("ü", 201),
	} {
		_, err := w.CreateOrganization(ctx, operator, keystile.Organization{ID: "bad", Name: name})
		wantFaults(t, err, "name")
	}
}

func TestIDsThatCannotStandInAPathAreRefused(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	for _, id := range []string{".", "..", "a/b", "a b", strings.Repeat("a", 129), "ü", "a\x00"} {
		_, err := w.CreateOrganization(ctx, operator, keystile.Organization{ID: id, Name: "x"})
		wantFaults(t, err, "id")
	}
	must(w.CreateOrganization(ctx, operator, keystile.Organization{ID: strings.Repeat("a", 128)}))(t)
}

func TestAnUpdateChangesWhatItSaysAndNothingElse(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	org := w.organization(t, "acme", "")
	w.clock.Move(time.Hour)
	changed := must(w.UpdateOrganization(ctx, operator, "acme", func(o *keystile.Organization) error {
		o.Name, o.ID, o.CreatedAt = "Acme Inc", "other", time.Time{}
		return nil
	}))(t)
	if changed.ID != "acme" || changed.Name != "Acme Inc" || !changed.CreatedAt.Equal(org.CreatedAt) {
		t.Errorf("changed = %+v", changed)
	}
	if !changed.UpdatedAt.After(org.UpdatedAt) {
		t.Errorf("the time of change did not move: %v, then %v", org.UpdatedAt, changed.UpdatedAt)
	}
	same := must(w.UpdateOrganization(ctx, operator, "acme", func(*keystile.Organization) error { return nil }))(t)
	if !cmp.Equal(same, changed) {
		t.Errorf("an update that changes nothing changed %+v to %+v", changed, same)
	}
	_, err := w.UpdateOrganization(ctx, operator, "nobody", func(*keystile.Organization) error { return nil })
	wantIs(t, err, keystile.ErrNotFound)
}

func TestADuplicateIsAConflictAndAnOwnerIsNotDeleted(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "Roof")
	_, err := w.CreateOrganization(ctx, operator, keystile.Organization{ID: "acme"})
	wantIs(t, err, keystile.ErrConflict)
	_, err = w.CreateSite(ctx, operator, keystile.Site{ID: "Roof", OrganizationID: "acme"})
	wantIs(t, err, keystile.ErrConflict)
	wantIs(t, w.DeleteOrganization(ctx, operator, "acme"), keystile.ErrConflict)
	if err := w.DeleteSite(ctx, operator, "Roof"); err != nil {
		t.Fatal(err)
	}
	if err := w.DeleteOrganization(ctx, operator, "acme"); err != nil {
		t.Fatal(err)
	}
	wantIs(t, w.DeleteOrganization(ctx, operator, "acme"), keystile.ErrNotFound)
}

func TestASiteNeedsAnOrganizationAndStaysWithIt(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "Roof")
	w.organization(t, "other", "")
	_, err := w.CreateSite(ctx, operator, keystile.Site{ID: "A"})
	wantFaults(t, err, "organization")
	_, err = w.CreateSite(ctx, operator, keystile.Site{ID: "A", OrganizationID: "nobody"})
	wantFaults(t, err, "organization")
	_, err = w.UpdateSite(ctx, operator, "Roof", func(s *keystile.Site) error { s.OrganizationID = "other"; return nil })
	wantFaults(t, err, "organization")
	site := must(w.UpdateSite(ctx, operator, "Roof", func(s *keystile.Site) error { s.Name = "Roof top"; return nil }))(t)
	if site.Name != "Roof top" {
		t.Errorf("name = %q", site.Name)
	}
}

func TestASiteThatAKeyNamesIsNotDeleted(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.organization(t, "acme", "Roof")
	key, _ := w.key(t, manage.NewKey{OrganizationID: "acme", PermittedSiteIDs: []string{"Roof"}})
	wantIs(t, w.DeleteSite(ctx, operator, "Roof"), keystile.ErrConflict)
	if err := w.DeleteKey(ctx, operator, key.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.DeleteSite(ctx, operator, "Roof"); err != nil {
		t.Fatal(err)
	}
}

func TestARoleHoldsCheckedScopes(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	role := must(w.CreateRole(ctx, operator, keystile.Role{ID: "role_analyst", Scopes: []keystile.Scope{"telemetry:read", "reports:*"}}))(t)
	if role.Name != "role_analyst" {
		t.Errorf("name = %q", role.Name)
	}
	for _, bad := range []keystile.Scope{"", "a b", "*", "*:*", "a*:read", "a:*:*", "quo\"te", "back\\slash", "ü:read", keystile.Scope(strings.Repeat("a", 129))} {
		_, err := w.UpdateRole(ctx, operator, "role_analyst", func(r *keystile.Role) error {
			r.Scopes = []keystile.Scope{bad}
			return nil
		})
		wantFaults(t, err, "scopes[0]")
	}
	_, err := w.UpdateRole(ctx, operator, "role_analyst", func(r *keystile.Role) error {
		r.Scopes = []keystile.Scope{"a:b", "a:b"}
		return nil
	})
	wantFaults(t, err, "scopes[1]")
	if got := must(w.Role(ctx, "role_analyst"))(t); len(got.Scopes) != 2 {
		t.Errorf("a refused update changed the role: %+v", got)
	}
	if err := w.DeleteRole(ctx, operator, "role_analyst"); err != nil {
		t.Fatal(err)
	}
	wantIs(t, w.DeleteRole(ctx, operator, "role_analyst"), keystile.ErrNotFound)
}
