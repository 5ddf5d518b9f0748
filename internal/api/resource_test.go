package api_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

type storeTx = store.Tx

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func guardedStatus(h http.Handler, token string) int {
	r := httptest.NewRequest("GET", "/metrics", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestAnOrganizationLivesFromCreationToDeletion(t *testing.T) {
	s := newServer(t)
	made := s.as(201, "POST", "/v1/organizations", `{"id":"acme","name":"Acme"}`)
	if made.header.Get("Location") != "/v1/organizations/acme" || made.text("environment") != "production" || made.text("key_prefix") != "opa" || made.text("created_at") != "2026-03-01T12:00:00Z" {
		t.Errorf("made: %v %s", made.header, made.body)
	}
	got := s.as(200, "GET", "/v1/organizations/acme", "")
	if got.body != made.body || got.header.Get("ETag") != made.header.Get("ETag") {
		t.Errorf("made %s\nread %s", made.body, got.body)
	}
	s.as(409, "POST", "/v1/organizations", `{"id":"acme"}`)
	changed := s.as(200, "PATCH", "/v1/organizations/acme", `{"name":"Acme Inc"}`)
	if changed.text("name") != "Acme Inc" || changed.text("tenant_id") != made.text("tenant_id") || changed.header.Get("ETag") == made.header.Get("ETag") {
		t.Errorf("changed: %s", changed.body)
	}
	if a := s.as(422, "PATCH", "/v1/organizations/acme", `{"environment":"x","tenant_id":"y"}`); a.fields() != "environment" {
		t.Errorf("body = %s", a.body)
	}
	if a := s.as(422, "PATCH", "/v1/organizations/acme", `{"name":null}`); a.fields() != "name" {
		t.Errorf("body = %s", a.body)
	}
	if a := s.as(204, "DELETE", "/v1/organizations/acme", ""); a.body != "" {
		t.Errorf("body = %q", a.body)
	}
	s.as(404, "GET", "/v1/organizations/acme", "")
	s.as(404, "DELETE", "/v1/organizations/acme", "")
}

func TestAChangeOfAStaleVersionIsRefused(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	for _, path := range []string{"/v1/organizations/acme", "/v1/sites/Roof", "/v1/keys/key_a"} {
		etag := s.as(200, "GET", path, "").header.Get("ETag")
		s.as(200, "PATCH", path, `{"name":"one"}`, "If-Match", etag)
		if a := s.as(412, "PATCH", path, `{"name":"two"}`, "If-Match", etag); a.text("code") != "stale_version" {
			t.Errorf("body = %s", a.body)
		}
		s.as(412, "PATCH", path, `{"name":"two"}`, "If-Match", `W/`+s.as(200, "GET", path, "").header.Get("ETag"))
		s.as(200, "PATCH", path, `{"name":"three"}`, "If-Match", `"x", `+s.as(200, "GET", path, "").header.Get("ETag"))
		s.as(200, "PATCH", path, `{"name":"four"}`, "If-Match", "*")
	}
	s.as(400, "DELETE", "/v1/keys/key_a", "", "If-Match", "*")
}

func TestASiteAndARoleLiveFromCreationToDeletion(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.as(201, "POST", "/v1/sites", `{"id":"Plant","organization":"acme"}`)
	if a := s.as(200, "GET", "/v1/sites?organization=acme", ""); a.text("items.0.id") != "Plant" || a.text("items.1.id") != "Roof" || a.text("next_cursor") != "" {
		t.Errorf("list: %s", a.body)
	}
	s.as(409, "DELETE", "/v1/sites/Roof", "")
	s.as(204, "DELETE", "/v1/sites/Plant", "")
	s.as(422, "POST", "/v1/sites", `{"organization":"acme"}`)

	s.as(201, "POST", "/v1/roles", `{"id":"role_analyst","scopes":["telemetry:read"]}`)
	if a := s.as(200, "PATCH", "/v1/roles/role_analyst", `{"scopes":[]}`); !strings.Contains(a.body, `"scopes":[]`) {
		t.Errorf("changed: %s", a.body)
	}
	if a := s.as(200, "GET", "/v1/roles", ""); a.text("items.0.id") != "role_analyst" {
		t.Errorf("list: %s", a.body)
	}
	s.as(204, "DELETE", "/v1/roles/role_analyst", "")
	s.as(404, "GET", "/v1/roles/role_analyst", "")
}

func TestAKeyLivesFromCreationToDeletion(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	made := s.as(201, "POST", "/v1/keys", `{"organization":"acme","name":"Export","permitted_site_ids":["Roof"],"scopes":["telemetry:read"],
		"allowed_ips":["10.0.0.0/8","192.0.2.7","0.0.0.0/0"],"limit":"60/1m","expires_at":"2027-01-01T00:00:00Z"}`)
	if !strings.HasPrefix(made.text("secret"), "opa_prod_") || made.header.Get("Location") != "/v1/keys/"+made.text("id") {
		t.Errorf("made: %s %v", made.body, made.header)
	}
	if made.text("allowed_ips.1") != "192.0.2.7/32" || !strings.Contains(made.text("warnings.0"), "allowed_ips[2]") {
		t.Errorf("made: %s", made.body)
	}
	path := "/v1/keys/" + made.text("id")
	got := s.as(200, "GET", path, "")
	if got.text("state") != "active" || got.text("limit") != "60/1m" || got.text("limit_algorithm") != "window" || got.text("expires_at") != "2027-01-01T00:00:00Z" || got.text("secret") != "" {
		t.Errorf("read: %s", got.body)
	}
	changed := s.as(200, "PATCH", path, `{"limit":null,"expires_at":null,"allowed_ips":[],"scopes":["a:*"]}`)
	if changed.text("limit") != "" || changed.text("limit_algorithm") != "" || changed.text("expires_at") != "" || changed.text("scopes.0") != "a:*" || changed.text("permitted_site_ids.0") != "Roof" {
		t.Errorf("changed: %s", changed.body)
	}
	if a := s.as(200, "PATCH", path, `{"limit":"20000/1h","limit_algorithm":"gcra"}`); a.text("limit") != "20000/1h" || a.text("limit_algorithm") != "gcra" {
		t.Errorf("changed: %s", a.body)
	}
	if a := s.as(200, "PATCH", path, `{"limit":"30000/1h"}`); a.text("limit_algorithm") != "gcra" {
		t.Errorf("changed: %s", a.body)
	}
	if a := s.as(422, "PATCH", path, `{"limit_algorithm":"window"}`); a.fields() != "limit" {
		t.Errorf("body = %s", a.body)
	}
	rotated := s.as(200, "POST", path+"/rotate", `{"overlap":"24h"}`)
	if rotated.text("id") != made.text("id") || rotated.text("secret") == made.text("secret") || rotated.text("secret") == "" {
		t.Errorf("rotated: %s", rotated.body)
	}
	s.as(422, "POST", path+"/rotate", `{}`)
	s.as(422, "POST", path+"/rotate", `{"overlap":"2161h"}`)
	if a := s.as(200, "POST", path+"/revoke", ""); a.text("state") != "revoked" || a.text("revoked_at") == "" {
		t.Errorf("revoked: %s", a.body)
	}
	s.as(409, "POST", path+"/rotate", `{"overlap":"0s"}`)
	s.as(204, "DELETE", path, "")
	s.as(404, "GET", path, "")
}

func TestEverythingWrongWithARequestIsToldAtOnce(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	const bad = `"permitted_site_ids":["Nowhere"],"allowed_ips":["10/8","10.0.0.1/8"],"limit":"x","scopes":["*"]`
	if a := s.as(422, "POST", "/v1/keys", `{"organization":"acme","sha256":"x",`+bad+`}`); a.fields() != "limit allowed_ips[0] sha256 scopes[0] allowed_ips[0] permitted_site_ids[0]" {
		t.Errorf("body = %s", a.body)
	}
	if a := s.as(422, "PATCH", "/v1/keys/key_a", `{"name":null,`+bad+`}`); a.fields() != "name allowed_ips[0] limit scopes[0] allowed_ips[0] permitted_site_ids[0]" {
		t.Errorf("body = %s", a.body)
	}
	if a := s.as(422, "PATCH", "/v1/organizations/acme", `{"name":null,"key_prefix":"UP"}`); a.fields() != "name key_prefix" {
		t.Errorf("body = %s", a.body)
	}
	if a := s.as(200, "GET", "/v1/keys/key_a", ""); a.text("permitted_site_ids.0") != "Roof" {
		t.Errorf("a refused change changed the key: %s", a.body)
	}
}

func TestAKeyIsImportedAndItsHashToo(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	a := s.as(201, "POST", "/v1/keys", `{"organization":"acme","secret":"fifteen-letters"}`)
	if a.text("secret") != "" || !strings.Contains(a.text("warnings.0"), "secret") {
		t.Errorf("imported: %s", a.body)
	}
	s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", "fifteen-letters").want(200)
	s.as(201, "POST", "/v1/keys", `{"organization":"acme","sha256":"`+strings.Repeat("ab", 32)+`"}`)
	for _, bad := range []string{"xy", "abab", strings.Repeat("ab", 33)} {
		if a := s.as(422, "POST", "/v1/keys", `{"organization":"acme","sha256":"`+bad+`"}`); a.fields() != "sha256" {
			t.Errorf("body = %s", a.body)
		}
	}
}

func TestAKeyReadsAboutItselfAndNothingElse(t *testing.T) {
	s := newServer(t)
	secret := s.organization("acme", "Roof", "key_a")
	for _, headers := range [][]string{
		{"X-Api-Key", secret}, {"x-api-key", secret}, {"Authorization", "Bearer " + secret}, {"Authorization", "bearer " + secret}, {"Authorization", secret},
	} {
		a := s.request("GET", "/v1/keys/self", "", "", headers...).want(200)
		if a.text("id") != "key_a" || a.text("permitted_site_ids.0") != "Roof" || strings.Contains(a.body, secret) {
			t.Errorf("body = %s", a.body)
		}
	}
	for _, headers := range [][]string{
		{},
		{"X-Api-Key", ""},
		{"X-Api-Key", "opa_prod_nonsense"},
		{"X-Api-Key", secret, "Authorization", "Bearer " + secret},
		{"X-Api-Key", secret, "X-Api-Key", secret},
		{"Authorization", "Bearer "},
		{"Authorization", "Basic " + secret},
		{"X-Api-Key", s.admin},
		{"X-Api-Key", strings.Repeat("x", 8192)},
	} {
		a := s.request("GET", "/v1/keys/self", "", "", headers...).want(401)
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("no challenge: %v", a.header)
		}
	}
	s.as(200, "PATCH", "/v1/keys/key_a", `{"allowed_ips":["10.0.0.0/8"]}`)
	s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", secret).want(403)
	s.request("POST", "/v1/keys/self", secret, "{}").want(401)
	s.as(422, "POST", "/v1/keys", `{"id":"self","organization":"acme"}`)
}

func TestAnAdminTokenLivesFromCreationToRevocation(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	made := s.as(201, "POST", "/v1/admin-tokens", `{"name":"ci","organization":"acme","scopes":["keys:*"],"expires_at":"2027-01-01T00:00:00Z"}`)
	if !strings.HasPrefix(made.text("secret"), "kadm_") || made.text("scopes") != "[keys:read keys:write]" {
		t.Errorf("made: %s", made.body)
	}
	path := "/v1/admin-tokens/" + made.text("id")
	if a := s.as(200, "GET", path, ""); a.text("organization") != "acme" || a.text("secret") != "" {
		t.Errorf("read: %s", a.body)
	}
	s.request("GET", "/v1/keys", made.text("secret"), "").want(200)
	s.request("GET", "/v1/sites", made.text("secret"), "").want(403)
	if a := s.as(200, "POST", path+"/revoke", ""); a.text("revoked_at") == "" {
		t.Errorf("revoked: %s", a.body)
	}
	s.as(422, "POST", "/v1/admin-tokens", `{"scopes":["nonsense"]}`)
	narrow := s.token(manage.NewAdminToken{Scopes: []keystile.Scope{"admin_tokens:write"}})
	if a := s.request("POST", "/v1/admin-tokens", narrow, `{"scopes":["keys:write"]}`).want(403); a.text("code") != "insufficient_scope" {
		t.Errorf("body = %s", a.body)
	}
}

func TestAListGoesOnWhereItStoppedAndShowsEachThingOnce(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_00")
	for i := range 7 {
		s.as(201, "POST", "/v1/keys", `{"id":"key_1`+string(rune('0'+i))+`","organization":"acme"}`)
	}
	var ids []string
	path := "/v1/keys?limit=3&organization=acme"
	for cursor := ""; ; {
		page := s.as(200, "GET", path+"&cursor="+cursor, "")
		for _, item := range page.items() {
			ids = append(ids, textOf(t, item, "id"))
		}
		if cursor = page.text("next_cursor"); cursor == "" {
			break
		}
	}
	if strings.Join(ids, " ") != "key_00 key_10 key_11 key_12 key_13 key_14 key_15 key_16" {
		t.Errorf("ids = %v", ids)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "limt=3", "organization=%20"} {
		s.as(422, "GET", "/v1/keys?"+query, "")
	}
	s.as(400, "GET", "/v1/keys?limit=1&limit=2", "")
	s.as(400, "GET", "/v1/keys?%zz", "")
	if a := s.as(200, "GET", "/v1/keys?organization=nobody", ""); !strings.Contains(a.body, `"items":[]`) {
		t.Errorf("body = %s", a.body)
	}
}

func TestRoutesAreListedInTheirOrder(t *testing.T) {
	s := newServer(t)
	first := s.as(200, "GET", "/v1/routes?limit=2", "")
	if first.text("items.0.id") != "GET /a" || first.text("items.0.resource.id") != "query.site_id" || first.text("items.0.limits.0.rate") != "60/1m" {
		t.Errorf("body = %s", first.body)
	}
	rest := s.as(200, "GET", "/v1/routes?limit=2&cursor="+first.text("next_cursor"), "")
	if rest.text("items.0.id") != "GET /c" || rest.text("next_cursor") != "" {
		t.Errorf("body = %s", rest.body)
	}
}

func TestTheAuditLogNamesWhoDidWhatInWhichRequest(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.as(201, "POST", "/v1/keys", `{"id":"key_c","organization":"acme"}`)
	page := s.as(200, "GET", "/v1/audit?organization=acme&limit=200", "")
	var found bool
	for _, event := range page.items() {
		if strings.Contains(textOf(t, event, "target"), "key_c") {
			found = true
			if event["actor"] != "admin:adm_root" || !strings.HasPrefix(textOf(t, event, "request_id"), "req-") || len(textOf(t, event, "hash")) != 64 {
				t.Errorf("event = %v", event)
			}
		}
	}
	if !found {
		t.Errorf("no event of the new key: %s", page.body)
	}
	if first := s.as(200, "GET", "/v1/audit?organization=acme&limit=1", ""); first.text("next_cursor") == "" {
		t.Errorf("body = %s", first.body)
	}
}

func TestAStateFileIsAppliedAndExported(t *testing.T) {
	s := newServer(t)
	a := s.as(200, "POST", "/v1/state/apply?dry_run=true&prune=true", "organizations: []\n", "Content-Type", "application/yaml")
	if !s.state.options.DryRun || !s.state.options.Prune || string(s.state.file) != "organizations: []\n" || s.state.actor.Name != "admin:adm_root" {
		t.Errorf("asked for %+v", s.state)
	}
	if a.text("dry_run") != "true" || !strings.Contains(a.body, `"changes":[]`) {
		t.Errorf("body = %s", a.body)
	}
	s.as(422, "POST", "/v1/state/apply?dryrun=true", "x")
	s.as(400, "POST", "/v1/state/apply", "")
	export := s.as(200, "GET", "/v1/state", "")
	if export.body != "organizations: []\n" || export.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("export: %v %q", export.header, export.body)
	}
	s.state.err = errors.Join(keystile.Invalidf("3: sites[0].id", "r", "p"), keystile.Invalidf("7: x", "r", "p"))
	if a := s.as(422, "POST", "/v1/state/apply", "x"); a.fields() != "3: sites[0].id 7: x" {
		t.Errorf("body = %s", a.body)
	}
	s.state.err = errors.New("disk on fire at /secret/path")
	if a := s.as(500, "POST", "/v1/state/apply", "x"); strings.Contains(a.body, "fire") {
		t.Errorf("body = %s", a.body)
	}
	if !strings.Contains(s.log.String(), "disk on fire") {
		t.Error("the cause is not in the log")
	}
}

func TestWhatIsNotThereAnswersAsAProblem(t *testing.T) {
	s := newServer(t)
	if a := s.as(405, "PUT", "/v1/keys", "{}"); a.header.Get("Allow") != "GET, POST" || a.text("code") != "method_not_allowed" {
		t.Errorf("%v %s", a.header, a.body)
	}
	s.as(404, "GET", "/v1/nothing", "")
	for _, path := range []string{"/v1//keys", "/v1/./keys", "/v1/x/../keys", "/v1/keys/", "/v1/keys/a%2Fb"} {
		s.as(400, "GET", path, "")
	}
	s.as(404, "GET", "/v1/keys/%00", "")
	s.as(404, "GET", "/v1/keys/"+strings.Repeat("a", 300), "")
	if a := s.request("HEAD", "/v1/keys", s.admin, ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
	if a := s.request("HEAD", "/v1/keys", "", ""); a.status != 401 {
		t.Errorf("HEAD without a token: %d", a.status)
	}
}

func TestABodyHasOneReading(t *testing.T) {
	s := newServer(t)
	for body, status := range map[string]int{
		`{"id":"a","id":"b"}`: 400, `{"ID":"a"}`: 400, `{"id":"a","Id":"b"}`: 400, `{"id":"a"} {"id":"b"}`: 400,
		`{"id":"a"`: 400, `{"id":"a",}`: 400, "\x00": 400, `{"unknown":1}`: 422, `[]`: 422, `"x"`: 422, `null`: 422, `{"id":1}`: 422,
		`{"disabled":"true"}`: 422,
	} {
		s.as(status, "POST", "/v1/organizations", body)
	}
	if a := s.request("GET", "/v1/organizations", s.admin, "").want(200); !strings.Contains(a.body, `"items":[]`) {
		t.Errorf("something was made: %s", a.body)
	}
	s.as(400, "POST", "/v1/organizations", "")
	r := s.request("POST", "/v1/organizations", s.admin, "", "Content-Type", "application/json")
	r.want(400)
	plain := httptest.NewRequest("POST", "/v1/organizations", strings.NewReader(`{"id":"a"}`))
	plain.Header.Set("Content-Type", "text/plain")
	plain.Header.Set("Authorization", "Bearer "+s.admin)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, plain)
	if w.Code != 415 {
		t.Errorf("a form of another site could write: %d %s", w.Code, w.Body)
	}
	s.as(200, "GET", "/v1/organizations", "")
}

func TestAPanicIsABare500(t *testing.T) {
	s := newServer(t)
	o := s.options()
	o.Routes = func() []keystile.Route { panic("secret value") }
	broken, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.handler = broken
	if a := s.as(500, "GET", "/v1/routes", ""); strings.Contains(a.body, "secret") {
		t.Errorf("body = %s", a.body)
	}
	if strings.Contains(s.log.String(), "secret value") {
		t.Error("the log holds what was panicked with")
	}
}

func TestAStoreThatDoesNotAnswerRefuses(t *testing.T) {
	s := newServer(t)
	if err := s.service.Store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/keys", "/v1/nothing"} {
		if a := s.request("GET", path, s.admin, ""); a.status != 503 && a.status != 500 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestAnIncompleteAPIDoesNotStart(t *testing.T) {
	s := newServer(t)
	for name, spoil := range map[string]func(*api.Options){
		"Service": func(o *api.Options) { o.Service = nil }, "State": func(o *api.Options) { o.State = nil },
		"cursor key": func(o *api.Options) { o.CursorKey = o.CursorKey[:16] }, "APIKeys": func(o *api.Options) { o.APIKeys = nil },
	} {
		o := s.options()
		spoil(&o)
		if _, err := api.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestTimesAreShownInUTCAndStateIsTheStateNow(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.as(200, "PATCH", "/v1/keys/key_a", `{"expires_at":"2026-03-01T15:00:00+02:00"}`)
	if a := s.as(200, "GET", "/v1/keys/key_a", ""); a.text("expires_at") != "2026-03-01T13:00:00Z" || a.text("state") != "active" {
		t.Errorf("body = %s", a.body)
	}
	s.move(time.Hour)
	if a := s.as(200, "GET", "/v1/keys/key_a", ""); a.text("state") != "expired" {
		t.Errorf("body = %s", a.body)
	}
}
