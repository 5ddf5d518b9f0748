package policy

import "strings"

// segmentKind is how one segment of a pattern matches.
type segmentKind byte

const (
	segLiteral segmentKind = iota // this text
	segGlob                       // text with "*" in it: each is one or more characters
	segAny                        // "*": any segment that is not empty
	segGap                        // "**": any number of segments, also none
)

// segment is what stands between two slashes of a pattern.
type segment struct {
	kind segmentKind
	// text is the literal, or the segment as written.
	text string
	// parts are a glob's literals: before, between and after its stars.
	parts []string
}

func newSegment(text string) segment {
	switch {
	case text == "**":
		return segment{kind: segGap, text: text}
	case text == "*":
		return segment{kind: segAny, text: text}
	case strings.Contains(text, "*"):
		return segment{kind: segGlob, text: text, parts: strings.Split(text, "*")}
	}
	return segment{kind: segLiteral, text: text}
}

// isGap says whether s stands for any number of segments.
func (s segment) isGap() bool { return s.kind == segGap }

// stars is how many wildcards the segment holds.
func (s segment) stars() int {
	switch s.kind {
	case segGlob:
		return len(s.parts) - 1
	case segAny, segGap:
		return 1
	case segLiteral:
	}
	return 0
}

// match says whether the segment takes one segment of a path.
func (s segment) match(text string) bool {
	switch s.kind {
	case segLiteral:
		return s.text == text
	case segAny:
		return text != ""
	case segGlob:
		return matchGlob(s.parts, text, nil)
	case segGap:
	}
	return false
}

// span is a piece of a text: from, to (exclusive).
type span struct{ from, to int }

// matchGlob matches literals with one or more characters between each two. If
// spans is not nil it is told what each star took. A star takes as little as
// it can, the last one the rest: the leftmost place of a literal is always as
// good as a later one.
func matchGlob(parts []string, text string, spans []span) bool {
	last := len(parts) - 1
	if !strings.HasPrefix(text, parts[0]) || !strings.HasSuffix(text, parts[last]) {
		return false
	}
	pos, limit := len(parts[0]), len(text)-len(parts[last])
	for i := 1; i < last; i++ {
		if pos+1 > limit {
			return false
		}
		at := strings.Index(text[pos+1:limit], parts[i])
		if at < 0 {
			return false
		}
		if spans != nil {
			spans[i-1] = span{pos, pos + 1 + at}
		}
		pos += 1 + at + len(parts[i])
	}
	if spans != nil && pos < limit {
		spans[last-1] = span{pos, limit}
	}
	return pos < limit
}

// letter is one element of a segment as a sequence: a byte, any one byte, or
// any number of bytes. A star is the last two in a row.
type letter struct {
	kind letterKind
	c    byte
}

type letterKind byte

const (
	letterByte letterKind = iota
	letterAny
	letterGap
)

func (l letter) isGap() bool { return l.kind == letterGap }

// letters is the segment as a sequence, for comparing two globs.
func (s segment) letters() []letter {
	var out []letter
	for i := range len(s.text) {
		if s.kind != segLiteral && s.text[i] == '*' {
			out = append(out, letter{kind: letterAny}, letter{kind: letterGap})
			continue
		}
		out = append(out, letter{kind: letterByte, c: s.text[i]})
	}
	return out
}

func letterOverlaps(a, b letter) bool {
	return a.kind == letterAny || b.kind == letterAny || a.c == b.c
}

func letterCovers(a, b letter) bool {
	return a.kind == letterAny || b.kind == letterByte && a.c == b.c
}

// segmentOverlaps says whether some segment of a path is taken by both a and b,
// neither of which is a gap.
func segmentOverlaps(a, b segment) bool {
	if a.kind == segLiteral {
		return b.match(a.text)
	}
	if b.kind == segLiteral {
		return a.match(b.text)
	}
	return a.kind == segAny || b.kind == segAny || overlaps(a.letters(), b.letters(), letterOverlaps)
}

// segmentCovers says whether a takes every segment that b takes, neither of
// which is a gap.
func segmentCovers(a, b segment) bool {
	if b.kind == segLiteral {
		return a.match(b.text)
	}
	return a.kind == segAny || a.kind == segGlob && b.kind == segGlob && covers(a.letters(), b.letters(), letterCovers)
}
