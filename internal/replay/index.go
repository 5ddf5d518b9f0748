package replay

// index finds positions by a 32-bit tag: open addressing with linear probing,
// one word a slot (tag, position + 1), no pointers for the collector to follow.
// Slots are in the order of their tags' high bits, so that growing reads and
// writes memory in sequence.
type index struct {
	slots []uint64 // a power of two, or none
	shift uint8    // 32 less the bits of a slot's number
	n     int
}

const (
	slotBytes = 8
	minSlots  = 8
)

func (x *index) home(tag uint32) int { return int(tag >> x.shift) }

// find returns the position with a tag for which is says yes.
func (x *index) find(tag uint32, is func(pos uint32) bool) (uint32, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := len(x.slots) - 1
	for i := x.home(tag); ; i = (i + 1) & mask {
		slot := x.slots[i]
		if slot == 0 {
			return 0, false
		}
		// The low half of a slot is the position + 1.
		if pos := uint32(slot&0xffffffff) - 1; uint32(slot>>32) == tag && is(pos) {
			return pos, true
		}
	}
}

// grown is how many slots there must be to hold one more; as many as there are
// if it fits.
func (x *index) grown() int {
	switch {
	case len(x.slots) == 0:
		return minSlots
	case (x.n+1)*4 > len(x.slots)*3:
		return len(x.slots) * 2
	}
	return len(x.slots)
}

// resize moves everything to so many slots.
func (x *index) resize(slots int) {
	old := x.slots
	x.slots, x.shift = make([]uint64, slots), 32
	for s := slots; s > 1; s >>= 1 {
		x.shift--
	}
	for _, slot := range old {
		if slot != 0 {
			x.place(slot)
		}
	}
}

func (x *index) place(slot uint64) {
	mask := len(x.slots) - 1
	i := x.home(uint32(slot >> 32))
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = slot
}

// add puts in a position that is not there; there must be room.
func (x *index) add(tag, pos uint32) {
	x.place(uint64(tag)<<32 | uint64(pos+1))
	x.n++
}

// remove takes a position out. What stands behind moves up (Knuth, volume 3,
// 6.4, algorithm R), so that no tombstones pile up.
func (x *index) remove(tag, pos uint32) {
	mask := len(x.slots) - 1
	hole := x.home(tag)
	for want := uint64(tag)<<32 | uint64(pos+1); x.slots[hole] != want; hole = (hole + 1) & mask {
		if x.slots[hole] == 0 {
			return // not there
		}
	}
	for i := (hole + 1) & mask; x.slots[i] != 0; i = (i + 1) & mask {
		// What stands at i may fill the hole unless its home lies after the hole.
		if home := x.home(uint32(x.slots[i] >> 32)); (i-home)&mask >= (i-hole)&mask {
			x.slots[hole] = x.slots[i]
			hole = i
		}
	}
	x.slots[hole] = 0
	x.n--
}
