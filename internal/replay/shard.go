package replay

import (
	"encoding/binary"
	"slices"
	"sync"
)

// shard holds the nonces of some scopes. A scope is in one shard only, so its
// count is exact.
type shard struct {
	mu     sync.Mutex
	limits *limits

	nonces  index    // key -> place in chunks
	chunks  []*chunk // place >> 8 is the chunk, the low byte the row
	unused  []uint32 // numbers of chunks that are nil
	buckets []*bucket
	expired []*bucket // below the floor, being taken apart

	scopeIndex index
	scopes     []scopeCount
	unusedOne  uint32 // first of the unused scopes + 1, linked through next

	live  int64
	steps int64 // rows and buckets that purging looked at, ever
}

// chunk holds nonces of one bucket: 2040 bytes, which take 2 KiB of the heap.
type chunk struct {
	keys   [chunkRows][16]byte
	scopes [chunkRows]uint32
}

// bucket is the nonces that may be forgotten at one time.
type bucket struct {
	end    int64 // LastValid of all is below it
	chunks []uint32
	rows   int // in the last chunk
}

// scopeCount counts the live nonces of a scope.
type scopeCount struct {
	hash uint64
	live uint32
	next uint32
}

const (
	chunkRows  = 102
	chunkBytes = 2048 + 8 + 4 // with its place in chunks and in its bucket
	scopeBytes = 16
	// drainStep is how many expired nonces a claim takes out, beside its own work:
	// more than one, so that purging overtakes claiming.
	drainStep = 4
)

func tagOf(key *[16]byte) uint32 { return binary.BigEndian.Uint32(key[:4]) }

func (s *shard) holds(m *mark) bool {
	_, found := s.nonces.find(tagOf(&m.key), func(pos uint32) bool {
		return s.chunks[pos>>8].keys[pos&0xff] == m.key
	})
	return found
}

// claim spends a mark at a time. force is for what was spent already and is
// being loaded: caps do not apply, since what is known must be kept.
func (s *shard) claim(m *mark, now int64, force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	s.drain(drainStep)
	// The floor is read under the lock under which this shard forgets.
	if m.last < s.limits.floor.Load() {
		return errTooOld
	}
	if s.holds(m) {
		return errReplayed
	}
	b := s.bucket(bucketEnd(m.last))
	scope, err := s.scope(m.scope, force)
	if err != nil {
		return err
	}
	if err := s.insert(m, b, scope, force); err != nil {
		s.release(scope)
		return err
	}
	return nil
}

// bucket finds or makes the bucket with an end. They are few and in order, and the
// one wanted is usually among the last.
func (s *shard) bucket(end int64) *bucket {
	i := len(s.buckets)
	for i > 0 && s.buckets[i-1].end > end {
		i--
	}
	if i > 0 && s.buckets[i-1].end == end {
		return s.buckets[i-1]
	}
	b := &bucket{end: end, rows: chunkRows}
	s.buckets = slices.Insert(s.buckets, i, b)
	return b
}

// insert writes a row. It changes nothing if it fails.
func (s *shard) insert(m *mark, b *bucket, scope uint32, force bool) error {
	slots := s.nonces.grown()
	if slots != len(s.nonces.slots) {
		if !s.limits.reserve(int64(slots)*slotBytes, force) {
			return ErrFull
		}
		s.limits.free(int64(len(s.nonces.slots)) * slotBytes)
		s.nonces.resize(slots)
	}
	if b.rows == chunkRows {
		if !s.limits.reserve(chunkBytes, force) {
			return ErrFull
		}
		b.chunks, b.rows = append(b.chunks, s.newChunk()), 0
	}
	number := b.chunks[len(b.chunks)-1]
	c := s.chunks[number]
	c.keys[b.rows], c.scopes[b.rows] = m.key, scope
	s.nonces.add(tagOf(&m.key), number<<8|uint32(b.rows)) //nolint:gosec // G115: rows are at most 102
	b.rows++
	s.live++
	return nil
}

func (s *shard) newChunk() uint32 {
	if n := len(s.unused); n > 0 {
		number := s.unused[n-1]
		s.unused = s.unused[:n-1]
		s.chunks[number] = new(chunk)
		return number
	}
	s.chunks = append(s.chunks, new(chunk))
	return uint32(len(s.chunks) - 1) //nolint:gosec // G115: 2^24 chunks would be 32 GiB
}

// scope counts one more nonce of a scope.
func (s *shard) scope(hash uint64, force bool) (uint32, error) {
	pos, found := s.scopeIndex.find(uint32(hash>>32), func(pos uint32) bool { return s.scopes[pos].hash == hash })
	if found {
		if int(s.scopes[pos].live) >= s.limits.perScope && !force {
			return 0, ErrFull
		}
		s.scopes[pos].live++
		return pos, nil
	}
	if slots := s.scopeIndex.grown(); slots != len(s.scopeIndex.slots) {
		if !s.limits.reserve(int64(slots)*slotBytes, force) {
			return 0, ErrFull
		}
		s.limits.free(int64(len(s.scopeIndex.slots)) * slotBytes)
		s.scopeIndex.resize(slots)
	}
	if pos = s.unusedOne; pos > 0 {
		pos--
		s.unusedOne = s.scopes[pos].next
	} else {
		if !s.growScopes(force) {
			return 0, ErrFull
		}
		pos = uint32(len(s.scopes)) //nolint:gosec // G115: the cap on bytes is far below 2^32 scopes
		s.scopes = s.scopes[:pos+1]
	}
	s.scopes[pos] = scopeCount{hash: hash, live: 1}
	s.scopeIndex.add(uint32(hash>>32), pos)
	return pos, nil
}

// growScopes makes room for one more scope.
func (s *shard) growScopes(force bool) bool {
	if len(s.scopes) < cap(s.scopes) {
		return true
	}
	size := max(minSlots, cap(s.scopes)+cap(s.scopes)/4)
	if !s.limits.reserve(int64(size)*scopeBytes, force) {
		return false
	}
	s.limits.free(int64(cap(s.scopes)) * scopeBytes)
	grown := make([]scopeCount, len(s.scopes), size)
	copy(grown, s.scopes)
	s.scopes = grown
	return true
}

// release counts one nonce of a scope less.
func (s *shard) release(pos uint32) {
	c := &s.scopes[pos]
	c.live--
	if c.live > 0 {
		return
	}
	s.scopeIndex.remove(uint32(c.hash>>32), pos)
	c.next, s.unusedOne = s.unusedOne, pos+1
}

// expire raises the floor above the buckets whose time is over.
func (s *shard) expire(now int64) {
	n := 0
	for n < len(s.buckets) && s.buckets[n].end+s.limits.margin <= now {
		s.limits.raise(s.buckets[n].end)
		n++
	}
	if n > 0 {
		s.steps += int64(n)
		s.expired = append(s.expired, s.buckets[:n]...)
		s.buckets = slices.Delete(s.buckets, 0, n)
	}
}

// drain forgets up to so many expired nonces, and gives their memory back.
func (s *shard) drain(rows int) {
	for ; rows > 0 && len(s.expired) > 0; rows-- {
		b := s.expired[len(s.expired)-1]
		if len(b.chunks) == 0 {
			s.expired[len(s.expired)-1] = nil
			s.expired = s.expired[:len(s.expired)-1]
			rows++ // an empty bucket is no work
			continue
		}
		s.steps++
		number := b.chunks[len(b.chunks)-1]
		c := s.chunks[number]
		b.rows--
		s.nonces.remove(tagOf(&c.keys[b.rows]), number<<8|uint32(b.rows)) //nolint:gosec // G115: rows are at most 102
		s.release(c.scopes[b.rows])
		s.live--
		if b.rows == 0 {
			s.chunks[number] = nil
			s.unused = append(s.unused, number)
			s.limits.free(chunkBytes)
			b.chunks, b.rows = b.chunks[:len(b.chunks)-1], chunkRows
		}
	}
	s.shrink()
}

// shrink gives back an index that is nearly empty. It was emptied by at least
// as many removals as it has slots to move, so this costs each of them little.
func (s *shard) shrink() {
	if slots := len(s.nonces.slots); slots > minSlots && s.nonces.n*8 < slots {
		s.limits.free(int64(slots/2) * slotBytes)
		s.nonces.resize(slots / 2)
	}
}
