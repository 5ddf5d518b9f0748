package policy

// Two patterns are compared as sequences whose elements either stand for
// exactly one thing (a segment, a byte) or are gaps, which stand for any
// number of things. The same two questions serve both levels.

// element is what sequences are made of.
type element interface{ isGap() bool }

// table2 is a table of answers for suffixes of two sequences.
type table2 struct {
	width int
	cells []bool
}

func newTable2(height, width int) table2 {
	return table2{width: width, cells: make([]bool, height*width)}
}

func (t table2) at(i, j int) bool     { return t.cells[i*t.width+j] }
func (t table2) set(i, j int, v bool) { t.cells[i*t.width+j] = v }

func gapAt[E element](s []E, i int) bool { return i < len(s) && s[i].isGap() }

// overlaps says whether something is matched by both a and b; one says the same
// of two elements that are no gaps. It is exact.
func overlaps[E element](a, b []E, one func(E, E) bool) bool {
	t := newTable2(len(a)+1, len(b)+1)
	t.set(len(a), len(b), true)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case gapAt(a, i):
				// The gap takes nothing (more), or what b has here.
				t.set(i, j, t.at(i+1, j) || j < len(b) && t.at(i, j+1))
			case gapAt(b, j):
				t.set(i, j, t.at(i, j+1) || i < len(a) && t.at(i+1, j))
			case i < len(a) && j < len(b):
				t.set(i, j, one(a[i], b[j]) && t.at(i+1, j+1))
			}
		}
	}
	return t.at(0, 0)
}

// covers says whether a matches everything that b matches; one says the same of
// two elements that are no gaps. True is exact. False may also mean that it
// takes more than laying a over b to see it ("/*/**" over "/**/*"): such two
// count as not comparable, so they are refused together instead of ranked.
func covers[E element](a, b []E, one func(E, E) bool) bool {
	t := newTable2(len(a)+1, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a):
				t.set(i, j, j == len(b))
			case a[i].isGap():
				t.set(i, j, t.at(i+1, j) || j < len(b) && t.at(i, j+1))
			case j < len(b) && !b[j].isGap():
				t.set(i, j, one(a[i], b[j]) && t.at(i+1, j+1))
			}
		}
	}
	return t.at(0, 0)
}
