package browser

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// trusting takes the server's certificate, which is its own, as the browser here does.
var trusting = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// ask sends a request to the server and reads the JSON it answers.
func ask(t *testing.T, path, kind, body string, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	answer, err := trusting.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	err = json.NewDecoder(answer.Body).Decode(into)
	if err := errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s: %s %v", path, answer.Status, err)
	}
}

// registerClient makes an OAuth client of Roof Tools Inc.
func registerClient(t *testing.T, name string, arguments ...string) (id, secret string) {
	t.Helper()
	out, err := keystile(t.Context(), append([]string{"client", "create", "--config", config, "--organization", "roof-tools-inc", "--name", name, "-o", "json"}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.ID == "" {
		t.Fatalf("%v: %s", err, out)
	}
	return made.ID, made.Secret
}

const form = "application/x-www-form-urlencoded"

// challenge is that of a verifier that nobody needs here.
const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

func authorizeURL(pairs ...string) string {
	query := url.Values{"response_type": {"code"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return "/oauth/authorize?" + query.Encode()
}

func TestEveryPageOfTheAuthorizationServerIsReadableOnEveryScreen(t *testing.T) {
	b := newTab(t)
	b.signIn("oauth@example.com")
	b.open("/account/access")
	b.mustSay("You have given no application access.")
	b.look("access-none")

	// A client that registered itself, with a long name and a resource.
	var made struct {
		ID string `json:"client_id"`
	}
	ask(t, "/oauth/register", "application/json", `{"client_name":"Totally Trustworthy Telemetry Toolbox for Teams","redirect_uris":["http://127.0.0.1:33418/callback"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"scope":"openid telemetry:read"}`, &made)
	b.open(authorizeURL("client_id", made.ID, "redirect_uri", "http://127.0.0.1:33418/callback", "resource", "https://telemetry.production.example.com/a/rather/long/resource"))
	b.mustSay("Nobody has checked this application")
	b.look("consent-unverified")

	// One that the platform knows, with permissions.
	id, _ := registerClient(t, "Roof Planner", "--redirect-uri", "https://roof.example.com/cb", "--scope", "openid", "--scope", "email", "--scope", "telemetry:read", "--scope", "designs:*",
		"--grant", "authorization_code", "--grant", "refresh_token", "--grant", "urn:ietf:params:oauth:grant-type:device_code", "--public")
	b.open(authorizeURL("client_id", id, "redirect_uri", "https://roof.example.com/cb"))
	b.mustSay("Roof Planner by Roof Tools Inc")
	b.look("consent-verified")

	b.open(authorizeURL("client_id", id, "redirect_uri", "https://evil.example.com/cb"))
	b.mustSay("did not register that redirect URI")
	b.look("authorize-refused")

	// A device: its code, a wrong one, what it asks, and what was allowed.
	var device struct {
		UserCode string `json:"user_code"`
	}
	ask(t, "/oauth/device_authorization", form, url.Values{"client_id": {id}, "scope": {"openid telemetry:read"}}.Encode(), &device)
	b.open("/oauth/device")
	b.look("device")
	b.fill("user_code", "BCDF-GHJK")
	b.press(mainButton)
	b.mustSay("No device that waits shows that code.")
	b.look("device-wrong")
	b.fill("user_code", strings.ToLower(strings.Replace(device.UserCode, "-", " ", 1)))
	b.press(mainButton)
	b.mustSay("The device shows the code " + device.UserCode + ".")
	b.look("device-consent")
	b.press(mainButton)
	b.mustBeAt("/account/access")
	b.mustSay("Roof Planner")
	b.look("access")
	b.press(button("/account/access/withdraw"))
	b.mustSay("You have given no application access.")
	b.look("access-withdrawn")

	// Anybody's link only asks whether to sign out.
	b.open("/oauth/logout")
	b.mustSay("Sign out?")
	b.look("logout")
	b.press(mainButton)
	b.mustBeAt("/login")
	b.look("logged-out")
}
