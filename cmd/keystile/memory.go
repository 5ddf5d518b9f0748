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
	// idlePercent is for a server that has little in use and little to do.
	idlePercent = 50
	// busyHeap is much in use, and busyTurn much allocated between two looks, in bytes.
	busyHeap, busyTurn = 64 << 20, 32 << 20
	// heapTurn is the time between two looks.
	heapTurn = 5 * time.Second
)

// heap is what the runtime says of its memory.
type heap struct{ inUse, allocated uint64 }

// tuneHeap collects often while the server is idle, and gives back what it does not need, and rarely while it is busy,
// until ctx ends.
func (s *server) tuneHeap(ctx context.Context) {
	if !s.tunesHeap {
		return
	}
	var before heap
	percent := 0
	tune := func() {
		now := readHeap()
		want := percentFor(before, now)
		before = now
		if want == percent {
			return
		}
		percent = want
		debug.SetGCPercent(percent)
		if percent == idlePercent {
			debug.FreeOSMemory()
		}
	}
	every(ctx, heapTurn, tune)
}

func percentFor(before, now heap) int {
	if now.inUse >= busyHeap || now.allocated-before.allocated >= busyTurn {
		return busyPercent
	}
	return idlePercent
}

func readHeap() heap {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return heap{inUse: sample[0].Value.Uint64(), allocated: sample[1].Value.Uint64()}
}
