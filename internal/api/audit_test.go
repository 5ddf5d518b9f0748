package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/manage"
)

func TestEventsOfEveryChainAreReadPageByPageInEitherDirection(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Plant", "key_b")
	all := s.as(200, "GET", "/v1/audit?all=true&limit=200", "")
	for _, direction := range []string{"", "&newest_first=true"} {
		var ids []string
		for cursor := ""; ; {
			page := s.as(200, "GET", "/v1/audit?all=true&limit=3"+direction+cursor, "")
			for _, i := range []string{"0", "1", "2"} {
				if hash := page.text("items." + i + ".hash"); hash != "" {
					ids = append(ids, hash)
				}
			}
			if page.text("next_cursor") == "" {
				break
			}
			cursor = "&cursor=" + page.text("next_cursor")
		}
		for _, id := range ids {
			if !strings.Contains(all.body, id) {
				t.Errorf("%s is on a page and not in the whole", id)
			}
		}
		if n := strings.Count(all.body, `"prev_hash"`); len(ids) != n || n < 7 {
			t.Errorf("%d events in pages, %d in one", len(ids), n)
		}
	}
	cursor := s.as(200, "GET", "/v1/audit?all=true&limit=1&action=site.*", "").text("next_cursor")
	for _, filter := range []string{"", "&action=api_key.*", "&action=site.*&newest_first=true", "&action=site.*&organization=acme", "&action=site.*&since=2026-01-01T00:00:00Z"} {
		if a := s.as(422, "GET", "/v1/audit?all=true&limit=1&cursor="+cursor+filter, ""); a.fields() != "cursor" {
			t.Errorf("a cursor of another search: %s", a.body)
		}
	}
}

func TestThreat30_ATokenOfOneOrganizationReadsItsOwnEventsAndDecisionsAlone(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Plant", "key_b")
	if err := s.service.Store.RecordDecisions(t.Context(), []keystile.DecisionRecord{
		{At: time.Unix(1_700_000_000, 0), OrganizationID: "acme", CredentialID: "key_a", Allowed: true},
		{At: time.Unix(1_700_000_001, 0), OrganizationID: "other", CredentialID: "key_b", Reason: keystile.ReasonScopeMissing},
		{At: time.Unix(1_700_000_002, 0), Reason: keystile.ReasonCredentialUnknown},
	}); err != nil {
		t.Fatal(err)
	}
	mine := s.token(manage.NewAdminToken{OrganizationID: "acme"})
	for _, path := range []string{"/v1/audit?limit=200", "/v1/audit?all=true&limit=200", "/v1/audit?organization=acme&limit=200"} {
		a := s.request("GET", path, mine, "").want(200)
		if !strings.Contains(a.body, "key_a") || strings.Contains(a.body, "other") || strings.Contains(a.body, `"organization":""`) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	for _, path := range []string{"/v1/audit?organization=other", "/v1/audit/decisions?organization=other", "/v1/audit/decisions?credential=key_b", "/v1/audit?all=true&target=api_key:key_b"} {
		if a := s.request("GET", path, mine, "").want(200); a.body != "{\"items\":[],\"next_cursor\":\"\"}\n" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if a := s.request("GET", "/v1/audit/decisions", mine, "").want(200); a.text("items.0.credential") != "key_a" || a.text("items.1.credential") != "" {
		t.Errorf("decisions: %s", a.body)
	}
	web := httptest.NewServer(s.handler)
	t.Cleanup(web.Close)
	c, err := client.New(web.URL, s.admin)
	if err != nil {
		t.Fatal(err)
	}
	var found []int64
	for d, err := range c.FindDecisions(t.Context(), client.DecisionSearch{Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, d.Seq)
	}
	if len(found) != 3 || found[0] != 3 || found[2] != 1 {
		t.Errorf("found %v", found)
	}
}
