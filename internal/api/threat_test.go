package api_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// target is an operation's path with an id in it.
// target is the path of an operation on a thing; what hangs on it is named by any id.
func target(op api.Operation, id string) string {
	return strings.NewReplacer("{id}", id, "{application}", "00000000-0000-4000-8000-000000000001", "{key}", "akey_1",
		"{webhook}", "00000000-0000-4000-9000-000000000001", "{delivery}", "msg_1").Replace(op.Path)
}

func TestThreat39_OnlyTheListedOperationsAnswerWithoutAnAdminToken(t *testing.T) {
	s := newServer(t)
	key := s.organization("acme", "Roof", "key_a")
	open := map[string]bool{
		"get-openapi": true, "get-docs": true, "report-leaked-keys": true, "get-own-key": true, "revoke-own-key": true, "delete-own-key": true,
	}
	unknown := "kadm_" + strings.Repeat("0", 38)
	for _, op := range s.handler.Operations() {
		if (op.Access == api.AccessOpen || op.Access == api.AccessKey) != open[op.ID] {
			t.Errorf("%s has access %q", op.ID, op.Access)
		}
		if op.Access == api.AccessOpen {
			continue
		}
		if op.Access != api.AccessKey && op.Scope == "" {
			t.Errorf("%s asks for no scope", op.ID)
		}
		path := target(op, "key_a")
		s.request(op.Method, path, "", "{}").want(401)
		s.request(op.Method, path, unknown, "{}").want(401)
		s.request(op.Method, path, "", "{}", "Authorization", "Basic YWRtaW46YWRtaW4=").want(401)
		s.request(op.Method, path, "", "{}", "Authorization", s.admin).want(401)
		s.request(op.Method, path, "", "{}", "Authorization", "Bearer "+s.admin, "Authorization", "Bearer "+s.admin).want(401)
		s.request(op.Method, path+"?access_token="+s.admin, "", "{}").want(401)
		s.request(op.Method, path, "", "{}", "Cookie", "token="+s.admin).want(401)
		if op.Access != api.AccessKey {
			s.request(op.Method, path, key, "{}").want(401)
			s.request(op.Method, path, "", "{}", "X-Api-Key", key).want(401)
		}
	}
	// Nothing below /v1 answers a stranger, whether it exists or not.
	for _, path := range []string{"/v1/nothing", "/v1/keys/key_a/nothing", "/v1"} {
		s.request("GET", path, "", "").want(401)
		s.as(404, "GET", path, "")
	}
	for _, method := range []string{"OPTIONS", "TRACE", "PUT", "CONNECT"} {
		s.request(method, "/v1/keys", "", "", "Origin", "https://evil.example").want(401)
	}
}

func TestThreat39_NoAnswerInvitesAnotherOrigin(t *testing.T) {
	s := newServer(t)
	for _, a := range []answer{
		s.request("GET", "/v1/openapi.json", "", "", "Origin", "https://evil.example"),
		s.as(200, "GET", "/v1/keys", "", "Origin", "https://evil.example"),
		s.as(405, "OPTIONS", "/v1/keys", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"),
	} {
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("answered %s", name)
			}
		}
	}
}

func TestThreat29_EachOperationOpensToItsOwnScopeAndToNoOther(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	for _, scope := range keystile.AdminScopes {
		token := s.token(manage.NewAdminToken{Scopes: []keystile.Scope{scope}})
		for _, op := range s.handler.Operations() {
			if op.Access == api.AccessOpen || op.Access == api.AccessKey {
				continue
			}
			// An absent thing and a body that is no good: nothing is changed.
			a := s.request(op.Method, target(op, "absent"), token, "[]")
			if allowed := a.status != 403 && a.status != 401; allowed != (scope == op.Scope) {
				t.Errorf("%s with scope %s: %d, asks for %s", op.ID, scope, a.status, op.Scope)
			}
			if a.status == 403 {
				a.want(403)
				if a.text("code") != "insufficient_scope" || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
					t.Errorf("%s: %s %v", op.ID, a.body, a.header)
				}
			}
		}
	}
}

func TestThreat29_ATokenBoundToAnOrganizationCannotAskForWhatConcernsAll(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	// Put there by the operator, with scopes that such a token cannot be given.
	bound := s.boundWithEveryScope("acme")
	for _, op := range s.handler.Operations() {
		if op.Access == api.AccessGlobal {
			s.request(op.Method, target(op, "acme"), bound, "{}").want(403)
		}
	}
	if len(s.state.file) != 0 {
		t.Error("a bound token applied a state file")
	}
}

// boundWithEveryScope stores a token that the Service would refuse to make.
func (s *server) boundWithEveryScope(organization string) string {
	s.t.Helper()
	secret, err := apikey.GenerateTyped(s.service.Random, "kadm_")
	if err != nil {
		s.t.Fatal(err)
	}
	digest, pepper := s.service.Digester.Digest(apikey.Sum(secret))
	err = s.service.Store.Mutate(context.Background(), operator, func(ctx context.Context, tx *storeTx) error {
		return tx.CreateAdminToken(ctx, keystile.AdminToken{
			ID: "adm_bound_" + organization, OrganizationID: organization, Scopes: keystile.AdminScopes, CreatedAt: s.clock(),
		}, digest, pepper)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return secret.Reveal()
}

// session stores a user of an organisation and a session of theirs.
func (s *server) session(organization, id string) {
	s.t.Helper()
	now := s.clock()
	user := keystile.User{ID: "user_of_" + organization, OrganizationID: organization, Username: "thandi-" + organization}
	err := s.service.Store.Mutate(context.Background(), operator, func(ctx context.Context, tx *storeTx) error {
		return errors.Join(
			tx.CreateUser(ctx, user, store.SignInName{Name: user.Username, Skeleton: user.Username}),
			tx.CreateSession(ctx, keystile.Session{
				ID: id, UserID: user.ID, OrganizationID: organization, Door: keystile.DoorWeb, Methods: []keystile.AuthMethod{keystile.MethodPassword},
				AuthenticatedAt: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
			}))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestSessionsAreListedByOrganizationAndUserAndRevokedOnce(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Plant", "key_b")
	s.session("acme", "ses_mine")
	s.session("other", "ses_theirs")
	ids := func(query string) string {
		return strings.Join(regexp.MustCompile(`ses_[a-z]+`).FindAllString(s.as(200, "GET", "/v1/sessions"+query, "").body, -1), " ")
	}
	for query, want := range map[string]string{
		"": "ses_mine ses_theirs", "?organization=acme": "ses_mine", "?user=user_of_other": "ses_theirs", "?organization=acme&user=user_of_other": "",
	} {
		if got := ids(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for range 2 {
		if a := s.as(200, "POST", "/v1/sessions/ses_mine/revoke", ""); a.text("revoked_at") == "" {
			t.Errorf("got %s", a.body)
		}
	}
	if got := ids(""); got != "ses_theirs" {
		t.Errorf("after revoking: %q", got)
	}
	s.as(404, "POST", "/v1/sessions/ses_nobody/revoke", "")
}

func TestThreat30_AnotherOrganizationsThingsLookAsIfTheyDidNotExist(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Plant", "key_b")
	mine := s.boundWithEveryScope("acme")
	s.boundWithEveryScope("other")
	s.as(201, "POST", "/v1/signing-keys", `{"organization":"other","api_key":"their-signing-key","algorithm":"HS256"}`)
	s.session("other", "ses_theirs")
	theirUser := s.as(201, "POST", "/v1/users", `{"organization":"other","username":"their-user@example.com"}`).text("id")
	s.as(201, "POST", "/v1/identity-providers", `{"name":"their-provider","organization":"other","issuer":"i","audience":"a","algorithms":["RS256"],"jwks_url":"https://x.example/"}`)
	theirApp := s.as(201, "POST", "/v1/applications", `{"organization":"other","name":"Theirs","kind":"backend"}`).text("id")
	s.as(201, "POST", "/v1/applications/"+theirApp+"/webhooks",
		`{"id":"00000000-0000-4000-9000-000000000001","event":"app_status_changed","form":"signed_post","url_template":"https://h.example/"}`)
	s.as(201, "POST", "/v1/clients", `{"id":"their-client","application":"`+theirApp+`","redirect_uris":["https://c.example/cb"]}`)
	foreign := map[string]string{
		"clients": "their-client", "users": theirUser, "identity-providers": "their-provider", "sessions": "ses_theirs", "applications": theirApp,
		"organizations": "other", "sites": "Plant", "keys": "key_b", "admin-tokens": "adm_bound_other", "signing-keys": "their-signing-key",
	}
	bodies := map[string]string{
		"rotate-key": `{"overlap":"0s"}`, "rotate-client": `{"overlap":"0s"}`, "rotate-signing-key": `{"overlap":"0s"}`, "set-user-password": `{"password":"seventeen otters juggle quietly"}`,
		"move-application": `{"review":"in_review"}`, "request-authorization": `{"tenant":"acme"}`,
		"create-webhook":        `{"event":"app_status_changed","form":"signed_post","url_template":"https://h.example/"}`,
		"rotate-webhook-secret": `{"overlap":"0s"}`,
	}
	checked := 0
	for _, op := range s.handler.Operations() {
		if !strings.Contains(op.Path, "{id}") || op.Access != api.AccessToken {
			continue
		}
		id, ok := foreign[strings.Split(op.Path, "/")[2]]
		if !ok {
			t.Errorf("%s: say which id of another organization to try", op.ID)
			continue
		}
		checked++
		body := bodies[op.ID]
		if body == "" {
			body = "{}"
		}
		theirs := s.request(op.Method, target(op, id), mine, body).want(404)
		absent := s.request(op.Method, target(op, "absent"), mine, body).want(404)
		if a, b := withoutID(theirs), withoutID(absent); a != b {
			t.Errorf("%s tells another organization's thing from none:\n%s\n%s", op.ID, a, b)
		}
	}
	if checked < 10 {
		t.Errorf("only %d operations were tried", checked)
	}
	for _, list := range []string{"organizations", "sites", "users", "identity-providers", "keys", "signing-keys", "applications", "admin-tokens", "audit"} {
		for _, query := range []string{"", "?organization=other"} {
			if list == "organizations" && query != "" {
				continue
			}
			a := s.request("GET", "/v1/"+list+query, mine, "").want(200)
			for _, leak := range []string{"other", "Plant", "key_b", "their-signing-key", "their-user", "their-provider", theirApp, "adm_root"} {
				if strings.Contains(a.body, leak) {
					t.Errorf("GET /v1/%s%s shows %s: %s", list, query, leak, a.body)
				}
			}
		}
	}
	for path, body := range map[string]string{
		"/v1/keys":               `{"organization":"other"}`,
		"/v1/sites":              `{"id":"New","organization":"other"}`,
		"/v1/admin-tokens":       `{"organization":"other"}`,
		"/v1/signing-keys":       `{"organization":"other","algorithm":"HS256"}`,
		"/v1/users":              `{"organization":"other","username":"new@example.com"}`,
		"/v1/identity-providers": `{"name":"n","organization":"other","issuer":"i","audience":"a","algorithms":["RS256"],"jwks_url":"https://x.example/"}`,
	} {
		theirs := s.request("POST", path, mine, body).want(422)
		absent := s.request("POST", path, mine, strings.Replace(body, "other", "absent", 1)).want(422)
		if withoutID(theirs) != withoutID(absent) {
			t.Errorf("POST %s tells another organization from none", path)
		}
	}
	s.as(200, "GET", "/v1/keys/key_b", "")
	for _, name := range []string{"their-user@example.com", "nobody@example.com"} {
		if a := s.request("GET", "/v1/users?username="+name, mine, "").want(200); a.body != "{\"items\":[],\"next_cursor\":\"\"}\n" {
			t.Errorf("finding %s: %s", name, a.body)
		}
	}
	s.as(200, "GET", "/v1/users/"+theirUser, "")
}

func withoutID(a answer) string {
	return strings.ReplaceAll(a.body, a.text("request_id"), "")
}

func TestThreat30_ACursorIsGoodForItsListFilterAndCallerOnly(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.organization("other", "Plant", "key_b")
	cursor := s.as(200, "GET", "/v1/organizations?limit=1", "").text("next_cursor")
	if cursor == "" || strings.Contains(cursor, "acme") {
		t.Fatalf("cursor = %q", cursor)
	}
	next := s.as(200, "GET", "/v1/organizations?limit=1&cursor="+cursor, "")
	if next.text("items.0.id") != "other" || next.text("next_cursor") != "" {
		t.Errorf("second page: %s", next.body)
	}
	second := s.token(manage.NewAdminToken{})
	keys := s.as(200, "GET", "/v1/keys?limit=1", "").text("next_cursor")
	for _, a := range []answer{
		s.request("GET", "/v1/organizations?limit=1&cursor="+cursor, second, ""),
		s.request("GET", "/v1/sites?cursor="+cursor, s.admin, ""),
		s.request("GET", "/v1/keys?organization=acme&cursor="+keys, s.admin, ""),
		s.request("GET", "/v1/keys?cursor="+keys[:len(keys)-1]+"_", s.admin, ""),
		s.request("GET", "/v1/keys?cursor=a2V5X2E", s.admin, ""),
	} {
		if a.want(422).fields() != "cursor" {
			t.Errorf("body = %s", a.body)
		}
	}
	s.as(422, "GET", "/v1/keys?cursor="+strings.Repeat("A", 513), "")
}

func TestThreat33_ASecretIsInTheAnswerThatMadeItAndNowhereElse(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	made := s.as(201, "POST", "/v1/keys", `{"id":"key_c","organization":"acme"}`)
	rotated := s.as(200, "POST", "/v1/keys/key_c/rotate", `{"overlap":"1h"}`)
	admin := s.as(201, "POST", "/v1/admin-tokens", `{"id":"adm_c"}`)
	const imported = "canary-0123456789abcdefghij"
	s.as(201, "POST", "/v1/keys", `{"id":"key_d","organization":"acme","secret":"`+imported+`"}`)

	var rest strings.Builder
	for _, path := range []string{
		"/v1/keys", "/v1/keys/key_c", "/v1/keys/key_d", "/v1/admin-tokens", "/v1/admin-tokens/adm_c",
		"/v1/audit?limit=200", "/v1/audit?limit=200&organization=acme", "/v1/openapi.json",
	} {
		rest.WriteString(s.as(200, "GET", path, "").body)
	}
	rest.WriteString(s.as(409, "POST", "/v1/keys", `{"organization":"acme","secret":"`+imported+`"}`).body)
	rest.WriteString(s.as(409, "POST", "/v1/keys", `{"id":"key_d","organization":"acme"}`).body)
	rest.WriteString(s.log.String())
	for _, secret := range []string{made.text("secret"), rotated.text("secret"), admin.text("secret"), imported, s.admin} {
		if len(secret) < 20 {
			t.Fatalf("no secret was shown: %q", secret)
		}
		sum := apikey.Sum(keystile.Secret(secret))
		for _, canary := range []string{secret, secret[len(secret)-12:], hex.EncodeToString(sum[:])} {
			if strings.Contains(rest.String(), canary) {
				t.Errorf("%q is to be seen elsewhere", canary)
			}
		}
	}
}

func TestThreat33_AnErrorNeverEchoesWhatWasSent(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	const canary = "CANARY7secret"
	low := strings.ToLower(canary)
	for _, body := range []string{
		`{"organization":"acme","nmae":"` + canary + `"}`, `{"` + canary + `":1}`, `{"` + low + `x` + strings.Repeat("y", 40) + `":1}`,
		`{"organization":"acme","name":["` + canary + `"]}`, `{"organization":"` + canary + ` x"}`,
		`{"organization":"` + low + `"}`, `{"organization":"acme","environment":"` + canary + `"}`,
		`{"organization":"acme","limit":"` + canary + `"}`, `{"organization":"acme","limit":"5/` + canary + `"}`,
		`{"organization":"acme","expires_at":"` + canary + `"}`, `{"organization":"acme","allowed_ips":["` + canary + `"]}`,
		`{"organization":"acme","permitted_site_ids":["` + canary + `"]}`, `{"organization":"acme","scopes":["` + canary + ` x"]}`,
		`{"organization":"acme","sha256":"` + canary + `"}`, `{"organization":"acme","secret":"` + canary + ` "}`,
		`{"organization":"acme","secret":"` + canary, `"` + canary + `"`, canary, `[{"` + canary + `":"` + canary + `"}]`,
		`{"id":"` + canary + ` "}`, `{"name":"` + canary + `\u0000","organization":"acme"}`,
	} {
		a := s.request("POST", "/v1/keys", s.admin, body)
		if a.status != 400 && a.status != 422 {
			t.Errorf("%s: status %d", body, a.status)
		}
		if strings.Contains(strings.ToLower(a.body), low) {
			t.Errorf("%s is echoed: %s", body, a.body)
		}
	}
	for _, a := range []answer{
		s.request("GET", "/v1/keys?limit="+canary, s.admin, ""),
		s.request("GET", "/v1/keys?"+canary+"=1", s.admin, ""),
		s.request("GET", "/v1/keys?organization="+canary+"%20", s.admin, ""),
		s.request("GET", "/v1/keys?cursor="+canary, s.admin, ""),
		s.request("GET", "/v1/keys/"+canary, s.admin, ""),
		s.request("GET", "/v1/"+canary, s.admin, ""),
		s.request("POST", "/v1/keys", s.admin, "{}", "Content-Type", "text/"+canary),
		s.request("POST", "/v1/keys/key_a/rotate", s.admin, `{"overlap":"`+canary+`"}`),
		s.request("GET", "/v1/keys", canary, ""),
	} {
		if a.status < 400 || strings.Contains(a.body, canary) {
			t.Errorf("status %d: %s", a.status, a.body)
		}
	}
	if strings.Contains(s.log.String(), canary) {
		t.Error("the log holds what was sent")
	}
}

func TestThreat34_MarkupInANameIsTextInEveryAnswer(t *testing.T) {
	s := newServer(t)
	for _, name := range []string{`<script>alert(1)</script>`, `</script><img src=x onerror=alert(1)>`, `' onmouseover='x`, `{{7*7}}`, `javascript:alert(1)`} {
		made := s.as(201, "POST", "/v1/organizations", `{"name":`+quote(name)+`}`)
		if made.text("name") != name {
			t.Errorf("name %q came back as %q", name, made.text("name"))
		}
		if strings.ContainsAny(made.body, "<>") {
			t.Errorf("raw markup in an answer: %s", made.body)
		}
		if got := made.header.Get("Content-Security-Policy"); got != "default-src 'none'; frame-ancestors 'none'" {
			t.Errorf("Content-Security-Policy = %q", got)
		}
	}
}

func TestThreat38_BadCredentialsAreCountedPerAddressAndAGoodOneIsNeverRefused(t *testing.T) {
	s := newServer(t)
	s.request("GET", "/v1/keys", "", "").want(401)
	if len(s.failures) != 0 {
		t.Error("a request without a credential counts as a guess")
	}
	bad := "kadm_" + strings.Repeat("z", 38)
	for _, path := range []string{"/v1/keys", "/v1/nothing", "/v1/keys/self"} {
		s.request("GET", path, bad, "").want(401)
	}
	if got := s.failures[netip.MustParseAddr("192.0.2.1")]; got != 3 {
		t.Errorf("counted %d failures", got)
	}
	s.wait = 1500 * time.Millisecond
	for _, path := range []string{"/v1/keys", "/v1/keys/self"} {
		a := s.request("GET", path, bad, "").want(429)
		if a.header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After = %q", a.header.Get("Retry-After"))
		}
	}
	s.as(200, "GET", "/v1/keys", "")
}

func TestThreat27_WhatEndedIsRefusedAtTheNextRequest(t *testing.T) {
	s := newServer(t)
	secret := s.organization("acme", "Roof", "key_a")
	token := s.as(201, "POST", "/v1/admin-tokens", `{"id":"adm_c","organization":"acme"}`).text("secret")
	s.request("GET", "/v1/keys", token, "").want(200)
	s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", secret).want(200)
	s.as(200, "PATCH", "/v1/organizations/acme", `{"disabled":true}`)
	s.request("GET", "/v1/keys", token, "").want(401)
	s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", secret).want(401)
	s.as(200, "PATCH", "/v1/organizations/acme", `{"disabled":false}`)
	s.request("GET", "/v1/keys", token, "").want(200)
	s.as(200, "POST", "/v1/admin-tokens/adm_c/revoke", "")
	s.request("GET", "/v1/keys", token, "").want(401)
	s.as(200, "POST", "/v1/keys/key_a/revoke", "")
	s.request("GET", "/v1/keys/self", "", "", "X-Api-Key", secret).want(401)
}

func TestThreat37_ABodyIsBoundedInSizeAndDepth(t *testing.T) {
	s := newServer(t)
	big := `{"name":"` + strings.Repeat("x", api.MaxBody) + `"}`
	if a := s.as(413, "POST", "/v1/organizations", big); a.text("code") != "body_too_large" {
		t.Errorf("body = %s", a.body)
	}
	s.as(400, "POST", "/v1/organizations", strings.Repeat("[", 30000))
	s.as(400, "POST", "/v1/organizations", strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000))
	s.as(200, "POST", "/v1/state/apply", big)
	// Nobody is made to read a body before it is known who sends it.
	r := s.request("POST", "/v1/organizations", "", big)
	r.want(401)
}

func TestRequireGuardsOtherHandlersWithTheSameTokens(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	guarded := s.handler.Require("metrics:read", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	status := func(token string) int {
		return guardedStatus(guarded, token)
	}
	for token, want := range map[string]int{
		"": 401, "kadm_" + strings.Repeat("0", 38): 401, s.admin: 204,
		s.token(manage.NewAdminToken{Scopes: []keystile.Scope{"keys:read"}}): 403,
		s.boundWithEveryScope("acme"):                                        403,
	} {
		if got := status(token); got != want {
			t.Errorf("status = %d, want %d", got, want)
		}
	}
}

func TestEveryScopeOfTheTableExists(t *testing.T) {
	for _, op := range newServer(t).handler.Operations() {
		if op.Scope != "" && !slices.Contains(keystile.AdminScopes, op.Scope) {
			t.Errorf("%s asks for %s, which no token can hold", op.ID, op.Scope)
		}
	}
}
