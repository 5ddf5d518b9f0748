package main

import "testing"

func TestTheHeapOfAnIdleServerIsKeptSmall(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name        string
		before, now heap
		want        int
	}{
		{"idle", heap{10 * mib, 100 * mib}, heap{12 * mib, 104 * mib}, idlePercent},
		{"few keys and much traffic", heap{10 * mib, 100 * mib}, heap{12 * mib, 500 * mib}, busyPercent},
		{"many warm keys and no traffic", heap{300 * mib, 900 * mib}, heap{300 * mib, 901 * mib}, busyPercent},
	} {
		if got := percentFor(c.before, c.now); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if h := readHeap(); h.allocated == 0 {
		t.Error("the runtime says nothing of its memory")
	}
}
