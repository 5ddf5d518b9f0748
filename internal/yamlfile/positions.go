package yamlfile

import (
	"strconv"
	"strings"
	"sync"
)

// Positions knows on which line each field of a decoded file stands. It is safe
// for concurrent use.
type Positions struct {
	// The file's values in document order, the value at i followed by what is
	// inside it. Three flat slices in place of a tree keep a file of a hundred
	// thousand objects small.
	keys  []string // key in the enclosing mapping; "" for items of a list
	lines []int32
	sizes []int32 // how many values the one at i comprises, itself included

	mu    sync.Mutex
	items map[int32][]int32 // where the items of lists that were asked for begin
}

// add notes a value and returns its place, to be closed when its inside is noted.
func (p *Positions) add(key string, line int) int {
	p.keys = append(p.keys, key)
	p.lines = append(p.lines, int32(min(line, 1<<30))) //nolint:gosec // bounded on this line
	p.sizes = append(p.sizes, 1)
	return len(p.lines) - 1
}

func (p *Positions) close(at int) {
	p.sizes[at] = int32(len(p.lines) - at) //nolint:gosec // a file of 64 MiB holds fewer values than that
}

// Line is the line of a field such as "routes[2].match.path", counted from 1:
// where its key stands, or for an item of a list where the item begins.
// For a field that the file does not hold it is the line of the nearest value
// around it; 0 for an empty file.
func (p *Positions) Line(path string) int {
	line, _ := p.find(path)
	return line
}

// Has says whether the file holds the field.
func (p *Positions) Has(path string) bool {
	_, ok := p.find(path)
	return ok
}

func (p *Positions) find(path string) (line int, found bool) {
	if p == nil || len(p.lines) == 0 {
		return 0, false
	}
	at := int32(0)
	for path != "" {
		key, index, rest := nextStep(path)
		path = rest
		next := p.child(at, key, index)
		if next < 0 {
			return int(p.lines[at]), false
		}
		at = next
	}
	return int(p.lines[at]), true
}

// nextStep takes "routes", "[2]" or ".match" off a path.
func nextStep(path string) (key string, index int, rest string) {
	if strings.HasPrefix(path, "[") {
		text, rest, _ := strings.Cut(path[1:], "]")
		index, err := strconv.Atoi(text)
		if err != nil {
			return text, -1, rest
		}
		return "", index, rest
	}
	path = strings.TrimPrefix(path, ".")
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, -1, ""
	}
	return path[:end], -1, path[end:]
}

// child finds a member by key, or an item by index; -1 if there is none.
func (p *Positions) child(at int32, key string, index int) int32 {
	if index >= 0 {
		items := p.itemsOf(at)
		if index < len(items) {
			return items[index]
		}
		return -1
	}
	for i := at + 1; i < at+p.sizes[at]; i += p.sizes[i] {
		if p.keys[i] == key {
			return i
		}
	}
	return -1
}

func (p *Positions) itemsOf(at int32) []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if items, ok := p.items[at]; ok {
		return items
	}
	var items []int32
	for i := at + 1; i < at+p.sizes[at]; i += p.sizes[i] {
		items = append(items, i)
	}
	if p.items == nil {
		p.items = map[int32][]int32{}
	}
	p.items[at] = items
	return items
}
