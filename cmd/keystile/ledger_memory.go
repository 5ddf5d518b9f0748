//go:build memoryledger

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keystile.dev/keystile/internal/replay"
)

// openOwnLedger opens a ledger in memory alone. It exists for test/load, which
// measures what the journal adds, and is in no release: what a server accepted is
// forgotten when it ends. Every start but the first on a store therefore refuses
// what may have been accepted before, and so does a server with a journal that is
// started on that store later, since it does not find the ledger that the store knows.
func (s *server) openOwnLedger(_ context.Context, epoch string, memory replay.MemoryOptions) (string, error) {
	if epoch != "" {
		memory.LostAt = time.Now()
	}
	m, err := replay.NewMemory(memory)
	if err != nil {
		return "", err
	}
	s.log.Warn("this program was built for measuring: spent nonces are kept in memory alone")
	s.ledger = &ledger{m, m.Status, func(context.Context) error { m.Purge(); return nil }, func() error { return nil }}
	return fmt.Sprintf("%s.%d", strings.Repeat("0", 32), memory.Window), nil
}
