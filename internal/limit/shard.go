package limit

import (
	"sync"

	keystile "keystile.dev/keystile"
)

// shard is one part of the table. Its clock never goes backwards, so its
// queues are in order of time and what was forgotten stays past.
type shard struct {
	mu     sync.Mutex
	clock  int64
	table  map[uint64]*entry
	queues []*queue
	turn   int
	peak   int // the most the table has held: Go's maps do not shrink
}

// entry is a counter and its places in a shard.
type entry struct {
	counter
	hash         uint64
	chain        *entry // another counter of the same hash
	queue        *queue
	older, newer *entry
	queued       int64 // when it was put there: less than the queue's slack before the last draw
	bytes        int64 // accounted for, the log aside
}

// tell moves the shard's clock on and returns it.
func (s *shard) tell(at int64) int64 {
	s.clock = max(s.clock, at)
	return s.clock
}

func (s *shard) find(hash uint64, k *Key, rate *keystile.Rate) *entry {
	for e := s.table[hash]; e != nil; e = e.chain {
		if e.is(k, rate) {
			return e
		}
	}
	return nil
}

func (s *shard) put(e *entry) {
	if s.table == nil {
		s.table = make(map[uint64]*entry)
	}
	e.chain = s.table[e.hash]
	s.table[e.hash] = e
	s.peak = max(s.peak, len(s.table))
}

func (s *shard) delete(e *entry) {
	at := s.table[e.hash]
	switch {
	case at != e:
		for at.chain != e {
			at = at.chain
		}
		at.chain = e.chain
	case e.chain != nil:
		s.table[e.hash] = e.chain
	default:
		delete(s.table, e.hash)
	}
}

// shrink gives the memory of a table back that has become much smaller.
func (s *shard) shrink() {
	const worthwhile = 1024
	if s.peak < worthwhile || len(s.table) > s.peak/4 {
		return
	}
	smaller := make(map[uint64]*entry, len(s.table))
	for h, e := range s.table {
		smaller[h] = e
	}
	s.table, s.peak = smaller, len(smaller)
}

// queue holds the counters of one window length, longest idle first.
type queue struct {
	window         int64
	oldest, newest *entry
}

// queueOf finds the queue of a window length, or makes it. There are as many as
// there are different windows in use, which is few.
func (s *shard) queueOf(window int64) *queue {
	for _, q := range s.queues {
		if q.window == window {
			return q
		}
	}
	q := &queue{window: window}
	s.queues = append(s.queues, q)
	return q
}

// nextQueue is another queue each time.
func (s *shard) nextQueue() *queue {
	if len(s.queues) == 0 {
		return nil
	}
	s.turn = (s.turn + 1) % len(s.queues)
	return s.queues[s.turn]
}

// retire takes an empty queue away.
func (s *shard) retire(q *queue) {
	if q.oldest != nil {
		return
	}
	for i := range s.queues {
		if s.queues[i] == q {
			last := len(s.queues) - 1
			s.queues[i] = s.queues[last]
			s.queues[last] = nil
			s.queues = s.queues[:last]
			return
		}
	}
}

// slack is how far a counter's place may lag behind its last draw. Moving a
// counter touches three others, so it is not done at every draw.
func (q *queue) slack() int64 { return q.window / 4 }

func (q *queue) push(e *entry, now int64) {
	e.queue, e.older, e.newer, e.queued = q, q.newest, nil, now
	if q.newest == nil {
		q.oldest = e
	} else {
		q.newest.newer = e
	}
	q.newest = e
}

func (q *queue) unlink(e *entry) {
	if e.older == nil {
		q.oldest = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		q.newest = e.older
	} else {
		e.newer.older = e.older
	}
	e.older, e.newer = nil, nil
}

// requeue puts a counter that was just drawn from at the end.
func (q *queue) requeue(e *entry, now int64) {
	q.unlink(e)
	q.push(e, now)
}
