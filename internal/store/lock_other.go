//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package store

import (
	"errors"
	"os"
)

// tryLock refuses: without a lock that dies with its holder, two servers could
// use one file.
func tryLock(*os.File) (bool, error) {
	return false, errors.New("this system has no flock; use a PostgreSQL store")
}
