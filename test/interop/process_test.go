package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// patience is how long a program may take to start or stop on a loaded machine.
const patience = 30 * time.Second

// until calls try until it succeeds, and gives its last error after patience.
func until(try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
			return fmt.Errorf("after %s: %w", patience, err)
		case <-tick.C:
		}
	}
}

// process is a program that runs until the tests end.
type process struct {
	cmd    *exec.Cmd
	output lockedBuffer
	ended  chan struct{}
	err    error // why it ended; read after ended
}

// start runs a program in dir. It is ended with SIGTERM when the tests end.
func start(dir, program string, args ...string) (*process, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	teardown.add(p.stop)
	return p, nil
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s did not end", p.cmd.Path), p.cmd.Process.Kill())
	}
}

// ready waits for try, or for the program to end.
func (p *process) ready(try func() error) error {
	err := until(func() error {
		select {
		case <-p.ended:
			return nil
		default:
			return try()
		}
	})
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended (%w):\n%s", p.cmd.Path, p.err, p.output.String())
	default:
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, p.output.String())
	}
	return nil
}

// find looks a program up, in the places for servers and for the project's tools too.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "../../bin/tools"} {
		candidate := filepath.Join(dir, program)
		if _, statErr := os.Stat(candidate); statErr == nil {
			return filepath.Abs(candidate)
		} else if !errors.Is(statErr, fs.ErrNotExist) {
			return "", statErr
		}
	}
	return "", err
}

// freeAddress is a loopback address nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
