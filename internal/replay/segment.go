package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".journal"
	asideSuffix   = ".aside"
	// lockName is locked by the process that writes, and holds the number of the
	// newest segment, so that a missing newest segment is noticed.
	lockName  = "lock"
	headBytes = 12
)

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// file is what a journal needs of an open file.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// listSegments finds the segments in a directory, oldest first.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal of spent nonces: %w", err)
	}
	var numbers []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok || len(name) != 16 {
			continue
		}
		n, err := strconv.ParseUint(name, 16, 64)
		if err != nil {
			continue // no segment of ours is named so
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// createSegment makes a segment that holds its header, durably and all or
// nothing: written under another name first.
func createSegment(dir string, h *header) (file, error) {
	name := filepath.Join(dir, segmentName(h.number))
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // G304: the directory is configured
	if err != nil {
		return nil, fmt.Errorf("create a segment: %w", err)
	}
	_, err = f.Write(h.encode())
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("create a segment: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// syncDir makes what was created, renamed and deleted in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // G304: the directory is configured
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// putAside renames all segments, so that they can be looked at, and deletes those
// that were put aside before.
func putAside(dir string, numbers []uint64) error {
	old, err := filepath.Glob(filepath.Join(dir, "*"+asideSuffix))
	for _, name := range old {
		err = errors.Join(err, os.Remove(name))
	}
	for _, n := range numbers {
		name := filepath.Join(dir, segmentName(n))
		err = errors.Join(err, os.Rename(name, name+asideSuffix))
	}
	if err = errors.Join(err, syncDir(dir)); err != nil {
		return fmt.Errorf("put the old journal aside: %w", err)
	}
	return nil
}

// readHead reads the number of the newest segment; 0 if there never was one.
func readHead(f *os.File) (uint64, error) {
	var b [headBytes + 1]byte
	n, err := f.ReadAt(b[:], 0)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return 0, nil
	case err != nil && !errors.Is(err, io.EOF):
		return 0, fmt.Errorf("read %s: %w", f.Name(), err)
	case n != headBytes || crc32.Checksum(b[:8], castagnoli) != binary.LittleEndian.Uint32(b[8:]):
		return 0, damaged("the number of the newest segment is unreadable")
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// writeHead writes it, durably.
func writeHead(f *os.File, number uint64) error {
	b := binary.LittleEndian.AppendUint64(nil, number)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return nil
}
