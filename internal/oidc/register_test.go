package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func (w *world) json(method, path, token, body string) reply {
	w.t.Helper()
	r := httptest.NewRequest(method, issuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.send(r)
}

const wish = `{"client_name":"Agent","redirect_uris":["https://agent.example.com/cb"],"grant_types":["authorization_code","refresh_token"],"scope":"openid sites:read","logo_uri":"https://evil.example/x.png"}`

func TestAClientRegistersItselfAndWorksAsOneThatNobodyKnows(t *testing.T) {
	w := newWorld(t)
	made := w.json("POST", "/oauth/register", "", wish)
	if made.status != http.StatusCreated || made.text("client_secret") == "" || made.text("registration_access_token") == "" || made.body["logo_uri"] != nil {
		t.Fatalf("%d %v", made.status, made.body)
	}
	id := made.text("client_id")
	q := query("client_id", id, "redirect_uri", "https://agent.example.com/cb", "resource", "https://mcp.example.com/a")
	step := w.begin(q, time.Time{})
	if step.Consent == nil || step.Consent.Verified || step.Consent.Client != "Agent" {
		t.Fatalf("%+v", step)
	}
	got := w.redeem(w.allow(q).Get("code"), "client_id", id, "client_secret", made.text("client_secret"), "redirect_uri", "https://agent.example.com/cb")
	if got.status != http.StatusOK || got.text("scope") != "openid sites:read" || claimsOf(t, got.text("access_token"))["aud"] != "https://mcp.example.com/a" || !w.good(got.text("access_token")) {
		t.Fatalf("%v", got.body)
	}
	token := made.text("registration_access_token")
	if again := w.json("GET", "/oauth/register/"+id, token, ""); again.text("client_name") != "Agent" || again.text("client_secret") != "" {
		t.Errorf("%v", again.body)
	}
	if changed := w.json("PUT", "/oauth/register/"+id, token, strings.Replace(wish, "Agent", "Other", 1)); changed.text("client_name") != "Other" {
		t.Errorf("%v", changed.body)
	}
	if refused := w.json("PUT", "/oauth/register/"+id, token, strings.Replace(wish, "{", `{"client_id":"app",`, 1)); refused.text("error") != "invalid_client_metadata" { // RFC 7592, section 2.2
		t.Errorf("as another client: %v", refused.body)
	}
	for path, methods := range map[string]string{"/oauth/register": "POST", "/oauth/register/" + id: "GET, PUT, DELETE", "/oauth/userinfo": "GET, POST"} { // RFC 9110, section 15.5.6
		if refused := w.json("PATCH", path, token, ""); refused.status != http.StatusMethodNotAllowed || refused.header.Get("Allow") != methods {
			t.Errorf("%s: %d, Allow %q", path, refused.status, refused.header.Get("Allow"))
		}
	}
	for name, spoilt := range map[string]string{"none": "", "cut short": token[1:], "the secret": made.text("client_secret")} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			if refused := w.json(method, "/oauth/register/"+id, spoilt, wish); refused.status != http.StatusUnauthorized {
				t.Errorf("%s with %s: %d", method, name, refused.status)
			}
		}
	}
	if refused := w.json("GET", "/oauth/register/app", token, ""); refused.status != http.StatusUnauthorized {
		t.Errorf("a client of an application: %d", refused.status)
	}
	if w.redeem("x", "client_id", id, "client_secret", token).text("error") != "invalid_client" {
		t.Error("the registration token is taken for the secret")
	}
	if gone := w.json("DELETE", "/oauth/register/"+id, token, ""); gone.status != http.StatusNoContent || w.good(got.text("access_token")) {
		t.Errorf("%d, and its tokens live on: %v", gone.status, w.good(got.text("access_token")))
	}
}

// TestKeysOfAClientWithASecretAreLeftAlone: the OpenID Foundation's suite sends them with
// every registration (RFC 7591, section 2: they may be for other uses than this one).
func TestKeysOfAClientWithASecretAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	const keys = `"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for _, method := range []string{"client_secret_basic", "client_secret_post", "none"} {
		made := w.json("POST", "/oauth/register", "", strings.Replace(wish, "{", `{"contacts":["a@a.example"],"response_types":["code"],"token_endpoint_auth_method":"`+method+`",`+keys+`,`, 1))
		if made.status != http.StatusCreated || made.body["jwks"] != nil || (made.text("client_secret") == "") != (method == "none") {
			t.Errorf("%s: %d %v", method, made.status, made.body)
		}
	}
	made := w.json("POST", "/oauth/register", "", strings.Replace(wish, "{", `{"token_endpoint_auth_method":"private_key_jwt",`+keys+`,`, 1))
	if made.status != http.StatusCreated || made.body["jwks"] == nil || made.text("client_secret") != "" {
		t.Errorf("%d %v", made.status, made.body)
	}
}

func TestWhatNobodyVouchesForGetsNoMoreThanItsUserGives(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ body, want string }{
		"client credentials":       {`{"grant_types":["client_credentials"]}`, "invalid_client_metadata"},
		"token exchange":           {`{"grant_types":["urn:ietf:params:oauth:grant-type:token-exchange"]}`, "invalid_client_metadata"},
		"implicit":                 {`{"redirect_uris":["https://a.example/cb"],"response_types":["token"]}`, "invalid_client_metadata"},
		"a redirect URI on http":   {`{"redirect_uris":["http://a.example/cb"]}`, "invalid_redirect_uri"},
		"a software statement":     {`{"software_statement":"e30.e30.x"}`, "unapproved_software_statement"},
		"keys without private key": {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		"a shared secret JWT":      {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"client_secret_jwt"}`, "invalid_client_metadata"},
		"a member twice":           {`{"client_name":"a","client_name":"b","redirect_uris":["https://a.example/cb"]}`, "invalid_client_metadata"},
		"a name that turns":        {`{"client_name":"a\u202eb","redirect_uris":["https://a.example/cb"]}`, "invalid_client_metadata"},
		"a private key":            {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}}`, "invalid_client_metadata"},
		"keys elsewhere":           {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/keys"}`, "invalid_client_metadata"},
		"mutual TLS":               {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"tls_client_auth"}`, "invalid_client_metadata"},
		"no JSON":                  {`redirect_uris=x`, "invalid_client_metadata"},
		"too much":                 {`{"client_name":"` + strings.Repeat("x", 40<<10) + `"}`, "invalid_client_metadata"},
	} {
		if got := w.json("POST", "/oauth/register", "", c.body); got.text("error") != c.want {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
	}
}

// Clients of the Model Context Protocol learn what to ask for at the API, often after they
// registered.
func TestAClientThatNamesNoScopesMayAskForThoseThatRoutesAskFor(t *testing.T) {
	w := newWorld(t)
	made := w.json("POST", "/oauth/register", "", `{"redirect_uris":["https://agent.example.com/cb"],"token_endpoint_auth_method":"none"}`)
	if made.text("scope") != "openid profile email sites:read things:read" {
		t.Errorf("it is registered for %q", made.text("scope"))
	}
	q := query("client_id", made.text("client_id"), "redirect_uri", "https://agent.example.com/cb", "scope", "sites:read")
	if step := w.begin(q, time.Time{}); step.Consent == nil || len(step.Consent.Scopes) != 1 || step.Consent.Scopes[0] != "sites:read" {
		t.Errorf("%+v", step)
	}
	q.Set("scope", "admin:write")
	if got := errorOf(t, w.begin(q, time.Time{})); got != "invalid_scope" {
		t.Errorf("a scope that no route asks for: %q", got)
	}
}

func TestThreat11_AStrangersClientLeadsNobodyAwayWhoIsNotSignedIn(t *testing.T) {
	w := newWorld(t)
	made := w.json("POST", "/oauth/register", "", wish)
	q := query("client_id", made.text("client_id"), "redirect_uri", "https://agent.example.com/cb", "response_type", "token")
	step, err := w.server.Begin(t.Context(), q, nil, time.Time{})
	if err != nil || step.Location != "" || step.SignIn == nil {
		t.Errorf("nobody signed in: %+v, %v", step, err)
	}
	if got := errorOf(t, w.begin(q, time.Time{})); got != "unsupported_response_type" {
		t.Errorf("somebody signed in: %q", got)
	}
}

func TestOneNetworkCannotFillTheTableOfClients(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		if got := w.json("POST", "/oauth/register", "", wish); got.status != http.StatusCreated {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	if got := w.json("POST", "/oauth/register", "", wish); got.status != http.StatusTooManyRequests {
		t.Errorf("%d", got.status)
	}
	w.pass(time.Hour)
	if got := w.json("POST", "/oauth/register", "", wish); got.status != http.StatusCreated {
		t.Errorf("later: %d", got.status)
	}
	if n, err := w.store.PurgeOAuthClients(t.Context(), w.now().Add(time.Hour), 100); err != nil || n != 21 {
		t.Errorf("unused ones are not dropped: %d, %v", n, err)
	}
	if _, err := w.store.OAuthClient(t.Context(), "app"); err != nil {
		t.Errorf("an application's client was dropped: %v", err)
	}
}
