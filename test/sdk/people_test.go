package sdk

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// person is a user as the SDKs' live tests take it, and as a state file has it.
type person struct {
	Username   string `json:"username"`
	Password   string `json:"password"`
	TOTPSecret string `json:"totp_secret,omitempty"`

	Organization string   `json:"organization,omitempty"`
	RoleID       string   `json:"role_id,omitempty"`
	CustomerIDs  []string `json:"customer_ids,omitempty"`
	MFA          string   `json:"mfa,omitempty"`
}

// Those who have an authenticator app, need one and have none, and have neither.
// A code is accepted once, so each test that needs one has a person of its own.
var (
	withApp    = []string{"mfa", "lambda", "sample", "js_mfa"}
	withoutApp = []string{"enrol", "scanner", "js_enrol"}
	others     = []string{"plain", "external", "locked"}
)

// people makes the users, an identity provider and an API key: KEYSTILE_TEST_ONA.
func (w *world) people() any {
	w.Helper()
	users := map[string]person{}
	for mfa, names := range map[string][]string{"optional": withApp, "required": withoutApp, "off": others} {
		for _, name := range names {
			p := person{
				Username: name + "@example.com", Password: random(w.T, 12), Organization: "sibaya-power",
				RoleID: "role_analyst", CustomerIDs: []string{"cust-1"}, MFA: mfa,
			}
			if mfa == "optional" {
				p.TOTPSecret = base32.StdEncoding.EncodeToString([]byte(random(w.T, 10)))
			}
			users[name] = p
		}
	}
	provider := map[string]any{
		"name": "external-sso", "issuer": "https://sso.example.com", "audience": "keystile", "secret": random(w.T, 32),
	}
	w.apply(users, provider)
	var key struct {
		Secret string `json:"secret"`
	}
	w.run(&key, "key", "create", "--organization", "sibaya-power", "--site", "Sibaya", "--scope", "telemetry:read")
	told := map[string]person{}
	for name, p := range users {
		told[name] = person{Username: p.Username, Password: p.Password, TOTPSecret: p.TOTPSecret}
	}
	return map[string]any{
		"users": told, "provider": provider, "api_key": key.Secret, "issuer": w.url, "jwt_secret": w.secret,
		"asset": "INV-1000000054495190", "site": "Sibaya", "other_site": "Umhlanga",
	}
}

// apply writes a state file, which is YAML and so may be JSON, and applies it.
func (w *world) apply(users map[string]person, provider map[string]any) {
	w.Helper()
	list := make([]person, 0, len(users))
	for _, p := range users {
		list = append(list, p)
	}
	trusted := map[string]any{
		"organization": "sibaya-power", "algorithms": []string{"HS256"}, "claims": map[string]string{"username": "email"},
	}
	for name, value := range provider {
		trusted[name] = value
	}
	state := filepath.Join(w.TempDir(), "state.yaml")
	text := w.json(map[string]any{
		"organizations": []map[string]any{{"id": "sibaya-power", "name": "Sibaya Power", "environment": "production"}},
		"sites": []map[string]any{
			{"id": "Sibaya", "organization": "sibaya-power"}, {"id": "Umhlanga", "organization": "sibaya-power"},
		},
		"roles":              []map[string]any{{"id": "role_analyst", "scopes": []string{"telemetry:read"}}},
		"users":              list,
		"identity_providers": []any{trusted},
	})
	if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	output(w.T, exec.Command(w.binary, "apply", "-f", state, "--config", w.config))
}

// random is n random bytes in hexadecimal.
func random(t *testing.T, n int) string {
	t.Helper()
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(raw)
}
