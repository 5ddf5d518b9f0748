//go:build !memoryledger

package main

import (
	"context"

	"keystile.dev/keystile/internal/replay"
)

// openOwnLedger opens the ledger of one server on SQLite: memory and a journal.
func (s *server) openOwnLedger(ctx context.Context, epoch string, memory replay.MemoryOptions) (string, error) {
	return s.openJournal(ctx, epoch, memory)
}
