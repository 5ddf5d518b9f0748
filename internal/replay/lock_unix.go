//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package replay

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	keystile "keystile.dev/keystile"
)

// lock takes a file for this process, until it is closed or the process ends.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("another process holds the journal of spent nonces (%s); stop it, or give this one its own data directory: %w",
			f.Name(), keystile.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
