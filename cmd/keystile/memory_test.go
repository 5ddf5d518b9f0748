package main

import "testing"

func TestTheHeapIsCollectedRarelyWhileTheServerIsBusyAndOftenAfterwards(t *testing.T) {
	const mb = 1 << 20
	tuner := heapTuner{calm: calmTurns}
	for i, step := range []struct {
		inUse, allocated uint64
		want             int
	}{
		{8 * mb, 0, idlePercent},
		{8 * mb, 1 * mb, idlePercent},
		// Much allocated, little in use: there is room for 32 MiB.
		{8 * mb, 40 * mb, 400},
		{20 * mb, 80 * mb, busyPercent},
		// Calm for a moment is not idle.
		{8 * mb, 81 * mb, busyPercent},
		{8 * mb, 120 * mb, 400},
		{1 * mb, 160 * mb, 800},
		// Much in use.
		{600 * mb, 700 * mb, busyPercent},
		{600 * mb, 700 * mb, busyPercent},
		{9 * mb, 701 * mb, busyPercent},
		{9 * mb, 701 * mb, busyPercent},
		{9 * mb, 701 * mb, busyPercent},
		{9 * mb, 702 * mb, busyPercent},
		{9 * mb, 702 * mb, idlePercent},
		{9 * mb, 703 * mb, idlePercent},
	} {
		if got := tuner.look(heap{inUse: step.inUse, allocated: step.allocated}); got != step.want {
			t.Fatalf("look %d: %d percent, want %d", i, got, step.want)
		}
	}
	if h := readHeap(); h.allocated == 0 {
		t.Error("the runtime says nothing of its memory")
	}
}
