package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// machineID names this boot of this machine and this process's view of process
// ids: two containers on one machine number their processes apart. It is empty
// if it cannot be known, and then nobody is ever declared dead.
func machineID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + namespace
}

// processStart is when a process began, in clock ticks since boot (proc(5),
// /proc/pid/stat, field 22): a process id that was used again has another.
// ok is false if the process is certainly gone.
func processStart(pid int64) (start string, ok bool, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	// The second field is the command in parentheses and may hold anything.
	end := strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat[end+1:]))
	const startTime = 22 - 3
	if len(fields) <= startTime {
		return "", false, fmt.Errorf("read the state of process %d: %d fields", pid, len(fields))
	}
	if fields[0] == "Z" || fields[0] == "X" { // killed, not yet reaped
		return "", false, nil
	}
	return fields[startTime], true, nil
}
