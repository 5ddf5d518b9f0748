package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"keystile.dev/keystile/test/people"
)

// sessionPolicy asks of a session token what the other policy asks of a key.
const sessionPolicy = `public_url: http://auth.example.com
store: sqlite:%[1]s/keystile.db
master_key: file:%[1]s/master.key
trusted_proxies: [127.0.0.1/32]
limits: {warm_credentials: 1000000}
routes:
  - match:    {host: api.example.com, path: /telemetry/**, methods: [GET]}
    upstream: http://127.0.0.1:9
    accept:   [session_jwt]
    resource: {type: site, id: query.site_id}
    scopes:   [telemetry:read]
    limit:    {rate: %[2]d/1m, per: credential}
`

const sessionTenants = tenants + `roles: [{id: role_analyst, scopes: ["telemetry:read"]}]
`

// sessions compares forward-auth on remembered session tokens, Ona's and standard
// ones, with a bare handler that receives the same bytes.
func (b *bench) sessions(ctx context.Context) error {
	for _, form := range []string{"HS256", "EdDSA"} {
		if err := b.sessionTokens(ctx, form); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sessionTokens(ctx context.Context, form string) error {
	w := &world{dir: filepath.Join(b.dir, "sessions-"+form)}
	if _, err := b.keystile(ctx, "init", w.dir); err != nil {
		return err
	}
	if err := os.WriteFile(w.config(), fmt.Appendf(nil, sessionPolicy, w.dir, b.quota()), 0o600); err != nil {
		return err
	}
	state := filepath.Join(w.dir, "world.yaml")
	if err := os.WriteFile(state, []byte(sessionTenants), 0o600); err != nil {
		return err
	}
	if _, err := b.keystile(ctx, "apply", "-f", state, "--config", w.config()); err != nil {
		return err
	}
	b.note("signing %d people in (%s)", b.keys, form)
	all, err := b.tokenQuestions(ctx, w, form)
	if err != nil {
		return err
	}
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	fields, err := once(server.address, all[0])
	if err != nil {
		return err
	}
	answer, err := copyable(fields)
	if err != nil {
		return err
	}
	bare, err := b.role(ctx, roleBare, answer)
	if err != nil {
		return err
	}
	if err := errors.Join(b.warm(ctx, server, all), b.settle(ctx, server)); err != nil {
		return err
	}
	b.note("comparing remembered session tokens with a bare handler")
	err = b.compare(ctx, 1.75, subject{name: "bare handler", server: bare, requests: all},
		subject{name: "forward-auth, remembered session JWT " + form, server: server, requests: all})
	return errors.Join(err, b.stopAll())
}

// tokenQuestions are requests to /forward-auth, each with another person's token.
func (b *bench) tokenQuestions(ctx context.Context, w *world, form string) (all requests, err error) {
	issuer, err := people.Open(ctx, "sqlite:"+w.dir+"/keystile.db", "file:"+w.dir+"/master.key", "http://auth.example.com")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, issuer.Close()) }()
	signedIn, err := issuer.SignIn(ctx, "load", "role_analyst", b.keys)
	if err != nil {
		return nil, err
	}
	for _, p := range signedIn {
		mint := issuer.Ona
		if form != "HS256" {
			mint = issuer.Standard
		}
		token, err := mint(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, fmt.Appendf(nil, "GET /forward-auth HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAuthorization: Bearer %s\r\n"+
			"X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n"+
			"X-Forwarded-Uri: %s\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n", token, target))
	}
	return all, nil
}
