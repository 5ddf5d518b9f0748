package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server being measured.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	ended   chan error
}

// clockTick is the unit of utime and stime in /proc/PID/stat: USER_HZ, which
// Linux fixes at 100 for user space.
const clockTick = 10 * time.Millisecond

// start runs a server on one CPU, so that its time is not spent on moving
// between CPUs, and the load generator does not share it where there are two.
func (b *bench) start(ctx context.Context, name string, env []string, program string, args ...string) (*process, error) {
	if pin, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{"-c", "0", program}, args...)
		program = pin
	}
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...), ended: make(chan error, 1)} //nolint:gosec // programs named in this package
	p.cmd.Dir = b.dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	b.running = append(b.running, p)
	return p, nil
}

// stop ends a server and waits for it.
func (p *process) stop() error {
	if p.ended == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-p.ended
	p.ended = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return nil // by the signal
	}
	return err
}

// until calls try until it succeeds or the server ends.
func (p *process) until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case ended := <-p.ended:
			p.ended = nil
			return fmt.Errorf("%s ended (%w): %s", p.name, ended, p.stderr.String())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", p.name, err)
		case <-tick.C:
		}
	}
}

// cpu is the user and system time the process has used.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may hold spaces.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat cannot be read", p.cmd.Process.Pid)
	}
	var ticks int64
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", p.cmd.Process.Pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// resident is the process's resident memory in bytes.
func (p *process) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// freeAddress is a loopback address nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
