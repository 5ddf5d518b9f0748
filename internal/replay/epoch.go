package replay

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// epoch names one unbroken life of a ledger. The store keeps its text, and so
// knows that there was a ledger, which one, and how far ahead it took tokens: if
// the ledger is lost, the text is all that says how long to refuse.
type epoch struct {
	id [16]byte
	// window is the widest there ever was: what was accepted under it stays accepted.
	window time.Duration
}

// String is the id in hex and the window in nanoseconds.
func (e epoch) String() string {
	return hex.EncodeToString(e.id[:]) + "." + strconv.FormatInt(int64(e.window), 10)
}

// parseEpoch reads what String wrote; ok is false for "" (there was no ledger).
func parseEpoch(text string) (e epoch, ok bool, err error) {
	if text == "" {
		return e, false, nil
	}
	id, window, _ := strings.Cut(text, ".")
	raw, err := hex.DecodeString(id)
	n, numErr := strconv.ParseInt(window, 10, 64)
	if err != nil || numErr != nil || len(raw) != len(e.id) || n <= 0 || n > int64(24*time.Hour) {
		return e, false, keystile.Invalidf("epoch", "pass what Epoch() answered, or nothing for a first start",
			"%q does not name a ledger of spent nonces", text)
	}
	copy(e.id[:], raw)
	e.window = time.Duration(n)
	return e, true, nil
}

// newEpoch begins a life.
func newEpoch(random io.Reader, window time.Duration) (e epoch, err error) {
	if _, err := io.ReadFull(random, e.id[:]); err != nil {
		return e, fmt.Errorf("replay: name the ledger: %w", err)
	}
	e.window = window
	return e, nil
}

// NewEpoch names a ledger that nobody has, for a store to remember: whatever
// ledger is found there is incomplete then. wide is how far ahead tokens may have
// been taken; where the epoch before says farther, that counts.
func NewEpoch(random io.Reader, wide time.Duration, before string) (string, error) {
	if was, ok, err := parseEpoch(before); ok && err == nil {
		wide = max(wide, was.window)
	}
	e, err := newEpoch(random, wide)
	return e.String(), err
}
