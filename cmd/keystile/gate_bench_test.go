package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/audit"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/gate"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/metrics"
	"keystile.dev/keystile/internal/policy"
	"keystile.dev/keystile/internal/state"
	"keystile.dev/keystile/internal/store"
)

// warmGate is a gate as serve wires it, over a real SQLite store with keys in
// it, one of which is warm.
func warmGate(tb testing.TB, keys int) (*gate.Gate, *keystile.Request) {
	tb.Helper()
	ctx := context.Background()
	text, err := keyring.NewMasterText(randomSource)
	if err != nil {
		tb.Fatal(err)
	}
	master, err := keyring.LoadMaster("env:K", func(string) string { return text })
	if err != nil {
		tb.Fatal(err)
	}
	h, err := openHouse(ctx, houseOptions{storeURL: "sqlite:" + filepath.Join(tb.TempDir(), "k.db"), master: master, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := newDemoKey()
	if err != nil {
		tb.Fatal(err)
	}
	world, err := state.Parse(state.File{Name: "world", Data: []byte((&demoSecrets{
		Sibaya: secret, Busy: secret + "x", Expired: secret + "y", Bank: secret + "z", Password: "p", Tracker: "p", TOTP: "JBSWY3DPEHPK3PXP", AuthToken: secret + "a",
		RoofKey: "ak_test_0123456789ABCDEFGHIJKLMNOPQRSTUV", ViewerKey: "ak_test_0123456789ABCDEFGHIJKLMNOPQRSTUW",
		ClientID: strings.Repeat("c1", 32), ClientSecret: strings.Repeat("5e", 32), HookSecret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	}).replacer().Replace(strings.NewReplacer("{viewer}", "http://127.0.0.1:9", "{planner}", "http://127.0.0.1:8", "{hooks}", "https://127.0.0.1:9").Replace(demoWorld)))})
	if err != nil {
		tb.Fatal(err)
	}
	fill(tb, h, keys)
	if _, err := state.Apply(ctx, h.service, store.Actor{Name: "test"}, world, state.Options{}); err != nil {
		tb.Fatal(err)
	}
	used := func(apikey.Use) {}
	kind, err := apikey.New(apikey.Options{Find: findAPIKeys(h.store), Digester: h.digester, Fresh: func(time.Time) bool { return true }, Now: time.Now, Used: used})
	if err != nil {
		tb.Fatal(err)
	}
	table, problems := policy.Compile([]keystile.Route{{
		ID: "GET /telemetry/**", Match: keystile.RouteMatch{Path: "/telemetry/**", Methods: []string{"GET"}}, Upstreams: []string{"http://127.0.0.1:9"},
		Accept: []keystile.KindName{keystile.KindAPIKey}, Resource: &keystile.RouteResource{Type: "site", From: "query.site_id"}, NotPermittedStatus: 403,
		Scopes: []keystile.Scope{"telemetry:read"}, Errors: "ona",
		Limits: []keystile.RouteLimit{{Rate: keystile.Rate{Requests: 1_000_000_000, Window: time.Minute, Algorithm: keystile.AlgorithmGCRA}, Per: keystile.PerCredential}},
	}}, policy.Options{})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	recorder := audit.NewRecorder(audit.Options{Write: h.store.RecordDecisions, Logger: slog.New(slog.DiscardHandler)})
	runCtx, cancel := context.WithCancel(ctx)
	go recorder.Run(runCtx)
	g, err := gate.New(table, gate.Options{
		Kinds: []keystile.Kind{kind}, Limiter: limit.NewMemory(limit.MemoryOptions{}),
		Observers: []gate.Observer{metrics.New(), recorder}, Now: time.Now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cancel()
		<-recorder.Done()
		kind.Close()
		if err := h.close(); err != nil {
			tb.Error(err)
		}
	})
	r := &keystile.Request{
		ID: "r", Point: keystile.PointGateway, Method: "GET", Scheme: "http", Host: "127.0.0.1:8080", Path: "/telemetry/inverter",
		RawQuery: "asset_id=INV-1&site_id=Sibaya&start=2025-11-01T00:00:00", Header: keystile.Header{"X-Api-Key": {secret}},
		ClientAddr: netip.MustParseAddr("127.0.0.1"),
	}
	if d := g.Check(ctx, r); !d.Allowed {
		tb.Fatalf("refused: %s %s", d.Reason, d.Cause)
	}
	return g, r
}

// fill puts many keys beside the one that is asked for.
func fill(tb testing.TB, h *house, keys int) {
	tb.Helper()
	ctx := context.Background()
	if err := h.store.Mutate(ctx, store.Actor{Name: "test"}, func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateOrganization(ctx, keystile.Organization{ID: "crowd", Environment: keystile.Production, TenantID: "7c0e8d9a-0000-4000-8000-000000000001", KeyPrefix: "opa", CreatedAt: time.Now(), UpdatedAt: time.Now()})
	}); err != nil {
		tb.Fatal(err)
	}
	made := 0
	next := func() ([]store.ImportRow, error) {
		var rows []store.ImportRow
		for len(rows) < 5000 && made < keys {
			made++
			digest, pepperID := h.digester.Digest(apikey.Sum(keystile.Secret(fmt.Sprintf("crowd-key-%020d", made))))
			rows = append(rows, store.ImportRow{Key: keystile.APIKey{ID: fmt.Sprintf("crowd_%d", made), OrganizationID: "crowd", CreatedAt: time.Now()}, Digest: digest, PepperID: pepperID})
		}
		if len(rows) == 0 {
			return nil, io.EOF
		}
		return rows, nil
	}
	if _, err := h.store.ImportAPIKeys(ctx, store.Actor{Name: "test"}, store.ImportOptions{JobID: "crowd"}, next, func(int64) {}); err != nil {
		tb.Fatal(err)
	}
}

func TestAWarmKeyIsDecidedOnWithAtMostTwoAllocations(t *testing.T) {
	g, r := warmGate(t, 10)
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { g.Check(ctx, r) }); n > 2 {
		t.Errorf("%v allocations a decision", n)
	}
}

// huge has the benchmark store ten million keys as well: minutes and gigabytes.
var huge = flag.Bool("huge", false, "also benchmark the gate with ten million keys stored")

func BenchmarkGateWarmKey(b *testing.B) {
	stored := []int{1000, 100_000}
	if *huge {
		stored = append(stored, 10_000_000)
	}
	for _, keys := range stored {
		b.Run(fmt.Sprintf("stored=%d", keys), func(b *testing.B) {
			g, r := warmGate(b, keys)
			ctx := context.Background()
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				if d := g.Check(ctx, r); !d.Allowed {
					b.Fatal(d.Reason)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has used of the processors: unlike wall time it
// does not count what other processes took.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
