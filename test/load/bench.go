package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// bench holds what the measurements share.
type bench struct {
	*options
	dir     string
	note    func(format string, args ...any)
	running []*process
	report  report
}

func (b *bench) stopAll() error {
	var errs []error
	for _, p := range b.running {
		errs = append(errs, p.stop())
	}
	b.running = nil
	return errors.Join(errs...)
}

// build makes the binary that is measured, as a release is built.
func (b *bench) build(ctx context.Context) error {
	b.report.Machine = fmt.Sprintf("%s/%s, %d CPUs, %s; %d connections, %d keys, %d rounds of %s",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), b.connections, b.keys, b.rounds, b.duration)
	if b.binary != "" {
		var err error
		b.binary, err = filepath.Abs(b.binary)
		return err
	}
	b.note("building keystile")
	b.binary = filepath.Join(b.dir, "keystile")
	if err := buildKeystile(ctx, b.binary); err != nil {
		return err
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.report.figure("binary", float64(info.Size())/1e6, "MB", "60")
	return nil
}

// buildKeystile builds the program into a file, with further flags.
func buildKeystile(ctx context.Context, file string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", file}, flags...)
	build := exec.CommandContext(ctx, "go", append(args, "keystile.dev/keystile/cmd/keystile")...) //nolint:gosec // arguments of this program's own
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build keystile: %w\n%s", err, out)
	}
	return nil
}

// keystile runs a command of the binary.
func (b *bench) keystile(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, b.binary, args...) //nolint:gosec // the binary under measurement
	cmd.Dir = b.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("keystile %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// role starts this program again as one of the servers to compare with.
func (b *bench) role(ctx context.Context, role string, env ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cpus := measuredCPU
	if role == roleUpstream {
		cpus = otherCPUs()
	}
	p, err := b.start(ctx, command{
		name: role, cpus: cpus, address: address, argv: []string{self},
		env: append(env, roleVariable+"="+role, addressVariable+"="+address),
	})
	if err != nil {
		return nil, err
	}
	return p, p.until(ctx, func() error { return dial(ctx, address) })
}

func dial(ctx context.Context, address string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// ready waits until a keystile server says so.
func (p *process) ready(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return p.until(ctx, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz is %d", answer.StatusCode)
		}
		return nil
	})
}

// subject is a server and the requests it is measured with.
type subject struct {
	name     string
	server   *process
	requests requests
}

// compare measures subjects in turns; the first is what the others are compared with.
func (b *bench) compare(ctx context.Context, goal float64, subjects ...subject) error {
	all := make([]costs, len(subjects))
	for round := range b.rounds + 1 {
		for i, s := range subjects {
			spent, answered, err := b.measure(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round == 0 {
				continue // warms caches and connections
			}
			all[i].cpu = append(all[i].cpu, float64(spent)/float64(time.Microsecond)/float64(answered))
			all[i].rate = append(all[i].rate, float64(answered)/b.duration.Seconds())
		}
	}
	for i, s := range subjects[1:] {
		b.report.ratio(s.name, subjects[0].name, all[i+1], all[0], goal)
	}
	return nil
}

func (b *bench) measure(ctx context.Context, s subject) (spent time.Duration, answered int64, err error) {
	before, err := s.server.cpu()
	if err != nil {
		return 0, 0, err
	}
	answered, err = generate(ctx, s, b.connections, b.duration)
	if err != nil {
		return 0, 0, err
	}
	after, err := s.server.cpu()
	if err != nil {
		return 0, 0, err
	}
	if answered == 0 {
		return 0, 0, errors.New("no request was answered")
	}
	return after - before, answered, nil
}

// measureBatch sends each request of a subject once: the CPU of one in
// microseconds, and how many were answered in a second.
func (b *bench) measureBatch(ctx context.Context, s subject) (one, rate float64, err error) {
	before, err := s.server.cpu()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := b.warm(ctx, s.server, s.requests); err != nil {
		return 0, 0, err
	}
	took := time.Since(began)
	after, err := s.server.cpu()
	n := float64(len(s.requests))
	return float64(after-before) / float64(time.Microsecond) / n, n / took.Seconds(), err
}

// once sends one request and returns the header fields of its 200.
func once(address string, request []byte) (http.Header, error) {
	fields, _, err := onceWhole(address, request)
	return fields, err
}

// onceWhole is the same with the body.
func onceWhole(address string, request []byte) (fields http.Header, body []byte, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := c.Write(request); err != nil {
		return nil, nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the answer is %s: %s", answer.Status, body)
	}
	return answer.Header, body, nil
}

// copyable is an answer's header as the bare handler takes it: without what net/http adds by itself.
func copyable(h http.Header) (string, error) {
	h = h.Clone()
	h.Del("Date")
	h.Del("Content-Length")
	text, err := json.Marshal(h)
	return answerVariable + "=" + string(text), err
}
