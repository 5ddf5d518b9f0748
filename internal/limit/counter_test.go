package limit

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
)

func TestThreat20_KeysOnTheServerNeverCollide(t *testing.T) {
	v := &Valkey{prefix: DefaultPrefix}
	part := rapid.StringOf(rapid.SampledFrom([]rune("ab1:/{}*\x00é")))
	counters := rapid.Custom(func(t *rapid.T) *counter {
		rate := &keystile.Rate{Requests: rapid.IntRange(1, 12).Draw(t, "requests"), Window: time.Duration(rapid.IntRange(1, 12).Draw(t, "window")) * time.Millisecond}
		if rapid.Bool().Draw(t, "gcra") {
			rate.Algorithm = keystile.AlgorithmGCRA
		}
		c := newCounter(Key{Per: keystile.LimitPer(part.Draw(t, "per")), Route: part.Draw(t, "route"), ID: part.Draw(t, "id")}, rate, 0)
		return &c
	})
	rate := func(c *counter) *keystile.Rate {
		r := &keystile.Rate{Requests: int(c.requests), Window: time.Duration(c.window)}
		if c.pace != nil {
			r.Algorithm = keystile.AlgorithmGCRA
		}
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := counters.Draw(t, "a"), counters.Draw(t, "b")
		if same := v.key(a.key, rate(a)) == v.key(b.key, rate(b)); same != a.is(&b.key, rate(b)) {
			t.Fatalf("one server key: %v, one counter: %v", same, !same)
		}
	})
}

// FuzzThreat20_KeysOnTheServerNeverCollide looks for two counters with one key.
func FuzzThreat20_KeysOnTheServerNeverCollide(f *testing.F) {
	f.Add("credential", "GET /a", "key_1", "credential", "GET /", "akey_1")
	f.Add("a", "1:b", "c", "a", "1", "b:c")
	f.Add("", "1:a:1:b", "", "", "", "1:a:1:b")
	v := &Valkey{prefix: DefaultPrefix}
	rate := &keystile.Rate{Requests: 1, Window: time.Minute}
	f.Fuzz(func(t *testing.T, per1, route1, id1, per2, route2, id2 string) {
		a := Key{Per: keystile.LimitPer(per1), Route: route1, ID: id1}
		b := Key{Per: keystile.LimitPer(per2), Route: route2, ID: id2}
		if (a == b) != (v.key(a, rate) == v.key(b, rate)) {
			t.Fatalf("%+v and %+v share %q", a, b, v.key(a, rate))
		}
	})
}

func TestCountersOfOneHashAreKeptApart(t *testing.T) {
	s := &shard{}
	rate := &keystile.Rate{Requests: 1, Window: time.Minute}
	var entries []*entry
	for _, id := range []string{"a", "b", "c"} {
		e := &entry{counter: newCounter(Key{ID: id}, rate, 0), hash: 7}
		s.put(e)
		entries = append(entries, e)
	}
	find := func(id string) *entry { return s.find(7, &Key{ID: id}, rate) }
	for i, id := range []string{"a", "b", "c"} {
		if find(id) != entries[i] {
			t.Errorf("%s was not found", id)
		}
	}
	s.delete(entries[1]) // in the middle of the chain
	if find("a") != entries[0] || find("b") != nil || find("c") != entries[2] {
		t.Error("deleting b")
	}
	s.delete(entries[2]) // its head
	if find("a") != entries[0] || find("c") != nil {
		t.Error("deleting c")
	}
	s.delete(entries[0])
	if len(s.table) != 0 {
		t.Error("deleting a")
	}
}

func TestATableThatEmptiesGivesItsMemoryBack(t *testing.T) {
	m, s := NewMemory(MemoryOptions{}), &shard{}
	rate := &keystile.Rate{Requests: 1, Window: time.Minute}
	for i := range 2000 {
		if i == 1990 { // the last ten are in use a minute longer
			s.tell(int64(time.Minute))
		}
		if m.add(s, uint64(i), Key{ID: strconv.Itoa(i)}, rate) == nil {
			t.Fatal("no memory")
		}
	}
	s.shrink()
	if s.peak != 2000 {
		t.Fatalf("a table in use was rebuilt: peak %d", s.peak)
	}
	s.tell(int64(2 * time.Minute))
	if n := m.sweepShard(s); n != 1990 {
		t.Fatalf("swept %d", n)
	}
	s.shrink()
	if s.peak != 10 || len(s.table) != 10 || m.Stats().Keys != 10 {
		t.Fatalf("a table that holds %d has room for %d", len(s.table), s.peak)
	}
	if s.find(1995, &Key{ID: "1995"}, rate) == nil {
		t.Error("a key was lost in the new table")
	}
}
