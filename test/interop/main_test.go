package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binary is the keystile that every test runs.
var binary string

// teardown ends what starters started, last first.
var teardown cleanups

type cleanups struct {
	mu  sync.Mutex
	all []func() error
}

func (c *cleanups) add(f func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, f)
}

func (c *cleanups) run() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for i := len(c.all) - 1; i >= 0; i-- {
		errs = append(errs, c.all[i]())
	}
	c.all = nil
	return errors.Join(errs...)
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "keystile-interop-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, teardown.run(), os.RemoveAll(dir)) }()

	if binary = os.Getenv("KEYSTILE_BINARY"); binary != "" {
		return m.Run(), nil // a release, say
	}
	binary = filepath.Join(dir, "keystile")
	build := exec.Command("go", "build", "-o", binary, "keystile.dev/keystile/cmd/keystile")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build keystile: %w\n%s", err, out)
	}
	return m.Run(), nil
}
