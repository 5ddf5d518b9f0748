package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"keystile.dev/keystile/client"
)

// createsASecond is the rate that creating a key is measured at.
const createsASecond = 200

// postgresVariable names a PostgreSQL server to measure on, too, as test/engines.sh sets it.
const postgresVariable = "KEYSTILE_TEST_POSTGRES"

// manages is a client of a running server, with connections of its own.
func (b *bench) manages(ctx context.Context, w *world, p *process) (*client.Client, error) {
	out, err := b.keystile(ctx, "admin-token", "create", "--config", w.config(), "-o", "json")
	if err != nil {
		return nil, err
	}
	var token struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(out, &token); err != nil {
		return nil, err
	}
	return client.New("http://"+p.address, token.Secret, client.WithTransport(&http.Transport{MaxIdleConnsPerHost: 256}))
}

// engines are the worlds to measure on: SQLite, and PostgreSQL where there is one.
func (b *bench) engines(ctx context.Context, name string) (map[string]*world, error) {
	worlds := map[string]*world{"SQLite": {dir: filepath.Join(b.dir, name+"-sqlite")}}
	server := os.Getenv(postgresVariable)
	if server == "" {
		b.note("%s is not set: SQLite only", postgresVariable)
		return worlds, nil
	}
	database := fmt.Sprintf("load_%s_%d", name, time.Now().UnixNano())
	out, err := exec.CommandContext(ctx, "psql", "--quiet", "--command", "CREATE DATABASE "+database, server).CombinedOutput() //nolint:gosec // a name of this program's own, and the server it was given
	if err != nil {
		return nil, fmt.Errorf("psql: %w\n%s", err, out)
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + database
	worlds["PostgreSQL"] = &world{dir: filepath.Join(b.dir, name+"-postgres"), store: u.String()}
	return worlds, nil
}

// creates measures POST /v1/keys at a fixed rate. A request that is late because
// the one before it was counts from when it was due.
func (b *bench) creates(ctx context.Context) error {
	worlds, err := b.engines(ctx, "create")
	if err != nil {
		return err
	}
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		w := worlds[engine]
		if w == nil {
			continue
		}
		if err := b.makeWorld(ctx, w, nowhere); err != nil {
			return err
		}
		server, err := b.serve(ctx, w)
		if err != nil {
			return err
		}
		m, err := b.manages(ctx, w, server)
		if err != nil {
			return err
		}
		b.note("creating keys on %s", engine)
		one := func(ctx context.Context, _ int) error {
			_, err := m.CreateKey(ctx, client.KeyCreate{Organization: "load", PermittedSiteIDs: []string{"site-0"}, Scopes: []string{"telemetry:read"}})
			return err
		}
		if _, err := paced(ctx, 2*time.Second, one); err != nil { // connections, prepared statements
			return err
		}
		before, err := server.cpu()
		if err != nil {
			return err
		}
		times, err := paced(ctx, time.Duration(b.rounds)*b.duration, one)
		if err != nil {
			return err
		}
		after, err := server.cpu()
		if err != nil {
			return err
		}
		what := fmt.Sprintf("create a key through /v1 on %s at %d/s", engine, createsASecond)
		b.report.figure(what+", median", median(times), "ms", "")
		b.report.figure(what+", p99", percentile(times, 0.99), "ms", "10")
		b.report.figure(what+", longest", slices.Max(times), "ms", "")
		b.report.figure(what+", CPU of the server each", float64(after-before)/float64(time.Microsecond)/float64(len(times)), "µs", "")
		if err := b.stopAll(); err != nil {
			return err
		}
	}
	return nil
}

// paced makes requests at createsASecond for a while, whether or not those before
// were answered, and returns how long each took from when it was due, in milliseconds.
func paced(ctx context.Context, d time.Duration, one func(context.Context, int) error) ([]float64, error) {
	n := int(d.Seconds() * createsASecond)
	times, errs := make([]float64, n), make([]error, n)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * time.Second / createsASecond)
		if err := rest(ctx, time.Until(due)); err != nil {
			return nil, err
		}
		wg.Go(func() {
			errs[i] = one(ctx, i)
			times[i] = milliseconds(time.Since(due))
		})
	}
	wg.Wait()
	return times, errors.Join(errs...)
}

// percentile is the value that a share of all values do not exceed.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// recording compares a server that records decisions with one that does not. A
// product always records: the other one is compiled in by a build tag.
func (b *bench) recording(ctx context.Context) error {
	b.note("building keystile without records of decisions")
	binary := filepath.Join(b.dir, "keystile-unrecorded")
	if err := buildKeystile(ctx, binary, "-tags", "unrecorded"); err != nil {
		return err
	}
	all := b.warmSet().each(question)
	subjects := []subject{{name: "forward-auth, no decision recorded", requests: all}, {name: "forward-auth, decisions recorded", requests: all}}
	for i, w := range []*world{
		{dir: filepath.Join(b.dir, "unrecorded"), binary: binary},
		{dir: filepath.Join(b.dir, "recorded")},
	} {
		if err := b.makeWorld(ctx, w, nowhere); err != nil {
			return err
		}
		if err := b.importKeys(ctx, w, b.warmSet()); err != nil {
			return err
		}
		server, err := b.serve(ctx, w)
		if err != nil {
			return err
		}
		if err := errors.Join(b.warm(ctx, server, all), b.settle(ctx, server)); err != nil {
			return err
		}
		subjects[i].server = server
	}
	b.note("comparing with and without records of decisions, %d warm keys", len(all))
	return errors.Join(b.compare(ctx, 1.1, subjects...), b.stopAll())
}

// holdsKeys says whether a world was kept by an earlier run.
func holdsKeys(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "complete"))
	return err == nil
}

// hugeWorld is a store of many keys, kept in -store if that is set.
func (b *bench) hugeWorld(ctx context.Context) (*world, error) {
	w := &world{dir: filepath.Join(b.dir, "many")}
	if b.store != "" {
		dir, err := filepath.Abs(b.store)
		if err != nil {
			return nil, err
		}
		w.dir = dir
	}
	if holdsKeys(w.dir) {
		return w, nil
	}
	if err := b.fill(ctx, w); err != nil {
		return nil, err
	}
	return w, os.WriteFile(filepath.Join(w.dir, "complete"), nil, 0o600)
}

// fill makes a world of many keys.
func (b *bench) fill(ctx context.Context, w *world) error {
	if err := b.makeWorld(ctx, w, nowhere); err != nil {
		return err
	}
	b.note("importing %d keys", b.hugeKeys)
	began := time.Now()
	if err := b.importKeys(ctx, w, keyset{"huge", b.hugeKeys}); err != nil {
		return err
	}
	b.note("%.0f keys/s", float64(b.hugeKeys)/time.Since(began).Seconds())
	return nil
}

// pages measures the lists of keys, whole and filtered, at ten million keys: on
// SQLite, and on PostgreSQL where there is one.
func (b *bench) pages(ctx context.Context) error {
	if !b.huge && b.only != "pages" {
		return nil
	}
	worlds, err := b.engines(ctx, "pages")
	if err != nil {
		return err
	}
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		w := worlds[engine]
		if w == nil {
			continue
		}
		if engine == "SQLite" {
			w, err = b.hugeWorld(ctx)
		} else {
			err = b.fill(ctx, w)
		}
		if err != nil {
			return err
		}
		if err := b.pagesOf(ctx, w, engine); err != nil {
			return fmt.Errorf("on %s: %w", engine, err)
		}
	}
	return nil
}

func (b *bench) pagesOf(ctx context.Context, w *world, engine string) error {
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	m, err := b.manages(ctx, w, server)
	if err != nil {
		return err
	}
	ends, err := different(ctx, m)
	if err != nil {
		return err
	}
	b.note("reading pages on %s", engine)
	for _, page := range []struct {
		name  string
		query client.KeyFilter
		found bool // by an index: the first page holds what there is
	}{
		{"all", client.KeyFilter{}, true},
		{"one organization's", client.KeyFilter{ListOptions: client.ListOptions{Organization: "load"}}, true},
		{"active ones", client.KeyFilter{State: "active"}, true},
		{"revoked ones, of which there are few", client.KeyFilter{State: "revoked"}, true},
		{"by how one secret begins", client.KeyFilter{Prefix: ends.Hint}, true},
		{"by four characters, one or two do", client.KeyFilter{Prefix: head(1234)}, true},
		{"by two characters, as one in 3700 does", client.KeyFilter{Prefix: head(1234)[:2]}, true},
		{"by one character, as one in 61 does", client.KeyFilter{Prefix: head(1234)[:1]}, true},
		{"by how a secret begins, none does", client.KeyFilter{Prefix: "opa_prod_V24M"}, false},
		{"active ones that end before next year, there are few", client.KeyFilter{State: "active", ExpiresBefore: time.Now().AddDate(1, 0, 0)}, true},
		{"of a user, who has none", client.KeyFilter{User: "nobody"}, false},
		{"that permit a site, each does", client.KeyFilter{Site: "site-0"}, true},
		{"that permit a site, none does", client.KeyFilter{ListOptions: client.ListOptions{Organization: "load"}, Site: "site-1"}, false},
		{"that grant a scope, none does", client.KeyFilter{Scope: "billing:read"}, false},
		{"not used for a year, none", client.KeyFilter{IdleSince: time.Now().AddDate(-1, 0, 0)}, false},
	} {
		times, err := pageTimes(ctx, m, page.query, page.found)
		if err != nil {
			return fmt.Errorf("keys %s: %w", page.name, err)
		}
		b.report.figure(fmt.Sprintf("page of keys, %s, %s, median", engine, page.name), median(times), "ms", "")
		b.report.figure("the same, p99", percentile(times, 0.99), "ms", "50")
	}
	page, err := m.KeysPage(ctx, client.KeyFilter{ListOptions: client.ListOptions{Limit: 200}})
	if err != nil {
		return err
	}
	var times []float64
	for _, key := range page.Items {
		began := time.Now()
		if _, err := m.Key(ctx, key.ID); err != nil {
			return err
		}
		times = append(times, milliseconds(time.Since(began)))
	}
	b.report.figure("a key by its id, "+engine+", p99", percentile(times, 0.99), "ms", "50")
	return b.stopAll()
}

// different makes two keys that differ from all the others: one that ends, which it
// returns, and one that is revoked.
func different(ctx context.Context, m *client.Client) (ends client.KeySecret, err error) {
	soon := time.Now().AddDate(0, 1, 0)
	one := client.KeyCreate{Organization: "load", PermittedSiteIDs: []string{"site-0"}, Scopes: []string{"telemetry:read"}, ExpiresAt: &soon}
	if ends, err = m.CreateKey(ctx, one); err != nil {
		return ends, err
	}
	one.ExpiresAt = nil
	gone, err := m.CreateKey(ctx, one)
	if err != nil {
		return ends, err
	}
	_, err = m.RevokeKey(ctx, gone.ID)
	return ends, err
}

// pageTimes reads 100 pages of a list, from the beginning again where it ends.
// With found the first page must not be empty.
func pageTimes(ctx context.Context, m *client.Client, f client.KeyFilter, found bool) (times []float64, err error) {
	for range 100 {
		began := time.Now()
		page, err := m.KeysPage(ctx, f)
		if err != nil {
			return nil, err
		}
		times = append(times, milliseconds(time.Since(began)))
		if found && f.Cursor == "" && len(page.Items) == 0 {
			return nil, errors.New("the first page is empty")
		}
		f.Cursor = page.NextCursor
	}
	return times, nil
}

// liveImport imports keys into a store of ten million that a server serves.
func (b *bench) liveImport(ctx context.Context) error {
	if !b.huge && b.only != "import" {
		return nil
	}
	w, err := b.hugeWorld(ctx)
	if err != nil {
		return err
	}
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	// Another set in each run, in a store that is kept.
	keys := keyset{fmt.Sprintf("live%d", time.Now().Unix()), b.batchKeys}
	file := filepath.Join(b.dir, keys.name+".jsonl")
	if err := writeKeys(file, keys); err != nil {
		return err
	}
	b.note("importing %d keys beside a server", keys.n)
	began := time.Now()
	if _, err := b.keystile(ctx, "key", "import", file, "--config", w.config()); err != nil {
		return err
	}
	took := time.Since(began)
	b.report.figure(fmt.Sprintf("import of %d keys into a table in use of %d", keys.n, b.hugeKeys), float64(keys.n)/took.Seconds(), "keys/s", "8000")
	if _, err := once(server.address, question(keys.secret(keys.n-1))); err != nil {
		return fmt.Errorf("the last key that was imported: %w", err)
	}
	return b.stopAll()
}
