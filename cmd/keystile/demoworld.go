package main

import (
	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
)

func newDemoKey() (string, error) {
	secret, err := apikey.Generate(randomSource, keystile.DefaultKeyPrefix, keystile.Production)
	return secret.Reveal(), err
}

// demoConfig is the demo's configuration: listen address, telemetry upstream twice,
// financial upstream.
const demoConfig = `# Written by keystile demo at every start.
listen: %s
store: sqlite:keystile.db
master_key: file:master.key
log: {level: warn, format: text}
routes:
  - match:    {path: /prod/telemetry/**, methods: [GET]}
    upstream: %s
    strip_prefix: /prod
    accept:   [api_key]
    resource: {type: site, id: query.site_id}
    scopes:   [telemetry:read]
    limit:    {rate: 60/1m, per: credential}
    errors:   ona
  - match:    {path: /telemetry/**, methods: [GET]}
    upstream: %s
    accept:   [api_key]
    resource: {type: site, id: query.site_id}
    scopes:   [telemetry:read]
    limit:    {rate: 60/1m, per: credential}
    errors:   ona
  - match:    {path: /finapi/**}
    upstream: %s
    accept:   [onetime]
    scopes:   [finapi:use]
    errors:   ownera
`

// demoWorld is the demo's state: the secrets of its keys, the bank's last.
const demoWorld = `organizations:
  - {id: sibaya-power, name: Sibaya Power, environment: production}
  - {id: north-coast-solar, name: North Coast Solar, environment: production}
  - {id: bank-x, name: Bank X, environment: production}
sites:
  - {id: Sibaya, organization: sibaya-power, name: Sibaya}
  - {id: Umhlanga, organization: north-coast-solar, name: Umhlanga}
  - {id: Ballito, organization: north-coast-solar, name: Ballito}
roles:
  - {id: role_analyst, scopes: ["telemetry:read"]}
api_keys:
  - {id: key_sibaya, name: Sibaya dashboards, secret: %s, organization: sibaya-power, permitted_site_ids: [Sibaya], scopes: ["telemetry:read"]}
  - {id: key_busy, name: Busy batch job, secret: %s, organization: sibaya-power, permitted_site_ids: [Sibaya], scopes: ["telemetry:read"]}
  - {id: key_expired, name: Last year, secret: %s, organization: sibaya-power, permitted_site_ids: [Sibaya], scopes: ["telemetry:read"], expires_at: 2025-12-31T00:00:00Z}
signing_keys:
  - {organization: bank-x, api_key: bank-x-payments, algorithm: HS256, secret: %s, scopes: ["finapi:*"]}
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
