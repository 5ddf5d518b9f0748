package api_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestAClientIsChangedByWhoReadIt(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	app := s.as(201, "POST", "/v1/applications", `{"organization":"acme","name":"Roofs","kind":"backend"}`).text("id")
	s.as(201, "POST", "/v1/clients", `{"id":"roofs","application":"`+app+`","redirect_uris":["https://c.example/cb"],"scopes":["openid"]}`)
	const path = "/v1/clients/roofs"
	got := s.as(200, "GET", path, "")
	etag := got.header.Get("ETag")
	changed := s.as(200, "PATCH", path, `{"redirect_uris":["https://c.example/cb","https://c.example/cb2"],"scopes":["openid","a:read"],"grant_types":["authorization_code"],"dpop":true}`, "If-Match", etag)
	for _, want := range []string{`"https://c.example/cb2"`, `"a:read"`, `"dpop":true`, `"grant_types":["authorization_code"]`} {
		if !strings.Contains(changed.body, want) {
			t.Errorf("%s is not in %s", want, changed.body)
		}
	}
	if changed.header.Get("ETag") == etag || changed.header.Get("ETag") != s.as(200, "GET", path, "").header.Get("ETag") {
		t.Errorf("ETag %q after %q", changed.header.Get("ETag"), etag)
	}
	// Two admins edit one client: the second is told, and nothing of theirs is written.
	if a := s.as(412, "PATCH", path, `{"scopes":["b:read"]}`, "If-Match", etag); a.text("code") != "stale_version" {
		t.Errorf("code %s", a.text("code"))
	}
	if a := s.as(200, "GET", path, ""); strings.Contains(a.body, "b:read") {
		t.Error("a stale change was written")
	}
	for body, want := range map[string]string{
		`{"name":"Other"}`:                               "change the name of its application",
		`{"jwks":"{\"keys\":[]}"}`:                       "cannot change",
		`{"redirect_uris":[]}`:                           "redirect_uris",
		`{"redirect_uris":["http://c.example/cb"]}`:      "redirect_uris[0]",
		`{"redirect_uris":["https://c.example/*"]}`:      "redirect_uris[0]",
		`{"scopes":["not a scope"]}`:                     "scopes[0]",
		`{"grant_types":["password"]}`:                   "grant_types[0]",
		`{"token_format":"saml"}`:                        "token_format",
		`{"public":true}`:                                "public",
		`{"application":"x"}`:                            "application",
		`{"scopes":null}`:                                "scopes",
		`{"redirect_uris":["https://c.example/\u202e"]}`: "redirect_uris[0]",
	} {
		if a := s.as(422, "PATCH", path, body); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s, want %s", body, a.body, want)
		}
	}
	if a := s.as(200, "GET", "/v1/audit?organization=acme&action=client.update", ""); strings.Count(a.body, `"client.update"`) != 1 || !strings.Contains(a.body, "cb2") {
		t.Errorf("audit: %s", a.body)
	}
	s.as(200, "POST", path+"/revoke", "")
	s.as(409, "PATCH", path, `{"scopes":["openid"]}`)
	s.as(404, "PATCH", "/v1/clients/absent", `{"scopes":["openid"]}`)
}

// A page is a place in an order and no number: what others make, change and delete
// meanwhile neither hides a key that stays nor shows it twice.
func TestAListShowsEachThingThatStaysOnceWhileOthersWrite(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_00")
	want := []string{"key_00"}
	for i := range 30 {
		id := fmt.Sprintf("key_%02d", 10+i)
		s.as(201, "POST", "/v1/keys", `{"id":"`+id+`","organization":"acme"}`)
		want = append(want, id)
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				id := fmt.Sprintf("key_%02d_%d_%d", 10+n%30, w, n)
				s.as(201, "POST", "/v1/keys", `{"id":"`+id+`","organization":"acme"}`)
				s.as(200, "PATCH", fmt.Sprintf("/v1/keys/key_%02d", 10+n%30), `{"name":"`+id+`"}`)
				s.as(204, "DELETE", "/v1/keys/"+id, "")
			}
		})
	}
	for range 5 {
		var stayed []string
		for cursor := ""; ; {
			page := s.as(200, "GET", "/v1/keys?limit=4&organization=acme&cursor="+cursor, "")
			for _, item := range page.items() {
				if id := textOf(t, item, "id"); slices.Contains(want, id) {
					stayed = append(stayed, id)
				}
			}
			if cursor = page.text("next_cursor"); cursor == "" {
				break
			}
		}
		if !slices.Equal(stayed, want) {
			t.Errorf("listed %v", stayed)
		}
	}
	close(done)
	writers.Wait()
}
