package replay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"
)

// OpenJournal opens the journal in a directory, or begins one. It reads what is there:
// under a second for a million nonces. It fails with keystile.ErrConflict if another
// process holds the journal or a newer program wrote it. A journal that is
// missing, damaged or another store's is no failure: it opens incomplete,
// and what lay there is renamed to *.aside.
func OpenJournal(o JournalOptions) (*Journal, error) {
	o.Memory = o.Memory.withDefaults()
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.create == nil {
		o.create = createSegment
	}
	known, exists, err := parseEpoch(o.Epoch)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	held, err := takeLock(o.Path)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	p := opening{o: o, known: known, exists: exists, lock: held}
	j, err := p.run()
	if err != nil {
		return nil, fmt.Errorf("replay: open the journal: %w", errors.Join(err, held.Close()))
	}
	go j.write()
	return j, nil
}

// takeLock makes the directory and locks it.
func takeLock(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: the directory is configured
	if err != nil {
		return nil, fmt.Errorf("open the journal's lock: %w", err)
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// opening is the work of OpenJournal.
type opening struct {
	o      JournalOptions
	known  epoch // to the store
	exists bool  // the store knows one
	lock   *os.File

	numbers []uint64
	newest  uint64 // by the lock file or by what is there
	head    header // of the newest segment that could be read
	old     []sealed
	loaded  int64
	memory  *Memory
}

func (p *opening) run() (*Journal, error) {
	why, err := p.inspect()
	if err != nil {
		return nil, err
	}
	switch {
	case why != "":
		err = p.beginIncomplete()
	case len(p.numbers) == 0:
		err = p.begin(0)
	default:
		p.resume()
	}
	if err != nil {
		return nil, err
	}
	w := &writer{
		dir: p.o.Path, lock: p.lock, limit: p.o.SegmentBytes, memory: p.memory, create: p.o.create, old: p.old, nextLook: math.MinInt64,
	}
	if err := w.open(p.head); err != nil {
		return nil, err
	}
	j := &Journal{
		memory: p.memory, writer: w, why: why, logger: p.o.Logger, pending: newBatch(),
		epoch: epoch{id: p.head.epoch, window: time.Duration(p.head.window)},
		wake:  make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	if why != "" {
		j.logger.Warn("what was spent before is not known: one-time requests are refused for a while",
			"because", why, "stamped_up_to", j.IncompleteUntil())
	}
	return j, nil
}

// inspect reads what is there. why says why that is not, or may not be, everything
// that was spent; err that it cannot be read now.
func (p *opening) inspect() (why string, err error) {
	if p.numbers, err = listSegments(p.o.Path); err != nil {
		return "", err
	}
	p.newest, err = readHead(p.lock)
	if err == nil {
		err = p.readAll()
	}
	if n := len(p.numbers); n > 0 {
		p.newest = max(p.newest, p.numbers[n-1])
	}
	if errors.Is(err, errDamaged) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	return p.strange(), nil
}

// strange says why what could be read is not the journal that should be there.
func (p *opening) strange() string {
	switch {
	case len(p.numbers) == 0 && (p.exists || p.newest > 0):
		return "the journal is missing"
	case len(p.numbers) == 0:
		return ""
	case p.head.store != storeDigest(p.o.StoreID):
		return "the journal belongs to another store"
	case p.exists && p.head.epoch != p.known.id:
		return "the journal is not the one that the store knows"
	}
	return ""
}

// readAll loads the segments into memory.
func (p *opening) readAll() error {
	if n := len(p.numbers); n > 0 && p.numbers[n-1] < p.newest {
		return damaged("its newest segment is missing")
	}
	for i, number := range p.numbers {
		if i > 0 && number != p.numbers[i-1]+1 {
			return damaged("a segment is missing")
		}
		if err := p.readOne(number, i == len(p.numbers)-1); err != nil {
			return err
		}
	}
	return nil
}

func (p *opening) readOne(number uint64, newest bool) error {
	name := filepath.Join(p.o.Path, segmentName(number))
	f, err := os.OpenFile(name, os.O_RDWR, 0) //nolint:gosec // G304: the directory is configured
	if err != nil {
		return fmt.Errorf("read the journal of spent nonces: %w", err)
	}
	now, last := p.o.Memory.Now(), int64(math.MinInt64)
	end, torn, err := readSegment(f, func(h *header) error { return p.begins(h, number) }, func(kind byte, m *mark) {
		if kind == recordFloor {
			p.memory.limits.raise(m.last)
			return
		}
		last = max(last, m.last)
		if p.memory.restore(m, now) {
			p.loaded++
		}
	})
	if err == nil && torn {
		// What was being written when the process ended was never answered.
		if !newest {
			err = damaged("segment %016x ends in the middle of a record", number)
		} else if err = f.Truncate(end); err == nil {
			err = f.Sync()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	p.old = append(p.old, sealed{number, last})
	return nil
}

// begins checks a segment's header, in order of the segments.
func (p *opening) begins(h *header, number uint64) error {
	if h.number != number {
		return damaged("segment %016x is named %016x", h.number, number)
	}
	if p.memory == nil {
		p.memory = newMemory(p.o.Memory, digester{key: h.key})
	} else if h.epoch != p.head.epoch || h.store != p.head.store || h.key != p.head.key {
		return damaged("segments of several journals lie side by side")
	}
	p.memory.limits.raise(h.floor)
	refuse := max(h.refuse, p.head.refuse)
	p.head = *h
	p.head.refuse = refuse
	return nil
}

// resume goes on with the journal that was read.
func (p *opening) resume() {
	// The widest window there ever was, also by what the store knows.
	p.head.window = max(p.head.window, int64(p.o.Memory.Window), int64(p.known.window))
	p.memory.limits.refuse.Store(p.head.refuse)
	if n := len(p.old); p.old[n-1].last == math.MinInt64 {
		p.old = p.old[:n-1] // the newest is empty, and is replaced
	} else {
		p.head.number++
	}
}

// begin starts a journal that refuses stamps up to refuse; 0 for none.
func (p *opening) begin(refuse int64) error {
	window := max(p.o.Memory.Window, p.known.window, time.Duration(p.head.window))
	e, err := newEpoch(p.o.Memory.Random, window)
	if err != nil {
		return err
	}
	var d digester
	if _, err := io.ReadFull(p.o.Memory.Random, d.key[:]); err != nil {
		return fmt.Errorf("make the digest's key: %w", err)
	}
	p.head = header{
		store: storeDigest(p.o.StoreID), epoch: e.id, key: d.key, number: p.newest + 1, refuse: refuse, window: int64(window),
	}
	p.memory = newMemory(p.o.Memory, d)
	p.memory.limits.refuse.Store(refuse)
	p.old = nil
	return nil
}

// beginIncomplete starts a journal that refuses whatever may have been spent.
func (p *opening) beginIncomplete() error {
	// A clock that was set back must not make the beginning earlier than
	// what was accepted.
	start := p.o.Memory.Now()
	if p.o.Latest.After(start) {
		start = p.o.Latest
	}
	if created := time.Unix(0, p.head.created); created.After(start) {
		start = created
	}
	window := max(p.o.Memory.Window, p.known.window, time.Duration(p.head.window))
	refuse := max(start.Add(window).UnixNano(), p.head.refuse)
	if err := putAside(p.o.Path, p.numbers); err != nil {
		return err
	}
	return p.begin(refuse)
}
