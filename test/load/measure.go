package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// nowhere is an upstream that no measurement reaches.
const nowhere = "127.0.0.1:9"

// starts is how many starts are measured; the median counts.
const starts = 5

// startsAndRests measures the time to ready and the memory at rest of a server on an empty store.
func (b *bench) startsAndRests(ctx context.Context) error {
	w, err := b.newWorld(ctx, "empty", nowhere)
	if err != nil {
		return err
	}
	b.note("starting on an empty store, %d times", starts)
	took, resident, err := b.startTimes(ctx, w)
	if err != nil {
		return err
	}
	b.report.figure("start to ready, empty store", took, "ms", "300")
	b.report.figure("resident memory, idle", resident, "MiB", "60")
	return nil
}

// startTimes is the median time to ready in milliseconds and resident memory in MiB two seconds later.
func (b *bench) startTimes(ctx context.Context, w *world) (took, resident float64, err error) {
	var times, memory []float64
	for range starts {
		began := time.Now()
		p, err := b.serve(ctx, w)
		if err != nil {
			return 0, 0, err
		}
		times = append(times, milliseconds(time.Since(began)))
		if err := rest(ctx, 2*time.Second); err != nil {
			return 0, 0, err
		}
		bytes, err := p.resident()
		if err != nil {
			return 0, 0, err
		}
		memory = append(memory, float64(bytes)/(1<<20))
		if err := p.stop(); err != nil {
			return 0, 0, err
		}
	}
	return median(times), median(memory), nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// warmSet is the keys that the requests are spread over.
func (b *bench) warmSet() keyset { return keyset{"warm", b.keys} }

// decisions compares forward-auth with a bare handler that receives the same
// bytes and writes the same header fields.
func (b *bench) decisions(ctx context.Context) error {
	w, err := b.newWorld(ctx, "decisions", nowhere)
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
	all := b.warmSet().each(question)
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
	b.note("warming %d keys", len(all))
	if err := errors.Join(b.warm(ctx, server, all), b.settle(ctx, server)); err != nil {
		return err
	}
	b.note("comparing forward-auth with a bare handler")
	if err := b.compare(ctx, 1.6, subject{name: "bare handler", server: bare, requests: all}, subject{name: "forward-auth, warm key", server: server, requests: all}); err != nil {
		return err
	}
	resident, err := server.resident()
	if err != nil {
		return err
	}
	b.report.figure(fmt.Sprintf("resident memory, %d warm keys under load", len(all)), float64(resident)/(1<<20), "MiB", "")
	return b.stopAll()
}

// gateway compares the gateway with httputil.ReverseProxy to the same upstream.
func (b *bench) gateway(ctx context.Context) error {
	upstream, err := b.role(ctx, roleUpstream)
	if err != nil {
		return err
	}
	alone, err := b.role(ctx, roleReverseProxy, backendVariable+"="+upstream.address)
	if err != nil {
		return err
	}
	w, err := b.newWorld(ctx, "gateway", upstream.address)
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
	all := b.warmSet().each(call)
	if err := errors.Join(b.warm(ctx, server, all), b.settle(ctx, server)); err != nil {
		return err
	}
	b.note("comparing the gateway with httputil.ReverseProxy")
	if err := b.compare(ctx, 1.1, subject{name: "httputil.ReverseProxy", server: alone, requests: all}, subject{name: "gateway, warm key", server: server, requests: all}); err != nil {
		return err
	}
	return b.stopAll()
}

// warm sends each request once.
func (b *bench) warm(ctx context.Context, p *process, all requests) error {
	share := (len(all) + b.connections - 1) / b.connections
	errs := make(chan error, b.connections)
	started := 0
	for from := 0; from < len(all); from += share {
		part := all[from:min(from+share, len(all))]
		started++
		go func() { errs <- sendAll(ctx, p.address, part) }()
	}
	for range started {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// settle waits until a server has written what its first requests left behind
// (last uses, recorded decisions): that work comes once a key, not once a request.
func (b *bench) settle(ctx context.Context, p *process) error {
	for range 60 {
		before, err := p.cpu()
		if err != nil {
			return err
		}
		if err := rest(ctx, time.Second); err != nil {
			return err
		}
		after, err := p.cpu()
		if err != nil {
			return err
		}
		if after-before < 50*time.Millisecond {
			return nil
		}
	}
	return errors.New("the server does not come to rest")
}

// tenMillion imports ten million keys and measures a store of that size.
func (b *bench) tenMillion(ctx context.Context) error {
	if !b.huge {
		return nil
	}
	w, err := b.newWorld(ctx, "huge", nowhere)
	if err != nil {
		return err
	}
	all := keyset{"huge", b.hugeKeys}
	b.note("importing %d keys", all.n)
	began := time.Now()
	if err := b.importKeys(ctx, w, all); err != nil {
		return err
	}
	b.report.figure(fmt.Sprintf("import of %d keys into an empty store", all.n), float64(all.n)/time.Since(began).Seconds(), "keys/s", "50000")
	size, err := storeSize(w.dir)
	if err != nil {
		return err
	}
	b.report.figure("size of that store", float64(size)/1e6, "MB", "")
	took, resident, err := b.startTimes(ctx, w)
	if err != nil {
		return err
	}
	b.report.figure("start to ready, that store", took, "ms", "1000")
	b.report.figure("resident memory, idle, that store", resident, "MiB", "")
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	cold, err := coldLookups(server.address, all)
	if err != nil {
		return err
	}
	b.report.figure("cold look-up, whole request, median", cold, "ms", "1")
	return server.stop()
}

// coldLookups is the median time of a request whose key was never used, in milliseconds.
func coldLookups(address string, all keyset) (float64, error) {
	const samples = 2000
	step := max(1, all.n/samples)
	var times []float64
	for i := 0; i < all.n; i += step {
		request := question(all.secret(i))
		began := time.Now()
		if _, err := once(address, request); err != nil {
			return 0, err
		}
		times = append(times, milliseconds(time.Since(began)))
	}
	return median(times), nil
}

// storeSize is the size of a store's files.
func storeSize(dir string) (int64, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	if err != nil {
		return 0, err
	}
	var size int64
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	return size, nil
}
