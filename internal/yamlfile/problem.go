package yamlfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// Problem is one thing that is wrong with a file, or with an environment
// variable or flag that stands in for a line of it. Its text never holds the
// value of a secret.
type Problem struct {
	// File is the file as the user named it, or the name of the variable or flag.
	File string
	// Line counts from 1; 0 where there are no lines.
	Line int
	// Field is the path of the field: "routes[2].match.path"; "syntax" where
	// the file is not YAML.
	Field string
	// Problem says what is wrong.
	Problem string
	// Remedy says what to do about it.
	Remedy string
}

// Error implements error: "FILE:LINE: field: problem; remedy".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Problem)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems is everything that is wrong, as one error.
type Problems []Problem

// Error implements error: one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Sort orders problems by file and line, keeping the order of those on one line.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// Err is p sorted, or nil if there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	p.Sort()
	return p
}

// ProblemsOf returns the problems that err holds, and whether err is nothing else.
func ProblemsOf(err error) (Problems, bool) {
	var many Problems
	if errors.As(err, &many) {
		return many, true
	}
	var one Problem
	if errors.As(err, &one) {
		return Problems{one}, true
	}
	return nil, false
}

// fault is what is wrong with one value; where it stands is added by the decoder.
type fault = keystile.Invalid

func faultf(remedy, format string, args ...any) *fault {
	return keystile.Invalidf("", remedy, format, args...)
}

// maxQuoted bounds how much of a value a message repeats, in bytes.
const maxQuoted = 80

// Quote repeats a value in a message: quoted, without control characters, cut
// where it is long.
func Quote(text string) string {
	if len(text) > maxQuoted {
		return fmt.Sprintf("%.*q...", maxQuoted, text)
	}
	return fmt.Sprintf("%q", text)
}
