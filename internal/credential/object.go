package credential

import (
	"hash/maphash"
	"unicode/utf8"
)

// Limits of the objects that are read. A credential holds a handful of members
// and nothing nested that matters.
const (
	maxMembers = 24
	maxDepth   = 16
)

// Object reads the members of one JSON object (RFC 8259), one after the other,
// strictly and without allocating:
//
//	o := NewObject(data)
//	for name, value, ok := o.Next(); ok; name, value, ok = o.Next() {
//	}
//	good := o.Good()
//
// Members are worth nothing until Good has said true at the end. It refuses
// text that is not UTF-8, anything before or after the object, more than 24
// members, more than 16 levels, and a member that is there twice: two readers
// of such a text can see two different objects.
type Object struct {
	data    []byte
	at      int
	members int
	done    bool
	bad     bool
	repeats bool // members may repeat
	// names are hashes of the names that came. Two names with one hash, one chance
	// in 2^64, would be taken for a repeat, and the text refused.
	names [maxMembers]uint64
}

var nameSeed = maphash.MakeSeed()

// NewObject begins to read data, which is not changed and must not change meanwhile.
func NewObject(data []byte) Object {
	o := Object{data: data}
	o.space()
	o.bad = !utf8.Valid(data) || !o.take('{')
	return o
}

// AllowRepeats lets members repeat: for asking what a text looks like, never for
// what it says.
func (o *Object) AllowRepeats() { o.repeats = true }

// Good says, after the last member, that the whole text was one good object.
func (o *Object) Good() bool { return o.done && !o.bad }

// Next is the next member: its name with escapes resolved, and its value as it
// stands. ok is false at the end and at the first mistake.
func (o *Object) Next() (name []byte, value Value, ok bool) {
	if o.bad || o.done {
		return nil, nil, false
	}
	o.space()
	if o.take('}') {
		o.end()
		return nil, nil, false
	}
	if o.members > 0 {
		if !o.take(',') {
			return o.fail()
		}
		o.space()
	}
	raw, ok := o.value(1)
	if !ok || raw[0] != '"' {
		return o.fail()
	}
	if name, ok = raw.Text(); !ok || !o.note(name) {
		return o.fail()
	}
	o.space()
	if !o.take(':') {
		return o.fail()
	}
	o.space()
	if value, ok = o.value(1); !ok {
		return o.fail()
	}
	return name, value, true
}

func (o *Object) fail() ([]byte, Value, bool) {
	o.bad = true
	return nil, nil, false
}

// end checks that nothing but white space follows.
func (o *Object) end() {
	o.space()
	o.done, o.bad = true, o.at != len(o.data)
}

// note remembers a name and says whether it is new.
func (o *Object) note(name []byte) bool {
	if o.members == maxMembers {
		return false
	}
	if !o.repeats {
		hash := maphash.Bytes(nameSeed, name)
		for _, seen := range o.names[:o.members] {
			if seen == hash {
				return false
			}
		}
		o.names[o.members] = hash
	}
	o.members++
	return true
}

func (o *Object) take(c byte) bool {
	if o.at < len(o.data) && o.data[o.at] == c {
		o.at++
		return true
	}
	return false
}

func (o *Object) space() {
	for o.at < len(o.data) {
		switch o.data[o.at] {
		case ' ', '\t', '\n', '\r':
			o.at++
		default:
			return
		}
	}
}

// value walks over one value and returns it as it stands.
func (o *Object) value(depth int) (Value, bool) {
	start := o.at
	ok := o.skip(depth)
	return Value(o.data[start:o.at]), ok
}

// skip walks over one value.
func (o *Object) skip(depth int) bool {
	if o.at >= len(o.data) || depth > maxDepth {
		return false
	}
	switch c := o.data[o.at]; {
	case c == '"':
		return o.text()
	case c == '{', c == '[':
		return o.nested(depth, c)
	case c == '-', c >= '0' && c <= '9':
		return o.number()
	}
	return o.word("true") || o.word("false") || o.word("null")
}

func (o *Object) word(w string) bool {
	if len(o.data)-o.at < len(w) || string(o.data[o.at:o.at+len(w)]) != w {
		return false
	}
	o.at += len(w)
	return true
}

// nested walks over an array or an inner object, whose members may repeat:
// nothing is ever read from it.
func (o *Object) nested(depth int, open byte) bool {
	o.at++
	shut := byte(']')
	if open == '{' {
		shut = '}'
	}
	for first := true; ; first = false {
		o.space()
		if first && o.take(shut) {
			return true
		}
		if open == '{' && !o.innerName(depth) {
			return false
		}
		if !o.skip(depth + 1) {
			return false
		}
		o.space()
		if o.take(shut) {
			return true
		}
		if !o.take(',') {
			return false
		}
	}
}

func (o *Object) innerName(depth int) bool {
	if o.at >= len(o.data) || o.data[o.at] != '"' || !o.skip(depth+1) {
		return false
	}
	o.space()
	if !o.take(':') {
		return false
	}
	o.space()
	return true
}

// text walks over a string, whether it is ever read or not. What a pair of
// surrogates stands for is checked where it is read (Text).
func (o *Object) text() bool {
	for i := o.at + 1; i < len(o.data); i++ {
		switch c := o.data[i]; {
		case c == '"':
			o.at = i + 1
			return true
		case c == '\\':
			n := escapeLen(o.data[i+1:])
			if n == 0 {
				return false
			}
			i += n
		case c < ' ':
			return false
		}
	}
	return false
}

// escapeLen is the length of the escape that stands behind a backslash, 0 if
// there is none (RFC 8259, section 7).
func escapeLen(after []byte) int {
	if len(after) == 0 {
		return 0
	}
	switch after[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(after) < 5 {
			return 0
		}
		for _, c := range after[1:5] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 5
	}
	return 0
}

// number walks over a number (RFC 8259, section 6).
func (o *Object) number() bool {
	o.take('-')
	if !o.take('0') && !o.digits() {
		return false
	}
	if o.take('.') && !o.digits() {
		return false
	}
	if o.take('e') || o.take('E') {
		if !o.take('+') {
			o.take('-')
		}
		return o.digits()
	}
	return true
}

func (o *Object) digits() bool {
	start := o.at
	for o.at < len(o.data) && o.data[o.at] >= '0' && o.data[o.at] <= '9' {
		o.at++
	}
	return o.at > start
}
