package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"keystile.dev/keystile/internal/yamlfile"
)

var update = flag.Bool("update", false, "write the generated pages and expected messages anew")

// Each group of bad files of the corpus stands before the messages it must cause.
func TestBadFilesAreReportedWithLineFieldAndRemedy(t *testing.T) {
	const corpus = "testdata/bad.txtar"
	archive, err := txtar.ParseFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for i := range archive.Files {
		f := &archive.Files[i]
		if f.Name != "want" {
			files = append(files, File{Name: f.Name, Data: f.Data})
			continue
		}
		_, err := Parse(files...)
		if err == nil {
			t.Errorf("%s is accepted", files[0].Name)
			err = errors.New("accepted")
		}
		got := err.Error() + "\n"
		if *update {
			f.Data = []byte(got)
		} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", files[0].Name, diff)
		}
		files = nil
	}
	if *update {
		if err := os.WriteFile(corpus, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The whole shape that is promised for state files is known: later versions
// support more of it.
const promised = `
organizations:   [{id: sibaya-power, name: Sibaya Power, environment: production}]
sites:           [{id: Sibaya, organization: sibaya-power}]
roles:           [{id: role_analyst, scopes: ["telemetry:read"]}]
users:
  - username: user@example.com
    password: secret
    organization: sibaya-power
    role_id: role_analyst
    admin_role: org_admin
    customer_ids: [cust-1]
    group_id: grp-1
    skin_id: skin-1
    mfa: off
    totp_secret: JBSWY3DP
    auth_token: personal-key-of-a-user
api_keys: []
applications:
  - id: 5c8bd1f0-0000-4000-8000-000000000000
    name: Roof Tools
    kind: embedded
    environment: sandbox
    organization: roof-tools-inc
    permissions: ["roof_summary:read", "racking_arrays:read"]
    launch_url: https://app.example.com/embed
    review: approved
    application_keys: [{secret: x}]
    oauth: {redirect_uris: ["https://app.example.com/cb"], client_id: x, client_secret: a-client-secret, grant_types: [authorization_code, refresh_token, client_credentials], scopes: ["openid"], public: false}
authorizations:  [{application: 5c8b, tenant: sandbox-tenant, permissions: ["roof_summary:read"]}]
signing_keys:
  - organization: bank-x
    api_key: demo-api-key
    algorithm: HS256
    secret: demo-secret
    scopes: ["finapi:*"]
identity_providers:
  - name: external-sso
    organization: sibaya-power
    roles: [role_analyst]
    issuer: https://sso.example.com
    audience: keystile
    algorithms: [RS256]
    jwks: {keys: [{kty: RSA, n: x, e: AQAB}]}
    claims: {username: email, role_id: role}
    create_users: false
`

func TestEveryMemberOfTheStateFileIsReadOrRefusedAndNoneIsDropped(t *testing.T) {
	_, err := Parse(File{Name: "w.yaml", Data: []byte(promised)})
	want := `w.yaml:27: applications[0].application_keys[0].secret: is not an application key of its environment; use ak_test_ (sandbox) or ak_prod_ and 32 letters and digits`
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Parse(File{Name: "w.yaml", Data: []byte("users: []\napplications: []\n")}); err != nil {
		t.Errorf("empty sections: %v", err)
	}
}

func TestThreat33NoSecretIsInAProblem(t *testing.T) {
	const canary = "hunter2canary"
	for _, text := range []string{
		"api_keys: [{id: k, organization: a, secret: [" + canary + "]}]", "api_keys: [{id: k, organization: a, secret: \"" + canary + " x\"}]",
		"api_keys: [{id: k, organization: a, sha256: " + canary + "}]", "api_keys: [{id: k, organization: a, digest: " + canary + "}]",
		"api_keys: [{id: k, organization: a, secret: " + canary + "}, {id: l, organization: a, secret: " + canary + "}]",
		"api_keys: [{id: k, organization: a, digest: 'hmac-sha256:p:" + hexSum(canary) + " until " + canary + "'}]",
		"users: [{username: u, organization: a, password: \"" + canary + "\\0\"}]",
		"users: [{username: u, organization: a, password_hash: " + canary + "}]",
		"users: [{username: u, organization: a, password: " + canary + ", password_hash: " + canary + "}]",
		"users: [{username: u, organization: a, totp_secret: " + canary + "1}]",
		"users: [{username: u, organization: a, totp: {id: f, sealed: " + canary + "}}]",
		"users: [{username: u, organization: a, auth_token: \"" + canary + " x\"}]",
		"identity_providers: [{name: p, organization: a, issuer: i, audience: b, algorithms: [RS256], secret: " + canary + "}]",
		"identity_providers: [{name: p, organization: a, issuer: i, audience: b, algorithms: [RS256], jwks: {keys: [{kty: oct, k: " + canary + "}]}}]",
	} {
		_, err := Parse(File{Name: "f", Data: []byte(text)})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSeveralFilesAreOneWorld(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, text := range []string{"organizations: [{id: a}]", "sites: [{id: s, organization: a}]\norganizations: [{id: b}]", "# nothing"} {
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	w, err := Read(paths...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Apply(context.Background(), newShop(t).Service, cli, w, Options{})
	if err != nil || got.String() != "+ organization a\n+ organization b\n+ site s\n3 created, 0 updated, 0 deleted\n" {
		t.Errorf("%s%v", got.String(), err)
	}
	if _, err := Read(filepath.Join(dir, "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestTheReferencePagesAreUpToDate(t *testing.T) {
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(schema) {
		t.Error("the schema is not JSON")
	}
	for file, want := range map[string][]byte{
		"../../docs/reference/state.md":          Reference(),
		"../../docs/reference/state.schema.json": schema,
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go test ./internal/state -update", file)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(promised))
	f.Add([]byte("api_keys: [{id: k, organization: a, digest: ['hmac-sha256:p:" + hexSum("x") + " until 2027-01-01T00:00:00Z'], hint: x}]"))
	f.Add([]byte("api_keys: [{digest: [], secret: '', limit_algorithm: gcra, allowed_ips: ['::/0']}]\nsites: [{}, {id: '..'}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		_, err := Parse(File{Name: "f", Data: data})
		if err == nil {
			return
		}
		problems, ok := yamlfile.ProblemsOf(err)
		if !ok {
			t.Fatalf("not problems: %v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Field == "" || strings.ContainsAny(p.Error(), "\n\r") {
				t.Errorf("a poor problem: %#v", p)
			}
		}
	})
}
