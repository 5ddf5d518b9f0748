package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/webhook"
)

func newDemoKey() (string, error) {
	secret, err := apikey.Generate(randomSource, keystile.DefaultKeyPrefix, keystile.Production)
	return secret.Reveal(), err
}

// newDemoText is 144 random bits in hex, which reads the same in YAML, JSON and a
// shell: a password, a personal API key.
func newDemoText() (string, error) {
	raw := make([]byte, 18)
	if _, err := io.ReadFull(randomSource, raw); err != nil {
		return "", fmt.Errorf("draw the demo's secrets: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

// newDemoCredential is 256 random bits in hex: a client_id or client_secret as NAO's
// partners know them.
func newDemoCredential() (string, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(randomSource, raw); err != nil {
		return "", fmt.Errorf("draw the demo's secrets: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

func newDemoApplicationKey() (string, error) {
	secret, err := partner.Generate(randomSource, partner.ApplicationKey, keystile.Sandbox)
	return secret.Reveal(), err
}

func newDemoTOTP() (string, error) {
	secret, err := totp.NewSecret(randomSource)
	return base32.StdEncoding.EncodeToString(secret), err
}

func newDemoHookSecret() (string, error) {
	secret, err := webhook.NewSecret(randomSource)
	return secret.Reveal(), err
}

// newDemoCertificate is a certificate of this machine for the demo's webhook receiver,
// and what trusts it. Neither outlives the process.
func newDemoCertificate(now time.Time) (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), randomSource)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("draw the demo's certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(randomSource, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make the demo's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make the demo's certificate: %w", err)
	}
	trust := x509.NewCertPool()
	trust.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}, trust, nil
}

// demoViewer is the id of the embedded application that the demo runs itself.
const demoViewer = "6d1f2a3b-0d0a-4c36-9a3c-2f4f5e6a7b8c"

// demoPlanner is the id of the application whose users sign in with Keystile.
const demoPlanner = "7e2f3a4b-0d0a-4c36-9a3c-2f4f5e6a7b8c"

// demoConfig is the demo's configuration, with its address and upstreams in braces.
const demoConfig = `# Written by keystile demo at every start.
listen: {listen}
store: sqlite:keystile.db
master_key: file:master.key
log: {level: warn, format: text}
routes:
  - match:    {path: /prod/telemetry/**, methods: [GET]}
    upstream: {solar}
    strip_prefix: /prod
    accept:   [api_key, session_jwt]
    resource: {type: site, id: query.site_id}
    scopes:   [telemetry:read]
    limit:    {rate: 60/1m, per: credential}
    errors:   ona
  - match:    {path: /telemetry/**, methods: [GET]}
    upstream: {solar}
    accept:   [api_key, session_jwt]
    resource: {type: site, id: query.site_id}
    scopes:   [telemetry:read]
    limit:    {rate: 60/1m, per: credential}
    errors:   ona
  - match:    {path: /finapi/**}
    upstream: {bank}
    accept:   [onetime]
    scopes:   [finapi:use]
    errors:   ownera
  - match:    {path: /api/v2/sites/**, methods: [GET]}
    upstream: {tracking}
    accept:   [api_key, session_jwt, oauth_token]
    scopes:   [sites:read]
    errors:   nao
  - match:    {path: /mcp, methods: [POST]}
    upstream: {tools}
    accept:   [oauth_token]
    scopes:   [sites:read]
  - match:    {path: /tenants/*/designs, methods: [GET]}
    upstream: {roofs}
    accept:   [partner]
    resource: {type: tenant, id: path.1}
    not_permitted_status: 404
    scopes:   [designs:read]
    errors:   aurora
`

// demoWorld is the demo's state, with its secrets in braces.
const demoWorld = `organizations:
  - {id: sibaya-power, name: Sibaya Power, environment: production}
  - {id: north-coast-solar, name: North Coast Solar, environment: production}
  - {id: bank-x, name: Bank X, environment: production}
  - {id: nao-corp, name: NAO Corp, environment: production}
  - {id: sunny-homes, name: Sunny Homes, environment: sandbox, tenant_id: 0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01}
  - {id: roof-tools-inc, name: Roof Tools Inc, environment: sandbox}
  - {id: platform, name: The platform, environment: sandbox}
sites:
  - {id: Sibaya, organization: sibaya-power, name: Sibaya}
  - {id: Umhlanga, organization: north-coast-solar, name: Umhlanga}
  - {id: Ballito, organization: north-coast-solar, name: Ballito}
roles:
  - {id: role_analyst, name: Analyst, scopes: ["telemetry:read"]}
  - {id: role_site_admin, name: Site admin, scopes: ["sites:*"]}
users:
  - {username: user@example.com, password: {password}, organization: sibaya-power, role_id: role_analyst, customer_ids: [cust-1], group_id: grp-1, skin_id: skin-1}
  - {username: mfa@example.com, password: {password}, organization: sibaya-power, role_id: role_analyst, customer_ids: [cust-1], totp_secret: {totp}}
  - {username: new@example.com, password: {password}, organization: sibaya-power, role_id: role_analyst, mfa: required}
  - {username: tracker@example.com, password: {tracker}, organization: nao-corp, role_id: role_site_admin, auth_token: {auth_token}}
  - {username: homes@example.com, password: {password}, organization: sunny-homes, admin_role: org_admin}
  - {username: roofs@example.com, password: {password}, organization: roof-tools-inc, admin_role: org_developer}
  - {username: reviewer@example.com, password: {password}, organization: platform, admin_role: platform_reviewer}
api_keys:
  - {id: key_sibaya, name: Sibaya dashboards, secret: {key}, organization: sibaya-power, permitted_site_ids: [Sibaya], scopes: ["telemetry:read"]}
  - {id: key_busy, name: Busy batch job, secret: {busy}, organization: sibaya-power, permitted_site_ids: [Sibaya], scopes: ["telemetry:read"]}
  - {id: key_expired, name: Last year, secret: {expired}, organization: sibaya-power, permitted_site_ids: [Sibaya], scopes: ["telemetry:read"], expires_at: 2025-12-31T00:00:00Z}
applications:
  - {id: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c, name: Roof Tools, kind: backend, environment: sandbox, organization: roof-tools-inc, permissions: ["designs:read", "proposals:read"], review: approved, application_keys: [{secret: {roof_key}}], webhooks: [{id: 7d3e1c52-5a8a-4b8e-9a55-0b9d1a520001, event: app_status_changed, form: signed_post, url_template: "{hooks}/webhooks", secret: {hook_secret}}]}
  - {id: ` + demoViewer + `, name: Roof Viewer, description: "Shows your designs", kind: embedded, environment: sandbox, organization: roof-tools-inc, permissions: ["designs:read"], launch_url: "{viewer}/embed", review: approved, application_keys: [{secret: {viewer_key}}]}
  - id: ` + demoPlanner + `
    name: Site Planner
    kind: backend
    environment: production
    organization: nao-corp
    review: approved
    oauth: {client_id: {client_id}, client_secret: {client_secret}, redirect_uris: ["{planner}/callback"], grant_types: [authorization_code, refresh_token, client_credentials], scopes: ["openid", "profile", "email", "sites:read"]}
authorizations:
  - {application: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c, tenant: sunny-homes, permissions: ["designs:read"]}
  - {application: ` + demoViewer + `, tenant: sunny-homes, permissions: ["designs:read"]}
signing_keys:
  - {organization: bank-x, api_key: bank-x-payments, algorithm: HS256, secret: {bank}, scopes: ["finapi:*"]}
`

// demoCommands is what the demo prints.
const demoCommands = `
Keystile runs at {url}. Every line that begins with $ works when pasted.

# Records of one inverter, through the gateway, with an API key scoped to site Sibaya:
$ curl -H "x-api-key: {key}" "{url}/prod/telemetry/inverter?asset_id=INV-1000000054495190&site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"

# 401: no key, a wrong key, an expired key
$ curl -i "{url}/prod/telemetry/inverter?asset_id=INV-1000000054495190&site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"
$ curl -i -H "x-api-key: opa_prod_wrong" "{url}/prod/telemetry/site?site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"
$ curl -i -H "x-api-key: {expired}" "{url}/prod/telemetry/site?site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"

# 403: a site the key is not permitted
$ curl -i -H "x-api-key: {key}" "{url}/prod/telemetry/site?site_id=Umhlanga&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"

# 429: the 61st request within a minute
$ for i in $(seq 61); do curl -s -w ' %{http_code}\n' -H "x-api-key: {busy}" "{url}/prod/telemetry/data-period?site_id=Sibaya"; done | tail -n 2

# A person signs in to Ona's API, reads who they are, uses the token at the telemetry API, and takes a new one:
$ curl -s -d '{"username":"user@example.com","password":"{password}"}' {url}/api/auth/login
$ T=$(curl -s -d '{"username":"user@example.com","password":"{password}"}' {url}/api/auth/login | sed 's/.*"token":"\([^"]*\)".*/\1/'); curl -s -H "Authorization: Bearer $T" {url}/api/auth/me; echo; curl -s -H "Authorization: Bearer $T" "{url}/prod/telemetry/data-period?site_id=Sibaya"; curl -s -X POST -H "Authorization: Bearer $T" {url}/api/auth/refresh

# After a logout the token is refused at once, although it says that it is good for a day:
$ T=$(curl -s -d '{"username":"user@example.com","password":"{password}"}' {url}/api/auth/login | sed 's/.*"token":"\([^"]*\)".*/\1/'); curl -s -X POST -H "Authorization: Bearer $T" {url}/api/auth/logout; curl -i -H "Authorization: Bearer $T" "{url}/prod/telemetry/data-period?site_id=Sibaya"

# A person with a second factor. An authenticator app shows the code; here keystile does. Each code is good once: wait 30 s before the next:
$ M=$(curl -s -d '{"username":"mfa@example.com","password":"{password}"}' {url}/api/auth/login | sed 's/.*"mfa_token":"\([^"]*\)".*/\1/'); curl -s -d '{"mfa_token":"'$M'","totp_code":"'$({keystile} token totp --secret {totp})'"}' {url}/api/auth/verify-mfa

# A person who has to enrol a factor gets its URI (otpauth://) with the challenge:
$ curl -s -d '{"username":"new@example.com","password":"{password}"}' {url}/api/auth/login

# The same over AWS Lambda Invoke, which the platform's Python SDK speaks (AWS_ENDPOINT_URL_LAMBDA={url}):
$ curl -s -d '{"httpMethod":"POST","path":"/api/auth/login","body":"{\"username\":\"user@example.com\",\"password\":\"{password}\"}"}' {url}/2015-03-31/functions/ona-user-auth-prod/invocations

# What a key may do, asked with the key itself:
$ curl -s -d '{"api_key":"{key}","site_id":"Sibaya"}' {url}/api/auth/validate-api-key

# NAO: a session by password shows the personal API key and a JWT; either opens the API, without a scheme word:
$ curl -s -d '{"session":{"email":"tracker@example.com","password":"{tracker}"}}' {url}/api/v2/sessions
$ curl -s -H "Authorization: {auth_token}" {url}/api/v2/sites
$ J=$(curl -s -X POST -H "Authorization: {auth_token}" {url}/api/v2/sessions | sed 's/.*"jwt":"\([^"]*\)".*/\1/'); curl -s -H "Authorization: $J" {url}/api/v2/sites/101; curl -s -H "Authorization: $J" {url}/api/v2/me; curl -s -X DELETE -H "Authorization: $J" {url}/api/v2/sessions; curl -i -H "Authorization: $J" {url}/api/v2/sites

# OAuth 2.0: a program with client credentials of 64 hexadecimal digits gets a token of its own and calls the API:
$ T=$(curl -s -u {client_id}:{client_secret} -d grant_type=client_credentials -d scope=sites:read {url}/oauth/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/'); curl -s -H "Authorization: Bearer $T" {url}/api/v2/sites

# Sign in with Keystile: Site Planner, a website, is at {planner} for your browser: sign in as tracker@example.com with the password {tracker}, and allow it.

# The same without a browser: sign-in, consent, code, token, who it is, the API, and what the token is:
$ J=$(mktemp); A='response_type=code&client_id={client_id}&redirect_uri={planner}/callback&scope=openid%20sites:read&state=xyz&prompt=consent'; curl -s -o /dev/null -c $J -d 'username=tracker@example.com' -d 'password={tracker}' {url}/login; F=$(curl -s -b $J "{url}/oauth/authorize?$A" | sed -n 's/.*name="token" value="\([^"]*\)".*/\1/p' | tail -n 1); C=$(curl -s -b $J -o /dev/null -w '%{redirect_url}' --data-urlencode "token=$F" --data-urlencode "request=$A" -d decision=allow {url}/oauth/consent | sed 's/.*[?&]code=\([^&]*\).*/\1/'); rm $J; T=$(curl -s -u {client_id}:{client_secret} -d grant_type=authorization_code -d code=$C -d redirect_uri={planner}/callback {url}/oauth/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/'); curl -s -H "Authorization: Bearer $T" {url}/api/v2/me; curl -s -H "Authorization: Bearer $T" {url}/api/v2/sites; curl -s -u {client_id}:{client_secret} -d token=$T {url}/oauth/introspect

# An MCP server stands behind the gateway at {url}/mcp. An MCP client that is given that URL finds out where to sign in, registers itself and asks tracker@example.com in the browser. What it reads first:
$ curl -s -i -d '{"jsonrpc":"2.0","id":1,"method":"ping"}' {url}/mcp; curl -s {url}/.well-known/oauth-protected-resource/mcp; curl -s {url}/.well-known/oauth-authorization-server

# Aurora: a partner's application exchanges its key for a temporary key in a tenant that authorised it:
$ curl -s -X POST -H "Authorization: Bearer {roof_key}" {url}/partner_applications/5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c/tenants/0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01/create_token

# The temporary key reads that tenant's designs; any other tenant's do not exist for it:
$ K=$(curl -s -X POST -H "Authorization: Bearer {roof_key}" {url}/partner_applications/5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c/tenants/0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01/create_token | sed 's/.*"bearer_token":"\([^"]*\)".*/\1/'); curl -s -H "Authorization: Bearer $K" {url}/tenants/0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01/designs; curl -i -H "Authorization: Bearer $K" {url}/tenants/0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a02/designs

# An embedded application, Roof Viewer, opens in a browser: sign in as homes@example.com with the password {password}, choose Applications, Open. The same without a browser:
$ J=$(mktemp); curl -s -o /dev/null -c $J -d 'username=homes@example.com' -d 'password={password}' {url}/login; curl -sL -b $J -c $J -H 'Origin: {url}' -d '' {url}/v1/organizations/sunny-homes/applications/` + demoViewer + `/launch; rm $J

# The partner's server is told when a tenant withdraws its yes, and when it gives it again. Its receiver shows what came signed and verified:
$ {keystile} app withdraw 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --tenant sunny-homes --yes --config {config}; curl -s "{received}/received?until=disabled"
$ {keystile} app authorize 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --tenant sunny-homes --permission designs:read --config {config}; curl -s "{received}/received?until=enabled"

# The pages of the three people of a partner application are at {url}/admin, all with that password: homes@example.com (the tenant's administrator), roofs@example.com (the partner), reviewer@example.com (the platform's reviewer).

# A bank signs each request with a one-time token. The first of the same header is answered, the second is refused:
$ curl -H "$({keystile} sign --config {config} --key bank-x-payments)" {url}/finapi/profiles/owner
$ H=$({keystile} sign --config {config} --key bank-x-payments); for i in 1 2; do curl -s -w ' %{http_code}\n' -H "$H" {url}/finapi/profiles/owner; done

# The same with an HTTP message signature (RFC 9421), which covers method, URL and body too:
$ {keystile} sign --config {config} --key bank-x-payments --form http-signature -X POST -d '{"asset":"EUR","amount":"10.50"}' {url}/finapi/payments/deposit > {data}/fields; for i in 1 2; do curl -s -w ' %{http_code}\n' -H @{data}/fields -d '{"asset":"EUR","amount":"10.50"}' {url}/finapi/payments/deposit; done

# Why would a request be refused? Step by step:
$ {keystile} explain --config {config} -H "x-api-key: {key}" "{url}/prod/telemetry/site?site_id=Umhlanga"

# A key of your own, listed and revoked; the server sees it within a second:
$ {keystile} key create --config {config} --organization sibaya-power --site Sibaya --scope telemetry:read --name mine
$ {keystile} key list --config {config}

{admin}

Ctrl-C ends the demo.
`
