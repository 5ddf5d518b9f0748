package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"keystile.dev/keystile/sdk/go/sign"
)

// oneTimePolicy takes one-time requests; the ledger is the durable journal.
const oneTimePolicy = `public_url: http://auth.example.com
store: sqlite:%[1]s/keystile.db
master_key: file:%[1]s/master.key
trusted_proxies: [127.0.0.1/32]
routes:
  - match:    {host: api.example.com, path: /finapi/**, methods: [GET]}
    upstream: http://127.0.0.1:9
    accept:   [onetime]
    scopes:   [finapi:use]
`

// oneTimeSigned is how many requests are signed before the measurement: each is
// good once and for a minute.
const oneTimeSigned = 300_000

// oneTime compares forward-auth on HS256 one-time requests, each with a nonce of
// its own that is fsynced before the answer, with a bare handler.
func (b *bench) oneTime(ctx context.Context) error {
	w := &world{dir: filepath.Join(b.dir, "onetime")}
	if _, err := b.keystile(ctx, "init", w.dir); err != nil {
		return err
	}
	if err := os.WriteFile(w.config(), fmt.Appendf(nil, oneTimePolicy, w.dir), 0o600); err != nil {
		return err
	}
	if _, err := b.keystile(ctx, "org", "create", "--id", "bank", "--config", w.config()); err != nil {
		return err
	}
	raw, err := b.keystile(ctx, "signing-key", "create", "--organization", "bank", "--algorithm", "HS256", "--scope", "finapi:*", "-o", "json", "--config", w.config())
	if err != nil {
		return err
	}
	var key struct {
		APIKey string `json:"api_key"`
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(raw, &key); err != nil {
		return fmt.Errorf("the signing key: %w", err)
	}
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	b.note("signing %d requests", oneTimeSigned)
	all, err := signedQuestions("bank", key.APIKey, key.Secret, oneTimeSigned)
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
	b.note("comparing one-time requests with a bare handler")
	err = b.compare(ctx, 2, subject{name: "bare handler", server: bare, requests: all},
		subject{name: "forward-auth, one-time HS256, journal", server: server, requests: all[1:], spent: new(atomic.Int64)})
	return errors.Join(err, b.stopAll())
}

// signedQuestions are requests to /forward-auth, each signed anew.
func signedQuestions(organization, apiKey, secret string, n int) (requests, error) {
	signer, err := sign.NewHMAC(organization, apiKey, secret)
	if err != nil {
		return nil, err
	}
	all := make(requests, n)
	for i := range all {
		header, err := signer.Header(sign.Stamp{})
		if err != nil {
			return nil, err
		}
		all[i] = fmt.Appendf(nil, "GET /forward-auth HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAuthorization: %s\r\n"+
			"X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n"+
			"X-Forwarded-Uri: /finapi/profiles/owner\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n", header)
	}
	return all, nil
}
