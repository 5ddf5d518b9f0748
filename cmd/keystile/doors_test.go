package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/internal/dialect/nao"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/login/totp"
)

// doorsWorld has a person at each platform, one of them with a second factor.
const doorsWorld = `organizations: [{id: acme, name: Acme}]
sites: [{id: Roof, organization: acme}]
roles: [{id: reader, name: Reader, scopes: ["things:read"]}]
users:
  - {username: ona@example.com, password: correct horse, organization: acme, role_id: reader}
  - {username: mfa@example.com, password: correct horse, organization: acme, role_id: reader, totp_secret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ}
  - {username: nao@example.com, password: correct horse, organization: acme, role_id: reader, auth_token: personal-0123456789abcdef-key}
api_keys:
  - {id: key_good, secret: good-0123456789abcdef-key, organization: acme, permitted_site_ids: [Roof], scopes: ["things:read"]}
`

const personalKey = "personal-0123456789abcdef-key"

const doorsRoutes = `
public_url: http://auth.example.com
trusted_proxies: [192.0.2.77/32]
routes:
  - {match: {host: api.example.com, path: /keys/**}, upstream: "{upstream}", accept: [api_key], scopes: ["things:read"]}
  - {match: {host: api.example.com, path: /people/**}, upstream: "{upstream}", accept: [session_jwt], scopes: ["things:read"]}
`

// post sends JSON to an endpoint and wants a status; it returns the answer's members.
func (r *running) post(status int, path, body string) map[string]any {
	r.t.Helper()
	w := r.ask(r.public, asked{method: http.MethodPost, target: path, body: body})
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != status {
		r.t.Fatalf("%s: %d, want %d: %s", path, w.Code, status, w.Body)
	}
	return answer
}

func text(t *testing.T, answer map[string]any, name string) string {
	t.Helper()
	for part := range strings.SplitSeq(name, ".") {
		if inner, ok := answer[part].(map[string]any); ok {
			answer = inner
			continue
		}
		value, ok := answer[part].(string)
		if !ok {
			t.Fatalf("no text %s in %v", name, answer)
		}
		return value
	}
	t.Fatalf("no text %s", name)
	return ""
}

// signInAtDoors is a token of each platform.
func (r *running) signInAtDoors() (onaToken, naoToken string) {
	r.t.Helper()
	onaToken = text(r.t, r.post(200, "/api/auth/login", `{"username":"ona@example.com","password":"correct horse"}`), "token")
	naoToken = text(r.t, r.post(201, nao.SessionsPath, `{"session":{"email":"nao@example.com","password":"correct horse"}}`), "meta.jwt")
	return onaToken, naoToken
}

func TestThreat02_EachTokenOpensItsOwnEndpointsAlone(t *testing.T) {
	r := startServer(t, doorsRoutes, doorsWorld)
	onaToken, naoToken := r.signInAtDoors()
	challenge := text(t, r.post(200, "/api/auth/login", `{"username":"mfa@example.com","password":"correct horse"}`), "mfa_token")
	tokens := map[string]string{
		"ona": onaToken, "nao": naoToken, "challenge": challenge, "key": goodKey, "personal key": personalKey, "admin": r.token, "nothing": "",
	}
	for _, endpoint := range []struct {
		method, host, path string
		opens              string
	}{
		{"POST", "auth.example.com", "/api/auth/refresh", "ona"},
		{"GET", "auth.example.com", "/api/auth/me", "ona"},
		{"GET", "auth.example.com", "/prod/api/auth/me", "ona"},
		{"GET", "auth.example.com", nao.MePath, "nao, personal key"},
		{"POST", "auth.example.com", nao.SessionsPath, "personal key"},
		{"GET", "auth.example.com", "/v1/keys", "admin"},
		{"GET", "auth.example.com", "/v1/organizations", "admin"},
		{"GET", "auth.example.com", "/v1/keys/self", "key, personal key"},
		{"GET", "auth.example.com", "/metrics", "admin"},
		{"GET", "api.example.com", "/keys/a", "key, personal key"},
		{"GET", "api.example.com", "/people/a", "ona, nao"},
		// Last, because they end the session.
		{"POST", "auth.example.com", "/api/auth/logout", "ona"},
		{"DELETE", "auth.example.com", nao.SessionsPath, "nao"},
	} {
		for name, token := range tokens {
			header := http.Header{}
			if token != "" {
				header = bearerOf(token)
			}
			w := r.ask(r.public, asked{method: endpoint.method, target: endpoint.path, host: endpoint.host, header: header})
			opens := false
			for one := range strings.SplitSeq(endpoint.opens, ", ") {
				opens = opens || one == name
			}
			if opened := w.Code < 400; opened != opens || w.Code >= 500 {
				t.Errorf("%s %s with %s: %d %s", endpoint.method, endpoint.path, name, w.Code, w.Body)
			}
		}
	}
	// What the sessions ended with is refused at the next request.
	for name, token := range map[string]string{"ona": onaToken, "nao": naoToken} {
		if w := r.ask(r.public, asked{target: "/people/a", host: "api.example.com", header: bearerOf(token)}); w.Code != 401 {
			t.Errorf("after logout, %s: %d", name, w.Code)
		}
	}
}

func TestThreat24_AChallengeOpensNothingButItsOwnDoor(t *testing.T) {
	r := startServer(t, doorsRoutes, doorsWorld)
	key := []byte("12345678901234567890")
	code := totp.Code(key, totp.Step(time.Now()))
	challenge := text(t, r.post(200, "/api/auth/login", `{"username":"mfa@example.com","password":"correct horse"}`), "mfa_token")
	// The right code at the wrong door leads nowhere, and is not spent.
	r.post(401, nao.SessionsPath, `{"session":{"mfa_token":"`+challenge+`","otp":"`+code+`"}}`)
	token := text(t, r.post(200, "/api/auth/verify-mfa", `{"mfa_token":"`+challenge+`","totp_code":"`+code+`"}`), "token")
	if w := r.ask(r.public, asked{target: "/people/a", host: "api.example.com", header: bearerOf(token)}); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A spent code opens no second session.
	challenge = text(t, r.post(401, nao.SessionsPath, `{"session":{"email":"mfa@example.com","password":"correct horse"}}`), "meta.mfa_token")
	r.post(401, nao.SessionsPath, `{"session":{"mfa_token":"`+challenge+`","otp":"`+code+`"}}`)
}

func TestThreat26_NoDoorTellsAnUnknownUserFromAWrongPassword(t *testing.T) {
	r := startServer(t, doorsRoutes, doorsWorld)
	for path, form := range map[string]string{
		"/api/auth/login": `{"username":"NAME","password":"wrong horse"}`,
		nao.SessionsPath:  `{"session":{"email":"NAME","password":"wrong horse"}}`,
	} {
		answers := map[string]bool{}
		for _, name := range []string{"ona@example.com", "mfa@example.com", "nobody@example.com", "ONA@EXAMPLE.COM", "x"} {
			w := r.ask(r.public, asked{method: "POST", target: path, body: strings.Replace(form, "NAME", name, 1)})
			header := w.Header().Clone()
			header.Del("Keystile-Request-Id")
			shown := must(json.Marshal(header))(t)
			answers[w.Body.String()+string(shown)] = true
			if w.Code != 401 {
				t.Errorf("%s %s: %d", path, name, w.Code)
			}
		}
		if len(answers) != 1 {
			t.Errorf("%s: %v", path, answers)
		}
	}
}

func TestARouteForADialectsOwnPathIsRefusedWhereTheDialectIsOn(t *testing.T) {
	r := startServer(t, doorsRoutes, doorsWorld)
	for path, dialect := range map[string]string{
		"/api/auth/login": "ona", "/prod/api/**": "ona", "/api/**": "both", ona.InvokePath + "**": "ona",
		nao.SessionsPath: "nao", "/api/v2/**": "nao", "/api/v2/sites/**": "none", "/api/authors": "none",
	} {
		for _, off := range []string{"nobody", "ona", "nao"} {
			cfg := *r.cfg
			cfg.Routes = cfg.Routes[:1:1]
			route := cfg.Routes[0]
			route.Match.Host, route.Match.Path, route.ID, route.SameOrigin = "auth.example.com", path, "", true
			cfg.Routes = append(cfg.Routes, route)
			if off == "ona" {
				cfg.Dialects.ONA = nil
			}
			if off == "nao" {
				cfg.Dialects.NAO = nil
			}
			_, err := compileRoutes(&cfg, false, r.server.log)
			refused := dialect == "both" || dialect != "none" && dialect != off
			if (err != nil) != refused {
				t.Errorf("%s with %s off: %v", path, off, err)
			}
		}
	}
}

func TestADialectThatIsOffHasNoDoor(t *testing.T) {
	r := startServer(t, "\ndialects: {aurora: {}}"+simpleRoutes, simpleWorld)
	for _, path := range []string{"/api/auth/login", "/prod/api/auth/login", ona.InvokePath + "ona-user-auth-prod/invocations", nao.SessionsPath, nao.MePath} {
		if w := r.ask(r.public, asked{method: "POST", target: path, body: "{}"}); w.Code != 404 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestOriginsThatNoBrowserSendsAreRefusedAtStart(t *testing.T) {
	r := startServer(t, "\ndialects: {ona: {}, nao: {cors: {origins: [https://app.example.com]}}}"+simpleRoutes, simpleWorld)
	w := r.ask(r.public, asked{method: "OPTIONS", target: nao.SessionsPath, header: http.Header{
		"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"},
	}})
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
		!strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, origin := range []string{"*", "https://app.example.com/", "app.example.com", "https://App.example.com", "https://app.example.com:443", "null"} {
		cfg := *r.cfg
		dialect := *cfg.Dialects.NAO
		cors := *dialect.CORS
		cors.Origins = []string{"https://other.example.com", origin}
		dialect.CORS = &cors
		cfg.Dialects.NAO = &dialect
		if _, err := compileRoutes(&cfg, false, r.server.log); err == nil || !strings.Contains(err.Error(), "dialects.nao.cors.origins[1]") || !hasPosition(err) {
			t.Errorf("%s: %v", origin, err)
		}
	}
}
