package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"keystile.dev/keystile/internal/store"
)

const (
	exchangeApplication = "5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c"
	exchangeKey         = "ak_prod_0123456789abcdefghijABCDEFGHIJkl"
	// exchangeTenants is how many tenants the exchanges are spread over.
	exchangeTenants = 200
)

func exchangeTenant(i int) string { return fmt.Sprintf("0b9d1a52-5a8a-4b8e-9a55-%012d", i) }

// exchangeState is a partner's application that every tenant authorised.
func exchangeState() string {
	var organizations, authorizations strings.Builder
	for i := range exchangeTenants {
		fmt.Fprintf(&organizations, "  - {id: tenant-%d, name: Tenant, environment: production, tenant_id: %s}\n", i, exchangeTenant(i))
		fmt.Fprintf(&authorizations, "  - {application: %s, tenant: tenant-%d, permissions: [\"designs:read\"]}\n", exchangeApplication, i)
	}
	return "organizations:\n  - {id: maker, name: Maker, environment: production}\n" + organizations.String() +
		"applications:\n  - {id: " + exchangeApplication + ", name: Roofs, kind: backend, environment: production, organization: maker, permissions: [\"designs:read\"], review: approved, application_keys: [{secret: " + exchangeKey + "}]}\n" +
		"authorizations:\n" + authorizations.String()
}

func exchangeRequests() requests {
	all := make(requests, exchangeTenants)
	for i := range all {
		all[i] = fmt.Appendf(nil, "POST /partner_applications/%s/tenants/%s/create_token HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n",
			exchangeApplication, exchangeTenant(i), exchangeKey)
	}
	return all
}

// exchanges compares create_token with a bare handler that receives the same
// bytes, and takes off what the store spends on it: a row in a transaction that as
// many exchanges share as there are connections, and its event in the tenant's
// audit chain, which comes a moment later.
func (b *bench) exchanges(ctx context.Context) error {
	w, err := b.newWorld(ctx, "exchange", nowhere)
	if err != nil {
		return err
	}
	state := filepath.Join(w.dir, "partners.yaml")
	if err := os.WriteFile(state, []byte(exchangeState()), 0o600); err != nil {
		return err
	}
	if _, err := b.keystile(ctx, "apply", "-f", state, "--config", w.config(), "--yes"); err != nil {
		return err
	}
	b.note("measuring the store's own part of an exchange")
	own, err := storeCost(ctx, filepath.Join(w.dir, "keystile.db"), b.connections)
	if err != nil {
		return err
	}
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	all := exchangeRequests()
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
	b.note("comparing create_token with a bare handler")
	err = b.compare(ctx, 0, subject{name: "bare handler", server: bare, requests: all}, subject{name: "create_token, backend application", server: server, requests: all})
	if err != nil {
		return err
	}
	whole := b.report.Comparisons[len(b.report.Comparisons)-1]
	b.report.figure(fmt.Sprintf("the store's own part of an exchange, %d in a transaction, with its audit, CPU", b.connections), own, "µs", "")
	b.report.figure("create_token without the store's own part, CPU", whole.MicrosecondsCPU-own, "µs", "40")
	b.report.figure("create_token on one CPU, the load on the other", whole.PerSecond, "/s", "3000 on two")
	return b.stopAll()
}

// storeCost is the CPU in microseconds that this process spends on what the store
// does for one exchange.
func storeCost(ctx context.Context, file string, together int) (cost float64, err error) {
	st, err := store.Open(ctx, store.Options{URL: "sqlite:" + file})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	// The server writes audit events once in a while, for all that was issued meanwhile.
	const transactions, auditEvery = 200, 10
	now := time.Now().UTC().Truncate(time.Microsecond)
	var digests uint64
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	for turn := range transactions {
		batch := make([]store.Exchange, together)
		for i := range batch {
			batch[i] = store.Exchange{At: now, Seen: store.SeenNothing, Key: temporaryKey(digests, fmt.Sprintf("tenant-%d", i%exchangeTenants), now)}
			digests++
		}
		if _, err := st.ExchangeKeys(ctx, batch); err != nil {
			return 0, err
		}
		if (turn+1)%auditEvery == 0 {
			if _, err := st.AuditIssued(ctx, auditEvery*together); err != nil {
				return 0, err
			}
		}
	}
	after, err := ownCPU()
	return float64(after-before) / float64(time.Microsecond) / float64(transactions*together), err
}

// ownCPU is the user and system time of this process.
func ownCPU() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}
