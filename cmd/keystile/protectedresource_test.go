package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestACallerWithoutATokenFindsOutWhereToGetOne(t *testing.T) {
	r := startServer(t, simpleRoutes+"\n  - match: {path: /mcp/**}\n    accept: [api_key, oauth_token]\n    scopes: [things:read]\n    upstream: http://127.0.0.1:1\n", simpleWorld)
	w := r.ask(r.public, asked{target: "/mcp/tools"})
	_, rest, found := strings.Cut(w.Header().Get("WWW-Authenticate"), `resource_metadata="`)
	address, _, closed := strings.Cut(rest, `"`)
	if w.Code != 401 || !found || !closed {
		t.Fatalf("%d, %q", w.Code, w.Header().Get("WWW-Authenticate"))
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(address, "http://"), "/")
	var about struct {
		Resource string
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
	}
	w = r.ask(r.public, asked{target: "/" + path})
	if err := json.Unmarshal(w.Body.Bytes(), &about); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s %v", address, w.Code, w.Body, err)
	}
	if !strings.HasSuffix(about.Resource, "/mcp") || len(about.Servers) != 1 || len(about.Scopes) != 1 || about.Scopes[0] != "things:read" {
		t.Errorf("%+v", about)
	}
	// A route that takes no tokens says nothing of them.
	w = r.ask(r.public, asked{target: "/things/a"})
	if w.Code != 401 || strings.Contains(w.Header().Get("WWW-Authenticate"), "resource_metadata") {
		t.Errorf("%d, %q", w.Code, w.Header().Get("WWW-Authenticate"))
	}
	if w = r.ask(r.public, asked{target: "/.well-known/oauth-protected-resource/things"}); w.Code != 404 {
		t.Errorf("metadata of a route that takes no tokens: %d", w.Code)
	}
}
