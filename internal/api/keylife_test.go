package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

func TestAReportOfLeakedKeysIsTakenFromAnybodyInEveryFormatAndTellsNothing(t *testing.T) {
	s := newServer(t)
	secret := s.organization("acme", "Roof", "key_a")
	var answers []string
	for _, body := range []string{
		`{"key":"` + secret + `"}`, `{"key":"opa_prod_nonsense"}`, `{"keys":["` + secret + `"]}`,
		`[{"token":"` + secret + `","type":"keystile_api_key","url":"https://code.example/a","source":"commit"}]`,
		`[{"token":"made-up","type":"x","url":"","source":"","more":{"that":["is","ignored"]}}]`,
	} {
		a := s.request("POST", "/v1/keys/leaked", "", body).want(202)
		answers = append(answers, a.body)
	}
	for _, a := range answers {
		if a != answers[0] || a != "{\"accepted\":1}\n" {
			t.Errorf("answers differ: %q", answers)
		}
	}
	if len(s.leaks) != 5 || s.leaks[0].Secret.Reveal() != secret || s.leaks[3].URL != "https://code.example/a" || s.leaks[3].Source != "commit" {
		t.Errorf("taken: %+v", s.leaks)
	}
	// A caller with some credential reports too, and curl's default type does.
	s.request("POST", "/v1/keys/leaked", "kadm_wrong", `{"key":"x"}`, "Content-Type", "application/x-www-form-urlencoded").want(202)
}

func TestThreat33_AReportIsBoundedAndNeverLogged(t *testing.T) {
	s := newServer(t)
	many := make([]string, 150)
	for i := range many {
		many[i] = fmt.Sprintf(`"canary-%d"`, i)
	}
	if a := s.request("POST", "/v1/keys/leaked", "", `{"keys":[`+strings.Join(many, ",")+`]}`).want(202); a.text("accepted") != "100" || len(s.leaks) != 100 {
		t.Errorf("%d taken, answer %s", len(s.leaks), a.body)
	}
	s.room = 0
	if a := s.request("POST", "/v1/keys/leaked", "", `{"key":"canary-x"}`).want(202); a.text("accepted") != "0" || a.header.Get("Retry-After") == "" {
		t.Errorf("without room: %s %v", a.body, a.header)
	}
	for _, bad := range []string{`{"key":`, `{"key":"canary-y"`, `"canary-z"`, `{"token":"canary-q"}`, `{"key":5}`, `[1]`, `[null]`, `[{"url":"x"}]`, `[{"token":"x","url":null}]`, `{"key":"x","keys":null}`, `{"key":null,"keys":[]}`, `{"keys":["x",null]}`, `null`, ``, `{}`} {
		if a := s.request("POST", "/v1/keys/leaked", "", bad).want(400); strings.Contains(a.body, "canary") {
			t.Errorf("%s is echoed: %s", bad, a.body)
		}
	}
	s.request("POST", "/v1/keys/leaked", "", `{"key":"`+strings.Repeat("canary", 20_000)+`"}`).want(413)
	if strings.Contains(s.log.String(), "canary") {
		t.Errorf("a reported key is logged: %s", s.log.String())
	}
}

func FuzzAReportOfLeakedKeys(f *testing.F) {
	f.Add(`{"key":"a"}`)
	f.Add(`{"keys":["a",""]}`)
	f.Add(`[{"token":"a","url":"b"},null]`)
	f.Add("[[[[[[[[")
	s := newServer(f)
	f.Fuzz(func(t *testing.T, body string) {
		s.t, s.room, s.leaks = t, 1000, nil
		a := s.request("POST", "/v1/keys/leaked", "", body)
		if a.status != 202 && a.status != 400 && a.status != 413 || len(s.leaks) > 100 {
			t.Errorf("%d, %d taken", a.status, len(s.leaks))
		}
		for _, r := range s.leaks {
			if r.Secret == "" {
				t.Error("an empty key was taken")
			}
		}
	})
}

func TestAKeyEndsItselfAndNoOther(t *testing.T) {
	s := newServer(t)
	for i, how := range []struct{ method, path string }{{"POST", "/v1/keys/self/revoke"}, {"DELETE", "/v1/keys/self"}} {
		id := fmt.Sprint("key_", i)
		secret := s.organization(fmt.Sprint("org-", i), fmt.Sprint("Site", i), id)
		s.request(how.method, how.path, "", "").want(401)
		s.request(how.method, how.path, s.admin, "").want(401)
		if a := s.request(how.method, how.path, "", "", "X-Api-Key", secret); a.status != 200 && a.status != 204 || strings.Contains(a.body, secret) {
			t.Fatalf("%s %s: %d %s", how.method, how.path, a.status, a.body)
		}
		s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", secret).want(401)
		s.request(how.method, how.path, "", "", "X-Api-Key", secret).want(401)
		if a := s.as(200, "GET", "/v1/keys/"+id, ""); a.text("state") != "revoked" {
			t.Errorf("state %s", a.text("state"))
		}
		a := s.as(200, "GET", fmt.Sprintf("/v1/audit?organization=org-%d", i), "")
		if !strings.Contains(a.body, `"actor":"key:`+id+`","action":"api_key.revoke"`) {
			t.Errorf("audit: %s", a.body)
		}
	}
}

// TestThreat29: whatever a key is asked to do to keys, it can only read and end itself.
func TestThreat29_AKeyCanNeitherMakeNorWidenAKey(t *testing.T) {
	s := newServer(t)
	secret := s.organization("acme", "Roof", "key_a")
	for _, op := range s.handler.Operations() {
		if op.Method == "GET" || !strings.HasPrefix(op.Path, "/v1/keys") || op.ID == "report-leaked-keys" || strings.HasSuffix(op.ID, "-own-key") {
			continue
		}
		for _, id := range []string{"key_a", "self"} {
			path := target(op, id)
			if path == "/v1/keys/self" || path == "/v1/keys/self/revoke" {
				continue
			}
			body := `{"scopes":["*"],"overlap":"1h","organization":"acme","keys":[{"organization":"acme"}],"ids":["key_a"]}`
			s.request(op.Method, path, secret, body).want(401)
			s.request(op.Method, path, "", body, "X-Api-Key", secret).want(401)
		}
	}
	if a := s.request("GET", "/v1/keys/self", secret, "").want(200); a.text("state") != "active" || a.text("scopes.0") != "" {
		t.Errorf("the key is now %s", a.body)
	}
}

func TestUsageIsToldByHourAndDayWithANarrowerKey(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Cellar", "key_b")
	s.as(201, "POST", "/v1/sites", `{"id":"Attic","organization":"acme"}`)
	s.as(200, "PATCH", "/v1/keys/key_a", `{"scopes":["telemetry:*","alarms:read"],"permitted_site_ids":["Roof","Attic"]}`)
	if a := s.as(200, "GET", "/v1/keys/key_a/usage", ""); a.text("proposal") != "" || a.text("last_used") != "" || a.text("unused.scopes") != "[telemetry:* alarms:read]" {
		t.Errorf("never used: %s", a.body)
	}
	now := s.clock()
	for i := range 3 {
		at := now.Add(-time.Duration(i) * 20 * time.Hour)
		u := keystile.KeyUsage{KeyID: "key_a", Hour: at.Truncate(time.Hour), Allowed: 5, Refused: 1, LastAt: at, LastAddr: "198.51.100.7", LastRoute: "GET /a"}
		for aspect, name := range map[keystile.Aspect]string{keystile.AspectScope: "telemetry:read", keystile.AspectSite: "Roof", keystile.AspectRoute: "GET /a"} {
			u.Aspects = append(u.Aspects, keystile.KeyAspect{Aspect: aspect, Name: name, FirstAt: at, LastAt: at})
		}
		if err := s.service.Store.NoteKeyUsage(t.Context(), []keystile.KeyUsage{u}); err != nil {
			t.Fatal(err)
		}
	}
	a := s.as(200, "GET", "/v1/keys/key_a/usage?by=hour&until="+now.Add(time.Minute).Format(time.RFC3339), "")
	if a.text("requests.2.allowed") != "5" || a.text("requests.3") != "" || a.text("last_used.address") != "198.51.100.7" || a.text("last_used.route") != "GET /a" {
		t.Errorf("by hour: %s", a.body)
	}
	if a.text("proposal.scopes") != "[telemetry:read]" || a.text("proposal.permitted_site_ids") != "[Roof]" || a.text("unused.scopes") != "[alarms:read]" || a.text("unused.permitted_site_ids") != "[Attic]" {
		t.Errorf("proposal: %s", a.body)
	}
	s.move(time.Minute)
	if a := s.as(200, "GET", "/v1/keys/key_a/usage", ""); a.text("requests.0.allowed") != "5" || a.text("requests.1.allowed") != "5" || a.text("by") != "day" {
		t.Errorf("by day: %s", a.body)
	}
	s.as(422, "GET", "/v1/keys/key_a/usage?since=2020-01-01T00:00:00Z", "")
	s.as(422, "GET", "/v1/keys/key_a/usage?by=year", "")
	bound := s.token(manage.NewAdminToken{OrganizationID: "other"})
	s.request("GET", "/v1/keys/key_a/usage", bound, "").want(404)
}

func TestKeysAreMadeAndRevokedInBulkAllOfThemOrNone(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Cellar", "key_b")
	a := s.as(201, "POST", "/v1/keys/bulk", `{"keys":[{"id":"b1","organization":"acme"},{"id":"b2","organization":"acme","allowed_ips":["0.0.0.0/0"]},{"id":"b3","organization":"acme","secret":"imported-by-hand-12345"}]}`)
	made := a.items()
	if len(made) != 3 || made[0]["secret"] == nil || made[2]["secret"] != nil || !strings.Contains(fmt.Sprint(made[1]["warnings"]), "every address") {
		t.Errorf("made: %s", a.body)
	}
	s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", textOf(t, made[1], "secret")).want(200)
	bad := s.as(422, "POST", "/v1/keys/bulk", `{"keys":[{"id":"c1","organization":"acme"},{"organization":"acme","name":"a\nb","expires_at":"2020-01-01T00:00:00Z"},{"organization":"nobody"}]}`)
	if bad.fields() != "keys[1].name keys[1].expires_at keys[2].organization" {
		t.Errorf("faults: %s", bad.fields())
	}
	s.as(404, "GET", "/v1/keys/c1", "")
	s.as(409, "POST", "/v1/keys/bulk", `{"keys":[{"id":"d1","organization":"acme"},{"id":"d1","organization":"acme"}]}`)
	s.as(404, "GET", "/v1/keys/d1", "")
	bound := s.token(manage.NewAdminToken{OrganizationID: "acme"})
	if a := s.request("POST", "/v1/keys/bulk-revoke", bound, `{"ids":["b1","key_b"]}`).want(422); a.fields() != "ids[1]" {
		t.Errorf("another organization's key: %s", a.body)
	}
	s.request("POST", "/v1/keys/bulk", bound, `{"keys":[{"organization":"other"}]}`).want(422)
	if a := s.as(200, "GET", "/v1/keys/b1", ""); a.text("state") != "active" {
		t.Error("half of a bulk was done")
	}
	if items := s.request("POST", "/v1/keys/bulk-revoke", bound, `{"ids":["b1","b2","b1"]}`).want(200).items(); len(items) != 3 || items[1]["state"] != "revoked" {
		t.Errorf("revoked: %v", items)
	}
	s.as(422, "POST", "/v1/keys/bulk-revoke", `{"ids":[]}`)
	s.as(422, "POST", "/v1/keys/bulk", `{"keys":[`+strings.Repeat(`{},`, 1000)+`{}]}`)
}

func TestKeysAreFiltered(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Cellar", "key_b")
	s.as(200, "POST", "/v1/keys/key_b/revoke", "")
	for query, want := range map[string]string{
		"state=active": "key_a", "state=revoked": "key_b", "site=Roof": "key_a", "site=Roof&state=revoked": "",
		"idle_since=2027-01-01T00:00:00Z": "key_a key_b", "idle_since=2020-01-01T00:00:00Z": "", "expires_before=2027-01-01T00:00:00Z": "", "prefix=opa_prod_": "key_a key_b", "scope=x:y": "", "user=nobody": "",
	} {
		var got []string
		for _, item := range s.as(200, "GET", "/v1/keys?"+query, "").items() {
			got = append(got, textOf(t, item, "id"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	s.as(422, "GET", "/v1/keys?state=sleepy", "")
	s.as(422, "GET", "/v1/keys?prefix=a%20b", "")
	s.as(422, "GET", "/v1/keys?idle_since=yesterday", "")
	next := s.as(200, "GET", "/v1/keys?limit=1&prefix=opa", "").text("next_cursor")
	s.as(200, "GET", "/v1/keys?limit=1&prefix=opa&cursor="+next, "")
	s.as(422, "GET", "/v1/keys?limit=1&prefix=op&cursor="+next, "")
}

func TestWhatIsNoTextIsRefusedBeforeAnythingIsAskedForIt(t *testing.T) {
	s := newServer(t)
	for _, target := range []string{
		"/v1/keys?scope=%00", "/v1/keys?scope=%ff", "/v1/audit?actor=%00", "/v1/audit/decisions?request_id=a%00b", "/v1/users?username=%c3%28",
	} {
		s.as(400, "GET", target, "")
	}
	for _, target := range []string{"/v1/applications/%00", "/v1/keys/%00", "/v1/keys/a%00/usage"} {
		s.as(404, "GET", target, "")
	}
}

func TestAnOrganizationsResponseToLeaksIsReadAndChanged(t *testing.T) {
	s := newServer(t)
	a := s.as(201, "POST", "/v1/organizations", `{"id":"acme","leak":{"response":"revoke","grace":"24h"}}`)
	if a.text("leak.response") != "revoke" || a.text("leak.grace") != "24h0m0s" {
		t.Errorf("made: %s", a.body)
	}
	if a := s.as(200, "PATCH", "/v1/organizations/acme", `{"leak":null}`); a.text("leak.response") != "notify" || a.text("leak.grace") != "" {
		t.Errorf("cleared: %s", a.body)
	}
	bound := s.token(manage.NewAdminToken{OrganizationID: "acme"})
	s.request("PATCH", "/v1/organizations/acme", bound, `{"leak":{"response":"throttle"}}`).want(200)
	for body, field := range map[string]string{
		`{"leak":{"response":"revoke","grace":"soon"}}`: "leak.grace", `{"leak":{"response":"throttle","grace":"1h"}}`: "leak.grace", `{"leak":{"response":"shout"}}`: "leak.response",
	} {
		if a := s.as(422, "PATCH", "/v1/organizations/acme", body); a.fields() != field {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

func TestANetworkThatCoversTheInternetIsWarnedOfWheneverItIsSet(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	for network, warned := range map[string]string{
		"0.0.0.0/0": "every address", "::/0": "every address", "128.0.0.0/1": "a large part", "2000::/3": "a large part", "10.0.0.0/8": "", "2001:db8::/32": "",
	} {
		a := s.as(200, "PATCH", "/v1/keys/key_a", `{"allowed_ips":["`+network+`"]}`)
		if got := a.text("warnings"); strings.Contains(got, "allows") != (warned != "") || !strings.Contains(got, warned) {
			t.Errorf("%s: %q", network, got)
		}
	}
}
