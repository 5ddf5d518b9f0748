package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/yamlfile"
)

// full is the configuration of the manual, every section in it.
const full = `
listen: 127.0.0.1:8080
admin_listen: ""
public_url: https://auth.example.com
tls: {mode: files, cert: tls.crt, key: /etc/keystile/tls.key}
store: sqlite:keystile.db
shared: memory
master_key: file:master.key
trusted_proxies: [127.0.0.0/8]
dialects:
  ona:    {base_paths: ["", "/prod"], jwt: {alg: HS256, secret: "0123456789abcdef0123456789abcdef", ttl: 24h}}
  aurora: {environments: [sandbox, production]}
  ownera: {clock_window: 60s}
  nao:    {jwt_ttl: 24h}
forward_auth: {headers: x-forwarded}
routes:
  - match:    {host: api.example.com, path: /telemetry/**, methods: [GET]}
    upstream: http://127.0.0.1:9000
    strip_prefix: /prod
    accept:   [api_key, session_jwt]
    resource: {type: site, id: query.site_id}
    not_permitted_status: 404
    scopes:   [telemetry:read]
    when:     'principal.role != "role_guest"'
    policies: [a.cedar]
    limit:    {rate: 60/1m, per: credential}
    errors:   ona
    same_origin: false
  - match: {path: /x}
    upstream: [http://a:1, http://b:2]
    accept: api_key
    limit: [{rate: 20000/1h, per: organization, algorithm: gcra, on_outage: refuse}, {rate: 5/s}]
    cors: {origins: ["https://app.example.com"], headers: [x-api-key], max_age: 10m}
    environment: sandbox
    credential_header: x-token
    credential_query: key
    forward_credential: true
    observe_until: 2027-01-01T00:00:00Z
    max_body: 1MiB
    timeout: 5s
log: {level: debug, format: text}
otlp_endpoint: http://127.0.0.1:4318
drain_timeout: 20s
limits: {counter_memory: 64MiB}
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keystile.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func mustLoad(t *testing.T, file string, env []string, flags map[string]string) *Config {
	t.Helper()
	c, err := Load(file, env, flags)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAFullFileIsReadCompletely(t *testing.T) {
	file := write(t, full)
	dir := filepath.Dir(file)
	c := mustLoad(t, file, nil, nil)
	if c.TLS.Cert != filepath.Join(dir, "tls.crt") || c.TLS.Key != "/etc/keystile/tls.key" {
		t.Errorf("paths of %+v are not relative to the file", c.TLS)
	}
	if got := c.Store.Reveal(); got != "sqlite:"+filepath.Join(dir, "keystile.db") {
		t.Errorf("store is %s", got)
	}
	if c.MasterKey != "file:"+filepath.Join(dir, "master.key") || c.PublicHost() != "auth.example.com" || c.DrainTimeout != 20*time.Second ||
		c.Limits.CounterMemory != 64<<20 || c.Limits.MaxBody != 10<<20 || c.Dialects.NAO.JWTTTL != 24*time.Hour || c.Log.Format != "text" {
		t.Errorf("%+v", c)
	}
	want := []keystile.Route{{
		ID: "GET api.example.com/telemetry/**", Source: file + ":17",
		Match:     keystile.RouteMatch{Host: "api.example.com", Path: "/telemetry/**", Methods: []string{"GET"}},
		Upstreams: []string{"http://127.0.0.1:9000"}, StripPrefix: "/prod",
		Accept:   []keystile.KindName{keystile.KindAPIKey, keystile.KindSessionJWT},
		Resource: &keystile.RouteResource{Type: "site", From: "query.site_id"}, NotPermittedStatus: 404,
		Scopes: []keystile.Scope{"telemetry:read"}, When: `principal.role != "role_guest"`,
		Policies: []string{filepath.Join(dir, "a.cedar")}, Errors: "ona",
		Limits: []keystile.RouteLimit{{Rate: keystile.Rate{Requests: 60, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}, Per: keystile.PerCredential, OnOutage: "local"}},
	}, {
		ID: "* /x", Source: file + ":29", Match: keystile.RouteMatch{Path: "/x", Methods: []string{}},
		Upstreams: []string{"http://a:1", "http://b:2"}, Accept: []keystile.KindName{keystile.KindAPIKey},
		CredentialHeader: "x-token", CredentialQuery: "key", NotPermittedStatus: 403, Environment: keystile.Sandbox, Errors: "problem",
		CORS:              &keystile.RouteCORS{Origins: []string{"https://app.example.com"}, Headers: []string{"x-api-key"}, MaxAge: 10 * time.Minute},
		ForwardCredential: true, ObserveUntil: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), MaxBody: 1 << 20, Timeout: 5 * time.Second,
		Limits: []keystile.RouteLimit{
			{Rate: keystile.Rate{Requests: 20000, Window: time.Hour, Algorithm: keystile.AlgorithmGCRA}, Per: keystile.PerOrganization, OnOutage: "refuse"},
			{Rate: keystile.Rate{Requests: 5, Window: time.Second, Algorithm: keystile.AlgorithmWindow}, Per: keystile.PerCredential, OnOutage: "local"},
		},
	}}
	if diff := cmp.Diff(want, c.Routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestNothingGivenMeansSafeDefaults(t *testing.T) {
	c := mustLoad(t, "", nil, nil)
	if c.Listen != "127.0.0.1:8080" || c.TLS.Mode != "off" || c.Shared.Reveal() != "memory" || len(c.TrustedProxies) != 0 ||
		c.ForwardAuth.Headers != "x-forwarded" || c.DrainTimeout != 15*time.Second || c.Store.Reveal() != "sqlite:keystile.db" ||
		c.MasterKey != "file:master.key" || len(c.Warnings) != 0 || c.PublicHost() != "" {
		t.Errorf("%+v", c)
	}
	d := c.Dialects
	if d.ONA == nil || d.Aurora == nil || d.Ownera == nil || d.NAO == nil || !reflect.DeepEqual(d.ONA.BasePaths, []string{"", "/prod"}) ||
		d.ONA.JWT.Secret != "" || d.Ownera.ClockWindow != time.Minute || !d.NAO.ShowAuthToken {
		t.Errorf("dialects: %+v", d)
	}
	empty := mustLoad(t, write(t, "# nothing\n"), nil, nil)
	if empty.Dialects.ONA == nil {
		t.Error("an empty file turns dialects off")
	}
}

func TestADialectsSectionTurnsOnOnlyWhatItNames(t *testing.T) {
	file := write(t, "dialects:\n  ona: {}\n")
	c := mustLoad(t, file, nil, nil)
	if c.Dialects.ONA == nil || c.Dialects.ONA.JWT.TTL != 24*time.Hour || c.Dialects.NAO != nil || c.Dialects.Aurora != nil {
		t.Errorf("%+v", c.Dialects)
	}
	c = mustLoad(t, file, []string{"KEYSTILE_DIALECTS_NAO_JWT_TTL=2h"}, nil)
	if c.Dialects.NAO == nil || c.Dialects.NAO.JWTTTL != 2*time.Hour || !c.Dialects.NAO.ShowAuthToken {
		t.Errorf("a variable does not turn its dialect on: %+v", c.Dialects.NAO)
	}
	c = mustLoad(t, "", []string{"KEYSTILE_DIALECTS_NAO_JWT_TTL=2h"}, nil)
	if c.Dialects.ONA == nil || c.Dialects.NAO.JWTTTL != 2*time.Hour {
		t.Error("a variable turns the other dialects off")
	}
}

func TestFlagsWinOverVariablesOverTheFileOverDefaults(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\nadmin_listen: 127.0.0.1:2\ntls: {mode: off}\ntrusted_proxies: [10.0.0.0/8]\n")
	env := []string{"KEYSTILE_LISTEN=127.0.0.1:11", "KEYSTILE_TLS_MODE=dev", "KEYSTILE_TRUSTED_PROXIES=192.0.2.0/24,::1", "HOME=/x", "KEYSTILE_TOKEN=secret", "KEYSTILE_CONFIG=x"}
	c := mustLoad(t, file, env, map[string]string{"listen": "127.0.0.1:21", "log-level": "debug"})
	if c.Listen != "127.0.0.1:21" || c.TLS.Mode != "dev" || c.AdminListen != "127.0.0.1:2" || c.Log.Level != "debug" || c.Log.Format != "json" {
		t.Errorf("%+v", c)
	}
	if !reflect.DeepEqual(c.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}) {
		t.Errorf("proxies: %v", c.TrustedProxies)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	c = mustLoad(t, file, []string{"KEYSTILE_ADMIN_LISTEN=", "KEYSTILE_TRUSTED_PROXIES="}, nil)
	if c.AdminListen != "" || len(c.TrustedProxies) != 0 {
		t.Errorf("an empty variable does not empty its option: %+v", c)
	}
}

func TestRoutesMayComeFromAVariable(t *testing.T) {
	routes := "[{match: {path: /a}, upstream: http://u, accept: api_key}]"
	c := mustLoad(t, "", []string{"KEYSTILE_ROUTES=" + routes}, nil)
	if len(c.Routes) != 1 || c.Routes[0].Source != "KEYSTILE_ROUTES" || c.Routes[0].NotPermittedStatus != 403 {
		t.Errorf("%+v", c.Routes)
	}
}

func TestProblemsOfVariablesAndFlagsNameThem(t *testing.T) {
	_, err := Load("", []string{"KEYSTILE_LISTEN=8080", "KEYSTILE_DRAIN_TIMEOUT=15"}, map[string]string{"tls-mode": "on", "lisen": "x"})
	for _, want := range []string{
		`KEYSTILE_LISTEN: listen: "8080" is not an address; write host:port`,
		`KEYSTILE_DRAIN_TIMEOUT: drain_timeout: "15" is not a duration`,
		`--tls-mode: tls.mode: "on" is not a known value`,
		`--lisen: flag: there is no such option; did you mean listen?`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestUnknownVariablesAreWarnedAbout(t *testing.T) {
	c := mustLoad(t, "", []string{"KEYSTILE_LISTN=x", "KEYSTILE_PORT_8080_TCP=tcp://1.2.3.4"}, nil)
	if len(c.Warnings) != 2 || !strings.Contains(c.Warnings.Error(), "KEYSTILE_LISTN: environment: is no option and was ignored; did you mean KEYSTILE_LISTEN?") {
		t.Errorf("%v", c.Warnings)
	}
	if c := mustLoad(t, "", []string{"KEYSTILE_MASTER_KEY=env:KEYSTILE_MK", "KEYSTILE_MK=x"}, nil); len(c.Warnings) != 0 {
		t.Errorf("the master key's own variable: %v", c.Warnings)
	}
}

func TestSecretsMayComeFromFiles(t *testing.T) {
	file := write(t, "store_file: dsn\ndialects: {ona: {jwt: {secret_file: jwt}}}\n")
	dir := filepath.Dir(file)
	for name, text := range map[string]string{"dsn": "postgres://u:pw@h/db\n", "jwt": "0123456789abcdef0123456789abcdef\r\n", "other": "fedcba9876543210fedcba9876543210"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := mustLoad(t, file, nil, nil)
	if c.Store.Reveal() != "postgres://u:pw@h/db" || c.Dialects.ONA.JWT.Secret.Reveal() != "0123456789abcdef0123456789abcdef" {
		t.Errorf("store %q, secret %q", c.Store.Reveal(), c.Dialects.ONA.JWT.Secret.Reveal())
	}
	c = mustLoad(t, "", nil, map[string]string{"dialects-ona-jwt-secret": "@" + filepath.Join(dir, "other")})
	if c.Dialects.ONA.JWT.Secret.Reveal() != "fedcba9876543210fedcba9876543210" {
		t.Errorf("@FILE gave %q", c.Dialects.ONA.JWT.Secret.Reveal())
	}
	if _, err := Load(file, []string{"KEYSTILE_STORE=sqlite:x"}, nil); err == nil || !strings.Contains(err.Error(), "store_file: store is given as well") {
		t.Errorf("a secret given twice: %v", err)
	}
}

func TestThreat04WeakMissingAndEmptySecretsRefuseToStart(t *testing.T) {
	for name, test := range map[string]struct {
		yaml string
		env  []string
		want string
	}{
		"short":         {yaml: "dialects: {ona: {jwt: {secret: hunter2}}}", want: "keystile.yaml:1: dialects.ona.jwt.secret: has 7 bytes"},
		"empty":         {yaml: `dialects: {ona: {jwt: {secret: ""}}}`, want: "keystile.yaml:1: dialects.ona.jwt.secret: is empty"},
		"empty in env":  {env: []string{"KEYSTILE_DIALECTS_ONA_JWT_SECRET="}, want: "KEYSTILE_DIALECTS_ONA_JWT_SECRET: dialects.ona.jwt.secret: is empty"},
		"repetitive":    {yaml: "dialects: {ona: {jwt: {secret: " + strings.Repeat("abc", 20) + "}}}", want: "is weak"},
		"absent file":   {yaml: "dialects: {ona: {jwt: {secret_file: nowhere}}}", want: "dialects.ona.jwt.secret_file: cannot open the file"},
		"empty file":    {yaml: "dialects: {ona: {jwt: {secret_file: /dev/null}}}", want: "dialects.ona.jwt.secret_file: the file is empty"},
		"no file named": {yaml: `dialects: {ona: {jwt: {secret_file: ""}}}`, want: "dialects.ona.jwt.secret_file: is empty"},
		"master key":    {yaml: `master_key: ""`, want: "master_key: is empty; write file:PATH, env:NAME, vault:"},
		"no value":      {yaml: "dialects: {ona: {jwt: {secret: }}}", want: "dialects.ona.jwt.secret: has no value"},
	} {
		_, err := Load(write(t, test.yaml), test.env, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := LoadDemo(write(t, "dialects: {ona: {jwt: {secret: hunter2}}}"), nil, nil); err != nil || c.Dialects.ONA.JWT.Secret != "hunter2" {
		t.Errorf("the demo refuses a short secret: %v", err)
	}
}

func TestThreat33NoSecretIsInAProblemOrInPrintedConfiguration(t *testing.T) {
	const canary = "hunter2canary"
	for _, text := range []string{
		"store: mysql://u:" + canary + "@h/d", "store: postgres://u:" + canary + "@", "shared: valkey://u:" + canary + "@:0/", "shared: http://u:" + canary + "@h",
		"dialects: {ona: {jwt: {secret: " + canary + "}}}", "master_key: " + canary, "master_key: x:" + canary, "master_key: awskms://" + canary,
		"public_url: https://u:" + canary + "@h", "store: [" + canary + "]", "store: 'postgres://u:%zz" + canary + "@h/d'",
	} {
		c, err := Load(write(t, text), nil, nil)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", text, err)
		}
		if c != nil && strings.Contains(fmt.Sprint(c.Store, c.Shared, c.Dialects.ONA, c.Warnings), canary) {
			t.Errorf("%s: prints its secret", text)
		}
	}
}

func TestWhatIsRiskyIsWarnedAbout(t *testing.T) {
	c := mustLoad(t, write(t, "listen: 0.0.0.0:8080\next_authz_listen: 127.0.0.1:9\ntrusted_proxies: [10.0.0.0/8, 0.0.0.0/0]\npublic_url: http://auth.example.com\n"), nil, nil)
	text := c.Warnings.Error()
	for _, want := range []string{":1: tls.mode: credentials cross", ":2: ext_authz_listen: this version", ":3: trusted_proxies[1]: 0.0.0.0/0 lets", ":4: public_url: credentials cross"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestRoutesAreThereForFurtherChecksWhenOtherThingsAreWrong(t *testing.T) {
	c, err := Load(write(t, "lisen: x\nroutes:\n  - {match: {path: /a}, upstream: http://u, accept: api_key}\n  - {match: {path: /b}, upstream: http://u, accept: api_key, limit: {rate: x}}\n"), nil, nil)
	var problems yamlfile.Problems
	if !errors.As(err, &problems) || len(problems) != 2 || c == nil || len(c.Routes) != 1 {
		t.Errorf("%v, %+v", err, c)
	}
	if got := c.Problem("routes[1].match.path", "r", "p").Error(); !strings.HasSuffix(got, "keystile.yaml:4: routes[1].match.path: p; r") {
		t.Errorf("problem: %s", got)
	}
}

func TestAFileThatCannotBeReadIsNoConfiguration(t *testing.T) {
	if c, err := Load(filepath.Join(t.TempDir(), "absent.yaml"), nil, nil); c != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := Load(write(t, strings.Repeat("#", yamlfile.MaxConfig+1)), nil, nil); c != nil || err == nil {
		t.Errorf("an oversized file: %v, %v", c, err)
	}
}

// Each bad file of the corpus stands beside the messages it must cause.
func TestBadFilesAreReportedWithLineFieldAndRemedy(t *testing.T) {
	const corpus = "testdata/bad.txtar"
	archive, err := txtar.ParseFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := 0; i+1 < len(archive.Files); i += 2 {
		bad, want := archive.Files[i], &archive.Files[i+1]
		file := filepath.Join(dir, bad.Name)
		if err := os.WriteFile(file, bad.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file, nil, nil)
		if err == nil {
			t.Errorf("%s is accepted", bad.Name)
			continue
		}
		got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
		if *update {
			want.Name, want.Data = "want", []byte(got)
		} else if diff := cmp.Diff(string(want.Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bad.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(corpus, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("routes: [{}]\ntls: {mode: files}\ndialects: {}\n"))
	f.Add([]byte("store: sqlite:\nshared: valkey://[::1\npublic_url: 'http://%'\nlisten: '[::]:1'\nmaster_key: ':'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > yamlfile.MaxConfig {
			return
		}
		c := &checker{Config: &Config{file: "f", overridden: map[string]string{}}}
		c.read(data)
		// A fuzzed path must not be opened: it could be a device that blocks.
		c.StoreFile, c.SharedFile = "", ""
		if c.Dialects.ONA != nil {
			c.Dialects.ONA.JWT.SecretFile = ""
		}
		c.check()
		for _, p := range c.problems {
			if p.Line < 1 || p.Field == "" || strings.ContainsAny(p.Error(), "\n\r") {
				t.Errorf("a poor problem: %#v", p)
			}
		}
	})
}

func TestStepUpAndOutboundSettingsReachWhoUsesThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keystile.yaml")
	text := `
tokens: {algorithm: ES256}
outbound: {allow_private: [127.0.0.0/8, 0.0.0.0/0], proxy: "http://proxy.internal:3128"}
dialects: {ona: {jwt: {issuer: ona, audience: terminal}}}
routes:
  - {match: {path: /a}, upstream: "http://127.0.0.1:9", accept: session_jwt, auth: {methods: otp, max_age: 10m}}
  - {match: {path: /b}, upstream: "http://127.0.0.1:9", accept: session_jwt}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Routes[0].Auth; a == nil || !slices.Equal(a.Methods, []keystile.AuthMethod{"otp"}) || a.MaxAge != 10*time.Minute || c.Routes[1].Auth != nil {
		t.Errorf("%+v %+v", a, c.Routes[1].Auth)
	}
	if c.Tokens.Algorithm != "ES256" || len(c.Outbound.AllowPrivate) != 2 || c.Dialects.ONA.JWT.Issuer != "ona" || c.Dialects.ONA.JWT.Audience != "terminal" {
		t.Errorf("%+v %+v", c.Tokens, c.Outbound)
	}
	if !slices.ContainsFunc(c.Warnings, func(p yamlfile.Problem) bool { return p.Field == "outbound.allow_private[1]" }) {
		t.Errorf("nothing warns of a range that holds everything: %v", c.Warnings)
	}
}
