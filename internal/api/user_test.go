package api_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"keystile.dev/keystile/client"
)

const strongPassword = "seventeen otters juggle quietly"

func TestAUserLivesFromCreationToDeletion(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.as(201, "POST", "/v1/roles", `{"id":"analyst","scopes":["a:read"],"mfa":"required"}`)
	made := s.as(201, "POST", "/v1/users", `{"organization":"acme","username":"Ann@Example.com","name":"Ann","role_id":"analyst","admin_role":"org_admin",
		"customer_ids":["c1"],"group_id":"g","skin_id":"s","mfa":"off","password":"`+strongPassword+`"}`)
	path := made.header.Get("Location")
	if path != "/v1/users/"+made.text("id") || !strings.HasPrefix(made.text("id"), "user_20260301120000") || made.text("email") != "Ann@Example.com" || made.text("mfa") != "off" {
		t.Errorf("made: %s %v", made.body, made.header)
	}
	got := s.as(200, "GET", path, "")
	if got.body != made.body || strings.Contains(got.body, "password\":\"") || strings.Contains(got.body, "argon2") {
		t.Errorf("read: %s", got.body)
	}
	for _, query := range []string{"?organization=acme", "?username=ANN@example.com.", "?username=ann@example.com&organization=acme"} {
		if a := s.as(200, "GET", "/v1/users"+query, ""); a.text("items.0.id") != made.text("id") || a.text("next_cursor") != "" {
			t.Errorf("list%s: %s", query, a.body)
		}
	}
	if a := s.as(200, "GET", "/v1/users?username=ann@example.com&organization=other", ""); a.text("items.0.id") != "" {
		t.Errorf("list: %s", a.body)
	}
	changed := s.as(200, "PATCH", path, `{"role_id":null,"admin_role":null,"mfa":null,"customer_ids":null,"name":null,"username":"ann"}`, "If-Match", got.header.Get("ETag"))
	if changed.text("role_id")+changed.text("admin_role")+changed.text("mfa")+changed.text("name")+changed.text("email") != "" || changed.text("username") != "ann" || changed.text("group_id") != "g" {
		t.Errorf("changed: %s", changed.body)
	}
	s.as(412, "PATCH", path, `{"name":"x"}`, "If-Match", got.header.Get("ETag"))
	s.as(422, "PATCH", path, `{"organization":"x"}`)
	s.as(422, "PATCH", path, `{"username":null}`)
	for patch, field := range map[string]string{
		`{"mfa":"never"}`: "mfa", `{"admin_role":"root"}`: "admin_role", `{"email":"x"}`: "email", `{"username":"a b"}`: "username", `{"role_id":"nobody"}`: "role_id",
	} {
		if a := s.as(422, "PATCH", path, patch); a.fields() != field {
			t.Errorf("%s: %s", patch, a.body)
		}
	}
	if a := s.as(200, "PATCH", path, `{"disabled":true}`); a.text("disabled") != "true" {
		t.Errorf("disabled: %s", a.body)
	}
	if a := s.as(200, "POST", path+"/password", `{"password":"eleven badgers whistle at noon","must_change":true}`); a.text("must_change_password") != "true" {
		t.Errorf("password: %s", a.body)
	}
	if a := s.as(422, "POST", path+"/password", `{"password":"canary1"}`); a.fields() != "password" || strings.Contains(a.body, "canary") {
		t.Errorf("weak: %s", a.body)
	}
	if a := s.as(200, "POST", path+"/totp", ""); !strings.HasPrefix(a.text("uri"), "otpauth://totp/Keystile:ann?") {
		t.Errorf("TOTP: %s", a.body)
	}
	s.as(409, "POST", path+"/totp", "")
	s.as(200, "POST", path+"/reset-mfa", "")
	s.as(200, "POST", path+"/totp", "")
	s.as(409, "DELETE", "/v1/organizations/acme", "")
	s.as(204, "DELETE", path, "")
	s.as(404, "GET", path, "")
	s.as(201, "POST", "/v1/users", `{"organization":"acme","username":"bob"}`)
	s.as(409, "POST", "/v1/users", `{"organization":"acme","username":"BOB."}`)
}

func TestAnIdentityProviderLivesFromCreationToDeletion(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.as(201, "POST", "/v1/roles", `{"id":"analyst","scopes":["a:read"]}`)
	const path = "/v1/identity-providers/sso"
	made := s.as(201, "POST", "/v1/identity-providers", `{"name":"sso","organization":"acme","roles":["analyst"],"issuer":"https://sso.example.com","audience":"keystile",
		"algorithms":["HS256"],"secret":"canary-short","claims":{"username":"email"},"create_users":true}`)
	if made.header.Get("Location") != path || made.text("has_secret") != "true" || !strings.HasPrefix(made.text("warnings.0"), "secret: ") || strings.Contains(made.body, "canary") {
		t.Errorf("made: %s %v", made.body, made.header)
	}
	got := s.as(200, "GET", path, "")
	if got.text("claims.username") != "email" || got.text("roles.0") != "analyst" || got.text("create_users") != "true" {
		t.Errorf("read: %s", got.body)
	}
	if a := s.as(200, "GET", "/v1/identity-providers?organization=acme", ""); a.text("items.0.name") != "sso" {
		t.Errorf("list: %s", a.body)
	}
	set := `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}]}`
	changed := s.as(200, "PATCH", path, `{"algorithms":["EdDSA"],"jwks":`+set+`,"roles":null,"claims":null}`, "If-Match", got.header.Get("ETag"))
	if changed.text("has_secret") != "false" || changed.text("jwks.keys.0.kty") != "OKP" || changed.text("roles.0") != "" || changed.text("issuer") != "https://sso.example.com" {
		t.Errorf("changed: %s", changed.body)
	}
	s.as(412, "PATCH", path, `{"disabled":true}`, "If-Match", got.header.Get("ETag"))
	for patch, field := range map[string]string{
		`{"algorithms":["HS256"]}`: "algorithms[0]", `{"jwks_url":"http://x.example/"}`: "jwks_url", `{"claims":{"password":"x"}}`: "claims", `{"issuer":""}`: "issuer",
		`{"jwks_url":"https://x.example/","secret":"x"}`: "jwks_url", `{"roles":["nobody"]}`: "roles[0]",
	} {
		if a := s.as(422, "PATCH", path, patch); a.fields() != field && field != "jwks_url" || a.text("errors.0.field") == "" {
			t.Errorf("%s: %s", patch, a.body)
		}
	}
	if a := s.as(200, "PATCH", path, `{"disabled":true}`); a.text("disabled") != "true" {
		t.Errorf("disabled: %s", a.body)
	}
	signIn := s.as(201, "POST", "/v1/identity-providers", `{"name":"okta","organization":"acme","issuer":"https://example.okta.com","sign_in":{"client_id":"c1","client_secret":"canary-client","label":"Okta"}}`)
	if signIn.text("sign_in.client_id") != "c1" || signIn.text("audience") != "c1" || !strings.Contains(signIn.body, `"has_client_secret":true`) || strings.Contains(signIn.body, "canary") {
		t.Errorf("made %s", signIn.body)
	}
	// The secret stays with its client, and with no other.
	for patch, has := range map[string]string{
		`{"sign_in":{"client_id":"c1","link_by_email":true}}`: `"has_client_secret":true`, `{"sign_in":{"client_id":"c2"}}`: `"has_client_secret":false`,
	} {
		s.as(200, "PATCH", "/v1/identity-providers/okta", `{"sign_in":{"client_id":"c1","client_secret":"canary-client"}}`)
		if a := s.as(200, "PATCH", "/v1/identity-providers/okta", patch); !strings.Contains(a.body, has) {
			t.Errorf("%s: %s", patch, a.body)
		}
	}
	s.as(422, "PATCH", "/v1/identity-providers/okta", `{"sign_in":null}`) // then it has no keys
	if a := s.as(200, "PATCH", "/v1/identity-providers/okta", `{"sign_in":null,"jwks_url":"https://example.okta.com/keys"}`); strings.Contains(a.body, "sign_in") {
		t.Errorf("it stays: %s", a.body)
	}
	s.as(204, "DELETE", "/v1/identity-providers/okta", "")
	s.as(409, "POST", "/v1/identity-providers", `{"name":"sso","organization":"acme","issuer":"i","audience":"a","algorithms":["RS256"],"jwks_url":"https://x.example/"}`)
	s.as(204, "DELETE", path, "")
	s.as(404, "GET", path, "")
}

func TestRolesAndOrganizationsSayWhatTheyAskOfSecondFactors(t *testing.T) {
	s := newServer(t)
	s.as(201, "POST", "/v1/organizations", `{"id":"acme","mfa":"required"}`)
	s.as(201, "POST", "/v1/roles", `{"id":"r","mfa":"off"}`)
	for path, want := range map[string][2]string{"/v1/organizations/acme": {"required", "optional"}, "/v1/roles/r": {"off", "required"}} {
		if a := s.as(200, "GET", path, ""); a.text("mfa") != want[0] {
			t.Errorf("%s: %s", path, a.body)
		}
		if a := s.as(200, "PATCH", path, `{"mfa":"`+want[1]+`"}`); a.text("mfa") != want[1] {
			t.Errorf("%s: %s", path, a.body)
		}
		if a := s.as(200, "PATCH", path, `{"mfa":null}`); a.text("mfa") != "" {
			t.Errorf("%s: %s", path, a.body)
		}
		if a := s.as(422, "PATCH", path, `{"mfa":"never"}`); a.fields() != "mfa" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func TestTheGoClientSpeaksOfPeople(t *testing.T) {
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
	_, err = c.CreateOrganization(ctx, client.OrganizationCreate{ID: "acme", MFA: "optional"})
	check(err)
	made, err := c.CreateUser(ctx, client.UserCreate{Organization: "acme", Username: "ann@example.com", Password: strongPassword})
	check(err)
	found, ok, err := c.FindUser(ctx, "ANN@example.com")
	check(err)
	if !ok || found.ID != made.ID {
		t.Errorf("found %+v", found)
	}
	if _, ok, err := c.FindUser(ctx, "nobody"); ok || err != nil {
		t.Errorf("nobody: %v %v", ok, err)
	}
	policy, empty := "required", ""
	changed, err := c.UpdateUser(ctx, made.ID, made.Version, client.UserUpdate{MFA: &policy, Email: &empty})
	check(err)
	if changed.MFA != "required" || changed.Email != "ann@example.com" {
		t.Errorf("changed %+v", changed)
	}
	_, err = c.SetUserPassword(ctx, made.ID, client.PasswordSet{Password: strongPassword + "!", MustChange: true})
	check(err)
	totp, err := c.EnrolUserTOTP(ctx, made.ID)
	check(err)
	if !strings.HasPrefix(totp.URI, "otpauth://") || totp.FactorID == "" {
		t.Errorf("TOTP %+v", totp)
	}
	_, err = c.ResetUserMFA(ctx, made.ID)
	check(err)
	provider, err := c.CreateIdentityProvider(ctx, client.IdentityProviderCreate{
		Name: "sso", Organization: "acme", Issuer: "i", Audience: "a", Algorithms: []string{"ES256"}, JWKS: json.RawMessage(`{"keys":[{"kty":"EC"}]}`),
	})
	check(err)
	off := true
	updated, err := c.UpdateIdentityProvider(ctx, "sso", provider.Version, client.IdentityProviderUpdate{Disabled: &off, Claims: &map[string]string{"username": "upn"}})
	check(err)
	if !updated.Disabled || updated.Claims["username"] != "upn" || !strings.Contains(string(updated.JWKS), "EC") {
		t.Errorf("updated %+v", updated)
	}
	n := 0
	for _, err := range c.AllIdentityProviders(ctx, client.ListOptions{Organization: "acme"}) {
		check(err)
		n++
	}
	for _, err := range c.AllUsers(ctx, client.ListOptions{Organization: "acme"}) {
		check(err)
		n++
	}
	if n != 2 {
		t.Errorf("%d things are listed", n)
	}
	check(c.DeleteIdentityProvider(ctx, "sso"))
	check(c.DeleteUser(ctx, made.ID))
}
