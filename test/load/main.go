package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// options are the command line.
type options struct {
	duration    time.Duration
	rounds      int
	connections int
	keys        int
	huge        bool
	hugeKeys    int
	binary      string
	// temporaryKeys is how many the purge meets.
	temporaryKeys int
	// store is a directory that keeps the world of ten million keys for later runs.
	store string
	// shortTokens is how many access tokens end at once before each purge.
	shortTokens int
	// batchKeys is how many keys are imported into a live table.
	batchKeys int
	only      string
	format    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if role := os.Getenv(roleVariable); role != "" {
		return serveRole(ctx, role)
	}
	var o options
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "how long each measurement runs")
	flag.IntVar(&o.rounds, "rounds", 5, "how many times each subject is measured; the median counts")
	flag.IntVar(&o.connections, "connections", 64, "concurrent connections")
	flag.IntVar(&o.keys, "keys", 100_000, "API keys in the warm set")
	flag.BoolVar(&o.huge, "huge", false, "import ten million keys and measure cold look-ups and the start, too")
	flag.IntVar(&o.hugeKeys, "huge-keys", 10_000_000, "how many keys -huge imports")
	flag.StringVar(&o.binary, "keystile", "", "the binary to measure; built if empty")
	flag.IntVar(&o.temporaryKeys, "temporary-keys", 1_000_000, "how many temporary keys end at once before a purge")
	flag.IntVar(&o.shortTokens, "short-tokens", 1_000_000, "how many access tokens end at once before a purge")
	flag.StringVar(&o.store, "store", "", "a directory that keeps the store of pages and import for later runs")
	flag.IntVar(&o.batchKeys, "batch-keys", 500_000, "how many keys are imported into a table in use")
	flag.StringVar(&o.only, "only", "", "one measurement: start, decisions, gateway, sessions, onetime, exchange, oauth, flow, revoke, create, audit, purge, tokens, pages, import or huge; all if empty, but purge, tokens, pages and import, which run with -huge")
	flag.StringVar(&o.format, "o", "table", "table or json")
	flag.Parse()
	if flag.NArg() > 0 || o.format != "table" && o.format != "json" || o.rounds < 1 || o.keys < 1 || o.connections < 1 {
		flag.Usage()
		return errors.New("wrong usage")
	}
	return measureAll(ctx, &o)
}

// measureAll runs every measurement in a directory that is removed afterwards.
func measureAll(ctx context.Context, o *options) (err error) {
	dir, err := os.MkdirTemp("", "keystile-load-")
	if err != nil {
		return err
	}
	bench := &bench{options: o, dir: dir, note: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	defer func() { err = errors.Join(err, bench.stopAll(), os.RemoveAll(dir)) }()

	if err := bench.build(ctx); err != nil {
		return err
	}
	if err := stepAside(ctx); err != nil {
		return err
	}
	known := false
	for _, m := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"start", bench.startsAndRests},
		{"decisions", bench.decisions},
		{"gateway", bench.gateway},
		{"sessions", bench.sessions},
		{"onetime", bench.oneTime},
		{"exchange", bench.exchanges},
		{"oauth", bench.oauth},
		{"flow", bench.codeFlows},
		{"revoke", bench.revocations},
		{"create", bench.creates},
		{"audit", bench.recording},
		{"purge", bench.purges},
		{"tokens", bench.shortLived},
		{"pages", bench.pages},
		{"import", bench.liveImport},
		{"huge", bench.tenMillion},
	} {
		if o.only != "" && o.only != m.name {
			continue
		}
		known = true
		if err := m.measure(ctx); err != nil {
			return err
		}
	}
	if !known {
		return fmt.Errorf("-only %s: there is no such measurement", o.only)
	}
	return bench.report.write(os.Stdout, o.format)
}
