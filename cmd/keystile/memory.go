package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// busyPercent lets the heap grow to three times what is in use before it is
	// collected, where Go's default is twice: a warm set is long-lived memory that
	// every collection marks anew, and this halves what that costs a request.
	busyPercent = 200
	// busyRoom is what a busy server may allocate between two collections at least, in
	// bytes: one with little in use would be collected dozens of times a second.
	busyRoom = 32 << 20
	// idlePercent is for a server that has little in use and little to do.
	idlePercent = 50
	// busyHeap is much in use, and busyTurn much allocated between two looks, in bytes.
	busyHeap, busyTurn = 64 << 20, 6 << 20
	// heapTurn is the time between two looks.
	heapTurn = time.Second
	// calmTurns is how many looks in a row have to find little to do, before the server is idle.
	calmTurns = 5
)

// heap is what the runtime says of its memory, in bytes.
type heap struct{ inUse, allocated uint64 }

// tuneHeap collects often while the server is idle, and gives back what it does not need, and rarely while it is busy,
// until ctx ends.
func (s *server) tuneHeap(ctx context.Context) {
	if !s.tunesHeap {
		return
	}
	t := heapTuner{before: readHeap(), calm: calmTurns}
	set := 0
	every(ctx, heapTurn, func() {
		want := t.look(readHeap())
		if want == set {
			return
		}
		set = want
		debug.SetGCPercent(want)
		if want == idlePercent {
			debug.FreeOSMemory()
		}
	})
}

// heapTuner remembers what the last looks saw.
type heapTuner struct {
	before heap
	// calm counts the looks in a row that found little to do, and percent is what the last one said.
	calm, percent int
}

// look is the percentage by which the heap may grow (as GOGC) after this look.
func (t *heapTuner) look(now heap) int {
	busy := now.inUse >= busyHeap || now.allocated-t.before.allocated >= busyTurn
	t.before = now
	if busy {
		t.calm = 0
		t.percent = max(busyPercent, int(busyRoom*100/max(now.inUse, busyRoom/8))) //nolint:gosec // at most 800
		return t.percent
	}
	if t.calm++; t.calm >= calmTurns {
		t.percent = idlePercent
	}
	return t.percent
}

func readHeap() heap {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return heap{inUse: sample[0].Value.Uint64(), allocated: sample[1].Value.Uint64()}
}
