package policy

import (
	"strings"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

const (
	maxPattern   = 1024 // bytes
	maxSegments  = 64
	maxWildcards = 16
)

// pattern is a compiled match.path.
type pattern struct {
	// segments are what stands between the slashes.
	segments []segment
	// prefix is the literal head, "/prod/telemetry" of "/prod/telemetry/*/x":
	// whole segments, empty if the first one has a wildcard.
	prefix string
	// depth is how many segments prefix holds.
	depth int
	// wildcards is how many "*" and "**" the pattern has in all.
	wildcards int
}

// parsePattern reads a path pattern, which is written decoded.
func parsePattern(text string) (pattern, *keystile.Invalid) {
	if problem := checkPatternText(text); problem != nil {
		return pattern{}, problem
	}
	var p pattern
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		if part == "" && i < len(parts)-1 {
			return pattern{}, keystile.Invalidf("", "write single slashes", "the pattern %q has an empty segment", text)
		}
		if problem := checkSegmentText(part); problem != nil {
			return pattern{}, problem
		}
		s := newSegment(part)
		p.segments = append(p.segments, s)
		p.wildcards += s.stars()
	}
	if p.wildcards > maxWildcards || len(parts) > maxSegments {
		return pattern{}, keystile.Invalidf("", "use at most 64 segments and 16 wildcards",
			"the pattern has %d segments and %d wildcards", len(parts), p.wildcards)
	}
	for _, s := range p.segments {
		if s.kind != segLiteral {
			break
		}
		p.prefix += "/" + s.text
		p.depth++
	}
	return p, nil
}

// checkSegmentText refuses what no segment of a pattern may be.
func checkSegmentText(part string) *keystile.Invalid {
	if isDots(part) {
		return keystile.Invalidf("", "write the path without it", "the pattern has the segment %q", part)
	}
	if part != "**" && strings.Contains(part, "**") {
		return keystile.Invalidf("", "let ** be a whole segment: /**/", "the segment %q mixes ** with text", part)
	}
	return nil
}

// checkPatternText refuses characters that could never match, because no
// accepted path decodes to them, or that other tools give a meaning.
func checkPatternText(text string) *keystile.Invalid {
	switch {
	case text == "":
		return keystile.Invalidf("", "write a path such as /telemetry/**", "the path is missing")
	case text[0] != '/':
		return keystile.Invalidf("", "begin it with a slash", "the pattern %q does not begin with a slash", text)
	case len(text) > maxPattern:
		return keystile.Invalidf("", "use at most 1024 bytes", "the pattern has %d bytes", len(text))
	case !utf8.ValidString(text) || !plainText(text):
		return keystile.Invalidf("", "write plain UTF-8 text", "the pattern %q has control characters or is not UTF-8", text)
	}
	if strings.Contains(text+"/", "/**/**/") {
		return keystile.Invalidf("", "write ** once", "the pattern %q has ** twice in a row", text)
	}
	if i := strings.IndexAny(text, `?#;\%`); i >= 0 {
		return keystile.Invalidf("", `write the decoded path, without query; ? # ; \ % cannot occur in it`,
			"the pattern %q has %q", text, text[i:i+1])
	}
	if strings.ContainsAny(text, "{}") {
		return keystile.Invalidf("", "write * for a part that varies", "the pattern %q has braces", text)
	}
	return nil
}

// rest returns the segments after the literal prefix.
func (p *pattern) rest() []segment { return p.segments[p.depth:] }

// endsInSlash says whether the pattern itself asks for a final slash.
func (p *pattern) endsInSlash() bool {
	return p.segments[len(p.segments)-1].text == ""
}

// tail returns what follows the literal prefix: "" or text that begins with a slash.
func (p *pattern) tail(path string) (string, bool) {
	tail, ok := strings.CutPrefix(path, p.prefix)
	return tail, ok && (tail == "" || tail[0] == '/')
}

// match says whether the pattern takes a decoded path.
func (p *pattern) match(path string) bool {
	tail, ok := p.tail(path)
	return ok && matchSegments(p.rest(), tail, nil)
}

// capture returns what the n-th wildcard, counted from 1, took of a path that
// matches: for "**" without the slashes around it.
func (p *pattern) capture(path string, n int) (string, bool) {
	tail, ok := p.tail(path)
	var places [maxSegments]span
	if !ok || n < 1 || !matchSegments(p.rest(), tail, places[:]) {
		return "", false
	}
	for i, s := range p.rest() {
		if n > s.stars() {
			n -= s.stars()
			continue
		}
		text := strings.TrimPrefix(tail[places[i].from:places[i].to], "/")
		if s.kind != segGlob {
			return text, true
		}
		var stars [maxWildcards]span
		if !matchGlob(s.parts, text, stars[:]) {
			return "", false
		}
		return text[stars[n-1].from:stars[n-1].to], true
	}
	return "", false
}

// matchSegments matches segments with what is left of a path: "" or text that
// begins with a slash. If places is not nil it is told where each segment lies,
// with the slash before it.
//
// A "**" takes as few segments as it can, except for a last one, which takes
// the rest. When a segment does not fit, only the latest "**" is extended: an
// earlier one was extended no further than needed, so giving it more leaves
// less for what follows and cannot help. So the work is at most the number of
// segments times the length of the path, whatever the path is.
func matchSegments(segments []segment, path string, places []span) bool {
	gap, gapFrom, gapTo := -1, 0, 0
	i, pos := 0, 0
	for i < len(segments) || pos < len(path) {
		if i < len(segments) && segments[i].isGap() {
			gap, gapFrom, gapTo = i, pos, pos
			if i == len(segments)-1 {
				gapTo, pos = len(path), len(path)
			}
			place(places, gap, gapFrom, gapTo)
			i++
			continue
		}
		if i < len(segments) && pos < len(path) {
			end := segmentEnd(path, pos)
			if segments[i].match(path[pos+1 : end]) {
				place(places, i, pos, end)
				i, pos = i+1, end
				continue
			}
		}
		if gap < 0 || gapTo == len(path) {
			return false
		}
		gapTo = segmentEnd(path, gapTo)
		place(places, gap, gapFrom, gapTo)
		i, pos = gap+1, gapTo
	}
	return true
}

func place(places []span, i, from, to int) {
	if places != nil {
		places[i] = span{from, to}
	}
}

// segmentEnd returns where the segment that begins with the slash at pos ends.
func segmentEnd(path string, pos int) int {
	if n := strings.IndexByte(path[pos+1:], '/'); n >= 0 {
		return pos + 1 + n
	}
	return len(path)
}

// apart says whether the literal heads differ, so that no path matches both. It is the cheap test before overlap
// and cover, which compare every two routes.
func (p *pattern) apart(q *pattern) bool {
	for i := range min(p.depth, q.depth) {
		if p.segments[i].text != q.segments[i].text {
			return true
		}
	}
	return false
}

// overlaps says whether some path matches both patterns.
func (p *pattern) overlaps(q *pattern) bool {
	return !p.apart(q) && overlaps(p.segments, q.segments, segmentOverlaps)
}

// covers says whether every path that q matches is matched by p; see covers.
func (p *pattern) covers(q *pattern) bool {
	return !p.apart(q) && covers(p.segments, q.segments, segmentCovers)
}
