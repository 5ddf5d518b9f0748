package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func testCursors(t testing.TB) *cursors {
	t.Helper()
	c, err := newCursors(bytes.Repeat([]byte{1}, cursorKeyLength))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func FuzzACursorThatWasNotSealedHereIsRefused(f *testing.F) {
	c := testCursors(f)
	good := c.seal("key_a", "adm", "keys", "")
	f.Add("", "keys")
	f.Add(good, "keys")
	f.Add(good[:len(good)-1], "keys")
	f.Add(strings.Repeat("A", 600), "keys")
	f.Add("====", "sites")
	f.Add("\x00\xff", "")
	f.Fuzz(func(t *testing.T, cursor, collection string) {
		after, err := c.open(cursor, "adm", collection, "")
		switch {
		case cursor == "":
			if after != "" || err != nil {
				t.Errorf("the beginning: %q, %v", after, err)
			}
		case err == nil && (after != "key_a" || collection != "keys"):
			t.Errorf("cursor %q of %q opened to %q", cursor, collection, after)
		}
	})
}

func TestACursorOpensToWhatWasSealedAndOnlyWithItsBinding(t *testing.T) {
	c := testCursors(t)
	// Few letters and short parts, so that different lists often join to one text.
	part := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00\x01")), 0, 3, -1)
	rapid.Check(t, func(t *rapid.T) {
		after := rapid.StringN(1, 64, 128).Draw(t, "after")
		binding := rapid.SliceOfN(part, 1, 4).Draw(t, "binding")
		other := rapid.SliceOfN(part, 1, 4).Draw(t, "other")
		cursor := c.seal(after, binding...)
		if got, err := c.open(cursor, binding...); err != nil || got != after {
			t.Fatalf("opened to %q, %v", got, err)
		}
		same := len(binding) == len(other)
		for i := range binding {
			same = same && binding[i] == other[i]
		}
		if _, err := c.open(cursor, other...); (err == nil) != same {
			t.Fatalf("binding %q, opened with %q: %v", binding, other, err)
		}
	})
}

func TestThreat20_ListsOfPartsThatJoinToOneTextAreDifferentBindings(t *testing.T) {
	c := testCursors(t)
	for _, pair := range [][2][]string{
		{{"ab", "c"}, {"a", "bc"}}, {{"abc"}, {"ab", "c"}}, {{"a", ""}, {"", "a"}}, {{"a"}, {"a", ""}}, {{"a\x01b"}, {"a", "b"}},
	} {
		if _, err := c.open(c.seal("x", pair[0]...), pair[1]...); err == nil {
			t.Errorf("sealed for %q, opened for %q", pair[0], pair[1])
		}
	}
}

func FuzzABodyIsReadOneWayOrRefused(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"id":"a"}`, `{"id":"a","id":"b"}`, `{"ID":"a"}`, `[1,2,{"a":null}]`, `{"a":{"b":{"c":[]}}}`, `"x" "y"`, ``, `{`, `nul`, "\xff",
		`{"\u0069d":"a","id":"b"}`, `{"a":1e999}`, strings.Repeat("[", 40),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var loose, strict any
		err := strictJSON.Unmarshal(body, &strict)
		if err != nil {
			if text := err.Error(); len(text) > 200 {
				t.Errorf("a long error: %q", text)
			}
			return
		}
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("strict reading took what the standard library refuses: %v", err)
		}
		if a, b := rendered(t, strict), rendered(t, loose); a != b {
			t.Errorf("read as %s and as %s", a, b)
		}
		var key KeyUpdate
		if err := strictJSON.Unmarshal(body, &key); err != nil && len(err.Error()) > 200 {
			t.Errorf("a long error: %q", err)
		}
	})
}

func rendered(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
