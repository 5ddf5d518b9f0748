package warm

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	keystile "keystile.dev/keystile"
)

// Subject is one thing that an entry hangs on: a change of that kind to the
// thing with that id makes the entry stale.
type Subject struct {
	Kind keystile.ChangeKind
	ID   string
}

// maxSubjects is how many subjects an entry can have: its credential, its
// organisation and six that its kind adds. An entry that names more is
// answered with once and not remembered.
const maxSubjects = 8

const (
	// markClasses is how many kinds of change have marks of their own; the kinds
	// after them share the last. They are apart because a kind that changes all
	// the time must not hit, by chance, one thing on which every entry hangs.
	markClasses = 8
	// marksOfClass is how many marks the ids of one kind share: 128 KiB a kind,
	// resident once used. Two ids that share one cost a needless read of the
	// store: with 262 144 entries, a change to one key has 16 of them read again.
	marksOfClass = 16_384
)

// marks remember when subjects last changed, as the sequence of the change.
// Marks only ever grow.
type marks struct {
	seed  maphash.Seed
	all   atomic.Int64
	cells [markClasses * marksOfClass]atomic.Int64

	mu      sync.Mutex
	classes map[keystile.ChangeKind]uint32
}

func newMarks() *marks {
	return &marks{seed: maphash.MakeSeed(), classes: map[keystile.ChangeKind]uint32{}}
}

// cellOf is where the changes to a subject are marked.
func (m *marks) cellOf(s Subject) uint32 {
	return m.class(s.Kind)*marksOfClass + uint32(maphash.String(m.seed, s.ID)%marksOfClass)
}

func (m *marks) class(kind keystile.ChangeKind) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	class, ok := m.classes[kind]
	if !ok {
		class = min(uint32(len(m.classes)), markClasses-1) //nolint:gosec // as many as there are kinds of change
		m.classes[kind] = class
	}
	return class
}

// touch marks a change to one subject.
func (m *marks) touch(s Subject, sequence int64) { raise(&m.cells[m.cellOf(s)], sequence) }

// touchAll marks a change to everything.
func (m *marks) touchAll(sequence int64) { raise(&m.all, sequence) }

// raise lifts a mark: of changes that arrive side by side the newest stands,
// whichever is written last.
func raise(mark *atomic.Int64, sequence int64) {
	for {
		old := mark.Load()
		if old >= sequence || mark.CompareAndSwap(old, sequence) {
			return
		}
	}
}

// origin says what an entry was made of: when its read of the store began, and
// the cells of its subjects. It never changes once the entry is shared.
type origin struct {
	readAt   int64
	subjects uint32
	cells    [maxSubjects]uint32
}

// originOf makes the origin of an entry; ok is false if it has too many subjects.
func (m *marks) originOf(subjects []Subject, readAt int64) (o origin, ok bool) {
	o.readAt = readAt
	for _, s := range subjects {
		if s.ID == "" {
			continue
		}
		if o.subjects == maxSubjects {
			return origin{}, false
		}
		o.cells[o.subjects] = m.cellOf(s)
		o.subjects++
	}
	return o, true
}

// stale says whether anything that the entry hangs on changed since it was read.
func (m *marks) stale(o *origin) bool {
	if m.all.Load() > o.readAt {
		return true
	}
	for _, cell := range o.cells[:o.subjects] {
		if m.cells[cell].Load() > o.readAt {
			return true
		}
	}
	return false
}
