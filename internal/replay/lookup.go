package replay

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	keystile "keystile.dev/keystile"
)

// LookupJournal says what Spent would say, of the journal that a server holds or
// left in a directory, and changes nothing. It wraps fs.ErrNotExist if there is
// none. For explain: between this and a claim the answer may change, and it does
// not know the caps.
func LookupJournal(path string, n Nonce) error {
	if err := n.complete(); err != nil {
		return err
	}
	if n.LastValid.Unix() < 0 {
		return errTooOld
	}
	// A running server may delete segments meanwhile. What was deleted is below the
	// floor of what follows, so another look finds the truth.
	for range 5 {
		s := search{nonce: n, floor: math.MinInt64}
		err := s.run(path)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return fmt.Errorf("replay: look into the journal: %w", err)
		}
		return s.verdict()
	}
	return fmt.Errorf("replay: the journal changes faster than it can be read: %w", keystile.ErrUnavailable)
}

var errMoved = errors.New("a segment was deleted while the journal was read")

// search looks for one nonce in all segments.
type search struct {
	nonce  Nonce
	newest uint64 // segment that was read
	found  bool
	floor  int64
	refuse int64
	window time.Duration
}

// run reads segments, oldest first, until there is no newer one.
func (s *search) run(path string) error {
	for {
		numbers, err := listSegments(path)
		if err != nil {
			return err
		}
		if len(numbers) == 0 {
			return fmt.Errorf("no segment in %s: %w", path, fs.ErrNotExist)
		}
		before := s.newest
		for _, number := range numbers {
			if number <= s.newest {
				continue
			}
			if err := s.read(filepath.Join(path, segmentName(number))); err != nil {
				return err
			}
			s.newest = number
		}
		if s.newest == before {
			return nil
		}
	}
}

// read reads one segment. What stands half written at its end was not answered
// yet, and is passed over.
func (s *search) read(name string) error {
	f, err := os.Open(name) //nolint:gosec // G304: the directory is configured
	if errors.Is(err, fs.ErrNotExist) {
		return errMoved
	}
	if err != nil {
		return err
	}
	var want mark
	_, _, err = readSegment(f, func(h *header) error {
		d := digester{key: h.key}
		want = d.mark(&s.nonce)
		s.floor, s.refuse, s.window = max(s.floor, h.floor), max(s.refuse, h.refuse), time.Duration(h.window)
		return nil
	}, func(kind byte, m *mark) {
		switch kind {
		case recordFloor:
			s.floor = max(s.floor, m.last)
		default:
			s.found = s.found || m.key == want.key
		}
	})
	return errors.Join(err, f.Close())
}

func (s *search) verdict() error {
	switch {
	case s.nonce.LastValid.UnixNano() < s.floor:
		return errTooOld
	case s.found:
		return errReplayed
	case s.refuse != 0 && !s.nonce.stamp(s.window).After(time.Unix(0, s.refuse)):
		return ErrIncomplete
	}
	return nil
}
