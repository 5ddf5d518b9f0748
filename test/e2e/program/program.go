package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Patience is how long a condition may take to come true on a loaded machine.
const Patience = 60 * time.Second

// Build compiles the command as it is shipped, without cgo, into dir and returns
// the binary's path.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "keystile")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "keystile.dev/keystile/cmd/keystile") //nolint:gosec // our own command
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build keystile: %w\n%s", err, out)
	}
	return path, nil
}

// Until calls try until it succeeds, and returns its last error when ctx ends
// or patience does.
func Until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// FreeAddress is a loopback address that nobody listens on.
func FreeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// Process is a running program.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
	err            error // how it ended; read after ended
}

// Command is a program to start.
type Command struct {
	// Dir is its working directory, Env is added to this process's environment.
	Dir string
	Env []string
	// Argv is the program and its arguments.
	Argv []string
}

// Start runs a program. The caller ends it with Kill, in any case.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(context.WithoutCancel(ctx), c.Argv[0], c.Argv[1:]...), ended: make(chan struct{})} //nolint:gosec // named by the test
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// A group of its own: a wrapper such as a shell is ended with what it runs.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Stdout and Stderr are what the program has written so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr is what the program has written to standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Kill ends the process and what it started, as kill -9 does, and waits for it.
func (p *Process) Kill() error {
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Wait waits for the process to end and returns its exit status; -1 is a signal.
func (p *Process) Wait(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		return 0, fmt.Errorf("%s did not end: %w\n%s", p.cmd.Path, ctx.Err(), p.Stderr())
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		return 0, p.err
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Eventually calls try until it succeeds; it is an error if the process ends.
func (p *Process) Eventually(ctx context.Context, try func() error) error {
	err := Until(ctx, func() error {
		if p.Ended() {
			return nil
		}
		return try()
	})
	if p.Ended() {
		return fmt.Errorf("%s ended (%w):\n%s", p.cmd.Path, p.err, p.Stderr())
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.Stderr())
	}
	return nil
}

var listening = regexp.MustCompile(`(?m)^keystile \S+ listens on (\S+)`)

// Listening waits for the one line that serve writes when it listens, and
// returns the URL in it.
func (p *Process) Listening(ctx context.Context) (string, error) {
	url := ""
	err := p.Eventually(ctx, func() error {
		if found := listening.FindStringSubmatch(p.Stderr()); found != nil {
			url = found[1]
			return nil
		}
		return errors.New("the server does not say that it listens")
	})
	return url, err
}

// Resident is the process's resident memory in bytes.
func (p *Process) Resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the memory of the process: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// output gathers what a program writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
