package main

import (
	"fmt"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
)

const (
	annsKey       = "personal-key-of-ann-0123456789ab"
	personalWorld = `
organizations: [{id: acme}]
sites: [{id: Roof, organization: acme}]
roles: [{id: reader, scopes: ["things:read"]}, {id: nobody}]
users: [{id: ann, username: ann@example.com, organization: acme, role_id: reader, auth_token: ` + annsKey + `}]
`
)

// personalEndings are the ways in which a user's personal key must end, or lose
// a right, because its user did.
var personalEndings = map[string]struct {
	change func(*testing.T, *client.Client) error
	status int
	code   keystile.Reason
}{
	"the user is disabled": {func(t *testing.T, c *client.Client) error {
		off := true
		_, err := c.UpdateUser(t.Context(), "ann", client.Version{}, client.UserUpdate{Disabled: &off})
		return err
	}, 401, keystile.ReasonCredentialRevoked},
	"the user is deleted": {func(t *testing.T, c *client.Client) error { return c.DeleteUser(t.Context(), "ann") }, 401, keystile.ReasonCredentialUnknown},
	"the user has another role": {func(t *testing.T, c *client.Client) error {
		role := "nobody"
		_, err := c.UpdateUser(t.Context(), "ann", client.Version{}, client.UserUpdate{RoleID: &role})
		return err
	}, 403, keystile.ReasonScopeMissing},
	"the user has no role": {func(t *testing.T, c *client.Client) error {
		none := ""
		_, err := c.UpdateUser(t.Context(), "ann", client.Version{}, client.UserUpdate{RoleID: &none})
		return err
	}, 403, keystile.ReasonScopeMissing},
	"the role lost the scope": {func(t *testing.T, c *client.Client) error {
		_, err := c.UpdateRole(t.Context(), "reader", client.Version{}, client.RoleUpdate{Scopes: &[]string{"things:write"}})
		return err
	}, 403, keystile.ReasonScopeMissing},
	"the site is gone": {func(t *testing.T, c *client.Client) error { return c.DeleteSite(t.Context(), "Roof") }, 403, keystile.ReasonResourceNotPermitted},
	"the organisation is disabled": {func(t *testing.T, c *client.Client) error {
		off := true
		_, err := c.UpdateOrganization(t.Context(), "acme", client.Version{}, client.OrganizationUpdate{Disabled: &off})
		return err
	}, 401, keystile.ReasonCredentialRevoked},
	"the key is revoked": {func(t *testing.T, c *client.Client) error {
		for key, err := range c.AllKeys(t.Context(), client.ListOptions{}) {
			if err != nil {
				return err
			}
			if key.User != nil && *key.User == "ann" {
				_, err := c.RevokeKey(t.Context(), key.ID)
				return err
			}
		}
		return fmt.Errorf("no key is ann's")
	}, 401, keystile.ReasonCredentialRevoked},
}

func TestThreat27_APersonalKeyEndsWithItsUsersRightsAtTheNextRequestEverywhere(t *testing.T) {
	for name, c := range personalEndings {
		t.Run(name, func(t *testing.T) {
			r := startServer(t, siteRoutes, personalWorld)
			r.everywhere(sitePath, annsKey, 200)
			check(t, c.change(t, r.client()))
			r.everywhere(sitePath, annsKey, c.status)
			if _, code := r.decide(sitePath, annsKey); code != string(c.code) {
				t.Errorf("the reason is %q, want %q", code, c.code)
			}
		})
	}
}

func TestThreat27_APersonalKeyEndsWhenAnotherProcessEndsItsUsersRights(t *testing.T) {
	for name, c := range personalEndings {
		t.Run(name, func(t *testing.T) {
			r := startServer(t, siteRoutes, personalWorld)
			r.everywhere(sitePath, annsKey, 200)
			check(t, c.change(t, must(localClient(r.beside(), r.cfg))(t)))
			eventually(t, func() error {
				if status, code := r.decide(sitePath, annsKey); status != c.status || code != string(c.code) {
					return fmt.Errorf("%d %s", status, code)
				}
				return nil
			})
			r.everywhere(sitePath, annsKey, c.status)
		})
	}
}

func TestANewSiteIsReadableByPersonalKeysAtOnce(t *testing.T) {
	r := startServer(t, siteRoutes, personalWorld)
	r.everywhere("/things/a?site=Attic", annsKey, 403)
	must(r.client().CreateSite(t.Context(), client.SiteCreate{ID: "Attic", Organization: "acme"}))(t)
	r.everywhere("/things/a?site=Attic", annsKey, 200)
	must(r.client().CreateOrganization(t.Context(), client.OrganizationCreate{ID: "other"}))(t)
	must(r.client().CreateSite(t.Context(), client.SiteCreate{ID: "Theirs", Organization: "other"}))(t)
	r.everywhere("/things/a?site=Theirs", annsKey, 403)
}
