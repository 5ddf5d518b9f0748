package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// Limits on the size of files, in bytes. Parsing takes some twenty times the
// size of the file in memory.
const (
	// MaxConfig is for a configuration, which a person writes.
	MaxConfig = 1 << 20
	// MaxState is for a state file: 100 000 objects take about 30 MiB.
	MaxState = 64 << 20
)

// Read reads a file of at most limit bytes. A larger one is Problems; any other
// failure is an error that names the file.
func Read(file string, limit int64) (data []byte, err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("open the file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if err := CheckSize(file, int64(len(data)), limit); err != nil {
		return nil, err
	}
	return data, nil
}

// CheckSize answers Problems if a file has more bytes than the limit.
func CheckSize(file string, size, limit int64) error {
	if size <= limit {
		return nil
	}
	return Problems{{
		File: file, Line: 1, Field: "syntax",
		Problem: fmt.Sprintf("the file has more than %d bytes", limit), Remedy: "split it, or leave something out",
	}}
}

// Decode reads a file of at most MaxState bytes into a struct; what the file
// leaves out keeps the value it has. Its error is Problems, all of them; then
// the struct holds what could be read, for further checks, and must not be
// used. The positions are never nil. Decode is safe for concurrent use with
// different structs.
func Decode(file string, data []byte, into any) (*Positions, error) {
	d := &decoder{file: file, positions: &Positions{}, known: structFields{}}
	if err := CheckSize(file, int64(len(data)), MaxState); err != nil {
		return d.positions, err
	}
	root, flaw := parse(data)
	if flaw != nil {
		flaw.File = file
		return d.positions, Problems{*flaw}
	}
	if root == nil {
		d.missing(reflect.ValueOf(into).Elem(), nil, 1, map[string]int{})
		return d.positions, d.problems.Err()
	}
	at := d.positions.add("", root.Line)
	d.decode(root, reflect.ValueOf(into).Elem(), &Field{}, nil)
	d.positions.close(at)
	return d.positions, d.problems.Err()
}

// parse returns the root value of the file's only document; nil if it is empty.
func parse(data []byte) (*yaml.Node, *Problem) {
	if flaw := checkBytes(data); flaw != nil {
		return nil, flaw
	}
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var document, next yaml.Node
	if err := reader.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxProblem(data, err)
	}
	switch err := reader.Decode(&next); {
	case err == nil:
		return nil, &Problem{Line: max(next.Line, 1), Field: "syntax", Problem: "a second document begins here", Remedy: "keep one document a file"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxProblem(data, err)
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && isNull(root) {
		return nil, nil
	}
	return root, nil
}

// checkBytes refuses what YAML does not allow in a file (YAML 1.2.2, section
// 5.1), and UTF-16, which would get past checks made on bytes.
func checkBytes(data []byte) *Problem {
	line := 1
	rest := bytes.TrimPrefix(data, []byte("\ufeff"))
	for i := 0; i < len(rest); {
		if rest[i] == '\n' {
			line++
		}
		r, size := utf8.DecodeRune(rest[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &Problem{Line: line, Field: "syntax", Problem: "is not UTF-8", Remedy: "save the file as UTF-8"}
		case !printable(r):
			return &Problem{Line: line, Field: "syntax", Problem: fmt.Sprintf("holds the control character U+%04X", r), Remedy: `leave it out, or write it as \u and four digits in double quotes`}
		}
		i += size
	}
	return nil
}

// printable is c-printable of YAML 1.2.2, section 5.1, without U+0085, U+2028
// and U+2029: YAML 1.1, and with it the parser, takes those for line breaks, so
// that text would not come through as it was written.
func printable(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return true
	case 0x2028, 0x2029, 0xfffe, 0xffff:
		return false
	}
	return r >= ' ' && r <= '~' || r >= 0xa0
}

var syntaxLine = regexp.MustCompile(`^line (\d+): `)

// syntaxProblem turns the parser's error into a problem. The parser counts the
// lines of its own findings from 0 and those of its scanner from 1, and leaves
// the first line out; an unknown anchor's name could be part of a secret that
// begins with an asterisk, so it is not repeated.
func syntaxProblem(data []byte, err error) *Problem {
	p := &Problem{Line: 1, Field: "syntax", Remedy: "mend the YAML here or just above"}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, atoiErr := strconv.Atoi(m[1]); atoiErr == nil {
			p.Line = n
		}
		for _, own := range []string{"expected key", "expected '-' indicator", "expected ',' or", "node content", "expected <"} {
			if strings.Contains(text, own) {
				p.Line++
				break
			}
		}
	}
	if strings.HasPrefix(text, "unknown anchor") {
		p.Line = lineOf(data, '*')
		p.Problem, p.Remedy = "anchors and aliases are not supported", "write the value out; quote text that begins with an asterisk"
		return p
	}
	p.Problem = text
	if strings.Contains(text, "cannot start any token") {
		p.Remedy = "indent with spaces, not tabs, and quote text that begins with @ or `"
	}
	return p
}

// lineOf is the first line where a value begins with c, or 1.
func lineOf(data []byte, c byte) int {
	for i, line := range bytes.Split(data, []byte("\n")) {
		_, value, ok := bytes.Cut(line, []byte(": "))
		if !ok {
			value = bytes.TrimLeft(line, " -")
		}
		if value = bytes.TrimLeft(value, " [{"); len(value) > 0 && value[0] == c {
			return i + 1
		}
	}
	return 1
}
