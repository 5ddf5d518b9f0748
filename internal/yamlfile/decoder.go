package yamlfile

import (
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// decoder holds one run of Decode.
type decoder struct {
	file      string
	problems  Problems
	positions *Positions
	known     structFields
}

// step is a path from the root, spelled out only when there is a problem.
type step struct {
	parent *step
	key    string
	index  int // -1 for a key
}

func (s *step) String() string {
	if s == nil {
		return ""
	}
	if s.index >= 0 {
		return s.parent.String() + "[" + strconv.Itoa(s.index) + "]"
	}
	if parent := s.parent.String(); parent != "" {
		return parent + "." + s.key
	}
	return s.key
}

// maxProblems bounds what one file can make a server remember and send.
const maxProblems = 1000

func (d *decoder) report(line int, at *step, flaw *fault) {
	if len(d.problems) == maxProblems {
		flaw = faultf("mend these first", "there are more problems from here on")
	}
	if len(d.problems) > maxProblems {
		return
	}
	field := at.String()
	if field == "" {
		field = "file"
	}
	d.problems = append(d.problems, Problem{File: d.file, Line: max(line, 1), Field: field, Problem: flaw.Problem, Remedy: flaw.Remedy})
}

// decode reads a node into v, which has the place at and the tags of f.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, f *Field, at *step) {
	if flaw := refused(n); flaw != nil {
		d.report(n.Line, at, flaw)
		return
	}
	if n.Kind == yaml.ScalarNode && isNull(n) {
		d.report(n.Line, at, nullFault(v.Type()))
		return
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		d.pointer(n, v, f, at)
	case isScalar(t):
		d.scalar(n, v, f, at)
	case t.Kind() == reflect.Struct:
		d.structure(n, v, at)
	case t.Kind() == reflect.Slice:
		d.list(n, v, f, at)
	case t.Kind() == reflect.Map:
		d.mapping(n, v, f, at)
	default:
		d.anything(n, v, at)
	}
}

// refused finds what no value may have: it would make the file mean something
// else than it says.
func refused(n *yaml.Node) *fault {
	switch {
	case n.Kind == yaml.AliasNode:
		return faultf("write the value out; quote text that begins with an asterisk", "anchors and aliases are not supported")
	case n.Anchor != "":
		return faultf("write the value out; quote text that begins with an ampersand", "anchors and aliases are not supported")
	case n.Style&yaml.TaggedStyle != 0:
		return faultf("leave the tag out; quote the value if it is text that begins with an exclamation mark", "tags are not supported")
	}
	return nil
}

const quotedStyle = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

func isQuoted(n *yaml.Node) bool { return n.Style&quotedStyle != 0 }

// isNull follows the core schema (YAML 1.2.2, section 10.3.2).
func isNull(n *yaml.Node) bool {
	if isQuoted(n) {
		return false
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// nullFault: a key without a value is refused, because "not set" and "set to
// nothing" are different wishes (a list of none makes apply --prune delete).
func nullFault(t reflect.Type) *fault {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	remedy := "write a value or remove the line; quote the text null or ~"
	switch {
	case isScalar(t):
	case t.Kind() == reflect.Slice:
		remedy = "write [] for none, or remove the line"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		remedy = "write {} for the defaults, or remove the line"
	}
	return faultf(remedy, "has no value")
}

func (d *decoder) pointer(n *yaml.Node, v reflect.Value, f *Field, at *step) {
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
		if isStructure(v.Type().Elem()) {
			setDefaults(v.Elem(), d.known)
		}
	}
	d.decode(n, v.Elem(), f, at)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f *Field, at *step) {
	if n.Kind != yaml.ScalarNode {
		d.report(n.Line, at, faultf("write "+wanted(v.Type()), "is %s, not %s", found(n), wanted(v.Type())))
		return
	}
	if isQuoted(n) && !isText(v.Type()) {
		d.report(n.Line, at, faultf("remove the quotes", "is text, not %s", wanted(v.Type())))
		return
	}
	if n.Value == "" && f.Required {
		d.report(n.Line, at, faultf("write a value", "is empty"))
		return
	}
	if flaw := parseScalar(v, f, n.Value); flaw != nil {
		d.report(n.Line, at, flaw)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, at *step) {
	if n.Kind != yaml.MappingNode {
		d.report(n.Line, at, faultf("write its fields as key: value", "is %s, not a mapping", found(n)))
		return
	}
	set := d.known.of(v.Type())
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(key, seen, at) {
			continue
		}
		name := key.Value
		index, ok := set.byName[name]
		if !ok {
			d.unknown(key, set.names, at)
			continue
		}
		f := &set.fields[index]
		place := d.positions.add(f.Name, key.Line)
		d.decode(value, v.Field(f.index), f, &step{parent: at, key: f.Name, index: -1})
		d.positions.close(place)
	}
	d.missing(v, at, n.Line, seen)
}

// key checks a key and that it was not seen before.
func (d *decoder) key(key *yaml.Node, seen map[string]int, at *step) bool {
	if key.Kind == yaml.ScalarNode && key.Value == "<<" && !isQuoted(key) {
		d.report(key.Line, at, faultf("write the keys out", "merge keys are not supported"))
		return false
	}
	if key.Kind != yaml.ScalarNode || refused(key) != nil {
		d.report(key.Line, at, faultf("write a plain word as the key", "a key is not plain text"))
		return false
	}
	if first, ok := seen[key.Value]; ok {
		d.report(key.Line, &step{parent: at, key: cut(key.Value), index: -1}, faultf("keep one", "is given a second time (first on line %d)", first))
		return false
	}
	seen[key.Value] = key.Line
	return true
}

func (d *decoder) unknown(key *yaml.Node, names []string, at *step) {
	place := &step{parent: at, key: cut(key.Value), index: -1}
	if meant := Suggest(key.Value, names); meant != "" {
		d.report(key.Line, place, faultf("did you mean "+meant+"?", "unknown key"))
		return
	}
	d.report(key.Line, place, faultf("known here: "+strings.Join(names, ", "), "unknown key"))
}

// cut shortens a key for a message and takes what would break its line.
func cut(key string) string {
	q := Quote(key)
	if q == `"`+key+`"` && key != "" && !strings.ContainsAny(key, " :") {
		return key
	}
	return q
}

func (d *decoder) missing(v reflect.Value, at *step, line int, seen map[string]int) {
	set := d.known.of(v.Type())
	for i := range set.fields {
		f := &set.fields[i]
		if _, ok := seen[f.Name]; f.Required && !ok {
			d.report(line, &step{parent: at, key: f.Name, index: -1}, faultf("add it", "is missing"))
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f *Field, at *step) {
	items := n.Content
	single := n.Kind != yaml.SequenceNode
	if single {
		if !f.Single {
			d.report(n.Line, at, faultf("write [value, …] or one value a line after a hyphen", "is %s, not a list", found(n)))
			return
		}
		items = []*yaml.Node{n}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	item := &Field{Enum: f.Enum, Min: f.Min, Max: f.Max}
	for i, node := range items {
		element := v.Index(i)
		if isStructure(element.Type()) {
			setDefaults(element, d.known)
		}
		place := d.positions.add("", node.Line)
		where := at
		if !single {
			where = &step{parent: at, index: i}
		}
		d.decode(node, element, item, where)
		d.positions.close(place)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f *Field, at *step) {
	if n.Kind != yaml.MappingNode {
		d.report(n.Line, at, faultf("write its fields as key: value", "is %s, not a mapping", found(n)))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	seen := make(map[string]int, len(n.Content)/2)
	item := &Field{Enum: f.Enum, Min: f.Min, Max: f.Max}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(key, seen, at) {
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if isStructure(element.Type()) {
			setDefaults(element, d.known)
		}
		place := d.positions.add(key.Value, key.Line)
		d.decode(value, element, item, &step{parent: at, key: cut(key.Value), index: -1})
		d.positions.close(place)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), element)
	}
}

// found says what a node is, in words.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping"
	default:
		return "a single value"
	}
}

// wanted says what a type is, in words.
func wanted(t reflect.Type) string {
	switch {
	case t == typeDuration:
		return "a duration"
	case t == typeTime:
		return "a time"
	case t == typePrefix:
		return "a network"
	case t == typeSize:
		return "a size"
	case unmarshalsText(t), t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}

// anything reads a value of no fixed shape: map[string]any, []any, string,
// bool, int64 or nil, by the core schema.
func (d *decoder) anything(n *yaml.Node, v reflect.Value, at *step) {
	if v.Kind() != reflect.Interface {
		d.report(n.Line, at, faultf("", "the type %s cannot be read from a file", v.Type()))
		return
	}
	if value := d.free(n, at, 0); value != nil {
		v.Set(reflect.ValueOf(value))
	}
}

// maxDepth bounds the nesting of values of no fixed shape.
const maxDepth = 32

func (d *decoder) free(n *yaml.Node, at *step, depth int) any {
	if depth > maxDepth {
		d.report(n.Line, at, faultf("use fewer levels", "is nested more than %d levels deep", maxDepth))
		return nil
	}
	if flaw := refused(n); flaw != nil {
		d.report(n.Line, at, flaw)
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.free(item, &step{parent: at, index: i}, depth+1)
		}
		return list
	case yaml.MappingNode:
		fields := make(map[string]any, len(n.Content)/2)
		seen := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; d.key(key, seen, at) {
				fields[key.Value] = d.free(n.Content[i+1], &step{parent: at, key: cut(key.Value), index: -1}, depth+1)
			}
		}
		return fields
	default:
		return freeScalar(n)
	}
}

func freeScalar(n *yaml.Node) any {
	if isNull(n) {
		return nil
	}
	if isQuoted(n) {
		return n.Value
	}
	var truth bool
	if parseBool(reflect.ValueOf(&truth).Elem(), n.Value) == nil {
		return truth
	}
	var number int64
	if parseInt(reflect.ValueOf(&number).Elem(), n.Value) == nil {
		return number
	}
	return n.Value
}
