package replay

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// sealed is a segment that is not written any more.
type sealed struct {
	number uint64
	last   int64 // greatest LastValid in it
}

// writer appends to the newest segment. One goroutine uses it.
type writer struct {
	dir      string
	lock     *os.File
	limit    int64 // bytes at which a segment is followed by another
	memory   *Memory
	create   func(dir string, h *header) (file, error)
	old      []sealed
	head     header // of the segment being written
	file     file
	size     int64
	last     int64 // greatest LastValid in the segment being written
	durable  int64 // the floor that is on disk
	nextLook int64 // when to look for old segments again
}

// open begins a segment.
func (w *writer) open(h header) error {
	h.created, h.floor = w.memory.now().UnixNano(), w.memory.limits.floor.Load()
	f, err := w.create(w.dir, &h)
	if err != nil {
		return err
	}
	if err := writeHead(w.lock, h.number); err != nil {
		return errors.Join(err, f.Close())
	}
	w.head, w.file, w.size, w.last, w.durable = h, f, headerBytes, math.MinInt64, h.floor
	return nil
}

// rotate begins the next segment. All of the one before is on disk.
func (w *writer) rotate() error {
	done, number, last := w.file, w.head.number, w.last
	next := w.head
	next.number++
	if err := w.open(next); err != nil {
		return fmt.Errorf("begin another segment: %w", err)
	}
	w.old = append(w.old, sealed{number, last})
	if err := done.Close(); err != nil {
		return fmt.Errorf("end a segment: %w", err)
	}
	return nil
}

// commit makes a batch of records durable. After an error nothing written
// since the last success can be trusted to be there, or not to be.
func (w *writer) commit(b *batch) error {
	if w.size >= w.limit {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	floor := w.forgettable()
	if floor > w.durable {
		b.records = appendRecord(b.records, recordFloor, &mark{last: floor})
	}
	n, err := w.file.Write(b.records)
	if err == nil && n < len(b.records) {
		err = fmt.Errorf("%d of %d bytes were written", n, len(b.records))
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write the journal of spent nonces: %w", err)
	}
	w.size += int64(n)
	w.last = max(w.last, b.last)
	w.durable = max(w.durable, floor)
	return w.forget()
}

// forgettable is the floor that must be on disk so that old segments may go; the
// one that is there, if none may.
func (w *writer) forgettable() int64 {
	now := w.memory.now()
	if len(w.old) == 0 || now.UnixNano() < w.nextLook {
		return w.durable
	}
	w.nextLook = now.Add(bucketWidth).UnixNano()
	w.memory.purge(now)
	floor := w.memory.limits.floor.Load()
	for _, s := range w.old {
		if s.last < floor {
			return floor
		}
	}
	return w.durable
}

// forget deletes the segments that lie below the floor on disk.
func (w *writer) forget() error {
	kept := w.old[:0]
	for i, s := range w.old {
		// In order only: a gap in the numbers would look like a loss.
		if len(kept) > 0 || s.last >= w.durable {
			kept = append(kept, w.old[i])
			continue
		}
		if err := os.Remove(filepath.Join(w.dir, segmentName(s.number))); err != nil {
			return fmt.Errorf("delete a segment whose time is over: %w", err)
		}
	}
	w.old = kept
	return nil
}

// close closes the files, which also gives the lock back.
func (w *writer) close() error {
	var err error
	if w.file != nil {
		err = w.file.Close()
	}
	return errors.Join(err, w.lock.Close())
}
