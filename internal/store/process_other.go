//go:build !linux

package store

import "errors"

// machineID is unknown here: a dead holder's lease lapses by time alone.
func machineID() string { return "" }

func processStart(int64) (string, bool, error) {
	return "", false, errors.New("process start times are not known on this system")
}
