package api_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/client"
)

func TestASigningKeyLivesFromCreationToRevocation(t *testing.T) {
	s := newServer(t)
	s.organization("bank-x", "Branch", "key_a")
	made := s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","name":"Treasury","algorithm":"HS256","permitted_site_ids":["Branch"],
		"scopes":["finapi:*"],"allowed_ips":["10.0.0.0/8"],"limit":"60/1m","expires_at":"2027-01-01T00:00:00Z"}`)
	if len(made.text("secret")) != 64 || made.text("private_key") != "" || made.text("id") != made.text("api_key") ||
		!strings.HasPrefix(made.text("api_key"), "sig_") || made.header.Get("Location") != "/v1/signing-keys/"+made.text("id") {
		t.Errorf("made: %s %v", made.body, made.header)
	}
	path := made.header.Get("Location")
	got := s.as(200, "GET", path, "")
	if got.text("state") != "active" || got.text("algorithm") != "HS256" || got.text("public_key") != "" || got.text("limit") != "60/1m" || got.text("secret") != "" {
		t.Errorf("read: %s", got.body)
	}
	if a := s.as(200, "GET", "/v1/signing-keys?organization=bank-x", ""); a.text("items.0.id") != made.text("id") || a.text("next_cursor") != "" {
		t.Errorf("list: %s", a.body)
	}
	changed := s.as(200, "PATCH", path, `{"limit":null,"expires_at":null,"scopes":["a:*"]}`, "If-Match", got.header.Get("ETag"))
	if changed.text("limit") != "" || changed.text("expires_at") != "" || changed.text("scopes.0") != "a:*" || changed.text("permitted_site_ids.0") != "Branch" {
		t.Errorf("changed: %s", changed.body)
	}
	s.as(412, "PATCH", path, `{"name":"x"}`, "If-Match", got.header.Get("ETag"))
	s.as(422, "PATCH", path, `{"algorithm":"RS256"}`)

	rotated := s.as(200, "POST", path+"/rotate", `{"overlap":"24h"}`)
	if rotated.text("id") == made.text("id") || rotated.text("secret") == "" || rotated.text("scopes.0") != "a:*" {
		t.Errorf("rotated: %s", rotated.body)
	}
	if old := s.as(200, "GET", path, ""); old.text("expires_at") != "2026-03-02T12:00:00Z" {
		t.Errorf("the old one: %s", old.body)
	}
	s.as(422, "POST", path+"/rotate", `{}`)
	s.as(422, "POST", path+"/rotate", `{"overlap":"day"}`)
	if a := s.as(200, "POST", path+"/revoke", ""); a.text("state") != "revoked" {
		t.Errorf("revoked: %s", a.body)
	}
	s.as(409, "POST", path+"/rotate", `{"overlap":"0s"}`)
	s.as(405, "DELETE", path, "")
}

func TestAKeyPairIsGeneratedOrItsPublicKeyImported(t *testing.T) {
	s := newServer(t)
	s.organization("bank-x", "Branch", "key_a")
	made := s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","algorithm":"EdDSA"}`)
	if !strings.HasPrefix(made.text("private_key"), "-----BEGIN PRIVATE KEY-----\n") || !strings.HasPrefix(made.text("public_key"), "-----BEGIN PUBLIC KEY-----\n") || made.text("secret") != "" {
		t.Errorf("made: %s", made.body)
	}
	imported := s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","api_key":"demo/key","algorithm":"EdDSA","public_key":`+quote(made.text("public_key"))+`}`)
	if imported.text("private_key") != "" || imported.text("public_key") != made.text("public_key") || !strings.HasPrefix(imported.text("id"), "sgk_") {
		t.Errorf("imported: %s", imported.body)
	}
	weak := s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","api_key":"demo-api-key","algorithm":"HS256","secret":"demo-secret"}`)
	if !strings.HasPrefix(weak.text("warnings.0"), "secret: ") || weak.text("secret") != "" {
		t.Errorf("imported: %s", weak.body)
	}
	s.as(409, "POST", "/v1/signing-keys", `{"organization":"bank-x","id":"other","api_key":"demo-api-key","algorithm":"HS256"}`)
	for body, fields := range map[string]string{
		`{"organization":"bank-x","algorithm":"HS256","api_key":"a b","limit":"x","allowed_ips":["y"]}`:                          "limit allowed_ips[0] api_key id",
		`{"organization":"bank-x","algorithm":"RS256","public_key":` + quote(made.text("public_key")) + `}`:                      "public_key",
		`{"organization":"bank-x","algorithm":"HS256","secret":` + quote(made.text("public_key")) + `}`:                          "secret",
		`{"organization":"bank-x","algorithm":"EdDSA","public_key":"x","secret":"canary-canary-canary-canary-canary","name":""}`: "secret",
		`{"organization":"bank-x","algorithm":"none"}`:                                                                           "algorithm",
		`{"organization":"bank-x"}`: "algorithm",
	} {
		a := s.as(422, "POST", "/v1/signing-keys", body)
		if a.fields() != fields && !strings.HasPrefix(fields, "limit") && fields != "algorithm" || strings.Contains(a.body, "canary") {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

func TestAnOrganizationSaysWhatItAsksOfOneTimeRequests(t *testing.T) {
	s := newServer(t)
	plain := s.as(201, "POST", "/v1/organizations", `{"id":"plain"}`)
	if !strings.Contains(plain.body, `"onetime":{"clock_window":null,"forms":[]}`) {
		t.Errorf("made: %s", plain.body)
	}
	made := s.as(201, "POST", "/v1/organizations", `{"id":"bank-x","onetime":{"clock_window":"1m30s","forms":["jwt","http_signature"]}}`)
	if made.text("onetime.clock_window") != "90s" || made.text("onetime.forms.1") != "http_signature" {
		t.Errorf("made: %s", made.body)
	}
	for _, step := range []struct{ patch, want string }{
		{`{"name":"Bank X"}`, `"onetime":{"clock_window":"90s","forms":["jwt","http_signature"]}`},
		{`{"onetime":{"clock_window":"5s"}}`, `"onetime":{"clock_window":"5s","forms":["jwt","http_signature"]}`},
		{`{"onetime":{"forms":["header"]}}`, `"onetime":{"clock_window":"5s","forms":["header"]}`},
		{`{"onetime":{"clock_window":null,"forms":[]}}`, `"onetime":{"clock_window":null,"forms":[]}`},
		{`{"onetime":{"clock_window":"15m","forms":["header"]}}`, `"onetime":{"clock_window":"900s","forms":["header"]}`},
		{`{"onetime":null}`, `"onetime":{"clock_window":null,"forms":[]}`},
	} {
		if a := s.as(200, "PATCH", "/v1/organizations/bank-x", step.patch); !strings.Contains(a.body, step.want) {
			t.Errorf("%s: %s", step.patch, a.body)
		}
	}
	for patch, fields := range map[string]string{
		`{"onetime":{"clock_window":"4s"}}`:  "onetime.clock_window",
		`{"onetime":{"clock_window":"0s"}}`:  "onetime.clock_window",
		`{"onetime":{"clock_window":"x"}}`:   "onetime.clock_window",
		`{"onetime":{"forms":["a","jwt"]}}`:  "onetime.forms[0]",
		`{"onetime":{"window":"60s"}}`:       "onetime.window",
		`{"onetime":{"clock_window":"16m"}}`: "onetime.clock_window",
	} {
		if a := s.as(422, "PATCH", "/v1/organizations/bank-x", patch); a.fields() != fields {
			t.Errorf("%s: %s", patch, a.body)
		}
	}
}

func TestThreat33_ASigningSecretIsInTheAnswerThatMadeItAndNowhereElse(t *testing.T) {
	s := newServer(t)
	s.organization("bank-x", "Branch", "key_a")
	const imported = "canary-canary-canary-canary-canary"
	made := s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","id":"one","algorithm":"HS256"}`)
	rotated := s.as(200, "POST", "/v1/signing-keys/one/rotate", `{"overlap":"1h"}`)
	pair := s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","id":"two","algorithm":"EdDSA"}`)
	s.as(201, "POST", "/v1/signing-keys", `{"organization":"bank-x","id":"three","algorithm":"HS256","secret":"`+imported+`"}`)
	var rest strings.Builder
	for _, path := range []string{"/v1/signing-keys", "/v1/signing-keys/one", "/v1/signing-keys/two", "/v1/signing-keys/three", "/v1/audit?limit=200&organization=bank-x"} {
		rest.WriteString(s.as(200, "GET", path, "").body)
	}
	rest.WriteString(s.as(409, "POST", "/v1/signing-keys", `{"organization":"bank-x","id":"three","algorithm":"HS256","secret":"`+imported+`"}`).body)
	rest.WriteString(s.as(422, "POST", "/v1/signing-keys", `{"organization":"bank-x","algorithm":"EdDSA","secret":"`+imported+`"}`).body)
	rest.WriteString(s.log.String())
	private := strings.Split(pair.text("private_key"), "\n")[1]
	for _, secret := range []string{made.text("secret"), rotated.text("secret"), private[len(private)-40:], imported} {
		if len(secret) < 20 {
			t.Fatalf("no secret was shown: %q", secret)
		}
		if strings.Contains(rest.String(), secret[:20]) || strings.Contains(rest.String(), secret[len(secret)-12:]) {
			t.Errorf("%.6s... is to be seen elsewhere", secret)
		}
	}
}

func TestTheGoClientSpeaksOfSigningKeys(t *testing.T) {
	s, ctx := newServer(t), context.Background()
	web := httptest.NewServer(s.handler)
	t.Cleanup(web.Close)
	c, err := client.New(web.URL, s.admin)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	window := "90s"
	org, err := c.CreateOrganization(ctx, client.OrganizationCreate{ID: "bank-x", OneTime: &client.OneTime{ClockWindow: &window, Forms: []string{"jwt"}}})
	check(err)
	if *org.OneTime.ClockWindow != "90s" || org.OneTime.Forms[0] != "jwt" {
		t.Errorf("organization %+v", org)
	}
	org, err = c.UpdateOrganization(ctx, "bank-x", org.Version, client.OrganizationUpdate{OneTime: &client.OneTime{}})
	check(err)
	if org.OneTime.ClockWindow != nil || len(org.OneTime.Forms) != 0 {
		t.Errorf("organization %+v", org)
	}
	made, err := c.CreateSigningKey(ctx, client.SigningKeyCreate{Organization: "bank-x", APIKey: "demo-api-key", Algorithm: "ES256", Scopes: []string{"finapi:*"}})
	check(err)
	if made.ID != "demo-api-key" || made.PrivateKey == "" || made.PublicKey == nil || made.ETag == "" || made.State != "active" {
		t.Errorf("made %+v", made)
	}
	name := "Treasury"
	changed, err := c.UpdateSigningKey(ctx, made.ID, made.Version, client.KeyUpdate{Name: &name})
	check(err)
	next, err := c.RotateSigningKey(ctx, made.ID, client.SigningKeyRotate{Overlap: time.Hour, APIKey: "second"})
	check(err)
	read, err := c.SigningKey(ctx, "second")
	check(err)
	if changed.Name != name || next.PrivateKey == "" || read.Name != name || read.Scopes[0] != "finapi:*" {
		t.Errorf("changed %+v, read %+v", changed, read)
	}
	revoked, err := c.RevokeSigningKey(ctx, made.ID)
	check(err)
	var states []string
	for key, err := range c.AllSigningKeys(ctx, client.ListOptions{Organization: "bank-x", Limit: 1}) {
		check(err)
		states = append(states, key.ID+" "+key.State)
	}
	if revoked.State != "revoked" || strings.Join(states, ", ") != "demo-api-key revoked, second active" {
		t.Errorf("states %v", states)
	}
}
