package api_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/client"
)

// TestTheGoClientSpeaksTheAPI holds the two ends of the wire together: the
// client has types of its own.
func TestTheGoClientSpeaksTheAPI(t *testing.T) {
	s, ctx := newServer(t), context.Background()
	web := httptest.NewServer(s.handler)
	t.Cleanup(web.Close)
	c, err := client.New(web.URL, s.admin)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	org, err := c.CreateOrganization(ctx, client.OrganizationCreate{ID: "acme", Environment: "sandbox"})
	check(err)
	name := "Acme <Inc>"
	changed, err := c.UpdateOrganization(ctx, "acme", org.Version, client.OrganizationUpdate{Name: &name})
	check(err)
	if changed.Name != name || changed.ETag == "" || changed.ETag == org.ETag {
		t.Errorf("changed = %+v", changed)
	}
	if _, err := c.UpdateOrganization(ctx, "acme", org.Version, client.OrganizationUpdate{Name: &name}); !client.IsConflict(err) {
		t.Errorf("stale update: %v", err)
	}
	_, err = c.CreateSite(ctx, client.SiteCreate{ID: "Roof", Organization: "acme"})
	check(err)
	_, err = c.CreateRole(ctx, client.RoleCreate{ID: "role_a", Scopes: []string{"a:read"}})
	check(err)
	until := s.clock().Add(time.Hour)
	key, err := c.CreateKey(ctx, client.KeyCreate{
		ID: "key_1", Organization: "acme", PermittedSiteIDs: []string{"Roof"}, Scopes: []string{"a:read"},
		AllowedIPs: []string{"10.0.0.0/8"}, Limit: "60/1m", ExpiresAt: &until,
	})
	check(err)
	if !strings.HasPrefix(key.Secret, "opa_test_") || key.State != "active" || *key.Limit != "60/1m" || !key.ExpiresAt.Equal(until) || key.ETag == "" {
		t.Errorf("key = %+v", key)
	}
	empty, never := "", time.Time{}
	updated, err := c.UpdateKey(ctx, "key_1", key.Version, client.KeyUpdate{Limit: &empty, ExpiresAt: &never})
	check(err)
	if updated.Limit != nil || updated.ExpiresAt != nil {
		t.Errorf("updated = %+v", updated)
	}
	rotated, err := c.RotateKey(ctx, "key_1", 90*time.Second)
	check(err)
	if rotated.Secret == "" || rotated.Secret == key.Secret {
		t.Error("rotation gave no new secret")
	}
	for _, id := range []string{"key_2", "key_3"} {
		_, err = c.CreateKey(ctx, client.KeyCreate{ID: id, Organization: "acme"})
		check(err)
	}
	var ids []string
	for key, err := range c.AllKeys(ctx, client.ListOptions{Organization: "acme", Limit: 1}) {
		check(err)
		ids = append(ids, key.ID)
	}
	if strings.Join(ids, " ") != "key_1 key_2 key_3" {
		t.Errorf("ids = %v", ids)
	}
	revoked, err := c.RevokeKey(ctx, "key_1")
	check(err)
	if revoked.State != "revoked" {
		t.Errorf("revoked = %+v", revoked)
	}
	check(c.DeleteKey(ctx, "key_1"))
	if _, err := c.Key(ctx, "key_1"); !client.IsNotFound(err) {
		t.Errorf("a deleted key: %v", err)
	}
	token, err := c.CreateAdminToken(ctx, client.AdminTokenCreate{Organization: "acme"})
	check(err)
	bound, err := client.New(web.URL, token.Secret)
	check(err)
	if _, err := bound.Roles(ctx, client.ListOptions{}); err == nil || !strings.Contains(err.Error(), "insufficient_scope") {
		t.Errorf("a bound token lists roles: %v", err)
	}
	_, err = c.RevokeAdminToken(ctx, token.ID)
	check(err)
	result, err := c.ApplyState(ctx, []byte("sites: []\n"), client.ApplyOptions{DryRun: true, Prune: true})
	check(err)
	if !result.DryRun || !s.state.options.Prune {
		t.Errorf("result = %+v", result)
	}
	file, err := c.ExportState(ctx)
	check(err)
	if string(file) != "organizations: []\n" {
		t.Errorf("file = %q", file)
	}
	for event, err := range c.AllEvents(ctx, client.ListOptions{Organization: "acme"}) {
		check(err)
		if event.Organization != "acme" {
			t.Errorf("event = %+v", event)
		}
	}
	routes := 0
	for _, err := range c.AllRoutes(ctx, client.ListOptions{Limit: 2}) {
		check(err)
		routes++
	}
	if routes != 3 {
		t.Errorf("%d routes", routes)
	}
}
