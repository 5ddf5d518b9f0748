package replay_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/replay/replaytest"
)

// FuzzJournal: whatever lies in a segment, reading it ends, and what is not exactly
// what was written makes the ledger incomplete or is an unfinished end.
func FuzzJournal(f *testing.F) {
	for _, segment := range segments() {
		f.Add(segment)
	}
	f.Fuzz(func(t *testing.T, segment []byte) {
		records, end, torn, err := replay.Scan(bytes.NewReader(segment))
		switch {
		case err != nil:
			if records*replay.RecordBytes > len(segment) {
				t.Fatalf("%d records in %d bytes", records, len(segment))
			}
		case int(end) != replay.HeaderBytes+records*replay.RecordBytes || int(end) > len(segment) || torn != (int(end) < len(segment)):
			t.Fatalf("%d records end at %d of %d, torn %v", records, end, len(segment), torn)
		}
		// A bit of what was read, turned over, is never read as something else.
		if err == nil && end > replay.HeaderBytes {
			changed := bytes.Clone(segment[:end])
			changed[int(end)-1-records%replay.RecordBytes] ^= 1
			if n, _, _, err := replay.Scan(bytes.NewReader(changed)); err == nil && n >= records {
				t.Fatal("a changed record was believed")
			}
		}
	})
}

// segments are whole, cut, torn, damaged, and nothing of the kind.
func segments() map[string][]byte {
	whole := replay.Segment(3)
	return map[string][]byte{
		"whole": whole, "cut by a byte": whole[:len(whole)-1], "only a header": whole[:replay.HeaderBytes], "half a header": whole[:20],
		"zeros behind": append(replay.Segment(1), make([]byte, 100)...), "bytes behind": append(replay.Segment(1), 1, 2, 3),
		"nothing": {}, "only magic": []byte("KSTLRPLY"), "a newer format": replay.OfVersion(7)(replay.Segment(2)),
		"a bit turned over": flip(replay.HeaderBytes + 50)(replay.Segment(4)),
	}
}

func TestASegmentThatTheStoreDoesNotKnowIsNeverBelieved(t *testing.T) {
	for name, segment := range segments() {
		t.Run(name, func(t *testing.T) { opens(t, segment) })
	}
}

// opens puts the segment where a journal should be and uses the ledger.
func opens(t *testing.T, segment []byte) {
	d := newDesk(t)
	d.o.Epoch = strings.Repeat("00", 16) + ".60000000000"
	name := filepath.Join(d.o.Path, "0000000000000001.journal")
	err := os.Mkdir(d.o.Path, 0o700)
	if err == nil {
		err = os.WriteFile(name, segment, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	j, err := replay.OpenJournal(d.o)
	if err != nil {
		if !errors.Is(err, keystile.ErrConflict) { // of a newer format
			t.Fatal(err)
		}
		return
	}
	defer d.close(j)
	// It is not the store's journal, since the store's id is not in it.
	if want := d.clock.Now().Add(replaytest.Window); j.IncompleteUntil().Before(want) {
		t.Fatalf("believed, until %v", j.IncompleteUntil())
	}
	if err := j.Claim(t.Context(), d.token("n")); err == nil {
		t.Fatal("accepted in an incomplete ledger")
	}
}
