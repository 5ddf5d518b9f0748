package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	keystile "keystile.dev/keystile"
)

// world is a keystile with a store of its own.
type world struct {
	dir string
	// binary is the server to start on it; empty: the one under measurement.
	binary string
	// store is its URL; empty: an SQLite file in dir.
	store string
}

func (w *world) config() string { return filepath.Join(w.dir, "keystile.yaml") }

// The policy under measurement: a site from the query, a scope, an exact window.
const policy = `public_url: http://auth.example.com
store: sqlite:%[1]s/keystile.db
master_key: file:%[1]s/master.key
trusted_proxies: [127.0.0.1/32]
limits: {warm_credentials: 1000000}
routes:
  - match:    {host: api.example.com, path: /telemetry/**, methods: [GET]}
    upstream: http://%[2]s
    accept:   [api_key]
    resource: {type: site, id: query.site_id}
    scopes:   [telemetry:read]
    limit:    {rate: %[3]d/1m, per: credential}
`

// quota is how often a key may be used in a minute so that nothing is refused
// while every request is counted: a million requests a second over all keys,
// within what an exact window takes.
func (b *bench) quota() int { return min(max(60_000_000/b.keys, 60), keystile.MaxWindowRequests) }

const tenants = `organizations: [{id: load, name: Load, environment: production}]
sites:         [{id: site-0, organization: load}]
`

const target = "/telemetry/inverter?site_id=site-0&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"

// newWorld makes a store with one organisation and one site.
func (b *bench) newWorld(ctx context.Context, name, upstream string) (*world, error) {
	w := &world{dir: filepath.Join(b.dir, name)}
	return w, b.makeWorld(ctx, w, upstream)
}

// makeWorld makes the world that w names.
func (b *bench) makeWorld(ctx context.Context, w *world, upstream string) error {
	if _, err := b.keystile(ctx, "init", w.dir); err != nil {
		return err
	}
	text := fmt.Sprintf(policy, w.dir, upstream, b.quota())
	if w.store != "" {
		text = strings.Replace(text, "store: sqlite:"+w.dir+"/keystile.db", "store: "+w.store, 1)
	}
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		return err
	}
	world := filepath.Join(w.dir, "world.yaml")
	if err := os.WriteFile(world, []byte(tenants), 0o600); err != nil {
		return err
	}
	_, err := b.keystile(ctx, "apply", "-f", world, "--config", w.config())
	return err
}

// serve starts the server on a world and waits until it is ready.
func (b *bench) serve(ctx context.Context, w *world) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := b.start(ctx, command{
		name: "keystile", cpus: measuredCPU, address: address, env: []string{"KEYSTILE_LISTEN=" + address},
		argv: []string{cmp.Or(w.binary, b.binary), "serve", "--config", w.config()},
	})
	if err != nil {
		return nil, err
	}
	return p, p.ready(ctx)
}

// keyset is a set of API keys that need not be kept in memory.
type keyset struct {
	name string
	n    int
}

// secret of key i, in the shape of a key that another system made. They are not
// random: the digests of them, which is what is stored and looked up, are, and so
// is how they begin, which is what they are recognised by.
func (k keyset) secret(i int) string {
	return fmt.Sprintf("%s-%s-%012d-abcdefghijklmnop", head(i), k.name, i)
}

// head is four of 61 characters, spread as those of random secrets are: of ten
// million keys most have a head of their own, or share it with another. With an e
// some would begin as JSON in base64 does, and be refused.
func head(i int) string {
	const characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdfghijklmnopqrstuvwxyz"
	x := uint64(i+1) * 0x9E3779B97F4A7C15 //nolint:gosec // G115: i is not negative; 2^64 by the golden ratio: neighbours end up far apart
	x ^= x >> 31
	text := make([]byte, 4)
	for at := range text {
		text[at] = characters[x%61]
		x /= 61
	}
	return string(text)
}

// importKeys puts a set of keys into a world, as JSON Lines.
func (b *bench) importKeys(ctx context.Context, w *world, keys keyset) error {
	file := filepath.Join(w.dir, "keys.jsonl")
	if err := writeKeys(file, keys); err != nil {
		return err
	}
	_, err := b.keystile(ctx, "key", "import", file, "--config", w.config())
	return errors.Join(err, os.Remove(file))
}

func writeKeys(name string, keys keyset) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // a name of this program's own
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	for i := range keys.n {
		if _, err := fmt.Fprintf(out, `{"id":"%s-%d","secret":"%s","organization":"load","permitted_site_ids":["site-0"],"scopes":["telemetry:read"]}`+"\n",
			keys.name, i, keys.secret(i)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// question is what a proxy asks /forward-auth.
func question(secret string) []byte {
	return fmt.Appendf(nil, "GET /forward-auth HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nX-Api-Key: %s\r\n"+
		"X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n"+
		"X-Forwarded-Uri: %s\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n", secret, target)
}

// call is what a caller asks the gateway.
func call(secret string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load\r\nAccept: */*\r\nX-Api-Key: %s\r\n\r\n", target, secret)
}

// each makes a request for each key of a set.
func (k keyset) each(request func(secret string) []byte) requests {
	all := make(requests, 0, k.n)
	for i := range k.n {
		all = append(all, request(k.secret(i)))
	}
	return all
}
