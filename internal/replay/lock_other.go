//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package replay

import (
	"fmt"
	"os"

	keystile "keystile.dev/keystile"
)

// lock refuses: without file locks two processes could spend one nonce.
func lock(f *os.File) error {
	return fmt.Errorf("%s cannot be locked on this system, so the journal of spent nonces is not safe here: %w",
		f.Name(), keystile.ErrConflict)
}
