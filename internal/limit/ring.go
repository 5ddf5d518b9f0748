package limit

// chunk is how many ticks one allocation holds at most: 4 KiB. A single slice
// of 10 000 ticks would be rounded up by the allocator to 40 KiB on its own.
const chunk = 1024

// minTicks is what a counter starts with.
const minTicks = 8

// ring is a queue of ticks, oldest first, that grows with use up to a limit
// its owner knows. It never allocates except in grow.
type ring struct {
	first []uint32
	rest  [][]uint32 // only when first is a whole chunk; all but the last are whole chunks
	head  int32      // slot of the oldest
	n     int32      // how many there are
	slots int32      // how many there can be
}

// slot is the place of slot number i.
func (r *ring) slot(i int32) *uint32 {
	if int(i) < len(r.first) {
		return &r.first[i]
	}
	i -= chunk
	return &r.rest[i/chunk][i%chunk]
}

// place is the place of the i-th oldest.
func (r *ring) place(i int32) *uint32 {
	i += r.head
	if i >= r.slots {
		i -= r.slots
	}
	return r.slot(i)
}

func (r *ring) at(i int32) uint32 { return *r.place(i) }
func (r *ring) full() bool        { return r.n == r.slots }

// push appends a tick; the ring must not be full.
func (r *ring) push(tick uint32) {
	r.n++
	*r.place(r.n - 1) = tick
}

// drop forgets the k oldest.
func (r *ring) drop(k int32) {
	r.n -= k
	r.head += k
	if r.head >= r.slots {
		r.head -= r.slots
	}
	if r.n == 0 {
		r.head = 0
	}
}

// remove takes out the i-th oldest.
func (r *ring) remove(i int32) {
	for ; i < r.n-1; i++ {
		*r.place(i) = *r.place(i + 1)
	}
	r.n--
}

// nextSlots is how many slots grow adds when at most limit may ever be needed.
func (r *ring) nextSlots(limit int32) int32 {
	switch {
	case r.slots == 0:
		return min(limit, minTicks)
	case r.slots < chunk:
		return min(limit, 2*r.slots, chunk) - r.slots
	default:
		return min(limit-r.slots, chunk)
	}
}

// grow adds nextSlots(limit) slots. The oldest tick moves to slot 0 first, so
// that the new slots continue the queue.
func (r *ring) grow(limit int32) {
	more := r.nextSlots(limit)
	if r.slots < chunk {
		bigger := make([]uint32, r.slots+more)
		for i := range r.n {
			bigger[i] = r.at(i)
		}
		r.first = bigger
	} else {
		r.rotate()
		r.rest = append(r.rest, make([]uint32, more))
	}
	r.head = 0
	r.slots += more
}

// rotate moves the oldest tick to slot 0 without another buffer: reversing
// both parts and then the whole rotates it.
func (r *ring) rotate() {
	if r.head == 0 {
		return
	}
	r.reverse(0, r.head-1)
	r.reverse(r.head, r.slots-1)
	r.reverse(0, r.slots-1)
	r.head = 0
}

func (r *ring) reverse(from, to int32) {
	for ; from < to; from, to = from+1, to-1 {
		a, b := r.slot(from), r.slot(to)
		*a, *b = *b, *a
	}
}
