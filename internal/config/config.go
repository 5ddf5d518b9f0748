package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/yamlfile"
)

// Config is what a server runs with. Paths in it that came from the file are
// relative to the file's directory and already joined to it; paths from
// variables and flags are relative to the working directory, as typed.
type Config struct {
	Listen         string          `yaml:"listen" default:"127.0.0.1:8080" doc:"Address of the public API, the gateway and the console, as host:port."`
	AdminListen    string          `yaml:"admin_listen" default:"" example:"127.0.0.1:8081" doc:"Address of the management API, the console and metrics. Empty: the same listener, under /v1 and /admin."`
	ExtAuthzListen string          `yaml:"ext_authz_listen" default:"" example:"127.0.0.1:9191" doc:"Address of the Envoy ext_authz service (gRPC). Empty: none. This version does not serve it and says so at start."`
	PublicURL      string          `yaml:"public_url" default:"" example:"https://auth.example.com" doc:"The URL under which people and clients reach this server, without a path. Routes may lie on its host only with same_origin. Empty: the server has no origin of its own, and what needs one (sign-in pages, the authorization server) is off."`
	TLS            TLS             `yaml:"tls" doc:"How the listeners speak TLS."`
	MTLS           MTLS            `yaml:"mtls" doc:"A listener on which clients prove who they are with certificates (RFC 8705). It serves the authorization server's endpoints and the gateway, not the pages: browsers are never asked for one."`
	Store          keystile.Secret `yaml:"store" default:"sqlite:keystile.db" example:"sqlite:/var/lib/keystile/keystile.db" doc:"Where everything durable is kept: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE."`
	StoreFile      string          `yaml:"store_file" default:"" doc:"A file that holds the value of store, for URLs with a password."`
	Shared         keystile.Secret `yaml:"shared" default:"memory" example:"valkey://127.0.0.1:6379" doc:"Where rate limits and what may be used only once are counted: memory for one server, valkey://HOST:PORT (valkeys:// with TLS) for several."`
	SharedFile     string          `yaml:"shared_file" default:"" doc:"A file that holds the value of shared, for URLs with a password."`
	MasterKey      string          `yaml:"master_key" default:"file:master.key" example:"env:KEYSTILE_MASTER_KEY_BASE64" doc:"The key that everything sealed in the store hangs on: file:PATH or env:NAME of 32 random bytes as base64 (openssl rand -base64 32), or vault:https://HOST:8200/MOUNT/KEY, a key of the transit engine of Vault (VAULT_TOKEN or VAULT_TOKEN_FILE, VAULT_NAMESPACE), or aws-kms://ARN, a symmetric key of AWS KMS by its key ARN (credentials from the environment or the role of the container or machine). The file must be readable by its owner only."`
	TrustedProxies []netip.Prefix  `yaml:"trusted_proxies" default:"" example:"127.0.0.0/8" doc:"Networks of the proxies whose X-Forwarded-* headers are believed. Default: none."`
	Dialects       Dialects        `yaml:"dialects" doc:"The platforms whose wire formats are spoken. Without this section all four are on with their defaults; with it, only those it names."`
	Tokens         Tokens          `yaml:"tokens" doc:"Session tokens under public keys."`
	Outbound       Outbound        `yaml:"outbound" doc:"What may be fetched from outside."`
	Login          Login           `yaml:"login" doc:"How people sign in."`
	Mail           Mail            `yaml:"mail" doc:"The mail server that links to choose a new password are sent by. Without server there are none."`
	ForwardAuth    ForwardAuth     `yaml:"forward_auth" doc:"The decision endpoint for proxies, /forward-auth."`
	RouteEntries   []RouteEntry    `yaml:"routes" doc:"What the gateway and every decision endpoint enforce. The most specific match wins; two routes that match the same request are refused."`
	Limits         Limits          `yaml:"limits" doc:"Bounds on memory, time and work."`
	Audit          Audit           `yaml:"audit" doc:"How the audit log is sealed and how long it is kept."`
	Log            Log             `yaml:"log" doc:"The log, on standard error."`
	OTLPEndpoint   string          `yaml:"otlp_endpoint" default:"" example:"http://127.0.0.1:4318" doc:"OpenTelemetry collector (OTLP over HTTP) that traces are sent to. Empty: none."`
	DrainTimeout   time.Duration   `yaml:"drain_timeout" default:"15s" max:"10m" doc:"How long running requests may take to end after SIGTERM."`

	// Routes are RouteEntries as package policy takes them, each with its Source
	// and ID. Entries with problems are left out.
	Routes []keystile.Route `yaml:"-"`
	// Warnings are things to know that do not prevent a start.
	Warnings yamlfile.Problems `yaml:"-"`

	file      string
	positions *yamlfile.Positions
	// overridden names the variable or flag that gave an option its value, by path.
	overridden map[string]string
}

// TLS says how the listeners speak TLS.
type TLS struct {
	Mode string `yaml:"mode" default:"off" enum:"off files dev acme" doc:"off: plain HTTP, for loopback or behind a proxy. files: cert and key. dev: a local authority for localhost, made at first start, its path printed. acme: certificates from an ACME authority."`
	Cert string `yaml:"cert" default:"" example:"/etc/keystile/tls.crt" doc:"Certificate chain, PEM. With mode files."`
	Key  string `yaml:"key" default:"" example:"/etc/keystile/tls.key" doc:"Private key of the certificate, PEM. With mode files."`
}

// MTLS is the listener that asks for certificates.
type MTLS struct {
	Listen   string `yaml:"listen" default:"" example:"0.0.0.0:8443" doc:"Its address, as host:port, with the certificate of tls. Empty: none."`
	URL      string `yaml:"url" default:"" example:"https://auth.example.com:8443" doc:"The URL under which clients reach it, without a path: mtls_endpoint_aliases in the metadata."`
	ClientCA string `yaml:"client_ca" default:"" example:"/etc/keystile/clients.pem" doc:"Certificates of the authorities that sign those of clients with tls_subject, PEM. Empty: only certificates that clients registered are good."`
}

// Dialects are the platforms whose wire formats are spoken; nil is off.
type Dialects struct {
	ONA    *ONADialect    `yaml:"ona" doc:"The Ona platform."`
	Aurora *AuroraDialect `yaml:"aurora" doc:"The Aurora platform."`
	Ownera *OwneraDialect `yaml:"ownera" doc:"The Ownera platform."`
	NAO    *NAODialect    `yaml:"nao" doc:"The NAO platform."`
}

// ONADialect is Ona's wire format.
type ONADialect struct {
	BasePaths []string `yaml:"base_paths" default:"[\"\", /prod]" doc:"Paths that its endpoints stand under; the empty one is the root."`
	JWT       ONAJWT   `yaml:"jwt" doc:"Session tokens of its users."`
}

// ONAJWT is how Ona's session tokens are signed.
type ONAJWT struct {
	Alg        string          `yaml:"alg" default:"HS256" enum:"HS256" doc:"Signature algorithm (RFC 7518, section 3.1)."`
	Secret     keystile.Secret `yaml:"secret" doc:"Secret shared with verifiers, at least 32 bytes. Absent: drawn once and kept sealed in the store."`
	SecretFile string          `yaml:"secret_file" default:"" doc:"A file that holds the secret."`
	TTL        time.Duration   `yaml:"ttl" default:"24h" min:"1m" max:"720h" doc:"How long a token is good."`
	Issuer     string          `yaml:"issuer" default:"" example:"https://auth.example.com" doc:"The claim iss of its tokens. Empty: none, as the platform's own verifiers expect."`
	Audience   string          `yaml:"audience" default:"" example:"terminal" doc:"The claim aud of its tokens. Empty: none, as the platform's own verifiers expect."`
}

// Tokens are session tokens that anybody can verify with the JWKS.
type Tokens struct {
	Algorithm string `yaml:"algorithm" default:"EdDSA" enum:"EdDSA ES256 RS256" doc:"Signature algorithm (RFC 7518, RFC 8037). Its key is made at first start; keystile token-key rotate makes the next."`
}

// Outbound says what is reached when something is fetched from outside: the key sets of identity providers.
type Outbound struct {
	AllowPrivate []netip.Prefix `yaml:"allow_private" default:"" example:"10.1.0.0/16" doc:"Networks that are reached although they are not of the public internet. Plain http is spoken only to this machine, and only if its loopback network is named here. Default: none."`
	Proxy        string         `yaml:"proxy" default:"" example:"http://proxy.internal:3128" doc:"The proxy to fetch through. Empty: none; HTTP_PROXY and its like are not read."`
}

// AuroraDialect is Aurora's wire format.
type AuroraDialect struct {
	Environments []string     `yaml:"environments" default:"[sandbox, production]" enum:"sandbox production" doc:"Environments that are served."`
	Launch       AuroraLaunch `yaml:"launch" doc:"What the query parameters are called that an embedded application is opened with."`
}

// AuroraLaunch names the query parameters of a launch.
type AuroraLaunch struct {
	SessionToken  string `yaml:"session_token" default:"aurora_session_token" doc:"The parameter that holds the session token."`
	TenantID      string `yaml:"tenant_id" default:"aurora_tenant_id" doc:"The parameter that holds the tenant's id."`
	ApplicationID string `yaml:"application_id" default:"application_id" doc:"The parameter that holds the application's id."`
}

// OwneraDialect is Ownera's wire format.
type OwneraDialect struct {
	ClockWindow time.Duration `yaml:"clock_window" default:"60s" min:"5s" max:"15m" doc:"How far the time in a one-time request may be from the server's, either way, for organizations that set no window of their own."`
}

// NAODialect is NAO's wire format.
type NAODialect struct {
	JWTTTL        time.Duration `yaml:"jwt_ttl" default:"24h" min:"1m" max:"720h" doc:"How long a token is good."`
	ShowAuthToken bool          `yaml:"show_auth_token" default:"true" doc:"Whether a user may see the personal API key after signing in with all required factors."`
	CORS          *NAOCORS      `yaml:"cors" doc:"Which pages in browsers may call the sessions endpoint and me. Absent: none."`
}

// NAOCORS is the cross-origin policy of NAO's own endpoints.
type NAOCORS struct {
	Origins []string      `yaml:"origins,required,single" example:"https://app.example.com" doc:"Exact origins of the pages. They may send Authorization, and no cookie."`
	MaxAge  time.Duration `yaml:"max_age" default:"0s" max:"24h" doc:"How long a browser may remember the answer."`
}

// Login says how people sign in.
type Login struct {
	Issuer      string         `yaml:"issuer" default:"Keystile" doc:"What authenticator apps and passkey dialogs call this server."`
	SessionLife time.Duration  `yaml:"session_life" default:"720h" min:"1m" max:"8760h" doc:"How long a session lasts at most, however often its tokens are refreshed."`
	MFA         string         `yaml:"mfa" default:"optional" enum:"required optional off" doc:"Whether a second factor is asked for, where neither user, role nor organization says: required (enrolled at sign-in if there is none), optional (where one is enrolled) or off."`
	Password    PasswordPolicy `yaml:"password" doc:"Which new passwords are good enough. Common ones never are."`
	HashMemory  yamlfile.Size  `yaml:"hash_memory" default:"128MiB" min:"32MiB" max:"16GiB" doc:"Memory that all passwords being hashed at one time may take; each takes 19 MiB. Who would wait more than 2 s for a turn is answered 503."`
	RateExempt  []netip.Prefix `yaml:"rate_exempt" default:"" example:"203.0.113.0/28" doc:"Networks of known proxies that many people sign in through: failures are not counted by their address, but still by account and network. Default: none."`
}

// PasswordPolicy says which new passwords are good enough.
type PasswordPolicy struct {
	MinLength  int `yaml:"min_length" default:"8" min:"8" max:"128" doc:"Shortest password, in bytes."`
	MinGuesses int `yaml:"min_guesses" default:"8" min:"6" max:"20" doc:"How many guesses a password must withstand by an estimate that knows common words and patterns, as a power of ten."`
}

// Mail is the mail server.
type Mail struct {
	Server       string          `yaml:"server" default:"" example:"smtp.example.com:587" doc:"Address of the mail server, as host:port. Empty: no mail is sent."`
	Security     string          `yaml:"security" default:"starttls" enum:"starttls tls none" doc:"starttls: TLS after connecting, or nothing is sent. tls: from the first byte (port 465). none: in clear, for a server on this machine."`
	From         string          `yaml:"from" default:"" example:"Keystile <no-reply@example.com>" doc:"Sender of the mail."`
	Username     string          `yaml:"username" default:"" doc:"Name to authenticate with. Empty: without."`
	Password     keystile.Secret `yaml:"password" doc:"Password to authenticate with."`
	PasswordFile string          `yaml:"password_file" default:"" doc:"A file that holds the password."`
}

// ForwardAuth configures /forward-auth.
type ForwardAuth struct {
	Headers    string `yaml:"headers" default:"x-forwarded" enum:"x-forwarded x-original" doc:"The one family of headers that the original request is read from: x-forwarded (Traefik, Caddy, HAProxy) or x-original (nginx auth_request). A request that carries the other one is refused."`
	ClientCert bool   `yaml:"client_cert" default:"false" doc:"Whether the proxy passes the certificate that its caller proved to hold in Client-Cert (RFC 9440), and takes every Client-Cert of callers away. Otherwise access tokens that are bound to a certificate are refused here: nobody can tell whose it is."`
}

// Limits bound memory, time and work.
type Limits struct {
	WarmCredentials int           `yaml:"warm_credentials" default:"262144" min:"1024" max:"100000000" doc:"Verified credentials kept in memory, about 600 bytes each."`
	WarmRefusals    int           `yaml:"warm_refusals" default:"65536" min:"1024" max:"10000000" doc:"Unknown credentials remembered for a second, about 180 bytes each."`
	Lookups         int           `yaml:"lookups" default:"2" min:"1" max:"64" doc:"Look-ups of credentials not in memory that may be at the store at once. Addresses take turns, so a flood of unknown keys from one delays nobody else."`
	LookupBatch     int           `yaml:"lookup_batch" default:"64" min:"1" max:"1000" doc:"Credentials that one look-up asks for."`
	CounterMemory   yamlfile.Size `yaml:"counter_memory" default:"256MiB" min:"1MiB" doc:"Memory that rate limit counters may take on one server. Full of counts that still matter, requests that need a new one are refused."`
	MaxBody         yamlfile.Size `yaml:"max_body" default:"10MiB" doc:"Largest request body that the gateway forwards, for routes that name none."`
	UpstreamTimeout time.Duration `yaml:"upstream_timeout" default:"30s" min:"1ms" doc:"How long an upstream may take to take the request and begin its answer, for routes that name none."`
	ClientTimeout   time.Duration `yaml:"client_timeout" default:"60s" min:"1s" doc:"How long a client may be silent while its body is awaited."`
}

// Audit says how the audit log is sealed and how long it is kept.
type Audit struct {
	SealEvery      time.Duration `yaml:"seal_every" default:"5m" min:"1s" max:"24h" doc:"How often a signed checkpoint is made of each chain that has grown. What no checkpoint vouches for yet can still be rewritten by whoever writes to the store."`
	CheckpointFile string        `yaml:"checkpoint_file" default:"" example:"/var/log/keystile/checkpoints.jsonl" doc:"A file that checkpoints are added to, one JSON object a line, best on another machine's disk. Empty: they are in the log alone, as audit checkpoint."`
	KeepChanges    time.Duration `yaml:"keep_changes" default:"0s" max:"876000h" doc:"How long events of changes are kept. 0s: for ever."`
	KeepDecisions  time.Duration `yaml:"keep_decisions" default:"2160h" max:"876000h" doc:"How long recorded decisions are kept. 0s: for ever."`
}

// Log configures the log.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug info warn error" doc:"The least severe entries written."`
	Format string `yaml:"format" default:"json" enum:"json text" doc:"json: one object a line. text: key=value, for people."`
}

// Host is the host of URL without its port; empty if there is none.
func (m *MTLS) Host() string {
	u, err := url.Parse(m.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// PublicHost is the host of public_url without its port; empty if there is none.
func (c *Config) PublicHost() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Problem makes a problem about an option, such as "master_key" or
// "routes[2].upstream", that stands where the option got its value: for what
// only other packages can check.
func (c *Config) Problem(path, remedy, problem string) yamlfile.Problem {
	file, line := c.where(path)
	return yamlfile.Problem{File: file, Line: line, Field: path, Problem: problem, Remedy: remedy}
}

// RouteProblem is a problem of a field of the route that has that Source, placed where
// the field stands. ok is false if several routes have the Source, as those of a
// variable or a flag.
func (c *Config) RouteProblem(source, field, remedy, problem string) (p yamlfile.Problem, ok bool) {
	for i := range c.RouteEntries {
		path := fmt.Sprintf("routes[%d]", i)
		if c.source(path) != source {
			continue
		}
		if ok {
			return yamlfile.Problem{}, false
		}
		p, ok = c.Problem(path+"."+field, remedy, problem), true
	}
	return p, ok
}

// source is where an option has its value from, as Route.Source says it.
func (c *Config) source(path string) string {
	file, line := c.where(path)
	if line > 0 {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return file
}

// where says which file and line, variable or flag an option has its value from.
func (c *Config) where(path string) (file string, line int) {
	for end := len(path); end > 0; end-- {
		if end < len(path) && path[end] != '.' && path[end] != '[' {
			continue
		}
		if name, ok := c.overridden[path[:end]]; ok {
			return name, 0
		}
	}
	if c.file == "" {
		return "configuration", 0
	}
	return c.file, max(c.positions.Line(path), 1)
}
