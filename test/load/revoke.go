package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"keystile.dev/keystile/client"
)

const (
	// revoked is how many keys are revoked, one after the other.
	revoked = 300
	// revokedCallers use each of them all the while, each on a connection of its own.
	revokedCallers = 4
)

// revocations measures the time from the API's answer that a key is revoked to the
// last answer that accepted it, while its callers send one request after the other
// and others load the server.
func (b *bench) revocations(ctx context.Context) error {
	w, err := b.newWorld(ctx, "revoke", nowhere)
	if err != nil {
		return err
	}
	if err := b.importKeys(ctx, w, b.warmSet()); err != nil {
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
	all := b.warmSet().each(question)
	if err := b.warm(ctx, server, all); err != nil {
		return err
	}
	for _, load := range []int{0, b.connections / 8, b.connections} {
		if err := b.revocationsUnder(ctx, m, subject{name: "load", server: server, requests: all}, load); err != nil {
			return err
		}
	}
	return b.stopAll()
}

// revocationsUnder measures with so many connections that load the server.
func (b *bench) revocationsUnder(ctx context.Context, m *client.Client, s subject, connections int) error {
	b.note("revoking keys under %d loading connections", connections)
	loaded, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		if connections == 0 {
			ended <- nil
			return
		}
		_, err := generate(loaded, s, connections, time.Hour)
		ended <- err
	}()
	var lags, answers []float64
	var late int
	for range revoked {
		one, err := revokeUsed(ctx, m, s.server.address)
		if err != nil {
			stop()
			return errors.Join(err, <-ended)
		}
		lags = append(lags, max(0, milliseconds(one.lastAccepted.Sub(one.answered))))
		answers = append(answers, milliseconds(one.answered.Sub(one.asked)))
		if one.lastBegun.After(one.answered) {
			late++
		}
	}
	stop()
	what := fmt.Sprintf("revocation under %d loading connections", connections)
	b.report.figure(what+": from the API's answer to the last that accepted the key, p99", percentile(lags, 0.99), "ms", "5")
	b.report.figure(what+": the same, longest", slices.Max(lags), "ms", "")
	b.report.figure(what+": keys accepted in a request begun after the answer", float64(late), "", "0")
	b.report.figure(what+": the API's own answer, median", median(answers), "ms", "")
	return <-ended
}

// revocation is what became of one key.
type revocation struct {
	asked, answered time.Time
	// lastBegun and lastAccepted are of the last request that was accepted: when it
	// was begun and when its answer came.
	lastBegun, lastAccepted time.Time
}

// revokeUsed makes a key, has it used without a pause, revokes it, and waits until
// each of its callers is refused.
func revokeUsed(ctx context.Context, m *client.Client, address string) (revocation, error) {
	var r revocation
	key, err := m.CreateKey(ctx, client.KeyCreate{Organization: "load", PermittedSiteIDs: []string{"site-0"}, Scopes: []string{"telemetry:read"}})
	if err != nil {
		return r, err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	using := make(chan struct{}, revokedCallers)
	errs := make([]error, revokedCallers)
	for i := range revokedCallers {
		wg.Go(func() {
			begun, accepted, err := useUntilRefused(address, question(key.Secret), using)
			errs[i] = err
			mu.Lock()
			defer mu.Unlock()
			if accepted.After(r.lastAccepted) {
				r.lastAccepted = accepted
			}
			if begun.After(r.lastBegun) {
				r.lastBegun = begun
			}
		})
	}
	for range revokedCallers {
		<-using
	}
	asked := time.Now()
	_, err = m.RevokeKey(ctx, key.ID)
	answered := time.Now()
	if err != nil {
		return r, err
	}
	wg.Wait()
	r.asked, r.answered = asked, answered
	return r, errors.Join(errs...)
}

// useUntilRefused sends one request after the other, says so when the first was
// accepted, and returns when the last accepted one was begun and answered.
func useUntilRefused(address string, request []byte, using chan<- struct{}) (begun, accepted time.Time, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		using <- struct{}{}
		return begun, accepted, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in := bufio.NewReaderSize(c, 4096)
	for first := true; ; first = false {
		began := time.Now()
		status, err := ask(c, in, request)
		at := time.Now()
		if first {
			using <- struct{}{}
		}
		switch {
		case err != nil:
			return begun, accepted, err
		case status == http.StatusOK:
			begun, accepted = began, at
		case status == http.StatusUnauthorized && !first:
			return begun, accepted, nil
		default:
			return begun, accepted, fmt.Errorf("the answer is %d", status)
		}
	}
}

func ask(c net.Conn, in *bufio.Reader, request []byte) (status int, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}
