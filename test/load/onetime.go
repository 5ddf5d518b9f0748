package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"keystile.dev/keystile/sdk/go/sign"
)

// oneTimePolicy takes one-time requests. The clock window is wide, because signing
// a batch with RSA and sending it to every server in turn takes a while.
const oneTimePolicy = `public_url: http://auth.example.com
store: sqlite:%[1]s/keystile.db
master_key: file:%[1]s/master.key
trusted_proxies: [127.0.0.1/32]
dialects: {ownera: {clock_window: 15m}}
routes:
  - match:    {host: api.example.com, path: /finapi/**, methods: [GET]}
    upstream: http://127.0.0.1:9
    accept:   [onetime]
    scopes:   [finapi:use]
`

const (
	oneTimeOrganization = "bank"
	// oneTimeSecret is of the shape and length of a secret that Keystile makes.
	oneTimeSecret = "load-onetime-0123456789abcdefghij"
)

// oneTime compares forward-auth on one-time requests with a bare handler, and
// with one that makes a bare verification, for each algorithm: once with the
// ledger in memory alone and once with the journal that is fsynced before the
// answer. A product has no ledger without a journal on one node; the one without
// is compiled in by a build tag, for this measurement.
func (b *bench) oneTime(ctx context.Context) error {
	// Every server collects as Go does by default. A batch lasts a second, and between two
	// of its own a server of ours falls asleep and gives its memory back: without this its
	// waking up is measured, and not what a request costs while there are requests.
	if err := os.Setenv("GOGC", "100"); err != nil {
		return err
	}
	b.note("building keystile with a ledger in memory alone")
	inMemory := filepath.Join(b.dir, "keystile-memory")
	if err := buildKeystile(ctx, inMemory, "-tags", "memoryledger"); err != nil {
		return err
	}
	all, err := proofs()
	if err != nil {
		return err
	}
	memory, err := b.oneTimeServer(ctx, &world{dir: filepath.Join(b.dir, "onetime-memory"), binary: inMemory}, all)
	if err != nil {
		return err
	}
	journal, err := b.oneTimeServer(ctx, &world{dir: filepath.Join(b.dir, "onetime-journal")}, all)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := b.compareProof(ctx, p, memory, journal); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return b.stopAll()
}

// oneTimeServer starts a server on a new store that knows every proof's key.
func (b *bench) oneTimeServer(ctx context.Context, w *world, all []proof) (*process, error) {
	if _, err := b.keystile(ctx, "init", w.dir); err != nil {
		return nil, err
	}
	if err := os.WriteFile(w.config(), fmt.Appendf(nil, oneTimePolicy, w.dir), 0o600); err != nil {
		return nil, err
	}
	if _, err := b.keystile(ctx, "org", "create", "--id", oneTimeOrganization, "--config", w.config()); err != nil {
		return nil, err
	}
	for _, p := range all {
		material, err := p.material()
		if err != nil {
			return nil, err
		}
		args := append([]string{
			"signing-key", "import", "--organization", oneTimeOrganization, "--algorithm", p.algorithm, "--api-key", p.name,
			"--scope", "finapi:*", "--config", w.config(),
		}, material...)
		if _, err := b.keystile(ctx, args...); err != nil {
			return nil, err
		}
	}
	return b.serve(ctx, w)
}

// material is the flags that import what the proof is verified by.
func (p proof) material() ([]string, error) {
	if p.private == nil {
		return []string{"--secret", oneTimeSecret}, nil
	}
	der, err := x509.MarshalPKIXPublicKey(p.private.Public())
	if err != nil {
		return nil, err
	}
	return []string{"--public-key", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

// compareProof measures one algorithm. Each round signs requests anew and sends
// the same bytes to every server.
func (b *bench) compareProof(ctx context.Context, p proof, memory, journal *process) error {
	signer, err := p.signer()
	if err != nil {
		return err
	}
	first, err := signedQuestions(signer, 1)
	if err != nil {
		return err
	}
	fields, err := once(memory.address, first[0])
	if err != nil {
		return err
	}
	answer, err := copyable(fields)
	if err != nil {
		return err
	}
	subjects := []subject{{name: "bare handler"}, {name: "ledger in memory", server: memory}, {name: "ledger with its journal", server: journal}}
	if subjects[0].server, err = b.role(ctx, roleBare, answer); err != nil {
		return err
	}
	if p.private != nil {
		verifying, err := b.role(ctx, roleBare, answer, verifyVariable+"="+p.name)
		if err != nil {
			return err
		}
		subjects = append(subjects, subject{name: "bare handler and one verification", server: verifying})
	}
	b.note("one-time requests, %s: %d rounds of %d", p.name, b.rounds, p.batch)
	costs, err := b.costs(ctx, subjects, func() (requests, error) { return signedQuestions(signer, p.batch) })
	if err != nil {
		return err
	}
	b.reportProof(p, costs)
	errs := []error{subjects[0].server.stop()}
	for _, s := range subjects[3:] {
		errs = append(errs, s.server.stop())
	}
	return errors.Join(errs...)
}

// reportProof says what each may cost beside what.
func (b *bench) reportProof(p proof, all []costs) {
	bare, memory, journal := all[0], all[1], all[2]
	name := "forward-auth, one-time " + p.name
	goal := 0.0
	if p.private == nil {
		goal = 2
	}
	b.report.ratio(name+", memory", "bare handler", memory, bare, goal)
	if p.private != nil {
		b.report.difference(name+", memory", "bare handler and one verification", memory, all[3], p.over)
	}
	b.report.difference(name+", journal", "the same in memory", journal, memory, 5)
}

// costs measures subjects in turns, all with the same requests, which each round
// makes anew: the CPU and the rate of each round. The first round is thrown away.
func (b *bench) costs(ctx context.Context, subjects []subject, batch func() (requests, error)) ([]costs, error) {
	all := make([]costs, len(subjects))
	for round := range b.rounds + 1 {
		signed, err := batch()
		if err != nil {
			return nil, err
		}
		for i, s := range subjects {
			s.requests = signed
			one, rate, err := b.measureBatch(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				all[i] = costs{append(all[i].cpu, one), append(all[i].rate, rate)}
			}
		}
	}
	return all, nil
}

// signer is what makes the proof.
func (p proof) signer() (*sign.Signer, error) {
	if p.private == nil {
		return sign.NewHMAC(oneTimeOrganization, p.name, oneTimeSecret)
	}
	return sign.New(oneTimeOrganization, p.name, p.private)
}

// signers is how many requests are signed at a time.
const signers = 8

// signedQuestions are requests to /forward-auth, each signed anew.
func signedQuestions(signer *sign.Signer, n int) (requests, error) {
	all := make(requests, n)
	errs := make([]error, signers)
	var wg sync.WaitGroup
	for part := range signers {
		wg.Go(func() {
			for i := part; i < n; i += signers {
				header, err := signer.Header(sign.Stamp{})
				if err != nil {
					errs[part] = err
					return
				}
				all[i] = fmt.Appendf(nil, "GET /forward-auth HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAuthorization: %s\r\n"+
					"X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n"+
					"X-Forwarded-Uri: /finapi/profiles/owner\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n", header)
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}
