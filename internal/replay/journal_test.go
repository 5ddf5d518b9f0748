package replay_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/replay"
	"keystile.dev/keystile/internal/replay/replaytest"
)

// desk is a journal's place, its clock, and what the store keeps.
type desk struct {
	t     testing.TB
	clock *replaytest.Clock
	o     replay.JournalOptions
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	clock := replaytest.NewClock(nil)
	return &desk{t: t, clock: clock, o: replay.JournalOptions{
		Path: filepath.Join(t.TempDir(), "replay"), StoreID: "store", Memory: replay.MemoryOptions{Window: replaytest.Window, Now: clock.Now},
	}}
}

// open opens the journal and keeps its epoch, as the store does.
func (d *desk) open() *replay.Journal {
	d.t.Helper()
	j, err := replay.OpenJournal(d.o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.o.Epoch = j.Epoch()
	d.t.Cleanup(func() { d.close(j) })
	return j
}

func (d *desk) close(j *replay.Journal) {
	d.t.Helper()
	if err := j.Close(); err != nil {
		d.t.Error(err)
	}
}

func (d *desk) token(value string) replay.Nonce { return signed(d.clock.Now(), "key", value) }

// segments are the names of the journal's files, oldest first.
func (d *desk) segments() []string {
	d.t.Helper()
	names, err := filepath.Glob(filepath.Join(d.o.Path, "*.journal"))
	if err != nil {
		d.t.Fatal(err)
	}
	return names
}

// edit changes a file's bytes.
func (d *desk) edit(name string, change func([]byte) []byte) {
	d.t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(b), 0o600)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func claim(t testing.TB, l replay.Ledger, n replay.Nonce) {
	t.Helper()
	if err := l.Claim(t.Context(), n); err != nil {
		t.Fatalf("Claim: %v", err)
	}
}

func wantReplayed(t testing.TB, l replay.Ledger, n replay.Nonce) {
	t.Helper()
	if err := l.Claim(t.Context(), n); !errors.Is(err, keystile.ErrReplayed) {
		t.Fatalf("Claim of what was spent: %v", err)
	}
}

func TestJournal(t *testing.T) {
	replaytest.Run(t, func(t *testing.T, o replaytest.Options) replaytest.Harness {
		d := newDesk(t)
		d.o.Memory.MaxPerScope, d.o.Memory.MaxBytes = o.MaxPerScope, o.MaxBytes
		d.o.SegmentBytes = 400 // a few records: rotation all the time
		j := d.open()
		return replaytest.Harness{
			Nodes: [2]replay.Ledger{j, j}, Clock: d.clock, Purge: func() { j.Purge() },
			Restart: func() [2]replay.Ledger {
				d.close(j)
				j = d.open()
				return [2]replay.Ledger{j, j}
			},
		}
	})
}

func TestAFirstStartIsNotIncomplete(t *testing.T) {
	d := newDesk(t)
	j := d.open()
	if s := j.Status(); !s.Ready || s.Text != "ok" || !j.IncompleteUntil().IsZero() || j.Epoch() == "" {
		t.Errorf("status %+v, epoch %q", s, j.Epoch())
	}
	claim(t, j, d.token("n"))
	// The process may end before the store has kept the epoch.
	d.close(j)
	d.o.Epoch = ""
	j = d.open()
	wantReplayed(t, j, d.token("n"))
	if !j.IncompleteUntil().IsZero() {
		t.Error("incomplete")
	}
}

func TestTheJournalIsNobodyElsesToRead(t *testing.T) {
	d := newDesk(t)
	j := d.open()
	claim(t, j, d.token("n"))
	err := filepath.WalkDir(d.o.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyOneProcessHoldsTheJournal(t *testing.T) {
	d := newDesk(t)
	j := d.open()
	if _, err := replay.OpenJournal(d.o); !errors.Is(err, keystile.ErrConflict) {
		t.Errorf("a second one: %v", err)
	}
	claim(t, j, d.token("n"))
	d.close(j)
	if err := j.Claim(t.Context(), d.token("after")); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("a claim on a closed journal: %v", err)
	}
	if s := j.Status(); s.Ready {
		t.Errorf("status %+v", s)
	}
	wantReplayed(t, d.open(), d.token("n"))
}

// The worst case that the bound is for: the token is stamped 50 s ahead, accepted, and then all is lost.
func TestThreat09_WhereTheLedgerMayBeIncompleteNothingThatMayBeSpentIsAccepted(t *testing.T) {
	last := func(names []string) string { return names[len(names)-1] }
	for name, harm := range map[string]func(t *testing.T, d *desk){
		"the directory is gone":      func(t *testing.T, d *desk) { remove(t, d.o.Path) },
		"all segments are gone":      func(t *testing.T, d *desk) { remove(t, d.segments()...) },
		"segments gone, epoch too":   func(t *testing.T, d *desk) { remove(t, d.segments()...); d.o.Epoch = "" },
		"the newest segment is gone": func(t *testing.T, d *desk) { remove(t, last(d.segments())) },
		"a middle segment is gone":   func(t *testing.T, d *desk) { remove(t, d.segments()[1]) },
		"another store":              func(_ *testing.T, d *desk) { d.o.StoreID = "other" },
		"another store, first start": func(_ *testing.T, d *desk) { d.o.StoreID, d.o.Epoch = "other", "" },
		"another epoch":              func(_ *testing.T, d *desk) { d.o.Epoch = "ff" + d.o.Epoch[2:] },
		"a bit of a header":          func(_ *testing.T, d *desk) { d.edit(d.segments()[0], flip(20)) },
		"a bit of a record":          func(_ *testing.T, d *desk) { d.edit(d.segments()[0], flip(replay.HeaderBytes+30)) },
		"a bit of the last record":   func(_ *testing.T, d *desk) { d.edit(last(d.segments()), flip(replay.HeaderBytes+30)) },
		"a record cut in the middle": func(_ *testing.T, d *desk) { d.edit(d.segments()[0], cut(7)) },
		"zeros in the middle":        func(_ *testing.T, d *desk) { d.edit(d.segments()[0], zeros(replay.HeaderBytes, 40)) },
		"a header cut short":         func(_ *testing.T, d *desk) { d.edit(last(d.segments()), func(b []byte) []byte { return b[:50] }) },
		"an empty segment":           func(_ *testing.T, d *desk) { d.edit(last(d.segments()), func([]byte) []byte { return nil }) },
		"the lock file is overwritten": func(_ *testing.T, d *desk) {
			d.edit(filepath.Join(d.o.Path, "lock"), func([]byte) []byte { return []byte("nonsense") })
		},
		"a segment of another journal lies beside": func(t *testing.T, d *desk) {
			other := newDesk(t)
			other.open()
			b, err := os.ReadFile(other.segments()[0])
			if err != nil {
				t.Fatal(err)
			}
			d.edit(last(d.segments()), func([]byte) []byte { return b })
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.o.SegmentBytes = 200
			j := d.open()
			ahead := d.token("stamped ahead")
			ahead.Stamp, ahead.LastValid = ahead.Stamp.Add(50*time.Second), ahead.LastValid.Add(50*time.Second)
			for i := range 20 {
				claim(t, j, d.token(strconv.Itoa(i)))
			}
			claim(t, j, ahead)
			d.close(j)
			if n := len(d.segments()); n < 5 {
				t.Fatalf("%d segments", n)
			}
			d.clock.Advance(5 * time.Second)
			start := d.clock.Now()
			harm(t, d)

			j = d.open()
			for range 2 { // it stays so over another restart
				if err := j.Claim(t.Context(), ahead); err == nil {
					t.Fatal("the token that was spent was accepted again")
				}
				if err := j.Claim(t.Context(), d.token("fresh")); !errors.Is(err, replay.ErrIncomplete) {
					t.Fatalf("a token stamped now: %v", err)
				}
				if s := j.Status(); s.Ready || !s.IncompleteUntil.Equal(start.Add(replaytest.Window)) || !strings.Contains(s.Text, "not known") {
					t.Fatalf("status %+v", s)
				}
				d.close(j)
				d.clock.Advance(time.Second)
				j = d.open()
			}
			d.clock.Set(start.Add(replaytest.Window + time.Nanosecond))
			if err := j.Claim(t.Context(), ahead); err == nil {
				t.Fatal("the token that was spent was accepted again, later")
			}
			claim(t, j, d.token("signed after the time is over"))
			if s := j.Status(); !s.Ready {
				t.Errorf("status %+v", s)
			}
			d.close(j)
			wantReplayed(t, d.open(), d.token("signed after the time is over"))
		})
	}
}

func remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 4; return b }
}

func cut(n int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:len(b)-n] }
}

func zeros(at, n int) func([]byte) []byte {
	return func(b []byte) []byte { clear(b[at : at+n]); return b }
}

func TestAWindowThatWasWiderStillCountsWhenTheLedgerIsLost(t *testing.T) {
	d := newDesk(t)
	d.o.Memory.Window = 10 * time.Minute
	d.close(d.open())
	d.o.Memory.Window = time.Minute
	d.close(d.open())
	remove(t, d.o.Path)
	j := d.open()
	if want := d.clock.Now().Add(10 * time.Minute); !j.IncompleteUntil().Equal(want) {
		t.Errorf("incomplete until %v, want %v", j.IncompleteUntil(), want)
	}
	// And a clock that was set back does not shorten it.
	d.clock.Advance(time.Hour)
	remove(t, d.o.Path)
	d.close(j)
	d.o.Latest = d.clock.Now()
	d.clock.Advance(-time.Hour)
	if j, want := d.open(), d.o.Latest.Add(10*time.Minute); !j.IncompleteUntil().Equal(want) {
		t.Errorf("incomplete until %v, want %v", j.IncompleteUntil(), want)
	}
}

// Widened while the server runs, a token taken far ahead, all lost, and the organisation is gone.
func TestThreat09_AWindowThatWasWidenedMeanwhileCountsWhenTheLedgerIsLost(t *testing.T) {
	for name, harm := range map[string]func(d *desk){
		"the journal is lost":           func(d *desk) { remove(t, d.o.Path) },
		"the newest segment is damaged": func(d *desk) { d.edit(d.segments()[len(d.segments())-1], flip(20)) },
		"the store is an older one":     func(d *desk) { d.o.Epoch = strings.Repeat("ff", 16) + "." + strconv.Itoa(int(replaytest.Window)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			j := d.open()
			claim(t, j, d.token("first"))
			const wide = 10 * time.Minute
			if err := j.Widen(t.Context(), wide, func(_ context.Context, epoch string) error { d.o.Epoch = epoch; return nil }); err != nil {
				t.Fatal(err)
			}
			if d.o.Epoch != j.Epoch() {
				t.Errorf("the store keeps %q, the ledger is %q", d.o.Epoch, j.Epoch())
			}
			far := d.token("far ahead")
			far.Stamp, far.LastValid = far.Stamp.Add(wide), far.LastValid.Add(wide)
			claim(t, j, far)
			d.close(j)
			harm(d)
			j = d.open()
			if want := d.clock.Now().Add(wide); j.IncompleteUntil().Before(want) {
				t.Errorf("incomplete until %v, want %v", j.IncompleteUntil(), want)
			}
			d.clock.Set(far.Stamp)
			if err := j.Claim(t.Context(), far); err == nil {
				t.Error("accepted again")
			}
		})
	}
}

func TestWhatWasBeingWrittenWhenTheProcessEndedIsCutOff(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"a part of a record": func(b []byte) []byte { return append(b, b[replay.HeaderBytes:replay.HeaderBytes+17]...) },
		"one byte":           func(b []byte) []byte { return append(b, 9) },
		"zeros":              func(b []byte) []byte { return append(b, make([]byte, 4096)...) },
		"some zeros":         func(b []byte) []byte { return append(b, make([]byte, 17)...) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			j := d.open()
			claim(t, j, d.token("whole"))
			d.close(j)
			d.edit(d.segments()[0], harm)
			if err := replay.LookupJournal(d.o.Path, d.token("whole")); !errors.Is(err, keystile.ErrReplayed) {
				t.Errorf("Lookup: %v", err)
			}
			for round := range 3 { // what is cut off does not come back as damage
				j = d.open()
				if !j.IncompleteUntil().IsZero() {
					t.Fatal("incomplete")
				}
				wantReplayed(t, j, d.token("whole"))
				claim(t, j, d.token("fresh "+strconv.Itoa(round)))
				d.close(j)
			}
		})
	}
}

func TestAJournalOfANewerProgramIsLeftAlone(t *testing.T) {
	d := newDesk(t)
	j := d.open()
	claim(t, j, d.token("n"))
	d.close(j)
	d.edit(d.segments()[0], replay.OfVersion(2))
	if _, err := replay.OpenJournal(d.o); !errors.Is(err, keystile.ErrConflict) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("opened: %v", err)
	}
	if len(d.segments()) != 1 {
		t.Error("it was moved")
	}
}

func TestAnEpochThatNobodyWroteIsRefused(t *testing.T) {
	d := newDesk(t)
	for _, bad := range []string{"x", "00", "00.1", strings.Repeat("0", 32), strings.Repeat("0", 32) + ".-5", strings.Repeat("0", 32) + ".x"} {
		d.o.Epoch = bad
		var invalid *keystile.Invalid
		if _, err := replay.OpenJournal(d.o); !errors.As(err, &invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOldSegmentsAreDeletedAndTheFloorStays(t *testing.T) {
	d := newDesk(t)
	d.o.SegmentBytes = 1000
	j := d.open()
	start := d.clock.Now()
	for i := range 1000 {
		claim(t, j, d.token(strconv.Itoa(i)))
		d.clock.Advance(time.Second)
		if i%37 != 36 {
			continue
		}
		// About 106 s of nonces are live, and 21 fit a segment.
		if n := len(d.segments()); n > 15 {
			t.Errorf("%d segments", n)
		}
		// A restart with the clock set back to when each of the last was signed.
		now := d.clock.Now()
		d.close(j)
		d.clock.Set(start)
		j = d.open()
		if !j.IncompleteUntil().IsZero() {
			t.Fatalf("incomplete: %s", j.Status().Text)
		}
		for k := max(0, i-200); k <= i; k++ {
			d.clock.Set(start.Add(time.Duration(k) * time.Second))
			if err := j.Claim(t.Context(), d.token(strconv.Itoa(k))); !errors.Is(err, keystile.ErrReplayed) {
				t.Fatalf("%d s later, after a restart, %d: %v", i, k, err)
			}
		}
		d.clock.Set(now)
	}
	if err := replay.LookupJournal(d.o.Path, signed(start, "key", "0")); !errors.Is(err, keystile.ErrReplayed) {
		t.Errorf("Lookup of one below the floor: %v", err)
	}
}

func TestLookupReadsBesideAServerThatWrites(t *testing.T) {
	d := newDesk(t)
	if err := replay.LookupJournal(d.o.Path, d.token("n")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
	d.o.SegmentBytes = 2000
	j := d.open()
	first := d.token("first")
	claim(t, j, first)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := j.Claim(context.Background(), signed(d.clock.Now(), "key", strconv.Itoa(i))); err != nil {
				t.Errorf("Claim: %v", err)
				return
			}
		}
	}()
	for range 100 {
		if err := replay.LookupJournal(d.o.Path, first); !errors.Is(err, keystile.ErrReplayed) {
			t.Errorf("spent: %v", err)
		}
		if err := replay.LookupJournal(d.o.Path, d.token("never")); err != nil {
			t.Errorf("fresh: %v", err)
		}
	}
	close(stop)
	<-stopped
	remove(t, d.o.Path)
	d.close(j)
	j = d.open()
	if err := replay.LookupJournal(d.o.Path, first); !errors.Is(err, replay.ErrIncomplete) {
		t.Errorf("incomplete: %v", err)
	}
}

// failing is a disk that fails when told to.
type failing struct {
	replay.File
	write, sync *atomic.Bool
}

func (f failing) Write(b []byte) (int, error) {
	if f.write.Load() {
		n, err := f.File.Write(b[:len(b)/2])
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.Write(b)
}

func (f failing) Sync() error {
	if f.sync.Load() {
		return syscall.EIO
	}
	return f.File.Sync()
}

func TestAfterAFailedWriteOrFsyncNothingIsAcceptedUntilTheJournalIsOpenedAnew(t *testing.T) {
	for _, what := range []string{"write", "fsync"} {
		t.Run(what, func(t *testing.T) {
			d := newDesk(t)
			var write, sync atomic.Bool
			plain := d.o
			replay.WithFiles(&d.o, func(f replay.File) replay.File { return failing{f, &write, &sync} })
			j := d.open()
			before := d.token("before")
			claim(t, j, before)
			fail := map[string]*atomic.Bool{"write": &write, "fsync": &sync}[what]
			fail.Store(true)
			caught := d.token("caught by the failure")
			if err := j.Claim(t.Context(), caught); !errors.Is(err, keystile.ErrUnavailable) {
				t.Fatalf("%v", err)
			}
			fail.Store(false) // as a disk does that has dropped what it could not write
			for i := range 3 {
				if err := j.Claim(t.Context(), d.token(strconv.Itoa(i))); !errors.Is(err, keystile.ErrUnavailable) {
					t.Fatalf("later: %v", err)
				}
			}
			if err := j.Spent(t.Context(), d.token("x")); !errors.Is(err, keystile.ErrUnavailable) {
				t.Errorf("Spent: %v", err)
			}
			if s := j.Status(); s.Ready || !strings.Contains(s.Text, "restart") {
				t.Errorf("status %+v", s)
			}
			d.close(j)
			d.o, plain.Epoch = plain, j.Epoch()
			d.o.Epoch = plain.Epoch
			j = d.open()
			wantReplayed(t, j, before)
			claim(t, j, d.token("after"))
			if !j.IncompleteUntil().IsZero() {
				t.Error("incomplete, although nothing that was answered is lost")
			}
		})
	}
}

// gated is a disk whose fsync waits.
type gated struct {
	replay.File
	syncs *atomic.Int64
	gate  chan struct{}
}

func (g gated) Sync() error {
	<-g.gate
	g.syncs.Add(1)
	return g.File.Sync()
}

func TestClaimsThatWaitShareOneFsyncAndNoneIsAnsweredBeforeIt(t *testing.T) {
	d := newDesk(t)
	var syncs atomic.Int64
	gate := make(chan struct{})
	replay.WithFiles(&d.o, func(f replay.File) replay.File { return gated{f, &syncs, gate} })
	j := d.open()
	var done sync.WaitGroup
	var answered atomic.Int64
	for i := range 200 {
		done.Go(func() {
			if err := j.Claim(t.Context(), d.token(strconv.Itoa(i))); err != nil {
				t.Errorf("Claim: %v", err)
			}
			answered.Add(1)
		})
	}
	for j.Status().Live < 200 { // all are claimed in memory, and wait
		if n := answered.Load(); n > 0 {
			t.Fatalf("%d were answered before any fsync", n)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := j.Claim(ended, d.token("given up")); !errors.Is(err, keystile.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a claim whose caller went away: %v", err)
	}
	close(gate)
	done.Wait()
	// What came before the first fsync began and after; a straggler may make one more.
	if n := syncs.Load(); n > 4 {
		t.Errorf("%d fsyncs for 200 claims at once", n)
	}
	wantReplayed(t, j, d.token("given up"))
}

// counting is a disk whose fsync ends before anybody else has run.
type counting struct {
	replay.File
	syncs *atomic.Int64
}

func (c counting) Sync() error {
	c.syncs.Add(1)
	return nil
}

// An fsync holds the only processor there is, so that whoever did not claim before it
// cannot claim during it either.
func TestOnOneProcessorClaimsShareAnFsyncToo(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	d := newDesk(t)
	var syncs atomic.Int64
	replay.WithFiles(&d.o, func(f replay.File) replay.File { return counting{f, &syncs} })
	j := d.open()
	const callers, each = 64, 20
	var done sync.WaitGroup
	for caller := range callers {
		done.Go(func() {
			for i := range each {
				if err := j.Claim(t.Context(), signed(d.clock.Now(), strconv.Itoa(caller), strconv.Itoa(i))); err != nil {
					t.Errorf("Claim: %v", err)
				}
			}
		})
	}
	done.Wait()
	if n := syncs.Load(); n > callers*each/8 {
		t.Errorf("%d fsyncs for %d claims of %d callers", n, callers*each, callers)
	}
}

func BenchmarkJournalClaim128Callers(b *testing.B) {
	o := replay.JournalOptions{Path: filepath.Join(b.TempDir(), "replay"), StoreID: "s", Memory: replay.MemoryOptions{MaxPerScope: 1 << 30, MaxBytes: 8 << 30}}
	j, err := replay.OpenJournal(o)
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	var i atomic.Int64
	before := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	var done sync.WaitGroup
	for range 128 {
		done.Go(func() {
			for n := i.Add(1); n <= int64(b.N); n = i.Add(1) {
				if err := j.Claim(context.Background(), signed(time.Now(), "key", fmt.Sprint(n))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-us/claim")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
