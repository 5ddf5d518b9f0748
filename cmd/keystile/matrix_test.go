package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
)

// points are the ways a decision is asked for. Each returns the status that the
// caller's caller is to get.
var points = map[string]func(r *running, path, key string) int{
	"gateway": func(r *running, path, key string) int {
		return r.ask(r.public, asked{target: path, header: keyHeader(key)}).Code
	},
	"forward-auth": func(r *running, path, key string) int {
		header := keyHeader(key)
		header.Set("X-Forwarded-Method", "GET")
		header.Set("X-Forwarded-Proto", "http")
		header.Set("X-Forwarded-Host", "127.0.0.1:8080")
		header.Set("X-Forwarded-Uri", path)
		header.Set("X-Forwarded-For", "192.0.2.1")
		return r.ask(r.public, asked{target: "/forward-auth", from: "192.0.2.77", header: header}).Code
	},
	"decisions": func(r *running, path, key string) int {
		status, _ := r.decide(path, key)
		return status
	},
}

// decide asks POST /v1/decisions, which tells the true reason.
func (r *running) decide(path, key string) (status int, code string) {
	r.t.Helper()
	question := must(json.Marshal(map[string]any{
		"method": "GET", "url": "http://127.0.0.1:8080" + path, "headers": map[string][]string{"x-api-key": {key}}, "ip": "192.0.2.1",
	}))(r.t)
	w := r.ask(r.public, asked{method: http.MethodPost, target: "/v1/decisions", body: string(question), header: bearerOf(r.token)})
	var d struct {
		Allow  bool   `json:"allow"`
		Status int    `json:"status"`
		Code   string `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 || d.Allow != (d.Status == 200) {
		r.t.Fatalf("decide: %d %s %v", w.Code, w.Body, err)
	}
	return d.Status, d.Code
}

// everywhere wants the same status at every point.
func (r *running) everywhere(path, key string, status int) {
	r.t.Helper()
	for name, ask := range points {
		if got := ask(r, path, key); got != status {
			r.t.Errorf("%s: %s: %d, want %d", name, path, got, status)
		}
	}
}

// endings are the states in which a key that worked must not work any more, or
// not for this: how it comes about through the management API, and how it is refused.
var endings = map[string]struct {
	change func(*testing.T, *client.Client, string) error
	status int
	code   keystile.Reason
}{
	"revoked": {func(t *testing.T, c *client.Client, id string) error {
		_, err := c.RevokeKey(t.Context(), id)
		return err
	}, 401, keystile.ReasonCredentialRevoked},
	"rotated at once": {func(t *testing.T, c *client.Client, id string) error {
		_, err := c.RotateKey(t.Context(), id, 0)
		return err
	}, 401, keystile.ReasonCredentialRevoked},
	"deleted": {func(t *testing.T, c *client.Client, id string) error {
		return c.DeleteKey(t.Context(), id)
	}, 401, keystile.ReasonCredentialUnknown},
	"of a disabled organisation": {func(t *testing.T, c *client.Client, _ string) error {
		disabled := true
		_, err := c.UpdateOrganization(t.Context(), "acme", client.Version{}, client.OrganizationUpdate{Disabled: &disabled})
		return err
	}, 401, keystile.ReasonCredentialRevoked},
	"demoted to other scopes": {func(t *testing.T, c *client.Client, id string) error {
		_, err := c.UpdateKey(t.Context(), id, client.Version{}, client.KeyUpdate{Scopes: &[]string{"things:write"}})
		return err
	}, 403, keystile.ReasonScopeMissing},
	"demoted to no site": {func(t *testing.T, c *client.Client, id string) error {
		_, err := c.UpdateKey(t.Context(), id, client.Version{}, client.KeyUpdate{PermittedSiteIDs: &[]string{}})
		return err
	}, 403, keystile.ReasonResourceNotPermitted},
	"confined to other addresses": {func(t *testing.T, c *client.Client, id string) error {
		_, err := c.UpdateKey(t.Context(), id, client.Version{}, client.KeyUpdate{AllowedIPs: &[]string{"10.0.0.0/8"}})
		return err
	}, 403, keystile.ReasonAddressNotAllowed},
}

const siteRoutes = `
trusted_proxies: [192.0.2.77/32]
routes:
  - match:    {path: /things/**}
    upstream: "{upstream}"
    accept:   [api_key]
    resource: {type: site, id: query.site}
    scopes:   ["things:read"]
`

const sitePath = "/things/a?site=Roof"

func (r *running) client() *client.Client {
	r.t.Helper()
	return must(client.New(r.url, r.token))(r.t)
}

func TestThreat27_WhatEndedIsRefusedAtTheNextRequestEverywhere(t *testing.T) {
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			r := startServer(t, siteRoutes, simpleWorld)
			r.everywhere(sitePath, goodKey, 200)
			check(t, c.change(t, r.client(), "key_good"))
			// Not soon: the next request, at each point.
			r.everywhere(sitePath, goodKey, c.status)
			if _, code := r.decide(sitePath, goodKey); code != string(c.code) {
				t.Errorf("the reason is %q, want %q", code, c.code)
			}
			own := r.ask(r.public, asked{target: "/v1/keys/self", header: keyHeader(goodKey)}).Code
			if ended := c.status == 401; ended != (own == 401) {
				t.Errorf("GET /v1/keys/self: %d", own)
			}
		})
	}
}

func TestThreat27_WhatAnotherProcessEndedIsRefusedWithinTheFeedsTurn(t *testing.T) {
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			r := startServer(t, siteRoutes, simpleWorld)
			r.everywhere(sitePath, goodKey, 200)
			h := r.beside()
			check(t, c.change(t, must(localClient(h, r.cfg))(t), "key_good"))
			eventually(t, func() error {
				if status, code := r.decide(sitePath, goodKey); status != c.status || code != string(c.code) {
					return fmt.Errorf("%d %s", status, code)
				}
				return nil
			})
			r.everywhere(sitePath, goodKey, c.status)
		})
	}
}

func TestThreat27_AKeyThatExpiresWhileItIsWarmIsRefused(t *testing.T) {
	r := startServer(t, siteRoutes, simpleWorld)
	r.everywhere(sitePath, goodKey, 200)
	// An end that has come already, by a state file; and none any more.
	r.apply(strings.Replace(simpleWorld, "scopes:", "expires_at: 2020-01-01T00:00:00Z, scopes:", 1))
	eventually(t, func() error {
		if status, code := r.decide(sitePath, goodKey); status != 401 || code != string(keystile.ReasonCredentialExpired) {
			return fmt.Errorf("%d %s", status, code)
		}
		return nil
	})
	r.everywhere(sitePath, goodKey, 401)
	r.apply(simpleWorld)
	eventually(t, func() error {
		if status, code := r.decide(sitePath, goodKey); status != 200 {
			return fmt.Errorf("%d %s", status, code)
		}
		return nil
	})
	r.everywhere(sitePath, goodKey, 200)
}

func TestThreat27_AnEndedAdminTokenDecidesNothingMore(t *testing.T) {
	r := startServer(t, siteRoutes, simpleWorld)
	made := must(r.client().CreateAdminToken(t.Context(), client.AdminTokenCreate{}))(t)
	own := []asked{
		{target: "/v1/keys", header: bearerOf(made.Secret)},
		{target: "/metrics", header: bearerOf(made.Secret)},
		{method: "POST", target: "/v1/decisions", body: `{"method":"GET","url":"http://x/y","headers":{},"ip":"192.0.2.1"}`, header: bearerOf(made.Secret)},
	}
	for _, q := range own {
		if w := r.ask(r.public, q); w.Code != 200 {
			t.Errorf("%s: %d %s", q.target, w.Code, w.Body)
		}
	}
	must(r.client().RevokeAdminToken(t.Context(), made.ID))(t)
	for _, q := range own {
		if w := r.ask(r.public, q); w.Code != 401 {
			t.Errorf("%s with a revoked token: %d", q.target, w.Code)
		}
	}
}

func TestThreat29_EachScopeOpensItsRoutesAndNoOthersAtEveryPoint(t *testing.T) {
	scopes := []string{"things:read", "things:write", "things:*", "other:read", "other:*"}
	var routes, world strings.Builder
	routes.WriteString("\ntrusted_proxies: [192.0.2.77/32]\nroutes:\n")
	wanted := map[string][]string{"/none/a": nil, "/both/a": {"things:read", "other:read"}}
	for i, scope := range scopes {
		wanted[fmt.Sprintf("/one%d/a", i)] = []string{scope}
	}
	for path, needs := range wanted {
		fmt.Fprintf(&routes, "  - match: {path: %s}\n    upstream: \"{upstream}\"\n    accept: [api_key]\n", path)
		if len(needs) > 0 {
			fmt.Fprintf(&routes, "    scopes: [%s]\n", quoted(needs))
		}
	}
	// A key for each set of scopes.
	world.WriteString("organizations: [{id: acme, name: Acme}]\napi_keys:\n")
	granted := map[string][]string{}
	for set := range 1 << len(scopes) {
		var has []string
		for i, scope := range scopes {
			if set&(1<<i) != 0 {
				has = append(has, scope)
			}
		}
		key := fmt.Sprintf("scoped-%02d-0123456789abcdef", set)
		granted[key] = has
		fmt.Fprintf(&world, "  - {id: key_%d, secret: %s, organization: acme, scopes: [%s]}\n", set, key, quoted(has))
	}
	r := startServer(t, routes.String(), world.String())
	for path, needs := range wanted {
		for key, has := range granted {
			status := 200
			for _, need := range needs {
				noun, _, _ := strings.Cut(need, ":")
				if !slices.Contains(has, need) && !slices.Contains(has, noun+":*") {
					status = 403
				}
			}
			r.everywhere(path, key, status)
		}
	}
}

func quoted(scopes []string) string {
	text := ""
	for i, scope := range scopes {
		if i > 0 {
			text += ", "
		}
		text += `"` + scope + `"`
	}
	return text
}

func TestThreat29_EveryOwnEndpointOpensToItsScopeAlone(t *testing.T) {
	r := startServer(t, siteRoutes, simpleWorld)
	for _, scope := range keystile.AdminScopes {
		made := must(r.client().CreateAdminToken(t.Context(), client.AdminTokenCreate{Scopes: []string{string(scope)}}))(t)
		for _, c := range []struct {
			asked
			scope keystile.Scope
		}{
			{asked{target: "/metrics"}, scopeMetrics},
			{asked{method: "POST", target: "/v1/decisions", body: `{"method":"GET","url":"http://x/y","headers":{},"ip":"192.0.2.1"}`}, scopeDecisions},
			{asked{target: "/v1/keys"}, "keys:read"},
			{asked{target: "/v1/audit"}, "audit:read"},
			{asked{target: "/v1/state"}, "state:read"},
			{asked{target: "/v1/routes"}, "routes:read"},
		} {
			c.header = bearerOf(made.Secret)
			status := 403
			if scope == c.scope {
				status = 200
			}
			if w := r.ask(r.public, c.asked); w.Code != status {
				t.Errorf("%s with %s: %d, want %d: %s", c.target, scope, w.Code, status, w.Body)
			}
		}
	}
}

func TestThreat30_TheKeysOfTwoTenantsAreMirrorsThatNeverMeet(t *testing.T) {
	r := startServer(t, siteRoutes, `organizations: [{id: acme, name: Acme}, {id: other, name: Other}]
sites: [{id: Roof, organization: acme}, {id: Plant, organization: other}]
api_keys:
  - {id: key_a, secret: acme-0123456789abcdef-key, organization: acme, permitted_site_ids: [Roof], scopes: ["things:read"]}
  - {id: key_b, secret: other-0123456789abcdef-key, organization: other, permitted_site_ids: [Plant], scopes: ["things:read"]}
`)
	for key, own := range map[string]string{"acme-0123456789abcdef-key": "Roof", "other-0123456789abcdef-key": "Plant"} {
		for _, site := range []string{"Roof", "Plant", "roof", "Roof%20", "Nowhere"} {
			status := 403
			if site == own {
				status = 200
			}
			r.everywhere("/things/a?site="+site, key, status)
		}
		for _, query := range []string{"", "?site=", "?site=Roof&site=Plant", "?site=Plant&site=Roof", "?site[]=" + own, "?Site=" + own} {
			r.everywhere("/things/a"+query, key, 400)
		}
	}
}
