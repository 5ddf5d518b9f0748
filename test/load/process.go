package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
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

// The servers under measurement have the first CPU for themselves, one at a
// time; the load generator and the upstream have the others. A server then
// spends nothing on moving between CPUs, and nobody takes its turn.
const measuredCPU = "0"

func otherCPUs() string { return "1-" + strconv.Itoa(runtime.NumCPU()-1) }

// stepAside moves this program, all its threads, off the measured CPU. Without
// taskset or a second CPU everything shares what there is.
func stepAside(ctx context.Context) error {
	pin, err := exec.LookPath("taskset")
	if err != nil || runtime.NumCPU() < 2 {
		return nil
	}
	out, err := exec.CommandContext(ctx, pin, "-a", "-p", "-c", otherCPUs(), strconv.Itoa(os.Getpid())).CombinedOutput() //nolint:gosec // fixed arguments
	if err != nil {
		return fmt.Errorf("taskset: %w\n%s", err, out)
	}
	return nil
}

// command is a server to start.
type command struct {
	name, cpus string
	// address it will listen on.
	address string
	env     []string
	// argv is the program and its arguments.
	argv []string
}

// start runs a server on its CPUs.
func (b *bench) start(ctx context.Context, c command) (*process, error) {
	name, argv := c.name, c.argv
	if pin, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		argv = append([]string{pin, "-c", c.cpus}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // programs named in this package
	p := &process{name: name, address: c.address, cmd: cmd, ended: make(chan error, 1)}
	p.cmd.Dir = b.dir
	p.cmd.Env = append(os.Environ(), c.env...)
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
