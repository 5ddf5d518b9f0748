package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keystile.dev/keystile/client"
)

// canaries are secrets, in every form in which they must not turn up.
type canaries map[string]string

func (c canaries) add(name, secret string) {
	sum := sha256.Sum256([]byte(secret))
	c[name] = secret
	c[name+", as base64"] = base64.StdEncoding.EncodeToString([]byte(secret))
	c[name+", as hexadecimal"] = hex.EncodeToString([]byte(secret))
	// Not a secret itself, but whoever has it can test guesses, and import the key elsewhere.
	c[name+", as SHA-256"] = hex.EncodeToString(sum[:])
	c[name+", as raw SHA-256"] = string(sum[:])
}

// absent wants none of them in a text.
func (c canaries) absent(t *testing.T, where, text string) {
	t.Helper()
	for name, form := range c {
		if at := strings.Index(text, form); at >= 0 {
			t.Errorf("%s holds %s: ...%q...", where, name, text[max(0, at-80):min(len(text), at+len(form)+20)])
		}
	}
}

func TestThreat33_NoSecretIsInLogsMetricsErrorsAuditOrTheDatabase(t *testing.T) {
	const (
		imported = "canary-imported-5f1d6a0c9e"
		unknown  = "canary-unknown-77aa01b2c3"
		inQuery  = "canary-in-query-0d9e8f7a6b"
		password = "canary-password-3c2b1a0f9e"
		misplace = "canary-misplaced-1a2b3c4d5e"
	)
	spans := newCollector(t)
	r := startServer(t, siteRoutes+"otlp_endpoint: "+spans.URL+"\naudit: {seal_every: 1s, checkpoint_file: checkpoints.jsonl}\n", simpleWorld)
	c := canaries{}
	for name, secret := range map[string]string{
		"an imported key": imported, "an unknown key": unknown, "a key in the query": inQuery, "a password": password, "a secret in the wrong member": misplace,
		"the admin token": r.token, "a known key": goodKey,
	} {
		c.add(name, secret)
	}
	made := must(r.client().CreateKey(t.Context(), client.KeyCreate{Organization: "acme", Scopes: []string{"things:read"}, PermittedSiteIDs: []string{"Roof"}}))(t)
	c.add("a made key", made.Secret)
	rotated := must(r.client().RotateKey(t.Context(), made.ID, 0))(t)
	c.add("a rotated key", rotated.Secret)
	must(r.client().CreateKey(t.Context(), client.KeyCreate{Organization: "acme", Secret: imported}))(t)
	tokenMade := must(r.client().CreateAdminToken(t.Context(), client.AdminTokenCreate{}))(t)
	c.add("a made token", tokenMade.Secret)
	r.people(c)
	c.add("the master key", strings.TrimSpace(string(must(os.ReadFile(filepath.Join(r.dir, "master.key")))(t))))

	// Every way to put a secret before the server: right, wrong, and in the wrong place.
	var answers strings.Builder
	send := func(method, path string, header http.Header, body string) {
		status, answer := r.call(method, path, header, body)
		fmt.Fprintf(&answers, "%s %s: %d %s\n", method, strings.ReplaceAll(strings.SplitN(path, "?", 2)[0], misplace, "-"), status, answer)
	}
	for _, key := range []string{goodKey, imported, unknown, made.Secret, rotated.Secret, tokenMade.Secret} {
		for _, path := range []string{sitePath, "/things/a?site=Attic", "/things/a", "/elsewhere", "/things/../a", "/v1/keys/self", "/v1/nothing"} {
			send("GET", path, http.Header{"X-Api-Key": {key}, "Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}, "")
			send("GET", path, bearerOf(key), "")
			send("GET", path, http.Header{"Authorization": {key}}, "")
			send("GET", path, http.Header{"X-Api-Key": {key, key}}, "")
			send("GET", path, http.Header{"X-Api-Key": {key}, "Authorization": {"Bearer " + unknown}}, "")
			send("GET", path, http.Header{"Cookie": {"session=" + key}, "Referer": {"http://x/?key=" + key}, "User-Agent": {key}}, "")
		}
	}
	for _, query := range []string{"api_key=", "x-api-key=", "access_token=", "token=", "key=", "auth_token=", "code=", "session_token=", "apiKey="} {
		send("GET", sitePath+"&"+query+inQuery, http.Header{}, "")
		send("GET", sitePath+"&"+query+inQuery, keyHeader(goodKey), "")
		send("GET", "/v1/keys?"+query+inQuery, bearerOf(r.token), "")
		send("GET", "/elsewhere?"+query+inQuery, http.Header{}, "")
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+password))
	c["the password's header"] = basic
	send("GET", sitePath, http.Header{"Authorization": {basic}}, "")
	send("GET", "/v1/keys", http.Header{"Authorization": {basic}}, "")
	for _, body := range []string{
		`{"organization":"acme","secret":` + `"` + imported + `"}`, `{"organization":"` + misplace + `"}`, `{"` + misplace + `":1}`, `{"secret":["` + misplace + `"]}`,
		`{"organization":"acme","expires_at":"` + misplace + `"}`, `{"organization":"acme","limit":"` + misplace + `"}`, `"` + misplace + `"`, `{"organization":"acme","secret":"` + misplace,
		`{"organization":"acme","scopes":["` + misplace + ` "]}`, `{"organization":"acme","sha256":"` + misplace + `"}`, `{"organization":"acme","allowed_ips":["` + misplace + `"]}`,
	} {
		send("POST", "/v1/keys", bearerOf(r.token), body)
	}
	for path, bodies := range map[string][]string{
		"/v1/users": {
			`{"organization":"acme","username":"x","password":"` + misplace + `\u0000"}`, `{"organization":"acme","username":"x","password_hash":"` + misplace + `"}`,
			`{"organization":"acme","username":"` + misplace + ` x"}`, `{"organization":"acme","username":"x","password":"` + misplace + `","password_hash":"$2b$` + misplace + `"}`,
			`{"organization":"acme","username":"x","passwort":"` + misplace + `"}`, `{"organization":"nobody","username":"x","password":"` + misplace + `"}`,
		},
		"/v1/identity-providers": {
			`{"name":"x","organization":"acme","issuer":"i","audience":"a","algorithms":["RS256"],"secret":"` + misplace + `"}`,
			`{"name":"x","organization":"acme","issuer":"i","audience":"a","algorithms":["EdDSA"],"public_key":"` + misplace + `"}`,
			`{"name":"x","organization":"acme","issuer":"i","audience":"a","algorithms":["RS256"],"jwks":{"keys":[{"kty":"oct","k":"` + misplace + `"}]}}`,
			`{"name":"x","organization":"acme","issuer":"i","audience":"a","algorithms":["RS256"],"jwks_url":"https://a:` + misplace + `@x/"}`,
		},
	} {
		for _, body := range bodies {
			send("POST", path, bearerOf(r.token), body)
		}
	}
	send("POST", "/v1/state/apply", http.Header{"Authorization": {"Bearer " + r.token}, "Content-Type": {"application/yaml"}},
		"organizations: [{id: acme, name: Acme}]\nusers: [{username: x, organization: nobody, password: "+misplace+", totp_secret: "+misplace+", auth_token: "+misplace+"}]\n")
	send("POST", "/v1/state/apply", http.Header{"Authorization": {"Bearer " + r.token}, "Content-Type": {"application/yaml"}},
		"organizations: [{id: acme, name: Acme}]\napi_keys: [{id: key_x, organization: nobody, secret: "+misplace+"}]\n")
	send("POST", "/v1/decisions", bearerOf(r.token), `{"method":"GET","url":"http://127.0.0.1:8080`+sitePath+`&token=`+inQuery+`","headers":{"x-api-key":["`+unknown+`"]},"ip":"192.0.2.1"}`)
	send("POST", "/v1/decisions", bearerOf(r.token), `{"method":"GET","url":"`+misplace+`","headers":{"`+misplace+`":["`+unknown+`"]},"ip":"`+misplace+`"}`)
	send("DELETE", "/v1/keys/"+url.PathEscape(misplace), bearerOf(r.token), "")
	for _, path := range []string{"/v1/keys", "/v1/admin-tokens", "/v1/audit?all=true&limit=200", "/v1/audit/decisions?limit=200", "/v1/state", "/v1/users", "/v1/identity-providers", "/v1/routes", "/v1/organizations", "/metrics", "/readyz", "/v1/openapi.json"} {
		send("GET", path, bearerOf(r.token), "")
	}
	c.absent(t, "an answer", answers.String())
	if !strings.Contains(answers.String(), "/v1/keys/self: 200") || strings.Count(answers.String(), ": 401 ") < 50 {
		t.Error("the requests were not what they were meant to be")
	}
	r.flushed()
	r.backups(c)
	r.databases(c)
	spans.wait(t)
	c.absent(t, "a trace", spans.text())
	c.absent(t, "the log", r.log.String())
}

// collector takes traces as an OpenTelemetry collector does (OTLP over HTTP).
type collector struct {
	*httptest.Server
	seen lockedBuffer
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(&c.seen, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) text() string { return c.seen.String() }

// wait wants spans of requests.
func (c *collector) wait(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		if n := len(c.text()); n < 1000 {
			return fmt.Errorf("%d bytes of traces", n)
		}
		return nil
	})
}

// backups wants no canary in a backup, read through its compression, or in what
// the commands of the audit log print.
func (r *running) backups(c canaries) {
	r.t.Helper()
	file, out := filepath.Join(r.dir, "keystile.yaml"), filepath.Join(r.t.TempDir(), "saved")
	for _, args := range [][]string{
		{"backup", out},
		{"audit", "list", "-o", "json"},
		{"audit", "decisions", "-o", "json", "--limit", "0"},
		{"audit", "export"},
		{"audit", "verify"},
		{"pepper", "list"},
		{"master-key", "show"},
	} {
		status, stdout, stderr := command(r.t, append(args, "--config", file)...)
		if status != 0 || len(stdout) < 20 {
			r.t.Errorf("%v: %d %s %s", args, status, stdout, stderr)
		}
		c.absent(r.t, strings.Join(args, " "), stdout+stderr)
	}
	packed := must(os.ReadFile(out))(r.t)
	_, packed, _ = bytes.Cut(packed, []byte("\n"))
	text := must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(packed)))(r.t)))(r.t)
	if len(text) < 20_000 {
		r.t.Errorf("the backup has %d bytes", len(text))
	}
	c.absent(r.t, "the backup", string(text))
}

// people makes a user and an identity provider in every way, with a canary for
// each secret of theirs.
func (r *running) people(c canaries) {
	r.t.Helper()
	const (
		first    = "canary-otters-juggle-quietly-4f1e"
		second   = "canary-badgers-whistle-at-noon-77"
		ofFile   = "canary-of-a-state-file-0a1b2c3d4e"
		personal = "canary-personal-key-5e6f7a8b9c0d"
		shared   = "canary-shared-secret-of-a-provider-1f2e3d"
		factor   = "CANARYCANARYCANARYCANARY"
	)
	for name, secret := range map[string]string{
		"a password": first, "a new password": second, "a state file's password": ofFile, "a personal key": personal, "a provider's secret": shared, "a TOTP secret of a file": factor,
	} {
		c.add(name, secret)
	}
	ctx, admin := r.t.Context(), r.client()
	u := must(admin.CreateUser(ctx, client.UserCreate{Organization: "acme", Username: "ann@example.com", Password: first}))(r.t)
	must(admin.SetUserPassword(ctx, u.ID, client.PasswordSet{Password: second}))(r.t)
	made := must(admin.EnrolUserTOTP(ctx, u.ID))(r.t)
	uri := must(url.Parse(made.URI))(r.t)
	c.add("a new TOTP secret", uri.Query().Get("secret"))
	must(admin.CreateIdentityProvider(ctx, client.IdentityProviderCreate{
		Name: "shared", Organization: "acme", Issuer: "i", Audience: "a", Algorithms: []string{"HS256"}, Secret: shared,
	}))(r.t)
	must(admin.UpdateIdentityProvider(ctx, "shared", client.Version{}, client.IdentityProviderUpdate{Secret: shared + "2"}))(r.t)
	r.apply("users: [{username: bob, organization: acme, password: " + ofFile + ", totp_secret: " + factor + ", auth_token: " + personal + "}]\n")
	if status, code := r.decide(sitePath, personal); status != 403 {
		r.t.Errorf("the personal key: %d %s", status, code)
	}
}

// flushed waits until decisions were recorded: the refusals above are in the audit log then.
func (r *running) flushed() {
	r.t.Helper()
	eventually(r.t, func() error {
		if n := r.recorder.Written(); n < 20 {
			return fmt.Errorf("%d decisions are recorded", n)
		}
		return nil
	})
}

// databases wants no canary in any file of the house but the configuration and
// the master key, whose text is the canary.
func (r *running) databases(c canaries) {
	r.t.Helper()
	read := 0
	check(r.t, filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "keystile.yaml" || entry.Name() == "master.key" {
			return err
		}
		text, err := os.ReadFile(path)
		read += len(text)
		c.absent(r.t, entry.Name(), string(text))
		return err
	}))
	if read < 100_000 {
		r.t.Errorf("only %d bytes of the store were looked at", read)
	}
}

func TestThreat33_CommandsShowASecretOnceAndInNoError(t *testing.T) {
	r := &running{t: t, log: &lockedBuffer{}, upstream: newWitness(t)}
	r.house(simpleRoutes, simpleWorld)
	file := filepath.Join(r.dir, "keystile.yaml")
	const canary = "canary-command-9e8d7c6b5a"
	c := canaries{}
	c.add("a secret on the command line", canary)
	for _, args := range [][]string{
		{"key", "create", "--organization", "acme", "--secret", canary},
		{"key", "create", "--organization", "acme", "--secret", canary},
		{"key", "create", "--organization", "nobody", "--secret", canary},
		{"key", "create", "--organization", "acme", "--secret", canary, "--limit", "x"},
		{"explain", "-H", "x-api-key: " + canary, "http://x/things/a"},
		{"explain", "-H", "x-api-key: " + canary, "-H", "authorization: Bearer " + canary + "2", "http://x/things/a"},
		{"explain", "-o", "json", "-H", "authorization: Basic " + canary, "http://x/things/a"},
		{"explain", "-H", "x-api-key: " + canary, "-d", canary, "http://x/things/a?token=" + canary},
		{"user", "create", "--organization", "acme", "--username", "ann", "--password", canary},
		{"user", "create", "--organization", "acme", "--username", "ann", "--password", canary},
		{"user", "create", "--organization", "acme", "--username", "x", "--password-hash", canary},
		{"user", "set-password", "ann", "--password", canary},
		{"user", "set-password", "nobody", "--password", canary},
		{"app", "webhook", "create", "nobody", "--event", "app_status_changed", "--url", "https://h.example/", "--header-name", "X-A", "--header-value", canary},
		{"provider", "create", "--name", "p", "--organization", "acme", "--issuer", "i", "--audience", "a", "--algorithm", "RS256", "--secret", canary},
		{"provider", "create", "--name", "p", "--organization", "acme", "--issuer", "i", "--audience", "a", "--algorithm", "HS256", "--secret", canary},
		{"user", "list", "-o", "json"},
		{"provider", "list", "-o", "json"},
		{"key", "list", "-o", "json"},
		{"export"},
		{"doctor"},
	} {
		_, stdout, stderr := command(t, append(args, "--config", file)...)
		c.absent(t, strings.Join(args[:1], " "), stdout+stderr)
	}
}
